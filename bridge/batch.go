package bridge

import (
	"errors"
	"net/http"
	"time"

	"pouchbridge/bridge/wire"
	"pouchbridge/couch"
)

// answers are those to the calls of a batch. Each call has an answer of its own;
// several of them go out together.
type answers struct {
	s     *session
	start time.Time
	calls []wire.Call // whose answers are in lines
	lines []byte
}

// result answers a call.
func (a *answers) result(call wire.Call, r wire.Result) {
	a.s.conn.server.metrics.called(call.Op, nil, time.Since(a.start))
	a.begin(resultSize(r))
	a.lines = a.s.wire.Result(a.lines, call.Tag, r)
	a.calls = append(a.calls, call)
	if len(a.lines) >= pageBytes {
		a.flush()
	}
}

// failed answers a call that failed. That something is not there is an answer
// like others.
func (a *answers) failed(call wire.Call, err error) {
	a.s.conn.server.metrics.called(call.Op, err, time.Since(a.start))
	if e := wireError(err); e.Status == http.StatusNotFound && !couch.IsDatabaseMissing(err) {
		a.begin(0)
		if lines, ok := a.s.wire.Failed(a.lines, call.Tag, e); ok {
			a.lines, a.calls = lines, append(a.calls, call)
			return
		}
	}
	a.flush()
	a.s.failed(call, err)
}

// begin takes a buffer, if there is none, for the answers to come and about size
// bytes in the first.
func (a *answers) begin(size int) {
	if a.lines == nil {
		a.lines = newBuffer(max(size+bufferSizes[0], pageBytes))
	}
}

// flush sends what there is. What was read for a session whose grant is over is
// not its client's any more.
func (a *answers) flush() {
	lines, calls := a.lines, a.calls
	a.lines, a.calls = nil, nil
	if len(calls) == 0 {
		return
	}
	if a.s.ended() != nil {
		freeBuffer(lines)
		for _, call := range calls {
			a.s.refuseCall(call.Tag)
		}
		return
	}
	_ = a.s.send(a.s.ctx, lines)
}

// make makes the calls of a batch and answers them.
func (s *session) make(b *batch) {
	if b.kind == (batchKind{}) {
		s.call(b.calls[0])
		return
	}
	if s.ended() != nil {
		for _, call := range b.calls {
			s.refuseCall(call.Tag)
		}
		return
	}
	out := &answers{s: s, start: time.Now()}
	defer out.flush()
	if b.kind.op == opRevisions {
		s.makeRevisions(out, b.calls)
	} else {
		s.makeOpenRevs(out, b.calls)
	}
}

// isInstant tells whether a call can, by all appearances, be answered without
// CouchDB.
func (s *session) isInstant(op wire.Op) bool {
	switch op := op.(type) {
	case wire.GetRevisions:
		return s.known.has(op.ID) || s.sharedHistory(op.ID) != nil
	case wire.OpenRevs:
		return s.ahead.has(op.ID)
	}
	return false
}

// makeRevisions answers GetRevisions calls: from what the session knows without
// asking, and the rest with one question.
func (s *session) makeRevisions(out *answers, calls []wire.Call) {
	var left []wire.Call
	var ids []string
	for _, call := range calls {
		id := call.Op.(wire.GetRevisions).ID
		if !s.canRead(id) {
			out.failed(call, &refusedError{*missing()})
		} else if known := s.known.history(id); known != nil {
			out.result(call, known)
		} else if shared := s.sharedHistory(id); shared != nil {
			out.result(call, shared)
		} else {
			left, ids = append(left, call), append(ids, id)
		}
	}
	if len(left) < 2 {
		s.makeAlone(out, left)
		return
	}
	found, err := retry(s.ctx, s.conn.server.options.UpstreamPatience, func() ([]couch.DocLeaves, error) {
		return s.db.LeavesOf(s.ctx, ids)
	})
	if err != nil {
		s.batchFailed(out, left, err)
		return
	}
	var again []wire.Call
	for i, call := range left {
		switch doc := found[i]; {
		case couch.Transient(doc.Err):
			again = append(again, call)
		case doc.Err != nil:
			out.failed(call, orMissing(doc.Err))
		default:
			out.result(call, histories(doc.Leaves))
		}
	}
	s.makeAlone(out, again)
}

// makeOpenRevs answers OpenRevs calls with equal options: from what was fetched
// ahead, and the rest with one _bulk_get, each as soon as it is complete.
func (s *session) makeOpenRevs(out *answers, calls []wire.Call) {
	var left []wire.Call
	for _, call := range calls {
		op := call.Op.(wire.OpenRevs)
		if !s.canRead(op.ID) {
			out.result(call, hiddenRevs(op))
		} else if r, ok := s.ahead.openRevs(s.ctx, op); ok {
			out.result(call, r)
		} else {
			left = append(left, call)
		}
	}
	left = s.makeShared(out, left)
	_, err := retry(s.ctx, s.conn.server.options.UpstreamPatience, func() (struct{}, error) {
		ops := make([]wire.OpenRevs, len(left))
		for i, call := range left {
			ops[i] = call.Op.(wire.OpenRevs)
		}
		err := s.readOpenRevs(ops, func(r wire.OpenRevsResult, err error) {
			if err != nil {
				out.failed(left[0], err)
			} else {
				out.result(left[0], r)
			}
			left = left[1:]
		})
		return struct{}{}, err
	})
	if err != nil && len(left) > 0 {
		s.batchFailed(out, left, err)
	}
}

