package auth

import (
	"errors"
	"fmt"
	"strings"
)

// Identity is who the upstream calls of a session are made as. It holds a secret, and shows it in no form of printing;
// pass it on by value and keep it no longer than the session.
type Identity struct {
	Kind   IdentityKind
	Name   string   // of a ProxyUser or Basic
	Roles  []string // of a ProxyUser
	Secret string   // the password of Basic, the token of Bearer, the value of the Cookie; else empty
}

// IdentityKind is how CouchDB is told who asks.
type IdentityKind uint8

const (
	// ServiceAccount is the bridge's own account on the server, the zero kind.
	ServiceAccount IdentityKind = iota
	// ProxyUser is a user by proxy authentication: the bridge vouches for name and roles.
	// https://docs.couchdb.org/en/stable/api/server/authn.html#proxy-authentication
	ProxyUser
	// Bearer is a user by a token for CouchDB's JWT authentication.
	Bearer
	// Basic is a user by name and password.
	Basic
	// Cookie is a user by the AuthSession cookie of CouchDB's _session.
	Cookie
)

// String says who it is, without the secret.
func (i Identity) String() string {
	switch i.Kind {
	case ServiceAccount:
		return "service account"
	case ProxyUser:
		return fmt.Sprintf("proxy user %q", i.Name)
	case Bearer:
		return "bearer token"
	case Basic:
		return fmt.Sprintf("user %q", i.Name)
	case Cookie:
		return "session cookie"
	default:
		return fmt.Sprintf("IdentityKind(%d)", uint8(i.Kind))
	}
}

// GoString is [Identity.String], so that %#v does not print the secret either.
func (i Identity) GoString() string { return i.String() }

// MarshalText makes JSON and loggers print [Identity.String].
func (i Identity) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

func (i Identity) validate() error {
	switch i.Kind {
	case ServiceAccount:
		if i.Name != "" || i.Roles != nil || i.Secret != "" {
			return errors.New("identity of the service account has a name or a secret")
		}
	case ProxyUser:
		if i.Name == "" || i.Secret != "" {
			return errors.New("identity of a proxy user needs a name, and no secret")
		}
		for _, role := range i.Roles {
			if strings.Contains(role, ",") { // what separates roles in the header
				return fmt.Errorf("identity of a proxy user has the role %q, with a comma", role)
			}
		}
	case Basic:
		if i.Name == "" || i.Secret == "" {
			return errors.New("identity of a user needs a name and a password")
		}
	case Bearer, Cookie:
		if i.Secret == "" {
			return fmt.Errorf("identity %s is empty", i)
		}
	default:
		return fmt.Errorf("identity of unknown kind %d", i.Kind)
	}
	return nil
}
