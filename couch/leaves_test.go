package couch

import (
	"fmt"
	"testing"
)

// TestLeavesOfReader answers a question about two documents, a and b.
func TestLeavesOfReader(t *testing.T) {
	t.Parallel()
	const (
		revs = `"_revisions":{"ids":["b","a"],"start":2}`
		a    = `{"id":"a","docs":[{"ok":{"_id":"a","big":[1,{"_deleted":true}],` + revs + `}},{"ok":{` + revs + `,"_deleted":true}}]}`
		leaf = "[{2 [b a] false} {2 [b a] true}]"
	)
	for _, test := range []struct{ name, text, want string }{
		{"both", `{"results":[` + a + `,{"id":"b","docs":[{"ok":{` + revs + `}}]}]}`, leaf + " <nil>, [{2 [b a] false}] <nil>"},
		{"one is gone", `{"results":[` + a + `,{"id":"b","docs":[{"error":{"id":"b","rev":"undefined","error":"not_found","reason":"missing"}}]}]}`,
			leaf + " <nil>, [] 404 not_found missing"},
		{"one has none", `{"results":[` + a + `,{"id":"b","docs":[]}]}`, leaf + " <nil>, [] 404 not_found missing"},
		{"refused", `{"error":"unauthorized","reason":"no"}`, "401 unauthorized no"},
		{"an entry too few", `{"results":[` + a + `]}`, "malformed"},
		{"an entry too many", `{"results":[` + a + `,` + a + `,` + a + `]}`, "malformed"},
		{"cut", `{"results":[` + a + `,{"id":"b","docs":[{"ok":{"x":[1,`, "cut"},
		{"no revisions", `{"results":[` + a + `,{"id":"b","docs":[{"ok":{"x":1}}]}]}`, "malformed"},
		{"given up", `{"results":[` + a + `,{"error":"timeout","reason":"slow"}]}`, "500 timeout slow"},
		{"given up half way", `{"results":[` + a + "\n" + `{"error":"timeout","reason":"slow"}`, "500 timeout slow"},
	} {
		found, err := answer(t, test.text, false).LeavesOf(t.Context(), []string{"a", "b"})
		got := outcome(err)
		if err == nil {
			got = fmt.Sprintf("%v %s, %v %s", found[0].Leaves, outcome(found[0].Err), found[1].Leaves, outcome(found[1].Err))
		}
		if got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}
