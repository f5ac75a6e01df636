package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/rs/zerolog"

	"pouchbridge/auth"
	"pouchbridge/couch"
)

// settings are a configuration that was checked, and what was made of it.
type settings struct {
	Config
	getenv      func(string) string
	log         zerolog.Logger
	policy      auth.Policy
	static      *auth.StaticFile         // the policy static; nil: not chosen
	certificate *tls.Certificate         // nil: no TLS
	upstream    *couch.Client            // nil in dev, until its CouchDB listens
	upstreams   map[string]*couch.Client // by the name that grants use
	proxies     []netip.Prefix
	headers     []string
	proxySecret string
	closers     []func() error // of policies
	forget      []func()       // of policies that remember what they granted
}

// configure reads the configuration for serve or dev, which log to stderr. The error has every fault there is; without one,
// close ends what was made.
func configure(getenv func(string) string, command string, stderr io.Writer) (*settings, error) {
	c, f := loadConfig(getenv, command)
	s := &settings{Config: c, getenv: getenv, log: newLogger(c, stderr)}
	checkAddress("LISTEN", c.Listen, &f)
	if c.AdminListen != "" {
		checkAddress("ADMIN_LISTEN", c.AdminListen, &f)
	} else if c.PProf {
		f.add("PPROF", "is true, but %sADMIN_LISTEN, where the profiles would be, is not set", prefix)
	}
	s.checkLoopback(command, &f)
	s.checkOrigins(&f)
	s.loadCertificate(&f)
	s.readProxies(&f)
	s.readHeaders(&f)
	if command == "dev" {
		s.refuseUpstream(&f)
		s.checkDevAdmin(&f)
		s.AllowedOrigins = append(s.AllowedOrigins, loopbackOrigins()...)
	} else {
		s.makeUpstream(&f)
	}
	s.makeUpstreams(&f)
	s.proxySecret = secret("PROXY_SECRET", c.ProxySecret, c.ProxySecretFile, &f)
	s.refuseUnused(getenv, &f)
	s.makePolicy(&f)
	if err := f.err(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// close ends what configure made. A policy that cannot end as it should is logged: nobody can do anything about it.
func (s *settings) close() {
	for _, end := range s.closers {
		if err := end(); err != nil {
			s.log.Warn().Err(err).Msg("closing the policy")
		}
	}
	for _, c := range s.upstreams {
		c.Close()
	}
	if s.upstream != nil {
		s.upstream.Close()
	}
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
	case slices.Contains(s.Policy, "open") && isExposed(s.Listen):
		f.add("POLICY", "is open, which lets everyone read and write every database, but other machines can reach the address %q: set %sLISTEN to a loopback address like 127.0.0.1:3000, or %sPOLICY to another policy",
			s.Listen, prefix, prefix)
	}
}

func (s *settings) checkDevAdmin(f *faults) {
	name, password, _ := strings.Cut(s.DevAdmin, ":")
	if s.DevAdmin != "" && (name == "" || password == "") {
		f.add("DEV_ADMIN", "must be name:password")
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

// secret is what text is, without white space around it.
func secret(name, value, file string, f *faults) string {
	before := len(*f)
	content := strings.TrimSpace(string(text(name, value, file, f)))
	if content == "" && file != "" && len(*f) == before {
		f.add(name+"_FILE", "is an empty file")
	}
	return content
}

// text is the value of a variable, or the content of the file that the variable of the same name with _FILE names. Empty:
// neither is set, or there is a fault.
func text(name, value, file string, f *faults) []byte {
	switch {
	case value != "" && file != "":
		f.add(name, "and %s%s_FILE are both set; set one", prefix, name)
		return nil
	case file == "":
		return []byte(value)
	}
	b, err := readFile(file)
	if err != nil {
		f.add(name+"_FILE", "cannot be read: %w", err)
	}
	return b
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
