package main

import (
	"io"
	"maps"
	"slices"
	"strings"

	"pouchbridge/auth"
)

// refuseUnused reports variables of policies that are not chosen: they would do nothing, and whoever set them expects
// otherwise.
func (s *settings) refuseUnused(getenv func(string) string, f *faults) {
	for _, v := range variables() {
		if v.Policy != "" && getenv(v.Key) != "" && !slices.Contains(s.Policy, v.Policy) {
			f.add(v.OwnKey, "is set, but does nothing, as %sPOLICY has no %s; unset it, or add the policy", prefix, v.Policy)
		}
	}
}

// makePolicy makes the policy, or the chain of them, that POLICY names.
func (s *settings) makePolicy(f *faults) {
	if len(s.Policy) == 0 {
		f.add("POLICY", "is not set; set it to static (clients need a token of the file %sSTATIC_FILE), or to open for development on this machine (everyone may read and write every database)", prefix)
		return
	}
	if len(s.Policy) > 1 && slices.Contains(s.Policy, "open") {
		f.add("POLICY", "has open and others; open lets everyone do everything, so that no other is ever of use: take it out")
	}
	var chain auth.Chain
	for i, name := range s.Policy {
		if slices.Contains(s.Policy[:i], name) {
			f.add("POLICY", "has %s twice", name)
			continue
		}
		policy := s.newPolicy(name, f)
		if closer, ok := policy.(io.Closer); ok {
			s.closers = append(s.closers, closer.Close)
		}
		chain = append(chain, policy)
	}
	s.policy = chain
	if len(chain) == 1 {
		s.policy = chain[0]
	}
}

// newPolicy makes one policy. What it returns after a fault is of no use.
func (s *settings) newPolicy(name string, f *faults) auth.Policy {
	switch name {
	case "open":
		return auth.Open{}
	case "static":
		return s.newStatic(f)
	}
	return nil // a name that is reported
}

func (s *settings) newStatic(f *faults) auth.Policy {
	if s.StaticFile == "" {
		f.add("STATIC_FILE", "is not set; the policy static needs the file of its tokens")
		return nil
	}
	read := func() ([]byte, error) {
		b, err := readFile(s.StaticFile)
		if err != nil {
			return nil, fileError{err}
		}
		return b, nil
	}
	policy, err := auth.OpenStatic(read, slices.Collect(maps.Keys(s.upstreams)))
	switch err.(type) {
	case nil:
		s.static = policy
		return policy
	case fileError:
		f.add("STATIC_FILE", "cannot be read: %w", err)
	default:
		f.add("STATIC_FILE", "%s is not usable:%s", s.StaticFile, strings.ReplaceAll("\n"+err.Error(), "\n", "\n  "))
	}
	return nil
}

// fileError is why a file cannot be read, as opposed to what is wrong in it.
type fileError struct{ error }
