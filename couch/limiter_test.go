package couch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// crowd is a CouchDB in memory that answers every call after a time, and counts those it has at a time.
type crowd struct {
	mu      sync.Mutex
	now     int
	most    int
	asked   []time.Time
	answer  func(r *http.Request) (status int, header http.Header, body io.Reader)
	service time.Duration
}

func (c *crowd) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.now++
	c.most = max(c.most, c.now)
	c.asked = append(c.asked, time.Now())
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.now--
		c.mu.Unlock()
	}()
	select {
	case <-time.After(c.service):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	status, header, body := http.StatusOK, http.Header{}, io.Reader(strings.NewReader("{}"))
	if c.answer != nil {
		status, header, body = c.answer(r)
	}
	return &http.Response{StatusCode: status, Header: header, ContentLength: -1, Request: r, Proto: "HTTP/1.1", ProtoMajor: 1,
		ProtoMinor: 1, Body: io.NopCloser(body)}, nil
}

func (c *crowd) client(t testing.TB, o Options) *Client {
	return clientOf(t, c, o)
}

func clientOf(t testing.TB, transport http.RoundTripper, o Options) *Client {
	o.HTTPClient = &http.Client{Transport: transport}
	c, err := New("http://couch.test", o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCallsWaitForTheirTurn has one database handle with a thousand calls, and a hundred with one each that come later.
func TestCallsWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const most, service = 10, 10 * time.Millisecond
		up := &crowd{service: service}
		c := up.client(t, Options{MaxConcurrency: most})
		call := func(d *Database, all *sync.WaitGroup) {
			all.Go(func() {
				if _, err := d.Info(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		var all, late sync.WaitGroup
		busy := mustDatabase(t, c, "db")
		for range 1000 {
			call(busy, &all)
		}
		time.Sleep(service/2 + 5*service) // half way through the sixth round
		if l := c.Load(); l.Limit != most || l.InFlight != most || l.Waiting != 1000-6*most {
			t.Errorf("%+v", l)
		}
		start := time.Now()
		view, err := c.As(Bearer("a"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			from := c
			if i%2 == 0 {
				from = view // other identities have the same limiter
			}
			call(mustDatabase(t, from, "db"), &late)
		}
		late.Wait()
		if d := time.Since(start); d > 12*service {
			t.Errorf("the late-comers waited for %v", d)
		}
		all.Wait()
		if up.most != most || c.Load() != (Load{Limit: most}) {
			t.Errorf("%d calls at a time; %+v", up.most, c.Load())
		}
	})
}

// TestPlaceEnds counts the calls under way after each way that a call can end, or go on without a place.
func TestPlaceEnds(t *testing.T) {
	t.Parallel()
	rows := "{\"results\":[\n{\"seq\":1,\"id\":\"a\",\"changes\":[]}\n],\"last_seq\":1}"
	for name, test := range map[string]struct {
		status int
		body   string
		do     func(ctx context.Context, d *Database) io.Closer
		want   int
	}{
		"read to its end":    {200, "{}", func(ctx context.Context, d *Database) io.Closer { _, _ = d.Info(ctx); return nil }, 0},
		"refused":            {404, "{}", func(ctx context.Context, d *Database) io.Closer { _, _ = d.Info(ctx); return nil }, 0},
		"not JSON":           {200, "<", func(ctx context.Context, d *Database) io.Closer { _, _ = d.Info(ctx); return nil }, 0},
		"the server's":       {200, "{}", func(ctx context.Context, d *Database) io.Closer { _, _ = d.client.Server(ctx); return nil }, 0},
		"the server's error": {500, "{}", func(ctx context.Context, d *Database) io.Closer { _, _ = d.client.Server(ctx); return nil }, 0},
		"refused before it was sent": {200, "{}", func(ctx context.Context, d *Database) io.Closer {
			_, _ = d.Get(ctx, "", GetOptions{})
			return nil
		}, 0},
		"not read yet": {200, rows, func(ctx context.Context, d *Database) io.Closer {
			c, _ := d.Changes(ctx, ChangesOptions{})
			return c
		}, 1},
		"rows read to their end": {200, rows, func(ctx context.Context, d *Database) io.Closer {
			c, _ := d.Changes(ctx, ChangesOptions{})
			for range 2 {
				_, _ = c.Next()
			}
			return nil
		}, 0},
		"an attachment read to its end": {200, rows, func(ctx context.Context, d *Database) io.Closer {
			a, _ := d.Attachment(ctx, "a", "b", AttachmentOptions{})
			_, _ = io.Copy(io.Discard, a.Body)
			return a.Body
		}, 0},
		"a cut answer": {200, rows[:30], func(ctx context.Context, d *Database) io.Closer {
			c, _ := d.Changes(ctx, ChangesOptions{})
			_, _ = c.Next()
			return nil
		}, 0},
		"closed twice": {200, rows, func(ctx context.Context, d *Database) io.Closer {
			c, _ := d.Changes(ctx, ChangesOptions{})
			_ = c.Close()
			return c
		}, 0},
		"left lying": {200, rows, func(ctx context.Context, d *Database) io.Closer {
			c, _ := d.Changes(ctx, ChangesOptions{})
			time.Sleep(dawdle + 1)
			synctest.Wait()
			return c
		}, 0},
		"a live feed": {200, rows, func(ctx context.Context, d *Database) io.Closer {
			c, _ := d.Changes(ctx, ChangesOptions{Feed: Continuous})
			return c
		}, 0},
		"a long poll": {200, rows, func(ctx context.Context, d *Database) io.Closer {
			c, _ := d.Changes(ctx, ChangesOptions{Feed: Longpoll})
			return c
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				up := &crowd{answer: func(*http.Request) (int, http.Header, io.Reader) {
					return test.status, http.Header{}, strings.NewReader(test.body)
				}}
				c := up.client(t, Options{})
				left := test.do(t.Context(), mustDatabase(t, c, "db"))
				if got := c.Load().InFlight; got != test.want {
					t.Errorf("%d under way, want %d", got, test.want)
				}
				if left != nil {
					_ = left.Close()
				}
				if got := c.Load(); got.InFlight != 0 {
					t.Errorf("%d under way at the end", got.InFlight)
				}
			})
		})
	}
}

// TestForgo has a call that is given up in the moment in which it gets its place.
func TestForgo(t *testing.T) {
	t.Parallel()
	l := newLimiter(1)
	first, err := l.enter(t.Context(), nil, "GET test", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	second, third := l.ask(nil), l.ask(nil)
	first.leave()
	<-second.admitted
	l.forgo(second)
	<-third.admitted
	l.forgo(third)
	if got := l.load(); got != (Load{Limit: 1}) {
		t.Errorf("%+v", got)
	}
}

// TestWaitingEnds has one call that takes for ever, and others that wait for it in vain.
func TestWaitingEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		up := &crowd{service: time.Hour}
		c := up.client(t, Options{MaxConcurrency: 1, Timeout: time.Minute})
		d := mustDatabase(t, c, "db")
		start := time.Now()
		var all sync.WaitGroup
		all.Go(func() {
			// The watchdog of a call starts when it is sent: this one is sent at once.
			if _, err := d.Info(t.Context()); !errors.Is(err, errSilent) || time.Since(start) != time.Minute {
				t.Errorf("%v after %v", err, time.Since(start))
			}
		})
		synctest.Wait()
		all.Go(func() {
			ctx, cancel := context.WithCancelCause(t.Context())
			cause := errors.New("the grant expired")
			time.AfterFunc(time.Second, func() { cancel(cause) })
			_, err := d.Info(ctx)
			var e *Error
			if !errors.Is(err, context.Canceled) || !errors.Is(err, cause) || errors.As(err, &e) || time.Since(start) != time.Second {
				t.Errorf("%v after %v", err, time.Since(start))
			}
		})
		all.Go(func() {
			if err := c.Up(t.Context()); !errors.Is(err, errSilent) || time.Since(start) != time.Minute {
				t.Errorf("Up waited for others: %v after %v", err, time.Since(start))
			}
		})
		time.Sleep(time.Second)
		all.Go(func() { // sent when the first ends, and silent from then on
			if _, err := d.Info(t.Context()); !errors.Is(err, errSilent) || time.Since(start) != 2*time.Minute {
				t.Errorf("%v after %v", err, time.Since(start))
			}
		})
		synctest.Wait()
		all.Go(func() {
			_, err := d.RevsDiff(t.Context(), value("{}"))
			if !errors.Is(err, errCrowded) || !Transient(err) || time.Since(start) != time.Minute+time.Second ||
				err.Error() != "couch: POST _revs_diff: too many calls are under way, and no place came free in time" {
				t.Errorf("%v after %v", err, time.Since(start))
			}
		})
		all.Wait()
		if got := c.Load(); got != (Load{Limit: 1}) {
			t.Errorf("%+v", got)
		}
		if n := len(up.asked); n != 3 {
			t.Errorf("%d calls were sent", n)
		}
	})
}

