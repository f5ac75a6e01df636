package auth

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Over real connections: what the network and TLS do to a request.
func TestWebhookNetwork(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		grantJSON(w)
	}))
	t.Cleanup(other.Close)
	mux := http.NewServeMux()
	mux.HandleFunc("/grant", func(w http.ResponseWriter, _ *http.Request) { grantJSON(w) })
	mux.HandleFunc("/there", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/grant", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/here", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/grant", http.StatusPermanentRedirect)
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for range 10 << 10 {
			if _, err := io.WriteString(w, strings.Repeat(" ", 1<<10)); err != nil {
				return
			}
		}
		_, _ = io.WriteString(w, grantTodos)
	})
	mux.HandleFunc("/header", func(w http.ResponseWriter, _ *http.Request) {
		grantJSON(w, "X-Large", strings.Repeat("x", 100<<10))
	})
	mux.HandleFunc("/gzip", func(w http.ResponseWriter, _ *http.Request) { grantJSON(w, "Content-Encoding", "gzip") })
	plain := httptest.NewServer(mux)
	t.Cleanup(plain.Close)
	secure := httptest.NewUnstartedServer(mux)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	echo := echoServer(t)
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()

	for _, tt := range []struct {
		name, url string
		transport http.RoundTripper
		want      string // empty: granted
	}{
		{"http", plain.URL + "/grant", nil, ""},
		{"https", secure.URL + "/grant", secure.Client().Transport, ""},
		{"unknown authority", secure.URL + "/grant", nil, "certificate"},
		{"no TLS there", strings.Replace(plain.URL, "http:", "https:", 1) + "/grant", nil, "server gave HTTP response to HTTPS client"},
		{"TLS there", strings.Replace(secure.URL, "https:", "http:", 1) + "/grant", nil, "answered 400"},
		{"nobody there", "http://" + dead.Addr().String() + "/hook", nil, "connection refused"},
		{"no HTTP there", "http://" + echo + "/hook?key=k3y", nil, "no HTTP answer"},
		{"redirect to another host", plain.URL + "/there", nil, "answered 307: redirects are not followed"},
		{"redirect to the same host", plain.URL + "/here", nil, "answered 308: redirects are not followed"},
		{"10 MB", plain.URL + "/large", nil, "more than 65536 bytes"},
		{"header of 100 KB", plain.URL + "/header", nil, "no HTTP answer"},
		{"compressed unasked", plain.URL + "/gzip", nil, ""}, // the bytes count, which are plain here
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWebhook(t, WebhookOptions{URL: tt.url, Transport: tt.transport, Timeout: time.Minute})
			g, err := w.OnRequest(t.Context(), someone)
			if tt.want == "" {
				if err != nil || g.Database != "todos-7" {
					t.Fatalf("OnRequest = %+v, %v", g, err)
				}
				return
			}
			wantWebhookError(t, err, tt.want)
		})
	}
	t.Cleanup(func() {
		if n := elsewhere.Load(); n != 0 {
			t.Errorf("the host redirected to was asked %d times", n)
		}
	})
}

// echoServer says everything it is told.
func echoServer(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().String()
}
