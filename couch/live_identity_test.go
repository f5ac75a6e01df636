package couch_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"pouchbridge/couch"
	"pouchbridge/couch/embedded"
)

// securedClient is the admin of the CouchDB at COUCHDB_URL, or of an embedded store of its own that knows users.
func securedClient(t *testing.T) *couch.Client {
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
	c, err := couch.New(url, couch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// liveUser makes a user of CouchDB, with a role, who is deleted after the test.
func liveUser(t *testing.T, admin *couch.Client) (name, password string) {
	t.Helper()
	name, password = "couch test ü "+strings.ToLower(rand.Text()), rand.Text()
	users, err := admin.Database("_users")
	if err != nil {
		t.Fatal(err)
	}
	put := func(ctx context.Context, members string) (rev string) {
		doc := fmt.Sprintf(`{"_id":%q,%s}`, "org.couchdb.user:"+name, members)
		rows, err := users.BulkDocs(ctx, []jsontext.Value{jsontext.Value(doc)}, true)
		if err != nil || len(rows) != 1 || !rows[0].OK {
			t.Fatal(rows, err)
		}
		return rows[0].Rev
	}
	rev := put(t.Context(), fmt.Sprintf(`"name":%q,"password":%q,"roles":["tester"],"type":"user"`, name, password))
	t.Cleanup(func() { put(context.Background(), fmt.Sprintf(`"_rev":%q,"_deleted":true`, rev)) })
	return name, password
}

func status(err error) int {
	var e *couch.Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// TestLiveIdentity logs in, and sees CouchDB let in a member and nobody else, by cookie and by password.
func TestLiveIdentity(t *testing.T) {
	t.Parallel()
	admin := securedClient(t)
	name, password := liveUser(t, admin)
	value, user, err := admin.Login(t.Context(), name, password)
	if err != nil || value == "" || user.Name != name || !slices.Equal(user.Roles, []string{"tester"}) {
		t.Fatal(user, err)
	}
	if _, _, err := admin.Login(t.Context(), name, "not "+password); status(err) != 401 || strings.Contains(err.Error(), password) {
		t.Error(err)
	}
	db := "couch-test-" + strings.ToLower(rand.Text())
	if err := admin.CreateDatabase(t.Context(), db, couch.CreateOptions{Q: 1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := admin.DeleteDatabase(context.Background(), db); err != nil {
			t.Error(err)
		}
	})
	for _, id := range []couch.Identity{couch.SessionCookie(value), couch.Basic(name, password)} {
		c, err := admin.As(id)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Session(t.Context()); err != nil || got.Name != name || !slices.Equal(got.Roles, user.Roles) {
			t.Errorf("%s: %+v, %v", id, got, err)
		}
		if next, err := c.Renew(t.Context()); err != nil || (next > 0) != (c.Cookie() != "") {
			t.Errorf("%s: %v, %v", id, next, err)
		}
		d, _ := c.Database(db)
		secure(t, admin, db, "someone else")
		if _, err := d.Info(t.Context()); status(err) != 403 {
			t.Errorf("%s, no member: %v", id, err)
		}
		secure(t, admin, db, "tester")
		if _, err := d.Info(t.Context()); err != nil {
			t.Errorf("%s, member: %v", id, err)
		}
	}
}

func secure(t *testing.T, admin *couch.Client, db, role string) {
	t.Helper()
	d, err := admin.Database(db)
	if err == nil {
		err = d.SetSecurity(t.Context(), jsontext.Value(`{"members":{"roles":["`+role+`"]}}`))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestLiveUnknown has identities that CouchDB does not know.
func TestLiveUnknown(t *testing.T) {
	t.Parallel()
	admin := securedClient(t)
	forged := base64.RawURLEncoding.EncodeToString([]byte("admin:7FFFFFFF:0123456789abcdef0123456789abcdef"))
	for _, test := range []struct {
		id       couch.Identity
		statuses []int
	}{
		{couch.SessionCookie(forged), []int{401}},
		{couch.SessionCookie("x"), []int{400}},
		{couch.Basic("couch-test-nobody", "p"), []int{401}},
		{couch.Bearer("a.b.c"), []int{400, 401}}, // with and without JWT authentication
		{couch.ProxyUser("couch-test-nobody", []string{"_admin"}, "guess"), []int{401}},
	} {
		c, err := admin.As(test.id)
		if err != nil {
			t.Fatal(err)
		}
		if next, err := c.Renew(t.Context()); !slices.Contains(test.statuses, status(err)) || next != 0 {
			t.Errorf("%s: %v, %v", test.id, next, err)
		}
	}
}
