package bridge

import (
	"context"
	"sync"
)

// flow lets a client stop what it is sent in one session, and go on.
type flow struct {
	mu     sync.Mutex
	paused chan struct{} // closed on resume; nil while data may flow
}

func (f *flow) set(paused bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case paused && f.paused == nil:
		f.paused = make(chan struct{})
	case !paused && f.paused != nil:
		close(f.paused)
		f.paused = nil
	}
}

// wait returns when data may flow.
func (f *flow) wait(ctx context.Context) error {
	f.mu.Lock()
	paused := f.paused
	f.mu.Unlock()
	if paused == nil {
		return ctx.Err()
	}
	select {
	case <-paused:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
