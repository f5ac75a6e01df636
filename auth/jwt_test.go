package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
)

// issuer holds the private keys of the tests.
type issuer struct {
	rsa, otherRSA       *rsa.PrivateKey
	ec256, ec384, ec521 *ecdsa.PrivateKey
	ed                  ed25519.PrivateKey
}

var testIssuer = sync.OnceValue(func() issuer {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	var i issuer
	var err error
	i.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	i.otherRSA, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	i.ec256, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	i.ec384, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(err)
	i.ec521, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	must(err)
	_, i.ed, err = ed25519.GenerateKey(rand.Reader)
	must(err)
	return i
})

const testSecret = "0123456789abcdef0123456789abcdef"

// publicPEM is the key's public half, named kid unless that is empty.
func publicPEM(t testing.TB, key crypto.Signer, kid string) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	block := &pem.Block{Type: "PUBLIC KEY", Bytes: der}
	if kid != "" {
		block.Headers = map[string]string{"kid": kid}
	}
	return pem.EncodeToMemory(block)
}

// signToken makes a token; kid may be empty.
func signToken(t testing.TB, alg, kid string, key any, c jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.GetSigningMethod(alg), c)
	if kid != "" {
		token.Header["kid"] = kid
	}
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// signText makes a token of header and claims as they are, with HS256 and testSecret.
func signText(t testing.TB, header, claims string) string {
	t.Helper()
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	signature, err := jwt.SigningMethodHS256.Sign(text, []byte(testSecret))
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// claimsOf are good for an hour, with members added or, if nil, taken away.
func claimsOf(extra jwt.MapClaims) jwt.MapClaims {
	c := jwt.MapClaims{"sub": "alice", "exp": time.Now().Add(time.Hour).Unix()}
	for name, v := range extra {
		c[name] = v
		if v == nil {
			delete(c, name)
		}
	}
	return c
}

func newJWT(t testing.TB, o JWTOptions) *JWT {
	t.Helper()
	j, err := NewJWT(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

// askJWT is a request with a token, by way of the Decider, as the bridge makes it.
func askJWT(ctx context.Context, j *JWT, token, database string) (Grant, error) {
	credentials, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		return Grant{}, err
	}
	return NewDecider(j, time.Minute).Decide(ctx, Request{Credentials: credentials, Database: database})
}

// wantRefusal checks the refusal of a token, and that it nowhere shows the token's signature or claims.
func wantRefusal(t *testing.T, token string, err error, code Code, message string) {
	t.Helper()
	r := refusal(t, err)
	if r.Code != code || !strings.Contains(r.Message, message) {
		t.Errorf("refused as %s, %q; want %s, %q (cause: %v)", r.Code, r.Message, code, message, r.Err)
	}
	if r.Err == nil {
		t.Errorf("the refusal %q has no cause for the log", r.Message)
		return
	}
	for part := range strings.SplitSeq(token, ".") {
		if len(part) > 20 && strings.Contains(fmt.Sprintf("%v %+v", r.Err, r), part) {
			t.Errorf("the refusal shows a part of the token: %v", r.Err)
		}
	}
}

func TestJWTTokens(t *testing.T) {
	t.Parallel()
	i := testIssuer()
	keys := func(more ...[]byte) (all []byte) {
		for _, k := range more {
			all = append(all, k...)
		}
		return all
	}
	rsaPEM := publicPEM(t, i.rsa, "")
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		at := func(d time.Duration) int64 { return now.Add(d).Unix() }
		secret := JWTOptions{Secret: []byte(testSecret + "\n"), Database: "todos"}
		strict := JWTOptions{Secret: []byte(testSecret), Database: "todos", Issuer: "https://issuer.example", Audience: []string{"a", "b"}}
		good := jwt.MapClaims{"iss": "https://issuer.example", "aud": "b"}
		with := func(name string, v any) jwt.MapClaims {
			c := claimsOf(good)
			if c[name] = v; v == nil {
				delete(c, name)
			}
			return c
		}
		hs := func(c jwt.MapClaims) string { return signToken(t, "HS256", "", []byte(testSecret), c) }
		all := JWTOptions{Database: "todos", Keys: keys(rsaPEM, publicPEM(t, i.ec256, ""), publicPEM(t, i.ec384, ""), publicPEM(t, i.ec521, ""), publicPEM(t, i.ed, ""))}
		onlyRSA := JWTOptions{Database: "todos", Keys: rsaPEM}
		two := JWTOptions{Database: "todos", Keys: keys(publicPEM(t, i.rsa, "one"), publicPEM(t, i.otherRSA, "two"))}
		nameless := JWTOptions{Database: "todos", Keys: keys(rsaPEM, publicPEM(t, i.otherRSA, ""))}
		es256WithP384 := func() string {
			text := strings.Join(strings.Split(signToken(t, "ES256", "", i.ec256, claimsOf(nil)), ".")[:2], ".")
			hash := crypto.SHA256.New()
			hash.Write([]byte(text))
			r, s, err := ecdsa.Sign(rand.Reader, i.ec384, hash.Sum(nil))
			if err != nil {
				t.Fatal(err)
			}
			signature := append(r.FillBytes(make([]byte, 48)), s.FillBytes(make([]byte, 48))...)
			return text + "." + base64.RawURLEncoding.EncodeToString(signature)
		}
		exp := fmt.Sprintf(`"exp":%d`, at(time.Hour))
		const header = `{"alg":"HS256","typ":"JWT"}`

		const notValid = "token is not valid"
		for _, tt := range []struct {
			name    string
			options JWTOptions
			token   string
			message string // empty: granted
		}{
			{"HS256", secret, hs(claimsOf(nil)), ""},
			{"HS384", secret, signToken(t, "HS384", "", []byte(testSecret), claimsOf(nil)), ""},
			{"HS512", secret, signToken(t, "HS512", "", []byte(testSecret), claimsOf(nil)), ""},
			{"RS256", all, signToken(t, "RS256", "", i.rsa, claimsOf(nil)), ""},
			{"RS384", all, signToken(t, "RS384", "", i.rsa, claimsOf(nil)), ""},
			{"RS512", all, signToken(t, "RS512", "", i.rsa, claimsOf(nil)), ""},
			{"PS256", all, signToken(t, "PS256", "", i.rsa, claimsOf(nil)), ""},
			{"PS384", all, signToken(t, "PS384", "", i.rsa, claimsOf(nil)), ""},
			{"PS512", all, signToken(t, "PS512", "", i.rsa, claimsOf(nil)), ""},
			{"ES256", all, signToken(t, "ES256", "", i.ec256, claimsOf(nil)), ""},
			{"ES384", all, signToken(t, "ES384", "", i.ec384, claimsOf(nil)), ""},
			{"ES512", all, signToken(t, "ES512", "", i.ec521, claimsOf(nil)), ""},
			{"EdDSA", all, signToken(t, "EdDSA", "", i.ed, claimsOf(nil)), ""},

			{"alg none", secret, signToken(t, "none", "", jwt.UnsafeAllowNoneSignatureType, claimsOf(nil)), notValid},
			{"alg none in other letters", secret, signText(t, `{"alg":"nOnE"}`, `{`+exp+`}`), notValid},
			{"alg none, signed", secret, signText(t, `{"alg":"none"}`, `{`+exp+`}`), notValid},
			{"no alg", secret, signText(t, `{"typ":"JWT"}`, `{`+exp+`}`), notValid},
			{"alg in lower case", secret, signText(t, `{"alg":"hs256"}`, `{`+exp+`}`), notValid},
			{"alg is a number", secret, signText(t, `{"alg":256}`, `{`+exp+`}`), notValid},
			{"alg twice", secret, signText(t, `{"alg":"none","alg":"HS256"}`, `{`+exp+`}`), notValid},
			{"critical extension", secret, signText(t, `{"alg":"HS256","crit":["b64"],"b64":false}`, `{`+exp+`}`), notValid},
			{"kid is a number", secret, signText(t, `{"alg":"HS256","kid":1}`, `{`+exp+`}`), notValid},
			{"signature taken off", secret, strings.Join(strings.Split(hs(claimsOf(nil)), ".")[:2], ".") + ".", notValid},
			{"other secret", secret, signToken(t, "HS256", "", []byte(strings.ToUpper(testSecret)), claimsOf(nil)), notValid},
			{"other claims under a signature", secret, swapClaims(hs(claimsOf(nil)), hs(claimsOf(jwt.MapClaims{"sub": "root"}))), notValid},
			{"HMAC with the text of the public key", onlyRSA, signToken(t, "HS256", "", rsaPEM, claimsOf(nil)), notValid},
			{"HMAC with the bytes of the public key", onlyRSA, signToken(t, "HS256", "", x509.MarshalPKCS1PublicKey(&i.rsa.PublicKey), claimsOf(nil)), notValid},
			{"RSA where a secret is configured", secret, signToken(t, "RS256", "", i.rsa, claimsOf(nil)), notValid},
			{"other key of the type", onlyRSA, signToken(t, "RS256", "", i.otherRSA, claimsOf(nil)), notValid},
			{"ES384 where P-256 is configured", JWTOptions{Database: "todos", Keys: publicPEM(t, i.ec256, "")}, signToken(t, "ES384", "", i.ec384, claimsOf(nil)), notValid},
			{"ES256 with a key on P-384", JWTOptions{Database: "todos", Keys: publicPEM(t, i.ec384, "")}, es256WithP384(), notValid},
			{"algorithm not accepted", JWTOptions{Database: "todos", Keys: rsaPEM, Algorithms: []string{"RS512"}}, signToken(t, "RS256", "", i.rsa, claimsOf(nil)), notValid},

			{"key by name", two, signToken(t, "RS256", "two", i.otherRSA, claimsOf(nil)), ""},
			{"key by the name of another", two, signToken(t, "RS256", "one", i.otherRSA, claimsOf(nil)), notValid},
			{"unknown key", two, signToken(t, "RS256", "three", i.rsa, claimsOf(nil)), notValid},
			{"key with the name of another type", two, signToken(t, "HS256", "one", publicPEM(t, i.rsa, "one"), claimsOf(nil)), notValid},
			{"no name where two keys fit", two, signToken(t, "RS256", "", i.rsa, claimsOf(nil)), notValid},
			{"no name where two keys fit, the last one", two, signToken(t, "RS256", "", i.otherRSA, claimsOf(nil)), notValid},
			{"two keys without names fit", nameless, signToken(t, "RS256", "", i.rsa, claimsOf(nil)), notValid},
			{"two keys without names fit, the last one", nameless, signToken(t, "RS256", "", i.otherRSA, claimsOf(nil)), notValid},
			{"name for a key without one", onlyRSA, signToken(t, "RS256", "2026-01", i.rsa, claimsOf(nil)), ""},

			{"expired", secret, hs(claimsOf(jwt.MapClaims{"exp": at(-time.Second)})), "token has expired"},
			{"expires now", secret, hs(claimsOf(jwt.MapClaims{"exp": at(0)})), "token has expired"},
			{"expired long ago", secret, hs(claimsOf(jwt.MapClaims{"exp": at(-time.Hour)})), "token has expired"},
			{"expired, other secret", secret, signToken(t, "HS256", "", []byte(strings.ToUpper(testSecret)), claimsOf(jwt.MapClaims{"exp": at(-time.Hour)})), notValid},
			{"no exp", secret, hs(claimsOf(jwt.MapClaims{"exp": nil})), notValid},
			{"exp is null", secret, signText(t, header, `{"exp":null}`), notValid},
			{"exp is 0", secret, signText(t, header, `{"exp":0}`), notValid},
			{"exp is a string", secret, signText(t, header, `{"exp":"9999999999"}`), notValid},
			{"exp out of range", secret, signText(t, header, `{"exp":1e300}`), ""},
			{"exp is not finite", secret, signText(t, header, `{"exp":1e999}`), notValid},
			{"nbf out of range", secret, signText(t, header, `{`+exp+`,"nbf":1e300}`), notValid},
			{"negative nbf", secret, signText(t, header, `{`+exp+`,"nbf":-1}`), notValid},
			{"not valid yet", secret, hs(claimsOf(jwt.MapClaims{"nbf": at(31 * time.Second)})), "token is not valid yet"},
			{"not valid yet, within the leeway", secret, hs(claimsOf(jwt.MapClaims{"nbf": at(30 * time.Second)})), ""},
			{"not valid yet, no leeway", JWTOptions{Secret: []byte(testSecret), Database: "todos", Leeway: -1}, hs(claimsOf(jwt.MapClaims{"nbf": at(time.Second)})), "token is not valid yet"},
			{"made in the future", secret, hs(claimsOf(jwt.MapClaims{"iat": at(31 * time.Second)})), "token is not valid yet"},
			{"iat is a string", secret, hs(claimsOf(jwt.MapClaims{"iat": "now"})), notValid},

			{"issuer and audience", strict, hs(with("", 0)), ""},
			{"one of several audiences", strict, hs(with("aud", []string{"x", "a"})), ""},
			{"other issuer", strict, hs(with("iss", "https://issuer.example.evil")), notValid},
			{"no issuer", strict, hs(with("iss", nil)), notValid},
			{"issuer is an array", strict, hs(with("iss", []string{"https://issuer.example"})), notValid},
			{"other audience", strict, hs(with("aud", "c")), notValid},
			{"no audience", strict, hs(with("aud", nil)), notValid},
			{"empty audience", strict, hs(with("aud", "")), notValid},
			{"audience with a number", strict, hs(with("aud", []any{"a", 1})), notValid},
			{"audience where none is configured", secret, hs(claimsOf(jwt.MapClaims{"aud": "a"})), notValid},

			{"claim twice", secret, signText(t, header, `{"sub":"alice","sub":"root",`+exp+`}`), notValid},
			{"nested claim twice", secret, signText(t, header, `{"a":{"b":1,"b":2},`+exp+`}`), notValid},
			{"exp twice", secret, signText(t, header, `{"exp":1,`+exp+`}`), notValid},
			{"not UTF-8", secret, signText(t, header, `{"sub":"`+"\xff"+`",`+exp+`}`), notValid},
			{"more after the claims", secret, signText(t, header, `{`+exp+`}{}`), notValid},
			{"claims are null", secret, signText(t, header, `null`), notValid},
			{"claims are an array", secret, signText(t, header, `[{`+exp+`}]`), notValid},
			{"claims are empty", secret, signText(t, header, ``), notValid},
			{"sub is a number", secret, hs(claimsOf(jwt.MapClaims{"sub": 1})), notValid},
			{"jti is a number", secret, hs(claimsOf(jwt.MapClaims{"jti": 1})), notValid},
			{"huge", secret, hs(claimsOf(jwt.MapClaims{"x": strings.Repeat("x", maxJWT)})), notValid},
			{"deep", secret, signText(t, header, `{"a":`+strings.Repeat("[", 2000)+strings.Repeat("]", 2000)+`,`+exp+`}`), ""},
		} {
			g, err := askJWT(t.Context(), newJWT(t, tt.options), tt.token, "todos")
			switch {
			case tt.name == "exp out of range": // how a float that large becomes an integer depends on the machine
				if err == nil {
					t.Errorf("%s: granted until %s", tt.name, g.Expires)
				}
			case tt.message != "":
				t.Log(tt.name)
				wantRefusal(t, tt.token, err, Unauthorized, tt.message)
			case err != nil:
				t.Errorf("%s: %v: %v", tt.name, err, errors.Unwrap(err))
			case g.Database != "todos" || !g.Expires.Equal(now.Add(time.Hour)) && tt.name != "deep":
				t.Errorf("%s: %+v", tt.name, g)
			}
		}
	})
}

