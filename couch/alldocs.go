package couch

import (
	"context"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// AllDocsOptions are the parameters of _all_docs. https://docs.couchdb.org/en/stable/api/database/bulk-api.html#db-all-docs
type AllDocsOptions struct {
	Keys []string // non-nil: rows of these ids, in this order

	IncludeDocs, Conflicts, Attachments, Descending bool

	StartKey, EndKey string // "": no bound
	InclusiveEnd     *bool  // nil: CouchDB's default, true
	Limit, Skip      int    // 0: none
}

// AllDocsRow is one row of _all_docs.
type AllDocsRow struct {
	Row          jsontext.Value // as CouchDB sent it; valid until the next call of Next
	ID, Key, Rev string         // of a row with Err only Key is set
	Deleted      bool           // rows asked for by key only
	Err          string         // "not_found"
	Doc          jsontext.Value // a part of Row; nil when absent or null
}

// AllDocs reads the rows of one _all_docs request. It is for one goroutine at a time.
type AllDocs struct {
	s     *stream
	rows  envelope
	scan  [2]scanner
	total int64
	err   error
}

// AllDocs lists documents by id.
func (d *Database) AllDocs(ctx context.Context, o AllDocsOptions) (*AllDocs, error) {
	s, err := d.client.send(ctx, d.allDocsRequest(o))
	if err != nil {
		return nil, err
	}
	return newAllDocs(s), nil
}

func newAllDocs(s *stream) *AllDocs {
	a := &AllDocs{s: s, total: -1}
	a.rows = newEnvelope(s, "rows", func(name []byte, v value) {
		if string(name) == "total_rows" {
			a.total = integer(v, -1)
		}
	})
	return a
}

func (d *Database) allDocsRequest(o AllDocsOptions) request {
	r := d.get("_all_docs")
	if o.Keys != nil {
		r = d.post("_all_docs", append(appendStrings([]byte(`{"keys":`), o.Keys), '}'))
	}
	set(r.query, map[string]bool{"include_docs": o.IncludeDocs, "conflicts": o.Conflicts, "attachments": o.Attachments,
		"descending": o.Descending})
	if o.StartKey != "" {
		r.query.Set("startkey", string(appendString(nil, o.StartKey)))
	}
	if o.EndKey != "" {
		r.query.Set("endkey", string(appendString(nil, o.EndKey)))
	}
	if o.InclusiveEnd != nil {
		r.query.Set("inclusive_end", strconv.FormatBool(*o.InclusiveEnd))
	}
	setInt(r.query, "limit", o.Limit)
	setInt(r.query, "skip", o.Skip)
	return r
}

// Next returns the next row, whose bytes are valid until the next call; io.EOF is the clean end. The answer is closed when
// Next fails.
func (a *AllDocs) Next() (AllDocsRow, error) {
	if a.err != nil {
		return AllDocsRow{}, a.err
	}
	row, err := a.read()
	if err != nil {
		a.err = err
		_ = a.s.Close()
		return AllDocsRow{}, err
	}
	return row, nil
}

func (a *AllDocs) read() (AllDocsRow, error) {
	if err := a.rows.more(); err != nil {
		return AllDocsRow{}, err
	}
	v, err := a.rows.dec.ReadValue()
	if err != nil {
		return AllDocsRow{}, a.rows.fail(err)
	}
	row := AllDocsRow{Row: v}
	reason := ""
	err = a.scan[0].each(v, func(name []byte, v value) bool {
		switch string(name) {
		case "id":
			row.ID = text(v)
		case "key":
			row.Key = text(v)
		case "error":
			row.Err = text(v)
		case "reason":
			reason = text(v)
		case "value":
			row.Rev, row.Deleted = a.revision(v)
		case "doc":
			if v.Kind() == '{' {
				row.Doc = v
			}
		}
		return true
	})
	switch {
	case err != nil, row.ID == "" && row.Err == "":
		return AllDocsRow{}, &Error{Op: a.s.op, Err: errMalformed}
	case row.Key == "" && row.Err != "":
		return AllDocsRow{}, a.s.answered(row.Err, reason)
	}
	return row, nil
}

// revision reads {"rev":"1-abc","deleted":true}. CouchDB sends null for a document it could not open.
func (a *AllDocs) revision(v value) (rev string, deleted bool) {
	_ = a.scan[1].each(v, func(name []byte, v value) bool {
		switch string(name) {
		case "rev":
			rev = text(v)
		case "deleted":
			deleted = v.Kind() == 't'
		}
		return true
	})
	return rev, deleted
}

// TotalRows is the number of documents in the database, known after the first row; -1 if CouchDB did not say.
func (a *AllDocs) TotalRows() int64 { return a.total }

// Close ends the request; it is idempotent.
func (a *AllDocs) Close() error {
	if a.err == nil {
		a.err = errClosed
	}
	return a.s.Close()
}
