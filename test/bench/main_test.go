package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := runRole(context.Background(), role, os.Args[1:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ args, want string }{
		{"", ""},
		{"-run pull|push -docs 100 -sessions 1,20 -settle 1s", ""},
		{"-write file", ""},
		{"-docs 0", "-docs is 0; it must be at least 1"},
		{"-sessions 1,x", `-sessions: "x" is not a positive number`},
		{"-sessions 0", `-sessions: "0" is not a positive number`},
		{"-run (", "-run: error parsing regexp"},
		{"-run pull -write file", "-write replaces all tables: leave out -run"},
		{"file", `unexpected argument "file"`},
		{"-what", "flag provided but not defined: -what"},
	} {
		_, err := parseOptions(strings.Fields(tt.args), io.Discard)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.args, err, tt.want)
		}
	}
}

// Only this machine is loaded, and no error shows a password.
func TestParseLoopback(t *testing.T) {
	t.Parallel()
	for url, ok := range map[string]bool{
		"http://admin:s3cr3t@127.0.0.1:5984": true, "http://127.1.2.3:5984/": true, "http://[::1]:5984": true, "http://localhost:5984": true,
		"http://admin:s3cr3t@db.example.com:5984": false, "http://admin:s3cr3t@10.0.0.1:5984": false, "http://localhost.example.com:5984": false,
		"https://admin:s3cr3t@127.0.0.1:6984": false, "http://admin:s3cr3t@127.0.0.1": false, "http://admin:s3%cr3t@127.0.0.1:1": false,
	} {
		_, err := parseLoopback(url)
		if (err == nil) != ok || err != nil && strings.Contains(err.Error(), "s3") {
			t.Errorf("%s: %v, want it accepted: %t", url, err, ok)
		}
	}
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, doc := range documents(12) {
		if len(doc) != 200 || seen[string(doc)] {
			t.Errorf("%s has %d bytes, or was there before", doc, len(doc))
		}
		seen[string(doc)] = true
	}
}
