package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// couchDB is a server that says it is up, or, once down is set, that it is not.
func couchDB(t *testing.T) (url string, down *atomic.Bool) {
	t.Helper()
	down = new(atomic.Bool)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if down.Load() {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"status":"maintenance_mode"}`)
			return
		}
		_, _ = io.WriteString(w, `{"status":"ok"}`)
	}))
	t.Cleanup(server.Close)
	return server.URL, down
}

// ask sends a GET and returns status and body.
func ask(t *testing.T, client *http.Client, url, host string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// client makes an HTTP client whose connections end with the test.
func client(t *testing.T, config *tls.Config) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

// ending reads from a websocket until it ends, and returns with what code. It returns only after the server has answered
// a ping, so that it surely knows of the websocket.
func ending(t *testing.T, ws *websocket.Conn) <-chan websocket.StatusCode {
	t.Helper()
	code := make(chan websocket.StatusCode, 1)
	go func() {
		_, _, err := ws.Read(t.Context())
		code <- websocket.CloseStatus(err)
	}()
	if err := ws.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	return code
}

// dial opens a websocket, from a page of origin if that is given.
func dial(t *testing.T, client *http.Client, url, origin string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	ws, response, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: client, HTTPHeader: header})
	if err == nil {
		t.Cleanup(func() { _ = ws.CloseNow() })
	}
	return ws, response, err
}

func TestServe(t *testing.T) {
	t.Parallel()
	url, down := couchDB(t)
	p := start(t, "serve", map[string]string{
		"LISTEN": "127.0.0.1:0", "ADMIN_LISTEN": "127.0.0.1:0", "POLICY": "open",
		"COUCHDB_URL": strings.Replace(url, "http://", "http://admin:s3cr3t@", 1), "ALLOWED_ORIGINS": "app.example.com",
		"LOG_LEVEL": "trace",
	})
	if p.listening["policy"] != "open" || p.listening["couchdb"] != url || p.listening["time"] == nil {
		t.Errorf("listening: %v", p.listening)
	}
	web := client(t, nil)
	clientsURL, adminURL := p.listening["url"].(string), p.listening["admin_url"].(string)
	plainURL := strings.Replace(clientsURL, "ws://", "http://", 1)

	for _, tt := range []struct {
		name, url, host string
		status          int
		body            string
	}{
		{"health for everyone", plainURL + "/healthz", "", 200, "ok"},
		{"no websocket", plainURL, "", http.StatusUpgradeRequired, "websocket"},
		{"loopback name", plainURL + "/healthz", "localhost:5173", 200, "ok"},
		{"loopback address", plainURL + "/healthz", "[::1]", 200, "ok"},
		{"a page's own name for this address", plainURL + "/healthz", "evil.example.com:3000", http.StatusMisdirectedRequest, "answers only to localhost"},
		{"a name like an address", plainURL + "/healthz", "127.0.0.1.example.com", http.StatusMisdirectedRequest, "answers only to localhost"},
		{"no metrics for everyone", plainURL + "/metrics", "", http.StatusUpgradeRequired, "websocket"},
		{"health", adminURL + "/healthz", "", 200, "ok"},
		{"readiness", adminURL + "/readyz", "", 200, "ok"},
		{"build info", adminURL + "/metrics", "", 200, `pouchbridge_build_info{go_version="go1`},
		{"metrics of the Go runtime", adminURL + "/metrics", "", 200, "go_goroutines "},
		{"nothing else", adminURL + "/debug/pprof/", "", 404, "not found"},
	} {
		if status, body := ask(t, web, tt.url, tt.host); status != tt.status || !strings.Contains(body, tt.body) {
			t.Errorf("%s: %d %.200s; want %d %s", tt.name, status, body, tt.status, tt.body)
		}
	}
	for origin, welcome := range map[string]bool{"": true, "https://app.example.com": true, plainURL: true, "https://other.example.com": false, "http://localhost:5173": false} {
		ws, response, err := dial(t, web, clientsURL, origin)
		if err == nil {
			_ = ws.CloseNow() // or the shutdown below would wait for it
		}
		if (err == nil) != welcome {
			t.Errorf("websocket from a page of %q: %v, welcome %t", origin, err, welcome)
		}
		if err != nil && (response == nil || response.StatusCode != http.StatusForbidden) {
			t.Errorf("websocket from a page of %q: %v", origin, err)
		}
	}

	down.Store(true)
	if status, body := ask(t, web, adminURL+"/readyz", ""); status != http.StatusServiceUnavailable || !strings.HasPrefix(body, "CouchDB does not answer: ") {
		t.Errorf("readiness without CouchDB: %d %s", status, body)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	for _, line := range []string{"shutting down", "shut down"} {
		p.log.wait(t, line)
	}
	if strings.Contains(p.log.String(), "s3cr3t") {
		t.Errorf("the log contains the password:\n%s", p.log)
	}
}

// A CouchDB that is not there yet keeps nothing from being served.
func TestServeWithoutCouchDB(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", map[string]string{"LISTEN": "127.0.0.1:0", "POLICY": "open", "COUCHDB_URL": "http://admin:s3cr3t@127.0.0.1:" + closedPort(t)})
	if line := p.log.wait(t, "CouchDB does not answer"); line["level"] != "warn" || strings.Contains(fmt.Sprint(line), "s3cr3t") {
		t.Errorf("warning: %v", line)
	}
	if ws, _, err := dial(t, client(t, nil), p.listening["url"].(string), ""); err != nil {
		t.Error(err)
	} else {
		_ = ws.CloseNow()
	}
}

// closedPort is a port that nobody listens on.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// A client that does not let go is cut off, and the program says that it did not end as it should.
func TestDrainTimeout(t *testing.T) {
	t.Parallel()
	url, _ := couchDB(t)
	p := start(t, "serve", map[string]string{"LISTEN": "127.0.0.1:0", "POLICY": "open", "COUCHDB_URL": url, "DRAIN_TIMEOUT": "50ms"})
	silent := upgrade(t, strings.TrimPrefix(p.listening["url"].(string), "ws://"))
	defer silent.Close()
	err := p.stop()
	if err == nil || !strings.HasPrefix(err.Error(), "shutting down: not everything had finished after 50ms: ") {
		t.Errorf("ended with %v", err)
	}
	_ = silent.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.Copy(io.Discard, silent); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is still open")
	}
}

