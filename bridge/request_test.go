package bridge

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRemoteOf(t *testing.T) {
	t.Parallel()
	s := &Server{options: Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}}}
	for _, tt := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no proxy", "192.0.2.1:5", nil, "192.0.2.1:5"},
		{"a client's own word", "192.0.2.1:5", []string{"198.51.100.7"}, "192.0.2.1:5"},
		{"one proxy", "10.0.0.1:5", []string{"198.51.100.7"}, "198.51.100.7:0"},
		{"by IPv6, with a port", "[::1]:5", []string{"198.51.100.7:99"}, "198.51.100.7:99"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:5", []string{"::ffff:198.51.100.7"}, "198.51.100.7:0"},
		{"two proxies, a forged beginning", "10.0.0.1:5", []string{"127.0.0.1, 198.51.100.7, 10.0.0.2"}, "198.51.100.7:0"},
		{"two headers", "10.0.0.1:5", []string{"127.0.0.1", "198.51.100.7"}, "198.51.100.7:0"},
		{"proxies only", "10.0.0.1:5", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3:0"},
		{"nonsense", "10.0.0.1:5", []string{"198.51.100.7, unknown"}, "10.0.0.1:5"},
		{"no header", "10.0.0.1:5", nil, "10.0.0.1:5"},
		{"no address", "@", []string{"198.51.100.7"}, "invalid AddrPort"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = tt.peer
			for _, v := range tt.forwarded {
				r.Header.Add("X-Forwarded-For", v)
			}
			if got := s.remoteOf(r).String(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestRequestOf(t *testing.T) {
	t.Parallel()
	s := &Server{options: Options{PolicyHeaders: []string{"X-Tenant", "X-Absent"}}}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = http.Header{"X-Tenant": {"a", "b"}, "Authorization": {"secret"}, "Origin": {"https://app.example.com"}, "Cookie": {"AuthSession=x"}}
	got := s.requestOf(r)
	if diff := cmp.Diff(http.Header{"X-Tenant": {"a", "b"}}, got.Header); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if got.Origin != "https://app.example.com" || len(got.Cookies) != 1 || got.Cookies[0].Value != "x" || got.TLS {
		t.Errorf("got %v", got)
	}
}
