package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pouchbridge/auth"
)

// What deploy/setup.sh makes is a configuration that serve takes, the token it prints opens databases, and a second run
// changes nothing.
func TestDeploySetup(t *testing.T) {
	t.Parallel()
	couchdb, bridge := t.TempDir(), t.TempDir()
	setup := func() string {
		out, err := exec.Command("bash", "deploy/setup.sh", couchdb, bridge).CombinedOutput()
		if err != nil {
			t.Fatalf("deploy/setup.sh (it needs bash and coreutils: apt-get install bash coreutils): %v\n%s", err, out)
		}
		return string(out)
	}
	printed := regexp.MustCompile(`not shown again: ([0-9a-f]{48})\n`).FindStringSubmatch(setup())
	if printed == nil {
		t.Fatal("no token was printed")
	}
	first := contents(t, couchdb, bridge)
	if out := setup(); out != "" {
		t.Errorf("the second run prints %q", out)
	}
	if second := contents(t, couchdb, bridge); second != first {
		t.Errorf("the second run made\n%s\nof\n%s", second, first)
	}

	s, err := configure(environment(map[string]string{
		"COUCHDB_URL_FILE": filepath.Join(bridge, "couchdb_url"), "POLICY": "static", "STATIC_FILE": filepath.Join(bridge, "static.json"),
	}), "serve", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if got := s.upstream.String(); got != "http://couchdb:5984" {
		t.Errorf("CouchDB is %s", got)
	}
	for token, ok := range map[string]bool{printed[1]: true, "": false, strings.Repeat("0", 48): false} {
		g, err := s.policy.OnRequest(t.Context(), auth.Request{Credentials: []byte(`{"token":"` + token + `"}`), Database: "todos"})
		if (err == nil) != ok || ok && (g.Database != "todos" || g.Access != auth.ReadWrite || g.DesignDocs) {
			t.Errorf("the token %q gets %+v, %v", token, g, err)
		}
	}
}

// contents are the files of the directories, one after the other, none of which others may read.
func contents(t *testing.T, dirs ...string) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			info, err := entry.Info()
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has the mode %v", entry.Name(), info.Mode())
			}
			b, err := os.ReadFile(filepath.Join(dir, entry.Name()))
			if err != nil {
				t.Fatal(err)
			}
			all.WriteString(entry.Name() + ":\n" + string(b) + "\n")
		}
	}
	return all.String()
}
