package embedded

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func newValidated(t *testing.T, function string, o Options) *server {
	s := newServer(t, o)
	s.must(201, "PUT", "/db", "")
	s.must(201, "PUT", "/db/_design/v", `{"validate_doc_update":`+string(appendString(nil, function))+`}`)
	return s
}

func TestValidation(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, function, doc string
		status              int
		want                string
	}{
		{"passes", `function(n) {}`, `{}`, 201, `"ok":true`},
		{"forbidden", `function(n) { throw({forbidden: "no " + n.x}); }`, `{"x":1}`, 403, `{"error":"forbidden","reason":"no 1"}`},
		{"forbidden with a value", `function(n) { throw({forbidden: {code: 7}}); }`, `{}`, 403, `{"error":"forbidden","reason":{"code":7}}`},
		{"unauthorized", `function(n) { throw({unauthorized: "who"}); }`, `{}`, 401, `{"error":"unauthorized","reason":"who"}`},
		{"error", `function(n) { nothing.here; }`, `{}`, 500, `{"error":"ReferenceError","reason":"{[]}"}`},
		{"string", `function(n) { throw "plain"; }`, `{}`, 500, `{"error":"unknown_error","reason":"plain"}`},
		{"does not compile", `function( {`, `{}`, 500, `"error":"compilation_error"`},
		{"no function", `1`, `{}`, 500, `"error":"compilation_error"`},
		{"trailing semicolon", `function(n) {};`, `{}`, 201, `"ok":true`},
		{"new document", `function(n, o) { throw({forbidden: JSON.stringify([n, o])}); }`, `{"x":1}`, 403,
			`[{\"_id\":\"d\",\"x\":1},null]`},
		{"context", `function(n, o, u, s) { throw({forbidden: JSON.stringify([u, s.members])}); }`, `{}`, 403,
			`[{\"db\":\"db\",\"name\":null,\"roles\":[\"_admin\"]},{\"roles\":[\"_admin\"]}]`},
		{"helpers", `function(n) { throw({forbidden: toJSON([isArray([]), sum([1, 2])])}); }`, `{}`, 403, `[true,3]`},
		{"this", `function(n) { throw({forbidden: this._id}); }`, `{}`, 403, `_design/v`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newValidated(t, test.function, Options{})
			w := s.do("PUT", "/db/d", test.doc)
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
				t.Errorf("%d %s, want %d %s", w.Code, w.Body, test.status, test.want)
			}
		})
	}
}

func TestValidationSeesOldRevision(t *testing.T) {
	t.Parallel()
	s := newValidated(t, `function(n, o) { if (o && !n._deleted) throw({forbidden: o._rev + " " + o.x}); }`, Options{})
	rev := s.put("/db/d", `{"x":7}`)
	s.wants(rev+" 7", "PUT", "/db/d", `{"_rev":"`+rev+`"}`)
	// a replicated revision whose parent is not stored is compared with its nearest stored ancestor
	_, id, _ := strings.Cut(rev, "-")
	s.wants(rev+" 7", "POST", "/db/_bulk_docs", `{"new_edits":false,"docs":[{"_id":"d","_rev":"3-c","_revisions":{"start":3,"ids":["c","b","`+id+`"]}}]}`)
	s.must(200, "DELETE", "/db/d?rev="+rev, "")
}

func TestValidationIsCachedByRevision(t *testing.T) {
	t.Parallel()
	s := newValidated(t, `function() { throw({forbidden: "first"}); }`, Options{})
	s.wants("first", "PUT", "/db/d", "{}")
	_, rev, _ := strings.Cut(s.must(200, "GET", "/db/_design/v", ""), `"_rev":"`)
	next := s.put("/db/_design/v", `{"_rev":"`+rev[:34]+`","validate_doc_update":"function() { throw({forbidden: 'second'}); }"}`)
	s.wants("second", "PUT", "/db/d", "{}")
	s.must(200, "DELETE", "/db/_design/v?rev="+next, "")
	s.put("/db/d", "{}")
}

func TestValidationIsBounded(t *testing.T) {
	t.Parallel()
	s := newValidated(t, `function(n) { while (n.loop) {} }`, Options{ScriptTimeout: 50 * time.Millisecond})
	s.wants("ran for too long", "PUT", "/db/d", `{"loop":true}`)
	s.put("/db/d", "{}")
}

func TestFilterFunction(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{ScriptTimeout: 50 * time.Millisecond})
	s.must(201, "PUT", "/db", "")
	s.must(201, "PUT", "/db/_design/f", `{"filters":{"k":"function(d, r) { return d.k === r.query.k && r.userCtx.roles.length === 1 }",
		"loop":"function() { for (;;) {} }", "bad":"function(", "throws":"function() { throw({forbidden:'x'}) }"}}`)
	s.must(201, "POST", "/db/_bulk_docs", `{"new_edits":false,"docs":[{"_id":"a","_rev":"1-a","k":"1"},{"_id":"a","_rev":"1-b","k":"2"},{"_id":"b","_rev":"1-c","k":"2"}]}`)
	s.wants(`"id":"a","changes":[{"rev":"1-a"}]`, "GET", "/db/_changes?filter=f/k&k=1&style=all_docs", "")
	s.wants(`"results":[`+"\n\n]", "GET", "/db/_changes?filter=f/k&k=1", "")
	s.wants("ran for too long", "GET", "/db/_changes?filter=f/loop", "")
	s.wants("compilation_error", "GET", "/db/_changes?filter=f/bad", "")
	s.wants("forbidden", "GET", "/db/_changes?filter=f/throws", "")
	s.must(404, "GET", "/db/_changes?filter=f/none", "")
	s.must(404, "GET", "/db/_changes?filter=none/k", "")
	s.must(400, "GET", "/db/_changes?filter=f", "")
}

// TestFunctionsRunConcurrently uses one compiled function from many requests at once.
func TestFunctionsRunConcurrently(t *testing.T) {
	t.Parallel()
	s := newValidated(t, `function(n) { if (n.i % 2) throw({forbidden: "odd " + n.i}); }`, Options{})
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for i := range 20 {
				want := 201
				if i%2 == 1 {
					want = 403
				}
				s.must(want, "PUT", fmt.Sprintf("/db/%d-%d", w, i), fmt.Sprintf(`{"i":%d}`, i))
				s.must(200, "POST", "/db/_changes?filter=_selector&limit=3", `{"selector":{"i":{"$gte":0}}}`)
			}
		})
	}
	group.Wait()
}
