package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pouchbridge/auth"
	"pouchbridge/bridge"
	"pouchbridge/couch"
)

const (
	expired = `{"message":"the permission has expired","status":401,"name":"unauthorized","error":true}`
	revoked = `{"message":"the permission was revoked","status":403,"name":"forbidden","error":true}`
)

// endsWith wants the channel to be closed next.
func (ch *channel) ends() {
	ch.t.Helper()
	for _, want := range []string{"end", "close"} {
		if e := ch.next(ch.id); text(e[0]) != want {
			ch.t.Errorf("got %s, want %s", e, want)
		}
	}
}

func TestGrantExpires(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	policy := auth.PolicyFunc(func(context.Context, auth.Request) (auth.Grant, error) {
		return auth.Grant{Database: u.name, Access: auth.ReadWrite, Expires: time.Now().Add(300 * time.Millisecond)}, nil
	})
	f := newBridge(t, u, policy, bridge.Options{})
	idle := dial(t, f.http).open("x")
	live := dial(t, f.http).open("x") // expires last
	live.post("_changes", `[7,{"since":0,"live":true}]`)
	live.reply()
	if name, value := live.event(); name != "error" || value != expired {
		t.Errorf("the feed ends with %s %s", name, value)
	}
	live.ends()
	// A client between two calls learns it from the next one.
	if r := idle.call("_bulkDocs", pushA); r.err != expired {
		t.Errorf("a call after the end of the grant: %v", r)
	}
	idle.ends()
	if u.exists("a") {
		t.Error("a write after the end of the grant was made")
	}
	eventually(t, "the sessions are gone", func() bool { return f.metric("sessions") == 0 && f.feeds.Load() == 0 })
	if len(live.open("x").id) == 0 {
		t.Error("no new session on the same connection")
	}
}

func TestGrantAlreadyExpired(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newBridge(t, u, u.grantOwn(auth.Grant{Expires: time.Now().Add(-time.Second)}), bridge.Options{})
	if got := dial(t, f.http).denied("x", "{}"); got != "the permission has expired" {
		t.Errorf("got %q", got)
	}
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	policy := auth.PolicyFunc(func(_ context.Context, r auth.Request) (auth.Grant, error) {
		return auth.Grant{Database: u.name, Access: auth.ReadWrite, Subject: r.Database, TokenID: "t-" + r.Database}, nil
	})
	f := newBridge(t, u, policy, bridge.Options{})
	c := dial(t, f.http)
	alice, bob := c.open("alice"), c.open("bob")
	alice.post("_changes", `[7,{"since":0,"live":true}]`)
	alice.reply()
	for name, r := range map[string]bridge.Revocation{
		"nothing":        {},
		"another":        {Subject: "carol"},
		"not both":       {Subject: "alice", TokenID: "t-bob"},
		"other database": {Subject: "alice", Database: "x"},
	} {
		if n := f.server.Revoke(r); n != 0 {
			t.Errorf("%s: %d revoked", name, n)
		}
	}
	held := f.holdWrites()
	seq := alice.post("_bulkDocs", pushA)
	<-held.entered
	start := time.Now()
	if n := f.server.Revoke(bridge.Revocation{Subject: "alice", TokenID: "t-alice", Database: u.name}); n != 1 {
		t.Errorf("%d revoked", n)
	}
	eventually(t, "the feed has ended", func() bool { return f.feeds.Load() == 0 })
	if took := time.Since(start); took > time.Second {
		t.Errorf("the feed ended after %v", took)
	}
	late := alice.post("_bulkDocs", strings.ReplaceAll(pushA, `"a"`, `"b"`))
	bob.call("destroy", "[]") // is refused without CouchDB, once the late one was read
	close(held.pass)
	for range 2 { // the write under way is answered, the late one refused
		got, r := alice.reply()
		switch {
		case got == seq && r == reply{"null", "[]"}:
		case got == late && r == reply{revoked, "null"}:
		default:
			t.Errorf("call %d was answered %v", got, r)
		}
	}
	if name, value := alice.event(); name != "error" || value != revoked {
		t.Errorf("the feed ends with %s %s", name, value)
	}
	alice.ends()
	if !u.exists("a") || u.exists("b") {
		t.Error("the write under way was lost, or one after the revocation made")
	}
	if r := bob.call("_info", "[]"); r.err != "null" {
		t.Errorf("another subject's session: %v", r)
	}
}

