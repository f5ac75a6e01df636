package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// example starts serve with the variables of a file of examples/policies, as a shell reads them, and these in their place.
func example(t *testing.T, name string, instead map[string]string) *program {
	t.Helper()
	shell := exec.Command("bash", "-c", `set -a; . "$0"; env -0`, filepath.Join("examples/policies", name))
	shell.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := shell.Output()
	if err != nil {
		t.Fatalf("reading %s (it needs bash and coreutils: apt-get install bash coreutils): %v", name, err)
	}
	set := map[string]string{"LISTEN": "127.0.0.1:0"}
	for _, line := range strings.Split(string(out), "\x00") {
		variable, value, _ := strings.Cut(line, "=")
		if variable = strings.TrimPrefix(variable, prefix); variable != "LISTEN" {
			set[variable] = value
		}
	}
	for variable, value := range instead {
		if _, ok := set[variable]; !ok && variable != "ADMIN_LISTEN" && variable != "LOG_LEVEL" {
			t.Fatalf("%s does not set %s", name, variable)
		}
		set[variable] = value
	}
	return start(t, "serve", set)
}

// wish is what a client of an example asks for, and what it is to get.
type wish struct {
	database, credentials string
	refusal               string // "": it is granted
	upstream              string // the database in CouchDB that it gets, if that has another name
	denied                string // what a pushed document is answered with; "": it is written
}

// check asks for everything, and pushes a document to find out which database it is.
func (w wish) check(t *testing.T, a *asker, couchdb *url.URL) {
	t.Helper()
	stream, refusal := a.ask(w.database, w.credentials)
	if refusal != w.refusal || refusal != "" {
		if refusal != w.refusal {
			t.Errorf("%s with %s: refused with %q, want %q", w.database, w.credentials, refusal, w.refusal)
		}
		return
	}
	id := "d" + rand.Text()
	failure, result := a.call(stream, "_bulkDocs", `[{"docs":[{"_id":"`+id+`","_rev":"1-a"}],"new_edits":false},{"new_edits":false}]`)
	if w.denied != "" {
		if !strings.Contains(failure+result, w.denied) {
			t.Errorf("%s with %s: pushing is answered with %s %s, want %s", w.database, w.credentials, failure, result, w.denied)
		}
		return
	}
	upstream := w.database
	if w.upstream != "" {
		upstream = w.upstream
	}
	if status, answer := send(t, http.MethodGet, couchdb.JoinPath(upstream, id).String(), ""); status != http.StatusOK {
		t.Errorf("%s with %s: after pushing (%s %s) the document is not in %s: %d %s", w.database, w.credentials, failure, result, upstream, status, answer)
	}
}

func TestExampleCouchDB(t *testing.T) {
	t.Parallel()
	couchdb := storeOfAlice(t)
	p := example(t, "couchdb.env", map[string]string{"COUCHDB_URL": couchdb.String()})
	a := connect(t, p.listening["url"].(string), nil)
	for _, w := range []wish{
		{database: "todos", credentials: `{"name":"alice","password":"alice's"}`},
		{database: "todos", credentials: `{"name":"alice","password":"wrong"}`, refusal: "wrong user name or password"},
		{database: "todos", credentials: `{"name":"bob","password":"bob's"}`, refusal: "You are not allowed to access this db."},
		{database: "_users", credentials: `{"name":"alice","password":"alice's"}`, refusal: "system databases are not available here"},
		{database: "todos", credentials: ``, refusal: "these credentials are of no kind that is accepted here"},
	} {
		w.check(t, a, couchdb)
	}
	cookie := login(t, couchdb, "alice", "alice's")
	for origin, refusal := range map[string]string{"https://app.example.com": "", "": "a session cookie is accepted from web pages of an allowed origin only"} {
		header := http.Header{"Cookie": {cookie}}
		if origin != "" {
			header.Set("Origin", origin)
		}
		wish{database: "todos", refusal: refusal}.check(t, connect(t, p.listening["url"].(string), header), couchdb)
	}
}

// storeOfAlice is a store with the users alice and bob and the database todos, of which only alice is a member.
func storeOfAlice(t *testing.T) *url.URL {
	t.Helper()
	couchdb := store(t, "pw", "todos")
	for _, user := range []string{"alice", "bob"} {
		put(t, couchdb.JoinPath("_users", "org.couchdb.user:"+user), `{"name":"`+user+`","password":"`+user+`'s","roles":[],"type":"user"}`)
	}
	put(t, couchdb.JoinPath("todos/_security"), `{"members":{"names":["alice"],"roles":[]}}`)
	return couchdb
}