// swapClaims puts the claims of other into a token.
func swapClaims(token, other string) string {
	a, b := strings.Split(token, "."), strings.Split(other, ".")
	return a[0] + "." + b[1] + "." + a[2]
}

func TestJWTAbstains(t *testing.T) {
	t.Parallel()
	j := newJWT(t, JWTOptions{Secret: []byte(testSecret), Database: "todos"})
	for _, credentials := range []string{
		``, `null`, `{}`, `[]`, `"a.b.c"`, `{"token":null}`, `{"token":1}`, `{"token":""}`, `{"name":"alice","password":"x"}`,
		`{"token":"plain"}`, `{"token":"eyJhbGciOiJIUzI1NiJ9.e30.ab","name":"alice"}`, `{"token":"a.b"}`, `{"token":"a.b.c"}`, `{"token":"a.b.c.d"}`, `{"token":".."}`, `{"token":"..."}`,
		`{"token":"eyJhbGciOiJIUzI1NiJ9.e30"}`, `{"token":"eyJhbGciOiJIUzI1NiJ9.e30.a.b.c"}`, `{"token":"eyJhbGciOiJIUzI1NiJ9.e30.a b"}`,
		`{"token":"eyJhbGciOiJIUzI1NiJ9\n.e30.ab"}`, `{"Token":"eyJhbGciOiJIUzI1NiJ9.e30.ab"}`,
		`{"token":"eyJhbGciOiJIUzI1NiJ9.e30.ab","token":"eyJhbGciOiJIUzI1NiJ9.e30.ab"}`,
	} {
		r := Request{Database: "todos", Credentials: json.RawMessage(credentials)}
		if g, err := j.OnRequest(t.Context(), r); !errors.Is(err, Abstain) {
			t.Errorf("%s: %+v, %v; want Abstain", credentials, g, err)
		}
	}
}

