package bridge

import (
	"context"
	"sync"

	"pouchbridge/bridge/wire"
)

const (
	// pauseCalls is how many waiting calls make us ask the client to pause, and
	// resumeCalls how few to resume.
	pauseCalls  = 256
	resumeCalls = 64
	// maxCalls and maxCallBytes are where we stop reading from a client that
	// does not pause. One call may be over the bytes.
	maxCalls     = 2048
	maxCallBytes = 16 << 20
)

// queue is the calls of one session that wait for their turn. At most a number
// of workers take from it; a worker ends when it finds the queue empty, so an
// idle session has none.
type queue struct {
	workers int // at most

	mu      sync.Mutex
	calls   []wire.Call
	bytes   int
	running int
	paused  bool          // the client is asked to pause
	space   chan struct{} // closed when a call is taken; nil when nobody waits
	closed  bool
	idle    chan struct{} // made by close; closed when no worker is left
}

// signal is what the client must be told after a change of the queue.
type signal int

const (
	noSignal signal = iota
	pauseClient
	resumeClient
)

// put appends a call, as soon as there is room. It reports whether a worker
// more must be started, and what to tell the client.
func (q *queue) put(ctx context.Context, call wire.Call) (worker bool, _ signal, err error) {
	for {
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			return false, noSignal, context.Canceled
		}
		if len(q.calls) < maxCalls && (q.bytes == 0 || q.bytes+call.Size <= maxCallBytes) {
			defer q.mu.Unlock()
			worker, s := q.append(call)
			return worker, s, nil
		}
		if q.space == nil {
			q.space = make(chan struct{})
		}
		space := q.space
		q.mu.Unlock()
		select {
		case <-space:
		case <-ctx.Done():
			return false, noSignal, ctx.Err()
		}
	}
}

func (q *queue) append(call wire.Call) (worker bool, _ signal) {
	q.calls = append(q.calls, call)
	q.bytes += call.Size
	if worker = q.running < q.workers; worker {
		q.running++
	}
	if !q.paused && len(q.calls) >= pauseCalls {
		q.paused = true
		return worker, pauseClient
	}
	return worker, noSignal
}

// take hands a worker its next call. Without one the worker must end.
func (q *queue) take() (call wire.Call, _ signal, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.calls) == 0 {
		q.calls = nil
		q.workerEnds()
		return call, noSignal, false
	}
	call, q.calls = q.calls[0], q.calls[1:]
	q.bytes -= call.Size
	if q.space != nil {
		close(q.space)
		q.space = nil
	}
	if q.paused && len(q.calls) <= resumeCalls {
		q.paused = false
		return call, resumeClient, true
	}
	return call, noSignal, true
}

// lost takes back that a worker was to be started.
func (q *queue) lost() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.workerEnds()
}

func (q *queue) workerEnds() {
	if q.running--; q.running == 0 && q.closed {
		close(q.idle)
	}
}

// close takes no more calls. It returns those that waited, and a channel that
// is closed when no worker is left.
func (q *queue) close() (waiting []wire.Call, idle <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, q.idle
	}
	waiting = q.calls
	q.closed = true
	q.calls, q.bytes = nil, 0
	if q.space != nil {
		close(q.space)
		q.space = nil
	}
	if q.idle = make(chan struct{}); q.running == 0 {
		close(q.idle)
	}
	return waiting, q.idle
}
