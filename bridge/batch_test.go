package bridge_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pouchbridge/auth"
	"pouchbridge/bridge"
)

// counted counts requests by their endpoint: the last part of the path, or
// "document".
type counted struct {
	mu sync.Mutex
	n  map[string]int
}

func (u *upstream) count() *counted {
	c := &counted{n: map[string]int{}}
	u.hold(func(_ http.ResponseWriter, r *http.Request) bool {
		endpoint := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		switch {
		case strings.Contains(r.URL.Path, "/_local/"):
			endpoint = r.Method + " _local"
		case !strings.HasPrefix(endpoint, "_"):
			endpoint = "document"
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.n[endpoint]++
		return true
	})
	return c
}

// since are the requests since the last call of it.
func (c *counted) since() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.n
	c.n = map[string]int{}
	return n
}

func total(n map[string]int) (sum int) {
	for v := range maps.Values(n) {
		sum += v
	}
	return sum
}

// asked is a call: a method and its arguments.
type asked struct{ method, args string }

// burst makes calls in one websocket message and returns their answers.
func (ch *channel) burst(calls []asked) []reply {
	ch.t.Helper()
	var lines strings.Builder
	place := map[int]int{}
	for i, call := range calls {
		ch.mu.Lock()
		ch.seqs++
		place[ch.seqs] = i
		fmt.Fprintf(&lines, `["%s","data",[%d,null,"%s",%s]]`+"\n", ch.id, ch.seqs, call.method, call.args)
		ch.mu.Unlock()
	}
	ch.send("%s", lines.String())
	return ch.replies(place)
}

// replies are the next answers, each in its place.
func (ch *channel) replies(place map[int]int) []reply {
	ch.t.Helper()
	out := make([]reply, len(place))
	for range out {
		seq, r := ch.reply()
		i, ok := place[seq]
		if !ok {
			ch.t.Fatalf("call %d was answered again, or never made", seq)
		}
		delete(place, seq)
		out[i] = r
	}
	return out
}

// oneByOne makes calls one after the other.
func (ch *channel) oneByOne(calls []asked) []reply {
	ch.t.Helper()
	out := make([]reply, len(calls))
	for i, call := range calls {
		out[i] = ch.call(call.method, call.args)
	}
	return out
}