// TestRest has a server that refuses one call of many. Nothing is sent until its time is over, and then not all at once.
func TestRest(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status     int
		retryAfter string
		least, max time.Duration // until the next call is sent
	}{
		{503, "5", 5 * time.Second, 5500 * time.Millisecond},
		{429, "5", 5 * time.Second, 5500 * time.Millisecond},
		{503, "100000", longestRest, longestRest + longestRest/10},
		{503, "", 0, 0},
		{500, "5", 0, 0},
		{404, "5", 0, 0},
	} {
		t.Run(fmt.Sprint(test.status, " ", test.retryAfter), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				status := test.status
				up := &crowd{answer: func(*http.Request) (int, http.Header, io.Reader) {
					h := http.Header{}
					if status != http.StatusOK && test.retryAfter != "" {
						h.Set("Retry-After", test.retryAfter)
					}
					return status, h, strings.NewReader("{}")
				}}
				c := up.client(t, Options{})
				if _, err := mustDatabase(t, c, "db").Info(t.Context()); err == nil {
					t.Fatal("the call was not refused")
				}
				status = http.StatusOK
				start := time.Now()
				var all sync.WaitGroup
				for i := range 20 {
					all.Go(func() {
						d := mustDatabase(t, c, "db")
						if i%4 == 0 {
							f, err := d.Changes(t.Context(), ChangesOptions{Feed: Continuous})
							if err != nil {
								t.Error(err)
								return
							}
							_ = f.Close()
						} else if _, err := d.Info(t.Context()); err != nil {
							t.Error(err)
						}
					})
				}
				if err := c.Up(t.Context()); err != nil || time.Since(start) != 0 {
					t.Errorf("Up: %v after %v", err, time.Since(start))
				}
				all.Wait()
				first := up.asked[2].Sub(start)
				if first < test.least || first > test.max {
					t.Errorf("the next call was sent after %v, want %v to %v", first, test.least, test.max)
				}
				last := up.asked[len(up.asked)-1].Sub(up.asked[2])
				if spread := test.max > 0; spread != (last > restRamp/10) || last > 2*restRamp {
					t.Errorf("20 calls were sent within %v", last)
				}
				if (c.Load().Limit < startPlaces) != (test.status == 503 || test.status == 429) {
					t.Errorf("%+v after a %d", c.Load(), test.status)
				}
			})
		})
	}
}

