package bridge_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"pouchbridge/auth"
	"pouchbridge/bridge"
	"pouchbridge/couch"
)

const pushA = `[{"docs":[{"_id":"a","_rev":"1-a"}],"new_edits":false},{"new_edits":false}]`

// heldWrites lets writes of documents in one at a time, by hand.
type heldWrites struct {
	entered chan struct{} // one for each write that has come
	pass    chan struct{} // closed to let them go on
}

func (u *upstream) holdWrites() heldWrites {
	h := heldWrites{make(chan struct{}, 100), make(chan struct{})}
	u.hold(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/_bulk_docs") {
			h.entered <- struct{}{}
			<-h.pass
		}
		return true
	})
	return h
}

func (u *upstream) exists(id string) bool {
	_, err := u.db.Get(context.Background(), id, couch.GetOptions{})
	return err == nil
}

func TestShutdownFinishesWrites(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	held := f.holdWrites()
	c := dial(t, f.http)
	ch := c.open("x")
	ch.post("_changes", `[0,{"since":0,"live":true}]`)
	ch.reply()
	idle := dial(t, f.http)
	idle.open("x")
	seq := ch.post("_bulkDocs", pushA)
	<-held.entered

	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		done <- f.server.Shutdown(ctx)
	}()
	if code := idle.closedWith(); code != websocket.StatusGoingAway {
		t.Errorf("an idle connection was closed with %d", code)
	}
	if status, _, header := get(t, f.http.URL, http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}); status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("a new connection while shutting down: %d %v", status, header)
	}
	select {
	case err := <-done:
		t.Fatalf("Shutdown returned %v while a write was under way", err)
	default:
	}
	close(held.pass)
	if got, r := ch.reply(); got != seq || r != (reply{"null", "[]"}) {
		t.Errorf("the write was answered %d %v", got, r)
	}
	if code := c.closedWith(); code != websocket.StatusGoingAway {
		t.Errorf("closed with %d", code)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestShutdownDeadline(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	held := u.holdWrites()
	f := newBridge(t, u, u.grantOwn(auth.Grant{}), bridge.Options{})
	c := dial(t, f.http)
	ch := c.open("x")
	ch.post("_bulkDocs", pushA)
	<-held.entered
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := f.server.Shutdown(ctx); err == nil {
		t.Error("Shutdown finished although a write did not")
	}
	c.closedWith()
	close(held.pass)
}

// TestClientGoesDuringWrite wants the write to arrive all the same.
func TestClientGoesDuringWrite(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	held := f.holdWrites()
	c := dial(t, f.http)
	ch := c.open("x")
	ch.post("_bulkDocs", pushA)
	<-held.entered
	_ = c.ws.CloseNow()
	eventually(t, "the session is gone", func() bool { return f.metric("sessions") == 0 })
	close(held.pass)
	f.closedFor("client")
	if !f.exists("a") {
		t.Error("the write was cut off")
	}
}

func TestUpstreamFailsForAWhile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ch := dial(t, f.http).open("x")
	var failures atomic.Int64
	f.hold(func(w http.ResponseWriter, _ *http.Request) bool {
		if failures.Add(1) <= 3 {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return false
		}
		return true
	})
	if r := ch.call("_bulkDocs", pushA); r != (reply{"null", "[]"}) {
		t.Errorf("got %v", r)
	}
	if failures.Load() < 4 {
		t.Error("the upstream was not asked again")
	}
}

func TestUpstreamStaysAway(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newBridge(t, u, u.grantOwn(auth.Grant{}), bridge.Options{UpstreamPatience: 50 * time.Millisecond})
	calls := map[string]func(*channel){
		"call": func(ch *channel) { ch.post("_bulkDocs", pushA) },
		"page": func(ch *channel) { ch.post("_changes", `[0,{"since":0}]`) },
		"live": func(ch *channel) { ch.post("_changes", `[0,{"since":0,"live":true}]`) },
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			u.hold(nil)
			c := dial(t, f.http)
			ch := c.open("x")
			u.hold(refuse(http.StatusServiceUnavailable))
			call(ch)
			if code := c.closedWith(); code != websocket.StatusInternalError {
				t.Errorf("closed with %d", code)
			}
			for len(ch.stream(ch.id)) > 0 {
				if data := string(ch.data()); !strings.HasSuffix(data, "[null,null]]") {
					t.Errorf("the client was told %s, which ends its sync for good", data)
				}
			}
		})
	}
	t.Run("request", func(t *testing.T) {
		c := dial(t, f.http)
		c.send(`["r","new",{}]` + "\n" + `["r","data",{"database":"x"}]` + "\n")
		if code := c.closedWith(); code != websocket.StatusInternalError {
			t.Errorf("closed with %d", code)
		}
		if n := len(c.stream("r")); n != 0 {
			t.Errorf("the client was answered: %d events", n)
		}
	})
}

