package auth_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"pouchbridge/auth"
	"pouchbridge/couch"
	"pouchbridge/couch/embedded"
)

// couchSessions is what main makes of a client.
type couchSessions struct{ *couch.Client }

func (s couchSessions) Login(ctx context.Context, name, password string) (cookie, user string, err error) {
	cookie, who, err := s.Client.Login(ctx, name, password)
	return cookie, who.Name, err
}

func (s couchSessions) SessionAs(ctx context.Context, id auth.Identity) (user string, err error) {
	c, err := s.As(couchIdentity(id))
	if err != nil {
		return "", err
	}
	who, err := c.Session(ctx)
	return who.Name, err
}

func couchIdentity(id auth.Identity) couch.Identity {
	if id.Kind == auth.Bearer {
		return couch.Bearer(id.Secret)
	}
	return couch.SessionCookie(id.Secret)
}

// couchDB is the CouchDB at COUCHDB_URL, or an embedded store, with a user who is deleted after the test.
func couchDB(t *testing.T) (admin *couch.Client, name, password string) {
	t.Helper()
	url := os.Getenv("COUCHDB_URL")
	if url == "" {
		store, err := embedded.Open(embedded.Options{Admin: "admin", Password: "secret"})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(store)
		t.Cleanup(func() { _ = store.Close(); server.Close() })
		url = strings.Replace(server.URL, "//", "//admin:secret@", 1)
	}
	admin, err := couch.New(url, couch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	users, err := admin.Database("_users")
	if err != nil {
		t.Fatal(err)
	}
	name, password = "auth-test-"+strings.ToLower(rand.Text()), rand.Text()
	put := func(ctx context.Context, members string) (rev string) {
		doc := fmt.Sprintf(`{"_id":"org.couchdb.user:%s",%s}`, name, members)
		rows, err := users.BulkDocs(ctx, []jsontext.Value{jsontext.Value(doc)}, true)
		if err != nil || len(rows) != 1 || !rows[0].OK {
			t.Fatal(rows, err)
		}
		return rows[0].Rev
	}
	rev := put(t.Context(), fmt.Sprintf(`"name":%q,"password":%q,"roles":[],"type":"user"`, name, password))
	t.Cleanup(func() { put(context.Background(), fmt.Sprintf(`"_rev":%q,"_deleted":true`, rev)) })
	return admin, name, password
}

// TestLiveCouchDB logs in by password, then by the cookie of that login, as a browser's page would; and fails to, in every form.
func TestLiveCouchDB(t *testing.T) {
	t.Parallel()
	admin, name, password := couchDB(t)
	policy, err := auth.NewCouchDB(auth.CouchDBOptions{Sessions: couchSessions{admin}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(credentials string, cookie string) (auth.Grant, error) {
		r := auth.Request{Database: "todos", Origin: "https://app.example.com"}
		if credentials != "" {
			r.Credentials = json.RawMessage(credentials)
		}
		if cookie != "" {
			r.Cookies = []*http.Cookie{{Name: "AuthSession", Value: cookie}}
		}
		return policy.OnRequest(t.Context(), r)
	}
	login := func(password string) string { return fmt.Sprintf(`{"name":%q,"password":%q}`, name, password) }
	g, err := ask(login(password), "")
	if err != nil || g.Subject != name || g.Database != "todos" || g.Access != auth.ReadWrite || g.Identity.Kind != auth.Cookie ||
		g.Identity.Secret == "" || strings.Contains(fmt.Sprintf("%#v", g), password) {
		t.Fatalf("%+v, %v", g, err)
	}
	again, err := ask("", g.Identity.Secret)
	if err != nil || again.Subject != name || again.Identity.Secret != g.Identity.Secret {
		t.Errorf("%+v, %v", again, err)
	}
	client, err := admin.As(couchIdentity(again.Identity))
	if err == nil {
		_, err = client.Renew(t.Context())
	}
	if err != nil {
		t.Error(err)
	}
	for _, test := range []struct{ credentials, cookie, says string }{
		{login("not " + password), "", "wrong user name or password"},
		{`{"name":"auth-test-nobody","password":"x"}`, "", "wrong user name or password"},
		{"", "Ym9iOjdGRkZGRkZGOnh4", "your CouchDB session has ended, log in again"},
		{"", "malformed", "your CouchDB session has ended, log in again"},
		{`{"token":"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.x"}`, "", "CouchDB does not accept this token"},
	} {
		g, err := ask(test.credentials, test.cookie)
		if err == nil || err.Error() != test.says || g.Subject != "" {
			t.Errorf("%+v: %+v, %v", test, g, err)
		}
	}
}

// TestLiveCouchDBDown has no CouchDB to ask.
func TestLiveCouchDBDown(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	c, err := couch.New(server.URL, couch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	policy, err := auth.NewCouchDB(auth.CouchDBOptions{Sessions: couchSessions{c}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = policy.OnRequest(t.Context(), auth.Request{Database: "todos", Credentials: json.RawMessage(`{"name":"bob","password":"s3cret"}`)})
	if r, ok := err.(*auth.Refusal); !ok || r.Code != auth.Unavailable || !couch.Transient(err) || strings.Contains(fmt.Sprint(r, r.Err), "s3cret") {
		t.Errorf("%v", err)
	}
}
