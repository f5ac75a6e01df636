package couch_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"pouchbridge/couch"
	"pouchbridge/couch/embedded"
)

// step is one thing that happens to a world of feeds.
type step struct {
	what     string
	database int
	document int
	reader   int
	number   int
}

const worldDatabases = 3

func steps(restarts bool) *rapid.Generator[[]step] {
	kinds := []string{"write", "write", "write", "write", "pace", "pace", "pace", "pace", "burst", "join", "join", "join", "rejoin", "leave", "pause", "resume", "cut", "down", "up", "wait"}
	if restarts {
		kinds = append(kinds, "restart")
	}
	one := rapid.Custom(func(t *rapid.T) step {
		return step{
			what:     rapid.SampledFrom(kinds).Draw(t, "what"),
			database: rapid.IntRange(0, worldDatabases-1).Draw(t, "database"),
			document: rapid.IntRange(0, 5).Draw(t, "document"),
			reader:   rapid.IntRange(0, 7).Draw(t, "reader"),
			number:   rapid.IntRange(1, 40).Draw(t, "number"),
		}
	})
	return rapid.SliceOfN(one, 5, 60)
}

// world is databases with readers on feeds that fail.
type world struct {
	t       *testing.T
	faults  *faults
	client  *couch.Client
	writer  []*couch.Database // past the faults
	dbs     []*couch.Database
	feeds   *couch.Feeds
	readers []*reader
	of      []int // the readers' databases
	gone    map[int]*reader
	edits   int
	unit    time.Duration // of waiting
	restart func()

	reserved atomic.Int64 // bytes of rings
}

// reserve has room for a ring and a half.
func (w *world) reserve(n int) bool {
	if w.reserved.Add(int64(n)) <= 3000 {
		return true
	}
	w.reserved.Add(-int64(n))
	return false
}

func (w *world) do(s step) {
	switch s.what {
	case "write":
		w.write(s.database, s.document)
	case "burst":
		for i := range s.number {
			w.write(s.database, s.document+i)
		}
	case "pace": // a write after a moment
		time.Sleep(time.Duration(s.number) * w.unit / 5)
		w.write(s.database, s.document)
	case "join":
		w.join(s.database, nil)
	case "rejoin":
		if before := w.gone[s.database]; before != nil {
			w.join(s.database, before)
		}
	case "leave":
		if r, i := w.pick(s); r != nil {
			r.leave()
			w.gone[w.of[i]] = r
			w.readers[i] = nil
		}
	case "pause", "resume":
		if r, _ := w.pick(s); r != nil {
			r.pause(s.what == "pause")
		}
	case "cut":
		w.faults.cut()
	case "down":
		w.faults.set(func(f *faults) { f.down = true })
		w.faults.cut()
	case "up":
		w.faults.set(func(f *faults) { f.down = false })
	case "restart":
		w.restart()
	case "wait":
		time.Sleep(time.Duration(s.number) * w.unit)
	}
}

func (w *world) write(database, document int) {
	w.edits++
	put(w.t, w.writer[database], fmt.Sprintf("d%d", document), 1+w.edits%3, byte(w.edits), w.edits%7 == 0)
}

func (w *world) join(database int, before *reader) {
	w.readers = append(w.readers, read(w.feeds, w.dbs[database], before, w.unit))
	w.of = append(w.of, database)
}

func (w *world) pick(s step) (*reader, int) {
	if len(w.readers) == 0 {
		return nil, 0
	}
	i := s.reader % len(w.readers)
	return w.readers[i], i
}

// converge lets everything work again and returns what is wrong after at most patience.
func (w *world) converge(patience time.Duration) (wrong string) {
	w.faults.set(func(f *faults) { f.down = false })
	want := make([]view, len(w.writer))
	for i, db := range w.writer {
		want[i] = leaves(w.t, db)
	}
	for _, r := range w.readers {
		if r != nil {
			r.pause(false)
		}
	}
	deadline := time.Now().Add(patience)
	for {
		wrong = ""
		for i, r := range w.readers {
			if r != nil && wrong == "" {
				if d := r.differs(want[w.of[i]]); d != "" {
					wrong = fmt.Sprintf("reader %d of database %d: %s", i, w.of[i], d)
				}
			}
		}
		if wrong == "" || time.Now().After(deadline) {
			return wrong
		}
		time.Sleep(w.unit)
	}
}

func (w *world) close() {
	for _, r := range w.readers {
		if r != nil {
			r.leave()
		}
	}
	w.feeds.Close()
}

