package auth

import "context"

// Open grants every client every database under its own name, to read and to write, design documents included, and has
// it created if it does not exist. System databases it refuses. It asks for no credentials: only for development, and for listeners that nobody else can reach.
type Open struct{}

// OnRequest grants r.Database.
func (Open) OnRequest(_ context.Context, r Request) (Grant, error) {
	switch {
	case r.Database == "":
		return Grant{}, &Refusal{Code: NotFound, Message: "no database name was given"}
	case IsSystem(r.Database):
		return Grant{}, &Refusal{Code: Forbidden, Message: "system databases are not available here"}
	default:
		return Grant{Database: r.Database, Access: ReadWrite, DesignDocs: true, Create: &Creation{}}, nil
	}
}
