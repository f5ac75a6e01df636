package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"pouchbridge/bridge/wire"
	"pouchbridge/couch"
)

// call makes one call and answers it.
func (s *session) call(call wire.Call) {
	if s.ended() != nil {
		s.refuseCall(call.Tag)
		return
	}
	if op, ok := call.Op.(wire.Changes); ok {
		s.changes(call.Tag, op)
		return
	}
	start := time.Now()
	result, err := s.tryDo(call.Op)
	s.conn.server.metrics.called(call.Op, err, time.Since(start))
	if s.ended() != nil && !writes(call.Op) {
		s.refuseCall(call.Tag) // what it has read is not the client's any more
		return
	}
	if err != nil {
		s.failed(call, err)
		return
	}
	_ = s.send(s.ctx, s.wire.Result(newBuffer(bufferSizes[0]+resultSize(result)), call.Tag, result))
}

// resultSize is about how long the answer with a result will be.
func resultSize(r wire.Result) (n int) {
	switch r := r.(type) {
	case wire.OpenRevsResult:
		for _, rev := range r.Revs {
			n += len(rev.Doc)
		}
	case wire.AllDocsResult:
		for _, row := range r.Rows {
			n += len(row.Row)
		}
	}
	return n
}

// failed answers a call that failed.
func (s *session) failed(call wire.Call, err error) {
	if couch.IsDatabaseMissing(err) {
		s.forget()
	}
	if s.ended() != nil && !writes(call.Op) {
		s.refuseCall(call.Tag)
		return
	}
	if s.ctx.Err() != nil {
		return
	}
	if s.distrusted(err) {
		s.refuseCall(call.Tag)
		return
	}
	answer, ok := s.wire.Failed(s.buffer(), call.Tag, s.explain(call.Op, err))
	if !ok {
		s.fail(err)
		return
	}
	_ = s.send(s.ctx, answer)
}

// writes tells whether an operation changes the database.
func writes(op wire.Op) bool {
	switch op.(type) {
	case wire.PutLocal, wire.BulkDocs:
		return true
	}
	return false
}

// explain makes an error the client's, and logs one that is not CouchDB's
// ordinary answer.
func (s *session) explain(op wire.Op, err error) *wire.Error {
	e := wireError(err)
	if e.Status >= http.StatusInternalServerError {
		s.log.Error().Err(err).Str("database", s.db.Name()).Str("operation", name(op)).Msg("call failed")
	}
	return e
}

// do makes one request of CouchDB, or what an operation takes.
func (s *session) do(op wire.Op) (wire.Result, error) {
	switch op := op.(type) {
	case wire.GetID:
		id, err := s.db.ID(s.ctx)
		return wire.ID(id), err
	case wire.GetInfo:
		if !s.seesAll() {
			return wire.Info{}, nil
		}
		info, err := s.db.Info(s.ctx)
		return wire.Info{DocCount: info.DocCount, UpdateSeq: info.UpdateSeq}, err
	case wire.GetLocal:
		return s.getLocal(op)
	case wire.PutLocal:
		return s.putLocal(op)
	case wire.GetRevisions:
		return s.revisions(op)
	case wire.OpenRevs:
		return s.openRevs(op)
	case wire.AllDocs:
		return s.allDocs(op)
	case wire.BulkDocs:
		return s.bulkDocs(op)
	default:
		return nil, fmt.Errorf("no way to do a %T", op)
	}
}

// orMissing makes a document's 404 the one that clients know. A database that
// is missing stays what it is: it must not pass for a checkpoint that is.
func orMissing(err error) error {
	if couch.IsNotFound(err) && !couch.IsDatabaseMissing(err) {
		return &refusedError{*missing()}
	}
	return err
}

// writeContext is for a write: it survives the session by a grace, so that a
// client that goes away does not cut its last write in the middle.
func (s *session) writeContext() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(s.conn.server.ctx)
	var timer *time.Timer
	armed := make(chan struct{})
	stop := context.AfterFunc(s.ctx, func() {
		timer = time.AfterFunc(writeGrace, cancel)
		close(armed)
	})
	return ctx, func() {
		if !stop() {
			<-armed
			timer.Stop()
		}
		cancel()
	}
}

// getLocal reads a checkpoint. The one that the session has just written itself,
// which a client reads before it writes the next, CouchDB is not asked for.
func (s *session) getLocal(op wire.GetLocal) (wire.Result, error) {
	if doc := s.known.checkpoint(op.ID); doc != nil {
		return wire.JSON(doc), nil
	}
	doc, err := s.db.GetLocal(s.ctx, op.ID)
	return wire.JSON(doc), orMissing(err)
}

func (s *session) putLocal(op wire.PutLocal) (wire.Result, error) {
	ctx, cancel := s.writeContext()
	defer cancel()
	doc := op.Doc
	if op.Mend != nil {
		stored, err := s.db.GetLocal(ctx, op.ID)
		if err == nil {
			doc, err = op.Mend(stored)
		}
		if err != nil && (!couch.IsNotFound(err) || couch.IsDatabaseMissing(err)) {
			return nil, err
		}
	}
	s.known.forgetCheckpoint(op.ID)
	rev, err := s.db.PutLocal(ctx, op.ID, doc)
	if err == nil {
		s.known.wroteCheckpoint(op.ID, rev, doc)
	}
	return wire.LocalWritten{ID: op.ID, Rev: rev}, err
}

// seesAll tells whether nothing of the database is hidden from the session.
func (s *session) seesAll() bool { return s.grant.Access.CanRead() && s.grant.Filter.IsZero() }