// TestFeedsMissNothing has random writers, readers that come, go and are slow, small rings, few places for open feeds, broken
// feeds and restarts: every reader must come to know every leaf, and of each document the newest row last.
func TestFeedsMissNothing(t *testing.T) {
	t.Parallel()
	for _, updates := range []bool{true, false} {
		t.Run(fmt.Sprintf("updates=%t", updates), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				script := steps(true).Draw(rt, "steps")
				places := rapid.IntRange(1, worldDatabases).Draw(rt, "places")
				wrong := ""
				synctest.Test(t, func(t *testing.T) { wrong = runInMemory(t, script, places, updates) })
				if wrong != "" {
					rt.Fatal(wrong)
				}
			})
		})
	}
}

func runInMemory(t *testing.T, script []step, places int, updates bool) (wrong string) {
	dir := t.TempDir()
	store := openStore(t, dir)
	transport := &memory{}
	transport.serve(store)
	w := &world{t: t, faults: newFaults(transport), gone: map[int]*reader{}, unit: time.Second}
	w.faults.noUpdates, w.faults.slow = !updates, time.Second
	w.restart = func() {
		w.faults.cut()
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		store = openStore(t, dir)
		transport.serve(store)
	}
	w.client = memoryClient(t, w.faults)
	direct := memoryClient(t, transport)
	for i := range worldDatabases {
		name := fmt.Sprintf("db%d", i)
		if err := direct.CreateDatabase(t.Context(), name, couch.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		w.dbs = append(w.dbs, database(t, w.client, name))
		w.writer = append(w.writer, database(t, direct, name))
	}
	w.feeds = w.client.NewFeeds(couch.FeedsOptions{MaxOpen: places, RingBytes: 2000, Linger: 3 * time.Second, Quiet: 2 * time.Second,
		Reserve: w.reserve, Release: func(n int) { w.reserved.Add(-int64(n)) }})
	for _, s := range script {
		w.do(s)
	}
	wrong = w.converge(5 * time.Minute) // less than until a feed is looked at without reason
	w.close()
	if n := w.reserved.Load(); wrong == "" && n != 0 {
		wrong = fmt.Sprintf("%d bytes are still reserved after Close", n)
	}
	if n := w.faults.feeds("_changes") + w.faults.feeds("_db_updates"); wrong == "" && n > 0 {
		wrong = fmt.Sprintf("%d feeds are still open after Close", n)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	return wrong
}

func openStore(t *testing.T, dir string) *embedded.Store {
	t.Helper()
	store, err := embedded.Open(embedded.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func memoryClient(t *testing.T, transport http.RoundTripper) *couch.Client {
	t.Helper()
	c, err := couch.New("http://couch.test", couch.Options{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func database(t *testing.T, c *couch.Client, name string) *couch.Database {
	t.Helper()
	d, err := c.Database(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestLiveFeedsMissNothing is the same in real time with a whole CouchDB and several shards.
func TestLiveFeedsMissNothing(t *testing.T) {
	t.Parallel()
	for _, q := range []int{1, 8} {
		t.Run(fmt.Sprintf("q=%d", q), func(t *testing.T) {
			t.Parallel()
			for seed := range 10 {
				script := steps(false).Example(seed)
				if wrong := runLive(t, script, q); wrong != "" {
					t.Fatalf("%s\nafter %+v", wrong, script)
				}
			}
		})
	}
}

func runLive(t *testing.T, script []step, q int) (wrong string) {
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	defer transport.CloseIdleConnections()
	w := &world{t: t, faults: newFaults(transport), gone: map[int]*reader{}, unit: 5 * time.Millisecond}
	w.client = liveClient(t, couch.Options{HTTPClient: &http.Client{Transport: w.faults}, Heartbeat: time.Second})
	direct := liveClient(t, couch.Options{})
	for range worldDatabases {
		name := "couch-feeds-" + strings.ToLower(rand.Text())
		if err := direct.CreateDatabase(t.Context(), name, couch.CreateOptions{Q: q, N: 1}); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = direct.DeleteDatabase(context.Background(), name) }()
		w.dbs = append(w.dbs, database(t, w.client, name))
		w.writer = append(w.writer, database(t, direct, name))
	}
	w.feeds = w.client.NewFeeds(couch.FeedsOptions{MaxOpen: 2, RingBytes: 2000, Linger: 20 * time.Millisecond, Quiet: 50 * time.Millisecond,
		Poll: 50 * time.Millisecond, Recheck: 10 * time.Second})
	defer w.close()
	for _, s := range script {
		w.do(s)
	}
	return w.converge(30 * time.Second)
}
