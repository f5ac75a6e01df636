package couch

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// FeedType is the kind of a _changes request.
type FeedType int

const (
	Normal     FeedType = iota // the rows there are
	Longpoll                   // waits for a first row if there is none
	Continuous                 // rows as they come, until the caller or CouchDB ends it
)

// ChangesOptions are the parameters of _changes. https://docs.couchdb.org/en/stable/api/database/changes.html
type ChangesOptions struct {
	Since     string // "" from the start; "now"
	Limit     int    // 0: none. There is no way to ask for no rows: CouchDB takes 0 for 1
	Feed      FeedType
	AllLeaves bool // style=all_docs: every leaf of a document, not only the winner

	IncludeDocs, Conflicts, Attachments, AttEncodingInfo, Descending bool

	// Timeout ends a Longpoll or Continuous feed cleanly after that long without a row; CouchDB allows up to 60 s. 0: such a
	// feed has heartbeats instead, and no end.
	Timeout     time.Duration
	SeqInterval int // a sequence for every so many rows only, the others' are null

	// At most one of DocIDs, Selector, Filter and View.
	DocIDs   []string       // non-nil: these documents only
	Selector jsontext.Value // a Mango selector, one JSON object
	Filter   string         // "ddoc/name", or a built-in such as "_design"
	View     string         // "ddoc/view": rows the view's map function emits something for

	Query url.Values // the filter function's own parameters; names above win over them
}

// Changes asks for the changes of the database. A Normal feed with a selector, filter or view may be silent for ten times
// Options.Timeout, as CouchDB sends no heartbeats while it filters one. A status other than 200 is an *Error here; what fails later, [Changes.Next] says.
func (d *Database) Changes(ctx context.Context, o ChangesOptions) (*Changes, error) {
	return d.changes(ctx, o, 0)
}

func (d *Database) changes(ctx context.Context, o ChangesOptions, answerWithin time.Duration) (*Changes, error) {
	r, err := d.changesRequest(o)
	if err != nil {
		return nil, err
	}
	if answerWithin > 0 {
		r.answerWithin = answerWithin
	}
	s, err := d.client.send(ctx, r)
	if err != nil {
		return nil, err
	}
	return newChanges(s, o.Feed), nil
}

func (d *Database) changesRequest(o ChangesOptions) (request, error) {
	filter, body, err := o.filter()
	if err != nil {
		return request{}, err
	}
	r := d.get("_changes")
	if body != nil {
		r = d.post("_changes", body)
	}
	for name, values := range o.Query {
		r.query[name] = values
	}
	for _, name := range reservedChangesParameters() {
		r.query.Del(name)
	}
	setText(r.query, "filter", filter)
	setText(r.query, "view", o.View)
	setText(r.query, "since", o.Since)
	setInt(r.query, "limit", o.Limit)
	setInt(r.query, "seq_interval", o.SeqInterval)
	if o.AllLeaves {
		r.query.Set("style", "all_docs")
	}
	set(r.query, map[string]bool{"include_docs": o.IncludeDocs, "conflicts": o.Conflicts, "attachments": o.Attachments,
		"att_encoding_info": o.AttEncodingInfo, "descending": o.Descending})
	d.setFeed(&r, o)
	return r, nil
}

func reservedChangesParameters() []string {
	return []string{"since", "limit", "feed", "style", "include_docs", "conflicts", "attachments", "att_encoding_info",
		"descending", "timeout", "heartbeat", "seq_interval", "filter", "view", "doc_ids", "selector", "last-event-id"}
}

// filter chooses the filter's name and the request's body. Two filters are refused: CouchDB would drop one without a word.
func (o ChangesOptions) filter() (name string, body []byte, err error) {
	n := 0
	for _, used := range []bool{o.DocIDs != nil, o.Selector != nil, o.Filter != "", o.View != ""} {
		if used {
			n++
		}
	}
	switch {
	case n > 1:
		return "", nil, invalid("_changes", "bad_request", "doc_ids, selector, filter and view exclude each other.")
	case o.DocIDs != nil:
		return "_doc_ids", append(appendStrings([]byte(`{"doc_ids":`), o.DocIDs), '}'), nil
	case o.Selector != nil && !validObject(o.Selector):
		return "", nil, invalid("_changes", "bad_request", "Selector must be a JSON object.")
	case o.Selector != nil:
		return "_selector", append(append([]byte(`{"selector":`), o.Selector...), '}'), nil
	case o.View != "":
		return "_view", nil, nil
	}
	return o.Filter, nil, nil
}

