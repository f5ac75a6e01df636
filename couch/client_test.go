package couch

import (
	"context"
	"errors"
	"fmt"
	"io"
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
