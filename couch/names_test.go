package couch

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// recorder is a server that notes the request lines it gets, and answers {"rev":"1-a"}.
type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, req.RequestURI)
	_, _ = w.Write([]byte(`{"rev":"1-a"}`))
}

func (r *recorder) last() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lines) == 0 {
		return ""
	}
	return r.lines[len(r.lines)-1]
}

// serve starts a server and a client of it.
func serve(t testing.TB, h http.Handler, path string, o Options) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := New(server.URL+path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestPaths(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "/couch", "/a%2Fb/c+d/"} {
		t.Run("base "+base, func(t *testing.T) {
			t.Parallel()
			r := &recorder{}
			c := serve(t, r, base, Options{})
			prefix := strings.TrimSuffix(base, "/")
			for _, test := range []struct{ db, id, want string }{
				{"db", "a", "/db/a"},
				{"a/b+c$(d)-e_f", "a", "/a%2Fb%2Bc%24%28d%29-e_f/a"},
				{"a//b/", "a", "/a%2F%2Fb%2F/a"},
				{"_users", "org.couchdb.user:bob", "/_users/org.couchdb.user%3Abob"},
				{"db", "a/b", "/db/a%2Fb"},
				{"db", "a/../../_all_dbs", "/db/a%2F..%2F..%2F_all_dbs"},
				{"db", "a+b c", "/db/a%2Bb%20c"},
				{"db", "ü日", "/db/%C3%BC%E6%97%A5"},
				{"db", "?x=1", "/db/%3Fx%3D1"},
				{"db", "#top", "/db/%23top"},
				{"db", "%zz", "/db/%25zz"},
				{"db", "%2F", "/db/%252F"},
				{"db", "a:b;c,d=e@f", "/db/a%3Ab%3Bc%2Cd%3De%40f"},
				{"db", "a\x00b\r\nc", "/db/a%00b%0D%0Ac"},
				{"db", "...", "/db/..."},
				{"db", "_design/d", "/db/_design/d"},
				{"db", "_design/d/_view/v", "/db/_design/d%2F_view%2Fv"},
				{"db", "_local/l/m?", "/db/_local/l%2Fm%3F"},
			} {
				if _, err := mustDatabase(t, c, test.db).Get(t.Context(), test.id, GetOptions{}); err != nil {
					t.Errorf("%q %q: %v", test.db, test.id, err)
				}
				if got := r.last(); got != prefix+test.want {
					t.Errorf("%q %q: got %s, want %s", test.db, test.id, got, prefix+test.want)
				}
			}
		})
	}
}

func TestAttachmentPaths(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	d := mustDatabase(t, serve(t, r, "/couch", Options{}), "db")
	for name, want := range map[string]string{
		"a.txt":       "/couch/db/_design/d/a.txt?rev=1-a%26b",
		"dir/b c.txt": "/couch/db/_design/d/dir%2Fb%20c.txt?rev=1-a%26b",
		"../x":        "/couch/db/_design/d/..%2Fx?rev=1-a%26b",
		"%zz?#+":      "/couch/db/_design/d/%25zz%3F%23%2B?rev=1-a%26b",
	} {
		a, err := d.Attachment(t.Context(), "_design/d", name, AttachmentOptions{Rev: "1-a&b"})
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		_ = a.Body.Close()
		if got := r.last(); got != want {
			t.Errorf("%q: got %s, want %s", name, got, want)
		}
	}
}

// TestRefusedNames has names that must not reach a server.
func TestRefusedNames(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	c := serve(t, r, "", Options{})
	for _, name := range []string{"", "A", "1a", "_all_dbs", "_session", "_node", ".", "..", "../_users", "a.b", "a b", "a?b", "a#b",
		"a%2Fb", "ä", "a\n", "a\x00", "/a", "-a", strings.Repeat("a", 239)} {
		_, err := c.Database(name)
		var e *Error
		if !errors.As(err, &e) || e.Status != 400 || e.Name != "illegal_database_name" || e.Transient() {
			t.Errorf("database %q: %v", name, err)
		}
		if err := c.CreateDatabase(t.Context(), name, CreateOptions{}); !errors.As(err, &e) {
			t.Errorf("create %q: %v", name, err)
		}
	}
	if _, err := c.Database(strings.Repeat("a", 238)); err != nil {
		t.Error(err)
	}
	d := mustDatabase(t, c, "db")
	for _, id := range []string{"", ".", "..", "_", "_all_docs", "_changes", "_design", "_design/", "_design/..", "_local/", "_local/.",
		"_designs/a", "a\xff"} {
		for what, err := range idErrors(t.Context(), d, id) {
			if what == "Leaves" && endsInDots(id) {
				continue // TestLiveDots: they are asked for in a body
			}
			var e *Error
			if !errors.As(err, &e) || e.Status != 400 || e.Name != "illegal_docid" {
				t.Errorf("%s %q: %v", what, id, err)
			}
		}
	}
	for _, name := range []string{"", ".", "..", "\xff"} {
		_, err := d.Attachment(t.Context(), "a", name, AttachmentOptions{})
		var e *Error
		if !errors.As(err, &e) || e.Status != 400 || e.Name != "bad_request" {
			t.Errorf("attachment %q: %v", name, err)
		}
	}
	if last := r.last(); last != "" && !strings.HasPrefix(last, "/db/_bulk_get") {
		t.Errorf("%s reached the server", last)
	}
}

