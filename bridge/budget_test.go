package bridge

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// sheddable are shares of a budget, and the numbers of those that were shed.
func sheddable(b *budget, n int) (shares []*share, shed *[]int) {
	shed = new([]int)
	for i := range n {
		shares = append(shares, b.newShare(func() { *shed = append(*shed, i) }))
	}
	return shares, shed
}

func TestBudgetSheds(t *testing.T) {
	t.Parallel()
	// The limit is 100, the soft mark 75.
	tests := []struct {
		name string
		take [][2]int64 // share, bytes
		shed []int
		held int64
	}{
		{"all fits", [][2]int64{{0, 50}, {1, 50}}, nil, 100},
		{"the largest", [][2]int64{{0, 30}, {1, 40}, {2, 20}, {0, 5}, {2, 15}}, []int{1}, 110},
		{"who takes may be the largest", [][2]int64{{0, 30}, {1, 31}, {2, 40}}, []int{2}, 101},
		{"only one at a time", [][2]int64{{0, 30}, {1, 40}, {2, 31}, {2, 5}, {0, 30}}, []int{1}, 136},
		{"until the rest fits", [][2]int64{{0, 60}, {1, 40}, {2, 70}}, []int{2}, 170},
		{"a shed one is not shed twice", [][2]int64{{0, 60}, {1, 41}, {0, 60}}, []int{0}, 161},
		{"the next when the rest grows", [][2]int64{{0, 60}, {1, 41}, {2, 50}, {1, 10}}, []int{0, 1}, 161},
		{"over the soft mark alone", [][2]int64{{0, 75}, {1, 76}}, []int{1}, 151},
		{"what was given back does not count", [][2]int64{{0, 60}, {0, -60}, {1, 60}, {2, 40}}, nil, 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBudget(100)
			shares, shed := sheddable(b, 3)
			for _, take := range tt.take {
				shares[take[0]].take(take[1])
			}
			if !slices.Equal(*shed, tt.shed) || b.total() != tt.held {
				t.Errorf("shed %v, held %d; want %v, %d", *shed, b.total(), tt.shed, tt.held)
			}
			for _, s := range shares {
				s.close()
			}
			if b.total() != 0 || b.ending != 0 || len(b.holders) != 0 {
				t.Errorf("after the end: %+v", b)
			}
		})
	}
}

func TestBudgetReserves(t *testing.T) {
	t.Parallel()
	b := newBudget(100)
	shares, shed := sheddable(b, 2)
	caches := b.newShare(nil)
	steps := []struct {
		what string
		do   func() bool
		want bool
	}{
		{"a quarter for caches", func() bool { return caches.reserve(20) && shares[0].reserve(5) }, true},
		{"more than a quarter", func() bool { return shares[1].reserve(1) }, false},
		{"after a release", func() bool { caches.release(10); return shares[1].reserve(1) }, true},
		{"up to the soft mark", func() bool { shares[0].take(55); return shares[1].reserve(4) }, true},
		{"over the soft mark", func() bool { return shares[1].reserve(1) }, false},
		{"nothing was shed", func() bool { return len(*shed) == 0 }, true},
		{"who caches much goes first", func() bool { shares[1].take(53); return slices.Equal(*shed, []int{0}) }, true},
		{"for a connection that is shed", func() bool { shares[1].give(53); shares[0].give(55); return shares[0].reserve(1) }, false},
	}
	for _, s := range steps {
		if got := s.do(); got != s.want {
			t.Errorf("%s: %t", s.what, got)
		}
	}
	for _, s := range append(shares, caches) {
		s.close()
	}
	if b.total() != 0 || b.cached != 0 {
		t.Errorf("%d bytes are left, %d of them cached", b.total(), b.cached)
	}
}

// TestShareWaits wants a client not to be read from while bytes are short, and
// read from again for each of the reasons there are.
func TestShareWaits(t *testing.T) {
	t.Parallel()
	type state struct {
		b           *budget
		own, others *share
		cancel      context.CancelFunc
	}
	const mib = 1 << 20 // the budget has 100 of them
	tests := []struct {
		name        string
		own, others int64
		then        func(state) // nil: it does not wait at all
		after       time.Duration
	}{
		{"nothing held", 0, 90 * mib, nil, 0},
		{"little held", 16 << 10, 90 * mib, nil, 0},
		{"enough for all", mib, 70 * mib, nil, 0},
		{"others give back", mib, 75 * mib, func(s state) { s.others.give(mib) }, 0},
		{"it gives back", mib, 80 * mib, func(s state) { s.own.give(mib) }, 0},
		{"too little is given back", mib, 80 * mib, func(s state) { s.others.give(mib); s.own.give(mib / 2) }, maxPause},
		{"nothing happens", mib, 80 * mib, func(state) {}, maxPause},
		{"the connection ends", mib, 80 * mib, func(s state) { s.cancel() }, 0},
		{"it alone has much", 20 * mib, 0, func(state) {}, maxPause},
		{"it alone has had much", 20 * mib, 0, func(s state) { s.own.give(2 * mib) }, 0},
		{"others close", mib, 80 * mib, func(s state) { s.others.close() }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				b := newBudget(100 * mib)
				s := state{b, b.newShare(nil), b.newShare(nil), cancel}
				s.own.take(tt.own)
				s.others.take(tt.others)
				start := time.Now()
				done := make(chan time.Duration, 1)
				go func() { s.own.wait(ctx); done <- time.Since(start) }()
				synctest.Wait()
				if waits := len(done) == 0; waits != (tt.then != nil) {
					t.Fatalf("it waits: %t", waits)
				}
				if tt.then != nil {
					tt.then(s)
				}
				if took := <-done; took != tt.after {
					t.Errorf("it waited for %s, want %s", took, tt.after)
				}
				if len(b.waiting) != 0 {
					t.Error("it is still noted as waiting")
				}
			})
		})
	}
}

