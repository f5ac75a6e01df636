package couch

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestReplayBulkGet(t *testing.T) {
	t.Parallel()
	plain := []string{"0 conf ok", "0 conf ok", "1 conf ok", "2 conf 1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 404 not_found missing",
		"3 zz undefined 404 not_found missing", "4 deep 9-99999999999999999999999999999999 404 not_found missing", "5 gone ok"}
	latest := slices.Clone(plain)
	latest = slices.Replace(latest, 3, 4, "2 conf ok", "2 conf ok")
	for _, test := range []struct {
		note, db string
		o        BulkGetOptions
		want     []string
	}{
		{"bulk_get", "rec", BulkGetOptions{}, plain},
		{"bulk_get?revs=true", "rec", BulkGetOptions{Revs: true}, plain},
		{"bulk_get?revs=true&latest=true", "rec", BulkGetOptions{Revs: true, Latest: true}, latest},
		{"bulk_get?revs=true&attachments=true", "rec", BulkGetOptions{Revs: true, Attachments: true}, plain},
		{"bulk_get attachments", "recatt", BulkGetOptions{Revs: true, Attachments: true}, []string{"0 d1 ok"}},
		{"bulk_get stubs", "recatt", BulkGetOptions{Revs: true}, []string{"0 d1 ok"}},
	} {
		t.Run(test.note, func(t *testing.T) {
			t.Parallel()
			e := recorded(t, test.note)
			b, err := mustDatabase(t, replay(t, e), test.db).BulkGet(t.Context(), e.refs(t), test.o)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if got := drainBulkGet(t, b, e.text(t)); !slices.Equal(got, test.want) {
				t.Errorf("got %q\nwant %q", got, test.want)
			}
		})
	}
}

// TestReplayBulkGetWithoutID has an answer whose ids are null.
func TestReplayBulkGetWithoutID(t *testing.T) {
	t.Parallel()
	e := recorded(t, "bulk_get bad")
	e.Request.Body = []byte(`{"docs":[{"id":""}]}`)
	b, err := mustDatabase(t, replay(t, e), "rec").BulkGet(t.Context(), []DocRef{{}}, BulkGetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got := drainBulkGet(t, b, e.text(t)); !slices.Equal(got, []string{"0   400 bad_request document must be a JSON object"}) {
		t.Errorf("%q", got)
	}
}

func drainBulkGet(t *testing.T, b *BulkGet, answer string) (got []string) {
	t.Helper()
	for {
		doc, err := b.Next()
		switch {
		case err == io.EOF:
			return got
		case err != nil:
			t.Fatal(err)
		case doc.Err != nil:
			got = append(got, fmt.Sprintf("%d %s %s %d %s %s", doc.Index, doc.ID, doc.Rev, doc.Err.Status, doc.Err.Name, doc.Err.Reason))
			continue
		}
		if !strings.Contains(answer, `{"ok":`+string(doc.Doc)+`}`) {
			t.Errorf("%s is not in the answer", doc.Doc)
		}
		got = append(got, fmt.Sprintf("%d %s ok", doc.Index, doc.ID))
	}
}
