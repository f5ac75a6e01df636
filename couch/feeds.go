package couch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// FeedsOptions tune [Feeds]. The zero value is ready for use.
type FeedsOptions struct {
	// MaxOpen (default 500) bounds the continuous requests open at a time. Databases beyond it are looked at now and then.
	MaxOpen int
	// RingBytes (default 1 MiB) bounds the rows kept of one feed, and AllRingBytes (default 64 MiB) those of all: with many
	// feeds each keeps less, though never less than 16 KiB.
	RingBytes, AllRingBytes int
	// Linger (default 30 s) is how long a feed stays after its last reader has gone.
	Linger time.Duration
	// Quiet (default 1 min) is how long a feed is open without a row before it goes to sleep, where _db_updates can wake it.
	Quiet time.Duration
	// Poll (default 5 s) is how often a sleeping feed is looked at where _db_updates cannot be read, and Recheck (default 10
	// min) how often where it can: what it tells is not guaranteed.
	Poll, Recheck time.Duration
	// Patience (default 10 s) is how long a feed may fail to start before its readers are told. One that has started is
	// tried again for ever.
	Patience time.Duration
	// Overlap (default 30 s) is how old rows a reader is shown again when it joins a feed of a database with several
	// replicas of each shard, see [Feeds].
	Overlap time.Duration
	// Reserve and Release, if not nil, account for the rows kept beyond the newest of each feed: without room for more, the older
	// ones are forgotten. They must not block.
	Reserve func(bytes int) bool
	Release func(bytes int)
	// Lost, if not nil, is called once when a started feed has broken off and cannot be taken up again at once, or when
	// _db_updates (database "") cannot be read, with the error, and once when it can again, with nil. It must not block.
	Lost func(database string, err error)
}

func (o FeedsOptions) withDefaults() FeedsOptions {
	number := func(n *int, otherwise int) {
		if *n <= 0 {
			*n = otherwise
		}
	}
	number(&o.MaxOpen, 500)
	number(&o.RingBytes, 1<<20)
	number(&o.AllRingBytes, 64<<20)
	o.Linger = orElse(o.Linger, 30*time.Second)
	o.Quiet = orElse(o.Quiet, time.Minute)
	o.Poll = orElse(o.Poll, 5*time.Second)
	o.Recheck = orElse(o.Recheck, 10*time.Minute)
	o.Patience = orElse(o.Patience, 10*time.Second)
	o.Overlap = orElse(o.Overlap, 30*time.Second)
	if o.Reserve == nil || o.Release == nil {
		o.Reserve, o.Release = func(int) bool { return true }, func(int) {}
	}
	if o.Lost == nil {
		o.Lost = func(string, error) {}
	}
	return o
}

// Feeds are the live changes of one CouchDB: one continuous _changes request for each database and filter, whatever the number
// of readers, made as the client's own account. See [Feeds.Read].
//
// # No row is missed
//
// A feed begins at the database's update_seq and keeps its latest rows in a ring. A reader that joins notes the end of the ring,
// then asks for the changes after its own sequence in ordinary bounded requests, as itself, until one reaches the end of the
// changes; from then on it reads the ring from the noted position. A row that was committed before that last request began is in
// its answer or in an earlier one. One that was committed later comes to the feed later still, and so stands behind the noted
// position. Rows committed meanwhile may be seen twice, and a document's newest row is always seen last. A reader that the ring has
// overtaken begins anew from the last sequence it has seen.
//
// That argument wants both requests to read the same copy of each shard. Where a database has replicas (n > 1), the feed may read
// one that has a row already, and the reader's last request one that has not yet. So there the reader also gets the rows of the
// last Overlap again. A replica that lags behind further, while it answers requests, is the limit of that.
//
// # What it costs
//
// A feed without a row for a while is closed, if the account may read _db_updates (a server administrator may, and there must be
// a database _global_changes): that one request wakes the feeds whose databases have changed. When more feeds want to be open than
// may be, the one that has been quiet for longest gives way, and is woken in the same way or, without _db_updates, looked at every
// few seconds. To look at one is one GET of the database; its update_seq is compared with the one seen last.
//
// # Failures
//
// A feed that breaks off is taken up again from its last sequence for as long as it takes, with jittered pauses. A database that is
// gone (404), or was created anew (another instance_start_time; CouchDB before 3.3 does not tell), ends its readers with an *Error.
type Feeds struct {
	client  *Client
	options FeedsOptions

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	looks  chan struct{} // holds a token for each sleeping feed that is being looked at

	mu       sync.Mutex
	closed   bool
	feeds    map[feedKey]*feed
	named    map[string]map[*feed]struct{} // the same by database
	open     map[*feed]struct{}            // those that hold one of the MaxOpen places
	freed    chan struct{}                 // closed when a place becomes free; nil: nobody waits
	updates  updatesState                  // what is known of _db_updates
	watching context.CancelFunc            // ends the reading of _db_updates; nil: nobody reads

	total                        atomic.Int64 // len(feeds)
	rows, lost, overtaken, pages atomic.Uint64
}

// FeedsStats count what feeds do.
type FeedsStats struct {
	Feeds, Open, Asleep, Readers int    // now
	Rows                         uint64 // that came, in all feeds
	Lost                         uint64 // feeds that broke off and were taken up again
	Overtaken                    uint64 // readers that the ring had overtaken
	Pages                        uint64 // requests of readers to catch up
}

// lookers is how many sleeping feeds are looked at at a time.
const lookers = 8