func TestReadyWhileDraining(t *testing.T) {
	t.Parallel()
	svc := &service{}
	svc.draining.Store(true)
	w := httptest.NewRecorder()
	svc.ready(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	if w.Code != http.StatusServiceUnavailable || w.Body.String() != "shutting down\n" {
		t.Errorf("readiness: %d %s", w.Code, w.Body)
	}
}

// Addresses that are taken are all reported, and nothing is left open.
func TestServeAddressesTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	for name, set := range map[string]map[string]string{
		"both": {"LISTEN": address, "ADMIN_LISTEN": address},
		"one":  {"LISTEN": "127.0.0.1:0", "ADMIN_LISTEN": address},
	} {
		set["POLICY"], set["COUCHDB_URL"] = "open", "http://127.0.0.1:1"
		var log strings.Builder
		err := run(t.Context(), nil, environment(set), nil, io.Discard, &log)
		want := "POUCHBRIDGE_ADMIN_LISTEN: listen tcp " + address + ": bind: address already in use"
		if name == "both" {
			want = "POUCHBRIDGE_LISTEN: listen tcp " + address + ": bind: address already in use\n" + want
		}
		if err == nil || err.Error() != want || log.Len() > 0 {
			t.Errorf("%s: %v, log %q; want %s", name, err, log.String(), want)
		}
	}
}

func TestServeTLS(t *testing.T) {
	t.Parallel()
	certificate, key, pool := selfSigned(t)
	url, _ := couchDB(t)
	port := closedPort(t)
	set := map[string]string{
		"LISTEN": "127.0.0.1:" + port, "POLICY": "static", "STATIC_FILE": file(t, staticExample), "COUCHDB_URL": url,
		"TLS_CERT_FILE": file(t, certificate), "TLS_KEY_FILE": file(t, key),
	}
	p := start(t, "serve", set)
	if p.listening["url"] != "wss://127.0.0.1:"+port {
		t.Errorf("url is %v", p.listening["url"])
	}
	ws, response, err := dial(t, client(t, &tls.Config{RootCAs: pool}), p.listening["url"].(string), "")
	if err != nil {
		t.Fatal(err)
	}
	_ = ws.CloseNow()
	if response.TLS == nil || response.TLS.Version < tls.VersionTLS12 {
		t.Errorf("TLS is %+v", response.TLS)
	}
	var out strings.Builder
	if err := run(t.Context(), []string{"healthcheck"}, environment(set), nil, &out, &out); err != nil || out.String() != "ok\n" {
		t.Errorf("healthcheck: %v, %q", err, out.String())
	}
}

// selfSigned makes a certificate for 127.0.0.1.
func selfSigned(t *testing.T) (certificate, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(certificate))
	return certificate, key, pool
}

func TestReachable(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{"[::]:3000": "127.0.0.1:3000", "0.0.0.0:80": "127.0.0.1:80", "[::1]:80": "[::1]:80", "10.0.0.1:80": "10.0.0.1:80"} {
		a, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := reachable(a); got != want {
			t.Errorf("%s is reached by %s, want %s", address, got, want)
		}
	}
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := run(t.Context(), []string{"healthcheck"}, environment(map[string]string{"ADMIN_LISTEN": ":" + closedPort(t)}), nil, &out, &out)
	if err == nil || !strings.HasPrefix(err.Error(), "not healthy: ") || out.Len() > 0 {
		t.Errorf("healthcheck of nothing: %v, %q", err, out.String())
	}
	for _, tt := range []struct {
		config Config
		want   string // empty: an error
	}{
		{Config{Listen: ":3000"}, "http://127.0.0.1:3000/healthz"},
		{Config{Listen: "0.0.0.0:3000", TLSCertFile: "c"}, "https://127.0.0.1:3000/healthz"},
		{Config{Listen: "10.0.0.1:3000"}, "http://10.0.0.1:3000/healthz"},
		{Config{Listen: "[::]:3000"}, "http://127.0.0.1:3000/healthz"},
		{Config{Listen: "[::1]:3000"}, "http://[::1]:3000/healthz"},
		{Config{Listen: ":3000", TLSCertFile: "c", AdminListen: "localhost:9090"}, "http://localhost:9090/healthz"},
		{Config{Listen: "127.0.0.1:0"}, ""},
		{Config{Listen: "nonsense"}, ""},
	} {
		if got, err := healthURL(tt.config); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("health of %+v: %q, %v; want %q", tt.config, got, err, tt.want)
		}
	}
}
