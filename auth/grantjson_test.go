package auth

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseGrant(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 9, 21, 14, 13, 20, 0, time.UTC)
	for _, tt := range []struct {
		name, text string
		want       Grant
	}{
		{"least", `{"database":"todos","access":"read-write"}`, Grant{Database: "todos", Access: ReadWrite}},
		{"read-only", ` {"access":"read-only","database":"todos"} `, Grant{Database: "todos", Access: ReadOnly}},
		{"write-only", `{"database":"box","access":"write-only"}`, Grant{Database: "box", Access: WriteOnly}},
		{"all plain members",
			`{"upstream":"eu","database":"_users","access":"read-only","subject":"alice","token_id":"t-42","design_docs":true,"system":true}`,
			Grant{Upstream: "eu", Database: "_users", Access: ReadOnly, Subject: "alice", TokenID: "t-42", DesignDocs: true, System: true}},
		{"all plain members at their defaults",
			`{"upstream":"","database":"todos","access":"read-only","subject":"","token_id":"","create":false,"design_docs":false,"system":false}`,
			Grant{Database: "todos", Access: ReadOnly}},
		{"expires in seconds", `{"database":"todos","access":"read-only","expires":1790000000}`, Grant{Database: "todos", Access: ReadOnly, Expires: at}},
		{"expires in seconds and a half", `{"database":"todos","access":"read-only","expires":1790000000.5}`, Grant{Database: "todos", Access: ReadOnly, Expires: at}},
		{"expires at a time", `{"database":"todos","access":"read-only","expires":"2026-09-21T16:13:20.75+02:00"}`, Grant{Database: "todos", Access: ReadOnly, Expires: at}},
		{"create", `{"database":"todos","access":"read-only","create":true}`, Grant{Database: "todos", Access: ReadOnly, Create: &Creation{}}},
		{"create with nothing said", `{"database":"todos","access":"read-only","create":{}}`, Grant{Database: "todos", Access: ReadOnly, Create: &Creation{}}},
		{"create with all", `{"database":"todos","access":"read-only","create":{"security":{"members": {"names":["a"]},"n":1.0},"q":2,"n":3}}`,
			Grant{Database: "todos", Access: ReadOnly, Create: &Creation{Security: json.RawMessage(`{"members": {"names":["a"]},"n":1.0}`), Q: 2, N: 3}}},
		{"filter", `{"database":"todos","access":"read-only","filter":{"name":"app/mine","query":{"owner":"alice","x":""}}}`,
			Grant{Database: "todos", Access: ReadOnly, Filter: Filter{Name: "app/mine", Query: map[string]string{"owner": "alice", "x": ""}}}},
		{"selector keeps its bytes", `{"database":"todos","access":"read-only","selector":{"n": 1.0, "big":12345678901234567890}}`,
			Grant{Database: "todos", Access: ReadOnly, Filter: Filter{Selector: json.RawMessage(`{"n": 1.0, "big":12345678901234567890}`)}}},
		{"doc_ids", `{"database":"todos","access":"read-only","doc_ids":["a","b/é"]}`, Grant{Database: "todos", Access: ReadOnly, Filter: Filter{DocIDs: []string{"a", "b/é"}}}},
		{"proxy user", `{"database":"todos","access":"read-only","identity":{"proxy":{"name":"alice","roles":["staff","on call"]}}}`,
			Grant{Database: "todos", Access: ReadOnly, Identity: Identity{Kind: ProxyUser, Name: "alice", Roles: []string{"staff", "on call"}}}},
		{"proxy user without roles", `{"database":"todos","access":"read-only","identity":{"proxy":{"name":"alice","roles":[]}}}`,
			Grant{Database: "todos", Access: ReadOnly, Identity: Identity{Kind: ProxyUser, Name: "alice", Roles: []string{}}}},
		{"bearer", `{"database":"todos","access":"read-only","identity":{"bearer":"a.b.c"}}`, Grant{Database: "todos", Access: ReadOnly, Identity: Identity{Kind: Bearer, Secret: "a.b.c"}}},
		{"basic", `{"database":"todos","access":"read-only","identity":{"basic":{"name":"alice","password":"s3"}}}`, Grant{Database: "todos", Access: ReadOnly, Identity: Identity{Kind: Basic, Name: "alice", Secret: "s3"}}},
		{"cookie", `{"database":"todos","access":"read-only","identity":{"cookie":"YWxp"}}`, Grant{Database: "todos", Access: ReadOnly, Identity: Identity{Kind: Cookie, Secret: "YWxp"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseGrant(json.RawMessage(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || got.Identity.Secret != tt.want.Identity.Secret {
				t.Errorf("grant (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseGrantFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", ``, `grant: must be an object, is empty`},
		{"blank", " \n", `grant: must be an object, is empty`},
		{"not JSON", "{\n\"database\":}", `line 2, column 12: not JSON: `},
		{"cut off", `{"database":"todos"`, `line 1, column 20: not JSON: unexpected EOF`},
		{"HTML", `<!doctype html>`, `line 1, column 1: not JSON: `},
		{"two values", `{"database":"todos","access":"read-only"} {}`, `: not JSON: more text after the JSON value`},
		{"invalid UTF-8", "{\"database\":\"todos\xff\",\"access\":\"read-only\"}", `line 1, column 19: not JSON: invalid UTF-8`},
		{"null", `null`, `grant: must be an object, is null`},
		{"true", `true`, `grant: must be an object, is true`},
		{"array", `[{"database":"todos","access":"read-only"}]`, `grant: must be an object, is an array`},
		{"string", `"todos"`, `grant: must be an object, is a string`},

		{"empty", `{}`, `grant.database: is required; grant.access: is required`},
		{"no access", `{"database":"todos"}`, `grant.access: is required`},
		{"no database", `{"access":"read-only"}`, `grant.database: is required`},
		{"empty database", `{"database":"","access":"read-only"}`, `grant: grant names no database`},
		{"unknown member", `{"database":"todos","access":"read-only","read_only":true}`, `grant["read_only"]: unknown member; known: access, create, database,`},
		{"member in upper case", `{"Database":"all","database":"todos","access":"read-only"}`, `grant["Database"]: unknown member`},
		{"given twice", `{"database":"todos","access":"read-only","database":"all"}`, `grant.database: is given twice`},
		{"unknown access", `{"database":"todos","access":"admin"}`, `grant.access: must be read-write, read-only or write-only`},
		{"no access by name", `{"database":"todos","access":"none"}`, `grant.access: must be read-write, read-only or write-only`},
		{"access in upper case", `{"database":"todos","access":"Read-Only"}`, `grant.access: must be`},
		{"all faults at once", `{"database":7,"access":null,"create":1,"design_docs":"no","system":0,"subject":[],"token_id":{},"upstream":false}`,
			`grant.database: must be a string, is a number; grant.access: must be a string, is null; grant.create: must be true, false or an object, is a number; ` +
				`grant.design_docs: must be true or false, is a string; grant.system: must be true or false, is a number; ` +
				`grant.subject: must be a string, is an array; grant.token_id: must be a string, is an object; grant.upstream: must be a string, is false`},
		{"system database not meant", `{"database":"_users","access":"read-only"}`, `grant: grant for the system database "_users" does not say`},
		{"system database with system false", `{"database":"_users","access":"read-only","system":false}`, `grant: grant for the system database "_users"`},

		{"upstream is a URL", `{"database":"todos","access":"read-only","upstream":"http://evil.example"}`, `grant.upstream: must be the name of a configured server`},
		{"upstream is a URL without a scheme", `{"database":"todos","access":"read-only","upstream":"//evil.example"}`, `grant.upstream: must be the name`},
		{"upstream is an address", `{"database":"todos","access":"read-only","upstream":"10.0.0.7:5984"}`, `grant.upstream: must be the name`},
		{"upstream with a user", `{"database":"todos","access":"read-only","upstream":"a@evil"}`, `grant.upstream: must be the name`},
		{"upstream with an escape", `{"database":"todos","access":"read-only","upstream":"a%2fb"}`, `grant.upstream: must be the name`},
		{"upstream with a space", `{"database":"todos","access":"read-only","upstream":"eu "}`, `grant.upstream: must be the name`},

		{"expires null", `{"database":"todos","access":"read-only","expires":null}`, `grant.expires: must be a number or a string, is null`},
		{"expires never by zero", `{"database":"todos","access":"read-only","expires":0}`, `grant.expires: must lie between 1970 and 9999`},
		{"expires negative", `{"database":"todos","access":"read-only","expires":-1}`, `grant.expires: must lie`},
		{"expires in milliseconds", `{"database":"todos","access":"read-only","expires":1790000000000}`, `grant.expires: must lie between 1970 and 9999 (a number counts seconds)`},
		{"expires out of range", `{"database":"todos","access":"read-only","expires":1e999}`, `grant.expires: must lie`},
		{"expires at the zero time", `{"database":"todos","access":"read-only","expires":"0001-01-01T00:00:00Z"}`, `grant.expires: must lie`},
		{"expires at a date", `{"database":"todos","access":"read-only","expires":"2026-09-21"}`, `grant.expires: must be a time like`},
		{"expires in a string of seconds", `{"database":"todos","access":"read-only","expires":"1790000000"}`, `grant.expires: must be a time like`},

		{"create with an unknown member", `{"database":"todos","access":"read-only","create":{"Q":1}}`, `grant.create["Q"]: unknown member; known: n, q, security`},
		{"q zero", `{"database":"todos","access":"read-only","create":{"q":0}}`, `grant.create.q: must be a whole number`},
		{"q with a fraction", `{"database":"todos","access":"read-only","create":{"q":1.5}}`, `grant.create.q: must be a whole number`},
		{"n negative", `{"database":"todos","access":"read-only","create":{"n":-1}}`, `grant.create.n: must be a whole number`},
		{"n huge", `{"database":"todos","access":"read-only","create":{"n":70000}}`, `grant.create.n: must be a whole number`},
		{"security no object", `{"database":"todos","access":"read-only","create":{"security":[]}}`, `grant.create.security: must be an object, is an array`},
		{"security with members given twice", `{"database":"todos","access":"read-only","create":{"security":{"admins":{},"admins":{}}}}`, `grant.create.security: has a member given twice`},

		{"filter by name alone", `{"database":"todos","access":"read-only","filter":"app/mine"}`, `grant.filter: must be an object, is a string`},
		{"filter without a name", `{"database":"todos","access":"read-only","filter":{"query":{"a":"b"}}}`, `grant.filter.name: must be a design document`},
		{"filter without a design document", `{"database":"todos","access":"read-only","filter":{"name":"mine"}}`, `grant.filter.name: must be a design document`},
		{"filter with a path", `{"database":"todos","access":"read-only","filter":{"name":"a/b/c"}}`, `grant.filter.name: must be a design document`},
		{"query with a number", `{"database":"todos","access":"read-only","filter":{"name":"a/b","query":{"n":1}}}`, `grant.filter.query["n"]: must be a string, is a number`},
		{"query with a parameter twice", `{"database":"todos","access":"read-only","filter":{"name":"a/b","query":{"n":"1","n":"2"}}}`, `grant.filter.query["n"]: is given twice`},
		{"filter and selector", `{"database":"todos","access":"read-only","filter":{"name":"a/b"},"selector":{}}`, `grant: filter has more than one of`},
		{"selector and doc_ids", `{"database":"todos","access":"read-only","doc_ids":["a"],"selector":{}}`, `grant: filter has more than one of`},
		{"selector null", `{"database":"todos","access":"read-only","selector":null}`, `grant.selector: must be an object, is null`},
		{"selector with a member given twice below", `{"database":"todos","access":"read-only","selector":{"$and":[{"a":1,"a":2}]}}`, `grant.selector: has a member given twice`},
		{"doc_ids empty", `{"database":"todos","access":"read-only","doc_ids":[]}`, `grant.doc_ids: must not be empty`},
		{"doc_ids with an empty one", `{"database":"todos","access":"read-only","doc_ids":["a",""]}`, `grant.doc_ids[1]: must not be empty`},
		{"doc_ids with a number", `{"database":"todos","access":"read-only","doc_ids":[1]}`, `grant.doc_ids[0]: must be a string, is a number`},

		{"identity empty", `{"database":"todos","access":"read-only","identity":{}}`, `grant.identity: must have exactly one of`},
		{"identity null", `{"database":"todos","access":"read-only","identity":null}`, `grant.identity: must be an object, is null`},
		{"two identities", `{"database":"todos","access":"read-only","identity":{"bearer":"a","cookie":"b"}}`, `grant.identity: must have exactly one of`},
		{"one identity twice", `{"database":"todos","access":"read-only","identity":{"bearer":"a","bearer":"b"}}`, `grant.identity.bearer: is given twice`},
		{"unknown identity", `{"database":"todos","access":"read-only","identity":{"admin":true}}`, `grant.identity["admin"]: unknown member`},
		{"bearer empty", `{"database":"todos","access":"read-only","identity":{"bearer":""}}`, `grant: identity bearer token is empty`},
		{"bearer with a line break", `{"database":"todos","access":"read-only","identity":{"bearer":"a\r\nX: y"}}`, `grant.identity.bearer: must not contain control characters`},
		{"basic without a password", `{"database":"todos","access":"read-only","identity":{"basic":{"name":"a"}}}`, `grant: identity of a user needs`},
		{"proxy without a name", `{"database":"todos","access":"read-only","identity":{"proxy":{"roles":["a"]}}}`, `grant: identity of a proxy user needs a name`},
		{"role with a comma", `{"database":"todos","access":"read-only","identity":{"proxy":{"name":"a","roles":["staff,_admin"]}}}`, `grant.identity.proxy.roles[0]: must be a role`},
		{"role with spaces around", `{"database":"todos","access":"read-only","identity":{"proxy":{"name":"a","roles":["x"," _admin"]}}}`, `grant.identity.proxy.roles[1]: must be a role`},
		{"roles in a string", `{"database":"todos","access":"read-only","identity":{"proxy":{"name":"a","roles":"staff"}}}`, `grant.identity.proxy.roles: must be an array, is a string`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseGrant(json.RawMessage(tt.text))
			var typed *GrantError
			if !errors.As(err, &typed) || len(typed.Faults) == 0 {
				t.Fatalf("error is %T %v, want a *GrantError", err, err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %q, want %q in it", err, tt.want)
			}
			if n := 1 + strings.Count(tt.want, "; grant."); len(typed.Faults) != n {
				t.Errorf("%d faults, want %d, and none that follows from another: %v", len(typed.Faults), n, err)
			}
			if diff := cmp.Diff(Grant{}, got); diff != "" {
				t.Errorf("a grant came with the error: %s", diff)
			}
		})
	}
}

// An error's text stays short, and shows nothing of a secret.
func TestGrantErrorText(t *testing.T) {
	t.Parallel()
	long := `{"` + strings.Repeat("é", 5000) + `":1`
	for i := range 1000 {
		long += `,"` + strings.Repeat("x", i+1) + `":1`
	}
	for _, text := range []string{
		long + `}`,
		`{"database":"todos","access":"s3cret","subject":7,"upstream":"https://u:s3cret@h","identity":{"basic":{"name":"a","password":"s3cret\n"},"bearer":["s3cret"],"proxy":"s3cret"},"expires":"s3cret","create":"s3cret","selector":"s3cret","filter":{"name":"s3cret"}}`,
	} {
		_, err := ParseGrant(json.RawMessage(text))
		if err == nil {
			t.Fatal("no error")
		}
		if s := err.Error(); strings.Contains(s, "s3cret") || len(s) > 10*shownOfAFault || !strings.Contains(s, "and more") && len(text) > 1000 {
			t.Errorf("%d bytes: %s", len(s), s)
		}
	}
}

// Whatever the text, there is either a grant that the Decider passes or a typed error.
func FuzzParseGrant(f *testing.F) {
	for _, seed := range []string{
		`{"database":"todos","access":"read-write","upstream":"eu","subject":"s","token_id":"t","expires":1790000000,"create":{"security":{},"q":1,"n":1},"design_docs":true,"system":true,"filter":{"name":"a/b","query":{"c":"d"}},"identity":{"proxy":{"name":"a","roles":["b"]}}}`,
		`{"database":"todos","access":"read-only","selector":{"a":{"$gt":1.0}},"expires":"2026-09-21T14:13:20Z","identity":{"bearer":"x"}}`,
		`{"database":"_users","access":"write-only","doc_ids":["a"],"identity":{"basic":{"name":"a","password":"b"}}}`,
		`{"database":"a","access":"read-only","identity":{"cookie":"x"},"create":true}`,
		`{"database":"a","database":"b"}`, `[]`, `null`, ``, `{"`, `{"expires":1e999}`, "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		g, err := ParseGrant(text)
		if err != nil {
			var typed *GrantError
			if !errors.As(err, &typed) || err.Error() == "" {
				t.Fatalf("error is %T %q", err, err)
			}
			return
		}
		if !json.Valid(text) {
			t.Fatalf("a grant came of what is not JSON: %q", text)
		}
		if err := g.validate(); err != nil {
			t.Fatalf("grant %+v does not validate: %v", g, err)
		}
		if strings.ContainsAny(g.Upstream, "/:") {
			t.Fatalf("upstream %q passed", g.Upstream)
		}
	})
}
