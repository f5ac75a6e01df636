package couch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// changesAnswer has rows as CouchDB sends them, with documents of about size bytes, or without for 0.
func changesAnswer(rows, size int) []byte {
	var b bytes.Buffer
	b.WriteString("{\"results\":[\n")
	seq := "-g1AAAACbeJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVCJDUv3___-zMpgTGXKBAuxGliYWhqaG2DTgMSaPBUgyNACp_1DTGMGmJVuaWJobmmLTlwUA51Unmw"
	for i := range rows {
		if i > 0 {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, `{"seq":"%d%s","id":"doc%08d","changes":[{"rev":"2-%032x"}]`, i, seq, i, i)
		if size > 0 {
			fmt.Fprintf(&b, `,"doc":{"_id":"doc%08d","_rev":"2-%032x","list":[1,2.5,true,null],"text":"%s"}`, i, i, strings.Repeat("lorem \\\"ipsum\\\" ", size/16))
		}
		b.WriteString("}")
	}
	b.WriteString("\n],\n\"last_seq\":\"2000-x\",\"pending\":0}\n")
	return b.Bytes()
}

// BenchmarkChanges reads 2,000 rows: with this package, with encoding/json, and not at all.
func BenchmarkChanges(b *testing.B) {
	const rows = 2000
	for _, size := range []int{0, 300, 2000} {
		answer := changesAnswer(rows, size)
		run := func(name string, read func(r io.Reader) (int, error)) {
			b.Run(fmt.Sprintf("doc=%d/%s", size, name), func(b *testing.B) {
				b.SetBytes(int64(len(answer)))
				b.ReportAllocs()
				for b.Loop() {
					if n, err := read(bytes.NewReader(answer)); err != nil || n != rows {
						b.Fatal(n, err)
					}
				}
			})
		}
		run("couch", readWithChanges)
		run("encoding-json", readWithEncodingJSON)
		run("io.Copy", func(r io.Reader) (int, error) {
			_, err := io.Copy(io.Discard, struct{ io.Reader }{r})
			return rows, err
		})
	}
}

func readWithChanges(r io.Reader) (n int, err error) {
	changes := newChanges(streamOf(r), Normal)
	defer changes.Close()
	return readRowsOf(changes)
}

func readRowsOf(changes *Changes) (n int, err error) {
	for ; ; n++ {
		if _, err := changes.Next(); err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
	}
}

func readWithEncodingJSON(r io.Reader) (n int, err error) {
	dec := json.NewDecoder(r)
	for range 3 { // { "results" [
		if _, err := dec.Token(); err != nil {
			return 0, err
		}
	}
	for ; dec.More(); n++ {
		var row struct {
			Seq, ID string
			Doc     json.RawMessage
		}
		if err := dec.Decode(&row); err != nil {
			return n, err
		}
	}
	return n, nil
}

// BenchmarkBulkDocs sends 500 documents of 2 KB over loopback to a server that reads and forgets them.
func BenchmarkBulkDocs(b *testing.B) {
	d := mustDatabase(b, serve(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "[]\n")
	}), "", Options{}), "db")
	var docs []value
	size := 0
	for i := range 500 {
		doc := value(fmt.Sprintf(`{"_id":"doc%d","_rev":"1-%032x","text":%q}`, i, i, strings.Repeat("lorem ipsum ", 170)))
		docs = append(docs, doc)
		size += len(doc)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.BulkDocs(b.Context(), docs, false); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBulkGet reads 200 documents of 2 KB.
func BenchmarkBulkGet(b *testing.B) {
	var answer bytes.Buffer
	var refs []DocRef
	answer.WriteString(`{"results":[`)
	for i := range 200 {
		if i > 0 {
			answer.WriteByte(',')
		}
		refs = append(refs, DocRef{ID: fmt.Sprint("doc", i)})
		fmt.Fprintf(&answer, `{"id":"doc%d","docs":[{"ok":{"_id":"doc%d","text":%q}}]}`, i, i, strings.Repeat("lorem ipsum ", 170))
	}
	answer.WriteString(`]}`)
	b.SetBytes(int64(answer.Len()))
	b.ReportAllocs()
	for b.Loop() {
		docs := newBulkGet(streamOf(bytes.NewReader(answer.Bytes())), refs)
		n := 0
		for {
			if _, err := docs.Next(); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != len(refs) {
			b.Fatal(n)
		}
	}
}

// BenchmarkChangesOverHTTP reads a large answer from a server on the loopback interface: with this package, and only copied.
func BenchmarkChangesOverHTTP(b *testing.B) {
	const rows = 200_000
	for _, size := range []int{0, 300} {
		for _, feed := range []FeedType{Normal, Continuous} {
			answer := changesAnswer(rows, size)
			name := "normal"
			if feed == Continuous {
				answer = lines(answer)
				name = "continuous"
			}
			d := mustDatabase(b, serve(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for piece := range slices.Chunk(answer, 4<<10) { // CouchDB's chunks are of a few KiB
					_, _ = w.Write(piece)
				}
			}), "", Options{}), "db")
			run := func(how string, read func(*Changes) (int, error)) {
				b.Run(fmt.Sprintf("doc=%d/%s/%s", size, name, how), func(b *testing.B) {
					b.SetBytes(int64(len(answer)))
					b.ReportAllocs()
					for b.Loop() {
						changes, err := d.Changes(b.Context(), ChangesOptions{Feed: feed})
						if err != nil {
							b.Fatal(err)
						}
						if n, err := read(changes); err != nil || n != rows {
							b.Fatal(n, err)
						}
						_ = changes.Close()
					}
				})
			}
			run("couch", readRowsOf)
			run("io.Copy", func(c *Changes) (int, error) {
				_, err := io.Copy(io.Discard, c.s.res.Body)
				return rows, err
			})
		}
	}
}

// lines makes an answer that of a continuous feed.
func lines(answer []byte) []byte {
	answer = bytes.TrimPrefix(answer, []byte("{\"results\":[\n"))
	answer = bytes.ReplaceAll(answer, []byte("},\n{"), []byte("}\n{"))
	return bytes.Replace(answer, []byte("\n],\n\"last_seq\""), []byte("\n{\"last_seq\""), 1)
}
