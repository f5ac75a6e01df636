package auth

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// FuzzJWT looks for credentials that are granted though the issuer made no such token, and for answers that are neither a
// grant nor a refusal.
func FuzzJWT(f *testing.F) {
	i := testIssuer()
	claims := jwt.MapClaims{"sub": "alice", "exp": 4102444800}
	genuine := map[string]bool{}
	for _, token := range []string{
		signToken(f, "HS256", "", []byte(testSecret), claims),
		signToken(f, "RS256", "r", i.rsa, claims),
		signToken(f, "EdDSA", "", i.ed, claims),
	} {
		genuine[token] = true
		f.Add([]byte(`{"token":"` + token + `"}`))
	}
	f.Add([]byte(`{"token":"` + signToken(f, "none", "", jwt.UnsafeAllowNoneSignatureType, claims) + `"}`))
	f.Add([]byte(`{"token":"eyJhbGciOiJIUzI1NiJ9.e30."}`))
	f.Add([]byte(`{"token":"a.b.c"}`))
	j := newJWT(f, JWTOptions{
		Secret:   []byte(testSecret),
		Keys:     append(publicPEM(f, i.rsa, "r"), publicPEM(f, i.ed, "")...),
		Database: "userdb-{hex sub}",
	})
	f.Fuzz(func(t *testing.T, credentials []byte) {
		g, err := j.OnRequest(t.Context(), Request{Credentials: json.RawMessage(credentials), Database: "todos"})
		if err != nil {
			if r := (*Refusal)(nil); !errors.As(err, &r) || r.Code != Unauthorized || !errors.Is(err, Abstain) && r.Err == nil {
				t.Errorf("%v is no refusal of a token", err)
			}
			return
		}
		if token, _ := tokenOf(credentials); !genuine[token] {
			t.Errorf("granted %+v for a token that was not made", g)
		}
		if g.Database != "userdb-616c696365" || g.Access != ReadWrite || !g.Expires.Equal(time.Unix(4102444800, 0)) {
			t.Errorf("granted %+v", g)
		}
	})
}

// FuzzParseKeys looks for keys that are too weak, and for panics.
func FuzzParseKeys(f *testing.F) {
	i := testIssuer()
	f.Add(publicPEM(f, i.rsa, "r"))
	f.Add(testCertificate(f, i.ec256))
	f.Add(jwksOf(f, map[string]any{"r": i.rsa, "d": i.ed, "e": i.ec521, "h": []byte(testSecret)}))
	f.Add(jwkSet(foreignJWKs, weakJWK))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseKeys(text)
		if err != nil {
			return
		}
		if len(keys) == 0 {
			t.Error("neither keys nor an error")
		}
		for _, k := range keys {
			if _, err := algorithmsOf(k.key); err != nil || len(k.algorithms) == 0 {
				t.Errorf("key %q: %v, algorithms %v", k.kid, err, k.algorithms)
			}
		}
	})
}

// BenchmarkJWT measures decisions of one core, by way of the policy itself.
func BenchmarkJWT(b *testing.B) {
	i := testIssuer()
	for _, bm := range []struct {
		alg  string
		key  any
		keys []byte
	}{
		{"HS256", []byte(testSecret), nil},
		{"RS256", i.rsa, publicPEM(b, i.rsa, "k")},
		{"PS256", i.rsa, publicPEM(b, i.rsa, "k")},
		{"ES256", i.ec256, publicPEM(b, i.ec256, "k")},
		{"ES384", i.ec384, publicPEM(b, i.ec384, "k")},
		{"ES512", i.ec521, publicPEM(b, i.ec521, "k")},
		{"EdDSA", i.ed, publicPEM(b, i.ed, "k")},
	} {
		b.Run(bm.alg, func(b *testing.B) {
			o := JWTOptions{Keys: bm.keys, Database: "userdb-{hex sub}", Issuer: "https://issuer.example", Audience: []string{"pouchbridge"}}
			if bm.keys == nil {
				o.Secret = []byte(testSecret)
			}
			j := newJWT(b, o)
			token := signToken(b, bm.alg, "k", bm.key, claimsOf(jwt.MapClaims{"iss": "https://issuer.example", "aud": "pouchbridge", "jti": "1", "iat": time.Now().Unix()}))
			r := Request{Credentials: json.RawMessage(`{"token":"` + token + `"}`), Database: "todos"}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := j.OnRequest(b.Context(), r); err != nil {
					b.Fatal(errors.Unwrap(err))
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "decisions/s")
		})
	}
}
