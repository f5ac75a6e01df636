package bridge

import (
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"pouchbridge/auth"
	"pouchbridge/bridge/wire"
	"pouchbridge/couch"
)

const (
	// sharedFor is how long after a feed has named a document its sessions are
	// expected to ask for it.
	sharedFor = 15 * time.Second
	// maxShared is how many documents are remembered at a time, of all databases.
	maxShared = 4096
)

// sharedDocs are the documents that shared feeds have just named. The sessions
// that read such a feed live all come and ask for them; the question of the first
// one is for all.
//
// Two things are told from it. The leaves of a document, which CouchDB named in
// _changes: they are metadata that every reader of the feed is shown, and as good
// an answer to GetRevisions as those that a session was shown itself (see known).
// And the documents, read exactly as the feed has named them: they are given to
// sessions only that would have read them as the same account, the bridge's, and
// see the whole database.
//
// A database that was deleted and created again is another one: its sessions have
// another instance_start_time.
type sharedDocs struct {
	share *share // of the budget

	mu    sync.Mutex
	docs  map[sharedKey]*sharedDoc // nil when empty
	order []*sharedDoc             // oldest first
	timer *time.Timer              // while there are any
	over  bool
}

type sharedKey struct {
	service            *couch.Client
	database, instance string
	id                 string
}

type sharedDoc struct {
	key   sharedKey
	row   *byte    // where the feed's row is in memory: the same for all that are live
	revs  []string // leaves, the winner first
	since time.Time
	ready chan struct{} // closed when the documents are there, or are not to be had; nil: nobody has asked
	docs  []jsontext.Value
	bytes int // reserved
}

// named notes what a row of a feed has named.
func (d *sharedDocs) named(key sharedKey, row couch.Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	doc := d.docs[key]
	if d.over || doc != nil && doc.row == &row.Row[0] {
		return
	}
	revs, err := row.Revs()
	if err != nil || len(revs) == 0 || len(revs) > maxKnownRevs || doc != nil && slices.Equal(doc.revs, revs) {
		return // the latter: a session that catches up has rows of its own
	}
	if d.docs == nil {
		d.docs = make(map[sharedKey]*sharedDoc)
	}
	doc = &sharedDoc{key: key, row: &row.Row[0], revs: revs, since: time.Now()}
	d.docs[key] = doc
	d.order = append(d.order, doc)
	if len(d.order) > maxShared {
		d.forgetOldest()
	}
	if d.timer == nil {
		d.timer = time.AfterFunc(sharedFor, d.expire)
	}
}

func (d *sharedDocs) forgetOldest() {
	doc := d.order[0]
	d.order[0] = nil
	d.order = d.order[1:]
	d.share.release(int64(doc.bytes))
	doc.bytes, doc.docs = 0, nil
	if d.docs[doc.key] == doc {
		delete(d.docs, doc.key)
	}
}

// expire forgets what is too old.
func (d *sharedDocs) expire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timer = nil
	for len(d.order) > 0 && time.Since(d.order[0].since) >= sharedFor {
		d.forgetOldest()
	}
	switch {
	case len(d.order) == 0:
		d.docs, d.order = nil, nil
	case !d.over:
		d.timer = time.AfterFunc(sharedFor-time.Since(d.order[0].since), d.expire)
	}
}

// stop forgets everything for good.
func (d *sharedDocs) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	for len(d.order) > 0 {
		d.forgetOldest()
	}
	if d.timer != nil {
		d.timer.Stop()
	}
}

// leaves are those that the feed named last, nil if that is not known.
func (d *sharedDocs) leaves(key sharedKey) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if doc := d.docs[key]; doc != nil && time.Since(doc.since) < sharedFor {
		return doc.revs
	}
	return nil
}

// claim finds documents: mine are to be read by the caller, who calls give with
// each; theirs are, or have been, read by others, who close ready.
func (d *sharedDocs) claim(keys []sharedKey) (mine, theirs []*sharedDoc, ready []<-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, key := range keys {
		doc := d.docs[key]
		switch {
		case doc == nil || time.Since(doc.since) >= sharedFor:
		case doc.ready == nil:
			doc.ready = make(chan struct{})
			mine = append(mine, doc)
		default:
			theirs, ready = append(theirs, doc), append(ready, doc.ready)
		}
	}
	return mine, theirs, ready
}

// give is how the reading of a document ended. If it has failed, the next session
// that asks tries again.
func (d *sharedDocs) give(doc *sharedDoc, docs []jsontext.Value) {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(doc.ready)
	size := 0
	for _, v := range docs {
		size += len(v)
	}
	switch {
	case len(docs) != len(doc.revs):
		doc.ready = nil
	case d.docs[doc.key] == doc && d.share.reserve(int64(size)):
		doc.docs, doc.bytes = docs, size
	}
}

// row is what was read of a document; false: not all of it.
func (d *sharedDocs) row(doc *sharedDoc) (aheadRow, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return aheadRow{revs: doc.revs, docs: doc.docs}, len(doc.docs) == len(doc.revs)
}

// shares tells whether the session sees the database as others do, and which one
// it is: CouchDB before 3.3 says that every database was created at 0.
func (s *session) shares() bool {
	return s.seesAll() && s.instance != "" && s.instance != "0"
}

func (s *session) sharedKey(id string) sharedKey {
	return sharedKey{s.service, s.grant.Database, s.instance, id}
}

// sharedHistory is what the shared feed has just said of a document's revisions.
func (s *session) sharedHistory(id string) wire.Revisions {
	if !s.shares() {
		return nil
	}
	return revisionsOf(s.conn.server.docs.leaves(s.sharedKey(id)))
}

// sharedRows reads those of the documents that the shared feed has just named,
// unless another session has done so, and returns them by id.
func (s *session) sharedRows(ids []string) map[string]aheadRow {
	if len(ids) == 0 || !s.shares() || s.grant.Identity.Kind != auth.ServiceAccount {
		return nil
	}
	keys := make([]sharedKey, len(ids))
	for i, id := range ids {
		keys[i] = s.sharedKey(id)
	}
	shared := &s.conn.server.docs
	mine, theirs, ready := shared.claim(keys)
	s.readShared(mine)
	rows := make(map[string]aheadRow, len(mine)+len(theirs))
	for _, done := range ready {
		if !wait(s.ctx, done, aheadWait) {
			break
		}
	}
	for _, doc := range append(mine, theirs...) {
		if row, ok := shared.row(doc); ok {
			rows[doc.key.id] = row
		}
	}
	return rows
}

// readShared reads documents for all sessions.
func (s *session) readShared(docs []*sharedDoc) {
	var refs []couch.DocRef
	var of []int // docs, by ref
	for i, doc := range docs {
		for _, rev := range doc.revs {
			refs, of = append(refs, couch.DocRef{ID: doc.key.id, Rev: rev}), append(of, i)
		}
	}
	found := make([][]jsontext.Value, len(docs))
	_ = s.bulkGet(s.ctx, refs, couch.BulkGetOptions{Revs: true}, func(d couch.BulkGetDoc) error {
		if d.Err == nil {
			i := of[d.Index]
			found[i] = append(found[i], d.Doc.Clone())
		}
		return nil
	})
	for i, doc := range docs {
		s.conn.server.docs.give(doc, found[i])
	}
}