func idErrors(ctx context.Context, d *Database, id string) map[string]error {
	got := map[string]error{}
	_, got["Get"] = d.Get(ctx, id, GetOptions{})
	_, got["OpenRevs"] = d.OpenRevs(ctx, id, nil, GetOptions{})
	_, got["Leaves"] = d.Leaves(ctx, id)
	_, got["Attachment"] = d.Attachment(ctx, id, "a", AttachmentOptions{})
	_, got["PutAttachment"] = d.PutAttachment(ctx, id, "a", "", "", 0, nil)
	return got
}

func TestLocalIDs(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	d := mustDatabase(t, serve(t, r, "", Options{}), "db")
	for id, want := range map[string]string{"a/b": "/db/_local/a%2Fb", "_x": "/db/_local/_x", "_local/a": "/db/_local/_local%2Fa"} {
		if _, err := d.GetLocal(t.Context(), id); err != nil || r.last() != want {
			t.Errorf("%q: %s, %v", id, r.last(), err)
		}
	}
	for _, id := range []string{"", ".", ".."} {
		if _, err := d.PutLocal(t.Context(), id, value(`{}`)); err == nil {
			t.Errorf("%q passed", id)
		}
	}
}

func TestQueries(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	d := mustDatabase(t, serve(t, r, "", Options{}), "db")
	_, _ = d.Get(t.Context(), "a", GetOptions{Rev: "1-a", Revs: true, RevsInfo: true, Conflicts: true, DeletedConflicts: true, Meta: true,
		LocalSeq: true, Latest: true, Attachments: true, AttEncodingInfo: true, AttsSince: []string{"1-a", `2-"`}})
	if want := "/db/a?att_encoding_info=true&attachments=true&atts_since=%5B%221-a%22%2C%222-%5C%22%22%5D&conflicts=true" +
		"&deleted_conflicts=true&latest=true&local_seq=true&meta=true&rev=1-a&revs=true&revs_info=true"; r.last() != want {
		t.Errorf("got %s", r.last())
	}
	_, _ = d.Get(t.Context(), "a", GetOptions{AttsSince: make([]string, 10_000)})
	if n := len(r.last()); n < 1000 || n > 8000 {
		t.Errorf("the URL is %d bytes long", n)
	}
	_, _ = d.AllDocs(t.Context(), AllDocsOptions{StartKey: `a"`, EndKey: "é&", Limit: 5, Skip: 6, Descending: true})
	if want := "/db/_all_docs?descending=true&endkey=%22%C3%A9%26%22&limit=5&skip=6&startkey=%22a%5C%22%22"; r.last() != want {
		t.Errorf("got %s", r.last())
	}
}

func TestID(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ welcome, want string }{
		{`{"couchdb":"Welcome","version":"3.5.0","uuid":"abc"}`, "abca%2Fb%2Bc%24(d)"},
		{`{"couchdb":"Welcome","version":"1.2.0"}`, "URL/couch/a%2Fb%2Bc%24(d)/"},
		{"", "URL/couch/a%2Fb%2Bc%24(d)/"}, // 403
	} {
		asked := 0
		c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked++
			if r.URL.Path != "/couch/" {
				t.Errorf("asked for %s", r.URL.Path)
			}
			if test.welcome == "" {
				w.WriteHeader(http.StatusForbidden)
			}
			_, _ = w.Write([]byte(test.welcome))
		}), "/couch/", Options{})
		d := mustDatabase(t, c, "a/b+c$(d)")
		for range 3 {
			got, err := d.ID(t.Context())
			want := strings.Replace(test.want, "URL/couch", c.String(), 1)
			if err != nil || got != want {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
		}
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	}
}

func TestIDOfServerThatIsDown(t *testing.T) {
	t.Parallel()
	c, err := New("http://127.0.0.1:1", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// An id made of the URL now, and of the uuid later, would lose checkpoints.
	if id, err := mustDatabase(t, c, "db").ID(t.Context()); !Transient(err) {
		t.Errorf("%q, %v", id, err)
	}
}

func TestSequence(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want string }{
		{`"12-abc"`, "12-abc"}, {`"now"`, "now"}, {`"a\u0041"`, "aA"}, {`0`, "0"}, {`12`, "12"}, {`null`, ""}, {``, ""},
		{`[12,"abc"]`, `[12,"abc"]`},
	} {
		if got, err := Sequence(value(test.in)); err != nil || got != test.want {
			t.Errorf("%s: %q, %v", test.in, got, err)
		}
	}
	for _, in := range []string{`{}`, `true`, `false`, `[1`, `x`} {
		var e *Error
		if _, err := Sequence(value(in)); !errors.As(err, &e) || e.Status != 400 {
			t.Errorf("%s: %v", in, err)
		}
	}
}
