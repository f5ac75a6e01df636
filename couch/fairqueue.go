package couch

// flow is the waiting calls of one caller, of which every [Database] is one. The zero value has none.
type flow struct {
	first, last *waiter
	next, prev  *flow // in the ring of flows that have calls waiting; nil: not in it
}

// waiter is a call that waits for its place.
type waiter struct {
	admitted   chan struct{} // closed when it has one
	flow       *flow         // nil: it does not wait any more
	next, prev *waiter       // within the flow
}

// fairQueue lets calls out in turns: one of each flow that has some, and within a flow the one that came first. So a flow with
// thousands of calls delays those of another by one call a round. It is not safe for concurrent use, and it has no bound of its
// own: its callers have, as the bridge makes only so many calls of a session at a time.
type fairQueue struct {
	turn *flow // whose call is the next; nil: there is none
	n    int
}

// push appends a call of f. A flow that had none waits for the end of the round.
func (q *fairQueue) push(f *flow) *waiter {
	w := &waiter{admitted: make(chan struct{}), flow: f, prev: f.last}
	if f.last == nil {
		f.first = w
		q.enter(f)
	} else {
		f.last.next = w
	}
	f.last = w
	q.n++
	return w
}

// pop takes out the next call; nil if there is none.
func (q *fairQueue) pop() *waiter {
	if q.turn == nil {
		return nil
	}
	f := q.turn
	w := f.first
	q.turn = f.next
	q.remove(w)
	return w
}

// remove takes out a call wherever it is. It reports false for one that is out already.
func (q *fairQueue) remove(w *waiter) bool {
	f := w.flow
	if f == nil {
		return false
	}
	if w.prev == nil {
		f.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		f.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.flow, w.next, w.prev = nil, nil, nil
	q.n--
	if f.first == nil {
		q.leave(f)
	}
	return true
}

// enter puts f at the end of the round: before the flow whose turn it is.
func (q *fairQueue) enter(f *flow) {
	if q.turn == nil {
		f.next, f.prev = f, f
		q.turn = f
		return
	}
	f.next, f.prev = q.turn, q.turn.prev
	f.prev.next, f.next.prev = f, f
}

func (q *fairQueue) leave(f *flow) {
	switch {
	case f.next == f:
		q.turn = nil
	case q.turn == f:
		q.turn = f.next
	}
	f.prev.next, f.next.prev = f.next, f.prev
	f.next, f.prev = nil, nil
}
