package couch

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestErrorBodies(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status              int
		contentType, body   string
		header              string
		wantName, want      string
		retryAfter          time.Duration
		transient, notFound bool
	}{
		{status: 404, body: `{"error":"not_found","reason":"missing"}`, wantName: "not_found", want: "missing", notFound: true},
		{status: 403, body: `{"error":"forbidden","reason":{"field":"a\"b","n":1.0}}`, wantName: "forbidden", want: `{"field":"a\"b","n":1.0}`},
		{status: 403, body: `{"error":"forbidden","reason":null}`, wantName: "forbidden"},
		{status: 500, body: `{"error":"unknown_error","reason":"function_clause","ref":1}`, wantName: "unknown_error", want: "function_clause", transient: true},
		{status: 502, contentType: "text/html; charset=x", body: "<html>s3cret</html>", wantName: "bad_gateway", want: "not an answer of CouchDB (text/html)", transient: true},
		{status: 503, body: "", header: "7", wantName: "service_unavailable", want: "not an answer of CouchDB (text/plain)", retryAfter: 7 * time.Second, transient: true},
		{status: 429, body: `{"error":"too_many_requests","reason":"slow"}`, header: "-1", wantName: "too_many_requests", want: "slow", transient: true},
		{status: 413, body: `{"error":"document_too_large","reason":"a"} trailing`, wantName: "document_too_large", want: "a"},
		{status: 400, body: `{"error":"bad_request","reason":"cut off`, wantName: "bad_request"},
		{status: 400, body: `["s3cret"]`, wantName: "bad_request", want: "not an answer of CouchDB (text/plain)"},
		{status: 418, body: `{"error":5}`, wantName: "5"},
		{status: 599, body: strings.Repeat("s3cret", 1<<20), want: "not an answer of CouchDB (text/plain)"},
	} {
		c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			if test.contentType != "" {
				w.Header().Set("Content-Type", test.contentType)
			}
			if test.header != "" {
				w.Header().Set("Retry-After", test.header)
			}
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.body)
		}), "", Options{})
		_, err := mustDatabase(t, c, "db").Info(t.Context())
		want := Error{Op: "GET database", Status: test.status, Name: test.wantName, Reason: test.want, RetryAfter: test.retryAfter}
		if got, ok := err.(*Error); !ok || *got != want {
			t.Errorf("%s: got %+v, want %+v", test.body[:min(len(test.body), 50)], err, want)
		}
		if Transient(err) != test.transient || IsNotFound(err) != test.notFound || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v: transient %v, not found %v", err, Transient(err), IsNotFound(err))
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for h, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"120":                           2 * time.Minute,
		"x":                             0,
		"-5":                            0,
		"1.5":                           0,
		"Fri, 02 Jan 2026 03:05:05 GMT": time.Minute,
		"Fri, 02 Jan 2026 03:00:05 GMT": 0,
		"Fri, 02 Jan 2099 03:00:05 GMT": 24 * time.Hour,
		"2147483647":                    24 * time.Hour,
		"99999999999999999999999":       0,
	} {
		if got := retryAfter(h, now); got != want {
			t.Errorf("%q: %v, want %v", h, got, want)
		}
	}
}

func TestNetworkErrorsHideTheURL(t *testing.T) {
	t.Parallel()
	c, err := New("http://bob:s3cret@127.0.0.1:1/base", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d := mustDatabase(t, c, "db")
	_, get := d.Get(t.Context(), "private-id", GetOptions{})
	_, server := c.Server(t.Context())
	for _, err := range []error{get, server} {
		if !Transient(err) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%v", err)
		}
		for _, leak := range []string{"s3cret", "bob", "private-id", "http:", "base"} {
			if strings.Contains(err.Error(), leak) {
				t.Errorf("%v holds %q", err, leak)
			}
		}
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  Error
		want string
	}{
		{Error{Op: "GET _changes", Status: 404, Name: "not_found", Reason: "missing"}, "couch: GET _changes: 404 not_found: missing"},
		{Error{Op: "GET _changes", Status: 502}, "couch: GET _changes: 502"},
		{Error{Op: "GET _changes", Err: errSilent}, "couch: GET _changes: nothing was heard in time"},
		{Error{Op: "x", Status: 403, Name: "forbidden", Reason: strings.Repeat("é", 200)}, "couch: x: 403 forbidden: " + strings.Repeat("é", 150) + "..."},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
	if (&Error{Err: context.Canceled}).Transient() || Transient(context.Canceled) || Transient(nil) {
		t.Error("a cancellation is transient")
	}
}
