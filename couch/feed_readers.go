package couch

import (
	"slices"
	"time"
)

// enter counts a reader in; false: the feed is over.
func (f *feed) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == feedOver {
		return false
	}
	f.readers++
	if f.leaving != nil {
		f.leaving.Stop()
		f.leaving = nil
	}
	return true
}

// exit counts a reader out. The last one has the feed end after a while.
func (f *feed) exit(r *FeedReader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget(r)
	if f.readers--; f.readers == 0 && f.state != feedOver {
		f.leaving = time.AfterFunc(f.feeds.options.Linger, f.left)
	}
}

// left ends the feed if nobody has come back.
func (f *feed) left() {
	f.mu.Lock()
	if f.readers > 0 {
		f.mu.Unlock()
		return
	}
	f.end(errLeft)
	f.mu.Unlock()
	f.feeds.remove(f)
}

// joinAt is the position from which on a reader that joins now reads the ring. The caller holds mu.
func (f *feed) joinAt() uint64 {
	if f.overlap == 0 {
		return f.ring.end()
	}
	return f.ring.since(time.Now().Add(-f.overlap))
}

// await has r woken at the next row or change of state. The caller holds mu.
func (f *feed) await(r *FeedReader) {
	if r.place == 0 {
		f.waiting = append(f.waiting, r)
		r.place = len(f.waiting)
	}
}

// forget takes r off the list of those that wait. The caller holds mu.
func (f *feed) forget(r *FeedReader) {
	if r.place == 0 {
		return
	}
	last := f.waiting[len(f.waiting)-1]
	f.waiting[r.place-1], last.place = last, r.place
	f.waiting = slices.Delete(f.waiting, len(f.waiting)-1, len(f.waiting))
	r.place = 0
}

// takeWaiting empties the list of those that wait. The caller holds mu.
func (f *feed) takeWaiting() []*FeedReader {
	wake := f.waiting
	f.waiting = nil
	for _, r := range wake {
		r.place = 0
	}
	return wake
}

func wakeAll(readers []*FeedReader) {
	for _, r := range readers {
		r.wake()
	}
}
