package couch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// TestReplayValues compares calls that return CouchDB's JSON as it is, byte for byte; or its error.
func TestReplayValues(t *testing.T) {
	t.Parallel()
	get := func(id string, o GetOptions) func(context.Context, *Database) (jsontext.Value, error) {
		return func(ctx context.Context, d *Database) (jsontext.Value, error) { return d.Get(ctx, id, o) }
	}
	revsDiff := func(v string) func(context.Context, *Database) (jsontext.Value, error) {
		return func(ctx context.Context, d *Database) (jsontext.Value, error) {
			return d.RevsDiff(ctx, jsontext.Value(v))
		}
	}
	getLocal := func(id string) func(context.Context, *Database) (jsontext.Value, error) {
		return func(ctx context.Context, d *Database) (jsontext.Value, error) { return d.GetLocal(ctx, id) }
	}
	info := func(ctx context.Context, d *Database) (jsontext.Value, error) {
		i, err := d.Info(ctx)
		return i.Raw, err
	}
	const first = "1-9e17062f11e0c1abf57e9d528652707c"
	for _, test := range []struct {
		note, db string
		call     func(context.Context, *Database) (jsontext.Value, error)
	}{
		{"missing db", "rec", info},
		{"db info empty", "rec", info},
		{"db info", "rec", info},
		{"anonymous read refused", "recsec", info},
		{"wrong password", "recsec", info},
		{"member reads", "recsec", info},
		{"member reads other db info", "rec", info},
		{"get doc (number text kept?)", "rec", get("a", GetOptions{})},
		{"get missing", "rec", get("zz", GetOptions{})},
		{"get bad rev", "rec", get("a", GetOptions{Rev: "zzz"})},
		{"get old rev", "rec", get("a", GetOptions{Rev: first})},
		{"get missing rev", "rec", get("a", GetOptions{Rev: "9-99999999999999999999999999999999"})},
		{"get revs", "rec", get("a", GetOptions{Revs: true})},
		{"get revs_info", "rec", get("a", GetOptions{RevsInfo: true})},
		{"get deleted", "rec", get("a", GetOptions{})},
		{"get deleted rev", "rec", get("a", GetOptions{Rev: "3-433e2666371c61491736a10e64914794"})},
		{"get winner with conflicts", "rec", get("conf", GetOptions{Conflicts: true})},
		{"get _local via bulk", "rec", get("_local/viabulk", GetOptions{})},
		{"get stubs", "recatt", get("d1", GetOptions{})},
		{"get attachments=true json", "recatt", get("d1", GetOptions{Attachments: true})},
		{"get attachments att_encoding_info", "recatt", get("d1", GetOptions{AttEncodingInfo: true})},
		{"revs_diff", "rec", revsDiff(string(recorded(t, "revs_diff").Request.Body))},
		{"revs_diff empty", "rec", revsDiff(`{}`)},
		{"revs_diff bad", "rec", revsDiff(`{"conf":["nope"]}`)},
		{"local get", "rec", getLocal("ck")},
		{"local missing", "rec", getLocal("none")},
		{"security", "rec", func(ctx context.Context, d *Database) (jsontext.Value, error) { return d.Security(ctx) }},
	} {
		t.Run(test.note, func(t *testing.T) {
			t.Parallel()
			e := recorded(t, test.note)
			got, err := test.call(t.Context(), mustDatabase(t, replay(t, e), test.db))
			if e.Response.Status != 200 {
				checkError(t, e, err)
			} else if err != nil || string(got) != e.text(t) {
				t.Errorf("got %s, %v; want %s", got, err, e.text(t))
			}
		})
	}
}

