package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a network in memory, on which time is virtual in a bubble: connections of a Transport to a Server.
type pipes struct {
	accept chan net.Conn
	done   chan struct{}
	once   sync.Once
	refuse atomic.Bool
	dials  atomic.Int32
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	p.dials.Add(1)
	if p.refuse.Load() {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	ours, theirs := net.Pipe()
	select {
	case p.accept <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// endpoint serves handler on pipes to a Webhook.
func endpoint(t *testing.T, o WebhookOptions, handler http.HandlerFunc) (*Webhook, *pipes) {
	t.Helper()
	p := &pipes{accept: make(chan net.Conn), done: make(chan struct{})}
	s := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan error, 1)
	go func() { served <- s.Serve(p) }()
	o.URL, o.AllowHTTP = "http://app.example/hook?key=k3y", true
	o.Transport = &http.Transport{DialContext: p.dial, DisableCompression: true}
	w := newWebhook(t, o)
	t.Cleanup(func() {
		_ = w.Close()
		if err := s.Shutdown(context.Background()); err != nil { // waits for handlers
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return w, p
}

func grantJSON(w http.ResponseWriter, header ...string) {
	w.Header().Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		w.Header().Set(header[i], header[i+1])
	}
	_, _ = io.WriteString(w, grantTodos)
}

var someone = Request{Database: "todos", Credentials: json.RawMessage(`{"password":"s3cret"}`)}

// wantWebhookError checks an error that is no refusal: what it says, and that it says no secret.
func wantWebhookError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !isFailure(err) || !strings.Contains(err.Error(), want) {
		t.Fatalf("error is %v, want %q", err, want)
	}
	for _, secret := range []string{"s3cret", "k3y", "/hook"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q is in the error: %v", secret, err)
		}
	}
}

// An endpoint that takes its time is given up on when the timeout says, however it goes about it.
func TestWebhookSlow(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"hangs": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		},
		"does not read": func(http.ResponseWriter, *http.Request) { time.Sleep(time.Minute) },
		"hangs after the header": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"drips": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, " ")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(100 * time.Millisecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, _ := endpoint(t, WebhookOptions{Timeout: 2 * time.Second}, handler)
				start := time.Now()
				_, err := w.OnRequest(t.Context(), someone)
				wantWebhookError(t, err, "webhook app.example: ")
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 2*time.Second {
					t.Errorf("after %s: %v", time.Since(start), err)
				}
			})
		})
	}
}

// A client that leaves does not wait; the endpoint is not bothered again for those who still do.
func TestWebhookClientLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		w, _ := endpoint(t, WebhookOptions{}, func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			time.Sleep(time.Second)
			grantJSON(w)
		})
		leaving, leave := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer leave()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := w.OnRequest(leaving, someone)
			wantWebhookError(t, err, "has not answered: context deadline exceeded")
		})
		for range 5 {
			wg.Go(func() {
				time.Sleep(500 * time.Millisecond)
				if g, err := w.OnRequest(t.Context(), someone); err != nil || g.Database != "todos-7" {
					t.Errorf("OnRequest = %+v, %v", g, err)
				}
			})
		}
		start := time.Now()
		wg.Wait()
		if n := asked.Load(); n != 1 || time.Since(start) != time.Second {
			t.Errorf("asked %d times in %s, want once in 1s", n, time.Since(start))
		}
	})
}

func TestWebhookRepeats(t *testing.T) {
	t.Parallel()
	status := func(n int) func(http.ResponseWriter) { return func(w http.ResponseWriter) { w.WriteHeader(n) } }
	abort := func(http.ResponseWriter) { panic(http.ErrAbortHandler) }
	grant := func(w http.ResponseWriter) { grantJSON(w) }
	for _, tt := range []struct {
		name    string
		answers []func(http.ResponseWriter)
		err     string // empty: granted
	}{
		{"not after a grant", []func(http.ResponseWriter){grant}, ""},
		{"502", []func(http.ResponseWriter){status(502), grant}, ""},
		{"503", []func(http.ResponseWriter){status(503), grant}, ""},
		{"504", []func(http.ResponseWriter){status(504), grant}, ""},
		{"503 once only", []func(http.ResponseWriter){status(503), status(503)}, "answered 503"},
		{"not 500", []func(http.ResponseWriter){status(500)}, "answered 500"},
		{"not 429", []func(http.ResponseWriter){status(429)}, "answered 429"},
		{"not when it was cut off", []func(http.ResponseWriter){abort}, "EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Int32
				w, _ := endpoint(t, WebhookOptions{}, func(w http.ResponseWriter, r *http.Request) {
					n := int(asked.Add(1))
					if body, _ := io.ReadAll(r.Body); !strings.Contains(string(body), "s3cret") || n > len(tt.answers) {
						t.Errorf("request %d with the body %s", n, body)
						return
					}
					tt.answers[n-1](w)
				})
				_, err := w.OnRequest(t.Context(), someone)
				if tt.err != "" {
					wantWebhookError(t, err, tt.err)
				} else if err != nil {
					t.Error(err)
				}
				if n := int(asked.Load()); n != len(tt.answers) {
					t.Errorf("asked %d times, want %d", n, len(tt.answers))
				}
			})
		})
	}
}