// makeShared answers the OpenRevs calls for documents that a shared feed has just
// named, and returns the others.
func (s *session) makeShared(out *answers, calls []wire.Call) (left []wire.Call) {
	ids := make([]string, len(calls))
	for i, call := range calls {
		ids[i] = call.Op.(wire.OpenRevs).ID
	}
	rows := s.sharedRows(ids)
	for _, call := range calls {
		op := call.Op.(wire.OpenRevs)
		if r, ok := rows[op.ID].openRevs(op); ok {
			out.result(call, r)
		} else {
			left = append(left, call)
		}
	}
	return left
}

// batchFailed answers the calls of a batch that failed as a whole: each fails as
// it would alone. What all of them run into is found out with the first; where
// it was one that was to blame, the others are made one by one.
func (s *session) batchFailed(out *answers, calls []wire.Call, err error) {
	if couch.Transient(err) || s.ctx.Err() != nil || len(calls) == 1 {
		for _, call := range calls {
			out.failed(call, err)
		}
		return
	}
	_, first := s.tryDo(calls[0].Op)
	if first != nil && *wireError(first) == *wireError(err) {
		for _, call := range calls {
			out.failed(call, first)
		}
		return
	}
	s.makeAlone(out, calls)
}

// makeAlone makes calls one after the other.
func (s *session) makeAlone(out *answers, calls []wire.Call) {
	for _, call := range calls {
		if r, err := s.tryDo(call.Op); err != nil {
			out.failed(call, err)
		} else {
			out.result(call, r)
		}
	}
}

// tryDo does an operation, for as long as CouchDB's failures may pass.
func (s *session) tryDo(op wire.Op) (wire.Result, error) {
	return retry(s.ctx, s.conn.server.options.UpstreamPatience, func() (wire.Result, error) { return s.do(op) })
}

// hiddenRevs is the answer about a document that the session may not know of.
func hiddenRevs(op wire.OpenRevs) wire.OpenRevsResult {
	out := wire.OpenRevsResult{Attachments: op.Attachments}
	for _, rev := range op.Revs {
		out.Revs = append(out.Revs, wire.OpenRev{Missing: rev})
	}
	return out
}

// readOpenRevs asks for the revisions of several calls, which have the same
// options, with one _bulk_get: however many revisions are wanted, they do not
// have to fit into a URL. It calls done for each of ops, in order, as soon as
// its answer is complete; of the answer no more is held than one call's. The
// result is valid until done returns.
func (s *session) readOpenRevs(ops []wire.OpenRevs, done func(wire.OpenRevsResult, error)) error {
	if len(ops) == 0 {
		return nil
	}
	refs, of := openRevsRefs(ops)
	r := reading{share: s.conn.share, ops: ops, done: done}
	defer r.letGo()
	o := couch.BulkGetOptions{Revs: true, Latest: ops[0].Latest, Attachments: ops[0].Attachments}
	err := s.bulkGet(s.ctx, refs, o, func(d couch.BulkGetDoc) error {
		r.upTo(of[d.Index])
		return r.take(d)
	})
	if err == nil {
		r.upTo(len(ops))
	}
	return err
}

// openRevsRefs are the references that answer ops, and for each which of ops it
// belongs to.
func openRevsRefs(ops []wire.OpenRevs) (refs []couch.DocRef, of []int) {
	for i, op := range ops {
		if op.Revs == nil {
			refs, of = append(refs, couch.DocRef{ID: op.ID}), append(of, i)
		}
		for _, rev := range op.Revs {
			refs, of = append(refs, couch.DocRef{ID: op.ID, Rev: rev}), append(of, i)
		}
	}
	return refs, of
}

// reading is where readOpenRevs is.
type reading struct {
	share *share
	ops   []wire.OpenRevs
	done  func(wire.OpenRevsResult, error)

	at   int // in ops
	revs []wire.OpenRev
	docs []byte // of revs
	held int    // bytes that are counted
	err  error
}

// upTo finishes the calls before the next, which have all they get.
func (r *reading) upTo(next int) {
	for ; r.at < next; r.at++ {
		r.done(wire.OpenRevsResult{Revs: r.revs, Attachments: r.ops[r.at].Attachments}, r.err)
		r.letGo()
		r.revs, r.docs, r.err = nil, r.docs[:0], nil
	}
}

// letGo gives back the bytes of the current call. As a message they are counted
// again.
func (r *reading) letGo() {
	r.share.give(int64(r.held))
	r.held = 0
}

// take adds one part of the answer to the current call's. What is wrong with one
// revision is its call's error, unless it may pass.
func (r *reading) take(d couch.BulkGetDoc) error {
	switch {
	case d.Err == nil:
		r.share.take(int64(len(d.Doc)))
		r.held += len(d.Doc)
		start := len(r.docs)
		r.docs = append(r.docs, d.Doc...)
		r.revs = append(r.revs, wire.OpenRev{Doc: r.docs[start:len(r.docs):len(r.docs)]})
	case d.Err.Transient():
		return d.Err
	case d.Err.Status != http.StatusNotFound:
		r.err = errors.Join(r.err, d.Err)
	case r.ops[r.at].Revs != nil:
		r.revs = append(r.revs, wire.OpenRev{Missing: d.Rev})
	}
	return nil
}

// histories are the histories of a document's leaves.
func histories(leaves []couch.Leaf) wire.Revisions {
	out := make(wire.Revisions, len(leaves))
	for i, l := range leaves {
		out[i] = wire.History(l)
	}
	return out
}
