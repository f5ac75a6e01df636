package auth

import (
	"errors"
	"slices"
	"time"

	"github.com/dop251/goja"
)

// maxTimers is how many timers a call may have pending.
const maxTimers = 1000

var errScriptTimers = errors.New("too many timers are pending")

// scriptTimers are the timers of one call.
type scriptTimers struct {
	last    int
	pending []*scriptTimer // by when they are due; those due together, as they were set
}

type scriptTimer struct {
	id    int
	due   time.Time
	every time.Duration // 0: once
	f     goja.Callable
}

// schedule is the host's schedule(function, milliseconds, repeat): the number of the timer.
func (rt *scriptRuntime) schedule(call goja.FunctionCall) goja.Value {
	f, _ := goja.AssertFunction(call.Argument(0))
	timers := &rt.call.timers
	if len(timers.pending) >= maxTimers {
		panic(rt.vm.NewTypeError(errScriptTimers.Error()))
	}
	// As in Node: at least a millisecond, and a delay beyond 2^31 is one.
	delay := call.Argument(1).ToFloat()
	if !(delay >= 1 && delay < 1<<31) {
		delay = 1
	}
	timers.last++
	t := &scriptTimer{id: timers.last, f: f}
	after := time.Duration(delay * float64(time.Millisecond))
	t.due = time.Now().Add(after)
	if call.Argument(2).ToBoolean() {
		t.every = after
	}
	timers.add(t)
	return rt.vm.ToValue(t.id)
}

// cancel is the host's cancel(number).
func (rt *scriptRuntime) cancel(call goja.FunctionCall) goja.Value {
	rt.call.timers.remove(int(call.Argument(0).ToInteger()))
	return goja.Undefined()
}

func (s *scriptTimers) add(t *scriptTimer) {
	at := len(s.pending)
	for at > 0 && s.pending[at-1].due.After(t.due) {
		at--
	}
	s.pending = slices.Insert(s.pending, at, t)
}

func (s *scriptTimers) remove(id int) {
	s.pending = slices.DeleteFunc(s.pending, func(t *scriptTimer) bool { return t.id == id })
}

// next is the timer that is due first, nil if there is none.
func (s *scriptTimers) next() *scriptTimer {
	if len(s.pending) == 0 {
		return nil
	}
	return s.pending[0]
}

// fire runs a timer's function.
func (s *scriptTimers) fire(t *scriptTimer) (goja.Value, error) {
	s.remove(t.id)
	if t.every > 0 {
		t.due = time.Now().Add(t.every)
		s.add(t)
	}
	return t.f(goja.Undefined())
}
