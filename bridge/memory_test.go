package bridge_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"net/http"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"pgregory.net/rapid"

	"pouchbridge/auth"
	"pouchbridge/bridge"
)

// large is a call that holds n bytes until it is answered.
func (ch *channel) large(id string, n int) (seq int) {
	ch.t.Helper()
	return ch.post("_bulkDocs", fmt.Sprintf(`[{"docs":[{"_id":%q,"_rev":"1-a","x":%q}],"new_edits":false},{"new_edits":false}]`, id, strings.Repeat("x", n)))
}

const (
	mib  = 1 << 20
	unit = 256 << 10 // of the tests of what is held
)

// held waits until the bridge holds about so many units.
func (f *fixture) held(n float64) {
	f.t.Helper()
	eventually(f.t, fmt.Sprintf("%v units are held", n), func() bool {
		got := f.metric("buffered_bytes") / unit
		return got >= n && got < n+0.5
	})
}

// entered waits for a write that is held.
func (f *fixture) entered(held heldWrites) {
	f.t.Helper()
	select {
	case <-held.entered:
	case <-time.After(patience):
		f.t.Fatal("no write came")
	}
}

// TestOverload holds calls until there are too many, and wants the largest to
// be given up and no other.
func TestOverload(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newBridge(t, u, u.grantOwn(auth.Grant{}), bridge.Options{MaxBufferedBytes: 16 * unit})
	held := f.holdWrites()
	release := sync.OnceFunc(func() { close(held.pass) })
	defer release()
	sizes := []int{3, 6, 2, 2, 2}
	var channels []*channel
	var seqs []int
	for range sizes {
		channels = append(channels, dial(t, f.http).open("x"))
	}
	sum := 0
	for i, n := range sizes {
		seqs = append(seqs, channels[i].large(fmt.Sprint("d", i), n*unit))
		sum += n
		f.held(float64(sum))
		f.entered(held)
	}
	if n := f.metric("connections_closed_total", "reason", "overload"); n != 0 {
		t.Fatalf("%v connections were closed with %d units held of 16", n, sum)
	}
	last := dial(t, f.http).open("x")
	seq := last.large("last", 2*unit)
	if code := channels[1].closedWith(); code != websocket.StatusInternalError {
		t.Errorf("the largest was closed with %d", code)
	}
	f.entered(held)
	release()
	for i, ch := range channels {
		if i == 1 {
			continue
		}
		if got, r := ch.reply(); got != seqs[i] || r != (reply{"null", "[]"}) {
			t.Errorf("%d was answered %d %v", i, got, r)
		}
	}
	if got, r := last.reply(); got != seq || r.err != "null" {
		t.Errorf("the last was answered %d %v", got, r)
	}
	f.closedFor("overload")
	f.held(0)
}

// TestSoftMark wants a client of large calls to be read from slowly while much
// is held, and others as ever.
func TestSoftMark(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newBridge(t, u, u.grantOwn(auth.Grant{}), bridge.Options{MaxBufferedBytes: 16 * unit})
	held := f.holdWrites()
	release := sync.OnceFunc(func() { close(held.pass) })
	defer release()
	first := dial(t, f.http).open("x")
	first.large("first", 2*unit)
	for i := range 4 {
		dial(t, f.http).open("x").large(fmt.Sprint("d", i), 3*unit-unit/4)
		f.entered(held)
	}
	f.entered(held)
	f.held(13)
	first.call("_info", "[]") // its reader waited for a message when there was room yet
	start := time.Now()
	for range 3 {
		if r := dial(t, f.http).open("x").call("_info", "[]"); r.err != "null" {
			t.Errorf("a client for which nothing is held: %v", r)
		}
	}
	quick := time.Since(start)
	start = time.Now()
	for range 2 { // each of them is waited for
		first.call("_info", "[]")
	}
	if slow := time.Since(start); slow < time.Second || quick > slow {
		t.Errorf("three calls of others took %s, two calls of a client of large ones %s", quick, slow)
	}
	release()
	if got, r := first.reply(); got == 0 || r.err != "null" {
		t.Errorf("the write was answered %d %v", got, r)
	}
	f.held(0)
	if n := f.metric("connections_closed_total", "reason", "overload"); n != 0 {
		t.Errorf("%v connections were closed", n)
	}
}

