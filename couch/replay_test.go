package couch

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

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
