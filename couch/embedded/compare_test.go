package embedded

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The tests here run random scripts of edits. What the store makes of them is compared with a model that knows nothing
// but which revision came from which, and, when COUCHDB_URL is set, with a CouchDB that is given the same script.

// target is a CouchDB or the store under test.
type target struct {
	t      *testing.T
	url    string // of the database
	client *http.Client
}

func (g target) call(method, path, body string) (int, string) {
	g.t.Helper()
	req, err := http.NewRequest(method, g.url+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	res, err := g.client.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// revisions is what can be seen of a document's tree.
type revisions struct {
	Leaves  []string // "rev" or "rev!" for a deletion, sorted
	Winner  string
	Deleted bool
}

// documents reads all documents, by _changes and by open_revs, which must agree.
func (g target) documents() map[string]revisions {
	g.t.Helper()
	var feed struct {
		Results []struct {
			ID      string
			Deleted bool
			Changes []struct{ Rev string }
		}
	}
	_, text := g.call("GET", "/_changes?style=all_docs", "")
	if err := json.Unmarshal([]byte(text), &feed); err != nil {
		g.t.Fatal(err)
	}
	out := map[string]revisions{}
	for _, row := range feed.Results {
		found := revisions{Winner: row.Changes[0].Rev, Deleted: row.Deleted, Leaves: g.leaves(row.ID)}
		if len(row.Changes) != len(found.Leaves) {
			g.t.Errorf("%s: _changes shows %v, open_revs %v", row.ID, row.Changes, found.Leaves)
		}
		out[row.ID] = found
	}
	return out
}

func (g target) leaves(id string) []string {
	g.t.Helper()
	var open []struct {
		OK struct {
			Rev     string `json:"_rev"`
			Deleted bool   `json:"_deleted"`
		}
	}
	_, text := g.call("GET", "/"+id+"?open_revs=all", "")
	if err := json.Unmarshal([]byte(text), &open); err != nil {
		g.t.Fatal(err)
	}
	var out []string
	for _, l := range open {
		if l.OK.Deleted {
			l.OK.Rev += "!"
		}
		out = append(out, l.OK.Rev)
	}
	slices.Sort(out)
	return out
}

// model knows the revisions of a document and their parents.
type model map[string]modelRevision

type modelRevision struct {
	parent  string // "" if unknown
	deleted bool
}

// add notes a history, newest first.
func (m model) add(revs []string, deleted bool) {
	for i, rev := range revs {
		known, seen := m[rev]
		if i == 0 && !seen {
			known.deleted = deleted
		}
		if i+1 < len(revs) {
			known.parent = revs[i+1]
		}
		m[rev] = known
	}
}

func (m model) leaves() []string {
	parents := map[string]bool{}
	for _, r := range m {
		parents[r.parent] = true
	}
	var out []string
	for rev := range m {
		if !parents[rev] {
			out = append(out, rev)
		}
	}
	slices.Sort(out)
	return out
}

func (m model) revisions() revisions {
	better := func(a, b string) bool {
		if m[a].deleted != m[b].deleted {
			return m[b].deleted
		}
		x, errX := parseRevision(a)
		y, errY := parseRevision(b)
		if errX != nil || errY != nil {
			panic("not a revision: " + a + " or " + b)
		}
		return x.compare(y) > 0
	}
	var out revisions
	for _, l := range m.leaves() {
		if out.Winner == "" || better(l, out.Winner) {
			out.Winner = l
		}
		shown := l
		if m[l].deleted {
			shown += "!"
		}
		out.Leaves = append(out.Leaves, shown)
	}
	out.Deleted = m[out.Winner].deleted
	slices.Sort(out.Leaves)
	return out
}

// editor makes the same random edits on every target.
type editor struct {
	t       *testing.T
	random  *rand.Rand
	targets []target
	models  map[string]model
	count   int
}

// call sends a request to all targets, whose answers must be the same.
func (e *editor) call(method, path, body string) (int, string) {
	e.t.Helper()
	status, answer := e.targets[0].call(method, path, body)
	for _, other := range e.targets[1:] {
		if s, a := other.call(method, path, body); s != status || a != answer {
			e.t.Fatalf("%s %s %s\nstore:   %d %sCouchDB: %d %s", method, path, body, status, answer, s, a)
		}
	}
	return status, answer
}

func (e *editor) pick(revs []string) string { return revs[e.random.IntN(len(revs))] }

func (e *editor) id() string {
	e.count++
	return fmt.Sprintf("%032x", e.random.Uint64())
}

// step makes one random edit.
func (e *editor) step() {
	id := fmt.Sprintf("doc%d", e.random.IntN(4))
	m := e.models[id]
	if m == nil {
		m = model{}
		e.models[id] = m
	}
	switch kind := e.random.IntN(10); {
	case kind < 2:
		e.create(id, m)
	case kind < 5 && len(m) > 0:
		e.edit(id, m, e.pick(m.leaves()))
	case kind == 5 && len(m) > 0:
		e.edit(id, m, e.pick(slices.Sorted(maps.Keys(m)))) // perhaps no leaf
	default:
		e.replicate(id, m)
	}
}

func (e *editor) create(id string, m model) {
	before := m.revisions()
	status, answer := e.call("PUT", "/"+id, fmt.Sprintf(`{"i":%d}`, e.count))
	allowed := len(m) == 0 || before.Deleted
	if (status == http.StatusCreated) != allowed {
		e.t.Fatalf("creating %s over %+v: %d %s", id, before, status, answer)
	}
	if allowed {
		e.note(m, revisionOf(answer), before.Winner, false)
	}
}

// note adds an edit to the model.
func (e *editor) note(m model, rev, parent string, deleted bool) {
	revs := []string{rev}
	if parent != "" {
		revs = append(revs, parent)
	}
	m.add(revs, deleted)
}

func (e *editor) edit(id string, m model, rev string) {
	deleted := e.random.IntN(3) == 0
	before := m.revisions()
	status, answer := e.call("PUT", "/"+id, fmt.Sprintf(`{"_rev":%q,"_deleted":%t,"i":%d}`, rev, deleted, e.count))
	allowed := slices.Contains(m.leaves(), rev) && !before.Deleted
	if (status < 300) != allowed {
		e.t.Fatalf("editing %s %s of %+v: %d %s", id, rev, before, status, answer)
	}
	if allowed {
		e.note(m, revisionOf(answer), rev, deleted)
	}
}

// replicate adds one or two revisions below a known or an unknown one, with a part of their history.
func (e *editor) replicate(id string, m model) {
	var docs []string
	for range 1 + e.random.IntN(2) {
		revs := e.history(m)
		deleted := e.random.IntN(4) == 0
		m.add(revs, deleted)
		first, err := parseRevision(revs[0])
		if err != nil {
			e.t.Fatal(err)
		}
		ids := make([]string, len(revs))
		for i, rev := range revs {
			_, ids[i], _ = strings.Cut(rev, "-")
		}
		docs = append(docs, fmt.Sprintf(`{"_id":%q,"_rev":%q,"_deleted":%t,"_revisions":{"start":%d,"ids":["%s"]},"i":%d}`,
			id, revs[0], deleted, first.pos, strings.Join(ids, `","`), e.count))
	}
	if status, answer := e.call("POST", "/_bulk_docs", `{"new_edits":false,"docs":[`+strings.Join(docs, ",")+`]}`); status != 201 || answer != "[]\n" {
		e.t.Fatalf("%v: %d %s", docs, status, answer)
	}
}

// history makes up to three new revisions, newest first, and appends known ancestors, not always all.
func (e *editor) history(m model) []string {
	var ancestors []string
	if len(m) > 0 && e.random.IntN(5) > 0 {
		for rev := e.pick(slices.Sorted(maps.Keys(m))); rev != ""; rev = m[rev].parent {
			ancestors = append(ancestors, rev)
		}
		ancestors = ancestors[:1+e.random.IntN(len(ancestors))]
	}
	generation := e.random.IntN(4)
	if len(ancestors) > 0 {
		parent, err := parseRevision(ancestors[0])
		if err != nil {
			e.t.Fatal(err)
		}
		generation = parent.pos
	}
	revs := ancestors
	for range 1 + e.random.IntN(3) {
		generation++
		revs = append([]string{fmt.Sprintf("%d-%s", generation, e.id())}, revs...)
	}
	return revs
}

func newTargets(t *testing.T) []target {
	s := newServer(t, Options{})
	web := httptest.NewServer(s.store)
	t.Cleanup(web.Close)
	targets := []target{{t, web.URL, web.Client()}}
	if address := os.Getenv("COUCHDB_URL"); address != "" {
		transport := &http.Transport{}
		t.Cleanup(transport.CloseIdleConnections)
		targets = append(targets, target{t, strings.TrimSuffix(address, "/"), &http.Client{Transport: transport}})
	}
	for i := range targets {
		g := &targets[i]
		g.url += "/pouchbridge-compare-" + randomUUID()
		if status, answer := g.call("PUT", "", ""); status != http.StatusCreated {
			t.Fatalf("%d %s", status, answer)
		}
		t.Cleanup(func() { g.call("DELETE", "", "") })
	}
	return targets
}

func TestRandomEdits(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			e := &editor{t: t, random: rand.New(rand.NewPCG(seed, 0)), targets: newTargets(t), models: map[string]model{}}
			for range 60 {
				e.step()
			}
			want := map[string]revisions{}
			for id, m := range e.models {
				want[id] = m.revisions()
			}
			for _, g := range e.targets {
				if diff := cmp.Diff(want, g.documents()); diff != "" {
					t.Errorf("%s (-model +answer):\n%s", g.url, diff)
				}
			}
		})
	}
}