func TestJWTGrants(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		expires := time.Now().Add(time.Hour)
		base := func(o JWTOptions) JWTOptions { o.Secret = []byte(testSecret); return o }
		token := func(extra jwt.MapClaims) string {
			return signToken(t, "HS256", "", []byte(testSecret), claimsOf(extra))
		}
		alice := token(jwt.MapClaims{"jti": "7", "tenant": "acme", "realm": map[string]any{"roles": []string{"staff"}}})
		list := func(v any) string { return token(jwt.MapClaims{"dbs": v}) }
		dbs := base(JWTOptions{DatabasesClaim: "dbs"})
		access := base(JWTOptions{Database: "todos", AccessClaim: "acl.todos"})
		proxy := base(JWTOptions{Database: "todos", Identity: ProxyUser, RolesClaim: "realm.roles"})
		type object = map[string]any

		for _, tt := range []struct {
			name            string
			options         JWTOptions
			token, database string
			want            Grant // without Expires; without Subject that is alice; no Database: forbidden
		}{
			{"hexadecimal", base(JWTOptions{Database: "userdb-{hex sub}"}), alice, "todos", Grant{Database: "userdb-616c696365", Access: ReadWrite, TokenID: "7"}},
			{"claim", base(JWTOptions{Database: "{claim tenant}-todos", Upstream: "eu", DesignDocs: true}), alice, "todos", Grant{Upstream: "eu", Database: "acme-todos", Access: ReadWrite, DesignDocs: true, TokenID: "7"}},
			{"name asked for", base(JWTOptions{Database: "{claim tenant}/{name}", Access: ReadOnly}), alice, "todos", Grant{Database: "acme/todos", Access: ReadOnly, TokenID: "7"}},
			{"name asked for, with a slash", base(JWTOptions{Database: "{claim tenant}/{name}"}), alice, "a/b", Grant{}},
			{"name asked for, empty", base(JWTOptions{Database: "{claim tenant}/{name}"}), alice, "", Grant{}},
			{"name asked for, system", base(JWTOptions{Database: "{name}"}), alice, "_users", Grant{}},
			{"name asked for, escaped slash", base(JWTOptions{Database: "x-{name}"}), alice, "..%2f_users", Grant{}},
			{"name asked for, upper case", base(JWTOptions{Database: "{name}"}), alice, "Todos", Grant{}},
			{"name that may be asked for", base(JWTOptions{Database: "x-{name}", Names: "todos-*"}), alice, "todos-a", Grant{Database: "x-todos-a", Access: ReadWrite, TokenID: "7"}},
			{"name that may not", base(JWTOptions{Database: "x-{name}", Names: "todos-*"}), alice, "other", Grant{}},
			{"nested claim", base(JWTOptions{Database: "{claim org.id}-todos"}), token(jwt.MapClaims{"org": object{"id": "acme"}}), "", Grant{Database: "acme-todos", Access: ReadWrite}},
			{"a claim's name before its path", base(JWTOptions{Database: "{claim org.id}-todos"}), token(jwt.MapClaims{"org.id": "a", "org": object{"id": "b"}}), "", Grant{Database: "a-todos", Access: ReadWrite}},
			{"path through a string", base(JWTOptions{Database: "{claim sub.id}-todos"}), alice, "", Grant{}},
			{"claim is missing", base(JWTOptions{Database: "{claim nothing}-todos"}), alice, "", Grant{}},

			{"created", base(JWTOptions{Database: "userdb-{hex sub}", CreateMissing: true}), alice, "", Grant{Database: "userdb-616c696365", Access: ReadWrite, TokenID: "7", Create: &Creation{}}},
			{"created for one user", base(JWTOptions{Database: "userdb-{hex sub}", CreateMissing: true, Security: []byte(PerUserSecurity)}), alice, "", Grant{
				Database: "userdb-616c696365", Access: ReadWrite, TokenID: "7",
				Create: &Creation{Security: json.RawMessage(`{"admins":{"names":[],"roles":["_admin"]},"members":{"names":["alice"],"roles":[]}}`)}}},
			{"claim in the security is missing", base(JWTOptions{Database: "todos", CreateMissing: true, Security: []byte(`{"a":"{claim nothing}"}`)}), alice, "", Grant{}},

			{"access by claim", access, token(jwt.MapClaims{"acl": object{"todos": "read-only"}}), "", Grant{Database: "todos", Access: ReadOnly}},
			{"drop box by claim", access, token(jwt.MapClaims{"acl": object{"todos": "write-only"}}), "", Grant{Database: "todos", Access: WriteOnly}},
			{"no access by claim", access, token(jwt.MapClaims{"acl": object{"todos": "none"}}), "", Grant{}},
			{"unknown access", access, token(jwt.MapClaims{"acl": object{"todos": "admin"}}), "", Grant{}},
			{"access is no string", access, token(jwt.MapClaims{"acl": object{"todos": object{}}}), "", Grant{}},
			{"access claim is missing", access, alice, "", Grant{}},
			{"access claim is missing, with a default", base(JWTOptions{Database: "todos", AccessClaim: "acl", Access: ReadOnly}), alice, "", Grant{Database: "todos", Access: ReadOnly, TokenID: "7"}},
			{"access claim is null, with a default", base(JWTOptions{Database: "todos", AccessClaim: "acl", Access: ReadOnly}), signText(t, `{"alg":"HS256"}`, fmt.Sprintf(`{"exp":%d,"acl":null}`, expires.Unix())), "", Grant{}},

			{"listed", dbs, list([]any{"notes", "todos-*"}), "todos-a", Grant{Database: "todos-a", Access: ReadWrite}},
			{"not listed", dbs, list([]any{"notes", "todos-*"}), "other", Grant{}},
			{"listed as an object", dbs, list([]any{object{"match": "t-*", "database": "app-*", "access": "read-only", "design_docs": true, "create": true, "upstream": "eu"}}), "t-a", Grant{Upstream: "eu", Database: "app-a", Access: ReadOnly, DesignDocs: true, Create: &Creation{}}},
			{"first that matches decides", dbs, list([]any{object{"match": "a", "access": "read-only"}, "a"}), "a", Grant{Database: "a", Access: ReadOnly}},
			{"create taken back", base(JWTOptions{DatabasesClaim: "dbs", CreateMissing: true}), list([]any{object{"match": "a", "create": false}}), "a", Grant{Database: "a", Access: ReadWrite}},
			{"empty list", dbs, list([]any{}), "a", Grant{}},
			{"list is missing", dbs, alice, "a", Grant{}},
			{"list is a string", dbs, list("*"), "a", Grant{}},
			{"list is an object", dbs, list(object{"0": "a"}), "a", Grant{}},
			{"fault after the match", dbs, list([]any{"a", 1}), "a", Grant{}},
			{"unknown member", dbs, list([]any{object{"match": "a", "read_only": true}}), "a", Grant{}},
			{"no match", dbs, list([]any{object{"database": "a"}}), "a", Grant{}},
			{"member of the wrong type", dbs, list([]any{object{"match": "a", "design_docs": "false"}}), "a", Grant{}},
			{"access of the list is wrong", dbs, list([]any{object{"match": "a", "access": "all"}}), "a", Grant{}},
			{"two stars", dbs, list([]any{"a*b*"}), "axbx", Grant{}},
			{"star without a star", dbs, list([]any{object{"match": "a", "database": "b-*"}}), "a", Grant{}},
			{"system database", dbs, list([]any{"_users"}), "_users", Grant{}},
			{"system database behind a name", dbs, list([]any{object{"match": "people", "database": "_users"}}), "people", Grant{}},
			{"slash in the star", dbs, list([]any{"todos-*"}), "todos-a/b", Grant{}},
			{"dots in the star", dbs, list([]any{"todos-*"}), "todos-../_users", Grant{}},

			{"bearer", base(JWTOptions{Database: "todos", Identity: Bearer}), alice, "", Grant{Database: "todos", Access: ReadWrite, TokenID: "7", Identity: Identity{Kind: Bearer, Secret: alice}}},
			{"proxy user", proxy, alice, "", Grant{Database: "todos", Access: ReadWrite, TokenID: "7", Identity: Identity{Kind: ProxyUser, Name: "alice", Roles: []string{"staff"}}}},
			{"proxy user without roles", proxy, token(nil), "", Grant{Database: "todos", Access: ReadWrite, Identity: Identity{Kind: ProxyUser, Name: "alice"}}},
			{"proxy user without sub", proxy, token(jwt.MapClaims{"sub": nil}), "", Grant{}},
			{"proxy user with a line break", proxy, token(jwt.MapClaims{"sub": "a\r\nX-Auth-CouchDB-Roles: _admin"}), "", Grant{}},
			{"role _admin", proxy, token(jwt.MapClaims{"realm": object{"roles": []string{"_admin"}}}), "", Grant{}},
			{"two roles in one", proxy, token(jwt.MapClaims{"realm": object{"roles": []string{"a,_admin"}}}), "", Grant{}},
			{"role is a number", proxy, token(jwt.MapClaims{"realm": object{"roles": []any{1}}}), "", Grant{}},
			{"roles are a string", proxy, token(jwt.MapClaims{"realm": object{"roles": "staff"}}), "", Grant{}},
		} {
			g, err := askJWT(t.Context(), newJWT(t, tt.options), tt.token, tt.database)
			if tt.want.Database == "" {
				t.Log(tt.name)
				wantRefusal(t, tt.token, err, Forbidden, "this token does not open the database asked for")
				continue
			}
			tt.want.Subject, tt.want.Expires = "alice", expires
			if diff := cmp.Diff(tt.want, g); err != nil || diff != "" {
				t.Errorf("%s: %v, grant (-want +got):\n%s", tt.name, err, diff)
			}
		}
	})
}

