package couch

import (
	"bytes"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

type value = jsontext.Value

// newDecoder reads documents as CouchDB stores them: duplicate names pass (checking for them would cost memory as well), and
// so does text that is not UTF-8.
func newDecoder(r io.Reader) *jsontext.Decoder {
	return jsontext.NewDecoder(r, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// validObject reports whether v is exactly one JSON object, so that it can be put inside another text without changing the
// meaning of what surrounds it.
func validObject(v value) bool {
	return v.Kind() == '{' && v.IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// scanner finds members of JSON objects that are already in memory. It is reused from row to row.
type scanner struct {
	buf  bytes.Buffer
	dec  jsontext.Decoder
	name []byte
}

// each calls visit for the members of the object v, in order, until visit returns false. Values are parts of v.
func (s *scanner) each(v value, visit func(name []byte, v value) (more bool)) error {
	s.buf = *bytes.NewBuffer(v)
	s.dec.Reset(&s.buf, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if t, err := s.dec.ReadToken(); err != nil {
		return err
	} else if t.Kind() != '{' {
		return errMalformed
	}
	return members(&s.dec, &s.name, visit)
}

// members reads the rest of an object whose brace was read. scratch is room for the names, which are valid during the visit.
func members(dec *jsontext.Decoder, scratch *[]byte, visit func(name []byte, v value) (more bool)) error {
	for dec.PeekKind() != '}' {
		name, err := memberName(dec, (*scratch)[:0])
		if err != nil {
			return err
		}
		*scratch = name
		v, err := dec.ReadValue()
		if err != nil {
			return err
		}
		if !visit(name, v) {
			return nil
		}
	}
	_, err := dec.ReadToken()
	return err
}

// memberName reads the name of the next member and appends it to dst.
func memberName(dec *jsontext.Decoder, dst []byte) ([]byte, error) {
	v, err := dec.ReadValue()
	if err != nil {
		return nil, err
	}
	if v.Kind() != '"' {
		return nil, errMalformed
	}
	dst, _ = jsontext.AppendUnquote(dst, v)
	return dst, nil
}

// text is the string that v holds, "" for null, and the JSON text of anything else.
func text(v value) string {
	switch v.Kind() {
	case '"':
		if raw := v[1 : len(v)-1]; bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
			return string(raw)
		}
		b, _ := jsontext.AppendUnquote(nil, v)
		return string(b)
	case 'n':
		return ""
	}
	return string(v)
}

// integer is the whole number that v holds, or otherwise.
func integer(v value, otherwise int64) int64 {
	if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
		return n
	}
	return otherwise
}

// appendString appends s as a JSON string; bytes that are not UTF-8 become U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}

// appendStrings appends list as a JSON array.
func appendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	return append(dst, ']')
}
