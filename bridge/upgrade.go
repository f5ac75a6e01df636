package bridge

import (
	"bufio"
	"net"
	"net/http"
)

const (
	// readBuffer and writeBuffer are the buffers of a websocket, which it has as
	// long as it lives; those of net/http are 4 KB each. What is longer than the
	// buffer goes past it.
	readBuffer  = 1 << 10
	writeBuffer = 1 << 10
)

// upgrade is the http.ResponseWriter of a websocket upgrade: it has the
// websocket use small buffers, and keeps its network connection.
type upgrade struct {
	http.ResponseWriter
	conn net.Conn // nil until Hijack
}

// Hijack is called by the websocket library. What the client has sent already
// is in the buffer that is returned.
func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	u.conn = conn
	early, _ := rw.Reader.Peek(rw.Reader.Buffered()) // which cannot fail
	r := bufio.NewReaderSize(conn, max(readBuffer, len(early)))
	if len(early) > 0 {
		r.Reset(&earlyReader{early})
		_, _ = r.Peek(len(early)) // now they are buffered
	}
	return conn, bufio.NewReadWriter(r, bufio.NewWriterSize(conn, writeBuffer)), nil
}

// earlyReader reads bytes that were sent before they were asked for.
type earlyReader struct{ bytes []byte }

func (e *earlyReader) Read(p []byte) (int, error) {
	n := copy(p, e.bytes)
	e.bytes = e.bytes[n:]
	return n, nil
}
