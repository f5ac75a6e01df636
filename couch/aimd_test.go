package couch

import (
	"math/rand/v2"
	"testing"
	"time"
)

// server is a model of one that works on some calls at a time and lets the others wait: what n calls under way take each.
type server struct {
	cores   int
	service time.Duration
	noise   float64 // part by which a call may take longer
}

func (s server) took(r *rand.Rand, n int) time.Duration {
	d := float64(s.service) * max(1, float64(n)/float64(s.cores))
	return time.Duration(d * (1 + s.noise*r.Float64()))
}

// rounds has n calls under way at a time, or as many as the limit allows, for so many rounds.
func (a *aimd) rounds(s server, r *rand.Rand, n, rounds int, now *time.Time) {
	for range rounds {
		at := min(n, a.places())
		a.underWay(at)
		began, longest := *now, time.Duration(0)
		for range at {
			took := s.took(r, at)
			longest = max(longest, took)
			a.answered(kind{op: "GET test"}, began, began.Add(took))
		}
		*now = began.Add(longest + time.Microsecond)
	}
}

func TestAIMDSettles(t *testing.T) {
	t.Parallel()
	fast := server{cores: 64, service: 2 * time.Millisecond, noise: 1}
	small := server{cores: 2, service: 4 * time.Millisecond, noise: 1}
	for _, test := range []struct {
		name       string
		most       int
		first      server // until it has settled
		n          int    // calls wanted at a time
		then       server // after that; zero: the same
		least, max int
	}{
		{"grows when used to the full", 128, fast, 1000, server{}, 110, 128},
		{"not when not", 128, fast, 20, server{}, 32, 32},
		{"not beyond the maximum", 10, fast, 1000, server{}, 10, 10},
		{"a maximum of one", 1, fast, 1000, server{}, 1, 1},
		{"gives way on a small server, and does not collapse", 128, small, 1000, server{}, leastGuessed, 40},
		{"noise is no load", 128, server{cores: 200, service: time.Millisecond, noise: 15}, 1000, server{}, 110, 128},
		{"lasting slowness of a few calls is theirs", 128, fast, 8, server{cores: 64, service: time.Second}, 32, 32},
		{"recovers", 128, small, 1000, fast, 110, 128},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, 2))
			now := time.Unix(1e9, 0)
			a := newAIMD(test.most)
			a.rounds(test.first, r, 1, 100, &now)
			a.rounds(test.first, r, test.n, 500, &now)
			if test.then != (server{}) {
				a.rounds(test.then, r, test.n, 1000, &now)
			}
			if got := a.places(); got < test.least || got > test.max {
				t.Errorf("a limit of %d, want %d to %d", got, test.least, test.max)
			}
		})
	}
}

func TestAIMDSteps(t *testing.T) {
	t.Parallel()
	start := time.Unix(1e9, 0)
	const usual, late = 5 * time.Millisecond, time.Second
	answers := func(n int, took time.Duration) func(a *aimd, at time.Time) {
		return func(a *aimd, at time.Time) {
			for range n {
				a.answered(kind{op: "GET test"}, at, at.Add(took))
			}
		}
	}
	for _, test := range []struct {
		name  string
		steps []func(a *aimd, at time.Time) // one second apart
		peak  int
		want  int
	}{
		{"a round in time", []func(*aimd, time.Time){answers(32, usual)}, 32, 33},
		{"nearly a round", []func(*aimd, time.Time){answers(31, usual)}, 32, 32},
		{"one slow call", []func(*aimd, time.Time){answers(32, usual), answers(1, late), answers(32, usual)}, 33, 34},
		{"a slow round", []func(*aimd, time.Time){answers(32, usual), answers(33, late)}, 33, 29},
		{"a slow round of a few", []func(*aimd, time.Time){answers(32, usual), answers(33, late)}, 10, 32},
		{"refused", []func(*aimd, time.Time){func(a *aimd, at time.Time) { a.refused(at, at) }}, 1, 22},
		{"a round refused", []func(*aimd, time.Time){func(a *aimd, at time.Time) {
			for i := range 30 {
				a.refused(at, at.Add(time.Duration(i)))
			}
		}}, 32, 22},
		{"silent", []func(*aimd, time.Time){func(a *aimd, at time.Time) { a.silent(at, at.Add(time.Minute)) }}, 16, 22},
		{"silent with nothing to do", []func(*aimd, time.Time){func(a *aimd, at time.Time) { a.silent(at, at.Add(time.Minute)) }}, 15, 32},
		{"answers from before", []func(*aimd, time.Time){func(a *aimd, at time.Time) {
			a.refused(at, at)
			answers(100, usual)(a, at)
		}}, 32, 22},
	} {
		a := newAIMD(128)
		for i, step := range test.steps {
			a.underWay(test.peak)
			step(&a, start.Add(time.Duration(i)*time.Second))
		}
		if got := a.places(); got != test.want {
			t.Errorf("%s: a limit of %d, want %d", test.name, got, test.want)
		}
	}
}

// TestAIMDRefused goes down to one call at a time and no further, and comes back.
func TestAIMDRefused(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	a := newAIMD(128)
	for range 100 {
		now = now.Add(time.Second)
		a.refused(now, now)
	}
	if a.places() != 1 {
		t.Errorf("a limit of %d", a.places())
	}
	a.rounds(server{cores: 64, service: time.Millisecond}, rand.New(rand.NewPCG(1, 2)), 1000, 100, &now)
	if a.places() < 64 {
		t.Errorf("a limit of %d after 100 rounds", a.places())
	}
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	kinds := map[kind]bool{}
	for length := int64(-1); length < 1<<40; length = length*2 + 1 {
		kinds[kindOf("GET a", length)] = true
		if length == -1 {
			length = 0
		}
	}
	if len(kinds) > 12 || kindOf("a", 10) == kindOf("b", 10) || kindOf("a", 10) != kindOf("a", 900) || kindOf("a", 10) == kindOf("a", 1<<20) {
		t.Errorf("%v", kinds)
	}
}
