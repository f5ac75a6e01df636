package bridge

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"pouchbridge/auth"
)

// requestOf is what a policy may know of a connection.
func (s *Server) requestOf(r *http.Request) auth.Request {
	out := auth.Request{
		RemoteAddr: s.remoteOf(r),
		Origin:     r.Header.Get("Origin"),
		Dialect:    "legacy",
		TLS:        r.TLS != nil,
		Cookies:    r.Cookies(),
	}
	for _, name := range s.options.PolicyHeaders {
		if values := r.Header.Values(name); len(values) > 0 {
			if out.Header == nil {
				out.Header = http.Header{}
			}
			out.Header[name] = slices.Clone(values)
		}
	}
	return out
}

// remoteOf is the client's address: the peer's or, behind trusted proxies, the
// nearest address in X-Forwarded-For that is none of theirs. What is further to
// the left is the client's own word.
func (s *Server) remoteOf(r *http.Request) netip.AddrPort {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !s.trusts(peer.Addr()) {
		return peer
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, port, ok := parseHop(strings.TrimSpace(hop))
		if !ok {
			break // whoever wrote this is the last we know of
		}
		peer = netip.AddrPortFrom(addr, port)
		if !s.trusts(addr) {
			break
		}
	}
	return peer
}

// parseHop reads an address, which some proxies write with its port.
func parseHop(hop string) (netip.Addr, uint16, bool) {
	if addr, err := netip.ParseAddr(hop); err == nil {
		return addr.Unmap(), 0, true
	}
	both, err := netip.ParseAddrPort(hop)
	return both.Addr().Unmap(), both.Port(), err == nil
}

func (s *Server) trusts(addr netip.Addr) bool {
	addr = addr.Unmap()
	return slices.ContainsFunc(s.options.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}
