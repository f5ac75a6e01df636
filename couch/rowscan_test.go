package couch

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-json-experiment/json/jsontext"
)

// unusualRows are rows that are not as CouchDB writes them, or that are no rows.
func unusualRows() []string {
	return []string{
		`{"seq":null,"id":"a","changes":[{"rev":"1-a"}]}`,
		`{"seq":17,"id":"a","changes":[{"rev":"1-a"}],"deleted":true}`,
		`{"seq":[17,"g1"],"id":"a","changes":[]}`,
		`{"seq":"1-x","id":"a","changes":[]}`,
		`{"seq":"1-x","id":"a","changes":[{"rev":"1-a"},{"rev":"1-b"}],"deleted":true,"doc":{"_id":"a","n":-1.5e+3,"l":[true,false,null,{}],"s":"\u00e9\\\"\/"}}`,
		`{"seq":"1-x","id":"a","changes":[{"rev":"1-a"}],"doc":null}`,
		`{"seq":"1-x","id":"a","changes":[{"rev":"1-a"}],"doc":{"deleted":true}}`,
		`{"seq":"1-x","id":"a","changes":[{"rev":"1-a"}],"doc":{},"deleted":true}`,
		`{"seq":"1-x","id":"a","changes":[{"rev":"1-a"}],"deleted":false}`,
		`{"seq":"1-x","id":"a","changes":[{"rev":"1-a"}],"deleted":true,"deleted":false}`,
		`{"seq":"1-x","id":"a","changes":[{"rev":"1-a"}],"changes":[{"rev":"2-a"}]}`,
		`{"seq":"1-x","id":"a","id":"b","seq":"2-x","changes":[{"rev":"1-a","rev":"1-b"}]}`,
		`{"id":"a","seq":"1-x","changes":[{"rev":"1-a"}]}`,
		`{"seq":"1-\u0078","id":"\u0061","changes":[{"rev":"1-\u0061"}]}`,
		`{"seq":"1-x","id":"é","changes":[{"rev":"1-a"}]}`,
		"{\"seq\":\"1-x\",\"id\":\"\xff\",\"changes\":[{\"rev\":\"\xff\"}]}",
		"{\"seq\":\"1-x\",\"id\":\"a\x00\",\"changes\":[]}",
		"{ \"seq\" : \"1-x\" ,\n\"id\":\"a\", \"changes\" : [ { \"rev\":\"1-a\" } ] }",
		`{"seq":"1-x","id":"a","changes":[{"rev":"1-a"},]}`,
		`{"seq":"1-x","id":"a","changes":[{"rev":"1-a"}],}`,
		`{"seq":"1-x","id":"a","changes":{"rev":"1-a"}}`,
		`{"seq":"1-x","id":"a","changes":[{"rev":"1-a"}]`,
		`{"seq":"1-x","id":7,"changes":[]}`,
		`{"seq":"1-x","changes":[]}`,
		`{"error":"timeout","reason":"slow"}`,
		`{"last_seq":"3-x","pending":4}`,
		`{"seq":"1-x","id":"a","changes":[],"n":01}`,
		`{"seq":"1-x","id":"a","changes":[],"n":1.}`,
		`{"seq":"1-x","id":"a","changes":[],"n":-}`,
		`{"seq":"1-x","id":"a","changes":[],"n":1e}`,
		`{"seq":"1-x","id":"a","changes":[],"n":"\x"}`,
		`{"seq":"1-x","id":"a","changes":[],"n":"\u00g0"}`,
		`{"seq":"1-x","id":"a","changes":[],"n":"\ud800"}`,
		`{"seq":"1-x","id":"a","changes":[],"n":tru}`,
		`{"seq":"1-x","id":"a","changes":[],"n":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`,
		`{"seq":"1-x","id":"a","changes":[],"doc":{"text":"` + strings.Repeat("lorem ipsum ", 10_000) + `"}}`,
		`[]`, `7`, `"x"`, `,`, ``,
	}
}

