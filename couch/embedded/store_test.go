package embedded

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"
)

func TestReopen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, store: first}
	s.must(201, "PUT", "/a%2Fb", "")
	s.must(201, "PUT", "/gone", "")
	s.must(200, "DELETE", "/gone", "")
	rev := s.put("/a%2Fb/doc", `{"x":1,"_attachments":{"a":{"data":"aGVsbG8="}}}`)
	s.put("/a%2Fb/_local/l", `{"y":2}`)
	if w := s.send("PUT", "/a%2Fb/big/a", &zeros{2*uploadPiece + 1}); w.Code != 201 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if first.databases["a/b"].file.NoSync {
		t.Error("writes to a directory are not synced")
	}
	s.must(200, "PUT", "/a%2Fb/_security", `{"admins":{"names":["x"]}}`)
	since := lastSequence.FindStringSubmatch(s.must(200, "GET", "/a%2Fb/_changes", ""))[1]
	info := s.must(200, "GET", "/a%2Fb", "")
	welcome := s.must(200, "GET", "/", "")
	if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another process uses this directory") {
		t.Errorf("opened twice: %v", err)
	}
	if err := errors.Join(first.Close(), first.Close()); err != nil {
		t.Fatal(err)
	}

	s = newServer(t, Options{Dir: dir})
	s.wants(`["_users","a/b"]`, "GET", "/_all_dbs", "")
	s.wants(rev, "GET", "/a%2Fb/doc", "")
	s.wants("hello", "GET", "/a%2Fb/doc/a", "")
	s.wants(`"y":2`, "GET", "/a%2Fb/_local/l", "")
	if n := s.do("GET", "/a%2Fb/big/a", "").Body.Len(); n != 2*uploadPiece+1 {
		t.Errorf("%d bytes of the large attachment are left", n)
	}
	s.wants(`{"admins":{"names":["x"]}}`, "GET", "/a%2Fb/_security", "")
	s.wants(`"results":[`+"\n\n]", "GET", "/a%2Fb/_changes?since="+since, "")
	s.wants(welcome, "GET", "/", "")
	if got := normalise(s.must(200, "GET", "/a%2Fb", "")); got != normalise(info) {
		t.Errorf("database information was %s, is %s", info, got)
	}
}

func TestTemporaryStore(t *testing.T) {
	t.Parallel()
	s, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.dir); err != nil {
		t.Fatal(err)
	}
	if !s.databases[usersDatabase].file.NoSync {
		t.Error("a temporary store syncs its writes")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", s.dir, err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	if _, err := Open(Options{Admin: "admin"}); err == nil {
		t.Error("an admin without a password")
	}
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: file}); err == nil {
		t.Error("a file as directory")
	}
}

// TestOpenRefusesForeignFiles: what is no database is reported by name, not overwritten.
func TestOpenRefusesForeignFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/"+databasesDir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := dir + "/" + databasesDir + "/x" + databaseSuffix
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "database x") {
		t.Errorf("%v", err)
	}
}

// TestConcurrentLife creates, writes and deletes the same database from many goroutines: every answer is one of those
// a client can expect.
func TestConcurrentLife(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	var group sync.WaitGroup
	for w := range 6 {
		group.Go(func() {
			for i := range 20 {
				for _, call := range []struct {
					method, path, body string
					statuses           string
				}{
					{"PUT", "/db", "", "201 412"},
					{"PUT", fmt.Sprintf("/db/%d-%d", w, i), "{}", "201 404 409"},
					{"GET", "/db/_changes?feed=longpoll&timeout=1", "", "200 404"},
					{"DELETE", "/db", "", "200 404"},
				} {
					answer := s.do(call.method, call.path, call.body)
					if !strings.Contains(call.statuses, fmt.Sprint(answer.Code)) {
						t.Errorf("%s %s: %d %s", call.method, call.path, answer.Code, answer.Body)
					}
				}
			}
		})
	}
	group.Wait()
}

// TestConcurrentEdits: of edits of one revision, exactly one wins.
func TestConcurrentEdits(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	s.must(201, "PUT", "/db", "")
	rev := s.put("/db/d", "{}")
	for range 20 {
		var mu sync.Mutex
		var winners []string
		var group sync.WaitGroup
		for w := range 8 {
			group.Go(func() {
				answer := s.do("PUT", "/db/d", fmt.Sprintf(`{"_rev":%q,"w":%d}`, rev, w))
				mu.Lock()
				defer mu.Unlock()
				if answer.Code == 201 {
					winners = append(winners, revisionOf(answer.Body.String()))
				} else if answer.Code != 409 {
					t.Errorf("%d %s", answer.Code, answer.Body)
				}
			})
		}
		group.Wait()
		if len(winners) != 1 {
			t.Fatalf("winners: %v", winners)
		}
		rev = winners[0]
	}
}

// TestCommitter: a refused write does not harm those it shares a transaction with, a fault undoes all.
func TestCommitter(t *testing.T) {
	t.Parallel()
	file, err := bbolt.Open(t.TempDir()+"/file", 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	put := func(tx *bbolt.Tx, key string) error {
		b, err := tx.CreateBucketIfNotExists([]byte("b"))
		if err != nil {
			return err
		}
		return b.Put([]byte(key), []byte("x"))
	}
	errFault := errors.New("disk on fire")
	run := func(last error) []error {
		var c committer
		c.commit.Lock() // so that all of them wait and share a transaction
		outcome := make([]error, 3)
		var group sync.WaitGroup
		for i, err := range []error{nil, errConflict, last} {
			group.Go(func() {
				outcome[i] = c.do(file, func(tx *bbolt.Tx) error {
					if err != nil {
						return err
					}
					return put(tx, fmt.Sprint(i, last))
				})
			})
		}
		for queued := 0; queued < 3; {
			c.mu.Lock()
			queued = len(c.queue)
			c.mu.Unlock()
		}
		c.commit.Unlock()
		group.Wait()
		return outcome
	}
	stored := func(key string) (found bool) {
		if err := file.View(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte("b"))
			found = b != nil && b.Get([]byte(key)) != nil
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return found
	}
	if got := run(nil); got[0] != nil || got[1] != error(errConflict) || got[2] != nil {
		t.Errorf("outcome %v", got)
	}
	if !stored("0 <nil>") || !stored("2 <nil>") {
		t.Error("accepted writes are lost")
	}
	if got := run(errFault); got[0] != errFault || got[1] != errFault || got[2] != errFault {
		t.Errorf("outcome %v", got)
	}
	if stored("0 disk on fire") {
		t.Error("a write of a failed transaction is stored")
	}
}

func BenchmarkConcurrentWrites(b *testing.B) {
	s := newServer(b, Options{Dir: b.TempDir()})
	s.must(201, "PUT", "/db", "")
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if w := s.do("POST", "/db", `{"x":1}`); w.Code != 201 {
				b.Errorf("%d %s", w.Code, w.Body)
				return
			}
		}
	})
}
