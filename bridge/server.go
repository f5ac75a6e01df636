// Package bridge serves PouchDB clients over websockets and replicates for them
// with the CouchDB behind it.
//
// A [Server] is an ordinary http.Handler, so a Go program can mount it anywhere:
//
//	policy := auth.PolicyFunc(func(ctx context.Context, r auth.Request) (auth.Grant, error) {
//		return auth.Grant{Database: r.Database, Access: auth.ReadWrite}, nil
//	})
//	upstream, err := couch.New("http://admin:secret@127.0.0.1:5984", couch.Options{})
//	...
//	http.Handle("/sync", bridge.NewServer(policy, upstream, bridge.Options{}))
//
// The bridge holds no data. A write is acknowledged when CouchDB has
// acknowledged it, never before; whatever else was going on when a connection
// or the bridge ends is repeated by the client from its checkpoint.
package bridge

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"pouchbridge/auth"
	"pouchbridge/couch"
)

// Options are what can be set of a Server. A zero value means the default.
type Options struct {
	// AllowedOrigins are patterns of the origins, other than the server's own,
	// from which browsers may connect: "app.example.com", "https://*.example.com".
	AllowedOrigins []string
	// MaxConnections bounds the open connections; default 0: no bound.
	MaxConnections int
	// MaxSessions bounds the databases open on one connection; default 256.
	MaxSessions int
	// SessionConcurrency bounds the calls of a session that run at a time;
	// default 16.
	SessionConcurrency int
	// MaxMessageBytes bounds a websocket message and a line in it; default 64
	// MiB. The largest document a client can send is a little smaller, or a
	// quarter of it where attachments come as JSON Buffers.
	MaxMessageBytes int64
	// MaxBufferedBytes bounds what is held for all clients together: messages
	// that are being read, calls that wait or run, answers that are not sent yet,
	// and caches. When three quarters are in use, a client that has a share in
	// them is hardly read from until there is room; over the bound the connection
	// that holds the most is closed. Leave room for several of the largest
	// messages. Default: see [DefaultMaxBufferedBytes].
	MaxBufferedBytes int64
	// PolicyTimeout bounds a decision of the policy; default 5 s.
	PolicyTimeout time.Duration
	// PingInterval is how often a client is asked whether it is still there;
	// default 25 s.
	PingInterval time.Duration
	// PingTimeout bounds how long its answer may take; default 20 s.
	PingTimeout time.Duration
	// WriteTimeout bounds how long a client may take no data; default 10 s.
	WriteTimeout time.Duration
	// UpstreamPatience is how long a failing CouchDB is asked again before the
	// clients concerned are disconnected, to come back later; default 10 s.
	UpstreamPatience time.Duration
	// TrustedProxies are the peers whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// PolicyHeaders are the headers of an upgrade that a policy is told of, in
	// their canonical form.
	PolicyHeaders []string
	// ProxySecret is CouchDB's [chttpd_auth] secret, which signs the names of
	// users by proxy authentication; "": they are not signed.
	ProxySecret string
	// Upstreams are servers besides the default one that a grant may name.
	Upstreams map[string]*couch.Client
	// Feeds tune the feeds of changes that sessions share, one for each database
	// and filter. Patience and Lost are the bridge's own.
	Feeds couch.FeedsOptions
	// Logger is where the bridge logs; the zero value logs nothing.
	Logger zerolog.Logger
	// Registerer is where metrics are registered; nil: nowhere.
	Registerer prometheus.Registerer
}

func (o Options) withDefaults() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.PolicyTimeout, 5*time.Second)
	def(&o.PingInterval, 25*time.Second)
	def(&o.PingTimeout, 20*time.Second)
	def(&o.WriteTimeout, 10*time.Second)
	def(&o.UpstreamPatience, 10*time.Second)
	if o.MaxSessions == 0 {
		o.MaxSessions = 256
	}
	if o.SessionConcurrency == 0 {
		o.SessionConcurrency = 16
	}
	if o.MaxMessageBytes == 0 {
		o.MaxMessageBytes = 64 << 20
	}
	if o.MaxBufferedBytes == 0 {
		o.MaxBufferedBytes = DefaultMaxBufferedBytes()
	}
	return o
}

// Server is the bridge.
type Server struct {
	options  Options
	decider  *auth.Decider
	upstream *couch.Client
	metrics  *metrics
	feeds    map[*couch.Client]*couch.Feeds // by server
	docs     sharedDocs
	budget   *budget
	caches   *share // of the budget, for what no single connection holds
	lastID   atomic.Uint64

	revocations atomic.Uint64 // how often Revoke was called

	ctx    context.Context // of writes that outlive their session
	cancel context.CancelFunc
	work   sync.WaitGroup // connections

	mu       sync.Mutex
	conns    map[*conn]struct{}
	reserved int // upgrades under way
	draining bool
}

