package auth

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// ParseGrant reads a grant written as JSON, the form that endpoints and scripts answer in:
//
//	{
//	  "database": "todos-7",           required: the upstream database
//	  "access": "read-write",          required: or "read-only", "write-only"
//	  "upstream": "eu",                the name of a configured server, never a URL; default: the default server
//	  "subject": "alice",              for logs and for revoking
//	  "token_id": "t-42",              likewise; names the credential, and is not it
//	  "expires": 1790000000,           seconds since 1970, or "2026-09-21T14:13:20Z"; default: never
//	  "create": true,                  or {"security": {…}, "q": 2, "n": 3}, each optional; default: false
//	  "design_docs": false,            may design documents be written?
//	  "system": false,                 is a system database meant?
//	  "filter": {"name": "app/mine", "query": {"owner": "alice"}},
//	  "selector": {"owner": "alice"},  at most one of filter, selector and doc_ids
//	  "doc_ids": ["a", "b"],
//	  "identity": {"proxy": {"name": "alice", "roles": ["staff"]}}
//	}                                  or {"bearer": "…"}, {"basic": {"name": "…", "password": "…"}}, {"cookie": "…"};
//	                                   default: the bridge's own account
//
// It is strict, so that a slip of the pen does not open more than was meant: an unknown member, one that is given twice,
// null or another wrong type are faults. A grant without an error passes the checks of [Decider]; one that has expired is
// for the caller to refuse. The error is a [*GrantError] with every fault.
func ParseGrant(text json.RawMessage) (Grant, error) {
	var p grantParser
	if v, ok := p.answer(text); ok {
		p.grant("grant", v)
	}
	if len(p.faults) > 0 {
		return Grant{}, &GrantError{Faults: p.faults}
	}
	return p.g, nil
}

// GrantError is everything that is wrong with a JSON text that should be a grant. It shows names of members, and no
// values but the name of a database.
type GrantError struct {
	Faults []Fault
}

// Bounds of an error's text, which goes to the log: what it is about may be long.
const (
	shownFaults   = 8
	shownOfAFault = 300 // bytes
)

// Error names the place of each fault, of the first eight if there are more.
func (e *GrantError) Error() string {
	var b strings.Builder
	for i, f := range e.Faults {
		if i > 0 {
			b.WriteString("; ")
		}
		if i == shownFaults {
			b.WriteString("and more")
			break
		}
		line := f.Place + ": " + f.Problem
		if len(line) > shownOfAFault {
			line = strings.ToValidUTF8(line[:shownOfAFault], "") + "…"
		}
		b.WriteString(line)
	}
	return b.String()
}

// grantParser collects what a text says, and its faults.
type grantParser struct {
	jsonWalk
	g Grant
}

// answer is the one JSON value that text must be.
func (p *grantParser) answer(text []byte) (jsontext.Value, bool) {
	if len(bytes.TrimSpace(text)) == 0 {
		p.fault("grant", "must be an object, is empty")
		return nil, false
	}
	return p.document(text)
}

// grant reads the whole into p.g.
func (p *grantParser) grant(place string, v jsontext.Value) {
	g := &p.g
	given := p.object(place, v, members{
		"upstream":    p.upstream,
		"database":    p.text(&g.Database),
		"access":      p.access,
		"subject":     p.text(&g.Subject),
		"token_id":    p.text(&g.TokenID),
		"expires":     p.expires,
		"create":      p.create,
		"design_docs": p.boolean(&g.DesignDocs),
		"system":      p.boolean(&g.System),
		"filter":      p.filter,
		"selector":    p.rawObject((*jsontext.Value)(&g.Filter.Selector)),
		"doc_ids":     p.texts(&g.Filter.DocIDs),
		"identity":    p.identity,
	})
	if given == nil {
		return
	}
	for _, name := range []string{"database", "access"} {
		if !given[name] {
			p.fault(place+"."+name, "is required")
		}
	}
	if len(p.faults) > 0 {
		return // what validate finds would follow from them
	}
	if err := g.validate(); err != nil {
		p.fault(place, err.Error())
	}
}
