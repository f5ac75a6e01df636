package bridge

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"pouchbridge/auth"
	"pouchbridge/couch"
)

// pipes is a listener whose connections are in memory, so that time in a test
// is synctest's.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// peer is a websocket to a bridge of its own, of which a test says every byte
// and reads none that it does not ask for.
type peer struct {
	t      *testing.T
	net    net.Conn
	r      *bufio.Reader
	server *Server
	conn   *conn // the bridge's half
}

// connect must be called in a bubble of synctest.
func connect(t *testing.T, o Options) *peer {
	t.Helper()
	refuse := auth.PolicyFunc(func(context.Context, auth.Request) (auth.Grant, error) { return auth.Grant{}, errors.New("no") })
	o.Registerer = prometheus.NewRegistry()
	nobody, err := couch.New("http://couch.test", couch.Options{}) // which is asked for nothing
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, server: NewServer(refuse, nobody, o)}
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	httpServer := &http.Server{Handler: p.server}
	served := make(chan error, 1)
	go func() { served <- httpServer.Serve(l) }()
	theirs, ours := net.Pipe()
	p.net, p.r = ours, bufio.NewReader(ours)
	l.conns <- theirs
	p.write([]byte("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"))
	resp, err := http.ReadResponse(p.r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", resp, err)
	}
	synctest.Wait()
	p.conn = p.server.connections()[0]
	t.Cleanup(func() {
		_ = ours.Close()
		if err := p.server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		_ = httpServer.Close()
		<-served
		if n := p.server.budget.total(); n != 0 {
			t.Errorf("%d bytes are still held", n)
		}
	})
	return p
}

func (p *peer) write(b []byte) {
	p.t.Helper()
	if _, err := p.net.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// head begins a text message of n bytes, masked with zeros.
func (p *peer) head(n int) {
	p.t.Helper()
	p.write(append(binary.BigEndian.AppendUint64([]byte{0x81, 0x80 | 127}, uint64(n)), 0, 0, 0, 0))
}

func (p *peer) send(msg string) {
	p.t.Helper()
	p.head(len(msg))
	p.write([]byte(msg))
}

// frame reads a frame that the bridge sends.
func (p *peer) frame() (opcode byte, payload []byte) {
	p.t.Helper()
	var h [8]byte
	read := func(b []byte) {
		if _, err := io.ReadFull(p.r, b); err != nil {
			p.t.Fatal(err)
		}
	}
	read(h[:2])
	opcode, n := h[0], int(h[1])
	switch n {
	case 126:
		read(h[:2])
		n = int(binary.BigEndian.Uint16(h[:2]))
	case 127:
		read(h[:8])
		n = int(binary.BigEndian.Uint64(h[:]))
	}
	payload = make([]byte, n)
	read(payload)
	return opcode, payload
}

// open tells whether the bridge still has the connection.
func (p *peer) open() bool {
	synctest.Wait()
	return len(p.server.connections()) == 1
}

// closedAfter wants the connection to end, for a reason, at a time.
func (p *peer) closedAfter(d time.Duration, reason string) {
	p.t.Helper()
	const moment = time.Millisecond
	if time.Sleep(d - moment); !p.open() {
		p.t.Fatalf("it was closed before %s", d)
	}
	time.Sleep(2 * moment)
	p.closedAs(reason)
}

// closedAs wants the connection to have ended for a reason.
func (p *peer) closedAs(reason string) {
	p.t.Helper()
	if p.open() {
		p.t.Fatal("it was not closed")
	}
	if n := testutil.ToFloat64(p.server.metrics.closed.WithLabelValues(reason)); n != 1 {
		p.t.Errorf("it was not closed as %s", reason)
	}
}

// request is one that the bridge answers by itself.
const request = `["r","new",{}]` + "\n" + `["r","data",5]` + "\n"

func bubble(t *testing.T, f func(*testing.T)) {
	t.Parallel()
	synctest.Test(t, f)
}

// TestWriterOnDemand wants a writer as long as there is something to write.
func TestWriterOnDemand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := connect(t, Options{})
		writing := func() bool {
			synctest.Wait()
			p.conn.outbox.mu.Lock()
			defer p.conn.outbox.mu.Unlock()
			return p.conn.outbox.writing
		}
		for range 3 {
			if writing() {
				t.Fatal("there is a writer with nothing to write")
			}
			p.send(request)
			if !writing() || !p.conn.outbox.busy() {
				t.Fatal("there is no writer for the answer")
			}
			if _, msg := p.frame(); !strings.Contains(string(msg), "is not an object") {
				t.Errorf("the answer is %q", msg)
			}
		}
		if writing() || p.server.budget.total() != 0 {
			t.Error("something is left of the answers")
		}
	})
}

func TestSlowClientIsTimed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := connect(t, Options{WriteTimeout: 3 * time.Second})
		p.send(request) // of which it never reads the answer
		p.closedAfter(3*time.Second, reasonSlow)
	})
}

// TestWriteTimeoutCountsFrames takes a long message so slowly that the whole of
// it lasts far longer than the timeout.
func TestWriteTimeoutCountsFrames(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := connect(t, Options{WriteTimeout: 3 * time.Second})
		const frames = 10
		msg := strings.Repeat("x", frames*frameBytes)
		if err := p.conn.send(t.Context(), []byte(msg)); err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for range frames {
			time.Sleep(2900 * time.Millisecond)
			_, part := p.frame()
			got.Write(part)
		}
		if got.String() != msg || !p.open() {
			t.Errorf("%d bytes came", got.Len())
		}
		p.closedAfter(3*time.Second, reasonSlow) // it does not take the end
	})
}

