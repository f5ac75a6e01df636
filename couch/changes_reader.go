package couch

import (
	"bytes"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// Changes reads the rows of one _changes request. It is for one goroutine at a time; another one stops it by cancelling the
// context it was made with.
type Changes struct {
	s          *stream
	continuous bool
	fast       *rowBuffer        // nil: rows are read by the decoder
	rows       envelope          // Normal, Longpoll
	lines      *jsontext.Decoder // Continuous, when fast is nil
	scan       scanner
	lastSeq    string
	pending    int64
	err        error // what Next answers from now on
	terminal   bool  // the last bytes heard were the end of the feed, or an error CouchDB wrote into it
}

func newChanges(s *stream, feed FeedType) *Changes {
	c := &Changes{s: s, pending: -1, continuous: feed == Continuous}
	if c.continuous {
		c.fast = &rowBuffer{}
	} else {
		c.rows = newEnvelope(s, "results", c.tail)
	}
	return c
}

// Next returns the next row, whose bytes are valid until the next call. io.EOF is the clean end: LastSeq and Pending are known
// then. An answer that was cut, or a feed that fell silent, is a transient *Error; what CouchDB wrote into an answer already
// begun is an *Error with its name and reason. The answer is closed when Next fails.
func (c *Changes) Next() (row Change, err error) {
	if c.err != nil {
		return row, c.err
	}
	if err = c.read(&row); err != nil {
		c.err = err
		_ = c.s.Close()
		row = Change{}
	}
	return row, err
}

// read reads rows from the bytes, as long as they follow one another as usual, and what is not usual with the decoder: the
// beginning and the end of an answer, its errors, and rows that are very large.
func (c *Changes) read(row *Change) error {
	if !c.continuous && c.rows.state == beforeRows {
		if err := c.rows.more(); err != nil {
			return err
		}
		c.fast = &rowBuffer{listed: true}
		c.fast.take(c.rows.dec.UnreadBuffer())
	}
	if c.fast != nil {
		v, how := c.fast.next(c.s)
		switch {
		case how == fits && c.fast.parts.known():
			row.Row, row.parts = v, c.fast.parts
			return nil
		case how == fits:
			return c.row(v, row)
		case how == short:
			return c.large(row)
		}
		c.giveUpFast()
	}
	dec := c.lines
	if dec == nil {
		if err := c.rows.more(); err != nil {
			return err
		}
		dec = c.rows.dec
	}
	v, err := dec.ReadValue()
	if err != nil {
		return streamFailure(c.s, dec, err)
	}
	return c.row(v, row)
}

// large has the decoder read one row, of which the beginning is in memory.
func (c *Changes) large(row *Change) error {
	dec := newDecoder(io.MultiReader(bytes.NewReader(c.fast.unread()), c.s))
	v, err := dec.ReadValue()
	if err != nil {
		return streamFailure(c.s, dec, err)
	}
	c.fast.passed(0)
	c.fast.take(dec.UnreadBuffer())
	return c.row(v, row)
}

// giveUpFast has the decoder read from here on. It is told what came before.
func (c *Changes) giveUpFast() {
	rest := io.MultiReader(bytes.NewReader(c.fast.unread()), c.s)
	if c.continuous {
		c.lines = newDecoder(rest)
	} else {
		c.rows.resume(rest, c.fast.rows > 0, c.fast.comma)
	}
	c.fast = nil
}

// row finds the sequence and the id, which CouchDB sends first, and looks no further: a document may follow.
func (c *Changes) row(v value, row *Change) error {
	row.Row = v
	var hasSeq, hasID, ended bool
	var failed, reason string
	var bad error
	err := c.scan.each(v, func(name []byte, v value) bool {
		switch string(name) {
		case "seq":
			row.seq, bad = Sequence(v)
			hasSeq = true
		case "id":
			row.id, hasID = text(v), v.Kind() == '"'
		case "last_seq":
			ended = true
			c.tail(name, v)
		case "pending":
			c.tail(name, v)
		case "error":
			failed = text(v)
		case "reason":
			reason = text(v)
		}
		return bad == nil && !(hasSeq && hasID)
	})
	switch {
	case err != nil || bad != nil:
		return &Error{Op: c.s.op, Err: errMalformed}
	case hasID:
		return nil
	case failed != "":
		c.terminal = true
		return c.s.answered(failed, reason)
	case ended && c.continuous:
		c.terminal = true
		return io.EOF
	}
	return &Error{Op: c.s.op, Err: errMalformed}
}

// tail takes what follows the rows.
func (c *Changes) tail(name []byte, v value) {
	switch string(name) {
	case "last_seq":
		c.lastSeq, _ = Sequence(v)
	case "pending":
		c.pending = integer(v, -1)
	}
}

// LastSeq is the sequence to go on from, known once Next has returned io.EOF.
func (c *Changes) LastSeq() string { return c.lastSeq }

// Pending is how many rows follow, known once Next has returned io.EOF; -1 if CouchDB did not say.
func (c *Changes) Pending() int64 { return c.pending }

// Close ends the request. Reading an ordinary answer to its end, or nearly so, keeps the connection for the next call.
// Close is idempotent.
func (c *Changes) Close() error {
	if c.err == nil {
		c.err = errClosed
	}
	return c.s.close(!c.continuous)
}
