package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// answered is what CouchDB said.
type answered int

func (a answered) Error() string   { return fmt.Sprintf("couch: %d", int(a)) }
func (a answered) HTTPStatus() int { return int(a) }

// fakeSessions is a CouchDB whose users have their names with "-pw" for passwords, with "-cookie" for cookies, and which takes
// every token for eve's. It answers after takes.
type fakeSessions struct {
	takes time.Duration
	fails error // what it answers instead

	mu     sync.Mutex
	asked  []string
	now    int // tries that are running
	atOnce int // the most there were
}

func (f *fakeSessions) ask(ctx context.Context, what string) error {
	f.mu.Lock()
	f.asked = append(f.asked, what)
	f.now++
	f.atOnce = max(f.atOnce, f.now)
	f.mu.Unlock()
	timer := time.NewTimer(f.takes)
	defer timer.Stop()
	var err error
	select {
	case <-timer.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now--
	return errors.Join(err, f.fails)
}

func (f *fakeSessions) Login(ctx context.Context, name, password string) (string, string, error) {
	if err := f.ask(ctx, name+"/"+password); err != nil {
		return "", "", err
	}
	if password != name+"-pw" {
		return "", "", answered(http.StatusUnauthorized)
	}
	return name + "-cookie", name, nil
}

func (f *fakeSessions) SessionAs(ctx context.Context, id Identity) (string, error) {
	if err := f.ask(ctx, id.String()+"/"+id.Secret); err != nil {
		return "", err
	}
	name, known := strings.CutSuffix(id.Secret, "-cookie")
	switch {
	case id.Kind == Bearer:
		return "eve", nil
	case id.Kind == Cookie && known:
		return name, nil
	case strings.HasPrefix(id.Secret, "malformed"):
		return "", answered(http.StatusBadRequest)
	}
	return "", nil
}

func (f *fakeSessions) tries() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

func newCouchDB(t *testing.T, o CouchDBOptions) *CouchDB {
	t.Helper()
	p, err := NewCouchDB(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// token is a JWT with that payload, signed by nobody.
func token(payload string) string {
	return "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2lnbmF0dXJl"
}

func cookies(values ...string) (c []*http.Cookie) {
	for _, v := range values {
		c = append(c, &http.Cookie{Name: "AuthSession", Value: v})
	}
	return c
}

func TestCouchDBGrants(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(time.Hour).Truncate(time.Second)
	page := Request{Origin: "https://app.example.com", Cookies: append(cookies("bob-cookie", ""), &http.Cookie{Name: "x", Value: "y"})}
	login := Identity{Kind: Cookie, Secret: "bob-cookie"}
	for name, test := range map[string]struct {
		credentials string // "": none
		request     Request
		want        Grant
		asked       string
	}{
		"login":       {`{"name":"bob","password":"bob-pw"}`, Request{}, Grant{Subject: "bob", Identity: login}, "bob/bob-pw"},
		"odd name":    {`{"password":"b ü-pw","name":"b ü"}`, page, Grant{Subject: "b ü", Identity: Identity{Kind: Cookie, Secret: "b ü-cookie"}}, "b ü/b ü-pw"},
		"cookie":      {``, page, Grant{Subject: "bob", Identity: login}, "session cookie/bob-cookie"},
		"cookie null": {` null `, page, Grant{Subject: "bob", Identity: login}, "session cookie/bob-cookie"},
		"cookie {}":   {`{}`, page, Grant{Subject: "bob", Identity: login}, "session cookie/bob-cookie"},
		"token":       {`{"token":"` + token(`{}`) + `"}`, Request{}, Grant{}, ""},
		"token that expires": {`{"token":"` + token(fmt.Sprintf(`{"exp":%d.9,"jti":"t1"}`, soon.Unix())) + `"}`, page,
			Grant{Expires: soon, TokenID: "t1"}, ""},
		"token far away":           {`{"token":"` + token(`{"exp":1e300,"jti":7}`) + `"}`, Request{}, Grant{Expires: time.Unix(253402300799, 0)}, ""},
		"token odd expiry":         {`{"token":"` + token(`{"exp":"soon","jti":"a\u0000b"}`) + `"}`, Request{}, Grant{}, ""},
		"token no expiry":          {`{"token":"` + token(`{"exp":null,"jti":"`+strings.Repeat("x", 300)+`"}`) + `"}`, Request{}, Grant{}, ""},
		"token not JSON":           {`{"token":"` + token(`{`) + `"}`, Request{}, Grant{}, ""},
		"token payload not base64": {`{"token":"a.b_-!.c"}`, Request{}, Grant{}, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fakeSessions{}
			r := test.request
			r.Database = "todos"
			if test.credentials != "" {
				r.Credentials = json.RawMessage(test.credentials)
			}
			got, err := newCouchDB(t, CouchDBOptions{Sessions: f, Upstream: "eu"}).OnRequest(t.Context(), r)
			if test.asked == "refused" {
				if refusal(t, err); f.tries() != 0 {
					t.Errorf("asked %q", f.asked)
				}
				return
			}
			want := test.want
			if want.Subject == "" { // a token
				var c struct{ Token string }
				_ = json.Unmarshal(r.Credentials, &c)
				want.Subject, want.Identity, test.asked = "eve", Identity{Kind: Bearer, Secret: c.Token}, "bearer token/"+c.Token
			}
			want.Upstream, want.Database, want.Access, want.DesignDocs = "eu", "todos", ReadWrite, true
			if diff := cmp.Diff(want, got); err != nil || diff != "" || got.Identity.Secret != want.Identity.Secret || got.validate() != nil {
				t.Errorf("%v, %v %s", err, got.validate(), diff)
			}
			if strings.Join(f.asked, "|") != test.asked {
				t.Errorf("asked %q, want %q", f.asked, test.asked)
			}
		})
	}
}

// TestCouchDBRefuses has credentials that are refused, with and without asking CouchDB, and those that are of other policies.
func TestCouchDBRefuses(t *testing.T) {
	t.Parallel()
	const abstains = "abstains"
	required := `a user name and a password are required: send the credentials {"name": "…", "password": "…"}`
	past := token(`{"exp":100}`)
	long := strings.Repeat("s3cret", 2000)
	quoted := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	page := Request{Origin: "https://app.example.com", Cookies: cookies("bob-cookie")}
	from := func(origin string, values ...string) Request {
		return Request{Origin: origin, Cookies: cookies(values...)}
	}
	in := func(database string, r Request) Request { r.Database = database; return r }
	for _, test := range []struct {
		credentials string
		request     Request
		want        string
		asks        int
	}{
		{`{"name":"bob","password":"s3cret"}`, Request{}, wrongLogin, 1},
		{`{"name":"bob"}`, Request{}, required, 0},
		{`{"password":"s3cret"}`, Request{}, required, 0},
		{`{"name":"bob","password":null}`, Request{}, required, 0},
		{`{"name":"bob","password":12345}`, Request{}, required, 0},
		{`{"name":"bob","password":["s3cret"]}`, Request{}, required, 0},
		{`{"name":"bob","password":""}`, Request{}, required, 0},
		{`{"name":{"$ne":1},"password":"s3cret"}`, Request{}, required, 0},
		{`{"name":"bob\u0000","password":"bob-pw"}`, Request{}, wrongLogin, 0},
		{`{"name":"bob\r\n","password":"bob-pw"}`, Request{}, wrongLogin, 0},
		{`{"name":" bob","password":"s3cret"}`, Request{}, wrongLogin, 0},
		{`{"name":` + quoted(long) + `,"password":"s3cret"}`, Request{}, wrongLogin, 0},
		{`{"name":"bob","password":` + quoted(long) + `}`, Request{}, wrongLogin, 0},
		{`{"name":"bob","name":"eve","password":"bob-pw"}`, page, abstains, 0},
		{`{"Name":"bob","password":"bob-pw"}`, page, abstains, 0},
		{`{"name":"bob","password":"bob-pw","token":"` + token(`{}`) + `"}`, page, abstains, 0},
		{`{"name":"bob","token":"` + token(`{}`) + `"}`, page, abstains, 0},
		{`{"name":"bob","password":"bob-pw","otp":1}`, page, abstains, 0},

		{`{"token":"` + past + `"}`, Request{}, "this token has expired", 0},
		{`{"token":` + quoted(token(`{}`)+"\n") + `}`, Request{}, wrongToken, 0},
		{`{"token":` + quoted("a.b\r\nX: y.c") + `}`, Request{}, wrongToken, 0},
		{`{"token":"a.` + long + `.c"}`, Request{}, wrongToken, 0},
		{`{"token":"s3cret"}`, page, abstains, 0},
		{`{"token":"a.b.c.d"}`, page, abstains, 0},
		{`{"token":null}`, page, abstains, 0},
		{`{"token":7}`, page, abstains, 0},

		{``, from("https://app.example.com", "s3cret"), wrongCookie, 1},
		{``, from("https://app.example.com", "malformed"), wrongCookie, 1},
		{``, from("https://app.example.com", "s3cret; X=y"), wrongCookie, 0},
		{``, from("https://app.example.com", long), wrongCookie, 0},
		{``, from("", "bob-cookie"), cookieOrigin, 0},
		{`{}`, from("", "bob-cookie"), cookieOrigin, 0},
		{`null`, from("null", "bob-cookie"), cookieOrigin, 0},
		{``, from("https://app.example.com", "bob-cookie", "eve-cookie"), "there is more than one AuthSession cookie: delete the cookies of this site", 0},
		{``, from("https://app.example.com"), abstains, 0},
		{``, from("https://app.example.com", ""), abstains, 0},
		{``, Request{}, abstains, 0},

		{`"bob"`, page, abstains, 0},
		{`[]`, page, abstains, 0},
		{`true`, page, abstains, 0},
		{`{"name":`, page, abstains, 0},
		{`{} {}`, page, abstains, 0},

		{`{"name":"bob","password":"bob-pw"}`, in("-", Request{}), "no database name was given", 0},
		{`{"name":"bob","password":"bob-pw"}`, in("_users", Request{}), "system databases are not available here", 0},
		{``, in("_replicator", page), "system databases are not available here", 0},
	} {
		f := &fakeSessions{}
		r := test.request
		switch r.Database {
		case "":
			r.Database = "todos"
		case "-":
			r.Database = ""
		}
		if test.credentials != "" {
			r.Credentials = json.RawMessage(test.credentials)
		}
		g, err := newCouchDB(t, CouchDBOptions{Sessions: f}).OnRequest(t.Context(), r)
		got := refusal(t, err)
		abstained := errors.Is(err, Abstain)
		if abstained != (test.want == abstains) || !abstained && got.Message != test.want || !reflect.DeepEqual(g, Grant{}) || f.tries() != test.asks {
			t.Errorf("%.80q %s: %v, %v; asked %q; want %s", test.credentials, r, g, err, f.asked, test.want)
		}
		if said := fmt.Sprintf("%v %v %+v", got, got.Err, g); strings.Contains(said, "s3cret") || strings.Contains(said, "bob") {
			t.Errorf("%.80q: shown in %s", test.credentials, said)
		}
	}
}

// TestCouchDBAnswers has what CouchDB may answer.
func TestCouchDBAnswers(t *testing.T) {
	t.Parallel()
	login, jwt := `{"name":"bob","password":"bob-pw"}`, `{"token":"`+token(`{}`)+`"}`
	for _, test := range []struct {
		fails       error
		credentials string
		code        Code
		message     string
	}{
		{answered(401), login, Unauthorized, wrongLogin},
		{answered(400), login, Unauthorized, wrongLogin},
		{fmt.Errorf("wrapped: %w", answered(401)), login, Unauthorized, wrongLogin},
		{answered(403), login, Unauthorized, "CouchDB does not let this user in now, try again in some minutes"},
		{answered(401), jwt, Unauthorized, wrongToken},
		{answered(403), jwt, Unauthorized, wrongToken},
		{answered(400), jwt, Unauthorized, wrongToken},
		{answered(500), jwt, Unavailable, defaultMessages[Unavailable]},
		{answered(503), login, Unavailable, defaultMessages[Unavailable]},
		{answered(404), login, Unavailable, defaultMessages[Unavailable]},
		{errors.New("connection refused"), login, Unavailable, defaultMessages[Unavailable]},
		{context.DeadlineExceeded, jwt, Unavailable, defaultMessages[Unavailable]},
	} {
		p := newCouchDB(t, CouchDBOptions{Sessions: &fakeSessions{fails: test.fails}})
		_, err := p.OnRequest(t.Context(), Request{Database: "todos", Credentials: json.RawMessage(test.credentials)})
		if r := refusal(t, err); r.Code != test.code || r.Error() != test.message || !errors.Is(r, test.fails) {
			t.Errorf("%v, %s: %s %v, cause %v", test.fails, test.credentials, r.Code, r, r.Err)
		}
	}
}

// oddSessions logs in somebody else, or nobody.
type oddSessions struct{ cookie, user string }

func (o oddSessions) Login(context.Context, string, string) (string, string, error) {
	return o.cookie, o.user, nil
}
func (o oddSessions) SessionAs(context.Context, Identity) (string, error) { return o.user, nil }

func TestCouchDBOddAnswers(t *testing.T) {
	t.Parallel()
	login, jwt := `{"name":"bob","password":"bob-pw"}`, `{"token":"`+token(`{}`)+`"}`
	for _, test := range []struct {
		oddSessions
		credentials string
		code        Code
	}{
		{oddSessions{"c", "eve"}, login, Unavailable},
		{oddSessions{"", "bob"}, login, Unavailable},
		{oddSessions{"c", ""}, login, Unauthorized},
		{oddSessions{"", ""}, jwt, Unauthorized},
	} {
		g, err := newCouchDB(t, CouchDBOptions{Sessions: test.oddSessions}).OnRequest(t.Context(),
			Request{Database: "todos", Credentials: json.RawMessage(test.credentials)})
		if r := refusal(t, err); r.Code != test.code || !reflect.DeepEqual(g, Grant{}) {
			t.Errorf("%+v: %+v, %s %v", test, g, r.Code, r)
		}
	}
}

func TestNewCouchDBRefuses(t *testing.T) {
	t.Parallel()
	f := &fakeSessions{}
	for says, o := range map[string]CouchDBOptions{
		"no CouchDB": {},
		"attempts of a user name: 0 are forgiven in a row":   {Sessions: f, NameAttempts: Attempts{Every: time.Minute}},
		"attempts of a user name: one more is forgiven":      {Sessions: f, NameAttempts: Attempts{Burst: 1}},
		"attempts of an address: -1 are forgiven in a row":   {Sessions: f, AddressAttempts: Attempts{Burst: -1, Every: time.Minute}},
		"attempts of an address: one more is forgiven every": {Sessions: f, AddressAttempts: Attempts{Burst: 1, Every: -1}},
	} {
		if p, err := NewCouchDB(o); p != nil || err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

// guesser tries to log in.
type guesser struct {
	t *testing.T
	p *CouchDB
}

// guess is the message for the client; "" when it is let in.
func (g guesser) guess(address, name, password string) string {
	g.t.Helper()
	credentials, _ := json.Marshal(map[string]string{"name": name, "password": password})
	_, err := g.p.OnRequest(g.t.Context(), Request{Database: "todos", Credentials: credentials, RemoteAddr: netip.MustParseAddrPort(address)})
	if err == nil {
		return ""
	}
	return refusal(g.t, err).Message
}

func (g guesser) expect(want, address, name, password string) {
	g.t.Helper()
	if got := g.guess(address, name, password); got != want {
		g.t.Errorf("%s/%s from %s: %q, want %q", name, password, address, got, want)
	}
}

// TestCouchDBGuessing walks through the counts of a name and of an address.
func TestCouchDBGuessing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSessions{takes: time.Millisecond}
		g := guesser{t, newCouchDB(t, CouchDBOptions{Sessions: f, NameAttempts: Attempts{3, time.Minute}, AddressAttempts: Attempts{8, 10 * time.Second}})}
		const home, other, third = "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"
		for i := range 3 {
			g.expect(wrongLogin, fmt.Sprintf("10.1.0.%d:1", i), "bob", fmt.Sprint(i))
		}
		// The name is used up from everywhere, for the right password too, and CouchDB is not asked.
		g.expect("too many attempts, try again in 60 s", home, "bob", "bob-pw")
		g.expect("", home, "eve", "eve-pw")
		time.Sleep(30 * time.Second)
		g.expect("too many attempts, try again in 30 s", home, "bob", "bob-pw")
		if f.tries() != 4 {
			t.Errorf("CouchDB was asked %q", f.asked)
		}
		time.Sleep(30 * time.Second)
		g.expect("", home, "bob", "bob-pw") // which clears the count
		for i := range 3 {
			g.expect(wrongLogin, home, "bob", fmt.Sprint("again", i))
		}
		// An account of one's own does not clear the count of one's address.
		for i := range 5 {
			g.expect("", home, "eve", "eve-pw")
			g.expect(wrongLogin, home, fmt.Sprint("user", i), "x")
		}
		g.expect("too many attempts, try again in 10 s", home, "eve", "eve-pw")
		g.expect("", other, "eve", "eve-pw")
		time.Sleep(10 * time.Second)
		g.expect("", home, "eve", "eve-pw")
		time.Sleep(time.Hour) // no more than at the beginning is forgiven
		for i := range 8 {
			g.expect(wrongLogin, third, fmt.Sprint("late", i), "x")
		}
		g.expect("too many attempts, try again in 10 s", third, "late", "x")
	})
}

// TestCouchDBGuessingTokens counts tokens and cookies by address alone.
func TestCouchDBGuessingTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSessions{}
		p := newCouchDB(t, CouchDBOptions{Sessions: f, AddressAttempts: Attempts{2, time.Minute}})
		for i, want := range []string{wrongCookie, wrongCookie, "too many attempts, try again in 60 s"} {
			_, err := p.OnRequest(t.Context(), Request{Database: "todos", Origin: "https://a.example", Cookies: cookies(fmt.Sprint("guess", i))})
			if r := refusal(t, err); r.Message != want {
				t.Errorf("%d: %v", i, r)
			}
		}
	})
}

