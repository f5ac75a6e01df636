package couch

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-kivik/kivik/v4/couchdb/chttp"
	"github.com/go-kivik/kivik/v4/driver"
)

// Identity is who calls are made as: see [Client.As]. It shows its secret in no form of printing. The zero Identity is nobody,
// and refused.
type Identity struct {
	kind   identityKind
	name   string
	roles  []string
	secret hidden // password, token, value of the cookie, or what signs the name
}

// hidden is a text that fmt cannot print, in whatever it is a field of: unlike a pointer it has no verb that follows it.
type hidden func() string

func hide(s string) hidden { return func() string { return s } }

type identityKind uint8

const (
	basicUser identityKind = iota + 1
	bearer
	cookie
	proxyUser
)

// ProxyUser is a user by proxy authentication: CouchDB believes the name and the roles, which need not be known to it. The
// secret is that of CouchDB's section chttpd_auth; it signs the name by HMAC-SHA256, which CouchDB checks when proxy_use_secret
// is on, and takes for wrong up to 3.3.1, when it knew SHA-1 only. Without a secret nothing is signed.
//
// CouchDB does not refuse a wrong signature, nor proxy authentication that it has not been configured for: it serves such
// calls as anonymous. [Client.Renew] finds out.
// https://docs.couchdb.org/en/stable/api/server/authn.html#proxy-authentication
func ProxyUser(name string, roles []string, secret string) Identity {
	return Identity{kind: proxyUser, name: name, roles: slices.Clone(roles), secret: hide(secret)}
}

// Bearer is whom a token for CouchDB's JWT authentication names.
// https://docs.couchdb.org/en/stable/api/server/authn.html#jwt-authentication
func Bearer(token string) Identity { return Identity{kind: bearer, secret: hide(token)} }

// Basic is a user by name and password. The first call costs CouchDB hundreds of milliseconds of hashing: a session cookie
// ([Client.Login]) is cheaper.
func Basic(name, password string) Identity {
	return Identity{kind: basicUser, name: name, secret: hide(password)}
}

// SessionCookie is a user by the value of CouchDB's AuthSession cookie. CouchDB renews it in the answers to calls that are made
// when more than a tenth of its life is over; the client takes the new one over. See [Client.Renew].
// https://docs.couchdb.org/en/stable/api/server/authn.html#cookie-authentication
func SessionCookie(value string) Identity { return Identity{kind: cookie, secret: hide(value)} }

// String says who it is, without the secret.
func (i Identity) String() string {
	switch i.kind {
	case proxyUser:
		return fmt.Sprintf("proxy user %q", i.name)
	case basicUser:
		return fmt.Sprintf("user %q", i.name)
	case bearer:
		return "bearer token"
	case cookie:
		return "session cookie"
	default:
		return "nobody"
	}
}

// GoString is [Identity.String], so that %#v does not print the secret either.
func (i Identity) GoString() string { return i.String() }

// As is a view of the same server that makes every call as somebody else, and never as the parent: an identity that CouchDB
// does not know is refused by it or served as anonymous. It shares the parent's connections and what the parent knows of the
// server; Close does nothing. It is meant to be made anew for every session: a cookie identity has a life of its own in each
// view. An identity that no header can carry unchanged is a 400 *Error, which does not quote it.
func (c *Client) As(id Identity) (*Client, error) {
	if reason := id.fault(); reason != "" {
		return nil, &Error{Op: "identity", Status: http.StatusBadRequest, Name: "bad_identity", Reason: reason}
	}
	v := c.view()
	v.identity = id
	client, auth := c.plain, noAuth()
	switch id.kind {
	case basicUser:
		auth = chttp.BasicAuth(id.name, id.secret())
	case bearer:
		auth = chttp.JWTAuth(id.secret())
	case cookie:
		v.session = newCookieTransport(client.Transport, id.secret())
		client.Transport = v.session
	case proxyUser:
		client.Transport = newProxyTransport(client.Transport, id)
	}
	if err := v.connect(client, auth); err != nil {
		return nil, err
	}
	return v, nil
}

