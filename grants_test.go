package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
)

const twoTokens = `
tokens:
- {token: one, id: first, subject: alice, databases: [{match: todos}, {match: shared, database: common}]}
- {token: two, id: second, subject: bob, databases: [{match: todos}]}
`

func TestRevoke(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", map[string]string{
		"LISTEN": "127.0.0.1:0", "ADMIN_LISTEN": "127.0.0.1:0", "POLICY": "static", "STATIC_FILE": file(t, twoTokens),
		"COUCHDB_URL": store(t, "pw", "todos", "common").String(),
	})
	grants := p.listening["admin_url"].(string) + "/grants"
	for _, tt := range []struct {
		name, method, query string
		status              int
		answer              string
	}{
		{"nothing", http.MethodDelete, "", http.StatusBadRequest, "there is no parameter"},
		{"unknown parameter", http.MethodDelete, "?subject=alice&user=alice", http.StatusBadRequest, `the parameter "user" is unknown`},
		{"empty parameter", http.MethodDelete, "?subject=", http.StatusBadRequest, `the parameter "subject" is unknown, empty`},
		{"parameter twice", http.MethodDelete, "?subject=a&subject=b", http.StatusBadRequest, "there twice"},
		{"no query", http.MethodDelete, "?subject=%zz", http.StatusBadRequest, "cannot be read"},
		{"semicolon", http.MethodDelete, "?subject=a;database=b", http.StatusBadRequest, "cannot be read"},
		{"read", http.MethodGet, "?subject=alice", http.StatusMethodNotAllowed, ""},
		{"post", http.MethodPost, "?subject=alice", http.StatusMethodNotAllowed, ""},
		{"nobody", http.MethodDelete, "?subject=carol", http.StatusOK, "{\"revoked\":0}\n"},
	} {
		if status, answer := send(t, tt.method, grants+tt.query, ""); status != tt.status || !strings.Contains(answer, tt.answer) {
			t.Errorf("%s: %d %s; want %d %s", tt.name, status, answer, tt.status, tt.answer)
		}
	}

	a := connect(t, p.listening["url"].(string), nil)
	sessions := map[string]string{}
	for name, credentials := range map[string]string{"todos of one": `{"token":"one"}`, "todos of two": `{"token":"two"}`} {
		sessions[name] = granted(t, a, "todos", credentials)
	}
	sessions["common of one"] = granted(t, a, "shared", `{"token":"one"}`)
	for _, step := range []struct {
		query, revoked string
		over           []string
	}{
		{"?subject=alice&token_id=second", `{"revoked":0}`, nil},
		{"?database=common", `{"revoked":1}`, []string{"common of one"}},
		{"?database=todos&token_id=first", `{"revoked":1}`, []string{"todos of one"}},
		{"?subject=bob", `{"revoked":1}`, []string{"todos of two"}},
	} {
		if status, answer := send(t, http.MethodDelete, grants+step.query, ""); status != http.StatusOK || strings.TrimSpace(answer) != step.revoked {
			t.Errorf("%s: %d %s, want %s", step.query, status, answer, step.revoked)
		}
		for _, name := range step.over {
			if failure, _ := a.call(sessions[name], "_info", "[]"); !strings.Contains(failure, "the permission was revoked") {
				t.Errorf("%s: a call of %s fails with %s", step.query, name, failure)
			}
			delete(sessions, name)
		}
		for name, stream := range sessions {
			if failure, _ := a.call(stream, "_info", "[]"); failure != "null" {
				t.Errorf("%s: a call of %s fails with %s", step.query, name, failure)
			}
		}
	}
	if line := p.log.wait(t, "grants revoked"); line["subject"] != "carol" || line["revoked"] != 0.0 {
		t.Errorf("logged %v", line)
	}
}

// TestRevokeForgets wants no grant from an endpoint's remembered answer after it was revoked.
func TestRevokeForgets(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, `{"database":"todos","access":"read-write","subject":"alice"}`)
	}))
	t.Cleanup(endpoint.Close)
	p := start(t, "serve", map[string]string{
		"LISTEN": "127.0.0.1:0", "ADMIN_LISTEN": "127.0.0.1:0", "POLICY": "webhook", "WEBHOOK_URL": endpoint.URL, "WEBHOOK_MAX_AGE": "1m",
		"COUCHDB_URL": store(t, "pw", "todos").String(),
	})
	a := connect(t, p.listening["url"].(string), nil)
	for range 2 {
		granted(t, a, "todos", "{}")
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("before: asked %d times, want once", n)
	}
	if status, answer := send(t, http.MethodDelete, p.listening["admin_url"].(string)+"/grants?subject=alice", ""); status != http.StatusOK || strings.TrimSpace(answer) != `{"revoked":2}` {
		t.Errorf("%d %s", status, answer)
	}
	granted(t, a, "todos", "{}")
	if n := asked.Load(); n != 2 {
		t.Errorf("after: asked %d times in all, want twice", n)
	}
}

// granted asks for a database that must be granted.
func granted(t *testing.T, a *asker, database, credentials string) (stream string) {
	t.Helper()
	stream, refusal := a.ask(database, credentials)
	if refusal != "" {
		t.Fatalf("%s is refused: %s", database, refusal)
	}
	return stream
}

// A change of the file of tokens is found, one with faults changes nothing, and the sessions of a token that is gone end.
func TestStaticFileChanges(t *testing.T) {
	t.Parallel()
	tokens := file(t, twoTokens)
	p := start(t, "serve", map[string]string{
		"LISTEN": "127.0.0.1:0", "POLICY": "static", "STATIC_FILE": tokens, "COUCHDB_URL": store(t, "pw", "todos").String(),
	})
	a := connect(t, p.listening["url"].(string), nil)
	one, two := granted(t, a, "todos", `{"token":"one"}`), granted(t, a, "todos", `{"token":"two"}`)

	replace(t, tokens, "tokens:\n- token: three\n- token: four\n")
	line := p.log.wait(t, "the file of the policy static is not usable")
	if faults, _ := line["faults"].([]any); len(faults) != 2 || faults[1] != "tokens[1].databases: must list at least one database" {
		t.Errorf("logged %v", line)
	}
	for _, stream := range []string{one, two} {
		if failure, _ := a.call(stream, "_info", "[]"); failure != "null" {
			t.Errorf("after a broken file a call fails with %s", failure)
		}
	}

	replace(t, tokens, strings.Replace(twoTokens, "token: two", "token: three", 1))
	if line := p.log.wait(t, "the file of the policy static was read again"); line["revoked"] != 1.0 {
		t.Errorf("logged %v", line)
	}
	if failure, _ := a.call(two, "_info", "[]"); !strings.Contains(failure, "the permission was revoked") {
		t.Errorf("a call with a token that is gone fails with %s", failure)
	}
	if failure, _ := a.call(one, "_info", "[]"); failure != "null" {
		t.Errorf("a call with a token that stays fails with %s", failure)
	}
	granted(t, a, "todos", `{"token":"three"}`)
	if _, refusal := a.ask("todos", `{"token":"two"}`); refusal != "unknown token" {
		t.Errorf("the token that is gone is refused with %q", refusal)
	}
}

// replace puts a new file in the place of another, as editors do.
func replace(t *testing.T, name, content string) {
	t.Helper()
	if err := os.Rename(file(t, content), name); err != nil {
		t.Fatal(err)
	}
}
