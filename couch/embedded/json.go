package embedded

import (
	"bytes"
	"errors"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// compactJSON checks that raw is one JSON value in UTF-8 and drops the white space between its tokens, in place. Names
// may repeat. Number and string texts stay as they are.
func compactJSON(raw []byte) (jsontext.Value, error) {
	v := jsontext.Value(raw)
	if err := v.Compact(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(false)); err != nil {
		return nil, errJSON
	}
	return v, nil
}

func newDecoder(v jsontext.Value) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewReader(v), jsontext.AllowDuplicateNames(true))
}

// member is one name and value of an object. raw is both with the colon, as they stood; name is unescaped.
type member struct {
	name  string
	raw   []byte
	value jsontext.Value
}

// members calls visit for each member of a compact object until visit fails.
// The slices point into v. It reports errNotObject for any other value.
func members(v jsontext.Value, visit func(member) error) error {
	if v.Kind() != '{' {
		return errNotObject
	}
	dec := newDecoder(v)
	if _, err := dec.ReadToken(); err != nil {
		return errJSON
	}
	for dec.PeekKind() != '}' {
		quoted, err := dec.ReadValue()
		if err != nil {
			return errJSON
		}
		end := int(dec.InputOffset())
		start := end - len(quoted)
		name, err := jsontext.AppendUnquote(nil, quoted)
		if err != nil {
			return errJSON
		}
		value, err := dec.ReadValue()
		if err != nil {
			return errJSON
		}
		last := int(dec.InputOffset())
		if err := visit(member{string(name), v[start:last], v[last-len(value) : last]}); err != nil {
			return err
		}
	}
	return nil
}

// elements calls visit for each element of a compact array until visit fails. ok is false for any other value.
func elements(v jsontext.Value, visit func(jsontext.Value) error) (ok bool, err error) {
	if v.Kind() != '[' {
		return false, nil
	}
	dec := newDecoder(v)
	if _, err := dec.ReadToken(); err != nil {
		return true, errJSON
	}
	for dec.PeekKind() != ']' {
		value, err := dec.ReadValue()
		if err != nil {
			return true, errJSON
		}
		last := int(dec.InputOffset())
		if err := visit(v[last-len(value) : last]); err != nil {
			return true, err
		}
	}
	return true, nil
}

// field returns the last member of that name, nil if there is none or v is no object.
func field(v jsontext.Value, name string) jsontext.Value {
	var out jsontext.Value
	_ = members(v, func(m member) error {
		if m.name == name {
			out = m.value
		}
		return nil
	})
	return out
}

// stringValue unquotes a JSON string. ok is false for any other value.
func stringValue(v jsontext.Value) (s string, ok bool) {
	if v.Kind() != '"' {
		return "", false
	}
	b, err := jsontext.AppendUnquote(nil, v)
	return string(b), err == nil
}

// integerValue reads a JSON number without fraction or exponent.
func integerValue(v jsontext.Value) (n int64, ok bool) {
	n, err := strconv.ParseInt(string(v), 10, 64)
	return n, v.Kind() == '0' && err == nil
}

func isTrue(v jsontext.Value) bool { return v.Kind() == 't' }

// stringList reads an array of strings. ok is false for anything else.
func stringList(v jsontext.Value) (list []string, ok bool) {
	errType := errors.New("not a string")
	isArray, err := elements(v, func(e jsontext.Value) error {
		s, ok := stringValue(e)
		if !ok {
			return errType
		}
		list = append(list, s)
		return nil
	})
	return list, isArray && err == nil
}

// appendString adds s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendString(dst []byte, s string) []byte {
	out, _ := jsontext.AppendQuote(dst, s) // the error only reports invalid UTF-8, the output is complete
	return out
}

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

// readLimited reads all of r, failing with tooLarge beyond limit bytes.
func readLimited(r io.Reader, limit int64, tooLarge error) ([]byte, error) {
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, tooLarge
	}
	return b.Bytes(), nil
}
