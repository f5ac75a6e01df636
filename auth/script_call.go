package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dop251/goja"
)

// maxUnhandled is how many rejected promises are remembered.
const maxUnhandled = 16

// scriptCall is one use of a runtime: a request, or the loading of the file. It is the event loop: JavaScript runs in the
// goroutine of the call alone, whoever else has something for it sends a function to events.
type scriptCall struct {
	rt      *scriptRuntime
	ctx     context.Context
	cancel  context.CancelFunc
	answers chan<- answer // nil while the file is loaded
	settled bool
	// undelivered is the answer until it is sent: when the call has to wait for something after it, else by whoever asked.
	undelivered *answer
	broken      error // why the runtime must not be used again
	timers      scriptTimers
	lines       int // written to the console

	events   chan func() error
	fetching int
	fetches  sync.WaitGroup

	executing atomic.Bool // for the watch
	rejected  map[*goja.Promise]bool
}

func newScriptCall(ctx context.Context, rt *scriptRuntime, answers chan<- answer) *scriptCall {
	c := &scriptCall{rt: rt, answers: answers, events: make(chan func() error)}
	c.ctx, c.cancel = context.WithCancel(ctx)
	return c
}

// during runs f with the call as the runtime's own, watched, and ends everything the call started.
func (c *scriptCall) during(f func() error) (err error) {
	c.rt.call = c
	ended, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		c.watch(ended)
	}()
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the JavaScript engine panicked: %v\n%s", v, debug.Stack())
			c.broken = err
		}
		c.cancel()
		close(ended)
		<-watched
		c.fetches.Wait()
		c.rt.vm.ClearInterrupt()
	}()
	return f()
}

// decide decides r, in a call that has ended and is settled.
func (rt *scriptRuntime) decide(ctx context.Context, r Request, answers chan<- answer) *scriptCall {
	c := newScriptCall(ctx, rt, answers)
	err := c.during(func() error {
		if err := c.ask(r); err != nil {
			return err
		}
		if err := c.loop(c.idle); err != nil {
			return err
		}
		return c.conclude()
	})
	if err != nil {
		err = scriptFault(err)
		if c.settled {
			rt.script.options.Log("error", "after its answer: "+err.Error())
		}
		c.refuse(err)
	}
	return c
}

// ask calls onRequest.
func (c *scriptCall) ask(r Request) error {
	vm := c.rt.vm
	credentials := goja.Undefined()
	var err error
	if r.Credentials != nil {
		text := vm.ToValue(string(r.Credentials))
		if credentials, err = c.run(func() (goja.Value, error) { return c.rt.parse(goja.Undefined(), text) }); err != nil {
			return err
		}
	}
	callback := vm.ToValue(func(call goja.FunctionCall) goja.Value {
		c.called(call.Argument(0), call.Argument(1))
		return goja.Undefined()
	})
	request := c.rt.request(r)
	value, err := c.run(func() (goja.Value, error) {
		return c.rt.handler(goja.Undefined(), credentials, vm.ToValue(r.Database), callback, request)
	})
	if err == nil {
		return c.returned(value)
	}
	return c.threw(err)
}

// loop runs what comes until there is nothing to wait for any more. What a timer throws ends it, as it ends a server.
func (c *scriptCall) loop(done func() bool) error {
	for !done() {
		if err := c.next(); err != nil {
			return err
		}
	}
	return nil
}

// next waits for a timer or an event, and runs it.
func (c *scriptCall) next() error {
	if c.undelivered != nil {
		c.answers <- *c.undelivered
		c.undelivered = nil
	}
	timer := c.timers.next()
	var due <-chan time.Time
	if timer != nil {
		t := time.NewTimer(time.Until(timer.due))
		defer t.Stop()
		due = t.C
	}
	select {
	case <-c.ctx.Done():
		c.broken = c.timedOut()
		return c.broken
	case event := <-c.events:
		return event()
	case <-due:
		_, err := c.run(func() (goja.Value, error) { return c.timers.fire(timer) })
		return err
	}
}

// idle tells that a request has nothing to wait for: no fetch, and before its answer no timer.
func (c *scriptCall) idle() bool {
	return c.fetching == 0 && (c.settled || len(c.timers.pending) == 0)
}

// loaded tells that the file has nothing to wait for: no fetch, and no timer that would fire in time, but for intervals.
func (c *scriptCall) loaded() bool {
	if c.fetching > 0 {
		return false
	}
	deadline, _ := c.ctx.Deadline()
	for _, t := range c.timers.pending {
		if t.every == 0 && t.due.Before(deadline) {
			return false
		}
	}
	return true
}

// run has the runtime do something. An error that is no exception of the script's makes the runtime unusable.
func (c *scriptCall) run(f func() (goja.Value, error)) (goja.Value, error) {
	c.executing.Store(true)
	value, err := f()
	c.executing.Store(false)
	if fatal(err) {
		c.broken = err
	}
	return value, err
}

// timedOut says why the call's context ended.
func (c *scriptCall) timedOut() error {
	if c.rt.script.ctx.Err() != nil {
		return errScriptClosed
	}
	return fmt.Errorf("%w: %d fetches and %d timers are pending", errScriptTimeout, c.fetching, len(c.timers.pending))
}

// conclude says what is wrong with a call in which nothing is left to wait for.
func (c *scriptCall) conclude() error {
	if err := c.unhandled(); err != nil || c.settled {
		return err
	}
	return errors.New("onRequest neither calls back nor returns a PouchDB or a promise of one, and nothing it could be waiting for is pending")
}

// rejection keeps account of rejected promises that nobody handles.
func (c *scriptCall) rejection(p *goja.Promise, operation goja.PromiseRejectionOperation) {
	switch {
	case operation == goja.PromiseRejectionHandle:
		delete(c.rejected, p)
	case len(c.rejected) < maxUnhandled:
		if c.rejected == nil {
			c.rejected = map[*goja.Promise]bool{}
		}
		c.rejected[p] = true
	}
}

// unhandled is the error of a rejected promise that nobody handles.
func (c *scriptCall) unhandled() error {
	for p := range c.rejected {
		d, err := c.describe(p.Result())
		if err != nil {
			return err
		}
		return fmt.Errorf("unhandled rejection of a promise: %s", d.log)
	}
	return nil
}
