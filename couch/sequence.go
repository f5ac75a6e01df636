package couch

import "github.com/go-json-experiment/json/jsontext"

// Sequence turns the JSON value of a sequence, as a row or a client carries it, into the text for ChangesOptions.Since: a
// string as it is, a number or the array of a BigCouch as their JSON text, null and nothing as "" (from the start). Anything
// else is a 400 *Error. Sequences are opaque: they are never compared nor made up.
func Sequence(v jsontext.Value) (string, error) {
	switch v.Kind() {
	case '"', 'n', '0':
		return text(v), nil
	case '[':
		if v.IsValid() {
			return string(v), nil
		}
	case 0:
		if len(v) == 0 {
			return "", nil
		}
	}
	return "", invalid("sequence", "bad_request", "Malformed sequence: it must be a string or a number.")
}
