package couch

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/go-kivik/kivik/v4/couchdb/chttp"
)

// largeBody is from where on a body waits for CouchDB to ask for it.
const largeBody = 1 << 20

// request is one call of CouchDB.
type request struct {
	method string
	op     string // the endpoint's name in errors
	path   string // escaped, from the server's root, base path included
	query  url.Values
	header http.Header
	accept string // "": JSON

	body        func() io.ReadCloser // nil: none; called again for a repetition
	length      int64                // of body; -1 unknown
	contentType string               // "": JSON
	once        bool                 // must not be sent twice: a write that is not a replication write

	flow  *flow // whose turn it takes when it has to wait; nil: that of calls without a database
	place placeKind

	answerWithin time.Duration // to the headers; 0: Options.Timeout
	silence      time.Duration // between bytes of the body; 0: Options.Timeout
}

// placeKind is how long a call counts among those under way.
type placeKind uint8

const (
	wholePlace placeKind = iota // until its answer is read
	briefPlace                  // until it is connected: a feed, which lasts
	noPlace                     // it does not, and is sent at once
)

// send waits until the call may be made, makes it and returns its answer, whose status is 2xx. Close of the stream ends the call.
func (c *Client) send(parent context.Context, r request) (*stream, error) {
	op := r.method + " " + r.op
	if parent.Err() != nil {
		return nil, cancelled(op, parent)
	}
	if c.session != nil && c.session.dead(time.Now()) {
		return nil, c.unknown(op)
	}
	place, err := c.enter(parent, r, op)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(parent)
	watch := newWatchdog(orElse(r.answerWithin, c.options.Timeout), func() { cancel(errSilent) })
	if place != nil && r.place == wholePlace {
		watch.idle = place.keep()
	}
	began := time.Now()
	res, err := c.http.DoReq(ctx, r.method, r.path, r.options(watch))
	if err != nil {
		watch.stop()
		err = callFailure(op, parent, ctx, bare(err))
		cancel(nil)
		c.unanswered(place, r, began, err)
		place.leave()
		return nil, err
	}
	watch.answer(orElse(r.silence, c.options.Timeout))
	c.answered(place, r, began, res)
	if r.place == briefPlace {
		place.leave()
	}
	s := &stream{op: op, res: res, parent: parent, ctx: ctx, cancel: cancel, watch: watch, place: place}
	if res.StatusCode/100 != 2 {
		defer s.Close()
		e := answerError(op, res, s)
		if parent.Err() != nil {
			return nil, cancelled(op, parent)
		}
		return nil, e
	}
	return s, nil
}

// options are those of chttp. Bodies are never gzipped: that costs more than CouchDB's own work on a local network, and
// CouchDB would store a gzipped attachment as it is.
func (r request) options(watch *watchdog) *chttp.Options {
	// Without this net/http would ask for gzip behind our back, and CouchDB's lengths and digests would not fit the bytes.
	header := http.Header{"Accept-Encoding": {"identity"}}
	for k, v := range r.header {
		header[k] = v
	}
	o := &chttp.Options{Accept: r.accept, ContentType: r.contentType, Query: r.query, Header: header, NoGzip: true}
	if !r.once {
		// Known to net/http, never sent: the request may be repeated when a kept-alive connection turns out to be dead.
		header["Idempotency-Key"] = []string{}
	}
	if r.length < 0 || r.length > largeBody {
		// A refusal then comes before the body is sent, and not as a connection reset while it is.
		header["Expect"] = []string{"100-continue"}
	}
	body := func() io.ReadCloser { return &upload{watch: watch, body: r.body(), left: r.length} }
	switch {
	case r.body == nil:
	case r.length == 0:
		o.Body = http.NoBody
	case r.once:
		o.ContentLength = r.length
		o.Body = body()
	default:
		o.ContentLength = r.length
		o.GetBody = func() (io.ReadCloser, error) { return body(), nil }
	}
	return o
}

// upload is a request's body. The watchdog runs while CouchDB takes its bytes, and not while its source makes us wait.
//
// chttp closes a body as soon as the answer begins, when net/http may still be about to look for its end: it has to find that,
// or it gives up the connection. A body that was not read to its end must not seem to end, as CouchDB would store half of it.
type upload struct {
	watch  *watchdog
	body   io.ReadCloser
	left   int64 // bytes to come; negative: unknown
	closed atomic.Bool
}

func (u *upload) Read(p []byte) (int, error) {
	if u.closed.Load() {
		if u.left == 0 {
			return 0, io.EOF
		}
		return 0, io.ErrClosedPipe
	}
	u.watch.upload(false)
	n, err := u.body.Read(p)
	u.watch.upload(true)
	if u.left > 0 {
		u.left = max(0, u.left-int64(n))
	} else if err == io.EOF {
		u.left = 0
	}
	return n, err
}

func (u *upload) Close() error {
	u.closed.Store(true)
	return u.body.Close()
}

// fetch makes the call and returns its whole answer, one JSON value, bounded by Options.MaxAnswerBytes.
func (c *Client) fetch(ctx context.Context, r request) (jsontext.Value, error) {
	s, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	b, err := readAll(s, c.options.MaxAnswerBytes)
	if err != nil {
		return nil, err
	}
	v := jsontext.Value(bytes.TrimSpace(b))
	if !v.IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
		return nil, &Error{Op: s.op, Err: errMalformed}
	}
	return v, nil
}

func readAll(s *stream, limit int64) ([]byte, error) {
	if s.res.ContentLength > limit {
		return nil, &Error{Op: s.op, Err: errTooLong}
	}
	var buf bytes.Buffer
	if n := s.res.ContentLength; n > 0 {
		buf.Grow(int(n) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(io.LimitReader(s, limit+1)); err != nil {
		return nil, err
	}
	if int64(buf.Len()) > limit {
		return nil, &Error{Op: s.op, Err: errTooLong}
	}
	return buf.Bytes(), nil
}

// payload is a body that is in memory.
func payload(b []byte) (func() io.ReadCloser, int64) {
	return func() io.ReadCloser { return io.NopCloser(bytes.NewReader(b)) }, int64(len(b))
}

func orElse(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}
