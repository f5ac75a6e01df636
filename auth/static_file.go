package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// ParseStatic reads the file of a [Static] policy, a JSON object or the same in YAML:
//
//	{"tokens": [
//	  {
//	    "token": "…",                    the token itself, or
//	    "sha256": "…",                   the SHA-256 of its bytes, 64 hexadecimal digits
//	    "id": "…",                       names the token where it is revoked and in logs; optional, default the first 12
//	                                     digits of its SHA-256
//	    "subject": "alice",              for the logs; optional
//	    "databases": [                   at least one; the first whose match fits decides
//	      {
//	        "match": "todos-*",          the name asked for; one * stands for one or more characters other than '/'
//	        "database": "app-*",         optional, the upstream database: * is what the star of match stood for.
//	                                     Default: the name asked for
//	        "access": "read-write",      or "read-only", or "write-only"; optional, default read-write
//	        "read_only": true,           the same as access read-only; optional, default false
//	        "design_docs": false,        optional, default false: may design documents be written?
//	        "create": false,             optional, default false: is the upstream database created if it is missing?
//	        "upstream": ""               optional, the name of a server; default: the default server
//	      }
//	    ]
//	  }
//	]}
//
// A token should be random, at least 128 bits of it: nothing slows down a search for a guessable one. A system database
// (leading underscore) must be named in full, without a star.
//
// The servers that exist besides the default one are upstreams. The error is a [*FileError] with every fault of the file.
func ParseStatic(file []byte, upstreams []string) (*Static, error) {
	p := staticParser{upstreams: upstreams, places: map[[sha256.Size]byte]string{}, ids: map[string]string{}}
	p.file(file)
	if len(p.faults) > 0 {
		return nil, &FileError{Faults: p.faults}
	}
	return &Static{holders: p.holders}, nil
}

// FileError is everything that is wrong with a policy's file. It never contains a token.
type FileError struct {
	Faults []Fault
}

// Fault is what is wrong at one place of the file: "line 3, column 9", or "tokens[1].databases[0].match".
type Fault struct {
	Place, Problem string
}

// Error has one line for each fault.
func (e *FileError) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.Place + ": " + f.Problem
	}
	return strings.Join(lines, "\n")
}

// staticParser collects what a file says, and its faults.
type staticParser struct {
	jsonWalk
	upstreams []string
	holders   []holder
	places    map[[sha256.Size]byte]string // of each token so far
	ids       map[string]string            // the place of each id so far
}

func (p *staticParser) file(file []byte) {
	value, ok := p.jsonOrYAML(file)
	if !ok {
		return
	}
	before := len(p.faults)
	p.object("", value, members{
		"tokens": func(place string, v jsontext.Value) { p.array(place, v, p.token) },
	})
	if len(p.holders) == 0 && len(p.faults) == before {
		p.fault("tokens", "must list at least one token")
	}
}

// token reads one element of tokens.
func (p *staticParser) token(place string, v jsontext.Value) {
	var h holder
	var token, sum string
	given := p.object(place, v, members{
		"token":     p.text(&token),
		"sha256":    p.text(&sum),
		"id":        p.text(&h.id),
		"subject":   p.text(&h.subject),
		"databases": func(place string, v jsontext.Value) { p.array(place, v, p.database(&h.databases)) },
	})
	if given == nil {
		return
	}
	if given["token"] == given["sha256"] {
		p.fault(place, "must have either token or sha256")
	} else if given["token"] {
		p.plainToken(place, token, &h)
	} else {
		p.hashedToken(place, sum, &h)
	}
	p.identify(place, token, given["id"], &h)
	if !given["databases"] {
		p.fault(place+".databases", "must list at least one database")
	}
	p.holders = append(p.holders, h)
}

func (p *staticParser) plainToken(place, token string, h *holder) {
	switch token {
	case "":
		p.fault(place+".token", "must not be empty")
		return
	case h.subject:
		p.fault(place+".subject", "must not be the token: subjects are logged")
	}
	h.token = sha256.Sum256([]byte(token))
	p.once(place, h.token)
}

