package embedded

import (
	"strings"
	"testing"
	"time"
)

func newSecured(t *testing.T, o Options) (admin *server) {
	o.Admin, o.Password = "admin", "secret"
	admin = newServer(t, o).as("admin:secret")
	admin.must(201, "PUT", "/db", "")
	for _, name := range []string{"ann", "bob"} {
		admin.must(201, "PUT", "/_users/org.couchdb.user:"+name,
			`{"name":"`+name+`","password":"pw","roles":["`+name+`s"],"type":"user"}`)
	}
	return admin
}

// TestSecurity walks who may do what in a database.
func TestSecurity(t *testing.T) {
	t.Parallel()
	admin := newSecured(t, Options{})
	admin.must(200, "PUT", "/db/_security", `{"members":{"roles":["anns"]},"admins":{"names":["bob"]}}`)
	admin.put("/db/doc", "{}")
	tests := []struct {
		method, path, body            string
		admin, member, anonymous, bob int
	}{
		{"GET", "/db", "", 200, 200, 401, 200},
		{"GET", "/db/doc", "", 200, 200, 401, 200},
		{"GET", "/db/_changes", "", 200, 200, 401, 200},
		{"GET", "/db/_all_docs", "", 200, 200, 401, 200},
		{"POST", "/db/_bulk_get", `{"docs":[]}`, 200, 200, 401, 200},
		{"POST", "/db/_revs_diff", `{}`, 200, 200, 401, 200},
		{"PUT", "/db/_local/x", `{}`, 201, 201, 401, 201},
		{"PUT", "/db/_design/x", `{}`, 201, 403, 401, 409},
		{"PUT", "/db/_revs_limit", `10`, 200, 403, 401, 200},
		{"PUT", "/db/_security", `{"members":{"roles":["anns"]},"admins":{"names":["bob"]}}`, 200, 500, 401, 200},
		{"PUT", "/db", "", 412, 401, 401, 401},
		{"DELETE", "/none", "", 404, 401, 401, 401},
		{"GET", "/_all_dbs", "", 200, 401, 401, 401},
		{"GET", "/_users", "", 200, 403, 401, 403},
		{"GET", "/_users/org.couchdb.user:ann", "", 200, 200, 401, 403},
		{"GET", "/_users/_changes", "", 200, 403, 401, 403},
		{"POST", "/_users/_bulk_get", `{"docs":[]}`, 200, 403, 401, 403},
		{"PUT", "/_users/org.couchdb.user:eve", `{"name":"eve","roles":[],"type":"user"}`, 201, 403, 401, 403},
		{"PUT", "/_users/_security", `{}`, 403, 403, 401, 403},
		{"GET", "/_session", "", 200, 200, 200, 200},
	}
	for _, test := range tests {
		for _, who := range []struct {
			user string
			want int
		}{{"ann:pw", test.member}, {"", test.anonymous}, {"admin:secret", test.admin}, {"bob:pw", test.bob}} {
			if w := admin.as(who.user).do(test.method, test.path, test.body); w.Code != who.want {
				t.Errorf("%s %s as %q: %d %s, want %d", test.method, test.path, who.user, w.Code, w.Body, who.want)
			}
		}
	}
}

func TestUserDocuments(t *testing.T) {
	t.Parallel()
	admin := newSecured(t, Options{})
	ann := admin.as("ann:pw")
	path := "/_users/org.couchdb.user:ann"
	stored := ann.must(200, "GET", path, "")
	if strings.Contains(stored, `"password"`) || !strings.Contains(stored, `"derived_key":"`) || !strings.Contains(stored, `"iterations":10`) {
		t.Errorf("stored user: %s", stored)
	}
	_, rev, _ := strings.Cut(stored, `"_rev":"`)
	rev, _, _ = strings.Cut(rev, `"`)
	update := `{"_rev":"` + rev + `","name":"ann","type":"user","password":"new","roles":["`
	ann.wants("Only _admin may set roles", "PUT", path, update+`bobs"]}`)
	admin.wants("No system roles", "PUT", path, update+`_admin"]}`)
	ann.must(201, "PUT", path, update+`anns"]}`)
	ann.must(401, "GET", path, "")
	admin.as("ann:new").must(200, "GET", path, "")
	admin.wants("doc.type must be user", "PUT", "/_users/org.couchdb.user:x", `{"name":"x","roles":[]}`)
	admin.wants("org.couchdb.user:name", "PUT", "/_users/x", `{"name":"x","roles":[],"type":"user"}`)
}

func TestSessions(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	admin := newSecured(t, Options{Now: func() time.Time { return now }})
	nobody := admin.as("")
	login := func(body string) string {
		w := nobody.do("POST", "/_session", body)
		if w.Code != 200 {
			t.Fatalf("login: %d %s", w.Code, w.Body)
		}
		cookie := w.Result().Cookies()[0]
		if !cookie.HttpOnly || cookie.MaxAge != 600 {
			t.Errorf("cookie %v", cookie)
		}
		return "Cookie: AuthSession=" + cookie.Value
	}
	cookie := login(`{"name":"ann","password":"pw"}`)
	nobody.wants(`"name":"ann","roles":["anns"]},"info":{"authentication_handlers":["cookie","default"],"authenticated":"cookie"`, "GET", "/_session", "", cookie)
	nobody.wants(`"roles":["_admin"]`, "GET", "/_session", "", login(`{"name":"admin","password":"secret"}`))
	forged := cookie[:len(cookie)-4] + "AAAA"
	nobody.wants(`"name":null`, "GET", "/_session", "", forged)
	nobody.must(400, "GET", "/_session", "", "Cookie: AuthSession=###")
	nobody.must(400, "GET", "/_session", "", "Cookie: AuthSession=abc")
	now = now.Add(599 * time.Second)
	nobody.wants(`"name":"ann"`, "GET", "/_session", "", cookie)
	now = now.Add(time.Second)
	nobody.wants(`"name":null`, "GET", "/_session", "", cookie)
	for _, body := range []string{`{"name":"ann","password":"no"}`, `{"name":"none","password":"pw"}`, `{"name":"admin","password":"pw"}`} {
		nobody.must(401, "POST", "/_session", body)
	}
	nobody.must(400, "POST", "/_session", `{}`)
}

func TestPasswordEndsSessions(t *testing.T) {
	t.Parallel()
	admin := newSecured(t, Options{})
	w := admin.as("").do("POST", "/_session", "name=ann&password=pw", "Content-Type: application/x-www-form-urlencoded")
	cookie := "Cookie: AuthSession=" + w.Result().Cookies()[0].Value
	admin.as("").wants(`"name":"ann"`, "GET", "/_session", "", cookie)
	_, rev, _ := strings.Cut(admin.must(200, "GET", "/_users/org.couchdb.user:ann", ""), `"_rev":"`)
	admin.must(201, "PUT", "/_users/org.couchdb.user:ann", `{"_rev":"`+rev[:34]+`","name":"ann","password":"p2","roles":[],"type":"user"}`)
	admin.as("").wants(`"name":null`, "GET", "/_session", "", cookie)
}

func TestAdminParty(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	s.wants(`"userCtx":{"name":null,"roles":["_admin"]}`, "GET", "/_session", "")
	s.must(201, "PUT", "/db", "")
	s.must(201, "PUT", "/db/_design/d", "{}")
	s.must(200, "GET", "/db/_security", "")
}