// TestRevokeWhileConnecting revokes a grant before its client was told of it.
func TestRevokeWhileConnecting(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newBridge(t, u, u.grantOwn(auth.Grant{Subject: "alice"}), bridge.Options{})
	c := dial(t, f.http)
	asked, pass := make(chan struct{}, 10), make(chan struct{})
	u.hold(func(http.ResponseWriter, *http.Request) bool { asked <- struct{}{}; <-pass; return true })
	c.send(`["r","new",{}]` + "\n" + `["r","data",{"database":"x"}]` + "\n")
	<-asked
	if n := f.server.Revoke(bridge.Revocation{Subject: "alice"}); n != 1 {
		t.Errorf("%d revoked", n)
	}
	close(pass)
	if got := string(c.next("r")[1]); got != `[{"message":"the permission was revoked"}]` {
		t.Errorf("got %s", got)
	}
}

// TestRevokeWhileDeciding revokes a grant that the policy is about to give.
func TestRevokeWhileDeciding(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	deciding, revoked := make(chan struct{}), make(chan struct{})
	var asked atomic.Int64
	policy := auth.PolicyFunc(func(context.Context, auth.Request) (auth.Grant, error) {
		if asked.Add(1) > 1 {
			return auth.Grant{}, &auth.Refusal{Code: auth.Forbidden, Message: "not any more"}
		}
		close(deciding)
		<-revoked
		return auth.Grant{Database: u.name, Access: auth.ReadWrite, Subject: "alice"}, nil
	})
	f := newBridge(t, u, policy, bridge.Options{})
	c := dial(t, f.http)
	c.send(`["r","new",{}]` + "\n" + `["r","data",{"database":"x"}]` + "\n")
	<-deciding
	if n := f.server.Revoke(bridge.Revocation{Subject: "alice"}); n != 0 {
		t.Errorf("%d revoked", n)
	}
	close(revoked)
	if got := string(c.next("r")[1]); got != `[{"message":"not any more"}]` {
		t.Errorf("got %s", got)
	}
}

