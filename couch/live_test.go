package couch_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"pouchbridge/couch"
)

// The tests of this file run every call against a whole CouchDB: the one at COUCHDB_URL, or the embedded store.

func liveClient(t *testing.T, o couch.Options) *couch.Client {
	t.Helper()
	c, err := couch.New(liveServer(t).url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// liveDatabase is a new database with a name that has to be escaped; it is deleted after the test.
func liveDatabase(t *testing.T, o couch.Options) *couch.Database {
	t.Helper()
	c := liveClient(t, o)
	name := "couch+test/" + strings.ToLower(rand.Text())
	if err := c.CreateDatabase(t.Context(), name, couch.CreateOptions{Q: 2, N: 1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.DeleteDatabase(ctx, name); err != nil && !couch.IsNotFound(err) {
			t.Error(err)
		}
	})
	d, err := c.Database(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func values(docs ...string) []jsontext.Value {
	var v []jsontext.Value
	for _, doc := range docs {
		v = append(v, jsontext.Value(doc))
	}
	return v
}

// write stores documents with their revisions, as a replication does.
func write(t *testing.T, d *couch.Database, docs ...string) {
	t.Helper()
	rows, err := d.BulkDocs(t.Context(), values(docs...), false)
	if err != nil || len(rows) != 0 {
		t.Fatal(rows, err)
	}
}

const (
	confB = `{"_id":"conf","_rev":"2-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","_revisions":{"start":2,"ids":["bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]},"v":"b"}`
	confC = `{"_id":"conf","_rev":"2-cccccccccccccccccccccccccccccccc","_revisions":{"start":2,"ids":["cccccccccccccccccccccccccccccccc","aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]},"v":"c"}`
	gone  = `{"_id":"gone","_rev":"2-dddddddddddddddddddddddddddddddd","_revisions":{"start":2,"ids":["dddddddddddddddddddddddddddddddd","eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"]},"_deleted":true}`
)

func TestLiveServer(t *testing.T) {
	t.Parallel()
	c := liveClient(t, couch.Options{})
	if err := c.Up(t.Context()); err != nil {
		t.Error(err)
	}
	s, err := c.Server(t.Context())
	if err != nil || s.UUID == "" || s.Version == "" || s.Vendor == "" {
		t.Errorf("Server: %+v, %v", s, err)
	}
}

func TestLiveDatabase(t *testing.T) {
	t.Parallel()
	d := liveDatabase(t, couch.Options{})
	c, ctx := liveClient(t, couch.Options{}), t.Context()
	info, err := d.Info(ctx)
	if err != nil || info.Name != d.Name() || info.UpdateSeq == "" || info.InstanceStartTime == "" || info.DocCount != 0 {
		t.Errorf("Info: %+v, %v", info, err)
	}
	server, err := c.Server(ctx)
	if err != nil {
		t.Fatal(err)
	}
	escaped := strings.NewReplacer("/", "%2F", "+", "%2B").Replace(d.Name())
	if id, err := d.ID(ctx); err != nil || id != server.UUID+escaped {
		t.Errorf("ID: %q, %v; want %q", id, err, server.UUID+escaped)
	}
	err = c.CreateDatabase(ctx, d.Name(), couch.CreateOptions{})
	var e *couch.Error
	if !errors.As(err, &e) || e.Status != http.StatusPreconditionFailed || e.Name != "file_exists" {
		t.Errorf("created twice: %v", err)
	}
	missing, err := c.Database("couch+test/missing")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := missing.Info(ctx); !couch.IsDatabaseMissing(err) {
		t.Errorf("missing database: %v", err)
	}
	if err := c.DeleteDatabase(ctx, missing.Name()); !couch.IsNotFound(err) {
		t.Errorf("missing database deleted: %v", err)
	}
}

func TestLiveSecurity(t *testing.T) {
	t.Parallel()
	d := liveDatabase(t, couch.Options{})
	want := `{"admins":{"names":[],"roles":["_admin"]},"members":{"names":[],"roles":["r1"]}}`
	if err := d.SetSecurity(t.Context(), jsontext.Value(want)); err != nil {
		t.Fatal(err)
	}
	got, err := d.Security(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Canonicalize(); err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}

func TestLiveDocuments(t *testing.T) {
	t.Parallel()
	d, ctx := liveDatabase(t, couch.Options{}), t.Context()
	for _, id := range []string{"plain", "a/b", "a+b c", "ü/日本", "?x=1#y", "%zz", "%2F", "_design/d", "_design/d/e", "..."} {
		write(t, d, fmt.Sprintf(`{"_id":%q,"_rev":"1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","n":1.0}`, id))
		doc, err := d.Get(ctx, id, couch.GetOptions{Revs: true})
		if err != nil || !bytes.Contains(doc, []byte(`"n":1`)) || !bytes.Contains(doc, []byte(`"_revisions"`)) {
			t.Errorf("%q: %s, %v", id, doc, err)
		}
	}
	if _, err := d.Get(ctx, "zz", couch.GetOptions{}); !couch.IsNotFound(err) || couch.IsDatabaseMissing(err) {
		t.Errorf("missing document: %v", err)
	}
}

func TestLiveConflicts(t *testing.T) {
	t.Parallel()
	d, ctx := liveDatabase(t, couch.Options{}), t.Context()
	write(t, d, confB, confC, gone)

	leaves, err := d.Leaves(ctx, "conf")
	if err != nil || len(leaves) != 2 {
		t.Fatalf("Leaves: %v, %v", leaves, err)
	}
	revs := []string{leaves[0].Rev(), leaves[1].Rev()}
	slices.Sort(revs)
	if revs[0] != "2-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" || leaves[0].IDs[1] != "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
		t.Errorf("Leaves: %v", leaves)
	}
	if leaves, err := d.Leaves(ctx, "gone"); err != nil || len(leaves) != 1 || !leaves[0].Deleted {
		t.Errorf("Leaves of a deleted document: %v, %v", leaves, err)
	}
	if _, err := d.Leaves(ctx, "zz"); !couch.IsNotFound(err) {
		t.Errorf("Leaves of a missing document: %v", err)
	}
	open, err := d.OpenRevs(ctx, "conf", nil, couch.GetOptions{Revs: true})
	if err != nil || len(open) != 2 || open[0].Doc == nil {
		t.Errorf("OpenRevs: %v, %v", open, err)
	}
	asked := []string{"2-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}
	for i := range 200 { // more than one URL holds
		asked = append(asked, fmt.Sprintf("9-%032x", i))
	}
	open, err = d.OpenRevs(ctx, "conf", asked, couch.GetOptions{Latest: true})
	missing := 0
	for _, rev := range open {
		if rev.Missing != "" {
			missing++
		}
	}
	if err != nil || len(open) != 201 || missing != 200 {
		t.Errorf("OpenRevs of a list: %d revisions, %d missing, %v", len(open), missing, err)
	}
}

func TestLiveRevsDiff(t *testing.T) {
	t.Parallel()
	d := liveDatabase(t, couch.Options{})
	write(t, d, confB)
	diff, err := d.RevsDiff(t.Context(), jsontext.Value(`{"conf":["2-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"],"zz":["1-11111111111111111111111111111111"]}`))
	if err != nil || string(diff) != `{"zz":{"missing":["1-11111111111111111111111111111111"]}}` {
		t.Errorf("%s, %v", diff, err)
	}
}

func TestLiveBulkDocs(t *testing.T) {
	t.Parallel()
	d := liveDatabase(t, couch.Options{MaxBatchBytes: 200})
	rows, err := d.BulkDocs(t.Context(), values(`{"_id":"a","v":1}`, `{"_id":"a","v":2}`, `{"_id":"b"}`), true)
	if err != nil || len(rows) != 3 || !rows[0].OK || rows[1].Status != http.StatusConflict || rows[1].Name != "conflict" || !rows[2].OK {
		t.Errorf("%+v, %v", rows, err)
	}
	var many []string
	for i := range 20 { // several requests of 200 bytes
		many = append(many, fmt.Sprintf(`{"_id":"m%d","_rev":"1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","v":%d}`, i, i))
	}
	write(t, d, many...)
	if info, err := d.Info(t.Context()); err != nil || info.DocCount != 22 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestLiveDenied(t *testing.T) {
	t.Parallel()
	d := liveDatabase(t, couch.Options{})
	ddoc := `{"_id":"_design/v","validate_doc_update":"function(n,o,u){ if(n.bad) throw({forbidden:'no bad'}); if(n.who) throw({unauthorized:'who are you'}); }"}`
	if rows, err := d.BulkDocs(t.Context(), values(ddoc), true); err != nil || !rows[0].OK {
		t.Fatal(rows, err)
	}
	rows, err := d.BulkDocs(t.Context(), values(
		`{"_id":"v1","_rev":"1-11111111111111111111111111111111","bad":true}`,
		`{"_id":"v2","_rev":"1-22222222222222222222222222222222","who":true}`,
		`{"_id":"v3","_rev":"1-33333333333333333333333333333333"}`), false)
	want := []couch.Row{
		{ID: "v1", Rev: "1-11111111111111111111111111111111", Status: 403, Name: "forbidden", Reason: "no bad"},
		{ID: "v2", Rev: "1-22222222222222222222222222222222", Status: 401, Name: "unauthorized", Reason: "who are you"},
	}
	if err != nil || !slices.Equal(rows, want) {
		t.Errorf("%+v, %v", rows, err)
	}
}

func TestLiveBulkGet(t *testing.T) {
	t.Parallel()
	d := liveDatabase(t, couch.Options{})
	write(t, d, confB, confC, gone)
	refs := []couch.DocRef{{ID: "conf"}, {ID: "conf", Rev: "2-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}, {ID: "zz"}, {ID: "gone"}}
	b, err := d.BulkGet(t.Context(), refs, couch.BulkGetOptions{Revs: true, Latest: true})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var got []string
	for {
		doc, err := b.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		what := "doc"
		if doc.Err != nil {
			what = doc.Err.Name
		}
		got = append(got, fmt.Sprint(doc.Index, doc.ID, " ", what))
	}
	if want := []string{"0conf doc", "0conf doc", "1conf doc", "2zz not_found", "3gone doc"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLiveAllDocs(t *testing.T) {
	t.Parallel()
	d := liveDatabase(t, couch.Options{})
	write(t, d, confB, confC, gone, `{"_id":"x","_rev":"1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}`)
	list := func(o couch.AllDocsOptions) (got []string) {
		rows, err := d.AllDocs(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for {
			row, err := rows.Next()
			if err == io.EOF {
				return got
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s=%.1s%v%s%v", row.Key, row.Rev, row.Deleted, row.Err, row.Doc != nil))
		}
	}
	no := false
	for _, test := range []struct {
		o    couch.AllDocsOptions
		want []string
	}{
		{couch.AllDocsOptions{}, []string{"conf=2falsefalse", "x=1falsefalse"}},
		{couch.AllDocsOptions{IncludeDocs: true, Descending: true, Limit: 1}, []string{"x=1falsetrue"}},
		{couch.AllDocsOptions{StartKey: "a", EndKey: "x", InclusiveEnd: &no}, []string{"conf=2falsefalse"}},
		{couch.AllDocsOptions{Skip: 1}, []string{"x=1falsefalse"}},
		{couch.AllDocsOptions{Keys: []string{"zz", "gone", "x"}, IncludeDocs: true},
			[]string{"zz=falsenot_foundfalse", "gone=2truefalse", "x=1falsetrue"}},
	} {
		if got := list(test.o); !slices.Equal(got, test.want) {
			t.Errorf("%+v: %q, want %q", test.o, got, test.want)
		}
	}
}

func TestLiveLocal(t *testing.T) {
	t.Parallel()
	d, ctx := liveDatabase(t, couch.Options{}), t.Context()
	if _, err := d.GetLocal(ctx, "ck/1"); !couch.IsNotFound(err) {
		t.Errorf("missing: %v", err)
	}
	// The _id inside does not matter.
	if rev, err := d.PutLocal(ctx, "ck/1", jsontext.Value(`{"_id":"_local/other","last_seq":0}`)); err != nil || rev != "0-1" {
		t.Errorf("put: %q, %v", rev, err)
	}
	if rev, err := d.PutLocal(ctx, "ck/1", jsontext.Value(`{"_rev":"0-1","last_seq":1}`)); err != nil || rev != "0-2" {
		t.Errorf("put again: %q, %v", rev, err)
	}
	if doc, err := d.GetLocal(ctx, "ck/1"); err != nil || string(doc) != `{"_id":"_local/ck/1","_rev":"0-2","last_seq":1}` {
		t.Errorf("get: %s, %v", doc, err)
	}
	if err := d.DeleteLocal(ctx, "ck/1", "0-2"); err != nil {
		t.Error(err)
	}
	if _, err := d.GetLocal(ctx, "ck/1"); !couch.IsNotFound(err) {
		t.Errorf("deleted: %v", err)
	}
}

func TestLiveAttachments(t *testing.T) {
	t.Parallel()
	d, ctx := liveDatabase(t, couch.Options{}), t.Context()
	content := strings.Repeat("hello ", 50) // text: CouchDB stores it gzipped
	rev := ""
	for i, name := range []string{"a.txt", "dir/b c.txt", "%zz?x#y.txt", "ü.txt"} {
		var err error
		length := int64(len(content))
		if i%2 == 1 {
			length = -1
		}
		if rev, err = d.PutAttachment(ctx, "doc/1", name, rev, "text/plain", length, strings.NewReader(content)); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		a, err := d.Attachment(ctx, "doc/1", name, couch.AttachmentOptions{Rev: rev})
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		got, err := io.ReadAll(a.Body)
		_ = a.Body.Close()
		if err != nil || string(got) != content || a.ContentType != "text/plain" || a.Encoding != "" || a.Length != 300 {
			t.Errorf("%q: %q, %+v, %v", name, got, a, err)
		}
		doc, err := d.Get(ctx, "doc/1", couch.GetOptions{})
		if err != nil || !bytes.Contains(doc, []byte(`"`+a.Digest+`"`)) {
			t.Errorf("digest %q not in %s, %v", a.Digest, doc, err)
		}
	}
	if _, err := d.PutAttachment(ctx, "doc/1", "empty", rev, "", 0, strings.NewReader("")); err != nil {
		t.Errorf("empty: %v", err)
	}
	_, err := d.PutAttachment(ctx, "doc/1", "x", rev, "", -1, strings.NewReader("x"))
	if e := (*couch.Error)(nil); !errors.As(err, &e) || e.Name != "conflict" {
		t.Errorf("stale revision: %v", err)
	}
	if _, err := d.Attachment(ctx, "doc/1", "none", couch.AttachmentOptions{}); !couch.IsNotFound(err) {
		t.Errorf("missing: %v", err)
	}
}

func TestLiveAttachmentRange(t *testing.T) {
	t.Parallel()
	d, ctx := liveDatabase(t, couch.Options{}), t.Context()
	if _, err := d.PutAttachment(ctx, "d", "b.bin", "", "application/octet-stream", 4, bytes.NewReader([]byte{0, 1, 2, 255})); err != nil {
		t.Fatal(err)
	}
	a, err := d.Attachment(ctx, "d", "b.bin", couch.AttachmentOptions{Range: "bytes=1-2"})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if got, err := io.ReadAll(a.Body); err != nil || !bytes.Equal(got, []byte{1, 2}) || a.ContentRange != "bytes 1-2/4" {
		t.Errorf("%v, %+v, %v", got, a, err)
	}
}