// TestCouchDBGuessingAtOnce has a hundred guesses at once: no more come through than in turn.
func TestCouchDBGuessingAtOnce(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		what           string
		name, password func(int) string
		asked, atOnce  int
	}{
		{"one name", func(int) string { return "bob" }, func(i int) string { return fmt.Sprint(i) }, 5, 1},
		{"one password", func(i int) string { return fmt.Sprint(i) }, func(int) string { return "123456" }, 20, 20},
		{"one device", func(int) string { return "bob" }, func(int) string { return "old" }, 1, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeSessions{takes: time.Second}
			g := guesser{t, newCouchDB(t, CouchDBOptions{Sessions: f, NameAttempts: Attempts{5, time.Hour}, AddressAttempts: Attempts{20, time.Hour}})}
			var guesses sync.WaitGroup
			for i := range 100 {
				guesses.Go(func() {
					if g.guess("10.0.0.1:1", test.name(i), test.password(i)) == "" {
						t.Error("let in")
					}
				})
			}
			guesses.Wait()
			if f.tries() != test.asked || f.atOnce != test.atOnce {
				t.Errorf("%s: CouchDB was asked %d times, %d at once; want %d, %d", test.what, f.tries(), f.atOnce, test.asked, test.atOnce)
			}
		})
	}
}

