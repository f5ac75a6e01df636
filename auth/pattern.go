package auth

import (
	"errors"
	"fmt"
	"strings"
)

// pattern matches database names: literal text with at most one '*', which stands for one or more characters that CouchDB
// allows in a name, '/' excepted. (It allows a-z, 0-9 and _$()+-/; so no dot, no percent sign, no upper case.)
type pattern struct {
	prefix, suffix string // suffix is empty without a star
	star           bool
}

// parsePattern reads a pattern, or says what is wrong with it.
func parsePattern(text string) (pattern, error) {
	prefix, suffix, star := strings.Cut(text, "*")
	switch {
	case text == "":
		return pattern{}, errors.New("must not be empty")
	case strings.Contains(suffix, "*"):
		return pattern{}, fmt.Errorf("%q has more than one *", text)
	}
	for _, c := range []byte(prefix + suffix) {
		if !isNameByte(c) && c != '/' {
			return pattern{}, fmt.Errorf("%q contains %q: a database name has only a-z, 0-9 and _$()+-/", text, c)
		}
	}
	if star && IsSystem(prefix) {
		return pattern{}, fmt.Errorf("%q has a *: a system database must be named in full", text)
	}
	return pattern{prefix, suffix, star}, nil
}

// match tells whether name matches, and what the star stands for.
func (p pattern) match(name string) (stem string, ok bool) {
	if !p.star {
		return "", name == p.prefix
	}
	rest, ok := strings.CutPrefix(name, p.prefix)
	if !ok {
		return "", false
	}
	stem, ok = strings.CutSuffix(rest, p.suffix)
	if !ok || stem == "" {
		return "", false
	}
	for _, c := range []byte(stem) {
		if !isNameByte(c) {
			return "", false
		}
	}
	return stem, true
}

// expand puts stem in the place of the star.
func (p pattern) expand(stem string) string {
	if !p.star {
		return p.prefix
	}
	return p.prefix + stem + p.suffix
}

// isNameByte tells whether CouchDB allows c in a database name; the slash, which separates like a path, is left out.
func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("_$()+-", c) >= 0
}
