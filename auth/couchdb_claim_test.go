package auth

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzClaim reads credentials and cookies: what comes out can go into a header or a login as it is, and is of one form.
func FuzzClaim(f *testing.F) {
	for _, credentials := range []string{"", "null", "{}", `{"name":"bob","password":"x"}`, `{"token":"a.e30.c"}`, `{"token":"` + token(`{"exp":1,"jti":"x"}`) + `"}`,
		`{"name":"bob","token":"a.b.c"}`, `{"name":1,"password":null}`, `{"token":"a.b\n.c"}`, `{"name":"\ud800","password":"\u0000"}`, `[]`} {
		f.Add([]byte(credentials), "https://app.example.com", "Ym9i", "")
		f.Add([]byte(credentials), "", "a;b", "c")
	}
	f.Fuzz(func(t *testing.T, credentials []byte, origin, cookie, another string) {
		r := Request{Origin: origin, Cookies: []*http.Cookie{{Name: sessionName, Value: cookie}, {Name: sessionName, Value: another}}}
		if len(credentials) > 0 {
			r.Credentials = json.RawMessage(credentials)
		}
		c, err := claimOf(r)
		if err != nil {
			var refused *Refusal
			if !errors.As(err, &refused) || refused.Code != Unauthorized || c.password+c.name+c.identity.Secret != "" {
				t.Fatalf("%v, %+v", err, c)
			}
			return
		}
		secret := c.identity.Secret
		header := func(s string) bool {
			return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ';' })
		}
		switch {
		case c.name != "":
			if c.password == "" || secret != "" || !utf8.ValidString(c.name) || strings.ContainsAny(c.name, "\x00\r\n") {
				t.Errorf("login %q", c.name)
			}
		case c.identity.Kind == Bearer:
			if !header(secret) || strings.Count(secret, ".") != 2 || c.expires.After(time.Unix(253402300799, 0)) || strings.ContainsAny(c.tokenID, "\r\n") {
				t.Errorf("token %q, %v, %q", secret, c.expires, c.tokenID)
			}
		case c.identity.Kind == Cookie:
			if !header(secret) || secret != cookie && secret != another || origin == "" {
				t.Errorf("cookie %q from %q", secret, origin)
			}
		default:
			t.Errorf("neither: %+v", c)
		}
	})
}
