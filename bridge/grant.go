package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"pouchbridge/auth"
	"pouchbridge/bridge/wire"
	"pouchbridge/couch"
)

// What a client is told when its grant ends.
const (
	grantExpired = "the permission has expired"
	grantRevoked = "the permission was revoked"
)

// askAgain is how often, at most, the policy is asked again about one session.
const askAgain = time.Second

// tellGrace is how long a session whose grant is over waits for a call that it
// can answer with the reason.
const tellGrace = 5 * time.Second

func unauthorized(reason string) *wire.Error {
	return &wire.Error{Status: http.StatusUnauthorized, Name: "unauthorized", Reason: reason}
}

// upstreamOf is the server that a grant names: one of those configured, never
// an address.
func (s *Server) upstreamOf(g auth.Grant) (*couch.Client, error) {
	if g.Upstream == "" {
		return s.upstream, nil
	}
	if c := s.options.Upstreams[g.Upstream]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("grant names the upstream %q, which is not configured", g.Upstream)
}

// create makes a database that a grant is for, as the bridge's own account.
func create(ctx context.Context, service *couch.Client, g auth.Grant) error {
	db, err := service.Database(g.Database)
	if err != nil {
		return err
	}
	err = service.CreateDatabase(ctx, g.Database, couch.CreateOptions{Q: g.Create.Q, N: g.Create.N})
	if alreadyExists(err) {
		return nil // somebody else was quicker, and has seen to its security
	}
	if err != nil || g.Create.Security == nil {
		return err
	}
	return db.SetSecurity(ctx, []byte(g.Create.Security))
}

// refusedByCouchDB makes the answer to the first request of a session a
// refusal. What CouchDB tells a user of its own goes to the user; what it tells
// the bridge does not.
func refusedByCouchDB(g auth.Grant, err error) error {
	var e *couch.Error
	switch {
	case !errors.As(err, &e) || e.Transient():
		return err
	case couch.IsDatabaseMissing(err):
		return &auth.Refusal{Code: auth.NotFound, Message: "there is no such database", Err: err}
	case g.Identity.Kind == auth.ServiceAccount:
		return &auth.Refusal{Code: auth.Unavailable, Err: err}
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusBadRequest: // 400: a token that is none
		return &auth.Refusal{Code: auth.Unauthorized, Message: e.Reason, Err: err}
	case e.Status == http.StatusForbidden:
		return &auth.Refusal{Code: auth.Forbidden, Message: e.Reason, Err: err}
	}
	return err
}

// Revocation says which grants end. Members that are set must all match.
type Revocation struct{ Subject, Database, TokenID string }

// Revoke ends the grants that match, and their sessions with them: nothing more
// is sent and no more calls are taken; writes that are under way are answered.
// It returns how many there were. A client may ask again, and gets what the
// policy then answers.
func (s *Server) Revoke(r Revocation) int {
	s.revocations.Add(1)
	n := 0
	for _, c := range s.connections() {
		for _, session := range c.allSessions() {
			if session.matches(r) {
				session.endGrant(&wire.Error{Status: http.StatusForbidden, Name: "forbidden", Reason: grantRevoked})
				n++
			}
		}
	}
	return n
}

func (s *session) matches(r Revocation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	match := func(want, has string) bool { return want == "" || want == has }
	return r != (Revocation{}) && s.decided && !s.closed && s.over == nil &&
		match(r.Subject, s.grant.Subject) && match(r.Database, s.grant.Database) && match(r.TokenID, s.grant.TokenID)
}

// endGrant ends a session whose grant does not hold any more. It does not wait.
func (s *session) endGrant(why *wire.Error) {
	s.mu.Lock()
	if s.over != nil || s.closed {
		s.mu.Unlock()
		return
	}
	s.over = why
	opened := s.opened
	feeds := slices.Clone(s.feeds)
	s.stopFeeds()
	s.mu.Unlock()
	s.log.Info().Str("subject", s.grant.Subject).Str("database", s.grant.Database).Str("reason", why.Reason).Msg("grant ended")
	s.ahead.stop()
	s.known.stop()
	waiting, idle := s.calls.close()
	s.done(waiting...)
	if opened {
		s.conn.start(func() { s.sayOver(feeds, waiting, idle) })
	}
}

// sayOver tells the client why its session ends, where it can: in answer to its
// calls and feeds, after the writes that were under way have been answered.
func (s *session) sayOver(feeds []*liveFeed, waiting []wire.Call, idle <-chan struct{}) {
	s.await(s.granted, writeGrace)
	for _, call := range waiting {
		s.refuseCall(call.Tag)
	}
	s.await(idle, writeGrace)
	for _, f := range feeds {
		if msg, ok := s.wire.FeedFailed(s.buffer(), f.tag, s.over); ok {
			_ = s.conn.send(s.ctx, msg)
			s.wasTold()
		}
	}
	s.await(s.told, tellGrace)
	_ = s.conn.send(s.ctx, s.wire.End(nil))
	s.conn.forget(s.wire)
	s.close()
}

func (s *session) await(done <-chan struct{}, most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-s.ctx.Done():
	}
}

func (s *session) wasTold() {
	select {
	case s.told <- struct{}{}:
	default:
	}
}

// ended is why the grant is over, or nil.
func (s *session) ended() *wire.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// refuseCall answers a call of a session whose grant is over, also where the
// client has paused the session: the reader, who would hear of its resuming,
// calls this too.
func (s *session) refuseCall(t wire.Tag) {
	over := s.ended()
	if over == nil {
		return // the session is closed, and nobody waits for an answer
	}
	if msg, ok := s.wire.Failed(s.buffer(), t, over); ok {
		_ = s.conn.send(s.ctx, msg)
		s.wasTold()
	}
}

// distrusted asks the policy again after CouchDB has refused the session's
// identity as such, and reports whether that is the end of the session. A
// policy that grants again may have a new identity to offer, such as a fresh
// cookie, for which the client must ask: its connection is closed.
func (s *session) distrusted(err error) bool {
	var e *couch.Error
	if !errors.As(err, &e) || e.Status != http.StatusUnauthorized && e.Status != http.StatusForbidden {
		return false
	}
	if !s.asking.CompareAndSwap(false, true) {
		return false
	}
	defer s.asking.Store(false)
	start := time.Now()
	if start.Sub(s.asked) < askAgain {
		return false
	}
	s.asked = start
	if s.grant.Identity.Kind == auth.Cookie {
		return s.cookieDied(e)
	}
	again := s.request
	again.Previous = &s.grant
	grant, err := s.conn.server.decider.Decide(s.ctx, again)
	s.log.Info().Err(err).AnErr("refused", e).Str("subject", grant.Subject).Dur("took", time.Since(start)).Msg("grant checked again")
	var refusal *auth.Refusal
	switch {
	case errors.As(err, &refusal) && refusal.Code != auth.Unavailable:
		s.endGrant(&wire.Error{Status: e.Status, Name: string(refusal.Code), Reason: refusal.Error()})
		return true
	case err == nil && e.Status == http.StatusUnauthorized && s.grant.Identity.Kind != auth.ServiceAccount:
		s.fail(e)
		return true
	}
	return false
}

// cookieDied finds out whether CouchDB still takes a session cookie for its
// user's. What the cookie was made of is not kept: if it is dead, the client
// must connect again and say who it is.
func (s *session) cookieDied(refused *couch.Error) bool {
	if refused.Status != http.StatusUnauthorized {
		var e *couch.Error
		if _, err := s.renew(); !errors.As(err, &e) || e.Status != http.StatusUnauthorized {
			return false
		}
	}
	s.fail(refused)
	return true
}