// NewFeeds makes the feeds of a server. The client must be one that [New] made. Close ends them.
func (c *Client) NewFeeds(o FeedsOptions) *Feeds {
	f := &Feeds{client: c, options: o.withDefaults(), looks: make(chan struct{}, lookers),
		feeds: map[feedKey]*feed{}, named: map[string]map[*feed]struct{}{}, open: map[*feed]struct{}{}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// Close ends all feeds, and waits for that. Readers get an error from then on.
func (f *Feeds) Close() {
	f.mu.Lock()
	f.closed = true
	feeds := f.all()
	f.mu.Unlock()
	f.cancel()
	for _, one := range feeds {
		one.fail(errFeedsClosed)
	}
	f.work.Wait()
}

var errFeedsClosed = errors.New("couch: the feeds are closed")

// all are the feeds there are. The caller holds mu.
func (f *Feeds) all() []*feed { return slices.Collect(maps.Values(f.feeds)) }

// Stats are the present numbers.
func (f *Feeds) Stats() FeedsStats {
	f.mu.Lock()
	s := FeedsStats{Feeds: len(f.feeds), Open: len(f.open), Rows: f.rows.Load(), Lost: f.lost.Load(),
		Overtaken: f.overtaken.Load(), Pages: f.pages.Load()}
	feeds := f.all()
	f.mu.Unlock()
	for _, one := range feeds {
		one.mu.Lock()
		s.Readers += one.readers
		if one.state == feedAsleep {
			s.Asleep++
		}
		one.mu.Unlock()
	}
	return s
}

// feedKey is what a feed is shared by.
type feedKey struct {
	database string
	filter   string
	private  *FeedReader // not nil: it is this reader's alone
}

func newFeedKey(d *Database, o ChangesOptions) feedKey {
	k := feedKey{database: d.name}
	if o.Filter != "" || o.View != "" || o.DocIDs != nil || o.Selector != nil {
		k.filter = fmt.Sprintf("%q %q %q %q %s", o.Filter, o.View, o.DocIDs, o.Selector, o.Query.Encode())
	}
	return k
}

// join counts r in as a reader of its feed, which is made if there is none.
func (f *Feeds) join(r *FeedReader) (*feed, error) {
	key := newFeedKey(r.db, r.options)
	db := r.db
	if r.private {
		key.private = r
	} else {
		var err error
		if db, err = f.client.Database(r.db.name); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, errFeedsClosed
	}
	one := f.feeds[key]
	if one != nil && one.enter() {
		return one, nil
	}
	one = newFeed(f, key, db, r.options)
	one.readers = 1
	f.feeds[key] = one
	f.total.Store(int64(len(f.feeds)))
	if f.named[key.database] == nil {
		f.named[key.database] = map[*feed]struct{}{}
	}
	f.named[key.database][one] = struct{}{}
	one.start()
	return one, nil
}

// remove forgets a feed that has ended.
func (f *Feeds) remove(one *feed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.feeds[one.key] == one {
		delete(f.feeds, one.key)
		f.total.Store(int64(len(f.feeds)))
	}
	if same := f.named[one.key.database]; same != nil {
		if delete(same, one); len(same) == 0 {
			delete(f.named, one.key.database)
		}
	}
	if len(f.feeds) == 0 && f.watching != nil {
		f.watching()
		f.watching, f.updates = nil, updatesUnread
	}
}

// minOpen is how long a feed keeps its place at least.
const minOpen = 5 * time.Second

// place gets one of the MaxOpen places for one, from the feed that has been quiet for longest if there is no other. It reports
// false if no feed has to give way, or the context has ended.
func (f *Feeds) place(ctx context.Context, one *feed) bool {
	for {
		f.mu.Lock()
		if len(f.open) < f.options.MaxOpen {
			f.open[one] = struct{}{}
			one.placed()
			f.mu.Unlock()
			return true
		}
		quietest := f.quietest()
		if f.freed == nil {
			f.freed = make(chan struct{})
		}
		freed := f.freed
		f.mu.Unlock()
		if quietest == nil || quietest.quietSince().After(one.quietSince()) {
			return false
		}
		quietest.giveWay(errEvicted)
		again := time.NewTimer(lookPace) // it may just have ended by itself, and another one have come
		select {
		case <-freed:
		case <-again.C:
		case <-ctx.Done():
		}
		if again.Stop(); ctx.Err() != nil {
			return false
		}
	}
}

// quietest is the open feed that has had no row for longest, of those that have been open for a while; nil: there is none.
func (f *Feeds) quietest() (found *feed) {
	var since time.Time
	for one := range f.open {
		opened, quiet := one.times()
		if time.Since(opened) >= minOpen && (found == nil || quiet.Before(since)) {
			found, since = one, quiet
		}
	}
	return found
}

// leave gives a place back.
func (f *Feeds) leave(one *feed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, one)
	if f.freed != nil {
		close(f.freed)
		f.freed = nil
	}
}

// ringLimit is how many bytes one feed may keep now.
func (f *Feeds) ringLimit() int {
	const least = 16 << 10
	return min(f.options.RingBytes, max(f.options.AllRingBytes/max(int(f.total.Load()), 1), least))
}

// nextLook is when a feed that has gone to sleep is to be looked at, with jitter so that not all come at once.
func (f *Feeds) nextLook() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.options.Poll
	if f.updates == updatesRead {
		d = f.options.Recheck
	}
	return d - d/4 + rand.N(d/2)
}
