package couch_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"pouchbridge/couch"
)

// view is what a reader has been told of each document: its leaves, as the latest row has them.
type view map[string]string

// reader reads a database as a client of the bridge does: woken, it takes what there is, remembers the latest row of each
// document and the last sequence, and may be slow.
type reader struct {
	unit   time.Duration // of waiting before it tries again
	feed   *couch.FeedReader
	cancel context.CancelFunc
	bell   chan struct{} // holds a token when Next is worth calling
	work   sync.WaitGroup

	mu     sync.Mutex
	paused chan struct{} // closed when reading goes on; nil while it does
	seen   view
	since  string
	rows   int
	err    error
}

// read starts a reader that has seen what an earlier one had, nil for none.
func read(feeds *couch.Feeds, db *couch.Database, before *reader, unit time.Duration) *reader {
	ctx, cancel := context.WithCancel(context.Background())
	r := &reader{unit: unit, cancel: cancel, bell: make(chan struct{}, 1), seen: view{}}
	if before != nil {
		before.mu.Lock()
		r.seen, r.since = maps.Clone(before.seen), before.since
		before.mu.Unlock()
	}
	r.feed = feeds.Read(db, couch.ChangesOptions{Since: r.since, AllLeaves: true}, r.ring)
	r.ring()
	r.work.Go(func() { r.run(ctx) })
	return r
}

func (r *reader) ring() {
	select {
	case r.bell <- struct{}{}:
	default:
	}
}

func (r *reader) run(ctx context.Context) {
	defer r.feed.Close()
	for {
		select {
		case <-r.bell:
		case <-ctx.Done():
			return
		}
		for r.ready(ctx) {
			rows, err := r.feed.Next(ctx)
			if couch.Transient(err) {
				time.Sleep(r.unit)
				continue
			}
			if !r.take(rows, err) {
				break
			}
		}
	}
}

// ready waits while the reader is paused.
func (r *reader) ready(ctx context.Context) bool {
	r.mu.Lock()
	paused := r.paused
	r.mu.Unlock()
	if paused != nil {
		select {
		case <-paused:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}

func (r *reader) take(rows []couch.Change, err error) (more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, row := range rows {
		revs, failed := row.Revs()
		err = errors.Join(err, failed)
		slices.Sort(revs)
		r.seen[row.ID()], r.since = fmt.Sprint(revs), row.Seq()
		r.rows++
	}
	if err != nil {
		r.err = err
	}
	return len(rows) > 0 && err == nil
}

func (r *reader) pause(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case on && r.paused == nil:
		r.paused = make(chan struct{})
	case !on && r.paused != nil:
		close(r.paused)
		r.paused = nil
	}
}

// leave ends the reader, as a client does that goes away.
func (r *reader) leave() {
	r.cancel()
	r.work.Wait()
}

func (r *reader) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// count is how many rows have come.
func (r *reader) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rows
}

// differs says what the reader does not know as the database has it, "" for nothing.
func (r *reader) differs(want view) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err.Error()
	}
	for id, leaves := range want {
		if got := r.seen[id]; got != leaves {
			return fmt.Sprintf("of %s it knows %s, not %s", id, got, leaves)
		}
	}
	if len(r.seen) > len(want) {
		return fmt.Sprintf("it knows %d documents of %d", len(r.seen), len(want))
	}
	return ""
}

// leaves are those of all documents, by id.
func leaves(t testing.TB, db *couch.Database) view {
	t.Helper()
	changes, err := db.Changes(context.Background(), couch.ChangesOptions{AllLeaves: true})
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Close()
	all := view{}
	for {
		row, err := changes.Next()
		if err != nil {
			if changes.LastSeq() == "" {
				t.Fatal(err)
			}
			return all
		}
		revs, err := row.Revs()
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(revs)
		all[row.ID()] = fmt.Sprint(revs)
	}
}

// put writes one revision, with the ancestors it has, as a replication does.
func put(t testing.TB, db *couch.Database, id string, generation int, branch byte, deleted bool) {
	t.Helper()
	doc := fmt.Sprintf(`{"_id":%q,"_rev":"%d-%s","_deleted":%t,"_revisions":{"start":%d,"ids":[`, id, generation, hash(generation, branch), deleted, generation)
	for g := generation; g > 0; g-- {
		if g < generation {
			doc += ","
		}
		doc += fmt.Sprintf("%q", hash(g, branch))
	}
	rows, err := db.BulkDocs(context.Background(), []jsontext.Value{jsontext.Value(doc + "]}}")}, false)
	if err != nil || len(rows) > 0 {
		t.Fatalf("writing %s: %v %v", doc, rows, err)
	}
}

func hash(generation int, branch byte) string {
	return fmt.Sprintf("%02x%030x", branch, generation)
}
