package couch

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
)

// answer is a database whose server answers every request with this text, whole or broken off after it.
func answer(t testing.TB, text string, broken bool) *Database {
	t.Helper()
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, text)
		if broken {
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}), "", Options{})
	return mustDatabase(t, c, "db")
}

// outcome is how reading ended: "end", "cut", "malformed", or CouchDB's own error.
func outcome(err error) string {
	var e *Error
	switch {
	case err == io.EOF:
		return "end"
	case errors.Is(err, errCut):
		return "cut"
	case errors.Is(err, errMalformed):
		return "malformed"
	case errors.As(err, &e):
		return fmt.Sprint(e.Status, " ", e.Name, " ", e.Reason)
	}
	return fmt.Sprint(err)
}

func TestChangesReader(t *testing.T) {
	t.Parallel()
	const row1, row2 = `{"seq":"1-x","id":"a","changes":[{"rev":"1-a"}]}`, `{"seq":2,"id":"b","changes":[]}`
	const failed = `{"error":"timeout","reason":"The request could not be processed in a reasonable amount of time."}`
	const failure = "500 timeout The request could not be processed in a reasonable amount of time."
	for _, test := range []struct {
		name   string
		feed   Feed
		text   string
		broken bool
		rows   int
		want   string
	}{
		{"normal", Normal, "{\"results\":[\n" + row1 + ",\n" + row2 + "\n],\n\"last_seq\":\"2-x\",\"pending\":0}\n", false, 2, "end"},
		{"empty", Normal, `{"results":[],"last_seq":0}`, false, 0, "end"},
		{"members in another order", Normal, `{"last_seq":"2-x","pending":0,"results":[` + row1 + `]}`, false, 1, "end"},
		{"id before seq", Normal, `{"results":[{"changes":[],"id":"a","deleted":true,"seq":"1-x"}],"last_seq":"2-x"}`, false, 1, "end"},
		{"escaped names", Normal, `{"results":[{"s\u0065q":"1-x","\u0069d":"a"}],"last_seq":"2-x"}`, false, 1, "end"},
		{"BigCouch", Normal, `{"results":[{"seq":[1,"x"],"id":"a","changes":[]}],"last_seq":[1,"x"]}`, false, 1, "end"},
		{"cut in a row", Normal, `{"results":[` + row1 + ",\n" + row2[:10], true, 1, "cut"},
		{"cut between rows", Normal, `{"results":[` + row1 + ",\n", true, 1, "cut"},
		{"cut after the rows", Normal, `{"results":[` + row1 + "\n],\n", true, 1, "cut"},
		{"cut before the brace", Normal, `{"results":[` + row1 + "\n],\"last_seq\":\"2-x\"", true, 1, "cut"},
		{"a shorter answer that looks whole", Normal, `{"results":[` + row1 + ",\n", false, 1, "cut"},
		{"nothing", Normal, "", false, 0, "cut"},
		{"error after a row", Normal, `{"results":[` + row1 + "\n" + failed + "\n", false, 1, failure},
		{"error after a comma", Normal, `{"results":[` + row1 + ",\n" + failed + "\n", false, 1, failure},
		{"error before any row", Normal, "{\"results\":[\n" + failed + "\n", false, 0, failure},
		{"error after the rows", Normal, `{"results":[` + row1 + "\n]\n" + failed + "\n", false, 1, failure},
		{"error instead", Normal, failed, false, 0, failure},
		{"error's reason is an object", Normal, `{"results":[` + row1 + "\n" + `{"error":"forbidden","reason":{"a":1.0}}`, false, 1, `403 forbidden {"a":1.0}`},
		{"a row without an id", Normal, `{"results":[{"seq":1}],"last_seq":1}`, false, 0, "malformed"},
		{"a row that is no object", Normal, `{"results":[5],"last_seq":1}`, false, 0, "malformed"},
		{"a sequence that is none", Normal, `{"results":[{"seq":{},"id":"a"}],"last_seq":1}`, false, 0, "malformed"},
		{"no rows", Normal, `{"last_seq":1}`, false, 0, "malformed"},
		{"an array", Normal, `[` + row1 + `]`, false, 0, "malformed"},
		{"HTML", Normal, `<html>`, false, 0, "malformed"},

		{"continuous", Continuous, row1 + "\n\n\n" + row2 + "\n\n{\"last_seq\":\"2-x\",\"pending\":0}\n\n", false, 2, "end"},
		{"continuous without an end", Continuous, row1 + "\n\n", false, 1, "cut"},
		{"continuous, cut in a row", Continuous, row1 + "\n" + row2[:20], false, 1, "cut"},
		{"continuous, cut", Continuous, row1 + "\n", true, 1, "cut"},
		{"continuous, error", Continuous, row1 + "\n" + failed + "\n", false, 1, failure},
		{"continuous, nothing", Continuous, "", false, 0, "cut"},
		{"continuous, HTML", Continuous, "\n<html>", false, 0, "malformed"},
		{"continuous, a row in the shape of an end", Continuous, `{"seq":"1-x","id":"last_seq","last_seq":5}` + "\n" + `{"last_seq":"1-x"}`, false, 1, "end"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			changes, err := answer(t, test.text, test.broken).Changes(t.Context(), ChangesOptions{Feed: test.feed})
			if err != nil {
				t.Fatal(err)
			}
			defer changes.Close()
			rows := 0
			for {
				var row Change
				if row, err = changes.Next(); err != nil {
					break
				}
				if !strings.Contains(test.text, string(row.Row)) {
					t.Errorf("%s is not in the answer", row.Row)
				}
				rows++
			}
			if rows != test.rows || outcome(err) != test.want {
				t.Errorf("%d rows, %s; want %d, %s", rows, outcome(err), test.rows, test.want)
			}
			if _, again := changes.Next(); again != err {
				t.Errorf("then %v, not %v", again, err)
			}
			if test.want == "cut" && !Transient(err) {
				t.Errorf("%v is not transient", err)
			}
		})
	}
}

