package legacy

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"pouchbridge/bridge/wire"
)

func TestRepairAttachments(t *testing.T) {
	t.Parallel()
	const lost = `attachment "f": its content was lost in the client: this version of PouchDB cannot send attachments from a browser`
	tests := []struct {
		name, attachments string
		want              string // of _attachments
		refused           string
		err               string
	}{
		{"base64 stays", `{"f":{"data":"AAE=","revpos":1}}`, `{"f":{"data":"AAE=","revpos":1}}`, "", ""},
		{"stub stays", `{"f":{"stub":true}}`, `{"f":{"stub":true}}`, "", ""},
		{"Buffer", `{"g":{"stub":true},"f":{"content_type":"x","data":{"type":"Buffer","data":[0,1, 255]},"revpos":2}}`,
			`{"g":{"stub":true},"f":{"content_type":"x","data":"AAH/","revpos":2}}`, "", ""},
		{"empty Buffer", `{"f":{"data":{"type":"Buffer","data":[]}}}`, `{"f":{"data":""}}`, "", ""},
		{"Blob", `{"f":{"data":{}}}`, `{"f":{"data":{}}}`, lost, ""},
		{"Blob among Buffers", `{"g":{"data":{"type":"Buffer","data":[1]}},"f":{"data":{}}}`, `{"g":{"data":{"type":"Buffer","data":[1]}},"f":{"data":{}}}`, lost, ""},
		{"no byte", `{"f":{"data":{"type":"Buffer","data":[256]}}}`, "", "", "item 0 of a Buffer is not a byte"},
		{"a hole", `{"f":{"data":{"type":"Buffer","data":[1,null]}}}`, "", "", "item 1 of a Buffer is not a byte"},
		{"not an object", `[1]`, `[1]`, "", ""},
		{"an attachment that is none", `{"f":7}`, `{"f":7}`, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			doc, err := wire.ParseDoc(jsontext.Value(`{"_id":"a","_attachments":` + tt.attachments + `,"n":1.0}`))
			if err != nil {
				t.Fatal(err)
			}
			err = repairAttachments(&doc)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Fatalf("got error %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(doc.Attachments)); diff != "" {
				t.Errorf("_attachments (-want +got):\n%s", diff)
			}
			if !strings.Contains(string(doc.Raw), `"_attachments":`+tt.want) || !strings.Contains(string(doc.Raw), `"n":1.0`) {
				t.Errorf("the document is %s", doc.Raw)
			}
			if got := doc.Refused; (got == nil) != (tt.refused == "") || got != nil && (got.Reason != tt.refused || got.Name != "forbidden") {
				t.Errorf("refused with %v, want %q", got, tt.refused)
			}
		})
	}
}

// TestKeepAttachments follows what a session knows of its client.
func TestKeepAttachments(t *testing.T) {
	t.Parallel()
	c, _, id := opened(t)
	keeps := func() bool {
		t.Helper()
		events, err := c.Receive([]byte(`["` + id + `","data",[0,null,"_bulkDocs",[{"docs":[{"_id":"a","_rev":"1-a"}],"new_edits":false}]]]` + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		return events[0].(wire.Call).Op.(wire.BulkDocs).KeepAttachments
	}
	get := func(opts string) {
		t.Helper()
		if _, err := c.Receive([]byte(`["` + id + `","data",[0,null,"get",["a",{"open_revs":["1-a"]` + opts + `}]]]` + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	if !keeps() {
		t.Error("a client that is not known keeps no attachments")
	}
	get(`,"attachments":true`)
	if keeps() {
		t.Error("a client that takes attachments cannot remove them")
	}
	get("")
	if !keeps() {
		t.Error("a client that does not take attachments keeps none")
	}
}

func TestMendCheckpoint(t *testing.T) {
	t.Parallel()
	const stored = `{"_id":"_local/x","_rev":"0-3","session_id":"old","last_seq":"5-x","history":[{"session_id":"old","last_seq":"5-x"}]}`
	tests := []struct {
		name, doc, stored string
		want              string
	}{
		{"an idle reconnect", `{"session_id":"new","_id":"_local/x","_rev":"0-3","history":[{"session_id":"new"},{"session_id":"old","last_seq":"5-x"}],"version":1}`, stored,
			`{"session_id":"new","_id":"_local/x","_rev":"0-3","history":[{"session_id":"old","last_seq":"5-x"}],"version":1,"last_seq":"5-x"}`},
		{"no older history", `{"session_id":"new","history":[{"session_id":"new"}]}`, stored,
			`{"session_id":"new","history":[{"session_id":"old","last_seq":"5-x"}],"last_seq":"5-x"}`},
		{"nothing stored to mend from", `{"session_id":"new","history":[{"session_id":"new"}]}`, `{"session_id":"old","history":[]}`,
			`{"session_id":"new","history":[{"session_id":"new"}]}`},
		{"a last_seq that is a number", `{"history":[]}`, `{"last_seq":0,"history":[{"last_seq":0}]}`, `{"history":[{"last_seq":0}],"last_seq":0}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := mendCheckpoint(jsontext.Value(tt.doc), jsontext.Value(tt.stored))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhichCheckpointsAreMended(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]bool{
		`{"_id":"_local/x","history":[{"session_id":"a"}]}`:                           true,
		`{"_id":"_local/x","history":[{"session_id":"a","last_seq":1}],"last_seq":1}`: false,
		`{"_id":"_local/x","anything":"else"}`:                                        false,
	} {
		parsed, err := wire.ParseDoc(jsontext.Value(doc))
		if err != nil {
			t.Fatal(err)
		}
		if op := putCheckpoint(parsed).(wire.PutLocal); (op.Mend != nil) != want || op.ID != "x" {
			t.Errorf("%s: mended %t, id %s", doc, op.Mend != nil, op.ID)
		}
	}
}

func BenchmarkBuffer(b *testing.B) {
	buffer := jsontext.Value(`{"type":"Buffer","data":[` + strings.Repeat("17,200,", 1<<19) + `0]}`)
	b.SetBytes(int64(len(buffer)))
	for b.Loop() {
		if _, err := bufferToBase64(buffer); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReceiveBulkDocs(b *testing.B) {
	var docs []string
	for range 100 {
		docs = append(docs, `{"_id":"doc-000001","_rev":"1-0123456789abcdef0123456789abcdef","_revisions":{"start":1,"ids":["0123456789abcdef0123456789abcdef"]},"text":"`+strings.Repeat("x", 100)+`"}`)
	}
	c, _, id := opened(b)
	line := []byte(`["` + id + `","data",[0,null,"_bulkDocs",[{"docs":[` + strings.Join(docs, ",") + `],"new_edits":false}]]]` + "\n")
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Receive(line); err != nil {
			b.Fatal(err)
		}
	}
}