// TestNothingLeaks leads random lives of connections, and wants nothing to be
// held after them.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newBridge(t, u, u.grantOwn(auth.Grant{}), bridge.Options{MaxBufferedBytes: 4 * mib, MaxMessageBytes: 2 * mib})
	var doc atomic.Int64
	rapid.Check(t, func(r *rapid.T) {
		c := dial(t, f.http)
		channels := []*channel{c.open("x")}
		anyOf := func() *channel { return rapid.SampledFrom(channels).Draw(r, "channel") }
		say := func(format string, args ...any) {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			_ = c.ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, format, args...)) // it may be over
		}
		actions := map[string]func(){
			"write": func() {
				say(`["%s","data",[1,null,"_bulkDocs",[{"docs":[{"_id":"d%d","_rev":"1-a","x":"%s"}],"new_edits":false},{"new_edits":false}]]]`+"\n",
					anyOf().id, doc.Add(1), strings.Repeat("x", rapid.IntRange(0, 300_000).Draw(r, "size")))
			},
			"read": func() {
				say(`["%s","data",[1,null,"get",["d%d",{"open_revs":["1-a"],"revs":true}]]]`+"\n", anyOf().id, doc.Load())
			},
			"read many": func() {
				say(`["%s","data",[1,null,"allDocs",[{"keys":["d1","none","d%d"],"include_docs":true}]]]`+"\n", anyOf().id, doc.Load())
			},
			"page":      func() { say(`["%s","data",[1,null,"_changes",[1,{"since":0,"limit":10}]]]`+"\n", anyOf().id) },
			"pause":     func() { say(`["%s","pause"]`+"\n", anyOf().id) },
			"resume":    func() { say(`["%s","resume"]`+"\n", anyOf().id) },
			"leave":     func() { say(`["%s","close"]`+"\n", anyOf().id) },
			"request":   func() { say(`["r","new",{}]` + "\n" + `["r","data",{"database":"x","credentials":"abc"}]` + "\n") },
			"half":      func() { say(`["%s","data",[1,null,"get",["`, anyOf().id) },
			"malformed": func() { say(`["%s","data",{"not":"a call"}]`+"\n", anyOf().id) },
			"revoke":    func() { f.server.Revoke(bridge.Revocation{Database: u.name}) },
			"rubbish":   func() { say("rubbish\n") },
			"too long":  func() { say("%s", strings.Repeat("x", 2*mib+1)) },
		}
		for _, name := range rapid.SliceOfN(rapid.SampledFrom(slices.Sorted(maps.Keys(actions))), 1, 12).Draw(r, "life") {
			actions[name]()
		}
		if rapid.Bool().Draw(r, "politely") {
			_ = c.ws.Close(websocket.StatusNormalClosure, "")
		} else {
			_ = c.ws.CloseNow()
		}
		eventually(t, "the connection is gone", func() bool { return f.metric("connections") == 0 })
		if n := f.metric("buffered_bytes"); n != 0 {
			r.Fatalf("%v bytes are still held", n)
		}
	})
}

// TestMemoryStaysWithinBudget sends more than three times what the bridge
// may hold. Twice that is GOMEMLIMIT where the budget is made from it. The test
// is not parallel, as it measures the heap.
func TestMemoryStaysWithinBudget(t *testing.T) {
	const limit, message, clients = 192 * mib, 64*mib - 1, 10
	before := debug.SetMemoryLimit(2 * limit)
	defer debug.SetMemoryLimit(before)
	u := newUpstream(t)
	f := newBridge(t, u, u.grantOwn(auth.Grant{}), bridge.Options{MaxBufferedBytes: limit, MaxMessageBytes: 64 * mib})

	var live, all uint64 // at most: what a collection has left, and with garbage
	stop, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
			metrics.Read(s)
			live, all = max(live, s[0].Value.Uint64()), max(all, s[1].Value.Uint64())
			select {
			case <-tick.C:
			case <-stop:
				tick.Stop()
				return
			}
		}
	}()
	// A message of which the end of the line never comes, masked with zeros.
	frame := append(binary.BigEndian.AppendUint64([]byte{0x81, 0x80 | 127}, message), make([]byte, 4+message)...)
	for i := range message {
		frame[14+i] = ' '
	}
	var sending sync.WaitGroup
	for range clients {
		conn, _ := rawUpgrade(t, f)
		sending.Go(func() {
			_ = conn.SetWriteDeadline(time.Now().Add(4 * patience))
			_, _ = conn.Write(frame) // until it is cut off
		})
	}
	sending.Wait()
	eventually(t, "connections were shed", func() bool { return f.metric("connections_closed_total", "reason", "overload") > 0 })
	eventually(t, "those that were shed have let go", func() bool { return f.metric("buffered_bytes") <= limit })
	close(stop)
	<-watched
	t.Logf("%d MiB sent; %d MiB live at most, of which the test's own are %d, %d MiB with garbage; %v connections shed", clients*message/mib, live/mib, message/mib,
		all/mib, f.metric("connections_closed_total", "reason", "overload"))
	if live < message || live > 2*limit+message || all > 3*limit {
		t.Errorf("the heap grew to %d MiB, %d MiB with garbage, with a budget of %d MiB", live/mib, all/mib, limit/mib)
	}
	if status, _, _ := get(t, f.http.URL+"/healthz", nil); status != http.StatusOK {
		t.Errorf("healthz: %d", status)
	}
	dial(t, f.http).open("x") // others are served
}
