package couch

import (
	"bytes"
	"context"
	"net/http"
	"net/url"

	"github.com/go-json-experiment/json/jsontext"
)

// maxRevsInURL bounds the revision lists of one URL, in escaped bytes; servers and proxies refuse lines of more than 8 KiB.
const maxRevsInURL = 6000

// GetOptions are the parameters of GET /{db}/{docid}.
// https://docs.couchdb.org/en/stable/api/document/common.html#get--db-docid
type GetOptions struct {
	Rev string

	Revs, RevsInfo, Conflicts, DeletedConflicts, Meta, LocalSeq, Latest, Attachments, AttEncodingInfo bool

	// AttsSince asks for the bodies of attachments added after these revisions only. As many are sent as fit into a URL;
	// leaving out some asks for more than needed, never for less.
	AttsSince []string
}

func (o GetOptions) query() url.Values {
	q := url.Values{}
	setText(q, "rev", o.Rev)
	set(q, map[string]bool{"revs": o.Revs, "revs_info": o.RevsInfo, "conflicts": o.Conflicts,
		"deleted_conflicts": o.DeletedConflicts, "meta": o.Meta, "local_seq": o.LocalSeq, "latest": o.Latest,
		"attachments": o.Attachments, "att_encoding_info": o.AttEncodingInfo})
	if len(o.AttsSince) > 0 {
		q.Set("atts_since", string(appendStrings(nil, o.AttsSince[:fitting(o.AttsSince, maxRevsInURL/2)])))
	}
	return q
}

// fitting is how many of revs, at least one, fit into a URL as a JSON array.
func fitting(revs []string, limit int) int {
	size := 0
	for i, rev := range revs {
		size += len(escape(`"` + rev + `",`))
		if size > limit && i > 0 {
			return i
		}
	}
	return len(revs)
}

// document is a request for a document, its id checked and escaped.
func (d *Database) document(method, id string) (request, error) {
	path, err := documentPath(method+" document", id)
	if err != nil {
		return request{}, err
	}
	return request{method: method, op: "document", path: d.path + "/" + path, query: url.Values{}, flow: &d.flow}, nil
}

// Get returns a document as CouchDB sent it, in memory: attachments belong to [Database.Attachment] unless they are small.
func (d *Database) Get(ctx context.Context, id string, o GetOptions) (jsontext.Value, error) {
	r, err := d.document(http.MethodGet, id)
	if err != nil {
		return nil, err
	}
	r.query = o.query()
	return d.client.fetch(ctx, r)
}

// OpenRev is one revision asked for: Doc, or Missing, the revision that there is none of.
type OpenRev struct {
	Doc     jsontext.Value
	Missing string
}

// OpenRevs returns the given revisions of a document, or all its leaves when revs is nil, in CouchDB's order. A long list is
// asked for in several requests, so that no URL is too long. A document the database has never seen is a 404 *Error.
func (d *Database) OpenRevs(ctx context.Context, id string, revs []string, o GetOptions) ([]OpenRev, error) {
	r, err := d.document(http.MethodGet, id)
	if err != nil {
		return nil, err
	}
	r.query = o.query()
	if revs == nil {
		r.query.Set("open_revs", "all")
		found, err := d.openRevs(ctx, r)
		if err == nil && len(found) == 0 {
			err = &Error{Op: "GET document", Status: http.StatusNotFound, Name: "not_found", Reason: "missing"}
		}
		return found, err
	}
	var all []OpenRev
	for len(revs) > 0 {
		n := fitting(revs, maxRevsInURL/2)
		r.query.Set("open_revs", string(appendStrings(nil, revs[:n])))
		found, err := d.openRevs(ctx, r)
		if err != nil {
			return nil, err
		}
		all, revs = append(all, found...), revs[n:]
	}
	return all, nil
}

func (d *Database) openRevs(ctx context.Context, r request) ([]OpenRev, error) {
	v, err := d.client.fetch(ctx, r)
	if err != nil {
		return nil, err
	}
	var found []OpenRev
	var s scanner
	dec := newDecoder(bytes.NewBuffer(v))
	err = elements(dec, func() error {
		entry, err := dec.ReadValue()
		if err != nil {
			return err
		}
		var rev OpenRev
		err = s.each(entry, func(name []byte, v value) bool {
			switch string(name) {
			case "ok":
				rev.Doc = v
			case "missing":
				rev.Missing = text(v)
			}
			return true
		})
		found = append(found, rev)
		return err
	})
	if err != nil {
		return nil, &Error{Op: "GET document", Err: errMalformed}
	}
	return found, nil
}
