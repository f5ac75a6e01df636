package couch

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-kivik/kivik/v4"
	"github.com/go-kivik/kivik/v4/couchdb"
	"github.com/go-kivik/kivik/v4/couchdb/chttp"
	"github.com/go-kivik/kivik/v4/driver"
)

// Options tune a [Client]. The zero value is ready for use.
type Options struct {
	// HTTPClient replaces the client and transport that New makes and Close closes. Its Timeout, CheckRedirect and Jar are
	// not used: feeds live for ever, a redirect would carry credentials to another host, and a jar those of one identity to
	// another.
	HTTPClient *http.Client
	// UserAgent is added to Kivik's own.
	UserAgent string
	// Timeout (default 60 s) bounds CouchDB's silence: the time to the headers of an answer, and between bytes of its body.
	// It bounds neither a whole call nor the time our caller takes.
	Timeout time.Duration
	// Heartbeat (default 10 s) is asked of continuous feeds; one silent for three heartbeats ends with a transient *Error.
	Heartbeat time.Duration
	// MaxBatchBytes (default 8 MiB) is where the body of _bulk_docs is cut into several requests.
	MaxBatchBytes int
	// MaxConcurrency (default 128) bounds the calls under way at a time, those of all views together. Fewer are when the server
	// cannot take so many, see [Client.Load]. Feeds do not count.
	MaxConcurrency int
	// MaxAnswerBytes (default 256 MiB) bounds an answer that is held in memory whole: Get, OpenRevs, RevsDiff, Info and the like.
	MaxAnswerBytes int64
}

// Client is one CouchDB server. It is safe for concurrent use.
type Client struct {
	options Options
	url     url.URL // no credentials, no path
	base    string  // escaped base path, "" or "/prefix"
	http    *chttp.Client
	control *kivik.Client
	own     *http.Transport // nil: the caller's
	plain   http.Client     // without authentication

	root     *Client          // of a view: the client that New made, see As
	identity Identity         // of a view; zero: nobody but Login needs it
	session  *cookieTransport // of a view with a cookie

	uuid      string
	limiter   *limiter   // of the server: views share it
	observers *observers // likewise

	known chan bool // holds one value: whether uuid was asked for. Taking it is the lock
}

// New makes a client of the CouchDB at rawURL: http or https, optionally with user:password, sent as Basic authentication
// with every request, and a base path. It touches no network. A URL that cannot be used is a 400 *Error that does not quote it.
func New(rawURL string, o Options) (*Client, error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	c := &Client{options: o.withDefaults(), base: strings.TrimRight(u.EscapedPath(), "/"), known: make(chan bool, 1)}
	c.limiter, c.observers = newLimiter(c.options.MaxConcurrency), &observers{}
	c.known <- false
	c.url = url.URL{Scheme: u.Scheme, Host: u.Host}
	c.plain.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if c.plain.Transport = http.DefaultTransport; o.HTTPClient == nil {
		c.own = newTransport(c.options.MaxConcurrency)
		c.plain.Transport = c.own
	} else if o.HTTPClient.Transport != nil {
		c.plain.Transport = o.HTTPClient.Transport
	}
	auth := noAuth()
	if u.User != nil {
		password, _ := u.User.Password()
		auth = chttp.BasicAuth(u.User.Username(), password)
	}
	if err := c.connect(c.plain, auth); err != nil {
		return nil, err
	}
	return c, nil
}

// connect makes the two clients on one transport. Each gets its own copy of client, as authentication wraps the transport in it.
func (c *Client) connect(client http.Client, auth driver.Options) (err error) {
	options := []kivik.Option{couchdb.OptionHTTPClient(&client)}
	if c.options.UserAgent != "" {
		options = append(options, couchdb.OptionUserAgent(c.options.UserAgent))
	}
	copied := client
	// Without its base path, which is put in front of every path by us: chttp would spoil escaped ones.
	if c.http, err = chttp.New(&copied, c.url.String(), auth); err != nil {
		return badURL("cannot be used")
	}
	if c.options.UserAgent != "" {
		c.http.UserAgents = append(c.http.UserAgents, c.options.UserAgent)
	}
	if c.control, err = kivik.New("couch", c.url.String()+c.base, append(options, auth)...); err != nil {
		return badURL("cannot be used")
	}
	return nil
}

// parseURL reports what is wrong in words: net/url's errors quote the password.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return nil, badURL("is empty; use http://user:password@host:5984")
	case err != nil:
		return nil, badURL("is not a URL; percent-encode special characters of the password")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, badURL("must begin with http:// or https://")
	case u.User == nil && strings.Contains(u.Path, "@"):
		return nil, badURL("has an @ after a /; percent-encode a / in the password as %2F")
	case u.Hostname() == "":
		return nil, badURL("has no host")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, badURL("must not have a query or a fragment; percent-encode a ? or # in the password")
	case u.User != nil && u.User.Username() == "":
		return nil, badURL("has a password without a user name")
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return nil, badURL("must not have . or .. in its path")
		}
	}
	return u, nil
}

