package legacy

import (
	"crypto/rand"
	"errors"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"pouchbridge/bridge/wire"
)

// ErrTooManyStreams is returned by Conn.Receive when a client opens streams
// without ever asking for a database on them.
var ErrTooManyStreams = errors.New("too many open streams")

// maxStreams bounds the streams of a connection, asked for or granted.
const maxStreams = 4096

// Conn is the server's half of one connection: the multiplexer and the
// negotiation of sessions. Receive is for one goroutine, the sessions' methods
// for any.
type Conn struct {
	lines  lines
	events []wire.Event // of the Receive under way

	mu      sync.Mutex
	streams map[string]*Session // by the client's stream id until granted, by ours afterwards
}

// NewConn returns a connection that takes lines of up to limit bytes.
func NewConn(limit int) *Conn {
	return &Conn{lines: lines{limit: limit}, streams: make(map[string]*Session)}
}

// Receive takes a websocket message, text or binary, and returns what the
// client says by it. The events, which alias msg, stand even when there is an
// error after them; an error ends the connection.
func (c *Conn) Receive(msg []byte) ([]wire.Event, error) {
	err := c.lines.each(msg, c.line)
	events := c.events
	c.events = nil // or they would keep msg until the next one comes
	return events, err
}

// Held is how many bytes are kept of a line whose end has not come. It is for
// the goroutine that calls Receive.
func (c *Conn) Held() int { return cap(c.lines.partial) }

func (c *Conn) emit(e wire.Event) { c.events = append(c.events, e) }

// line handles [streamId, event, payload]. Any other JSON is ignored, as the
// original does.
func (c *Conn) line(line []byte) error {
	if !wire.Valid(line) {
		return ErrNotJSON
	}
	parts := wire.Items(line)
	if len(parts) < 2 || parts[0].Kind() != '"' || parts[1].Kind() != '"' {
		return nil
	}
	var payload jsontext.Value
	if len(parts) > 2 {
		payload = parts[2]
	}
	return c.event(wire.Text(parts[0]), wire.Text(parts[1]), payload)
}

func (c *Conn) event(id, event string, payload jsontext.Value) error {
	if event == "new" {
		return c.open(id)
	}
	s := c.stream(id)
	if s == nil {
		return nil
	}
	switch event {
	case "data":
		c.data(s, payload)
	case "pause", "resume":
		if s.isGranted() {
			c.emit(wire.Flow{Session: s, Paused: event == "pause"})
		}
	case "end":
		// The client has said all it had to say. On a request stream that is
		// its right: the answer is still to come.
		if s.isGranted() {
			c.emit(wire.Reply{Data: s.End(nil)})
			c.emit(wire.Close{Session: s})
		}
	case "close", "error":
		if s.end() {
			c.emit(wire.Reply{Data: appendEvent(nil, id, "close")})
			c.emit(wire.Close{Session: s})
		}
	}
	return nil
}

func (c *Conn) open(id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.streams) >= maxStreams {
		return ErrTooManyStreams
	}
	if c.streams[id] == nil {
		c.streams[id] = &Session{conn: c, id: id}
	}
	return nil
}

func (c *Conn) stream(id string) *Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.streams[id]
}

// data reads an object of a stream: the request for a database, once, or a
// call. What is not in the form of one is answered with an error.
func (c *Conn) data(s *Session, payload jsontext.Value) {
	event, err := s.data(payload)
	if err != nil {
		event = wire.Reply{Data: s.mistaken(err)}
	}
	if event != nil {
		c.emit(event)
	}
}

// newID makes a stream id or channel name that no client can guess.
func newID() string { return rand.Text() }
