package auth

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// nameTemplate makes a database's name of claims and the name asked for. See [JWTOptions.Database].
type nameTemplate []namePart

// namePart is a piece of a template.
type namePart struct {
	kind partKind
	text string // of a literal; else the name of the claim
}

type partKind uint8

const (
	literalPart partKind = iota
	askedPart            // {name}
	claimPart            // {claim C}
	hexPart              // {hex C}
)

// parseNameTemplate reads a template, or says what is wrong with it.
func parseNameTemplate(text string) (nameTemplate, error) {
	var t nameTemplate
	for rest := text; rest != ""; {
		literal, after, open := strings.Cut(rest, "{")
		if literal != "" {
			if err := checkLiteral(literal); err != nil {
				return nil, err
			}
			t = append(t, namePart{literalPart, literal})
		}
		if !open {
			break
		}
		place, next, closed := strings.Cut(after, "}")
		if !closed {
			return nil, fmt.Errorf("%q has a { without a }", text)
		}
		p, err := parsePlace(place)
		if err != nil {
			return nil, err
		}
		t, rest = append(t, p), next
	}
	return t, t.check()
}

// parsePlace reads what is between braces.
func parsePlace(text string) (namePart, error) {
	word, claim, _ := strings.Cut(text, " ")
	switch {
	case text == "name":
		return namePart{kind: askedPart}, nil
	case word == "claim" && isClaimName(claim):
		return namePart{claimPart, claim}, nil
	case word == "hex" && isClaimName(claim):
		return namePart{hexPart, claim}, nil
	default:
		return namePart{}, fmt.Errorf("{%s} is not known: there are {name}, {claim C} and {hex C}, where C is a claim like sub", text)
	}
}

func isClaimName(name string) bool { return name != "" && !strings.ContainsAny(name, " {") }

func checkLiteral(text string) error {
	for _, c := range []byte(text) {
		if !isNameByte(c) && c != '/' {
			return fmt.Errorf("%q contains %q: a database name has only a-z, 0-9 and _$()+-/", text, c)
		}
	}
	return nil
}

// check refuses a template whose names could never be good, or could be had in more than one way.
func (t nameTemplate) check() error {
	if len(t) == 0 {
		return errors.New("must not be empty")
	}
	if first := t[0]; first.kind == literalPart && (first.text[0] < 'a' || first.text[0] > 'z') {
		return fmt.Errorf("begins with %q: a database name begins with a letter", first.text[0])
	}
	if t[0].kind == hexPart {
		return errors.New("begins with {hex C}, and so nearly always with a digit: a database name begins with a letter")
	}
	if !t.separates(true) && !t.separates(false) {
		return errors.New("has parts that can run into each other, so that different claims open the same database: put a / between them, or use {hex C}")
	}
	return nil
}

// separates tells whether a name can be taken apart in one way only, read from the left: what follows each place begins
// with a character that cannot be in it. Or the same from the right.
func (t nameTemplate) separates(fromLeft bool) bool {
	last := -1 // the place before
	for i, p := range t {
		if p.kind == literalPart {
			continue
		}
		if last >= 0 {
			if i == last+1 {
				return false
			}
			between := t[last+1].text
			if fromLeft && t[last].allows(between[0]) || !fromLeft && p.allows(between[len(between)-1]) {
				return false
			}
		}
		last = i
	}
	return true
}

// allows tells whether c can be in what takes the place p.
func (p namePart) allows(c byte) bool {
	if p.kind == hexPart {
		return '0' <= c && c <= '9' || 'a' <= c && c <= 'f'
	}
	return isNameByte(c)
}

// expand makes the name. The error says which part cannot be put in.
func (t nameTemplate) expand(c tokenClaims, asked string) (string, error) {
	var name strings.Builder
	for _, p := range t {
		if p.kind == literalPart {
			name.WriteString(p.text)
			continue
		}
		what, text, err := "the name asked for", asked, error(nil)
		if p.kind != askedPart {
			what = fmt.Sprintf("claim %q", p.text)
			text, err = p.claim(c)
		}
		if err != nil {
			return "", err
		}
		if text == "" {
			return "", fmt.Errorf("%s is empty", what)
		}
		for _, b := range []byte(text) {
			if !p.allows(b) {
				return "", fmt.Errorf("%s contains %q, which cannot be put into the name of a database", what, b)
			}
		}
		name.WriteString(text)
	}
	return name.String(), nil
}

// claim is the text of a place that a claim takes.
func (p namePart) claim(c tokenClaims) (string, error) {
	text, err := c.text(p.text)
	if p.kind == hexPart {
		text = hex.EncodeToString([]byte(text))
	}
	return text, err
}

// checkTokenDatabase says why a token cannot open a database of this name. CouchDB's limit of its length is checked where
// names are used. System databases are not for tokens.
func checkTokenDatabase(name string) error {
	if name == "" || name[0] < 'a' || name[0] > 'z' {
		return errors.New("the name of the database does not begin with a letter")
	}
	return checkLiteral(name)
}
