package couch

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// bulkServer takes _bulk_docs and refuses bodies of more than limit bytes, with "big" in them.
type bulkServer struct {
	mu     sync.Mutex
	limit  int
	bodies []string
}

func (s *bulkServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.ContentLength != int64(len(body)) {
		http.Error(w, "length", http.StatusLengthRequired)
		return
	}
	if len(body) > s.limit && strings.Contains(string(body), "big") {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, `{"error":"document_too_large","reason":"x"}`)
		return
	}
	s.bodies = append(s.bodies, string(body))
	_, _ = io.WriteString(w, `[{"id":"e","rev":"1-e","error":"forbidden","reason":{"why":1.0}}]`)
}

func TestBulkDocs(t *testing.T) {
	t.Parallel()
	s := &bulkServer{limit: 90}
	d := mustDatabase(t, serve(t, s, "", Options{MaxBatchBytes: 100}), "db")
	docs := []value{value(`{"_id":"a","n":1.0,"n":10000000000000000001}`), value(`{"_id":"b"}`),
		value(`{"x":["big"],"_rev":"2-c","_id":"c\u0031","pad":"` + strings.Repeat("x", 200) + `"}`), value(`{"_id":"d"}`), value(`{"_id":"e"}`)}
	rows, err := d.BulkDocs(t.Context(), docs, false)
	failed := Row{ID: "e", Rev: "1-e", Status: 403, Name: "forbidden", Reason: `{"why":1.0}`}
	want := []Row{failed, {ID: "c1", Rev: "2-c", Status: 413, Name: "document_too_large", Reason: "x"}, failed}
	if err != nil || !slices.Equal(rows, want) {
		t.Errorf("%+v, %v", rows, err)
	}
	if want := []string{`{"new_edits":false,"docs":[{"_id":"a","n":1.0,"n":10000000000000000001},{"_id":"b"}]}`,
		`{"new_edits":false,"docs":[{"_id":"d"},{"_id":"e"}]}`}; !slices.Equal(s.bodies, want) {
		t.Errorf("%q", s.bodies)
	}
}

// TestBulkDocsHalved lets the server, not us, find that a batch is too large.
func TestBulkDocsHalved(t *testing.T) {
	t.Parallel()
	s := &bulkServer{limit: 60}
	d := mustDatabase(t, serve(t, s, "", Options{}), "db")
	var docs []value
	for i := range 9 {
		docs = append(docs, value(fmt.Sprintf(`{"_id":"big%d"}`, i)))
	}
	docs[4] = value(`{"_id":"big4","pad":"` + strings.Repeat("x", 100) + `"}`)
	rows, err := d.BulkDocs(t.Context(), docs, true)
	tooLarge := 0
	for _, row := range rows {
		if row.Status == 413 && row.ID == "big4" {
			tooLarge++
		}
	}
	all := strings.Join(s.bodies, "")
	if err != nil || tooLarge != 1 || strings.Count(all, `"_id"`) != 8 || strings.Contains(all, "new_edits") {
		t.Errorf("%+v, %v, %q", rows, err, s.bodies)
	}
}

// TestBulkDocsReset has a server that resets the connection of bodies of more than 1 MB, as CouchDB does above its
// max_http_request_size, its 413 lost on the way.
func TestBulkDocsReset(t *testing.T) {
	t.Parallel()
	var requests, taken atomic.Int32
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.ContentLength > 1<<20 {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
			return
		}
		body, _ := io.ReadAll(r.Body)
		taken.Add(int32(strings.Count(string(body), `"_id"`)))
		_, _ = io.WriteString(w, "[]")
	}), "", Options{})
	d := mustDatabase(t, c, "db")
	var docs []value
	for i := range 8 {
		docs = append(docs, value(fmt.Sprintf(`{"_id":"%d","pad":"%s"}`, i, strings.Repeat("x", 400_000))))
	}
	if rows, err := d.BulkDocs(t.Context(), docs, false); len(rows) != 0 || err != nil || taken.Load() != 8 || requests.Load() > 9 { // 7, and what net/http repeats
		t.Errorf("%v, %v; %d documents in %d requests", rows, err, taken.Load(), requests.Load())
	}
	requests.Store(0)
	if _, err := d.BulkDocs(t.Context(), docs, true); !Transient(err) || requests.Load() != 1 {
		t.Errorf("new edits were repeated: %v, %d requests", err, requests.Load())
	}
	requests.Store(0)
	docs = []value{value(`{"_id":"big","pad":"` + strings.Repeat("x", 2<<20) + `"}`)}
	if _, err := d.BulkDocs(t.Context(), docs, false); !Transient(err) || requests.Load() != 4 {
		t.Errorf("%v, %d requests", err, requests.Load())
	}
}

func TestBulkDocsRefused(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	d := mustDatabase(t, serve(t, r, "", Options{}), "db")
	for _, doc := range []string{"", "[]", `{}],"new_edits":true,"x":[{}`, `{"a":1`, `{} {}`, `"a"`} {
		var e *Error
		if _, err := d.BulkDocs(t.Context(), []value{value(`{}`), value(doc)}, false); !errors.As(err, &e) || e.Status != 400 {
			t.Errorf("%q: %v", doc, err)
		}
	}
	if rows, err := d.BulkDocs(t.Context(), nil, false); rows != nil || err != nil || r.last() != "" {
		t.Errorf("%v, %v; asked for %q", rows, err, r.last())
	}
	for _, text := range []string{`[{"id":"a"}`, `{}`, "[5]"} {
		if rows, err := answer(t, text, false).BulkDocs(t.Context(), []value{value(`{}`)}, false); rows != nil || outcome(err) != "cut" && outcome(err) != "malformed" {
			t.Errorf("%s: %v, %v", text, rows, err)
		}
	}
}
