package main

import (
	"context"
	"errors"
	"os/signal"
	"time"

	"pouchbridge/auth"
	"pouchbridge/bridge"
)

// staticInterval is the time between looks at the file of the policy static.
const staticInterval = 2 * time.Second

// followStatic has the policy static follow its file until ctx ends.
func (s *service) followStatic(ctx context.Context) {
	defer signal.Stop(s.hangup)
	ticker := time.NewTicker(staticInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.hangup:
			s.staticTaken(s.static.Reload())
		case <-ticker.C:
			s.staticTaken(s.static.Look())
		}
	}
}

// staticTaken logs what came of reading the file again, and ends the sessions of tokens that do not hold any more.
func (s *service) staticTaken(reloaded bool, gone []string, err error) {
	var faulty *auth.FileError
	switch {
	case errors.As(err, &faulty):
		faults := make([]string, len(faulty.Faults))
		for i, f := range faulty.Faults {
			faults[i] = f.Place + ": " + f.Problem
		}
		s.log.Error().Str("file", s.StaticFile).Strs("faults", faults).Msg("the file of the policy static is not usable; its tokens stay as they were")
	case err != nil:
		s.log.Error().Err(err).Msg("the file of the policy static cannot be read; its tokens stay as they were")
	case reloaded:
		revoked := 0
		for _, id := range gone {
			revoked += s.bridge.Revoke(bridge.Revocation{TokenID: id})
		}
		s.log.Info().Str("file", s.StaticFile).Strs("changed", gone).Int("revoked", revoked).Msg("the file of the policy static was read again")
	}
}
