package embedded

import (
	"cmp"
	"encoding/hex"
	"strconv"
	"strings"
)

// revision names one edit of a document: its generation and its id.
//
// The id is held as CouchDB holds it: 32 hexadecimal digits become their 16 bytes, anything else stays text. Ordering
// revisions by these bytes is what makes every replica choose the same winner.
type revision struct {
	pos int
	id  string
}

// errRevisionFormat is CouchDB's answer to a revision it cannot parse.
var errRevisionFormat = badRequest("Invalid rev format")

// parseRevision reads "N-id" (couch_doc:parse_rev/1).
func parseRevision(s string) (revision, error) {
	pos, id, found := strings.Cut(s, "-")
	n, err := strconv.Atoi(pos)
	if !found || err != nil || n < 0 || pos[0] == '+' {
		return revision{}, errRevisionFormat
	}
	raw, ok := parseRevisionID(n, id)
	if !ok {
		return revision{}, errRevisionFormat
	}
	return revision{n, raw}, nil
}

// parseRevisionID turns the text after the dash into the stored id. It fails on 32 characters that are not hexadecimal.
func parseRevisionID(pos int, id string) (string, bool) {
	if pos == 0 || len(id) != 32 {
		return id, true
	}
	raw, err := hex.DecodeString(id)
	return string(raw), err == nil
}

// revisionIDText is the inverse of parseRevisionID.
func revisionIDText(pos int, id string) string {
	if pos != 0 && len(id) == 16 {
		return hex.EncodeToString([]byte(id))
	}
	return id
}

func (r revision) String() string { return strconv.Itoa(r.pos) + "-" + revisionIDText(r.pos, r.id) }

// compare orders by generation, then by id.
func (r revision) compare(o revision) int {
	return cmp.Or(cmp.Compare(r.pos, o.pos), strings.Compare(r.id, o.id))
}

// history is a revision with its ancestors: ids run from the newest, whose generation is start, towards the root.
// It may end before the root (stemming). No ids: a document that has no revision yet.
type history struct {
	start int
	ids   []string
}

func (h history) revision() revision { return revision{h.start, h.ids[0]} }
func (h history) none() bool         { return len(h.ids) == 0 }
