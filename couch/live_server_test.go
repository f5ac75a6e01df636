package couch_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"pouchbridge/couch/embedded"
)

// upstream is what the live tests talk to: the CouchDB at COUCHDB_URL, or an embedded store that the first of them starts.
type upstream struct {
	url    string
	real   bool
	server *httptest.Server
	store  *embedded.Store
}

var live = sync.OnceValues(func() (*upstream, error) {
	if url := os.Getenv("COUCHDB_URL"); url != "" {
		return &upstream{url: url, real: true}, nil
	}
	store, err := embedded.Open(embedded.Options{})
	if err != nil {
		return nil, err
	}
	server := httptest.NewServer(store)
	return &upstream{url: server.URL, server: server, store: store}, nil
})

func (u *upstream) close() error {
	if u.real {
		return nil
	}
	err := u.store.Close() // ends feeds, which the server waits for
	u.server.Close()
	return err
}

func liveServer(t *testing.T) *upstream {
	t.Helper()
	u, err := live()
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestMain fails when a goroutine is left once every test is over and the store is closed.
func TestMain(m *testing.M) {
	code := m.Run()
	u, err := live()
	if err == nil {
		err = u.close()
	}
	if err == nil {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}
