package bridge

import (
	"errors"
	"io"

	"pouchbridge/bridge/wire"
)

// pageBytes is how much of a page of changes is gathered before it is sent.
const pageBytes = 32 << 10

// changes serves one Changes call: a page within the call, a live feed beside
// the calls, for as long as the session lasts.
func (s *session) changes(t wire.Tag, op wire.Changes) {
	if err := s.send(s.ctx, s.wire.Result(s.buffer(), t, wire.Accepted{})); err != nil {
		return
	}
	if !op.Live {
		s.endFeed(t, s.page(t, op))
		return
	}
	s.follow(t, op)
}

// endFeed tells the client of a feed that failed.
func (s *session) endFeed(t wire.Tag, err error) {
	if err == nil || s.ctx.Err() != nil {
		return
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

// page sends up to op.Limit rows after op.Since, then the end. A feed that
// breaks off is taken up again where it broke.
func (s *session) page(t wire.Tag, op wire.Changes) error {
	if !s.grant.Access.CanRead() {
		return s.send(s.ctx, s.wire.Complete(s.buffer(), t, op.Since))
	}
	last, err := retry(s.ctx, s.conn.server.options.UpstreamPatience, func() (string, error) {
		return s.pagePart(t, &op)
	})
	if err != nil {
		return err
	}
	return s.send(s.ctx, s.wire.Complete(s.buffer(), t, last))
}

// pagePart sends rows and moves op on past those it has sent. It returns the
// sequence at the end of the page.
func (s *session) pagePart(t wire.Tag, op *wire.Changes) (last string, err error) {
	o := s.visible.changes(op.Since)
	o.Limit = op.Limit
	rows, err := s.db.Changes(s.ctx, o)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var lines []byte
	since, left, limited := op.Since, op.Limit, op.Limit > 0
	flush := func() error {
		if over := s.ended(); over != nil {
			return &refusedError{*over}
		}
		err := s.send(s.ctx, lines)
		lines, op.Since, op.Limit = nil, since, left
		return err
	}
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return rows.LastSeq(), flush()
		}
		if err != nil {
			return "", errors.Join(flush(), err)
		}
		s.visible.show(row.ID)
		if lines == nil {
			lines = newBuffer(pageBytes)
		}
		lines = s.wire.Change(lines, t, row.Row)
		since = row.Seq
		if limited {
			left--
		}
		if limited && left == 0 {
			return since, flush()
		}
		if len(lines) >= pageBytes {
			if err := flush(); err != nil {
				return "", err
			}
		}
	}
}
