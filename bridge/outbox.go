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
// more may stand in it than fits. It holds no memory while it is empty, and
// there is a writer only while there is something to write.
type outbox struct {
	limit int
	start func() // starts the writer; it is called with mu held, and never after abort

	mu      sync.Mutex
	queue   [][]byte
	bytes   int           // queued, or taken and not yet written
	space   chan struct{} // closed when bytes shrink; nil when nobody waits
	writing bool          // there is a writer
	ending  bool          // no more messages are taken in
	aborted bool          // what is queued will not be sent either
}

func newOutbox(limit int) *outbox {
	return &outbox{limit: limit, start: func() {}}
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
	o.needWriter()
	return nil, nil
}

// take returns all that is queued, and whether there will never be more. The
// writer tells wrote how much of it has left. With nothing to write, and more
// to come perhaps, the writer must end.
func (o *outbox) take() (batch [][]byte, last bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	batch, o.queue = o.queue, nil
	if o.aborted {
		batch = nil
	}
	if len(batch) == 0 && !o.ending {
		o.writing = false
	}
	return batch, o.ending
}

func (o *outbox) wrote(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes -= n
	o.wakeWaiting()
}

// busy tells whether there is something that the client has not taken.
func (o *outbox) busy() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes > 0
}

// finish takes no more messages; what is queued is still sent.
func (o *outbox) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ending = true
	o.wakeWaiting()
	o.needWriter()
}

// abort takes no more messages and drops what is queued. No writer is started
// any more; one that is there takes note of the end.
func (o *outbox) abort() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ending, o.aborted = true, true
	o.queue = nil
	o.wakeWaiting()
}

// drop drops what is queued, as for a client that will be told of the end only,
// and takes no more messages. It returns the bytes that were held for them.
// What is being written goes on.
func (o *outbox) drop() (dropped int64, writing bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, msg := range o.queue {
		dropped += int64(cap(msg))
		o.bytes -= len(msg)
		freeBuffer(msg)
	}
	o.queue, o.ending = nil, true
	o.wakeWaiting()
	return dropped, o.bytes > 0
}

func (o *outbox) wakeWaiting() {
	if o.space != nil {
		close(o.space)
		o.space = nil
	}
}

func (o *outbox) needWriter() {
	if !o.writing && !o.aborted {
		o.writing = true
		o.start()
	}
}
