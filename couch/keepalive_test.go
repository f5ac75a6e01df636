package couch

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestKeepAlive counts connections over every kind of call, read to the end and not.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		body := `{"results":[{"seq":1,"id":"a","changes":[]}],"last_seq":1}`
		switch {
		case strings.HasSuffix(r.URL.Path, "_all_docs"):
			body = `{"rows":[{"id":"a","key":"a","value":{"rev":"1-a"}}]}`
		case strings.HasSuffix(r.URL.Path, "_bulk_get"):
			body = `{"results":[{"id":"a","docs":[{"ok":{"_id":"a"}}]}]}`
		case strings.HasSuffix(r.URL.Path, "_bulk_docs"):
			body = "[]"
		case strings.HasSuffix(r.URL.Path, "none"):
			w.WriteHeader(http.StatusNotFound)
			body = `{"error":"not_found","reason":"missing"}`
		}
		_, _ = io.WriteString(w, body)
		w.(http.Flusher).Flush()
		time.Sleep(time.Millisecond) // CouchDB's newline comes in a chunk of its own
		_, _ = io.WriteString(w, "\n")
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	c, err := New(server.URL, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	d := mustDatabase(t, c, "db")
	for i := range 50 {
		for what, err := range keepAliveCalls(t.Context(), d, i%2 == 0) {
			if err != nil && err != io.EOF && !IsNotFound(err) {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestKeepAliveUnderLoad makes as many calls at a time as there may be, again and again, and counts connections.
func TestKeepAliveUnderLoad(t *testing.T) {
	t.Parallel()
	const calls, rounds = 128, 5
	var connections atomic.Int32
	var arrived sync.WaitGroup // of a round
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived.Done()
		arrived.Wait()
		_, _ = io.WriteString(w, "{}")
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	c, err := New(server.URL, Options{MaxConcurrency: calls})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for range rounds {
		arrived.Add(calls)
		var all sync.WaitGroup
		for range calls {
			all.Go(func() {
				if err := c.Up(t.Context()); err != nil { // which needs no place
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	if n := connections.Load(); n != calls {
		t.Errorf("%d connections for %d calls at a time", n, calls)
	}
}

func keepAliveCalls(ctx context.Context, d *Database, toTheEnd bool) map[string]error {
	got := map[string]error{}
	_, got["get"] = d.Get(ctx, "none", GetOptions{})
	_, got["info"] = d.Info(ctx)
	_, got["docs"] = d.BulkDocs(ctx, []value{value("{}")}, false)
	_, got["server"] = d.client.Server(ctx)
	changes, err := d.Changes(ctx, ChangesOptions{})
	for err == nil {
		if _, err = changes.Next(); !toTheEnd {
			break
		}
	}
	_ = changes.Close()
	got["changes"] = err
	docs, err := d.BulkGet(ctx, []DocRef{{ID: "a"}}, BulkGetOptions{})
	for err == nil {
		if _, err = docs.Next(); !toTheEnd {
			break
		}
	}
	_ = docs.Close()
	got["bulk get"] = err
	all, err := d.AllDocs(ctx, AllDocsOptions{})
	for err == nil {
		if _, err = all.Next(); !toTheEnd {
			break
		}
	}
	_ = all.Close()
	got["all docs"] = err
	return got
}

// TestDeadConnection has a server that closes every connection after one answer without saying so: what may be repeated is,
// what may not be is not.
func TestDeadConnection(t *testing.T) {
	t.Parallel()
	var posts atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if n := posts.Add(1); n%2 == 0 { // the second request of a connection: taken, never answered
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.Close()
			return
		}
		if string(body) == "" && r.Method == http.MethodPost {
			t.Error("a repetition without its body")
		}
		_, _ = io.WriteString(w, `[]`)
	}))
	t.Cleanup(server.Close)
	c, err := New(server.URL, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	d := mustDatabase(t, c, "db")
	docs := []value{value(`{"_id":"a"}`), value(`{"_id":"b"}`)}
	for range 6 {
		if _, err := d.BulkDocs(t.Context(), docs, false); err != nil {
			t.Fatal(err)
		}
	}
	posts.Store(0)
	if _, err := d.BulkDocs(t.Context(), docs, true); err != nil {
		t.Fatal(err)
	}
	if _, err := d.BulkDocs(t.Context(), docs, true); !Transient(err) || posts.Load() != 2 {
		t.Errorf("a write was repeated: %v, %d requests", err, posts.Load())
	}
}
