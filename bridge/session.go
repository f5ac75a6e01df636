package bridge

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"pouchbridge/auth"
	"pouchbridge/bridge/wire"
	"pouchbridge/couch"
)

// writeGrace is how long a write that is under way may go on after its session
// has ended, so that it is not cut between CouchDB and its answer.
const writeGrace = 5 * time.Second

// session is one database on a connection under one grant.
type session struct {
	conn  *conn
	wire  wire.Session
	log   zerolog.Logger
	flow  flow
	calls queue
	held  int64 // bytes of its credentials
	known known
	ahead ahead

	ctx    context.Context
	cancel context.CancelFunc

	// Set before the client is told that it has the session.
	request  auth.Request
	grant    auth.Grant
	service  *couch.Client // of the grant's server, as the bridge's own account
	client   *couch.Client // the same as the grant's identity
	db       *couch.Database
	instance string // of the database: when it was created
	visible  *visible

	granted chan struct{} // closed when the client is told that it has the session

	mu      sync.Mutex
	decided bool        // grant is set
	opened  bool        // the client was told
	over    *wire.Error // why the grant does not hold any more
	closed  bool
	expiry  *time.Timer
	feeds   []*liveFeed // oldest first

	asking atomic.Bool   // the policy is asked again
	asked  time.Time     // when that was last; owned by who has set asking
	told   chan struct{} // holds a token when a client was told that its grant is over
}

func newSession(c *conn, w wire.Session) *session {
	s := &session{conn: c, wire: w, log: c.log, granted: make(chan struct{}), told: make(chan struct{}, 1)}
	s.calls.workers = c.server.options.SessionConcurrency
	s.calls.instant = s.isInstant
	s.ahead.s = s
	s.ctx, s.cancel = context.WithCancel(c.ctx)
	return s
}

// open asks the policy, makes sure that the database is there, and tells the
// client.
func (s *session) open(r auth.Request) {
	start := time.Now()
	s.request = r
	grant, err := s.decide(r)
	if err == nil {
		err = s.connect(grant)
	}
	if s.ctx.Err() != nil {
		return // the client did not wait for the answer
	}
	s.conn.server.metrics.decided(err)
	s.logDecision(grant, err, start)
	s.answer(err)
}

// decide asks the policy. If grants were revoked meanwhile, its answer may be
// older than that, and it is asked again.
func (s *session) decide(r auth.Request) (auth.Grant, error) {
	const tries = 3
	for range tries {
		before := s.conn.server.revocations.Load()
		grant, err := s.conn.server.decider.Decide(s.ctx, r)
		if err != nil {
			return auth.Grant{}, err
		}
		s.setGrant(grant)
		if s.conn.server.revocations.Load() == before {
			return grant, nil
		}
	}
	return auth.Grant{}, &auth.Refusal{Code: auth.Unavailable, Err: errors.New("grants were revoked while the policy decided, three times")}
}

// logDecision says who may have what, why not, and how long it took to decide.
func (s *session) logDecision(g auth.Grant, err error, start time.Time) {
	event := s.log.Info()
	if err != nil {
		event = s.log.Warn().Err(err).AnErr("cause", errors.Unwrap(err))
	}
	event.Str("asked", s.request.Database).Str("upstream", g.Upstream).Str("database", g.Database).
		Str("subject", g.Subject).Str("token_id", g.TokenID).Stringer("access", g.Access).Stringer("identity", g.Identity).
		Stringer("remote", s.request.RemoteAddr).Dur("took", time.Since(start)).Bool("again", s.request.Previous != nil).
		Msg("session requested")
}

