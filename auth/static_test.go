package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestStatic(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("testdata/static.json")
	if err != nil {
		t.Fatal(err)
	}
	policy, err := ParseStatic(file, []string{"eu"})
	if err != nil {
		t.Fatal(err)
	}
	const alice, bob, admin = `{"token":"alice-token"}`, `{"token":"bob-token"}`, `{"token":"admin-token"}`
	for _, tt := range []struct {
		name, credentials, database string
		want                        Grant
		code                        Code
	}{
		{"by pattern, renamed", alice, "todos-home", Grant{Database: "app-home", Access: ReadWrite, Create: &Creation{}, Subject: "alice", TokenID: hash("alice-token")[:12]}, ""},
		{"first entry decides", alice, "todos-work", Grant{Database: "work", Access: ReadOnly, Subject: "alice", TokenID: hash("alice-token")[:12]}, ""},
		{"literal under its own name", alice, "shared/news", Grant{Database: "shared/news", Access: ReadOnly, DesignDocs: true, Upstream: "eu", Subject: "alice", TokenID: hash("alice-token")[:12]}, ""},
		{"other members of the credentials", `{"user":"x","token":"alice-token"}`, "todos-home", Grant{Database: "app-home", Access: ReadWrite, Create: &Creation{}, Subject: "alice", TokenID: hash("alice-token")[:12]}, ""},
		{"hashed token", bob, "notes", Grant{Database: "notes", Access: ReadWrite, Subject: "bob", TokenID: "bobs-phone"}, ""},
		{"system database in full", admin, "_users", Grant{Database: "_users", Access: ReadWrite, System: true, Subject: "admin", TokenID: hash("admin-token")[:12]}, ""},
		{"system database under another name", admin, "people", Grant{Database: "_users", Access: ReadOnly, System: true, Subject: "admin", TokenID: hash("admin-token")[:12]}, ""},
		{"name of 300 characters", bob, strings.Repeat("a", 300), Grant{Database: strings.Repeat("a", 300), Access: ReadWrite, Subject: "bob", TokenID: "bobs-phone"}, ""}, // CouchDB's limit is checked in couch

		{"absent credentials", "", "todos-home", Grant{}, Unauthorized},
		{"null", `null`, "todos-home", Grant{}, Unauthorized},
		{"empty object", `{}`, "todos-home", Grant{}, Unauthorized},
		{"no object", `"alice-token"`, "todos-home", Grant{}, Unauthorized},
		{"array", `[{"token":"alice-token"}]`, "todos-home", Grant{}, Unauthorized},
		{"empty token", `{"token":""}`, "todos-home", Grant{}, Unauthorized},
		{"null token", `{"token":null}`, "todos-home", Grant{}, Unauthorized},
		{"number", `{"token":1}`, "todos-home", Grant{}, Unauthorized},
		{"member in upper case", `{"Token":"alice-token"}`, "todos-home", Grant{}, Unauthorized},
		{"token twice", `{"token":"x","token":"alice-token"}`, "todos-home", Grant{}, Unauthorized},
		{"not JSON", `{"token":"alice-token"`, "todos-home", Grant{}, Unauthorized},
		{"unknown token", `{"token":"mallory"}`, "todos-home", Grant{}, Unauthorized},
		{"beginning of a token", `{"token":"alice"}`, "todos-home", Grant{}, Unauthorized},
		{"the hash as the token", `{"token":"` + hash("bob-token") + `"}`, "notes", Grant{}, Unauthorized},
		{"someone else's token", bob, "todos/home", Grant{}, Forbidden},

		{"no name", alice, "", Grant{}, Forbidden},
		{"empty star", alice, "todos-", Grant{}, Forbidden},
		{"slash", alice, "todos-a/b", Grant{}, Forbidden},
		{"slash in front", alice, "/todos-a", Grant{}, Forbidden},
		{"dots", alice, "todos-..", Grant{}, Forbidden},
		{"path to a system database", alice, "todos-../_users", Grant{}, Forbidden},
		{"escaped slash", alice, "todos-%2f_users", Grant{}, Forbidden},
		{"escaped letter", alice, "%74odos-home", Grant{}, Forbidden},
		{"upper case", alice, "TODOS-HOME", Grant{}, Forbidden},
		{"upper case in the star", alice, "todos-Home", Grant{}, Forbidden},
		{"trailing NUL", alice, "todos-home\x00", Grant{}, Forbidden},
		{"300 characters of another name", alice, strings.Repeat("x", 300), Grant{}, Forbidden},
		{"system database by a star", bob, "_users", Grant{}, Forbidden},
		{"system database by what the star stands for", bob, "x_users", Grant{}, Forbidden},
		{"other system database", admin, "_replicator", Grant{}, Forbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := Request{Database: tt.database}
			if tt.credentials != "" {
				r.Credentials = json.RawMessage(tt.credentials)
			}
			g, err := NewDecider(policy, time.Minute).Decide(t.Context(), r)
			if diff := cmp.Diff(tt.want, g); diff != "" {
				t.Errorf("grant (-want +got):\n%s", diff)
			}
			if tt.code == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			ref := refusal(t, err)
			if ref.Code != tt.code {
				t.Errorf("code is %s (%s), want %s", ref.Code, ref, tt.code)
			}
			for _, secret := range []string{"alice", "bob", "mallory", "admin"} {
				if strings.Contains(ref.Message, secret) {
					t.Errorf("message leaks %q: %s", secret, ref.Message)
				}
			}
		})
	}
}

