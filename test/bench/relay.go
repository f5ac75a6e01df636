package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"pouchbridge/bridge/wire"
)

// relay stands between clients and a bridge, and counts the calls that clients make.
type relay struct {
	server *http.Server
	served chan error
	url    string
	target string
	web    *http.Client
	conns  sync.WaitGroup
	end    context.CancelFunc // of all connections
	calls  atomic.Int64
}

// messageLimit bounds a websocket message of any of our connections.
const messageLimit = 64 << 20

func openRelay(target string) (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{url: "ws://" + l.Addr().String(), target: target, web: &http.Client{Transport: &http.Transport{}}, served: make(chan error, 1)}
	ctx, end := context.WithCancel(context.Background())
	r.end = end
	r.server = &http.Server{Handler: http.HandlerFunc(r.accept), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx }}
	go func() { r.served <- r.server.Serve(l) }()
	return r, nil
}

// accept relays one connection until either side ends it.
func (r *relay) accept(w http.ResponseWriter, request *http.Request) {
	r.conns.Add(1)
	defer r.conns.Done()
	ctx, cancel := context.WithCancel(request.Context())
	defer cancel()
	client, err := websocket.Accept(w, request, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return
	}
	defer func() { _ = client.CloseNow() }()
	bridge, _, err := websocket.Dial(ctx, r.target, &websocket.DialOptions{HTTPClient: r.web})
	if err != nil {
		return
	}
	defer func() { _ = bridge.CloseNow() }()
	var both sync.WaitGroup
	both.Go(func() { pump(ctx, cancel, bridge, client, r.count) })
	both.Go(func() { pump(ctx, cancel, client, bridge, func([]byte) {}) })
	both.Wait()
}

// pump copies messages until one side is gone, and ends the other direction then.
func pump(ctx context.Context, end func(), to, from *websocket.Conn, see func(message []byte)) {
	defer end()
	from.SetReadLimit(messageLimit)
	for {
		kind, message, err := from.Read(ctx)
		if err != nil {
			return
		}
		see(message)
		if err := to.Write(ctx, kind, message); err != nil {
			return
		}
	}
}

// count counts the calls of a message: lines [stream, "data", [number, ...]].
func (r *relay) count(message []byte) {
	for line := range bytes.Lines(message) {
		if isCall(bytes.TrimSpace(line)) {
			r.calls.Add(1)
		}
	}
}

func isCall(line []byte) bool {
	if !wire.Valid(line) {
		return false
	}
	parts := wire.Items(line)
	if len(parts) != 3 || wire.Text(parts[1]) != "data" || parts[2].Kind() != '[' {
		return false
	}
	call := wire.Items(parts[2])
	return len(call) > 0 && call[0].Kind() == '0'
}

func (r *relay) close() error {
	r.end()
	err := r.server.Close()
	r.conns.Wait()
	r.web.CloseIdleConnections()
	if served := <-r.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
