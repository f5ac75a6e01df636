package bridge

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/coder/websocket"

	"pouchbridge/bridge/wire"
	"pouchbridge/couch"
)

// refusedError is a refusal by the bridge itself, in CouchDB's terms.
type refusedError struct{ says wire.Error }

func (e *refusedError) Error() string { return e.says.Reason }

func forbidden(reason string) wire.Error {
	return wire.Error{Status: http.StatusForbidden, Name: "forbidden", Reason: reason}
}

// missing is the 404 that PouchDB's replication takes for "not there yet". Its
// text matters: clients compare it.
func missing() *wire.Error {
	return &wire.Error{Status: http.StatusNotFound, Name: "not_found", Reason: "missing"}
}

// wireError is what a client may know of an error: CouchDB's own words if it
// said something, nothing of how it is reached.
func wireError(err error) *wire.Error {
	var refused *refusedError
	var upstream *couch.Error
	switch {
	case errors.As(err, &refused):
		return &refused.says
	case couch.Transient(err):
		return &wire.Error{Status: http.StatusBadGateway, Name: "unavailable", Reason: "the database server cannot be reached", Transient: true}
	case errors.As(err, &upstream) && upstream.Status != 0:
		return &wire.Error{Status: upstream.Status, Name: upstream.Name, Reason: upstream.Reason}
	default:
		return &wire.Error{Status: http.StatusInternalServerError, Name: "internal_error", Reason: "the bridge could not do this; its log says why"}
	}
}

// upstreamEnding makes a client connect again later. Its code, 1011, is one
// that every legacy client survives.
func upstreamEnding(err error) ending {
	return ending{reason: reasonUpstream, status: websocket.StatusInternalError, text: "the database server cannot be reached", err: err}
}

func alreadyExists(err error) bool {
	var e *couch.Error
	return errors.As(err, &e) && e.Status == http.StatusPreconditionFailed
}

// retry repeats a request that failed for a reason that may pass, for up to
// patience, and no sooner than CouchDB has asked for. All that replication asks
// of CouchDB may be repeated.
func retry[T any](ctx context.Context, patience time.Duration, do func() (T, error)) (T, error) {
	var last error
	attempt := func() (T, error) {
		v, err := do()
		last = err
		upstream := (*couch.Error)(nil)
		switch {
		case err != nil && !couch.Transient(err):
			err = backoff.Permanent(err)
		case errors.As(err, &upstream) && upstream.RetryAfter > 0:
			err = &backoff.RetryAfterError{Duration: upstream.RetryAfter}
		}
		return v, err
	}
	v, err := backoff.Retry(ctx, attempt, backoff.WithMaxElapsedTime(patience),
		backoff.WithBackOff(&backoff.ExponentialBackOff{
			InitialInterval:     100 * time.Millisecond,
			RandomizationFactor: 0.5,
			Multiplier:          2,
			MaxInterval:         2 * time.Second,
		}))
	if permanent := (*backoff.PermanentError)(nil); errors.As(err, &permanent) {
		err = permanent.Err
	}
	if later := (*backoff.RetryAfterError)(nil); errors.As(err, &later) {
		err = last
	}
	return v, err
}