// decoded is an answer without the differences that mean nothing: the order of
// members and of the roots of a tree, and the size of the database, which clients
// do not look at.
func decoded(t *testing.T, replies []reply) []any {
	t.Helper()
	out := make([]any, len(replies))
	for i, r := range replies {
		var err, result any
		if bad := errors.Join(json.Unmarshal([]byte(r.err), &err), json.Unmarshal([]byte(r.result), &result)); bad != nil {
			t.Fatal(bad)
		}
		if rows, ok := result.(map[string]any); ok {
			delete(rows, "total_rows")
		}
		if roots, ok := result.([]any); ok && strings.HasPrefix(r.result, `[{"pos"`) {
			slices.SortFunc(roots, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
		out[i] = []any{err, result}
	}
	return out
}

// written is a document with its leaves, the revisions that were written.
type written struct {
	id     string
	leaves []string
	others []string // not leaves any more, or never written
}

// scatter writes random documents: generations, conflicts, deletions,
// attachments, ids of all kinds.
func scatter(t *testing.T, u *upstream, r *rand.Rand, n int) []written {
	t.Helper()
	ids := []string{".", "..", "_design/d", "a/b?c#d%e", "ü 日本語 \U0001F600", "quote\"back\\slash", " ", "+"}
	var docs []string
	var out []written
	for i := range n {
		w := written{id: fmt.Sprintf("doc%03d", i), others: []string{"7-77", "1-0"}}
		if i < len(ids) {
			w.id = ids[i]
		}
		id, _ := json.Marshal(w.id)
		for leaf := range 1 + r.IntN(3)*r.IntN(2) {
			generation := 1 + r.IntN(3)
			revs := []string{fmt.Sprintf("%02x%02x", i, leaf)}
			for g := generation - 1; g > 0; g-- {
				revs = append(revs, fmt.Sprintf("%02xa%d", i, g))
				w.others = append(w.others, fmt.Sprintf("%d-%02xa%d", g, i, g))
			}
			rev := fmt.Sprintf("%d-%s", generation, revs[0])
			w.leaves = append(w.leaves, rev)
			history, _ := json.Marshal(map[string]any{"start": generation, "ids": revs})
			doc := fmt.Sprintf(`{"_id":%s,"_rev":%q,"_revisions":%s,"n":%d.0`, id, rev, history, r.IntN(1000))
			switch r.IntN(6) {
			case 0:
				doc += `,"_deleted":true`
			case 1:
				doc += `,"_attachments":{"f":{"content_type":"text/plain","data":"aGFsbG8="}}`
			}
			docs = append(docs, doc+"}")
		}
		out = append(out, w)
	}
	r.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
	if _, err := u.db.BulkDocs(t.Context(), values(docs...), false); err != nil {
		t.Fatal(err)
	}
	return out
}

// askFor are random calls about documents, those that are there and others.
func askFor(r *rand.Rand, docs []written) []asked {
	docs = append(slices.Clone(docs), written{id: "never", others: []string{"1-a"}}, written{id: "_illegal", others: []string{"1-a"}},
		written{id: "", others: []string{"1-a"}})
	r.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
	var out []asked
	for _, d := range docs {
		id, _ := json.Marshal(d.id)
		some := slices.DeleteFunc(append(slices.Clone(d.leaves), d.others...), func(string) bool { return r.IntN(3) == 0 })
		revs, _ := json.Marshal(some)
		out = append(out,
			asked{"_getRevisionTree", fmt.Sprintf(`[%s]`, id)},
			asked{"get", fmt.Sprintf(`[%s,{"open_revs":%s,"revs":true}]`, id, revs)},
			asked{"get", fmt.Sprintf(`[%s,{"open_revs":%s,"revs":true,"latest":true}]`, id, revs)},
			asked{"get", fmt.Sprintf(`[%s,{"open_revs":"all","revs":true,"attachments":true}]`, id)})
		if r.IntN(4) == 0 {
			out = append(out, out[len(out)-1-r.IntN(4)]) // the same again
		}
	}
	return append(out, asked{"get", `["doc010",{"open_revs":["nonsense"],"revs":true}]`})
}

// TestTogetherAsAlone compares the answers to calls that arrive together with
// those to the same calls made one by one.
func TestTogetherAsAlone(t *testing.T) {
	t.Parallel()
	for range 5 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 0))
			f := newFixture(t)
			calls := askFor(r, scatter(t, f.upstream, r, 40))
			requests := f.count()
			want := decoded(t, dial(t, f.http).open("x").oneByOne(calls))
			alone := total(requests.since())
			got := decoded(t, dial(t, f.http).open("x").burst(calls))
			together := total(requests.since())
			for i, call := range calls {
				if diff := cmp.Diff(want[i], got[i]); diff != "" {
					t.Errorf("%s %s (-alone +together):\n%s", call.method, call.args, diff)
				}
			}
			if together > alone/3 {
				t.Errorf("%d requests for %d calls that came together, %d one by one", together, len(calls), alone)
			}
		})
	}
}

// TestBurst wants one request for a hundred calls.
func TestBurst(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var docs []string
	var trees, gets, absent []asked
	for i := range 100 {
		if i%2 == 0 {
			docs = append(docs, fmt.Sprintf(`{"_id":"d%02d","_rev":"1-a"}`, i))
		}
		trees = append(trees, asked{"_getRevisionTree", fmt.Sprintf(`["d%02d"]`, i)})
		gets = append(gets, asked{"get", fmt.Sprintf(`["d%02d",{"open_revs":["1-a"],"revs":true}]`, i)})
		absent = append(absent, asked{"_getRevisionTree", fmt.Sprintf(`["absent%02d"]`, i)})
	}
	dial(t, f.http).open("x").push(docs...)
	ch := dial(t, f.http).open("x")
	requests := f.count()
	tests := []struct {
		name  string
		calls []asked
	}{
		{"revisions", trees},
		{"open_revs", gets},
		{"absent", absent},
	}
	for _, tt := range tests {
		replies := ch.burst(tt.calls)
		n := requests.since()
		// A machine that is busy may cut a burst; it does not come to one request per call.
		if total(n) > 5 {
			t.Errorf("%s: %v for %d calls", tt.name, n, len(tt.calls))
		}
		for i, r := range replies {
			there := tt.name != "absent" && i%2 == 0
			want := map[string]reply{
				"revisions": {"null", `[{"pos":1,"ids":["a",{"status":"available"},[]]}]`},
				"open_revs": {"null", fmt.Sprintf(`[{"ok":{"_id":"d%02d","_rev":"1-a","_revisions":{"start":1,"ids":["a"]}}}]`, i)},
			}[tt.name]
			if !there {
				want = reply{missing, "null"}
				if tt.name == "open_revs" {
					want = reply{"null", `[{"missing":"1-a"}]`}
				}
			}
			if r != want {
				t.Errorf("%s: got %v, want %v", tt.calls[i].args, r, want)
			}
		}
	}
}