// TestPageBreaksOff cuts the upstream's answer in the middle of a page.
func TestPageBreaksOff(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ch := dial(t, f.http).open("x")
	for i := range 20 {
		ch.push(fmt.Sprintf(`{"_id":"d%02d","_rev":"1-a"}`, i))
	}
	var cut atomic.Bool
	f.hold(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/_changes") || !cut.CompareAndSwap(false, true) {
			return true
		}
		// A few rows of a real answer, then the connection is cut.
		fmt.Fprint(w, `{"results":[`+"\n")
		rows, err := f.db.Changes(r.Context(), couch.ChangesOptions{Limit: 3, AllLeaves: true})
		if err != nil {
			t.Error(err)
			return false
		}
		defer rows.Close()
		for range 3 {
			if row, err := rows.Next(); err == nil {
				fmt.Fprintf(w, "%s,\n", row.Row)
			}
		}
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	ch.post("_changes", `[0,{"since":0,"limit":10}]`)
	ch.reply()
	var ids []string
	name, value := ch.event()
	for ; name == "change"; name, value = ch.event() {
		id, _ := row(t, value)
		ids = append(ids, id)
	}
	if name != "complete" || len(ids) != 10 {
		t.Errorf("the page has %d rows and ends with %s", len(ids), name)
	}
	seen := map[string]bool{}
	for _, id := range ids {
		if seen[id] {
			t.Errorf("%s was sent twice", id)
		}
		seen[id] = true
	}
}

func TestSlowClient(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newBridge(t, u, u.grantOwn(auth.Grant{}), bridge.Options{WriteTimeout: 100 * time.Millisecond})
	writer := dial(t, f.http).open("x")
	writer.push(fmt.Sprintf(`{"_id":"big","_rev":"1-a","text":%q}`, strings.Repeat("x", 1<<20)))
	conn, _ := rawUpgrade(t, f)
	frame(t, conn, `["r","new",{}]`+"\n"+`["r","data",{"database":"x"}]`+"\n")
	// It never reads, but goes on asking, as soon as it could know its channel.
	id := readChannel(t, conn)
	for range 50 {
		frame(t, conn, fmt.Sprintf(`["%s","data",[1,null,"get",["big",{"open_revs":["1-a"]}]]]`+"\n", id))
	}
	f.closedFor("slow")
}

func TestSilentClient(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newBridge(t, u, u.grantOwn(auth.Grant{}), bridge.Options{PingInterval: 50 * time.Millisecond, PingTimeout: 50 * time.Millisecond})
	rawUpgrade(t, f)
	f.closedFor("silent")
}

func TestPingedClientStays(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newBridge(t, u, u.grantOwn(auth.Grant{}), bridge.Options{PingInterval: 20 * time.Millisecond})
	c := dial(t, f.http) // its reader answers pings
	ch := c.open("x")
	deadline := time.Now().Add(500 * time.Millisecond)
	for time.Now().Before(deadline) {
		if r := ch.call("_info", "[]"); r.err != "null" {
			t.Fatal(r.err)
		}
	}
	if n := f.metric("connections"); n != 1 {
		t.Errorf("%v connections", n)
	}
}

// rawUpgrade is a websocket without a client behind it.
func rawUpgrade(t *testing.T, f *fixture) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.http.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n")
	r := bufio.NewReaderSize(conn, 512)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %s", resp.Status)
	}
	return conn, r
}