// answer grants or denies. When CouchDB is away the client is not denied, which
// would end its replication for good, but made to connect again.
func (s *session) answer(err error) {
	if err == nil {
		err = s.setOpen()
	}
	var refusal *auth.Refusal
	switch {
	case err == nil:
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
	if !grant.Expires.IsZero() && !time.Now().Before(grant.Expires) {
		return &auth.Refusal{Code: auth.Unauthorized, Message: grantExpired}
	}
	var err error
	s.service, err = s.conn.server.upstreamOf(grant)
	if err == nil {
		s.client, err = s.conn.server.as(s.service, grant.Identity)
	}
	if err == nil {
		s.db, err = s.client.Database(grant.Database)
	}
	if err != nil {
		return &auth.Refusal{Code: auth.NotFound, Message: "there is no such database", Err: err}
	}
	if err := s.introduce(); err != nil {
		return refusedByCouchDB(grant, err)
	}
	patience := s.conn.server.options.UpstreamPatience
	info, err := retry(s.ctx, patience, func() (couch.Info, error) { return s.db.Info(s.ctx) })
	s.instance = info.InstanceStartTime
	if couch.IsDatabaseMissing(err) && grant.Create != nil {
		_, err = retry(s.ctx, patience, func() (struct{}, error) { return struct{}{}, create(s.ctx, s.service, grant) })
	}
	return refusedByCouchDB(grant, err)
}

// setGrant lets the grant be revoked from now on.
func (s *session) setGrant(g auth.Grant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grant, s.visible, s.decided = g, newVisible(g.Filter), true
}

// setOpen tells the client that it has the session. It does not hold mu while
// it does: a client that takes no data must not hold up a revocation.
func (s *session) setOpen() error {
	if err := s.markOpen(); err != nil {
		return err
	}
	defer close(s.granted)
	return s.conn.send(s.ctx, s.wire.Granted(nil))
}

func (s *session) markOpen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return context.Canceled
	case s.over != nil:
		return &auth.Refusal{Code: auth.Forbidden, Message: s.over.Reason}
	}
	if s.grant.Identity.Kind == auth.Cookie {
		s.request.Credentials, s.request.Cookies = nil, nil // not needed any more, see cookieDied
	}
	s.opened = true
	s.conn.server.metrics.sessions.Inc()
	if at := s.grant.Expires; !at.IsZero() {
		s.expiry = time.AfterFunc(time.Until(at), func() { s.endGrant(unauthorized(grantExpired)) })
	}
	return nil
}

func (s *session) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// submit queues a call. It blocks while too many wait already.
func (s *session) submit(call wire.Call) {
	if !s.isOpen() {
		s.done(call)
		return // no dialect lets a client call before it is granted
	}
	worker, signal, err := s.calls.put(s.ctx, call)
	if err != nil {
		s.done(call)
		s.refuseCall(call.Tag)
		return
	}
	s.tell(signal)
	if worker {
		s.startWorker()
	}
}

func (s *session) startWorker() {
	if !s.conn.start(s.serve) {
		s.calls.lost()
	}
}

// serve is a worker: it makes calls until none is left.
func (s *session) serve() {
	for {
		b, signal, ok := s.calls.take()
		if !ok {
			return
		}
		if b.another {
			s.startWorker()
		}
		s.tell(signal)
		s.make(b)
		s.done(b.calls...)
		s.calls.finished(b)
	}
}

// done gives back the bytes of calls that are answered, or will never be. The
// reader has taken them.
func (s *session) done(calls ...wire.Call) {
	n := 0
	for _, call := range calls {
		n += call.Size
	}
	s.conn.share.give(int64(n))
}

func (s *session) tell(sig signal) {
	switch sig {
	case pauseClient:
		_ = s.conn.send(s.ctx, s.wire.Pause(nil))
	case resumeClient:
		_ = s.conn.send(s.ctx, s.wire.Resume(nil))
	}
}

// buffer is for one message, see send.
func (s *session) buffer() []byte { return newBuffer(bufferSizes[0]) }

// send sends a message of this session, when the client wants it. It is given
// away, as to conn.send; its bytes are counted while it waits.
func (s *session) send(ctx context.Context, msg []byte) error {
	s.conn.share.take(int64(cap(msg)))
	if err := s.flow.wait(ctx); err != nil {
		s.conn.discard(msg)
		return err
	}
	return s.conn.queue(ctx, msg)
}

// fail ends what cannot be answered: the whole connection.
func (s *session) fail(err error) { s.conn.end(upstreamEnding(err), writeGrace) }

// drain lets the calls that run finish and nothing else.
func (s *session) drain() {
	s.closeCalls()
	s.ahead.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopFeeds()
	if !s.opened {
		s.cancel() // not granted, and it will not be
	}
}

// close ends the session at once, except for writes under way.
func (s *session) close() {
	s.closeCalls()
	s.cancel()
	s.ahead.stop()
	s.known.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened && !s.closed {
		s.conn.server.metrics.sessions.Dec()
	}
	if s.expiry != nil {
		s.expiry.Stop()
	}
	s.closed = true
	s.stopFeeds()
	s.feeds = nil
}

// closeCalls takes no more calls, and drops those that wait.
func (s *session) closeCalls() {
	waiting, _ := s.calls.close()
	s.done(waiting...)
}

// forget drops all that the session remembers of its database: it is not there
// any more, and one of the same name would be another.
func (s *session) forget() {
	s.known.drop()
	s.ahead.drop()
}
