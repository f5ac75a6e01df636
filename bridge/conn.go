package bridge

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/rs/zerolog"

	"pouchbridge/auth"
	"pouchbridge/bridge/wire"
	"pouchbridge/bridge/wire/legacy"
)

// dialect is the protocol of one connection.
type dialect interface {
	// Receive takes a websocket message and returns what the client says by it;
	// events stand even when there is an error after them. The events may alias
	// the message.
	Receive(msg []byte) ([]wire.Event, error)
}

// conn is one websocket. Two goroutines serve it as long as it lives, the
// reader (run) and the writer (write); the others are its sessions' calls and
// feeds, and all of them end before run returns.
type conn struct {
	server  *Server
	ws      *websocket.Conn
	dialect dialect
	request auth.Request // the part that is the same for all sessions
	log     zerolog.Logger
	outbox  *outbox

	readCtx context.Context // ends when the client is gone
	hangUp  context.CancelFunc
	ctx     context.Context // of all work for the client; ends before readCtx or with it
	cancel  context.CancelFunc

	reading atomic.Bool // the reader waits for the client
	pinging atomic.Bool
	ending  atomic.Pointer[ending]

	work sync.WaitGroup // requests, calls and feeds of sessions

	mu       sync.Mutex
	sessions map[wire.Session]*session
	closed   bool // no work may be started
}

// ending is why a connection ends. Status 0: the client is gone.
type ending struct {
	reason string // of reasons, for the log and the metrics
	status websocket.StatusCode
	text   string        // for the client; at most 123 bytes
	err    error         // for the log
	over   chan struct{} // closed when the goodbye is said; nil without one
}

// Reasons for which connections end.
const (
	reasonClient   = "client"   // the client closed it, or its network did
	reasonProtocol = "protocol" // the client broke the protocol
	reasonSlow     = "slow"     // the client did not take what it was sent
	reasonSilent   = "silent"   // the client did not answer a ping
	reasonUpstream = "upstream" // CouchDB failed for longer than can be bridged
	reasonShutdown = "shutdown" // the bridge goes away
)

var reasons = []string{reasonClient, reasonProtocol, reasonSlow, reasonSilent, reasonUpstream, reasonShutdown}

func newConn(s *Server, ws *websocket.Conn, r *http.Request, id uint64) *conn {
	c := &conn{
		server:   s,
		ws:       ws,
		dialect:  legacy.NewConn(int(s.options.MaxMessageBytes)),
		request:  s.requestOf(r),
		log:      s.options.Logger.With().Uint64("connection", id).Logger(),
		outbox:   newOutbox(outboxBytes),
		sessions: make(map[wire.Session]*session),
	}
	c.readCtx, c.hangUp = context.WithCancel(context.Background())
	c.ctx, c.cancel = context.WithCancel(c.readCtx)
	ws.SetReadLimit(s.options.MaxMessageBytes)
	return c
}

// run serves the connection until it is over.
func (c *conn) run() {
	start := time.Now()
	c.log.Debug().Stringer("remote", c.request.RemoteAddr).Str("origin", c.request.Origin).Msg("connected")
	written := make(chan struct{})
	go func() { defer close(written); c.write() }()

	err := c.read()
	c.lost(reasonClient, err)
	c.closeSessions()
	c.work.Wait()
	c.outbox.abort()
	<-written
	_ = c.ws.CloseNow()
	e := c.ending.Load()
	if e.over != nil {
		<-e.over
	}

	c.server.metrics.closed.WithLabelValues(e.reason).Inc()
	c.log.Debug().Str("reason", e.reason).AnErr("cause", e.err).Dur("lasted", time.Since(start)).Msg("disconnected")
}

