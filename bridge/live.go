package bridge

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"pouchbridge/bridge/wire"
	"pouchbridge/couch"
)

// maxFeeds is how many live feeds a session may have. A client has one; the
// oldest ends when there are more.
const maxFeeds = 4

// echoPause is how long rows that only tell a client of its own writes are held
// back. The last of them moves its checkpoint on.
const echoPause = time.Second

// liveFeed is a live feed of a session: it reads the feed that all sessions of
// the database share. It has a goroutine only while there is something to send.
type liveFeed struct {
	session *session
	tag     wire.Tag
	reader  *couch.FeedReader // nil: the session may not read, and the feed stays empty

	// Owned by pump.
	echo  []byte      // the last row held back; nil: none
	until time.Time   // when it is sent
	timer *time.Timer // wakes pump then; nil: no row was ever held back

	mu      sync.Mutex
	running bool               // pump runs
	again   bool               // there was something new since it last looked
	over    bool               // nothing is sent any more
	cancel  context.CancelFunc // of pump; nil while it does not run
}

// follow begins to send every row after op.Since, and goes on until the session
// ends.
func (s *session) follow(t wire.Tag, op wire.Changes) {
	f := &liveFeed{session: s, tag: t}
	if s.grant.Access.CanRead() {
		f.reader = s.conn.server.feeds[s.service].Read(s.db, s.visible.changes(op.Since), f.wake)
	}
	if !s.addFeed(f) {
		s.refuseCall(t)
	} else if err := s.accept(t); err != nil {
		s.removeFeed(f)
		f.stop()
	} else if f.reader != nil {
		f.wake()
	}
}

// addFeed counts a live feed in, unless the session is over: whoever ends it
// tells the client of the end of each feed.
func (s *session) addFeed(f *liveFeed) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil || s.closed {
		return false
	}
	s.conn.server.metrics.feeds.Inc()
	if s.feeds = append(s.feeds, f); len(s.feeds) > maxFeeds {
		s.feeds[0].stop()
		s.feeds = slices.Delete(s.feeds, 0, 1)
	}
	return true
}

func (s *session) removeFeed(f *liveFeed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feeds = slices.DeleteFunc(s.feeds, func(other *liveFeed) bool { return other == f })
}

// stopFeeds ends all live feeds; the caller holds mu. It does not wait.
func (s *session) stopFeeds() {
	for _, f := range s.feeds {
		f.stop()
	}
}

// wake has the feed sent on. It does not block.
func (f *liveFeed) wake() {
	f.mu.Lock()
	start := !f.running && !f.over
	f.again = true
	f.running = f.running || start
	f.mu.Unlock()
	if start && !f.session.conn.start(f.pump) {
		f.mu.Lock()
		f.running = false
		f.mu.Unlock()
		f.stop() // the connection is about to end
	}
}

// stop ends the feed. It does not wait for what is being sent.
func (f *liveFeed) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return
	}
	f.over = true
	f.session.conn.server.metrics.feeds.Dec()
	if f.cancel != nil {
		f.cancel()
	}
	if !f.running {
		f.close()
	}
}

// close gives back what an idle feed has; the caller holds mu.
func (f *liveFeed) close() {
	if f.timer != nil {
		f.timer.Stop()
	}
	if f.reader != nil {
		f.reader.Close()
	}
}

// pump sends what there is.
func (f *liveFeed) pump() {
	s := f.session
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	f.mu.Lock()
	if f.cancel = cancel; f.over {
		cancel()
	}
	f.mu.Unlock()
	for f.more(ctx) {
		if err := f.send(ctx); err != nil && ctx.Err() == nil {
			s.endFeed(f.tag, err)
			s.removeFeed(f)
			f.stop()
		}
	}
}

// more reports whether pump has to go on, and cleans up after it if not.
func (f *liveFeed) more(ctx context.Context) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.over && f.again && ctx.Err() == nil {
		f.again = false
		return true
	}
	f.running, f.cancel = false, nil
	if f.over {
		f.close()
	}
	return false
}

// send sends rows until there are none for now.
func (f *liveFeed) send(ctx context.Context) error {
	for {
		if err := f.sendEcho(ctx); err != nil {
			return err
		}
		rows, err := f.next(ctx)
		if err != nil || len(rows) == 0 {
			return err
		}
		for len(rows) > 0 {
			lines, n := f.lines(rows)
			if err := f.session.send(ctx, lines); err != nil {
				return err
			}
			rows = rows[n:]
		}
	}
}

// lines puts rows into a message, as many as fit, without those that are an echo.
func (f *liveFeed) lines(rows []couch.Change) (lines []byte, n int) {
	s := f.session
	for _, row := range rows {
		if len(lines) >= pageBytes {
			break
		}
		n++
		id := row.ID()
		s.visible.show(id)
		if f.hold(row) {
			continue
		}
		if s.shares() {
			s.conn.server.docs.named(s.sharedKey(id), row)
		}
		if lines == nil && len(rows) > 1 {
			lines = newBuffer(pageBytes)
		} else if lines == nil {
			lines = s.buffer()
		}
		lines = s.wire.Change(lines, f.tag, row.Row)
	}
	return lines, n
}

// hold holds back a row that names nothing but what the client itself has sent. To
// it such a row is work, with some versions a batch with a checkpoint, and tells
// nothing: after a push of thousands of documents they come by the thousand. Rows
// that were held back before are dropped; should the client connect again before
// the last was sent, it reads them once more.
func (f *liveFeed) hold(row couch.Change) bool {
	if !f.session.known.isEcho(row) {
		f.echo = nil // the client learns a later sequence from this row
		return false
	}
	if f.echo == nil {
		f.until = time.Now().Add(echoPause)
		if f.timer == nil {
			f.timer = time.AfterFunc(echoPause, f.wake)
		} else {
			f.timer.Reset(echoPause)
		}
	}
	f.echo = row.Row
	return true
}

// sendEcho sends the row that is held back when it is time to.
func (f *liveFeed) sendEcho(ctx context.Context) error {
	if f.echo == nil || time.Now().Before(f.until) {
		return nil
	}
	row := f.echo
	f.echo = nil
	return f.session.send(ctx, f.session.wire.Change(f.session.buffer(), f.tag, row))
}

// next is the next rows, none if there are none for now. CouchDB is asked again
// for a while where it does not answer the session itself; the shared feed has
// a patience of its own.
func (f *liveFeed) next(ctx context.Context) ([]couch.Change, error) {
	var over error
	rows, err := retry(ctx, f.session.conn.server.options.UpstreamPatience, func() ([]couch.Change, error) {
		rows, err := f.reader.Next(ctx)
		if errors.Is(err, couch.ErrFeedNotStarted) {
			over, err = err, nil
		}
		return rows, err
	})
	return rows, errors.Join(err, over)
}