// canRead tells whether the session may know a document.
func (s *session) canRead(id string) bool { return s.grant.Access.CanRead() && s.visible.has(id) }

// revisions are those of a document, none if it is hidden: the client then
// sends what it has, and a revision that is there already is not written twice.
func (s *session) revisions(op wire.GetRevisions) (wire.Result, error) {
	if !s.canRead(op.ID) {
		return nil, &refusedError{*missing()}
	}
	leaves, err := s.db.Leaves(s.ctx, op.ID)
	return histories(leaves), orMissing(err)
}

// openRevs are the revisions of one call.
func (s *session) openRevs(op wire.OpenRevs) (out wire.Result, err error) {
	if !s.canRead(op.ID) {
		return hiddenRevs(op), nil
	}
	var own error
	err = s.readOpenRevs([]wire.OpenRevs{op}, func(r wire.OpenRevsResult, err error) { out, own = r, err })
	return out, errors.Join(err, own)
}

// bulkGet calls fn for each answer of a _bulk_get. What fn is given is valid
// until it returns.
func (s *session) bulkGet(ctx context.Context, refs []couch.DocRef, o couch.BulkGetOptions, fn func(couch.BulkGetDoc) error) error {
	docs, err := s.db.BulkGet(ctx, refs, o)
	if err != nil {
		return err
	}
	defer docs.Close()
	for {
		d, err := docs.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = fn(d)
		}
		if err != nil {
			return err
		}
	}
}

// allDocs has a row for each key, also for those that are hidden. What was
// fetched ahead is not asked for.
func (s *session) allDocs(op wire.AllDocs) (wire.Result, error) {
	rows := make([]wire.DocRow, len(op.Keys))
	var left []string
	var places []int // in rows, of left
	for i, id := range op.Keys {
		if !s.canRead(id) {
			row := wire.AppendString([]byte(`{"key":`), id)
			rows[i].Row = append(row, `,"error":"not_found"}`...)
			continue
		}
		if op.IncludeDocs {
			if row, ok := s.ahead.docRow(s.ctx, id); ok {
				rows[i] = row
				continue
			}
		}
		left, places = append(left, id), append(places, i)
	}
	if op.IncludeDocs {
		left, places = s.sharedDocRows(rows, left, places)
	}
	found, err := s.readDocs(left, op.IncludeDocs)
	if err != nil || len(left) == len(rows) {
		return found, err
	}
	for n, row := range found.Rows[:min(len(found.Rows), len(places))] {
		rows[places[n]] = row
	}
	return wire.AllDocsResult{TotalRows: -1, Rows: rows}, nil
}

// sharedDocRows fills in the rows of documents that a shared feed has just named,
// and returns the others: their ids, and where their rows belong.
func (s *session) sharedDocRows(rows []wire.DocRow, ids []string, places []int) (left []string, leftPlaces []int) {
	shared := s.sharedRows(ids)
	for n, id := range ids {
		if row, ok := shared[id]; ok {
			if rows[places[n]], ok = row.docRow(id); ok {
				continue
			}
		}
		left, leftPlaces = append(left, id), append(leftPlaces, places[n])
	}
	return left, leftPlaces
}

// readDocs reads the winners of documents, a row for each.
func (s *session) readDocs(ids []string, includeDocs bool) (out wire.AllDocsResult, err error) {
	if len(ids) == 0 {
		return out, nil
	}
	rows, err := s.db.AllDocs(s.ctx, couch.AllDocsOptions{Keys: ids, IncludeDocs: includeDocs, Conflicts: includeDocs})
	if err != nil {
		return out, err
	}
	defer rows.Close()
	held := int64(0) // until it is a message, which is counted then
	defer func() { s.conn.share.give(held) }()
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			out.TotalRows = rows.TotalRows()
			return out, nil
		}
		if err != nil {
			return wire.AllDocsResult{}, err
		}
		held += int64(len(row.Row))
		s.conn.share.take(int64(len(row.Row)))
		out.Rows = append(out.Rows, wire.DocRow{Row: row.Row.Clone(), ID: row.ID, Rev: row.Rev,
			Conflict: wire.HasMember(row.Doc, "_conflicts")})
	}
}

// bulkDocs writes what may be written and says why the rest is not.
func (s *session) bulkDocs(op wire.BulkDocs) (wire.Result, error) {
	ctx, cancel := s.writeContext()
	defer cancel()
	var refused wire.BulkDocsResult
	var docs []wire.Doc
	for _, d := range op.Docs {
		if e := s.refuse(&d); e != nil {
			refused = append(refused, wire.Refused{ID: d.ID, Rev: d.Rev, Err: *e})
			continue
		}
		docs = append(docs, d)
	}
	if op.KeepAttachments {
		if err := s.keepAttachments(ctx, docs); err != nil {
			return nil, err
		}
	}
	s.known.writing(docs)
	rows, err := s.db.BulkDocs(ctx, raw(docs), false)
	s.known.wrote(docs, rows, err)
	for _, row := range rows {
		if !row.OK {
			refused = append(refused, wire.Refused{ID: row.ID, Rev: row.Rev,
				Err: wire.Error{Status: row.Status, Name: row.Name, Reason: row.Reason}})
		}
	}
	return refused, err
}

// refuse says why the grant does not let a document be written, or nil.
func (s *session) refuse(d *wire.Doc) *wire.Error {
	var e wire.Error
	switch {
	case !s.grant.Access.CanWrite():
		e = forbidden("this database is read-only here")
	case strings.HasPrefix(d.ID, "_design/") && !s.grant.DesignDocs:
		e = forbidden("design documents cannot be written here")
	default:
		return d.Refused
	}
	return &e
}
