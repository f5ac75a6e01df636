package bridge

import (
	"context"
	"sync"
	"time"
)

// pings find out whether a client is still there, and keep proxies from cutting
// a quiet websocket. Between pings there is a timer and no goroutine.
type pings struct {
	running sync.WaitGroup // the timer, while it runs, and then the ping

	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

// again has ask called after a while, unless it is the end.
func (p *pings) again(after time.Duration, ask func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.running.Add(1)
	p.timer = time.AfterFunc(after, func() {
		defer p.running.Done()
		ask()
		p.again(after, ask)
	})
}

// end returns when no ping is under way and none will be.
func (p *pings) end() {
	p.mu.Lock()
	p.ended = true
	if p.timer != nil && p.timer.Stop() {
		p.running.Done()
	}
	p.mu.Unlock()
	p.running.Wait()
}

// ping asks the client whether it is there. Nothing can be heard, and nothing
// is concluded, while the reader is busy with what the client sent, or in the
// middle of a message; and while the client has not taken what it was sent, the
// write timeout judges it.
func (c *conn) ping() {
	begun := c.begun.Load()
	quiet := func() bool { return c.reading.Load() && c.begun.Load() == begun && !c.outbox.busy() }
	if !quiet() {
		return
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.server.options.PingTimeout)
	defer cancel()
	if err := c.ws.Ping(ctx); err != nil && c.ctx.Err() == nil && quiet() {
		c.lost(reasonSilent, err)
	}
}
