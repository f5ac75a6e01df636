package couch_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pouchbridge/couch"
	"pouchbridge/couch/embedded"
)

// feedsTest runs a test in virtual time, with databases db0 to db9 in a store in memory.
func feedsTest(t *testing.T, o couch.FeedsOptions, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, err := embedded.Open(embedded.Options{})
		if err != nil {
			t.Fatal(err)
		}
		transport := &memory{}
		transport.serve(store)
		w := &world{t: t, faults: newFaults(transport), gone: map[int]*reader{}, unit: time.Millisecond}
		w.client = memoryClient(t, w.faults)
		direct := memoryClient(t, transport)
		for i := range 10 {
			name := fmt.Sprintf("db%d", i)
			if err := direct.CreateDatabase(t.Context(), name, couch.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			w.dbs = append(w.dbs, database(t, w.client, name))
			w.writer = append(w.writer, database(t, direct, name))
		}
		w.feeds = w.client.NewFeeds(o)
		test(t, w)
		w.close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}

// settled waits until nothing happens any more without time passing, and wants readers to know everything.
func (w *world) settled() {
	w.t.Helper()
	synctest.Wait()
	if wrong := w.converge(0); wrong != "" {
		w.t.Error(wrong)
	}
}

func (w *world) wantFeeds(changes, updates int) {
	w.t.Helper()
	synctest.Wait()
	if c, u := w.faults.feeds("_changes"), w.faults.feeds("_db_updates"); c != changes || u != updates {
		w.t.Errorf("%d feeds of _changes and %d of _db_updates are open, want %d and %d", c, u, changes, updates)
	}
}

// costs are the requests that were made by what do does.
func (w *world) costs(do func()) (n int) {
	w.t.Helper()
	total := func() (n int) {
		w.faults.set(func(f *faults) {
			for _, k := range f.asked {
				n += k
			}
		})
		return n
	}
	before := total()
	do()
	synctest.Wait()
	return total() - before
}

func TestFeedIsShared(t *testing.T) {
	feedsTest(t, couch.FeedsOptions{}, func(t *testing.T, w *world) {
		for range 1000 {
			w.join(0, nil)
		}
		w.settled()
		w.wantFeeds(1, 0)
		if n := w.costs(func() { w.write(0, 1); w.write(0, 2); w.settled() }); n != 0 {
			t.Errorf("two writes, fanned out to 1,000 readers, cost %d requests", n)
		}
		for _, r := range w.readers {
			if r.count() != 2 {
				t.Fatalf("a reader got %d rows", r.count())
			}
		}
		if s := w.feeds.Stats(); s.Feeds != 1 || s.Open != 1 || s.Readers != 1000 || s.Rows != 2 || s.Pages != 1000 {
			t.Errorf("%+v", s)
		}
	})
}

func TestFeedLingers(t *testing.T) {
	feedsTest(t, couch.FeedsOptions{Linger: 10 * time.Second}, func(t *testing.T, w *world) {
		w.join(0, nil)
		synctest.Wait()
		w.do(step{what: "leave"})
		time.Sleep(9 * time.Second)
		w.wantFeeds(1, 0)
		if n := w.costs(func() { w.join(0, w.gone[0]) }); n != 1 {
			t.Errorf("to come back cost %d requests, want that to catch up alone", n)
		}
		time.Sleep(20 * time.Second)
		w.wantFeeds(1, 0)
		w.do(step{what: "leave", reader: 1})
		time.Sleep(11 * time.Second)
		w.wantFeeds(0, 0)
		if s := w.feeds.Stats(); s.Feeds != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A database nobody writes costs nothing but a look now and then, and still its first change comes.
func TestQuietFeedSleeps(t *testing.T) {
	feedsTest(t, couch.FeedsOptions{}, func(t *testing.T, w *world) {
		w.join(0, nil)
		w.join(1, nil)
		time.Sleep(2 * time.Minute)
		w.wantFeeds(0, 1)
		if s := w.feeds.Stats(); s.Asleep != 2 {
			t.Errorf("%+v", s)
		}
		if n := w.costs(func() { time.Sleep(time.Hour) }); n > 2*8 {
			t.Errorf("two sleeping feeds cost %d requests an hour", n)
		}
		w.write(1, 1)
		time.Sleep(time.Second)
		w.settled()
		w.wantFeeds(1, 1)
		time.Sleep(2 * time.Minute)
		w.wantFeeds(0, 1)
		if err := w.client.DeleteDatabase(t.Context(), "db0"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if err := w.readers[0].failure(); !couch.IsDatabaseMissing(err) {
			t.Errorf("the reader of a deleted database: %v", err)
		}
	})
}

func TestQuietFeedStaysWithoutUpdates(t *testing.T) {
	feedsTest(t, couch.FeedsOptions{}, func(t *testing.T, w *world) {
		w.faults.noUpdates = true
		w.join(0, nil)
		time.Sleep(10 * time.Minute)
		w.wantFeeds(1, 0)
		if n := w.faults.requests("_db_updates"); n < 2 || n > 3 {
			t.Errorf("_db_updates was asked for %d times in ten minutes", n)
		}
		w.faults.set(func(f *faults) { f.noUpdates = false })
		time.Sleep(10 * time.Minute)
		w.wantFeeds(0, 1)
	})
}

// More databases are live than feeds may be open: the quietest gives way, and no change is missed.
func TestFewPlaces(t *testing.T) {
	for _, updates := range []bool{true, false} {
		t.Run(fmt.Sprintf("updates=%t", updates), func(t *testing.T) {
			feedsTest(t, couch.FeedsOptions{MaxOpen: 2}, func(t *testing.T, w *world) {
				w.faults.noUpdates = !updates
				for i := range w.dbs {
					w.join(i, nil)
					time.Sleep(time.Minute)
				}
				most := 0
				for i := range 50 {
					w.write(i*7%10, i)
					for range 20 {
						time.Sleep(500 * time.Millisecond)
						synctest.Wait()
						most = max(most, w.faults.feeds("_changes"))
					}
					w.settled()
				}
				if most > 2 {
					t.Errorf("%d feeds were open at a time", most)
				}
			})
		})
	}
}

// A feed that has just been opened keeps its place for a while, however many want it.
func TestPlacesDoNotFlap(t *testing.T) {
	feedsTest(t, couch.FeedsOptions{MaxOpen: 1}, func(t *testing.T, w *world) {
		for i := range 5 {
			w.join(i, nil)
		}
		time.Sleep(time.Minute)
		n := w.costs(func() {
			for i := range 600 { // a minute of writes everywhere
				w.write(i%5, i)
				time.Sleep(100 * time.Millisecond)
			}
		})
		// In a minute the place can change hands 12 times, and each of the four others be looked at twice a second, by two requests.
		if n > 60*4*2*2+12*10 {
			t.Errorf("five databases that are written all the time cost %d requests a minute", n)
		}
		time.Sleep(10 * time.Second)
		w.settled()
	})
}

func TestFeedEndsWithDatabase(t *testing.T) {
	for name, again := range map[string]bool{"deleted": false, "recreated": true} {
		t.Run(name, func(t *testing.T) {
			feedsTest(t, couch.FeedsOptions{}, func(t *testing.T, w *world) {
				w.join(0, nil)
				w.write(0, 1)
				time.Sleep(10 * time.Second) // creation is told in seconds
				err := w.client.DeleteDatabase(t.Context(), "db0")
				if again {
					err = errors.Join(err, w.client.CreateDatabase(t.Context(), "db0", couch.CreateOptions{}))
				}
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if err := w.readers[0].failure(); !couch.IsNotFound(err) || couch.IsDatabaseMissing(err) == again {
					t.Errorf("got %v", err)
				}
				if again {
					w.readers[0].leave()
					w.readers[0] = nil
					w.join(0, nil)
					w.write(0, 2)
					w.settled()
				}
			})
		})
	}
}

// CouchDB is away for an hour: readers are not told, and miss nothing.
func TestFeedOutlivesOutage(t *testing.T) {
	var mu sync.Mutex
	var told []string
	lost := func(database string, err error) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprintf("%s %t", database, err != nil))
	}
	feedsTest(t, couch.FeedsOptions{Lost: lost}, func(t *testing.T, w *world) {
		w.faults.noUpdates = true
		w.join(0, nil)
		synctest.Wait()
		w.write(0, 1)
		w.settled()
		w.do(step{what: "down"})
		w.write(0, 2)
		time.Sleep(time.Hour)
		w.do(step{what: "up"})
		time.Sleep(time.Minute)
		w.settled()
		if n := w.readers[0].count(); n != 2 {
			t.Errorf("the reader got %d rows", n)
		}
		mu.Lock()
		defer mu.Unlock()
		if got := strings.Join(told, ", "); !strings.Contains(got, "db0 true") || strings.Count(got, "db0") != 2 || !strings.Contains(got, "db0 false") {
			t.Errorf("told: %s", got)
		}
	})
}

// A feed whose last reader leaves while CouchDB is away is not taken up again.
func TestFeedLeftDuringOutage(t *testing.T) {
	feedsTest(t, couch.FeedsOptions{Linger: time.Second}, func(t *testing.T, w *world) {
		w.faults.noUpdates = true
		w.join(0, nil)
		w.settled()
		w.do(step{what: "down"})
		time.Sleep(time.Minute)
		w.do(step{what: "leave"})
		time.Sleep(2 * time.Second)
		w.do(step{what: "up"})
		time.Sleep(time.Minute)
		w.wantFeeds(0, 0)
	})
}

// However long CouchDB asks to be left alone, a feed is not lost for long.
func TestFeedRetryAfter(t *testing.T) {
	feedsTest(t, couch.FeedsOptions{}, func(t *testing.T, w *world) {
		w.join(0, nil)
		w.settled()
		inner, refused := w.faults.inner, false
		w.faults.inner = roundTrip(func(r *http.Request) (*http.Response, error) {
			if refused {
				return inner.RoundTrip(r)
			}
			refused = true
			return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"86400"}}, Request: r,
				Body: io.NopCloser(strings.NewReader(`{"error":"service unavailable"}`))}, nil
		})
		w.do(step{what: "cut"})
		w.write(0, 1)
		time.Sleep(time.Minute)
		w.settled()
	})
}

