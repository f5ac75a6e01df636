package couch_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"pouchbridge/couch"
)

func doc(id string, rev byte, rest string) string {
	return fmt.Sprintf(`{"_id":%q,"_rev":"1-%032x"%s}`, id, rev, rest)
}

// ids reads a feed to its end.
func ids(t *testing.T, d *couch.Database, o couch.ChangesOptions) (got []string, last string, pending int64) {
	t.Helper()
	changes, err := d.Changes(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Close()
	for {
		row, err := changes.Next()
		if err == io.EOF {
			return got, changes.LastSeq(), changes.Pending()
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, row.ID())
	}
}

func TestLiveChanges(t *testing.T) {
	t.Parallel()
	d := liveDatabase(t, couch.Options{})
	write(t, d, doc("a", 1, `,"k":"a"`), doc("b/ü", 2, `,"k":"b"`), confB, confC, gone)
	ddoc := `{"_id":"_design/v","filters":{"f":"function(d,r){return d.k===r.query.k}"},"views":{"k":{"map":"function(d){ if (d.k === 'b') emit(d.k); }"}}}`
	if rows, err := d.BulkDocs(t.Context(), values(ddoc), true); err != nil || !rows[0].OK {
		t.Fatal(rows, err)
	}
	type test struct {
		name string
		o    couch.ChangesOptions
		want []string
	}
	tests := []test{
		{"all", couch.ChangesOptions{}, []string{"_design/v", "a", "b/ü", "conf", "gone"}},
		{"leaves", couch.ChangesOptions{AllLeaves: true, IncludeDocs: true, Conflicts: true}, []string{"_design/v", "a", "b/ü", "conf", "gone"}},
		{"doc ids", couch.ChangesOptions{DocIDs: []string{"b/ü", "zz"}}, []string{"b/ü"}},
		{"no doc ids", couch.ChangesOptions{DocIDs: []string{}}, nil},
		{"selector", couch.ChangesOptions{Selector: jsontext.Value(`{"k":{"$eq":"a"}}`)}, []string{"a"}},
		{"filter", couch.ChangesOptions{Filter: "v/f", Query: url.Values{"k": {"b"}, "since": {"now"}}}, []string{"b/ü"}},
		{"design", couch.ChangesOptions{Filter: "_design"}, []string{"_design/v"}},
		{"now", couch.ChangesOptions{Since: "now"}, nil},
		{"continuous, ended", couch.ChangesOptions{Feed: couch.Continuous, Timeout: 100 * time.Millisecond}, []string{"_design/v", "a", "b/ü", "conf", "gone"}},
		{"longpoll with rows", couch.ChangesOptions{Feed: couch.Longpoll, DocIDs: []string{"a"}}, []string{"a"}},
		{"longpoll, ended", couch.ChangesOptions{Feed: couch.Longpoll, Since: "now", Timeout: 100 * time.Millisecond}, nil},
	}
	if liveServer(t).real { // the embedded store answers 501
		tests = append(tests, test{"view", couch.ChangesOptions{View: "v/k"}, []string{"b/ü"}})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, last, _ := ids(t, d, test.o)
			slices.Sort(got)
			if !slices.Equal(got, test.want) || last == "" {
				t.Errorf("%q, last %q; want %q", got, last, test.want)
			}
		})
	}
}

func TestLiveChangesPages(t *testing.T) {
	t.Parallel()
	d := liveDatabase(t, couch.Options{})
	write(t, d, doc("a", 1, ""), doc("b", 2, ""), doc("c", 3, ""))
	var all []string
	since := ""
	for page := range 3 {
		got, last, pending := ids(t, d, couch.ChangesOptions{Since: since, Limit: 2})
		if want := max(0, 1-page); pending != int64(want) {
			t.Errorf("page %d: %d pending, want %d", page, pending, want)
		}
		all, since = append(all, got...), last
	}
	slices.Sort(all)
	if !slices.Equal(all, []string{"a", "b", "c"}) {
		t.Errorf("%q", all)
	}
}

func TestLiveChangesRow(t *testing.T) {
	t.Parallel()
	d := liveDatabase(t, couch.Options{})
	write(t, d, confB, confC)
	changes, err := d.Changes(t.Context(), couch.ChangesOptions{AllLeaves: true, IncludeDocs: true})
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Close()
	row, err := changes.Next()
	if err != nil {
		t.Fatal(err)
	}
	revs, err := row.Revs()
	if err != nil || !slices.Equal(revs, []string{"2-cccccccccccccccccccccccccccccccc", "2-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}) {
		t.Errorf("Revs: %q, %v", revs, err)
	}
	if deleted, err := row.Deleted(); deleted || err != nil {
		t.Errorf("Deleted: %v, %v", deleted, err)
	}
	if doc, err := row.Doc(); err != nil || string(doc) != `{"_id":"conf","_rev":"2-cccccccccccccccccccccccccccccccc","v":"c"}` {
		t.Errorf("Doc: %s, %v", doc, err)
	}
}

// TestLiveFollow writes while a feed is open, then deletes the database under it.
func TestLiveFollow(t *testing.T) {
	t.Parallel()
	o := couch.Options{Heartbeat: 200 * time.Millisecond}
	d, c := liveDatabase(t, o), liveClient(t, o)
	rows := make(chan string)
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	go func() {
		done <- d.Follow(ctx, couch.ChangesOptions{AllLeaves: true}, 10*time.Second, func(row couch.Change) error {
			rows <- row.ID()
			return nil
		})
	}()
	for i := range 5 {
		id := fmt.Sprint("doc", i)
		write(t, d, doc(id, byte(i), ""))
		select {
		case got := <-rows:
			if got != id {
				t.Errorf("got %q, want %q", got, id)
			}
		case <-ctx.Done():
			t.Fatal("no row")
		}
	}
	if err := c.DeleteDatabase(ctx, d.Name()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !couch.IsDatabaseMissing(err) {
		t.Errorf("Follow of a deleted database: %v", err)
	}
}

func TestLiveFollowCancelled(t *testing.T) {
	t.Parallel()
	d := liveDatabase(t, couch.Options{})
	write(t, d, doc("a", 1, ""))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := d.Follow(ctx, couch.ChangesOptions{}, 0, func(couch.Change) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || couch.Transient(err) {
		t.Errorf("%v", err)
	}
}
