package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// maxCalls bounds the calls of a policy that run at a time, those that were given up on included. A request beyond it
// waits for a call to return until its own deadline.
const maxCalls = 1024

// errNoAnswer is the cause of a refusal when OnRequest ended its goroutine instead of returning.
var errNoAnswer = errors.New("policy ended its goroutine instead of answering")

// Decider asks a policy and turns everything but a sound grant into a refusal.
//
// A policy that ignores its context cannot be stopped, only given up on: each call runs in a goroutine of its own, the
// request is refused at the deadline, and the call keeps one of a fixed number of slots until it returns. So calls that
// never return do not pile up (in the end every request is refused as unavailable), and [Decider.Close] waits for them.
type Decider struct {
	policy  Policy
	timeout time.Duration
	calls   chan struct{} // one element for each call that has not returned

	closing sync.Mutex
	closed  int // slots that Close has taken
}

// NewDecider makes a Decider that refuses when p has not answered within timeout.
func NewDecider(p Policy, timeout time.Duration) *Decider {
	return &Decider{policy: p, timeout: timeout, calls: make(chan struct{}, maxCalls)}
}

// Decide returns a grant that names a database and allows something, or a [*Refusal] fit for the client with its cause,
// if any, in Err. Safe for concurrent use.
func (d *Decider) Decide(ctx context.Context, r Request) (Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	select {
	case d.calls <- struct{}{}:
	case <-ctx.Done():
		return Grant{}, refusalOf(fmt.Errorf("%d calls of the policy have not returned: %w", maxCalls, ctx.Err()))
	}
	answered := make(chan answer, 1) // so that a late answer finds room and its goroutine ends
	go d.call(ctx, r, answered)
	select {
	case a := <-answered:
		return a.check()
	case <-ctx.Done():
		return Grant{}, refusalOf(fmt.Errorf("policy has not answered: %w", ctx.Err()))
	}
}

// Close waits until every call of the policy has returned, or reports how many have not when ctx ends; it may be called
// again. Requests made after it are refused.
func (d *Decider) Close(ctx context.Context) error {
	d.closing.Lock()
	defer d.closing.Unlock()
	for ; d.closed < cap(d.calls); d.closed++ {
		select {
		case d.calls <- struct{}{}: // takes the slot for good
			continue
		default:
		}
		select { // only now for ctx too: if it has ended, free slots still count as free
		case d.calls <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("%d calls of the policy have not returned: %w", cap(d.calls)-d.closed, ctx.Err())
		}
	}
	return nil
}

// answer is what came of one call.
type answer struct {
	grant Grant
	err   error
}

// call puts exactly one answer into answered, however OnRequest ends, and frees the slot.
func (d *Decider) call(ctx context.Context, r Request, answered chan<- answer) {
	a := answer{err: errNoAnswer}
	defer func() {
		if v := recover(); v != nil {
			a.err = fmt.Errorf("policy panicked: %v\n%s", v, debug.Stack())
		}
		answered <- a
		<-d.calls
	}()
	a.grant, a.err = d.policy.OnRequest(ctx, r)
}

// check lets a sound grant pass.
func (a answer) check() (Grant, error) {
	if a.err != nil {
		return Grant{}, refusalOf(a.err)
	}
	if err := a.grant.validate(); err != nil {
		return Grant{}, refusalOf(&Refusal{Code: Forbidden, Err: err})
	}
	return a.grant, nil
}
