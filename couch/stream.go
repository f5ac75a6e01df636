package couch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	drainBytes = 64 << 10
	drainTime  = 250 * time.Millisecond
)

// stream is the body of an answer. Every read is under the watchdog, and its errors are those this package returns.
// Like its readers it is for one goroutine at a time; another one ends a read by cancelling the call's context.
type stream struct {
	op     string
	res    *http.Response
	parent context.Context // the caller's
	ctx    context.Context // the call's; its cause tells silence from cancellation
	cancel context.CancelCauseFunc
	watch  *watchdog
	place  *place // among the calls under way

	err    error // what reading ended with, io.EOF included
	closed bool

	heard, before time.Time // when the last bytes of the body came, and the last before those; zero: none did
}

// Read reads the body. It returns io.EOF, the caller's context's error, or an *Error.
func (s *stream) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	s.watch.start()
	n, err := s.res.Body.Read(p)
	s.watch.pause()
	if err != nil {
		s.place.leave()
	}
	if n > 0 {
		s.before, s.heard = s.heard, time.Now()
	}
	switch {
	case err == io.EOF:
		s.err = io.EOF
	case err != nil:
		s.err = s.failure(fmt.Errorf("%w: %w", errCut, bare(err)))
		if errors.Is(s.err, errSilent) {
			s.place.silent()
		}
	}
	return n, s.err
}

// failure is the error of this package for err, which ended the call.
func (s *stream) failure(err error) error {
	return callFailure(s.op, s.parent, s.ctx, err)
}

// cut is the error for an answer that ended before its end.
func (s *stream) cut() error {
	if s.err != nil && s.err != io.EOF {
		return s.err
	}
	return &Error{Op: s.op, Err: errCut}
}

// Close ends the call. What is left of a short answer is read first, because net/http keeps a connection only when its body
// was read to the end, and CouchDB sends a newline after the last brace.
func (s *stream) Close() error {
	return s.close(true)
}

func (s *stream) close(drain bool) error {
	if s.closed {
		return nil
	}
	s.closed = true
	if drain && s.err == nil {
		s.watch.last(drainTime)
		_, _ = io.CopyN(io.Discard, s.res.Body, drainBytes)
	}
	s.watch.stop()
	_ = s.res.Body.Close()
	s.place.leave()
	s.cancel(nil)
	if s.err == nil {
		s.err = errClosed
	}
	return nil
}

// callFailure tells apart why a call failed: its caller cancelled it, silence ended it, or err did.
func callFailure(op string, parent, ctx context.Context, err error) error {
	if parent.Err() != nil {
		return cancelled(op, parent)
	}
	if errors.Is(context.Cause(ctx), errSilent) {
		return &Error{Op: op, Err: errSilent}
	}
	return &Error{Op: op, Err: err}
}

// cancelled is the error of a context its owner ended, and the cause if one was given.
func cancelled(op string, ctx context.Context) error {
	if cause := context.Cause(ctx); cause != ctx.Err() {
		return fmt.Errorf("couch: %s: %w: %w", op, ctx.Err(), cause)
	}
	return fmt.Errorf("couch: %s: %w", op, ctx.Err())
}
