package embedded

import (
	"cmp"
	"slices"
)

// stem forgets ancestors that are limit or more revisions away from every leaf (couch_key_tree:stem/2). What hung below
// a forgotten revision becomes a branch of its own. Should the same revision stand in two branches, which merging
// partial histories can bring about, the branches are first joined.
func (t tree) stem(limit int) tree {
	seen := make(map[string]bool)
	var out tree
	for _, b := range t {
		s := stemmer{limit: limit, seen: seen}
		kept, _ := s.node(b.start, b.root)
		if s.repeated {
			return t.rejoin(limit)
		}
		if kept != nil {
			out = append(out, branch{b.start, kept})
		}
		out = append(out, s.cut...)
	}
	return out.sorted()
}

type stemmer struct {
	limit    int
	seen     map[string]bool
	repeated bool
	cut      tree // branches cut loose
}

// node returns what remains of n, nil when n itself is forgotten, and how many more ancestors its leaves may keep.
func (s *stemmer) node(pos int, n *node) (*node, int) {
	if s.seen[n.id] {
		s.repeated = true
	}
	s.seen[n.id] = true
	if s.repeated || len(n.kids) == 0 {
		return n, s.limit - 1
	}
	left := -1
	var kept []*node
	for _, kid := range n.kids {
		k, kidLeft := s.node(pos+1, kid)
		left = max(left, kidLeft)
		if k != nil {
			kept = append(kept, k)
		}
	}
	if left > 0 {
		return &node{n.id, n.edit, kept}, left - 1
	}
	for _, k := range kept {
		s.cut = append(s.cut, branch{pos + 1, k})
	}
	return nil, -1
}

// rejoin rebuilds the tree from the paths of its leaves (couch_key_tree:repair_tree/2).
func (t tree) rejoin(limit int) tree {
	type path struct {
		start int
		steps []step
	}
	var paths []path
	for _, l := range t.leaves() {
		p := path{start: l.start + 1}
		for _, n := range l.path[:min(limit, len(l.path))] {
			p.steps = append(p.steps, step{n.id, n.edit})
			p.start--
		}
		slices.Reverse(p.steps)
		paths = append(paths, p)
	}
	slices.SortFunc(paths, func(a, b path) int {
		return cmp.Or(cmp.Compare(a.start, b.start), slices.CompareFunc(a.steps, b.steps,
			func(x, y step) int { return cmp.Compare(x.id, y.id) }))
	})
	var out tree
	for _, p := range paths {
		out, _ = out.merge(p.start, p.steps)
	}
	return out
}

// edits calls visit for every revision whose body is stored.
func (t tree) edits(visit func(*edit)) {
	for _, b := range t {
		b.root.walk(b.start, nil, func(_ int, path []*node) bool {
			if e := path[len(path)-1].edit; e != nil {
				visit(e)
			}
			return true
		})
	}
}