// filteredSilence is how many times Options.Timeout a filtered Normal feed may be silent: CouchDB 3.5.0 heeds heartbeat in
// the other feeds only, and says nothing, not even headers, while a filter passes over documents.
const filteredSilence = 10

// setFeed asks for heartbeats wherever CouchDB may rightly be silent for long, and sets how long we believe in it.
func (d *Database) setFeed(r *request, o ChangesOptions) {
	own := d.client.options
	switch o.Feed {
	case Normal:
		if o.Selector != nil || o.Filter != "" || o.View != "" {
			r.silence = filteredSilence * own.Timeout
			r.answerWithin = r.silence
		}
		return
	case Longpoll:
		r.place = briefPlace
		r.query.Set("feed", "longpoll")
	case Continuous:
		r.place = briefPlace
		r.query.Set("feed", "continuous")
	}
	if o.Timeout > 0 {
		r.query.Set("timeout", milliseconds(o.Timeout))
		r.silence = o.Timeout + own.Timeout
		r.answerWithin = r.silence
		return
	}
	r.query.Set("heartbeat", milliseconds(own.Heartbeat))
	r.silence = 3 * own.Heartbeat
}

func milliseconds(d time.Duration) string {
	return strconv.FormatInt(max(d.Milliseconds(), 1), 10)
}

// Change is one row of _changes.
type Change struct {
	Row jsontext.Value // as CouchDB sent it; valid until the next call of Next

	parts   rowParts // of Row; not known if the row has not the form CouchDB gives it
	seq, id string   // if the parts are not known
}

// Seq is the row's sequence, "" when CouchDB sent null, see ChangesOptions.SeqInterval. Like the row's other parts it is made when
// it is asked for: to most rows of most readers nothing else happens than that they pass.
func (c Change) Seq() string {
	if c.parts.known() {
		return string(c.Row[c.parts.seqAt:c.parts.seqEnd])
	}
	return c.seq
}

// ID is the document's id, decoded.
func (c Change) ID() string {
	if c.parts.known() {
		return string(c.Row[c.parts.idAt:c.parts.idEnd])
	}
	return c.id
}

// Revs lists the revisions of the row: the winner, or every leaf with ChangesOptions.AllLeaves.
func (c Change) Revs() ([]string, error) {
	var few [4][]byte
	list, err := c.AppendRevs(few[:0])
	var revs []string
	for _, rev := range list {
		revs = append(revs, string(rev))
	}
	return revs, err
}

// AppendRevs appends the revisions of the row to dst. They are valid as long as Row is, and cost nothing where the row is as
// CouchDB writes it.
func (c Change) AppendRevs(dst [][]byte) ([][]byte, error) {
	if c.parts.known() {
		return appendRevs(dst, c.Row[c.parts.revsAt:c.parts.revsEnd]), nil
	}
	revs := dst
	err := c.member("changes", func(v value) error {
		dec := newDecoder(bytes.NewReader(v))
		if _, err := dec.ReadToken(); err != nil {
			return err
		}
		var s scanner
		for dec.PeekKind() == '{' {
			entry, err := dec.ReadValue()
			if err != nil {
				return err
			}
			if err := s.each(entry, func(name []byte, v value) bool {
				if string(name) == "rev" {
					revs = append(revs, []byte(text(v)))
				}
				return true
			}); err != nil {
				return err
			}
		}
		return nil
	})
	return revs, err
}

// Deleted reports whether the row's winning revision is a deletion.
func (c Change) Deleted() (bool, error) {
	if c.parts.known() {
		return c.parts.deleted, nil
	}
	deleted := false
	err := c.member("deleted", func(v value) error {
		deleted = v.Kind() == 't'
		return nil
	})
	return deleted, err
}

// Doc is the document of a row asked for with IncludeDocs, a part of Row; nil if there is none.
func (c Change) Doc() (jsontext.Value, error) {
	var doc jsontext.Value
	err := c.member("doc", func(v value) error {
		if v.Kind() == '{' {
			doc = v
		}
		return nil
	})
	return doc, err
}

func (c Change) member(name string, found func(v value) error) error {
	var s scanner
	var inner error
	err := s.each(c.Row, func(n []byte, v value) bool {
		if string(n) != name {
			return true
		}
		inner = found(v)
		return false
	})
	if err != nil || inner != nil {
		return &Error{Op: http.MethodGet + " _changes", Err: errMalformed}
	}
	return nil
}
