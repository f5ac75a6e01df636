package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// requestTime bounds one plain request to the upstream.
const requestTime = time.Minute

// upstream is the CouchDB that everything is measured on.
type upstream struct {
	url     *url.URL
	name    string // for the tables
	section section
	own     *process // nil: one that was there
	http    *http.Client
}

// openUpstream uses the CouchDB at rawURL, or starts an embedded store if that is empty.
func openUpstream(ctx context.Context, rawURL string) (*upstream, error) {
	u := &upstream{http: &http.Client{Timeout: requestTime, Transport: &http.Transport{}}}
	if rawURL == "" {
		if err := u.startStore(ctx); err != nil {
			return nil, err
		}
		return u, nil
	}
	var err error
	if u.url, err = parseLoopback(rawURL); err != nil {
		return nil, err
	}
	var welcome struct {
		CouchDB, Version string
	}
	if err := u.ask(ctx, http.MethodGet, "/", nil, &welcome); err != nil {
		return nil, fmt.Errorf("the CouchDB of COUCHDB_URL: %w", err)
	}
	u.name, u.section = "CouchDB "+welcome.Version, couchDBSection
	return u, nil
}

// parseLoopback reads a URL that must be of this machine. Errors do not show it: it may contain a password.
func parseLoopback(rawURL string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(rawURL, "/"))
	if err != nil || u.Scheme != "http" || u.Port() == "" {
		return nil, errors.New("COUCHDB_URL must be like http://user:password@127.0.0.1:5984 (it is not shown, as it may contain a password)")
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if (err != nil || !ip.IsLoopback()) && u.Hostname() != "localhost" {
		return nil, fmt.Errorf("COUCHDB_URL is of the host %s: benchmarks load their CouchDB as much as they can, and run only against one on a loopback address", u.Hostname())
	}
	return u, nil
}

func (u *upstream) startStore(ctx context.Context) error {
	var err error
	if u.own, err = startRole("store"); err != nil {
		return err
	}
	var at struct{ URL string }
	if err := u.own.answer(ctx, startTime, &at); err != nil {
		return errors.Join(err, u.own.stop())
	}
	u.name, u.section = "the embedded store", embeddedSection
	u.url, err = url.Parse(at.URL)
	return err
}

func (u *upstream) close() error {
	u.http.CloseIdleConnections()
	if u.own != nil {
		return u.own.stop()
	}
	return nil
}

// through is the upstream's URL, with credentials, at another host: a proxy's.
func (u *upstream) through(host string) string {
	at := *u.url
	at.Host = host
	return at.String()
}

// ask sends a request whose answer must be a success, and decodes the answer unless into is nil.
func (u *upstream) ask(ctx context.Context, method, path string, body []byte, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, u.url.String()+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := u.http.Do(request)
	if err != nil {
		var hidden *url.Error // which has the URL
		if errors.As(err, &hidden) {
			err = hidden.Err
		}
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %.200s", method, path, response.Status, text)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// database is one that was created for a measure.
type database struct {
	*upstream
	name string
}

// createDatabase creates a database with a name that nobody else has.
func (u *upstream) createDatabase(ctx context.Context) (*database, error) {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	db := &database{u, "bench-" + hex.EncodeToString(random[:])}
	return db, u.ask(ctx, http.MethodPut, "/"+db.name, nil, nil)
}

// remove deletes the database, whatever became of ctx.
func (db *database) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTime)
	defer cancel()
	return db.ask(ctx, http.MethodDelete, "/"+db.name, nil, nil)
}

// withDatabase has fn use a database, which is deleted afterwards.
func (u *upstream) withDatabase(ctx context.Context, fn func(*database) error) error {
	db, err := u.createDatabase(ctx)
	if err != nil {
		return err
	}
	return errors.Join(fn(db), db.remove(ctx))
}

// seedBatch is how many documents are written with one request.
const seedBatch = 1000

// seed writes documents.
func (db *database) seed(ctx context.Context, docs []json.RawMessage) error {
	for len(docs) > 0 {
		n := min(seedBatch, len(docs))
		body, err := json.Marshal(map[string]any{"docs": docs[:n]})
		if err != nil {
			return err
		}
		var rows []struct{ ID, Error string }
		if err := db.ask(ctx, http.MethodPost, "/"+db.name+"/_bulk_docs", body, &rows); err != nil {
			return err
		}
		for _, row := range rows {
			if row.Error != "" {
				return fmt.Errorf("document %s was not written: %s", row.ID, row.Error)
			}
		}
		docs = docs[n:]
	}
	return nil
}

// put writes one document.
func (db *database) put(ctx context.Context, id string) error {
	return db.ask(ctx, http.MethodPut, "/"+db.name+"/"+id, []byte(`{"text":"one write"}`), nil)
}

// count is how many documents there are.
func (db *database) count(ctx context.Context) (int, error) {
	var info struct {
		DocCount int `json:"doc_count"`
	}
	err := db.ask(ctx, http.MethodGet, "/"+db.name, nil, &info)
	return info.DocCount, err
}

// documents are n documents of 200 bytes of JSON, without their revision.
func documents(n int) []json.RawMessage {
	const size = 200
	docs := make([]json.RawMessage, n)
	for i := range docs {
		head := fmt.Sprintf(`{"_id":"doc-%08d","number":%d,"text":"`, i, i)
		docs[i] = json.RawMessage(head + strings.Repeat("x", size-len(head)-2) + `"}`)
	}
	return docs
}
