package couch_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pouchbridge/couch"
)

// TestLiveDots reads the leaves of documents whose ids no path can carry.
func TestLiveDots(t *testing.T) {
	t.Parallel()
	d := liveDatabase(t, couch.Options{})
	for _, id := range []string{".", "..", "_design/.."} {
		if _, err := d.Leaves(t.Context(), id); !couch.IsNotFound(err) || couch.IsDatabaseMissing(err) {
			t.Errorf("Leaves of %q before it is there: %v", id, err)
		}
		rows, err := d.BulkDocs(t.Context(), values(`{"_id":"`+id+`","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]},"text":"x"}`,
			`{"_id":"`+id+`","_rev":"1-c","_deleted":true}`), false)
		if err != nil || len(rows) != 0 {
			t.Fatalf("%q: %v, %v", id, rows, err)
		}
		leaves, err := d.Leaves(t.Context(), id)
		slices.SortFunc(leaves, func(a, b couch.Leaf) int { return b.Start - a.Start })
		want := []couch.Leaf{{Start: 2, IDs: []string{"b", "a"}}, {Start: 1, IDs: []string{"c"}, Deleted: true}}
		if diff := cmp.Diff(want, leaves); err != nil || diff != "" {
			t.Errorf("Leaves of %q: %v (-want +got):\n%s", id, err, diff)
		}
	}
}