// TestUnusualRows reads each between two rows that are usual: whole, and in small pieces, in both forms of an answer, with what
// the decoder makes of it to compare with.
func TestUnusualRows(t *testing.T) {
	t.Parallel()
	const usual = `{"seq":"9-x","id":"z","changes":[{"rev":"1-a"}]}`
	for _, row := range unusualRows() {
		for feed, answer := range map[FeedType]string{
			Normal:     "{\"results\":[\n" + usual + ",\n" + row + ",\n" + usual + "\n],\n\"last_seq\":\"9-x\",\"pending\":0}\n",
			Continuous: usual + "\n" + row + "\n\n" + usual + "\n{\"last_seq\":\"9-x\",\"pending\":0}\n",
		} {
			want := rowsOf(t, newChanges(streamOf(strings.NewReader(answer)), feed).byDecoder())
			for _, r := range []io.Reader{
				strings.NewReader(answer), iotest.HalfReader(strings.NewReader(answer)), iotest.DataErrReader(strings.NewReader(answer)),
				&pieces{answer, 1000}, &pieces{answer, max(1, len(answer)/1000)},
			} {
				if got := rowsOf(t, newChanges(streamOf(r), feed)); !slices.Equal(got, want) {
					t.Errorf("%v %.300s:\n%.1000q\nby the decoder\n%.1000q", feed, row, got, want)
				}
			}
		}
	}
}

// pieces is read in pieces of a size.
type pieces struct {
	text string
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.text == "" {
		return 0, io.EOF
	}
	n := copy(b[:min(p.size, len(b))], p.text)
	p.text = p.text[n:]
	return n, nil
}

// TestRowsAreReadFast looks whether rows that are as CouchDB writes them need no decoder, from the recordings of it.
func TestRowsAreReadFast(t *testing.T) {
	t.Parallel()
	n := 0
	for _, e := range exchanges(t) {
		if !strings.Contains(e.Request.Path, "/_changes") || e.Response.Status != 200 {
			continue
		}
		for _, line := range bytes.Split(e.body(t), []byte("\n")) {
			row := bytes.TrimSuffix(line, []byte(","))
			if !bytes.HasPrefix(row, []byte(`{"seq":`)) || !jsontext.Value(row).IsValid() {
				continue
			}
			n++
			var shape rowParts
			if end, reached := readRow(row, &shape); reached != fits || end != len(row) || !shape.known() {
				t.Errorf("%s: %d, %+v", row, reached, shape)
			}
			for i := range row {
				if _, reached := readRow(row[:i], &shape); reached != short {
					t.Errorf("%s: %d", row[:i], reached)
				}
			}
		}
	}
	if n < 5 {
		t.Errorf("%d rows were looked at", n)
	}
}

// TestRowsAsTheyCome has a feed of which each row must be there without waiting for what follows.
func TestRowsAsTheyCome(t *testing.T) {
	t.Parallel()
	for feed, parts := range map[FeedType][]string{
		Normal:     {"{\"results\":[\n" + `{"seq":1,"id":"a","changes":[]}`, ",\n" + `{"seq":"2","id":"b","changes":[]}`, ","},
		Continuous: {`{"seq":1,"id":"a","changes":[]}`, `{"seq":"2","id":"b","changes":[]}`, "\n\n"},
	} {
		r, w := io.Pipe()
		changes := newChanges(streamOf(r), feed)
		for i, id := range []string{"a", "b"} {
			go func() { _, _ = io.WriteString(w, parts[i]) }()
			if row, err := changes.Next(); err != nil || row.ID() != id || fmt.Sprint(i+1) != row.Seq() {
				t.Errorf("%v: %+v, %v", feed, row, err)
			}
		}
		_ = w.Close()
		_ = changes.Close()
	}
}

// TestAppendRevs needs no memory for rows that are as CouchDB writes them.
func TestAppendRevs(t *testing.T) {
	t.Parallel()
	row := `{"seq":"1-x","id":"a","changes":[{"rev":"1-a"},{"rev":"2-b"}],"deleted":true}`
	changes := newChanges(streamOf(strings.NewReader(row)), Continuous)
	defer changes.Close()
	c, err := changes.Next()
	if err != nil {
		t.Fatal(err)
	}
	var room [4][]byte
	revs, err := c.AppendRevs(room[:0])
	deleted, err2 := c.Deleted()
	if err != nil || err2 != nil || !deleted || fmt.Sprintf("%s", revs) != "[1-a 2-b]" || &revs[0] != &room[0] || &revs[0][0] != &c.Row[strings.Index(row, "1-a")] {
		t.Errorf("%s, %v, %v, %v", revs, deleted, err, err2)
	}
}
