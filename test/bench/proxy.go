package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path"
	"sync/atomic"
	"time"
)

// proxy stands between a bridge and the upstream, and counts requests.
type proxy struct {
	server   *http.Server
	served   chan error
	host     string
	requests atomic.Int64 // made so far
	open     atomic.Int64 // now, of any kind
	changes  atomic.Int64 // now, of _changes of a database
}

// openProxy listens on a port of its own.
func openProxy(target *url.URL) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{host: l.Addr().String(), served: make(chan error, 1)}
	silent := log.New(io.Discard, "", 0)
	relay := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, ""
		},
		Transport:     &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true},
		FlushInterval: -1,
		ErrorLog:      silent,
	}
	p.server = &http.Server{Handler: p.counting(relay), ErrorLog: silent, ReadHeaderTimeout: 10 * time.Second}
	go func() { p.served <- p.server.Serve(l) }()
	return p, nil
}

func (p *proxy) counting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.requests.Add(1)
		p.open.Add(1)
		defer p.open.Add(-1)
		if path.Base(r.URL.Path) == "_changes" {
			p.changes.Add(1)
			defer p.changes.Add(-1)
		}
		next.ServeHTTP(w, r)
	})
}

func (p *proxy) close() error {
	err := p.server.Close()
	if served := <-p.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// withProxied has fn use a bridge whose requests to the upstream are counted.
func (b *bench) withProxied(ctx context.Context, fn func(*bridge, *proxy) error) error {
	p, err := openProxy(b.upstream.url)
	if err != nil {
		return err
	}
	err = b.withBridge(ctx, b.upstream.through(p.host), func(br *bridge) error { return fn(br, p) })
	return errors.Join(err, p.close())
}
