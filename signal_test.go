package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"
)

// child runs dev in a process of its own, with further variables like "POLICY=open".
func child(t *testing.T, variables ...string) (process *exec.Cmd, log *logBuffer) {
	t.Helper()
	process = exec.Command(os.Args[0], "dev")
	process.Env = append(os.Environ(), asChild+"=1", prefix+"LISTEN=127.0.0.1:0")
	for _, v := range variables {
		process.Env = append(process.Env, prefix+v)
	}
	log = newLogBuffer()
	process.Stderr = log
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	return process, log
}

func TestSignal(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]os.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": os.Interrupt} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			process, log := child(t)
			url := log.wait(t, "listening")["url"].(string)
			ws, _, err := dial(t, client(t, nil), url, "")
			if err != nil {
				t.Fatal(err)
			}
			ended := ending(t, ws)
			if err := process.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if code := <-ended; code != websocket.StatusGoingAway {
				t.Errorf("websocket ended with code %d, want 1001", code)
			}
			if err := process.Wait(); err != nil {
				t.Errorf("%v; log:\n%s", err, log)
			}
			log.wait(t, "shut down")
		})
	}
}

// SIGHUP has the file of the policy static read at once, changed or not.
func TestHangup(t *testing.T) {
	t.Parallel()
	process, log := child(t, "POLICY=static", "STATIC_FILE="+file(t, twoTokens))
	log.wait(t, "listening")
	if err := process.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	log.wait(t, "the file of the policy static was read again")
	if err := process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := process.Wait(); err != nil {
		t.Errorf("%v; log:\n%s", err, log)
	}
}

// A second signal does not wait for clients that will not go.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	process, log := child(t)
	url := log.wait(t, "listening")["url"].(string)
	silent := upgrade(t, strings.TrimPrefix(url, "ws://"))
	defer silent.Close()

	if err := process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	log.wait(t, "shutting down") // and waiting for the client to answer the close frame, which it never does
	if err := process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err := process.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(log.String(), "a second signal") {
		t.Errorf("ended with %v, want exit status 1 for the second signal; log:\n%s", err, log)
	}
}

// upgrade opens a websocket, has a ping answered, so that the server surely knows of it, and does nothing more on its
// connection.
func upgrade(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+address+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(conn)
	response, err := http.ReadResponse(answers, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %v, %v", response, err)
	}
	if _, err := conn.Write([]byte{0x89, 0x80, 0, 0, 0, 0}); err != nil { // ping, empty, masked (RFC 6455, section 5.5.2)
		t.Fatal(err)
	}
	pong := make([]byte, 2)
	if _, err := io.ReadFull(answers, pong); err != nil || pong[0] != 0x8a {
		t.Fatalf("answer to a ping: % x, %v", pong, err)
	}
	return conn
}
