package couch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ url, says string }{
		{"", "empty"},
		{"couch:5984", "http"},
		{"localhost", "http"},
		{"ftp://u:s3cret@h", "http"},
		{"http://", "no host"},
		{"http://:5984", "no host"},
		{"http://u:s3cret/x@h:5984", "percent-encode"},
		{"http://u:12/s3cret@h:5984", "%2F"},
		{"http://u:s3cret#x@h", "percent-encode"},
		{"http://u:12#s3cret@h", "percent-encode"},
		{"http://u:12?s3cret@h", "percent-encode"},
		{"http://u:s3cret%zz@h", "percent-encode"},
		{"http://:s3cret@h", "user name"},
		{"http://u:s3cret@h/a/../b", "path"},
		{"http://u:s3cret@h/?x=1", "query"},
		{"http://h\x7f", "not a URL"},
	} {
		_, err := New(test.url, Options{})
		var e *Error
		if !errors.As(err, &e) || e.Status != 400 || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", test.url, err)
		}
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"http://h":                             "http://h",
		"https://u:p%2Fq@h:6984/couch%2Fdb/x/": "https://h:6984/couch%2Fdb/x",
		"http://u@[::1]:5984/":                 "http://[::1]:5984",
	} {
		c, err := New(in, Options{HTTPClient: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			t.Errorf("New asked for %s", r.URL)
			return nil, io.EOF
		})}})
		if err != nil || c.String() != want || fmt.Sprint(c) != want {
			t.Errorf("%q: %v, %v", in, c, err)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestHeaders looks at what goes over the wire: credentials at once and with every request, no gzip, and no trace of the
// header that only tells net/http what it may repeat.
func TestHeaders(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		user, password, _ := r.BasicAuth()
		_, key := r.Header["Idempotency-Key"]
		if user != "bob" || password != "a/b:c" || key || !strings.Contains(r.UserAgent(), "pouchbridge/1") || r.Header.Get("Content-Encoding") != "" ||
			r.URL.Path != "/" && r.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("%s: %v", r.URL, r.Header)
		}
		_, _ = w.Write([]byte("{}"))
	}))
	t.Cleanup(server.Close)
	c, err := New(strings.Replace(server.URL, "http://", "http://bob:a%2Fb%3Ac@", 1), Options{UserAgent: "pouchbridge/1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	d := mustDatabase(t, c, "db")
	_, _ = c.Server(t.Context())
	_, _ = d.RevsDiff(t.Context(), value(`{}`))
	_, _ = d.Get(t.Context(), "a", GetOptions{})
	_, _ = d.BulkDocs(t.Context(), []value{value(`{}`)}, false)
	_, _ = d.PutAttachment(t.Context(), "a", "b", "", "text/plain", 1, strings.NewReader("x"))
	if n.Load() != 5 {
		t.Errorf("%d requests", n.Load())
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	elsewhere := httptest.NewServer(r)
	t.Cleanup(elsewhere.Close)
	c := serve(t, http.RedirectHandler(elsewhere.URL, http.StatusFound), "", Options{})
	_, err := mustDatabase(t, c, "db").Info(t.Context())
	var e *Error
	if !errors.As(err, &e) || e.Status != http.StatusFound || r.last() != "" {
		t.Errorf("%v; the other host saw %q", err, r.last())
	}
	if _, err := c.Server(t.Context()); err == nil || r.last() != "" {
		t.Errorf("%v; the other host saw %q", err, r.last())
	}
}

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

func TestCancellation(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "_changes") {
			_, _ = io.WriteString(w, `{"results":[`)
			w.(http.Flusher).Flush()
		}
		select {
		case <-r.Context().Done():
		case <-release:
		}
	}), "", Options{})
	t.Cleanup(func() { close(release) })
	d := mustDatabase(t, c, "db")
	cause := errors.New("the grant expired")
	check := func(what string, err error, want error) {
		t.Helper()
		var e *Error
		if !errors.Is(err, want) || Transient(err) || errors.As(err, &e) {
			t.Errorf("%s: %v", what, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	changes, err := d.Changes(ctx, ChangesOptions{})
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
	_, err = changes.Next()
	check("Next", err, context.Canceled)
	check("Next", err, cause)
	_, err = d.Info(ctx)
	check("Info with a context that has ended", err, context.Canceled)
	short, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	_, err = d.Info(short)
	check("Info", err, context.DeadlineExceeded)
	again, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	_, err = c.Server(again)
	check("Server", err, context.DeadlineExceeded)
}

func TestAnswerTooLong(t *testing.T) {
	t.Parallel()
	for _, chunked := range []bool{false, true} {
		c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if chunked {
				w.(http.Flusher).Flush()
			}
			_, _ = io.WriteString(w, `"`+strings.Repeat("x", 1000)+`"`)
		}), "", Options{MaxAnswerBytes: 1000})
		_, err := mustDatabase(t, c, "db").Get(t.Context(), "a", GetOptions{})
		if !errors.Is(err, errTooLong) || Transient(err) {
			t.Errorf("%v", err)
		}
	}
}

