package embedded

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Selectors are Mango's (https://docs.couchdb.org/en/stable/api/database/find.html#selector-syntax), read as
// mango_selector.erl reads them: negations move to the operators, and a condition on a field that is not there is
// false, but for $exists. $regex takes Go's syntax (RE2), CouchDB's takes PCRE.

// condition tests a value.
type condition func(value any) bool

func badArgument(op string, arg any) *failure {
	return badRequest("Bad argument for operator " + op + ": " + describeMango(arg))
}

// parseSelector compiles a selector.
func parseSelector(raw jsontext.Value) (condition, error) {
	if raw.Kind() != '{' {
		return nil, badRequest("Selector error: expected a JSON object")
	}
	value, err := parseMangoValue(raw)
	if err != nil {
		return nil, err
	}
	c := compiler{collator: newCollator()}
	return c.object(value.(mangoObject), nil, false)
}

// compiler turns selectors into conditions. path is the field a part applies to; negated that it stands under an odd
// number of negations.
type compiler struct{ collator *collator }

func (c compiler) part(v any, path []string, negated bool) (condition, error) {
	if o, ok := v.(mangoObject); ok && len(o) > 0 {
		return c.object(o, path, negated)
	}
	return c.terminal("$eq", v, path, negated)
}

func (c compiler) object(o mangoObject, path []string, negated bool) (condition, error) {
	conditions := make([]condition, 0, len(o))
	for _, m := range o {
		cond, err := c.member(m, path, negated)
		if err != nil {
			return nil, err
		}
		conditions = append(conditions, cond)
	}
	return join(conditions, !negated), nil
}

// join is true if all conditions are, or any. None at all are always true.
func join(conditions []condition, all bool) condition {
	if len(conditions) == 1 {
		return conditions[0]
	}
	return func(v any) bool {
		for _, c := range conditions {
			if c(v) != all {
				return !all
			}
		}
		return all || len(conditions) == 0
	}
}

func (c compiler) member(m mangoMember, path []string, negated bool) (condition, error) {
	switch m.name {
	case "$and":
		return c.list(m, path, negated, !negated)
	case "$or":
		return c.list(m, path, negated, negated)
	case "$nor":
		return c.list(m, path, !negated, !negated)
	case "$not":
		if _, ok := m.value.(mangoObject); !ok {
			return nil, badArgument(m.name, m.value)
		}
		return c.part(m.value, path, !negated)
	}
	if strings.HasPrefix(m.name, "$") {
		return c.terminal(m.name, m.value, path, negated)
	}
	return c.part(m.value, append(path[:len(path):len(path)], splitField(m.name)...), negated)
}

func (c compiler) list(m mangoMember, path []string, negated, all bool) (condition, error) {
	list, ok := m.value.([]any)
	if !ok {
		return nil, badArgument(m.name, m.value)
	}
	var conditions []condition
	for _, item := range list {
		cond, err := c.part(item, path, negated)
		if err != nil {
			return nil, err
		}
		conditions = append(conditions, cond)
	}
	return join(conditions, all), nil
}

// splitField cuts a field name at its dots; a backslash makes a dot part of the name.
func splitField(name string) []string {
	var parts []string
	var part strings.Builder
	for i := 0; i < len(name); i++ {
		switch {
		case name[i] == '\\' && i+1 < len(name) && name[i+1] == '.':
			part.WriteByte('.')
			i++
		case name[i] == '.':
			parts = append(parts, part.String())
			part.Reset()
		default:
			part.WriteByte(name[i])
		}
	}
	return append(parts, part.String())
}

// terminal is an operator on the value of a field.
func (c compiler) terminal(op string, arg any, path []string, negated bool) (condition, error) {
	if op == "$exists" {
		want, ok := arg.(bool)
		if !ok {
			return nil, badArgument(op, arg)
		}
		want = want != negated
		return func(v any) bool {
			_, found := lookup(v, path)
			return found == want
		}, nil
	}
	test, err := c.operator(op, arg, len(path) == 1 && path[0] == "_id")
	if err != nil {
		return nil, err
	}
	return func(v any) bool {
		value, found := lookup(v, path)
		return found && test(value) != negated
	}, nil
}

