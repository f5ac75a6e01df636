package main

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Secrets of this test begin with mark, so that one that is shown is found wherever it is, also in a part.
const mark = "marked"

// secretive is a bridge with secrets in everything that has some, and clients that send more of them.
type secretive struct {
	policy      string
	set         map[string]string
	databases   []string // asked for, each with all credentials
	credentials []string
	hidden      []string // what must not be shown either
	wait        string   // a line of the log that comes without a request
}

// No policy shows a secret, whatever happens and however much is logged: not in the log, not to clients, not in the metrics.
func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	couchdb := store(t, mark+"-couchdb", "todos")
	put(t, couchdb.JoinPath("_users/org.couchdb.user:alice"), `{"name":"alice","password":"`+mark+`-alice","roles":[],"type":"user"}`)
	put(t, couchdb.JoinPath("todos/_security"), `{"members":{"names":["alice"],"roles":[]}}`)
	cookie := login(t, couchdb, "alice", mark+"-alice")
	for _, s := range []secretive{
		secretsOfCouchDB(), secretsOfJWT(t), secretsOfStatic(t), secretsOfWebhook(t), secretsOfScript(t),
		{policy: "open", databases: []string{"todos", "_users", "a/b"}, credentials: []string{`{"password":"` + mark + `"}`}},
	} {
		s.hidden = append(s.hidden, mark, strings.TrimPrefix(cookie, "AuthSession="))
		for _, user := range []string{"admin:" + mark + "-couchdb", "alice:" + mark + "-alice", "eu:" + mark + "-eu"} {
			s.hidden = append(s.hidden, base64.StdEncoding.EncodeToString([]byte(user)))
		}
		t.Run(s.policy, func(t *testing.T) {
			t.Parallel()
			shown := s.run(t, couchdb, cookie)
			for _, hidden := range s.hidden {
				if at := strings.Index(shown, hidden); at >= 0 {
					t.Errorf("a secret is shown: …%s…", shown[max(0, at-300):min(len(shown), at+100)])
				}
			}
		})
	}
}

// run has clients ask for everything, and returns all that is shown to anybody.
func (s secretive) run(t *testing.T, couchdb *url.URL, cookie string) (shown string) {
	t.Helper()
	set := map[string]string{
		"LISTEN": "127.0.0.1:0", "ADMIN_LISTEN": "127.0.0.1:0", "LOG_LEVEL": "trace", "POLICY": s.policy, "COUCHDB_URL": couchdb.String(),
		"UPSTREAMS": "eu=http://eu:" + mark + "-eu@127.0.0.1:" + closedPort(t), "UPSTREAM_PATIENCE": "50ms", "PROXY_SECRET": mark + "-proxy",
		"POLICY_HEADERS": "Authorization,X-Forwarded-For", "TRUSTED_PROXIES": "127.0.0.1", "ALLOWED_ORIGINS": "https://app.example.com",
	}
	for name, value := range s.set {
		set[name] = value
	}
	p := start(t, "serve", set)
	if s.wait != "" {
		p.log.wait(t, s.wait)
	}
	granted, refused := 0, 0
	var told strings.Builder
	for _, header := range []http.Header{
		{"Authorization": {"Bearer " + mark + "-header"}, "Cookie": {"AuthSession=" + mark + "-cookie; sid=" + mark + "-sid"}, "Origin": {"https://app.example.com"}},
		{"Cookie": {cookie}, "Origin": {"https://app.example.com"}},
		{"Cookie": {cookie}},
	} {
		for _, database := range s.databases {
			for _, credentials := range append(s.credentials, "", `null`, `"`+mark+`"`, `{"`+mark+`":"`+mark+`"}`) {
				a := connect(t, p.listening["url"].(string), header)
				stream, refusal, err := a.askOrEnd(database, credentials)
				switch {
				case err != nil: // the server that was granted is away
					told.WriteString(err.Error() + "\n")
				case refusal != "":
					refused++
					told.WriteString(refusal + "\n")
				default:
					granted++
					failure, result := a.call(stream, "_bulkDocs", `[{"docs":[{"_id":"d","_rev":"1-a"}],"new_edits":false},{"new_edits":false}]`)
					told.WriteString(failure + result + "\n")
				}
				_ = a.ws.CloseNow()
			}
		}
	}
	if granted == 0 || refused == 0 {
		t.Errorf("%d requests were granted and %d refused; the test wants some of both. log:\n%s", granted, refused, p.log)
	}
	admin := p.listening["admin_url"].(string)
	for _, page := range []string{"/metrics", "/readyz"} {
		_, body := ask(t, client(t, nil), admin+page, "")
		told.WriteString(body)
	}
	_, body := send(t, http.MethodDelete, admin+"/grants?subject=alice", "")
	told.WriteString(body)
	if err := p.stop(); err != nil {
		told.WriteString(err.Error())
	}
	return told.String() + p.log.String()
}

func secretsOfCouchDB() secretive {
	return secretive{policy: "couchdb", databases: []string{"todos", "missing", "_users"}, set: map[string]string{"COUCHDB_ADDRESS_ATTEMPTS": "8"},
		credentials: []string{
			`{"name":"alice","password":"` + mark + `-alice"}`, `{"name":"alice","password":"` + mark + `-wrong"}`, `{"name":"","password":"` + mark + `"}`,
			`{"name":"a:b","password":"` + mark + `\n"}`, `{"token":"` + mark + `.e30.` + mark + `"}`, `{"token":"` + mark + ` . . "}`, `{"token":["` + mark + `"]}`,
		}}
}

