package embedded

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// follower is a client that reads a feed while it is written.
type follower struct {
	header http.Header
	cancel context.CancelFunc
	done   chan struct{}

	mu   sync.Mutex
	text strings.Builder
}

func (f *follower) Header() http.Header { return f.header }
func (f *follower) WriteHeader(int)     {}
func (f *follower) Flush()              {}

func (f *follower) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text.Write(b)
}

func (f *follower) read() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text.String()
}

func (f *follower) ended() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

func (s *server) follow(query string) *follower {
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{header: http.Header{}, cancel: cancel, done: make(chan struct{})}
	r := httptest.NewRequest("GET", "/db/_changes?"+query, nil).WithContext(ctx)
	go func() {
		defer close(f.done)
		defer func() {
			if fault := recover(); fault != nil && fault != http.ErrAbortHandler {
				panic(fault)
			}
		}()
		s.store.ServeHTTP(f, r)
	}()
	return f
}

// feedTest runs a test in virtual time, on a store with the database db.
func feedTest(t *testing.T, test func(t *testing.T, s *server)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Options{})
		s.must(201, "PUT", "/db", "")
		test(t, s)
	})
}

func TestContinuousFeed(t *testing.T) {
	feedTest(t, func(t *testing.T, s *server) {
		s.put("/db/before", "{}")
		f := s.follow("feed=continuous&heartbeat=1000")
		synctest.Wait()
		if got := strings.Count(f.read(), "\n"); got != 1 || !strings.Contains(f.read(), `"id":"before"`) {
			t.Fatalf("first row: %q", f.read())
		}
		time.Sleep(2500 * time.Millisecond)
		synctest.Wait()
		if got := strings.Count(f.read(), "\n"); got != 3 {
			t.Fatalf("two heartbeats expected: %q", f.read())
		}
		s.put("/db/after", "{}")
		synctest.Wait()
		if !strings.HasSuffix(f.read(), "}\n") || !strings.Contains(f.read(), `"id":"after"`) {
			t.Fatalf("second row: %q", f.read())
		}
		s.must(200, "DELETE", "/db", "")
		synctest.Wait()
		if !f.ended() || !strings.Contains(f.read(), `{"last_seq":"2-`) {
			t.Fatalf("feed of a deleted database: %q", f.read())
		}
	})
}

func TestFeedTimeout(t *testing.T) {
	for _, feed := range []string{"continuous", "longpoll"} {
		t.Run(feed, func(t *testing.T) {
			feedTest(t, func(t *testing.T, s *server) {
				start := time.Now()
				f := s.follow("feed=" + feed + "&timeout=7000")
				<-f.done
				if took := time.Since(start); took != 7*time.Second {
					t.Errorf("ended after %v", took)
				}
				if !strings.Contains(f.read(), `"last_seq":"0-`) {
					t.Errorf("got %q", f.read())
				}
			})
		})
	}
}

func TestLongpollWakes(t *testing.T) {
	feedTest(t, func(t *testing.T, s *server) {
		f := s.follow("feed=longpoll&since=now&filter=_doc_ids&doc_ids=%5B%22b%22%5D")
		synctest.Wait()
		s.put("/db/a", "{}")
		synctest.Wait()
		if f.ended() {
			t.Fatalf("ended by a change that the filter rejects: %q", f.read())
		}
		s.put("/db/b", "{}")
		<-f.done
		if strings.Count(f.read(), `"id"`) != 1 || !strings.Contains(f.read(), `"id":"b"`) {
			t.Errorf("got %q", f.read())
		}
	})
}

func TestFeedEndsWithClient(t *testing.T) {
	feedTest(t, func(t *testing.T, s *server) {
		f := s.follow("feed=continuous&heartbeat=true")
		synctest.Wait()
		f.cancel()
		synctest.Wait()
		if !f.ended() {
			t.Error("the feed goes on without its client")
		}
	})
}

func TestCloseEndsFeeds(t *testing.T) {
	feedTest(t, func(t *testing.T, s *server) {
		f := s.follow("feed=continuous&heartbeat=true")
		synctest.Wait()
		if err := s.store.Close(); err != nil {
			t.Fatal(err)
		}
		if !f.ended() || !strings.Contains(f.read(), "last_seq") {
			t.Errorf("got %q", f.read())
		}
		s.wants("The store is being closed.", "GET", "/", "")
	})
}