func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

func TestParseStaticFaults(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t"
	entry := func(members string) string {
		return `{"tokens":[{"token":"` + secret + `","databases":[` + members + `]}]}`
	}
	for _, tt := range []struct {
		name, file string
		want       []string
	}{
		{"empty file", " \n", []string{`file: is empty`}},
		{"not JSON", "{\n  \"tokens\": [,]\n}", []string{`line 2, column 14: not JSON: invalid character ',' at start of value`}},
		{"cut off", `{"tokens":[`, []string{`line 1, column 12: not JSON: unexpected EOF`}},
		{"YAML cut off", "tokens: [", []string{`line 1: not YAML: did not find expected node content`}},
		{"YAML with tabs", "tokens:\n\t- a", []string{`line 2: not YAML: found character that cannot start any token`}},
		{"two YAML documents", "tokens: []\n---\n{}", []string{`line 2, column 1: must be the end: the file has more than one YAML document`}},
		{"YAML alias", "a: &s3 [x]\nb: *s3", []string{`line 2, column 4: ` + noAliases}},
		{"YAML alias of nothing", "tokens:\n- token: *" + secret, []string{`file: not YAML: ` + noAliases}},
		{"YAML merge", "<<: {}\ntokens: []", []string{`line 1, column 1: is no name of a member; ` + noAliases}},
		{"YAML key of another type", "1: 2", []string{`line 1, column 1: is no name of a member; ` + noAliases}},
		{"YAML tags", "tokens: [!!binary aGFsbG8=, !x {}, !!bool maybe, !!int x, .inf]", []string{
			`line 1, column 10: has a tag that is not known here`,
			`line 1, column 29: has a tag that is not known here`,
			`line 1, column 36: is not true or false; quote it if it is a text`,
			`line 1, column 50: is not a whole number; quote it if it is a text`,
			`line 1, column 59: is not a number; quote it if it is a text`,
		}},
		{"YAML nested without end", "tokens: " + strings.Repeat("[", 100) + strings.Repeat("]", 100), []string{`line 1, column 41: is nested too deep`}},
		{"YAML member twice", "tokens:\n- {token: s3cr3t, token: s3cr3t, databases: [{match: a}]}", []string{`tokens[0].token: is given twice`}},
		{"YAML number as token", "tokens:\n- token: 0x10\n  databases: [{match: a, read_only: yes}]", []string{`tokens[0].token: must be a string, is a number`, `tokens[0].databases[0].read_only: must be true or false, is a string`}},
		{"same id", "tokens:\n- {token: a, id: x, databases: [{match: a}]}\n- {token: b, id: x, databases: [{match: a}]}", []string{`tokens[1].id: is the id of tokens[0] too`}},
		{"token as id", "tokens:\n- {token: s3cr3t, id: s3cr3t, databases: [{match: a}]}", []string{`tokens[0].id: must not be empty, nor the token: ids are logged`}},
		{"access of another kind", entry(`{"match":"a","access":"all"}`), []string{`tokens[0].databases[0].access: must be read-write, read-only or write-only`}},
		{"access twice", entry(`{"match":"a","access":"read-only","read_only":false}`), []string{`tokens[0].databases[0]: must have either access or read_only`}},
		{"two values", "{}\n{}", []string{`line 2, column 2: not JSON: more text after the JSON value`}},
		{"other value", `[]`, []string{`file: must be an object, is an array`}},
		{"no tokens", `{}`, []string{`tokens: must list at least one token`}},
		{"empty tokens", `{"tokens":[]}`, []string{`tokens: must not be empty`}},
		{"tokens of another type", `{"tokens":{}}`, []string{`tokens: must be an array, is an object`}},
		{"tokens twice", `{"tokens":[{"token":"a","databases":[{"match":"a"}]}],"tokens":null}`, []string{`tokens: is given twice`}},
		{"unknown member", `{"Tokens":[]}`, []string{`["Tokens"]: unknown member; known: tokens`}},
		{"token of another type", `{"tokens":[null]}`, []string{`tokens[0]: must be an object, is null`}},
		{"nothing in a token", `{"tokens":[{}]}`, []string{`tokens[0]: must have either token or sha256`, `tokens[0].databases: must list at least one database`}},
		{"both kinds of token", `{"tokens":[{"token":"a","sha256":"` + hash("a") + `","databases":[{"match":"a"}]}]}`, []string{`tokens[0]: must have either token or sha256`}},
		{"empty token", `{"tokens":[{"token":"","databases":[{"match":"a"}]}]}`, []string{`tokens[0].token: must not be empty`}},
		{"number as token", `{"tokens":[{"token":7,"databases":[{"match":"a"}]}]}`, []string{`tokens[0].token: must be a string, is a number`}},
		{"short hash", `{"tokens":[{"sha256":"abcd","databases":[{"match":"a"}]}]}`, []string{`tokens[0].sha256: must be 64 hexadecimal digits`}},
		{"hash of other characters", `{"tokens":[{"sha256":"` + strings.Repeat("xy", 32) + `","databases":[{"match":"a"}]}]}`, []string{`tokens[0].sha256: must be 64 hexadecimal digits`}},
		{"same token", `{"tokens":[{"token":"a","databases":[{"match":"a"}]},{"sha256":"` + strings.ToUpper(hash("a")) + `","databases":[{"match":"a"}]}]}`, []string{`tokens[1]: is the same token as tokens[0]`}},
		{"token as subject", `{"tokens":[{"token":"a","subject":"a","databases":[{"match":"a"}]}]}`, []string{`tokens[0].subject: must not be the token: subjects are logged`}},
		{"no databases", `{"tokens":[{"token":"a","databases":[]}]}`, []string{`tokens[0].databases: must not be empty`}},
		{"no match", entry(`{}`), []string{`tokens[0].databases[0].match: is required`}},
		{"bad match", entry(`{"match":"A"}`), []string{`tokens[0].databases[0].match: "A" contains 'A': a database name has only a-z, 0-9 and _$()+-/`}},
		{"bad database", entry(`{"match":"a","database":"a.b"}`), []string{`tokens[0].databases[0].database: "a.b" contains '.': a database name has only a-z, 0-9 and _$()+-/`}},
		{"star only in database", entry(`{"match":"a","database":"b-*"}`), []string{`tokens[0].databases[0].database: "b-*" has a *, but match "a" has none`}},
		{"system database for a star", entry(`{"match":"a*","database":"_users"}`), []string{`tokens[0].databases[0].database: "_users" is a system database: match must not have a *`}},
		{"match again", entry(`{"match":"a*"},{"match":"a*","read_only":true}`), []string{`tokens[0].databases[1].match: "a*" stands in an earlier entry, which decides`}},
		{"unknown server", entry(`{"match":"a","upstream":"mars"}`), []string{`tokens[0].databases[0].upstream: no server named "mars" is configured`}},
		{"boolean as text", entry(`{"match":"a","read_only":"false"}`), []string{`tokens[0].databases[0].read_only: must be true or false, is a string`}},
		{"member twice", entry(`{"match":"a","read_only":true,"read_only":false}`), []string{`tokens[0].databases[0].read_only: is given twice`}},
		{
			"everything at once",
			`{"tokens":[{"tokn":"` + secret + `","databases":[{"match":"a*b*","readonly":true},{"match":"b","upstream":"mars"}]},{"token":"` + secret + `"},{"token":"` + secret + `","databases":[4]}],"version":1}`,
			[]string{
				`tokens[0]["tokn"]: unknown member; known: databases, id, sha256, subject, token`,
				`tokens[0].databases[0]["readonly"]: unknown member; known: access, create, database, design_docs, match, read_only, upstream`,
				`tokens[0].databases[0].match: "a*b*" has more than one *`,
				`tokens[0].databases[1].upstream: no server named "mars" is configured`,
				`tokens[0]: must have either token or sha256`,
				`tokens[1].databases: must list at least one database`,
				`tokens[2].databases[0]: must be an object, is a number`,
				`tokens[2]: is the same token as tokens[1]`,
				`["version"]: unknown member; known: tokens`,
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			policy, err := ParseStatic([]byte(tt.file), []string{"eu"})
			if _, ok := err.(*FileError); !ok || policy != nil {
				t.Fatalf("ParseStatic = %v, %T %v; want a *FileError", policy, err, err)
			}
			if diff := cmp.Diff(tt.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error contains a token: %v", err)
			}
		})
	}
}