func lookup(v any, path []string) (any, bool) {
	for _, name := range path {
		switch container := v.(type) {
		case mangoObject:
			found := false
			if v, found = container.get(name); !found {
				return nil, false
			}
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(container) {
				return nil, false
			}
			v = container[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// operator compiles a test of one value. raw strings compare by their bytes, as ids do.
func (c compiler) operator(op string, arg any, raw bool) (condition, error) {
	compare := c.collator.compare
	if raw {
		compare = compareRaw
	}
	switch op {
	case "$eq":
		return func(v any) bool { return compare(v, arg) == 0 }, nil
	case "$ne":
		return func(v any) bool { return compare(v, arg) != 0 }, nil
	case "$lt":
		return func(v any) bool { return compare(v, arg) < 0 }, nil
	case "$lte":
		return func(v any) bool { return compare(v, arg) <= 0 }, nil
	case "$gt":
		return func(v any) bool { return compare(v, arg) > 0 }, nil
	case "$gte":
		return func(v any) bool { return compare(v, arg) >= 0 }, nil
	case "$in", "$nin", "$all":
		return listOperator(op, arg, compare)
	case "$elemMatch", "$allMatch", "$keyMapMatch":
		return c.nested(op, arg)
	case "$type", "$regex", "$beginsWith":
		return stringOperator(op, arg)
	case "$size", "$mod":
		return numberOperator(op, arg)
	case "$where", "$geoWithin", "$geoIntersects", "$near", "$nearSphere", "$text":
		return nil, badRequest("Unsupported operator: " + op)
	}
	return nil, badRequest("Invalid operator: " + op)
}

func listOperator(op string, arg any, compare func(a, b any) int) (condition, error) {
	list, ok := arg.([]any)
	if !ok {
		return nil, badArgument(op, arg)
	}
	holds := func(values []any, want any) bool {
		for _, v := range values {
			if compare(v, want) == 0 {
				return true
			}
		}
		return false
	}
	if op == "$all" {
		return func(v any) bool {
			values, ok := v.([]any)
			for _, want := range list {
				ok = ok && holds(values, want)
			}
			whole := len(list) == 1 && compare(v, list[0]) == 0 // [[1,2]] also means the list [1,2] itself
			return len(list) > 0 && (ok || whole && values != nil)
		}, nil
	}
	return func(v any) bool {
		values, ok := v.([]any)
		if !ok {
			values = []any{v}
		}
		found := false
		for _, want := range list {
			found = found || holds(values, want)
		}
		return found == (op == "$in")
	}, nil
}

// nested compiles the operators whose argument is a selector for the parts of a value.
func (c compiler) nested(op string, arg any) (condition, error) {
	sub, ok := arg.(mangoObject)
	if !ok {
		return nil, badArgument(op, arg)
	}
	matches, err := c.object(sub, nil, false)
	if err != nil {
		return nil, err
	}
	switch op {
	case "$keyMapMatch":
		return func(v any) bool {
			o, _ := v.(mangoObject)
			for _, m := range o {
				if matches(m.name) {
					return true
				}
			}
			return false
		}, nil
	case "$allMatch":
		return func(v any) bool {
			list, _ := v.([]any)
			for _, item := range list {
				if !matches(item) {
					return false
				}
			}
			return len(list) > 0
		}, nil
	}
	return func(v any) bool {
		list, _ := v.([]any)
		for _, item := range list {
			if matches(item) {
				return true
			}
		}
		return false
	}, nil
}

func stringOperator(op string, arg any) (condition, error) {
	text, ok := arg.(string)
	if !ok {
		return nil, badArgument(op, arg)
	}
	switch op {
	case "$type":
		return func(v any) bool { return mangoType(v) == text }, nil
	case "$beginsWith":
		return func(v any) bool {
			s, ok := v.(string)
			return ok && strings.HasPrefix(s, text)
		}, nil
	}
	pattern, err := regexp.Compile(text)
	if err != nil {
		return nil, badArgument(op, arg)
	}
	return func(v any) bool {
		s, ok := v.(string)
		return ok && pattern.MatchString(s)
	}, nil
}

func numberOperator(op string, arg any) (condition, error) {
	if op == "$size" {
		size, ok := mangoInteger(arg)
		if !ok || size < 0 {
			return nil, badArgument(op, arg)
		}
		return func(v any) bool {
			list, ok := v.([]any)
			return ok && int64(len(list)) == size
		}, nil
	}
	pair, _ := arg.([]any)
	if len(pair) != 2 {
		return nil, badArgument(op, arg)
	}
	divisor, ok1 := mangoInteger(pair[0])
	remainder, ok2 := mangoInteger(pair[1])
	if !ok1 || !ok2 || divisor == 0 {
		return nil, badArgument(op, arg)
	}
	return func(v any) bool {
		n, ok := mangoInteger(v)
		return ok && n%divisor == remainder
	}, nil
}
