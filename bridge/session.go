package bridge

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"pouchbridge/auth"
	"pouchbridge/bridge/wire"
	"pouchbridge/couch"
)

// writeGrace is how long a write that is under way may go on after its session
// has ended, so that it is not cut between CouchDB and its answer.
const writeGrace = 5 * time.Second

// maxFeeds is how many live feeds a session may have. A client has one; the
// oldest ends when there are more.
const maxFeeds = 4

// session is one database on a connection under one grant.
type session struct {
	conn  *conn
	wire  wire.Session
	log   zerolog.Logger
	flow  flow
	calls queue

	ctx    context.Context
	cancel context.CancelFunc

	// Set before the client is told that it has the session.
	grant auth.Grant
	db    *couch.Database

	mu     sync.Mutex
	opened bool
	closed bool
	feeds  []*feed // live ones, oldest first
}

// feed is a live feed of a session.
type feed struct{ cancel context.CancelFunc }

func newSession(c *conn, w wire.Session) *session {
	s := &session{conn: c, wire: w, log: c.log}
	s.calls.workers = c.server.options.SessionConcurrency
	s.ctx, s.cancel = context.WithCancel(c.ctx)
	return s
}

// open asks the policy, makes sure that the database is there, and tells the
// client.
func (s *session) open(r auth.Request) {
	start := time.Now()
	grant, err := s.conn.server.decider.Decide(s.ctx, r)
	if err == nil {
		err = s.connect(grant)
	}
	if s.ctx.Err() != nil {
		return // the client did not wait for the answer
	}
	s.conn.server.metrics.decided(err)
	event := s.log.Info()
	if err != nil {
		event = s.log.Warn().Err(err).AnErr("cause", errors.Unwrap(err))
	}
	event.Str("asked", r.Database).Str("database", grant.Database).Str("subject", grant.Subject).
		Stringer("access", grant.Access).Stringer("remote", r.RemoteAddr).Dur("took", time.Since(start)).
		Msg("session requested")
	s.answer(err)
}

// answer grants or denies. When CouchDB is away the client is not denied, which
// would end its replication for good, but made to connect again.
func (s *session) answer(err error) {
	var refusal *auth.Refusal
	switch {
	case err == nil:
		if s.setOpen() {
			_ = s.conn.send(s.ctx, s.wire.Granted(nil))
		}
	case couch.Transient(err):
		s.conn.end(upstreamEnding(err), 0)
	default:
		message := "the database is not available"
		if errors.As(err, &refusal) {
			message = refusal.Error()
		}
		s.conn.forget(s.wire)
		s.cancel()
		_ = s.conn.send(s.conn.ctx, s.wire.Denied(nil, message))
	}
}

// connect resolves a grant: the name is checked, and the database found or made.
func (s *session) connect(grant auth.Grant) error {
	db, err := s.conn.server.database(grant)
	if err != nil {
		return &auth.Refusal{Code: auth.NotFound, Message: "there is no such database", Err: err}
	}
	_, err = retry(s.ctx, s.conn.server.options.UpstreamPatience, func() (couch.Info, error) {
		return db.Info(s.ctx)
	})
	if couch.IsDatabaseMissing(err) && grant.Create != nil {
		err = s.conn.server.upstream.CreateDatabase(s.ctx, db.Name(), couch.CreateOptions{})
		if alreadyExists(err) {
			err = nil
		}
	}
	if couch.IsDatabaseMissing(err) {
		return &auth.Refusal{Code: auth.NotFound, Message: "there is no such database", Err: err}
	}
	s.grant, s.db = grant, db
	return err
}

func (s *session) setOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.opened = true
	s.conn.server.metrics.sessions.Inc()
	return true
}

func (s *session) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened && !s.closed
}

// submit queues a call. It blocks while too many wait already.
func (s *session) submit(call wire.Call) {
	if !s.isOpen() {
		return
	}
	worker, signal, err := s.calls.put(s.ctx, call)
	if err != nil {
		return
	}
	s.tell(signal)
	if worker && !s.conn.start(s.serve) {
		s.calls.close()
	}
}

// serve is a worker: it makes calls until none is left.
func (s *session) serve() {
	for {
		call, signal, ok := s.calls.take()
		if !ok {
			return
		}
		s.tell(signal)
		s.call(call)
	}
}

func (s *session) tell(sig signal) {
	switch sig {
	case pauseClient:
		_ = s.conn.send(s.ctx, s.wire.Pause(nil))
	case resumeClient:
		_ = s.conn.send(s.ctx, s.wire.Resume(nil))
	}
}

// send sends bytes of this session, when the client wants them.
func (s *session) send(ctx context.Context, msg []byte) error {
	if err := s.flow.wait(ctx); err != nil {
		return err
	}
	return s.conn.send(ctx, msg)
}

// fail ends what cannot be answered: the whole connection.
func (s *session) fail(err error) { s.conn.end(upstreamEnding(err), writeGrace) }

// drain lets the calls that run finish and nothing else.
func (s *session) drain() {
	s.calls.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.feeds {
		f.cancel()
	}
	if !s.opened {
		s.cancel() // not granted, and it will not be
	}
}

// close ends the session at once, except for writes under way.
func (s *session) close() {
	s.calls.close()
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened && !s.closed {
		s.conn.server.metrics.sessions.Dec()
	}
	s.closed = true
}

// addFeed makes a live feed's context.
func (s *session) addFeed() (context.Context, *feed) {
	ctx, cancel := context.WithCancel(s.ctx)
	f := &feed{cancel: cancel}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feeds = append(s.feeds, f)
	if len(s.feeds) > maxFeeds {
		s.feeds[0].cancel()
		s.feeds = s.feeds[1:]
	}
	return ctx, f
}

func (s *session) removeFeed(f *feed) {
	f.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feeds = slices.DeleteFunc(s.feeds, func(other *feed) bool { return other == f })
}