func TestAnswersThatAreNotJSON(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "<html>", `{"a":1`, `{"a":1}{}`, `{} x`} {
		c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, body) }), "", Options{})
		d := mustDatabase(t, c, "db")
		_, get := d.Get(t.Context(), "a", GetOptions{})
		_, server := c.Server(t.Context())
		_, put := d.PutLocal(t.Context(), "a", value(`{}`))
		_, leaves := d.Leaves(t.Context(), "a")
		for i, err := range []error{get, server, put, leaves} {
			var e *Error
			if !errors.As(err, &e) && !(i == 1 && strings.HasPrefix(body, "{}")) && !(i == 1 && body == `{"a":1}{}`) {
				t.Errorf("%d %q: %v", i, body, err)
			}
		}
	}
}

// TestKeepAlive counts connections over every kind of call, read to the end and not.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		body := `{"results":[{"seq":1,"id":"a","changes":[]}],"last_seq":1}`
		switch {
		case strings.HasSuffix(r.URL.Path, "_all_docs"):
			body = `{"rows":[{"id":"a","key":"a","value":{"rev":"1-a"}}]}`
		case strings.HasSuffix(r.URL.Path, "_bulk_get"):
			body = `{"results":[{"id":"a","docs":[{"ok":{"_id":"a"}}]}]}`
		case strings.HasSuffix(r.URL.Path, "_bulk_docs"):
			body = "[]"
		case strings.HasSuffix(r.URL.Path, "none"):
			w.WriteHeader(http.StatusNotFound)
			body = `{"error":"not_found","reason":"missing"}`
		}
		_, _ = io.WriteString(w, body)
		w.(http.Flusher).Flush()
		time.Sleep(time.Millisecond) // CouchDB's newline comes in a chunk of its own
		_, _ = io.WriteString(w, "\n")
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	c, err := New(server.URL, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	d := mustDatabase(t, c, "db")
	for i := range 50 {
		for what, err := range keepAliveCalls(t.Context(), d, i%2 == 0) {
			if err != nil && err != io.EOF && !IsNotFound(err) {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func keepAliveCalls(ctx context.Context, d *Database, toTheEnd bool) map[string]error {
	got := map[string]error{}
	_, got["get"] = d.Get(ctx, "none", GetOptions{})
	_, got["info"] = d.Info(ctx)
	_, got["docs"] = d.BulkDocs(ctx, []value{value("{}")}, false)
	_, got["server"] = d.client.Server(ctx)
	changes, err := d.Changes(ctx, ChangesOptions{})
	for err == nil {
		if _, err = changes.Next(); !toTheEnd {
			break
		}
	}
	_ = changes.Close()
	got["changes"] = err
	docs, err := d.BulkGet(ctx, []DocRef{{ID: "a"}}, BulkGetOptions{})
	for err == nil {
		if _, err = docs.Next(); !toTheEnd {
			break
		}
	}
	_ = docs.Close()
	got["bulk get"] = err
	all, err := d.AllDocs(ctx, AllDocsOptions{})
	for err == nil {
		if _, err = all.Next(); !toTheEnd {
			break
		}
	}
	_ = all.Close()
	got["all docs"] = err
	return got
}

// TestDeadConnection has a server that closes every connection after one answer without saying so: what may be repeated is,
// what may not be is not.
func TestDeadConnection(t *testing.T) {
	t.Parallel()
	var posts atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if n := posts.Add(1); n%2 == 0 { // the second request of a connection: taken, never answered
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.Close()
			return
		}
		if string(body) == "" && r.Method == http.MethodPost {
			t.Error("a repetition without its body")
		}
		_, _ = io.WriteString(w, `[]`)
	}))
	t.Cleanup(server.Close)
	c, err := New(server.URL, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	d := mustDatabase(t, c, "db")
	docs := []value{value(`{"_id":"a"}`), value(`{"_id":"b"}`)}
	for range 6 {
		if _, err := d.BulkDocs(t.Context(), docs, false); err != nil {
			t.Fatal(err)
		}
	}
	posts.Store(0)
	if _, err := d.BulkDocs(t.Context(), docs, true); err != nil {
		t.Fatal(err)
	}
	if _, err := d.BulkDocs(t.Context(), docs, true); !Transient(err) || posts.Load() != 2 {
		t.Errorf("a write was repeated: %v, %d requests", err, posts.Load())
	}
}
