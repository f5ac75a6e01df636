package bridge

import (
	"context"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"pouchbridge/bridge/wire"
)

// openRevs answers an OpenRevs call; false: CouchDB must be asked.
func (a *ahead) openRevs(ctx context.Context, op wire.OpenRevs) (out wire.OpenRevsResult, ok bool) {
	if len(op.Revs) == 0 {
		return out, false
	}
	row, ok := a.take(ctx, op.ID)
	if !ok {
		return out, false
	}
	if out, ok = row.openRevs(op); ok {
		a.given(op.ID)
	}
	return out, ok
}

// docRow is a document's row in the answer to an AllDocs call that includes
// documents; false: CouchDB must be asked.
func (a *ahead) docRow(ctx context.Context, id string) (out wire.DocRow, ok bool) {
	row, ok := a.take(ctx, id)
	if !ok {
		return out, false
	}
	if out, ok = row.docRow(id); ok && !out.Conflict {
		a.given(id)
	}
	return out, ok
}

// openRevs answers an OpenRevs call from documents that were read before, without
// the contents of attachments; false: it cannot.
func (row aheadRow) openRevs(op wire.OpenRevs) (out wire.OpenRevsResult, ok bool) {
	out.Attachments = op.Attachments
	for _, rev := range op.Revs {
		i := slices.Index(row.revs, rev)
		if i < 0 || op.Attachments && wire.HasMember(row.docs[i], "_attachments") {
			return out, false
		}
		out.Revs = append(out.Revs, wire.OpenRev{Doc: row.docs[i]})
	}
	return out, len(op.Revs) > 0
}

// docRow is the document's row in the answer to an AllDocs call that includes
// documents; false: that cannot be told.
func (row aheadRow) docRow(id string) (out wire.DocRow, ok bool) {
	live := slices.DeleteFunc(slices.Clone(row.docs), func(doc jsontext.Value) bool { return wire.HasMember(doc, "_deleted") })
	if len(live) == 0 || len(live) < len(row.docs) && wire.HasMember(row.docs[0], "_deleted") {
		return out, false // the winner, which a feed names first, is a deletion
	}
	out = wire.DocRow{ID: id, Rev: row.revs[0], Conflict: len(live) > 1}
	quoted := wire.AppendString(nil, id)
	b := append(append([]byte(`{"id":`), quoted...), `,"key":`...)
	b = append(append(b, quoted...), `,"value":{"rev":`...)
	b = append(wire.AppendString(b, out.Rev), `},"doc":`...)
	if out.Conflict {
		out.Row = append(b, "null}"...) // not to be taken from here
		return out, true
	}
	out.Row = append(appendWithout(b, row.docs[0], "_revisions"), '}')
	return out, true
}

// appendWithout appends a document without one of its members.
func appendWithout(dst []byte, doc jsontext.Value, name string) []byte {
	dst = append(dst, '{')
	_ = wire.Members(doc, func(m wire.Member) error {
		if string(m.Name) != name {
			dst = wire.AppendMember(dst, m.Key, m.Value)
		}
		return nil
	})
	return append(dst, '}')
}
