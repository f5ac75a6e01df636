package auth

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// counting makes a Webhook whose endpoint answers what answer returns, and counts how often it is asked.
func counting(t *testing.T, o WebhookOptions, answer func(n int32) *http.Response) (*Webhook, *atomic.Int32) {
	t.Helper()
	var asked atomic.Int32
	o.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		_, _ = io.Copy(io.Discard, r.Body)
		return answer(asked.Add(1)), nil
	})
	return newWebhook(t, o), &asked
}

// What is kept, and for how long, as the answer says.
func TestWebhookKeeps(t *testing.T) {
	t.Parallel()
	const hour = "max-age=3600"
	expiring := func() *http.Response {
		return reply(200, fmt.Sprintf(`{"database":"todos-7","access":"read-only","expires":%d}`, time.Now().Unix()+10), "Cache-Control", hour)
	}
	for _, tt := range []struct {
		name   string
		maxAge time.Duration
		answer func() *http.Response
		want   time.Duration // how long it is used; 0: not again
	}{
		{"as long as it says", time.Hour, func() *http.Response { return reply(200, grantTodos, "Cache-Control", "max-age=30") }, 30 * time.Second},
		{"not longer than the option", time.Minute, func() *http.Response { return reply(200, grantTodos, "Cache-Control", hour) }, time.Minute},
		{"not without the option", 0, func() *http.Response { return reply(200, grantTodos, "Cache-Control", hour) }, 0},
		{"not unless it says so", time.Hour, func() *http.Response { return reply(200, grantTodos) }, 0},
		{"not when it says no", time.Hour, func() *http.Response { return reply(200, grantTodos, "Cache-Control", "no-store, max-age=60") }, 0},
		{"not past the grant's expiry", time.Hour, expiring, 10 * time.Second},
		{"no secret", time.Hour, func() *http.Response {
			return reply(200, `{"database":"a","access":"read-only","identity":{"bearer":"a.b.c"}}`, "Cache-Control", hour)
		}, 0},
		{"a refusal shortly", time.Hour, func() *http.Response { return reply(200, `{"refuse":{"code":"forbidden"}}`, "Cache-Control", hour) }, maxRefusalAge},
		{"a refusal by status shortly", time.Hour, func() *http.Response { return reply(401, ``, "Cache-Control", hour) }, maxRefusalAge},
		{"a refusal more shortly", time.Hour, func() *http.Response { return reply(403, ``, "Cache-Control", "max-age=2") }, 2 * time.Second},
		{"not a refusal unless it says so", time.Hour, func() *http.Response { return reply(403, ``) }, 0},
		{"an abstention shortly", time.Hour, func() *http.Response { return reply(200, `{"abstain":true}`, "Cache-Control", hour) }, maxRefusalAge},
		{"no failure", time.Hour, func() *http.Response { return reply(500, ``, "Cache-Control", hour) }, 0},
		{"no nonsense", time.Hour, func() *http.Response { return reply(200, `{}`, "Cache-Control", hour) }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, asked := counting(t, WebhookOptions{MaxAge: tt.maxAge}, func(int32) *http.Response { return tt.answer() })
				_, first := w.OnRequest(t.Context(), someone)
				if tt.want > 0 {
					time.Sleep(tt.want - time.Nanosecond)
					if _, err := w.OnRequest(t.Context(), someone); asked.Load() != 1 || fmt.Sprint(err) != fmt.Sprint(first) {
						t.Errorf("asked %d times until just before %s; %v, first %v", asked.Load(), tt.want, err, first)
					}
					time.Sleep(time.Nanosecond)
				}
				if _, err := w.OnRequest(t.Context(), someone); asked.Load() != 2 || fmt.Sprint(err) != fmt.Sprint(first) {
					t.Errorf("asked %d times after %s, want 2; %v, first %v", asked.Load(), tt.want, err, first)
				}
			})
		})
	}
}

