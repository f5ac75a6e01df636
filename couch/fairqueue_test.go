package couch

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestFairQueueLateComers has one flow with very many calls, and many with one each that come later.
func TestFairQueueLateComers(t *testing.T) {
	t.Parallel()
	var q fairQueue
	var busy flow
	for range 10_000 {
		q.push(&busy)
	}
	late := make([]flow, 1000)
	waiting := map[*waiter]bool{}
	for i := range late {
		waiting[q.push(&late[i])] = true
	}
	for range len(late) + 1 { // one round
		delete(waiting, q.pop())
	}
	if len(waiting) > 0 || q.n != 9_999 {
		t.Errorf("after one round %d of those who came late still wait, %d calls in all", len(waiting), q.n)
	}
	for range q.n {
		q.pop()
	}
	if q.n != 0 || q.pop() != nil || busy.first != nil || busy.next != nil {
		t.Errorf("%d calls left", q.n)
	}
}

// TestFairQueue compares the queue with a plain list of lists under random pushes, pops and removals.
func TestFairQueue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var q fairQueue
		flows := make([]flow, 5)
		var ring []*flow // in the order of their turns
		calls := map[*flow][]*waiter{}
		gone := []*waiter{}
		drop := func(f *flow, i int) {
			gone = append(gone, calls[f][i])
			calls[f] = slices.Delete(calls[f], i, i+1)
			if len(calls[f]) == 0 {
				ring = slices.DeleteFunc(ring, func(other *flow) bool { return other == f })
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				f := &flows[rapid.IntRange(0, len(flows)-1).Draw(t, "flow")]
				if len(calls[f]) == 0 {
					ring = append(ring, f)
				}
				calls[f] = append(calls[f], q.push(f))
			},
			"pop": func(t *rapid.T) {
				got := q.pop()
				if len(ring) == 0 {
					if got != nil {
						t.Fatal("popped from an empty queue")
					}
					return
				}
				f := ring[0]
				if got != calls[f][0] {
					t.Fatal("not the first call of the flow whose turn it is")
				}
				ring = append(ring[1:], f)
				drop(f, 0)
			},
			"remove": func(t *rapid.T) {
				if len(ring) == 0 {
					return
				}
				f := rapid.SampledFrom(ring).Draw(t, "flow")
				i := rapid.IntRange(0, len(calls[f])-1).Draw(t, "call")
				if !q.remove(calls[f][i]) {
					t.Fatal("a waiting call was not removed")
				}
				drop(f, i)
			},
			"": func(t *rapid.T) {
				n := 0
				for _, list := range calls {
					n += len(list)
				}
				if q.n != n {
					t.Fatalf("%d calls, want %d", q.n, n)
				}
				for _, w := range gone {
					if q.remove(w) {
						t.Fatal("a call was removed twice")
					}
				}
			},
		})
	})
}
