package couch

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/go-kivik/kivik/v4/couchdb/chttp"
)

// UserCtx is whom CouchDB takes a caller for.
type UserCtx struct {
	Name  string   // "": anonymous
	Roles []string // "_admin" among them: a server admin
}

const authSession = "AuthSession"

// Login exchanges a name and a password for the value of a session cookie, fit for [SessionCookie]. It is called as nobody: the
// client's own account has no part in it. Wrong ones are a 401 *Error; CouchDB 3.4 and later answers 403 to everything after
// five wrong ones for the same name within five minutes, from one address, which to CouchDB all clients of a bridge have.
// https://docs.couchdb.org/en/stable/api/server/authn.html#post--_session
func (c *Client) Login(ctx context.Context, name, password string) (value string, user UserCtx, err error) {
	nobody := c.view()
	client := c.plain
	if nobody.http, err = chttp.New(&client, c.url.String(), noAuth()); err != nil {
		return "", UserCtx{}, badURL("cannot be used")
	}
	body := appendString([]byte(`{"name":`), name)
	body = append(appendString(append(body, `,"password":`...), password), '}')
	r := c.sessionRequest(http.MethodPost)
	r.body, r.length = payload(body)
	s, err := nobody.send(ctx, r)
	if err != nil {
		return "", UserCtx{}, err
	}
	defer s.Close()
	answer, err := readAll(s, c.options.MaxAnswerBytes)
	if err != nil {
		return "", UserCtx{}, err
	}
	if user, err = userIn(answer); err == nil && user.Name != "" {
		if value, _ = sessionCookie(s.res); value != "" {
			return value, user, nil
		}
	}
	return "", UserCtx{}, &Error{Op: s.op, Err: errMalformed}
}

// Session asks CouchDB whom it takes this client for. Anonymous is no error: the name is then "".
// https://docs.couchdb.org/en/stable/api/server/authn.html#get--_session
func (c *Client) Session(ctx context.Context) (UserCtx, error) {
	r := c.sessionRequest(http.MethodGet)
	v, err := c.fetch(ctx, r)
	if err != nil {
		return UserCtx{}, err
	}
	var answer struct {
		UserCtx json.RawMessage `json:"userCtx"`
	}
	if err = json.Unmarshal(v, &answer); err == nil {
		var user UserCtx
		if user, err = userIn(answer.UserCtx); err == nil {
			return user, nil
		}
	}
	return UserCtx{}, &Error{Op: r.method + " " + r.op, Err: errMalformed}
}

func (c *Client) sessionRequest(method string) request {
	return request{method: method, op: "_session", path: c.base + "/_session"}
}

// userIn reads an object with name, which may be null, and roles.
func userIn(v []byte) (UserCtx, error) {
	var user struct {
		Name  *string
		Roles []string
	}
	if v = bytes.TrimSpace(v); len(v) == 0 || v[0] != '{' {
		return UserCtx{}, errMalformed
	}
	if err := json.Unmarshal(v, &user); err != nil {
		return UserCtx{}, errMalformed
	}
	if user.Name == nil {
		return UserCtx{Roles: user.Roles}, nil
	}
	return UserCtx{Name: *user.Name, Roles: user.Roles}, nil
}

// Renew makes sure that CouchDB takes a client made by [Client.As] for whom it is meant to be, and keeps the session of a cookie
// alive. It returns when to call it again; 0: there is nothing to keep alive. Somebody whom CouchDB does not know, or no
// longer, is a 401 *Error: to databases that are open to all, CouchDB would let the client's calls pass as anonymous.
//
// A cookie whose life CouchDB has told (Max-Age) is due again after half of it. Until then, as CouchDB tells only when it
// renews, and renews only when a tenth of the life is over, it is due after as long again as it has been in use: it then has
// had at most two tenths. That holds for lives of 15 seconds and more.
func (c *Client) Renew(ctx context.Context) (next time.Duration, err error) {
	user, err := c.Session(ctx)
	switch {
	case err != nil:
		return 0, err
	case c.identity.kind == 0:
		return 0, nil
	case user.Name == "" || c.identity.name != "" && user.Name != c.identity.name:
		return 0, c.unknown("GET _session")
	case c.session == nil:
		return 0, nil
	}
	return c.session.due(time.Now()), nil
}

// unknown is the error of an identity that CouchDB does not know.
func (c *Client) unknown(op string) *Error {
	return &Error{Op: op, Status: http.StatusUnauthorized, Name: "unauthorized",
		Reason: "CouchDB does not know the " + c.identity.String() + ", or no longer."}
}

// Cookie is the present value of a [SessionCookie] that CouchDB may have renewed; "" for every other identity.
func (c *Client) Cookie() string {
	if c.session == nil {
		return ""
	}
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	return c.session.value()
}

// cookieTransport sends a session cookie, and takes over what CouchDB renews it by.
type cookieTransport struct {
	transport http.RoundTripper

	mu    sync.Mutex
	value hidden
	since time.Time     // when value was new at the latest; before it came
	life  time.Duration // Max-Age; 0: not known
	sent  uint64        // requests so far
	from  uint64        // the number of that whose answer brought value
}

func newCookieTransport(t http.RoundTripper, value string) *cookieTransport {
	return &cookieTransport{transport: t, value: hide(value), since: time.Now()}
}

func (t *cookieTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	value, n := t.next()
	r = r.Clone(r.Context())
	r.Header.Set("Cookie", authSession+"="+value)
	begun := time.Now()
	res, err := t.transport.RoundTrip(r)
	if err == nil {
		t.renew(n, begun, res)
	}
	return res, err
}

// next is the cookie for a request, and the request's number.
func (t *cookieTransport) next() (value string, n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent++
	return t.value(), t.sent
}

// renew takes over the cookie of the answer to request n, unless a later request has brought one: answers may overtake one
// another. A cookie that is taken back, as an answer of CouchDB to wrong credentials does, changes nothing: CouchDB decides
// with every request whether the old one is still good.
func (t *cookieTransport) renew(n uint64, begun time.Time, res *http.Response) {
	value, life := sessionCookie(res)
	if value == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if n > t.from {
		t.value, t.since, t.life, t.from = hide(value), begun, life, n
	}
}

// due is how long the cookie can do without being renewed.
func (t *cookieTransport) due(now time.Time) time.Duration {
	const soonest, soonestUnknown = time.Second, 10 * time.Second
	t.mu.Lock()
	defer t.mu.Unlock()
	age := now.Sub(t.since)
	if t.life == 0 {
		return max(age, soonestUnknown)
	}
	return max(t.life/2-age, soonest)
}

// dead tells whether the cookie is known to have expired. CouchDB would take the sender of such a cookie for anonymous.
func (t *cookieTransport) dead(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.life > 0 && now.Sub(t.since) >= t.life
}

// sessionCookie is what an answer sets the session cookie to, and for how long: 0 if it does not say.
func sessionCookie(res *http.Response) (value string, life time.Duration) {
	for _, c := range res.Cookies() {
		if c.Name == authSession && c.MaxAge >= 0 && valueFault("", c.Value, isCookieByte) == "" {
			return c.Value, time.Duration(c.MaxAge) * time.Second
		}
	}
	return "", 0
}
