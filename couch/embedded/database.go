package embedded

import (
	"errors"
	"os"
	"strconv"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// defaultRevsLimit is CouchDB's.
const defaultRevsLimit = 1000

// defaultSecurity is what CouchDB 3 gives a new database: only server admins come in.
const defaultSecurity = `{"members":{"roles":["_admin"]},"admins":{"roles":["_admin"]}}`

// database is one open database file.
type database struct {
	name    string
	uuid    string // one life of a database: deleted and created again, it has another
	created int64  // Unix seconds
	options *Options
	path    string
	file    *bbolt.DB
	commits committer
	scripts scriptCache
	updates *updates

	gone chan struct{} // closed when the database is deleted

	mu      sync.Mutex
	users   int           // requests that hold the file
	deleted bool          // no further request may hold it
	changed chan struct{} // closed at the next commit that changes documents
}

// openDatabase opens or creates the file at path.
func openDatabase(name, path string, o *Options, u *updates) (*database, error) {
	file, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: time.Second, NoSync: o.temporary, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	})
	if err != nil {
		return nil, err
	}
	db := &database{name: name, path: path, file: file, options: o, updates: u,
		gone: make(chan struct{}), changed: make(chan struct{})}
	if err := file.Update(db.prepare); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return db, nil
}

// prepare fills a new file and forgets uploads that a crash cut short.
func (db *database) prepare(tx *bbolt.Tx) error {
	for _, name := range allBuckets {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	v := view{tx}
	meta := v.bucket(bucketMeta)
	if meta.Get([]byte(metaUUID)) == nil {
		err := errors.Join(
			meta.Put([]byte(metaUUID), []byte(db.options.NewUUID())),
			meta.Put([]byte(metaSecurity), []byte(defaultSecurity)),
			v.setNumber(metaCreated, uint64(db.options.Now().Unix())),
			v.setNumber(metaRevsLimit, defaultRevsLimit),
		)
		if err != nil {
			return err
		}
	}
	db.uuid = string(meta.Get([]byte(metaUUID)))
	db.created = int64(v.number(metaCreated))
	return v.discardUploads()
}

// instanceStartTime is what CouchDB calls the moment of creation.
func (db *database) instanceStartTime() string { return strconv.FormatInt(db.created, 10) }

// acquire keeps the file open until release. It fails once the database is deleted.
func (db *database) acquire() bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.deleted {
		return false
	}
	db.users++
	return true
}

// release ends the use of the file. The last user of a deleted database closes it.
func (db *database) release() {
	db.mu.Lock()
	db.users--
	last := db.deleted && db.users == 0
	db.mu.Unlock()
	if last {
		_ = db.file.Close() // the file is unlinked: nothing is lost
	}
}

// remove deletes the file and ends the feeds. The caller holds the database: what is still running finishes on the
// unlinked file.
func (db *database) remove() error {
	if err := os.Remove(db.path); err != nil {
		return err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.deleted = true
	close(db.gone)
	return nil
}

// view runs a read-only transaction. It must be short: an open one keeps the file from growing.
func (db *database) view(read func(view) error) error {
	return db.file.View(func(tx *bbolt.Tx) error { return read(view{tx}) })
}

// update runs a write transaction as committer.do says.
func (db *database) update(change func(view) error) error {
	return db.commits.do(db.file, func(tx *bbolt.Tx) error { return change(view{tx}) })
}

// updateDocuments is update for changes that feeds want to hear of.
func (db *database) updateDocuments(change func(view) error) error {
	err := db.update(change)
	var refused *failure
	if err != nil && !errors.As(err, &refused) {
		db.scripts.forget() // it may have read design documents that were never committed
	}
	if err == nil {
		db.updates.note(db.name, "updated")
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	close(db.changed)
	db.changed = make(chan struct{})
	return err
}

// nextChange returns a channel that is closed at the next commit. To miss nothing, take it before reading.
func (db *database) nextChange() <-chan struct{} {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.changed
}

// security returns the _security object as it was set.
func (db *database) security() (raw []byte, err error) {
	err = db.view(func(v view) error {
		raw = append(raw, v.bucket(bucketMeta).Get([]byte(metaSecurity))...)
		return nil
	})
	return raw, err
}
