package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path"
	"strconv"
	"strings"

	"pouchbridge/auth"
	"pouchbridge/couch"
)

// settings are a configuration that was checked, and what was made of it.
type settings struct {
	Config
	policy      auth.Policy
	certificate *tls.Certificate // nil: no TLS
	upstream    *couch.Client    // nil in dev, until its CouchDB listens
}

// configure reads the configuration for serve or dev. The error has every fault there is.
func configure(getenv func(string) string, command string) (settings, error) {
	c, f := loadConfig(getenv, command)
	s := settings{Config: c}
	checkAddress("LISTEN", c.Listen, &f)
	if c.AdminListen != "" {
		checkAddress("ADMIN_LISTEN", c.AdminListen, &f)
	}
	s.checkLoopback(command, &f)
	s.checkOrigins(&f)
	s.loadCertificate(&f)
	s.makePolicy(&f)
	if command == "dev" {
		s.refuseUpstream(&f)
		s.AllowedOrigins = append(s.AllowedOrigins, loopbackOrigins()...)
	} else {
		s.makeUpstream(&f)
	}
	return s, f.err()
}

func checkAddress(name, address string, f *faults) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		f.add(name, "is %q; it must be host:port, like 127.0.0.1:3000 or :3000", address)
	} else if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		f.add(name, "is %q; its port must be a number from 0 to 65535", address)
	}
}

// checkLoopback sees to it that nobody else can reach what asks for no credentials.
func (s *settings) checkLoopback(command string, f *faults) {
	switch {
	case command == "dev":
		if isExposed(s.Listen) {
			f.add("LISTEN", "is %q; the command dev listens on a loopback address only, like 127.0.0.1:3000", s.Listen)
		}
		if isExposed(s.AdminListen) {
			f.add("ADMIN_LISTEN", "is %q; the command dev listens on a loopback address only, like 127.0.0.1:9090", s.AdminListen)
		}
	case s.Policy == "open" && isExposed(s.Listen):
		f.add("POLICY", "is open, which lets everyone read and write every database, but other machines can reach the address %q: set %sLISTEN to a loopback address like 127.0.0.1:3000, or %sPOLICY to static",
			s.Listen, prefix, prefix)
	}
}

// isExposed tells whether other machines can reach host:port.
func isExposed(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && !isLoopbackHost(host)
}

func isLoopbackHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

// loopbackOrigins are patterns of the pages that this machine serves, on any port.
func loopbackOrigins() []string {
	return []string{"localhost", "localhost:*", "127.0.0.1", "127.0.0.1:*", `\[::1\]`, `\[::1\]:*`}
}

// checkOrigins trims the patterns, and refuses those that could never match and those that match everything: with such a
// pattern any page on the web could use what its visitor's browser can reach and prove.
func (s *settings) checkOrigins(f *faults) {
	for i, pattern := range s.AllowedOrigins {
		pattern = strings.TrimSpace(pattern)
		s.AllowedOrigins[i] = pattern
		scheme, host, ok := strings.Cut(pattern, "://")
		if !ok {
			scheme, host = "https", pattern
		}
		_, err := path.Match(pattern, "")
		switch {
		case host == "" || scheme == "" || strings.ContainsAny(host, "/?# ") || err != nil:
			f.add("ALLOWED_ORIGINS", "has %q; a pattern is a host like app.example.com, localhost:5173 or https://*.example.org, without a path", pattern)
		case matches(host, "unlisted.invalid") || matches(host, "unlisted.invalid:1234"):
			f.add("ALLOWED_ORIGINS", "has %q, which lets every page on the web connect from its visitors' browsers; list the hosts that serve your apps", pattern)
		}
	}
}

func matches(pattern, host string) bool {
	ok, err := path.Match(pattern, host)
	return ok && err == nil
}

func (s *settings) loadCertificate(f *faults) {
	switch {
	case s.TLSCertFile == "" && s.TLSKeyFile == "":
		return
	case s.TLSKeyFile == "":
		f.add("TLS_KEY_FILE", "is not set, but %sTLS_CERT_FILE is; set both or none", prefix)
		return
	case s.TLSCertFile == "":
		f.add("TLS_CERT_FILE", "is not set, but %sTLS_KEY_FILE is; set both or none", prefix)
		return
	}
	certificate, err := tls.LoadX509KeyPair(s.TLSCertFile, s.TLSKeyFile)
	if err != nil {
		f.add("TLS_CERT_FILE", "and %sTLS_KEY_FILE cannot be used: %w", prefix, err)
		return
	}
	s.certificate = &certificate
}

// makePolicy makes the policy that POLICY names.
func (s *settings) makePolicy(f *faults) {
	switch s.Policy {
	case "":
		f.add("POLICY", "is not set; set it to static (clients need a token of the file %sSTATIC_FILE), or to open for development on this machine (everyone may read and write every database)", prefix)
	case "open":
		s.policy = auth.Open{}
	case "static":
		s.makeStatic(f)
	}
}

func (s *settings) makeStatic(f *faults) {
	if s.StaticFile == "" {
		f.add("STATIC_FILE", "is not set; the policy static needs the file of its tokens")
		return
	}
	file, err := readFile(s.StaticFile)
	if err != nil {
		f.add("STATIC_FILE", "cannot be read: %w", err)
		return
	}
	policy, err := auth.ParseStatic(file, nil)
	if err != nil {
		f.add("STATIC_FILE", "%s is not usable:%s", s.StaticFile, strings.ReplaceAll("\n"+err.Error(), "\n", "\n  "))
		return
	}
	s.policy = policy
}

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
	name, url := "COUCHDB_URL", s.CouchDBURL
	switch {
	case s.CouchDBURL != "" && s.CouchDBURLFile != "":
		f.add("COUCHDB_URL", "and %sCOUCHDB_URL_FILE are both set; set one", prefix)
		return
	case s.CouchDBURLFile != "":
		b, err := readFile(s.CouchDBURLFile)
		if err != nil {
			f.add("COUCHDB_URL_FILE", "cannot be read: %w", err)
			return
		}
		name, url = "COUCHDB_URL_FILE", strings.TrimSpace(string(b))
	case url == "":
		f.add("COUCHDB_URL", "is not set; set it, or %sCOUCHDB_URL_FILE, to the URL of your CouchDB, like http://user:password@127.0.0.1:5984", prefix)
		return
	}
	upstream, err := s.newUpstream(url)
	if err != nil {
		var problem *couch.Error
		if errors.As(err, &problem) {
			err = errors.New(problem.Reason)
		}
		f.add(name, "%w (the value is not shown, as it may contain a password)", err)
		return
	}
	s.upstream = upstream
}

func (s *settings) newUpstream(url string) (*couch.Client, error) {
	return couch.New(url, couch.Options{UserAgent: "pouchbridge/" + version().Version, Timeout: s.CouchDBTimeout})
}

// maxFile bounds the files that the configuration names.
const maxFile = 16 << 20

// readFile reads a file that a variable names.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxFile)
	}
	return b, err
}