// TestCouchDBManyRight has an office that comes back all at once, and a user with many databases: nobody is refused.
func TestCouchDBManyRight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSessions{takes: 10 * time.Millisecond}
		g := guesser{t, newCouchDB(t, CouchDBOptions{Sessions: f, NameAttempts: Attempts{2, time.Hour}, AddressAttempts: Attempts{5, time.Hour}})}
		var users sync.WaitGroup
		for i := range 200 {
			name := fmt.Sprint("user", i%40)
			users.Go(func() { g.expect("", "10.0.0.1:1", name, name+"-pw") })
		}
		users.Wait()
		if f.tries() != 200 || f.atOnce != 5 {
			t.Errorf("%d tries, %d at once", f.tries(), f.atOnce)
		}
	})
}

// TestCouchDBForgottenDevice connects every ten seconds for a day with an old password: its owner is never locked out. Somebody
// who signs up after a try is let in.
func TestCouchDBForgottenDevice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSessions{takes: time.Millisecond}
		g := guesser{t, newCouchDB(t, CouchDBOptions{Sessions: f})}
		for range 6 * 60 * 24 {
			g.expect(wrongLogin, "10.0.0.1:1", "bob", "old")
			time.Sleep(10 * time.Second)
		}
		if n := f.tries(); n < 2*24 || n > 2*12*24 {
			t.Errorf("CouchDB was asked %d times", n)
		}
		g.expect("", "10.0.0.2:1", "bob", "bob-pw")

		f.fails = answered(401)
		g.expect(wrongLogin, "10.0.0.1:1", "new", "new-pw")
		f.fails = nil
		g.expect("", "10.0.0.1:1", "new", "new-pw")
	})
}

// TestCouchDBLeaving leaves while CouchDB still thinks: the guess counts. What CouchDB does not answer in time counts for nobody.
func TestCouchDBLeaving(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSessions{takes: time.Second}
		p := newCouchDB(t, CouchDBOptions{Sessions: f, NameAttempts: Attempts{2, time.Hour}})
		try := func(ctx context.Context, password string) *Refusal {
			_, err := p.OnRequest(ctx, Request{Database: "todos", Credentials: json.RawMessage(`{"name":"bob","password":"` + password + `"}`)})
			return refusal(t, err)
		}
		late, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		for range 5 {
			if r := try(late, "a"); r.Code != Unavailable || !errors.Is(r, context.DeadlineExceeded) {
				t.Error(r.Code, r.Err)
			}
		}
		for i := range 2 {
			leaves, leave := context.WithCancel(t.Context())
			time.AfterFunc(time.Millisecond, leave)
			if r := try(leaves, fmt.Sprint(i)); r.Message != wrongLogin {
				t.Error(r)
			}
		}
		if r := try(t.Context(), "bob-pw"); !strings.HasPrefix(r.Message, "too many attempts") {
			t.Error(r)
		}
	})
}