// frame sends a text message of up to 64 KiB, masked with zeros.
func frame(t *testing.T, conn net.Conn, msg string) {
	t.Helper()
	head := []byte{0x81, 0x80 | 126, byte(len(msg) >> 8), byte(len(msg)), 0, 0, 0, 0}
	_ = conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := conn.Write(append(head, msg...)); err != nil && !strings.Contains(err.Error(), "reset") && !strings.Contains(err.Error(), "broken pipe") {
		t.Fatal(err)
	}
}

// readChannel reads up to the new of a channel and returns its id.
func readChannel(t *testing.T, conn net.Conn) string {
	t.Helper()
	var got strings.Builder
	buf := make([]byte, 1024)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got.Write(buf[:n])
		before, _, ok := strings.Cut(got.String(), `","new",`)
		if ok {
			return before[strings.LastIndex(before, `"`)+1:]
		}
	}
}

// TestPause wants nothing on a paused channel, and everything after.
func TestPause(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c := dial(t, f.http)
	paused, other := c.open("x"), c.open("x")
	paused.send(`["%s","pause"]`+"\n", paused.id)
	seq := paused.post("_info", "[]")
	for range 20 {
		other.call("_info", "[]")
	}
	if n := len(paused.stream(paused.id)); n != 0 {
		t.Errorf("%d events on a paused channel", n)
	}
	paused.send(`["%s","resume"]`+"\n", paused.id)
	if got, r := paused.reply(); got != seq || r.err != "null" {
		t.Errorf("after resume: %d %v", got, r)
	}
}

// TestFlood sends more calls than can wait.
func TestFlood(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ch := dial(t, f.http).open("x")
	gate := make(chan struct{})
	f.hold(func(http.ResponseWriter, *http.Request) bool { <-gate; return true })
	const calls = 2300
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range calls {
			ch.post("_getRevisionTree", fmt.Sprintf(`["d%d"]`, i))
		}
	}()
	if e := ch.next(ch.id); text(e[0]) != "pause" {
		t.Errorf("the client is not asked to pause, but told %s", e)
	}
	close(gate)
	answered, resumed := 0, 0
	for answered < calls {
		e := ch.next(ch.id)
		switch text(e[0]) {
		case "data":
			answered++
		case "resume":
			resumed++
		}
	}
	if <-sent; resumed == 0 {
		t.Error("the client was never told to resume")
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newBridge(t, u, u.grantOwn(auth.Grant{}), bridge.Options{MaxConnections: 1, MaxSessions: 2, MaxMessageBytes: 1000})
	c := dial(t, f.http)
	c.open("x")
	second := c.open("x")
	if got := c.denied("x", "{}"); got != "too many databases on one connection" {
		t.Errorf("got %q", got)
	}
	second.send(`["%s","close"]`+"\n", second.id)
	second.next(second.id)
	c.open("x") // there is room again
	if status, _, _ := get(t, f.http.URL, http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}); status != http.StatusServiceUnavailable {
		t.Errorf("a second connection: %d", status)
	}
	c.send("%s", strings.Repeat("x", 1001))
	if code := c.closedWith(); code != websocket.StatusMessageTooBig {
		t.Errorf("closed with %d", code)
	}
}

// TestManyFeeds opens more live feeds than a session may have.
func TestManyFeeds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ch := dial(t, f.http).open("x")
	for i := range 10 {
		ch.post("_changes", fmt.Sprintf(`[%d,{"since":0,"live":true}]`, i))
		ch.reply()
	}
	eventually(t, "the oldest feeds have ended", func() bool { return f.metric("live_feeds") == 4 && f.feeds.Load() == 1 })
}

// TestClosedBeforeDecided closes a request that the policy has not answered.
func TestClosedBeforeDecided(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	asked := make(chan struct{})
	policy := auth.PolicyFunc(func(ctx context.Context, _ auth.Request) (auth.Grant, error) {
		close(asked)
		<-ctx.Done()
		return auth.Grant{}, ctx.Err()
	})
	f := newBridge(t, u, policy, bridge.Options{})
	c := dial(t, f.http)
	c.send(`["r","new",{}]` + "\n" + `["r","data",{"database":"x"}]` + "\n")
	<-asked
	c.send(`["r","close"]` + "\n")
	if e := c.next("r"); text(e[0]) != "close" {
		t.Errorf("got %s, want close", e)
	}
	_ = c.ws.Close(websocket.StatusNormalClosure, "")
	f.closedFor("client")
}