// TestContinuousRowAtOnce has a row that must reach the reader although nothing follows it.
func TestContinuousRowAtOnce(t *testing.T) {
	t.Parallel()
	next := make(chan string)
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for s := range next {
			_, _ = io.WriteString(w, s)
			w.(http.Flusher).Flush()
		}
	}), "", Options{})
	go func() { next <- row(1) }()
	changes, err := mustDatabase(t, c, "db").Changes(t.Context(), ChangesOptions{Feed: Continuous})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if row, err := changes.Next(); err != nil || row.Seq != fmt.Sprintf("%d-x", i+1) {
			t.Fatal(row, err)
		}
		next <- row(i + 2)
	}
	if err := changes.Close(); err != nil {
		t.Error(err)
	}
	close(next)
	if _, err := changes.Next(); !errors.Is(err, errClosed) || Transient(err) {
		t.Errorf("after Close: %v", err)
	}
}

func TestChangesOptionsRefused(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	d := mustDatabase(t, serve(t, r, "", Options{}), "db")
	for _, o := range []ChangesOptions{
		{DocIDs: []string{"a"}, Filter: "a/b"}, {Selector: value(`{}`), View: "a/b"}, {Filter: "a/b", View: "a/b"},
		{Selector: value(`{},"x":1`)}, {Selector: value(`[]`)}, {Selector: value(`{`)}, {Selector: value{}},
	} {
		var e *Error
		if _, err := d.Changes(t.Context(), o); !errors.As(err, &e) || e.Status != 400 {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if r.last() != "" {
		t.Errorf("%s reached the server", r.last())
	}
}

func TestBulkGetReader(t *testing.T) {
	t.Parallel()
	const failed = `{"error":"timeout","reason":"slow"}`
	for _, test := range []struct {
		name, text string
		broken     bool
		docs       string
		want       string
	}{
		{"leaves", `{"results":[{"id":"a","docs":[{"ok":{"_id":"a","n":1}},{"ok":{"_id":"a","n":2}}]},{"id":"b","docs":[]}]}`, false, "0a 0a", "end"},
		{"docs before id", `{"results":[{"docs":[{"ok":{"_id":"a"}}],"id":"a"}]}`, false, "0a", "end"},
		{"unknown members", `{"x":[1],"results":[{"y":{},"id":"a","docs":[{"z":1,"ok":{"_id":"a"},"w":2}],"v":0}],"u":{}}`, false, "0a", "end"},
		{"empty", `{"results":[]}`, false, "", "end"},
		{"cut in a document", `{"results":[{"id":"a","docs":[{"ok":{"_id":"a"}},{"ok":{"_i`, true, "0a", "cut"},
		{"cut after a document", `{"results":[{"id":"a","docs":[{"ok":{"_id":"a"}}`, true, "0a", "cut"},
		{"cut between entries", `{"results":[{"id":"a","docs":[{"ok":{"_id":"a"}}]},`, true, "0a", "cut"},
		{"cut at the end", `{"results":[{"id":"a","docs":[{"ok":{"_id":"a"}}]}]`, false, "0a", "cut"},
		{"error after an entry", `{"results":[{"id":"a","docs":[{"ok":{"_id":"a"}}]}` + "\n" + failed, false, "0a", "500 timeout slow"},
		{"error as an entry", `{"results":[{"id":"a","docs":[{"ok":{"_id":"a"}}]},` + "\n" + failed + "]}", false, "0a", "500 timeout slow"},
		{"error instead", failed, false, "", "500 timeout slow"},
		{"more entries than references", `{"results":[{"id":"a","docs":[]},{"id":"b","docs":[]},{"id":"c","docs":[{"ok":{}}]}]}`, false, "", "malformed"},
		{"ok is null", `{"results":[{"id":"a","docs":[{"ok":null}]}]}`, false, "", "malformed"},
		{"docs is null", `{"results":[{"id":"a","docs":null}]}`, false, "", "malformed"},
		{"error is a string", `{"results":[{"id":"a","docs":[{"error":"x"}]}]}`, false, "", "malformed"},
		{"an element is a number", `{"results":[{"id":"a","docs":[5]}]}`, false, "", "malformed"},
		{"an entry is a number", `{"results":[5]}`, false, "", "malformed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b, err := answer(t, test.text, test.broken).BulkGet(t.Context(), []DocRef{{ID: "a"}, {ID: "b"}}, BulkGetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			var docs []string
			for {
				var doc BulkGetDoc
				if doc, err = b.Next(); err != nil {
					break
				}
				docs = append(docs, fmt.Sprint(doc.Index, doc.ID))
			}
			if got := strings.Join(docs, " "); got != test.docs || outcome(err) != test.want {
				t.Errorf("%q, %s; want %q, %s", got, outcome(err), test.docs, test.want)
			}
		})
	}
}

func TestBulkGetOfNothing(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	b, err := mustDatabase(t, serve(t, r, "", Options{}), "db").BulkGet(t.Context(), nil, BulkGetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Next(); err != io.EOF || b.Close() != nil || r.last() != "" {
		t.Errorf("%v, asked for %q", err, r.last())
	}
}

func TestAllDocsReader(t *testing.T) {
	t.Parallel()
	const row1 = `{"id":"a","key":"a","value":{"rev":"1-a"}}`
	for _, test := range []struct {
		name, text string
		rows       int
		total      int64
		want       string
	}{
		{"total unknown", `{"total_rows":null,"offset":null,"rows":[` + row1 + `]}`, 1, -1, "end"},
		{"document null", `{"total_rows":7,"rows":[{"id":"a","key":"a","value":{"rev":"1-a","deleted":true},"doc":null}]}`, 1, 7, "end"},
		{"value null", `{"rows":[{"id":"a","key":"a","value":null}]}`, 1, -1, "end"},
		{"error after a row", `{"total_rows":7,"rows":[` + row1 + "\n" + `{"error":"timeout","reason":"slow"}`, 1, 7, "500 timeout slow"},
		{"error as a row", `{"total_rows":7,"rows":[` + row1 + `,{"error":"timeout","reason":"slow"}]}`, 1, 7, "500 timeout slow"},
		{"cut", `{"total_rows":7,"rows":[` + row1, 1, 7, "cut"},
		{"a row without an id", `{"rows":[{"key":"a"}]}`, 0, -1, "malformed"},
	} {
		rows, err := answer(t, test.text, false).AllDocs(t.Context(), AllDocsOptions{})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for ; ; n++ {
			if _, err = rows.Next(); err != nil {
				break
			}
		}
		if n != test.rows || rows.TotalRows() != test.total || outcome(err) != test.want || rows.Close() != nil {
			t.Errorf("%s: %d rows of %d, %s", test.name, n, rows.TotalRows(), outcome(err))
		}
	}
}

func TestLeavesReader(t *testing.T) {
	t.Parallel()
	const revs = `"_revisions":{"ids":["b","a"],"start":2}`
	for _, test := range []struct{ name, text, leaves, want string }{
		{"bodies skipped", `[{"ok":{"_id":"x","big":[1,{"_deleted":true}],` + revs + `,"_deleted":true}},{"missing":"1-a"},{"ok":{` + revs + `}}]`,
			"[{2 [b a] true} {2 [b a] false}]", "<nil>"},
		{"none", `[]`, "[]", "404 not_found missing"},
		{"no revisions", `[{"ok":{"_id":"x"}}]`, "[]", "malformed"},
		{"cut", `[{"ok":{` + revs + `}}`, "[]", "cut"},
		{"cut in a body", `[{"ok":{"a":[1,`, "[]", "cut"},
		{"error in the stream", `[{"ok":{` + revs + `}}` + "\n" + `{"error":"timeout","reason":"slow"}`, "[]", "500 timeout slow"},
		{"an object", `{}`, "[]", "malformed"},
	} {
		leaves, err := answer(t, test.text, false).Leaves(t.Context(), "x")
		if fmt.Sprint(leaves) != test.leaves || outcome(err) != test.want {
			t.Errorf("%s: %v, %s", test.name, leaves, outcome(err))
		}
	}
	if got := (Leaf{Start: 2, IDs: []string{"b", "a"}}).Rev(); got != "2-b" || (Leaf{}).Rev() != "" {
		t.Errorf("Rev %q", got)
	}
}

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

// TestAttachmentsStream moves 64 MB each way through the heap of this process, server included.
func TestAttachmentsStream(t *testing.T) {
	const size = 64 << 20
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			n, err := io.Copy(io.Discard, r.Body)
			if err != nil || n != size || r.Header.Get("Content-Encoding") != "" {
				t.Errorf("took %d bytes, %v", n, err)
			}
			_, _ = io.WriteString(w, `{"ok":true,"id":"a","rev":"1-a"}`)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = io.CopyN(w, &zeros{}, size)
	}), "", Options{})
	d := mustDatabase(t, c, "db")
	heap := watchHeap()
	for _, length := range []int64{size, -1} {
		if rev, err := d.PutAttachment(t.Context(), "a", "b", "", "application/x", length, io.LimitReader(&zeros{heap: heap}, size)); err != nil || rev != "1-a" {
			t.Errorf("%q, %v", rev, err)
		}
	}
	a, err := d.Attachment(t.Context(), "a", "b", AttachmentOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(heap, a.Body)
	if err != nil || n != size || a.Length != size || a.Body.Close() != nil {
		t.Errorf("read %d bytes of %d, %v", n, a.Length, err)
	}
	if heap.most > 16<<20 {
		t.Errorf("the heap grew by %d MB", heap.most>>20)
	}
	if heap.looks < 30 {
		t.Errorf("looked %d times only", heap.looks)
	}
}