func secretsOfJWT(t *testing.T) secretive {
	const key = mark + "-jwt-secret-of-at-least-32-bytes"
	sign := func(key string, claims jwt.MapClaims) string {
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	now := time.Now()
	tokens := []string{
		sign(key, jwt.MapClaims{"sub": "alice", "exp": now.Add(time.Hour).Unix(), "email": mark}),
		sign(key, jwt.MapClaims{"sub": "alice", "exp": now.Add(-time.Hour).Unix(), "aud": mark, "email": mark}),
		sign("another key, which has 32 bytes or more", jwt.MapClaims{"sub": "alice", "exp": now.Add(time.Hour).Unix()}),
		mark + ".e30." + mark,
	}
	s := secretive{policy: "jwt", databases: []string{"todos", "_users", "Ä"},
		set: map[string]string{"JWT_SECRET": key, "JWT_DATABASE": "{name}", "JWT_NAMES": "*"}}
	for _, token := range tokens {
		parts := strings.Split(token, ".")
		s.hidden = append(s.hidden, parts[2])
		s.credentials = append(s.credentials, `{"token":"`+token+`"}`)
	}
	return s
}

// The keys of an issuer that cannot be reached, with a password in its address.
func TestSecretsOfAnIssuerAreNotShown(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", map[string]string{
		"LISTEN": "127.0.0.1:0", "LOG_LEVEL": "trace", "POLICY": "jwt", "COUCHDB_URL": "http://127.0.0.1:" + closedPort(t), "JWT_DATABASE": "todos",
		"JWT_JWKS_URL": "http://issuer:" + mark + "-issuer@127.0.0.1:" + closedPort(t) + "/" + mark,
	})
	p.log.wait(t, "fetching the keys of JWT_JWKS_URL")
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if text := p.log.String(); strings.Contains(text, mark+"-issuer") {
		t.Errorf("the password is shown:\n%s", text)
	}
}

func secretsOfStatic(t *testing.T) secretive {
	return secretive{policy: "static", databases: []string{"todos", "far", "missing"},
		set:         map[string]string{"STATIC_FILE": file(t, "tokens:\n- {token: "+mark+"-token, subject: alice, databases: [{match: todos}, {match: far, upstream: eu}, {match: missing}]}\n")},
		credentials: []string{`{"token":"` + mark + `-token"}`, `{"token":"` + mark + `-guess"}`, `{"token":7,"password":"` + mark + `"}`}}
}

func secretsOfWebhook(t *testing.T) secretive {
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request struct {
			Database    string
			Credentials json.RawMessage
		}
		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &request)
		w.Header().Set("Content-Type", "application/json")
		switch request.Database {
		case "todos":
			_, _ = io.WriteString(w, `{"database":"todos","access":"read-write","subject":"alice","identity":{"basic":{"name":"alice","password":"`+mark+`-alice"}}}`)
		case "far":
			_, _ = io.WriteString(w, `{"database":"todos","access":"read-write","upstream":"eu","identity":{"bearer":"`+mark+`-bearer"}}`)
		case "nobody":
			_, _ = io.WriteString(w, `{"database":"todos","access":"read-write","identity":{"cookie":"`+mark+`-cookie"}}`)
		case "nonsense":
			_, _ = io.WriteString(w, `{"database":"todos","access":"`+mark+`","identity":{"basic":{"name":7,"password":["`+mark+`"]}}}`)
		case "broken":
			http.Error(w, mark+string(body), http.StatusInternalServerError)
		default:
			http.Redirect(w, r, "/"+mark, http.StatusFound)
		}
	}))
	t.Cleanup(endpoint.Close)
	return secretive{policy: "webhook", databases: []string{"todos", "far", "nobody", "nonsense", "broken", "moved"}, set: map[string]string{
		"WEBHOOK_URL":    strings.Replace(endpoint.URL, "://", "://bridge:"+mark+"-basic@", 1) + "/" + mark + "-path",
		"WEBHOOK_SECRET": mark + "-webhook-secret", "WEBHOOK_COOKIES": "sid,AuthSession",
	}, credentials: []string{`{"apiKey":"` + mark + `-key"}`}}
}

func secretsOfScript(t *testing.T) secretive {
	return secretive{policy: "script", databases: []string{"todos", "far", "nonsense", "elsewhere", "mistake", "denied"}, set: map[string]string{
		"SCRIPT_ENV": "ALICE", "ALICE": mark + "-alice",
		"SCRIPT_FILE": file(t, `
			module.exports = function (credentials, name, cb) {
				switch (name) {
				case 'todos': return cb(null, new PouchDB('todos', { subject: 'alice', identity: { basic: { name: 'alice', password: process.env.ALICE } } }));
				case 'far': return cb(null, new PouchDB('todos', { upstream: 'eu', identity: { bearer: process.env.ALICE } }));
				case 'nonsense': return cb(null, new PouchDB('todos', { access: process.env.ALICE, identity: { basic: { name: 7, password: process.env.ALICE } } }));
				case 'elsewhere': return cb(null, new PouchDB('http://alice:' + process.env.ALICE + '@db.example.com/todos'));
				case 'mistake': return process.env.ALICE.missing.member;
				default: cb(new Error('not allowed'));
				}
			};`),
	}, credentials: []string{`{"apiKey":"` + mark + `-key"}`}}
}