// NewServer makes a bridge to upstream that asks policy for every session.
// Shutdown ends it.
func NewServer(policy auth.Policy, upstream *couch.Client, o Options) *Server {
	o = o.withDefaults()
	s := &Server{
		options:  o,
		decider:  auth.NewDecider(policy, o.PolicyTimeout),
		upstream: upstream,
		budget:   newBudget(o.MaxBufferedBytes),
		conns:    make(map[*conn]struct{}),
		feeds:    make(map[*couch.Client]*couch.Feeds),
	}
	s.metrics = newMetrics(o.Registerer, s.budget)
	s.caches = s.budget.newShare(nil)
	s.docs.share = s.caches
	s.addFeeds("", upstream)
	for name, c := range o.Upstreams {
		s.addFeeds(name, c)
	}
	s.metrics.watchFeeds(o.Registerer, s.feeds)
	if o.Registerer != nil {
		watchUpstreams(o.Registerer, upstream, o.Upstreams)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// MaxBufferedBytes is the option's value, or what was made of its default.
func (s *Server) MaxBufferedBytes() int64 { return s.options.MaxBufferedBytes }

// ServeHTTP takes a websocket upgrade at any path. The connection outlives the
// call. Other requests are told what this is; GET /healthz answers 200.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !headerHas(r, "Upgrade", "websocket") {
		s.servePlain(w, r)
		return
	}
	if r.Header.Get("Sec-WebSocket-Protocol") != "" {
		s.refuse(w, http.StatusBadRequest, "protocol", "unknown websocket subprotocol; this bridge speaks that of pouch-websocket-sync, which has none")
		return
	}
	if reason := s.reserve(); reason != "" {
		w.Header().Set("Retry-After", "5")
		s.refuse(w, http.StatusServiceUnavailable, reason, "no connection can be taken now: "+reason)
		return
	}
	up := &upgrade{ResponseWriter: w}
	ws, err := websocket.Accept(up, r, &websocket.AcceptOptions{
		OriginPatterns:  s.options.AllowedOrigins,
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		s.release()
		s.metrics.accepted.WithLabelValues("refused").Inc()
		s.options.Logger.Info().Err(err).Str("remote", r.RemoteAddr).Str("origin", r.Header.Get("Origin")).Msg("upgrade refused")
		return
	}
	s.metrics.accepted.WithLabelValues("accepted").Inc()
	if !s.serve(newConn(s, ws, up.conn, r, s.lastID.Add(1))) {
		_ = ws.Close(websocket.StatusGoingAway, goingAway)
	}
}

func (s *Server) refuse(w http.ResponseWriter, status int, result, text string) {
	s.metrics.accepted.WithLabelValues(result).Inc()
	http.Error(w, text, status)
}

func (s *Server) servePlain(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if r.URL.Path == "/healthz" {
		_, _ = w.Write([]byte("ok\n"))
		return
	}
	w.Header().Set("Upgrade", "websocket")
	w.Header().Set("Connection", "Upgrade")
	http.Error(w, "This is pouchbridge. It speaks websocket to PouchDB clients: connect to this address with ws:// or wss://.", http.StatusUpgradeRequired)
}

func headerHas(r *http.Request, name, token string) bool {
	for _, v := range r.Header.Values(name) {
		for part := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// reserve makes room for a connection, or says why there is none.
func (s *Server) reserve() (reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return "shutting down"
	case s.options.MaxConnections > 0 && len(s.conns)+s.reserved >= s.options.MaxConnections:
		return "too many connections"
	}
	s.reserved++
	return ""
}

func (s *Server) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserved--
}

// serve hands the connection to a goroutine of its own: the handler's, with its
// buffers, is given back. Measured in the design: 28 KB against 17 KB for an
// idle connection.
//
// It reports false, and does nothing, when Shutdown has begun.
func (s *Server) serve(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserved--
	if s.draining {
		return false
	}
	s.conns[c] = struct{}{}
	s.metrics.connections.Inc()
	s.work.Go(func() {
		c.run()
		s.metrics.connections.Dec()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
	})
	return true
}

// goingAway is what clients are told by Shutdown.
const goingAway = "the bridge is shutting down"

// goodbyeTime is what Shutdown keeps of its deadline for telling clients.
const goodbyeTime = time.Second

// Shutdown takes no more connections, lets calls that are under way finish and
// be answered, closes every connection with code 1001, and returns when all is
// over. When ctx ends first, what is left is cut off, and ctx's error returned.
func (s *Server) Shutdown(ctx context.Context) error {
	grace := writeGrace
	if deadline, ok := ctx.Deadline(); ok {
		grace = max(0, time.Until(deadline)-goodbyeTime)
	}
	for _, c := range s.drain() {
		c.end(ending{reason: reasonShutdown, status: websocket.StatusGoingAway, text: goingAway}, grace)
	}
	stop := context.AfterFunc(ctx, func() {
		s.cancel()
		for _, c := range s.drain() {
			c.hangUp()
		}
	})
	s.work.Wait()
	var err error
	if !stop() {
		err = ctx.Err()
	}
	s.cancel()
	for _, feeds := range s.feeds {
		feeds.Close()
	}
	s.docs.stop()
	return errors.Join(err, s.decider.Close(ctx))
}

// drain takes no more connections and returns those that are left.
func (s *Server) drain() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	return slices.Collect(maps.Keys(s.conns))
}

func (s *Server) connections() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.conns))
}
