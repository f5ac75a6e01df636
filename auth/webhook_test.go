package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
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
