package bridge

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"pouchbridge/bridge/wire"
	"pouchbridge/couch"
)

const (
	// knownBytes bounds what a session remembers: about 1,500 documents, and a
	// client is a batch or two of a hundred behind.
	knownBytes = 256 << 10
	// knownFor is how long it is remembered.
	knownFor = 30 * time.Second
	// maxKnownRevs bounds the revisions remembered of one document.
	maxKnownRevs = 32
)

// known is what a session need not ask CouchDB, because CouchDB has just told
// it: revisions that the session's own pages of changes have shown, revisions
// that it wrote, and the checkpoints that it wrote last.
//
// After a pull, a client asks for the revisions of each document it was given,
// to find out what to push: its own echo, one call for each document. The
// answer lists what is known, each revision for itself, without ancestors. Why
// that is as good an answer as CouchDB's:
//
//   - The client asks the answer one thing, which of its leaves are not in it,
//     and sends those. A leaf that CouchDB has and the answer lacks is sent once
//     more, and writing it with new_edits=false changes nothing, not even its
//     body or attachments: CouchDB keeps what it has of a revision that it has.
//     So a client that was given a document without its attachments cannot
//     remove them in this way.
//   - A leaf that is in the answer is not sent. It is there because CouchDB
//     named it in _changes, or took it in _bulk_docs, at most knownFor ago, to
//     this session. CouchDB does not forget a revision by edits, deletions or
//     compaction: its tree keeps what it once had, as far back as _revs_limit.
//     Two things make it forget: _purge, and the database being deleted. Either
//     may come just after CouchDB itself has answered, so clients must stand it
//     in any case; here it may come up to knownFor earlier. A session that is
//     told that its database is not there forgets everything at once.
//   - A document of which nothing is known is asked for, so "missing" is always
//     CouchDB's word.
//   - Nothing passes from session to session, and what a grant hides is
//     answered before anything here is looked at.
type known struct {
	mu     sync.Mutex
	docs   map[string]*knownDoc // nil when empty
	order  []string             // the keys of docs, as they were noted first
	locals map[string]knownLocal
	sent   map[sentRev]int // by how many writes that are under way; nil when there are none
	bytes  int
	timer  *time.Timer // while anything is known
	over   bool
}

type knownDoc struct {
	revs  []string
	own   int // how many of revs, at their end, the session wrote itself
	bytes int
	since time.Time
}

// sentRev is a revision that the client has sent.
type sentRev struct{ id, rev string }

// knownLocal is a checkpoint as the session wrote it last.
type knownLocal struct {
	doc   jsontext.Value
	since time.Time
}

// shown notes revisions that a feed has named.
func (k *known) shown(id string, revs []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.add(id, revs, false)
}

// writing notes that a write is about to be made.
func (k *known) writing(docs []wire.Doc) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.sent == nil {
		k.sent = make(map[sentRev]int, len(docs))
	}
	for _, d := range docs {
		k.sent[sentRev{d.ID, d.Rev}]++
	}
}

// wrote notes the outcome of a write: the revisions that CouchDB has taken, which
// are those of docs without a row that says otherwise.
func (k *known) wrote(docs []wire.Doc, rows []couch.Row, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, d := range docs {
		key := sentRev{d.ID, d.Rev}
		if k.sent[key]--; k.sent[key] <= 0 {
			delete(k.sent, key)
		}
	}
	if len(k.sent) == 0 {
		k.sent = nil
	}
	if err != nil {
		return
	}
	refused := map[string]bool{}
	for _, row := range rows {
		if !row.OK {
			refused[row.ID] = true
		}
	}
	for _, d := range docs {
		if d.Rev != "" && !refused[d.ID] {
			k.add(d.ID, []string{d.Rev}, true)
		}
	}
}

func (k *known) add(id string, revs []string, own bool) {
	if k.over || len(revs) > maxKnownRevs {
		return
	}
	doc := k.docs[id]
	if doc == nil {
		if k.docs == nil {
			k.docs = make(map[string]*knownDoc)
		}
		doc = &knownDoc{}
		k.docs[id] = doc
		k.order = append(k.order, id)
		k.grow(doc, 2*len(id)+64)
	}
	for _, rev := range revs {
		if slices.Contains(doc.revs, rev) {
			continue
		}
		k.grow(doc, len(rev)+16)
		if own {
			doc.own++
			doc.revs = append(doc.revs, rev)
		} else {
			doc.revs = slices.Insert(doc.revs, 0, rev)
		}
	}
	for len(doc.revs) > maxKnownRevs {
		k.grow(doc, -len(doc.revs[0])-16)
		doc.revs = slices.Delete(doc.revs, 0, 1)
		doc.own = min(doc.own, len(doc.revs))
	}
	doc.since = time.Now()
	for k.bytes > knownBytes && len(k.order) > 0 {
		k.forgetOldest()
	}
	k.arm()
}

func (k *known) grow(doc *knownDoc, n int) { doc.bytes += n; k.bytes += n }

