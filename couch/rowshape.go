package couch

import "bytes"

// rowShape is where things are in a row of _changes of the form CouchDB gives it:
//
//	{"seq":"3-g1AA","id":"a","changes":[{"rev":"2-b"},{"rev":"2-a"}],"deleted":true,"doc":{}}
//
// without white space, with plain strings, a sequence that may be null, and with deleted and doc or without.
type rowShape struct {
	known           bool // it has the form
	hasSeq          bool
	seqEnd          int // of the sequence, which begins at seqAt
	idAt, idEnd     int
	revsAt, revsEnd int // what is between the brackets
	deleted         bool
}

const (
	seqOpens  = `{"seq":"`
	revOpens  = `{"rev":"`
	revCloses = `"}`
)

// readRow reads the row that b begins with, and its shape. A row of another form is read as well, and its shape not known.
func readRow(b []byte, shape *rowShape) (n int, end reach) {
	*shape = rowShape{}
	s := rowScan{b: b}
	if shape.read(&s) {
		shape.known = true
		return s.i, fits
	}
	shape.known = false
	if s.end == short {
		return 0, short
	}
	s = rowScan{b: b}
	s.value(0)
	return s.i, s.end
}

func (r *rowShape) read(s *rowScan) (ok bool) {
	switch {
	case s.has(seqOpens):
		r.hasSeq = true
		if r.seqEnd, ok = s.plain(); !ok {
			return false
		}
	case s.end != fits || !s.literal(`{"seq":null`):
		return false
	}
	if !s.literal(`,"id":"`) {
		return false
	}
	r.idAt = s.i
	if r.idEnd, ok = s.plain(); !ok {
		return false
	}
	return s.literal(`,"changes":[`) && r.revs(s) && r.rest(s)
}

// revs reads the revisions and the bracket that closes them.
func (r *rowShape) revs(s *rowScan) bool {
	r.revsAt = s.i
	for more := !s.has("]"); more; {
		if !s.literal(revOpens) {
			return false
		}
		if _, ok := s.plain(); !ok || !s.literal("}") {
			return false
		}
		if more = s.has(","); !more && !s.literal("]") {
			return false
		}
	}
	r.revsEnd = s.i - 1
	return s.end == fits
}

// rest reads what follows the revisions.
func (r *rowShape) rest(s *rowScan) bool {
	r.deleted = s.has(`,"deleted":true`)
	if s.has("}") {
		return true
	}
	if s.end != fits || !s.literal(`,"doc":`) || !s.value(1) {
		return false
	}
	return s.literal("}")
}

// change makes c the row b, of this shape.
func (r *rowShape) change(b []byte, c *Change) {
	c.Row, c.leaves = b, leavesAt{at: uint32(r.revsAt), end: uint32(r.revsEnd), deleted: r.deleted}
	if !r.hasSeq {
		c.ID = string(b[r.idAt:r.idEnd])
		return
	}
	// One string for both, as they are needed together.
	head := string(b[len(seqOpens):r.idEnd])
	c.Seq, c.ID = head[:r.seqEnd-len(seqOpens)], head[r.idAt-len(seqOpens):]
}

// leavesAt is what is known of the leaves in a row: where the revisions are, and whether the winner is deleted. Zero: nothing.
type leavesAt struct {
	at, end uint32
	deleted bool
}

func (l leavesAt) known() bool { return l.at > 0 }

// appendRevs appends the revisions in b, a part of a row from revsAt to revsEnd.
func appendRevs(dst [][]byte, b []byte) [][]byte {
	for len(b) > 0 {
		b = b[len(revOpens):]
		end := bytes.IndexByte(b, '"')
		dst = append(dst, b[:end])
		b = bytes.TrimPrefix(b[end+len(revCloses):], []byte(","))
	}
	return dst
}
