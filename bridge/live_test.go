package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pouchbridge/auth"
	"pouchbridge/bridge"
	"pouchbridge/couch"
)

// follow begins a live feed and waits until it has caught up: its catch-up is
// the request after which the shared feed is enough.
func (ch *channel) follow(f *fixture) {
	ch.t.Helper()
	before := f.metric("feed_catch_up_requests_total")
	ch.post("_changes", `[0,{"since":0,"live":true}]`)
	ch.reply()
	eventually(ch.t, "the feed has caught up", func() bool { return f.metric("feed_catch_up_requests_total") > before })
}

// TestLiveIsShared has many readers of one database: CouchDB has one.
func TestLiveIsShared(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const readers = 50
	var channels []*channel
	for range readers / 5 {
		c := dial(t, f.http)
		for range 5 {
			ch := c.open("x")
			ch.follow(f)
			channels = append(channels, ch)
		}
	}
	writer := dial(t, f.http).open("x")
	writer.push(`{"_id":"first","_rev":"1-a"}`)
	for _, ch := range channels {
		if name, value := ch.event(); name != "change" {
			t.Fatalf("got %s %s", name, value)
		}
	}
	var asked atomic.Int64
	f.hold(func(http.ResponseWriter, *http.Request) bool { asked.Add(1); return true })
	for i := range 10 {
		writer.push(fmt.Sprintf(`{"_id":"d%d","_rev":"1-a"}`, i))
	}
	for _, ch := range channels {
		for i := range 10 {
			name, value := ch.event()
			if id, _ := row(t, value); name != "change" || id != fmt.Sprintf("d%d", i) {
				t.Fatalf("got %s %s, want the change of d%d", name, value, i)
			}
		}
	}
	if n := asked.Load(); n != 10 {
		t.Errorf("10 writes, read by %d, cost CouchDB %d requests", readers, n)
	}
	if n, live := f.feeds.Load(), f.metric("live_feeds"); n != 1 || live != readers || f.metric("shared_feeds_open") != 1 {
		t.Errorf("%d feeds are open for %v readers", n, live)
	}
}

// TestSlowLiveReader wants no rows while far more are written than the shared
// feed keeps, and all of them after.
func TestSlowLiveReader(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newBridge(t, u, u.grantOwn(auth.Grant{}), bridge.Options{Feeds: couch.FeedsOptions{RingBytes: 2000}})
	c := dial(t, f.http)
	ch, writer := c.open("x"), c.open("x")
	ch.follow(f)
	writer.push(`{"_id":"first","_rev":"1-a"}`)
	ch.event()
	ch.send(`["%s","pause"]`+"\n", ch.id)
	for i := range 100 {
		writer.push(fmt.Sprintf(`{"_id":"d%d","_rev":"1-a"}`, i))
	}
	ch.send(`["%s","resume"]`+"\n", ch.id)
	missed := map[string]bool{}
	for i := range 100 {
		missed[fmt.Sprintf("d%d", i)] = true
	}
	for len(missed) > 0 {
		name, value := ch.event()
		if name != "change" {
			t.Fatalf("got %s %s", name, value)
		}
		id, _ := row(t, value)
		delete(missed, id)
	}
	if f.metric("feed_overtaken_total") == 0 {
		t.Error("the reader was never overtaken: the test does not test what it should")
	}
}

// TestLiveOutlivesUpstream breaks the shared feed off for longer than calls are
// tried again: who only listens is not disturbed.
func TestLiveOutlivesUpstream(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newBridge(t, u, u.grantOwn(auth.Grant{}), bridge.Options{UpstreamPatience: 50 * time.Millisecond})
	ch := dial(t, f.http).open("x")
	ch.follow(f)
	write := func(id string) {
		t.Helper()
		if _, err := u.db.BulkDocs(t.Context(), values(fmt.Sprintf(`{"_id":%q,"_rev":"1-a"}`, id)), false); err != nil {
			t.Fatal(err)
		}
		name, value := ch.event()
		if got, _ := row(t, value); name != "change" || got != id {
			t.Errorf("got %s %s, want the change of %s", name, value, id)
		}
	}
	write("before")
	u.hold(refuse(http.StatusServiceUnavailable))
	u.cut()
	eventually(t, "the feed is lost", func() bool { return f.metric("shared_feeds_lost_total") == 1 })
	u.hold(nil)
	write("after")
}

// TestEchoIsHeldBack wants a session that writes not to be told of every write of
// its own, but of the last in the end, and of those of others at once.
func TestEchoIsHeldBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ch, other := dial(t, f.http).open("x"), dial(t, f.http).open("x")
	ch.follow(f)
	start := time.Now()
	for i := range 50 {
		ch.post("_bulkDocs", fmt.Sprintf(`[{"docs":[{"_id":"own%d","_rev":"1-a"}],"new_edits":false},{"new_edits":false}]`, i))
	}
	own, last := 0, false
	answered := 0
	for answered < 50 || !last {
		data := string(ch.data())
		switch {
		case !strings.Contains(data, `"_event"`):
			if answered++; answered == 50 {
				other.push(`{"_id":"other","_rev":"1-a"}`)
			}
		case strings.Contains(data, `"id":"own`):
			own++
		default:
			last = strings.Contains(data, `"id":"other"`)
		}
	}
	ch.post("_bulkDocs", pushA)
	for seen := false; !seen; {
		seen = strings.Contains(string(ch.data()), `"id":"a"`)
	}
	if most := int(time.Since(start)/time.Second) + 1; own > most {
		t.Errorf("of 50 writes of its own the session was told %d times, at most %d are due", own, most)
	}
}

