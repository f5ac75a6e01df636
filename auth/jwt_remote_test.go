package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// keyServer answers requests for a set without a network, so that it works in the time of synctest.
type keyServer struct {
	mu       sync.Mutex
	answer   func(*http.Request) (int, io.Reader, error)
	requests []time.Time
}

func (s *keyServer) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	answer := s.answer
	s.requests = append(s.requests, time.Now())
	s.mu.Unlock()
	status, body, err := answer(r)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Location": {"/elsewhere"}}, Body: io.NopCloser(body), Request: r}, nil
}

func (s *keyServer) set(answer func(*http.Request) (int, io.Reader, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *keyServer) serve(status int, body []byte) {
	s.set(func(*http.Request) (int, io.Reader, error) { return status, bytes.NewReader(body), nil })
}

func (s *keyServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// endlessBody is a body of spaces; it counts what is read.
type endlessBody struct{ n atomic.Int64 }

func (e *endlessBody) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.n.Add(int64(len(p)))
	return len(p), nil
}

func remoteOptions(s *keyServer) JWTOptions {
	return JWTOptions{JWKSURL: "https://user:hidden@issuer.example/jwks", JWKSTransport: s, Database: "todos"}
}

// wantOutcome checks what a token gets: a grant, or a refusal by this code.
func wantOutcome(t *testing.T, when string, j *JWT, token string, code Code) {
	t.Helper()
	_, err := askJWT(t.Context(), j, token, "todos")
	switch {
	case code == "" && err != nil:
		t.Errorf("%s: refused: %v: %v", when, err, errors.Unwrap(err))
	case code != "":
		wantRefusal(t, token, err, code, "")
		if cause := errors.Unwrap(err); cause != nil && strings.Contains(cause.Error(), "hidden") {
			t.Errorf("%s: the cause shows the URL's password: %v", when, cause)
		}
	}
}

func TestJWKSRotation(t *testing.T) {
	t.Parallel()
	i := testIssuer()
	synctest.Test(t, func(t *testing.T) {
		server := &keyServer{}
		server.serve(200, jwksOf(t, map[string]any{"one": i.rsa}))
		j := newJWT(t, remoteOptions(server))
		one, two := signToken(t, "RS256", "one", i.rsa, claimsOf(nil)), signToken(t, "RS256", "two", i.otherRSA, claimsOf(nil))
		wantOutcome(t, "at the start", j, one, "")
		wantOutcome(t, "unknown name, just fetched", j, two, Unauthorized)
		if n := server.count(); n != 1 {
			t.Errorf("%d requests; want 1", n)
		}

		server.serve(200, jwksOf(t, map[string]any{"one": i.rsa, "two": i.otherRSA}))
		time.Sleep(jwksPause)
		wantOutcome(t, "new key", j, two, "") // asked for and waited for
		wantOutcome(t, "old key beside the new", j, one, "")
		if n := server.count(); n != 2 {
			t.Errorf("%d requests; want 2", n)
		}

		server.serve(200, jwksOf(t, map[string]any{"two": i.otherRSA}))
		time.Sleep(defaultJWKSInterval + time.Second)
		wantOutcome(t, "old key taken away", j, one, Unauthorized)
		wantOutcome(t, "new key", j, two, "")

		server.serve(200, jwkSet())
		time.Sleep(defaultJWKSInterval + time.Second)
		wantOutcome(t, "all keys taken away", j, two, Unavailable)
	})
}

func TestJWKSDown(t *testing.T) {
	t.Parallel()
	i := testIssuer()
	synctest.Test(t, func(t *testing.T) {
		server := &keyServer{}
		down := errors.New("connection refused")
		server.set(func(*http.Request) (int, io.Reader, error) { return 0, nil, down })
		var reports []error
		var keys []int
		o := remoteOptions(server)
		o.OnJWKS = func(n int, err error) { keys, reports = append(keys, n), append(reports, err) }
		o.Secret = []byte(testSecret)
		j := newJWT(t, o)
		token := signToken(t, "RS256", "one", i.rsa, claimsOf(jwtLong))
		wantOutcome(t, "down at the start", j, token, Unavailable)
		wantOutcome(t, "no name, down at the start", j, signToken(t, "RS256", "", i.rsa, claimsOf(nil)), Unavailable)
		wantOutcome(t, "a key of the configuration", j, signToken(t, "HS256", "", []byte(testSecret), claimsOf(nil)), "")
		wantOutcome(t, "alg none", j, signText(t, `{"alg":"none","kid":"x"}`, `{}`), Unauthorized)

		server.serve(200, jwksOf(t, map[string]any{"one": i.rsa}))
		time.Sleep(jwksPause + time.Second)
		wantOutcome(t, "up", j, token, "")

		server.set(func(*http.Request) (int, io.Reader, error) { return 0, nil, down })
		time.Sleep(48 * time.Hour)
		wantOutcome(t, "down for two days", j, token, "")
		wantOutcome(t, "a name that may be new", j, signToken(t, "RS256", "two", i.otherRSA, claimsOf(nil)), Unavailable)
		wantOutcome(t, "HMAC under the name of a public key", j, signToken(t, "HS256", "one", []byte(testSecret), claimsOf(nil)), Unauthorized)
		synctest.Wait()
		if len(reports) < 3 || !errors.Is(reports[0], down) || reports[1] != nil || keys[1] != 1 || !errors.Is(reports[2], down) {
			t.Errorf("reports: %v, %v", keys, reports[:min(len(reports), 3)])
		}
	})
}

// jwtLong is for tokens that outlive an outage.
var jwtLong = map[string]any{"exp": 4102444800}

// TestJWKSRate has an attacker make up names: the issuer hears of it every 10 seconds at most.
func TestJWKSRate(t *testing.T) {
	t.Parallel()
	i := testIssuer()
	for _, up := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			server := &keyServer{}
			server.serve(200, jwksOf(t, map[string]any{"one": i.rsa}))
			if !up {
				server.serve(500, nil)
			}
			j := newJWT(t, remoteOptions(server))
			start := time.Now()
			var all sync.WaitGroup
			var madeUp atomic.Int64
			for range 8 {
				all.Go(func() {
					for time.Since(start) < 2*time.Minute {
						if _, err := askJWT(t.Context(), j, signToken(t, "EdDSA", fmt.Sprint("made-up-", madeUp.Add(1)), i.ed, claimsOf(nil)), "todos"); err == nil {
							t.Error("granted")
						}
						time.Sleep(time.Second)
					}
				})
			}
			all.Wait()
			if n := server.count(); n < 12 || n > 13 {
				t.Errorf("up %t: %d requests in two minutes; want one each 10 seconds", up, n)
			}
			server.mu.Lock()
			defer server.mu.Unlock()
			for i := 1; i < len(server.requests); i++ {
				if gap := server.requests[i].Sub(server.requests[i-1]); gap < jwksPause {
					t.Errorf("up %t: request %d came %s after the one before", up, i, gap)
				}
			}
		})
	}
}

