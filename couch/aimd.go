package couch

import (
	"math/bits"
	"time"
)

const (
	// startPlaces is how many calls may be under way before anything is known of a server.
	startPlaces = 32
	// refusedFactor is what is left of the limit when the server says that it is too much, slowFactor when we only guess it.
	refusedFactor, slowFactor = 0.7, 0.9
	// leastGuessed is how far a guess can lower the limit. Below that only the server's own word does.
	leastGuessed = 8
	// slowTimes and slowMore say when an answer is slow: after so many times the usual time, and so much more. The latter is
	// what a busy machine does to fast answers, ours as well as the server's.
	slowTimes = 3
	slowMore  = 20 * time.Millisecond
	// leastJudged is how many answers a judgement on speed takes, so that no single one lowers the limit.
	leastJudged = 16
	// usualRises is how long the usual time takes to grow e-fold while answers are slower: what is slow for minutes is usual.
	usualRises = time.Minute
)

// kind is what calls are compared with: those of the same method and endpoint, with a body of the same order of magnitude. There
// are a few dozen.
type kind struct {
	op   string
	size int
}

func kindOf(op string, length int64) kind {
	const small, largest = 10, 26 // 1 KiB, 64 MiB
	if length < 0 {
		return kind{op, largest + 1} // unknown
	}
	return kind{op, min(max(bits.Len64(uint64(length)), small), largest) / 2}
}

// aimd is how many calls may be under way. It grows by one with every round of answers in time that has used it to the full, and
// shrinks by a factor when the server refuses, falls silent, or slows down, at most once a round: calls sent before the limit
// was lowered say nothing about the new one. (Additive increase, multiplicative decrease, as in TCP and in CouchDB's own
// replicator; that speed is a sign of load, and only to be judged over a window, is from Netflix's concurrency-limits.)
//
// The usual time of a kind of call falls quickly and rises slowly, so it is about that of an idle server. It is not safe for
// concurrent use.
type aimd struct {
	limit, max float64
	lowered    time.Time // when the limit was lowered last
	usual      map[kind]*usual

	// Of the window, which ends when the limit may change.
	peak        int // calls under way at a time, at most
	total, slow int // answers
}

// usual is the time that a kind of call takes when there is little to do.
type usual struct {
	took time.Duration
	at   time.Time // of the last answer
}

func newAIMD(most int) aimd {
	return aimd{limit: float64(min(startPlaces, most)), max: float64(most), usual: map[kind]*usual{}}
}

// places is the limit: at least one.
func (a *aimd) places() int { return int(a.limit) }

// underWay notes how many calls are under way.
func (a *aimd) underWay(n int) { a.peak = max(a.peak, n) }

// answered takes account of a successful answer whose headers came just now.
func (a *aimd) answered(k kind, began, now time.Time) {
	slow := a.isSlow(k, now.Sub(began), now)
	if !began.After(a.lowered) {
		return
	}
	a.total++
	if slow {
		a.slow++
	}
	window := a.places()
	if window > leastGuessed {
		window = max(window, leastJudged)
	}
	if a.total < window {
		return
	}
	switch {
	case a.slow*2 <= a.total:
		if a.peak >= a.places() {
			a.limit = min(a.limit+1, a.max)
		}
		a.newWindow()
	case a.limit > leastGuessed && a.busy():
		a.lower(slowFactor, leastGuessed, now)
	default:
		a.newWindow()
	}
}

// isSlow compares an answer with the usual time of its kind, and that with the answer.
func (a *aimd) isSlow(k kind, took time.Duration, now time.Time) bool {
	u := a.usual[k]
	if u == nil {
		a.usual[k] = &usual{took, now}
		return false
	}
	slow := took > slowTimes*u.took+slowMore
	step := (took - u.took) / 16
	if step > 0 {
		since := min(now.Sub(u.at), time.Second)
		// At least a little, or what takes no time would stay so for ever.
		step = min(step, time.Duration(float64(u.took)*float64(since)/float64(usualRises))+since/10000)
	}
	u.took, u.at = u.took+step, now
	return slow
}

// refused takes account of a call that the server refused because it has too much to do.
func (a *aimd) refused(began, now time.Time) {
	if began.After(a.lowered) {
		a.lower(refusedFactor, 1, now)
	}
}

// silent takes account of a call that was not answered in time. When there was little to do that was the call's own fault.
func (a *aimd) silent(began, now time.Time) {
	if began.After(a.lowered) && a.busy() {
		a.lower(refusedFactor, 1, now)
	}
}

// busy tells whether the limit matters: whether calls came near to it.
func (a *aimd) busy() bool { return 2*a.peak >= a.places() }

func (a *aimd) lower(factor, least float64, now time.Time) {
	a.limit = max(a.limit*factor, least)
	a.lowered = now
	a.newWindow()
}

func (a *aimd) newWindow() { a.peak, a.total, a.slow = 0, 0, 0 }
