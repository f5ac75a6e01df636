package bridge_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shown is a row of a page.
type shown struct {
	id, seq string
	revs    []string
}

// read reads a page.
func (ch *channel) read(since string, limit int) (rows []shown) {
	ch.t.Helper()
	ch.post("_changes", fmt.Sprintf(`[0,{"since":%s,"limit":%d}]`, since, limit))
	ch.reply()
	for {
		name, value := ch.event()
		if name == "complete" {
			return rows
		}
		if name != "change" {
			ch.t.Fatalf("%s %s", name, value)
		}
		var r struct {
			ID      string
			Seq     json.RawMessage
			Changes []struct{ Rev string }
		}
		if err := json.Unmarshal([]byte(value), &r); err != nil {
			ch.t.Fatal(err)
		}
		s := shown{id: r.ID, seq: string(r.Seq)}
		for _, c := range r.Changes {
			s.revs = append(s.revs, c.Rev)
		}
		rows = append(rows, s)
	}
}

// wants are the calls of a client that has nothing of a page: allDocs, or get of
// each document's leaves.
func wants(rows []shown, withGet bool) (calls []asked) {
	var ids []string
	for _, r := range rows {
		ids = append(ids, r.id)
		id, _ := json.Marshal(r.id)
		revs, _ := json.Marshal(r.revs)
		if withGet {
			calls = append(calls, asked{"get", fmt.Sprintf(`[%s,{"open_revs":%s,"revs":true}]`, id, revs)})
		}
	}
	if withGet {
		return calls
	}
	keys, _ := json.Marshal(ids)
	return []asked{{"allDocs", fmt.Sprintf(`[{"keys":%s,"include_docs":true}]`, keys)}}
}

// fill writes documents d000, d001, ... of a size.
func fill(t *testing.T, u *upstream, from, to, size int) {
	t.Helper()
	var docs []string
	for i := from; i < to; i++ {
		docs = append(docs, fmt.Sprintf(`{"_id":"d%03d","_rev":"1-a","text":%q}`, i, strings.Repeat("x", size)))
	}
	if _, err := u.db.BulkDocs(t.Context(), values(docs...), false); err != nil {
		t.Fatal(err)
	}
}

// TestPull wants a page of changes and one request for its documents for each
// batch, and nothing for the echo.
func TestPull(t *testing.T) {
	t.Parallel()
	for _, withGet := range []bool{false, true} {
		t.Run(fmt.Sprintf("get %t", withGet), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			fill(t, f.upstream, 0, 100, 10)
			requests := f.count()
			ch := dial(t, f.http).open("x")
			requests.since()
			var pages [][]shown
			for since := "0"; ; { // it reads all pages before it asks for the first document
				rows := ch.read(since, 20)
				if len(rows) == 0 {
					break
				}
				pages = append(pages, rows)
				since = rows[len(rows)-1].seq
			}
			n := 0
			for _, rows := range pages {
				for _, r := range ch.burst(wants(rows, withGet)) {
					n += strings.Count(r.result, `"text":"xxxxxxxxxx"`)
				}
				var echo []asked
				for _, row := range rows {
					echo = append(echo, asked{"_getRevisionTree", fmt.Sprintf(`["%s"]`, row.id)})
				}
				for _, r := range ch.burst(echo) {
					if r.result != `[{"pos":1,"ids":["a",{"status":"available"},[]]}]` {
						t.Errorf("echo: %v", r)
					}
				}
			}
			if n != 100 || len(pages) != 5 {
				t.Errorf("%d documents in %d pages", n, len(pages))
			}
			if diff := cmp.Diff(map[string]int{"_changes": 6, "_bulk_get": 5}, requests.since()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			eventually(t, "what was given out is not held", func() bool { return f.server.HeldAhead() == 0 })
		})
	}
}

// TestAheadAsAlone compares answers from what was fetched ahead with CouchDB's.
func TestAheadAsAlone(t *testing.T) {
	t.Parallel()
	for range 5 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 0))
			f := newFixture(t)
			docs := scatter(t, f.upstream, r, 40)
			ch := dial(t, f.http).open("x")
			rows := ch.read("0", 100)
			calls := slices.Concat(wants(rows, false), wants(rows, true), askFor(r, docs))
			got := decoded(t, ch.burst(calls))
			want := decoded(t, dial(t, f.http).open("x").oneByOne(calls))
			for i, call := range calls {
				if call.method == "_getRevisionTree" {
					wantRevisionsIn(t, call.args, got[i], want[i])
				} else if diff := cmp.Diff(want[i], got[i]); diff != "" {
					t.Errorf("%s %s (-alone +ahead):\n%s", call.method, call.args, diff)
				}
			}
		})
	}
}

