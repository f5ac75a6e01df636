package couch

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// exchange is a request and the answer of a real CouchDB 3.5.0, a line of testdata/exchanges.jsonl.
type exchange struct {
	Note    string
	Request struct {
		Method, Path string
		Body         json.RawMessage
	}
	Response struct {
		Status            int
		Headers           map[string]any
		Body              jsontext.Value
		Raw, Text, Base64 string
		Chunks            [][2]any // [milliseconds, text]
	}
}

func exchanges(t testing.TB) []exchange {
	t.Helper()
	f, err := os.Open("testdata/exchanges.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []exchange
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e exchange
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	if err := lines.Err(); err != nil || len(all) == 0 {
		t.Fatalf("%d exchanges, %v", len(all), err)
	}
	return all
}

// recorded is the exchange with the note, which must be the only one.
func recorded(t testing.TB, note string) exchange {
	t.Helper()
	all := exchanges(t)
	i := slices.IndexFunc(all, func(e exchange) bool { return e.Note == note })
	if i < 0 || slices.ContainsFunc(all[i+1:], func(e exchange) bool { return e.Note == note }) {
		t.Fatalf("no, or more than one, exchange %q", note)
	}
	return all[i]
}

// body is the answer's body. Where the recording holds the value only, its text is made up again.
func (e exchange) body(t testing.TB) []byte {
	t.Helper()
	r := e.Response
	switch {
	case r.Raw != "":
		return []byte(r.Raw)
	case r.Text != "":
		return []byte(r.Text)
	case r.Base64 != "":
		b, err := base64.StdEncoding.DecodeString(r.Base64)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	v := slices.Clone(r.Body)
	if err := v.Compact(jsontext.AllowDuplicateNames(true)); err != nil {
		t.Fatal(err)
	}
	return append(v, '\n')
}

// replay is a client of a server that knows this one exchange, and that fails the test when it is asked for anything else.
func replay(t *testing.T, e exchange) *Client {
	t.Helper()
	body := e.body(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		checkRequest(t, e, r)
		for name, v := range e.Response.Headers {
			if s, ok := v.(string); ok && name != "transfer-encoding" && name != "content-length" {
				w.Header().Set(name, s)
			}
		}
		w.WriteHeader(e.Response.Status)
		if len(e.Response.Chunks) == 0 {
			_, _ = w.Write(body)
			return
		}
		for _, chunk := range e.Response.Chunks {
			_, _ = io.WriteString(w, chunk[1].(string))
			w.(http.Flusher).Flush()
		}
	}))
	t.Cleanup(server.Close)
	c, err := New(server.URL, Options{Heartbeat: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// checkRequest compares what was asked with what was recorded. The recorder asked for heartbeats and timeouts as it liked.
func checkRequest(t *testing.T, e exchange, r *http.Request) {
	path, query, _ := strings.Cut(e.Request.Path, "?")
	want, err := url.ParseQuery(query)
	if err != nil {
		t.Error(err)
	}
	got := r.URL.Query()
	for _, name := range []string{"heartbeat", "timeout"} {
		want.Del(name)
		got.Del(name)
	}
	if r.Method != e.Request.Method || r.URL.EscapedPath() != path || !reflect.DeepEqual(got, want) {
		t.Errorf("%s %s?%s, want %s %s", r.Method, r.URL.EscapedPath(), got.Encode(), e.Request.Method, e.Request.Path)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	if !sameJSON(body, e.Request.Body) {
		t.Errorf("sent %s, want %s", body, e.Request.Body)
	}
}

func sameJSON(got, want []byte) bool {
	if len(got) == 0 || len(want) == 0 {
		return len(got) == len(want)
	}
	var a, b any
	if json.Unmarshal(want, &b) != nil {
		return false
	}
	if s, ok := b.(string); ok { // a body that was no JSON
		return string(got) == s || len(got) == 4 && strings.HasSuffix(s, "PNG") // recorded as Latin-1
	}
	return json.Unmarshal(got, &a) == nil && reflect.DeepEqual(a, b)
}

// docs are the documents of a recorded request.
func (e exchange) docs(t *testing.T) []jsontext.Value {
	t.Helper()
	var body struct{ Docs []json.RawMessage }
	if err := json.Unmarshal(e.Request.Body, &body); err != nil {
		t.Fatal(err)
	}
	var docs []jsontext.Value
	for _, doc := range body.Docs {
		docs = append(docs, jsontext.Value(doc))
	}
	return docs
}

// refs are the references of a recorded _bulk_get.
func (e exchange) refs(t *testing.T) []DocRef {
	t.Helper()
	var body struct{ Docs []DocRef }
	if err := json.Unmarshal(e.Request.Body, &body); err != nil {
		t.Fatal(err)
	}
	return body.Docs
}

func mustDatabase(t testing.TB, c *Client, name string) *Database {
	t.Helper()
	d, err := c.Database(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// checkError compares an error with what CouchDB said in the recording.
func checkError(t *testing.T, e exchange, err error) {
	t.Helper()
	var got *Error
	if !asError(err, &got) {
		t.Fatalf("%v is not an *Error", err)
	}
	name, reason := errorBody(e.body(t))
	if got.Status != e.Response.Status || got.Name != name || got.Reason != reason || name == "" {
		t.Errorf("got %+v, want %d %s %s", got, e.Response.Status, name, reason)
	}
}

func asError(err error, e **Error) bool {
	if own, ok := err.(*Error); ok {
		*e = own
		return true
	}
	return false
}

// text is the recorded answer without the newlines around it.
func (e exchange) text(t *testing.T) string { return string(bytes.TrimSpace(e.body(t))) }
