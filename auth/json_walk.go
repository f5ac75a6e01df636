package auth

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// jsonWalk walks a JSON document strictly and goes on after a fault, so that all of them can be reported at once.
// Places are paths like tokens[1].databases[0].match.
type jsonWalk struct {
	faults []Fault
	faulty map[string]bool // the places of faults
}

// members maps the names that an object may have to what reads the value.
type members map[string]func(place string, v jsontext.Value)

// duplicates lets the walk see a member given twice, and report it like any other fault.
var duplicates = jsontext.AllowDuplicateNames(true)

// fault reports a problem, unless one was reported of the same place: what follows from a fault is none of its own.
func (w *jsonWalk) fault(place, problem string) {
	if place == "" {
		place = "file"
	}
	if w.faulty[place] {
		return
	}
	if w.faulty == nil {
		w.faulty = map[string]bool{}
	}
	w.faulty[place] = true
	w.faults = append(w.faults, Fault{place, problem})
}

// document is the one JSON value that file must be.
func (w *jsonWalk) document(file []byte) (jsontext.Value, bool) {
	d := jsontext.NewDecoder(bytes.NewReader(file), duplicates)
	v, err := d.ReadValue()
	if err == nil {
		v = v.Clone()
		if _, err = d.ReadToken(); err == io.EOF {
			return v, true
		} else if err == nil {
			err = errors.New("more text after the JSON value")
		}
	}
	if len(bytes.TrimSpace(file)) == 0 {
		err = errors.New("the file is empty")
	}
	offset := d.InputOffset()
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		offset, err = syntax.ByteOffset, syntax.Err
	}
	w.fault(position(file, offset), "not JSON: "+err.Error())
	return nil, false
}

// position says where an offset is, for an editor.
func position(file []byte, offset int64) string {
	before := file[:min(offset, int64(len(file)))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Sprintf("line %d, column %d", line, column)
}

// object reads v with known, and returns the names it has; nil if it is no object.
func (w *jsonWalk) object(place string, v jsontext.Value, known members) map[string]bool {
	if !w.kind(place, v, jsontext.KindBeginObject) {
		return nil
	}
	given := map[string]bool{}
	for d := inside(v); d.PeekKind() != jsontext.KindEndObject; {
		token, _ := d.ReadToken() // the document is valid JSON: no error can come
		name := token.String()
		content, _ := d.ReadValue()
		at := strings.TrimPrefix(place+"."+name, ".")
		switch read, ok := known[name]; {
		case !ok:
			w.fault(fmt.Sprintf("%s[%q]", place, name), "unknown member; known: "+strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case given[name]:
			w.fault(at, "is given twice")
		default:
			read(at, content.Clone())
		}
		given[name] = true
	}
	return given
}

// array reads every element of v with element. An empty array is a fault.
func (w *jsonWalk) array(place string, v jsontext.Value, element func(string, jsontext.Value)) {
	if !w.kind(place, v, jsontext.KindBeginArray) {
		return
	}
	n := 0
	for d := inside(v); d.PeekKind() != jsontext.KindEndArray; n++ {
		content, _ := d.ReadValue()
		element(fmt.Sprintf("%s[%d]", place, n), content.Clone())
	}
	if n == 0 {
		w.fault(place, "must not be empty")
	}
}

// text returns a reader of a string.
func (w *jsonWalk) text(into *string) func(string, jsontext.Value) {
	return func(place string, v jsontext.Value) {
		if w.kind(place, v, jsontext.KindString) {
			token, _ := jsontext.NewDecoder(bytes.NewReader(v)).ReadToken()
			*into = token.String()
		}
	}
}

// boolean returns a reader of true or false.
func (w *jsonWalk) boolean(into *bool) func(string, jsontext.Value) {
	return func(place string, v jsontext.Value) {
		*into = v.Kind() == jsontext.KindTrue
		if !*into && v.Kind() != jsontext.KindFalse {
			w.fault(place, "must be true or false, is "+kindNames[v.Kind()])
		}
	}
}

func (w *jsonWalk) kind(place string, v jsontext.Value, want jsontext.Kind) bool {
	if v.Kind() == want {
		return true
	}
	w.fault(place, fmt.Sprintf("must be %s, is %s", kindNames[want], kindNames[v.Kind()]))
	return false
}

// inside returns a decoder that stands after the opening brace or bracket of v.
func inside(v jsontext.Value) *jsontext.Decoder {
	d := jsontext.NewDecoder(bytes.NewReader(v), duplicates)
	_, _ = d.ReadToken()
	return d
}

// kindNames are the words of a fault.
var kindNames = map[jsontext.Kind]string{
	jsontext.KindNull:        "null",
	jsontext.KindTrue:        "true",
	jsontext.KindFalse:       "false",
	jsontext.KindString:      "a string",
	jsontext.KindNumber:      "a number",
	jsontext.KindBeginObject: "an object",
	jsontext.KindBeginArray:  "an array",
}
