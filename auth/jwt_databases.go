package auth

import (
	"errors"
	"fmt"
)

// claimedDatabase is an element of the list of databases in the claims.
type claimedDatabase struct {
	match    pattern
	database pattern // the star's text comes from match
	grant    Grant   // without Database and Create
	create   bool
}

// fromList fills in what the list of databases in the claims says about a name, and tells whether to create the database.
// The whole list is read, so that one with a fault opens nothing.
func (j *JWT) fromList(g *Grant, c tokenClaims, name string) (create bool, err error) {
	v, ok := c.lookup(j.databases)
	if !ok {
		return false, fmt.Errorf("claim %q is missing", j.databases)
	}
	list, ok := v.([]any)
	if !ok {
		return false, fmt.Errorf("claim %q is no array", j.databases)
	}
	var decided *claimedDatabase
	for i, v := range list {
		e := &claimedDatabase{grant: *g, create: j.options.CreateMissing}
		e.grant.Access = j.options.Access
		if err := e.read(v); err != nil {
			return false, fmt.Errorf("claim %q: element %d: %w", j.databases, i, err)
		}
		if stem, ok := e.match.match(name); ok && decided == nil {
			e.grant.Database = e.database.expand(stem)
			decided = e
		}
	}
	if decided == nil {
		return false, fmt.Errorf("claim %q does not have the name asked for", j.databases)
	}
	*g = decided.grant
	return decided.create, nil
}

// read reads an entry of the list. What it does not say stays as it is.
func (e *claimedDatabase) read(entry any) error {
	match, database := "", ""
	switch v := entry.(type) {
	case string:
		match, database = v, v
	case map[string]any:
		if err := e.members(v, &match, &database); err != nil {
			return err
		}
	default:
		return errors.New("is neither a string nor an object")
	}
	return e.patterns(match, database)
}

// members reads an entry that is an object.
func (e *claimedDatabase) members(object map[string]any, match, database *string) error {
	var err error
	for name, v := range object {
		ok := true
		switch name {
		case "match":
			*match, ok = v.(string)
		case "database":
			*database, ok = v.(string)
		case "access":
			e.grant.Access, err = claimedAccess(v)
		case "design_docs":
			e.grant.DesignDocs, ok = v.(bool)
		case "upstream":
			e.grant.Upstream, ok = v.(string)
		case "create":
			e.create, ok = v.(bool)
		default:
			return fmt.Errorf("has the unknown member %q", name)
		}
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("member %q is of the wrong type", name)
		}
	}
	if _, ok := object["database"]; !ok {
		*database = *match
	}
	return nil
}

// patterns reads the two patterns, and checks that they go together.
func (e *claimedDatabase) patterns(match, database string) (err error) {
	if e.match, err = parsePattern(match); err != nil {
		return fmt.Errorf("match: %w", err)
	}
	if e.database, err = parsePattern(database); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if e.database.star && !e.match.star {
		return errors.New("database has a *, but match has none")
	}
	return nil
}

// claimedAccess reads the name of an access that allows something.
func claimedAccess(v any) (Access, error) {
	for _, a := range []Access{ReadWrite, ReadOnly, WriteOnly} {
		if v == a.String() {
			return a, nil
		}
	}
	return NoAccess, errors.New("access must be read-write, read-only or write-only")
}
