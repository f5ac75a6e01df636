package auth

import (
	"errors"
	"sync"
	"time"
)

var errBreakerOpen = errors.New("has failed too often in a row and is left alone for a while")

// breaker is a circuit breaker: closed, every call is allowed; after threshold failures in a row it is open, and of the calls
// none is allowed but one every pause, to find out. A success closes it.
//
// It is not one of the known libraries since it can do with less: there is no third state that a call which never reports
// could leave it in, and no generations, as what a late call reports is true whenever it began.
type breaker struct {
	threshold int
	pause     time.Duration

	mu       sync.Mutex
	failures int       // in a row
	next     time.Time // when it is open: the next call that is allowed
}

// isOpen tells whether a call would not be allowed now.
func (b *breaker) isOpen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.blocks(time.Now())
}

// allow tells whether a call may be made.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if b.blocks(now) {
		return false
	}
	b.next = now.Add(b.pause) // counts only while it is open
	return true
}

func (b *breaker) blocks(now time.Time) bool {
	return b.failures >= b.threshold && now.Before(b.next)
}

// record takes what came of a call.
func (b *breaker) record(success bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if success {
		b.failures = 0
		return
	}
	b.failures++
	b.next = time.Now().Add(b.pause)
}
