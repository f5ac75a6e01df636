package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write what the program says now to the golden files and docs/CONFIGURATION.md")

// asChild makes the test binary be the program, for tests that need a process of its own.
const asChild = "POUCHBRIDGE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(asChild) != "" {
		main()
		return
	}
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// environment returns a getenv of these variables, named without the prefix.
func environment(variables map[string]string) func(string) string {
	return func(name string) string { return variables[strings.TrimPrefix(name, prefix)] }
}

// program is a command that runs in this process.
type program struct {
	listening map[string]any // the fields of the log line
	log       *logBuffer
	cancel    context.CancelFunc
	ended     chan error
	stopped   bool
}

// stop ends the program, as a signal does, and returns its error.
func (p *program) stop() error {
	p.stopped = true
	p.cancel()
	return <-p.ended
}

// start runs a command until it listens. Unless the test stops it, it ends with the test, which fails if it ends with an
// error.
func start(t *testing.T, command string, variables map[string]string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &program{log: newLogBuffer(), cancel: cancel, ended: make(chan error, 1)}
	go func() {
		p.ended <- run(ctx, []string{command}, environment(variables), nil, io.Discard, p.log)
		p.log.close()
	}()
	t.Cleanup(func() {
		if p.stopped {
			return
		}
		if err := p.stop(); err != nil {
			t.Errorf("run: %v\nlog:\n%s", err, p.log)
		}
	})
	p.listening = p.log.wait(t, "listening")
	return p
}

// logBuffer collects log lines, and lets tests wait for one.
type logBuffer struct {
	mu     sync.Mutex
	text   bytes.Buffer
	more   chan struct{} // closed and replaced when something was added
	closed bool
}

func newLogBuffer() *logBuffer { return &logBuffer{more: make(chan struct{})} }

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.more)
	b.more = make(chan struct{})
	return b.text.Write(p)
}

func (b *logBuffer) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	close(b.more)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// wait returns the first line with the message.
func (b *logBuffer) wait(t *testing.T, message string) map[string]any {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		b.mu.Lock()
		text, more, closed := b.text.String(), b.more, b.closed
		b.mu.Unlock()
		for line := range strings.Lines(text) {
			var fields map[string]any
			if json.Unmarshal([]byte(line), &fields) == nil && strings.HasPrefix(fields["message"].(string), message) {
				return fields
			}
		}
		if closed {
			t.Fatalf("the program ended without the log line %q; log:\n%s", message, text)
		}
		select {
		case <-more:
		case <-timeout:
			t.Fatalf("no log line %q; log:\n%s", message, text)
		}
	}
}

// golden compares text with a file, or writes the file if -update is given.
func golden(t *testing.T, file, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s is not what the program says now; write it with: go test -run '^%s$' -update .\ngot:\n%s", file, t.Name(), text)
	}
}
