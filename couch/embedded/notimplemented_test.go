package embedded

import (
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestNotImplemented walks everything the store leaves out: each answers 501, and the package comment names it.
func TestNotImplemented(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(file.Doc.Text(), "# What it does not do")
	list, _, found := strings.Cut(list, "# Where it differs")
	if !found {
		t.Fatal("the package comment has no list")
	}
	s := newServer(t, Options{})
	s.must(201, "PUT", "/db", "")
	check := func(method, path, name string) {
		s.wants(`"error":"not_implemented"`, method, path, "{}")
		if !strings.Contains(strings.NewReplacer(",", " ", ";", " ", "\n", " ").Replace(list)+" ", name+" ") {
			t.Errorf("the package comment does not name %s", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(notImplementedServer)) {
		check("GET", "/"+name, "/"+name)
	}
	for _, name := range slices.Sorted(maps.Keys(notImplementedDatabase)) {
		check("POST", "/db/"+name, name)
	}
	for _, name := range slices.Sorted(maps.Keys(notImplementedDesign)) {
		check("GET", "/db/_design/d/"+name+"/x", name)
	}
	check("PUT", "/_replicator", "/_replicator")
	check("GET", "/db/_changes?feed=eventsource", "feed=eventsource")
	check("GET", "/db/_changes?filter=_view", "filter=_view")
	check("COPY", "/db/a", "COPY")
	check("POST", "/db/a", "POST")
}