// TestJWTSubjects puts hostile subjects into names: a claim never leaves its place.
func TestJWTSubjects(t *testing.T) {
	t.Parallel()
	hexed := newJWT(t, JWTOptions{Secret: []byte(testSecret), Database: "userdb-{hex sub}"})
	plain := newJWT(t, JWTOptions{Secret: []byte(testSecret), Database: "u-{claim sub}-db"})
	for _, tt := range []struct {
		sub          string
		hexed, plain string // empty: forbidden
	}{
		{"alice", "userdb-616c696365", "u-alice-db"},
		{"a/b", "userdb-612f62", ""},
		{"..", "userdb-2e2e", ""},
		{"../_users", "userdb-2e2e2f5f7573657273", ""},
		{"%2f", "userdb-253266", ""},
		{"Alice", "userdb-416c696365", ""},
		{"älice", "userdb-c3a46c696365", ""},
		{"a\x00b", "userdb-610062", ""},
		{"a b", "userdb-612062", ""},
		{"{hex sub}", "userdb-7b686578207375627d", ""},
		{"_users", "userdb-5f7573657273", "u-_users-db"},
		{"", "", ""},
		{strings.Repeat("a", 300), "userdb-" + strings.Repeat("61", 300), "u-" + strings.Repeat("a", 300) + "-db"}, // CouchDB's limit is checked in couch
	} {
		token := signToken(t, "HS256", "", []byte(testSecret), claimsOf(jwt.MapClaims{"sub": tt.sub}))
		for _, p := range []struct {
			policy *JWT
			want   string
		}{{hexed, tt.hexed}, {plain, tt.plain}} {
			g, err := askJWT(t.Context(), p.policy, token, "todos")
			if p.want == "" {
				wantRefusal(t, token, err, Forbidden, "this token does not open")
			} else if err != nil || g.Database != p.want {
				t.Errorf("sub %.20q: %q, %v; want %q", tt.sub, g.Database, err, p.want)
			}
		}
	}
	token := signToken(t, "HS256", "", []byte(testSecret), claimsOf(jwt.MapClaims{"sub": nil}))
	_, err := askJWT(t.Context(), hexed, token, "todos")
	wantRefusal(t, token, err, Forbidden, "this token does not open")
}
