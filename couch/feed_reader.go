package couch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
)

// pageRows and pageBytes are where a request to catch up ends.
const (
	pageRows  = 500
	pageBytes = 1 << 20
)

// takeBytes is how much of a ring one Next returns.
const takeBytes = 64 << 10

// FeedReader is one reader's place in the changes of a database. Its methods are for one goroutine at a time. It has no goroutine
// of its own, so one that waits for changes costs next to nothing.
type FeedReader struct {
	feeds   *Feeds
	db      *Database
	options ChangesOptions // Since moves on
	wake    func()
	private bool
	recent  recent
	live    bool   // reads from the ring
	pos     uint64 // in the ring, of the next row
	feed    *feed  // nil before it has joined
	place   int    // in feed.waiting, from 1; 0: not in it. Guarded by feed.mu
}

// Read makes a reader of the changes of a database after o.Since; it asks CouchDB nothing yet. Of o only Since, AllLeaves and the
// filter are used. Readers of the same database and filter share a feed; what a reader reads for itself, to catch up, it reads as
// the client of d, so it must be allowed to read the database. A filter function of a design document may look at who asks: a
// client that is somebody else than the feeds' own has a feed of its own then, and so has one where that account may not read.
//
// wake is called, from any goroutine, when Next has had nothing and is worth calling again. It must not block.
func (f *Feeds) Read(d *Database, o ChangesOptions, wake func()) *FeedReader {
	o.Feed, o.Limit, o.Timeout, o.Descending = Normal, 0, 0, false
	r := &FeedReader{feeds: f, db: d, options: o, wake: wake}
	r.private = o.Filter != "" && d.client.origin() != d.client
	return r
}

// Next returns the next rows in the order of the feed. No rows and no error: there is nothing now, and wake will be called. A row's
// bytes must not be changed, and stay valid.
//
// After a transient *Error Next may be called again. CouchDB did not answer the reader itself then, or, if it is an
// [ErrFeedNotStarted] as well, the feed could not be started for as long as FeedsOptions.Patience. Other errors are final: a 404 *Error once the database is gone, 401 or 403 if it may not be read.
func (r *FeedReader) Next(ctx context.Context) ([]Change, error) {
	for {
		rows, again, err := r.step(ctx)
		switch {
		case err == errOvertaken:
			r.live = false
			r.feeds.overtaken.Add(1)
		case err == errNotShared:
			r.Close()
			r.private = true
		case err == errOver:
			err = r.feed.err
			r.Close() // to join another one, if it is called again
			return nil, err
		case !again:
			return rows, err
		}
	}
}

// step is one attempt of Next; again: it had nothing, and the next may.
func (r *FeedReader) step(ctx context.Context) (rows []Change, again bool, err error) {
	if r.feed == nil {
		if r.feed, err = r.feeds.join(r); err != nil {
			return nil, false, err
		}
	}
	if r.live {
		rows, err = r.take()
		return rows, false, err
	}
	rows, err = r.catchUp(ctx)
	return rows, r.live && err == nil && len(rows) == 0, err
}

var (
	errOvertaken = errors.New("the ring has moved on")
	errOver      = errors.New("the feed is over")
	errNotShared = errors.New("the account of the feeds may not read the database")
	errLeft      = errors.New("couch: the feed has no readers")
)

// take reads the ring, or has the reader woken when there is something.
func (r *FeedReader) take() ([]Change, error) {
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		rows, kept := f.ring.from(r.pos, takeBytes)
		switch {
		case !kept:
			return nil, errOvertaken
		case len(rows) > 0:
			r.pos += uint64(len(rows))
			r.options.Since = rows[len(rows)-1].Seq()
			if rows = r.recent.without(rows); len(rows) > 0 {
				return rows, nil
			}
		case f.state == feedOver:
			return nil, r.over()
		default:
			f.await(r)
			return nil, nil
		}
	}
}

// over is what follows from the feed being so. The caller holds its mu.
func (r *FeedReader) over() error {
	var e *Error
	if errors.As(r.feed.err, &e) && !r.private && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden) {
		return errNotShared
	}
	return errOver
}

// catchUp makes one request for what comes after the reader's sequence. When that has reached the end of the changes, the
// reader goes on in the ring where it ended before the request began.
func (r *FeedReader) catchUp(ctx context.Context) ([]Change, error) {
	pos, ready, err := r.note()
	if !ready {
		return nil, err
	}
	r.feeds.pages.Add(1)
	o := r.options
	o.Limit = pageRows
	changes, err := r.db.Changes(ctx, o)
	if err != nil {
		return nil, err
	}
	defer changes.Close()
	rows, atEnd, err := readPage(changes)
	if err != nil && len(rows) == 0 {
		return nil, err
	}
	// Of an answer that broke off, the rows are good.
	if r.recent.remember(rows); len(rows) > 0 {
		r.options.Since = rows[len(rows)-1].Seq()
	}
	if atEnd {
		r.live, r.pos = true, pos
		if last := changes.LastSeq(); last != "" {
			r.options.Since = last
		}
	}
	return rows, nil
}

// note is the position in the ring from which on rows will count, or not ready: the reader is woken when that changes.
func (r *FeedReader) note() (pos uint64, ready bool, err error) {
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	switch f.state {
	case feedOver:
		return 0, false, r.over()
	case feedStarting:
		f.await(r)
		return 0, false, nil
	}
	return f.joinAt(), true, nil
}

// readPage reads an answer to its end, or to where enough is in memory.
func readPage(changes *Changes) (rows []Change, atEnd bool, err error) {
	for size := 0; size < pageBytes; size += len(rows[len(rows)-1].Row) {
		row, err := changes.Next()
		if err == io.EOF {
			return rows, len(rows) < pageRows || changes.Pending() == 0, nil
		}
		if err != nil {
			return rows, false, err
		}
		row.Row = bytes.Clone(row.Row)
		rows = append(rows, row)
	}
	return rows, false, nil
}

// Close ends the reader. wake may still be called once by somebody who has already begun to.
func (r *FeedReader) Close() {
	if r.feed != nil {
		r.feed.exit(r)
		r.feed, r.live = nil, false
	}
}
