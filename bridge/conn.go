package bridge

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net"
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
	// Held is how many bytes are kept for a line whose end has not come.
	Held() int
}

// conn is one websocket. While it is idle one goroutine serves it, the reader
// (run); the others are the writer and pings, which come and go, and its
// sessions' calls and feeds. All of them end before run returns.
type conn struct {
	server  *Server
	ws      *websocket.Conn
	net     net.Conn // below ws
	dialect dialect
	request auth.Request // the part that is the same for all sessions
	log     zerolog.Logger
	outbox  *outbox
	share   *share // of the budget
	pings   pings

	ctx    context.Context // of all work for the client
	cancel context.CancelFunc

	incoming message // owned by the reader, but see message.drop

	reading atomic.Bool   // the reader waits for a message to begin
	begun   atomic.Uint32 // counts the messages that have
	ending  atomic.Pointer[ending]

	writers sync.WaitGroup
	work    sync.WaitGroup // requests, calls and feeds of sessions

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
	reasonSilent   = "silent"   // the client did not answer a ping, or stopped in the middle of a message
	reasonUpstream = "upstream" // CouchDB failed for longer than can be bridged
	reasonOverload = "overload" // it held more than the bridge could spare
	reasonShutdown = "shutdown" // the bridge goes away
)

var reasons = []string{reasonClient, reasonProtocol, reasonSlow, reasonSilent, reasonUpstream, reasonOverload, reasonShutdown}

func newConn(s *Server, ws *websocket.Conn, nc net.Conn, r *http.Request, id uint64) *conn {
	c := &conn{
		server:  s,
		ws:      ws,
		net:     nc,
		dialect: legacy.NewConn(int(s.options.MaxMessageBytes)),
		request: s.requestOf(r),
		log:     s.options.Logger.Hook(connectionID(id)),
		outbox:  newOutbox(outboxBytes),
	}
	c.outbox.start = func() { c.writers.Go(c.write) }
	c.share = s.budget.newShare(c.shed)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	ws.SetReadLimit(s.options.MaxMessageBytes)
	return c
}

// connectionID names the connection in its log lines. A logger made by With
// would hold half a kilobyte for that.
type connectionID uint64

// Run is called by zerolog.
func (id connectionID) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Uint64("connection", uint64(id))
}

// run serves the connection until it is over.
func (c *conn) run() {
	start := time.Now()
	c.log.Debug().Stringer("remote", c.request.RemoteAddr).Str("origin", c.request.Origin).Msg("connected")
	c.pings.again(c.server.options.PingInterval, c.ping)

	err := c.read()
	c.lost(reasonClient, err)
	c.closeSessions()
	c.work.Wait()
	c.outbox.abort()
	c.writers.Wait()
	c.pings.end()
	_ = c.ws.CloseNow()
	e := c.ending.Load()
	if e.over != nil {
		<-e.over
	}
	c.share.close()

	c.server.metrics.closed.WithLabelValues(e.reason).Inc()
	c.log.Debug().Str("reason", e.reason).AnErr("cause", e.err).Dur("lasted", time.Since(start)).Msg("disconnected")
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
		} else {
			c.share.give(int64(e.Size))
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

// send queues a message for the client. The message is given away: nobody may
// look at it any more, whether it is sent or not.
func (c *conn) send(ctx context.Context, msg []byte) error {
	c.share.take(int64(cap(msg)))
	return c.queue(ctx, msg)
}

// queue queues a message whose bytes are counted.
func (c *conn) queue(ctx context.Context, msg []byte) error {
	err := c.outbox.put(ctx, msg)
	if err != nil || len(msg) == 0 {
		c.discard(msg)
	}
	return err
}

// discard gives back a message that will not be sent.
func (c *conn) discard(msg []byte) {
	c.share.give(int64(cap(msg)))
	freeBuffer(msg)
}

// open begins a session.
func (c *conn) open(e wire.Open) {
	s := newSession(c, e.Session)
	c.mu.Lock()
	full := len(c.sessions) >= c.server.options.MaxSessions
	if !full {
		if c.sessions == nil {
			c.sessions = make(map[wire.Session]*session)
		}
		c.sessions[e.Session] = s
		s.held = int64(len(e.Credentials))
	}
	c.mu.Unlock()
	if full {
		_ = c.send(c.ctx, e.Session.Denied(nil, "too many databases on one connection"))
		return
	}
	request := c.request
	c.share.take(s.held)
	request.Database, request.Credentials = e.Database, bytes.Clone(e.Credentials) // not the message they came in
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
	if s != nil {
		c.share.give(s.held)
	}
	return s
}

// lost ends a connection whose client is not there any more.
func (c *conn) lost(reason string, err error) {
	c.ending.CompareAndSwap(nil, &ending{reason: reason, err: err})
	c.hangUp()
}

// hangUp ends all work for the client and cuts the network connection: whoever
// reads or writes finds out.
func (c *conn) hangUp() {
	c.cancel()
	below := c.net
	if t, ok := below.(interface{ NetConn() net.Conn }); ok {
		below = t.NetConn() // TLS would say goodbye, and wait for that to be taken
	}
	_ = below.Close()
}

// end closes the connection from our side: feeds stop, calls that are running
// get the grace to finish and be answered, then the client is told. It does not
// wait.
func (c *conn) end(e ending, grace time.Duration) bool {
	e.over = make(chan struct{})
	first := c.ending.CompareAndSwap(nil, &e)
	if first {
		go func() { defer close(e.over); c.goodbye(grace) }()
	}
	return first
}

func (c *conn) goodbye(grace time.Duration) {
	timer := time.AfterFunc(grace, c.cancel)
	defer timer.Stop()
	c.drainSessions()
	if c.ending.Load().reason == reasonOverload {
		c.dropBytes()
	} else {
		c.work.Wait()
	}
	c.outbox.finish()
}

// shed ends the connection because the bridge holds more than it may, and this
// one holds the most. What it waits for is given up, and what it was to be sent
// is dropped: the client comes back for it. It does not wait.
func (c *conn) shed() {
	e := ending{reason: reasonOverload, status: websocket.StatusInternalError, text: "the bridge is overloaded", err: errOverload}
	held := c.share.work.Load()
	if !c.end(e, 0) {
		c.hangUp() // it was to end in peace
		return
	}
	c.log.Warn().Int64("held", held).Int64("limit", c.server.budget.limit).Msg("too many bytes are held for clients: the connection that holds the most is closed")
}

// dropBytes drops what the client has begun to send and what it was to be sent.
// In the middle of a message to it nothing else can be said: then it is cut off.
func (c *conn) dropBytes() {
	c.incoming.drop(c)
	dropped, writing := c.outbox.drop()
	c.share.give(dropped)
	if writing {
		c.hangUp()
	}
}

var errOverload = errors.New("too many bytes are held for clients")

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
