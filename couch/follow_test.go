package couch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// upstream is a CouchDB in memory for tests in virtual time: every request is answered by the next script, which writes a feed
// piece by piece.
type upstream struct {
	t       *testing.T
	mu      sync.Mutex
	scripts []script
	asked   []url.Values
	at      []time.Time
	calls   []context.Context
	open    int
}

// script answers one request. Pieces are written one after another; after the last the answer ends, or hangs.
type script struct {
	status     int // 0: no connection
	retryAfter string
	pieces     []piece
	hang       bool // silent for ever after the last piece
	cut        bool // broken off after the last piece
}

type piece struct {
	after time.Duration
	text  string
}

func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked = append(u.asked, r.URL.Query())
	u.at = append(u.at, time.Now())
	u.calls = append(u.calls, r.Context())
	if len(u.scripts) == 0 {
		return nil, errors.New("connection refused")
	}
	s := u.scripts[0]
	u.scripts = u.scripts[1:]
	if s.status == 0 {
		return nil, errors.New("connection refused")
	}
	u.open++
	header := http.Header{"Content-Type": {"application/json"}}
	if s.retryAfter != "" {
		header.Set("Retry-After", s.retryAfter)
	}
	return &http.Response{StatusCode: s.status, Header: header, ContentLength: -1, Request: r, Proto: "HTTP/1.1",
		ProtoMajor: 1, ProtoMinor: 1, Body: &scriptBody{script: s, ctx: r.Context(), up: u}}, nil
}

func (u *upstream) sinces() (got []string) {
	for _, q := range u.asked {
		got = append(got, q.Get("since"))
	}
	return got
}

// scriptBody is read by one goroutine, and ends with its request's context, as bodies of net/http do.
type scriptBody struct {
	script
	ctx    context.Context
	up     *upstream
	closed bool
}

func (b *scriptBody) Read(p []byte) (int, error) {
	if b.ctx.Err() != nil {
		return 0, b.ctx.Err()
	}
	for len(b.pieces) > 0 && b.pieces[0].text == "" {
		b.pieces = b.pieces[1:]
	}
	if len(b.pieces) == 0 {
		switch {
		case b.hang:
			<-b.ctx.Done()
			return 0, b.ctx.Err()
		case b.cut:
			return 0, io.ErrUnexpectedEOF
		}
		return 0, io.EOF
	}
	if d := b.pieces[0].after; d > 0 {
		b.pieces[0].after = 0
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-b.ctx.Done():
			return 0, b.ctx.Err()
		}
	}
	n := copy(p, b.pieces[0].text)
	b.pieces[0].text = b.pieces[0].text[n:]
	return n, nil
}

func (b *scriptBody) Close() error {
	if !b.closed {
		b.closed = true
		b.up.mu.Lock()
		b.up.open--
		b.up.mu.Unlock()
	}
	return nil
}

func (u *upstream) database(o Options) *Database {
	o.HTTPClient = &http.Client{Transport: u}
	c, err := New("http://couch.test", o)
	if err != nil {
		u.t.Fatal(err)
	}
	return mustDatabase(u.t, c, "db")
}

// follow runs Follow and returns the ids it saw. When it returns, every answer must have been closed.
func (u *upstream) follow(ctx context.Context, since string, giveUp time.Duration, stopAt string) (ids []string, err error) {
	err = u.database(Options{}).Follow(ctx, ChangesOptions{Since: since}, giveUp, func(row Change) error {
		ids = append(ids, row.ID())
		if row.ID() == stopAt {
			return errStop
		}
		return nil
	})
	if u.open != 0 {
		u.t.Errorf("%d answers were left open", u.open)
	}
	for i, call := range u.calls {
		if call.Err() == nil {
			u.t.Errorf("the context of request %d was left open", i)
		}
	}
	return ids, err
}

var errStop = errors.New("stop")

func row(n int) string {
	return fmt.Sprintf(`{"seq":"%d-x","id":"d%d","changes":[{"rev":"1-a"}]}`+"\n", n, n)
}

func TestFollowSilentFeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{t: t, scripts: []script{
			{status: 200, pieces: []piece{{0, row(1)}, {29 * time.Second, "\n"}, {29 * time.Second, row(2)}}, hang: true},
			{status: 200, pieces: []piece{{0, row(3)}}, hang: true},
		}}
		start := time.Now()
		ids, err := u.follow(t.Context(), "0-x", time.Hour, "d3")
		if err != errStop || !slices.Equal(ids, []string{"d1", "d2", "d3"}) || !slices.Equal(u.sinces(), []string{"0-x", "2-x"}) {
			t.Errorf("%q, %v, since %q", ids, err, u.sinces())
		}
		// 58 s of a slow feed, 3 heartbeats of 10 s, and the first pause.
		if d := u.at[1].Sub(start) - 88*time.Second; d < 125*time.Millisecond || d > 375*time.Millisecond {
			t.Errorf("asked again after %v", u.at[1].Sub(start))
		}
		if q := u.asked[0]; q.Get("feed") != "continuous" || q.Get("heartbeat") != "10000" || q.Has("timeout") || q.Has("limit") {
			t.Errorf("asked for %v", q)
		}
	})
}

// TestFollowLosesNothing cuts feeds in every way: in the middle of a row, between rows, cleanly, with an error in the stream,
// with a gateway's error, and with rows that have no sequence of their own.
func TestFollowLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{t: t, scripts: []script{
			{status: 200, pieces: []piece{{0, row(1) + row(2)[:20]}}, cut: true},
			{status: 200, pieces: []piece{{0, row(2)}}, cut: true},
			{status: 200, pieces: []piece{{0, row(3) + `{"seq":null,"id":"d4","changes":[]}` + "\n"}}},
			{status: 200, pieces: []piece{{0, `{"seq":null,"id":"d4","changes":[]}` + "\n" + `{"last_seq":"4-x","pending":0}` + "\n"}}},
			{status: 200, pieces: []piece{{0, row(5) + `{"error":"timeout","reason":"shards"}` + "\n"}}},
			{status: 502},
			{},
			{status: 200, pieces: []piece{{0, row(6)}}, hang: true},
		}}
		ids, err := u.follow(t.Context(), "", time.Hour, "d6")
		if want := []string{"d1", "d2", "d3", "d4", "d4", "d5", "d6"}; err != errStop || !slices.Equal(ids, want) {
			t.Errorf("%q, %v", ids, err)
		}
		if want := []string{"", "1-x", "2-x", "3-x", "4-x", "5-x", "5-x", "5-x"}; !slices.Equal(u.sinces(), want) {
			t.Errorf("since %q", u.sinces())
		}
	})
}

func TestFollowGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{t: t, scripts: []script{
			{status: 200, pieces: []piece{{25 * time.Second, "\n"}}, hang: true},
		}}
		start := time.Now()
		ids, err := u.follow(t.Context(), "", 5*time.Minute, "")
		if len(ids) != 0 || !Transient(err) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%q, %v", ids, err)
		}
		if d := time.Since(start); d != 5*time.Minute+25*time.Second {
			t.Errorf("gave up after %v", d)
		}
		if n := len(u.asked); n < 10 || n > 40 {
			t.Errorf("asked %d times", n)
		}
	})
}

// TestFollowGivesUpOnHeaders has a server that takes the connection and says nothing.
func TestFollowGivesUpOnHeaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := New("http://couch.test", Options{HTTPClient: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		err = mustDatabase(t, c, "db").Follow(t.Context(), ChangesOptions{}, 90*time.Second, nil)
		if d := time.Since(start); !errors.Is(err, errSilent) || !Transient(err) || d != 90*time.Second {
			t.Errorf("%v after %v", err, d)
		}
	})
}

