package embedded

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// FuzzDocument: what is accepted as a document is shown again as JSON, has a revision id, and reads back the same.
func FuzzDocument(f *testing.F) {
	for _, seed := range []string{`{}`, `{"_id":"a","_rev":"1-b","x":[1,2.5,-3,"\u00e9",null,true,{"y":{}}],"x":256}`,
		`{"_revisions":{"start":2,"ids":["a","b"]},"_deleted":true}`, `{"_attachments":{"a":{"data":"aGVsbG8=","content_type":"x/y","revpos":3}}}`,
		`{"n":123456789012345678901234567890,"e":1e400,"l":[],"b":[0,255]}`, `[1]`, "{\"\xff\":1}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := compactJSON(bytes.Clone(raw))
		if err != nil {
			return
		}
		d, err := parseDocument(v, 1<<20)
		if err != nil {
			return
		}
		if id, err := newRevisionID(d); err != nil || len(id) != 16 {
			t.Fatalf("revision id %x, %v", id, err)
		}
		shown := appendDocument(nil, d, rendering{revs: true})
		if !jsontext.Value(shown).IsValid(jsontext.AllowDuplicateNames(true)) {
			t.Fatalf("%s is shown as %s", raw, shown)
		}
		again := &document{}
		if err := again.decodeBody(encodeBody(d)); err != nil || !bytes.Equal(again.body, d.body) || len(again.atts) != len(d.atts) {
			t.Fatalf("body %s reads back as %s, %v", d.body, again.body, err)
		}
	})
}

// FuzzRecords: no record of the file, however damaged, does more than give an error.
func FuzzRecords(f *testing.F) {
	f.Add((&docInfo{seq: 7, tree: grow(10, "1:a,b", "1:a,c!", "5:x")}).encode())
	f.Add(encodeBody(&document{body: []byte(`"a":1`), atts: []attachment{{name: "n", length: 3}}}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if info, err := decodeInfo("d", raw); err == nil {
			if back, err := decodeInfo("d", info.encode()); err != nil || back.tree.String() != info.tree.String() {
				t.Fatalf("%s reads back as %v, %v", info.tree, back, err)
			}
		}
		_ = (&document{}).decodeBody(raw)
	})
}

// FuzzMultipart: a multipart body is a document or a client's fault, never the store's.
func FuzzMultipart(f *testing.F) {
	f.Add(related(`{"_attachments":{"f":{"follows":true,"length":3},"g":{"follows":true}}}`, "one", "two"))
	f.Add(related(`{"_attachments":{"f":{"follows":true,"encoding":"gzip"}}}`, "\x1f\x8b\x08"))
	f.Add("--b\r\n\r\n{}--b--")
	s := newServer(f, Options{MaxRequestSize: 1 << 16, MaxAttachmentSize: 1 << 16})
	s.must(201, "PUT", "/db", "")
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("PUT", "/db/d", strings.NewReader(body))
		r.Header.Set("Content-Type", `multipart/related; boundary="b"`)
		w := httptest.NewRecorder()
		s.store.ServeHTTP(w, r)
		if w.Code >= http.StatusInternalServerError && !strings.Contains(w.Body.String(), "function_clause") {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}

// FuzzSelector: a selector is compiled or refused, and a compiled one can be asked.
func FuzzSelector(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a.b":{"$not":{"$in":[1,"x"]}}}`, `{"$nor":[{"a":{"$elemMatch":{"$gt":1}}},{"$or":[]}]}`, `{"a":{"$regex":"^x","$mod":[2,1]}}`} {
		f.Add(seed, `{"a":{"b":1},"x":[1,2]}`)
	}
	f.Fuzz(func(t *testing.T, selector, doc string) {
		s, err := compactJSON([]byte(selector))
		if err != nil {
			return
		}
		d, err := compactJSON([]byte(doc))
		if err != nil {
			return
		}
		matches, err := parseSelector(s)
		if err != nil {
			return
		}
		value, err := parseMangoValue(d)
		if err != nil {
			t.Fatalf("valid JSON %s: %v", d, err)
		}
		both, err := parseSelector(jsontext.Value(`{"$and":[` + string(s) + `]}`))
		if err != nil || both(value) != matches(value) && string(s) != "{}" {
			t.Fatalf("%s of %s is %t, the same in $and %v", s, d, matches(value), err)
		}
	})
}

// FuzzSince: only sequences the store gave, and 0, are taken.
func FuzzSince(f *testing.F) {
	db := &database{uuid: recordedID}
	f.Add(db.sequence(7))
	f.Add("0")
	f.Add(`"0"`)
	f.Add("1-AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := db.parseSince(text)
		if err == nil && n > 0 && strings.Trim(text, `"`) != db.sequence(n) {
			t.Fatalf("%q is taken for %d", text, n)
		}
	})
}
