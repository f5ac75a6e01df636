package bridge

import (
	"context"
	"errors"
	"time"

	"github.com/coder/websocket"
)

const (
	// outboxBytes is how much may be queued for one client.
	outboxBytes = 1 << 20
	// joinedBytes is up to where short messages are sent as one: a dialect's
	// messages are whole lines, and clients take any number of them at once.
	// That costs a second copy, which is far cheaper than a frame and a system
	// call for each line (BenchmarkJoined).
	joinedBytes = 32 << 10
	// frameBytes is the size of the frames of a long message. The write timeout
	// counts from frame to frame.
	frameBytes = 64 << 10
	// goodbyeMost is how long a goodbye may take, and overloadMost that to a
	// client that is closed because there is too much for the bridge to do.
	goodbyeMost  = 10 * time.Second
	overloadMost = time.Second
)

var errSlow = errors.New("the client took no data for as long as the write timeout")

// write is the writer, a goroutine that lives as long as there is something to
// write. There is one at a time, and it alone calls the websocket's Write.
func (c *conn) write() {
	slow := time.AfterFunc(c.server.options.WriteTimeout, func() {
		c.lost(reasonSlow, errSlow) // closes the network connection, which ends the write
	})
	defer slow.Stop()
	for {
		batch, last := c.outbox.take()
		if len(batch) == 0 && !last {
			return
		}
		if err := c.writeBatch(batch, slow); err != nil {
			c.lost(reasonClient, err)
			c.outbox.abort()
			return
		}
		if last {
			slow.Stop()
			c.sayGoodbye()
			c.outbox.abort()
			return
		}
	}
}

// writeBatch writes messages and puts their buffers back. What is left after an
// error is given back with the whole connection.
func (c *conn) writeBatch(batch [][]byte, slow *time.Timer) error {
	for len(batch) > 0 {
		n, size, held := 1, len(batch[0]), int64(cap(batch[0]))
		for n < len(batch) && size+len(batch[n]) <= joinedBytes {
			size += len(batch[n])
			held += int64(cap(batch[n]))
			n++
		}
		if err := c.writeJoined(batch[:n], slow); err != nil {
			return err
		}
		for i, msg := range batch[:n] {
			freeBuffer(msg)
			batch[i] = nil
		}
		c.share.give(held)
		c.outbox.wrote(size)
		batch = batch[n:]
	}
	return nil
}

func (c *conn) writeJoined(parts [][]byte, slow *time.Timer) error {
	if len(parts) == 1 {
		return c.writeMessage(parts[0], slow)
	}
	joined := newBuffer(joinedBytes)
	for _, p := range parts {
		joined = append(joined, p...)
	}
	defer freeBuffer(joined)
	return c.writeMessage(joined, slow)
}

// writeMessage writes one websocket message, a long one in several frames. No
// context can end it: that would take the websocket with it.
func (c *conn) writeMessage(msg []byte, slow *time.Timer) error {
	c.server.metrics.sent.Add(float64(len(msg)))
	slow.Reset(c.server.options.WriteTimeout)
	if len(msg) <= frameBytes {
		return c.ws.Write(context.Background(), websocket.MessageText, msg)
	}
	w, err := c.ws.Writer(context.Background(), websocket.MessageText)
	if err != nil {
		return err
	}
	for len(msg) > 0 {
		n := min(frameBytes, len(msg))
		if _, err := w.Write(msg[:n]); err != nil {
			return err
		}
		slow.Reset(c.server.options.WriteTimeout)
		msg = msg[n:]
	}
	return w.Close()
}

// sayGoodbye sends the close frame and waits a few seconds for the client's.
func (c *conn) sayGoodbye() {
	e := c.ending.Load()
	if e == nil || e.status == 0 {
		return
	}
	most := goodbyeMost
	if e.reason == reasonOverload {
		most = overloadMost
	}
	cut := time.AfterFunc(most, c.hangUp) // the library would take in the rest of a message first, however long that lasts
	defer cut.Stop()
	_ = c.ws.Close(e.status, e.text)
}
