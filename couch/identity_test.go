package couch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// callers is a server that notes the headers which say who calls.
type callers struct {
	mu   sync.Mutex
	seen []map[string]string
	peer map[string]bool
}

func (c *callers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	who := map[string]string{}
	for name, values := range r.Header {
		if name == "Authorization" || name == "Cookie" || strings.HasPrefix(name, "X-Auth") {
			who[name] = strings.Join(values, "|")
		}
	}
	if c.peer == nil {
		c.peer = map[string]bool{}
	}
	c.peer[r.RemoteAddr] = true
	c.seen = append(c.seen, who)
	http.SetCookie(w, &http.Cookie{Name: "Other", Value: "x"})
	_, _ = io.WriteString(w, `{"uuid":"1","version":"3"}`)
}

// TestAs looks at what tells CouchDB who calls, in calls of every kind: the identity and never the parent's account.
func TestAs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		id   Identity
		says string
		want map[string]string
	}{
		{ProxyUser("bob", []string{"a", "b c"}, "s3cret"), `proxy user "bob"`, map[string]string{"X-Auth-Couchdb-Username": "bob",
			"X-Auth-Couchdb-Roles": "a,b c", "X-Auth-Couchdb-Token": "222da4508f426b355e5ae578455c357940ed063d77bb975142ddd0ef9eb2b645"}},
		{ProxyUser("bob", nil, ""), `proxy user "bob"`, map[string]string{"X-Auth-Couchdb-Username": "bob"}},
		{Bearer("a.s3cret.c"), "bearer token", map[string]string{"Authorization": "Bearer a.s3cret.c"}},
		{Basic("bob", "s3cret:ü"), `user "bob"`, map[string]string{"Authorization": "Basic Ym9iOnMzY3JldDrDvA=="}},
		{SessionCookie("s3cret"), "session cookie", map[string]string{"Cookie": "AuthSession=s3cret"}},
	} {
		t.Run(test.says, func(t *testing.T) {
			t.Parallel()
			calls := &callers{}
			server := httptest.NewServer(calls)
			t.Cleanup(server.Close)
			jar, _ := cookiejar.New(nil)
			root, err := New(strings.Replace(server.URL, "//", "//admin:parent@", 1), Options{HTTPClient: &http.Client{Jar: jar}})
			if err != nil {
				t.Fatal(err)
			}
			c, err := root.As(test.id)
			if err != nil {
				t.Fatal(err)
			}
			if c.String() != server.URL || test.id.String() != test.says {
				t.Errorf("%s, %s", c, test.id)
			}
			callAll(t.Context(), mustDatabase(t, c, "db"))
			if len(calls.seen) != 5 {
				t.Errorf("%d calls", len(calls.seen))
			}
			for _, who := range calls.seen {
				if diff := cmp.Diff(test.want, who); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// callAll makes a call of every kind: by Kivik, in memory, streamed, with a body, and a write that is not repeated.
func callAll(ctx context.Context, d *Database) {
	_, _ = d.client.Server(ctx)
	_, _ = d.Info(ctx)
	_, _ = d.Changes(ctx, ChangesOptions{})
	_, _ = d.RevsDiff(ctx, value(`{}`))
	_, _ = d.BulkDocs(ctx, []value{value(`{}`)}, true)
}

// TestViews has what views share with their parent: the connection and the server's uuid, which the parent's account asks for.
func TestViews(t *testing.T) {
	t.Parallel()
	calls := &callers{}
	server := httptest.NewServer(calls)
	t.Cleanup(server.Close)
	root, err := New(strings.Replace(server.URL, "//", "//admin:parent@", 1), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(root.Close)
	c := root
	for _, id := range []Identity{Basic("a", "b"), SessionCookie("c"), Bearer("d"), ProxyUser("e", nil, "")} {
		if c, err = c.As(id); err != nil { // views of views
			t.Fatal(err)
		}
		if id, err := mustDatabase(t, c, "db").ID(t.Context()); id != "1db" || err != nil {
			t.Error(id, err)
		}
		if err := c.Up(t.Context()); err != nil {
			t.Error(err)
		}
		c.Close()
	}
	if err := root.Up(t.Context()); err != nil {
		t.Error(err)
	}
	if len(calls.peer) != 1 || len(calls.seen) != 6 || !strings.HasPrefix(calls.seen[0]["Authorization"], "Basic YWRtaW4") {
		t.Errorf("%d connections, %v", len(calls.peer), calls.seen)
	}
}

// TestAsRefuses has identities that no header carries unchanged. No error quotes one.
func TestAsRefuses(t *testing.T) {
	t.Parallel()
	root := serve(t, http.NotFoundHandler(), "", Options{})
	long := strings.Repeat("s3cret", 2000)
	for says, ids := range map[string][]Identity{
		"Nobody is given.":   {{}},
		"The name is empty.": {Basic("", "s3cret"), ProxyUser("", nil, "s3cret")},
		"The name has control characters.": {Basic("s3cret\r\nX", "p"), ProxyUser("s3cret\nX: y", nil, ""), ProxyUser("s3cret\x7f", nil, ""),
			ProxyUser("s3cret\x00", nil, "")},
		"The name begins or ends with space.":             {ProxyUser("s3cret ", nil, ""), ProxyUser(" s3cret", nil, "")},
		"The name is not UTF-8.":                          {ProxyUser("s3cret\xff", nil, "")},
		"The name has a colon.":                           {Basic("s3cret:b", "p")},
		"The name and password _ mean nobody to CouchDB.": {Basic("_", "_")},
		"The password has control characters.":            {Basic("bob", "s3cret\n")},
		"The name and password are too long.":             {Basic("bob", long)},
		"The name and roles are too long.":                {ProxyUser(long, nil, ""), ProxyUser("bob", strings.Split(long, "s")[1:], "")},
		"A role has a comma.":                             {ProxyUser("bob", []string{"s3cret,_admin"}, "")},
		"A role is empty.":                                {ProxyUser("bob", []string{"s3cret", ""}, "")},
		"A role begins or ends with space.":               {ProxyUser("bob", []string{"s3cret "}, "")},
		"A role has control characters.":                  {ProxyUser("bob", []string{"s3cret\r\nX-Auth-CouchDB-Roles: _admin"}, "")},
		"The token is empty.":                             {Bearer("")},
		"The token is too long.":                          {Bearer(long)},
		"The token has characters that it cannot have.":   {Bearer("s3cret\n"), Bearer("s3cret x"), Bearer("s3crét")},
		"The cookie is empty.":                            {SessionCookie("")},
		"The cookie is too long.":                         {SessionCookie(long)},
		"The cookie has characters that it cannot have.":  {SessionCookie("s3cret; X=y"), SessionCookie("s3cret\r\n"), SessionCookie("s3cret y"), SessionCookie(`"s3cret"`)},
	} {
		for _, id := range ids {
			c, err := root.As(id)
			var e *Error
			if c != nil || !errors.As(err, &e) || e.Status != 400 || e.Name != "bad_identity" || e.Reason != says || e.Transient() {
				t.Errorf("%s: %v, %v; want %s", id, c, err, says)
			}
		}
	}
}

// TestIdentityIsSilent prints an identity and a client in every way.
func TestIdentityIsSilent(t *testing.T) {
	t.Parallel()
	root := serve(t, http.NotFoundHandler(), "", Options{})
	for _, id := range []Identity{ProxyUser("bob", nil, "s3cret"), Bearer("s3cret"), Basic("bob", "s3cret"), SessionCookie("s3cret"), {}} {
		type holder struct{ id Identity }
		c, err := root.As(id)
		if (err != nil) != (id.kind == 0) {
			t.Fatal(err)
		}
		things := []any{id, &id, holder{id}, &holder{id}, []Identity{id}}
		if err == nil {
			things = append(things, c, *c, mustDatabase(t, c, "db"), *mustDatabase(t, c, "db"), c.unknown("GET _session"))
		}
		for _, thing := range things {
			b, _ := json.Marshal(thing)
			if text := fmt.Sprintf("%v %+v %#v %s %s", thing, thing, thing, thing, b); strings.Contains(text, "s3cret") {
				t.Errorf("%T: %s", thing, text)
			}
		}
	}
}
