package couch

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// reach is how far a rowScan came.
type reach uint8

const (
	fits  reach = iota // it has read what it looked for
	short              // the bytes end too early
	odd                // it is something else, or no JSON at all: the decoder will tell
)

// deepest is how far values may be nested. What is nested deeper is odd.
const deepest = 200

// rowScan reads JSON that is in memory, once and without copying. It takes nothing for JSON that is not; what it takes for odd
// may well be. The first thing that does not fit ends the scan, and makes all that follows fail as well.
type rowScan struct {
	b   []byte
	i   int // what is read of b
	end reach
}

func (s *rowScan) fail(o reach) bool {
	if s.end == fits {
		s.end = o
	}
	return false
}

// literal reads text.
func (s *rowScan) literal(text string) bool { return s.has(text) || s.fail(odd) }

// has reads text if that is what follows. If it might become that, the scan is short.
func (s *rowScan) has(text string) bool {
	rest := s.b[s.i:]
	if len(rest) < len(text) {
		if string(rest) == text[:len(rest)] {
			s.fail(short)
		}
		return false
	}
	if string(rest[:len(text)]) != text {
		return false
	}
	s.i += len(text)
	return true
}

// plain reads the rest of a string whose text is its bytes, without escapes, up to behind the quote, and returns where it ended.
func (s *rowScan) plain() (end int, ok bool) {
	from := s.i
	c, ascii := s.run()
	if c != '"' {
		if c == 0 {
			return 0, s.fail(short)
		}
		return 0, s.fail(odd)
	}
	if !ascii && !utf8.Valid(s.b[from:s.i]) {
		return 0, s.fail(odd)
	}
	s.i++
	return s.i - 1, true
}

// run moves to the next quote, backslash or control character and returns it: 1 for any of the latter, 0 at the end of the
// bytes. It tells whether all before that was ASCII.
func (s *rowScan) run() (c byte, ascii bool) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	b, i, high := s.b, s.i, uint64(0)
	for ; len(b)-i >= 8; i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, slash := x^(ones*'"'), x^(ones*'\\')
		// Of these the lowest bit set is exact: bytes that are a quote, a backslash, below a space.
		hit := ((quote-ones)&^quote | (slash-ones)&^slash | (x-ones*' ')&^x) & tops
		if hit != 0 {
			n := bits.TrailingZeros64(hit)
			high |= x & (1<<n - 1)
			i += n / 8
			break
		}
		high |= x
	}
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"' || c == '\\':
			s.i = i
			return c, high&tops == 0
		case c < ' ':
			s.i = i
			return 1, high&tops == 0
		default:
			high |= uint64(c)
		}
	}
	s.i = i
	return 0, high&tops == 0
}

// value reads any value, white space around its parts included.
func (s *rowScan) value(depth int) bool {
	s.space()
	if s.i == len(s.b) {
		return s.fail(short)
	}
	switch c := s.b[s.i]; {
	case c == '"':
		s.i++
		return s.text()
	case c == '{':
		return s.list(depth, '}')
	case c == '[':
		return s.list(depth, ']')
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	}
	return s.number()
}

func (s *rowScan) space() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\n' || s.b[s.i] == '\r' || s.b[s.i] == '\t') {
		s.i++
	}
}

// next skips white space and reads one byte; 0: there is none.
func (s *rowScan) next() byte {
	s.space()
	if s.i == len(s.b) {
		s.fail(short)
		return 0
	}
	s.i++
	return s.b[s.i-1]
}

// list reads an object or an array, from its brace or bracket on.
func (s *rowScan) list(depth int, closing byte) bool {
	if depth == deepest {
		return s.fail(odd)
	}
	s.i++
	if s.space(); s.i < len(s.b) && s.b[s.i] == closing {
		s.i++
		return true
	}
	for {
		if closing == '}' && !s.name() || !s.value(depth+1) {
			return false
		}
		switch s.next() {
		case ',':
		case closing:
			return true
		default:
			return s.fail(odd)
		}
	}
}

// name reads the name of a member and its colon.
func (s *rowScan) name() bool {
	if s.next() != '"' {
		return s.fail(odd)
	}
	return s.text() && (s.next() == ':' || s.fail(odd))
}

// text reads the rest of any string.
func (s *rowScan) text() bool {
	for {
		switch c, _ := s.run(); c {
		case '"':
			s.i++
			return true
		case '\\':
			s.i++
			if !s.escape() {
				return false
			}
		case 0:
			return s.fail(short)
		default:
			return s.fail(odd)
		}
	}
}

// escape reads what follows a backslash.
func (s *rowScan) escape() bool {
	if s.i == len(s.b) {
		return s.fail(short)
	}
	c := s.b[s.i]
	s.i++
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		for range 4 {
			if s.i == len(s.b) {
				return s.fail(short)
			}
			if !isHex(s.b[s.i]) {
				return s.fail(odd)
			}
			s.i++
		}
		return true
	}
	return s.fail(odd)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// number reads a number. One at the end of the bytes may go on.
func (s *rowScan) number() bool {
	s.one('-', '-')
	if !s.one('0', '0') && !s.digits() {
		return false
	}
	if s.one('.', '.') && !s.digits() {
		return false
	}
	if s.one('e', 'E') {
		s.one('+', '-')
		if !s.digits() {
			return false
		}
	}
	return s.i < len(s.b) || s.fail(short)
}

// one reads a or b.
func (s *rowScan) one(a, b byte) bool {
	if s.i < len(s.b) && (s.b[s.i] == a || s.b[s.i] == b) {
		s.i++
		return true
	}
	return false
}

// digits reads one or more.
func (s *rowScan) digits() bool {
	from := s.i
	for s.i < len(s.b) && '0' <= s.b[s.i] && s.b[s.i] <= '9' {
		s.i++
	}
	switch {
	case s.i > from:
		return true
	case s.i == len(s.b):
		return s.fail(short)
	}
	return s.fail(odd)
}
