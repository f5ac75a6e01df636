package couch

import "bytes"

// rowParts is where things are in a row of _changes of the form CouchDB gives it:
//
//	{"seq":"3-g1AA","id":"a","changes":[{"rev":"2-b"},{"rev":"2-a"}],"deleted":true,"doc":{}}
//
// without white space, with plain strings, a sequence that may be null, and with deleted and doc or without. Zero: it is not
// known.
type rowParts struct {
	seqAt, seqEnd   uint32
	idAt, idEnd     uint32
	revsAt, revsEnd uint32 // what is between the brackets
	deleted         bool
}

func (r *rowParts) known() bool { return r.revsEnd > 0 }

const (
	seqOpens  = `{"seq":"`
	revOpens  = `{"rev":"`
	revCloses = `"}`
)

// readRow reads the row that b begins with, and its parts. A row of another form is read as well, and its parts are not known.
func readRow(b []byte, parts *rowParts) (n int, end reach) {
	*parts = rowParts{}
	s := rowScan{b: b}
	if parts.read(&s) {
		return s.i, fits
	}
	*parts = rowParts{}
	if s.end == short {
		return 0, short
	}
	s = rowScan{b: b}
	s.value(0)
	return s.i, s.end
}

func (r *rowParts) read(s *rowScan) bool {
	switch {
	case s.has(seqOpens):
		r.seqAt = uint32(s.i)
		end, ok := s.plain()
		if r.seqEnd = uint32(end); !ok {
			return false
		}
	case s.end != fits || !s.literal(`{"seq":null`):
		return false
	}
	if !s.literal(`,"id":"`) {
		return false
	}
	r.idAt = uint32(s.i)
	end, ok := s.plain()
	if r.idEnd = uint32(end); !ok {
		return false
	}
	return s.literal(`,"changes":[`) && r.revs(s) && r.rest(s)
}

// revs reads the revisions and the bracket that closes them.
func (r *rowParts) revs(s *rowScan) bool {
	r.revsAt = uint32(s.i)
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
	r.revsEnd = uint32(s.i - 1)
	return s.end == fits
}

// rest reads what follows the revisions.
func (r *rowParts) rest(s *rowScan) bool {
	r.deleted = s.has(`,"deleted":true`)
	if s.has("}") {
		return true
	}
	return s.end == fits && s.literal(`,"doc":`) && s.value(1) && s.literal("}")
}

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
