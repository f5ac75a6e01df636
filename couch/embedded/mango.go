package embedded

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/text/collate"
	"golang.org/x/text/language"
)

// Values as selectors see them: nil, bool, mangoNumber, string, []any and mangoObject.

// mangoNumber keeps the text of a number, so that large integers compare exactly.
type mangoNumber string

type mangoObject []mangoMember

type mangoMember struct {
	name  string
	value any
}

// get returns the last member of that name.
func (o mangoObject) get(name string) (any, bool) {
	for _, m := range slices.Backward(o) {
		if m.name == name {
			return m.value, true
		}
	}
	return nil, false
}

// parseMangoValue decodes compact JSON.
func parseMangoValue(v jsontext.Value) (any, error) {
	switch v.Kind() {
	case '{':
		out := mangoObject{}
		err := members(v, func(m member) error {
			value, err := parseMangoValue(m.value)
			out = append(out, mangoMember{m.name, value})
			return err
		})
		return out, err
	case '[':
		out := []any{}
		_, err := elements(v, func(e jsontext.Value) error {
			value, err := parseMangoValue(e)
			out = append(out, value)
			return err
		})
		return out, err
	case '"':
		s, _ := stringValue(v)
		return s, nil
	case '0':
		return mangoNumber(v), nil
	case 't', 'f':
		return v.Kind() == 't', nil
	default:
		return nil, nil
	}
}

func mangoType(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case mangoNumber:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	default:
		return "object"
	}
}

func mangoInteger(v any) (int64, bool) {
	n, ok := v.(mangoNumber)
	if !ok {
		return 0, false
	}
	i, err := strconv.ParseInt(string(n), 10, 64)
	return i, err == nil
}

// describeMango says what an argument was, without its content.
func describeMango(v any) string { return "a value of type " + mangoType(v) }

// collator orders values as CouchDB does: null, false, true, numbers, strings, arrays, objects. Strings are ordered by
// the Unicode Collation Algorithm, whose tables differ from those of CouchDB's ICU in rare characters. It serves one
// goroutine.
type collator struct{ strings *collate.Collator }

func newCollator() *collator { return &collator{collate.New(language.Und)} }

func (c *collator) compare(a, b any) int {
	return compareMango(a, b, c.strings.CompareString)
}

// compareRaw orders strings by their bytes.
func compareRaw(a, b any) int { return compareMango(a, b, strings.Compare) }

func mangoRank(v any) int {
	switch v := v.(type) {
	case nil:
		return 0
	case bool:
		if v {
			return 2
		}
		return 1
	case mangoNumber:
		return 3
	case string:
		return 4
	case []any:
		return 5
	default:
		return 6
	}
}

func compareMango(a, b any, text func(a, b string) int) int {
	if order := cmp.Compare(mangoRank(a), mangoRank(b)); order != 0 {
		return order
	}
	switch a := a.(type) {
	case mangoNumber:
		return compareNumbers(a, b.(mangoNumber))
	case string:
		return text(a, b.(string))
	case []any:
		return slices.CompareFunc(a, b.([]any), func(x, y any) int { return compareMango(x, y, text) })
	case mangoObject:
		return slices.CompareFunc(a, b.(mangoObject), func(x, y mangoMember) int {
			return cmp.Or(text(x.name, y.name), compareMango(x.value, y.value, text))
		})
	}
	return 0
}

func compareNumbers(a, b mangoNumber) int {
	x, okX := mangoInteger(a)
	y, okY := mangoInteger(b)
	if okX && okY {
		return cmp.Compare(x, y)
	}
	f, _ := strconv.ParseFloat(string(a), 64) // out of range: ±Inf, which orders rightly
	g, _ := strconv.ParseFloat(string(b), 64)
	return cmp.Compare(f, g)
}
