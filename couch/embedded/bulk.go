package embedded

import (
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
)

// postBulkDocs writes many documents as one transaction. A fault of the request refuses all of it; a refusal of one
// document is a row of the answer.
func (r *request) postBulkDocs() error {
	v, err := r.readObject()
	if err != nil {
		return err
	}
	replicated := false
	if newEdits := field(v, "new_edits"); newEdits != nil {
		if kind := newEdits.Kind(); kind != 't' && kind != 'f' {
			return badRequest("`new_edits` parameter must be a boolean.")
		}
		replicated = newEdits.Kind() == 'f'
	}
	docs, err := r.bulkDocuments(field(v, "docs"), replicated)
	if err != nil {
		return err
	}
	results, err := r.save(docs, replicated)
	if err != nil {
		return err
	}
	return r.sendJSON(http.StatusCreated, appendResults(nil, docs, results, replicated))
}

func (r *request) bulkDocuments(v jsontext.Value, replicated bool) ([]*document, error) {
	if v == nil {
		return nil, badRequest("POST body must include `docs` parameter.")
	}
	var docs []*document
	isArray, err := elements(v, func(e jsontext.Value) error {
		d, err := r.parse(e)
		if err != nil {
			return err
		}
		if replicated && d.revs.none() {
			return errNeedsRevision
		}
		if d.id == "" {
			d.id = r.store.options.NewUUID()
		}
		docs = append(docs, d)
		return nil
	})
	if err == nil && !isArray {
		err = badRequest("`docs` parameter must be an array.")
	}
	return docs, err
}

// appendResults adds a row per document; under new_edits=false only the refusals, with their revisions.
func appendResults(dst []byte, docs []*document, results []saved, replicated bool) []byte {
	dst = append(dst, '[')
	first := true
	for i, result := range results {
		if replicated && result.err == nil {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		if result.err == nil {
			dst = appendSaved(dst, docs[i].id, result.rev.String())
			continue
		}
		dst = appendString(append(dst, `{"id":`...), docs[i].id)
		if replicated {
			dst = appendString(append(dst, `,"rev":`...), docs[i].revs.revision().String())
		}
		dst = append(result.err.appendMembers(append(dst, ',')), '}')
	}
	return append(dst, ']')
}

// postBulkGet reads many revisions. The answer is always JSON, never multipart.
func (r *request) postBulkGet() error {
	v, err := r.readObject()
	if err != nil {
		return err
	}
	docs := field(v, "docs")
	if docs == nil {
		return badRequest("Missing JSON list of 'docs'.")
	}
	o, err := r.openOptions()
	if err != nil {
		return err
	}
	r.out.Header().Set("Content-Type", "application/json")
	out := streamed{to: r.out}
	out.buf.WriteString(`{"results":[`)
	first := true
	isArray, err := elements(docs, func(e jsontext.Value) error {
		row, err := r.bulkGetRow(e, *o)
		if err != nil {
			return err
		}
		if !first {
			row = append([]byte(","), row...)
		}
		first = false
		return out.write(row)
	})
	if err == nil && !isArray {
		err = badRequest("Missing JSON list of 'docs'.")
	}
	if err != nil {
		return err
	}
	out.buf.WriteString("]}\n")
	return out.flush()
}

// bulkGetRow answers one entry of _bulk_get, such as {"id":"a","rev":"1-x","atts_since":["1-y"]}.
func (r *request) bulkGetRow(entry jsontext.Value, o openOptions) ([]byte, error) {
	if entry.Kind() != '{' || string(entry) == "{}" {
		return appendBulkError(nil, "null", "null", "bad_request", "document must be a JSON object"), nil
	}
	id, ok := stringValue(field(entry, "id"))
	if !ok {
		return appendBulkError(nil, "null", "null", "bad_request", "document id missed"), nil
	}
	quotedID := string(appendString(nil, id))
	if err := validateID(id); err != nil {
		f := err.(*failure)
		return appendBulkError(nil, quotedID, "null", f.name, f.reason), nil
	}
	var want []revision
	rev := `"undefined"`
	if text, ok := stringValue(field(entry, "rev")); ok {
		parsed, err := parseRevision(text)
		if err != nil {
			f := err.(*failure)
			return appendBulkError(nil, quotedID, string(appendString(nil, text)), f.name, f.reason), nil
		}
		want, rev = []revision{parsed}, string(appendString(nil, text))
	}
	if since := field(entry, "atts_since"); since != nil {
		revs, err := revisionArray(since)
		if err != nil {
			f := err.(*failure)
			return appendBulkError(nil, quotedID, rev, f.name, f.reason), nil
		}
		o.attsSince, o.attachments = revs, true
	}
	reads, err := r.db.openRevisions(id, want, &o)
	if err != nil {
		return nil, err
	}
	if len(reads) == 0 {
		return appendBulkError(nil, quotedID, rev, "not_found", "missing"), nil
	}
	return appendBulkReads(nil, quotedID, reads, &o), nil
}

func appendBulkReads(dst []byte, quotedID string, reads []read, o *openOptions) []byte {
	dst = append(dst, `{"id":`+quotedID+`,"docs":[`...)
	for i, got := range reads {
		if i > 0 {
			dst = append(dst, ',')
		}
		if got.doc == nil {
			rev := string(appendString(nil, got.rev.String()))
			dst = appendBulkErrorObject(dst, quotedID, rev, "not_found", "missing")
			continue
		}
		dst = append(append(append(dst, `{"ok":`...), o.json(got)...), '}')
	}
	return append(dst, "]}"...)
}

func appendBulkError(dst []byte, quotedID, quotedRev, name, reason string) []byte {
	dst = append(dst, `{"id":`+quotedID+`,"docs":[`...)
	return append(appendBulkErrorObject(dst, quotedID, quotedRev, name, reason), "]}"...)
}

func appendBulkErrorObject(dst []byte, quotedID, quotedRev, name, reason string) []byte {
	dst = append(dst, `{"error":{"rev":`+quotedRev+`,"reason":`...)
	dst = appendString(dst, reason)
	dst = append(dst, `,"id":`+quotedID+`,"error":`...)
	return append(appendString(dst, name), "}}"...)
}
