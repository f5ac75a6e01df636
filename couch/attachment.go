package couch

import (
	"context"
	"io"
	"net/http"
	"strings"
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
// whether it was written.
func (d *Database) PutAttachment(ctx context.Context, id, name, rev, contentType string, length int64, body io.Reader) (newRev string, err error) {
	r, err := d.attachment(http.MethodPut, id, name, rev)
	if err != nil {
		return "", err
	}
	r.body = func() io.ReadCloser { return io.NopCloser(body) }
	r.length = length
	r.once = true
	r.contentType = contentType
	if contentType == "" {
		r.contentType = "application/octet-stream"
	}
	const large = 1 << 20
	if length < 0 || length > large {
		// So that a refusal, such as the 413 of a proxy, comes before the body is sent and not as a connection reset while it is.
		r.header = http.Header{"Expect": {"100-continue"}}
	}
	return d.client.write(ctx, r)
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