func TestJWKSAnswers(t *testing.T) {
	t.Parallel()
	i := testIssuer()
	good := jwksOf(t, map[string]any{"one": i.rsa})
	for _, tt := range []struct {
		name   string
		status int
		body   []byte
		want   Code   // of a token by key "one"
		report string // empty: no error
	}{
		{"good", 200, good, "", ""},
		{"beside keys of other uses", 200, append(bytes.TrimSuffix(good, []byte("]}")), []byte(","+foreignJWKs+"]}")...), "", ""},
		{"beside a weak key", 200, append(bytes.TrimSuffix(good, []byte("]}")), []byte(","+weakJWK+"]}")...), "", `kid "weak": RSA key has`},
		{"weak", 200, jwkSet(weakJWK), Unavailable, `kid "weak": RSA key has`},
		{"a secret in public", 200, jwksOf(t, map[string]any{"one": []byte(testSecret)}), Unavailable, "a symmetric key is not taken from a URL"},
		{"status 500", 500, good, Unavailable, "status is 500"},
		{"status 204", 204, nil, Unavailable, "status is 204"},
		{"redirected", 302, good, Unavailable, "status is 302"},
		{"HTML", 200, []byte("<html>login</html>"), Unavailable, "not a JSON Web Key Set"},
		{"empty", 200, nil, Unavailable, "not a JSON Web Key Set"},
		{"null", 200, []byte("null"), Unavailable, "not a JSON Web Key Set"},
		{"no keys", 200, []byte("{}"), Unavailable, `it has no "keys"`},
		{"cut off", 200, good[:len(good)-3], Unavailable, "not a JSON Web Key Set"},
		{"keys of the wrong type", 200, []byte(`{"keys":[{"kty":5}]}`), Unavailable, "not a JSON Web Key Set"},
		{"10 MB", 200, append(bytes.TrimSuffix(good, []byte("}")), append(bytes.Repeat([]byte(" "), 10<<20), '}')...), Unavailable, "longer than 1 MiB"},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := &keyServer{}
			server.serve(tt.status, tt.body)
			var report error
			o := remoteOptions(server)
			o.OnJWKS = func(_ int, err error) { report = err }
			j := newJWT(t, o)
			wantOutcome(t, tt.name, j, signToken(t, "RS256", "one", i.rsa, claimsOf(nil)), tt.want)
			wantOutcome(t, tt.name+", forged with the secret in public", j, signToken(t, "HS256", "one", []byte(testSecret), claimsOf(nil)), map[Code]Code{"": Unauthorized, Unavailable: Unavailable}[tt.want])
			synctest.Wait()
			if (report == nil) != (tt.report == "") || report != nil && !strings.Contains(report.Error(), tt.report) {
				t.Errorf("%s: report %v; want %q", tt.name, report, tt.report)
			}
		})
	}
}

func TestJWKSEndlessAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, body := &keyServer{}, &endlessBody{}
		server.set(func(*http.Request) (int, io.Reader, error) { return 200, body, nil })
		j := newJWT(t, remoteOptions(server))
		wantOutcome(t, "endless", j, signToken(t, "RS256", "one", testIssuer().rsa, claimsOf(nil)), Unavailable)
		if n := body.n.Load(); n > 2*maxJWKSBytes {
			t.Errorf("%d bytes were read", n)
		}
	})
}

// TestJWKSHangs has a server that does not answer: a request waits no longer than its own deadline or the fetch's, and
// Close ends both.
func TestJWKSHangs(t *testing.T) {
	t.Parallel()
	token := signToken(t, "RS256", "one", testIssuer().rsa, claimsOf(jwtLong))
	hang := func(r *http.Request) (int, io.Reader, error) {
		<-r.Context().Done()
		return 0, nil, r.Context().Err()
	}
	synctest.Test(t, func(t *testing.T) {
		server := &keyServer{}
		server.set(hang)
		j := newJWT(t, remoteOptions(server))
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := askJWT(ctx, j, token, "todos")
		wantRefusal(t, token, err, Unavailable, "")
		if took := time.Since(start); took != time.Second {
			t.Errorf("a request with a deadline took %s; want 1s", took)
		}
		wantOutcome(t, "hangs", j, token, Unavailable)
		if took := time.Since(start); took != jwksTimeout {
			t.Errorf("a request waited until %s; want %s", took, jwksTimeout)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		server := &keyServer{}
		server.set(hang)
		j := newJWT(t, remoteOptions(server))
		start := time.Now()
		var waiting sync.WaitGroup
		waiting.Go(func() { wantOutcome(t, "closed meanwhile", j, token, Unavailable) })
		synctest.Wait()
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		waiting.Wait()
		if took := time.Since(start); took != 0 {
			t.Errorf("Close took %s", took)
		}
		wantOutcome(t, "closed before", j, token, Unavailable)
	})
}

// TestJWKSOverNetwork uses the transport of its own: no connection is left, and no redirection followed.
func TestJWKSOverNetwork(t *testing.T) {
	t.Parallel()
	i := testIssuer()
	keys := jwksOf(t, map[string]any{"one": i.rsa})
	mux := http.NewServeMux()
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(keys) })
	mux.Handle("/moved", http.RedirectHandler("/keys", http.StatusFound))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	token := signToken(t, "RS256", "one", i.rsa, claimsOf(nil))
	wantOutcome(t, "keys", newJWT(t, JWTOptions{JWKSURL: server.URL + "/keys", Database: "todos"}), token, "")
	wantOutcome(t, "moved", newJWT(t, JWTOptions{JWKSURL: server.URL + "/moved", Database: "todos"}), token, Unavailable)
}
