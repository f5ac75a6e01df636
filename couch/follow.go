package couch

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Follow calls fn for every row after o.Since, as they come, until ctx ends: one continuous feed after another, each from the
// last sequence, with jittered pauses between them. A row may come twice after a reconnect, none is left out. The row is valid
// during the call. Feed, Limit, Timeout and Descending of o are not used.
//
// Follow returns the context's error; the error of fn, as it is; an *Error that will not pass by itself, such as a 404 once the
// database is gone (CouchDB ends its feeds cleanly, the reconnect finds out), 401, 403 or 400; or the last error once neither a
// row nor a heartbeat has come for giveUp. With giveUp 0 it never gives up.
func (d *Database) Follow(ctx context.Context, o ChangesOptions, giveUp time.Duration, fn func(Change) error) error {
	o.Feed, o.Limit, o.Timeout, o.Descending = Continuous, 0, 0, false
	f := follower{db: d, options: o, giveUp: giveUp, fn: fn, heard: time.Now(), pauses: newPauses()}
	for {
		err := f.once(ctx)
		if final := f.final(ctx, err); final != nil {
			return final
		}
		if err := f.pause(ctx, err); err != nil {
			return err
		}
	}
}

func newPauses() *backoff.ExponentialBackOff {
	p := backoff.NewExponentialBackOff()
	p.InitialInterval, p.Multiplier, p.MaxInterval = 250*time.Millisecond, 2, 30*time.Second
	return p
}

type follower struct {
	db      *Database
	options ChangesOptions
	giveUp  time.Duration
	fn      func(Change) error
	heard   time.Time // when the last row or heartbeat came
	pauses  *backoff.ExponentialBackOff
}

// callbackError carries an error of fn past the judgement of errors of CouchDB.
type callbackError struct{ err error }

func (e callbackError) Error() string { return e.err.Error() }

// once reads one feed to its end, which is always an error.
func (f *follower) once(ctx context.Context) error {
	changes, err := f.db.changes(ctx, f.options, f.patience())
	if err != nil {
		return err
	}
	defer changes.Close()
	rows, err := f.rows(changes)
	at := changes.lastHeard()
	if at.After(f.heard) {
		f.heard = at
	}
	if rows > 0 || !at.IsZero() {
		f.pauses.Reset()
	}
	return err
}

func (f *follower) rows(changes *Changes) (n int, err error) {
	for ; ; n++ {
		row, err := changes.Next()
		if err == io.EOF {
			if last := changes.LastSeq(); last != "" {
				f.options.Since = last
			}
			return n, &Error{Op: changes.s.op, Err: errFeedEnded}
		}
		if err != nil {
			return n, err
		}
		if err := f.fn(row); err != nil {
			return n, callbackError{err}
		}
		f.heard = time.Now() // however long fn took, it was not CouchDB that was silent
		if seq := row.Seq(); seq != "" {
			f.options.Since = seq
		}
	}
}

// patience is how long an attempt may wait for its headers: no longer than until Follow gives up. 0: the usual time.
func (f *follower) patience() time.Duration {
	if f.giveUp <= 0 {
		return 0
	}
	return min(max(f.giveUp-time.Since(f.heard), time.Millisecond), f.db.client.options.Timeout)
}

// final is what Follow returns after err, or nil if there is to be another attempt.
func (f *follower) final(ctx context.Context, err error) error {
	var own callbackError
	switch {
	case errors.As(err, &own):
		return own.err
	case ctx.Err() != nil:
		return cancelled("GET _changes", ctx)
	case !Transient(err), f.giveUp > 0 && time.Since(f.heard) >= f.giveUp:
		return err
	}
	return nil
}

// pause waits before the next attempt: the backoff or what CouchDB asked for, and one last attempt when it is time to give up.
func (f *follower) pause(ctx context.Context, err error) error {
	d := f.pauses.NextBackOff()
	var e *Error
	if errors.As(err, &e) {
		d = max(d, e.RetryAfter)
	}
	if f.giveUp > 0 {
		d = min(d, f.giveUp-time.Since(f.heard))
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return cancelled("GET _changes", ctx)
	}
}

// lastHeard is when the last row or heartbeat came, zero if none did: the line that ends a feed, or says that it failed, is neither.
func (c *Changes) lastHeard() time.Time {
	if c.terminal {
		return c.s.before
	}
	return c.s.heard
}
