package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Grant is what a request gets: one upstream database under stated rights. The zero Grant grants nothing.
type Grant struct {
	// Upstream names one of the configured servers; empty is the default one. A name that is not configured refuses the
	// request: whoever resolves the name sees to that.
	Upstream string
	// Database is the database on that server. Required. CouchDB's rules for names are checked where the name is used.
	Database string
	// Access is what may be done with it. Required.
	Access Access
	// DesignDocs allows design documents to be written. They are code that CouchDB runs: leave it off unless clients are
	// trusted like administrators of the database. Reading them needs no permission.
	DesignDocs bool
	// Create has the database created if it does not exist yet. The bridge's own account on the server must be allowed
	// to. Nil: a database that does not exist refuses the request.
	Create *Creation
	// System states that Database is meant to be a system database such as _users. Without it a name with a leading
	// underscore refuses the request.
	System bool
	// Identity is who CouchDB sees. The zero Identity is the bridge's own account on the server.
	Identity Identity
	// Expires is when the grant ends. The zero time: never.
	Expires time.Time
	// Filter leaves documents out of what the client is sent. The client cannot widen it.
	Filter Filter
	// Subject says in logs who was granted: a user name or an identifier, never a credential. May be empty.
	Subject string
	// TokenID names the credential, for logs and for revoking what it opened: a JWT's jti, never the credential itself.
	// May be empty.
	TokenID string
}

// Creation is how a database is made.
type Creation struct {
	// Security is the database's _security document, a JSON object. Nil: CouchDB's default, which is admins only.
	Security json.RawMessage
	// Q and N are the numbers of shards and replicas. 0: CouchDB's default.
	Q, N int
}

// Filter is what a client is sent of a database. The zero Filter is everything; at most one of Name, Selector and DocIDs
// is set.
type Filter struct {
	Name     string            // a filter function, "ddoc/name"
	Query    map[string]string // its parameters
	Selector json.RawMessage   // a Mango selector, a JSON object
	DocIDs   []string          // these documents alone
}

// IsZero tells whether everything is sent.
func (f Filter) IsZero() bool { return f.Name == "" && f.Selector == nil && f.DocIDs == nil }

func (f Filter) validate() error {
	n := 0
	for _, set := range []bool{f.Name != "", f.Selector != nil, f.DocIDs != nil} {
		if set {
			n++
		}
	}
	switch {
	case n > 1:
		return errors.New("filter has more than one of name, selector and doc_ids")
	case f.Query != nil && f.Name == "":
		return errors.New("filter has a query without the name of a function")
	default:
		return nil
	}
}

// Access says in which direction documents may go. Checkpoints (_local documents of a replication) are kept under any.
type Access uint8

const (
	// NoAccess is the zero value: nothing is allowed, and a grant that carries it is refused.
	NoAccess Access = iota
	// ReadOnly allows the client to pull.
	ReadOnly
	// ReadWrite allows the client to pull and push.
	ReadWrite
	// WriteOnly allows the client to push into a drop box: of the database it is sent nothing.
	WriteOnly
)

// CanRead tells whether documents may be sent to the client.
func (a Access) CanRead() bool { return a == ReadOnly || a == ReadWrite }

// CanWrite tells whether documents may be taken from the client.
func (a Access) CanWrite() bool { return a == ReadWrite || a == WriteOnly }

// String names the access as logs and metrics do.
func (a Access) String() string {
	switch a {
	case NoAccess:
		return "none"
	case ReadOnly:
		return "read-only"
	case ReadWrite:
		return "read-write"
	case WriteOnly:
		return "write-only"
	default:
		return fmt.Sprintf("Access(%d)", uint8(a))
	}
}

// IsSystem tells whether name is that of a CouchDB system database: one with a leading underscore.
func IsSystem(name string) bool { return strings.HasPrefix(name, "_") }

// validate says why a grant is not one.
func (g Grant) validate() error {
	switch {
	case g.Database == "":
		return errors.New("grant names no database")
	case !g.Access.CanRead() && !g.Access.CanWrite():
		return fmt.Errorf("grant for %q allows nothing (access %s)", g.Database, g.Access)
	case IsSystem(g.Database) && !g.System:
		return fmt.Errorf("grant for the system database %q does not say that a system database is meant", g.Database)
	default:
		return errors.Join(g.Filter.validate(), g.Identity.validate())
	}
}