// TestRevokeDuringBatch revokes a grant while CouchDB is asked for a batch: none
// of its calls is answered with what it reads.
func TestRevokeDuringBatch(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newBridge(t, u, u.grantOwn(auth.Grant{Subject: "alice"}), bridge.Options{})
	c := dial(t, f.http)
	ch, other := c.open("x"), c.open("x")
	entered, pass := make(chan struct{}, 200), make(chan struct{})
	u.hold(func(http.ResponseWriter, *http.Request) bool { entered <- struct{}{}; <-pass; return true })
	place := map[int]int{}
	for i := range 20 {
		place[ch.post("_getRevisionTree", fmt.Sprintf(`["t%d"]`, i))] = 2 * i
		place[ch.post("get", fmt.Sprintf(`["g%d",{"open_revs":["1-a"]}]`, i))] = 2*i + 1
	}
	<-entered
	other.call("destroy", "[]") // refused without CouchDB, once all before it was read
	if n := f.server.Revoke(bridge.Revocation{Subject: "alice"}); n != 2 {
		t.Fatalf("%d revoked", n)
	}
	close(pass)
	for i, r := range ch.replies(place) {
		if r != (reply{revoked, "null"}) {
			t.Errorf("call %d: %v", i, r)
		}
	}
	ch.ends()
}

// TestBatchRetried cuts the answer to a batch off in the middle: all calls are
// answered once.
func TestBatchRetried(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	writer := dial(t, f.http).open("x")
	var calls []asked
	for i := range 50 {
		writer.push(fmt.Sprintf(`{"_id":"d%02d","_rev":"1-a","text":%q}`, i, strings.Repeat("x", 2000)))
		calls = append(calls, asked{"get", fmt.Sprintf(`["d%02d",{"open_revs":["1-a"]}]`, i)})
	}
	var mu sync.Mutex
	cuts := 0
	f.hold(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if cuts++; cuts > 1 || !strings.HasSuffix(r.URL.Path, "/_bulk_get") {
			return true
		}
		fmt.Fprint(w, `{"results":[{"id":"d00","docs":[{"ok":{"_id":"d00","_rev":"1-a","half":true}}]},{"id":"d01","do`)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	for i, r := range dial(t, f.http).open("x").burst(calls) {
		if r.err != "null" || !strings.Contains(r.result, fmt.Sprintf(`"_id":"d%02d"`, i)) {
			t.Errorf("%s: %.200v", calls[i].args, r)
		}
	}
	if cuts < 2 {
		t.Error("nothing was cut off")
	}
}

// TestBatchOfRefused wants the error of the database for each call, and not a
// request for each to find out.
func TestBatchOfRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ch := dial(t, f.http).open("x")
	var calls []asked
	for i := range 60 {
		calls = append(calls, asked{"_getRevisionTree", fmt.Sprintf(`["d%d"]`, i)}, asked{"get", fmt.Sprintf(`["d%d",{"open_revs":["1-a"]}]`, i)})
	}
	if err := f.client.DeleteDatabase(t.Context(), f.name); err != nil {
		t.Fatal(err)
	}
	requests := f.count()
	for i, r := range ch.burst(calls) {
		if !strings.Contains(r.err, "Database does not exist.") {
			t.Errorf("%s: %v", calls[i].args, r)
		}
	}
	if n := requests.since(); total(n) > len(calls)/3 {
		t.Errorf("%v for %d calls", n, len(calls))
	}
}

// TestWritesRunConcurrently has two writes of one document, and one of another,
// with CouchDB at the same time; no revision is lost.
func TestWritesRunConcurrently(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	held := f.holdWrites()
	ch := dial(t, f.http).open("x")
	place := map[int]int{}
	for i, doc := range []string{
		`{"_id":"a","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]}}`,
		`{"_id":"a","_rev":"3-c","_revisions":{"start":3,"ids":["c","b","a"]}}`,
		`{"_id":"z","_rev":"1-a"}`,
	} {
		place[ch.post("_bulkDocs", `[{"docs":[`+doc+`],"new_edits":false},{"new_edits":false}]`)] = i
	}
	for range place {
		<-held.entered
	}
	close(held.pass)
	for _, r := range ch.replies(place) {
		if r != (reply{"null", "[]"}) {
			t.Error(r)
		}
	}
	leaves, err := f.db.Leaves(t.Context(), "a")
	if err != nil || len(leaves) != 1 || leaves[0].Rev() != "3-c" || !f.exists("z") {
		t.Errorf("leaves are %v, %v", leaves, err)
	}
}
