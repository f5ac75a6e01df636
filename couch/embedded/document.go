package embedded

import (
	"crypto/md5"
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// document is one revision of a document: what a client sends, or what is read back.
type document struct {
	id      string
	revs    history // of a document sent for an ordinary edit: the history it edits
	deleted bool
	body    []byte // the members whose names have no leading underscore, compact, as sent: `"a":1,"b":2`
	atts    []attachment
}

// object returns the body as a JSON object.
func (d *document) object() jsontext.Value {
	out := make([]byte, 0, len(d.body)+2)
	return append(append(append(out, '{'), d.body...), '}')
}

func (d *document) isDesign() bool { return isDesignID(d.id) }
func (d *document) isLocal() bool  { return isLocalID(d.id) }

func isDesignID(id string) bool { return strings.HasPrefix(id, "_design/") }
func isLocalID(id string) bool  { return strings.HasPrefix(id, "_local/") }

// parseDocument reads a document as sent by a client (couch_doc:from_json_obj/1). raw must be compact. The result
// points into raw.
func parseDocument(raw jsontext.Value, maxSize int64) (*document, error) {
	d := &document{}
	err := members(raw, d.setMember)
	if err != nil {
		return nil, err
	}
	if int64(len(d.body))+2 > maxSize {
		return nil, &failure{status: 413, name: "document_too_large", reason: d.id}
	}
	return d, nil
}

// bodyMembers are underscore names CouchDB keeps in the body.
var bodyMembers = map[string]bool{
	"_replication_state": true, "_replication_state_time": true, "_replication_state_reason": true,
	"_replication_id": true, "_replication_stats": true, "_access": true,
}

func (d *document) setMember(m member) error {
	if !strings.HasPrefix(m.name, "_") || bodyMembers[m.name] {
		if len(d.body) > 0 {
			d.body = append(d.body, ',')
		}
		d.body = append(d.body, m.raw...)
		return nil
	}
	switch m.name {
	case "_id":
		return d.setID(m.value)
	case "_rev":
		return d.setRevision(m.value)
	case "_revisions":
		return d.setRevisions(m.value)
	case "_attachments":
		return d.setAttachments(m.value)
	case "_deleted":
		if kind := m.value.Kind(); kind == 't' || kind == 'f' {
			d.deleted = kind == 't'
			return nil
		}
	case "_revs_info", "_local_seq", "_conflicts", "_deleted_conflicts":
		return nil
	}
	return invalidDocument("Bad special document member: " + m.name)
}

func (d *document) setID(v jsontext.Value) error {
	id, ok := stringValue(v)
	if !ok {
		return illegalID("Document id must be a string")
	}
	d.id = id
	return validateID(id)
}

// validateID checks a document id (couch_doc:validate_docid/1).
func validateID(id string) error {
	switch {
	case id == "":
		return illegalID("Document id must not be empty")
	case id == "_design/" || id == "_local/":
		return illegalID("Illegal document id `" + id + "`")
	case !utf8.ValidString(id):
		return illegalID("Document id must be valid UTF-8")
	case strings.HasPrefix(id, "_") && !isDesignID(id) && !isLocalID(id):
		return illegalID("Only reserved document ids may start with underscore.")
	case len(id) > maxIDLength:
		return illegalID("Document id is too long")
	}
	return nil
}

// maxIDLength is what fits a key of the file. CouchDB itself has no limit by default.
const maxIDLength = 8 << 10

func (d *document) setRevision(v jsontext.Value) error {
	text, ok := stringValue(v)
	if !ok {
		return errRevisionFormat
	}
	rev, err := parseRevision(text)
	if err != nil {
		return err
	}
	if d.revs.none() { // _revisions says more and wins
		d.revs = history{rev.pos, []string{rev.id}}
	}
	return nil
}

func (d *document) setRevisions(v jsontext.Value) error {
	start, ok := integerValue(field(v, "start"))
	if !ok {
		return invalidDocument("_revisions.start isn't an integer.")
	}
	revs := history{start: int(start)}
	isArray, err := elements(field(v, "ids"), func(e jsontext.Value) error {
		text, ok := stringValue(e)
		if !ok {
			return invalidDocument("RevId isn't a string")
		}
		id, ok := parseRevisionID(revs.start, text)
		if !ok {
			return invalidDocument("RevId isn't a valid hexadecimal")
		}
		revs.ids = append(revs.ids, id)
		return nil
	})
	switch {
	case err != nil:
		return err
	case !isArray:
		return invalidDocument("_revisions.ids isn't a array.")
	case start < 0 || len(revs.ids) > revs.start:
		return invalidDocument("_revisions.start is less than the number of _revisions.ids.")
	}
	d.revs = revs
	return nil
}

// attachment describes one attachment of a revision.
type attachment struct {
	name        string
	contentType string
	revpos      int
	length      int64
	digest      string // MD5 of the content, 16 bytes
	blob        uint64 // where the content is stored

	// What a client's document says before it is stored:
	source    attachmentSource
	anyRevpos bool   // a stub without revpos matches any
	data      []byte // inline content
	gzipped   bool   // content that follows is gzip
}

type attachmentSource int

const (
	storedContent   attachmentSource = iota // blob is valid
	inlineContent                           // data
	uploadedContent                         // blob, which no document refers to yet
	stubContent                             // the previous revision's
	followsContent                          // a part of the multipart request or answer
)

// isNew tells whether this edit brings the content.
func (a *attachment) isNew() bool { return a.source == inlineContent || a.source == uploadedContent }

func (d *document) setAttachments(v jsontext.Value) error {
	if v.Kind() != '{' {
		return invalidDocument("Bad special document member: _attachments")
	}
	d.atts = nil
	return members(v, func(m member) error {
		att, err := parseAttachment(m.name, m.value)
		if err != nil {
			return err
		}
		for _, other := range d.atts {
			if other.name == att.name {
				return badRequest("Duplicate attachments")
			}
		}
		d.atts = append(d.atts, att)
		return nil
	})
}

func parseAttachment(name string, v jsontext.Value) (attachment, error) {
	a := attachment{name: name, contentType: "application/octet-stream"}
	if err := validateAttachmentName(name); err != nil {
		return a, err
	}
	if t, ok := stringValue(field(v, "content_type")); ok {
		a.contentType = t
	}
	revpos, hasRevpos := integerValue(field(v, "revpos"))
	a.revpos, a.anyRevpos = int(revpos), !hasRevpos
	if isTrue(field(v, "stub")) {
		a.source = stubContent
		return a, checkDigest(field(v, "digest"))
	}
	if isTrue(field(v, "follows")) {
		a.source = followsContent
		a.length, _ = integerValue(field(v, "length"))
		encoding, _ := stringValue(field(v, "encoding"))
		if a.gzipped = encoding == "gzip"; a.gzipped {
			a.length, _ = integerValue(field(v, "encoded_length"))
		}
		return a, checkDigest(field(v, "digest"))
	}
	text, ok := stringValue(field(v, "data"))
	data, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		return a, badRequest("Invalid attachment data for " + name)
	}
	sum := md5.Sum(data)
	a.source, a.data, a.length, a.digest = inlineContent, data, int64(len(data)), string(sum[:])
	return a, nil
}

// checkDigest refuses a digest CouchDB's decoder stumbles over. The digest itself is not compared: for compressible
// types CouchDB's own is of bytes this store never sees.
func checkDigest(v jsontext.Value) error {
	text, ok := stringValue(v)
	encoded, isMD5 := strings.CutPrefix(text, "md5-")
	if !ok || !isMD5 {
		return nil
	}
	if _, err := base64.StdEncoding.DecodeString(encoded); err != nil {
		return errDigestDecoded
	}
	return nil
}

func validateAttachmentName(name string) error {
	if strings.HasPrefix(name, "_") {
		return badRequest("Attachment name '" + name + "' starts with prohibited character '_'")
	}
	if !utf8.ValidString(name) {
		return badRequest("Attachment name is not UTF-8 encoded")
	}
	return nil
}

func (a *attachment) digestText() string { return base64.StdEncoding.EncodeToString([]byte(a.digest)) }
