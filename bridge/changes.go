package bridge

import (
	"context"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"pouchbridge/bridge/wire"
	"pouchbridge/couch"
)

// pageBytes is how much of a page of changes is gathered before it is sent.
const pageBytes = 32 << 10

// changes serves one Changes call: a page within the call, a live feed beside
// the calls, for as long as the session lasts.
func (s *session) changes(t wire.Tag, op wire.Changes) {
	if op.Live {
		s.follow(t, op)
	} else if s.accept(t) == nil {
		s.endFeed(t, s.page(t, op))
	}
}

// accept answers a Changes call; its rows come after that.
func (s *session) accept(t wire.Tag) error {
	return s.send(s.ctx, s.wire.Result(s.buffer(), t, wire.Accepted{}))
}

// endFeed tells the client of a feed that failed.
func (s *session) endFeed(t wire.Tag, err error) {
	if err == nil || s.ctx.Err() != nil {
		return
	}
	if couch.IsDatabaseMissing(err) {
		s.forget()
	}
	if s.distrusted(err) {
		return
	}
	if over := s.ended(); over != nil {
		err = &refusedError{*over}
	}
	msg, ok := s.wire.FeedFailed(s.buffer(), t, s.explain(wire.Changes{}, err))
	if !ok {
		s.fail(err)
		return
	}
	_ = s.send(s.ctx, msg)
}

// page sends up to op.Limit rows after op.Since, then the end. Rows are read from
// CouchDB first and sent then, some at a time, so that no answer of CouchDB waits
// for a slow client. A feed that breaks off is taken up again where it broke.
func (s *session) page(t wire.Tag, op wire.Changes) error {
	if !s.grant.Access.CanRead() {
		return s.send(s.ctx, s.wire.Complete(s.buffer(), t, op.Since))
	}
	part := pagePart{s: s, tag: t, since: op.Since, left: op.Limit, limited: op.Limit > 0}
	for !part.done {
		_, err := retry(s.ctx, s.conn.server.options.UpstreamPatience, func() (struct{}, error) { return struct{}{}, part.next() })
		if err != nil {
			return err
		}
	}
	if part.limited && op.Limit <= maxAheadRows {
		s.ahead.shown(op.Limit, part.sent)
	}
	return s.send(s.ctx, s.wire.Complete(s.buffer(), t, part.since))
}

const (
	// partRows and partBytes bound what is read of a page before it is sent.
	partRows  = 1000
	partBytes = 512 << 10
)

// page is rows of a _changes answer, in memory.
type page struct {
	rows  []pageRow
	last  string // the sequence at its end
	ended bool   // the answer was read to its end
}

// pageRow is a row of a page.
type pageRow struct {
	id, seq string
	revs    []string // leaves, the winner first
	row     jsontext.Value
}

// readPage reads up to limit rows. When it fails, the rows before stand.
func (s *session) readPage(ctx context.Context, since string, limit int) (*page, error) {
	o := s.visible.changes(since)
	o.Limit = limit
	p := &page{last: since}
	rows, err := s.db.Changes(ctx, o)
	if err != nil {
		return p, err
	}
	defer rows.Close()
	size := 0
	for size < partBytes {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			p.last, p.ended = rows.LastSeq(), true
			return p, nil
		}
		if err != nil {
			return p, err
		}
		size += len(row.Row)
		revs, err := row.Revs()
		if err != nil {
			return p, err
		}
		p.last = row.Seq()
		p.rows = append(p.rows, pageRow{id: row.ID(), seq: p.last, revs: revs, row: row.Row.Clone()})
	}
	return p, nil
}

// pagePart is how far the sending of a page is.
type pagePart struct {
	s       *session
	tag     wire.Tag
	since   string
	left    int // rows, of a limited page
	limited bool
	sent    []pageRow // of a page that is short enough to be remembered
	done    bool
}

// next reads and sends some rows and moves on past them.
func (p *pagePart) next() error {
	limit := partRows
	if p.limited {
		limit = min(limit, p.left)
	}
	var err error
	rows := p.s.ahead.page(p.s.ctx, p.since, limit)
	if rows == nil {
		rows, err = p.s.readPage(p.s.ctx, p.since, limit)
	}
	if sending := p.send(rows.rows); sending != nil {
		return sending
	}
	p.since = rows.last
	if p.limited {
		p.left -= len(rows.rows)
	}
	p.done = p.limited && p.left <= 0 || err == nil && rows.ended && len(rows.rows) < limit
	if p.done {
		return nil
	}
	return err
}

// send sends rows, many in one message.
func (p *pagePart) send(rows []pageRow) error {
	var lines []byte
	for i, row := range rows {
		p.s.visible.show(row.id)
		p.s.known.shown(row.id, row.revs)
		if lines == nil {
			lines = newBuffer(pageBytes)
		}
		lines = p.s.wire.Change(lines, p.tag, row.row)
		if len(lines) < pageBytes && i < len(rows)-1 {
			continue
		}
		if over := p.s.ended(); over != nil {
			return &refusedError{*over}
		}
		if err := p.s.send(p.s.ctx, lines); err != nil {
			return err
		}
		lines = nil
	}
	if p.limited && len(p.sent)+len(rows) <= maxAheadRows {
		p.sent = append(p.sent, rows...)
	}
	return nil
}
