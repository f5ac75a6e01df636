package couch

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// envelope walks an answer of the form {"a":1,"rows":[row,row],"b":2} without holding more than a row of it.
type envelope struct {
	s     *stream
	dec   *jsontext.Decoder
	rows  string                     // name of the array
	other func(name []byte, v value) // called for the members around it
	state envelopeState
	name  []byte
}

type envelopeState int

const (
	beforeRows envelopeState = iota
	insideRows
	afterRows
)

func newEnvelope(s *stream, rows string, other func(name []byte, v value)) envelope {
	return envelope{s: s, dec: newDecoder(s), rows: rows, other: other}
}

// more reports whether the decoder stands in front of a row. io.EOF means that the whole answer was well formed and has ended.
func (e *envelope) more() error {
	if e.state == beforeRows {
		if err := e.open(); err != nil {
			return e.fail(err)
		}
	}
	if e.state == insideRows {
		switch e.dec.PeekKind() {
		case ']':
			if err := e.end(); err != nil {
				return e.fail(err)
			}
		case 0:
			_, err := e.dec.ReadToken()
			return e.fail(err)
		default:
			return nil
		}
	}
	return io.EOF
}

// open reads up to the first row.
func (e *envelope) open() error {
	if t, err := e.dec.ReadToken(); err != nil {
		return err
	} else if t.Kind() != '{' {
		return errMalformed
	}
	var failed struct{ name, reason string }
	for e.dec.PeekKind() != '}' {
		name, err := memberName(e.dec, e.name[:0])
		if err != nil {
			return err
		}
		e.name = name
		if string(name) == e.rows && e.dec.PeekKind() == '[' {
			_, err = e.dec.ReadToken()
			e.state = insideRows
			return err
		}
		v, err := e.dec.ReadValue()
		if err != nil {
			return err
		}
		switch string(name) {
		case "error":
			failed.name = text(v)
		case "reason":
			failed.reason = text(v)
		}
		e.other(name, v)
	}
	if _, err := e.dec.ReadToken(); err != nil {
		return err
	}
	if failed.name != "" {
		return e.s.answered(failed.name, failed.reason)
	}
	return errMalformed
}

// resume makes the envelope read on from r, which stands inside the rows: in front of the first, behind a row, or behind a row
// and its comma.
func (e *envelope) resume(r io.Reader, row, comma bool) {
	before, tokens := `{"":[`, 3
	if row {
		before, tokens = before+"null", 4
	}
	if comma {
		before += ","
	}
	e.dec = newDecoder(io.MultiReader(strings.NewReader(before), r))
	for range tokens {
		_, _ = e.dec.ReadToken() // is there
	}
}

// end reads from the bracket that closes the rows to the end of the answer.
func (e *envelope) end() error {
	if _, err := e.dec.ReadToken(); err != nil {
		return err
	}
	err := members(e.dec, &e.name, func(name []byte, v value) bool {
		e.other(name, v)
		return true
	})
	if err != nil {
		return err
	}
	e.state = afterRows
	return nil
}

// fail is the error of this package for one of the decoder's. Where CouchDB fails in the middle of an answer it breaks off and
// writes {"error":...,"reason":...} on a line of its own, which is no JSON in that place.
func (e *envelope) fail(err error) error { return streamFailure(e.s, e.dec, err) }

func streamFailure(s *stream, dec *jsontext.Decoder, err error) error {
	if s.err != nil && s.err != io.EOF {
		return s.err // without the decoder's words around it
	}
	if own, ok := err.(*Error); ok {
		return own
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return s.cut()
	}
	rest := append([]byte(nil), dec.UnreadBuffer()...)
	if len(rest) < maxErrorBody {
		more, _ := io.ReadAll(io.LimitReader(s, int64(maxErrorBody-len(rest))))
		rest = append(rest, more...)
	}
	rest = bytes.TrimLeft(rest, " \t\r\n,")
	if name, reason := errorBody(rest); name != "" && bytes.HasPrefix(rest, []byte(`{"error":`)) {
		return s.answered(name, reason)
	}
	if s.err != nil && s.err != io.EOF {
		return s.err
	}
	return &Error{Op: s.op, Err: errMalformed}
}

// answered is the error that CouchDB wrote into an answer begun with status 200.
func (s *stream) answered(name, reason string) *Error {
	return &Error{Op: s.op, Status: statusOf(name), Name: name, Reason: reason}
}