// forgetOldest forgets the document that was noted first.
func (k *known) forgetOldest() {
	id := k.order[0]
	k.order = k.order[1:]
	k.bytes -= k.docs[id].bytes
	delete(k.docs, id)
}

// history is what is known of a document's revisions, nil if nothing is.
func (k *known) history(id string) wire.Revisions {
	k.mu.Lock()
	defer k.mu.Unlock()
	doc := k.docs[id]
	if doc == nil || time.Since(doc.since) > knownFor {
		return nil
	}
	return revisionsOf(doc.revs)
}

// revisionsOf lists revisions, each for itself, without ancestors; nil if there
// are none, or one is none.
func revisionsOf(revs []string) wire.Revisions {
	var out wire.Revisions
	for _, rev := range revs {
		generation, hash, ok := strings.Cut(rev, "-")
		n, err := strconv.Atoi(generation)
		if !ok || err != nil {
			return nil
		}
		out = append(out, wire.History{Start: n, IDs: []string{hash}})
	}
	return out
}

// has tells whether anything is known of a document.
func (k *known) has(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.docs[id] != nil
}

// owns tells whether the session itself wrote all of the revisions.
func (k *known) owns(id string, revs []string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	own := k.own(id)
	return len(own) > 0 && !slices.ContainsFunc(revs, func(rev string) bool { return !slices.Contains(own, rev) })
}

// isEcho tells whether a row names nothing but revisions that the client itself
// has: those that the session wrote, or is about to write.
func (k *known) isEcho(row couch.Change) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.docs) == 0 && k.sent == nil {
		return false
	}
	revs, err := row.Revs()
	id := row.ID()
	own := k.own(id)
	return err == nil && len(revs) > 0 && !slices.ContainsFunc(revs, func(rev string) bool {
		return !slices.Contains(own, rev) && k.sent[sentRev{id, rev}] == 0
	})
}

// own are the revisions of a document that the session wrote.
func (k *known) own(id string) []string {
	doc := k.docs[id]
	if doc == nil {
		return nil
	}
	return doc.revs[len(doc.revs)-doc.own:]
}

// wroteCheckpoint notes a checkpoint that CouchDB has taken.
func (k *known) wroteCheckpoint(id, rev string, doc jsontext.Value) {
	stored := append([]byte(`{"_id":`), wire.AppendString(nil, "_local/"+id)...)
	stored = wire.AppendString(append(stored, `,"_rev":`...), rev)
	err := wire.Members(doc, func(m wire.Member) error {
		if name := string(m.Name); name != "_id" && name != "_rev" {
			stored = wire.AppendMember(stored, m.Key, m.Value)
		}
		return nil
	})
	k.mu.Lock()
	defer k.mu.Unlock()
	const most = 4 // a client has two
	if err != nil || k.over || len(stored) > knownBytes/most || len(k.locals) >= most {
		return
	}
	if k.locals == nil {
		k.locals = make(map[string]knownLocal)
	}
	k.locals[id] = knownLocal{append(stored, '}'), time.Now()}
	k.arm()
}

// checkpoint is the checkpoint that the session wrote last, nil if it is not
// known. It is given out once: a client that asks again has its reasons.
//
// Only the client that a checkpoint belongs to writes it, and CouchDB does not
// look at which revision of it a write is for. So all that can differ from what
// CouchDB has is what the same client wrote at the same time on another
// connection, which it is about to write over.
func (k *known) checkpoint(id string) jsontext.Value {
	k.mu.Lock()
	defer k.mu.Unlock()
	local := k.locals[id]
	delete(k.locals, id)
	if time.Since(local.since) > knownFor {
		return nil
	}
	return local.doc
}

// forgetCheckpoint is called before a checkpoint is written: whether that
// succeeds may stay unknown.
func (k *known) forgetCheckpoint(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.locals, id)
}

// arm makes sure that what is known is forgotten again.
func (k *known) arm() {
	if k.timer == nil {
		k.timer = time.AfterFunc(knownFor, k.expire)
	}
}

// expire forgets what is too old.
func (k *known) expire() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer = nil
	for len(k.order) > 0 && time.Since(k.docs[k.order[0]].since) >= knownFor {
		k.forgetOldest()
	}
	for id, local := range k.locals {
		if time.Since(local.since) >= knownFor {
			delete(k.locals, id)
		}
	}
	if len(k.docs) == 0 {
		k.docs, k.order = nil, nil
	}
	if len(k.locals) == 0 {
		k.locals = nil
	}
	if (k.docs != nil || k.locals != nil) && !k.over {
		k.arm()
	}
}

// drop forgets everything.
func (k *known) drop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.docs, k.order, k.locals, k.bytes = nil, nil, nil, 0
	if k.timer != nil {
		k.timer.Stop()
		k.timer = nil
	}
}

// stop forgets everything for good.
func (k *known) stop() {
	k.mu.Lock()
	k.over = true
	k.mu.Unlock()
	k.drop()
}