// read handles the client's messages until there are no more. When the client
// broke the protocol, it goes on reading, and drops what it reads, until the
// client has taken note.
func (c *conn) read() error {
	for {
		c.reading.Store(true)
		_, msg, err := c.ws.Read(c.readCtx)
		c.reading.Store(false)
		if err != nil {
			return err
		}
		c.server.metrics.received.Add(float64(len(msg)))
		if c.ending.Load() != nil {
			continue
		}
		events, err := c.dialect.Receive(msg)
		for _, e := range events {
			c.handle(e)
		}
		if err != nil {
			c.end(protocolError(err), 0)
		}
	}
}

// protocolError is how a connection ends on which nothing can be understood any
// more.
func protocolError(err error) ending {
	e := ending{reason: reasonProtocol, err: err, text: err.Error()}
	switch {
	case errors.Is(err, legacy.ErrNotJSON):
		e.status = websocket.StatusInvalidFramePayloadData
	case errors.Is(err, legacy.ErrTooLong):
		e.status = websocket.StatusMessageTooBig
	default:
		e.status = websocket.StatusPolicyViolation
	}
	return e
}

// handle does what the client says. It blocks while the session concerned, or
// the client itself, is behind: then the client is not read from.
func (c *conn) handle(e wire.Event) {
	switch e := e.(type) {
	case wire.Reply:
		_ = c.send(c.ctx, e.Data)
	case wire.Open:
		c.open(e)
	case wire.Call:
		if s := c.session(e.Session); s != nil {
			s.submit(e)
		}
	case wire.Flow:
		if s := c.session(e.Session); s != nil {
			s.flow.set(e.Paused)
		}
	case wire.Close:
		if s := c.forget(e.Session); s != nil {
			s.close()
		}
	}
}

// send queues bytes for the client.
func (c *conn) send(ctx context.Context, msg []byte) error {
	return c.outbox.put(ctx, msg)
}

// open begins a session.
func (c *conn) open(e wire.Open) {
	s := newSession(c, e.Session)
	c.mu.Lock()
	full := len(c.sessions) >= c.server.options.MaxSessions
	if !full {
		c.sessions[e.Session] = s
	}
	c.mu.Unlock()
	if full {
		_ = c.send(c.ctx, e.Session.Denied(nil, "too many databases on one connection"))
		return
	}
	request := c.request
	request.Database, request.Credentials = e.Database, []byte(e.Credentials)
	if !c.start(func() { s.open(request) }) {
		c.forget(e.Session)
	}
}

// start runs fn in a goroutine that run waits for, unless the connection is
// about to end.
func (c *conn) start(fn func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.work.Go(fn)
	return true
}

func (c *conn) session(key wire.Session) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions[key]
}

// forget removes a session and returns it, or nil if it is gone already.
func (c *conn) forget(key wire.Session) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[key]
	delete(c.sessions, key)
	return s
}

// lost ends a connection whose client is not there any more.
func (c *conn) lost(reason string, err error) {
	c.ending.CompareAndSwap(nil, &ending{reason: reason, err: err})
	c.hangUp()
}

// end closes the connection from our side: feeds stop, calls that are running
// get the grace to finish and be answered, then the client is told. It does not
// wait.
func (c *conn) end(e ending, grace time.Duration) {
	e.over = make(chan struct{})
	if c.ending.CompareAndSwap(nil, &e) {
		go func() { defer close(e.over); c.goodbye(grace) }()
	}
}

func (c *conn) goodbye(grace time.Duration) {
	timer := time.AfterFunc(grace, c.cancel)
	defer timer.Stop()
	c.drainSessions()
	c.work.Wait()
	c.outbox.finish()
}

// drainSessions lets no new work begin and stops what would go on for ever.
func (c *conn) drainSessions() {
	for _, s := range c.closing() {
		s.drain()
	}
}

// closeSessions ends all sessions at once.
func (c *conn) closeSessions() {
	for _, s := range c.closing() {
		s.close()
	}
}

func (c *conn) closing() []*session {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return slices.Collect(maps.Values(c.sessions))
}

func (c *conn) allSessions() []*session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.sessions))
}