// TestPlacesAreKept makes random calls that end in every way, at random times, and looks whether all places come back.
func TestPlacesAreKept(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		type call struct {
			Flow, Start, Service, Cancel, Lie int
			Status                            int
			Feed                              bool
		}
		calls := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) call {
			n := func(name string, most int) int { return rapid.IntRange(0, most).Draw(r, name) }
			return call{n("flow", 3), n("start", 3000), n("service", 2000), n("cancel", 4000), n("lie", 2000),
				rapid.SampledFrom([]int{0, 200, 200, 200, 404, 429, 503}).Draw(r, "status"), rapid.Bool().Draw(r, "feed")}
		}), 1, 40).Draw(r, "calls")
		most := rapid.IntRange(1, 4).Draw(r, "most")
		wrong := make(chan string, 1000)
		synctest.Test(t, func(t *testing.T) {
			var c *Client
			transport := roundTripper(func(req *http.Request) (*http.Response, error) {
				call := calls[len(req.URL.Query().Get("since"))]
				if l := c.Load(); l.InFlight > most || l.InFlight < 1 || l.Limit > most {
					wrong <- fmt.Sprintf("%+v of %d", l, most)
				}
				select {
				case <-time.After(time.Duration(call.Service) * time.Millisecond):
				case <-req.Context().Done():
					return nil, req.Context().Err()
				}
				if call.Status == 0 {
					return nil, errors.New("connection refused")
				}
				return &http.Response{StatusCode: call.Status, Header: http.Header{"Retry-After": {"1"}}, ContentLength: -1, Request: req,
					Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: io.NopCloser(strings.NewReader(`{"results":[],"last_seq":1}`))}, nil
			})
			c = clientOf(t, transport, Options{MaxConcurrency: most, Timeout: 3 * time.Second})
			flows := make([]*Database, 4)
			for i := range flows {
				flows[i] = mustDatabase(t, c, "db")
			}
			var all sync.WaitGroup
			for i, call := range calls {
				all.Go(func() {
					time.Sleep(time.Duration(call.Start) * time.Millisecond)
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(call.Cancel)*time.Millisecond)
					defer cancel()
					o := ChangesOptions{Since: strings.Repeat("x", i)}
					if call.Feed {
						o.Feed = Longpoll
					}
					rows, err := flows[call.Flow].Changes(ctx, o)
					if err != nil {
						return
					}
					defer rows.Close()
					time.Sleep(time.Duration(call.Lie) * time.Millisecond)
					_, _ = rows.Next()
				})
			}
			all.Wait()
			time.Sleep(time.Minute)
			synctest.Wait()
			if l := c.Load(); l.InFlight != 0 || l.Waiting != 0 || c.limiter.timer != nil || c.limiter.queue.turn != nil {
				wrong <- fmt.Sprintf("%+v at the end", l)
			}
		})
		for len(wrong) > 0 {
			r.Error(<-wrong)
		}
	})
}

