package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const webhookSecret = "sixteen bytes or more"

// roundTrip is a transport without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	defer r.Body.Close()
	return f(r)
}

// reply is what an endpoint answers; each name in header has its value after it.
func reply(status int, body string, header ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

const grantTodos = `{"database":"todos-7","access":"read-write"}`

func newWebhook(t testing.TB, o WebhookOptions) *Webhook {
	t.Helper()
	if o.URL == "" {
		o.URL = "https://app.example/hook?key=k3y"
	}
	w, err := NewWebhook(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// verify is what the endpoint does with a request, written from the documentation.
func verify(r *http.Request, secret string) (body string, err error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return "", err
	}
	m := regexp.MustCompile(`^t=(\d+),v1=([0-9a-f]{64})$`).FindStringSubmatch(r.Header.Get("Pouchbridge-Signature"))
	if m == nil {
		return "", fmt.Errorf("signature is %q", r.Header.Get("Pouchbridge-Signature"))
	}
	var at int64
	if _, err := fmt.Sscan(m[1], &at); err != nil || time.Since(time.Unix(at, 0)).Abs() > 300*time.Second {
		return "", fmt.Errorf("signed at %s", m[1])
	}
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = fmt.Fprintf(mac, "%s.%s", m[1], b)
	if hex.EncodeToString(mac.Sum(nil)) != m[2] {
		return "", errors.New("the signature is wrong")
	}
	return string(b), nil
}

func TestWebhookRequest(t *testing.T) {
	t.Parallel()
	const rest = `"database":"todos","remote_addr":"","origin":"","dialect":"","tls":false,"headers":{},"cookies":{}`
	cookies := []*http.Cookie{{Name: "sid", Value: "1"}, {Name: "other", Value: "2"}, {Name: "sid", Value: "3"}}
	const withOrigin = `{"database":"todos","remote_addr":"","origin":%s,"dialect":"","tls":false,"headers":{},"cookies":{%s}}`
	for _, tt := range []struct {
		name    string
		request Request
		want    string
	}{
		{"no credentials", Request{Database: "todos"}, `{` + rest + `}`},
		{"null", Request{Database: "todos", Credentials: json.RawMessage(`null`)}, `{"credentials":null,` + rest + `}`},
		{"untouched", Request{Database: "todos", Credentials: json.RawMessage(" {\"n\" : 1.0,\"b\":12345678901234567890e0, \"n\":\"\\u0041/<\xff\" }\n")},
			"{\"credentials\": {\"n\" : 1.0,\"b\":12345678901234567890e0, \"n\":\"\\u0041/<\xff\" }\n," + rest + `}`},
		{"all facts",
			Request{Database: "a/\"b\"\n", RemoteAddr: netip.MustParseAddrPort("[::ffff:203.0.113.7]:4711"), Origin: "https://app.example", Dialect: "legacy", TLS: true,
				Header: http.Header{"X-Tenant": {"a", "b"}, "X-A": {"\xff"}, "Cookie": {"sid=1"}}, Cookies: cookies},
			`{"database":"a/\"b\"\n","remote_addr":"203.0.113.7","origin":"https://app.example","dialect":"legacy","tls":true,` +
				`"headers":{"X-A":"�","X-Tenant":"a, b"},"cookies":{"sid":"1"}}`},
		{"cookies without an origin", Request{Database: "todos", Cookies: cookies}, fmt.Sprintf(withOrigin, `""`, ``)},
		{"cookies with the origin null", Request{Database: "todos", Cookies: cookies, Origin: "null"}, fmt.Sprintf(withOrigin, `"null"`, ``)},
		{"cookies with an origin", Request{Database: "todos", Cookies: cookies, Origin: "https://a"}, fmt.Sprintf(withOrigin, `"https://a"`, `"sid":"1"`)},
		{"previous grant, without its secrets",
			Request{Database: "todos", Previous: &Grant{Upstream: "eu", Database: "todos-7", Access: ReadOnly, Subject: "alice", TokenID: "t",
				Expires: time.Unix(1790000000, 0), Identity: Identity{Kind: Basic, Name: "alice", Secret: "s3cret"}, Filter: Filter{DocIDs: []string{"s3cret"}}}},
			`{` + rest + `,"previous":{"upstream":"eu","database":"todos-7","access":"read-only","subject":"alice","token_id":"t","expires":"2026-09-21T14:13:20Z"}}`},
		{"previous grant without end", Request{Database: "todos", Previous: &Grant{Database: "todos-7", Access: WriteOnly}},
			`{` + rest + `,"previous":{"upstream":"","database":"todos-7","access":"write-only","subject":"","token_id":""}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got string
			w := newWebhook(t, WebhookOptions{Secret: webhookSecret, Cookies: []string{"sid"}, UserAgent: "pouchbridge/1.2.3",
				Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					var err error
					if got, err = verify(r, webhookSecret); err != nil {
						t.Error(err)
					}
					if r.Method != http.MethodPost || r.URL.String() != "https://app.example/hook?key=k3y" || r.ContentLength != int64(len(got)) {
						t.Errorf("%s %s with %d bytes", r.Method, r.URL, r.ContentLength)
					}
					if h := r.Header; h.Get("Content-Type") != "application/json" || h.Get("User-Agent") != "pouchbridge/1.2.3" {
						t.Errorf("header %v", h)
					}
					return reply(200, grantTodos), nil
				})})
			g, err := w.OnRequest(t.Context(), tt.request)
			if err != nil || g.Database != "todos-7" {
				t.Fatalf("OnRequest = %+v, %v", g, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}

// What cannot be written down faithfully is refused, and the endpoint not asked.
func TestWebhookRequestRefused(t *testing.T) {
	t.Parallel()
	w := newWebhook(t, WebhookOptions{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		t.Error("the endpoint was asked")
		return reply(200, grantTodos), nil
	})})
	for _, tt := range []struct {
		name, credentials, database string
		code                        Code
	}{
		{"members smuggled in", `{},"database":"all"`, "todos", Unauthorized},
		{"end smuggled in", `{}}`, "todos", Unauthorized},
		{"empty text", ``, "todos", Unauthorized},
		{"cut off", `{"a":`, "todos", Unauthorized},
		{"too long", `"` + strings.Repeat("x", maxWebhookCredentials) + `"`, "todos", Unauthorized},
		{"nested beyond reason", strings.Repeat("[", 20000) + strings.Repeat("]", 20000), "todos", Unauthorized},
		{"name that is no text", `{}`, "todos\xff", NotFound},
	} {
		_, err := w.OnRequest(t.Context(), Request{Database: tt.database, Credentials: json.RawMessage(tt.credentials)})
		if r := refusal(t, err); r.Code != tt.code {
			t.Errorf("%s: %s, want %s", tt.name, r.Code, tt.code)
		}
	}
}

func TestWebhookUnsigned(t *testing.T) {
	t.Parallel()
	w := newWebhook(t, WebhookOptions{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if _, signed := r.Header["Pouchbridge-Signature"]; signed || r.Header.Get("User-Agent") != "pouchbridge" {
			t.Errorf("header %v", r.Header)
		}
		return reply(200, grantTodos), nil
	})})
	if _, err := w.OnRequest(t.Context(), Request{Database: "todos"}); err != nil {
		t.Fatal(err)
	}
}

// What the endpoint verifies with another secret, or of another body, does not pass: the check of the other tests can fail.
func TestWebhookSignatureTampered(t *testing.T) {
	t.Parallel()
	at := time.Now()
	for _, tt := range []struct {
		name, signature, body string
		ok                    bool
	}{
		{"as sent", sign(webhookSecret, at, []byte("body")), "body", true},
		{"other body", sign(webhookSecret, at, []byte("body")), "Body", false},
		{"other secret", sign("another secret of bytes", at, []byte("body")), "body", false},
		{"replayed later", sign(webhookSecret, at.Add(-time.Hour), []byte("body")), "body", false},
		{"none", "", "body", false},
	} {
		r := &http.Request{Header: http.Header{"Pouchbridge-Signature": {tt.signature}}, Body: io.NopCloser(strings.NewReader(tt.body))}
		if _, err := verify(r, webhookSecret); (err == nil) != tt.ok {
			t.Errorf("%s: %v, want ok %t", tt.name, err, tt.ok)
		}
	}
	// Worked out with openssl dgst -sha256 -hmac: changing it breaks every endpoint.
	const golden = "t=1790000000,v1=27fac1750cad80bf077e05606855c9bbd6a6a2e5410c448ebfe3caa1ceb65e54"
	if got := sign(webhookSecret, time.Unix(1790000000, 0), []byte(`{"database":"todos"}`)); got != golden {
		t.Errorf("signature is %s, want %s", got, golden)
	}
}

func TestWebhookAnswer(t *testing.T) {
	t.Parallel()
	const plain = "access could not be decided, try again later"
	ok := func(body string) *http.Response { return reply(200, body) }
	for _, tt := range []struct {
		name    string
		answer  *http.Response
		code    Code // empty: granted
		message string
		cause   string // part of the cause
	}{
		{name: "grant", answer: ok(grantTodos)},
		{name: "grant with a charset", answer: reply(200, grantTodos, "Content-Type", "Application/JSON; charset=utf-8")},

		{"refusal", ok(`{"refuse":{"code":"forbidden","message":"not yours"}}`), Forbidden, "not yours", ""},
		{"refusal without a message", ok(`{"refuse":{"code":"not_found"}}`), NotFound, "database not found", ""},
		{"refusal for now", ok(`{"refuse":{"code":"unavailable","message":"back at noon"}}`), Unavailable, "back at noon", ""},
		{"refusal with a long message", ok(`{"refuse":{"code":"forbidden","message":"` + strings.Repeat("x", 301) + `"}}`), Forbidden, "access to this database is refused", ""},
		{"refusal with a message of two lines", ok(`{"refuse":{"code":"forbidden","message":"a\nb"}}`), Forbidden, "access to this database is refused", ""},
		{"refusal of an unknown code", ok(`{"refuse":{"code":"teapot"}}`), Unavailable, plain, "answer.refuse.code: must be"},
		{"refusal without a code", ok(`{"refuse":{"message":"no"}}`), Unavailable, plain, "answer.refuse.code: must be"},
		{"refusal and grant", ok(`{"database":"a","access":"read-only","refuse":{"code":"forbidden"}}`), Unavailable, plain, `answer["database"]: unknown member`},
		{"refusal null", ok(`{"refuse":null}`), Unavailable, plain, "answer.refuse: must be an object, is null"},
		{"refusal and abstention", ok(`{"refuse":{"code":"forbidden"},"abstain":true}`), Unavailable, plain, "either refuse or abstain"},
		{"abstention", ok(`{"abstain":true}`), Unauthorized, "these credentials are of no kind that is accepted here", ""},
		{"abstention false", ok(`{"abstain":false}`), Unavailable, plain, "answer.abstain: must be true"},
		{"abstention and grant", ok(`{"abstain":true,"database":"a","access":"read-only"}`), Unavailable, plain, `answer["database"]: unknown member`},

		{"upstream is a URL", ok(`{"database":"todos","access":"read-write","upstream":"http://evil"}`), Unavailable, plain, "grant.upstream: must be the name"},
		{"system database not meant", ok(`{"database":"_users","access":"read-write"}`), Unavailable, plain, `"_users"`},
		{"unknown member", ok(`{"database":"todos","access":"read-only","readonly":true}`), Unavailable, plain, `grant["readonly"]`},
		{"expired grant", ok(`{"database":"todos","access":"read-only","expires":1000000000}`), Unavailable, plain, "grant that expired at 2001-09-09"},
		{"the request itself", ok(`{"credentials":{"password":"s3cret"},"database":"todos"}`), Unavailable, plain, `grant["credentials"]`},
		{"the credentials as text", ok(`"s3cret"`), Unavailable, plain, "grant: must be an object"},
		{"the credentials in the grant", ok(`{"access":"s3cret","database":7,"expires":"s3cret"}`), Unavailable, plain, "grant.access: must be"},
		{"nothing", ok(``), Unavailable, plain, "is empty"},
		{"no JSON", ok(`s3cret`), Unavailable, plain, "not JSON"},
		{"cut off", ok(`{"database":"todos","access":"read-wri`), Unavailable, plain, "not JSON"},
		{"HTML", reply(200, "<!doctype html>", "Content-Type", "text/html"), Unavailable, plain, "Content-Type"},
		{"grant as text", reply(200, grantTodos, "Content-Type", "text/plain"), Unavailable, plain, "Content-Type"},
		{"grant of no type", reply(200, grantTodos, "Content-Type", ""), Unavailable, plain, "Content-Type"},
		{"grant of a nonsense type", reply(200, grantTodos, "Content-Type", "application/json; s3cret"), Unavailable, plain, "Content-Type"},
		{"10 MB", ok(`{"database":"` + strings.Repeat("x", 10<<20) + `"}`), Unavailable, plain, "more than 65536 bytes"},
		{"grant after 64 KiB", ok(strings.Repeat(" ", maxAnswer) + grantTodos), Unavailable, plain, "more than 65536 bytes"},

		{"401", reply(401, ``), Unauthorized, "you are not authorized to access this database", "answered 401"},
		{"401 with a message", reply(401, `{"message":"token expired","detail":1}`), Unauthorized, "token expired", "answered 401"},
		{"403 with a message in HTML", reply(403, `<p>no`, "Content-Type", "text/html"), Forbidden, "access to this database is refused", "answered 403"},
		{"403 with a message of no type", reply(403, `{"message":"no"}`, "Content-Type", ""), Forbidden, "access to this database is refused", "answered 403"},
		{"403 with a long message", reply(403, `{"message":"`+strings.Repeat("x", 301)+`"}`), Forbidden, "access to this database is refused", "answered 403"},
		{"403 with 10 MB", reply(403, `{"message":"no","x":"`+strings.Repeat("x", 10<<20)+`"}`), Forbidden, "access to this database is refused", "answered 403"},
		{"403 with a number", reply(403, `{"message":7}`), Forbidden, "access to this database is refused", "answered 403"},
		{"403 with a grant", reply(403, grantTodos), Forbidden, "access to this database is refused", "answered 403"},
		{"404", reply(404, `{"message":"no such list"}`), NotFound, "no such list", "answered 404"},
		{"201 with a grant", reply(201, grantTodos), Unavailable, plain, "answered 201"},
		{"204", reply(204, ``), Unavailable, plain, "answered 204"},
		{"302", reply(302, grantTodos, "Location", "https://evil.example/?s3cret"), Unavailable, plain, "answered 302: redirects are not followed"},
		{"304", reply(304, ``), Unavailable, plain, "answered 304"},
		{"307", reply(307, ``, "Location", "/other"), Unavailable, plain, "answered 307"},
		{"400 with a message", reply(400, `{"message":"s3cret"}`), Unavailable, plain, "answered 400"},
		{"429", reply(429, ``), Unavailable, plain, "answered 429"},
		{"500 with a grant", reply(500, grantTodos), Unavailable, plain, "answered 500"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWebhook(t, WebhookOptions{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return tt.answer, nil })})
			d := NewDecider(w, time.Minute)
			g, err := d.Decide(t.Context(), Request{Database: "todos", Credentials: json.RawMessage(`{"password":"s3cret"}`)})
			if tt.code == "" {
				if err != nil || g.Database != "todos-7" || g.Access != ReadWrite {
					t.Fatalf("Decide = %+v, %v; want the grant", g, err)
				}
				return
			}
			r := refusal(t, err)
			if r.Code != tt.code || r.Message != tt.message || g.Database != "" {
				t.Errorf("Decide = %+v, %s %q; want %s %q", g, r.Code, r.Message, tt.code, tt.message)
			}
			cause := fmt.Sprint(r.Err)
			if !strings.Contains(cause, tt.cause) {
				t.Errorf("cause is %s, want %q in it", cause, tt.cause)
			}
			for _, secret := range []string{"s3cret", "k3y"} {
				if strings.Contains(cause+r.Message, secret) {
					t.Errorf("%q is in the error: %s", secret, cause)
				}
			}
			if r.Code == Unavailable && r.Message == plain && !strings.Contains(cause, "webhook app.example: ") {
				t.Errorf("cause %q does not name the endpoint", cause)
			}
		})
	}
}

// An answer without end is not read to its end.
func TestWebhookEndlessAnswer(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 302, 403, 500} {
		read := 0
		w := newWebhook(t, WebhookOptions{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			a := reply(status, "")
			a.ContentLength = -1
			a.Body = io.NopCloser(readerFunc(func(b []byte) (int, error) {
				read += len(b)
				return len(b), nil
			}))
			return a, nil
		})})
		if _, err := w.OnRequest(t.Context(), someone); err == nil || read > 2*maxAnswer {
			t.Errorf("status %d: %d bytes were read; %v", status, read, err)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func TestMaxAge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		lines []string
		want  time.Duration
	}{
		{nil, 0},
		{[]string{"max-age=60"}, time.Minute},
		{[]string{"private, Max-Age=60"}, time.Minute},
		{[]string{"private", "max-age=60"}, time.Minute},
		{[]string{"max-age=0"}, 0},
		{[]string{"max-age=60, no-store"}, 0},
		{[]string{"no-cache", "max-age=60"}, 0},
		{[]string{`no-cache="X", max-age=60`}, 0},
		{[]string{"s-maxage=60"}, 0},
		{[]string{"max-age=-1"}, 0},
		{[]string{"max-age=1.5"}, 0},
		{[]string{`max-age="60"`}, 0},
		{[]string{"max-age"}, 0},
		{[]string{"max-age=60, max-age=61"}, 0},
		{[]string{"max-age=99999999999999999999"}, 0},
		{[]string{"public"}, 0},
	} {
		if got := maxAge(http.Header{"Cache-Control": tt.lines}); got != tt.want {
			t.Errorf("maxAge(%q) = %s, want %s", tt.lines, got, tt.want)
		}
	}
}

