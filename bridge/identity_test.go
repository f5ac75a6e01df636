package bridge_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"pouchbridge/auth"
	"pouchbridge/bridge"
	"pouchbridge/couch"
)

// addUser makes a user of CouchDB who is gone after the test.
func (u *upstream) addUser(name string) (remove func()) {
	u.t.Helper()
	users, err := u.client.Database("_users")
	if err != nil {
		u.t.Fatal(err)
	}
	id := "org.couchdb.user:" + name
	doc := fmt.Sprintf(`{"_id":%q,"name":%q,"password":"pw","roles":[],"type":"user"}`, id, name)
	rows, err := users.BulkDocs(u.t.Context(), values(doc), true)
	if err != nil || len(rows) != 1 || !rows[0].OK {
		u.t.Fatalf("user %s: %v, %v", name, rows, err)
	}
	remove = sync.OnceFunc(func() {
		gone := fmt.Sprintf(`{"_id":%q,"_rev":%q,"_deleted":true}`, id, rows[0].Rev)
		if rows, err := users.BulkDocs(context.Background(), values(gone), true); err != nil || !rows[0].OK {
			u.t.Errorf("removing user %s: %v, %v", name, rows, err)
		}
	})
	u.t.Cleanup(remove)
	return remove
}

// TestCookieDies removes a user whose session is open.
func TestCookieDies(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	alice := u.name + "-alice"
	remove := u.addUser(alice)
	security := fmt.Sprintf(`{"admins":{"names":[],"roles":[]},"members":{"names":[%q],"roles":[]}}`, alice)
	if err := u.db.SetSecurity(t.Context(), []byte(security)); err != nil {
		t.Fatal(err)
	}
	policy := auth.PolicyFunc(func(ctx context.Context, r auth.Request) (auth.Grant, error) {
		if r.Previous != nil {
			t.Errorf("the policy is asked with credentials %s, which should be forgotten", r.Credentials)
		}
		cookie, _, err := u.client.Login(ctx, alice, "pw")
		if err != nil {
			return auth.Grant{}, &auth.Refusal{Code: auth.Unauthorized, Message: "who are you?"}
		}
		return auth.Grant{Database: u.name, Access: auth.ReadWrite, Identity: auth.Identity{Kind: auth.Cookie, Secret: cookie}}, nil
	})
	f := newBridge(t, u, policy, bridge.Options{})
	c := dial(t, f.http)
	ch := c.open("x")
	if r := ch.call("_getRevisionTree", `["a"]`); r.err != missing {
		t.Errorf("while the user is there: %v", r)
	}
	remove()
	over := false
	eventually(t, "CouchDB has forgotten the user", func() bool { // it caches users for a while
		if !over { // the connection may end meanwhile
			_ = c.ws.Write(t.Context(), websocket.MessageText, fmt.Appendf(nil, `["%s","data",[1,null,"_getRevisionTree",["a"]]]`+"\n", ch.id))
		}
		select {
		case <-c.closed:
			over = true
		case <-time.After(100 * time.Millisecond):
		}
		return over
	})
	if code := c.closedWith(); code != websocket.StatusInternalError {
		t.Errorf("closed with %d", code)
	}
	if got := dial(t, f.http).denied("x", "{}"); got != "who are you?" {
		t.Errorf("got %q", got)
	}
}

// TestIdentities runs sessions as users of CouchDB, who decides for itself.
func TestIdentities(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	alice, bob := u.name+"-alice", u.name+"-bob"
	u.addUser(alice)
	u.addUser(bob)
	security := fmt.Sprintf(`{"admins":{"names":[],"roles":["_admin"]},"members":{"names":[%q],"roles":[]}}`, alice)
	ddoc := `{"_id":"_design/v","validate_doc_update":"function(n, o, u) { if (n.author !== u.name) throw({forbidden: 'not as ' + u.name}) }"}`
	_, err := u.db.BulkDocs(t.Context(), values(ddoc), true)
	if err = errors.Join(err, u.db.SetSecurity(t.Context(), []byte(security))); err != nil {
		t.Fatal(err)
	}
	cookie, _, err := u.client.Login(t.Context(), alice, "pw")
	if err != nil {
		t.Fatal(err)
	}
	identities := map[string]auth.Identity{
		"member":   {Kind: auth.Basic, Name: alice, Secret: "pw"},
		"cookie":   {Kind: auth.Cookie, Secret: cookie},
		"stranger": {Kind: auth.Basic, Name: bob, Secret: "pw"},
		"wrong":    {Kind: auth.Basic, Name: alice, Secret: "no"},
		"forged":   {Kind: auth.Cookie, Secret: "YWxpY2U6NjU2"},
		"injected": {Kind: auth.Basic, Name: "a\r\nX-Evil: 1", Secret: "pw"},
	}
	policy := auth.PolicyFunc(func(_ context.Context, r auth.Request) (auth.Grant, error) {
		var who string
		err := json.Unmarshal(r.Credentials, &who)
		return auth.Grant{Database: u.name, Access: auth.ReadWrite, Identity: identities[who], Subject: who}, err
	})
	f := newBridge(t, u, policy, bridge.Options{})

	for i, who := range []string{"member", "cookie"} {
		ch := dial(t, f.http).openAs("x", `"`+who+`"`)
		mine, others := fmt.Sprintf("mine%d", i), fmt.Sprintf("others%d", i)
		rows := ch.push(fmt.Sprintf(`{"_id":%q,"_rev":"1-a","author":%q}`, mine, alice), fmt.Sprintf(`{"_id":%q,"_rev":"1-a","author":"bob"}`, others))
		if !strings.Contains(rows, `"name":"forbidden","message":"not as `+alice+`"`) || strings.Contains(rows, mine) {
			t.Errorf("%s: validate_doc_update answered %s", who, rows)
		}
	}
	for who, want := range map[string]string{
		"stranger": "You are not allowed to access this db.",
		"wrong":    "Name or password is incorrect.",
		"injected": "there is no such database",
	} {
		if got := dial(t, f.http).denied("x", `"`+who+`"`); got != want {
			t.Errorf("%s: got %q, want %q", who, got, want)
		}
	}
	if got := dial(t, f.http).denied("x", `"forged"`); strings.Contains(got, "YWxpY2U6NjU2") || got == "" {
		t.Errorf("forged: got %q", got)
	}
	if _, err := u.db.Get(t.Context(), "mine0", couch.GetOptions{}); err != nil {
		t.Error(err)
	}
}

// TestIdleCookieDies lets the cookie of a session die that makes no calls.
func TestIdleCookieDies(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newBridge(t, u, u.grantOwn(auth.Grant{Identity: auth.Identity{Kind: auth.Cookie, Secret: "abc"}}), bridge.Options{})
	var asked atomic.Int64
	u.hold(func(w http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("Cookie") // the store itself knows nobody of that cookie
		if r.URL.Path != "/_session" {
			return true
		}
		w.Header().Set("Content-Type", "application/json")
		if asked.Add(1) > 1 {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"unauthorized","reason":"who?"}`)
			return false
		}
		w.Header().Set("Set-Cookie", "AuthSession=def; Version=1; Max-Age=2; Path=/; HttpOnly")
		fmt.Fprint(w, `{"ok":true,"userCtx":{"name":"alice","roles":[]}}`)
		return false
	})
	c := dial(t, f.http)
	c.open("x")
	if code := c.closedWith(); code != websocket.StatusInternalError {
		t.Errorf("closed with %d", code)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("CouchDB was asked %d times who it is", n)
	}
}
