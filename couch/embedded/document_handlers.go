package embedded

import (
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// documentPath splits what follows the database's name into a document's id and the name of an attachment.
func (r *request) documentPath() (id, attachment string) {
	parts := r.parts[1:]
	if len(parts) == 0 {
		return "", ""
	}
	n := 1
	if parts[0] == "_design" || parts[0] == "_local" {
		n = 2
	}
	n = min(n, len(parts))
	return strings.Join(parts[:n], "/"), strings.Join(parts[n:], "/")
}

// openOptions reads the query parameters (chttpd_db:parse_doc_query/1).
func (r *request) openOptions() (*openOptions, error) {
	meta := r.flag("meta")
	o := &openOptions{
		revs: r.flag("revs"), revsInfo: meta || r.flag("revs_info"), conflicts: meta || r.flag("conflicts"),
		deletedConflicts: meta || r.flag("deleted_conflicts"), localSeq: r.flag("local_seq"),
		attachments: r.flag("attachments"), latest: r.flag("latest"),
	}
	if text := r.query.Get("atts_since"); text != "" {
		var err error
		if o.attsSince, err = parseRevisionArray(text); err != nil {
			return nil, err
		}
		o.attachments = true
	}
	return o, nil
}

// parseRevisionArray reads a JSON array of revisions. It is never nil.
func parseRevisionArray(text string) ([]revision, error) {
	v, err := compactJSON([]byte(text))
	if err != nil {
		return nil, err
	}
	return revisionArray(v)
}

func revisionArray(v jsontext.Value) ([]revision, error) {
	revs := []revision{}
	isArray, err := elements(v, func(e jsontext.Value) error {
		text, ok := stringValue(e)
		if !ok {
			return errRevisionFormat
		}
		rev, err := parseRevision(text)
		revs = append(revs, rev)
		return err
	})
	if err == nil && !isArray {
		err = badRequest("Invalid list of revisions")
	}
	return revs, err
}

func (r *request) getDocument() error {
	id, _ := r.documentPath()
	if isLocalID(id) {
		return r.getLocal(id)
	}
	o, err := r.openOptions()
	if err != nil {
		return err
	}
	if open := r.query.Get("open_revs"); open != "" && open != "[]" {
		return r.getOpenRevisions(id, open, o)
	}
	o.follows = o.attachments && r.accepts("multipart/related") && !r.acceptsJSONFirst()
	got, err := r.open(id, o)
	if err != nil {
		return err
	}
	if got.meta == nil && r.sendETag(got.doc.revs.revision().String()) {
		return nil
	}
	if len(got.doc.atts) > 0 && o.follows {
		return r.sendRelated(o.json(got), got.doc.atts)
	}
	return r.sendJSON(http.StatusOK, o.json(got))
}

// acceptsJSONFirst is for clients that list several media types, of which JSON is the simplest answer.
func (r *request) acceptsJSONFirst() bool {
	return strings.Contains(r.Header.Get("Accept"), "application/json")
}

// open reads the revision the rev parameter names, else the winner, which must not be deleted.
func (r *request) open(id string, o *openOptions) (read, error) {
	text := r.query.Get("rev")
	if !r.query.Has("rev") || o.latest {
		got, err := r.db.openWinner(id, o)
		if err == nil && got.doc.deleted {
			err = errDeleted
		}
		return got, err
	}
	rev, err := parseRevision(text)
	if err != nil {
		return read{}, err
	}
	got, err := r.db.openRevisions(id, []revision{rev}, o)
	if err != nil {
		return read{}, err
	}
	if got[0].doc == nil {
		return read{}, errMissing
	}
	return got[0], nil
}

func (r *request) getOpenRevisions(id, open string, o *openOptions) error {
	var want []revision
	if open != "all" {
		var err error
		if want, err = parseRevisionArray(open); err != nil {
			return err
		}
	}
	o.follows = r.accepts("multipart/mixed") && !r.acceptsJSONFirst()
	o.attachments = o.attachments || o.follows
	reads, err := r.db.openRevisions(id, want, o)
	if err != nil {
		return err
	}
	if want == nil && len(reads) == 0 {
		return errMissing
	}
	if o.follows {
		return r.sendMixed(reads, o)
	}
	r.out.Header().Set("Content-Type", "application/json")
	out := streamed{to: r.out}
	for i, got := range reads {
		row := []byte("[")
		if i > 0 {
			row = []byte(",")
		}
		if err := out.write(got.appendOpenRevision(row, o)); err != nil {
			return err
		}
	}
	if len(reads) == 0 {
		out.buf.WriteByte('[')
	}
	out.buf.WriteString("]\n")
	return out.flush()
}

func (got read) appendOpenRevision(dst []byte, o *openOptions) []byte {
	if got.doc == nil {
		return append(appendString(append(dst, `{"missing":`...), got.rev.String()), '}')
	}
	return append(append(append(dst, `{"ok":`...), o.json(got)...), '}')
}

func (r *request) putDocument() error {
	id, _ := r.documentPath()
	if err := validateID(id); err != nil {
		return err
	}
	d, err := r.readDocument()
	if err != nil {
		return err
	}
	d.id = id
	if err := r.setEdited(d); err != nil {
		return r.giveUp(d, err)
	}
	replicated := r.query.Get("new_edits") == "false"
	if replicated && d.revs.none() {
		return r.giveUp(d, errNeedsRevision)
	}
	return r.saveOne(d, replicated)
}

var errNeedsRevision = badRequest("When `new_edits: false`, the document needs `_rev` or `_revisions` specified")

// giveUp removes what was uploaded for a document that is refused.
func (r *request) giveUp(d *document, reason error) error {
	if err := r.db.discard(d); err != nil {
		return err
	}
	return reason
}

// readDocument reads a document from a JSON or a multipart/related body.
func (r *request) readDocument() (*document, error) {
	if boundary := relatedBoundary(r.Header.Get("Content-Type")); boundary != "" {
		return r.readRelated(boundary)
	}
	v, err := r.readJSON()
	if err != nil {
		return nil, err
	}
	return r.parse(v)
}

// parse reads a document that is all there is to it: no attachment may follow.
func (r *request) parse(v jsontext.Value) (*document, error) {
	d, err := r.parseFirst(v)
	if err != nil {
		return nil, err
	}
	for _, a := range d.atts {
		if a.source == followsContent {
			return nil, badRequest("Attachment " + a.name + " cannot follow: the body is not multipart/related.")
		}
	}
	return d, nil
}

func (r *request) parseFirst(v jsontext.Value) (*document, error) {
	d, err := parseDocument(v, r.store.options.MaxDocumentSize)
	if err != nil {
		return nil, err
	}
	for i := range d.atts {
		if d.atts[i].length > r.store.options.MaxAttachmentSize {
			return nil, tooLargeAttachment(&d.atts[i])
		}
	}
	return d, nil
}

// setEdited finds the revision to be edited in body, query or If-Match header, which must not contradict each other
// (chttpd_db:couch_doc_from_req/4).
func (r *request) setEdited(d *document) error {
	given, err := r.givenRevision()
	if err != nil {
		return err
	}
	switch {
	case given == nil:
		return nil
	case d.revs.none():
		d.revs = history{given.pos, []string{given.id}}
	case d.revs.revision() != *given:
		return badRequest("Document rev from request body and query string have different values")
	}
	return nil
}

func (r *request) givenRevision() (*revision, error) {
	var given *revision
	texts := r.query["rev"]
	if match := r.Header.Get("If-Match"); match != "" {
		texts = append(texts, strings.Trim(match, `"`))
	}
	for _, text := range texts {
		rev, err := parseRevision(text)
		if err != nil {
			return nil, err
		}
		if given != nil && *given != rev {
			return nil, badRequest("Document rev and etag have different values")
		}
		given = &rev
	}
	return given, nil
}

// saveOne writes a document and answers with its new revision.
func (r *request) saveOne(d *document, replicated bool) error {
	results, err := r.save([]*document{d}, replicated)
	if err == nil && results[0].err != nil {
		err = results[0].err
	}
	if err != nil {
		return r.giveUp(d, err)
	}
	rev := results[0].rev.String()
	r.out.Header().Set("ETag", `"`+d.etag(rev)+`"`)
	status := http.StatusCreated
	if d.deleted {
		status = http.StatusOK
	} else {
		r.setLocation(r.db.name, d.id)
	}
	return r.sendJSON(status, appendSaved(nil, d.id, rev))
}

func appendSaved(dst []byte, id, rev string) []byte {
	dst = appendString(append(dst, `{"ok":true,"id":`...), id)
	return append(appendString(append(dst, `,"rev":`...), rev), '}')
}

// save writes documents in the client's name.
func (r *request) save(docs []*document, replicated bool) ([]saved, error) {
	if r.db.name == usersDatabase {
		for _, d := range docs {
			if err := r.store.options.hashPassword(d); err != nil {
				return nil, err
			}
		}
	}
	return r.db.save(r.user, docs, replicated)
}

func (r *request) deleteDocument() error {
	id, _ := r.documentPath()
	if err := r.mustExist(id); err != nil {
		return err
	}
	d := &document{id: id, deleted: true}
	if err := r.setEdited(d); err != nil {
		return err
	}
	return r.saveOne(d, r.query.Get("new_edits") == "false" && !d.revs.none())
}

func (r *request) mustExist(id string) error {
	if isLocalID(id) {
		_, err := r.db.local(id)
		return err
	}
	d, err := r.db.winner(id)
	if err == nil && d.deleted {
		err = errDeleted
	}
	return err
}

// postDocument creates a document with the id of its body or a new one.
func (r *request) postDocument() error {
	if err := r.requireJSON(); err != nil {
		return err
	}
	v, err := r.readJSON()
	if err != nil {
		return err
	}
	d, err := r.parse(v)
	if err != nil {
		return err
	}
	if d.id == "" {
		d.id = r.store.options.NewUUID()
	}
	return r.saveOne(d, false)
}
