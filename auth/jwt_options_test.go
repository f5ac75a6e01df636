package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
)

// jwksOf is the set of public keys (or secrets) by name.
func jwksOf(t testing.TB, keys map[string]any) []byte {
	t.Helper()
	set := jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{}}
	for kid, key := range keys {
		if private, ok := key.(crypto.Signer); ok {
			key = private.Public()
		}
		jwk, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{
			Marshal:  jwkset.JWKMarshalOptions{Private: true},
			Metadata: jwkset.JWKMetadataOptions{KID: kid},
		})
		if err != nil {
			t.Fatal(err)
		}
		set.Keys = append(set.Keys, jwk.Marshal())
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// jwkSet is a set of JWKs as they are.
func jwkSet(jwks ...string) []byte {
	return []byte(`{"keys":[` + strings.Join(jwks, ",") + `]}`)
}

func testCertificate(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuer"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

const (
	foreignJWKs = `{"kty":"RSA","use":"enc","n":"AQAB","e":"AQAB"},{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"},{"kty":"new"},` +
		`{"kty":"OKP","crv":"X25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},{"kty":"RSA","key_ops":["encrypt"]}`
	weakJWK = `{"kty":"RSA","kid":"weak","n":"sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri23bOdgWp4Dy1WlUzewbgBHod5pcM9H95GQRV3JDXboIRROSBigeC5yjU1hGzHHyXss8UDpre","e":"AQAB"}`
)

func TestJWTKeysGiven(t *testing.T) {
	t.Parallel()
	i := testIssuer()
	for _, tt := range []struct {
		name     string
		keys     []byte
		alg, kid string
		key      any
	}{
		{"certificate", testCertificate(t, i.ec256), "ES256", "", i.ec256},
		{"PKCS #1", pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&i.rsa.PublicKey)}), "RS256", "", i.rsa},
		{"text around the PEM", append([]byte("subject=issuer\n"), publicPEM(t, i.ed, "")...), "EdDSA", "", i.ed},
		{"named PEM", append(publicPEM(t, i.rsa, "old"), publicPEM(t, i.otherRSA, "new")...), "PS256", "new", i.otherRSA},
		{"set", jwksOf(t, map[string]any{"r": i.rsa, "e": i.ec384, "d": i.ed}), "ES384", "e", i.ec384},
		{"set, no kid in the token", jwksOf(t, map[string]any{"r": i.rsa, "e": i.ec384}), "RS512", "", i.rsa},
		{"set with a secret", jwksOf(t, map[string]any{"h": []byte(testSecret), "e": i.ec384}), "HS256", "h", []byte(testSecret)},
		{"set with foreign keys", append(bytes.TrimSuffix(jwksOf(t, map[string]any{"d": i.ed}), []byte("]}")), []byte(","+foreignJWKs+"]}")...), "EdDSA", "d", i.ed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := newJWT(t, JWTOptions{Keys: tt.keys, Database: "todos"})
			if _, err := askJWT(t.Context(), j, signToken(t, tt.alg, tt.kid, tt.key, claimsOf(nil)), "todos"); err != nil {
				t.Errorf("%v", refusal(t, err).Err)
			}
		})
	}
}

