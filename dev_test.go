package main

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

func TestDev(t *testing.T) {
	t.Parallel()
	p := start(t, "dev", map[string]string{"LISTEN": "127.0.0.1:0"})
	couchdb := p.listening["couchdb_url"].(string)
	if p.listening["policy"] != "open" || p.listening["couchdb"] != couchdb {
		t.Errorf("listening: %v", p.listening)
	}
	web := client(t, nil)
	if status, body := ask(t, web, couchdb+"/_up", ""); status != http.StatusOK || !strings.Contains(body, `"ok"`) {
		t.Errorf("CouchDB: %d %s", status, body)
	}
	if status, _ := ask(t, web, couchdb+"/_up", "evil.example.com"); status != http.StatusMisdirectedRequest {
		t.Errorf("CouchDB under the name of a page elsewhere: %d", status)
	}
	for origin, welcome := range map[string]bool{"": true, "http://localhost:5173": true, "http://127.0.0.1": true, "http://[::1]:8080": true, "https://example.com": false, "http://localhost.example.com": false} {
		ws, _, err := dial(t, web, p.listening["url"].(string), origin)
		if (err == nil) != welcome {
			t.Errorf("websocket from a page of %q: %v, welcome %t", origin, err, welcome)
		}
		if err == nil {
			_ = ws.CloseNow() // or the shutdown would wait for it
		}
	}
}

// Clients are told to come back, also those that are idle.
func TestDevClosesClients(t *testing.T) {
	t.Parallel()
	p := start(t, "dev", map[string]string{"LISTEN": "127.0.0.1:0"})
	ws, _, err := dial(t, client(t, nil), p.listening["url"].(string), "")
	if err != nil {
		t.Fatal(err)
	}
	ended := ending(t, ws)
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if code := <-ended; code != websocket.StatusGoingAway {
		t.Errorf("websocket ended with code %d, want 1001", code)
	}
}

// With a directory of its own dev finds again what it had.
func TestDevDirectory(t *testing.T) {
	t.Parallel()
	set := map[string]string{"LISTEN": "127.0.0.1:0", "DEV_DIR": t.TempDir()}
	web := client(t, nil)

	first := start(t, "dev", set)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, first.listening["couchdb_url"].(string)+"/todos", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := web.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		t.Fatalf("creating a database: %s", response.Status)
	}
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}

	second := start(t, "dev", set)
	if status, body := ask(t, web, second.listening["couchdb_url"].(string)+"/todos", ""); status != http.StatusOK {
		t.Errorf("the database after a restart: %d %s", status, body)
	}
}

func TestDevDirectoryUnusable(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	set := map[string]string{"LISTEN": "127.0.0.1:0", "DEV_DIR": file(t, "not a directory")}
	err := run(t.Context(), []string{"dev"}, environment(set), nil, &log, &log)
	if !strings.HasPrefix(err.Error(), "opening the databases of the command dev: ") || log.Len() > 0 {
		t.Errorf("dev in a file: %v, log %q", err, log.String())
	}
}

func TestWelcome(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	welcome(&b, "ws://127.0.0.1:3000", "http://127.0.0.1:5984", "")
	welcome(&b, "ws://127.0.0.1:3000", "http://127.0.0.1:5984", "/data")
	golden(t, "testdata/welcome.txt", b.String())
}

// failingWriter is a terminal that went away.
type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestOutputFails(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"help", "version"} {
		if err := run(t.Context(), []string{command}, environment(nil), nil, failingWriter{}, failingWriter{}); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: %v", command, err)
		}
	}
}

// TestDevAdmin wants dev's CouchDB to know whom it serves.
func TestDevAdmin(t *testing.T) {
	t.Parallel()
	p := start(t, "dev", map[string]string{"LISTEN": "127.0.0.1:0", "DEV_ADMIN": "root:s3cret", "LOG_LEVEL": "trace"})
	couchdb := p.listening["couchdb_url"].(string)
	web := client(t, nil)
	for user, want := range map[string]int{"": http.StatusUnauthorized, "root:wrong": http.StatusUnauthorized, "root:s3cret": http.StatusOK} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, couchdb+"/_all_dbs", nil)
		if err != nil {
			t.Fatal(err)
		}
		if name, password, ok := strings.Cut(user, ":"); ok {
			req.SetBasicAuth(name, password)
		}
		resp, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("as %q: %s, want %d", user, resp.Status, want)
		}
	}
	if log := p.log.String(); strings.Contains(log, "s3cret") {
		t.Errorf("the password is in the log: %s", log)
	}
	var out strings.Builder
	err := run(t.Context(), []string{"dev"}, environment(map[string]string{"LISTEN": "127.0.0.1:0", "DEV_ADMIN": "root"}), nil, &out, &out)
	if err == nil || !strings.Contains(err.Error(), "POUCHBRIDGE_DEV_ADMIN must be name:password") {
		t.Errorf("got %v", err)
	}
}
