package auth

import (
	"regexp"
	"strings"
	"testing"
)

func TestParsePattern(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{ // part of the fault; empty: none
		"todos":      "",
		"todos-*":    "",
		"*":          "",
		"*-todos":    "",
		"a/*/b":      "",
		"a+b(c)$_1-": "",
		"_users":     "",
		"":           "must not be empty",
		"a*b*":       "more than one *",
		"**":         "more than one *",
		"Todos":      "'T'",
		"a.b":        "'.'",
		"../a":       "'.'",
		"a%2fb":      "'%'",
		"a b":        "' '",
		"todö":       "contains",
		"a\x00":      `'\x00'`,
		"_*":         "named in full",
		"_users*":    "named in full",
	} {
		_, err := parsePattern(text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("parsePattern(%q) = %v, want %q", text, err, want)
		}
	}
}

func TestPatternMatch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, name string
		stem          string
		ok            bool
	}{
		{"todos", "todos", "", true},
		{"todos", "todos2", "", false},
		{"todos", "Todos", "", false},
		{"todos", "", "", false},
		{"todos-*", "todos-alice", "alice", true},
		{"todos-*", "todos-", "", false},
		{"todos-*", "todos", "", false},
		{"todos-*", "todos-a/b", "", false},
		{"todos-*", "todos-..", "", false},
		{"todos-*", "todos-../_users", "", false},
		{"todos-*", "todos-%2f", "", false},
		{"todos-*", "todos-ALICE", "", false},
		{"todos-*", "todos-a\x00", "", false},
		{"todos-*", "todos-ä", "", false},
		{"todos-*", "todos-*", "", false},
		{"todos-*", "x-todos-a", "", false},
		{"todos-*", "todos-" + strings.Repeat("a", 300), strings.Repeat("a", 300), true}, // too long for CouchDB, which is couch's to say
		{"a/*/b", "a/x/b", "x", true},
		{"a/*/b", "a/x/y/b", "", false},
		{"aba*aba", "aba", "", false}, // prefix and suffix must not overlap
		{"aba*aba", "ababa", "", false},
		{"aba*aba", "abaaba", "", false},
		{"aba*aba", "abaxaba", "x", true},
		{"*", "anything", "anything", true},
		{"*", "", "", false},
	} {
		p, err := parsePattern(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if stem, ok := p.match(tt.name); stem != tt.stem || ok != tt.ok {
			t.Errorf("%q matches %q: %q, %t; want %q, %t", tt.pattern, tt.name, stem, ok, tt.stem, tt.ok)
		}
	}
}

// The matcher agrees with a regular expression made from the pattern, and expanding with the stem gives the name back.
func FuzzPatternMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{"todos-*", "todos-alice"}, {"todos", "todos"}, {"*", "_users"}, {"a*a", "a"}, {"a/*", "a/b/c"}, {"*-x", "../-x"}, {"x*", "x%2f"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		p, err := parsePattern(text)
		if err != nil {
			return
		}
		want := regexp.MustCompile(`\A` + strings.Replace(regexp.QuoteMeta(text), `\*`, `([a-z0-9_$()+-]+)`, 1) + `\z`)
		stem, ok := p.match(name)
		if ok != want.MatchString(name) {
			t.Fatalf("%q matches %q: %t, the regular expression %s disagrees", text, name, ok, want)
		}
		if ok && p.expand(stem) != name {
			t.Fatalf("%q expanded with %q is %q, want %q", text, stem, p.expand(stem), name)
		}
	})
}
