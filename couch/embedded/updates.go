package embedded

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// updates are the events of _db_updates: for each database the latest of each type, since the store was opened. CouchDB keeps
// them in a database, _global_changes; here they are in memory, and a sequence of an earlier life of the store means the start.
type updates struct {
	mu      sync.Mutex
	life    string // part of every sequence
	last    uint64
	events  map[updateKey]uint64
	changed chan struct{} // closed at the next event
}

type updateKey struct{ database, kind string }

type update struct {
	updateKey
	seq uint64
}

func newUpdates(life string) *updates {
	return &updates{life: life, events: map[updateKey]uint64{}, changed: make(chan struct{})}
}

func (u *updates) note(database, kind string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.last++
	u.events[updateKey{database, kind}] = u.last
	close(u.changed)
	u.changed = make(chan struct{})
}

// after returns the events after since in order, and a channel that is closed at the next one.
func (u *updates) after(since uint64) (found []update, changed <-chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for key, seq := range u.events {
		if seq > since {
			found = append(found, update{key, seq})
		}
	}
	slices.SortFunc(found, func(a, b update) int { return cmp.Compare(a.seq, b.seq) })
	return found, u.changed
}

func (u *updates) sequence(seq uint64) string { return strconv.FormatUint(seq, 10) + "-" + u.life }

// since reads a sequence, "now" or nothing.
func (u *updates) since(text string) (uint64, error) {
	if text == "now" {
		u.mu.Lock()
		defer u.mu.Unlock()
		return u.last, nil
	}
	number, life, _ := strings.Cut(text, "-")
	if text == "" || text == "0" {
		return 0, nil
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return 0, badRequest("Malformed sequence supplied in 'since' parameter.")
	}
	if life != u.life {
		return 0, nil
	}
	return n, nil
}

// getUpdates serves _db_updates. Its feeds end, heartbeat and time out as those of _changes do.
func (r *request) getUpdates() error {
	if !r.user.isServerAdmin() {
		return errNotServer
	}
	q := changesQuery{feed: "normal", timeout: defaultTimeout}
	for _, set := range []func() error{
		func() error { return q.setFeed(r.query.Get("feed")) },
		func() error { return q.setHeartbeat(r.query.Get("heartbeat")) },
		func() error { return q.setTimeout(r.query.Get("timeout")) },
	} {
		if err := set(); err != nil {
			return err
		}
	}
	since, err := r.store.updates.since(r.query.Get("since"))
	if err != nil {
		return err
	}
	r.out.Header().Set("Content-Type", "application/json")
	f := &updatesFeed{r: r, q: &q, at: since, control: http.NewResponseController(r.out)}
	return f.run()
}

// updatesFeed writes one answer of _db_updates.
type updatesFeed struct {
	r       *request
	q       *changesQuery
	at      uint64
	rows    int
	control *http.ResponseController
}

func (f *updatesFeed) run() error {
	defer func() { _ = f.control.SetWriteDeadline(time.Time{}) }()
	text := ""
	if f.q.feed != "continuous" {
		text = "{\"results\":[\n"
	}
	timer := time.NewTimer(f.q.wait())
	defer timer.Stop()
	for {
		found, changed := f.r.store.updates.after(f.at)
		for _, u := range found {
			text += f.row(u)
		}
		if f.q.feed == "normal" || f.q.feed == "longpoll" && f.rows > 0 {
			break
		}
		if f.rows == 0 {
			text += "\n" // tells the client that the feed is up
		}
		if err := f.write(text); err != nil {
			return err
		}
		if text != "" {
			timer.Reset(f.q.wait())
		}
		text = ""
		ended, err := f.r.await(changed, nil, f.q, timer, func() error { return f.write("\n") })
		if err != nil {
			return err
		}
		if ended {
			break
		}
	}
	last := `"last_seq":"` + f.r.store.updates.sequence(f.at) + "\"}\n"
	if f.q.feed == "continuous" {
		return f.write(text + "{" + last)
	}
	return f.write(text + "\n],\n" + last)
}

func (f *updatesFeed) row(u update) string {
	f.at = u.seq
	b := appendString([]byte(`{"db_name":`), u.database)
	b = append(appendString(append(b, `,"type":`...), u.kind), `,"seq":"`...)
	text := string(append(b, f.r.store.updates.sequence(u.seq)...)) + `"}`
	if f.rows++; f.q.feed == "continuous" {
		return text + "\n"
	}
	if f.rows > 1 {
		return ",\n" + text
	}
	return text
}

func (f *updatesFeed) write(text string) error {
	_ = f.control.SetWriteDeadline(time.Now().Add(stallTimeout)) // not every ResponseWriter can
	if _, err := f.r.out.Write([]byte(text)); err != nil {
		return err
	}
	_ = f.control.Flush() // likewise
	return nil
}
