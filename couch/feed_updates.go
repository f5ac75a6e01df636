package couch

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// updatesState is whether _db_updates tells which databases change.
type updatesState int

const (
	updatesUnread updatesState = iota
	updatesRead                // all that happens is told
)

// refusedAgain is when _db_updates is tried again after CouchDB has refused it: it may be that somebody makes the account an
// administrator, or creates _global_changes.
const refusedAgain = 5 * time.Minute

// watch begins to read _db_updates, unless somebody does already, and reports whether what happens is told.
func (f *Feeds) watch() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watching == nil && !f.closed && len(f.feeds) > 0 {
		ctx, cancel := context.WithCancel(f.ctx)
		f.watching = cancel
		f.work.Go(func() { f.readUpdates(ctx) })
	}
	return f.updates == updatesRead
}

// readUpdates reads _db_updates until the context ends. While it cannot, sleeping feeds are looked at in turn.
func (f *Feeds) readUpdates(ctx context.Context) {
	const now = "now"
	since, lost, pauses := now, false, newPauses()
	found := func() {
		f.setUpdates(ctx, updatesRead)
		if lost {
			lost = false
			f.options.Lost("", nil)
		}
	}
	for {
		last, err := f.readUpdatesFrom(ctx, since, found)
		if ctx.Err() != nil {
			return
		}
		if f.setUpdates(ctx, updatesUnread) {
			pauses.Reset()
			f.lookAtAll()
		}
		if !lost {
			lost = true
			f.options.Lost("", err)
		}
		pause := refusedAgain
		if since = now; Transient(err) {
			since, pause = last, pauses.NextBackOff()
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

// readUpdatesFrom reads one continuous request to its end, which is always an error, and returns the sequence to go on from.
func (f *Feeds) readUpdatesFrom(ctx context.Context, since string, found func()) (last string, err error) {
	updates, err := f.client.databaseUpdates(ctx, since)
	if err != nil {
		return since, err
	}
	defer updates.close()
	found()
	for {
		update, err := updates.next()
		if err != nil {
			return since, err
		}
		since = update.seq
		for _, one := range f.of(update.database) {
			one.named()
		}
	}
}

// setUpdates reports whether the state is another one than before. Feeds that have been quiet for long go to sleep as soon as
// something can wake them.
func (f *Feeds) setUpdates(ctx context.Context, state updatesState) (changed bool) {
	f.mu.Lock()
	if changed = ctx.Err() == nil && f.updates != state; !changed {
		f.mu.Unlock()
		return false
	}
	f.updates = state
	var quiet []*feed
	if state == updatesRead {
		for one := range f.open {
			if time.Since(one.quietSince()) >= f.options.Quiet {
				quiet = append(quiet, one)
			}
		}
	}
	f.mu.Unlock()
	for _, one := range quiet {
		one.giveWay(errQuiet)
	}
	return true
}

// of are the feeds of a database.
func (f *Feeds) of(database string) []*feed {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.named[database]))
}

// lookAtAll has every sleeping feed looked at soon: what has happened to its database may not have been told.
func (f *Feeds) lookAtAll() {
	const apart = 5 * time.Millisecond // on the average
	f.mu.Lock()
	feeds := f.all()
	f.mu.Unlock()
	within := max(f.options.Poll, time.Duration(len(feeds))*apart)
	for _, one := range feeds {
		one.lookAfter(rand.N(within))
	}
}

// databaseUpdates reads the events of _db_updates. It is for one goroutine.
type databaseUpdates struct {
	s    *stream
	dec  *jsontext.Decoder
	scan scanner
}

type databaseUpdate struct{ database, seq string }

// databaseUpdates asks which databases change from now on, or since a sequence.
// https://docs.couchdb.org/en/stable/api/server/common.html#db-updates
func (c *Client) databaseUpdates(ctx context.Context, since string) (*databaseUpdates, error) {
	r := request{method: http.MethodGet, op: "_db_updates", path: c.base + "/_db_updates",
		query:   url.Values{"feed": {"continuous"}, "since": {since}, "heartbeat": {milliseconds(c.options.Heartbeat)}},
		silence: 3 * c.options.Heartbeat, place: briefPlace}
	s, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	return &databaseUpdates{s: s, dec: newDecoder(s)}, nil
}

// next reads {"db_name":"a","type":"updated","seq":"7-x"}. Its end is always an error.
func (u *databaseUpdates) next() (databaseUpdate, error) {
	v, err := u.dec.ReadValue()
	if err != nil {
		return databaseUpdate{}, streamFailure(u.s, u.dec, err)
	}
	var update databaseUpdate
	var failed, reason string
	ended := false
	err = u.scan.each(v, func(name []byte, v value) bool {
		switch string(name) {
		case "db_name":
			update.database = text(v)
		case "seq":
			update.seq, err = Sequence(v)
		case "last_seq":
			ended = true
		case "error":
			failed = text(v)
		case "reason":
			reason = text(v)
		}
		return true
	})
	switch {
	case err != nil:
	case update.database != "" && update.seq != "":
		return update, nil
	case failed != "":
		return update, u.s.answered(failed, reason)
	case ended:
		return update, &Error{Op: u.s.op, Err: errFeedEnded}
	}
	return update, &Error{Op: u.s.op, Err: errMalformed}
}

func (u *databaseUpdates) close() { _ = u.s.close(false) }
