package couch

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// RevsDiff asks which of the revisions, {"id":["1-abc",...],...}, the database lacks. Question and answer pass as they are.
// https://docs.couchdb.org/en/stable/api/database/misc.html#db-revs-diff
func (d *Database) RevsDiff(ctx context.Context, revs jsontext.Value) (jsontext.Value, error) {
	return d.client.fetch(ctx, d.post("_revs_diff", revs))
}

// Leaf is a leaf revision with its ancestry.
type Leaf struct {
	Start   int      // generation of the leaf
	IDs     []string // hashes, newest first, as in _revisions
	Deleted bool
}

// Rev is the leaf's revision, "3-abc".
func (l Leaf) Rev() string {
	if len(l.IDs) == 0 {
		return ""
	}
	return strconv.Itoa(l.Start) + "-" + l.IDs[0]
}

// Leaves lists the leaf revisions of a document with their ancestry. The documents' other members are skipped as they stream.
// A document that the database has never seen is a 404 *Error.
func (d *Database) Leaves(ctx context.Context, id string) ([]Leaf, error) {
	if endsInDots(id) {
		return d.dotLeaves(ctx, id)
	}
	r, err := d.document(http.MethodGet, id)
	if err != nil {
		return nil, err
	}
	r.query.Set("open_revs", "all")
	r.query.Set("revs", "true")
	s, err := d.client.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	dec := newDecoder(s)
	leaves, err := readLeaves(dec)
	if err != nil {
		return nil, streamFailure(s, dec, err)
	}
	if len(leaves) == 0 {
		return nil, &Error{Op: s.op, Status: http.StatusNotFound, Name: "not_found", Reason: "missing"}
	}
	return leaves, nil
}

// dotLeaves is Leaves for an id that is fine in CouchDB but cannot be part of a URL: it goes into a body.
func (d *Database) dotLeaves(ctx context.Context, id string) ([]Leaf, error) {
	docs, err := d.BulkGet(ctx, []DocRef{{ID: id}}, BulkGetOptions{Revs: true})
	if err != nil {
		return nil, err
	}
	defer docs.Close()
	var leaves []Leaf
	for {
		doc, err := docs.Next()
		switch {
		case err == io.EOF:
			return leaves, nil
		case err != nil:
			return nil, err
		case doc.Err != nil:
			return nil, doc.Err
		}
		leaf, err := readLeaf(newDecoder(bytes.NewReader(doc.Doc)))
		if err != nil {
			return nil, &Error{Op: docs.s.op, Err: errMalformed}
		}
		leaves = append(leaves, leaf)
	}
}

// readLeaves reads [{"ok":{document}},{"missing":"1-abc"},...].
func readLeaves(dec *jsontext.Decoder) ([]Leaf, error) {
	var leaves []Leaf
	err := elements(dec, func() error {
		return eachMember(dec, func(name []byte) error {
			if string(name) != "ok" || dec.PeekKind() != '{' {
				return dec.SkipValue()
			}
			leaf, err := readLeaf(dec)
			leaves = append(leaves, leaf)
			return err
		})
	})
	return leaves, err
}

func readLeaf(dec *jsontext.Decoder) (Leaf, error) {
	var leaf Leaf
	err := eachMember(dec, func(name []byte) error {
		switch string(name) {
		case "_deleted":
			v, err := dec.ReadValue()
			leaf.Deleted = v.Kind() == 't'
			return err
		case "_revisions":
			return readRevisions(dec, &leaf)
		}
		return dec.SkipValue()
	})
	if err == nil && (leaf.Start <= 0 || len(leaf.IDs) == 0) {
		err = errMalformed
	}
	return leaf, err
}

// readRevisions reads {"start":2,"ids":["bbb","aaa"]}.
func readRevisions(dec *jsontext.Decoder, leaf *Leaf) error {
	return eachMember(dec, func(name []byte) error {
		if string(name) == "ids" {
			return elements(dec, func() error {
				v, err := dec.ReadValue()
				leaf.IDs = append(leaf.IDs, text(v))
				return err
			})
		}
		v, err := dec.ReadValue()
		if string(name) == "start" {
			leaf.Start = int(integer(v, 0))
		}
		return err
	})
}

// elements reads an array; visit reads one element.
func elements(dec *jsontext.Decoder, visit func() error) error {
	if t, err := dec.ReadToken(); err != nil {
		return err
	} else if t.Kind() != '[' {
		return errMalformed
	}
	for dec.PeekKind() != ']' {
		if dec.PeekKind() == 0 {
			_, err := dec.ReadToken()
			return err
		}
		if err := visit(); err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

// eachMember reads an object; visit reads one member's value.
func eachMember(dec *jsontext.Decoder, visit func(name []byte) error) error {
	if t, err := dec.ReadToken(); err != nil {
		return err
	} else if t.Kind() != '{' {
		return errMalformed
	}
	for dec.PeekKind() != '}' {
		name, err := memberName(dec, nil)
		if err != nil {
			return err
		}
		if err := visit(name); err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}
