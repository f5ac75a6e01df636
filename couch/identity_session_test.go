package couch

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// cookieServer gives out cookies as CouchDB does: c0 at time 0, and in the answer to a request with a cookie that has lived for
// more than a tenth of its life a new one, named after the seconds that have passed. It knows nobody else.
type cookieServer struct {
	life    time.Duration
	maxAge  bool // tells the life
	started time.Time

	mu    sync.Mutex
	asked []string // the cookies of the requests
}

func (s *cookieServer) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent, _ := r.Cookie("AuthSession")
	s.asked = append(s.asked, sent.Value)
	var born int
	_, _ = fmt.Sscanf(sent.Value, "c%d", &born)
	age := time.Since(s.started) - time.Duration(born)*time.Second
	header := http.Header{"Content-Type": {"application/json"}}
	name := `null`
	if age < s.life {
		name = `"bob"`
		if age > s.life/10 {
			header.Set("Set-Cookie", s.cookie())
		}
	}
	body := io.NopCloser(strings.NewReader(`{"ok":true,"userCtx":{"name":` + name + `,"roles":["r"]},"info":{}}`))
	return &http.Response{StatusCode: 200, Header: header, ContentLength: -1, Request: r, Body: body}, nil
}

func (s *cookieServer) cookie() string {
	text := fmt.Sprintf("AuthSession=c%d; Version=1; Path=/; HttpOnly", int(time.Since(s.started)/time.Second))
	if s.maxAge {
		text += fmt.Sprintf("; Max-Age=%d", int(s.life/time.Second))
	}
	return text
}

func (s *cookieServer) client(t *testing.T) *Client {
	s.started = time.Now()
	root, err := New("http://couch.test", Options{HTTPClient: &http.Client{Transport: s}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := root.As(SessionCookie("c0"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRenew keeps sessions of every length alive for an hour, with few calls.
func TestRenew(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		life   time.Duration
		maxAge bool
		calls  int // at most
	}{
		{10 * time.Minute, true, 17},
		{24 * time.Hour, true, 12},
		{15 * time.Second, true, 600},
		{10 * time.Minute, false, 250},
		{15 * time.Second, false, 400},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &cookieServer{life: test.life, maxAge: test.maxAge}
			c := s.client(t)
			for time.Since(s.started) < time.Hour {
				next, err := c.Renew(t.Context())
				if err != nil || next < time.Second || next > test.life {
					t.Fatalf("life %v: after %v: %v, %v", test.life, time.Since(s.started), next, err)
				}
				time.Sleep(next)
			}
			if len(s.asked) > test.calls {
				t.Errorf("life %v: %d calls", test.life, len(s.asked))
			}
			if test.life < time.Hour && (c.Cookie() == "c0" || s.asked[len(s.asked)-1] == "c0") {
				t.Errorf("life %v: still %s", test.life, c.Cookie())
			}
		})
	}
}

// TestRenewDead lets a cookie die: CouchDB's "anonymous" becomes a 401, and once the time of death is known nothing is sent.
func TestRenewDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &cookieServer{life: 10 * time.Minute, maxAge: true}
		c := s.client(t)
		time.Sleep(s.life)
		isUnknown := func(err error) bool {
			var e *Error
			return errors.As(err, &e) && e.Status == 401 && e.Name == "unauthorized" && !e.Transient() && !strings.Contains(err.Error(), "c0")
		}
		if _, err := c.Renew(t.Context()); !isUnknown(err) {
			t.Error(err)
		}
		c = s.client(t)
		time.Sleep(2 * time.Minute)
		if next, err := c.Renew(t.Context()); next != 5*time.Minute || err != nil {
			t.Error(next, err)
		}
		time.Sleep(s.life)
		asked := len(s.asked)
		_, renew := c.Renew(t.Context())
		_, info := mustDatabase(t, c, "db").Info(t.Context())
		if !isUnknown(renew) || !isUnknown(info) || len(s.asked) != asked {
			t.Errorf("%v, %v, %v", renew, info, s.asked)
		}
	})
}

// TestCookieTakenOver has answers that set cookies, in the order they arrive; numbers are those of the requests.
func TestCookieTakenOver(t *testing.T) {
	t.Parallel()
	type answer struct {
		request uint64
		cookie  string
	}
	for name, test := range map[string]struct {
		answers []answer
		want    string
	}{
		"none":            {nil, "c0"},
		"one":             {[]answer{{1, "AuthSession=c1; Max-Age=600"}}, "c1"},
		"overtaken":       {[]answer{{2, "AuthSession=c2"}, {1, "AuthSession=c1"}}, "c2"},
		"in order":        {[]answer{{1, "AuthSession=c1"}, {2, "AuthSession=c2"}}, "c2"},
		"taken back":      {[]answer{{1, "AuthSession=; Max-Age=600"}}, "c0"},
		"expired":         {[]answer{{1, "AuthSession=c1; Max-Age=0"}}, "c0"},
		"another cookie":  {[]answer{{1, "Session=c1; Max-Age=600"}}, "c0"},
		"not to be sent":  {[]answer{{1, `AuthSession="c 1"; Max-Age=600`}}, "c0"},
		"far too long":    {[]answer{{1, "AuthSession=" + strings.Repeat("x", 10000)}}, "c0"},
		"life overflows":  {[]answer{{1, "AuthSession=c1; Max-Age=99999999999999999"}}, "c1"},
		"the same answer": {[]answer{{1, "AuthSession=c1"}, {1, "AuthSession=c2"}}, "c1"},
	} {
		c := newCookieTransport(nil, "c0")
		for _, a := range test.answers {
			c.renew(a.request, time.Now(), &http.Response{Header: http.Header{"Set-Cookie": {a.cookie}}})
		}
		if got, _ := c.next(); got != test.want || c.dead(time.Now()) || c.due(time.Now()) < time.Second {
			t.Errorf("%s: %s, due in %v; want %s", name, got, c.due(time.Now()), test.want)
		}
	}
}