// TestShareBreathes wants messages to be read slowly while those who are shed
// still hold what others would need.
func TestShareBreathes(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		held  int64 // by who is shed
		then  func(held *share)
		after time.Duration
	}{
		"room":          {100, func(*share) {}, 0},
		"they let go":   {101, func(held *share) { held.give(1) }, 0},
		"they are gone": {200, func(held *share) { held.close() }, 0},
		"they hold on":  {200, func(held *share) { held.give(99) }, maxPause},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBudget(100)
				shares, _ := sheddable(b, 2)
				shares[0].take(tt.held)
				start := time.Now()
				done := make(chan time.Duration, 1)
				go func() { shares[1].breathe(t.Context()); done <- time.Since(start) }()
				synctest.Wait()
				if waits := len(done) == 0; waits != (tt.held > 100) {
					t.Fatalf("it waits: %t", waits)
				}
				tt.then(shares[0])
				if took := <-done; took != tt.after {
					t.Errorf("it waited for %s, want %s", took, tt.after)
				}
			})
		})
	}
}

// TestBudgetBalances compares a budget with a simple model of it.
func TestBudgetBalances(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(1, 1000).Draw(t, "limit")
		b := newBudget(limit)
		shares, shed := sheddable(b, 4)
		var work, cached [4]int64
		sum := func(skip []int) (n int64) {
			for i := range work {
				if !slices.Contains(skip, i) {
					n += work[i] + cached[i]
				}
			}
			return n
		}
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				i, n := rapid.IntRange(0, 3).Draw(t, "share"), rapid.Int64Range(1, 300).Draw(t, "bytes")
				before := slices.Clone(*shed)
				work[i] += n
				shares[i].take(n)
				for k := len(before); k < len(*shed); k++ {
					victim := (*shed)[k]
					if victim == i && work[i] > b.soft {
						continue
					}
					if sum((*shed)[:k]) <= limit {
						t.Fatalf("%d was shed although the rest fits", victim)
					}
					for j := range work {
						if !slices.Contains((*shed)[:k], j) && work[j]+cached[j] > work[victim]+cached[victim] {
							t.Fatalf("%d was shed although %d holds more", victim, j)
						}
					}
				}
			},
			"give": func(t *rapid.T) {
				i := rapid.IntRange(0, 3).Draw(t, "share")
				n := rapid.Int64Range(0, work[i]).Draw(t, "bytes")
				work[i] -= n
				shares[i].give(n)
			},
			"reserve": func(t *rapid.T) {
				i, n := rapid.IntRange(0, 3).Draw(t, "share"), rapid.Int64Range(1, 300).Draw(t, "bytes")
				if shares[i].reserve(n) {
					cached[i] += n
					if sum(nil) > b.soft {
						t.Fatal("reserved over the soft mark")
					}
				}
			},
			"release": func(t *rapid.T) {
				i := rapid.IntRange(0, 3).Draw(t, "share")
				n := rapid.Int64Range(0, cached[i]).Draw(t, "bytes")
				cached[i] -= n
				shares[i].release(n)
			},
			"": func(t *rapid.T) {
				if b.total() != sum(nil) || b.cached != cached[0]+cached[1]+cached[2]+cached[3] {
					t.Fatalf("%d held, %d cached; want %v, %v", b.total(), b.cached, work, cached)
				}
				if sum(*shed) > limit {
					t.Fatalf("%d bytes are held and nothing is shed for it", sum(*shed))
				}
				if b.pressed.Load() != (sum(nil) > b.soft) {
					t.Fatal("pressed is wrong")
				}
			},
		})
		for _, s := range shares {
			s.close()
		}
		if b.total() != 0 || b.ending != 0 || b.cached != 0 || len(b.holders) != 0 || b.pressed.Load() {
			t.Fatalf("after the end: %+v", b)
		}
	})
}

// TestDefaultMaxBufferedBytes changes the process's limit for a moment, to far
// more than the tests use.
func TestDefaultMaxBufferedBytes(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	for limit, want := range map[int64]int64{math.MaxInt64: 512 << 20, 1 << 40: 1 << 39} {
		debug.SetMemoryLimit(limit)
		if got := DefaultMaxBufferedBytes(); got != want {
			t.Errorf("with GOMEMLIMIT %d: %d, want %d", limit, got, want)
		}
	}
}

func TestBuffers(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 512, 513, 4096, 30000, 32 << 10, 100_000, 1 << 20, 1<<20 + 1, 3 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			for range 3 { // fresh, then perhaps used before
				b := newBuffer(size)
				if len(b) != 0 || cap(b) < size {
					t.Errorf("a buffer for %d bytes has %d of %d", size, len(b), cap(b))
				}
				b = append(b, make([]byte, size+1)...)
				freeBuffer(b) // of any capacity
			}
			freeBuffer(nil)
		})
	}
}
