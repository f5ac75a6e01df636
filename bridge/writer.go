package bridge

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	// outboxBytes is how much may be queued for one client.
	outboxBytes = 1 << 20
	// joinedBytes is up to where short messages are sent as one: a dialect's
	// messages are whole lines, and clients take any number of them at once.
	joinedBytes = 32 << 10
	// frameBytes is the size of the frames of a long message. The write timeout
	// counts from frame to frame.
	frameBytes = 64 << 10
)

var errSlow = errors.New("the client took no data for as long as the write timeout")

// write is the writer goroutine: it alone calls the websocket's Write, under a
// context of its own, because a context that ends takes the websocket with it.
// It returns when the outbox has ended or the client does not take data.
func (c *conn) write() {
	defer c.outbox.abort()
	ticker := time.NewTicker(c.server.options.PingInterval)
	defer ticker.Stop()
	var pings sync.WaitGroup
	defer pings.Wait()
	for {
		select {
		case <-c.outbox.ready:
			batch, last := c.outbox.take()
			if err := c.writeBatch(batch); err != nil {
				c.lost(reasonClient, err)
				return
			}
			if last {
				c.sayGoodbye()
				return
			}
		case <-ticker.C:
			if c.pinging.CompareAndSwap(false, true) {
				pings.Go(c.ping)
			}
		}
	}
}

// joined are the buffers in which short messages are put together.
var joined = sync.Pool{New: func() any { b := make([]byte, 0, joinedBytes); return &b }}

func (c *conn) writeBatch(batch [][]byte) error {
	for len(batch) > 0 {
		n, size := 1, len(batch[0])
		for n < len(batch) && size+len(batch[n]) <= joinedBytes {
			size += len(batch[n])
			n++
		}
		if err := c.writeJoined(batch[:n], size); err != nil {
			return err
		}
		c.outbox.wrote(size)
		clear(batch[:n])
		batch = batch[n:]
	}
	return nil
}

func (c *conn) writeJoined(parts [][]byte, size int) error {
	if len(parts) == 1 {
		return c.writeMessage(parts[0])
	}
	buf := joined.Get().(*[]byte)
	defer joined.Put(buf)
	*buf = (*buf)[:0]
	for _, p := range parts {
		*buf = append(*buf, p...)
	}
	return c.writeMessage(*buf)
}

// writeMessage writes one websocket message, a long one in several frames.
func (c *conn) writeMessage(msg []byte) error {
	c.server.metrics.sent.Add(float64(len(msg)))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	timer := time.AfterFunc(c.server.options.WriteTimeout, func() {
		c.lost(reasonSlow, errSlow) // before the reader finds the websocket closed
		cancel()
	})
	defer timer.Stop()
	if len(msg) <= frameBytes {
		return c.ws.Write(ctx, websocket.MessageText, msg)
	}
	w, err := c.ws.Writer(ctx, websocket.MessageText)
	if err != nil {
		return err
	}
	for len(msg) > 0 {
		n := min(frameBytes, len(msg))
		if _, err := w.Write(msg[:n]); err != nil {
			return err
		}
		timer.Reset(c.server.options.WriteTimeout)
		msg = msg[n:]
	}
	return w.Close()
}

// sayGoodbye sends the close frame and waits a few seconds for the client's.
func (c *conn) sayGoodbye() {
	if e := c.ending.Load(); e != nil && e.status != 0 {
		_ = c.ws.Close(e.status, e.text)
	}
}

// ping finds out whether the client is still there. While the reader is busy
// with what the client sent, nothing can be heard, and nothing is concluded.
func (c *conn) ping() {
	defer c.pinging.Store(false)
	if !c.reading.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.server.options.PingTimeout)
	defer cancel()
	stop := context.AfterFunc(c.ctx, cancel)
	defer stop()
	if err := c.ws.Ping(ctx); err != nil && c.ctx.Err() == nil && c.reading.Load() {
		c.lost(reasonSilent, err)
	}
}