// TestAttachmentCut has a download that breaks off.
func TestAttachmentCut(t *testing.T) {
	t.Parallel()
	a, err := answer(t, strings.Repeat("x", 10_000), true).Attachment(t.Context(), "a", "b", AttachmentOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if _, err := io.Copy(io.Discard, a.Body); outcome(err) != "cut" || !Transient(err) {
		t.Errorf("%v", err)
	}
}

// TestAttachmentBodyFails has bodies that fail or are too short: nothing may seem to be written, and nothing seem transient.
func TestAttachmentBodyFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("the client went away")
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			t.Error("the body came whole")
		}
	}), "", Options{})
	d := mustDatabase(t, c, "db")
	for _, length := range []int64{-1, 100_000} {
		body := io.MultiReader(strings.NewReader(strings.Repeat("x", 50_000)), iotest.ErrReader(broken))
		if _, err := d.PutAttachment(t.Context(), "a", "b", "", "", length, body); !errors.Is(err, broken) || Transient(err) {
			t.Errorf("length %d: %v", length, err)
		}
	}
	_, err := d.PutAttachment(t.Context(), "a", "b", "", "", 100, strings.NewReader("short"))
	var e *Error
	if !errors.As(err, &e) || e.Status != 400 || e.Reason != "Body ended after 5 of 100 bytes." {
		t.Errorf("%v", err)
	}
}

// heapWatch looks at the heap every few megabytes.
type heapWatch struct {
	start, most uint64
	bytes       int
	looks       int
}

func watchHeap() *heapWatch {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return &heapWatch{start: m.HeapAlloc}
}

func (h *heapWatch) Write(p []byte) (int, error) {
	if h.bytes += len(p); h.bytes > 4<<20 {
		h.bytes = 0
		h.looks++
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if m.HeapAlloc > h.start {
			h.most = max(h.most, m.HeapAlloc-h.start)
		}
	}
	return len(p), nil
}

type zeros struct{ heap *heapWatch }

func (z *zeros) Read(p []byte) (int, error) {
	clear(p)
	if z.heap != nil {
		return z.heap.Write(p)
	}
	return len(p), nil
}