// wantRevisionsIn wants every revision of one tree in another that has all, and
// none only where there is none.
func wantRevisionsIn(t *testing.T, args string, got, all any) {
	t.Helper()
	some, whole := revisionsOf(got), revisionsOf(all)
	for rev := range some {
		if !whole[rev] {
			t.Errorf("_getRevisionTree %s has %s, which CouchDB does not have", args, rev)
		}
	}
	if len(some) == 0 && len(whole) > 0 {
		t.Errorf("_getRevisionTree %s: nothing is known of a document that is there", args)
	}
}

// revisionsOf are the available revisions of an answer to _getRevisionTree.
func revisionsOf(answer any) map[string]bool {
	out := map[string]bool{}
	var walk func(pos float64, node []any)
	walk = func(pos float64, node []any) {
		if node[1].(map[string]any)["status"] == "available" {
			out[fmt.Sprintf("%.0f-%s", pos, node[0])] = true
		}
		for _, child := range node[2].([]any) {
			walk(pos+1, child.([]any))
		}
	}
	roots, _ := answer.([]any)[1].([]any)
	for _, root := range roots {
		walk(root.(map[string]any)["pos"].(float64), root.(map[string]any)["ids"].([]any))
	}
	return out
}

// TestPush wants a push to cost one request for what is there already, and one
// for the documents; and its echo not to be fetched.
func TestPush(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ch := dial(t, f.http).open("x")
	requests := f.count()
	var docs []string
	var trees []asked
	for i := range 100 {
		docs = append(docs, fmt.Sprintf(`{"_id":"d%02d","_rev":"1-a"}`, i))
		trees = append(trees, asked{"_getRevisionTree", fmt.Sprintf(`["d%02d"]`, i)})
	}
	ch.push(docs...)
	for _, r := range ch.burst(trees) {
		if r.result != `[{"pos":1,"ids":["a",{"status":"available"},[]]}]` {
			t.Errorf("what was just written: %v", r)
		}
	}
	if rows := ch.read("0", 200); len(rows) != 100 {
		t.Errorf("%d rows", len(rows))
	}
	if diff := cmp.Diff(map[string]int{"_bulk_docs": 1, "_changes": 1}, requests.since()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// TestRefusedIsNotKnown asks for the revisions of a document that CouchDB did
// not take.
func TestRefusedIsNotKnown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	validate := `{"_id":"_design/v","_rev":"1-a","validate_doc_update":"function(doc) { if (doc.bad) throw({forbidden: 'bad'}) }"}`
	if _, err := f.db.BulkDocs(t.Context(), values(validate), false); err != nil {
		t.Fatal(err)
	}
	ch := dial(t, f.http).open("x")
	if rows := ch.push(`{"_id":"a","_rev":"1-a","bad":true}`); !strings.Contains(rows, "forbidden") {
		t.Fatalf("it was taken: %s", rows)
	}
	if r := ch.call("_getRevisionTree", `["a"]`); r.err != missing {
		t.Errorf("got %v", r)
	}
}

// TestUnwantedIsNotFetched reads pages as a client that has all their documents,
// and then as one that has not.
func TestUnwantedIsNotFetched(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	fill(t, f.upstream, 0, 100, 10)
	requests := f.count()
	ch := dial(t, f.http).open("x")
	requests.since()
	since := "0"
	page := func() []shown {
		rows := ch.read(since, 10)
		since = rows[len(rows)-1].seq
		return rows
	}
	for range 4 {
		page()
	}
	rows := page()
	// It goes on from here, so nothing before was wanted; one of ten is not enough.
	ch.burst(wants(rows[:1], true))
	rows = page()
	if n := requests.since(); n["_bulk_get"] != 2 {
		t.Errorf("%v for one page ahead and one document", n)
	}
	ch.burst(wants(rows, true)) // now it wants all
	rows = page()
	requests.since()
	ch.burst(wants(rows, true))
	rows = page()
	ch.burst(wants(rows, true))
	if n := requests.since(); n["_bulk_get"] > 2 {
		t.Errorf("%v for two pages of documents that were wanted before", n)
	}
}

// TestLongPage reads a page without a limit, which is asked for in parts.
func TestLongPage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	fill(t, f.upstream, 0, 2500, 1)
	requests := f.count()
	ch := dial(t, f.http).open("x")
	requests.since()
	seen := map[string]bool{}
	for _, row := range ch.read("0", 0) {
		seen[row.id] = true
	}
	if n := requests.since(); len(seen) != 2500 || n["_changes"] != 3 {
		t.Errorf("%d documents with %v", len(seen), n)
	}
}