func TestFeedCannotStart(t *testing.T) {
	feedsTest(t, couch.FeedsOptions{Patience: 3 * time.Second}, func(t *testing.T, w *world) {
		w.do(step{what: "down"})
		woken := make(chan struct{}, 1)
		r := w.feeds.Read(w.dbs[0], couch.ChangesOptions{}, func() { woken <- struct{}{} })
		defer r.Close()
		start := time.Now()
		if rows, err := r.Next(t.Context()); rows != nil || err != nil {
			t.Errorf("at first: %v %v", rows, err)
		}
		<-woken
		if _, err := r.Next(t.Context()); !couch.Transient(err) || time.Since(start) != 3*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		w.do(step{what: "up"})
		if rows, err := r.Next(t.Context()); rows != nil || err != nil {
			t.Errorf("again: %v %v", rows, err)
		}
		<-woken
		w.write(0, 1)
		if rows, err := r.Next(t.Context()); len(rows) != 1 || err != nil {
			t.Errorf("then: %v %v", rows, err)
		}
	})
}

// A feed that sends neither rows nor heartbeats is dead, whatever its connection says.
func TestFeedFallsSilent(t *testing.T) {
	feedsTest(t, couch.FeedsOptions{}, func(t *testing.T, w *world) {
		inner := w.faults.inner
		silent := true
		w.faults.inner = roundTrip(func(r *http.Request) (*http.Response, error) {
			if !silent || r.URL.Query().Get("feed") != "continuous" {
				return inner.RoundTrip(r)
			}
			silent = false
			body, _ := io.Pipe() // which nobody writes to
			end := func() error { return body.CloseWithError(r.Context().Err()) }
			go func() { <-r.Context().Done(); _ = end() }()
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, Body: body}, nil
		})
		w.join(0, nil)
		synctest.Wait()
		w.write(0, 1)
		time.Sleep(29 * time.Second)
		synctest.Wait()
		if n := w.readers[0].count(); n != 0 {
			t.Fatalf("%d rows came from a silent feed", n)
		}
		time.Sleep(2 * time.Second)
		w.settled()
	})
}
