package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startTime = 30 * time.Second // a process has it to say that it is ready
	stopTime  = 30 * time.Second // and to end when it is told to
)

// process is a child that this program started. Only such are ever ended, each by its own handle.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *output
	end   context.CancelFunc
	done  chan struct{} // closed when it has ended, and err is set
	err   error
}

// startProcess starts a child whose lines for which wanted returns true are answers. Its standard input ends when we end, so
// that a child that reads it does not outlive us.
func startProcess(name string, wanted func(line []byte) bool, env []string, program string, args ...string) (*process, error) {
	ctx, end := context.WithCancel(context.Background())
	p := &process{name: name, end: end, done: make(chan struct{})}
	p.out = &output{wanted: wanted, answers: make(chan []byte, 16), ended: ctx.Done()}
	p.cmd = exec.CommandContext(ctx, program, args...)
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = stopTime
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}, env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		end()
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() { // ends with the process, for which stop waits
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// answer decodes the next answer.
func (p *process) answer(ctx context.Context, within time.Duration, into any) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var line []byte
	select {
	case line = <-p.out.answers:
	case <-p.done:
		select {
		case line = <-p.out.answers: // said before it ended
		default:
			return fmt.Errorf("%s ended early: %w; it said:\n%s", p.name, cmpError(p.err), p.out.tail())
		}
	case <-ctx.Done():
		return fmt.Errorf("%s did not answer: %w; it said:\n%s", p.name, ctx.Err(), p.out.tail())
	}
	if err := json.Unmarshal(line, into); err != nil {
		return fmt.Errorf("%s answered %.200q: %w", p.name, line, err)
	}
	return nil
}

// cmpError is err, or a word for a process that ended without one.
func cmpError(err error) error {
	if err == nil {
		return errors.New("with status 0")
	}
	return err
}

// ask sends a line of JSON and decodes the answer.
func (p *process) ask(ctx context.Context, within time.Duration, question, into any) error {
	line, err := json.Marshal(question)
	if err != nil {
		return err
	}
	if _, err := p.stdin.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("asking %s: %w; it said:\n%s", p.name, err, p.out.tail())
	}
	return p.answer(ctx, within, into)
}

// stop asks the process to end, and kills it if it does not in time. A process that had failed before is an error.
func (p *process) stop() error {
	var failed error
	select {
	case <-p.done:
		failed = fmt.Errorf("%s had ended early: %w; it said:\n%s", p.name, cmpError(p.err), p.out.tail())
	default:
	}
	_ = p.stdin.Close()
	p.end()
	<-p.done
	return failed
}

// keptLines of a process's output are shown when it fails.
const keptLines = 30

// output takes what a process says, line by line.
type output struct {
	wanted  func(line []byte) bool
	answers chan []byte
	ended   <-chan struct{}

	mu    sync.Mutex
	rest  []byte
	lines []string
}

func (o *output) Write(text []byte) (int, error) {
	o.mu.Lock()
	o.rest = append(o.rest, text...)
	var found [][]byte
	for {
		line, rest, whole := bytes.Cut(o.rest, []byte("\n"))
		if !whole {
			break
		}
		o.rest = slices.Clone(rest)
		if o.lines = append(o.lines, string(line)); len(o.lines) > keptLines {
			o.lines = o.lines[1:]
		}
		if o.wanted(line) {
			found = append(found, slices.Clone(line))
		}
	}
	o.mu.Unlock()
	for _, line := range found {
		select {
		case o.answers <- line:
		case <-o.ended:
		}
	}
	return len(text), nil
}

func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.lines, "\n")
}

// isObject is the lines that are answers of our own children.
func isObject(line []byte) bool { return bytes.HasPrefix(line, []byte("{")) }