// What is kept for one client is for no other, nor what is under way.
func TestWebhookKeepsApart(t *testing.T) {
	t.Parallel()
	base := Request{Database: "todos", Credentials: json.RawMessage(`{"token":"a"}`), RemoteAddr: netip.MustParseAddrPort("203.0.113.7:1"), Origin: "https://a"}
	with := func(change func(*Request)) Request {
		r := base
		change(&r)
		return r
	}
	for _, tt := range []struct {
		name  string
		other Request
		same  bool
	}{
		{"same", base, true},
		{"other port", with(func(r *Request) { r.RemoteAddr = netip.MustParseAddrPort("203.0.113.7:2") }), true},
		{"other cookie that is not passed on", with(func(r *Request) { r.Cookies = []*http.Cookie{{Name: "x", Value: "1"}} }), true},
		{"other credentials", with(func(r *Request) { r.Credentials = json.RawMessage(`{"token":"b"}`) }), false},
		{"other spelling of credentials", with(func(r *Request) { r.Credentials = json.RawMessage(`{"token": "a"}`) }), false},
		{"no credentials", with(func(r *Request) { r.Credentials = nil }), false},
		{"credentials null", with(func(r *Request) { r.Credentials = json.RawMessage(`null`) }), false},
		{"other database", with(func(r *Request) { r.Database = "todos2" }), false},
		{"other address", with(func(r *Request) { r.RemoteAddr = netip.MustParseAddrPort("203.0.113.8:1") }), false},
		{"other origin", with(func(r *Request) { r.Origin = "https://b" }), false},
		{"other dialect", with(func(r *Request) { r.Dialect = "v1" }), false},
		{"other encryption", with(func(r *Request) { r.TLS = true }), false},
		{"other header", with(func(r *Request) { r.Header = http.Header{"X-Tenant": {"a"}} }), false},
		{"other cookie", with(func(r *Request) { r.Cookies = []*http.Cookie{{Name: "sid", Value: "1"}} }), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				want := int32(2)
				if tt.same {
					want = 1
				}
				for name, maxAge := range map[string]time.Duration{"kept": time.Hour, "under way": 0} {
					w, asked := counting(t, WebhookOptions{MaxAge: maxAge, Cookies: []string{"sid"}}, func(int32) *http.Response {
						time.Sleep(time.Second)
						return reply(200, grantTodos, "Cache-Control", "max-age=60")
					})
					var wg sync.WaitGroup
					for i, r := range []Request{base, tt.other} {
						wg.Go(func() {
							if maxAge > 0 {
								time.Sleep(time.Duration(i) * 2 * time.Second) // when the first has been answered
							}
							if _, err := w.OnRequest(t.Context(), r); err != nil {
								t.Error(err)
							}
						})
					}
					wg.Wait()
					if asked.Load() != want {
						t.Errorf("%s: asked %d times, want %d", name, asked.Load(), want)
					}
				}
			})
		})
	}
}

// A grant that is asked about again is asked about, and what was kept of it is gone.
func TestWebhookRefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, asked := counting(t, WebhookOptions{MaxAge: time.Hour}, func(n int32) *http.Response {
			if n > 1 {
				return reply(403, `{"message":"dismissed"}`)
			}
			return reply(200, grantTodos, "Cache-Control", "max-age=60")
		})
		g, err := w.OnRequest(t.Context(), someone)
		if err != nil {
			t.Fatal(err)
		}
		again := someone
		again.Previous = &g
		for i, r := range []Request{again, again, someone} {
			if _, err := w.OnRequest(t.Context(), r); err == nil || err.Error() != "dismissed" || asked.Load() != int32(i+2) {
				t.Errorf("%v after %d requests", err, asked.Load())
			}
		}
	})
}

// A grant on its way while it is asked about again, or while everything is to be forgotten, is not kept.
func TestWebhookForgetUnderWay(t *testing.T) {
	t.Parallel()
	again := someone
	again.Previous = &Grant{Database: "todos-7", Access: ReadWrite}
	for name, forget := range map[string]func(t *testing.T, w *Webhook){
		"refresh": func(t *testing.T, w *Webhook) {
			if _, err := w.OnRequest(t.Context(), again); err != nil {
				t.Error(err)
			}
		},
		"Forget": func(_ *testing.T, w *Webhook) { w.Forget() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, asked := counting(t, WebhookOptions{MaxAge: time.Hour}, func(int32) *http.Response {
					time.Sleep(time.Second)
					return reply(200, grantTodos, "Cache-Control", "max-age=60")
				})
				var wg sync.WaitGroup
				wg.Go(func() {
					if _, err := w.OnRequest(t.Context(), someone); err != nil {
						t.Error(err)
					}
				})
				time.Sleep(time.Second / 2)
				forget(t, w)
				wg.Wait()
				before := asked.Load()
				if _, err := w.OnRequest(t.Context(), someone); err != nil || asked.Load() != before+1 {
					t.Errorf("asked %d times, then %d: %v", before, asked.Load(), err)
				}
				w.Forget() // what is kept by now
				if _, err := w.OnRequest(t.Context(), someone); err != nil || asked.Load() != before+2 {
					t.Errorf("asked %d times, then %d: %v", before, asked.Load(), err)
				}
			})
		})
	}
}

func TestWebhookCacheSize(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, asked := counting(t, WebhookOptions{MaxAge: time.Hour, CacheSize: 2}, func(int32) *http.Response {
			return reply(200, grantTodos, "Cache-Control", "max-age=60")
		})
		for i, tt := range []struct {
			database string
			asked    int32
		}{
			{"a", 1}, {"b", 2}, {"a", 2}, // b is the one not used for longest
			{"c", 3}, {"a", 3}, {"c", 3}, {"b", 4},
		} {
			if _, err := w.OnRequest(t.Context(), Request{Database: tt.database}); err != nil || asked.Load() != tt.asked {
				t.Errorf("step %d, %s: asked %d times, want %d; %v", i, tt.database, asked.Load(), tt.asked, err)
			}
		}
		if n, m := len(w.kept.entries), w.kept.recent.Len(); n != 2 || m != 2 {
			t.Errorf("%d and %d answers are kept, want 2", n, m)
		}
	})
}

