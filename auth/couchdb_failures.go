package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

// failures remembers wrong credentials for a while, as hashes under a key of this process, so that CouchDB is not asked about
// them again and again. It is asked twice: somebody may try to log in, be told no, sign up, and try again.
type failures struct {
	key   []byte
	lasts time.Duration
	max   int

	mu    sync.Mutex
	known map[digest]failure
	order []digest // the one known for longest first
}

type failure struct {
	last  time.Time // when CouchDB said no
	times int
}

type digest [sha256.Size]byte

func newFailures(lasts time.Duration, most int) *failures {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	return &failures{key: key, lasts: lasts, max: most, known: map[digest]failure{}}
}

// digest hashes credentials so that no two lists of texts have the same.
func (f *failures) digest(credentials []string) digest {
	mac := hmac.New(sha256.New, f.key)
	for _, text := range credentials {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
		mac.Write([]byte(text))
	}
	return digest(mac.Sum(nil))
}

// has tells whether CouchDB need not be asked: it has said no twice, or since the request arrived, to another one.
func (f *failures) has(arrived time.Time, credentials ...string) bool {
	d := f.digest(credentials)
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.known[d]
	return f.fresh(e) && (e.times >= 2 || e.last.After(arrived))
}

// add notes that CouchDB said no. When there is no room the oldest are forgotten.
func (f *failures) add(credentials ...string) {
	d := f.digest(credentials)
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.known[d]
	if !ok {
		f.makeRoom()
		f.order = append(f.order, d)
	}
	if !f.fresh(e) {
		e.times = 0
	}
	f.known[d] = failure{time.Now(), e.times + 1}
}

// makeRoom forgets what is over, and the oldest if that is not enough.
func (f *failures) makeRoom() {
	for len(f.order) > 0 && (len(f.order) >= f.max || !f.fresh(f.known[f.order[0]])) {
		delete(f.known, f.order[0])
		f.order = f.order[1:]
	}
}

func (f *failures) fresh(e failure) bool { return e.times > 0 && time.Since(e.last) < f.lasts }
