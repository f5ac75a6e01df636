package bridge

import (
	"context"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"pouchbridge/bridge/wire"
	"pouchbridge/couch"
)

// maxAncestors is how far back the attachments of an edited document are looked
// for when its parent is not there: a client that edited several times while it
// was away sends only the last revision.
const maxAncestors = 20

// ancestor is a revision that a document to be written descends from.
type ancestor struct {
	doc *wire.Doc
	rev string
}

// keepAttachments adds to each edited document stubs of the attachments that
// its nearest stored ancestor has and the document does not name. Its client
// was not able to take them, so it cannot have meant to remove them.
func (s *session) keepAttachments(ctx context.Context, docs []wire.Doc) error {
	var parents, older []ancestor
	for i := range docs {
		if d := &docs[i]; !d.Deleted && len(d.Ancestors) > 0 {
			parents = append(parents, ancestor{d, d.Ancestors[0]})
		}
	}
	found := map[*wire.Doc]bool{}
	if err := s.keepFrom(ctx, parents, found); err != nil {
		return err
	}
	for _, p := range parents {
		if found[p.doc] {
			continue
		}
		for _, rev := range p.doc.Ancestors[1:min(len(p.doc.Ancestors), maxAncestors)] {
			older = append(older, ancestor{p.doc, rev})
		}
	}
	return s.keepFrom(ctx, older, found)
}

// keepFrom reads the ancestors, which are in order from the nearest, and takes
// the first that is there of each document.
func (s *session) keepFrom(ctx context.Context, ancestors []ancestor, found map[*wire.Doc]bool) error {
	refs := make([]couch.DocRef, len(ancestors))
	for i, a := range ancestors {
		refs[i] = couch.DocRef{ID: a.doc.ID, Rev: a.rev}
	}
	return s.bulkGet(ctx, refs, couch.BulkGetOptions{}, func(d couch.BulkGetDoc) error {
		doc := ancestors[d.Index].doc
		switch {
		case d.Err != nil && d.Err.Status != http.StatusNotFound:
			return d.Err
		case d.Err != nil || found[doc]:
			return nil
		}
		found[doc] = true
		return addStubs(doc, d.Doc)
	})
}

// addStubs adds the attachments of stored, which are stubs, that d does not
// name.
func addStubs(d *wire.Doc, stored jsontext.Value) error {
	old, err := wire.ParseDoc(stored)
	if err != nil || old.Attachments == nil {
		return err
	}
	merged := []byte{'{'}
	named := map[string]bool{}
	if d.Attachments != nil {
		err = wire.Members(d.Attachments, func(m wire.Member) error {
			named[string(m.Name)] = true
			merged = wire.AppendMember(merged, m.Key, m.Value)
			return nil
		})
	}
	if err != nil {
		return nil // not an object: CouchDB says so better
	}
	missing := false
	err = wire.Members(old.Attachments, func(m wire.Member) error {
		if !named[string(m.Name)] {
			missing = true
			merged = wire.AppendMember(merged, m.Key, m.Value)
		}
		return nil
	})
	if err != nil || !missing {
		return err
	}
	d.Attachments = append(merged, '}')
	d.Raw, err = d.WithAttachments(d.Attachments)
	return err
}

// raw are the bytes of documents.
func raw(docs []wire.Doc) []jsontext.Value {
	out := make([]jsontext.Value, len(docs))
	for i, d := range docs {
		out[i] = d.Raw
	}
	return out
}
