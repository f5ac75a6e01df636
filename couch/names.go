package couch

import (
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxDatabaseName = 238 // bytes, CouchDB's limit: file name length less the suffixes it adds
	localPrefix     = "_local/"
	designPrefix    = "_design/"
)

// checkDatabaseName applies CouchDB's rule: a lowercase letter, then lowercase letters, digits and _$()+-/; or one of the
// databases that CouchDB itself makes. https://docs.couchdb.org/en/stable/api/database/common.html#put--db
func checkDatabaseName(name string) error {
	const op = "database name"
	switch {
	case name == "":
		return invalid(op, "illegal_database_name", "Name is empty.")
	case len(name) > maxDatabaseName:
		return invalid(op, "illegal_database_name", "Name is %d bytes long; %d are allowed.", len(name), maxDatabaseName)
	case name == "_users", name == "_replicator", name == "_global_changes", name == "_metadata":
		return nil
	case name[0] < 'a' || name[0] > 'z':
		return illegalDatabaseName(op, name)
	}
	for _, r := range name {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789_$()+-/", r) {
			return illegalDatabaseName(op, name)
		}
	}
	return nil
}

func illegalDatabaseName(op, name string) error {
	quoted := strconv.Quote(name) // CouchDB has it between single quotes
	return invalid(op, "illegal_database_name", "Name: '%s'. Only lowercase characters (a-z), digits (0-9), and any of the "+
		"characters _, $, (, ), +, -, and / are allowed. Must begin with a letter.", quoted[1:len(quoted)-1])
}

// escape makes one path segment of s. Everything but RFC 3986's unreserved characters is encoded: CouchDB takes a bare "+" in
// a path for a space.
func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// endsInDots tells whether a path segment of the document's id would be "." or "..": no path can carry it.
func endsInDots(id string) bool {
	for _, prefix := range []string{designPrefix, localPrefix} {
		id = strings.TrimPrefix(id, prefix)
	}
	return id == "." || id == ".."
}

// documentPath escapes a document's id; the slash after _design and _local stays one. Ids that CouchDB refuses for everyone,
// and those that a path cannot carry because "." and ".." are cleaned away between here and CouchDB, are refused.
func documentPath(op, id string) (string, error) {
	prefix, rest := "", id
	for _, p := range []string{designPrefix, localPrefix} {
		if r, ok := strings.CutPrefix(id, p); ok {
			prefix, rest = p, r
		}
	}
	switch {
	case rest == "":
		return "", invalid(op, "illegal_docid", "Document id must not be empty.")
	case endsInDots(id):
		return "", invalid(op, "illegal_docid", "Document id %q cannot be part of a URL.", id)
	case prefix == "" && id[0] == '_':
		return "", invalid(op, "illegal_docid", "Only reserved document ids may start with underscore.")
	case !utf8.ValidString(id):
		return "", invalid(op, "illegal_docid", "Document id must be UTF-8.")
	}
	return prefix + escape(rest), nil
}

// attachmentPath escapes an attachment's name into one segment: CouchDB reads %2F in it as the slash it stands for.
func attachmentPath(op, name string) (string, error) {
	switch {
	case name == "":
		return "", invalid(op, "bad_request", "Attachment name must not be empty.")
	case name == "." || name == "..":
		return "", invalid(op, "bad_request", "Attachment name %q cannot be part of a URL.", name)
	case !utf8.ValidString(name):
		return "", invalid(op, "bad_request", "Attachment name must be UTF-8.")
	}
	return escape(name), nil
}
