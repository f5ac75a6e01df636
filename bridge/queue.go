package bridge

import (
	"context"
	"slices"
	"sync"
	"time"

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

// When a batch goes out. A client of PouchDB 5 sends a hundred calls as a
// hundred websocket messages within a few milliseconds, so a batch waits until
// none has come for a moment, and not for long in any case: a call that is alone
// is held up by batchQuiet. Once burstCalls have come, or when so many came the
// last time, the client is taken to be in the middle of its hundred, which may
// take it longer if its machine is busy; the hundredth sends the batch off at
// once. While a batch of the same kind is with CouchDB, the next has more time to
// gather.
const (
	batchQuiet  = time.Millisecond
	burstCalls  = 8
	burstQuiet  = 4 * time.Millisecond
	batchLinger = 15 * time.Millisecond
	batchGather = 15 * time.Millisecond
	// maxBatchCalls and maxBatchBytes are what a batch holds, of calls.
	maxBatchCalls = 100
	maxBatchBytes = 256 << 10
	// maxBatches is how many batches of a kind are with CouchDB at a time.
	maxBatches = 4
)

// batchKind is what calls have in common that one request can answer. The zero
// batchKind is that of calls which are made alone.
type batchKind struct {
	op                  opKind
	latest, attachments bool
	instant             bool // they can be answered without CouchDB, so none waits for others
}

type opKind uint8

const (
	opAlone opKind = iota
	opRevisions
	opOpenRevs
	opKinds // how many there are
)

func kindOf(op wire.Op) batchKind {
	switch op := op.(type) {
	case wire.GetRevisions:
		return batchKind{op: opRevisions}
	case wire.OpenRevs:
		return batchKind{op: opOpenRevs, latest: op.Latest, attachments: op.Attachments}
	}
	return batchKind{}
}

// batch is calls that are made together: one, or several of a kind.
type batch struct {
	kind   batchKind
	calls  []wire.Call
	bytes  int
	opened time.Time
	last   time.Time // when a call joined it
	// another is set when the batch is taken, if another worker must be started
	// to see to what is left.
	another bool
}

func (b *batch) takes(call wire.Call) bool {
	return !b.full() && b.bytes+call.Size <= maxBatchBytes
}

func (b *batch) full() bool { return len(b.calls) >= maxBatchCalls || b.bytes >= maxBatchBytes }

// queue is the calls of one session that wait for their turn. At most a number
// of workers take from it; a worker ends when it finds nothing to do, so an
// idle session has none. Calls of a kind that arrive together are taken
// together: where only batches wait that others may still join, one of the
// workers waits with them.
type queue struct {
	workers int                // at most
	instant func(wire.Op) bool // tells which calls can be answered without CouchDB; nil: none

	mu        sync.Mutex
	waiting   []*batch // oldest first
	count     int      // calls in waiting
	bytes     int
	flight    map[batchKind]int // batches taken and not finished; nil when there are none
	bursts    [opKinds]bool     // whether the last batch was of many calls
	running   int
	lingering bool          // a worker waits for a batch to be ready
	wake      chan struct{} // holds a token to make it look again; made by the first that waits
	paused    bool          // the client is asked to pause
	space     chan struct{} // closed when a call is taken; nil when nobody waits
	closed    bool
	idle      chan struct{} // made by close; closed when no worker is left
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
		if q.count < maxCalls && (q.bytes == 0 || q.bytes+call.Size <= maxCallBytes) {
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
	if ready := q.join(call); ready {
		q.wakeUp()
	}
	q.count++
	q.bytes += call.Size
	worker = q.wantsWorker()
	if !q.paused && q.count >= pauseCalls {
		q.paused = true
		return worker, pauseClient
	}
	return worker, noSignal
}

// join puts a call into the batch it belongs to. It reports whether that batch
// need not wait for more.
func (q *queue) join(call wire.Call) (ready bool) {
	kind, now := kindOf(call.Op), time.Now()
	kind.instant = q.instant != nil && kind != (batchKind{}) && q.instant(call.Op)
	if kind != (batchKind{}) {
		for _, b := range slices.Backward(q.waiting) { // the youngest of the kind, if any is open
			if b.kind != kind {
				continue
			}
			if !b.takes(call) {
				break
			}
			b.calls, b.bytes, b.last = append(b.calls, call), b.bytes+call.Size, now
			return b.full() || kind.instant
		}
	}
	q.waiting = append(q.waiting, &batch{kind: kind, calls: []wire.Call{call}, bytes: call.Size, opened: now, last: now})
	return kind == batchKind{} || kind.instant
}

// wantsWorker counts a worker more if one is to be started: where one lingers,
// it sees to all that waits.
func (q *queue) wantsWorker() bool {
	if q.closed || len(q.waiting) == 0 || q.lingering || q.running >= q.workers {
		return false
	}
	q.running++
	return true
}

// take hands a worker its next batch, as soon as one is ready. Without one the
// worker must end.
func (q *queue) take() (b *batch, _ signal, ok bool) {
	for {
		q.mu.Lock()
		if q.closed || len(q.waiting) == 0 || q.lingering && !q.hasReady() {
			q.workerEnds()
			q.mu.Unlock()
			return nil, noSignal, false
		}
		i, wait := q.next(time.Now())
		if i >= 0 {
			defer q.mu.Unlock()
			b, s := q.remove(i)
			b.another = q.wantsWorker()
			return b, s, true
		}
		q.linger(wait)
	}
}

// next is the place of the oldest batch that is ready, or -1 and how long until
// one is, if nothing happens before.
func (q *queue) next(now time.Time) (i int, wait time.Duration) {
	wait = time.Hour // of kinds that wait for one of theirs to finish
	for i, b := range q.waiting {
		left, ok := q.readyIn(b, now)
		if ok && left <= 0 {
			return i, 0
		}
		if ok {
			wait = min(wait, left)
		}
	}
	return -1, wait
}

func (q *queue) hasReady() bool {
	i, _ := q.next(time.Now())
	return i >= 0
}

// readyIn is in how long a batch is ready if no call joins it; false: not until
// another of its kind has finished.
func (q *queue) readyIn(b *batch, now time.Time) (time.Duration, bool) {
	flight := q.flight[b.kind]
	switch {
	case b.kind == batchKind{}, b.kind.instant:
		return 0, true
	case flight >= maxBatches:
		return 0, false
	case b.full():
		return 0, true
	case flight > 0:
		return batchGather - now.Sub(b.opened), true
	}
	quiet := batchQuiet
	if len(b.calls) >= burstCalls || q.bursts[b.kind.op] {
		quiet = burstQuiet
	}
	return min(quiet-now.Sub(b.last), batchLinger-now.Sub(b.opened)), true
}

// remove takes a batch out.
func (q *queue) remove(i int) (*batch, signal) {
	b := q.waiting[i]
	if q.waiting = slices.Delete(q.waiting, i, i+1); len(q.waiting) == 0 {
		q.waiting = nil
	}
	q.count -= len(b.calls)
	q.bytes -= b.bytes
	if b.kind != (batchKind{}) {
		if q.flight == nil {
			q.flight = make(map[batchKind]int, 1)
		}
		q.flight[b.kind]++
		if !b.kind.instant {
			q.bursts[b.kind.op] = len(b.calls) >= burstCalls
		}
	}
	if q.space != nil {
		close(q.space)
		q.space = nil
	}
	if q.paused && q.count <= resumeCalls {
		q.paused = false
		return b, resumeClient
	}
	return b, noSignal
}

// linger waits, at most for so long, for something to become ready. It is called
// with mu held and returns without.
func (q *queue) linger(most time.Duration) {
	q.lingering = true
	if q.wake == nil {
		q.wake = make(chan struct{}, 1)
	}
	wake := q.wake
	q.mu.Unlock()
	timer := time.NewTimer(most)
	select {
	case <-timer.C:
	case <-wake:
		timer.Stop()
	}
	q.mu.Lock()
	q.lingering = false
	q.mu.Unlock()
}

func (q *queue) wakeUp() {
	if !q.lingering {
		return
	}
	select {
	case q.wake <- struct{}{}:
	default: // it is about to look
	}
}

// finished is told of each batch that take has handed out.
func (q *queue) finished(b *batch) {
	if b.kind == (batchKind{}) {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.flight[b.kind]--; q.flight[b.kind] == 0 {
		delete(q.flight, b.kind)
	}
	if len(q.flight) == 0 {
		q.flight = nil
	}
	q.wakeUp()
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
	for _, b := range q.waiting {
		waiting = append(waiting, b.calls...)
	}
	q.closed = true
	q.waiting, q.count, q.bytes = nil, 0, 0
	q.wakeUp()
	if q.space != nil {
		close(q.space)
		q.space = nil
	}
	if q.idle = make(chan struct{}); q.running == 0 {
		close(q.idle)
	}
	return waiting, q.idle
}
