package auth

import (
	"encoding/base64"
	stdjson "encoding/json"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxLoginName      = 512 // bytes
	maxLoginPassword  = 4 << 10
	maxSessionToken   = 6 << 10 // what fits into a header that CouchDB takes
	maxSessionTokenID = 256
	sessionName       = "AuthSession"
	wrongLogin        = "wrong user name or password"
	wrongToken        = "CouchDB does not accept this token"
	wrongCookie       = "your CouchDB session has ended, log in again"
	cookieOrigin      = "a session cookie is accepted from web pages of an allowed origin only"
)

// claim is whom a client says it is.
type claim struct {
	name, password string   // both, or
	identity       Identity // a Bearer or Cookie
	expires        time.Time
	tokenID        string
	refusal        string // what the client is told when CouchDB says no
}

// parts are what tells two claims apart.
func (c claim) parts() []string {
	return []string{c.name, c.password, c.identity.String(), c.identity.Secret}
}

// claimOf reads the credentials. It returns [Abstain] for those of other forms.
func claimOf(r Request) (claim, error) {
	var members map[string]jsontext.Value
	if r.Credentials != nil {
		if err := json.Unmarshal(r.Credentials, &members); err != nil {
			return claim{}, Abstain
		}
	}
	has := func(name string) bool { _, ok := members[name]; return ok }
	switch {
	case len(members) == 0:
		return cookieClaim(r)
	case has("name") && has("password") && len(members) == 2, has("name") && len(members) == 1, has("password") && len(members) == 1:
		return loginClaim(textOf(members["name"]), textOf(members["password"]))
	case has("token") && len(members) == 1:
		return tokenClaim(textOf(members["token"]))
	default:
		return claim{}, Abstain
	}
}

// textOf is the string that v is, or "".
func textOf(v jsontext.Value) string {
	var s string
	if v.Kind() != jsontext.KindString || json.Unmarshal(v, &s) != nil {
		return ""
	}
	return s
}

func loginClaim(name, password string) (claim, error) {
	switch {
	case name == "" || password == "":
		return claim{}, refuseLogin(`a user name and a password are required: send the credentials {"name": "…", "password": "…"}`)
	case len(name) > maxLoginName, len(password) > maxLoginPassword, hasControlCharacter(name), !utf8.ValidString(name), strings.TrimSpace(name) != name:
		return claim{}, refuseLogin(wrongLogin) // CouchDB has no such user
	}
	return claim{name: name, password: password, refusal: wrongLogin}, nil
}

// tokenClaim takes whatever has three parts for a JWT.
func tokenClaim(token string) (claim, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return claim{}, Abstain
	}
	c := claim{identity: Identity{Kind: Bearer, Secret: token}, refusal: wrongToken}
	if len(token) > maxSessionToken || strings.ContainsFunc(token, func(c rune) bool { return !isTokenRune(c) }) {
		return claim{}, refuseLogin(wrongToken)
	}
	c.expires, c.tokenID = tokenLife(parts[1])
	return c, nil
}

// tokenLife reads, from the payload of a JWT that is not verified yet, when it expires (exp, RFC 7519 section 4.1.4) and what
// it is called (jti). The zero time: it does not say.
func tokenLife(payload string) (expires time.Time, id string) {
	text, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return time.Time{}, ""
	}
	var claims map[string]stdjson.RawMessage // as lenient as CouchDB, whose word on the token it is
	var exp float64
	if err := stdjson.Unmarshal(text, &claims); err != nil {
		return time.Time{}, ""
	}
	if stdjson.Unmarshal(claims["exp"], &exp) == nil && string(claims["exp"]) != "null" {
		const farthest = 253402300799 // the end of the year 9999, the last that RFC 3339 can say
		expires = time.Unix(int64(math.Floor(min(max(exp, 0), farthest))), 0)
	}
	if id = textOf(jsontext.Value(claims["jti"])); len(id) > maxSessionTokenID || hasControlCharacter(id) {
		id = ""
	}
	return expires, id
}

// cookieClaim takes the one AuthSession cookie of a browser.
func cookieClaim(r Request) (claim, error) {
	values := map[string]bool{}
	value := ""
	for _, c := range r.Cookies {
		if c.Name == sessionName && c.Value != "" {
			value = c.Value
			values[value] = true
		}
	}
	switch {
	case len(values) == 0:
		return claim{}, Abstain
	case r.Origin == "" || r.Origin == "null":
		return claim{}, refuseLogin(cookieOrigin)
	case len(values) > 1: // a neighbouring host may have set one for our visitors
		return claim{}, refuseLogin("there is more than one AuthSession cookie: delete the cookies of this site")
	case len(value) > maxSessionToken || strings.ContainsFunc(value, func(c rune) bool { return !isTokenRune(c) }):
		return claim{}, refuseLogin(wrongCookie)
	}
	return claim{identity: Identity{Kind: Cookie, Secret: value}, refusal: wrongCookie}, nil
}

// isTokenRune tells whether c is of base64url or a dot: all that a JWT and CouchDB's session cookie consist of.
func isTokenRune(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-_.", c)
}

func hasControlCharacter(s string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}

func refuseLogin(message string) *Refusal { return &Refusal{Code: Unauthorized, Message: message} }
