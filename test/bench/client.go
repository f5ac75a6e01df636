package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// client is a client of the legacy dialect with at most one session, as small as can be: thousands of them live in this
// process beside what is measured.
type client struct {
	ws      *websocket.Conn
	web     *http.Transport
	channel string
}

// dialTime bounds opening a connection or a session.
const dialTime = time.Minute

func dial(ctx context.Context, url string) (*client, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	web := &http.Transport{ReadBufferSize: 1024, WriteBufferSize: 1024}
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: &http.Client{Transport: web}})
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(messageLimit)
	return &client{ws: ws, web: web}, nil
}

func (c *client) close() {
	_ = c.ws.CloseNow()
	c.web.CloseIdleConnections()
}

// open asks for a database and waits for its channel.
func (c *client) open(ctx context.Context, database string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	request := fmt.Sprintf(`["r","new",{"opts":{"writable":true,"readable":true}}]`+"\n"+`["r","data",{"database":%q,"credentials":{}}]`+"\n", database)
	if err := c.ws.Write(ctx, websocket.MessageText, []byte(request)); err != nil {
		return err
	}
	return c.until(ctx, func(line []byte) (bool, error) {
		var parts []json.RawMessage
		if err := json.Unmarshal(line, &parts); err != nil || len(parts) < 2 {
			return false, fmt.Errorf("the bridge said %.200q: %w", line, err)
		}
		switch string(parts[1]) {
		case `"new"`:
			return true, json.Unmarshal(parts[0], &c.channel)
		case `"data"`:
			if !bytes.HasPrefix(parts[2], []byte("[null,")) {
				return false, fmt.Errorf("the bridge denied the database: %s", parts[2])
			}
		}
		return false, nil
	})
}

// live starts a live feed from the beginning and waits until it is accepted.
func (c *client) live(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	call := fmt.Sprintf(`[%q,"data",[0,null,"_changes",[0,{"since":0,"limit":100,"style":"all_docs","live":true,"continuous":true}]]]`+"\n", c.channel)
	if err := c.ws.Write(ctx, websocket.MessageText, []byte(call)); err != nil {
		return err
	}
	accepted := fmt.Appendf(nil, `[%q,"data",[0,[null,null]]]`, c.channel)
	return c.until(ctx, func(line []byte) (bool, error) { return bytes.Equal(bytes.TrimSpace(line), accepted), nil })
}

// until reads messages until a line is what is waited for. What follows that line in its message is lost, which is nothing, as
// the other side has nothing to say yet.
func (c *client) until(ctx context.Context, found func(line []byte) (bool, error)) error {
	for {
		_, message, err := c.ws.Read(ctx)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(message) {
			if is, err := found(line); is || err != nil {
				return err
			}
		}
	}
}

// follow reads until the connection ends, and tells of the document of each change when its message was there.
func (c *client) follow(ctx context.Context, change func(id []byte, at time.Time)) error {
	for {
		_, message, err := c.ws.Read(ctx)
		if err != nil {
			return err
		}
		at := time.Now()
		for line := range bytes.Lines(message) {
			if bytes.Contains(line, []byte(`"_event","change"`)) {
				if id, ok := changedID(line); ok {
					change(id, at)
				}
			}
		}
	}
}

// changedID finds the id in a row of _changes that has one without escapes, as those of our own documents are.
func changedID(row []byte) ([]byte, bool) {
	_, rest, ok := bytes.Cut(row, []byte(`"id":"`))
	if !ok {
		return nil, false
	}
	id, _, ok := bytes.Cut(rest, []byte(`"`))
	return id, ok
}
