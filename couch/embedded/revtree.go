package embedded

import (
	"cmp"
	"slices"
	"strings"
)

// tree holds every known revision of a document: CouchDB's couch_key_tree. It is a forest, since stemming and
// replication from a stemmed source leave branches whose roots are unknown; start is the generation of a branch's root.
// Trees are values: every operation returns a new tree and leaves its argument alone.
type tree []branch

type branch struct {
	start int
	root  *node
}

// node is one revision. A nil edit means only the id is known. Children are ordered by id.
type node struct {
	id   string
	edit *edit
	kids []*node
}

// edit is what is stored about a revision whose body this database has seen.
type edit struct {
	deleted bool
	body    uint64 // key in the bodies bucket
	seq     uint64 // update sequence that wrote it
}

// step is one revision of a path that is to be merged.
type step struct {
	id   string
	edit *edit
}

// merged says what merging a path did to a tree.
type merged int

const (
	internalNode merged = iota // nothing new: the path ends inside the tree
	newLeaf                    // the path extends a leaf, or is the first of its tree
	newBranch                  // the path adds a conflict
)

// merge adds a path, given from its root (generation start) to its newest revision (couch_key_tree:merge/2). A
// revision already known keeps the edit it has.
func (t tree) merge(start int, path []step) (tree, merged) {
	out := make(tree, 0, len(t)+1)
	for i, b := range t {
		nodes, result, ok := mergeAt([]*node{b.root}, b.start-start, path)
		if !ok {
			out = append(out, b)
			continue
		}
		out = append(append(out, t[i+1:]...), branch{min(b.start, start), nodes[0]})
		return out.sorted(), result
	}
	out = append(out, branch{start, chain(path)})
	if len(t) == 0 {
		return out, newLeaf
	}
	return out.sorted(), newBranch
}

func (t tree) sorted() tree {
	slices.SortFunc(t, func(a, b branch) int {
		return cmp.Or(cmp.Compare(a.start, b.start), strings.Compare(a.root.id, b.root.id))
	})
	return t
}

// chain makes the single branch that a path is by itself.
func chain(path []step) *node {
	var below []*node
	for i := len(path) - 1; i > 0; i-- {
		below = []*node{{path[i].id, path[i].edit, below}}
	}
	return &node{path[0].id, path[0].edit, below}
}

// mergeAt finds where a path meets sibling nodes. depth is the generation of the nodes minus that of the path: while
// positive the path is walked, while negative the nodes are, because either side may lack its root.
func mergeAt(nodes []*node, depth int, path []step) ([]*node, merged, bool) {
	switch {
	case len(path) == 0 || len(nodes) == 0:
		return nil, 0, false
	case depth > 0:
		below, result, ok := mergeAt(nodes, depth-1, path[1:])
		if !ok {
			return nil, 0, false
		}
		return []*node{{path[0].id, path[0].edit, below}}, result, true
	}
	for i, n := range nodes {
		var kids []*node
		var result merged
		ok := false
		switch {
		case depth < 0:
			kids, result, ok = mergeAt(n.kids, depth+1, path)
		case n.id == path[0].id:
			kids, result = mergeBelow(n.kids, path[1:])
			ok = true
		case n.id > path[0].id:
			return nil, 0, false
		}
		if ok {
			known := n.edit
			if depth == 0 {
				known = preferKnown(n.edit, path[0].edit)
			}
			return replaceAt(nodes, i, &node{n.id, known, kids}), result, true
		}
	}
	return nil, 0, false
}

// mergeBelow continues a merge among the children of a node both sides share.
func mergeBelow(kids []*node, path []step) ([]*node, merged) {
	if len(path) == 0 {
		return kids, internalNode
	}
	if len(kids) == 0 {
		return []*node{chain(path)}, newLeaf
	}
	i, found := slices.BinarySearchFunc(kids, path[0].id, func(n *node, id string) int { return strings.Compare(n.id, id) })
	if !found {
		return slices.Insert(slices.Clone(kids), i, chain(path)), newBranch
	}
	below, result := mergeBelow(kids[i].kids, path[1:])
	return replaceAt(kids, i, &node{kids[i].id, preferKnown(kids[i].edit, path[0].edit), below}), result
}

func replaceAt(nodes []*node, i int, n *node) []*node {
	out := slices.Clone(nodes)
	out[i] = n
	return out
}

func preferKnown(a, b *edit) *edit {
	if a != nil {
		return a
	}
	return b
}

// leaf is the newest revision of a branch with all its known ancestors.
type leaf struct {
	history
	path []*node // newest first, parallel to history.ids
}

func (l leaf) edit() *edit { return l.path[0].edit }

// leaves lists all leaves in the order of couch_key_tree:get_all_leafs/1.
func (t tree) leaves() []leaf {
	var out []leaf
	for _, b := range slices.Backward(t) {
		b.root.walk(b.start, nil, func(pos int, path []*node) bool {
			if len(path[len(path)-1].kids) == 0 {
				out = append(out, newLeafFrom(pos, path))
			}
			return true
		})
	}
	return out
}

// walk visits a node and what is below it, depth first, with the path from the branch's root. Returning false skips
// what is below.
func (n *node) walk(pos int, above []*node, visit func(pos int, path []*node) bool) {
	path := append(above, n)
	if !visit(pos, path) {
		return
	}
	for _, kid := range n.kids {
		kid.walk(pos+1, path, visit)
	}
}

func newLeafFrom(pos int, rootFirst []*node) leaf {
	l := leaf{history{pos, make([]string, 0, len(rootFirst))}, slices.Clone(rootFirst)}
	slices.Reverse(l.path)
	for _, n := range l.path {
		l.ids = append(l.ids, n.id)
	}
	return l
}

// find returns a revision with its ancestors.
func (t tree) find(want revision) (leaf, bool) {
	var out leaf
	found := false
	for _, b := range t {
		if b.start > want.pos || found {
			continue
		}
		b.root.walk(b.start, nil, func(pos int, path []*node) bool {
			if pos == want.pos && path[len(path)-1].id == want.id {
				out, found = newLeafFrom(pos, path), true
			}
			return !found && pos < want.pos
		})
	}
	return out, found
}

// leavesBelow lists the leaves that descend from a revision, itself included.
func (t tree) leavesBelow(want revision) []leaf {
	var out []leaf
	for _, l := range t.leaves() {
		i := l.start - want.pos
		if i >= 0 && i < len(l.ids) && l.ids[i] == want.id {
			out = append(out, l)
		}
	}
	return out
}

// ranked lists the leaves with the winner first: not deleted before deleted, then the longest history, then the highest
// id (couch_doc:to_doc_info/1).
func (t tree) ranked() []leaf {
	all := t.leaves()
	slices.SortStableFunc(all, func(a, b leaf) int {
		if a.edit().deleted != b.edit().deleted {
			if a.edit().deleted {
				return 1
			}
			return -1
		}
		return b.revision().compare(a.revision())
	})
	return all
}
