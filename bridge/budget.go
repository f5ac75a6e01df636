package bridge

import (
	"context"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// defaultBufferedBytes is the budget where neither it nor GOMEMLIMIT is set.
	defaultBufferedBytes = 512 << 20
	// maxPause is how long a client is not read from at most before one message
	// of it is. It may be the very one that lets bytes go: a session resumed or
	// closed, or the rest of a line.
	maxPause = time.Second
)

// DefaultMaxBufferedBytes is the default of [Options].MaxBufferedBytes: half of
// GOMEMLIMIT, the other half being for connections, garbage and what is not
// counted, or 512 MiB where there is no such limit.
func DefaultMaxBufferedBytes() int64 {
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		return max(limit/2, 1)
	}
	return defaultBufferedBytes
}

// budget is the bytes that the bridge holds for its clients: messages that are
// being read, calls that wait or run, their results and answers, and caches. It
// sees to it that the bridge gives up some work before the kernel takes all of
// it:
//
//   - Taking never waits, so nothing that is under way can be stuck for want of
//     bytes.
//   - Over the soft mark, three quarters of the limit, a client for whom more
//     than a little is held is hardly read from (see share.wait), and nothing is
//     cached. So is, at any time, one with more than a quarter of that mark.
//   - Over the limit the connection that holds the most is shed, and then the
//     next until the rest fits. What shed connections still hold, as they end,
//     does not count for that, but until it is gone messages that have begun are
//     read on slowly (see share.breathe).
//
// A connection that holds more than the soft mark all by itself is shed too:
// it would stop all others.
type budget struct {
	limit, soft int64
	caches      int64 // bytes of caches, at most
	little      int64 // working bytes with which a client is always read from
	much        int64 // working bytes with which a client is hardly read from

	pressed atomic.Bool // over the soft mark
	full    atomic.Bool // over the limit

	mu      sync.Mutex
	held    int64 // working and cached bytes
	ending  int64 // of them, those of connections that are shed
	cached  int64 // of them, those of caches
	holders map[*share]struct{}
	waiting map[*share]waiter
}

// waiter is a reader that waits: over is closed when ready says so.
type waiter struct {
	ready func() bool
	over  chan struct{}
}

func newBudget(limit int64) *budget {
	soft := limit - limit/4
	return &budget{limit: limit, soft: soft, caches: limit / 4, little: min(16<<10, soft/64), much: soft / 4,
		holders: map[*share]struct{}{}, waiting: map[*share]waiter{}}
}

// total is how many bytes are held.
func (b *budget) total() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held
}

// share is what is held for one connection, or, without a way to shed it, for
// all of them. Bytes that work needs are taken and given back; bytes that would
// only make work quicker are reserved and released.
type share struct {
	budget *budget
	shed   func() // ends the connection, without waiting; nil: it cannot be shed

	// Guarded by budget.mu, but work may be looked at without.
	work   atomic.Int64
	cached int64
	ending bool
}

func (b *budget) newShare(shed func()) *share { return &share{budget: b, shed: shed} }

// take counts n bytes more, or less: bytes of one kind may become others.
func (s *share) take(n int64) {
	if n == 0 {
		return
	}
	for _, victim := range s.budget.add(s, n) {
		victim.shed()
	}
}

func (s *share) give(n int64) { s.take(-n) }

// reserve takes n bytes for a cache, if there are that many to spare.
func (s *share) reserve(n int64) bool {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.ending || b.held+n > b.soft || b.cached+n > b.caches {
		return false
	}
	b.cached += n
	s.cached += n
	b.count(s, n)
	return true
}

// release gives back what was reserved.
func (s *share) release(n int64) {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cached -= n
	s.cached -= n
	b.count(s, -n)
}

// close gives everything back. Nothing may be taken any more.
func (s *share) close() {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	n := s.work.Swap(0) + s.cached
	b.cached -= s.cached
	s.cached = 0
	b.count(s, -n)
}

// wait returns when the client may be read from: at once when little is held
// for it or there are bytes enough, else when that is so again, or after
// maxPause, or when ctx ends.
func (s *share) wait(ctx context.Context) { s.pause(ctx, s.mayRead) }

// breathe returns when more may be read of a message that has begun: it waits,
// up to maxPause, for connections that are shed to let go.
func (s *share) breathe(ctx context.Context) { s.pause(ctx, s.budget.hasRoom) }

func (s *share) mayRead() bool {
	work := s.work.Load()
	return work <= s.budget.little || work <= s.budget.much && !s.budget.pressed.Load()
}

func (b *budget) hasRoom() bool { return !b.full.Load() }

// pause waits until ready. Only the reader of a connection may.
func (s *share) pause(ctx context.Context, ready func() bool) {
	if ready() {
		return
	}
	over := s.budget.await(s, ready)
	if over == nil {
		return
	}
	timer := time.NewTimer(maxPause)
	defer timer.Stop()
	select {
	case <-over:
	case <-timer.C:
	case <-ctx.Done():
	}
	s.budget.forget(s)
}

// await is closed when ready; nil: that is now.
func (b *budget) await(s *share, ready func() bool) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ready() {
		return nil
	}
	over := make(chan struct{})
	b.waiting[s] = waiter{ready, over}
	return over
}

func (b *budget) forget(s *share) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiting, s)
}

// add counts n working bytes of s, and returns who must be shed for it.
func (b *budget) add(s *share, n int64) (victims []*share) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.work.Add(n)
	b.count(s, n)
	if n < 0 {
		return nil
	}
	if s.work.Load() > b.soft && s.shed != nil && !s.ending {
		victims = append(victims, b.end(s))
	}
	for b.held-b.ending > b.limit {
		largest := b.largest()
		if largest == nil {
			break
		}
		victims = append(victims, b.end(largest))
	}
	return victims
}

// count counts n bytes of s that were taken, or given back, and lets those read
// on who may.
func (b *budget) count(s *share, n int64) {
	b.held += n
	if s.ending {
		b.ending += n
	}
	if s.work.Load()+s.cached > 0 {
		b.holders[s] = struct{}{}
	} else {
		delete(b.holders, s)
	}
	pressed, full := b.held > b.soft, b.held > b.limit
	better := b.pressed.Swap(pressed) && !pressed
	better = b.full.Swap(full) && !full || better
	if n > 0 || len(b.waiting) == 0 {
		return
	}
	b.letRead(s)
	if better {
		for s := range b.waiting {
			b.letRead(s)
		}
	}
}

// letRead ends the wait of s, if it waits and needs not.
func (b *budget) letRead(s *share) {
	if w, ok := b.waiting[s]; ok && w.ready() {
		close(w.over)
		delete(b.waiting, s)
	}
}

func (b *budget) largest() (largest *share) {
	most := int64(0)
	for s := range b.holders {
		if n := s.work.Load() + s.cached; n > most && s.shed != nil && !s.ending {
			largest, most = s, n
		}
	}
	return largest
}

// end marks s as shed.
func (b *budget) end(s *share) *share {
	s.ending = true
	b.ending += s.work.Load() + s.cached
	return s
}