// TestChangedSincePage wants a page that was read ahead to lose nothing that was
// written meanwhile.
func TestChangedSincePage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	fill(t, f.upstream, 0, 20, 10)
	ch := dial(t, f.http).open("x")
	seen := map[string]string{}
	since := "0"
	for i := 0; ; i++ {
		rows := ch.read(since, 10)
		if len(rows) == 0 {
			break
		}
		since = rows[len(rows)-1].seq
		for _, row := range rows {
			seen[row.id] = row.revs[0]
		}
		if i == 0 { // documents of this page, and of the next, change
			if _, err := f.db.BulkDocs(t.Context(), values(`{"_id":"d001","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]}}`,
				`{"_id":"d015","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]}}`, `{"_id":"new","_rev":"1-a"}`), false); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(seen) != 21 || seen["d001"] != "2-b" || seen["d015"] != "2-b" {
		t.Errorf("%d documents; d001 is %s, d015 is %s", len(seen), seen["d001"], seen["d015"])
	}
}

// TestCheckpointsAreNotReadBack writes checkpoints as a client does, which reads
// each before it writes the next.
func TestCheckpointsAreNotReadBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ch := dial(t, f.http).open("x")
	requests := f.count()
	put := func(seq int) {
		t.Helper()
		if r := ch.call("_bulkDocs", fmt.Sprintf(`[{"docs":[{"_id":"_local/a/b","_rev":"0-9","last_seq":%d,"history":[{"last_seq":1.0}]}]},{"new_edits":true}]`, seq)); r.err != "null" {
			t.Fatal(r)
		}
	}
	for seq := range 5 {
		put(seq)
		known, read := ch.call("get", `["_local/a/b"]`), ch.call("get", `["_local/a/b"]`)
		if known != read || !strings.Contains(known.result, fmt.Sprintf(`"last_seq":%d`, seq)) {
			t.Errorf("got %v, and CouchDB has %v", known, read)
		}
	}
	if n := requests.since(); n[http.MethodGet+" _local"] != 5 {
		t.Errorf("%v for five checkpoints that were each read twice", n)
	}
}

// TestManyRevisionsAreKnown writes more revisions, of more documents, than are
// remembered: what is not is asked for.
func TestManyRevisionsAreKnown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ch := dial(t, f.http).open("x")
	for edit := 1; edit <= 100; edit++ {
		ids := []string{}
		for g := edit; g > 0; g-- {
			ids = append(ids, fmt.Sprintf(`"%032d"`, g))
		}
		ch.push(fmt.Sprintf(`{"_id":"edited","_rev":"%d-%032d","_revisions":{"start":%d,"ids":[%s]}}`, edit, edit, edit, strings.Join(ids, ",")))
	}
	if r := ch.call("_getRevisionTree", `["edited"]`); !strings.Contains(r.result, fmt.Sprintf("%032d", 100)) {
		t.Errorf("the last revision is not known: %v", r)
	}
	for from := 0; from < 3000; from += 1000 {
		var docs []string
		for i := from; i < from+1000; i++ {
			docs = append(docs, fmt.Sprintf(`{"_id":"a-name-as-long-as-names-are-%06d","_rev":"1-%032d"}`, i, i))
		}
		ch.push(docs...)
	}
	requests := f.count()
	first, last := ch.call("_getRevisionTree", `["a-name-as-long-as-names-are-000000"]`), ch.call("_getRevisionTree", `["a-name-as-long-as-names-are-002999"]`)
	if !strings.Contains(first.result, fmt.Sprintf("%032d", 0)) || !strings.Contains(last.result, fmt.Sprintf("%032d", 2999)) {
		t.Errorf("got %v, %v", first, last)
	}
	if n := requests.since(); total(n) != 1 {
		t.Errorf("%v: the first of 3,000 documents is forgotten, the last is not", n)
	}
}
