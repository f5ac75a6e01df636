package bridge

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"pouchbridge/couch"
)

const (
	// aheadBytes is how much of the documents of one page a session may hold.
	aheadBytes = 1 << 20
	// aheadFor is how long what was fetched ahead is good, and kept while its
	// client does nothing.
	aheadFor = 20 * time.Second
	// aheadWait bounds how long a call waits for a fetch that is under way.
	aheadWait = 2 * time.Second
	// maxAheadPages is how many pages are remembered of which the client has not
	// asked for a document yet. It reads eleven before it asks for the first.
	maxAheadPages = 16
	// maxAheadRows is the longest page of which documents are fetched ahead.
	maxAheadRows = 1000
)

// ahead is what a session has fetched before its client asks for it: the
// documents of the page of changes that the client comes to next, with one
// _bulk_get, and the page that follows the last one it has read.
//
// A client reads several pages in advance and then takes them one after the
// other. The documents of the first are fetched when it is sent; those of
// another when the client asks for the first document of the page before. So of
// documents there is one page ahead, however many pages the client has read, and
// a client that asks for none, because it has them all, costs CouchDB one page
// of documents and no more. A client that asked for less than half of what was
// fetched gets nothing fetched until it has asked by itself for half of a page.
// What the session wrote itself is not fetched.
//
// What is given out here is what the same session could have read a moment
// before: everything is read as the grant's identity, in the page's own filter,
// and thrown away when the grant ends. A document is given out as the page has
// shown it. A newer revision has a row of its own, later in the feed.
type ahead struct {
	s *session

	mu    sync.Mutex
	pages []*aheadPage          // that the client has not gone past, oldest first
	of    map[string]*aheadPage // by document, the first page that has it
	off   bool                  // the client did not want what was fetched
	mean  int                   // size of a document, as last fetched; 0: unknown
	next  *nextPage
	timer *time.Timer // while anything is held
	over  bool
}

// aheadPage is a page of changes whose documents the client may ask for.
type aheadPage struct {
	rows  map[string]*aheadRow
	refs  []couch.DocRef // of rows, in order
	asked int            // rows that the client has asked for

	ready  chan struct{} // closed when the fetch has ended; nil: not begun
	cancel context.CancelFunc
	late   bool // it takes longer than a call waits, so none waits any more
	bytes  int  // reserved
	since  time.Time
}

// aheadRow is a row of a page and, once they are fetched, its documents.
type aheadRow struct {
	revs  []string // leaves, the winner first
	docs  []jsontext.Value
	asked bool
}

// nextPage is the page that the client will ask for next.
type nextPage struct {
	since  string
	limit  int
	ready  chan struct{} // closed when page is set
	cancel context.CancelFunc
	page   *page // nil: it failed
	read   time.Time
}

// shown notes a page that is about to be sent, and begins to fetch what its
// reader is going to ask for.
func (a *ahead) shown(limit int, rows []pageRow) {
	docs := newAheadPage(rows, a.s.known.owns)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return
	}
	if len(docs.refs) > 0 && len(a.pages) < maxAheadPages {
		if a.of == nil {
			a.of = make(map[string]*aheadPage)
		}
		for id := range docs.rows {
			if a.of[id] == nil { // it was changed while the client read: the earlier page comes first
				a.of[id] = docs
			}
		}
		a.pages = append(a.pages, docs)
		if n := len(a.pages); n == 1 || a.pages[n-2].asked > 0 {
			a.fetch(docs)
		}
	}
	if n := len(rows); n == limit && a.next == nil {
		a.readNext(rows[n-1].seq, limit)
	}
	a.touch()
}

// newAheadPage are the rows of a page that are not the session's own.
func newAheadPage(rows []pageRow, own func(id string, revs []string) bool) *aheadPage {
	docs := &aheadPage{rows: make(map[string]*aheadRow)}
	for _, row := range rows {
		if len(row.revs) == 0 || len(row.revs) > maxKnownRevs || docs.rows[row.id] != nil || own(row.id, row.revs) {
			continue
		}
		docs.rows[row.id] = &aheadRow{revs: row.revs}
		for _, rev := range row.revs {
			docs.refs = append(docs.refs, couch.DocRef{ID: row.id, Rev: rev})
		}
	}
	return docs
}

// fetch begins to fetch the documents of a page, as many as will fit.
func (a *ahead) fetch(p *aheadPage) {
	if a.off || p.ready != nil || a.over {
		return
	}
	refs := p.refs
	if a.mean > 0 {
		refs = refs[:min(len(refs), aheadBytes/a.mean)]
	}
	if len(refs) == 0 {
		a.mean = 0 // to be measured again with another page
		return
	}
	ctx, cancel := context.WithCancel(a.s.ctx)
	p.ready, p.cancel, p.since = make(chan struct{}), cancel, time.Now()
	if !a.s.conn.start(func() { a.fetchDocs(ctx, p, refs) }) {
		cancel()
		close(p.ready)
	}
}

// errAheadFull ends a fetch for which there is no more room.
var errAheadFull = errors.New("no more room for documents fetched ahead")

