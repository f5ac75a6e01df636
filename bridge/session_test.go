package bridge_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"pouchbridge/auth"
	"pouchbridge/bridge"
	"pouchbridge/couch"
)

const missing = `{"message":"missing","status":404,"name":"not_found","error":true}`

// TestCalls makes every call that a client makes, in the order of a first sync.
func TestCalls(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ch := dial(t, f.http).open("todos")

	id, err := f.db.ID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := func(method, args, result string) {
		t.Helper()
		if r := ch.call(method, args); r.err != "null" || r.result != result {
			t.Errorf("%s %s: got %s, %s, want %s", method, args, r.err, r.result, result)
		}
	}
	wantErr := func(method, args, err string) {
		t.Helper()
		if r := ch.call(method, args); r.err != err || r.result != "null" {
			t.Errorf("%s %s: got %s, %s, want error %s", method, args, r.err, r.result, err)
		}
	}
	want("_id", "[]", fmt.Sprintf("%q", id))
	wantErr("get", `["_local/ck"]`, missing)
	want("_bulkDocs", `[{"docs":[{"_id":"_local/ck","last_seq":0}]},{"new_edits":true}]`, `[{"ok":true,"id":"_local/ck","rev":"0-1"}]`)
	want("get", `["_local/ck"]`, `{"_id":"_local/ck","_rev":"0-1","last_seq":0}`)
	wantErr("_getRevisionTree", `["ü/1?#%"]`, missing)
	if rows := ch.push(`{"_id":"ü/1?#%","_rev":"1-a1","n":1.0}`,
		`{"_id":"c","_rev":"2-b2","_revisions":{"start":2,"ids":["b2","a1"]}}`, `{"_id":"c","_rev":"2-c3","_revisions":{"start":2,"ids":["c3","a1"]}}`,
		`{"_id":"gone","_rev":"1-d4","_deleted":true}`); rows != "[]" {
		t.Errorf("_bulkDocs: %s", rows)
	}
	want("_getRevisionTree", `["ü/1?#%"]`, `[{"pos":1,"ids":["a1",{"status":"available"},[]]}]`)
	want("allDocs", `[{"keys":["ü/1?#%","c","gone","never"],"include_docs":true}]`,
		`{"offset":0,"total_rows":2,"rows":[{"id":"ü/1?#%","key":"ü/1?#%","value":{"rev":"1-a1"},"doc":{"_id":"ü/1?#%","_rev":"1-a1","n":1.0}},`+
			`{"id":"c","key":"c","value":{"rev":"2-c3"},"doc":null},`+
			`{"id":"gone","key":"gone","value":{"rev":"1-d4","deleted":true},"doc":null},{"key":"never","error":"not_found"}]}`)
	want("get", `["c",{"open_revs":["2-b2","9-nope"],"revs":true}]`,
		`[{"ok":{"_id":"c","_rev":"2-b2","_revisions":{"start":2,"ids":["b2","a1"]}}},{"missing":"9-nope"}]`)
	want("get", `["never",{"open_revs":"all","revs":true}]`, `[]`)
	wantErr("destroy", "[]", `{"message":"a database cannot be destroyed through the bridge","status":403,"name":"forbidden","error":true}`)

	var info struct {
		DocCount  int    `json:"doc_count"`
		UpdateSeq string `json:"update_seq"`
	}
	if err := json.Unmarshal([]byte(ch.call("_info", "[]").result), &info); err != nil || info.DocCount != 2 || info.UpdateSeq == "" {
		t.Errorf("_info: %+v, %v", info, err)
	}
}