func TestCheckedAgain(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	var asked atomic.Int64
	var refuses atomic.Bool
	policy := auth.PolicyFunc(func(_ context.Context, r auth.Request) (auth.Grant, error) {
		if asked.Add(1); r.Previous != nil && refuses.Load() {
			if r.Previous.Database != u.name || string(r.Credentials) != "{}" {
				t.Errorf("asked again with %+v", r)
			}
			return auth.Grant{}, &auth.Refusal{Code: auth.Forbidden, Message: "you were dismissed"}
		}
		return auth.Grant{Database: u.name, Access: auth.ReadWrite}, nil
	})
	f := newBridge(t, u, policy, bridge.Options{})
	ch := dial(t, f.http).open("x")
	u.hold(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"error":"forbidden","reason":"You are not allowed to access this db."}`)
		return false
	})
	if r := ch.call("_getRevisionTree", `["a"]`); !strings.Contains(r.err, "You are not allowed to access this db.") {
		t.Errorf("a policy that still grants: %v", r)
	}
	refuses.Store(true)
	calls := int64(2)
	for ; !strings.Contains(ch.call("_getRevisionTree", `["a"]`).err, "you were dismissed"); calls++ {
		time.Sleep(50 * time.Millisecond) // not asked again at once
	}
	ch.ends()
	if n := asked.Load(); n != 3 {
		t.Errorf("the policy was asked %d times about %d refusals", n, calls)
	}
}

// TestFilter reads a database through grants that hide some of it.
func TestFilter(t *testing.T) {
	t.Parallel()
	const ddoc = `{"_id":"_design/f","_rev":"1-a","filters":{"mine":"function(doc, req) { return doc.owner === req.query.owner }"}}`
	tests := []struct {
		name   string
		filter auth.Filter
		want   []string
	}{
		{"selector", auth.Filter{Selector: []byte(`{"owner":"me"}`)}, []string{"a", "c"}},
		{"function", auth.Filter{Name: "f/mine", Query: map[string]string{"owner": "me"}}, []string{"a", "c"}},
		{"ids", auth.Filter{DocIDs: []string{"a", "c", "nowhere"}}, []string{"a", "c"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			f := newBridge(t, u, u.grantOwn(auth.Grant{Filter: tt.filter}), bridge.Options{})
			docs := []string{ddoc, `{"_id":"a","_rev":"1-a","owner":"me"}`, `{"_id":"b","_rev":"1-a","owner":"you"}`, `{"_id":"c","_rev":"1-a","owner":"me"}`}
			for _, doc := range docs {
				if _, err := u.db.BulkDocs(t.Context(), values(doc), false); err != nil {
					t.Fatal(err)
				}
			}
			ch := dial(t, f.http).open("x")
			ch.post("_changes", `[0,{"since":0,"limit":100}]`)
			ch.reply()
			var got []string
			name, value := ch.event()
			for ; name == "change"; name, value = ch.event() {
				id, _ := row(t, value)
				got = append(got, id)
			}
			slices.Sort(got) // several shards have an order of their own
			if diff := cmp.Diff(tt.want, got); name != "complete" || diff != "" {
				t.Errorf("the feed (-want +got), ended by %s:\n%s", name, diff)
			}
			all := ch.call("allDocs", `[{"keys":["a","b","c"],"include_docs":true}]`).result
			if strings.Contains(all, "you") || strings.Count(all, `"owner":"me"`) != 2 || !strings.Contains(all, `{"key":"b","error":"not_found"}`) {
				t.Errorf("allDocs: %s", all)
			}
			if r := ch.call("get", `["b",{"open_revs":["1-a"]}]`); r.result != `[{"missing":"1-a"}]` {
				t.Errorf("a hidden document: %v", r)
			}
			if r := ch.call("_getRevisionTree", `["b"]`); r.err != missing {
				t.Errorf("revisions of a hidden document: %v", r)
			}
			if r := ch.call("get", `["a",{"open_revs":["1-a"]}]`); !strings.Contains(r.result, `"owner":"me"`) {
				t.Errorf("a document of the feed: %v", r)
			}
			if r := ch.call("_info", `[]`); !strings.Contains(r.result, `"doc_count":0`) {
				t.Errorf("the database's size: %v", r)
			}
		})
	}
}

func TestWriteOnly(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newBridge(t, u, u.grantOwn(auth.Grant{Access: auth.WriteOnly}), bridge.Options{})
	ch := dial(t, f.http).open("x")
	if rows := ch.push(`{"_id":"a","_rev":"1-a"}`); rows != "[]" || !u.exists("a") {
		t.Errorf("a drop box does not take a document: %s", rows)
	}
	ch.post("_changes", `[0,{"since":0}]`)
	ch.reply()
	if name, value := ch.event(); name != "complete" {
		t.Errorf("the feed shows %s %s", name, value)
	}
	ch.post("_changes", `[1,{"since":0,"live":true}]`)
	ch.reply()
	for call, want := range map[[2]string]reply{
		{"_getRevisionTree", `["a"]`}:          {missing, "null"},
		{"get", `["a",{"open_revs":["1-a"]}]`}: {"null", `[{"missing":"1-a"}]`},
		{"get", `["a",{"open_revs":"all"}]`}:   {"null", `[]`},
		{"allDocs", `[{"keys":["a"]}]`}:        {"null", `{"offset":0,"total_rows":0,"rows":[{"key":"a","error":"not_found"}]}`},
		{"get", `["_local/never"]`}:            {missing, "null"},
		{"_info", `[]`}:                        {"null", `{"doc_count":0,"update_seq":""}`},
		{"_bulkDocs", `[{"docs":[{"_id":"_local/ck","x":1}]},{"new_edits":true}]`}: {"null", `[{"ok":true,"id":"_local/ck","rev":"0-1"}]`},
	} {
		if got := ch.call(call[0], call[1]); got != want {
			t.Errorf("%v: got %v, want %v", call, got, want)
		}
	}
	if n := f.feeds.Load(); n != 0 {
		t.Errorf("%d feeds are open for a reader that may not read", n)
	}
}

func TestCreateWithSecurity(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	if err := u.client.DeleteDatabase(t.Context(), u.name); err != nil {
		t.Fatal(err)
	}
	security := `{"admins":{"names":["root"],"roles":[]},"members":{"names":["alice"],"roles":[]}}`
	f := newBridge(t, u, u.grantOwn(auth.Grant{Create: &auth.Creation{Security: []byte(security), Q: 1, N: 1}}), bridge.Options{})
	dial(t, f.http).open("x")
	got, err := u.db.Security(t.Context())
	if err != nil || string(got) != security {
		t.Errorf("_security is %s, %v", got, err)
	}
	if _, err := u.db.Get(t.Context(), "x", couch.GetOptions{}); !couch.IsNotFound(err) || errors.Is(err, context.Canceled) {
		t.Errorf("the database is not there: %v", err)
	}
}

// TestRevokedWhilePaused wants a client that goes on calling in a session that
// it has paused, and that was revoked, still to be heard.
func TestRevokedWhilePaused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c := dial(t, f.http)
	paused, other := c.open("x"), c.open("x")
	paused.send(`["%s","pause"]`+"\n", paused.id)
	other.call("_info", "[]") // the pause has come
	if n := f.server.Revoke(bridge.Revocation{Database: f.name}); n != 2 {
		t.Fatalf("%d sessions were revoked", n)
	}
	paused.post("_info", "[]")
	if got := c.openAs("x", "{}").call("_info", "[]"); got.err != "null" {
		t.Errorf("a new session: %v", got)
	}
	if _, r := paused.reply(); !strings.Contains(r.err, "revoked") {
		t.Errorf("the call was answered %v", r)
	}
}
