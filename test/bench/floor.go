package main

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json/jsontext"

	"pouchbridge/bridge/wire"
	"pouchbridge/bridge/wire/legacy"
)

// floor is a server of the legacy dialect that answers at once from memory: what a client needs with it is the client's own
// time, below which no server can bring it. It knows revisions of generation 1 only, which is all that a first replication of
// new documents has.
type floor struct {
	server *http.Server
	served chan error
	url    string
	conns  sync.WaitGroup
	end    context.CancelFunc // of all connections

	mu        sync.Mutex
	databases map[string]*floorDatabase
}

// floorDatabase is a database in memory. Guarded by floor.mu.
type floorDatabase struct {
	docs   map[string]floorDoc
	rows   []jsontext.Value // of _changes; the sequence is the position
	local  map[string]jsontext.Value
	writes int
}

type floorDoc struct {
	rev string
	raw jsontext.Value // with _id and _rev
}

func openFloor() (*floor, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &floor{url: "ws://" + l.Addr().String(), served: make(chan error, 1), databases: map[string]*floorDatabase{}}
	ctx, end := context.WithCancel(context.Background())
	f.end = end
	f.server = &http.Server{Handler: http.HandlerFunc(f.accept), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx }}
	go func() { f.served <- f.server.Serve(l) }()
	return f, nil
}

func (f *floor) close() error {
	f.end()
	err := f.server.Close()
	f.conns.Wait()
	if served := <-f.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// database is the one with the name; f.mu is held.
func (f *floor) database(name string) *floorDatabase {
	db := f.databases[name]
	if db == nil {
		db = &floorDatabase{docs: map[string]floorDoc{}, local: map[string]jsontext.Value{}}
		f.databases[name] = db
	}
	return db
}

// seed fills a database with new documents.
func (f *floor) seed(name string, docs []json.RawMessage) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	db := f.database(name)
	for _, raw := range docs {
		doc, err := wire.ParseDoc(jsontext.Value(raw))
		if err != nil {
			return err
		}
		digest := md5.Sum(raw)
		doc.Rev = "1-" + hex.EncodeToString(digest[:])
		doc.Raw = append([]byte(`{"_rev":"`+doc.Rev+`",`), raw[1:]...)
		db.write(doc)
	}
	return nil
}

func (f *floor) count(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.database(name).docs)
}

// write keeps a document and returns its row of _changes.
func (db *floorDatabase) write(doc wire.Doc) jsontext.Value {
	row := fmt.Appendf(nil, `{"seq":"%d","id":`, len(db.rows)+1)
	row = wire.AppendString(row, doc.ID)
	row = wire.AppendString(append(row, `,"changes":[{"rev":`...), doc.Rev)
	row = append(row, "}]}"...)
	db.docs[doc.ID] = floorDoc{rev: doc.Rev, raw: doc.Raw}
	db.rows = append(db.rows, row)
	return row
}

// floorConn is one connection. All is done by the goroutine that reads it.
type floorConn struct {
	floor    *floor
	opened   map[wire.Session]*floorDatabase
	live     map[wire.Session]wire.Tag
	received []byte // what is answered to the message being read
}

func (f *floor) accept(w http.ResponseWriter, r *http.Request) {
	f.conns.Add(1)
	defer f.conns.Done()
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return
	}
	defer func() { _ = ws.CloseNow() }()
	ws.SetReadLimit(messageLimit)
	c := &floorConn{floor: f, opened: map[wire.Session]*floorDatabase{}, live: map[wire.Session]wire.Tag{}}
	dialect := legacy.NewConn(messageLimit)
	for {
		_, message, err := ws.Read(r.Context())
		if err != nil {
			return
		}
		events, err := dialect.Receive(message)
		if err != nil {
			return
		}
		c.received = c.received[:0]
		for _, event := range events {
			c.handle(event)
		}
		if len(c.received) > 0 {
			if err := ws.Write(r.Context(), websocket.MessageText, c.received); err != nil {
				return
			}
		}
	}
}

func (c *floorConn) handle(event wire.Event) {
	c.floor.mu.Lock()
	defer c.floor.mu.Unlock()
	switch e := event.(type) {
	case wire.Open:
		c.opened[e.Session] = c.floor.database(e.Database)
		c.received = e.Session.Granted(c.received)
	case wire.Close:
		delete(c.opened, e.Session)
		delete(c.live, e.Session)
	case wire.Reply:
		c.received = append(c.received, e.Data...)
	case wire.Call:
		if db := c.opened[e.Session]; db != nil {
			c.call(db, e)
		}
	}
}

