package couch

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestLeavesOfReader answers a question about two documents, a and b.
func TestLeavesOfReader(t *testing.T) {
	t.Parallel()
	const (
		both = `{"total_rows":2,"offset":null,"rows":[{"id":"a","key":"a","value":{"rev":"2-b"}},{"id":"b","key":"b","value":{"rev":"2-b","deleted":true}}]}`
		revs = `"_revisions":{"ids":["b","a"],"start":2}`
		a    = `{"id":"a","docs":[{"ok":{"_id":"a","big":[1,{"_deleted":true}],` + revs + `}},{"ok":{` + revs + `,"_deleted":true}}]}`
		leaf = "[{2 [b a] false} {2 [b a] true}]"
	)
	for _, test := range []struct{ name, first, second, want string }{
		{"both", both, `{"results":[` + a + `,{"id":"b","docs":[{"ok":{` + revs + `}}]}]}`, leaf + " <nil>, [{2 [b a] false}] <nil>"},
		{"one is gone", both, `{"results":[` + a + `,{"id":"b","docs":[{"error":{"id":"b","rev":"undefined","error":"not_found","reason":"missing"}}]}]}`,
			leaf + " <nil>, [] 404 not_found missing"},
		{"one has none", both, `{"results":[` + a + `,{"id":"b","docs":[]}]}`, leaf + " <nil>, [] 404 not_found missing"},
		{"one is absent", strings.Replace(both, `{"id":"b","key":"b","value":{"rev":"2-b","deleted":true}}`, `{"key":"b","error":"not_found"}`, 1),
			`{"results":[` + a + `]}`, leaf + " <nil>, [] 404 not_found missing"},
		{"a row too few", `{"rows":[{"id":"a","key":"a","value":{"rev":"2-b"}}]}`, "", "malformed"},
		{"a row too many", strings.Replace(both, `]}`, `,{"key":"c","error":"not_found"}]}`, 1), "", "malformed"},
		{"refused", `{"error":"unauthorized","reason":"no"}`, "", "401 unauthorized no"},
		{"an entry too few", both, `{"results":[` + a + `]}`, "malformed"},
		{"an entry too many", both, `{"results":[` + a + `,` + a + `,` + a + `]}`, "malformed"},
		{"cut", both, `{"results":[` + a + `,{"id":"b","docs":[{"ok":{"x":[1,`, "cut"},
		{"no revisions", both, `{"results":[` + a + `,{"id":"b","docs":[{"ok":{"x":1}}]}]}`, "malformed"},
		{"given up", both, `{"results":[` + a + `,{"error":"timeout","reason":"slow"}]}`, "500 timeout slow"},
		{"given up half way", both, `{"results":[` + a + "\n" + `{"error":"timeout","reason":"slow"}`, "500 timeout slow"},
	} {
		c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if strings.HasSuffix(r.URL.Path, "/_all_docs") {
				_, _ = io.WriteString(w, test.first)
			} else {
				_, _ = io.WriteString(w, test.second)
			}
		}), "", Options{})
		found, err := mustDatabase(t, c, "db").LeavesOf(t.Context(), []string{"a", "b"})
		got := outcome(err)
		if err == nil {
			got = fmt.Sprintf("%v %s, %v %s", found[0].Leaves, outcome(found[0].Err), found[1].Leaves, outcome(found[1].Err))
		}
		if got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}
