package bridge

import (
	"context"
	"errors"
	"sync"
)

// errConnectionEnded is returned to whoever still has something to say on a
// connection that is over.
var errConnectionEnded = errors.New("connection ended")

// outbox is the queue of messages to one client, bounded in bytes: one message
// more may stand in it than fits. It holds no memory while it is empty.
type outbox struct {
	limit int
	ready chan struct{} // holds a token while there is something for the writer

	mu      sync.Mutex
	queue   [][]byte
	bytes   int           // queued, or taken and not yet written
	space   chan struct{} // closed when bytes shrink; nil when nobody waits
	ending  bool          // no more messages are taken in
	aborted bool          // what is queued will not be sent either
}

func newOutbox(limit int) *outbox {
	return &outbox{limit: limit, ready: make(chan struct{}, 1)}
}

// put queues a message, which it keeps, as soon as there is room.
func (o *outbox) put(ctx context.Context, msg []byte) error {
	if len(msg) == 0 {
		return nil
	}
	for {
		space, err := o.tryPut(msg)
		if space == nil || err != nil {
			return err
		}
		select {
		case <-space:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tryPut queues msg, or returns what to wait for before trying again.
func (o *outbox) tryPut(msg []byte) (<-chan struct{}, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending {
		return nil, errConnectionEnded
	}
	if o.bytes >= o.limit {
		if o.space == nil {
			o.space = make(chan struct{})
		}
		return o.space, nil
	}
	o.queue = append(o.queue, msg)
	o.bytes += len(msg)
	o.wakeWriter()
	return nil, nil
}

// take returns all that is queued, and whether there will never be more. The
// writer tells wrote how much of it has left.
func (o *outbox) take() (batch [][]byte, last bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	batch, o.queue = o.queue, nil
	if o.aborted {
		batch = nil
	}
	return batch, o.ending
}

func (o *outbox) wrote(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes -= n
	o.wakeWaiting()
}

// finish takes no more messages; what is queued is still sent.
func (o *outbox) finish() { o.end(false) }

// abort takes no more messages and drops what is queued.
func (o *outbox) abort() { o.end(true) }

func (o *outbox) end(abort bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ending = true
	o.aborted = o.aborted || abort
	o.wakeWaiting()
	o.wakeWriter()
}

func (o *outbox) wakeWaiting() {
	if o.space != nil {
		close(o.space)
		o.space = nil
	}
}

func (o *outbox) wakeWriter() {
	select {
	case o.ready <- struct{}{}:
	default: // the token is there already
	}
}