// A file is either refused with faults that have a place, or makes a policy that fails closed whatever it is asked.
func FuzzParseStatic(f *testing.F) {
	good, err := os.ReadFile("testdata/static.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, []byte(`{"token":"alice-token"}`), "todos-home")
	f.Add([]byte(`{"tokens":[{"token":"t","databases":[{"match":"*"}]}]}`), []byte(`{"token":"t"}`), "_users")
	f.Add([]byte(`{"tokens":[{"token":"t","databases":[{"match":"x*","database":"*"}]}]}`), []byte(`{"token":"t"}`), "x_users")
	f.Add([]byte("tokens:\n- token: t\n  databases: [{match: a, access: write-only}]"), []byte(`{"token":"t"}`), "a")
	f.Add([]byte("a: &a [!!bool x, !y z, <<: 1, 0o17, 1e400]\n--- *b"), []byte(`{}`), "a")
	f.Add([]byte(`{"tokens":[{"token":"","token":3,"":{}}]}{`), []byte(`{`), "")
	f.Fuzz(func(t *testing.T, file, credentials []byte, database string) {
		policy, err := ParseStatic(file, nil)
		if err != nil {
			faults := err.(*FileError).Faults
			for _, fault := range faults {
				if fault.Place == "" || fault.Problem == "" {
					t.Fatalf("fault without place or problem in %+v", faults)
				}
			}
			if len(faults) == 0 {
				t.Fatal("error without faults")
			}
			return
		}
		g, err := policy.OnRequest(t.Context(), Request{Credentials: credentials, Database: database})
		if err == nil {
			err = g.validate()
		} else {
			_ = refusal(t, err)
			return
		}
		if err != nil {
			t.Fatalf("policy gave an unsound grant: %v", err)
		}
	})
}
