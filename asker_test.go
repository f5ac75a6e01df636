package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/coder/websocket"

	"pouchbridge/couch/embedded"
)

// asker is a client of the legacy dialect that asks for databases, one after the other.
type asker struct {
	t     *testing.T
	ws    *websocket.Conn
	lines [][]json.RawMessage // that have come and were not read
	asked int
}

// connect opens a websocket, with these headers.
func connect(t *testing.T, url string, header http.Header) *asker {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}, HTTPHeader: header})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	return &asker{t: t, ws: ws}
}

func (a *asker) send(format string, args ...any) {
	a.t.Helper()
	if err := a.ws.Write(a.t.Context(), websocket.MessageText, fmt.Appendf(nil, format+"\n", args...)); err != nil {
		a.t.Fatal(err)
	}
}

// next is the next line of the stream, without its id.
func (a *asker) next(stream string) []json.RawMessage {
	a.t.Helper()
	line, err := a.nextOrEnd(stream)
	if err != nil {
		a.t.Fatal(err)
	}
	return line
}

// nextOrEnd is next, or the error of a connection that ended.
func (a *asker) nextOrEnd(stream string) ([]json.RawMessage, error) {
	for {
		for i, line := range a.lines {
			if string(line[0]) == `"`+stream+`"` {
				a.lines = append(a.lines[:i:i], a.lines[i+1:]...)
				return line[1:], nil
			}
		}
		if err := a.receive(); err != nil {
			return nil, err
		}
	}
}

// receive reads one message.
func (a *asker) receive() error {
	ctx, cancel := context.WithTimeout(a.t.Context(), 20*time.Second)
	defer cancel()
	_, message, err := a.ws.Read(ctx)
	if err != nil {
		return err
	}
	for text := range bytes.Lines(message) {
		var line []json.RawMessage
		if err := json.Unmarshal(text, &line); err != nil {
			return err
		}
		a.lines = append(a.lines, line)
	}
	return nil
}

// ask asks for a database. It returns the stream of the session, or the words of the refusal.
func (a *asker) ask(database, credentials string) (stream, refusal string) {
	a.t.Helper()
	stream, refusal, err := a.askOrEnd(database, credentials)
	if err != nil {
		a.t.Fatal(err)
	}
	return stream, refusal
}

// askOrEnd is ask, or the error of a connection that ended instead.
func (a *asker) askOrEnd(database, credentials string) (stream, refusal string, err error) {
	a.t.Helper()
	a.asked++
	request := fmt.Sprintf("request%d", a.asked)
	a.send(`[%q,"new",{"opts":{"writable":true,"readable":true}}]`, request)
	if credentials != "" {
		credentials = `,"credentials":` + credentials
	}
	a.send(`[%q,"data",{"database":%q%s}]`, request, database, credentials)
	line, err := a.nextOrEnd(request)
	if err != nil {
		return "", "", err
	}
	var answer []json.RawMessage
	if err := json.Unmarshal(line[1], &answer); err != nil {
		return "", "", err
	}
	if len(answer) == 1 {
		var e struct{ Message string }
		err := json.Unmarshal(answer[0], &e)
		return "", e.Message, err
	}
	return a.streamOf(string(answer[1])), "", nil
}

// streamOf waits for the stream that the bridge opens under a name, which is JSON.
func (a *asker) streamOf(name string) string {
	a.t.Helper()
	for {
		for i, line := range a.lines {
			var id, event string
			if errors.Join(json.Unmarshal(line[0], &id), json.Unmarshal(line[1], &event)) == nil && event == "new" && bytes.Contains(line[2], []byte(name)) {
				a.lines = append(a.lines[:i:i], a.lines[i+1:]...)
				return id
			}
		}
		if err := a.receive(); err != nil {
			a.t.Fatal(err)
		}
	}
}

// call makes a call of the session and returns its error and its result.
func (a *asker) call(stream, method, args string) (failure, result string) {
	a.t.Helper()
	a.send(`[%q,"data",[1,null,%q,%s]]`, stream, method, args)
	var answer, both [2]json.RawMessage
	line := a.next(stream)
	if err := errors.Join(json.Unmarshal(line[1], &answer), json.Unmarshal(answer[1], &both)); err != nil {
		a.t.Fatalf("%s: %v", line, err)
	}
	return string(both[0]), string(both[1])
}

// store is an embedded CouchDB with an admin and these databases. It returns its URL with the admin's password.
func store(t *testing.T, password string, databases ...string) *url.URL {
	t.Helper()
	s, err := embedded.Open(embedded.Options{Admin: "admin", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("admin", password)
	for _, name := range databases {
		put(t, u.JoinPath(name), "")
	}
	return u
}

// put makes a database or a document as the admin.
func put(t *testing.T, u *url.URL, body string) {
	t.Helper()
	if status, answer := send(t, http.MethodPut, u.String(), body); status != http.StatusCreated && status != http.StatusOK {
		t.Fatalf("PUT %s: %d %s", u.Path, status, answer)
	}
}

// send makes a request and returns status and body.
func send(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client(t, nil).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, b.String()
}