// TestFollowEndingAtOnce has feeds that end cleanly or fail without a sign of life: that is no life.
func TestFollowEndingAtOnce(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{"last_seq":"1-x","pending":0}` + "\n", `{"error":"timeout","reason":"x"}` + "\n", ""} {
		synctest.Test(t, func(t *testing.T) {
			u := &upstream{t: t}
			for range 1000 {
				u.scripts = append(u.scripts, script{status: 200, pieces: []piece{{0, text}}})
			}
			start := time.Now()
			_, err := u.follow(t.Context(), "", time.Minute, "")
			if d := time.Since(start); !Transient(err) || d != time.Minute {
				t.Errorf("%q: %v after %v", text, err, d)
			}
			if n := len(u.asked); n < 5 || n > 20 {
				t.Errorf("%q: asked %d times", text, n)
			}
		})
	}
}

func TestFollowPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{t: t, scripts: make([]script, 10)} // ten times no connection
		u.scripts = append(u.scripts,
			script{status: 503, retryAfter: "77"},
			script{status: 200, pieces: []piece{{time.Second, "\n"}}, cut: true},
			script{status: 200, pieces: []piece{{0, row(1)}}})
		if _, err := u.follow(t.Context(), "", 0, "d1"); err != errStop {
			t.Fatal(err)
		}
		pause := func(i int) time.Duration { return u.at[i].Sub(u.at[i-1]) }
		for i, most := range []time.Duration{375, 750, 1500, 3000, 6000, 12000, 24000, 45000, 45000} {
			if d, most := pause(i+1), most*time.Millisecond; d > most || d < most/3 {
				t.Errorf("pause %d is %v, want up to %v", i, d, most)
			}
		}
		if d := pause(11); d != 77*time.Second {
			t.Errorf("after Retry-After 77: %v", d)
		}
		if d := pause(12) - time.Second; d > 375*time.Millisecond {
			t.Errorf("after a heartbeat: %v", d)
		}
	})
}

func TestFollowFinalErrors(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 401, 403, 404} {
		synctest.Test(t, func(t *testing.T) {
			u := &upstream{t: t, scripts: []script{
				{status: 200, pieces: []piece{{0, row(1)}, {time.Second, `{"last_seq":"1-x","pending":0}` + "\n\n"}}},
				{status: status, pieces: []piece{{0, `{"error":"not_found","reason":"Database does not exist."}`}}},
			}}
			ids, err := u.follow(t.Context(), "", time.Hour, "")
			var e *Error
			if len(ids) != 1 || !errors.As(err, &e) || e.Status != status || IsDatabaseMissing(err) != (status == 404) {
				t.Errorf("%q, %v", ids, err)
			}
		})
	}
}

func TestFollowCancelled(t *testing.T) {
	t.Parallel()
	for what, s := range map[string]script{
		"in a feed":  {status: 200, pieces: []piece{{0, "\n"}}, hang: true},
		"in a pause": {status: 503, retryAfter: "1000"},
	} {
		synctest.Test(t, func(t *testing.T) {
			u := &upstream{t: t, scripts: []script{s}}
			ctx, cancel := context.WithCancelCause(t.Context())
			cause := errors.New("drained")
			time.AfterFunc(5*time.Second, func() { cancel(cause) })
			start := time.Now()
			_, err := u.follow(ctx, "", time.Hour, "")
			if !errors.Is(err, context.Canceled) || !errors.Is(err, cause) || Transient(err) || time.Since(start) != 5*time.Second {
				t.Errorf("%s: %v after %v", what, err, time.Since(start))
			}
		})
	}
}

// TestFollowSlowReader takes longer over a row than CouchDB may be silent.
func TestFollowSlowReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{t: t, scripts: []script{{status: 200, pieces: []piece{{0, row(1)}, {0, row(2)}}, hang: true}}}
		n := 0
		err := u.database(Options{}).Follow(t.Context(), ChangesOptions{}, time.Minute, func(Change) error {
			time.Sleep(time.Hour)
			if n++; n == 2 {
				return errStop
			}
			return nil
		})
		if err != errStop || len(u.asked) != 1 {
			t.Errorf("%v, asked %d times", err, len(u.asked))
		}
	})
}
