package couch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"
)

// streamOf is an answer whose body is r.
func streamOf(r io.Reader) *stream {
	ctx, cancel := context.WithCancelCause(context.Background())
	watch := newWatchdog(time.Minute, func() { cancel(errSilent) })
	watch.answer(time.Minute)
	return &stream{op: "GET test", res: &http.Response{Body: io.NopCloser(r), ContentLength: -1}, parent: context.Background(),
		ctx: ctx, cancel: cancel, watch: watch}
}

// seed adds the recorded answers whose request has part in its path.
func seed(f *testing.F, part string) {
	for _, e := range exchanges(f) {
		if strings.Contains(e.Request.Path, part) {
			f.Add(e.body(f))
		}
	}
	f.Add([]byte(`{"error":"timeout","reason":"slow"}`))
	f.Add([]byte("{\"results\":[\n{\"seq\":1,\"id\":\"a\"}\n{\"error\":\"timeout\",\"reason\":{\"a\":1}}\n"))
}

// twice reads data in large pieces and byte by byte, which must come to the same.
func twice(t *testing.T, data []byte, read func(*stream) []string) {
	t.Helper()
	whole := read(streamOf(bytes.NewReader(data)))
	bytewise := read(streamOf(iotest.OneByteReader(bytes.NewReader(data))))
	if !slices.Equal(whole, bytewise) {
		t.Errorf("%q\nbyte by byte %q", whole, bytewise)
	}
}

// ending checks that reading ended as documented, and says how.
func ending(t *testing.T, err error) string {
	t.Helper()
	if _, ok := err.(*Error); err != io.EOF && !ok {
		t.Errorf("ended with %T: %v", err, err)
	}
	return outcome(err)
}

// byDecoder makes the reader leave all rows to the decoder.
func (c *Changes) byDecoder() *Changes {
	if c.fast = nil; c.continuous {
		c.lines = newDecoder(c.s)
	} else if c.err = c.rows.more(); c.err != nil {
		_ = c.s.Close()
	}
	return c
}

// rowsOf reads everything there is.
func rowsOf(t *testing.T, c *Changes) (got []string) {
	t.Helper()
	defer c.Close()
	for {
		row, err := c.Next()
		if err != nil {
			return append(got, ending(t, err), c.LastSeq(), fmt.Sprint(c.Pending(), c.terminal))
		}
		revs, revsErr := row.Revs()
		deleted, deletedErr := row.Deleted()
		doc, docErr := row.Doc()
		got = append(got, fmt.Sprintf("%s %q %q %q %v %s %v %v %v", row.Row, row.Seq(), row.ID(), revs, deleted, doc, revsErr, deletedErr, docErr))
	}
}

// FuzzRowsFast compares rows that are read from the bytes with those that the decoder reads.
func FuzzRowsFast(f *testing.F) {
	seed(f, "_changes")
	for _, row := range unusualRows() {
		f.Add([]byte(`{"results":[` + "\n" + `{"seq":"1-x","id":"a","changes":[{"rev":"1-a"}]},` + "\n" + row + `,{"seq":"2","id":"b","changes":[]}],"last_seq":"1"}`))
		f.Add([]byte(row + "\n" + row))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, feed := range []FeedType{Normal, Continuous} {
			fast := rowsOf(t, newChanges(streamOf(bytes.NewReader(data)), feed))
			slow := rowsOf(t, newChanges(streamOf(bytes.NewReader(data)), feed).byDecoder())
			if !slices.Equal(fast, slow) {
				t.Errorf("%v: %q\nby the decoder %q", feed, fast, slow)
			}
		}
	})
}

func fuzzChanges(f *testing.F, feed FeedType) {
	seed(f, "_changes")
	f.Fuzz(func(t *testing.T, data []byte) {
		twice(t, data, func(s *stream) (got []string) {
			changes := newChanges(s, feed)
			defer changes.Close()
			for {
				row, err := changes.Next()
				if err != nil {
					return append(got, ending(t, err), changes.LastSeq(), fmt.Sprint(changes.Pending()))
				}
				if !bytes.Contains(data, row.Row) {
					t.Errorf("row %q is not in the answer", row.Row)
				}
				if !utf8.ValidString(row.ID()) {
					t.Errorf("id %q", row.ID())
				}
				revs, _ := row.Revs()
				deleted, _ := row.Deleted()
				doc, _ := row.Doc()
				got = append(got, fmt.Sprintf("%s %q %q %q %v %s", row.Row, row.Seq(), row.ID(), revs, deleted, doc))
			}
		})
	})
}

func FuzzChanges(f *testing.F)           { fuzzChanges(f, Normal) }
func FuzzChangesContinuous(f *testing.F) { fuzzChanges(f, Continuous) }

