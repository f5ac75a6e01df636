package embedded

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// pathOf makes a path of "start:a,b,c", oldest first; only the newest has a body. A trailing ! makes that a deletion.
func pathOf(text string) (int, []step) {
	text, deleted := strings.CutSuffix(text, "!")
	var start int
	var ids string
	if _, err := fmt.Sscanf(text, "%d:%s", &start, &ids); err != nil {
		panic(err)
	}
	var steps []step
	for id := range strings.SplitSeq(ids, ",") {
		steps = append(steps, step{id: id})
	}
	steps[len(steps)-1].edit = &edit{deleted: deleted}
	return start, steps
}

func grow(limit int, paths ...string) tree {
	var t tree
	for _, p := range paths {
		t, _ = t.merge(pathOf(p))
		t = t.stem(limit)
	}
	return t
}

func (t tree) String() string {
	var out []string
	for _, b := range t {
		out = append(out, fmt.Sprintf("%d:%s", b.start, b.root))
	}
	return strings.Join(out, " ")
}

func (n *node) String() string {
	s := n.id
	if n.edit == nil {
		s += "?"
	} else if n.edit.deleted {
		s += "!"
	}
	if len(n.kids) > 0 {
		var kids []string
		for _, k := range n.kids {
			kids = append(kids, k.String())
		}
		s += "(" + strings.Join(kids, " ") + ")"
	}
	return s
}

func TestTreeMerge(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		paths []string
		want  string
		last  merged
	}{
		{"first", []string{"1:a"}, "1:a", newLeaf},
		{"again", []string{"1:a", "1:a"}, "1:a", internalNode},
		{"extends", []string{"1:a", "1:a,b"}, "1:a(b)", newLeaf},
		{"extends from the middle", []string{"1:a,b", "2:b,c"}, "1:a?(b(c))", newLeaf},
		{"conflict", []string{"1:a,b", "1:a,c"}, "1:a?(b c)", newBranch},
		{"conflict below", []string{"1:a,c", "1:a,b"}, "1:a?(b c)", newBranch},
		{"second root", []string{"1:a", "1:b"}, "1:a 1:b", newBranch},
		{"unrelated later", []string{"1:a,b", "5:e,f"}, "1:a?(b) 5:e?(f)", newBranch},
		{"gets its root", []string{"3:c,d", "1:a,b,c"}, "1:a?(b?(c(d)))", internalNode},
		{"fills a gap", []string{"1:a,b,c", "2:b"}, "1:a?(b(c))", internalNode},
		{"joins two branches", []string{"1:a,b", "5:e,f", "2:b,c,d,e"}, "1:a?(b(c?(d?(e(f)))))", newLeaf},
		{"same id, other generation", []string{"1:a,b", "2:a,b"}, "1:a?(b) 2:a?(b)", newBranch},
		{"below a deletion", []string{"1:a,b!", "1:a,b,c"}, "1:a?(b!(c))", newLeaf},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			before := grow(1000, test.paths[:len(test.paths)-1]...)
			start, steps := pathOf(test.paths[len(test.paths)-1])
			got, how := before.merge(start, steps)
			got = got.stem(1000)
			if diff := cmp.Diff(test.want, got.String()); diff != "" {
				t.Error(diff)
			}
			if how != test.last {
				t.Errorf("merge says %d, want %d", how, test.last)
			}
		})
	}
}

func TestTreeStem(t *testing.T) {
	t.Parallel()
	tests := []struct {
		limit int
		path  []string
		want  string
	}{
		{3, []string{"1:a,b,c"}, "1:a?(b?(c))"},
		{2, []string{"1:a,b,c"}, "2:b?(c)"},
		{1, []string{"1:a,b,c"}, "3:c"},
		{2, []string{"1:a,b,c,d", "1:a,x"}, "1:a?(x) 3:c?(d)"},
		{2, []string{"1:a,b,c", "1:a,b,d"}, "2:b?(c d)"},
		{1, []string{"1:a,b,c", "1:a,b,d"}, "3:c 3:d"},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.limit, test.path), func(t *testing.T) {
			t.Parallel()
			got := grow(1000, test.path...).stem(test.limit)
			if diff := cmp.Diff(test.want, got.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTreeWinner(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		paths []string
		want  string // leaves, winner first
	}{
		{"highest id", []string{"1:a", "1:b"}, "1-b 1-a"},
		{"longest", []string{"1:a,c", "1:b"}, "2-c 1-b"},
		{"not deleted", []string{"1:a,b,c!", "1:b"}, "1-b 3-c"},
		{"all deleted", []string{"1:a,b!", "1:a,c!"}, "2-c 2-b"},
		{"stemmed counts by generation", []string{"9:a", "1:b,c,d"}, "9-a 3-d"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, l := range grow(1000, test.paths...).ranked() {
				got = append(got, l.revision().String())
			}
			if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// drawHistories draws paths through one random forest, as replicas with different knowledge would send them.
func drawHistories(t *rapid.T) []string {
	type revision struct{ path []string }
	known := []revision{{[]string{"r0"}}}
	for i := range rapid.IntRange(1, 12).Draw(t, "revisions") {
		parent := known[rapid.IntRange(0, len(known)-1).Draw(t, "parent")]
		path := append(slices.Clone(parent.path), fmt.Sprintf("n%d", i))
		if rapid.IntRange(0, 5).Draw(t, "root") == 0 {
			path = []string{fmt.Sprintf("n%d", i)}
		}
		known = append(known, revision{path})
	}
	var out []string
	for _, r := range known {
		cut := rapid.IntRange(0, len(r.path)-1).Draw(t, "cut")
		out = append(out, fmt.Sprintf("%d:%s", cut+1, strings.Join(r.path[cut:], ",")))
	}
	return out
}

// TestMergeOrder: whatever order histories arrive in, and however often, the tree is the same.
func TestMergeOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		paths := drawHistories(t)
		once := grow(1000, paths...)
		shuffled := rapid.Permutation(paths).Draw(t, "order")
		if other := grow(1000, shuffled...); once.String() != other.String() {
			t.Fatalf("%v\n gives %s\n%v\n gives %s", paths, once, shuffled, other)
		}
		if twice := grow(1000, append(paths, shuffled...)...); once.String() != twice.String() {
			t.Fatalf("%v\nonce  %s\ntwice %s", paths, once, twice)
		}
	})
}

// TestTreeEncoding: a tree reads back as it was written.
func TestTreeEncoding(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before := &docInfo{id: "d", seq: rapid.Uint64().Draw(t, "seq"), tree: grow(1000, drawHistories(t)...)}
		after, err := decodeInfo("d", before.encode())
		if err != nil {
			t.Fatal(err)
		}
		if after.seq != before.seq || after.tree.String() != before.tree.String() {
			t.Fatalf("wrote %s, read %s", before.tree, after.tree)
		}
	})
}
