package embedded

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// request is one HTTP request on its way through the handlers.
type request struct {
	*http.Request
	store   *Store
	out     *responseWriter
	query   url.Values
	parts   []string // unescaped segments of the path
	user    userContext
	db      *database   // nil outside databases
	secured securityDoc // of db
}

// handler serves a request or returns the *failure to answer with. Any other error is a fault of the server.
type handler func(*request) error

// responseWriter remembers whether the answer has begun.
type responseWriter struct {
	http.ResponseWriter
	begun bool
}

func (w *responseWriter) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *responseWriter) Write(b []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// ServeHTTP implements http.Handler.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req := &request{Request: r, store: s, out: &responseWriter{ResponseWriter: w}, query: r.URL.Query()}
	if !s.enter() {
		req.fail(errClosed)
		return
	}
	defer s.requests.Done()
	if err := s.serve(req); err != nil {
		req.fail(err)
	}
}

func (s *Store) serve(req *request) error {
	var err error
	if req.parts, err = splitPath(req.URL.EscapedPath()); err != nil {
		return err
	}
	if req.user, err = s.authenticate(req.Request); err != nil {
		return err
	}
	if len(req.parts) == 0 {
		return serverRoot.serve(req)
	}
	if e, ok := serverEndpoints[req.parts[0]]; ok {
		return e.serve(req)
	}
	if notImplementedServer[req.parts[0]] {
		return notImplemented("/" + req.parts[0])
	}
	return s.serveDatabase(req)
}

// splitPath cuts a path at its slashes and unescapes the segments. As in CouchDB, empty segments do not count and a
// plus sign is a space.
func splitPath(escaped string) ([]string, error) {
	var parts []string
	for segment := range strings.SplitSeq(escaped, "/") {
		if segment == "" {
			continue
		}
		part, err := url.QueryUnescape(segment)
		if err != nil {
			return nil, badRequest("The path is not a valid URL: a % must be followed by two hexadecimal digits.")
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// endpoint maps methods to handlers. HEAD is served as GET.
type endpoint struct {
	allowed string // as CouchDB words it in its 405
	methods map[string]handler
}

func (e endpoint) serve(req *request) error {
	method := req.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	h := e.methods[method]
	if h == nil {
		return methodNotAllowed(e.allowed)
	}
	return h(req)
}

// fail answers with an error. Once an answer has begun there is no other way to say so than to cut the connection.
func (r *request) fail(err error) {
	if r.out.begun {
		panic(http.ErrAbortHandler)
	}
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{status: 500, name: "internal_server_error", reason: err.Error()}
	}
	_ = r.sendJSON(f.status, f.appendJSON(nil))
}

// appendJSON adds the error as an object.
func (f *failure) appendJSON(dst []byte) []byte {
	return append(f.appendMembers(append(dst, '{')), '}')
}

func (f *failure) appendMembers(dst []byte) []byte {
	dst = append(dst, `"error":`...)
	dst = appendString(dst, f.name)
	dst = append(dst, `,"reason":`...)
	if f.rawReason != nil {
		return append(dst, f.rawReason...)
	}
	dst = appendString(dst, f.reason)
	if f.ref != 0 {
		dst = strconv.AppendUint(append(dst, `,"ref":`...), uint64(f.ref), 10)
	}
	return dst
}

// sendJSON answers with a whole JSON value. CouchDB ends each with a newline.
func (r *request) sendJSON(status int, body []byte) error {
	h := r.out.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "must-revalidate")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	r.out.WriteHeader(status)
	_, _ = r.out.Write(append(body, '\n')) // an error means that the client is gone
	return nil
}

func (r *request) sendOK(status int) error { return r.sendJSON(status, []byte(`{"ok":true}`)) }

// sendETag answers 304 if the client has this version already, else sets the header.
func (r *request) sendETag(tag string) (done bool) {
	quoted := `"` + tag + `"`
	r.out.Header().Set("ETag", quoted)
	if r.Header.Get("If-None-Match") != quoted {
		return false
	}
	r.out.WriteHeader(http.StatusNotModified)
	return true
}

// setLocation names what was created by an absolute URL.
func (r *request) setLocation(segments ...string) {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	var b strings.Builder
	b.WriteString(scheme + "://" + r.Host)
	for _, s := range segments {
		b.WriteString("/" + escapeSegment(s))
	}
	r.out.Header().Set("Location", b.String())
}

// escapeSegment escapes all but letters, digits and -_.: as CouchDB does.
func escapeSegment(s string) string {
	return strings.NewReplacer("+", "%20", "~", "%7E", "%3A", ":").Replace(url.QueryEscape(s))
}

func (r *request) flag(name string) bool { return r.query.Get(name) == "true" }

// body is the request's body, decompressed.
func (r *request) body() (io.Reader, error) {
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
		return r.Body, nil
	case "gzip":
		zr, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, badRequest("The body is not valid gzip.")
		}
		return zr, nil
	default:
		return nil, &failure{status: 415, name: "bad_content_type", reason: encoding + " is not a supported content encoding."}
	}
}

// readAll reads a body into memory, within the configured limit.
func (r *request) readAll() ([]byte, error) {
	limit := r.store.options.MaxRequestSize
	if r.ContentLength > limit {
		return nil, errTooLarge
	}
	body, err := r.body()
	if err != nil {
		return nil, err
	}
	raw, err := readLimited(body, limit, errTooLarge)
	var f *failure
	if err != nil && !errors.As(err, &f) {
		return nil, badRequest("The body could not be read to its end.")
	}
	return raw, err
}

// readJSON reads a body that must be JSON, whatever its media type.
func (r *request) readJSON() (jsontext.Value, error) {
	raw, err := r.readAll()
	if err != nil {
		return nil, err
	}
	return compactJSON(raw)
}

// requireJSON refuses a body that is not declared as JSON.
func (r *request) requireJSON() error {
	if mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); mediaType != "application/json" {
		return &failure{status: 415, name: "bad_content_type", reason: "Content-Type must be application/json"}
	}
	return nil
}

// readObject reads a body that must be declared as, and be, a JSON object.
func (r *request) readObject() (jsontext.Value, error) {
	if err := r.requireJSON(); err != nil {
		return nil, err
	}
	v, err := r.readJSON()
	if err == nil && v.Kind() != '{' {
		err = badRequest("Request body must be a JSON object")
	}
	return v, err
}

// hasBody tells whether a body was sent.
func (r *request) hasBody() bool { return r.ContentLength != 0 && r.Body != http.NoBody }

// accepts tells whether the client takes a media type. Without an Accept header it takes all.
func (r *request) accepts(mediaType string) bool {
	headers := r.Header.Values("Accept")
	if len(headers) == 0 {
		return true
	}
	major, _, _ := strings.Cut(mediaType, "/")
	for _, header := range headers {
		for part := range strings.SplitSeq(header, ",") {
			t, params, err := mime.ParseMediaType(part)
			if err == nil && params["q"] != "0" && (t == mediaType || t == "*/*" || t == major+"/*") {
				return true
			}
		}
	}
	return false
}

// streamed collects output and hands it on in pieces, so that no answer is built up whole in memory.
type streamed struct {
	to  io.Writer
	buf bytes.Buffer
}

const streamPiece = 64 << 10

func (s *streamed) write(b []byte) error {
	s.buf.Write(b)
	if s.buf.Len() < streamPiece {
		return nil
	}
	return s.flush()
}

func (s *streamed) flush() error {
	_, err := s.buf.WriteTo(s.to)
	return err
}
