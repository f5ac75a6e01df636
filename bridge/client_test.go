package bridge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// patience bounds what a test waits for.
const patience = 20 * time.Second

// client is a legacy client that says exactly what a test tells it to.
type client struct {
	t  *testing.T
	ws *websocket.Conn

	read sync.WaitGroup
	mu   sync.Mutex
	// Guarded by mu. Channels are made by whoever comes first, the test or the
	// line it waits for.
	streams map[string]chan []json.RawMessage
	names   map[string]string // stream id by the name in its new
	seqs    int
	closed  chan struct{}
	err     error // why reading ended; set before closed is closed
}

// dial connects to a bridge; the connection is gone when the test ends.
func dial(t *testing.T, s *httptest.Server) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(64 << 20)
	c := &client{t: t, ws: ws, streams: map[string]chan []json.RawMessage{}, names: map[string]string{}, closed: make(chan struct{})}
	c.read.Go(c.receive)
	t.Cleanup(func() {
		_ = ws.CloseNow()
		c.read.Wait()
	})
	return c
}

func (c *client) receive() {
	defer close(c.closed)
	for {
		_, msg, err := c.ws.Read(context.Background())
		if err != nil {
			c.err = err
			return
		}
		for line := range bytes.Lines(msg) {
			c.line(line)
		}
	}
}

func (c *client) line(line []byte) {
	var parts []json.RawMessage
	if err := json.Unmarshal(line, &parts); err != nil || len(parts) < 2 || line[len(line)-1] != '\n' {
		c.t.Errorf("the bridge sent half a line, or no line: %.200q", line)
		return
	}
	id := text(parts[0])
	if text(parts[1]) == "new" {
		var opts struct{ Meta string }
		if err := json.Unmarshal(parts[2], &opts); err != nil {
			c.t.Errorf("new: %v", err)
		}
		c.mu.Lock()
		c.names[opts.Meta] = id
		c.mu.Unlock()
	}
	c.stream(id) <- parts[1:]
}

// stream are the events of a stream, without its id.
func (c *client) stream(id string) chan []json.RawMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.streams[id] == nil {
		c.streams[id] = make(chan []json.RawMessage, 100000)
	}
	return c.streams[id]
}

func (c *client) send(format string, args ...any) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, format, args...)); err != nil {
		c.t.Errorf("sending: %v", err)
	}
}

// next is the next event on a stream, as text: ["data",...] without brackets.
func (c *client) next(id string) []json.RawMessage {
	c.t.Helper()
	select {
	case e := <-c.stream(id):
		return e
	case <-time.After(patience):
		c.t.Fatalf("nothing came on stream %s", id)
	case <-c.closed:
		select {
		case e := <-c.stream(id):
			return e
		default:
			c.t.Fatalf("nothing came on stream %s before the connection ended: %v", id, c.err)
		}
	}
	return nil
}

// closedWith waits for the end of the connection and returns its close code.
func (c *client) closedWith() websocket.StatusCode {
	c.t.Helper()
	select {
	case <-c.closed:
		return websocket.CloseStatus(c.err)
	case <-time.After(patience):
		c.t.Fatal("the connection was not closed")
		return 0
	}
}

// channel is a granted session.
type channel struct {
	*client
	id string
}

// request asks for a database and returns the answer, an array.
func (c *client) request(database, credentials string) (id string, answer []json.RawMessage) {
	c.t.Helper()
	c.mu.Lock()
	c.seqs++
	id = fmt.Sprintf("request%d", c.seqs)
	c.mu.Unlock()
	c.send(`["%s","new",{"opts":{"writable":true,"readable":true}}]`+"\n"+`["%s","data",{"database":%q,"credentials":%s}]`+"\n",
		id, id, database, credentials)
	if err := json.Unmarshal(c.next(id)[1], &answer); err != nil {
		c.t.Fatal(err)
	}
	return id, answer
}

// open asks for a database that must be granted.
func (c *client) open(database string) *channel { c.t.Helper(); return c.openAs(database, "{}") }

