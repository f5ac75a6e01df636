package couch

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Database is one database of a [Client]. It is safe for concurrent use. When calls have to wait for others to the same server,
// those of each Database take turns: whoever makes many calls makes them through a Database of its own.
type Database struct {
	client *Client
	name   string
	path   string // escaped, from the server's root
	flow   flow   // its calls that wait
}

// Database validates the name and touches nothing upstream. A name CouchDB would refuse is a 400 *Error
// "illegal_database_name". _users, _replicator and CouchDB's other own databases pass: refusing them is a matter of policy.
func (c *Client) Database(name string) (*Database, error) {
	if err := checkDatabaseName(name); err != nil {
		return nil, err
	}
	return &Database{client: c, name: name, path: c.base + "/" + escape(name)}, nil
}

// Name is the name as given to [Client.Database].
func (d *Database) Name() string { return d.name }

// ID is what PouchDB's HTTP adapter takes for this database's identity when it names checkpoints: the server's uuid followed
// by the database's name, as encodeURIComponent escapes it; without a uuid the database's URL with a slash at the end. So a
// client that changes from HTTP to the bridge keeps its checkpoints. It does not touch the database; the uuid is asked for
// once per Client.
func (d *Database) ID(ctx context.Context) (string, error) {
	uuid, err := d.client.serverUUID(ctx)
	if err != nil {
		return "", err
	}
	if uuid == "" {
		return d.client.String() + "/" + encodeURIComponent(d.name) + "/", nil
	}
	return uuid + encodeURIComponent(d.name), nil
}

// serverUUID is "" when the server has none or shows its welcome to nobody.
func (c *Client) serverUUID(ctx context.Context) (string, error) {
	if c.root != nil {
		return c.root.serverUUID(ctx)
	}
	var known bool
	select {
	case known = <-c.known:
	case <-ctx.Done():
		return "", cancelled("GET /", ctx)
	}
	defer func() { c.known <- known }()
	if !known {
		server, err := c.Server(ctx)
		if e, ok := err.(*Error); ok && e.Status != 0 && !e.Transient() {
			err = nil
		}
		if err != nil {
			return "", err
		}
		c.uuid, known = server.UUID, true
	}
	return c.uuid, nil
}

// encodeURIComponent escapes as JavaScript's function does.
func encodeURIComponent(s string) string {
	return strings.NewReplacer("%28", "(", "%29", ")", "%21", "!", "%27", "'", "%2A", "*").Replace(escape(s))
}

// Info is what GET /{db} says.
type Info struct {
	Raw                   jsontext.Value // the answer as CouchDB sent it
	Name                  string
	DocCount, DocDelCount int64
	UpdateSeq             string
	InstanceStartTime     string
	Replicas              int // of each shard; 0 if CouchDB did not say
}

// Info asks for GET /{db}. https://docs.couchdb.org/en/stable/api/database/common.html#get--db
func (d *Database) Info(ctx context.Context) (Info, error) { return d.info(ctx, 0) }

func (d *Database) info(ctx context.Context, answerWithin time.Duration) (Info, error) {
	v, err := d.client.fetch(ctx, request{method: http.MethodGet, op: "database", path: d.path, flow: &d.flow, answerWithin: answerWithin})
	if err != nil {
		return Info{}, err
	}
	i := Info{Raw: v}
	var s scanner
	err = s.each(v, func(name []byte, v value) bool {
		switch string(name) {
		case "db_name":
			i.Name = text(v)
		case "doc_count":
			i.DocCount = integer(v, 0)
		case "doc_del_count":
			i.DocDelCount = integer(v, 0)
		case "update_seq":
			i.UpdateSeq, _ = Sequence(v)
		case "instance_start_time":
			i.InstanceStartTime = text(v)
		case "cluster":
			i.Replicas = replicas(v)
		}
		return true
	})
	if err != nil {
		return Info{}, &Error{Op: "GET database", Err: errMalformed}
	}
	return i, nil
}

// replicas reads {"q":2,"n":1,"w":1,"r":1}.
func replicas(cluster value) (n int) {
	var s scanner
	_ = s.each(cluster, func(name []byte, v value) bool {
		if string(name) == "n" {
			n = int(integer(v, 0))
		}
		return true
	})
	return n
}

// Security returns the security object as CouchDB sent it.
func (d *Database) Security(ctx context.Context) (jsontext.Value, error) {
	return d.client.fetch(ctx, d.get("_security"))
}

// SetSecurity replaces the security object. Kivik's call is not used: it drops members it does not know.
func (d *Database) SetSecurity(ctx context.Context, security jsontext.Value) error {
	r := d.get("_security")
	r.method = http.MethodPut
	r.body, r.length = payload(security)
	_, err := d.client.fetch(ctx, r)
	return err
}

// get is a GET of one of the database's endpoints.
func (d *Database) get(endpoint string) request {
	return request{method: http.MethodGet, op: endpoint, path: d.path + "/" + endpoint, query: url.Values{}, flow: &d.flow}
}

// post is a POST that may be repeated.
func (d *Database) post(endpoint string, body []byte) request {
	r := d.get(endpoint)
	r.method = http.MethodPost
	r.body, r.length = payload(body)
	return r
}

// set adds name=true to q for every flag that is on.
func set(q url.Values, flags map[string]bool) {
	for name, on := range flags {
		if on {
			q.Set(name, "true")
		}
	}
}

func setInt(q url.Values, name string, n int) {
	if n > 0 {
		q.Set(name, strconv.Itoa(n))
	}
}

func setText(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}
