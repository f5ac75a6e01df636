package couch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Error is what CouchDB answered, or why it could not be asked. Calls of this package fail with an *Error, with the error of
// the caller's own context, or with an error the caller's own function returned.
type Error struct {
	Op         string        // method and endpoint, "GET _changes"; no database or document names
	Status     int           // HTTP status; 400 also for input refused here; 0: no answer, or one that stopped half way
	Name       string        // CouchDB's "error": "not_found", "forbidden", ...
	Reason     string        // CouchDB's "reason"; the JSON text of it when it is not a string
	RetryAfter time.Duration // the Retry-After header; 0: none
	Err        error         // the cause when there was no answer
}

// maxErrorBody bounds what is read of the body of an error answer.
const maxErrorBody = 64 << 10

var (
	errSilent    = errors.New("nothing was heard in time")
	errCut       = errors.New("the answer was cut short")
	errMalformed = errors.New("the answer is not what CouchDB sends")
	errTooLong   = errors.New("the answer is longer than Options.MaxAnswerBytes")
	errFeedEnded = errors.New("the feed ended")
	errCrowded   = errors.New("too many calls are under way, and no place came free in time")
	errClosed    = errors.New("couch: read after Close")
)

// Error reads "couch: GET _changes: 404 not_found: missing". It holds neither credentials nor bodies; a long reason is cut.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("couch: " + e.Op)
	if e.Status != 0 {
		b.WriteString(": " + strconv.Itoa(e.Status))
		if e.Name != "" {
			b.WriteString(" " + e.Name)
		}
	}
	if e.Reason != "" {
		const longest = 300
		reason := e.Reason
		if len(reason) > longest {
			reason = strings.ToValidUTF8(reason[:longest], "") + "..."
		}
		b.WriteString(": " + reason)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// HTTPStatus is Status, for those who do not import this package.
func (e *Error) HTTPStatus() int { return e.Status }

// Transient reports whether the same call may well succeed later: there was no answer, it was cut, it fell silent, or its
// status is 408, 429, 500, 502, 503 or 504. What the caller cancelled is not transient.
func (e *Error) Transient() bool {
	switch e.Status {
	case 0:
		return !errors.Is(e.Err, context.Canceled) && !errors.Is(e.Err, errTooLong)
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// Transient reports whether err is an [Error] that is transient.
func Transient(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Transient()
}

// IsNotFound reports whether err is a 404: no such database, document, revision or attachment.
func IsNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// IsDatabaseMissing reports whether err is the 404 of a database that does not exist, rather than of something inside it.
// CouchDB 2 and later say "Database does not exist.", CouchDB 1 "no_db_file".
func IsDatabaseMissing(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound &&
		(e.Reason == "Database does not exist." || e.Reason == "no_db_file")
}

// invalid is input that this package refuses before anything is sent.
func invalid(op, name, format string, args ...any) *Error {
	return &Error{Op: op, Status: http.StatusBadRequest, Name: name, Reason: fmt.Sprintf(format, args...)}
}

// statusOf is the HTTP status of an error name that CouchDB gave for one row, or inside an answer begun with status 200.
func statusOf(name string) int {
	switch name {
	case "bad_request", "doc_validation", "illegal_docid", "query_parse_error":
		return http.StatusBadRequest
	case "unauthorized":
		return http.StatusUnauthorized
	case "forbidden":
		return http.StatusForbidden
	case "not_found":
		return http.StatusNotFound
	case "conflict":
		return http.StatusConflict
	case "document_too_large", "too_large", "request_entity_too_large", "attachment_too_large":
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusInternalServerError
}

// answerError turns an answer that is not 2xx into an *Error. A body that is not CouchDB's JSON, such as the HTML page of a
// proxy, is not copied.
func answerError(op string, res *http.Response, body io.Reader) *Error {
	e := &Error{Op: op, Status: res.StatusCode, RetryAfter: retryAfter(res.Header.Get("Retry-After"), time.Now())}
	b, _ := io.ReadAll(io.LimitReader(body, maxErrorBody))
	if e.Name, e.Reason = errorBody(b); e.Name != "" {
		return e
	}
	e.Name = statusName(e.Status)
	e.Reason = "not an answer of CouchDB"
	if t, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err == nil {
		e.Reason += " (" + t + ")"
	}
	return e
}

// statusName is an error name for an answer that has none: 502 is "bad_gateway".
func statusName(status int) string {
	return strings.ReplaceAll(strings.ToLower(http.StatusText(status)), " ", "_")
}

// errorBody finds "error" and "reason" in the JSON object b, which may be followed by anything and may be cut short.
func errorBody(b []byte) (name, reason string) {
	var s scanner
	_ = s.each(b, func(key []byte, v value) bool {
		switch string(key) {
		case "error":
			name = text(v)
		case "reason":
			reason = text(v)
		}
		return true
	})
	return name, reason
}

// retryAfter reads the header's two forms, seconds and a date (RFC 9110 section 10.2.3). What cannot be read counts as absent.
func retryAfter(h string, now time.Time) time.Duration {
	const longest = 24 * time.Hour
	d := time.Duration(0)
	if n, err := strconv.ParseUint(h, 10, 31); err == nil {
		d = time.Duration(n) * time.Second
	} else if t, err := http.ParseTime(h); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), longest)
}

// bare strips the *url.Error, which quotes the URL, from an error of net/http.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
