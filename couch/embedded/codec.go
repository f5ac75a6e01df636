package embedded

import (
	"encoding/binary"
	"errors"
)

// The file's own encodings: unsigned varints and length-prefixed strings. They never leave the process.

var errCorrupt = errors.New("embedded: the database file holds a record that cannot be read")

// docInfo is all there is to know about a document but its bodies.
type docInfo struct {
	id   string
	seq  uint64 // latest update sequence; the document's only key in the seqs bucket
	tree tree
}

// deleted tells whether every leaf is a deletion.
func (i *docInfo) deleted() bool { return i.tree.ranked()[0].edit().deleted }

func (i *docInfo) encode() []byte {
	b := binary.AppendUvarint(nil, i.seq)
	b = binary.AppendUvarint(b, uint64(len(i.tree)))
	for _, branch := range i.tree {
		b = binary.AppendUvarint(b, uint64(branch.start))
		b = branch.root.encode(b)
	}
	return b
}

const (
	editMissing = iota
	editLive
	editDeleted
)

func (n *node) encode(b []byte) []byte {
	b = appendText(b, n.id)
	switch {
	case n.edit == nil:
		b = append(b, editMissing)
	case n.edit.deleted:
		b = append(b, editDeleted)
	default:
		b = append(b, editLive)
	}
	if n.edit != nil {
		b = binary.AppendUvarint(b, n.edit.body)
		b = binary.AppendUvarint(b, n.edit.seq)
	}
	b = binary.AppendUvarint(b, uint64(len(n.kids)))
	for _, kid := range n.kids {
		b = kid.encode(b)
	}
	return b
}

func decodeInfo(id string, raw []byte) (*docInfo, error) {
	r := recordReader{rest: raw}
	info := &docInfo{id: id, seq: r.uvarint()}
	for n := r.count(); n > 0 && !r.bad; n-- {
		start := int(r.uvarint())
		info.tree = append(info.tree, branch{start, r.node()})
	}
	return info, r.end()
}

// encodeBody makes the record of a revision's body: its members and the descriptions of its attachments.
func encodeBody(d *document) []byte {
	b := binary.AppendUvarint(nil, uint64(len(d.atts)))
	for _, a := range d.atts {
		b = appendText(b, a.name)
		b = appendText(b, a.contentType)
		b = appendText(b, a.digest)
		b = binary.AppendUvarint(b, uint64(a.revpos))
		b = binary.AppendUvarint(b, uint64(a.length))
		b = binary.AppendUvarint(b, a.blob)
	}
	return append(b, d.body...)
}

// decodeBody fills in body and attachments. They do not point into raw.
func (d *document) decodeBody(raw []byte) error {
	r := recordReader{rest: raw}
	for n := r.count(); n > 0 && !r.bad; n-- {
		d.atts = append(d.atts, attachment{
			name: r.text(), contentType: r.text(), digest: r.text(),
			revpos: int(r.uvarint()), length: int64(r.uvarint()), blob: r.uvarint(),
		})
	}
	if r.bad {
		return errCorrupt
	}
	d.body = append([]byte(nil), r.rest...)
	return nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// recordReader reads what the functions above wrote. After the first fault everything reads as zero.
type recordReader struct {
	rest []byte
	bad  bool
}

func (r *recordReader) uvarint() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// count reads the number of items that follow, each of which takes at least a byte.
func (r *recordReader) count() uint64 {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.bad, n = true, 0
	}
	return n
}

func (r *recordReader) text() string {
	n := r.count()
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

func (r *recordReader) node() *node {
	n := &node{id: r.text()}
	if kind := r.uvarint(); kind != editMissing {
		n.edit = &edit{deleted: kind == editDeleted, body: r.uvarint(), seq: r.uvarint()}
	}
	for kids := r.count(); kids > 0 && !r.bad; kids-- {
		n.kids = append(n.kids, r.node())
	}
	return n
}

func (r *recordReader) end() error {
	if r.bad || len(r.rest) > 0 {
		return errCorrupt
	}
	return nil
}
