package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"pouchbridge/couch/embedded"
)

// dev is the command dev: serve, with an embedded store as the CouchDB.
func dev(ctx context.Context, getenv func(string) string, std stdio) error {
	s, err := configure(getenv, "dev", std.err)
	if err != nil {
		return err
	}
	defer s.close()
	name, password, _ := strings.Cut(s.DevAdmin, ":")
	store, err := embedded.Open(embedded.Options{Dir: s.DevDir, Admin: name, Password: password})
	if err != nil {
		return fmt.Errorf("opening the databases of the command dev: %w", err)
	}
	return errors.Join(s.serveStore(ctx, store, std.err), store.Close())
}

// serveStore serves the store's HTTP on a listener of its own, and the bridge in front of it. Nothing of it is left when
// it returns.
func (s *settings) serveStore(ctx context.Context, store http.Handler, stderr io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening for the CouchDB of the command dev: %w", err)
	}
	url := "http://" + l.Addr().String()
	if s.upstream, err = s.newUpstream(asUser(url, s.DevAdmin)); err != nil {
		return errors.Join(err, l.Close())
	}
	svc, err := s.listen(ctx)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	svc.listening().Str("couchdb_url", url).Msg("listening")
	if isTerminal(stderr) {
		welcome(stderr, svc.url(), url, s.DevDir)
	}

	base, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	couchdb := newHTTPServer(base, loopbackOnly(store), s.log)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return serveHTTP(couchdb, l) })
	g.Go(func() error {
		err := svc.run(ctx)
		s.upstream.Close() // before its CouchDB is
		end()              // of the feeds that others than the bridge follow
		return errors.Join(err, closeGently(couchdb))
	})
	return g.Wait()
}

// asUser puts name:password into a URL; nothing for nobody.
func asUser(rawURL, user string) string {
	name, password, ok := strings.Cut(user, ":")
	if !ok {
		return rawURL
	}
	return strings.Replace(rawURL, "://", "://"+url.UserPassword(name, password).String()+"@", 1)
}

// closeGently gives the requests of a server a moment to end, and closes it.
func closeGently(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = server.Shutdown(ctx)
	return server.Close()
}

// welcome tells a person how to begin.
func welcome(w io.Writer, bridgeURL, couchdbURL, dir string) {
	kept := "in a temporary directory that is removed at the end"
	if dir != "" {
		kept = "in " + dir
	}
	fmt.Fprintf(w, `
  pouchbridge is at %[1]s, its CouchDB at %[2]s,
  the data %[3]s.
  With pouch-websocket-sync in a browser or Node:

    const client = PouchSync.createClient()
    client.sync(new PouchDB('todos'), { remoteName: 'todos' })
    client.connect('%[1]s')

  Ctrl-C ends it.

`, bridgeURL, couchdbURL, kept)
}
