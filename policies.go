package main

import (
	"errors"
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
		if remembering, ok := policy.(interface{ Forget() }); ok {
			s.forget = append(s.forget, remembering.Forget)
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
	case "couchdb":
		return s.newCouchDB(f)
	case "jwt":
		return s.newJWT(f)
	case "static":
		return s.newStatic(f)
	case "webhook":
		return s.newWebhook(f)
	case "script":
		return s.newScript(f)
	}
	return nil // a name that is reported
}

// mayVouch tells whether a policy may name a user whom CouchDB shall see by proxy authentication.
func (s *settings) mayVouch() bool {
	return slices.Contains(s.Policy, "webhook") || slices.Contains(s.Policy, "script") || slices.Contains(s.Policy, "jwt") && s.JWTIdentity == "proxy"
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

// options reports the faults of a policy's options, one on each line that begins with the option's name and a colon, as those
// of the variables.
func (f *faults) options(err error, variables map[string]string) {
	var names []string
	for _, option := range slices.SortedFunc(maps.Keys(variables), func(a, b string) int { return len(b) - len(a) }) {
		names = append(names, option, prefix+variables[option]) // an option that another begins with comes after that
	}
	inText := strings.NewReplacer(names...)
	for line := range strings.SplitSeq(err.Error(), "\n") {
		*f = append(*f, errors.New(inText.Replace(line)))
	}
}