func (p *staticParser) hashedToken(place, sum string, h *holder) {
	b, err := hex.DecodeString(sum)
	if err != nil || len(b) != sha256.Size {
		p.fault(place+".sha256", "must be 64 hexadecimal digits")
		return
	}
	h.token = [sha256.Size]byte(b)
	p.once(place, h.token)
}

// identify sees to it that a holder has an id of its own.
func (p *staticParser) identify(place, token string, given bool, h *holder) {
	if given && (h.id == "" || h.id == token) {
		p.fault(place+".id", "must not be empty, nor the token: ids are logged")
		return
	}
	if !given && p.places[h.token] != place {
		return // there was a fault
	}
	if !given {
		h.id = hex.EncodeToString(h.token[:6])
	}
	if first, seen := p.ids[h.id]; seen {
		p.fault(place+".id", "is the id of "+first+" too")
		return
	}
	p.ids[h.id] = place
}

// once reports a token that was there before.
func (p *staticParser) once(place string, token [sha256.Size]byte) {
	if first, seen := p.places[token]; seen {
		p.fault(place, "is the same token as "+first)
		return
	}
	p.places[token] = place
}

// database returns a reader for one element of databases.
func (p *staticParser) database(rules *[]rule) func(string, jsontext.Value) {
	return func(place string, v jsontext.Value) {
		var match, database, upstream, access string
		var readOnly, designDocs, create bool
		given := p.object(place, v, members{
			"match":       p.text(&match),
			"database":    p.text(&database),
			"access":      p.text(&access),
			"read_only":   p.boolean(&readOnly),
			"design_docs": p.boolean(&designDocs),
			"create":      p.boolean(&create),
			"upstream":    p.text(&upstream),
		})
		if given == nil {
			return
		}
		if !given["match"] {
			p.fault(place+".match", "is required")
		}
		if !given["database"] {
			database = match
		}
		r := rule{grant: Grant{Upstream: upstream, Access: ReadWrite, DesignDocs: designDocs}}
		if create {
			r.grant.Create = &Creation{}
		}
		if given["access"] {
			r.grant.Access = p.access(place+".access", access)
		}
		if readOnly {
			r.grant.Access = ReadOnly
		}
		if given["access"] && given["read_only"] {
			p.fault(place, "must have either access or read_only")
		}
		p.patterns(place, match, database, &r)
		if slices.ContainsFunc(*rules, func(earlier rule) bool { return earlier.match == r.match }) {
			p.fault(place+".match", fmt.Sprintf("%q stands in an earlier entry, which decides", match))
		}
		if upstream != "" && !slices.Contains(p.upstreams, upstream) {
			p.fault(place+".upstream", fmt.Sprintf("no server named %q is configured", upstream))
		}
		*rules = append(*rules, r)
	}
}

// access reads what may be done.
func (p *staticParser) access(place, text string) Access {
	for _, a := range []Access{ReadWrite, ReadOnly, WriteOnly} {
		if text == a.String() {
			return a
		}
	}
	p.fault(place, "must be read-write, read-only or write-only")
	return NoAccess
}

// patterns reads match and database into r, and checks that they go together.
func (p *staticParser) patterns(place, match, database string, r *rule) {
	var err error
	if r.match, err = parsePattern(match); err != nil {
		p.fault(place+".match", err.Error())
		return
	}
	if r.database, err = parsePattern(database); err != nil {
		p.fault(place+".database", err.Error())
		return
	}
	switch {
	case r.database.star && !r.match.star:
		p.fault(place+".database", fmt.Sprintf("%q has a *, but match %q has none", database, match))
	case IsSystem(database) && r.match.star:
		p.fault(place+".database", fmt.Sprintf("%q is a system database: match must not have a *", database))
	}
}
