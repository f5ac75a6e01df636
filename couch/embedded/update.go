package embedded

import (
	"cmp"
	"errors"
)

// saved is the outcome of one document of a write.
type saved struct {
	rev revision
	err *failure // nil: stored, or already there
}

// updater applies one request's documents inside a write transaction.
type updater struct {
	db         *database
	view       view
	user       userContext
	replicated bool // new_edits=false
}

// save writes documents as one transaction: with new_edits=true each must edit a leaf, with false each brings its
// history and is merged. Refusals of single documents are in the result; an error means that nothing was written.
func (db *database) save(user userContext, docs []*document, replicated bool) ([]saved, error) {
	var results []saved
	err := db.updateDocuments(func(v view) error {
		u := &updater{db, v, user, replicated}
		var err error
		results, err = u.run(docs)
		return err
	})
	return results, err
}

// group collects the documents of a request that share an id.
type group struct {
	info *docInfo
	docs []*candidate
}

// candidate is a document on its way into the tree.
type candidate struct {
	*document
	result *saved
}

// run first decides about every document, without writing; then it writes. So a request is refused as a whole before
// it has any effect.
func (u *updater) run(docs []*document) ([]saved, error) {
	results := make([]saved, len(docs))
	var locals []*candidate
	groups, err := u.group(docs, results, &locals)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		check := u.checkEdits
		if u.replicated {
			check = u.checkReplicated
		}
		if err := check(g); err != nil {
			return nil, err
		}
	}
	for _, c := range locals {
		if err := u.writeLocal(c); err != nil {
			return nil, err
		}
	}
	for _, g := range groups {
		if err := u.write(g); err != nil {
			return nil, committing(err)
		}
	}
	return results, nil
}

// committing marks a fault after the first write, which must undo the transaction.
func committing(err error) error {
	var refused *failure
	if errors.As(err, &refused) {
		return errors.New("embedded: refused while writing: " + refused.Error())
	}
	return err
}

func (u *updater) group(docs []*document, results []saved, locals *[]*candidate) ([]*group, error) {
	var groups []*group
	byID := make(map[string]*group)
	for i, d := range docs {
		c := &candidate{d, &results[i]}
		if d.isLocal() {
			if err := u.checkLocal(c); err != nil {
				return nil, err
			}
			*locals = append(*locals, c)
			continue
		}
		g := byID[d.id]
		if g == nil {
			info, err := u.view.info(d.id)
			if err != nil {
				return nil, err
			}
			g = &group{info: info}
			byID[d.id] = g
			groups = append(groups, g)
		}
		g.docs = append(g.docs, c)
	}
	return groups, nil
}

// keep leaves in g the documents that passed.
func (g *group) keep(passed []*candidate) { g.docs = passed }

// path is the document's history for merging, from its oldest known revision to itself.
func (d *document) path(e *edit) (start int, steps []step) {
	n := len(d.revs.ids)
	steps = make([]step, n)
	for i, id := range d.revs.ids {
		steps[n-1-i].id = id
	}
	steps[n-1].edit = e
	return d.revs.start - n + 1, steps
}

// write merges what passed of a group and stores it under a new update sequence.
func (u *updater) write(g *group) error {
	if len(g.docs) == 0 {
		return nil
	}
	info := g.info
	if info == nil {
		info = &docInfo{id: g.docs[0].id}
	}
	seq := u.view.number(metaSeq) + 1
	next := info.tree
	for _, c := range g.docs {
		var err error
		if u.replicated {
			next, err = u.mergeReplicated(next, c, seq)
		} else {
			next, err = u.mergeEdit(next, c, seq)
		}
		if err != nil {
			return err
		}
	}
	if g.docs[0].isDesign() {
		u.db.scripts.forget()
	}
	return u.view.putTree(info, next, seq)
}

func (u *updater) mergeReplicated(t tree, c *candidate, seq uint64) (tree, error) {
	e := &edit{deleted: c.deleted, seq: seq}
	t, _ = t.merge(c.path(e))
	if l, _ := t.find(c.revs.revision()); l.edit() != e {
		return t, nil // twice in one request
	}
	return t, u.view.putBody(c.document, e)
}

// mergeEdit gives the edit its revision and adds it, unless an earlier document of the same request was in the way
// (couch_db_updater:merge_rev_tree/4).
func (u *updater) mergeEdit(t tree, c *candidate, seq uint64) (tree, error) {
	for i := range c.atts {
		if c.atts[i].isNew() {
			c.atts[i].revpos = c.revs.start + 1
		}
	}
	leaves := t.ranked()
	if len(leaves) > 0 && leaves[0].edit().deleted {
		if !c.revs.none() || c.deleted {
			c.result.err = errConflict
			return t, nil
		}
		c.revs = history{leaves[0].start, leaves[0].ids[:1]} // a document made anew continues the deleted one
	}
	id, err := newRevisionID(c.document)
	if err != nil {
		return t, err
	}
	c.revs = history{c.revs.start + 1, append([]string{id}, c.revs.ids...)}
	e := &edit{deleted: c.deleted, seq: seq}
	next, how := t.merge(c.path(e))
	if how != newLeaf {
		c.result.err = errConflict
		return t, nil
	}
	c.result.rev = c.revs.revision()
	return next, u.view.putBody(c.document, e)
}

// putBody stores body and attachments and notes the place in e.
func (v view) putBody(d *document, e *edit) error {
	for i := range d.atts {
		if err := v.keepContent(&d.atts[i]); err != nil {
			return err
		}
	}
	bodies := v.bucket(bucketBodies)
	key, err := bodies.NextSequence()
	if err != nil {
		return err
	}
	e.body = key
	return bodies.Put(numberKey(key), encodeBody(d))
}

// putTree stores a document's new tree, stemmed, and moves the document to the end of the sequence. A tree that did
// not change keeps its place.
func (v view) putTree(info *docInfo, next tree, seq uint64) error {
	if len(next) == 0 || !next.holds(seq) {
		return nil
	}
	before := info.tree
	next = next.stem(int(cmp.Or(v.number(metaRevsLimit), defaultRevsLimit)))
	if err := v.count(before, next); err != nil {
		return err
	}
	seqs := v.bucket(bucketSeqs)
	if info.seq > 0 {
		if err := seqs.Delete(numberKey(info.seq)); err != nil {
			return err
		}
	}
	info.tree, info.seq = next, seq
	return errors.Join(
		v.dropBodies(before, next),
		v.setNumber(metaSeq, seq),
		seqs.Put(numberKey(seq), []byte(info.id)),
		v.bucket(bucketDocs).Put([]byte(info.id), info.encode()))
}

// holds tells whether some edit was written under seq.
func (t tree) holds(seq uint64) bool {
	found := false
	t.edits(func(e *edit) { found = found || e.seq == seq })
	return found
}

// count keeps doc_count and doc_del_count.
func (v view) count(before, after tree) error {
	step := func(t tree, by int64) error {
		if len(t) == 0 {
			return nil
		}
		key := metaLive
		if (&docInfo{tree: t}).deleted() {
			key = metaDeleted
		}
		return v.setNumber(key, uint64(int64(v.number(key))+by))
	}
	return errors.Join(step(before, -1), step(after, +1))
}

// dropBodies removes the bodies of revisions that stemming forgot.
func (v view) dropBodies(before, after tree) error {
	kept := make(map[uint64]bool)
	after.edits(func(e *edit) { kept[e.body] = true })
	var err error
	before.edits(func(e *edit) {
		if !kept[e.body] {
			err = errors.Join(err, v.bucket(bucketBodies).Delete(numberKey(e.body)))
		}
	})
	return err
}