// TestSilent wants a client to be given up that answers no ping.
func TestSilent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := connect(t, Options{PingInterval: 10 * time.Second, PingTimeout: 5 * time.Second})
		go func() { _, _ = io.Copy(io.Discard, p.r) }()
		p.closedAfter(15*time.Second, reasonSilent)
	})
}

// TestNotSilent has a client for which a ping cannot be answered in time: it is
// in the middle of a long message, or has yet to take one.
func TestNotSilent(t *testing.T) {
	o := Options{PingInterval: 10 * time.Second, PingTimeout: 5 * time.Second, WriteTimeout: time.Minute}
	t.Run("sends", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := connect(t, o)
			go func() { _, _ = io.Copy(io.Discard, p.r) }()
			time.Sleep(9 * time.Second)
			p.head(30)
			for range 30 {
				time.Sleep(time.Second)
				p.write([]byte(" "))
			}
			if !p.open() {
				t.Error("it was closed although it was heard of every second")
			}
		})
	})
	t.Run("begins to send after a ping", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := connect(t, o)
			go func() { _, _ = io.Copy(io.Discard, p.r) }()
			time.Sleep(11 * time.Second)
			p.send("[]\n") // before the pong, which is on its way
			time.Sleep(8 * time.Second)
			if !p.open() {
				t.Error("it was closed although it was heard of")
			}
		})
	})
	t.Run("takes", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := connect(t, o)
			if err := p.conn.send(t.Context(), []byte("x")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Second)
			if !p.open() {
				t.Error("it was closed before the write timeout")
			}
		})
	})
}

// TestStalledMessage wants a client that stops in the middle of a message not
// to keep it for ever, and one that is merely slow to be heard out.
func TestStalledMessage(t *testing.T) {
	o := Options{PingInterval: time.Hour}
	t.Run("stops", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := connect(t, o)
			p.head(100)
			time.Sleep(time.Minute)
			p.write([]byte(" "))
			if synctest.Wait(); p.server.budget.total() < shortMessage {
				t.Errorf("%d bytes are held", p.server.budget.total())
			}
			p.closedAfter(pieceTime-time.Minute, reasonSilent)
		})
	})
	t.Run("is slow", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := connect(t, o)
			const size = 10 * longPiece
			p.head(size)
			part := make([]byte, longPiece/2)
			for i := range part {
				part[i] = ' '
			}
			for range size / len(part) {
				time.Sleep(50 * time.Second)
				p.write(part)
			}
			if synctest.Wait(); p.server.budget.total() < size {
				t.Errorf("%d bytes are held of the line whose end has not come", p.server.budget.total())
			}
			time.Sleep(10 * time.Minute) // between messages it may take its time
			if !p.open() {
				t.Error("it was closed")
			}
		})
	})
}

// TestMessageArrivesWhole reads messages of all kinds of lengths.
func TestMessageArrivesWhole(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := connect(t, Options{})
		for _, n := range []int{0, 1, shortMessage - 1, shortMessage, shortMessage + 1, 10 * shortMessage, longPiece, 3*longPiece + 7} {
			const head, tail = `["r","new",{}]` + "\n" + `["r","data",{"database":5,"x":"`, `"}]` + "\n"
			p.send(head + strings.Repeat("y", n) + tail)
			if _, msg := p.frame(); !strings.Contains(string(msg), "names no database") {
				t.Errorf("%d: the answer is %q", n, msg)
			}
			if synctest.Wait(); p.server.budget.total() != 0 {
				t.Errorf("%d: %d bytes are still held", n, p.server.budget.total())
			}
		}
	})
}

// TestShedInTheMiddle sheds a connection while it sends and while it is sent to.
func TestShedInTheMiddle(t *testing.T) {
	t.Run("of a message of its own", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := connect(t, Options{MaxBufferedBytes: 1 << 20})
			p.head(4 << 20)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for range 64 { // it is heard out
					if _, err := p.net.Write(make([]byte, 64<<10)); err != nil {
						t.Error(err)
						return
					}
				}
			}()
			opcode, payload := p.frame()
			if opcode != 0x88 || binary.BigEndian.Uint16(payload) != 1011 {
				t.Errorf("it is told %x %q", opcode, payload)
			}
			<-done
			if synctest.Wait(); p.server.budget.total() > 2*longPiece { // one piece, in a buffer that may be larger
				t.Errorf("%d bytes of what is dropped are held", p.server.budget.total())
			}
			p.write([]byte{0x88, 0x82, 0, 0, 0, 0, 3, 243}) // the close frame's answer
			p.closedAs(reasonOverload)
		})
	})
	t.Run("of a message to it", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := connect(t, Options{MaxBufferedBytes: 1 << 20})
			for range 3 { // the last one is too many
				if err := p.conn.send(t.Context(), make([]byte, 300<<10)); err != nil && !errors.Is(err, errConnectionEnded) {
					t.Error(err)
				}
				synctest.Wait() // it is being written
			}
			p.closedAs(reasonOverload) // which cannot be said any more
		})
	})
}
