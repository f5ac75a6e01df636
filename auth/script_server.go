package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// scriptServer is a configured server that a script may name by its URL.
type scriptServer struct {
	name string
	root *url.URL // its path ends with a slash
}

// urlScheme is how a name begins that is a URL, and no database of CouchDB, whose names have no colon.
var urlScheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://`)

func isURL(name string) bool { return urlScheme.MatchString(name) }

// parseScriptServers reads the addresses of servers by name.
func parseScriptServers(urls map[string]string) ([]scriptServer, error) {
	var servers []scriptServer
	for name, text := range urls {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, fmt.Errorf("address of the server %q is no http or https URL", name) // it may hold a password
		}
		servers = append(servers, scriptServer{name: name, root: directory(u)})
	}
	return servers, nil
}

// directory is u with a path that ends with a slash.
func directory(u *url.URL) *url.URL {
	d := *u
	d.Path = strings.TrimSuffix(u.Path, "/") + "/"
	d.RawPath = ""
	return &d
}

// sameOrigin tells whether two URLs lead to the same server: scheme, host and port.
func sameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case strings.EqualFold(u.Scheme, "https"):
		return "443"
	default:
		return "80"
	}
}

// resolve makes a database's URL the members upstream and database of a grant, and the user in it the identity. Only URLs
// of configured servers are taken: whoever can choose the name cannot have the bridge ask another.
func (s *Script) resolve(text string, members map[string]json.RawMessage) error {
	u, err := url.Parse(text)
	if err != nil {
		return errors.New("the name looks like a URL and is none")
	}
	if _, given := members["upstream"]; given {
		return errors.New("the options must not have upstream when the name is a URL")
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return errors.New("the URL of a database has no query and no fragment")
	}
	server, database, ok := s.serverOf(u)
	if !ok {
		return fmt.Errorf("%s is the URL of no configured server", u.Redacted())
	}
	members["upstream"], members["database"] = quoted(server), quoted(database)
	if password, given := u.User.Password(); given {
		if _, twice := members["identity"]; twice {
			return errors.New("the options must not have identity when the URL has a password")
		}
		members["identity"] = json.RawMessage(fmt.Sprintf(`{"basic":{"name":%s,"password":%s}}`, quoted(u.User.Username()), quoted(password)))
	}
	return nil
}

// serverOf finds the configured server whose database u is.
func (s *Script) serverOf(u *url.URL) (server, database string, ok bool) {
	for _, candidate := range s.servers {
		if !sameOrigin(u, candidate.root) {
			continue
		}
		rest, below := strings.CutPrefix(u.EscapedPath(), candidate.root.EscapedPath())
		if rest = strings.TrimSuffix(rest, "/"); !below || rest == "" || strings.Contains(rest, "/") {
			continue
		}
		if name, err := url.PathUnescape(rest); err == nil {
			return candidate.name, name, true
		}
	}
	return "", "", false
}
