package embedded

// checkEdits decides about ordinary edits (couch_db:prep_and_validate_updates/6).
func (u *updater) checkEdits(g *group) error {
	var passed []*candidate
	for _, c := range g.docs {
		old, refused, err := u.edited(g.info, c.document)
		if err == nil && refused == nil {
			if err = c.fillStubs(old); err == nil {
				refused, err = u.validate(c.document, old)
			}
		}
		if err != nil {
			return err
		}
		if c.result.err = refused; refused == nil {
			passed = append(passed, c)
		}
	}
	g.keep(passed)
	return nil
}

// edited finds the leaf a document edits: nil for a new document.
func (u *updater) edited(info *docInfo, d *document) (old *document, refused *failure, err error) {
	switch {
	case d.revs.none() && (info == nil || info.deleted()):
		return nil, nil, nil
	case d.revs.none() || info == nil:
		return nil, errConflict, nil
	}
	for _, l := range info.tree.leaves() {
		if l.revision() == d.revs.revision() {
			old, ok, err := u.view.document(d.id, l)
			if err == nil && !ok {
				err = errCorrupt
			}
			return old, nil, err
		}
	}
	return nil, errConflict, nil
}

// checkReplicated decides about documents with their own history (couch_db:prep_and_validate_replicated_updates/5).
// Only those that become new leaves are validated and stored.
func (u *updater) checkReplicated(g *group) error {
	if g.info == nil {
		return u.checkNew(g)
	}
	known := g.info.tree
	after := known
	for _, c := range g.docs {
		after, _ = after.merge(c.path(&edit{deleted: c.deleted}))
		c.result.rev = c.revs.revision()
	}
	var passed []*candidate
	for _, c := range g.docs {
		l, ok := after.find(c.revs.revision())
		if !ok || len(l.path[0].kids) > 0 {
			continue
		}
		if before, ok := known.find(c.revs.revision()); ok && len(before.path[0].kids) == 0 {
			continue
		}
		refused, err := u.checkNewLeaf(known, c, l)
		if err != nil {
			return err
		}
		if c.result.err = refused; refused == nil {
			passed = append(passed, c)
		}
	}
	g.keep(passed)
	return nil
}

// checkNew decides about all revisions a request brings of an unknown document.
func (u *updater) checkNew(g *group) error {
	var passed []*candidate
	for _, c := range g.docs {
		c.result.rev = c.revs.revision()
		if err := c.fillStubs(nil); err != nil {
			return err
		}
		refused, err := u.validate(c.document, nil)
		if err != nil {
			return err
		}
		if c.result.err = refused; refused == nil {
			passed = append(passed, c)
		}
	}
	g.keep(passed)
	return nil
}

func (u *updater) checkNewLeaf(known tree, c *candidate, l leaf) (*failure, error) {
	old, err := u.nearestStored(c.id, known, l)
	if err != nil {
		return nil, err
	}
	if err := c.fillStubs(old); err != nil {
		return nil, err
	}
	return u.validate(c.document, old)
}

// nearestStored reads the closest ancestor whose body is here, nil if there is none.
func (u *updater) nearestStored(id string, known tree, l leaf) (*document, error) {
	for i := 1; i < len(l.ids); i++ {
		ancestor, ok := known.find(revision{l.start - i, l.ids[i]})
		if !ok {
			continue
		}
		d, ok, err := u.view.document(id, ancestor)
		if ok || err != nil {
			return d, err
		}
	}
	return nil, nil
}

// fillStubs replaces stubs by the attachments of the previous revision (couch_att:merge_stubs/2).
func (d *document) fillStubs(old *document) error {
	for i, a := range d.atts {
		if a.source != stubContent {
			continue
		}
		found := false
		if old != nil {
			for _, o := range old.atts {
				if o.name == a.name && (a.anyRevpos || o.revpos == a.revpos) {
					d.atts[i], found = o, true
				}
			}
		}
		if !found {
			return missingStub(d.id, a.name)
		}
	}
	return nil
}
