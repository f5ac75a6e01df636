package couch_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pouchbridge/couch"
)

// Who may not read gets an error, and where the feeds' account may not, a reader has a feed of its own.
func TestFeedGuarded(t *testing.T) {
	feedsTest(t, couch.FeedsOptions{}, func(t *testing.T, w *world) {
		w.faults.inner = onlyFor(w.faults.inner, "Bearer good")
		for i, token := range []string{"good", "good", "bad"} {
			as, err := w.client.As(couch.Bearer(token))
			if err != nil {
				t.Fatal(err)
			}
			w.dbs[0] = database(t, as, "db0")
			w.join(0, nil)
			synctest.Wait()
			want := 2
			if i == 0 {
				want = 1
			}
			w.wantFeeds(want, 0)
		}
		var e *couch.Error
		if err := w.readers[2].failure(); !errors.As(err, &e) || e.Status != http.StatusForbidden {
			t.Errorf("whom CouchDB refuses: %v", err)
		}
		w.readers[2].leave()
		w.readers[2] = nil
		w.write(0, 1)
		w.settled()
	})
}

// onlyFor refuses the calls of everybody else.
func onlyFor(next http.RoundTripper, authorization string) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Authorization") == authorization {
			r = r.Clone(r.Context())
			r.Header.Del("Authorization") // the store would not know it
			return next.RoundTrip(r)
		}
		return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{}, Request: r,
			Body: io.NopCloser(strings.NewReader(`{"error":"forbidden","reason":"You are not allowed to access this db."}`))}, nil
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Feeds with different filters are different feeds; one whose filter may look at who asks is shared with nobody else.
func TestFeedsByFilter(t *testing.T) {
	feedsTest(t, couch.FeedsOptions{}, func(t *testing.T, w *world) {
		as, err := w.client.As(couch.ProxyUser("joe", nil, ""))
		if err != nil {
			t.Fatal(err)
		}
		joe := database(t, as, "db0")
		for _, tt := range []struct {
			db    *couch.Database
			o     couch.ChangesOptions
			feeds int
		}{
			{w.dbs[0], couch.ChangesOptions{}, 1},
			{joe, couch.ChangesOptions{}, 1},
			{w.dbs[0], couch.ChangesOptions{DocIDs: []string{"a"}}, 2},
			{joe, couch.ChangesOptions{DocIDs: []string{"a"}}, 2},
			{w.dbs[0], couch.ChangesOptions{DocIDs: []string{"a", "b"}}, 3},
			{w.dbs[0], couch.ChangesOptions{Selector: []byte(`{"a":1}`)}, 4},
			{w.dbs[0], couch.ChangesOptions{Filter: "_design"}, 5},
			{w.dbs[0], couch.ChangesOptions{Filter: "_design"}, 5},
			{joe, couch.ChangesOptions{Filter: "_design"}, 6},
			{joe, couch.ChangesOptions{Filter: "_design"}, 7},
		} {
			r := w.feeds.Read(tt.db, tt.o, func() {})
			defer r.Close()
			if _, err := r.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.wantFeeds(tt.feeds, 0)
		}
	})
}

// Where shards have replicas, what a reader reads for itself may be older than what the feed has had already: the latest rows of
// the feed are shown to it again.
func TestFeedWithLaggingReplica(t *testing.T) {
	for _, replicas := range []int{1, 3} {
		t.Run(fmt.Sprintf("n=%d", replicas), func(t *testing.T) {
			feedsTest(t, couch.FeedsOptions{}, func(t *testing.T, w *world) {
				lagging := false
				inner := w.faults.inner
				w.faults.inner = roundTrip(func(r *http.Request) (*http.Response, error) {
					answer := ""
					switch {
					case r.Method == http.MethodGet && r.URL.Path == "/db0":
						answer = fmt.Sprintf(`{"update_seq":"0","instance_start_time":"1","cluster":{"n":%d}}`, replicas)
					case lagging && strings.HasSuffix(r.URL.Path, "/_changes") && r.URL.Query().Get("feed") == "":
						answer = `{"results":[],"last_seq":"0","pending":0}`
					default:
						return inner.RoundTrip(r)
					}
					return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, Body: io.NopCloser(strings.NewReader(answer))}, nil
				})
				w.join(0, nil)
				w.write(0, 1)
				w.settled()
				lagging = true
				w.join(0, nil)
				synctest.Wait()
				if rows := w.readers[1].count(); rows != (replicas-1)/2 {
					t.Errorf("the second reader got %d rows", rows)
				}
				time.Sleep(time.Minute)
				w.join(0, nil)
				synctest.Wait()
				if rows := w.readers[2].count(); rows != 0 {
					t.Errorf("%d rows were shown again a minute later", rows)
				}
			})
		})
	}
}