func TestWebhookOptions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		options WebhookOptions
		want    string // empty: fine
	}{
		{WebhookOptions{URL: "https://app.example/hook"}, ""},
		{WebhookOptions{URL: "http://127.0.0.1:8080/hook"}, ""},
		{WebhookOptions{URL: "http://[::1]/hook"}, ""},
		{WebhookOptions{URL: "http://localhost/hook"}, ""},
		{WebhookOptions{URL: "http://app.internal/hook", AllowHTTP: true}, ""},
		{WebhookOptions{URL: "https://app.example", Secret: webhookSecret}, ""},
		{WebhookOptions{}, "URL: must be like"},
		{WebhookOptions{URL: "app.example/hook"}, "URL: must be like"},
		{WebhookOptions{URL: "https://u:s3cret@app.example:port/"}, "URL: must be like"},
		{WebhookOptions{URL: "ftp://u:s3cret@app.example/"}, "URL: must begin with https://"},
		{WebhookOptions{URL: "http://u:s3cret@app.example/hook"}, "URL: is http: use https"},
		{WebhookOptions{URL: "http://127.0.0.1.evil.example/"}, "URL: is http: use https"},
		{WebhookOptions{URL: "https://app.example", Secret: "s3cret"}, "Secret: has 6 bytes; at least 16"},
		{WebhookOptions{URL: "https://app.example", Timeout: -1, CacheSize: -1}, "Timeout: is -1ns; must not be negative\nCacheSize: is -1; must not be negative"},
		{WebhookOptions{URL: "https://app.example", MaxAge: -1, MaxInFlight: -1, BreakAfter: -1, BreakFor: -1}, "BreakAfter: is -1"},
	} {
		w, err := NewWebhook(tt.options)
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.options.URL, err)
				continue
			}
			if err := w.Close(); err != nil {
				t.Error(err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: error is %v, want %q", tt.options.URL, err, tt.want)
		}
	}
}

// Whatever the answer, there is either a grant that validates or an error.
func FuzzParseDecision(f *testing.F) {
	for _, seed := range []string{
		grantTodos, `{"abstain":true}`, `{"refuse":{"code":"forbidden","message":"no"}}`, `{"refuse":{},"abstain":false}`,
		`{"abstain":true,"abstain":true}`, `{"database":"_users","access":"read-only","system":true}`, `[`, `"refuse"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		g, err := parseDecision(text)
		if !bytes.Equal(before, text) {
			t.Fatal("the answer was changed")
		}
		if err == nil {
			if err := g.validate(); err != nil {
				t.Fatalf("grant %+v does not validate: %v", g, err)
			}
			return
		}
		if g.Database != "" || refusalOf(err).Message == "" {
			t.Fatalf("%+v came with %v", g, err)
		}
	})
}