func FuzzBulkGet(f *testing.F) {
	seed(f, "_bulk_get")
	refs := []DocRef{{ID: "a"}, {ID: "b"}, {ID: "c"}, {ID: "d"}, {ID: "e"}, {ID: "f"}}
	f.Fuzz(func(t *testing.T, data []byte) {
		twice(t, data, func(s *stream) (got []string) {
			b := newBulkGet(s, refs)
			defer b.Close()
			for {
				doc, err := b.Next()
				if err != nil {
					return append(got, ending(t, err))
				}
				if (doc.Doc == nil) == (doc.Err == nil) || doc.Index < 0 || doc.Index >= len(refs) {
					t.Errorf("%+v", doc)
				}
				if !bytes.Contains(data, doc.Doc) {
					t.Errorf("document %q is not in the answer", doc.Doc)
				}
				got = append(got, fmt.Sprintf("%d %s %s %s %v", doc.Index, doc.ID, doc.Doc, doc.Rev, doc.Err))
			}
		})
	})
}

func FuzzAllDocs(f *testing.F) {
	seed(f, "_all_docs")
	f.Fuzz(func(t *testing.T, data []byte) {
		twice(t, data, func(s *stream) (got []string) {
			a := newAllDocs(s)
			defer a.Close()
			for {
				row, err := a.Next()
				if err != nil {
					return append(got, ending(t, err), fmt.Sprint(a.TotalRows()))
				}
				if !bytes.Contains(data, row.Row) || !bytes.Contains(row.Row, row.Doc) {
					t.Errorf("%+v is not in the answer", row)
				}
				got = append(got, fmt.Sprintf("%+v", row))
			}
		})
	})
}

func FuzzLeaves(f *testing.F) {
	seed(f, "open_revs")
	f.Fuzz(func(t *testing.T, data []byte) {
		twice(t, data, func(s *stream) []string {
			dec := newDecoder(s)
			leaves, err := readLeaves(dec)
			if err != nil {
				return []string{ending(t, streamFailure(s, dec, err))}
			}
			for _, leaf := range leaves {
				if leaf.Start <= 0 || len(leaf.IDs) == 0 {
					t.Errorf("%+v", leaf)
				}
			}
			return []string{fmt.Sprint(leaves)}
		})
	})
}

func FuzzRows(f *testing.F) {
	seed(f, "_bulk_docs")
	f.Fuzz(func(t *testing.T, data []byte) {
		twice(t, data, func(s *stream) []string {
			dec := newDecoder(s)
			rows, err := readRows(dec)
			if err != nil {
				return []string{ending(t, streamFailure(s, dec, err))}
			}
			for _, row := range rows {
				if row.OK != (row.Name == "") || row.Status < 200 || row.Status > 599 {
					t.Errorf("%+v", row)
				}
			}
			return []string{fmt.Sprint(rows)}
		})
	})
}

func FuzzErrorBody(f *testing.F) {
	for _, e := range exchanges(f) {
		if e.Response.Status >= 400 {
			f.Add(e.Response.Status, e.body(f))
		}
	}
	f.Add(502, []byte("<html>"))
	f.Fuzz(func(t *testing.T, status int, data []byte) {
		e := answerError("GET test", &http.Response{StatusCode: status, Header: http.Header{}}, bytes.NewReader(data))
		if e.Status != status || len(e.Error()) > 1000+len(e.Name) {
			t.Errorf("%+v", e)
		}
		name, reason := errorBody(data)
		if name != "" && (e.Name != name || e.Reason != reason) {
			t.Errorf("%+v", e)
		}
		if name == "" && e.Reason != "not an answer of CouchDB" {
			t.Errorf("%+v copies what is not CouchDB's", e)
		}
	})
}

// FuzzPaths checks that no id leaves its place in the path.
func FuzzPaths(f *testing.F) {
	for _, id := range []string{"a", "..", "a/../b", "_design/a/b", "_local/%2e%2e", "a?b#c", "%zz", "\xff", "_x"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		path, err := documentPath("GET document", id)
		if err != nil {
			return
		}
		rest := path
		for _, p := range []string{designPrefix, localPrefix} {
			rest = strings.TrimPrefix(rest, p)
		}
		if strings.ContainsAny(rest, "/?#+;\\ ") || rest == "" || rest == "." || rest == ".." {
			t.Errorf("%q became %q", id, path)
		}
		got, err := http.NewRequest(http.MethodGet, "http://h/db/"+path, nil)
		if err != nil || got.URL.Path != "/db/"+id || got.URL.EscapedPath() != "/db/"+path {
			t.Errorf("%q became %q: %v", id, path, err)
		}
	})
}