// TestChanges reads a database in pages and then live.
func TestChanges(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ch := dial(t, f.http).open("todos")
	for i := range 5 {
		ch.push(fmt.Sprintf(`{"_id":"d%d","_rev":"1-a"}`, i))
	}
	seen := map[string]bool{}
	since := "0"
	for pages := 0; ; pages++ {
		seq := ch.post("_changes", fmt.Sprintf(`[%d,{"since":%s,"limit":2}]`, pages, since))
		if got, r := ch.reply(); got != seq || r != (reply{"null", "null"}) {
			t.Fatalf("_changes is answered %d %v", got, r)
		}
		n := 0
		name, value := ch.event()
		for ; name == "change"; name, value = ch.event() {
			n++
			id, seq := row(t, value)
			seen[id] = true
			since = seq
		}
		if name != "complete" || n > 2 {
			t.Fatalf("a page of 2 has %d rows and ends with %s %s", n, name, value)
		}
		if n == 0 {
			break
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d documents were seen: %v", len(seen), seen)
	}

	ch.post("_changes", fmt.Sprintf(`[9,{"since":%s,"limit":1,"live":true,"continuous":true}]`, since))
	ch.reply()
	for i := range 3 {
		id := fmt.Sprintf("live%d", i)
		other := dial(t, f.http).open("todos")
		other.push(fmt.Sprintf(`{"_id":"%s","_rev":"1-a"},{"_id":"%s","_rev":"1-b"}`, id, id))
		name, value := ch.event()
		if got, _ := row(t, value); name != "change" || got != id || !strings.Contains(value, `"1-b"`) {
			t.Errorf("got %s %s, want a change of %s with all leaves", name, value, id)
		}
	}
	eventually(t, "one feed is open", func() bool { return f.feeds.Load() == 1 })
	ch.send(`["%s","close"]`+"\n", ch.id)
	if e := ch.next(ch.id); text(e[0]) != "close" {
		t.Errorf("a close is answered with %s", e)
	}
	eventually(t, "the feed of the closed channel has ended", func() bool { return f.feeds.Load() == 0 })
}

func row(t *testing.T, value string) (id, seq string) {
	t.Helper()
	var r struct {
		ID  string
		Seq json.RawMessage
	}
	if err := json.Unmarshal([]byte(value), &r); err != nil {
		t.Fatal(err)
	}
	return r.ID, string(r.Seq)
}

func TestDatabaseDeletedUnderFeed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ch := dial(t, f.http).open("todos")
	ch.post("_changes", `[0,{"since":0,"live":true}]`)
	ch.reply()
	eventually(t, "the feed is open", func() bool { return f.feeds.Load() == 1 })
	if err := f.client.DeleteDatabase(t.Context(), f.name); err != nil {
		t.Fatal(err)
	}
	name, value := ch.event()
	if want := `{"message":"Database does not exist.","status":404,"name":"not_found","error":true}`; name != "error" || value != want {
		t.Errorf("got %s %s, want error %s", name, value, want)
	}
	if r := ch.call("get", `["_local/ck"]`); r.err == missing || !strings.Contains(r.err, "Database does not exist.") {
		t.Errorf("a checkpoint of a database that is gone: %s", r.err)
	}
}

