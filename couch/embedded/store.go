package embedded

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// Options configure a Store. The zero value is a temporary store in admin party.
type Options struct {
	// Dir is where the databases are kept; it is created if need be, and one process at a time may use it. Empty: a
	// temporary directory, removed by Close, to which writes are not synced.
	Dir string
	// Admin and Password are the one server admin. Both empty: everyone is admin, as in a CouchDB before 3.0.
	Admin, Password string
	// MaxDocumentSize limits a document's body in bytes. Default 8,000,000, as CouchDB.
	MaxDocumentSize int64
	// MaxAttachmentSize limits one attachment in bytes. Default 1 GiB, as CouchDB.
	MaxAttachmentSize int64
	// MaxRequestSize limits the body of a request that is read into memory, that is of all but attachments, in bytes
	// after decompression. Default 256 MiB (CouchDB: 4 GiB).
	MaxRequestSize int64
	// PasswordIterations is the PBKDF2 work factor for passwords of _users. Default 10, fit for development only
	// (CouchDB: 600,000).
	PasswordIterations int
	// SessionTimeout is how long a session cookie is valid. Default 600 s, as CouchDB.
	SessionTimeout time.Duration
	// ScriptTimeout bounds one call of a design document's function. Default 5 s, as CouchDB.
	ScriptTimeout time.Duration
	// Now is the clock of cookies and creation times. Default time.Now.
	Now func() time.Time
	// NewUUID makes 32 hexadecimal digits. Default random.
	NewUUID func() string

	temporary bool
}

func (o *Options) setDefaults() {
	o.MaxDocumentSize = cmp.Or(o.MaxDocumentSize, 8_000_000)
	o.MaxAttachmentSize = cmp.Or(o.MaxAttachmentSize, 1<<30)
	o.MaxRequestSize = cmp.Or(o.MaxRequestSize, 256<<20)
	o.PasswordIterations = cmp.Or(o.PasswordIterations, 10)
	o.SessionTimeout = cmp.Or(o.SessionTimeout, 600*time.Second)
	o.ScriptTimeout = cmp.Or(o.ScriptTimeout, 5*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewUUID == nil {
		o.NewUUID = randomUUID
	}
}

func randomUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Store is a CouchDB-compatible server; serve it with net/http. It is safe for concurrent use.
type Store struct {
	options Options
	dir     string
	lock    *bbolt.DB // server.bolt: keeps other processes out, holds uuid and secret
	uuid    string
	secret  []byte // signs session cookies
	updates *updates

	closing  chan struct{} // closed by Close: feeds end
	requests sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	databases map[string]*database
}

const (
	databaseSuffix = ".bolt"
	serverFile     = "server.bolt"
	databasesDir   = "databases"
)

// Open opens the store in o.Dir, or a new temporary one.
func Open(o Options) (*Store, error) {
	o.setDefaults()
	if (o.Admin == "") != (o.Password == "") {
		return nil, errors.New("embedded: Admin and Password must both be set, or neither")
	}
	dir := o.Dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "pouchbridge-store-"); err != nil {
			return nil, fmt.Errorf("embedded: %w", err)
		}
		o.temporary = true
	}
	s := &Store{options: o, dir: dir, closing: make(chan struct{}), databases: make(map[string]*database),
		updates: newUpdates(randomUUID())}
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("embedded: open %s: %w", dir, err), s.closeFiles())
	}
	return s, nil
}

func (s *Store) open() error {
	if err := os.MkdirAll(filepath.Join(s.dir, databasesDir), 0o700); err != nil {
		return err
	}
	if err := s.openServerFile(); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(s.dir, databasesDir, "*"+databaseSuffix))
	if err != nil {
		return err
	}
	for _, path := range files {
		name, err := url.PathUnescape(strings.TrimSuffix(filepath.Base(path), databaseSuffix))
		if err != nil {
			return fmt.Errorf("%s is not a database file: %w", path, err)
		}
		if s.databases[name], err = openDatabase(name, path, &s.options, s.updates); err != nil {
			return fmt.Errorf("database %s: %w", name, err)
		}
	}
	if s.databases[usersDatabase] == nil {
		_, err = s.create(usersDatabase)
	}
	return err
}

func (s *Store) openServerFile() error {
	var err error
	s.lock, err = bbolt.Open(filepath.Join(s.dir, serverFile), 0o600,
		&bbolt.Options{Timeout: time.Second, NoSync: s.options.temporary})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return errors.New("another process uses this directory")
	}
	if err != nil {
		return err
	}
	return s.lock.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte("server"))
		if err != nil {
			return err
		}
		for key, value := range map[string]string{"uuid": s.options.NewUUID(), "secret": randomUUID()} {
			if b.Get([]byte(key)) == nil {
				err = errors.Join(err, b.Put([]byte(key), []byte(value)))
			}
		}
		s.uuid, s.secret = string(b.Get([]byte("uuid"))), slices.Clone(b.Get([]byte("secret")))
		return err
	})
}

// Close ends feeds, waits for running requests and closes all files. A request that comes later gets 503. Close the
// http.Server first: a request whose client neither reads nor writes keeps Close waiting.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.closing)
	s.mu.Unlock()
	s.requests.Wait()
	return s.closeFiles()
}

func (s *Store) closeFiles() error {
	var err error
	for _, db := range s.databases {
		if db != nil {
			err = errors.Join(err, db.file.Close())
		}
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	if s.options.temporary {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

// enter counts a request in, unless the store is closed.
func (s *Store) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.requests.Add(1)
	return true
}

// database finds an open database. The caller must release it.
func (s *Store) database(name string) (*database, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if db := s.databases[name]; db != nil && db.acquire() {
		return db, nil
	}
	return nil, errNoDatabase
}

// create makes a database. Its name must have been validated.
func (s *Store) create(name string) (*database, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.databases[name] != nil {
		return nil, errDatabaseThere
	}
	db, err := openDatabase(name, filepath.Join(s.dir, databasesDir, url.PathEscape(name)+databaseSuffix), &s.options, s.updates)
	if err == nil {
		s.databases[name] = db
		s.updates.note(name, "created")
	}
	return db, err
}

// drop deletes a database the caller has acquired.
func (s *Store) drop(db *database) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.databases[db.name] != db {
		return errNoDatabase
	}
	if err := db.remove(); err != nil {
		return err
	}
	delete(s.databases, db.name)
	s.updates.note(db.name, "deleted")
	return nil
}

func (s *Store) databaseNames() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.databases))
}
