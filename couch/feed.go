package couch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// feed is one shared feed. While it is awake a goroutine (run) reads from CouchDB; asleep it has none, only a timer.
type feed struct {
	feeds   *Feeds
	key     feedKey
	db      *Database
	options ChangesOptions // but for Since

	// Owned by run; before and after it by whoever has changed state under mu.
	since    string    // where to go on
	instance string    // the database's instance_start_time
	seen     string    // update_seq at a moment up to which everything is in the ring
	begun    time.Time // when starting was first tried
	found    bool      // CouchDB has answered since the last failure
	failures int       // since CouchDB has answered
	look     bool      // it was woken to see whether there is anything new

	mu      sync.Mutex
	state   feedState
	ring    ring
	bytes   int   // of ring, that are reserved
	err     error // why it is over
	overlap time.Duration
	readers int
	waiting []*FeedReader // to be woken by the next row or change of state
	heard   time.Time     // when the last row came, or it started
	opened  time.Time     // when it got its place among the open feeds
	yield   context.CancelCauseFunc
	changed bool      // _db_updates named the database since the last look began
	looked  time.Time // when the last look began
	timer   *time.Timer
	leaving *time.Timer // ends it when nobody has come back
}

type feedState int

const (
	feedStarting feedState = iota // its first sequence is not known
	feedAwake                     // run goes on
	feedAsleep                    // run has ended; a timer, or _db_updates, starts it again
	feedOver                      // err says why
)

// ErrFeedNotStarted is a part of the error that readers get when their feed could not be started within FeedsOptions.Patience.
var ErrFeedNotStarted = errors.New("couch: the shared feed could not be started")

var (
	errEvicted = errors.New("gave way to another feed")
	errQuiet   = errors.New("had no row for a while")
)

func newFeed(f *Feeds, key feedKey, db *Database, o ChangesOptions) *feed {
	o.Since, o.Feed, o.Limit, o.Timeout, o.Descending = "", Normal, 0, 0, false
	now := time.Now()
	return &feed{feeds: f, key: key, db: db, options: o, begun: now, heard: now}
}

// start starts run. The caller holds feeds.mu, and the feeds are not closed.
func (f *feed) start() { f.feeds.work.Go(func() { f.run(f.feeds.ctx) }) }

// run keeps the ring up to date until the feed is over or asleep.
func (f *feed) run(ctx context.Context) {
	pauses := newPauses()
	for {
		asleep, err := f.advance(ctx)
		switch {
		case ctx.Err() != nil || asleep || f.is(feedOver):
			return
		case err == nil:
			continue
		case !Transient(err):
			f.fail(err)
			return
		case f.is(feedStarting) && f.patience() <= 0:
			f.fail(fmt.Errorf("%w: %w", ErrFeedNotStarted, err))
			return
		}
		f.missing(err)
		if !f.pause(ctx, pauses, err) {
			return
		}
	}
}

// patience is how long the feed may still try to start.
func (f *feed) patience() time.Duration { return f.feeds.options.Patience - time.Since(f.begun) }

// pause waits before the next attempt: the backoff, or what CouchDB asked for. It reports false if the context has ended.
func (f *feed) pause(ctx context.Context, pauses *backoff.ExponentialBackOff, err error) bool {
	if f.found {
		f.found = false
		pauses.Reset()
	}
	d := pauses.NextBackOff()
	var e *Error
	if errors.As(err, &e) {
		d = max(d, min(e.RetryAfter, longestRest))
	}
	if f.is(feedStarting) {
		d = min(d, f.patience()) // for one last attempt
	}
	return sleep(ctx, d)
}

// sleep reports false if the context has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// advance does what is next: it starts the feed, looks whether there is anything new, or follows the database for as long as it
// has a place among the open feeds.
func (f *feed) advance(ctx context.Context) (asleep bool, err error) {
	if f.is(feedStarting) {
		return false, f.begin(ctx)
	}
	if f.look {
		fresh, err := f.settle(ctx)
		if err != nil || !fresh {
			return f.sleepAfter(err)
		}
	}
	why := errEvicted
	if f.feeds.place(ctx, f) {
		f.look = false
		why = f.follow(ctx)
		f.feeds.leave(f)
		if why != errEvicted && why != errQuiet {
			return false, why
		}
	}
	if f.look {
		return f.sleepAfter(nil)
	}
	f.look = true // should looking fail, it is tried again
	fresh, err := f.settle(ctx)
	if err == nil && fresh && why == errQuiet {
		f.look = false
		return false, nil // it has just come into use again
	}
	return f.sleepAfter(err)
}

// sleepAfter puts the feed to sleep unless looking has failed.
func (f *feed) sleepAfter(err error) (asleep bool, _ error) {
	if err != nil {
		return false, err
	}
	f.here()
	return f.fallAsleep(), nil
}

