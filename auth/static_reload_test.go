package auth

import (
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The same file in YAML and in JSON is the same policy.
func TestParseStaticYAML(t *testing.T) {
	t.Parallel()
	var policies [2]*Static
	for i, name := range []string{"testdata/static.json", "testdata/static.yaml"} {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if policies[i], err = ParseStatic(file, []string{"eu"}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(policies[0], policies[1], cmp.AllowUnexported(Static{}, holder{}, rule{}, pattern{})); diff != "" {
		t.Errorf("policies (-JSON +YAML):\n%s", diff)
	}
}

func TestStaticAbstains(t *testing.T) {
	t.Parallel()
	policy, err := ParseStatic([]byte(`{"tokens":[{"token":"t","databases":[{"match":"a","access":"write-only"}]}]}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	for credentials, abstains := range map[string]bool{`{}`: true, `null`: true, `{"name":"a","password":"b"}`: true, `{"token":"a.b.c"}`: true, `{"token":"t"}`: false} {
		_, err := policy.OnRequest(t.Context(), Request{Credentials: json.RawMessage(credentials), Database: "b"})
		if err == nil || errors.Is(err, Abstain) != abstains {
			t.Errorf("%s: %v, abstains %t; want %t", credentials, err, errors.Is(err, Abstain), abstains)
		}
	}
	if g, err := policy.OnRequest(t.Context(), Request{Credentials: json.RawMessage(`{"token":"t"}`), Database: "a"}); err != nil || g.Access != WriteOnly {
		t.Errorf("drop box: %v, %v", g.Access, err)
	}
}

// changingFile is what StaticFile reads in a test.
type changingFile struct {
	content string
	err     error
}

func (f *changingFile) read() ([]byte, error) { return []byte(f.content), f.err }

func TestStaticFile(t *testing.T) {
	t.Parallel()
	const (
		ab      = "tokens:\n- {token: ta, id: a, databases: [{match: x}]}\n- {token: tb, id: b, databases: [{match: x}]}\n"
		onlyA   = "tokens:\n- {token: ta, id: a, databases: [{match: x}]}\n"
		rotated = "tokens:\n- {token: new, id: a, databases: [{match: x}]}\n"
		reader  = "tokens:\n- {token: new, id: a, databases: [{match: x, access: read-only}]}\n"
		broken  = "tokens: 1\n"
	)
	missing := errors.New("no such file")
	file := &changingFile{content: ab}
	policy, err := OpenStatic(file.read, nil)
	if err != nil {
		t.Fatal(err)
	}
	knows := func(token string) bool {
		_, err := policy.OnRequest(t.Context(), Request{Credentials: json.RawMessage(`{"token":"` + token + `"}`), Database: "x"})
		return err == nil
	}
	for i, step := range []struct {
		look    bool
		content string
		err     error

		reloaded bool
		gone     []string
		fails    bool
		known    string // a token that opens x afterwards
		unknown  string
	}{
		{look: true, content: ab, known: "tb"},
		{look: true, content: onlyA, known: "tb"}, // it may still be being written
		{look: true, content: onlyA, reloaded: true, gone: []string{"b"}, known: "ta", unknown: "tb"},
		{look: true, content: broken, known: "ta"},
		{look: true, content: broken, fails: true, known: "ta"},
		{look: true, content: broken, known: "ta"}, // said once
		{look: false, content: broken, fails: true, known: "ta"},
		{look: true, err: missing, fails: true, known: "ta"},
		{look: true, err: missing, known: "ta"},
		{look: false, err: missing, fails: true, known: "ta"},
		{look: true, content: rotated, known: "ta"},
		{look: true, content: rotated, reloaded: true, gone: []string{"a"}, known: "new", unknown: "ta"},
		{look: false, content: reader, reloaded: true, gone: []string{"a"}, known: "new"},
		{look: false, content: reader, reloaded: true, known: "new"},
		{look: true, content: reader, known: "new"},
	} {
		file.content, file.err = step.content, step.err
		take := policy.Reload
		if step.look {
			take = policy.Look
		}
		reloaded, gone, err := take()
		if reloaded != step.reloaded || (err != nil) != step.fails {
			t.Errorf("step %d: reloaded %t, %v", i, reloaded, err)
		}
		if diff := cmp.Diff(step.gone, gone); diff != "" {
			t.Errorf("step %d: gone (-want +got):\n%s", i, diff)
		}
		if !knows(step.known) || step.unknown != "" && knows(step.unknown) {
			t.Errorf("step %d: %q is known %t, %q %t", i, step.known, knows(step.known), step.unknown, knows(step.unknown))
		}
	}
	if _, err := OpenStatic((&changingFile{content: broken}).read, nil); err == nil {
		t.Error("a broken file is opened")
	}
}
