package main

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v10"
)

// variable is one field of Config, by its tags.
type variable struct {
	reflect.StructField
	env.FieldParams
	DevDefault string
	Help       string
	OneOf      []string // empty: anything
	Min        string   // empty: anything
	Secret     bool
	Policy     string // the policy that the variable is for; empty: it is for all
}

// variables are all variables in the order of Config.
func variables() []variable {
	params, err := env.GetFieldParamsWithOptions(&Config{}, env.Options{Environment: map[string]string{}, Prefix: prefix})
	if err != nil {
		panic("the tags of Config are wrong: " + err.Error())
	}
	all := make([]variable, len(params))
	for i, field := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		all[i] = variable{
			StructField: field,
			FieldParams: params[i],
			DevDefault:  field.Tag.Get("dev"),
			Help:        field.Tag.Get("help"),
			OneOf:       strings.Fields(field.Tag.Get("oneof")),
			Min:         field.Tag.Get("min"),
			Policy:      field.Tag.Get("policy"),
			Secret:      field.Tag.Get("secret") == "true",
		}
	}
	return all
}

// kind says in words what the variable's text must be.
func (v variable) kind() string {
	if v.Type == reflect.TypeFor[time.Duration]() {
		return "a duration like 500ms, 25s or 1m30s"
	}
	if v.Type.Kind() == reflect.Bool {
		return "true or false"
	}
	return "a whole number"
}

// check holds a value against oneof and min.
func (v variable) check(value reflect.Value, f *faults) {
	for _, text := range v.texts(value) {
		if len(v.OneOf) > 0 && !slices.Contains(v.OneOf, text) {
			f.add(v.OwnKey, "is %s; it must be %s", v.show(text), alternatives(v.OneOf))
		}
	}
	if v.Min == "" {
		return
	}
	if d, ok := value.Interface().(time.Duration); ok {
		if least, _ := time.ParseDuration(v.Min); d < least {
			f.add(v.OwnKey, "is %s; it must be at least %s", d, v.Min)
		}
	} else if least, _ := strconv.ParseInt(v.Min, 10, 64); !atLeast(value, least) {
		f.add(v.OwnKey, "is %v; it must be at least %s", value, v.Min)
	}
}

func atLeast(value reflect.Value, least int64) bool {
	if value.CanUint() {
		return value.Uint() >= uint64(least)
	}
	return value.Int() >= least
}

// texts are the texts of a value: one if it is set, or those of a list, from which white space around them is taken.
func (v variable) texts(value reflect.Value) []string {
	list, ok := value.Interface().([]string)
	if !ok && value.String() != "" {
		return []string{value.String()}
	}
	for i, text := range list {
		list[i] = strings.TrimSpace(text)
	}
	return list
}

// show quotes a value unless it is secret.
func (v variable) show(value string) string {
	if v.Secret {
		return "(not shown)"
	}
	return strconv.Quote(value)
}

// alternatives joins at least two values to "a, b or c".
func alternatives(values []string) string {
	last := len(values) - 1
	return strings.Join(values[:last], ", ") + " or " + values[last]
}