// begin finds the sequence from which on rows come into the ring.
func (f *feed) begin(ctx context.Context) error {
	info, err := f.db.info(ctx, max(f.patience(), time.Millisecond))
	if err != nil {
		return err
	}
	f.since, f.seen, f.instance = info.UpdateSeq, info.UpdateSeq, info.InstanceStartTime
	f.mu.Lock()
	if f.state == feedStarting {
		f.state, f.heard = feedAwake, time.Now()
	}
	if info.Replicas > 1 {
		f.overlap = f.feeds.options.Overlap
	}
	wake := f.takeWaiting()
	f.mu.Unlock()
	wakeAll(wake)
	return nil
}

// follow reads one continuous request to its end, which is always an error: errEvicted or errQuiet if it ended for these.
func (f *feed) follow(ctx context.Context) error {
	ctx, yield := context.WithCancelCause(ctx)
	defer yield(nil)
	f.mu.Lock()
	f.yield = yield
	over := f.state == feedOver
	f.mu.Unlock()
	if over {
		return errLeft
	}
	quiet := time.AfterFunc(f.feeds.options.Quiet, f.quieted)
	defer quiet.Stop()

	err := f.rows(ctx, quiet)
	f.mu.Lock()
	f.yield = nil
	f.mu.Unlock()
	if cause := context.Cause(ctx); cause == errEvicted || cause == errQuiet {
		return cause
	}
	return err
}

func (f *feed) rows(ctx context.Context, quiet *time.Timer) error {
	o := f.options
	o.Feed, o.Since = Continuous, f.since
	changes, err := f.db.Changes(ctx, o)
	if err != nil {
		return err
	}
	defer changes.Close()
	// The request is under way: if the database is still the one it was, it is that one's rows that come.
	if err := f.same(ctx); err != nil {
		return err
	}
	f.here()
	for {
		row, err := changes.Next()
		if err != nil {
			if last := changes.LastSeq(); last != "" {
				f.since = last
			}
			if err == io.EOF {
				err = &Error{Op: changes.s.op, Err: errFeedEnded}
			}
			return err
		}
		f.put(row)
		quiet.Reset(f.feeds.options.Quiet)
	}
}

// same fails if the database is not the one that the feed began with.
func (f *feed) same(ctx context.Context) error {
	info, err := f.db.Info(ctx)
	if err != nil {
		return err
	}
	return f.sameAs(info)
}

func (f *feed) sameAs(info Info) error {
	if info.InstanceStartTime == f.instance {
		return nil
	}
	return &Error{Op: "GET _changes", Status: http.StatusNotFound, Name: "not_found", Reason: "Database was deleted and created again."}
}

// put takes a row into the ring and wakes whoever waits for one.
func (f *feed) put(row Change) {
	limit := f.feeds.ringLimit()
	now := time.Now()
	f.mu.Lock()
	if f.state == feedOver {
		f.mu.Unlock()
		return
	}
	f.ring.put(row, now, limit)
	f.reserve()
	f.heard = now
	wake := f.takeWaiting()
	f.mu.Unlock()
	f.feeds.rows.Add(1)
	if seq := row.Seq(); seq != "" {
		f.since = seq
	}
	wakeAll(wake)
}

// reserve accounts for the ring, and makes it smaller where there is no room. The caller holds mu.
func (f *feed) reserve() {
	o := &f.feeds.options
	if more := f.ring.bytes - f.bytes; more > 0 && o.Reserve(more) {
		f.bytes += more
	} else if more > 0 {
		f.ring.trim(0)
	}
	if less := f.bytes - f.ring.bytes; less > 0 {
		o.Release(less)
		f.bytes -= less
	}
}

// fail ends the feed for all its readers.
func (f *feed) fail(err error) {
	f.mu.Lock()
	wake := f.end(err)
	f.mu.Unlock()
	f.feeds.remove(f)
	wakeAll(wake)
}

// end makes the feed be over, and returns whom to wake. The caller holds mu.
func (f *feed) end(err error) []*FeedReader {
	if f.state == feedOver {
		return nil
	}
	f.state, f.err = feedOver, err
	f.feeds.options.Release(f.bytes)
	f.bytes = 0
	for _, t := range []*time.Timer{f.timer, f.leaving} {
		if t != nil {
			t.Stop()
		}
	}
	if f.yield != nil {
		f.yield(err)
	}
	return f.takeWaiting()
}

func (f *feed) is(state feedState) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state == state
}

// missing and here tell the owner of the feeds, once each, that a started feed is not to be had, and that it is again.
func (f *feed) missing(err error) {
	if f.is(feedStarting) {
		return
	}
	switch f.failures++; f.failures {
	case 1:
		f.feeds.lost.Add(1)
	case 2: // the first may be the clean end of a database that is gone
		f.feeds.options.Lost(f.key.database, err)
	}
}

func (f *feed) here() {
	f.found = true
	if f.failures > 1 {
		f.feeds.options.Lost(f.key.database, nil)
	}
	f.failures = 0
}
