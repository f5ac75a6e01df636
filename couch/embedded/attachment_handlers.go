package embedded

import (
	"net/http"
	"strings"
	"time"
)

// findAttachment opens the revision asked for and its attachment.
func (r *request) findAttachment() (*attachment, error) {
	id, name := r.documentPath()
	got, err := r.open(id, &openOptions{})
	if err != nil {
		return nil, err
	}
	for i := range got.doc.atts {
		if got.doc.atts[i].name == name {
			return &got.doc.atts[i], nil
		}
	}
	return nil, errNoAttachment
}

func (r *request) getAttachment() error {
	a, err := r.findAttachment()
	if err != nil {
		return err
	}
	h := r.out.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", "must-revalidate")
	h.Set("ETag", `"`+a.digestText()+`"`)
	if !strings.HasPrefix(r.Header.Get("Range"), "bytes=") {
		r.Header.Del("Range") // CouchDB ignores what it cannot read
	}
	out := &rangeWriter{responseWriter: r.out}
	http.ServeContent(out, r.Request, "", time.Time{}, r.db.open(a))
	if out.refused {
		return errRange
	}
	return nil
}

// rangeWriter holds back the answer to a bad range, so that it can be given as JSON.
type rangeWriter struct {
	*responseWriter
	refused bool
}

func (w *rangeWriter) WriteHeader(status int) {
	if w.refused = status == http.StatusRequestedRangeNotSatisfiable; !w.refused {
		w.responseWriter.WriteHeader(status)
	}
}

func (w *rangeWriter) Write(b []byte) (int, error) {
	if w.refused {
		return len(b), nil
	}
	return w.responseWriter.Write(b)
}

// putAttachment adds or replaces an attachment. The content goes to disk piece by piece.
func (r *request) putAttachment() error {
	id, name := r.documentPath()
	if err := validateID(id); err != nil {
		return err
	}
	if err := validateAttachmentName(name); err != nil {
		return err
	}
	d, err := r.editedDocument(id)
	if err != nil {
		return err
	}
	a := attachment{name: name, contentType: r.Header.Get("Content-Type")}
	if a.contentType == "" {
		a.contentType = "application/octet-stream"
	}
	if r.ContentLength > r.store.options.MaxAttachmentSize {
		return tooLargeAttachment(&a)
	}
	body, err := r.body()
	if err != nil {
		return err
	}
	err = r.db.upload(&a, body)
	d.removeAttachment(name)
	d.atts = append([]attachment{a}, d.atts...)
	if err != nil {
		return r.giveUp(d, err)
	}
	return r.saveAttachments(d, http.StatusCreated, name)
}

func (r *request) deleteAttachment() error {
	id, name := r.documentPath()
	d, err := r.editedDocument(id)
	if err != nil {
		return err
	}
	if d.revs.none() {
		if err := r.mustExist(id); err != nil {
			return err
		}
		return errConflict
	}
	if !d.removeAttachment(name) {
		return errNoAttachment
	}
	return r.saveAttachments(d, http.StatusOK, "")
}

// editedDocument reads the document an attachment is to change: of the given revision, or new. Given none, a document
// that exists is in conflict.
func (r *request) editedDocument(id string) (*document, error) {
	rev, err := r.givenRevision()
	if err != nil {
		return nil, err
	}
	if rev == nil {
		return &document{id: id}, nil
	}
	reads, err := r.db.openRevisions(id, []revision{*rev}, &openOptions{})
	if err != nil {
		return nil, err
	}
	if reads[0].doc == nil {
		return nil, errMissingRevision
	}
	d := reads[0].doc
	d.revs.ids = d.revs.ids[:1]
	d.deleted = false
	return d, nil
}

func (d *document) removeAttachment(name string) (found bool) {
	for i := range d.atts {
		if d.atts[i].name == name {
			d.atts = append(d.atts[:i:i], d.atts[i+1:]...)
			return true
		}
	}
	return false
}

func (r *request) saveAttachments(d *document, status int, created string) error {
	results, err := r.db.save(r.user, []*document{d}, false)
	if err == nil && results[0].err != nil {
		err = results[0].err
	}
	if err != nil {
		return r.giveUp(d, err)
	}
	if created != "" {
		r.setLocation(append([]string{r.db.name, d.id}, strings.Split(created, "/")...)...)
	}
	return r.sendJSON(status, appendSaved(nil, d.id, results[0].rev.String()))
}
