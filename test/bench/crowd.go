package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// crowd is many clients of one bridge, each on a connection of its own. Clients that are live on a database see its writes,
// which are numbered in the order they are made.
type crowd struct {
	clients []*client
	lost    atomic.Int64 // connections that ended by themselves
	reading sync.WaitGroup
	end     context.CancelFunc

	arrivals []arrival // by number of the write
}

// arrival is where a write has been seen.
type arrival struct {
	mu      sync.Mutex
	seen    int
	last    time.Time
	waitFor int
	all     chan struct{} // closed when as many as waitFor have seen it
}

const (
	openAtATime = 32  // clients that connect at the same time
	otherFiles  = 200 // open in this process, besides a websocket for each client and both sides of a proxied request for it
)

// openCrowd connects n clients. If name is not empty each goes live on that database, and sees up to writes writes.
func openCrowd(ctx context.Context, url, name string, n, writes int) (*crowd, error) {
	if err := checkFiles(3*n + otherFiles); err != nil {
		return nil, err
	}
	following, end := context.WithCancel(ctx)
	c := &crowd{clients: make([]*client, n), end: end, arrivals: make([]arrival, writes)}
	for i := range c.arrivals {
		c.arrivals[i].waitFor, c.arrivals[i].all = n, make(chan struct{})
	}
	g, opening := errgroup.WithContext(ctx)
	g.SetLimit(openAtATime)
	for i := range c.clients {
		g.Go(func() error { return c.join(opening, following, i, url, name) })
	}
	if err := g.Wait(); err != nil {
		c.close()
		return nil, fmt.Errorf("opening %d clients: %w", n, err)
	}
	return c, nil
}

func (c *crowd) join(opening, following context.Context, i int, url, name string) error {
	var err error
	if c.clients[i], err = dial(opening, url); err != nil {
		return err
	}
	if name != "" {
		if err := errors.Join(c.clients[i].open(opening, name), c.clients[i].live(opening)); err != nil {
			return err
		}
	}
	c.reading.Go(func() {
		last := -1
		_ = c.clients[i].follow(following, func(id []byte, at time.Time) {
			if n, ok := writeNumber(id); ok && n > last && n < len(c.arrivals) { // not one seen twice
				last = n
				c.arrivals[n].saw(at)
			}
		})
		if following.Err() == nil {
			c.lost.Add(1)
		}
	})
	return nil
}

func (c *crowd) close() {
	c.end()
	c.reading.Wait()
	for _, client := range c.clients {
		if client != nil {
			client.close()
		}
	}
}

// writeID is the id of the document of a write; writeNumber reads it.
func writeID(n int) string { return fmt.Sprintf("write-%06d", n) }

func writeNumber(id []byte) (int, bool) {
	digits, ok := strings.CutPrefix(string(id), "write-")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n >= 0
}

func (a *arrival) saw(at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen++
	if at.After(a.last) {
		a.last = at
	}
	if a.seen == a.waitFor {
		close(a.all)
	}
}

// wait waits until every client has seen the write, and returns when the last one did. After the time it returns how many
// have.
func (a *arrival) wait(ctx context.Context, within time.Duration) (last time.Time, seen int, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	select {
	case <-a.all:
	case <-ctx.Done():
		err = ctx.Err()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last, a.seen, err
}
