package couch

import (
	"context"
	"io"
	"time"
)

// placed notes that the feed has a place among the open ones.
func (f *feed) placed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened = time.Now()
}

// times are when the feed got its place, and since when no row has come.
func (f *feed) times() (opened, quiet time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opened, f.heard
}

func (f *feed) quietSince() time.Time {
	_, quiet := f.times()
	return quiet
}

// quieted is called when no row has come for Options.Quiet: the feed goes to sleep if something can wake it.
func (f *feed) quieted() {
	if f.feeds.watch() {
		f.giveWay(errQuiet)
	}
}

// giveWay ends the continuous request, if there is one.
func (f *feed) giveWay(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.yield != nil {
		f.yield(why)
	}
}

// settle brings the ring up to date with bounded requests, and reports whether there was anything new.
//
// It begins by forgetting that _db_updates named the database. What is committed after that is named after that, and so cannot
// be slept through.
func (f *feed) settle(ctx context.Context) (fresh bool, err error) {
	select {
	case f.feeds.looks <- struct{}{}:
		defer func() { <-f.feeds.looks }()
	case <-ctx.Done():
		return false, cancelled("GET _changes", ctx)
	}
	f.mu.Lock()
	f.changed, f.looked = false, time.Now()
	f.mu.Unlock()
	info, err := f.db.Info(ctx)
	if err == nil {
		err = f.sameAs(info)
	}
	if err != nil || info.UpdateSeq == f.seen {
		return false, err
	}
	n, err := f.catchUp(ctx)
	if err == nil {
		f.seen = info.UpdateSeq
	}
	return n > 0, err
}

// catchUp reads pages from the feed's sequence on until one reaches the end.
func (f *feed) catchUp(ctx context.Context) (rows int, err error) {
	for {
		o := f.options
		o.Since, o.Limit = f.since, pageRows
		changes, err := f.db.Changes(ctx, o)
		if err != nil {
			return rows, err
		}
		n, err := f.page(changes)
		rows += n
		if err != nil || n < pageRows {
			return rows, err
		}
	}
}

func (f *feed) page(changes *Changes) (rows int, err error) {
	defer changes.Close()
	for {
		row, err := changes.Next()
		if err == io.EOF {
			if last := changes.LastSeq(); last != "" {
				f.since = last
			}
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		f.put(row)
		rows++
	}
}

// lookPace is the least time between two looks that _db_updates brings about.
const lookPace = 500 * time.Millisecond

// asleepRing is how many bytes of rows a sleeping feed keeps.
const asleepRing = 16 << 10

// fallAsleep ends run until the next look.
func (f *feed) fallAsleep() bool {
	next := f.feeds.nextLook()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state != feedAwake {
		return false
	}
	if f.changed {
		next = lookPace
	}
	f.ring.trim(asleepRing)
	f.reserve()
	f.state = feedAsleep
	f.timer = time.AfterFunc(next, f.wakeUp)
	return true
}

// named is called when _db_updates has named the database.
func (f *feed) named() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed = true
	if f.state == feedAsleep {
		f.timer.Reset(max(0, lookPace-time.Since(f.looked)))
	}
}

// lookAfter has a sleeping feed looked at after d.
func (f *feed) lookAfter(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == feedAsleep {
		f.timer.Reset(d)
	}
}

// wakeUp starts run again, to look.
func (f *feed) wakeUp() {
	f.feeds.mu.Lock()
	defer f.feeds.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.feeds.closed || f.state != feedAsleep {
		return
	}
	f.state, f.look = feedAwake, true
	f.start()
}