// TestFeedsMissNothing writes from several goroutines while several feeds read.
func TestFeedsMissNothing(t *testing.T) {
	t.Parallel()
	const writers, docs = 4, 100
	s := newServer(t, Options{})
	s.must(201, "PUT", "/db", "")
	var feeds []*follower
	for range 3 {
		feeds = append(feeds, s.follow(fmt.Sprintf("feed=continuous&heartbeat=true&limit=%d", writers*docs)))
	}
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range docs {
				s.must(201, "PUT", fmt.Sprintf("/db/%d-%d", w, i), "{}")
			}
		})
	}
	group.Wait()
	for n, f := range feeds {
		<-f.done
		for w := range writers {
			for i := range docs {
				if !strings.Contains(f.read(), fmt.Sprintf(`"id":"%d-%d"`, w, i)) {
					t.Errorf("feed %d missed %d-%d", n, w, i)
				}
			}
		}
	}
}

// TestChangesPages follows limit and since over more rows than one transaction reads.
func TestChangesPages(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	s.must(201, "PUT", "/db", "")
	const docs = 2*rowsPerView + 7
	s.must(201, "POST", "/db/_bulk_docs", `{"docs":[`+numbered(docs, `{"_id":"%04d"}`)+`]}`)
	since, seen := "0", 0
	for range docs {
		page := s.must(200, "GET", "/db/_changes?limit=100&since="+since, "")
		rows := strings.Count(page, `"id":`)
		seen += rows
		if rows == 0 {
			break
		}
		if !strings.Contains(page, fmt.Sprintf(`"pending":%d}`, docs-seen)) {
			t.Fatalf("after %d rows: %s", seen, page[len(page)-80:])
		}
		since = lastSequence.FindStringSubmatch(page)[1]
	}
	if seen != docs {
		t.Errorf("%d rows in all, want %d", seen, docs)
	}
	for _, query := range []string{"", "descending=true", "feed=longpoll"} {
		if rows := strings.Count(s.must(200, "GET", "/db/_changes?"+query, ""), `"id":`); rows != docs && query != "feed=longpoll" || rows == 0 {
			t.Errorf("%q: %d rows", query, rows)
		}
	}
	down := s.must(200, "GET", "/db/_changes?descending=true&limit=2", "")
	if !strings.Contains(down, fmt.Sprintf(`"id":"%04d"`, docs-2)) || !strings.Contains(down, fmt.Sprintf(`"pending":%d`, docs-2)) {
		t.Errorf("descending: %s", down)
	}
}

func TestSequences(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	s.must(201, "PUT", "/db", "")
	s.put("/db/a", "{}")
	old := lastSequence.FindStringSubmatch(s.must(200, "GET", "/db/_changes", ""))[1]
	tests := []struct {
		name, since string
		status      int
		rows        int
	}{
		{"its own", old, 200, 0},
		{"as JSON", "%22" + old + "%22", 200, 0},
		{"start", "0", 200, 1},
		{"start as JSON", "%220%22", 200, 1},
		{"now", "now", 200, 0},
		{"none", "", 400, 0},
		{"bare number", "1", 400, 0},
		{"another number with the same seal", "0" + old[1:], 400, 0},
		{"leading zero", "0" + old, 400, 0},
		{"garbage", "1-abc", 400, 0},
		{"negative", "-1", 400, 0},
	}
	for _, test := range tests {
		w := s.do("GET", "/db/_changes?since="+test.since, "")
		if rows := strings.Count(w.Body.String(), `"id":`); w.Code != test.status || rows != test.rows {
			t.Errorf("%s: status %d, %d rows, want %d, %d", test.name, w.Code, rows, test.status, test.rows)
		}
	}
	s.must(200, "DELETE", "/db", "")
	s.must(201, "PUT", "/db", "")
	s.put("/db/b", "{}")
	s.wants(`"id":"b"`, "GET", "/db/_changes?since="+old, "")
}