// TestCookieRace renews a cookie from many goroutines; -race watches.
func TestCookieRace(t *testing.T) {
	t.Parallel()
	s := &cookieServer{life: time.Hour, maxAge: true}
	c := s.client(t)
	s.started = s.started.Add(-30 * time.Minute)
	d := mustDatabase(t, c, "db")
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			for range 20 {
				if _, err := c.Renew(t.Context()); err != nil {
					t.Error(err)
				}
				_, _ = d.Info(t.Context())
				_ = c.Cookie()
			}
		})
	}
	callers.Wait()
	if c.Cookie() != "c1800" && c.Cookie() != "c1801" {
		t.Error(c.Cookie())
	}
}

// TestRenewWhom has CouchDB take a client for somebody else than it is.
func TestRenewWhom(t *testing.T) {
	t.Parallel()
	var c *Client
	userCtx := ""
	root := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"ok":true,"userCtx":`+userCtx+`}`)
	}), "", Options{})
	const bob, eve, nobody = `{"name":"bob","roles":["a"]}`, `{"name":"eve","roles":["_admin"]}`, `{"name":null,"roles":["_admin"]}`
	for _, test := range []struct {
		id            Identity
		userCtx, want string
	}{
		{ProxyUser("bob", nil, ""), bob, ""},
		{ProxyUser("bob", nil, ""), eve, `401 unauthorized: CouchDB does not know the proxy user "bob", or no longer.`},
		{ProxyUser("bob", nil, ""), nobody, `401 unauthorized: CouchDB does not know the proxy user "bob", or no longer.`},
		{Basic("bob", "p"), bob, ""},
		{Basic("bob", "p"), nobody, `401 unauthorized: CouchDB does not know the user "bob", or no longer.`},
		{Bearer("t"), eve, ""},
		{Bearer("t"), nobody, "401 unauthorized: CouchDB does not know the bearer token, or no longer."},
		{SessionCookie("c"), nobody, "401 unauthorized: CouchDB does not know the session cookie, or no longer."},
		{SessionCookie("c"), `{"name":7}`, errMalformed.Error()},
		{SessionCookie("c"), `{"name":"bob","roles":"_admin"}`, errMalformed.Error()},
		{SessionCookie("c"), `null`, errMalformed.Error()},
		{SessionCookie("c"), `[]`, errMalformed.Error()},
		{Identity{}, nobody, ""},
	} {
		var err error
		if c, err = root, nil; test.id.kind != 0 {
			c, err = root.As(test.id)
		}
		if err != nil {
			t.Fatal(err)
		}
		userCtx = test.userCtx
		next, err := c.Renew(t.Context())
		if test.want == "" && (err != nil || next != 0) || test.want != "" && (err == nil || err.Error() != "couch: GET _session: "+test.want) {
			t.Errorf("%s, %s: %v, %v", test.id, userCtx, next, err)
		}
	}
}

// TestLogin looks at the request, and at answers that are none of CouchDB's.
func TestLogin(t *testing.T) {
	t.Parallel()
	const sets = "AuthSession=YWRt-_; Version=1; Path=/; HttpOnly"
	for _, test := range []struct {
		status                     int
		cookie, body               string
		value, user, errorContains string
	}{
		{200, sets, `{"ok":true,"name":"bob","roles":["a"]}`, "YWRt-_", "bob", ""},
		{401, "AuthSession=; Path=/", `{"error":"unauthorized","reason":"Name or password is incorrect."}`, "", "", "401 unauthorized: Name or password"},
		{403, "", `{"error":"forbidden","reason":"Account is temporarily locked due to multiple authentication failures"}`, "", "", "403 forbidden: Account is"},
		{302, sets, ``, "", "", "302"},
		{200, "", `{"ok":true,"name":"bob","roles":[]}`, "", "", errMalformed.Error()},
		{200, "AuthSession=; Path=/", `{"ok":true,"name":"bob","roles":[]}`, "", "", errMalformed.Error()},
		{200, sets, `{"ok":true,"name":null,"roles":[]}`, "", "", errMalformed.Error()},
		{200, sets, `{"ok":true,"name":{},"roles":[]}`, "", "", errMalformed.Error()},
		{200, sets, `<html>`, "", "", errMalformed.Error()},
	} {
		asked := ""
		server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			asked = fmt.Sprintf("%s %s %s %s %s", r.Method, r.URL, r.Header.Get("Content-Type"), r.Header["Authorization"], body)
			if test.cookie != "" {
				w.Header().Set("Set-Cookie", test.cookie)
			}
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.body)
		}), "/base", Options{})
		c, err := New(strings.Replace(server.String(), "//", "//admin:parent@", 1), Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		value, user, err := c.Login(t.Context(), `bo"b`, "s3\u2028cret\n")
		if asked != `POST /base/_session application/json [] {"name":"bo\"b","password":"s3`+"\u2028"+`cret\n"}` {
			t.Errorf("asked %s", asked)
		}
		if value != test.value || user.Name != test.user || (err == nil) != (test.errorContains == "") {
			t.Errorf("%+v: %q, %v, %v", test, value, user, err)
		}
		if err != nil && (!strings.Contains(err.Error(), test.errorContains) || strings.Contains(err.Error(), "s3")) {
			t.Error(err)
		}
	}
}
