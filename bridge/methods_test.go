package bridge_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pouchbridge/auth"
	"pouchbridge/bridge"
)

// samples are calls of every method of the legacy dialect, with each kind of
// arguments that makes a difference.
var samples = map[string][]string{
	"_id":              {`[]`},
	"_info":            {`[]`},
	"get":              {`["_local/ck"]`, `["a",{"open_revs":["1-a"],"revs":true}]`},
	"_getRevisionTree": {`["a"]`},
	"allDocs":          {`[{"keys":["a"],"include_docs":true}]`},
	"_changes":         {`[1,{"since":0}]`, `[2,{"since":0,"live":true}]`},
	"destroy":          {`[]`},
	"_bulkDocs": {
		`[{"docs":[{"_id":"a","_rev":"1-a"}],"new_edits":false}]`,
		`[{"docs":[{"_id":"a","_rev":"2-b","_deleted":true,"_revisions":{"start":2,"ids":["b","a"]}}],"new_edits":false}]`,
		`[{"docs":[{"_id":"_design/a","_rev":"1-a"}],"new_edits":false}]`,
		`[{"docs":[{"_id":"a"}]},{"new_edits":true}]`,
		`[{"docs":[{"_id":"_local/ck","x":1}]},{"new_edits":true}]`,
		`[{"docs":[{"_id":"_local/ck","x":1},{"_id":"a","_rev":"1-a"}],"new_edits":false}]`,
	},
}

// methods are the names that the dialect's source takes, so that a new one
// fails here until its samples are given.
func methods(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "wire/legacy/call.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	ast.Inspect(file, func(n ast.Node) bool {
		f, ok := n.(*ast.FuncDecl)
		if !ok || f.Name.Name != "op" {
			return true
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if c, ok := n.(*ast.CaseClause); ok {
				for _, e := range c.List {
					name, err := strconv.Unquote(e.(*ast.BasicLit).Value)
					if err != nil {
						t.Fatal(err)
					}
					names = append(names, name)
				}
			}
			return true
		})
		return false
	})
	if len(names) < 5 {
		t.Fatalf("only %v were found in the source", names)
	}
	return names
}

// watchWrites reports requests that write, by what a session may still write.
func (u *upstream) watchWrites(checkpoints bool) (seen func() []string) {
	var mu sync.Mutex
	var writes []string
	u.hold(func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		endpoint := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		reads := r.Method == http.MethodGet || r.Method == http.MethodPost &&
			(endpoint == "_all_docs" || endpoint == "_bulk_get" || endpoint == "_changes" || endpoint == "_revs_diff")
		if !reads && !(checkpoints && r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/_local/")) {
			writes = append(writes, r.Method+" "+r.URL.Path)
		}
		return true
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return writes
	}
}

// callAll makes every sample call; the answers do not matter.
func (ch *channel) callAll(t *testing.T) {
	t.Helper()
	for _, method := range methods(t) {
		if len(samples[method]) == 0 {
			t.Fatalf("the dialect has a method %s, and no samples of it are here", method)
		}
		for _, args := range samples[method] {
			ch.post(method, args)
		}
	}
}

func TestNoMethodWritesReadOnly(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newBridge(t, u, u.grantOwn(auth.Grant{Access: auth.ReadOnly, DesignDocs: true}), bridge.Options{})
	ch := dial(t, f.http).open("x")
	writes := u.watchWrites(true)
	ch.callAll(t)
	if r := ch.until("_info", `[]`); r.err != "null" {
		t.Errorf("the session is not alive after all calls: %v", r)
	}
	if got := writes(); len(got) != 0 {
		t.Errorf("a read-only session wrote: %v", got)
	}
}

func TestNoMethodWritesRevoked(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newBridge(t, u, u.grantOwn(auth.Grant{Subject: "alice", DesignDocs: true}), bridge.Options{})
	ch := dial(t, f.http).open("x")
	if n := f.server.Revoke(bridge.Revocation{Subject: "alice"}); n != 1 {
		t.Fatalf("%d revoked", n)
	}
	writes := u.watchWrites(false)
	ch.callAll(t)
	for {
		if e := ch.next(ch.id); text(e[0]) == "close" {
			break
		}
	}
	if got := writes(); len(got) != 0 {
		t.Errorf("a revoked session wrote: %v", got)
	}
}

// until makes a call and passes over everything else until its answer.
func (ch *channel) until(method, args string) reply {
	ch.t.Helper()
	want := strconv.Itoa(ch.post(method, args))
	for {
		data := string(ch.data())
		if strings.HasPrefix(data, "["+want+",[null,") {
			return reply{err: "null"}
		}
		if strings.HasPrefix(data, "["+want+",") {
			return reply{err: data}
		}
	}
}
