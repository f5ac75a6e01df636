package couch

import (
	"context"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// DocRef names a revision of a document; Rev "": all leaves.
type DocRef struct{ ID, Rev string }

// BulkGetOptions are the parameters of _bulk_get.
type BulkGetOptions struct{ Revs, Latest, Attachments, AttEncodingInfo bool }

// BulkGetDoc is one leaf, or one error, of the answer to _bulk_get.
type BulkGetDoc struct {
	Index int            // which of the references it belongs to, by its place in the answer
	ID    string         // as CouchDB answered it; the reference's where it did not
	Doc   jsontext.Value // nil when there is an error; valid until the next call of Next
	Rev   string         // of an error, as CouchDB sent it: "undefined" where the reference had none
	Err   *Error         // "not_found" and the like
}

// BulkGet reads the answer to one _bulk_get request, one document in memory at a time. It is for one goroutine at a time.
type BulkGet struct {
	s    *stream // nil: nothing was asked for
	refs []DocRef
	rows envelope
	scan scanner
	id   string // of the entry being read
	n    int    // entries begun
	at   bulkGetDepth

	failed *Error // found in the place of an entry: CouchDB gave up half way
	err    error
}

type bulkGetDepth int

const (
	inResults bulkGetDepth = iota
	inEntry
	inDocs
	inDoc
)

// BulkGet asks for documents by reference; each yields one or several [BulkGetDoc], in order. Without references there is no
// request and an empty answer. https://docs.couchdb.org/en/stable/api/database/bulk-api.html#db-bulk-get
func (d *Database) BulkGet(ctx context.Context, refs []DocRef, o BulkGetOptions) (*BulkGet, error) {
	if len(refs) == 0 {
		return &BulkGet{err: io.EOF}, nil
	}
	r := d.post("_bulk_get", bulkGetBody(refs))
	set(r.query, map[string]bool{"revs": o.Revs, "latest": o.Latest, "attachments": o.Attachments,
		"att_encoding_info": o.AttEncodingInfo})
	s, err := d.client.send(ctx, r)
	if err != nil {
		return nil, err
	}
	return newBulkGet(s, refs), nil
}

func newBulkGet(s *stream, refs []DocRef) *BulkGet {
	return &BulkGet{s: s, refs: refs, rows: newEnvelope(s, "results", func([]byte, value) {})}
}

func bulkGetBody(refs []DocRef) []byte {
	b := []byte(`{"docs":[`)
	for i, ref := range refs {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"id":`...), ref.ID)
		if ref.Rev != "" {
			b = appendString(append(b, `,"rev":`...), ref.Rev)
		}
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

// Next returns the next document or error row; io.EOF is the clean end, a cut answer an *Error. The answer is closed when Next
// fails.
func (b *BulkGet) Next() (BulkGetDoc, error) {
	if b.err != nil {
		return BulkGetDoc{}, b.err
	}
	doc, err := b.read()
	if err != nil {
		b.err = err
		_ = b.s.Close()
		return BulkGetDoc{}, err
	}
	return doc, nil
}

// read walks {"results":[{"id":"a","docs":[{"ok":{...}},{"error":{...}}]}]} to the next document.
func (b *BulkGet) read() (BulkGetDoc, error) {
	for {
		if b.at == inResults {
			if err := b.rows.more(); err != nil {
				return BulkGetDoc{}, err
			}
		}
		doc, err := b.step(b.rows.dec)
		if err != nil {
			return BulkGetDoc{}, b.rows.fail(err)
		}
		if doc.Doc != nil || doc.Err != nil {
			return doc, nil
		}
	}
}

// step reads one token or value, and returns a document if that was one.
func (b *BulkGet) step(dec *jsontext.Decoder) (BulkGetDoc, error) {
	switch kind := dec.PeekKind(); {
	case b.at == inResults:
		if b.n == len(b.refs) {
			return BulkGetDoc{}, errMalformed
		}
		b.id = ""
		b.n++
		return BulkGetDoc{}, b.enter(dec, '{')
	case b.at == inDocs && kind == '{':
		return BulkGetDoc{}, b.enter(dec, '{')
	case kind == '}' || kind == ']':
		return BulkGetDoc{}, b.leave(dec)
	case b.at == inDocs:
		_, err := dec.ReadToken()
		if err == nil {
			err = errMalformed
		}
		return BulkGetDoc{}, err
	}
	name, err := memberName(dec, b.rows.name[:0])
	if err != nil {
		return BulkGetDoc{}, err
	}
	b.rows.name = name
	if b.at == inEntry && string(name) == "docs" {
		return BulkGetDoc{}, b.enter(dec, '[')
	}
	v, err := dec.ReadValue()
	if err != nil {
		return BulkGetDoc{}, err
	}
	if b.at == inEntry {
		b.entryMember(name, v)
		return BulkGetDoc{}, nil
	}
	return b.doc(name, v)
}

// enter reads the brace or bracket that opens the next level.
func (b *BulkGet) enter(dec *jsontext.Decoder, open jsontext.Kind) error {
	t, err := dec.ReadToken()
	if err != nil {
		return err
	}
	if t.Kind() != open {
		return errMalformed
	}
	b.at++
	return nil
}

// leave reads the brace or bracket that closes the level.
func (b *BulkGet) leave(dec *jsontext.Decoder) error {
	b.at--
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	if b.at == inResults && b.failed != nil {
		return b.failed
	}
	return nil
}

// entryMember takes a member beside "docs".
func (b *BulkGet) entryMember(name []byte, v value) {
	switch string(name) {
	case "id":
		b.id = text(v)
	case "error":
		b.failed = b.s.answered(text(v), "")
	case "reason":
		if b.failed != nil {
			b.failed.Reason = text(v)
		}
	}
}

// doc takes {"ok":{document}} or {"error":{"id":"a","rev":"1-b","error":"not_found","reason":"missing"}}.
func (b *BulkGet) doc(name []byte, v value) (BulkGetDoc, error) {
	doc := BulkGetDoc{Index: b.n - 1, ID: b.id}
	if doc.ID == "" {
		doc.ID = b.refs[doc.Index].ID
	}
	switch string(name) {
	case "ok":
		if v.Kind() != '{' {
			return doc, errMalformed
		}
		doc.Doc = v
	case "error":
		doc.Err = &Error{Op: b.s.op}
		err := b.scan.each(v, func(name []byte, v value) bool {
			switch string(name) {
			case "rev":
				doc.Rev = text(v)
			case "error":
				doc.Err.Name = text(v)
				doc.Err.Status = statusOf(doc.Err.Name)
			case "reason":
				doc.Err.Reason = text(v)
			}
			return true
		})
		return doc, err
	}
	return doc, nil
}

// Close ends the request; it is idempotent.
func (b *BulkGet) Close() error {
	if b.s == nil {
		return nil
	}
	if b.err == nil {
		b.err = errClosed
	}
	return b.s.Close()
}