// A connection that cannot be made is tried again once, and the wait for it ends with the timeout.
func TestWebhookRefusedConnection(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		timeout time.Duration
		dials   int32
		took    time.Duration
	}{
		{time.Second, 2, webhookRepeat},
		{webhookRepeat / 2, 1, webhookRepeat / 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			w, p := endpoint(t, WebhookOptions{Timeout: tt.timeout}, func(w http.ResponseWriter, _ *http.Request) { grantJSON(w) })
			p.refuse.Store(true)
			start := time.Now()
			_, err := w.OnRequest(t.Context(), someone)
			wantWebhookError(t, err, "connection refused")
			if n := p.dials.Load(); n != tt.dials || time.Since(start) != tt.took {
				t.Errorf("%d connections in %s, want %d in %s", n, time.Since(start), tt.dials, tt.took)
			}
		})
	}
}

// A kept connection that the endpoint closes just when it is used again costs nobody a refusal.
func TestWebhookStaleConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked, aborted atomic.Int32
		w, p := endpoint(t, WebhookOptions{}, func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) == 2 {
				aborted.Add(1)
				panic(http.ErrAbortHandler) // closes the connection, as an idle timeout would
			}
			grantJSON(w)
		})
		for range 3 {
			if _, err := w.OnRequest(t.Context(), someone); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if asked.Load() != 4 || aborted.Load() != 1 || p.dials.Load() != 2 {
			t.Errorf("asked %d times over %d connections", asked.Load(), p.dials.Load())
		}
	})
}

// Never more requests than allowed are under way, and those beyond wait for their turn as long as the timeout says.
func TestWebhookInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, most := 0, 0
		count := func(by int) {
			mu.Lock()
			defer mu.Unlock()
			now += by
			most = max(most, now)
		}
		w, _ := endpoint(t, WebhookOptions{MaxInFlight: 3, Timeout: 2500 * time.Millisecond}, func(w http.ResponseWriter, _ *http.Request) {
			count(1)
			time.Sleep(time.Second)
			count(-1)
			grantJSON(w)
		})
		var granted, timedOut atomic.Int32
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				_, err := w.OnRequest(t.Context(), Request{Database: fmt.Sprint(i)})
				switch {
				case err == nil:
					granted.Add(1)
				case errors.Is(err, context.DeadlineExceeded):
					timedOut.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		mu.Lock()
		defer mu.Unlock()
		if granted.Load() != 6 || timedOut.Load() != 4 || most != 3 {
			t.Errorf("%d granted and %d timed out, with at most %d under way; want 6, 4, 3", granted.Load(), timedOut.Load(), most)
		}
	})
}

// Requests whose clients have left wait within bounds.
func TestWebhookPendingBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWebhook(t, WebhookOptions{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})})
		gone, leave := context.WithCancel(t.Context())
		leave()
		for i := range maxPending {
			_, err := w.OnRequest(gone, Request{Database: fmt.Sprint(i)})
			wantWebhookError(t, err, "context canceled")
		}
		_, err := w.OnRequest(t.Context(), someone)
		wantWebhookError(t, err, "1024 requests have not been answered")
		time.Sleep(time.Minute) // all have timed out, and the endpoint is no longer left alone
		_, err = w.OnRequest(t.Context(), someone)
		wantWebhookError(t, err, "no answer in time")
	})
}

func TestWebhookClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, _ := endpoint(t, WebhookOptions{Timeout: time.Hour, MaxInFlight: 1}, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		})
		var wg sync.WaitGroup
		for i := range 2 { // one under way, one waiting
			wg.Go(func() {
				_, err := w.OnRequest(t.Context(), Request{Database: fmt.Sprint(i)})
				wantWebhookError(t, err, "webhook app.example: ")
			})
		}
		synctest.Wait()
		start := time.Now()
		if err := w.Close(); err != nil || time.Since(start) != 0 {
			t.Errorf("Close: %v after %s", err, time.Since(start))
		}
		wg.Wait()
		_, err := w.OnRequest(t.Context(), someone)
		wantWebhookError(t, err, "webhook policy is closed")
	})
}

// A Transport that panics refuses the request, and nothing else.
func TestWebhookTransportPanics(t *testing.T) {
	t.Parallel()
	w := newWebhook(t, WebhookOptions{Transport: roundTrip(func(*http.Request) (*http.Response, error) { panic("boom") })})
	for range 2 {
		_, err := w.OnRequest(t.Context(), someone)
		wantWebhookError(t, err, "panicked: boom")
	}
}