// view is a client of the same server that has no connection yet.
func (c *Client) view() *Client {
	return &Client{options: c.options, url: c.url, base: c.base, plain: c.plain, root: c.origin(), limiter: c.limiter, observers: c.observers}
}

// origin is the client that New made.
func (c *Client) origin() *Client {
	if c.root != nil {
		return c.root
	}
	return c
}

// noAuth is what chttp gets where it shall not authenticate. It wants an option; this one says what every request says anyway.
func noAuth() driver.Options { return chttp.OptionNoRequestCompression() }

// maxHeaderValue bounds what goes into one header: CouchDB answers one of 8 KiB with a 400 that says nothing.
const maxHeaderValue = 6 << 10

// fault says why the identity cannot be sent as it is; "" if it can. What a header would change, by trimming or splitting it,
// would be somebody else.
func (i Identity) fault() string {
	switch i.kind {
	case basicUser:
		return i.basicFault()
	case bearer:
		return valueFault("The token", i.secret(), isTokenByte)
	case cookie:
		return valueFault("The cookie", i.secret(), isCookieByte)
	case proxyUser:
		return i.proxyFault()
	default:
		return "Nobody is given."
	}
}

// basicFault applies RFC 7617, section 2.
func (i Identity) basicFault() string {
	password := i.secret()
	switch {
	case strings.Contains(i.name, ":"):
		return "The name has a colon."
	case i.name == "_" && password == "_":
		return "The name and password _ mean nobody to CouchDB."
	case hasControl(password):
		return "The password has control characters."
	case len(i.name)+len(password) > maxHeaderValue/2: // Base64
		return "The name and password are too long."
	}
	return nameFault("The name", i.name)
}

func (i Identity) proxyFault() string {
	length := len(i.name)
	for _, role := range i.roles {
		if strings.Contains(role, ",") {
			return "A role has a comma."
		}
		if reason := nameFault("A role", role); reason != "" {
			return reason
		}
		length += len(role) + 1
	}
	if length > maxHeaderValue {
		return "The name and roles are too long."
	}
	return nameFault("The name", i.name)
}

// nameFault checks a name or a role, which a header carries as it is but for space around it.
func nameFault(what, s string) string {
	switch {
	case s == "":
		return what + " is empty."
	case hasControl(s):
		return what + " has control characters."
	case s != strings.TrimSpace(s):
		return what + " begins or ends with space."
	case !utf8.ValidString(s):
		return what + " is not UTF-8."
	}
	return ""
}

func valueFault(what, s string, allowed func(byte) bool) string {
	switch {
	case s == "":
		return what + " is empty."
	case len(s) > maxHeaderValue:
		return what + " is too long."
	}
	for _, b := range []byte(s) {
		if !allowed(b) {
			return what + " has characters that it cannot have."
		}
	}
	return ""
}

func hasControl(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0
}

// isTokenByte is RFC 6750's token68, with the padding anywhere.
func isTokenByte(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || strings.IndexByte("-._~+/=", b) >= 0
}

// isCookieByte is RFC 6265's cookie-octet.
func isCookieByte(b byte) bool {
	return '!' <= b && b <= '~' && strings.IndexByte(`",;\`, b) < 0
}

// proxyTransport adds the headers of proxy authentication. Kivik's own option signs with SHA-1, computes the signature at
// the first request without a lock, and sends roles even if there are none.
type proxyTransport struct {
	transport http.RoundTripper
	header    http.Header
}

func newProxyTransport(t http.RoundTripper, id Identity) *proxyTransport {
	h := http.Header{}
	h.Set("X-Auth-CouchDB-UserName", id.name)
	if len(id.roles) > 0 { // CouchDB makes an empty header one role without a name
		h.Set("X-Auth-CouchDB-Roles", strings.Join(id.roles, ","))
	}
	if key := id.secret(); key != "" {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(id.name))
		h.Set("X-Auth-CouchDB-Token", hex.EncodeToString(mac.Sum(nil)))
	}
	return &proxyTransport{t, h}
}

func (t *proxyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, values := range t.header {
		r.Header[name] = values
	}
	return t.transport.RoundTrip(r)
}
