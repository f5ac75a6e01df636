package bridge

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pouchbridge/bridge/wire"
)

// taken is a batch that a worker took: how many calls, and when.
type taken struct {
	calls int
	after time.Duration
}

// workers serves a queue: each batch takes as long as upstream says.
func workers(q *queue, upstream time.Duration, took func(*batch)) (put func(wire.Op)) {
	var work func()
	work = func() {
		for {
			b, _, ok := q.take()
			if !ok {
				return
			}
			if b.another {
				go work()
			}
			took(b)
			time.Sleep(upstream)
			q.finished(b)
		}
	}
	return func(op wire.Op) {
		if worker, _, err := q.put(context.Background(), wire.Call{Op: op, Size: 10}); err == nil && worker {
			go work()
		}
	}
}

// TestBatches puts calls at given times and looks at what goes out when.
func TestBatches(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	type put struct {
		after time.Duration // the put before
		times int
		op    wire.Op
	}
	tree, get, latest := wire.GetRevisions{}, wire.OpenRevs{}, wire.OpenRevs{Latest: true}
	tests := []struct {
		name     string
		upstream time.Duration
		puts     []put
		want     []taken
	}{
		{"a call alone goes out after a moment", ms, []put{{0, 1, tree}}, []taken{{1, batchQuiet}}},
		{"what is no batch goes out at once", ms, []put{{0, 1, wire.GetID{}}}, []taken{{1, 0}}},
		{"a hundred go out at once", ms, []put{{0, 100, tree}}, []taken{{100, 0}}},
		{"a burst goes out together", ms, []put{{0, 30, tree}, {3 * ms, 30, tree}}, []taken{{60, 3*ms + burstQuiet}}},
		{"the first of the next burst is not taken for one alone", 0, []put{{0, 50, tree}, {100 * ms, 1, tree}, {3 * ms, 49, tree}, {100 * ms, 1, tree}},
			[]taken{{50, burstQuiet}, {50, 103*ms + burstQuiet}, {1, 203*ms + burstQuiet}}},
		{"calls that trickle in do not wait for ever", 0, slices.Repeat([]put{{batchQuiet - 1, 1, tree}}, 7),
			[]taken{{7, 7*(batchQuiet-1) + batchQuiet}}},
		{"kinds do not mix", ms, []put{{0, 2, tree}, {0, 3, get}, {0, 4, latest}, {0, 5, tree}},
			[]taken{{7, batchQuiet}, {3, batchQuiet}, {4, batchQuiet}}},
		{"a batch lets others pass", ms, []put{{0, 2, tree}, {0, 1, wire.GetInfo{}}}, []taken{{1, 0}, {2, batchQuiet}}},
		{"the next batch gathers while one is with CouchDB", 10 * ms, []put{{0, 1, get}, {2 * ms, 1, get}, {2 * ms, 1, get}, {2 * ms, 1, get}},
			[]taken{{1, batchQuiet}, {3, batchQuiet + 10*ms}}},
		{"it does not wait for a slow one", time.Second, []put{{0, 1, get}, {2 * ms, 1, get}}, []taken{{1, batchQuiet}, {1, 2*ms + batchGather}}},
		{"there is a limit to what is with CouchDB", time.Second, []put{{0, 600, tree}},
			[]taken{{100, 0}, {100, 0}, {100, 0}, {100, 0}, {100, time.Second}, {100, time.Second}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := &queue{workers: 16}
				start := time.Now()
				out := make(chan taken, 100)
				put := workers(q, tt.upstream, func(b *batch) { out <- taken{len(b.calls), time.Since(start)} })
				for _, p := range tt.puts {
					time.Sleep(p.after)
					for range p.times {
						put(p.op)
					}
				}
				time.Sleep(10 * time.Second)
				var got []taken
				for len(out) > 0 {
					got = append(got, <-out)
				}
				slices.SortFunc(got, func(a, b taken) int { return int(a.after - b.after) })
				slices.SortFunc(tt.want, func(a, b taken) int { return int(a.after - b.after) })
				if !sameBatches(got, tt.want) {
					t.Errorf("got %v, want %v", got, tt.want)
				}
				q.mu.Lock()
				defer q.mu.Unlock()
				if q.running != 0 || q.waiting != nil || q.flight != nil || q.lingering {
					t.Errorf("an idle queue keeps %+v", q)
				}
			})
		})
	}
}

// sameBatches compares what went out, whatever the order of what went out at the
// same time.
func sameBatches(a, b []taken) bool {
	count := func(list []taken) map[taken]int {
		n := map[taken]int{}
		for _, t := range list {
			n[t]++
		}
		return n
	}
	x, y := count(a), count(b)
	for k, n := range x {
		if y[k] != n {
			return false
		}
	}
	return len(a) == len(b)
}

// TestInstantDoesNotWait puts calls that can be answered without CouchDB among
// others of their kind.
func TestInstantDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queue{workers: 4, instant: func(op wire.Op) bool { return op.(wire.GetRevisions).ID == "known" }}
		start := time.Now()
		out := make(chan taken, 10)
		put := workers(q, time.Second, func(b *batch) { out <- taken{len(b.calls), time.Since(start)} })
		for _, id := range []string{"a", "known", "b"} {
			put(wire.GetRevisions{ID: id})
		}
		for _, want := range []taken{{1, 0}, {2, batchQuiet}} {
			if got := <-out; got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		}
		time.Sleep(2 * time.Second)
	})
}

// TestCloseWhileLingering wants the calls of a batch that was still open, and
// the worker that waited with it to end.
func TestCloseWhileLingering(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queue{workers: 4}
		put := workers(q, 0, func(b *batch) { t.Errorf("%d calls were taken", len(b.calls)) })
		for range 3 {
			put(wire.GetRevisions{})
		}
		put(wire.OpenRevs{})
		waiting, idle := q.close()
		if len(waiting) != 4 {
			t.Errorf("%d calls waited", len(waiting))
		}
		<-idle
	})
}

// TestBatchBytes bounds what a batch holds.
func TestBatchBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queue{}
		for range 5 {
			if _, _, err := q.put(t.Context(), wire.Call{Op: wire.OpenRevs{}, Size: maxBatchBytes/2 - 1}); err != nil {
				t.Fatal(err)
			}
		}
		var sizes []int
		for _, b := range q.waiting {
			sizes = append(sizes, len(b.calls))
		}
		if !slices.Equal(sizes, []int{2, 2, 1}) {
			t.Errorf("batches of %v", sizes)
		}
	})
}
