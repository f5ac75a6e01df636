package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"pouchbridge/bridge"
	"pouchbridge/couch"
)

// serve is the command serve.
func serve(ctx context.Context, getenv func(string) string, std stdio) error {
	s, err := configure(getenv, "serve", std.err)
	if err != nil {
		return err
	}
	defer s.close()
	svc, err := s.listen(ctx)
	if err != nil {
		return err
	}
	svc.listening().Msg("listening")
	return svc.run(ctx)
}

// service is the bridge on its listeners.
type service struct {
	*settings
	bridge   *bridge.Server
	hangup   chan os.Signal // SIGHUP, if there is something to read again
	draining atomic.Bool    // set once, when shutting down begins

	clients, admin                 *http.Server // admin is nil if there is no listener for it
	clientsListener, adminListener net.Listener
	end                            context.CancelFunc // of the requests of both servers
}

// listen makes the bridge and opens its listeners. What connects from then on waits for run.
func (s *settings) listen(ctx context.Context) (*service, error) {
	registry := prometheus.NewRegistry()
	svc := &service{settings: s, hangup: make(chan os.Signal, 1)}
	svc.bridge = bridge.NewServer(s.policy, s.upstream, bridge.Options{
		AllowedOrigins:     s.AllowedOrigins,
		MaxConnections:     s.MaxConnections,
		MaxSessions:        s.MaxSessions,
		SessionConcurrency: s.SessionConcurrency,
		MaxMessageBytes:    s.MaxMessageBytes,
		MaxBufferedBytes:   s.MaxBufferedBytes,
		PolicyTimeout:      s.PolicyTimeout,
		PingInterval:       s.PingInterval,
		WriteTimeout:       s.WriteTimeout,
		UpstreamPatience:   s.UpstreamPatience,
		Feeds:              couch.FeedsOptions{MaxOpen: s.MaxFeeds},
		TrustedProxies:     s.proxies,
		PolicyHeaders:      s.headers,
		ProxySecret:        s.proxySecret,
		Upstreams:          s.upstreams,
		Logger:             s.log,
		Registerer:         registry,
	})
	base, end := context.WithCancel(context.WithoutCancel(ctx)) // requests outlive the signal
	svc.end = end
	var handler http.Handler = svc.bridge
	if slices.Contains(s.Policy, "open") {
		handler = loopbackOnly(handler)
	}
	svc.clients = newHTTPServer(base, handler, s.log)
	if s.certificate != nil {
		svc.clients.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*s.certificate}}
	}
	var err, adminErr error
	svc.clientsListener, err = listenOn("LISTEN", s.Listen)
	if s.AdminListen != "" {
		svc.admin = newHTTPServer(base, svc.adminHandler(registry), s.log)
		svc.adminListener, adminErr = listenOn("ADMIN_LISTEN", s.AdminListen)
	}
	if err = errors.Join(err, adminErr); err != nil {
		svc.closeListeners()
		end()
		return nil, err
	}
	if s.static != nil {
		signal.Notify(svc.hangup, syscall.SIGHUP) // before anybody can know that we are here, as it ends a process otherwise
	}
	return svc, nil
}

func listenOn(name, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", prefix, name, err)
	}
	return l, nil
}

// closeListeners gives back what was opened when something else could not be.
func (s *service) closeListeners() {
	for _, l := range []net.Listener{s.clientsListener, s.adminListener} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// listening begins the log line that says where the service is found.
func (s *service) listening() *zerolog.Event {
	e := s.log.Info().Str("url", s.url()).Str("policy", strings.Join(s.Policy, ",")).Stringer("couchdb", s.upstream)
	if s.admin != nil {
		e.Str("admin_url", "http://"+reachable(s.adminListener.Addr()))
	}
	e.Int64("max_buffered_bytes", s.bridge.MaxBufferedBytes()).Int("gomaxprocs", runtime.GOMAXPROCS(0))
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		e.Int64("gomemlimit", limit)
	}
	return e
}