// TestLiveDocumentsAreShared has many clients that ask for a document as soon as
// they are told of it, and for its revisions once they have it, as real ones do:
// CouchDB is asked once.
func TestLiveDocumentsAreShared(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const readers = 20
	var channels []*channel
	for range readers {
		ch := dial(t, f.http).open("x")
		ch.follow(f)
		channels = append(channels, ch)
	}
	write := func(doc string) {
		t.Helper()
		if _, err := f.db.BulkDocs(t.Context(), values(doc), false); err != nil {
			t.Fatal(err)
		}
		for _, ch := range channels {
			if name, value := ch.event(); name != "change" {
				t.Fatalf("got %s %s", name, value)
			}
		}
	}
	ask := func(method, args, want string) {
		t.Helper()
		for _, ch := range channels {
			ch.post(method, args)
		}
		for _, ch := range channels {
			if _, r := ch.reply(); r != (reply{"null", want}) {
				t.Errorf("%s: got %v, want %s", method, r, want)
			}
		}
	}
	write(`{"_id":"a","_rev":"1-a","n":1}`)
	requests := f.count()
	ask("allDocs", `[{"keys":["a"],"include_docs":true}]`, `{"offset":0,"total_rows":0,"rows":[{"id":"a","key":"a","value":{"rev":"1-a"},"doc":{"_id":"a","_rev":"1-a","n":1}}]}`)
	ask("get", `["a",{"open_revs":["1-a"],"revs":true}]`, `[{"ok":{"_id":"a","_rev":"1-a","n":1,"_revisions":{"start":1,"ids":["a"]}}}]`)
	ask("_getRevisionTree", `["a"]`, `[{"pos":1,"ids":["a",{"status":"available"},[]]}]`)
	if n := requests.since(); total(n) != 1 || n["_bulk_get"] != 1 {
		t.Errorf("one document, for %d clients, cost %v", readers, n)
	}
	write(`{"_id":"a","_rev":"2-b","n":2,"_revisions":{"start":2,"ids":["b","a"]}}`)
	requests.since()
	ask("get", `["a",{"open_revs":["2-b"],"revs":true}]`, `[{"ok":{"_id":"a","_rev":"2-b","n":2,"_revisions":{"start":2,"ids":["b","a"]}}}]`)
	if n := requests.since(); total(n) != 1 {
		t.Errorf("its next revision cost %v", n)
	}
	if held := f.server.HeldAhead(); held == 0 {
		t.Error("what is shared is not accounted for")
	}
}

// TestSharedDocumentsAreGuarded has sessions that are not the bridge's own account
// ask for themselves, and a database of the same name know nothing of the first.
func TestSharedDocumentsAreGuarded(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	alice := u.name + "-alice"
	u.addUser(alice)
	security := fmt.Sprintf(`{"admins":{"names":[],"roles":[]},"members":{"names":[%q],"roles":[]}}`, alice)
	if err := u.db.SetSecurity(t.Context(), []byte(security)); err != nil {
		t.Fatal(err)
	}
	policy := auth.PolicyFunc(func(_ context.Context, r auth.Request) (auth.Grant, error) {
		g := auth.Grant{Database: u.name, Access: auth.ReadWrite}
		if r.Database == "alice" {
			g.Identity = auth.Identity{Kind: auth.Basic, Name: alice, Secret: "pw"}
		}
		return g, nil
	})
	f := newBridge(t, u, policy, bridge.Options{})
	service, own := dial(t, f.http).open("service"), dial(t, f.http).open("alice")
	service.follow(f)
	own.follow(f)
	if _, err := u.db.BulkDocs(t.Context(), values(`{"_id":"a","_rev":"1-a"}`), false); err != nil {
		t.Fatal(err)
	}
	service.event()
	own.event()
	const get, want = `["a",{"open_revs":["1-a"],"revs":true}]`, `[{"ok":{"_id":"a","_rev":"1-a","_revisions":{"start":1,"ids":["a"]}}}]`
	requests := f.count()
	for _, ch := range []*channel{service, own} {
		if r := ch.call("get", get); r.result != want {
			t.Errorf("got %v", r)
		}
	}
	if n := requests.since(); n["_bulk_get"] != 2 {
		t.Errorf("%v: who asks as somebody else asks for himself", n)
	}
	time.Sleep(1100 * time.Millisecond) // CouchDB tells when a database was created in seconds
	err := errors.Join(u.client.DeleteDatabase(t.Context(), u.name), u.client.CreateDatabase(t.Context(), u.name, couch.CreateOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	again := dial(t, f.http).open("service")
	if r := again.call("_getRevisionTree", `["a"]`); r.err != missing {
		t.Errorf("in the new database: %v", r)
	}
}