func TestNewJWTFaults(t *testing.T) {
	t.Parallel()
	i := testIssuer()
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	huge := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 8192, 1), E: 65537}
	small := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 2046, 1), E: 65537}
	even := &rsa.PublicKey{N: i.rsa.N, E: 4}
	pkcs1 := func(key *rsa.PublicKey) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(key)})
	}
	private, err := x509.MarshalPKCS8PrivateKey(i.rsa)
	if err != nil {
		t.Fatal(err)
	}
	publicKey := publicPEM(t, i.rsa, "")
	der, _ := pem.Decode(publicKey)
	good := func(change func(*JWTOptions)) JWTOptions {
		o := JWTOptions{Secret: []byte(testSecret), Database: "todos"}
		change(&o)
		return o
	}
	keys := func(text []byte) JWTOptions { return JWTOptions{Keys: text, Database: "todos"} }
	secret := func(text string) JWTOptions { return JWTOptions{Secret: []byte(text), Database: "todos"} }
	for _, tt := range []struct {
		name    string
		options JWTOptions
		want    []string
	}{
		{"nothing", JWTOptions{}, []string{"Keys: there are none", "Database: set either"}},
		{"everything at once", JWTOptions{Secret: []byte("x"), Database: "{", Leeway: time.Hour, Names: "A"}, []string{"Secret: ", "Database: ", "Leeway: ", "Names: "}},

		{"RSA key too small", keys(pkcs1(small)), []string{"Keys: PEM block 1: RSA key has 2047 bits; it must have 2048 to 8192"}},
		{"RSA key too large", keys(pkcs1(huge)), []string{"RSA key has 8193 bits"}},
		{"RSA key with an even exponent", keys(pkcs1(even)), []string{"exponent"}},
		{"other curve", keys(publicPEM(t, p224, "")), []string{"P-224"}},
		{"private key", keys(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), []string{"PEM block 1: is a \"PRIVATE KEY\"; a PUBLIC KEY"}},
		{"second block broken", keys(append(publicKey, "-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----\n"...)), []string{"1 of 2 PEM blocks cannot be read"}},
		{"block of other bytes", keys(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})), []string{"PEM block 1: "}},
		{"too many keys", keys(bytes.Repeat(publicPEM(t, i.ed, ""), 101)), []string{"101 keys; at most 100"}},
		{"no PEM", keys([]byte(testSecret)), []string{"neither PEM"}},
		{"no set", keys([]byte(`{"kty":"RSA"}`)), []string{`it has no "keys"`}},
		{"set that is no JSON", keys([]byte(`{"keys":[`)), []string{"not a JSON Web Key Set"}},
		{"set without keys", keys(jwkSet()), []string{"no key for signatures"}},
		{"set of foreign keys", keys(jwkSet(foreignJWKs)), []string{"no key for signatures"}},
		{"set with a weak key", keys(jwkSet(weakJWK)), []string{`keys[0], kid "weak": RSA key has`}},
		{"set with a weak secret", keys(jwkSet(`{"kty":"oct","k":"c2VjcmV0"}`)), []string{"secret has 6 bytes"}},
		{"set with a private key", keys(jwkSet(`{"kty":"OKP","crv":"Ed25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","d":"AA"}`)), []string{"is a private key"}},
		{"set with a point off the curve", keys(jwkSet(`{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}`)), []string{"keys[0]"}},
		{"set with an algorithm of another type", keys(jwkSet(strings.Replace(string(bytes.TrimSuffix(bytes.TrimPrefix(jwksOf(t, map[string]any{"r": i.rsa}), []byte(`{"keys":[`)), []byte("]}"))), "{", `{"alg":"HS256",`, 1))), []string{`key is for the algorithm "HS256"`}},
		{"set of too many", keys(jwkSet(strings.Repeat("{},", 100) + "{}")), []string{"101 keys; at most 100"}},
		{"key for no algorithm", JWTOptions{Keys: publicKey, Algorithms: []string{"ES256"}, Database: "todos"}, []string{"not among Algorithms"}},
		{"key without a name beside a URL", JWTOptions{Keys: publicKey, JWKSURL: "https://issuer.example/", Database: "todos"}, []string{"key 1 has no name (kid)"}},

		{"short secret", secret("0123456789abcdef0123456789abcde"), []string{"Secret: secret has 31 bytes; it must have at least 32"}},
		{"short secret and a newline", secret("0123456789abcdef0123456789abcde\n"), []string{"31 bytes"}},
		{"public key as a secret", secret(string(publicKey)), []string{"which others know"}},
		{"bare public key as a secret", secret(base64.StdEncoding.EncodeToString(der.Bytes)), []string{"which others know"}},
		{"bytes of a public key as a secret", secret(string(der.Bytes)), []string{"which others know"}},
		{"PKCS #1 as a secret", secret(string(x509.MarshalPKCS1PublicKey(&i.rsa.PublicKey))), []string{"which others know"}},
		{"certificate as a secret", secret(string(testCertificate(t, i.ec256))), []string{"which others know"}},
		{"set as a secret", secret(string(jwksOf(t, map[string]any{"d": i.ed}))), []string{"which others know"}},

		{"URL of nothing", good(func(o *JWTOptions) { o.JWKSURL = "issuer.example" }), []string{"JWKSURL: must be like https://"}},
		{"URL of a file", good(func(o *JWTOptions) { o.JWKSURL = "file:///etc/keys" }), []string{"JWKSURL: must be like https://"}},
		{"URL that cannot be read", good(func(o *JWTOptions) { o.JWKSURL = "https://u:hidden@h:x/" }), []string{"JWKSURL: must be like https://"}},
		{"http", good(func(o *JWTOptions) { o.JWKSURL = "http://issuer.example/" }), []string{"JWKSURL: is http"}},
		{"fetched too often", good(func(o *JWTOptions) { o.JWKSURL, o.JWKSInterval = "https://issuer.example/", time.Second }), []string{"JWKSURL: is to be fetched every 1s"}},
		{"alg none", good(func(o *JWTOptions) { o.Algorithms = []string{"none"} }), []string{`Algorithms: "none" is not known here`}},
		{"leeway", good(func(o *JWTOptions) { o.Leeway = 6 * time.Minute }), []string{"Leeway: is 6m0s; at most 5m0s"}},
		{"both forms", good(func(o *JWTOptions) { o.DatabasesClaim = "dbs" }), []string{"set either Database or DatabasesClaim"}},
		{"access claim of a list", good(func(o *JWTOptions) { o.Database, o.DatabasesClaim, o.AccessClaim = "", "dbs", "a" }), []string{"AccessClaim: goes with Database"}},
		{"names", good(func(o *JWTOptions) { o.Names = "a*b*" }), []string{"Names: "}},
		{"access", good(func(o *JWTOptions) { o.Access = 9 }), []string{"Access: Access(9) is none"}},
		{"identity", good(func(o *JWTOptions) { o.Identity = Basic }), []string{"Identity: ", "is not possible with a token"}},
		{"roles of nobody", good(func(o *JWTOptions) { o.RolesClaim = "roles" }), []string{"RolesClaim is for a proxy user only"}},
		{"security is an array", good(func(o *JWTOptions) { o.Security = []byte(`[]`) }), []string{"Security: must be a JSON object"}},
		{"security is empty", good(func(o *JWTOptions) { o.Security = []byte{} }), []string{"Security: must be a JSON object"}},
		{"security is cut off", good(func(o *JWTOptions) { o.Security = []byte(`{"a":`) }), []string{"Security: not JSON"}},
		{"security and more", good(func(o *JWTOptions) { o.Security = []byte(`{} {}`) }), []string{"Security: has more text"}},
		{"security with the name asked for", good(func(o *JWTOptions) { o.Security = []byte(`{"a":"{name}"}`) }), []string{"a string with a brace must be"}},
		{"security with a part of a string", good(func(o *JWTOptions) { o.Security = []byte(`{"a":"x-{claim sub}"}`) }), []string{"a string with a brace must be"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j, err := NewJWT(tt.options)
			if err == nil {
				t.Fatalf("no error, and a policy: %v", j.Close())
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q:\n%v", want, err)
				}
			}
			if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, testSecret[:31]) || strings.Contains(text, "hidden") {
				t.Errorf("the error shows a secret: %s", text)
			}
		})
	}
}

func TestSecurityTemplate(t *testing.T) {
	t.Parallel()
	s, err := parseSecurityTemplate([]byte(` {"{x": [1.50, "{claim sub}", {"n": "{hex sub}"}], "t": true} `))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ sub, want string }{
		{`alice`, `{"{x":[1.50,"alice",{"n":"616c696365"}],"t":true}`},
		{`","roles":["_admin"],"x":"`, `{"{x":[1.50,"\",\"roles\":[\"_admin\"],\"x\":\"",{"n":"222c22726f6c6573223a5b225f61646d696e225d2c2278223a22"}],"t":true}`},
	} {
		got, err := s.expand(tokenClaims{map[string]any{"sub": tt.sub}})
		if err != nil || string(got) != tt.want {
			t.Errorf("sub %q: %s, %v; want %s", tt.sub, got, err, tt.want)
		}
	}
}
