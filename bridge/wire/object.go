package wire

import (
	"bytes"
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

// Valid tells whether b is one JSON value, as CouchDB and PouchDB write JSON:
// duplicate member names and lone surrogates are theirs to judge, not ours.
//
// What comes from outside is checked once, as a whole. The other functions of
// this package take JSON that is known to be valid and only find their way in
// it: a push of a batch is looked into five levels deep, and checking at each
// would cost five times as much.
func Valid(b []byte) bool {
	return jsontext.Value(b).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// ErrNotObject is returned where a JSON object was wanted.
var ErrNotObject = errors.New("not a JSON object")

// Member is one member of a JSON object, undecoded.
type Member struct {
	Name  []byte         // unescaped; valid until fn returns
	Key   jsontext.Value // the name as it stands in the text
	Value jsontext.Value
}

// Members calls fn for each member of obj in order, until fn fails. Values
// alias obj.
func Members(obj jsontext.Value, fn func(Member) error) error {
	s := scanner{text: obj}
	if !s.enter('{') {
		return ErrNotObject
	}
	for key := s.next(); key != nil; key = s.next() {
		m := Member{Name: unquote(key), Key: key, Value: s.next()}
		if err := fn(m); err != nil {
			return err
		}
	}
	return nil
}

// Items are the items of a JSON array, which they alias. Any other value has
// none.
func Items(array jsontext.Value) []jsontext.Value {
	s := scanner{text: array}
	if !s.enter('[') {
		return nil
	}
	var out []jsontext.Value
	for v := s.next(); v != nil; v = s.next() {
		out = append(out, v)
	}
	return out
}

// HasMember tells whether a JSON object has a member. No object has none.
func HasMember(obj jsontext.Value, name string) bool {
	if !bytes.Contains(obj, []byte(name)) { // far quicker, and CouchDB writes its own members plainly
		return false
	}
	found := false
	_ = Members(obj, func(m Member) error {
		found = found || string(m.Name) == name
		return nil
	})
	return found
}

// scanner walks the values of one object or array of valid JSON.
type scanner struct {
	text []byte
	pos  int
}

// enter passes over the opening bracket.
func (s *scanner) enter(bracket byte) bool {
	s.skipTo()
	if s.pos < len(s.text) && s.text[s.pos] == bracket {
		s.pos++
		return true
	}
	return false
}

// next is the next value, the names of members included, or nil at the end.
func (s *scanner) next() jsontext.Value {
	s.skipTo()
	if s.pos >= len(s.text) || s.text[s.pos] == '}' || s.text[s.pos] == ']' {
		return nil
	}
	start := s.pos
	s.pos = valueEnd(s.text, start)
	return s.text[start:s.pos:s.pos]
}

// skipTo passes over white space and separators.
func (s *scanner) skipTo() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\r', '\n', ',', ':':
			s.pos++
		default:
			return
		}
	}
}

// valueEnd is the index after the value that begins at i.
func valueEnd(b []byte, i int) int {
	switch b[i] {
	case '"':
		return stringEnd(b, i)
	case '{', '[':
		return nestedEnd(b, i)
	}
	for i++; i < len(b); i++ {
		switch b[i] {
		case ',', ':', '}', ']', ' ', '\t', '\r', '\n':
			return i
		}
	}
	return i
}

func nestedEnd(b []byte, i int) int {
	for depth := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = stringEnd(b, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(b)
}

func stringEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		quote := bytes.IndexByte(b[i:], '"')
		if quote < 0 {
			break
		}
		i += quote
		escapes := 0
		for b[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
	return len(b)
}

// Text is the content of a JSON string, or "" for any other value.
func Text(v jsontext.Value) string {
	if v.Kind() != '"' {
		return ""
	}
	return string(unquote(v))
}

func unquote(s jsontext.Value) []byte {
	if bytes.IndexByte(s, '\\') < 0 {
		return bytes.Trim(s, `"`)
	}
	out, _ := jsontext.AppendUnquote(nil, []byte(s)) // bad surrogates become U+FFFD
	return out
}

// AppendString appends s as a JSON string.
func AppendString(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s) // bad UTF-8 becomes U+FFFD
	return dst
}

// AppendMember appends a member, and a comma before it unless it is the first
// of its object.
func AppendMember(dst []byte, key, value jsontext.Value) []byte {
	if n := len(dst); n > 0 && dst[n-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, key...)
	dst = append(dst, ':')
	return append(dst, value...)
}