func TestGrantLimits(t *testing.T) {
	t.Parallel()
	refused := func(id, reason string) string {
		return fmt.Sprintf(`[{"id":%q,"rev":"1-a","error":true,"status":403,"name":"forbidden","message":%q,"reason":%q}]`, id, reason, reason)
	}
	tests := []struct {
		name  string
		grant auth.Grant
		doc   string
		want  string
	}{
		{"read-write", auth.Grant{}, "a", "[]"},
		{"read-only", auth.Grant{Access: auth.ReadOnly}, "a", refused("a", "this database is read-only here")},
		{"design document", auth.Grant{}, "_design/a", refused("_design/a", "design documents cannot be written here")},
		{"design document, allowed", auth.Grant{DesignDocs: true}, "_design/a", "[]"},
		{"design document, read-only", auth.Grant{DesignDocs: true, Access: auth.ReadOnly}, "_design/a", refused("_design/a", "this database is read-only here")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			f := newBridge(t, u, u.grantOwn(tt.grant), bridge.Options{})
			ch := dial(t, f.http).open("x")
			if got := ch.push(fmt.Sprintf(`{"_id":%q,"_rev":"1-a"}`, tt.doc)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			_, err := u.db.Get(t.Context(), tt.doc, couch.GetOptions{})
			if written := err == nil; written != (tt.want == "[]") {
				t.Errorf("written: %t", written)
			}
			if r := ch.call("_bulkDocs", `[{"docs":[{"_id":"_local/ck","last_seq":1}]},{"new_edits":true}]`); r.err != "null" {
				t.Errorf("a checkpoint cannot be written: %s", r.err)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	policy := auth.PolicyFunc(func(_ context.Context, r auth.Request) (auth.Grant, error) {
		switch string(r.Credentials) {
		case `"refused"`:
			return auth.Grant{}, &auth.Refusal{Code: auth.Forbidden, Message: "not with me"}
		case `"broken"`:
			return auth.Grant{}, errors.New("dial tcp 10.0.0.7: connection refused")
		case `"panics"`:
			panic("secret")
		case `"elsewhere"`:
			return auth.Grant{Upstream: "moon", Database: u.name, Access: auth.ReadWrite}, nil
		case `"bad name"`:
			return auth.Grant{Database: "../etc", Access: auth.ReadWrite}, nil
		case `"absent"`:
			return auth.Grant{Database: u.name + "-absent", Access: auth.ReadWrite}, nil
		default:
			return auth.Grant{Database: u.name, Access: auth.ReadWrite}, nil
		}
	})
	f := newBridge(t, u, policy, bridge.Options{})
	c := dial(t, f.http)
	const undecided = "access could not be decided, try again later"
	for credentials, want := range map[string]string{
		`"refused"`:   "not with me",
		`"broken"`:    undecided,
		`"panics"`:    undecided,
		`"elsewhere"`: "there is no such database",
		`"bad name"`:  "there is no such database",
		`"absent"`:    "there is no such database",
	} {
		if got := c.denied("x", credentials); got != want {
			t.Errorf("%s: got %q, want %q", credentials, got, want)
		}
	}
	c.open("x") // the connection is still good
}

func TestCreate(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	if err := u.client.DeleteDatabase(t.Context(), u.name); err != nil {
		t.Fatal(err)
	}
	f := newBridge(t, u, u.grantOwn(auth.Grant{Create: &auth.Creation{}}), bridge.Options{})
	c := dial(t, f.http)
	if got := c.open("x").push(`{"_id":"a","_rev":"1-a"}`); got != "[]" {
		t.Errorf("got %s", got)
	}
	c.open("x") // it is there already
}

// TestMalformed breaks one session, then the connection; a neighbour goes on.
func TestMalformed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	neighbour := dial(t, f.http).open("x")
	c := dial(t, f.http)
	one, two := c.open("x"), c.open("x")
	one.send(`["%s","data",{"not":"a call"}]`+"\n", one.id)
	if got := string(one.data()); got != `[-1,[{"message":"require an array"}]]` {
		t.Errorf("got %s", got)
	}
	for _, want := range []string{"end", "close"} {
		if e := one.next(one.id); text(e[0]) != want {
			t.Errorf("got %s, want %s", e, want)
		}
	}
	if r := two.call("_bulkDocs", `[{"docs":7,"new_edits":false}]`); !strings.Contains(r.err, `"bad_request"`) {
		t.Errorf("got %v", r)
	}
	if r := two.call("_info", "[]"); r.err != "null" {
		t.Errorf("the other session on the connection: %s", r.err)
	}
	c.send("this is no JSON\n")
	if code := c.closedWith(); code != websocket.StatusInvalidFramePayloadData {
		t.Errorf("closed with %d", code)
	}
	f.closedFor("protocol")
	if r := neighbour.call("_info", "[]"); r.err != "null" {
		t.Errorf("the other connection: %s", r.err)
	}
}

// TestKeepAttachments edits a document as a client that was given it without
// its attachments.
func TestKeepAttachments(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ch := dial(t, f.http).open("x")
	attachments := func(id string) map[string]bool {
		t.Helper()
		raw, err := f.db.Get(t.Context(), id, couch.GetOptions{})
		var doc struct {
			Attachments map[string]any `json:"_attachments"`
		}
		if err = errors.Join(err, json.Unmarshal(raw, &doc)); err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for name := range doc.Attachments {
			names[name] = true
		}
		return names
	}
	push := func(docs ...string) {
		t.Helper()
		if rows := ch.push(docs...); rows != "[]" {
			t.Fatal(rows)
		}
	}
	const f1 = `"f":{"content_type":"text/plain","data":{"type":"Buffer","data":[104,105]}}`
	push(`{"_id":"a","_rev":"1-a","_attachments":{`+f1+`}}`, `{"_id":"b","_rev":"1-a","_attachments":{`+f1+`}}`, `{"_id":"c","_rev":"1-a"}`)

	if r := ch.call("get", `["a",{"open_revs":["1-a"],"revs":true}]`); strings.Contains(r.result, "_attachments") {
		t.Errorf("a client that cannot take attachments gets %s", r.result)
	}
	push(`{"_id":"a","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]},"v":2}`,
		// Edited twice while away, and given an attachment of its own.
		`{"_id":"b","_rev":"3-c","_revisions":{"start":3,"ids":["c","b","a"]},"_attachments":{"g":{"content_type":"text/plain","data":"aGk="}}}`,
		`{"_id":"c","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]}}`)
	for id, want := range map[string]map[string]bool{"a": {"f": true}, "b": {"f": true, "g": true}, "c": {}} {
		if diff := cmp.Diff(want, attachments(id)); diff != "" {
			t.Errorf("attachments of %s (-want +got):\n%s", id, diff)
		}
	}
	push(`{"_id":"a","_rev":"3-c","_revisions":{"start":3,"ids":["c","b","a"]},"_deleted":true}`)

	// A client that takes attachments means what it does not send.
	r := ch.call("get", `["b",{"open_revs":["3-c"],"revs":true,"attachments":true}]`)
	if !strings.Contains(r.result, `"data":"aGk="`) {
		t.Errorf("a client that takes attachments gets %s", r.result)
	}
	push(`{"_id":"b","_rev":"4-d","_revisions":{"start":4,"ids":["d","c","b","a"]}}`)
	if got := attachments("b"); len(got) != 0 {
		t.Errorf("attachments that were removed are still there: %v", got)
	}
}

// TestIdleCheckpoint writes the checkpoint of an idle reconnect.
func TestIdleCheckpoint(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ch := dial(t, f.http).open("x")
	put := func(doc string) {
		t.Helper()
		if r := ch.call("_bulkDocs", `[{"docs":[`+doc+`]},{"new_edits":true}]`); r.err != "null" {
			t.Fatal(r.err)
		}
	}
	put(`{"_id":"_local/ck","session_id":"s0","history":[{"session_id":"s0"}]}`)
	put(`{"_id":"_local/ck","_rev":"0-1","session_id":"s1","history":[{"session_id":"s1","last_seq":"5-x"}],"last_seq":"5-x"}`)
	put(`{"_id":"_local/ck","_rev":"0-2","session_id":"s2","history":[{"session_id":"s2"},{"session_id":"s1","last_seq":"5-x"}]}`)
	got := ch.call("get", `["_local/ck"]`).result
	want := `{"_id":"_local/ck","_rev":"0-3","session_id":"s2","history":[{"session_id":"s1","last_seq":"5-x"}],"last_seq":"5-x"}`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPlainRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	upgrade := func(extra ...string) http.Header {
		h := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"MDEyMzQ1Njc4OWFiY2RlZg=="}}
		for i := 0; i < len(extra); i += 2 {
			h.Set(extra[i], extra[i+1])
		}
		return h
	}
	tests := []struct {
		path   string
		header http.Header
		status int
		body   string
	}{
		{"/", nil, http.StatusUpgradeRequired, "ws://"},
		{"/healthz", nil, http.StatusOK, "ok"},
		{"/", upgrade("Origin", "https://evil.example"), http.StatusForbidden, "not authorized"},
		{"/", upgrade("Sec-Websocket-Protocol", "mqtt"), http.StatusBadRequest, "unknown websocket subprotocol"},
	}
	for _, tt := range tests {
		status, body, _ := get(t, f.http.URL+tt.path, tt.header)
		if status != tt.status || !strings.Contains(body, tt.body) {
			t.Errorf("%s %v: got %d %s, want %d %s", tt.path, tt.header, status, body, tt.status, tt.body)
		}
	}
}
