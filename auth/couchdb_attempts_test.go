package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestAddressKey(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"10.0.0.1:80":               "10.0.0.1",
		"[::ffff:10.0.0.1]:80":      "10.0.0.1",
		"[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::]:80":  "2001:db8:1:2::/64",
		"[2001:db8:1:3:3:4:5:6]:80": "2001:db8:1:3::/64",
		"[fe80::1:2:3:4%eth0]:80":   "fe80::/64",
	} {
		if got := addressKey(netip.MustParseAddrPort(in)); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	if got := addressKey(netip.AddrPort{}); got != "invalid IP" {
		t.Error(got)
	}
}

// TestThrottleBounded keeps few keys: those that are being tried, then those used last; and none that owes nothing.
func TestThrottleBounded(t *testing.T) {
	t.Parallel()
	h := newThrottle(Attempts{2, time.Hour}, 2, 3)
	try := func(key string, wrong bool) error {
		err := h.enter(t.Context(), key)
		if err == nil {
			h.leave(key, wrong, !wrong)
		}
		return err
	}
	if err := h.enter(t.Context(), "busy"); err != nil {
		t.Fatal(err)
	}
	var many *tooMany
	for i := range 1000 {
		a, b := fmt.Sprint("a", i), fmt.Sprint("b", i)
		if err := errors.Join(try(a, true), try(b, true), try(a, true)); err != nil {
			t.Fatal(err)
		}
		if err := try(a, false); !errors.As(err, &many) { // b is older now
			t.Fatalf("%s is forgotten: %v", a, err)
		}
		if len(h.keys) != 3 || h.used.Len() != 3 || h.keys["busy"] == nil {
			t.Fatalf("%d keys, %d in order", len(h.keys), h.used.Len())
		}
	}
	if err := errors.Join(try("c", true), try("d", true), try("a999", false), try("d", false)); err != nil {
		t.Errorf("not forgotten: %v", err)
	}
	if h.keys["d"] != nil || h.keys["a999"] != nil {
		t.Error("a right one is kept")
	}
}

// TestThrottleWaits ends a wait with its context.
func TestThrottleWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newThrottle(Attempts{1, time.Hour}, 1, 3)
		if err := h.enter(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := enter(ctx, h, "name", "a")
		if r := refusal(t, err); r.Code != Unavailable || !errors.Is(r, context.DeadlineExceeded) {
			t.Error(r.Code, r.Err)
		}
		h.leave("a", false, false)
		if err := h.enter(t.Context(), "a"); err != nil {
			t.Error(err)
		}
	})
}

// TestFailures bounds and ends the memory.
func TestFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFailures(time.Minute, 3)
		early := time.Now()
		time.Sleep(time.Second)
		f.add("a", "b")
		if !f.has(early, "a", "b") || f.has(time.Now(), "a", "b") || f.has(early, "ab", "") || f.has(early, "", "ab") {
			t.Error("once: known to those who came before, and to them alone")
		}
		f.add("a", "b")
		if !f.has(time.Now(), "a", "b") {
			t.Error("twice: not known")
		}
		time.Sleep(time.Minute)
		f.add("a", "b")
		if f.has(time.Now(), "a", "b") {
			t.Error("known for longer than a minute")
		}
		for i := range 100 {
			f.add(fmt.Sprint(i))
			f.add(fmt.Sprint(i))
		}
		if len(f.known) != 3 || len(f.order) != 3 || !f.has(time.Now(), "99") || f.has(early, "a", "b") {
			t.Errorf("%d known", len(f.known))
		}
	})
}
