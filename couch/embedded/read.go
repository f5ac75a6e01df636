package embedded

import (
	"slices"
)

// openOptions are the query parameters that say how to read documents.
type openOptions struct {
	revs, revsInfo, conflicts, deletedConflicts, localSeq bool
	attachments                                           bool
	attsSince                                             []revision // with attachments: only those newer
	follows                                               bool       // attachments stand in multipart parts
	latest                                                bool
}

// read is an opened revision: a document, or what is missing.
type read struct {
	doc  *document
	meta *docMeta
	rev  revision // when doc is nil
}

// json renders it.
func (o *openOptions) json(r read) []byte {
	return appendDocument(nil, r.doc, rendering{revs: o.revs, meta: r.meta, attachments: o.attachments})
}

// winner reads a document's winning revision, be it a deletion. It reports errMissing for an unknown document.
func (db *database) winner(id string) (*document, error) {
	r, err := db.openWinner(id, &openOptions{})
	return r.doc, err
}

func (db *database) openWinner(id string, o *openOptions) (r read, err error) {
	err = db.view(func(v view) error {
		info, err := v.info(id)
		if err != nil {
			return err
		}
		if info == nil {
			return errMissing
		}
		r, err = v.openWinner(info, o)
		return err
	})
	return r, err
}

func (v view) openWinner(info *docInfo, o *openOptions) (read, error) {
	ranked := info.tree.ranked()
	d, err := v.openLeaf(info.id, ranked[0], o)
	if err != nil {
		return read{}, err
	}
	return read{doc: d, meta: info.meta(ranked, o)}, nil
}

// openLeaf reads a revision that must be stored, with the attachment contents asked for.
func (v view) openLeaf(id string, l leaf, o *openOptions) (*document, error) {
	d, ok, err := v.document(id, l)
	if err == nil && !ok {
		err = errCorrupt
	}
	if err == nil && o.attachments {
		err = v.loadContents(d, o)
	}
	return d, err
}

// meta is nil if nothing of it was asked for (couch_db:doc_meta_info/3).
func (i *docInfo) meta(ranked []leaf, o *openOptions) *docMeta {
	m := &docMeta{}
	some := false
	if o.revsInfo {
		some = true
		for n, node := range ranked[0].path {
			rev := revision{ranked[0].start - n, node.id}
			m.revsInfo = append(m.revsInfo, revisionStatus{rev.String(), node.edit.status()})
		}
	}
	for _, l := range ranked[1:] {
		rev := l.revision().String()
		if l.edit().deleted && o.deletedConflicts {
			m.deletedConflicts = append(m.deletedConflicts, rev)
		}
		if !l.edit().deleted && o.conflicts {
			m.conflicts = append(m.conflicts, rev)
		}
	}
	if o.localSeq {
		m.localSeq = i.seq
	}
	if some || m.localSeq > 0 || len(m.conflicts)+len(m.deletedConflicts) > 0 {
		return m
	}
	return nil
}

func (e *edit) status() string {
	switch {
	case e == nil:
		return "missing"
	case e.deleted:
		return "deleted"
	default:
		return "available"
	}
}

// loadContents loads the attachments that are newer than any revision of attsSince, or marks them as parts to follow.
func (v view) loadContents(d *document, o *openOptions) error {
	known := d.revs.newestOf(o.attsSince)
	for i := range d.atts {
		a := &d.atts[i]
		if a.revpos <= known && len(o.attsSince) > 0 {
			continue
		}
		if o.follows {
			a.source = followsContent
			continue
		}
		var err error
		if a.data, err = v.content(a); err != nil {
			return err
		}
		a.source = inlineContent
	}
	return nil
}

// newestOf returns the generation of the latest of revs in the history, 0 for none (couch_db:find_ancestor_rev_pos/2).
func (h history) newestOf(revs []revision) int {
	for i, id := range h.ids {
		if slices.Contains(revs, revision{h.start - i, id}) {
			return h.start - i
		}
	}
	return 0
}

// openRevisions reads the given revisions, all leaves if want is nil. With latest a revision stands for the leaves
// below it.
func (db *database) openRevisions(id string, want []revision, o *openOptions) (out []read, err error) {
	err = db.view(func(v view) error {
		out, err = v.openRevisions(id, want, o)
		return err
	})
	return out, err
}

func (v view) openRevisions(id string, want []revision, o *openOptions) ([]read, error) {
	info, err := v.info(id)
	if err != nil {
		return nil, err
	}
	if info == nil {
		info = &docInfo{id: id}
	}
	found, missing := info.tree.choose(want, o.latest)
	out := make([]read, 0, len(found)+len(missing))
	for _, l := range found {
		d, ok, err := v.document(id, l)
		if err != nil {
			return nil, err
		}
		if !ok {
			missing = append(missing, l.revision())
			continue
		}
		if o.attachments {
			if err := v.loadContents(d, o); err != nil {
				return nil, err
			}
		}
		out = append(out, read{doc: d})
	}
	for _, rev := range missing {
		out = append(out, read{rev: rev})
	}
	return out, nil
}

// choose picks the leaves and revisions to read, each once.
func (t tree) choose(want []revision, latest bool) (found []leaf, missing []revision) {
	if want == nil {
		return oldestFirst(t.leaves()), nil
	}
	for _, rev := range want {
		picked := []leaf(nil)
		if latest {
			picked = t.leavesBelow(rev)
		} else if l, ok := t.find(rev); ok {
			picked = []leaf{l}
		}
		if len(picked) == 0 {
			missing = append(missing, rev)
		}
		for _, l := range picked {
			if !slices.ContainsFunc(found, func(o leaf) bool { return o.revision() == l.revision() }) {
				found = append(found, l)
			}
		}
	}
	return oldestFirst(found), missing
}

// oldestFirst is the order in which CouchDB answers open_revs.
func oldestFirst(leaves []leaf) []leaf {
	slices.SortFunc(leaves, func(a, b leaf) int { return a.revision().compare(b.revision()) })
	return leaves
}
