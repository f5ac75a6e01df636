package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// arrows are the packages of this module with those of it that they may import. Imports go one way: from the program to
// the bridge, from the bridge to the wire, the policies and the upstream, which know nothing of the bridge nor of each
// other. Files of tests may import what they like.
var arrows = map[string][]string{
	"pouchbridge":                    {"pouchbridge/auth", "pouchbridge/bridge", "pouchbridge/couch", "pouchbridge/couch/embedded"},
	"pouchbridge/bridge":             {"pouchbridge/auth", "pouchbridge/bridge/wire", "pouchbridge/bridge/wire/legacy", "pouchbridge/couch"},
	"pouchbridge/bridge/wire":        {},
	"pouchbridge/bridge/wire/legacy": {"pouchbridge/bridge/wire"},
	"pouchbridge/auth":               {},
	"pouchbridge/couch":              {},
	"pouchbridge/couch/embedded":     {},
	"pouchbridge/test/bench":         {"pouchbridge/bridge/wire", "pouchbridge/bridge/wire/legacy", "pouchbridge/couch", "pouchbridge/couch/embedded"},
}

// confined are the modules of others that only some packages may import.
var confined = map[string][]string{
	"github.com/go-kivik/kivik/v4": {"pouchbridge/couch"},
	"go.etcd.io/bbolt":             {"pouchbridge/couch/embedded"},
	"github.com/caarlos0/env/v10":  {"pouchbridge"},
	"github.com/coder/websocket":   {"pouchbridge/bridge", "pouchbridge/test/bench"},
	"github.com/dop251/goja":       {"pouchbridge/auth", "pouchbridge/couch/embedded"},
	"github.com/golang-jwt/jwt/v5": {"pouchbridge/auth"},
	"go.yaml.in/yaml/v3":           {"pouchbridge/auth"},
}

func TestImports(t *testing.T) {
	t.Parallel()
	imports := importsOf(t, ".", "pouchbridge")
	for name := range arrows {
		if _, ok := imports[name]; !ok {
			t.Errorf("there is no package %s: the table is out of date, or the packages were not found", name)
		}
	}
	for _, v := range violations(imports) {
		t.Error(v)
	}
}

// The check finds what it is there to find.
func TestViolations(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ from, to, want string }{
		{"pouchbridge", "pouchbridge/bridge", ""},
		{"pouchbridge/bridge", "pouchbridge/bridge/wire/legacy", ""},
		{"pouchbridge/couch", "github.com/go-kivik/kivik/v4/couchdb/chttp", ""},
		{"pouchbridge/couch/embedded", "go.etcd.io/bbolt", ""},
		{"pouchbridge/auth", "net/http", ""},

		{"pouchbridge/auth", "pouchbridge/bridge", "pouchbridge/auth must not import pouchbridge/bridge"},
		{"pouchbridge/auth", "pouchbridge/couch", "pouchbridge/auth must not import pouchbridge/couch"},
		{"pouchbridge/couch", "pouchbridge/auth", "pouchbridge/couch must not import pouchbridge/auth"},
		{"pouchbridge/couch", "pouchbridge/couch/embedded", "pouchbridge/couch must not import pouchbridge/couch/embedded"},
		{"pouchbridge/bridge/wire/legacy", "pouchbridge/couch", "pouchbridge/bridge/wire/legacy must not import pouchbridge/couch"},
		{"pouchbridge/bridge/wire", "pouchbridge/bridge/wire/legacy", "pouchbridge/bridge/wire must not import pouchbridge/bridge/wire/legacy"},
		{"pouchbridge/bridge", "pouchbridge", "pouchbridge/bridge must not import pouchbridge"},
		{"pouchbridge/bridge", "pouchbridge/couch/embedded", "pouchbridge/bridge must not import pouchbridge/couch/embedded"},
		{"pouchbridge/bridge", "github.com/go-kivik/kivik/v4", "pouchbridge/bridge must not import github.com/go-kivik/kivik/v4: only pouchbridge/couch may"},
		{"pouchbridge/couch/embedded", "github.com/go-kivik/kivik/v4", "pouchbridge/couch/embedded must not import github.com/go-kivik/kivik/v4: only pouchbridge/couch may"},
		{"pouchbridge", "go.etcd.io/bbolt/errors", "pouchbridge must not import go.etcd.io/bbolt/errors: only pouchbridge/couch/embedded may"},
		{"pouchbridge/util", "fmt", "pouchbridge/util is not in the table of arrows: say there what it may import"},
	} {
		got := strings.Join(violations(map[string][]string{tt.from: {tt.to}}), "\n")
		if got != tt.want {
			t.Errorf("%s imports %s: %q, want %q", tt.from, tt.to, got, tt.want)
		}
	}
}

// Imports are read from files of every build constraint, and not from tests.
func TestImportsOf(t *testing.T) {
	t.Parallel()
	got := importsOf(t, "testdata/imports", "example")
	want := map[string][]string{"example": {"fmt"}, "example/inner": {"example", "os"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("imports (-want +got):\n%s", diff)
	}
}

// violations are the imports that arrows and confined do not allow, by package in order.
func violations(imports map[string][]string) []string {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(imports)) {
		allowed, known := arrows[name]
		if !known {
			found = append(found, name+" is not in the table of arrows: say there what it may import")
		}
		for _, imported := range imports[name] {
			if known && within(imported, "pouchbridge") && !slices.Contains(allowed, imported) {
				found = append(found, name+" must not import "+imported)
			}
			for module, importers := range confined {
				if within(imported, module) && !slices.Contains(importers, name) {
					found = append(found, fmt.Sprintf("%s must not import %s: only %s may", name, imported, strings.Join(importers, ", ")))
				}
			}
		}
	}
	return found
}

// within tells whether the package is the module's, or in it.
func within(name, module string) bool {
	return name == module || strings.HasPrefix(name, module+"/")
}

// importsOf reads what each package below root imports, whatever its build constraints; root is the package called name.
func importsOf(t *testing.T, root, name string) map[string][]string {
	t.Helper()
	imports := map[string][]string{}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		base := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != root && (base == "testdata" || base == "node_modules" || strings.HasPrefix(base, ".")):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go"):
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		pkg := path.Join(name, filepath.ToSlash(dir))
		imports[pkg], err = appendImports(imports[pkg], file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg, list := range imports {
		slices.Sort(list)
		imports[pkg] = slices.Compact(list)
	}
	return imports
}

// appendImports appends what one file imports.
func appendImports(list []string, file string) ([]string, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		list = append(list, imported)
	}
	return list, nil
}
