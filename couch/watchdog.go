package couch

import (
	"sync"
	"time"
)

// watchdog calls a function when it was started and neither paused nor started again for a while. It runs only while this
// process waits for CouchDB, never while CouchDB waits for us.
type watchdog struct {
	mu      sync.Mutex
	timer   *time.Timer
	silence time.Duration
	idle    *time.Timer // nil, or what runs out when CouchDB waits for us for as long as dawdle

	answered bool // the headers have come
	over     bool // last or stop was called
}

func newWatchdog(silence time.Duration, bark func()) *watchdog {
	return &watchdog{timer: time.AfterFunc(silence, bark), silence: silence}
}

// start begins the wait, or begins it again.
func (w *watchdog) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		w.wait()
	}
}

func (w *watchdog) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		w.rest()
	}
}

// wait runs the watch on CouchDB, rest that on ourselves.
func (w *watchdog) wait() {
	w.timer.Reset(w.silence)
	if w.idle != nil {
		w.idle.Stop()
	}
}

func (w *watchdog) rest() {
	w.timer.Stop()
	if w.idle != nil {
		w.idle.Reset(dawdle)
	}
}

// upload is start and pause for the request's body, of which net/http may read on for a moment after an early answer.
func (w *watchdog) upload(waiting bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.over || w.answered:
	case waiting:
		w.wait()
	default:
		w.rest()
	}
}

// answer pauses, and sets how long a wait for the answer's body may last.
func (w *watchdog) answer(silence time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silence, w.answered = silence, true
	w.rest()
}

// last begins the last wait, which nothing but stop ends.
func (w *watchdog) last(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		w.over = true
		w.timer.Reset(d)
	}
}

func (w *watchdog) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.timer.Stop()
	if w.idle != nil {
		w.idle.Stop()
	}
}