// An endpoint that is down is left alone, and found again.
func TestWebhookBreaker(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]func() *http.Response{
		"502": func() *http.Response { return reply(502, ``) },
		"503": func() *http.Response { return reply(503, ``) },
		"silent": func() *http.Response {
			time.Sleep(time.Minute)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var up atomic.Bool
				var asked atomic.Int32
				w := newWebhook(t, WebhookOptions{BreakAfter: 3, BreakFor: 10 * time.Second, Timeout: time.Second, Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					asked.Add(1)
					if up.Load() {
						return reply(200, grantTodos), nil
					}
					answers := make(chan *http.Response, 1)
					go func() { answers <- down() }()
					select {
					case a := <-answers:
						return a, nil
					case <-r.Context().Done():
						return nil, r.Context().Err()
					}
				})})
				ask := func() error {
					_, err := w.OnRequest(t.Context(), someone)
					return err
				}
				for range 3 {
					wantWebhookError(t, ask(), "webhook app.example: ")
				}
				before, start := asked.Load(), time.Now()
				for range 5 {
					wantWebhookError(t, ask(), errBreakerOpen.Error())
				}
				if asked.Load() != before || time.Since(start) != 0 {
					t.Errorf("asked %d times more, for %s, when left alone", asked.Load()-before, time.Since(start))
				}
				time.Sleep(10 * time.Second)
				if err := ask(); err == nil || err.Error() == "webhook app.example: "+errBreakerOpen.Error() || asked.Load() == before {
					t.Errorf("nothing was let through to see: %v", err)
				}
				wantWebhookError(t, ask(), errBreakerOpen.Error())
				up.Store(true)
				time.Sleep(10 * time.Second)
				for range 3 {
					if err := ask(); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(2 * time.Minute) // until the silent have answered
			})
		})
	}
}

// Requests that wait in line when the endpoint fails are not sent there any more, and while one is finding out, the others do
// not wait for it.
func TestWebhookBreakerLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, asked := counting(t, WebhookOptions{MaxInFlight: 1, BreakAfter: 1, BreakFor: 10 * time.Second}, func(n int32) *http.Response {
			time.Sleep(time.Second)
			if n < 3 {
				return reply(503, ``)
			}
			return reply(200, grantTodos)
		})
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				_, err := w.OnRequest(t.Context(), Request{Database: fmt.Sprint(i)})
				wantWebhookError(t, err, "webhook app.example: ")
			})
		}
		wg.Wait()
		if asked.Load() != 2 { // the first in line, and once more
			t.Errorf("asked %d times, want 2", asked.Load())
		}
		time.Sleep(10 * time.Second)
		wg.Go(func() {
			if _, err := w.OnRequest(t.Context(), someone); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		start := time.Now()
		_, err := w.OnRequest(t.Context(), Request{Database: "other"})
		wantWebhookError(t, err, errBreakerOpen.Error())
		if time.Since(start) != 0 {
			t.Errorf("refused after %s", time.Since(start))
		}
		wg.Wait()
	})
}

// While it is open one call at a time is let through, however many ask.
func TestBreakerProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := breaker{threshold: 2, pause: time.Second}
		for _, step := range []struct {
			sleep   time.Duration
			allowed int // of three
			record  []bool
		}{
			{0, 3, []bool{false, true, false}}, // never two in a row
			{0, 3, []bool{false}},
			{0, 0, nil},
			{time.Second - 1, 0, nil},
			{1, 1, nil}, // which never reports
			{time.Second, 1, []bool{false}},
			{time.Second - 1, 0, nil},
			{1, 1, []bool{true}},
			{0, 3, []bool{false}},
			{0, 3, nil},
		} {
			time.Sleep(step.sleep)
			allowed := 0
			for range 3 {
				open := b.isOpen()
				if b.allow() {
					allowed++
				} else if !open {
					t.Error("isOpen and allow disagree")
				}
			}
			if allowed != step.allowed {
				t.Errorf("%+v: %d allowed", step, allowed)
			}
			for _, success := range step.record {
				b.record(success)
			}
		}
	})
}

// Answers that are merely bad do not open it: one client could shut the door for all.
func TestWebhookBreakerBadAnswers(t *testing.T) {
	t.Parallel()
	for _, answer := range []func() *http.Response{
		func() *http.Response { return reply(500, ``) },
		func() *http.Response { return reply(429, ``) },
		func() *http.Response { return reply(302, ``) },
		func() *http.Response { return reply(401, ``) },
		func() *http.Response { return reply(200, `{`) },
		func() *http.Response { return reply(200, `<p>`, "Content-Type", "text/html") },
	} {
		w, asked := counting(t, WebhookOptions{BreakAfter: 2}, func(int32) *http.Response { return answer() })
		for range 10 {
			if _, err := w.OnRequest(t.Context(), someone); err == nil {
				t.Error("granted")
			}
		}
		if asked.Load() != 10 {
			t.Errorf("asked %d times, want 10", asked.Load())
		}
	}
}
