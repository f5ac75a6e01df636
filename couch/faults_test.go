package couch_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// memory is a transport to a handler in the same process that touches no network, so that virtual time can pass.
type memory struct {
	mu      sync.Mutex
	handler http.Handler
}

func (m *memory) serve(h http.Handler) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.handler = h
}

func (m *memory) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	handler := m.handler
	m.mu.Unlock()
	ctx, cancel := context.WithCancel(r.Context())
	reader, writer := io.Pipe()
	stop := context.AfterFunc(ctx, func() { _ = writer.CloseWithError(ctx.Err()) })
	answer := &memoryAnswer{header: http.Header{}, pipe: writer, begun: make(chan struct{})}
	req := r.Clone(ctx)
	if req.RequestURI = r.URL.RequestURI(); req.Body == nil {
		req.Body = http.NoBody
	}
	if name, password, ok := strings.Cut(r.URL.User.String(), ":"); ok {
		req.SetBasicAuth(name, password)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer stop()
		defer func() {
			if fault := recover(); fault != nil && fault != http.ErrAbortHandler {
				panic(fault)
			} else if fault != nil {
				_ = writer.CloseWithError(io.ErrUnexpectedEOF)
			}
			answer.WriteHeader(http.StatusOK)
			_ = writer.Close()
		}()
		handler.ServeHTTP(answer, req)
	}()
	select {
	case <-answer.begun:
	case <-ctx.Done():
		cancel()
		<-done
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: answer.status, Header: answer.sent, ContentLength: -1, Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: &memoryBody{reader, func() { cancel(); _ = reader.Close(); <-done }}}, nil
}

type memoryAnswer struct {
	header, sent http.Header
	pipe         *io.PipeWriter
	status       int
	begun        chan struct{} // closed when status is known
}

func (a *memoryAnswer) Header() http.Header { return a.header }
func (a *memoryAnswer) Flush()              {}

func (a *memoryAnswer) WriteHeader(status int) {
	if a.status == 0 {
		a.status, a.sent = status, a.header.Clone()
		close(a.begun)
	}
}

func (a *memoryAnswer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.pipe.Write(b)
}

type memoryBody struct {
	io.Reader
	close func()
}

func (b *memoryBody) Close() error {
	b.close()
	return nil
}

// faults is a transport that can break off feeds, refuse everything, and keep _db_updates from being read.
type faults struct {
	inner http.RoundTripper
	slow  time.Duration // the most that a request and its answer are under way

	mu        sync.Mutex
	down      bool
	noUpdates bool
	open      map[*cutBody]string // the path that is being read
	asked     map[string]int      // requests by the last part of their path
}

func newFaults(inner http.RoundTripper) *faults {
	return &faults{inner: inner, open: map[*cutBody]string{}, asked: map[string]int{}}
}

func (f *faults) RoundTrip(r *http.Request) (*http.Response, error) {
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	f.mu.Lock()
	f.asked[name]++
	down, noUpdates := f.down, f.noUpdates && name == "_db_updates"
	f.mu.Unlock()
	if down {
		return nil, errors.New("connection refused")
	}
	if noUpdates {
		return &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{}, Request: r,
			Body: io.NopCloser(strings.NewReader(`{"error":"unauthorized","reason":"You are not a server admin."}`))}, nil
	}
	ctx, cancel := context.WithCancel(r.Context())
	f.travel()
	res, err := f.inner.RoundTrip(r.WithContext(ctx))
	f.travel()
	if err != nil {
		cancel()
		return nil, err
	}
	body := &cutBody{ReadCloser: res.Body, faults: f, cancel: cancel}
	res.Body = body
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[body] = name + "?" + r.URL.RawQuery
	return res, nil
}

func (f *faults) travel() {
	if f.slow > 0 {
		time.Sleep(rand.N(f.slow))
	}
}

// cut breaks off every answer that is being read.
func (f *faults) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for body := range f.open {
		body.broken = true
		body.cancel()
	}
}

// set changes what fails.
func (f *faults) set(change func(f *faults)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// feeds is how many continuous requests of an endpoint are open.
func (f *faults) feeds(name string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, path := range f.open {
		if strings.HasPrefix(path, name+"?") && strings.Contains(path, "feed=continuous") {
			n++
		}
	}
	return n
}

// requests is how many requests there were of an endpoint.
func (f *faults) requests(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[name]
}

type cutBody struct {
	io.ReadCloser
	faults *faults
	cancel context.CancelFunc
	broken bool // guarded by faults.mu
}

func (b *cutBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.faults.mu.Lock()
	defer b.faults.mu.Unlock()
	if err != nil && b.broken {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (b *cutBody) Close() error {
	b.faults.mu.Lock()
	delete(b.faults.open, b)
	b.faults.mu.Unlock()
	b.cancel()
	return b.ReadCloser.Close()
}
