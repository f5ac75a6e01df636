package embedded

import (
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// changesQuery is what _changes was asked for (chttpd_db:parse_changes_query/1).
type changesQuery struct {
	feed        string
	since       uint64
	until       uint64 // a normal feed ends here
	limit       int64
	descending  bool
	allDocs     bool // style=all_docs: every leaf, not only the winner
	includeDocs bool
	open        openOptions
	heartbeat   time.Duration // 0: none
	timeout     time.Duration // without heartbeat: how long a feed waits for the next change
	interval    int64         // seq_interval
	filter      filter        // nil: everything
	byID        bool          // the filter looks at ids only: pending then is what was not shown
}

const (
	// unlimited is CouchDB's default for limit. seq_interval counts down from it.
	unlimited = 1_000_000_000_000_000

	defaultTimeout = 60 * time.Second
)

func (r *request) changesQuery(body jsontext.Value) (*changesQuery, error) {
	q := &changesQuery{feed: "normal", limit: unlimited, timeout: defaultTimeout, descending: r.flag("descending"),
		allDocs: r.query.Get("style") == "all_docs", includeDocs: r.flag("include_docs"),
		open: openOptions{conflicts: r.flag("conflicts"), attachments: r.flag("attachments")}}
	steps := []func() error{
		func() error { return q.setFeed(r.query.Get("feed")) },
		func() error { return q.setLimit(r.query.Get("limit")) },
		func() error { return q.setHeartbeat(r.query.Get("heartbeat")) },
		func() error { return q.setTimeout(r.query.Get("timeout")) },
		func() error { return q.setInterval(r.query.Get("seq_interval")) },
		func() error { return r.setSince(q) },
		func() error { return r.setFilter(q, body) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return q, nil
}

func (q *changesQuery) setFeed(text string) error {
	switch text {
	case "", "normal":
	case "longpoll", "continuous":
		q.feed = text
	case "live":
		q.feed = "continuous"
	case "eventsource":
		return notImplemented("feed=eventsource")
	default:
		return badRequest("Supported `feed` types: normal, continuous, live, longpoll, eventsource")
	}
	return nil
}

func (q *changesQuery) setLimit(text string) error {
	if text == "" {
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return badRequest("The limit parameter should be a non-negative integer")
	}
	if n < 0 {
		return badRequest("The limit value should be a non-negative integer")
	}
	q.limit = min(n, unlimited)
	return nil
}

// maxWait keeps milliseconds within time.Duration.
const maxWait = math.MaxInt64 / int64(time.Millisecond)

func (q *changesQuery) setHeartbeat(text string) error {
	if text == "" || text == "false" {
		return nil
	}
	if text == "true" {
		q.heartbeat = defaultTimeout
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > maxWait {
		return badRequest("Invalid heartbeat value. Expecting a positive integer value (in milliseconds).")
	}
	if n <= 0 {
		return badRequest("The heartbeat value should be a positive integer (in milliseconds).")
	}
	q.heartbeat = time.Duration(n) * time.Millisecond
	return nil
}

func (q *changesQuery) setTimeout(text string) error {
	if text == "" {
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > maxWait {
		return badRequest("The timeout parameter should be a non-negative integer")
	}
	if n < 0 {
		return badRequest("The timeout value should be a non-negative integer")
	}
	q.timeout = time.Duration(n) * time.Millisecond
	return nil
}

func (q *changesQuery) setInterval(text string) error {
	if text == "" {
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return badRequest("invalid_seq_interval")
	}
	q.interval = n
	return nil
}

func (r *request) setSince(q *changesQuery) error {
	c, err := r.db.counts()
	if err != nil {
		return err
	}
	q.until = c.seq
	if r.query.Get("since") == "now" {
		q.since = c.seq
		return nil
	}
	if r.query.Has("since") {
		q.since, err = r.db.parseSince(r.query.Get("since"))
	}
	return err
}

// row is one change: the JSON and the sequence a client continues from. A row that a filter rejects has no JSON.
type row struct {
	json []byte
	seq  uint64
}

// rowMaker makes rows of documents.
type rowMaker struct {
	db *database
	q  *changesQuery
}

// make renders the change of a document. left is how many rows may still follow this one, itself included.
func (m rowMaker) make(v view, info *docInfo, left int64) (row, error) {
	ranked := info.tree.ranked()
	shown := ranked
	if !m.q.allDocs {
		shown = ranked[:1]
	}
	if m.q.filter != nil {
		var err error
		if shown, err = m.q.filter.choose(v, info, shown); err != nil || len(shown) == 0 {
			return row{seq: info.seq}, err
		}
	}
	b := []byte(`{"seq":`)
	if m.q.interval == 0 || left%m.q.interval == 0 {
		b = appendString(b, m.db.sequence(info.seq))
	} else {
		b = append(b, "null"...)
	}
	b = appendString(append(b, `,"id":`...), info.id)
	b = append(b, `,"changes":[`...)
	for i, l := range shown {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(append(b, `{"rev":`...), l.revision().String()), '}')
	}
	b = append(b, ']')
	if ranked[0].edit().deleted {
		b = append(b, `,"deleted":true`...)
	}
	if m.q.includeDocs {
		got, err := v.openWinner(info, &m.q.open)
		if err != nil {
			return row{}, err
		}
		b = append(append(b, `,"doc":`...), m.q.open.json(got)...)
	}
	return row{append(b, '}'), info.seq}, nil
}
