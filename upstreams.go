package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"pouchbridge/couch"
)

// refuseUpstream reports a CouchDB that dev would not use.
func (s *settings) refuseUpstream(f *faults) {
	const why = "is set, but the command dev has a CouchDB of its own; unset it, or use the command serve"
	if s.CouchDBURL != "" {
		f.add("COUCHDB_URL", why)
	}
	if s.CouchDBURLFile != "" {
		f.add("COUCHDB_URL_FILE", why)
	}
}

// makeUpstream makes the client of the CouchDB that is configured.
func (s *settings) makeUpstream(f *faults) {
	if s.CouchDBURL == "" && s.CouchDBURLFile == "" {
		f.add("COUCHDB_URL", "is not set; set it, or %sCOUCHDB_URL_FILE, to the URL of your CouchDB, like http://user:password@127.0.0.1:5984", prefix)
		return
	}
	name := "COUCHDB_URL"
	if s.CouchDBURLFile != "" {
		name = "COUCHDB_URL_FILE"
	}
	if url := secret("COUCHDB_URL", s.CouchDBURL, s.CouchDBURLFile, f); url != "" {
		s.upstream = s.upstreamAt(name, "", url, f)
	}
}

// makeUpstreams makes the clients of the servers of UPSTREAMS.
func (s *settings) makeUpstreams(f *faults) {
	list := secret("UPSTREAMS", s.Upstreams, s.UpstreamsFile, f)
	if list == "" {
		return
	}
	name, entries := "UPSTREAMS", strings.Split(list, ",")
	if s.UpstreamsFile != "" {
		name, entries = "UPSTREAMS_FILE", strings.Split(list, "\n")
	}
	s.upstreams = map[string]*couch.Client{}
	for i, entry := range entries {
		entry = strings.TrimSpace(entry)
		if s.UpstreamsFile != "" && (entry == "" || entry[0] == '#') {
			continue
		}
		server, url, ok := strings.Cut(entry, "=")
		switch _, twice := s.upstreams[server]; {
		case !ok || !isServerName(server):
			f.add(name, "has a faulty entry, number %d; write name=URL, the name of a-z, 0-9, - and _ (the value is not shown, as it may contain a password)", i+1)
		case twice:
			f.add(name, "has the server %q twice", server)
		default:
			if c := s.upstreamAt(name, fmt.Sprintf("of the server %q ", server), url, f); c != nil {
				s.upstreams[server] = c
			}
		}
	}
}

// isServerName tells whether text can name a server. The names appear in grants and logs.
func isServerName(text string) bool {
	return text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// upstreamAt makes the client of the server with the URL that the variable has. Nil: there is a fault.
func (s *settings) upstreamAt(variable, which, url string, f *faults) *couch.Client {
	c, err := s.newUpstream(url)
	if err == nil {
		return c
	}
	var problem *couch.Error
	if errors.As(err, &problem) {
		err = errors.New(problem.Reason)
	}
	f.add(variable, "%s%w (the value is not shown, as it may contain a password)", which, err)
	return nil
}

func (s *settings) newUpstream(url string) (*couch.Client, error) {
	return couch.New(url, couch.Options{UserAgent: "pouchbridge/" + version().Version, Timeout: s.CouchDBTimeout,
		MaxConcurrency: s.UpstreamConcurrency})
}

// readProxies reads TRUSTED_PROXIES.
func (s *settings) readProxies(f *faults) {
	for _, text := range s.TrustedProxies {
		p, err := netip.ParsePrefix(text)
		if address, notOne := netip.ParseAddr(text); notOne == nil && address.Zone() == "" {
			address = address.Unmap()
			p, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		if err != nil || p.Addr().Is4In6() {
			f.add("TRUSTED_PROXIES", "has %q; it must be an address like 10.1.2.3 or a network like 10.0.0.0/8", text)
			continue
		}
		s.proxies = append(s.proxies, p.Masked())
	}
}

// readHeaders reads POLICY_HEADERS.
func (s *settings) readHeaders(f *faults) {
	for _, name := range s.PolicyHeaders {
		name = http.CanonicalHeaderKey(name)
		switch {
		case strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" || name == "":
			f.add("POLICY_HEADERS", "has %q, which is no name of a header", name)
		case name == "Cookie":
			f.add("POLICY_HEADERS", "has Cookie; policies are told of cookies without that")
		default:
			s.headers = append(s.headers, name)
		}
	}
}
