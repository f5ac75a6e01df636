package auth

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"time"
)

// Attempts are the wrong credentials that are forgiven. The zero value stands for a default.
type Attempts struct {
	Burst int           // how many in a row; at least 1
	Every time.Duration // how long it takes until one more is
}

func (a Attempts) orElse(otherwise Attempts) (Attempts, error) {
	switch {
	case a == Attempts{}:
		return otherwise, nil
	case a.Burst < 1:
		return a, fmt.Errorf("%d are forgiven in a row; must be 1 or more", a.Burst)
	case a.Every <= 0:
		return a, fmt.Errorf("one more is forgiven every %s; must be more than 0", a.Every)
	}
	return a, nil
}

// throttle counts wrong credentials by key, in a token bucket each. A try enters and leaves: as many tries of a key run at a
// time as may all be wrong, and parallel at most; others wait.
type throttle struct {
	Attempts
	parallel int
	max      int // keys that are kept; those unused for longest are forgotten

	mu   sync.Mutex
	keys map[string]*list.Element // of *bucket; a key without one has used up nothing
	used *list.List               // the one used last is last
}

type bucket struct {
	key   string
	left  float64 // wrong ones that may come, at time at
	at    time.Time
	busy  int           // tries that are running
	ended chan struct{} // closed when one ends
}

func newThrottle(a Attempts, parallel, most int) *throttle {
	return &throttle{Attempts: a, parallel: parallel, max: most, keys: map[string]*list.Element{}, used: list.New()}
}

// tooMany is the error of a key that has used up what is forgiven.
type tooMany struct{ wait time.Duration }

func (e *tooMany) Error() string {
	return fmt.Sprintf("too many attempts, try again in %.0f s", math.Ceil(e.wait.Seconds()))
}

// enter waits until a try may begin, which leave must follow. The error is a *tooMany, or that of ctx.
func (t *throttle) enter(ctx context.Context, key string) error {
	for {
		ended, err := t.begin(key)
		if ended == nil {
			return err
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// begin begins a try, or returns what to wait for.
func (t *throttle) begin(key string) (ended <-chan struct{}, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.bucket(key)
	switch {
	case b.left < 1:
		return nil, &tooMany{time.Duration((1 - b.left) * float64(t.Every))}
	case b.busy >= min(t.parallel, int(b.left)):
		return b.ended, nil
	}
	b.busy++
	return nil, nil
}

// leave ends a try. A wrong one is counted; clear forgives all that were.
func (t *throttle) leave(key string, wrong, clear bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.bucket(key)
	close(b.ended)
	b.ended = make(chan struct{})
	b.busy--
	if wrong {
		b.left--
	}
	if clear {
		b.left = float64(t.Burst)
	}
	if b.busy == 0 && b.left >= float64(t.Burst) {
		t.forget(t.keys[key])
	}
}

// bucket is the key's bucket as of now.
func (t *throttle) bucket(key string) *bucket {
	now := time.Now()
	if e := t.keys[key]; e != nil {
		t.used.MoveToBack(e)
		b := e.Value.(*bucket)
		b.left = min(b.left+float64(now.Sub(b.at))/float64(t.Every), float64(t.Burst))
		b.at = now
		return b
	}
	t.makeRoom()
	b := &bucket{key: key, left: float64(t.Burst), at: now, ended: make(chan struct{})}
	t.keys[key] = t.used.PushBack(b)
	return b
}

// makeRoom forgets the key that was used least lately, but none that is being tried.
func (t *throttle) makeRoom() {
	if len(t.keys) < t.max {
		return
	}
	for e := t.used.Front(); e != nil; e = e.Next() {
		if e.Value.(*bucket).busy == 0 {
			t.forget(e)
			return
		}
	}
}

func (t *throttle) forget(e *list.Element) {
	delete(t.keys, t.used.Remove(e).(*bucket).key)
}

// enter is the throttle's, with errors for the client. They do not name the key: people type passwords into fields for names.
func enter(ctx context.Context, t *throttle, what, key string) error {
	err := t.enter(ctx, key)
	var many *tooMany
	switch {
	case errors.As(err, &many):
		return &Refusal{Code: Unauthorized, Message: many.Error(), Err: fmt.Errorf("the %s has used up its attempts", what)}
	case err != nil:
		return &Refusal{Code: Unavailable, Err: fmt.Errorf("other attempts of the %s are not decided yet: %w", what, err)}
	}
	return nil
}

// addressKey is what wrong credentials of a client are counted under. One IPv6 customer has a /64 network at least. Clients
// whose address is not known share one key.
func addressKey(a netip.AddrPort) string {
	ip := a.Addr().Unmap().WithZone("")
	if ip.Is6() {
		if network, err := ip.Prefix(64); err == nil {
			return network.String()
		}
	}
	return ip.String()
}
