package embedded

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
)

// relatedBoundary returns the boundary of a multipart/related body, "" for other types.
func relatedBoundary(contentType string) string {
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != "multipart/related" {
		return ""
	}
	return params["boundary"]
}

// readRelated reads a document whose attachments follow as parts, in the order of its _attachments member
// (https://docs.couchdb.org/en/stable/api/document/attachments.html#creating-multiple-attachments).
func (r *request) readRelated(boundary string) (*document, error) {
	body, err := r.body()
	if err != nil {
		return nil, err
	}
	parts := multipart.NewReader(body, boundary)
	part, err := parts.NextRawPart()
	if err != nil {
		return nil, badRequest("The multipart body has no first part with the document.")
	}
	raw, err := readLimited(part, r.store.options.MaxRequestSize, errTooLarge)
	if err != nil {
		return nil, errOrBroken(err)
	}
	v, err := compactJSON(raw)
	if err != nil {
		return nil, err
	}
	d, err := r.parseFirst(v)
	if err != nil {
		return nil, err
	}
	for i := range d.atts {
		if d.atts[i].source == followsContent {
			if err := r.readPart(parts, &d.atts[i]); err != nil {
				return nil, r.giveUp(d, err)
			}
		}
	}
	return d, nil
}

func errOrBroken(err error) error {
	var f *failure
	if errors.As(err, &f) {
		return err
	}
	return badRequest("The multipart body could not be read to its end.")
}

func (r *request) readPart(parts *multipart.Reader, a *attachment) error {
	part, err := parts.NextRawPart()
	if err != nil {
		return badRequest("The multipart body has no part for attachment " + a.name)
	}
	declared := a.length
	counted := &countingReader{r: part}
	content := io.Reader(counted)
	if a.gzipped {
		if content, err = gzip.NewReader(counted); err != nil {
			return badRequest("Attachment " + a.name + " is not valid gzip.")
		}
	}
	if err := r.db.upload(a, content); err != nil {
		return err
	}
	if declared > 0 && counted.n != declared {
		return badRequest(fmt.Sprintf("Attachment %s has %d bytes, not the declared %d.", a.name, counted.n, declared))
	}
	return nil
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// sendRelated answers with a document and the contents of its attachments.
func (r *request) sendRelated(doc []byte, atts []attachment) error {
	boundary := r.store.options.NewUUID()
	r.out.Header().Set("Content-Type", `multipart/related; boundary="`+boundary+`"`)
	r.out.WriteHeader(http.StatusOK)
	return r.db.writeRelated(r.out, boundary, doc, atts)
}

// writeRelated writes what stands between the first and the last boundary, these included.
func (db *database) writeRelated(w io.Writer, boundary string, doc []byte, atts []attachment) error {
	if _, err := fmt.Fprintf(w, "--%s\r\nContent-Type: application/json\r\n\r\n%s", boundary, doc); err != nil {
		return err
	}
	for i := range atts {
		a := &atts[i]
		if a.source != followsContent {
			continue
		}
		_, err := fmt.Fprintf(w, "\r\n--%s\r\nContent-Disposition: attachment; filename=%s\r\nContent-Type: %s\r\nContent-Length: %s\r\n\r\n",
			boundary, appendString(nil, a.name), a.contentType, strconv.FormatInt(a.length, 10))
		if err != nil {
			return err
		}
		if _, err := io.Copy(w, db.open(a)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "\r\n--%s--", boundary)
	return err
}

// sendMixed answers with several revisions, each with its attachments (chttpd_db:send_docs_multipart/3).
func (r *request) sendMixed(reads []read, o *openOptions) error {
	outer, inner := r.store.options.NewUUID(), r.store.options.NewUUID()
	r.out.Header().Set("Content-Type", `multipart/mixed; boundary="`+outer+`"`)
	r.out.WriteHeader(http.StatusOK)
	if _, err := fmt.Fprintf(r.out, "--%s", outer); err != nil {
		return err
	}
	for _, got := range reads {
		if err := r.writeMixedPart(got, o, inner); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(r.out, "\r\n--%s", outer); err != nil {
			return err
		}
	}
	_, err := io.WriteString(r.out, "--")
	return err
}

func (r *request) writeMixedPart(got read, o *openOptions, inner string) error {
	if got.doc == nil {
		_, err := fmt.Fprintf(r.out, "\r\nContent-Type: application/json; error=\"true\"\r\n\r\n%s", got.appendOpenRevision(nil, o))
		return err
	}
	follows := false
	for _, a := range got.doc.atts {
		follows = follows || a.source == followsContent
	}
	if !follows {
		_, err := fmt.Fprintf(r.out, "\r\nContent-Type: application/json\r\n\r\n%s", o.json(got))
		return err
	}
	if _, err := fmt.Fprintf(r.out, "\r\nContent-Type: multipart/related; boundary=\"%s\"\r\n\r\n", inner); err != nil {
		return err
	}
	return r.db.writeRelated(r.out, inner, o.json(got), got.doc.atts)
}
