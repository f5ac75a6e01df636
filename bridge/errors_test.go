package bridge

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pouchbridge/couch"
)

// TestRetry has requests that fail at first, and looks how often, and for how long, they are made.
func TestRetry(t *testing.T) {
	t.Parallel()
	failing := func(after time.Duration) error { return &couch.Error{Op: "GET test", Status: 503, RetryAfter: after} }
	gone := &couch.Error{Op: "GET test", Status: 404}
	for _, test := range []struct {
		name       string
		fails      []error // then it succeeds
		want       error
		least, max time.Duration
		calls      int
	}{
		{"at once", nil, nil, 0, 0, 1},
		{"in passing", []error{failing(0), failing(0)}, nil, 150 * time.Millisecond, 450 * time.Millisecond, 3},
		{"when it was asked to", []error{failing(3 * time.Second), failing(4 * time.Second)}, nil, 7 * time.Second, 7 * time.Second, 3},
		{"for good", []error{failing(0), gone}, gone, 0, time.Second, 2},
		{"asked to come too late", []error{failing(11 * time.Second)}, failing(11 * time.Second), 0, 0, 1},
		{"out of patience", []error{failing(6 * time.Second), failing(6 * time.Second)}, failing(6 * time.Second), 6 * time.Second, 6 * time.Second, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			start, calls := time.Now(), 0
			_, err := retry(t.Context(), 10*time.Second, func() (int, error) {
				if calls++; calls <= len(test.fails) {
					return 0, test.fails[calls-1]
				}
				return 1, nil
			})
			took := time.Since(start)
			same := err == nil && test.want == nil || err != nil && test.want != nil && err.Error() == test.want.Error()
			if e := (*couch.Error)(nil); err != nil && !errors.As(err, &e) {
				t.Errorf("%s: %T", test.name, err)
			}
			if !same || calls != test.calls || took < test.least || took > test.max {
				t.Errorf("%s: %v after %d calls and %v", test.name, err, calls, took)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := retry(ctx, time.Hour, func() (int, error) { return 0, failing(time.Minute) })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}
