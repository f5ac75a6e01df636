package couch_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"pouchbridge/couch"
)

// TestLiveLeavesOf compares the leaves of many documents with those of each.
func TestLiveLeavesOf(t *testing.T) {
	t.Parallel()
	d := liveDatabase(t, couch.Options{})
	write := values(`{"_id":"a","_rev":"3-c","_revisions":{"start":3,"ids":["c","b","a"]},"text":"`+strings.Repeat("x", 10000)+`"}`,
		`{"_id":"a","_rev":"1-d","_deleted":true}`, `{"_id":"a","_rev":"1-e","_attachments":{"f":{"content_type":"text/plain","data":"aGk="}}}`,
		`{"_id":"gone","_rev":"1-a","_deleted":true}`, `{"_id":"..","_rev":"1-a"}`, `{"_id":"_design/d","_rev":"1-a"}`, `{"_id":"ü/?#%+ \"","_rev":"1-a"}`)
	if rows, err := d.BulkDocs(t.Context(), write, false); err != nil || len(rows) != 0 {
		t.Fatalf("%v, %v", rows, err)
	}
	ids := []string{"never", "a", "", "gone", "_illegal", "..", ".", "a", "_design/d", "_design/never", "ü/?#%+ \"", "b\xff"}
	got, err := d.LeavesOf(t.Context(), ids)
	if err != nil || len(got) != len(ids) {
		t.Fatalf("%d, %v", len(got), err)
	}
	for i, id := range ids {
		want, err := d.Leaves(t.Context(), id)
		order := func(a, b couch.Leaf) int { return strings.Compare(a.Rev(), b.Rev()) }
		slices.SortFunc(want, order)
		slices.SortFunc(got[i].Leaves, order)
		if diff := cmp.Diff(want, got[i].Leaves, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("leaves of %q (-alone +together):\n%s", id, diff)
		}
		if (err == nil) != (got[i].Err == nil) || couch.IsNotFound(err) != couch.IsNotFound(got[i].Err) || couch.IsDatabaseMissing(got[i].Err) {
			t.Errorf("%q alone: %v, together: %v", id, err, got[i].Err)
		}
	}
	if none, err := d.LeavesOf(t.Context(), nil); err != nil || len(none) != 0 {
		t.Errorf("of nothing: %v, %v", none, err)
	}
}