func (c *client) openAs(database, credentials string) *channel {
	c.t.Helper()
	request, answer := c.request(database, credentials)
	if len(answer) != 2 {
		c.t.Fatalf("not granted: %s", answer)
	}
	for _, want := range []string{"end", "close"} {
		if got := c.next(request); text(got[0]) != want {
			c.t.Errorf("the request ends with %s, want %s", got, want)
		}
	}
	c.mu.Lock()
	id := c.names[text(answer[1])]
	c.mu.Unlock()
	for id == "" { // the line of the channel is in the message after
		c.mu.Lock()
		id = c.names[text(answer[1])]
		c.mu.Unlock()
	}
	if got := c.next(id); text(got[0]) != "new" {
		c.t.Errorf("the channel begins with %s", got)
	}
	return &channel{c, id}
}

// denied asks for a database that must be denied, and returns the message.
func (c *client) denied(database, credentials string) string {
	c.t.Helper()
	_, answer := c.request(database, credentials)
	if len(answer) != 1 {
		c.t.Fatalf("not denied: %s", answer)
	}
	var e struct{ Message string }
	if err := json.Unmarshal(answer[0], &e); err != nil {
		c.t.Fatal(err)
	}
	return e.Message
}

// post sends a call and does not wait.
func (ch *channel) post(method, args string) (seq int) {
	ch.t.Helper()
	ch.mu.Lock()
	ch.seqs++
	seq = ch.seqs
	ch.mu.Unlock()
	ch.send(`["%s","data",[%d,null,"%s",%s]]`+"\n", ch.id, seq, method, args)
	return seq
}

// reply is an error and a result, JSON both.
type reply struct{ err, result string }

// call makes a call that is the only one under way and returns its answer.
func (ch *channel) call(method, args string) reply {
	ch.t.Helper()
	seq := ch.post(method, args)
	got, r := ch.reply()
	if got != seq {
		ch.t.Fatalf("call %d was answered as %d", seq, got)
	}
	return r
}

// reply is the next answer on the channel.
func (ch *channel) reply() (seq int, r reply) {
	ch.t.Helper()
	data := ch.data()
	var answer [2]json.RawMessage
	var both [2]json.RawMessage
	if err := errors.Join(json.Unmarshal(data, &answer), json.Unmarshal(answer[0], &seq), json.Unmarshal(answer[1], &both)); err != nil {
		ch.t.Fatalf("%s: %v", data, err)
	}
	return seq, reply{string(both[0]), string(both[1])}
}

// data is the next payload on the channel.
func (ch *channel) data() json.RawMessage {
	ch.t.Helper()
	e := ch.next(ch.id)
	if text(e[0]) != "data" {
		ch.t.Fatalf("got %s, want data", e)
	}
	return e[1]
}

// event is the next payload, of a feed: its name and its value.
func (ch *channel) event() (name string, value string) {
	ch.t.Helper()
	var parts [3]json.RawMessage
	var args [2]json.RawMessage
	data := ch.data()
	if err := errors.Join(json.Unmarshal(data, &parts), json.Unmarshal(parts[2], &args)); err != nil || text(parts[0]) != "_event" {
		ch.t.Fatalf("%s is not an event: %v", data, err)
	}
	return text(parts[1]), string(args[1])
}

// push writes documents with new_edits=false and returns the rows.
func (ch *channel) push(docs ...string) string {
	ch.t.Helper()
	r := ch.call("_bulkDocs", `[{"docs":[`+strings.Join(docs, ",")+`],"new_edits":false},{"new_edits":false}]`)
	if r.err != "null" {
		ch.t.Fatalf("_bulkDocs: %s", r.err)
	}
	return r.result
}

func text(v json.RawMessage) string {
	var s string
	_ = json.Unmarshal(v, &s)
	return s
}

// get is the status and body of a plain request.
func get(t *testing.T, url string, header http.Header) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		r.Header[k] = v
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b.String(), resp.Header
}
