package couch

import "bytes"

const (
	// firstRead and largestRead are how much of an answer is read at a time, at least and at most.
	firstRead   = 4 << 10
	largestRead = 64 << 10
	// largeRow is from where on a row that has not come whole is left to the decoder, which does not begin anew with every read.
	largeRow = largestRead / 2
)

// rowBuffer is the part of an answer that is in memory, and the rows in it. The bytes of a row are valid until the next call.
type rowBuffer struct {
	listed bool     // rows are the elements of an array, otherwise values one after another
	parts  rowParts // of the last row
	rows   int
	comma  bool // that behind the last row is read

	buf    []byte
	at, to int  // buf[at:to] is not yet read
	full   bool // the last read filled buf
}

// next returns the next row. Short means that there is the beginning of a large one; odd, that there is something else, or
// nothing any more. What there is is then unread.
func (r *rowBuffer) next(s *stream) (row []byte, how reach) {
	for {
		how = r.begin()
		if how == fits {
			var n int
			if n, how = readRow(r.buf[r.at:r.to], &r.parts); how == fits {
				row = r.buf[r.at : r.at+n : r.at+n]
				r.passed(n)
				return row, fits
			}
			if how == short && r.to-r.at >= largeRow {
				return nil, short
			}
		}
		if how == odd || r.fill(s) != nil {
			return nil, odd
		}
	}
}

// begin moves to where the next row begins.
func (r *rowBuffer) begin() reach {
	if r.listed && r.rows > 0 && !r.comma {
		switch c := r.peek(); c {
		case 0:
			return short
		case ',':
			r.at++
			r.comma = true
		default:
			return odd
		}
	}
	switch r.peek() {
	case 0:
		return short
	case '{':
		return fits
	}
	return odd
}

// peek skips white space, and returns what follows; 0 at the end.
func (r *rowBuffer) peek() byte {
	s := rowScan{b: r.buf[:r.to], i: r.at}
	s.space()
	if r.at = s.i; r.at == r.to {
		return 0
	}
	return r.buf[r.at]
}

// passed moves on behind a row of n bytes.
func (r *rowBuffer) passed(n int) {
	r.at += n
	r.rows++
	r.comma = false
}

// fill reads more. It returns what reading failed with, if nothing came.
func (r *rowBuffer) fill(s *stream) error {
	r.to = copy(r.buf, r.buf[r.at:r.to])
	r.at = 0
	if size := len(r.buf); size < largestRead && (r.full || r.to == size) {
		r.buf = append(make([]byte, 0, max(2*size, firstRead)), r.buf...)
		r.buf = r.buf[:cap(r.buf)]
	}
	n, err := s.Read(r.buf[r.to:])
	r.to += n
	r.full = r.to == len(r.buf)
	if n > 0 {
		return nil
	}
	return err
}

// take makes b what is not yet read.
func (r *rowBuffer) take(b []byte) {
	if len(r.buf) < len(b) {
		r.buf = make([]byte, max(len(b), firstRead))
	}
	r.at, r.to = 0, copy(r.buf, b)
}

// unread is what is not yet read. It has no comma in front.
func (r *rowBuffer) unread() []byte { return bytes.Clone(r.buf[r.at:r.to]) }
