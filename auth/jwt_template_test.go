package auth

import (
	"strings"
	"testing"
)

func TestNameTemplate(t *testing.T) {
	t.Parallel()
	c := tokenClaims{map[string]any{"sub": "Al/ice", "tenant": "acme", "a": map[string]any{"b": "c"}, "n": 1.0}}
	for _, tt := range []struct{ text, want, fault string }{
		{"todos", "todos", ""},
		{"a/b", "a/b", ""},
		{"userdb-{hex sub}", "userdb-416c2f696365", ""},
		{"{claim tenant}-todos", "acme-todos", ""},
		{"{claim a.b}-x", "c-x", ""},
		{"{name}", "asked", ""},
		{"{claim tenant}/{name}", "acme/asked", ""},
		{"x-{hex tenant}-{name}", "x-61636d65-asked", ""},
		{"{name}-{hex tenant}", "asked-61636d65", ""},
		{"{claim tenant}-/{name}", "acme-/asked", ""}, // told apart from the right
		{"x{hex tenant}/{claim tenant}/{name}", "x61636d65/acme/asked", ""},

		{"", "", "must not be empty"},
		{"{", "", "a { without a }"},
		{"x-{claim sub", "", "a { without a }"},
		{"x-{claim {claim sub}}", "", "{claim {claim sub} is not known"},
		{"x-}", "", "contains '}'"},
		{"{}", "", "{} is not known"},
		{"{sub}", "", "{sub} is not known"},
		{"{claim}", "", "{claim} is not known"},
		{"{claim }", "", "{claim } is not known"},
		{"{hex a b}", "", "is not known"},
		{"{Name}", "", "is not known"},
		{"Todos", "", "contains 'T'"},
		{"todos.{name}", "", "contains '.'"},
		{"todos%2f{name}", "", "contains '%'"},
		{"_users", "", "begins with '_'"},
		{"_{claim tenant}", "", "begins with '_'"},
		{"/{name}", "", "begins with '/'"},
		{"1{name}", "", "begins with '1'"},
		{"{hex sub}", "", "begins with {hex C}"},
		{"{claim tenant}{name}", "", "run into each other"},
		{"{claim tenant}-{name}", "", "run into each other"},
		{"x{hex sub}a{hex sub}", "", "run into each other"},
		{"{name}-{hex sub}-{name}", "", "run into each other"}, // either pair alone could be told apart
	} {
		parsed, err := parseNameTemplate(tt.text)
		if tt.fault != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("%q: %v; want an error that says %q", tt.text, err, tt.fault)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if got, err := parsed.expand(c, "asked"); err != nil || got != tt.want {
			t.Errorf("%q: %q, %v; want %q", tt.text, got, err, tt.want)
		}
	}
}

// FuzzNameTemplate looks for a template that is accepted and makes a name that is none, lets a claim leave its place, or
// makes the same name of different claims.
func FuzzNameTemplate(f *testing.F) {
	for _, text := range []string{"todos", "userdb-{hex sub}", "{claim tenant}-todos", "{claim tenant}/{name}", "{name}-{hex sub}", "x{hex sub}-{name}", "{claim sub}-{name}", "{", "{sub}"} {
		f.Add(text, "alice", "acme", "todos", "bob", "acme-x", "y")
	}
	f.Add("{claim tenant}-/{name}", "", "a", "b", "", "a-", "b")
	f.Fuzz(func(t *testing.T, text, sub, tenant, asked, sub2, tenant2, asked2 string) {
		parsed, err := parseNameTemplate(text)
		if err != nil {
			return
		}
		name, err := parsed.expand(tokenClaims{map[string]any{"sub": sub, "tenant": tenant}}, asked)
		if err != nil {
			return
		}
		if err := checkLiteral(name); err != nil {
			t.Errorf("%q makes %q: %v", text, name, err)
		}
		if got, want := strings.Count(name, "/"), strings.Count(parsed.literals(), "/"); got != want {
			t.Errorf("%q makes %q: %d slashes, %d of them the template's", text, name, got, want)
		}
		other, err := parsed.expand(tokenClaims{map[string]any{"sub": sub2, "tenant": tenant2}}, asked2)
		if err != nil || other != name {
			return
		}
		for _, p := range parsed {
			if p.kind == askedPart && asked != asked2 || p.kind >= claimPart && (p.text == "sub" && sub != sub2 || p.text == "tenant" && tenant != tenant2) {
				t.Errorf("%q makes %q of different claims: (%q, %q, %q) and (%q, %q, %q)", text, name, sub, tenant, asked, sub2, tenant2, asked2)
			}
		}
	})
}

// literals is the text of a template without its places.
func (t nameTemplate) literals() (text string) {
	for _, p := range t {
		if p.kind == literalPart {
			text += p.text
		}
	}
	return text
}
