package auth

import (
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
