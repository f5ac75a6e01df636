package main

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"

	"pouchbridge/auth"
)

// What hash prints of what token prints opens databases, in a JSON file and in a YAML file.
func TestTokenAndHash(t *testing.T) {
	t.Parallel()
	var token, entry, stderr bytes.Buffer
	if err := run(t.Context(), []string{"token"}, environment(nil), nil, &token, &stderr); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`\A[A-Z2-7]{26}\n\z`).Match(token.Bytes()) {
		t.Fatalf("token prints %q", &token)
	}
	credentials := []byte(`{"token":"` + strings.TrimSpace(token.String()) + `"}`)
	if err := run(t.Context(), []string{"hash"}, environment(nil), &token, &entry, &stderr); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{
		`{"tokens":[{` + entry.String() + `,"databases":[{"match":"todos"}]}]}`,
		"tokens:\n- " + entry.String() + "  databases: [{match: todos}]\n",
	} {
		policy, err := auth.ParseStatic([]byte(file), nil)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if g, err := policy.OnRequest(t.Context(), auth.Request{Credentials: credentials, Database: "todos"}); err != nil {
			t.Errorf("%s: %+v, %v", file, g, err)
		}
	}
	if stderr.Len() > 0 {
		t.Errorf("standard error has %q", &stderr)
	}
}

func TestHashFaults(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "\n", "a\nb\n", " a", "a \n", "\ra", strings.Repeat("a", maxToken+1)} {
		var out bytes.Buffer
		err := run(t.Context(), []string{"hash"}, environment(nil), strings.NewReader(in), &out, &out)
		if err == nil || out.Len() > 0 {
			t.Errorf("%.20q: %v, output %q", in, err, &out)
		}
	}
	broken := errors.New("broken")
	if err := run(t.Context(), []string{"hash"}, environment(nil), failingReader{broken}, &bytes.Buffer{}, &bytes.Buffer{}); !errors.Is(err, broken) {
		t.Errorf("input that cannot be read: %v", err)
	}
}

type failingReader struct{ error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.error }