func TestObserve(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		up := &crowd{service: time.Second, answer: func(r *http.Request) (int, http.Header, io.Reader) {
			status := http.StatusOK
			if strings.HasSuffix(r.URL.Path, "/none") {
				status = http.StatusNotFound
			}
			return status, http.Header{}, strings.NewReader("{}")
		}}
		c := up.client(t, Options{MaxConcurrency: 1, Timeout: 10 * time.Second})
		var got []string
		c.Observe(func(call Call) { got = append(got, fmt.Sprint(call)) })
		view, err := c.As(Bearer("a"))
		if err != nil {
			t.Fatal(err)
		}
		d := mustDatabase(t, view, "db")
		_, _ = d.Info(t.Context())
		_, _ = d.GetLocal(t.Context(), "none")
		_, _ = c.Server(t.Context())
		_ = c.Up(t.Context())
		short, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		_, _ = d.Info(short)
		_, _ = d.Info(short)     // not sent
		up.service = time.Minute // longer than the timeout
		_, _ = d.Info(t.Context())
		want := "[{database 200 false 1s} {_local 404 false 1s} {/ 200 false 1s} {_up 200 false 1s} {database 0 true 500ms} {database 0 false 10s}]"
		if fmt.Sprint(got) != want {
			t.Errorf("told %v\nwant %s", got, want)
		}
	})
}
