package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestExampleScript(t *testing.T) {
	t.Parallel()
	users := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/users/me" || r.Header.Get("X-Api-Key") != "alice-s key" {
			http.Error(w, "unknown", http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, `{"name":"alice","admin":false}`)
	}))
	defer users.Close()
	couchdb := store(t, "pw", "news")
	p := example(t, "script.env", map[string]string{
		"COUCHDB_URL": couchdb.String(), "SCRIPT_FETCH_ALLOW": users.URL + "/users", "USERS_URL": users.URL + "/users",
	})
	a := connect(t, p.listening["url"].(string), nil)
	for _, w := range []wish{
		{database: "todos", credentials: `{"apiKey":"alice-s key"}`, upstream: "todos-alice"},
		{database: "news", credentials: `{"apiKey":"alice-s key"}`, denied: "forbidden"},
		{database: "other", credentials: `{"apiKey":"alice-s key"}`, refusal: "there are only news and todos"},
		{database: "todos", credentials: `{"apiKey":"guess"}`, refusal: "this key is not known"},
		{database: "todos", refusal: "this key is not known"},
	} {
		w.check(t, a, couchdb)
	}
}

// The server of pouch-websocket-sync's own documentation runs as it is.
func TestExampleServer(t *testing.T) {
	t.Parallel()
	couchdb := store(t, "pw")
	p := example(t, "server.env", map[string]string{"COUCHDB_URL": couchdb.String()})
	a := connect(t, p.listening["url"].(string), nil)
	for _, w := range []wish{
		{database: "todos", credentials: `{"token":"some token"}`},
		{database: "todos", credentials: `{"token":"another token"}`, refusal: "not allowed"},
		{database: "_users", credentials: `{"token":"some token"}`, refusal: "access could not be decided, try again later"},
	} {
		w.check(t, a, couchdb)
	}
}