func TestReplayServer(t *testing.T) {
	t.Parallel()
	got, err := replay(t, recorded(t, "server welcome")).Server(t.Context())
	if err != nil || got.UUID != "5b0ba37ef3a326a81d762c6dc2b6b2e3" || got.Version != "3.5.0" ||
		got.Vendor != "The Apache Software Foundation" || len(got.Features) != 6 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := replay(t, recorded(t, "health")).Up(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestReplayInfo(t *testing.T) {
	t.Parallel()
	got, err := mustDatabase(t, replay(t, recorded(t, "db info")), "rec").Info(t.Context())
	if err != nil || got.Name != "rec" || got.DocCount != 4 || got.DocDelCount != 2 || got.InstanceStartTime != "1795418459" ||
		!strings.HasPrefix(got.UpdateSeq, "8-g1AAAACbeJ") {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestReplayWrites has calls that answer nothing but success, or CouchDB's error.
func TestReplayWrites(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		note string
		call func(context.Context, *Client) error
	}{
		{"create db", func(ctx context.Context, c *Client) error { return c.CreateDatabase(ctx, "rec", CreateOptions{}) }},
		{"create db again", func(ctx context.Context, c *Client) error { return c.CreateDatabase(ctx, "rec", CreateOptions{}) }},
		{"create db anonymous", func(ctx context.Context, c *Client) error { return c.CreateDatabase(ctx, "recanon", CreateOptions{}) }},
		{"db name with slash", func(ctx context.Context, c *Client) error { return c.CreateDatabase(ctx, "rec/slash", CreateOptions{}) }},
		{"illegal db name", func(ctx context.Context, c *Client) error { return c.CreateDatabase(ctx, "Rec", CreateOptions{}) }},
		{"delete db", func(ctx context.Context, c *Client) error { return c.DeleteDatabase(ctx, "recfeed") }},
		{"delete db by member refused", func(ctx context.Context, c *Client) error { return c.DeleteDatabase(ctx, "recsec") }},
		{"put security", func(ctx context.Context, c *Client) error {
			return mustDatabase(t, c, "recsec").SetSecurity(ctx, jsontext.Value(recorded(t, "put security").Request.Body))
		}},
		{"security put by member refused", func(ctx context.Context, c *Client) error {
			return mustDatabase(t, c, "recsec").SetSecurity(ctx, jsontext.Value(`{}`))
		}},
		{"local delete", func(ctx context.Context, c *Client) error {
			return mustDatabase(t, c, "rec").DeleteLocal(ctx, "ck", "0-2")
		}},
		{"reserved id", func(ctx context.Context, c *Client) error {
			_, err := mustDatabase(t, c, "rec").PutAttachment(ctx, "_nope", "x", "", "", 0, nil)
			return err
		}},
	} {
		t.Run(test.note, func(t *testing.T) {
			t.Parallel()
			e := recorded(t, test.note)
			err := test.call(t.Context(), replay(t, e))
			if e.Response.Status/100 != 2 {
				checkError(t, e, err)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestReplayRevisions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		note, want string
		call       func(context.Context, *Client) (string, error)
	}{
		{"local put", "0-1", func(ctx context.Context, c *Client) (string, error) {
			return mustDatabase(t, c, "rec").PutLocal(ctx, "ck", jsontext.Value(`{"last_seq":0}`))
		}},
		{"local put stale", "0-1", func(ctx context.Context, c *Client) (string, error) {
			return mustDatabase(t, c, "rec").PutLocal(ctx, "ck", jsontext.Value(`{"last_seq":1}`))
		}},
		{"local put rev", "0-2", func(ctx context.Context, c *Client) (string, error) {
			return mustDatabase(t, c, "rec").PutLocal(ctx, "ck", jsontext.Value(`{"_rev":"0-1","last_seq":1}`))
		}},
		{"attachment put", "2-7fd81f88df51c3e12176c08ae17fa3a9", func(ctx context.Context, c *Client) (string, error) {
			return mustDatabase(t, c, "recatt").PutAttachment(ctx, "d1", "new name.png", "1-93b78405a6fe3ab5c2b235c248845173",
				"image/png", 4, strings.NewReader("\x89PNG"))
		}},
		{"attachment put stale", "", func(ctx context.Context, c *Client) (string, error) {
			return mustDatabase(t, c, "recatt").PutAttachment(ctx, "d1", "x", "1-93b78405a6fe3ab5c2b235c248845173",
				"text/plain", -1, strings.NewReader("x"))
		}},
	} {
		t.Run(test.note, func(t *testing.T) {
			t.Parallel()
			e := recorded(t, test.note)
			got, err := test.call(t.Context(), replay(t, e))
			if test.want == "" {
				checkError(t, e, err)
			} else if err != nil || got != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestReplayBulkDocs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		note, db string
		newEdits bool
		want     []Row // nil and a status other than 201: the recorded error
	}{
		{"bulk_docs new_edits true mixed", "rec", true, []Row{
			{ID: "b1", Rev: "1-7a7e4b29f3af401e69b6f86e4c26b727", OK: true, Status: 201},
			{ID: "a", Status: 409, Name: "conflict", Reason: "Document update conflict."},
			{ID: "7feba05a8565529cee84a789aa000d85", Rev: "1-ffa5a8ce6cca96f4cbd8e9484d2f446e", OK: true, Status: 201}}},
		{"bulk_docs new_edits false", "rec", false, nil},
		{"bulk_docs new_edits false again (idempotent)", "rec", false, nil},
		{"bulk_docs new_edits false without _rev", "rec", false, nil},
		{"bulk_docs bad rev", "rec", false, nil},
		{"bulk_docs reserved id", "rec", true, nil},
		{"bulk_docs with _local", "rec", true, []Row{{ID: "_local/viabulk", Rev: "0-1", OK: true, Status: 201}}},
		{"bulk_docs _local stale rev", "rec", true, []Row{{ID: "_local/viabulk", Rev: "0-10", OK: true, Status: 201}}},
		{"bulk_docs new_edits=false unknown stub", "recatt", false, nil},
		{"bulk_docs bad base64", "recatt", true, nil},
		{"validation bulk new_edits false", "recsec", false, []Row{
			{ID: "v1", Rev: "1-11111111111111111111111111111111", Status: 403, Name: "forbidden", Reason: "no bad"},
			{ID: "v2", Rev: "1-22222222222222222222222222222222", Status: 401, Name: "unauthorized", Reason: "who are you"},
			{ID: "v4", Rev: "1-44444444444444444444444444444444", Status: 500, Name: "Error", Reason: "{[]}"}}},
		{"validation bulk new_edits true", "recsec", true, []Row{
			{ID: "v5", Status: 403, Name: "forbidden", Reason: "no bad"},
			{ID: "v6", Rev: "1-a6bdad5e9d9c4bf0716575bb7d209c58", OK: true, Status: 201}}},
		{"bulk ddoc by member", "recsec", false, []Row{
			{ID: "_design/z", Rev: "1-66666666666666666666666666666666", Status: 403, Name: "forbidden", Reason: "You are not a db or server admin."}}},
	} {
		t.Run(test.note, func(t *testing.T) {
			t.Parallel()
			e := recorded(t, test.note)
			got, err := mustDatabase(t, replay(t, e), test.db).BulkDocs(t.Context(), e.docs(t), test.newEdits)
			if e.Response.Status != 201 {
				checkError(t, e, err)
			} else if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("got %+v, %v; want %+v", got, err, test.want)
			}
		})
	}
}

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

func TestReplayOpenRevs(t *testing.T) {
	t.Parallel()
	const b, nine = "2-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "9-99999999999999999999999999999999"
	for _, test := range []struct {
		note, id string
		revs     []string
		o        GetOptions
		want     []string
	}{
		{"open_revs all json", "conf", nil, GetOptions{Revs: true}, []string{"doc", "doc"}},
		{"open_revs list json latest", "conf", []string{b, nine}, GetOptions{Revs: true, Latest: true}, []string{"doc", nine}},
		{"open_revs of missing doc", "zz", nil, GetOptions{}, nil},
	} {
		t.Run(test.note, func(t *testing.T) {
			t.Parallel()
			e := recorded(t, test.note)
			revs, err := mustDatabase(t, replay(t, e), "rec").OpenRevs(t.Context(), test.id, test.revs, test.o)
			if test.want == nil {
				checkError(t, e, err)
				return
			}
			var got []string
			for _, rev := range revs {
				if rev.Doc != nil && strings.Contains(e.text(t), string(rev.Doc)) {
					rev.Missing = "doc"
				}
				got = append(got, rev.Missing)
			}
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestReplayLeaves(t *testing.T) {
	t.Parallel()
	leaves, err := mustDatabase(t, replay(t, recorded(t, "open_revs all json")), "rec").Leaves(t.Context(), "conf")
	if err != nil || fmt.Sprint(leaves) != "[{2 [bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa] false} "+
		"{2 [cccccccccccccccccccccccccccccccc aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa] false}]" {
		t.Errorf("%v, %v", leaves, err)
	}
}

func TestReplayAllDocs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		note string
		o    AllDocsOptions
		want []string
	}{
		{"all_docs keys", AllDocsOptions{Keys: []string{"conf", "gone", "zz", "b1"}}, []string{
			"conf conf 2-cccccccccccccccccccccccccccccccc false  false", "gone gone 2-dddddddddddddddddddddddddddddddd true  false",
			" zz  false not_found false", "b1 b1 1-7a7e4b29f3af401e69b6f86e4c26b727 false  false"}},
		{"all_docs", AllDocsOptions{IncludeDocs: true, Limit: 2}, []string{
			"7feba05a8565529cee84a789aa000d85 7feba05a8565529cee84a789aa000d85 1-ffa5a8ce6cca96f4cbd8e9484d2f446e false  true",
			"b1 b1 1-7a7e4b29f3af401e69b6f86e4c26b727 false  true"}},
	} {
		t.Run(test.note, func(t *testing.T) {
			t.Parallel()
			e := recorded(t, test.note)
			rows, err := mustDatabase(t, replay(t, e), "rec").AllDocs(t.Context(), test.o)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			var got []string
			for {
				row, err := rows.Next()
				if err == io.EOF {
					break
				}
				if err != nil || !strings.Contains(e.text(t), string(row.Row)) || !strings.Contains(string(row.Row), string(row.Doc)) {
					t.Fatalf("%+v, %v", row, err)
				}
				got = append(got, fmt.Sprint(row.ID, " ", row.Key, " ", row.Rev, " ", row.Deleted, " ", row.Err, " ", row.Doc != nil))
			}
			if !slices.Equal(got, test.want) || rows.TotalRows() != 4 {
				t.Errorf("got %q of %d\nwant %q", got, rows.TotalRows(), test.want)
			}
		})
	}
}

func TestReplayAttachments(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		note, name, rng string
		want            Attachment
	}{
		{"attachment get", "b.bin", "", Attachment{ContentType: "application/octet-stream", Length: 4, Digest: "md5-BBbauBmIczOvgx+MdlrCrg=="}},
		{"attachment get text", "t.txt", "", Attachment{ContentType: "text/plain", Length: 300, Digest: "md5-F5gftoFprzTEG+aNrSgv4Q=="}},
		{"attachment range", "b.bin", "bytes=1-2", Attachment{ContentType: "application/octet-stream", Length: 2, Digest: "md5-BBbauBmIczOvgx+MdlrCrg==", ContentRange: "bytes 1-2/4"}},
		{"attachment missing", "none", "", Attachment{}},
	} {
		t.Run(test.note, func(t *testing.T) {
			t.Parallel()
			e := recorded(t, test.note)
			a, err := mustDatabase(t, replay(t, e), "recatt").Attachment(t.Context(), "d1", test.name, AttachmentOptions{Range: test.rng})
			if e.Response.Status >= 300 {
				checkError(t, e, err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer a.Body.Close()
			body, err := io.ReadAll(a.Body)
			if err != nil || string(body) != string(e.body(t)) {
				t.Errorf("%q, %v", body, err)
			}
			a.Body = nil
			if *a != test.want {
				t.Errorf("got %+v, want %+v", *a, test.want)
			}
		})
	}
}

func TestReplayChanges(t *testing.T) {
	t.Parallel()
	const seq4 = "4-g1AAAACbeJzLYWBgYMpgTmEQTM4vTc5ISXIwNDLXMwBCwxyQVCJDUv3___-zMpgTGXOBAuzGSSmJBolJ2DTgMSaPBUgyNACp_1DTmMGmmSelGpiaYTUtCwBJKSjS"
	for _, test := range []struct {
		note, db, ids string
		o             ChangesOptions
		pending       int64
	}{
		{"changes normal all_docs", "rec", "b1 conf gone a 7feba05a8565529cee84a789aa000d85 deep", ChangesOptions{AllLeaves: true}, 0},
		{"changes limit 2", "rec", "b1 a", ChangesOptions{Limit: 2, AllLeaves: true}, 4},
		{"changes since", "rec", "conf gone", ChangesOptions{Limit: 2, Since: seq4}, 2},
		{"changes include_docs", "rec", "b1 a conf 7feba05a8565529cee84a789aa000d85 gone deep", ChangesOptions{IncludeDocs: true, AllLeaves: true, Conflicts: true}, 0},
		{"changes descending", "rec", "gone", ChangesOptions{Descending: true, Limit: 1}, 5},
		{"changes since now", "rec", "", ChangesOptions{Since: "now"}, 0},
		{"changes seq_interval", "rec", "b1 conf gone a 7feba05a8565529cee84a789aa000d85 deep", ChangesOptions{SeqInterval: 3}, 0},
		{"changes doc_ids", "rec", "conf", ChangesOptions{DocIDs: []string{"conf", "zz"}}, 5},
		{"changes selector", "rec", "deep", ChangesOptions{Selector: jsontext.Value(`{"v":{"$eq":5}}`)}, 0},
		{"changes attachments", "recatt", "d1", ChangesOptions{IncludeDocs: true, Attachments: true}, 0},
		{"ddoc filter", "recsec", "v6", ChangesOptions{Filter: "v/f", Query: url.Values{"k": {"a"}}}, 0},
		{"longpoll wakes", "recfeed", "l1", ChangesOptions{Feed: Longpoll}, 0},
		{"longpoll timeout", "recfeed", "", ChangesOptions{Feed: Longpoll, Since: "now", Timeout: 800 * time.Millisecond}, 0},
		{"continuous timeout ends", "recfeed", "l1 c1", ChangesOptions{Feed: Continuous, Timeout: 700 * time.Millisecond}, 0},
		{"continuous limit ends", "recfeed", "c1", ChangesOptions{Feed: Continuous, Limit: 1}, 1},
		{"continuous: db deleted", "recfeed", "", ChangesOptions{Feed: Continuous, Since: "now"}, 0},
	} {
		t.Run(test.note, func(t *testing.T) {
			t.Parallel()
			e := recorded(t, test.note)
			changes, err := mustDatabase(t, replay(t, e), test.db).Changes(t.Context(), test.o)
			if err != nil {
				t.Fatal(err)
			}
			defer changes.Close()
			ids, err := drainChanges(t, changes, e.text(t))
			if err != io.EOF || strings.Join(ids, " ") != test.ids || changes.Pending() != test.pending ||
				!strings.Contains(e.text(t), `"last_seq":"`+changes.LastSeq()+`"`) {
				t.Errorf("got %q, %v, pending %d", ids, err, changes.Pending())
			}
		})
	}
}

// TestReplayCutFeed has a recording that its recorder ended, not CouchDB: there is no last_seq.
func TestReplayCutFeed(t *testing.T) {
	t.Parallel()
	e := recorded(t, "continuous heartbeat and rows")
	changes, err := mustDatabase(t, replay(t, e), "recfeed").Changes(t.Context(), ChangesOptions{Feed: Continuous, AllLeaves: true})
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Close()
	ids, err := drainChanges(t, changes, e.text(t))
	if strings.Join(ids, " ") != "l1 c1" || !Transient(err) || !errors.Is(err, errCut) {
		t.Errorf("got %q, %v", ids, err)
	}
}

func TestReplayChangesRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		note, db string
		o        ChangesOptions
	}{
		{"changes bad since", "rec", ChangesOptions{Since: "garbage"}},
		{"changes missing filter", "rec", ChangesOptions{Filter: "nope/nope"}},
		{"changes missing db", "recnone", ChangesOptions{}},
	} {
		e := recorded(t, test.note)
		_, err := mustDatabase(t, replay(t, e), test.db).Changes(t.Context(), test.o)
		checkError(t, e, err)
		if IsDatabaseMissing(err) != (test.note == "changes missing db") {
			t.Errorf("%s: IsDatabaseMissing of %v", test.note, err)
		}
	}
}

// drainChanges reads to the end and checks that every row is a piece of the answer, with its own sequence.
func drainChanges(t *testing.T, changes *Changes, answer string) (ids []string, err error) {
	t.Helper()
	for {
		row, err := changes.Next()
		if err != nil {
			return ids, err
		}
		seq := `"seq":"` + row.Seq + `"`
		if row.Seq == "" {
			seq = `"seq":null`
		}
		if !strings.Contains(answer, string(row.Row)) || !strings.Contains(string(row.Row), seq) {
			t.Errorf("%s, sequence %q", row.Row, row.Seq)
		}
		if revs, err := row.Revs(); err != nil || len(revs) == 0 {
			t.Errorf("%s: %q, %v", row.Row, revs, err)
		}
		deleted, err := row.Deleted()
		if err != nil || deleted != strings.Contains(string(row.Row), `"deleted":true`) {
			t.Errorf("%s: deleted %v, %v", row.Row, deleted, err)
		}
		ids = append(ids, row.ID)
	}
}
