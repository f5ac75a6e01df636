package couch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/go-json-experiment/json/jsontext"
)

// Row is CouchDB's answer for one document of _bulk_docs.
type Row struct {
	ID, Rev      string
	OK           bool
	Status       int    // 201; 403 forbidden, 401 unauthorized, 409 conflict, 413 too large, else 500
	Name, Reason string // CouchDB's error and reason; the reason's JSON text when it is not a string
}

// BulkDocs writes documents; with newEdits false as a replication does, revisions and all, and then CouchDB answers rows of
// failures only. https://docs.couchdb.org/en/stable/api/database/bulk-api.html#db-bulk-docs
//
// The documents' bytes are sent as they are. Each must be one JSON object, or nothing is sent. Bodies are cut at
// Options.MaxBatchBytes; one that CouchDB calls too large (413), or resets, is halved until the document that is too large
// stands alone and becomes a Row. If a part fails whole, its error is returned and the rows so far are dropped: with newEdits false a repetition
// is harmless, and is made here already when a kept-alive connection turns out to be dead.
func (d *Database) BulkDocs(ctx context.Context, docs []jsontext.Value, newEdits bool) ([]Row, error) {
	for i, doc := range docs {
		if !validObject(doc) {
			return nil, invalid("POST _bulk_docs", "bad_request", "Document %d is not a JSON object.", i)
		}
	}
	var rows []Row
	for len(docs) > 0 {
		n := batch(docs, d.client.options.MaxBatchBytes)
		more, err := d.bulkDocs(ctx, docs[:n], newEdits)
		if err != nil {
			return nil, err
		}
		rows, docs = append(rows, more...), docs[n:]
	}
	return rows, nil
}

// batch is how many of docs, at least one, fit into limit bytes.
func batch(docs []jsontext.Value, limit int) int {
	size := len(bulkHead(false)) + len(bulkTail)
	for i, doc := range docs {
		size += len(doc) + 1
		if size > limit && i > 0 {
			return i
		}
	}
	return len(docs)
}

// bulkDocs writes docs in one request, or in halves if that is too large.
func (d *Database) bulkDocs(ctx context.Context, docs []jsontext.Value, newEdits bool) ([]Row, error) {
	rows, err := d.postDocs(ctx, docs, newEdits)
	for again := 0; again < 3 && len(docs) == 1 && maybeTooLarge(err, newEdits); again++ {
		rows, err = d.postDocs(ctx, docs, newEdits)
	}
	var e *Error
	refused := errors.As(err, &e) && e.Status == http.StatusRequestEntityTooLarge
	switch {
	case len(docs) == 1 && refused:
		return []Row{tooLarge(docs[0], e)}, nil
	case len(docs) == 1 || !refused && !maybeTooLarge(err, newEdits):
		return rows, err
	}
	half := len(docs) / 2
	first, err := d.bulkDocs(ctx, docs[:half], newEdits)
	if err != nil {
		return nil, err
	}
	second, err := d.bulkDocs(ctx, docs[half:], newEdits)
	if err != nil {
		return nil, err
	}
	return append(first, second...), nil
}

// maybeTooLarge reports whether err may be a 413 that got lost: above its max_http_request_size CouchDB answers without reading
// the body and resets the connection, and about every second time that overtakes the answer. To repeat the write is harmless
// for replication writes only.
func maybeTooLarge(err error, newEdits bool) bool {
	return !newEdits && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed))
}

// tooLarge is the row of a document that CouchDB refused as a whole request.
func tooLarge(doc jsontext.Value, e *Error) Row {
	row := Row{Status: e.Status, Name: e.Name, Reason: e.Reason}
	var s scanner
	_ = s.each(doc, func(name []byte, v value) bool {
		switch string(name) {
		case "_id":
			row.ID = text(v)
		case "_rev":
			row.Rev = text(v)
		}
		return row.ID == "" || row.Rev == ""
	})
	return row
}

func (d *Database) postDocs(ctx context.Context, docs []jsontext.Value, newEdits bool) ([]Row, error) {
	r := d.get("_bulk_docs")
	r.method = http.MethodPost
	r.once = newEdits
	head := bulkHead(newEdits)
	r.length = int64(len(head) + len(bulkTail) + len(docs) - 1)
	for _, doc := range docs {
		r.length += int64(len(doc))
	}
	r.body = func() io.ReadCloser { return &docsReader{docs: docs, rest: head} }
	s, err := d.client.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	dec := newDecoder(s)
	rows, err := readRows(dec)
	if err != nil {
		return nil, streamFailure(s, dec, err)
	}
	return rows, nil
}

const bulkTail = "]}"

func bulkHead(newEdits bool) string {
	if newEdits {
		return `{"docs":[`
	}
	return `{"new_edits":false,"docs":[`
}

// docsReader is the body of _bulk_docs, read from the documents where they are.
type docsReader struct {
	docs []jsontext.Value
	rest string // of the text around the documents
	doc  []byte // rest of the document being read
	n    int    // documents begun
}

func (r *docsReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		switch {
		case r.rest != "":
			k := copy(p[n:], r.rest)
			n, r.rest = n+k, r.rest[k:]
		case len(r.doc) > 0:
			k := copy(p[n:], r.doc)
			n, r.doc = n+k, r.doc[k:]
		case r.n < len(r.docs):
			if r.n > 0 && r.doc != nil {
				r.rest, r.doc = ",", nil
				continue
			}
			r.doc = r.docs[r.n]
			r.n++
		case r.n == len(r.docs):
			r.rest = bulkTail
			r.n++
		default:
			if n == 0 {
				return 0, io.EOF
			}
			return n, nil
		}
	}
	return n, nil
}

func (r *docsReader) Close() error { return nil }

// readRows reads [{"ok":true,"id":"a","rev":"1-b"},{"id":"c","error":"conflict","reason":"..."}].
func readRows(dec *jsontext.Decoder) ([]Row, error) {
	var rows []Row
	var s scanner
	err := elements(dec, func() error {
		v, err := dec.ReadValue()
		if err != nil {
			return err
		}
		row := Row{Status: http.StatusCreated}
		err = s.each(v, func(name []byte, v value) bool {
			row.member(name, v)
			return true
		})
		row.OK = row.Name == ""
		rows = append(rows, row)
		return err
	})
	return rows, err
}

func (r *Row) member(name []byte, v value) {
	switch string(name) {
	case "id":
		r.ID = text(v)
	case "rev":
		r.Rev = text(v)
	case "error":
		r.Name = text(v)
		r.Status = statusOf(r.Name)
	case "reason":
		r.Reason = text(bytes.TrimSpace(v))
	}
}
