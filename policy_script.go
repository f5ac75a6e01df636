package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"pouchbridge/auth"
)

func (s *settings) newScript(f *faults) auth.Policy {
	if s.ScriptFile == "" {
		f.add("SCRIPT_FILE", "is not set; the policy script needs a JavaScript file")
		return nil
	}
	policy, err := auth.NewScript(auth.ScriptOptions{
		File:           s.ScriptFile,
		Timeout:        s.PolicyTimeout,
		Runtimes:       s.ScriptRuntimes,
		MaxMemoryBytes: s.ScriptMaxMemoryBytes,
		MaxCallStack:   s.ScriptMaxCallStack,
		Env:            s.scriptEnv(f),
		FetchAllow:     s.ScriptFetchAllow,
		Upstreams:      slices.Collect(maps.Keys(s.upstreams)),
		UpstreamURLs:   s.upstreamURLs(),
		Create:         s.ScriptCreate,
		Log:            s.logScript,
	})
	if err != nil {
		f.add("SCRIPT_FILE", "cannot be used: %s", strings.TrimSpace(err.Error()))
		return nil
	}
	return policy
}

// scriptEnv are the variables of SCRIPT_ENV that are set, with their values.
func (s *settings) scriptEnv(f *faults) map[string]string {
	shown := map[string]string{}
	for _, name := range s.ScriptEnv {
		if strings.HasPrefix(name, prefix) || name == "" {
			f.add("SCRIPT_ENV", "has %q; it must be the name of a variable that is not the bridge's own", name)
		} else if value := s.getenv(name); value != "" {
			shown[name] = value
		}
	}
	return shown
}

// upstreamURLs are the addresses of the servers, without passwords. That of dev is not known yet.
func (s *settings) upstreamURLs() map[string]string {
	urls := map[string]string{}
	for name, c := range s.upstreams {
		urls[name] = c.String()
	}
	if s.upstream != nil {
		urls[""] = s.upstream.String()
	}
	return urls
}

// logScript logs what the script says.
func (s *settings) logScript(level, message string) {
	l, err := zerolog.ParseLevel(level)
	if err != nil {
		l = zerolog.WarnLevel
	}
	s.log.WithLevel(l).Str("script", message).Msg("the script says")
}
