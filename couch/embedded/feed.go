package embedded

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

func (r *request) getChanges() error { return r.sendChanges(nil) }

func (r *request) postChanges() error {
	var body jsontext.Value
	if r.hasBody() {
		var err error
		if body, err = r.readObject(); err != nil {
			return err
		}
	}
	return r.sendChanges(body)
}

func (r *request) sendChanges(body jsontext.Value) error {
	q, err := r.changesQuery(body)
	if err != nil {
		return err
	}
	r.out.Header().Set("Content-Type", "application/json")
	if q.feed == "normal" && r.sendETag(r.db.sequence(q.until)) {
		return nil
	}
	if r.Method == http.MethodHead {
		return nil
	}
	f := &feed{r: r, q: q, out: streamed{to: r.out}, left: q.limit, at: q.since}
	if q.descending {
		f.at = q.until
	}
	return f.run()
}

// feed writes one _changes answer.
type feed struct {
	r    *request
	q    *changesQuery
	out  streamed
	left int64  // rows that may still be written
	at   uint64 // every change up to here is dealt with; downwards when descending
	sent bool   // anything since the opening
}

// stallTimeout bounds one write to a client that does not read.
const stallTimeout = time.Minute

func (f *feed) run() error {
	control := http.NewResponseController(f.r.out)
	defer func() { _ = control.SetWriteDeadline(time.Time{}) }()
	if f.q.feed != "continuous" {
		f.out.buf.WriteString("{\"results\":[\n")
	}
	if err := f.changes(control); err != nil {
		return err
	}
	pending, err := f.pending()
	if err != nil {
		return err
	}
	tail := f.r.db.sequence(f.at) + `","pending":` + strconv.Itoa(pending) + "}\n\n"
	if f.q.feed == "continuous" {
		f.out.buf.WriteString(`{"last_seq":"` + tail)
	} else {
		f.out.buf.WriteString("\n],\n\"last_seq\":\"" + tail)
	}
	return f.flush(control)
}

// changes writes rows until the feed ends: at its limit or timeout, when the database is deleted or the store closed.
func (f *feed) changes(control *http.ResponseController) error {
	wait := f.q.wait()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		changed := f.r.db.nextChange()
		more, wrote, err := f.batch()
		if err != nil {
			return err
		}
		if f.left == 0 || !more && (f.q.feed == "normal" || f.q.feed == "longpoll" && f.sent) {
			return nil
		}
		if wrote {
			timer.Reset(wait)
		}
		if !more && !f.sent {
			f.out.buf.WriteByte('\n') // tells the client that the feed is up
		}
		if err := f.flush(control); err != nil {
			return err
		}
		if more {
			continue
		}
		ended, err := f.r.await(changed, f.r.db.gone, f.q, timer, func() error {
			f.out.buf.WriteByte('\n')
			return f.flush(control)
		})
		if ended || err != nil {
			return err
		}
	}
}

// wait is how long a feed may be silent: until a heartbeat, or its end.
func (q *changesQuery) wait() time.Duration {
	if q.heartbeat > 0 {
		return q.heartbeat
	}
	return q.timeout
}

// await returns at the next change, sending heartbeats meanwhile. ended means that the feed is over: what it is of is gone, the
// store is closed, the client is, or it has been silent for long enough. gone may be nil.
func (r *request) await(changed, gone <-chan struct{}, q *changesQuery, timer *time.Timer, beat func() error) (ended bool, err error) {
	for {
		select {
		case <-changed:
			return false, nil
		case <-gone:
			return true, nil
		case <-r.store.closing:
			return true, nil
		case <-r.Context().Done():
			return true, r.Context().Err()
		case <-timer.C:
			if q.heartbeat == 0 {
				return true, nil
			}
			timer.Reset(q.heartbeat)
			if err := beat(); err != nil {
				return true, err
			}
		}
	}
}

// flush hands all rows to the client now.
func (f *feed) flush(control *http.ResponseController) error {
	if f.out.buf.Len() == 0 {
		return nil
	}
	_ = control.SetWriteDeadline(time.Now().Add(stallTimeout)) // not every ResponseWriter can
	if err := f.out.flush(); err != nil {
		return err
	}
	_ = control.Flush() // likewise
	return nil
}

// batch writes the next rows that are there, a few per transaction. more means that there may be others.
func (f *feed) batch() (more, wrote bool, err error) {
	var rows []row
	err = f.r.db.view(func(v view) error {
		rows, more = rows[:0], false
		left, size := f.left, 0
		if left == 0 {
			return nil
		}
		make := rowMaker{f.r.db, f.q}.make
		visit := func(info *docInfo) (bool, error) {
			next, err := make(v, info, left)
			if err != nil {
				return false, err
			}
			rows = append(rows, next)
			if next.json != nil {
				left--
			}
			size += len(next.json)
			more = (len(rows) == rowsPerView || size > bytesPerView) && left > 0
			return !more && left > 0, nil
		}
		if f.q.descending {
			return v.changesBefore(f.q.since, f.at, visit)
		}
		return v.changesAfter(f.at, f.bound(), visit)
	})
	for _, next := range rows {
		wrote = f.write(next) || wrote
	}
	if err == nil && !more && f.left > 0 && f.q.feed == "normal" && !f.q.descending {
		f.at = f.q.until
	}
	return more, wrote, err
}

// bound is the last sequence the feed may reach.
func (f *feed) bound() uint64 {
	if f.q.feed == "normal" {
		return f.q.until
	}
	return math.MaxInt64
}

func (f *feed) write(next row) bool {
	f.at = next.seq
	if f.q.descending {
		f.at--
	}
	if next.json == nil {
		return false
	}
	if f.q.feed != "continuous" && f.left < f.q.limit {
		f.out.buf.WriteString(",\r\n")
	}
	f.out.buf.Write(next.json)
	if f.q.feed == "continuous" {
		f.out.buf.WriteByte('\n')
	}
	f.left--
	f.sent = true
	return true
}

// pending counts the changes that are left, whether or not the filter will let them pass.
func (f *feed) pending() (n int, err error) {
	err = f.r.db.view(func(v view) error {
		switch {
		case f.q.descending:
			n = v.countAfter(f.q.since, f.at)
			f.at++ // back to the last row's sequence
		case f.q.byID && f.q.feed == "normal":
			n = v.countAfter(f.q.since, f.q.until) - int(f.q.limit-f.left)
		default:
			n = v.countAfter(f.at, f.bound())
		}
		return nil
	})
	return n, err
}
