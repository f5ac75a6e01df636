package auth

import (
	"encoding/base64"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
)

// tokenHeader is what matters of a token's first part.
type tokenHeader struct {
	Alg  string         `json:"alg"`
	Kid  string         `json:"kid"` // empty: the token names no key
	Crit jsontext.Value `json:"crit"`
}

// isJWT tells whether a token of three parts is meant to be a JWT: parts in base64url, the first a JSON object.
func isJWT(token string) bool {
	for _, c := range []byte(token) {
		if !isBase64URL(c) && c != '.' {
			return false
		}
	}
	header, err := base64.RawURLEncoding.DecodeString(token[:strings.IndexByte(token, '.')])
	return err == nil && len(header) > 0 && header[0] == '{'
}

func isBase64URL(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// parseTokenHeader reads the first part of a token strictly: no member twice, no invalid UTF-8.
func parseTokenHeader(token string) (h tokenHeader, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token[:strings.IndexByte(token, '.')])
	if err == nil {
		err = json.Unmarshal(b, &h)
	}
	if err != nil {
		return h, fmt.Errorf("header of the token: %w", err)
	}
	return h, nil
}

// check refuses what the header alone rules out. A critical extension must be understood (RFC 7515, section 4.1.11), and
// none is.
func (h tokenHeader) check(algorithms []string) error {
	switch {
	case h.Crit != nil:
		return errors.New("token has critical extensions (crit)")
	case !slices.Contains(algorithms, h.Alg):
		return fmt.Errorf("token has alg %.20q, which is not accepted", h.Alg)
	default:
		return nil
	}
}

// tokenClaims are those of a token. Unlike plain [jwt.MapClaims] they are refused if a member is given twice, at any depth, or
// text is not UTF-8.
type tokenClaims struct{ jwt.MapClaims }

var _ stdjson.Unmarshaler = (*tokenClaims)(nil)

// UnmarshalJSON implements [stdjson.Unmarshaler], for the parser of tokens.
func (c *tokenClaims) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &c.MapClaims) }

// lastSecond is the end of the year 9999: times beyond are none.
const lastSecond = 253402300799

// check is what the parser leaves out, of claims that are signed by the issuer. It wants times in range, sub and jti to be
// strings, no audience unless one is configured, and exp without leeway.
func (c tokenClaims) check(now time.Time, audience bool) error {
	for _, name := range []string{"exp", "nbf", "iat"} {
		if v, ok := c.MapClaims[name]; ok {
			if seconds, ok := v.(float64); !ok || seconds < 0 || seconds > lastSecond {
				return fmt.Errorf("claim %q is no time", name)
			}
		}
	}
	for _, name := range []string{"sub", "jti"} {
		if v, ok := c.MapClaims[name]; ok {
			if _, ok := v.(string); !ok {
				return fmt.Errorf("claim %q is no string", name)
			}
		}
	}
	if _, ok := c.MapClaims["aud"]; ok && !audience {
		return errors.New(`token has an audience ("aud"), but none is configured`)
	}
	if !now.Before(c.expires()) {
		return jwt.ErrTokenExpired
	}
	return nil
}

// expires is exp, which is there and in range once the claims are checked.
func (c tokenClaims) expires() time.Time {
	seconds, _ := c.MapClaims["exp"].(float64)
	return time.Unix(int64(seconds), 0)
}

// string is the text of sub or jti, empty if it is not there.
func (c tokenClaims) string(name string) string {
	s, _ := c.MapClaims[name].(string)
	return s
}

// lookup finds a claim by its name or, if there is none of that name, by its path.
func (c tokenClaims) lookup(name string) (any, bool) {
	if v, ok := c.MapClaims[name]; ok {
		return v, true
	}
	var v any = map[string]any(c.MapClaims)
	for step := range strings.SplitSeq(name, ".") {
		object, _ := v.(map[string]any)
		var ok bool
		if v, ok = object[step]; !ok {
			return nil, false
		}
	}
	return v, true
}

// text finds a claim that must be a string and not be empty.
func (c tokenClaims) text(name string) (string, error) {
	v, ok := c.lookup(name)
	if !ok {
		return "", fmt.Errorf("claim %q is missing", name)
	}
	s, ok := v.(string)
	switch {
	case !ok:
		return "", fmt.Errorf("claim %q is no string", name)
	case s == "":
		return "", fmt.Errorf("claim %q is empty", name)
	default:
		return s, nil
	}
}

// userName is sub as the name of a proxy user, which goes into a header.
func (c tokenClaims) userName() (string, error) {
	name, err := c.text("sub")
	if err == nil && strings.ContainsFunc(name, unicode.IsControl) {
		err = errors.New(`claim "sub" has control characters`)
	}
	return name, err
}

// roles are those of a claim. A token without the claim has none.
func (c tokenClaims) roles(name string) ([]string, error) {
	v, ok := c.lookup(name)
	if !ok {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("claim %q is no array", name)
	}
	roles := make([]string, len(list))
	for i, v := range list {
		role, ok := v.(string)
		if !ok || role == "" || role[0] == '_' || strings.ContainsFunc(role, notInRole) {
			return nil, fmt.Errorf("claim %q: element %d is no role: a string that does not begin with _ and has no comma", name, i)
		}
		roles[i] = role
	}
	return roles, nil
}

// notInRole tells whether r cannot be in a role, as roles go into a header with commas between them.
func notInRole(r rune) bool { return r == ',' || unicode.IsControl(r) }
