package embedded

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirVariable); dir != "" {
		writeUntilKilled(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// server is a store with a client that fails the test on any fault.
type server struct {
	t     testing.TB
	store *Store
	user  string // "name:password", empty: anonymous
}

func newServer(t testing.TB, o Options) *server {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &server{t: t, store: s}
}

func (s *server) as(user string) *server { return &server{s.t, s.store, user} }

// do sends a request in process. headers are "Name: value".
func (s *server) do(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.send(method, path, strings.NewReader(body), headers...)
}

func (s *server) send(method, path string, body io.Reader, headers ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequest(method, path, body)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	if name, password, ok := strings.Cut(s.user, ":"); ok {
		r.SetBasicAuth(name, password)
	}
	w := httptest.NewRecorder()
	s.store.ServeHTTP(w, r)
	return w
}

// must sends a request that must be answered with the given status, and returns the body.
func (s *server) must(status int, method, path, body string, headers ...string) string {
	s.t.Helper()
	w := s.do(method, path, body, headers...)
	if w.Code != status {
		s.t.Fatalf("%s %s: status %d, want %d: %s", method, path, w.Code, status, w.Body)
	}
	return w.Body.String()
}

// wants sends a request whose answer must hold a text.
func (s *server) wants(text string, method, path, body string, headers ...string) {
	s.t.Helper()
	w := s.do(method, path, body, headers...)
	if !strings.Contains(w.Body.String(), text) {
		s.t.Errorf("%s %s: %d %s\nwant %s", method, path, w.Code, w.Body, text)
	}
}

// put writes a document and returns its revision.
func (s *server) put(path, body string) string {
	s.t.Helper()
	return revisionOf(s.must(http.StatusCreated, "PUT", path, body))
}

func revisionOf(answer string) string {
	_, rev, _ := strings.Cut(answer, `"rev":"`)
	rev, _, _ = strings.Cut(rev, `"`)
	return rev
}

func numbered(n int, format string) string {
	var b bytes.Buffer
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}
