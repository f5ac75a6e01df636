package couch

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
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
		feed   FeedType
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
			if _, ok := err.(*Error); !ok && err != io.EOF || test.want == "cut" && !Transient(err) {
				t.Errorf("%T %v", err, err)
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
		if row, err := changes.Next(); err != nil || row.Seq() != fmt.Sprintf("%d-x", i+1) {
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