func (c *floorConn) call(db *floorDatabase, call wire.Call) {
	answer := func(r wire.Result) { c.received = call.Session.Result(c.received, call.Tag, r) }
	fail := func(reason string) {
		c.received, _ = call.Session.Failed(c.received, call.Tag, &wire.Error{Status: http.StatusNotFound, Name: "not_found", Reason: reason})
	}
	switch op := call.Op.(type) {
	case wire.GetID:
		answer(wire.ID("floor"))
	case wire.GetInfo:
		answer(wire.Info{DocCount: int64(len(db.docs)), UpdateSeq: strconv.Itoa(len(db.rows))})
	case wire.GetLocal:
		if doc, ok := db.local[op.ID]; ok {
			answer(wire.JSON(doc))
		} else {
			fail("missing")
		}
	case wire.PutLocal:
		answer(db.putLocal(op))
	case wire.GetRevisions:
		if doc, ok := db.docs[op.ID]; ok {
			answer(wire.Revisions{{Start: 1, IDs: []string{strings.TrimPrefix(doc.rev, "1-")}}})
		} else {
			fail("missing")
		}
	case wire.OpenRevs:
		answer(db.openRevs(op))
	case wire.AllDocs:
		answer(db.allDocs(op))
	case wire.BulkDocs:
		c.bulkDocs(db, op)
		answer(wire.BulkDocsResult{})
	case wire.Changes:
		answer(wire.Accepted{})
		c.changes(db, call, op)
	default:
		fail(fmt.Sprintf("the floor does not know %T", op))
	}
}

// putLocal stores a checkpoint. The revision is counted over all of them, which clients cannot tell from the truth.
func (db *floorDatabase) putLocal(op wire.PutLocal) wire.LocalWritten {
	db.writes++
	rev := "0-" + strconv.Itoa(db.writes)
	doc := []byte{'{'}
	_ = wire.Members(op.Doc, func(m wire.Member) error { // the dialect has seen that it is an object
		if string(m.Name) != "_rev" {
			doc = wire.AppendMember(doc, m.Key, m.Value)
		}
		return nil
	})
	doc = wire.AppendMember(doc, jsontext.Value(`"_rev"`), jsontext.Value(`"`+rev+`"`))
	db.local[op.ID] = append(doc, '}')
	return wire.LocalWritten{ID: op.ID, Rev: rev}
}

func (db *floorDatabase) openRevs(op wire.OpenRevs) wire.OpenRevsResult {
	var result wire.OpenRevsResult
	doc, known := db.docs[op.ID]
	for _, rev := range op.Revs {
		if !known || rev != doc.rev {
			result.Revs = append(result.Revs, wire.OpenRev{Missing: rev})
			continue
		}
		raw := append([]byte(`{"_revisions":{"start":1,"ids":["`+strings.TrimPrefix(rev, "1-")+`"]},`), doc.raw[1:]...)
		result.Revs = append(result.Revs, wire.OpenRev{Doc: raw})
	}
	return result
}

func (db *floorDatabase) allDocs(op wire.AllDocs) wire.AllDocsResult {
	result := wire.AllDocsResult{TotalRows: int64(len(db.docs))}
	for _, key := range op.Keys {
		id := wire.AppendString(nil, key)
		doc, ok := db.docs[key]
		if !ok {
			row := append(append([]byte(`{"key":`), id...), `,"error":"not_found"}`...)
			result.Rows = append(result.Rows, wire.DocRow{Row: row})
			continue
		}
		row := append(append([]byte(`{"id":`), id...), `,"key":`...)
		row = append(append(row, id...), `,"value":{"rev":"`+doc.rev+`"}`...)
		if op.IncludeDocs {
			row = append(append(row, `,"doc":`...), doc.raw...)
		}
		result.Rows = append(result.Rows, wire.DocRow{Row: append(row, '}'), ID: key, Rev: doc.rev})
	}
	return result
}

// bulkDocs writes documents, and tells the live feeds of the connection.
func (c *floorConn) bulkDocs(db *floorDatabase, op wire.BulkDocs) {
	for _, doc := range op.Docs {
		row := db.write(doc)
		for session, tag := range c.live {
			if c.opened[session] == db {
				c.received = session.Change(c.received, tag, row)
			}
		}
	}
}

func (c *floorConn) changes(db *floorDatabase, call wire.Call, op wire.Changes) {
	since, _ := strconv.Atoi(op.Since) // 0: from the start
	rows := db.rows[min(since, len(db.rows)):]
	if !op.Live && op.Limit > 0 {
		rows = rows[:min(op.Limit, len(rows))]
	}
	for _, row := range rows {
		c.received = call.Session.Change(c.received, call.Tag, row)
	}
	if op.Live {
		c.live[call.Session] = call.Tag
	} else {
		c.received = call.Session.Complete(c.received, call.Tag, strconv.Itoa(since+len(rows)))
	}
}
