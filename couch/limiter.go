package couch

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

const (
	// longestRest bounds for how long a Retry-After is believed.
	longestRest = 30 * time.Second
	// restSpread is within what part of a Retry-After the first calls go out after it, and restRamp over how long the others
	// are spread that have waited: neither we nor other bridges shall come all at once.
	restSpread = 0.1
	restRamp   = time.Second
	// dawdle is how long an answer may lie, or a body be awaited, before its call gives up its place.
	dawdle = time.Second
	// feedPlace is how long a feed has a place at most: it is for connecting.
	feedPlace = time.Second
)

// limiter bounds the calls that are under way to one server, by a number that adapts ([aimd]). Further calls wait, and are let
// through in turns ([fairQueue]). After a Retry-After none is, until it is over.
//
// A call has a place from when it is sent until its answer was read, failed or was closed. It gives it up early when CouchDB
// waits for us for longer than a moment: a reader that is slow, or that makes calls while it reads, must not keep places from
// others, or all could wait for one another.
type limiter struct {
	mu       sync.Mutex
	aimd     aimd
	inFlight int
	queue    fairQueue
	nobody   flow // calls that belong to no database

	opens time.Time   // nobody is let through before
	ramp  time.Time   // until then, one by one
	timer *time.Timer // set while calls wait for opens; nil otherwise
}

func newLimiter(most int) *limiter { return &limiter{aimd: newAIMD(most)} }

func (l *limiter) load() Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Load{Limit: l.aimd.places(), InFlight: l.inFlight, Waiting: l.queue.n}
}

// enter waits for a place for a call of f, which may be nil, for as long as patience. It fails with the context's error as
// [cancelled] makes it, or with a transient *Error.
func (l *limiter) enter(ctx context.Context, f *flow, op string, patience time.Duration) (*place, error) {
	w := l.ask(f)
	if w == nil {
		return newPlace(l), nil
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var err error
	select {
	case <-w.admitted:
		return newPlace(l), nil
	case <-ctx.Done():
		err = cancelled(op, ctx)
	case <-timer.C:
		err = &Error{Op: op, Err: errCrowded}
	}
	l.forgo(w)
	return nil, err
}

// ask returns nil when the call has a place at once.
func (l *limiter) ask(f *flow) *waiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f == nil {
		f = &l.nobody
	}
	w := l.queue.push(f)
	l.admit()
	if w.flow == nil {
		return nil
	}
	return w
}

// forgo takes back a call that waits, or the place that it has got meanwhile.
func (l *limiter) forgo(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.queue.remove(w) {
		l.inFlight--
	}
	l.admit()
}

// admit lets through whom there is a place for.
func (l *limiter) admit() {
	for l.queue.n > 0 && l.inFlight < l.aimd.places() {
		now := time.Now()
		if rest := l.opens.Sub(now); rest > 0 {
			l.wake(rest)
			return
		}
		if now.Before(l.ramp) {
			l.opens = now.Add(spread(2 * restRamp / time.Duration(l.aimd.places())))
		}
		l.inFlight++
		l.aimd.underWay(l.inFlight)
		close(l.queue.pop().admitted)
	}
	if l.queue.n == 0 && l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}

// wake has calls let through again after rest.
func (l *limiter) wake(rest time.Duration) {
	if l.timer != nil {
		return
	}
	l.timer = time.AfterFunc(rest, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.timer = nil
		l.admit()
	})
}

// rest lets nobody through for d and a little more.
func (l *limiter) rest(d time.Duration, now time.Time) {
	d = min(d, longestRest)
	d += spread(time.Duration(restSpread * float64(d)))
	if until := now.Add(d); until.After(l.opens) {
		l.opens, l.ramp = until, until.Add(restRamp)
	}
}

// spread is a random part of d.
func spread(d time.Duration) time.Duration { return time.Duration(rand.Int64N(int64(d) + 1)) }

// place is that of one call, among those under way. A nil place is that of a call that needs none.
type place struct {
	l     *limiter
	began time.Time
	given bool        // back; guarded by l.mu
	idle  *time.Timer // gives it back; at first in feedPlace
}

func newPlace(l *limiter) *place {
	p := &place{l: l, began: time.Now()}
	p.idle = time.AfterFunc(feedPlace, p.giveBack)
	return p
}

// keep is for a call that has its place for longer than feedPlace: the timer is the caller's, for when CouchDB waits for us.
func (p *place) keep() *time.Timer {
	p.idle.Stop()
	return p.idle
}

// leave gives the place back, once.
func (p *place) leave() {
	if p == nil {
		return
	}
	p.idle.Stop()
	p.giveBack()
}

func (p *place) giveBack() {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	if p.given {
		return
	}
	p.given = true
	p.l.inFlight--
	p.l.admit()
}

// answered tells what an answer's headers say of the server's load. A call whose k is the zero kind takes as long as it takes.
func (p *place) answered(k kind, status int, retryAfter time.Duration) {
	if p == nil {
		return
	}
	now := time.Now()
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	switch {
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		p.l.aimd.refused(p.began, now)
		if retryAfter > 0 {
			p.l.rest(retryAfter, now)
		}
	case status/100 == 2 && k != kind{}:
		p.l.aimd.answered(k, p.began, now)
		p.l.admit()
	}
}

// silent tells that the server did not answer in time.
func (p *place) silent() {
	if p == nil {
		return
	}
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	p.l.aimd.silent(p.began, time.Now())
}
