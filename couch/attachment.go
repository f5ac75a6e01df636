package couch

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// AttachmentOptions choose what of an attachment to read.
type AttachmentOptions struct {
	Rev   string // "": the winner
	Range string // a Range header, "bytes=0-99"
}

// Attachment is the answer to a request for one. Body streams; it must be closed.
type Attachment struct {
	Body         io.ReadCloser
	ContentType  string
	Length       int64  // of Body; -1 unknown
	Digest       string // as in a document's stub, "md5-..."; "" unknown
	Encoding     string // Content-Encoding; "" none
	ContentRange string // when CouchDB answered a part only
}

// Attachment reads an attachment. https://docs.couchdb.org/en/stable/api/document/attachments.html
func (d *Database) Attachment(ctx context.Context, id, name string, o AttachmentOptions) (*Attachment, error) {
	r, err := d.attachment(http.MethodGet, id, name, o.Rev)
	if err != nil {
		return nil, err
	}
	r.accept = "*/*"
	if o.Range != "" {
		r.header = http.Header{"Range": {o.Range}}
	}
	s, err := d.client.send(ctx, r)
	if err != nil {
		return nil, err
	}
	h := s.res.Header
	a := &Attachment{Body: s, ContentType: h.Get("Content-Type"), Length: s.res.ContentLength,
		Encoding: h.Get("Content-Encoding"), ContentRange: h.Get("Content-Range")}
	if a.Encoding == "identity" {
		a.Encoding = ""
	}
	if md5, ok := strings.CutPrefix(h.Get("ETag"), `"`); ok {
		a.Digest = "md5-" + strings.TrimSuffix(md5, `"`)
	}
	return a, nil
}

// PutAttachment writes an attachment and returns the document's new revision. rev is the revision to change, "" for a document
// that is not there yet; length -1 is unknown. body is sent as it comes, not compressed, and is read by no one once
// PutAttachment has returned, but for a Read already under way. It is not sent twice: an *Error that is Transient leaves open
// whether it was written. An error of body is returned wrapped, and is no *Error.
func (d *Database) PutAttachment(ctx context.Context, id, name, rev, contentType string, length int64, body io.Reader) (newRev string, err error) {
	r, err := d.attachment(http.MethodPut, id, name, rev)
	if err != nil {
		return "", err
	}
	from := &source{r: body}
	r.body = func() io.ReadCloser { return io.NopCloser(from) }
	r.length = length
	r.once = true
	r.contentType = contentType
	if contentType == "" {
		r.contentType = "application/octet-stream"
	}
	newRev, err = d.client.write(ctx, r)
	if err == nil || ctx.Err() != nil {
		return newRev, err
	}
	return "", from.blame(err, length)
}

// source is the body of an attachment, to tell its failures from CouchDB's.
type source struct {
	r     io.Reader
	mu    sync.Mutex
	bytes int64
	err   error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += int64(n)
	s.err = err
	return n, err
}

// blame is err, unless the body failed or ended before its time.
func (s *source) blame(err error, length int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err == io.EOF && s.bytes < length:
		return invalid("PUT attachment", "bad_request", "Body ended after %d of %d bytes.", s.bytes, length)
	case s.err != nil && s.err != io.EOF:
		return fmt.Errorf("couch: PUT attachment: reading the body: %w", s.err)
	}
	return err
}

func (d *Database) attachment(method, id, name, rev string) (request, error) {
	r, err := d.document(method, id)
	if err != nil {
		return r, err
	}
	r.op = "attachment"
	path, err := attachmentPath(method+" attachment", name)
	r.path += "/" + path
	setText(r.query, "rev", rev)
	return r, err
}
