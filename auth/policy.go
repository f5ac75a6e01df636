// Package auth decides who may open which database.
//
// A client that wants a database sends its name and arbitrary credentials. The bridge makes a [Request] of them and asks
// the one configured [Policy], which answers with a [Grant] (which upstream database, with which rights) or refuses, best
// with a [*Refusal] whose code and message are meant for the user. The bridge never calls a policy directly but through a
// [Decider], which makes every mishap a refusal: a panic, a late answer, an answer that makes no sense.
//
// Everything here fails closed: the zero [Grant] grants nothing, the zero [Access] allows nothing, and a system database
// (a name with a leading underscore) is out of reach unless a grant says explicitly that it is meant.
//
// Policies in this package: [CouchDB] lets CouchDB check its own users; [JWT] reads the claims of a token; [Static] reads
// tokens from a file; [Webhook] asks an HTTP endpoint; [Script] runs a JavaScript function; [Open] grants everything and is
// for development. [Chain] asks several in turn. A Go program that mounts the bridge writes its own, most simply as a
// [PolicyFunc].
package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
)

// Policy answers requests for databases.
//
// OnRequest is called once per request, from many goroutines at a time; ctx carries the deadline. It returns a grant, or
// an error: a [*Refusal] (found with [errors.As]) reaches the client with its code and message, any other error says that
// the policy itself failed, reaches the client as a generic refusal and goes to the log in full. The request belongs to
// the policy, which may keep it; credentials must not appear in the grant, nor in an error.
type Policy interface {
	OnRequest(ctx context.Context, r Request) (Grant, error)
}

// PolicyFunc is a function used as a [Policy].
type PolicyFunc func(ctx context.Context, r Request) (Grant, error)

// OnRequest calls f.
func (f PolicyFunc) OnRequest(ctx context.Context, r Request) (Grant, error) { return f(ctx, r) }

// Request is one client asking for one database.
type Request struct {
	// Credentials is the JSON value the client sent, as it sent it. Nil: none was sent; the text null: it sent null.
	Credentials json.RawMessage
	// Database is the name the client asked for. It is not validated: it may be empty, long, or any text at all.
	Database string
	// RemoteAddr is the peer of the client's connection; the zero AddrPort if unknown.
	RemoteAddr netip.AddrPort
	// Origin is the Origin header of the websocket upgrade: the page a browser loaded the client from. Empty: no browser.
	// The bridge has already checked it against the allowed origins.
	Origin string
	// Dialect names the wire protocol of the connection: "legacy" or "v1".
	Dialect string
	// TLS tells whether the connection reached the bridge encrypted.
	TLS bool
	// Cookies are those of the websocket upgrade. They come from a browser whoever's page it shows: trust them only with an
	// Origin that is allowed.
	Cookies []*http.Cookie
	// Header has those headers of the upgrade that the bridge is configured to pass on.
	Header http.Header
	// Previous is the grant that this request is about again: its session is to be renewed or has been refused by CouchDB.
	// Nil: a first request.
	Previous *Grant
}

// String describes the request for a log: without the credentials, and the name quoted.
func (r Request) String() string {
	return fmt.Sprintf("request for database %q from %s (origin %q, dialect %q, tls %t)", r.Database, r.RemoteAddr, r.Origin, r.Dialect, r.TLS)
}

// GoString is [Request.String], so that %#v does not print credentials either.
func (r Request) GoString() string { return r.String() }