func badURL(reason string) *Error {
	return &Error{Op: "CouchDB's URL", Status: http.StatusBadRequest, Name: "bad_url", Reason: reason}
}

func (o Options) withDefaults() Options {
	o.Timeout = orElse(o.Timeout, time.Minute)
	o.Heartbeat = orElse(o.Heartbeat, 10*time.Second)
	if o.MaxBatchBytes <= 0 {
		o.MaxBatchBytes = 8 << 20
	}
	if o.MaxConcurrency <= 0 {
		o.MaxConcurrency = 128
	}
	if o.MaxAnswerBytes <= 0 {
		o.MaxAnswerBytes = 256 << 20
	}
	return o
}

// newTransport is tuned for one busy host and feeds that live for ever. There is no bound on the headers here: the watchdog
// of each call has it.
func newTransport(concurrency int) *http.Transport {
	dialer := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		MaxIdleConnsPerHost:   concurrency, // the default of 2 opens a connection for nearly every call under load
		ReadBufferSize:        16 << 10,    // a tenth less CPU for long answers than with 4 KiB; larger ones gain little, and feeds keep theirs
		IdleConnTimeout:       90 * time.Second,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true,
	}
}

// Close closes the idle connections of the client's own transport. Calls under way are ended by their contexts.
func (c *Client) Close() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// String is the URL without credentials and without a slash at the end.
func (c *Client) String() string { return c.url.String() + c.base }

// Up asks for GET /_up: nil when this CouchDB takes requests; a 404 *Error in maintenance mode. It is not held up by other calls.
// https://docs.couchdb.org/en/stable/api/server/common.html#up
func (c *Client) Up(ctx context.Context) error {
	_, err := c.fetch(ctx, request{method: http.MethodGet, op: "_up", path: c.base + "/_up", place: noPlace})
	return err
}

// Server is the welcome of a CouchDB.
type Server struct {
	UUID     string // "" if the server does not tell
	Version  string
	Vendor   string
	Features []string
}

// Server asks for GET /. It goes through Kivik's own client, which loses the error's name.
func (c *Client) Server(parent context.Context) (Server, error) {
	const op = "GET /"
	r := request{method: http.MethodGet, op: "/"}
	place, err := c.enter(parent, r, op)
	if err != nil {
		return Server{}, err
	}
	defer place.leave()
	place.keep()
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(parent, c.options.Timeout, errSilent)
	defer cancel()
	v, err := c.control.Version(ctx)
	if err != nil {
		answer, err := controlFailure(op, parent, ctx, err)
		if answer == nil {
			c.unanswered(place, r, began, err)
		} else {
			c.answered(place, r, began, answer)
		}
		return Server{}, err
	}
	c.answered(place, r, began, &http.Response{StatusCode: http.StatusOK})
	var raw struct {
		UUID string `json:"uuid"`
	}
	if err := json.Unmarshal(v.RawResponse, &raw); err != nil {
		return Server{}, &Error{Op: op, Err: errMalformed}
	}
	return Server{UUID: raw.UUID, Version: v.Version, Vendor: v.Vendor, Features: v.Features}, nil
}

// controlFailure turns an error of Kivik into one of this package, and tells whether there was an answer.
func controlFailure(op string, parent, ctx context.Context, err error) (*http.Response, error) {
	var answer *chttp.HTTPError
	if errors.As(err, &answer) {
		status := answer.HTTPStatus()
		return answer.Response, &Error{Op: op, Status: status, Name: statusName(status), Reason: answer.Reason,
			RetryAfter: retryAfter(answer.Response.Header.Get("Retry-After"), time.Now())}
	}
	return nil, callFailure(op, parent, ctx, bare(err))
}

// CreateOptions are the shards (Q) and replicas (N) of a new database; 0: the server's default.
type CreateOptions struct{ Q, N int }

// CreateDatabase makes a database; a 412 *Error "file_exists" if there is one. Not through Kivik, which leaves a "+" in the
// name as it is, and CouchDB takes that for a space.
func (c *Client) CreateDatabase(ctx context.Context, name string, o CreateOptions) error {
	q := url.Values{}
	if o.Q > 0 {
		q.Set("q", strconv.Itoa(o.Q))
	}
	if o.N > 0 {
		q.Set("n", strconv.Itoa(o.N))
	}
	return c.onDatabase(ctx, http.MethodPut, name, q)
}

// DeleteDatabase deletes a database with all its documents; a 404 *Error if there is none.
func (c *Client) DeleteDatabase(ctx context.Context, name string) error {
	return c.onDatabase(ctx, http.MethodDelete, name, nil)
}

func (c *Client) onDatabase(ctx context.Context, method, name string, q url.Values) error {
	d, err := c.Database(name)
	if err != nil {
		return err
	}
	_, err = c.fetch(ctx, request{method: method, op: "database", path: d.path, query: q, once: true})
	return err
}
