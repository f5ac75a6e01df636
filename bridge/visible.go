package bridge

import (
	"hash/maphash"
	"sync"

	"pouchbridge/auth"
	"pouchbridge/couch"
)

// maxVisible is how many documents a filtered session can read at a time: the
// latest that its own feeds have shown it. A client reads what a feed named
// within a page or two.
const maxVisible = 1 << 16

// visible is what a session may read of a database. A filter would be no limit
// if a client could read by name what its feed leaves out, so a filtered
// session reads only what it was shown.
type visible struct {
	filter auth.Filter
	seed   maphash.Seed

	mu    sync.Mutex
	shown map[uint64]struct{}
	order []uint64 // of shown, a ring once it is full
	next  int      // in order, to be forgotten next
}

// everything is what a session without a filter may read. It holds nothing, so
// one will do for all.
var everything = new(visible)

func newVisible(f auth.Filter) *visible {
	if f.IsZero() {
		return everything
	}
	v := &visible{filter: f, seed: maphash.MakeSeed(), shown: map[uint64]struct{}{}}
	for _, id := range f.DocIDs {
		v.shown[maphash.String(v.seed, id)] = struct{}{} // never forgotten
	}
	return v
}

// show notes that a feed has named a document.
func (v *visible) show(id string) {
	if v.filter.IsZero() || v.filter.DocIDs != nil {
		return
	}
	h := maphash.String(v.seed, id)
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.shown[h]; ok {
		return
	}
	v.shown[h] = struct{}{}
	if len(v.order) < maxVisible {
		v.order = append(v.order, h)
		return
	}
	delete(v.shown, v.order[v.next])
	v.order[v.next] = h
	v.next = (v.next + 1) % maxVisible
}

// has tells whether a document may be read.
func (v *visible) has(id string) bool {
	if v.filter.IsZero() {
		return true
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	_, ok := v.shown[maphash.String(v.seed, id)]
	return ok
}

// changes are the options of a feed that shows what may be read.
func (v *visible) changes(since string) couch.ChangesOptions {
	o := couch.ChangesOptions{Since: since, AllLeaves: true, Filter: v.filter.Name, DocIDs: v.filter.DocIDs}
	if v.filter.Selector != nil {
		o.Selector = []byte(v.filter.Selector)
	}
	for name, value := range v.filter.Query {
		if o.Query == nil {
			o.Query = map[string][]string{}
		}
		o.Query.Set(name, value)
	}
	return o
}