// fetchDocs fetches documents. What fails is not fetched, that is all: the client
// will ask for it.
func (a *ahead) fetchDocs(ctx context.Context, p *aheadPage, refs []couch.DocRef) {
	defer close(p.ready)
	defer p.cancel()
	n, bytes := 0, 0
	_ = a.s.bulkGet(ctx, refs, couch.BulkGetOptions{Revs: true}, func(d couch.BulkGetDoc) error {
		if d.Err != nil {
			return nil
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		n, bytes = n+1, bytes+len(d.Doc)
		if !slices.Contains(a.pages, p) || p.bytes+len(d.Doc) > aheadBytes || !a.reserve(len(d.Doc)) {
			return errAheadFull
		}
		p.bytes += len(d.Doc)
		row := p.rows[refs[d.Index].ID]
		row.docs = append(row.docs, d.Doc.Clone())
		return nil
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	if n > 0 {
		a.mean = max(bytes/n, 1)
	}
}

// reserve and release account for documents that are held, among all that the
// bridge holds.
func (a *ahead) reserve(n int) bool { return a.s.conn.share.reserve(int64(n)) }
func (a *ahead) release(n int)      { a.s.conn.share.release(int64(n)) }

// take is what was fetched of a document: all leaves that its page has shown, in
// the page's order. It waits for a fetch that is under way.
func (a *ahead) take(ctx context.Context, id string) (row aheadRow, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.of[id]
	if p == nil {
		return row, false
	}
	a.reach(p)
	if r := p.rows[id]; !r.asked {
		r.asked = true
		p.asked++
	}
	if a.off && p.ready == nil && 2*p.asked >= len(p.rows) {
		a.off = false
		a.fetchAfter(p)
	}
	a.touch()
	if p.ready == nil || p.late {
		return row, false
	}
	a.mu.Unlock()
	ready := wait(ctx, p.ready, aheadWait)
	a.mu.Lock()
	if p.late = p.late || !ready; p.late {
		return row, false
	}
	row = *p.rows[id]
	return row, len(row.docs) == len(row.revs) && time.Since(p.since) < aheadFor && !a.over
}

// has tells whether a document was fetched.
func (a *ahead) has(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.of[id]
	return p != nil && len(p.rows[id].docs) > 0
}

// wait waits for something that will be closed, but not for longer than most. It
// reports whether it was.
func wait(ctx context.Context, done <-chan struct{}, most time.Duration) bool {
	select {
	case <-done:
		return true
	default:
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// reach notes that the client has come to a page: it has done with those before,
// and will want the next.
func (a *ahead) reach(p *aheadPage) {
	first := p.asked == 0
	for a.pages[0] != p {
		old := a.pages[0]
		a.pages = a.pages[1:]
		a.forget(old)
	}
	if first {
		a.fetchAfter(p)
	}
}

func (a *ahead) fetchAfter(p *aheadPage) {
	if i := slices.Index(a.pages, p) + 1; i < len(a.pages) {
		a.fetch(a.pages[i])
	}
}

// forget drops a page that is not in pages any more, and learns from it.
func (a *ahead) forget(p *aheadPage) {
	if p.ready != nil {
		a.off = 2*p.asked < len(p.rows)
	}
	if p.cancel != nil {
		p.cancel()
	}
	for id, row := range p.rows {
		row.docs = nil
		if a.of[id] == p {
			delete(a.of, id)
		}
	}
	a.release(p.bytes)
	p.bytes = 0
}

// given drops the documents of a row that the client has got.
func (a *ahead) given(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.of[id]
	if p == nil {
		return
	}
	row := p.rows[id]
	for _, doc := range row.docs {
		p.bytes -= len(doc)
		a.release(len(doc))
	}
	row.docs = nil
}

// readNext begins to read the page after since.
func (a *ahead) readNext(since string, limit int) {
	ctx, cancel := context.WithCancel(a.s.ctx)
	n := &nextPage{since: since, limit: limit, ready: make(chan struct{}), cancel: cancel}
	a.next = n
	read := func() {
		defer close(n.ready)
		defer cancel()
		if p, err := a.s.readPage(ctx, since, limit); err == nil && p.ended {
			n.page, n.read = p, time.Now()
		}
	}
	if !a.s.conn.start(read) {
		cancel()
		a.next = nil
	}
}

// page is the page after since if it was read ahead, or nil. Whatever page the
// client asks for, the one that was read ahead is not kept for later.
func (a *ahead) page(ctx context.Context, since string, limit int) *page {
	a.mu.Lock()
	n := a.next
	a.next = nil
	a.mu.Unlock()
	if n == nil {
		return nil
	}
	if n.since != since || n.limit != limit {
		n.cancel()
		return nil
	}
	if !wait(ctx, n.ready, aheadWait) {
		n.cancel()
		return nil
	}
	if n.page == nil || time.Since(n.read) >= aheadFor {
		return nil
	}
	return n.page
}

// touch puts off when all that is held is dropped.
func (a *ahead) touch() {
	if a.timer == nil {
		a.timer = time.AfterFunc(aheadFor, a.drop)
		return
	}
	a.timer.Reset(aheadFor)
}

// drop drops all that is held.
func (a *ahead) drop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	pages := a.pages
	a.pages = nil
	for _, p := range pages {
		a.forget(p)
	}
	if a.next != nil {
		a.next.cancel()
	}
	a.of, a.next = nil, nil
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}

// stop drops all that is held and fetches nothing any more.
func (a *ahead) stop() {
	a.mu.Lock()
	a.over = true
	a.mu.Unlock()
	a.drop()
}