// url is where clients on this machine connect.
func (s *service) url() string {
	scheme := "ws"
	if s.certificate != nil {
		scheme = "wss"
	}
	return scheme + "://" + reachable(s.clientsListener.Addr())
}

// reachable is an address to connect to: a listener on every interface is reached by 127.0.0.1.
func reachable(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("127.0.0.1:%d", tcp.Port)
	}
	return a.String()
}

// run serves until ctx ends or a listener fails, and then shuts down.
func (s *service) run(ctx context.Context) error {
	defer s.end()
	if s.proxySecret == "" && s.mayVouch() {
		s.log.Warn().Msg("the policy may name users to CouchDB by proxy authentication, which is not signed without PROXY_SECRET: whoever reaches CouchDB could do the same; set it, and proxy_use_secret = true in CouchDB's section chttpd_auth")
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return serveHTTP(s.clients, s.clientsListener) })
	if s.admin != nil {
		g.Go(func() error { return serveHTTP(s.admin, s.adminListener) })
	}
	g.Go(func() error {
		s.tryUpstream(ctx)
		return nil
	})
	if s.static != nil {
		g.Go(func() error {
			s.followStatic(ctx)
			return nil
		})
	}
	if s.getenv("GOGC") == "" {
		g.Go(func() error {
			paceGC(ctx)
			return nil
		})
	}
	g.Go(func() error {
		<-ctx.Done()
		return s.shutDown()
	})
	return g.Wait()
}

// tryUpstream warns if CouchDB does not answer now. The bridge serves all the same: CouchDB may start later than we do,
// and it may go away and come back at any time after this.
func (s *service) tryUpstream(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	if err := s.upstream.Up(ctx); err != nil && !errors.Is(ctx.Err(), context.Canceled) {
		s.log.Warn().Err(err).Stringer("couchdb", s.upstream).Msg("CouchDB does not answer; clients are served once it does")
	}
}

// shutDown takes no more connections, lets writes that are under way finish within DRAIN_TIMEOUT, and closes everything.
func (s *service) shutDown() error {
	s.draining.Store(true)
	s.log.Info().Dur("timeout_ms", s.DrainTimeout).Msg("shutting down")
	ctx, cancel := context.WithTimeout(context.Background(), s.DrainTimeout)
	defer cancel()

	stopAccepting(s.clients)
	err := s.bridge.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("shutting down: not everything had finished after %s: %w", s.DrainTimeout, err)
	} else {
		s.log.Info().Msg("shut down")
	}
	err = errors.Join(err, s.clients.Close())
	if s.admin != nil {
		err = errors.Join(err, s.admin.Close())
	}
	return err
}

// stopAccepting closes the listeners and idle connections of a server, and waits for nothing.
func stopAccepting(server *http.Server) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = server.Shutdown(ended) // of which the context limits only the wait for connections in use
}

// newHTTPServer makes a server of HTTP/1.1, which websockets need, whose requests have contexts derived from base.
func newHTTPServer(base context.Context, handler http.Handler, log zerolog.Logger) *http.Server {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          httpErrorLog(log),
		Protocols:         new(http.Protocols),
	}
	server.Protocols.SetHTTP1(true)
	return server
}

// serveHTTP serves until the server is closed, which is no error.
func serveHTTP(server *http.Server, l net.Listener) error {
	var err error
	if server.TLSConfig != nil {
		err = server.ServeTLS(l, "", "")
	} else {
		err = server.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving on %s: %w", l.Addr(), err)
}

// loopbackOnly serves only requests that name this machine as their host. A listener on a loopback address keeps other
// machines out, but not a page of theirs whose host name was made to resolve to 127.0.0.1 (DNS rebinding): to the browser
// such a page has the same origin as the listener.
func loopbackOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = strings.Trim(r.Host, "[]")
		}
		if !isLoopbackHost(host) {
			http.Error(w, "This listener asks for no credentials, and so answers only to localhost and loopback addresses.", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
