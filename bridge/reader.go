package bridge

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"pouchbridge/bridge/wire"
)

const (
	// shortMessage is the first piece in which a message is read, and up to
	// where it is all of it; longPiece is the largest.
	shortMessage = 4 << 10
	longPiece    = 256 << 10
	// pieceTime is how long a client may take for the next piece of a message
	// that it has begun.
	pieceTime = 2 * time.Minute
)

var errStalled = errors.New("the client stopped in the middle of a message")

// read handles the client's messages until there are no more. When the
// connection is ending, it goes on reading, and drops what it reads, until the
// client has taken note.
func (c *conn) read() error {
	for {
		c.share.wait(c.ctx)
		msg, err := c.receive()
		if err != nil {
			return err
		}
		c.server.metrics.received.Add(float64(len(msg)))
		if c.ending.Load() != nil {
			c.share.give(int64(len(msg)))
			continue
		}
		partial := c.dialect.Held()
		events, err := c.dialect.Receive(msg)
		// The message's bytes become those of the calls in it, which give them
		// back one by one.
		c.share.take(callBytes(events) + int64(c.dialect.Held()-partial) - int64(len(msg)))
		for _, e := range events {
			c.handle(e)
		}
		if err != nil {
			c.end(protocolError(err), 0)
		}
	}
}

func callBytes(events []wire.Event) (n int64) {
	for _, e := range events {
		if call, ok := e.(wire.Call); ok {
			n += int64(call.Size)
		}
	}
	return n
}

// receive reads a message, of which every byte is counted while it comes in.
// The caller gives them back.
func (c *conn) receive() ([]byte, error) {
	c.reading.Store(true)
	_, r, err := c.ws.Reader(context.Background())
	c.begun.Add(1)
	c.reading.Store(false)
	if err != nil {
		return nil, err
	}
	if err = c.incoming.read(c, r); err == nil {
		err = c.net.SetReadDeadline(time.Time{})
	}
	if err != nil {
		c.incoming.drop(c)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.lost(reasonSilent, errStalled)
		}
		return nil, err
	}
	return c.incoming.bytes(c), nil
}

// message is one that is being read. A short one is copied once, out of the
// buffer that it is read into, so that it takes no more memory than it has
// bytes; a long one is read in pieces and copied once, when all is there and
// its size is known.
type message struct {
	mu     sync.Mutex
	pieces [][]byte // full but for the last one
}

// read reads all of the message, each piece within its time. When the
// connection is ending, it is dropped as it comes.
func (m *message) read(c *conn, r io.Reader) error {
	for size := shortMessage; ; size = min(8*size, longPiece) {
		c.share.breathe(c.ctx)
		piece := newBuffer(size)
		c.share.take(int64(cap(piece)))
		if err := c.net.SetReadDeadline(time.Now().Add(pieceTime)); err != nil {
			c.discard(piece)
			return err
		}
		n, err := fill(r, piece[:cap(piece)])
		m.add(piece[:n])
		if c.ending.Load() != nil {
			m.drop(c)
			size = shortMessage / 8
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (m *message) add(piece []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pieces = append(m.pieces, piece)
}

// drop gives back what was read so far. Any goroutine may call it while the
// reader is kept from noticing that the connection is ending.
func (m *message) drop(c *conn) {
	for _, p := range m.take() {
		c.discard(p)
	}
}

func (m *message) take() [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	pieces := m.pieces
	m.pieces = nil
	return pieces
}

// bytes is the message as a whole. A piece is free for others as soon as it is
// copied.
func (m *message) bytes(c *conn) []byte {
	pieces, size := m.take(), 0
	for _, p := range pieces {
		size += len(p)
	}
	out := make([]byte, 0, size)
	for _, p := range pieces {
		out = append(out, p...)
		c.share.take(int64(len(p)))
		c.discard(p)
	}
	return out
}

// fill reads until b is full or there is an error, io.EOF at the end of the
// message. io.ReadFull would not let that end be told from the network's.
func fill(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var more int
		more, err = r.Read(b[n:])
		n += more
	}
	return n, err
}