// login is the session cookie of a user.
func login(t *testing.T, couchdb *url.URL, name, password string) string {
	t.Helper()
	session := *couchdb
	session.User = nil
	response, err := client(t, nil).PostForm(session.JoinPath("_session").String(), url.Values{"name": {name}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	for _, c := range response.Cookies() {
		if c.Name == "AuthSession" {
			return c.Name + "=" + c.Value
		}
	}
	t.Fatalf("no cookie: %s", response.Status)
	return ""
}

func TestExampleJWT(t *testing.T) {
	t.Parallel()
	couchdb := store(t, "pw")
	issuer := newIssuer(t)
	p := example(t, "jwt.env", map[string]string{"COUCHDB_URL": couchdb.String(), "JWT_JWKS_URL": issuer.url})
	a := connect(t, p.listening["url"].(string), nil)
	good := jwt.MapClaims{"iss": "https://login.example.com", "aud": "todos", "sub": "alice", "exp": time.Now().Add(time.Hour).Unix()}
	with := func(claim string, value any) string {
		claims := jwt.MapClaims{}
		for k, v := range good {
			claims[k] = v
		}
		claims[claim] = value
		return `{"token":"` + issuer.sign(t, claims) + `"}`
	}
	const bad = "token is not valid"
	for _, w := range []wish{
		{database: "todos", credentials: with("sub", "alice"), upstream: "todos-616c696365"},
		{database: "todos", credentials: with("sub", "bob"), upstream: "todos-626f62"},
		{database: "other", credentials: with("sub", "alice"), refusal: "this token does not open the database asked for"},
		{database: "todos", credentials: with("iss", "https://evil.example.com"), refusal: bad},
		{database: "todos", credentials: with("aud", "mail"), refusal: bad},
		{database: "todos", credentials: `{"token":"nonsense"}`, refusal: "these credentials are of no kind that is accepted here"},
	} {
		w.check(t, a, couchdb)
	}
	if status, security := send(t, http.MethodGet, couchdb.JoinPath("todos-616c696365/_security").String(), ""); status != http.StatusOK || !strings.Contains(security, `"names":["alice"]`) {
		t.Errorf("_security of alice's database: %d %s", status, security)
	}
}

// issuer signs tokens and publishes its key.
type issuer struct {
	url string
	key *ecdsa.PrivateKey
}

func newIssuer(t *testing.T) issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := jwkset.NewJWKFromKey(key.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: "k"}})
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{jwk.Marshal()}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(set)
	}))
	t.Cleanup(server.Close)
	return issuer{server.URL, key}
}

func (i issuer) sign(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = "k"
	text, err := token.SignedString(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestExampleStatic(t *testing.T) {
	t.Parallel()
	couchdb := store(t, "pw", "news", "orders")
	p := example(t, "static.env", map[string]string{"COUCHDB_URL": couchdb.String()})
	a := connect(t, p.listening["url"].(string), nil)
	for _, w := range []wish{
		{database: "news", credentials: `{"token":"replace this one"}`, denied: "forbidden"},
		{database: "orders", credentials: `{"token":"replace this one"}`},
		{database: "todos-1", credentials: `{"token":"replace this one too"}`, upstream: "app-1"},
		{database: "news", credentials: `{"token":"replace this one too"}`, refusal: "this token does not open the database asked for"},
		{database: "news", credentials: `{"token":"guess"}`, refusal: "unknown token"},
	} {
		w.check(t, a, couchdb)
	}
}

func TestExampleOpen(t *testing.T) {
	t.Parallel()
	couchdb := store(t, "pw")
	p := example(t, "open.env", map[string]string{"COUCHDB_URL": couchdb.String()})
	wish{database: "todos"}.check(t, connect(t, p.listening["url"].(string), nil), couchdb)
}

func TestExampleChain(t *testing.T) {
	t.Parallel()
	couchdb := storeOfAlice(t)
	put(t, couchdb.JoinPath("orders"), "")
	p := example(t, "chain.env", map[string]string{"COUCHDB_URL": couchdb.String()})
	a := connect(t, p.listening["url"].(string), nil)
	for _, w := range []wish{
		{database: "orders", credentials: `{"token":"replace this one"}`},
		{database: "todos", credentials: `{"name":"alice","password":"alice's"}`},
		{database: "todos", credentials: `{"token":"replace this one"}`, refusal: "this token does not open the database asked for"},
		{database: "todos", credentials: `{}`, refusal: "these credentials are of no kind that is accepted here"},
	} {
		w.check(t, a, couchdb)
	}
}

// Every example that a page of docs shows is the file, which a test of this package runs, and every file is shown.
func TestExamplesInDocs(t *testing.T) {
	t.Parallel()
	shown := map[string]bool{}
	block := regexp.MustCompile("(?s)<!-- (examples/policies/[^ ]+) -->\n```[a-z]+\n(.*?)```\n")
	for _, page := range []string{"docs/POLICIES.md", "docs/MIGRATION.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range block.FindAllSubmatch(text, -1) {
			name := string(m[1])
			shown[name] = true
			if content, err := os.ReadFile(name); err != nil || string(content) != string(m[2]) {
				t.Errorf("%s does not show %s as it is (%v)", page, name, err)
			}
		}
		if n := strings.Count(string(text), "<!-- examples/"); n != len(block.FindAll(text, -1)) {
			t.Errorf("%s: one of its %d examples is not a block", page, n)
		}
	}
	files, err := filepath.Glob("examples/policies/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if !shown[name] {
			t.Errorf("no page shows %s", name)
		}
	}
	if len(files) == 0 {
		t.Error("there are no examples")
	}
}
