package auth

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// granting is a policy that answers every request the same way.
func granting(g Grant, err error) Policy {
	return PolicyFunc(func(context.Context, Request) (Grant, error) { return g, err })
}

// refusal is err as the Decider must return it.
func refusal(t *testing.T, err error) *Refusal {
	t.Helper()
	r, ok := err.(*Refusal)
	if !ok {
		t.Fatalf("error is %T %v, want a *Refusal", err, err)
	}
	return r
}

func TestDecide(t *testing.T) {
	t.Parallel()
	secret := errors.New("the user table of 10.0.0.7 is gone")
	var nilRefusal *Refusal
	good := Grant{Database: "todos", Access: ReadWrite}
	for _, tt := range []struct {
		name    string
		policy  Policy
		code    Code // empty: granted
		message string
		cause   string // part of the cause's text; empty: there is none
	}{
		{name: "sound grant", policy: granting(good, nil)},
		{name: "read-only grant", policy: granting(Grant{Database: "todos", Access: ReadOnly}, nil)},
		{name: "system database meant", policy: granting(Grant{Database: "_users", Access: ReadOnly, System: true}, nil)},

		{"zero grant", granting(Grant{}, nil), Forbidden, "access to this database is refused", "names no database"},
		{"no database", granting(Grant{Access: ReadWrite}, nil), Forbidden, "access to this database is refused", "names no database"},
		{"no access", granting(Grant{Database: "todos"}, nil), Forbidden, "access to this database is refused", "allows nothing"},
		{"unknown access", granting(Grant{Database: "todos", Access: 200}, nil), Forbidden, "access to this database is refused", "Access(200)"},
		{"system database not meant", granting(Grant{Database: "_users", Access: ReadOnly}, nil), Forbidden, "access to this database is refused", `"_users"`},

		{"refusal", granting(good, &Refusal{Code: NotFound, Message: "no such list"}), NotFound, "no such list", ""},
		{"refusal with a cause", granting(good, &Refusal{Code: Unauthorized, Message: "token expired", Err: secret}), Unauthorized, "token expired", secret.Error()},
		{"refusal without a message", granting(good, &Refusal{Code: Unauthorized}), Unauthorized, "you are not authorized to access this database", ""},
		{"wrapped refusal", granting(good, fmt.Errorf("row 7: %w", &Refusal{Code: Forbidden, Message: "not yours"})), Forbidden, "not yours", "row 7"},
		{"refusal of an unknown code", granting(good, &Refusal{Code: "ok", Message: "welcome"}), Forbidden, "access to this database is refused", `"ok"`},
		{"refusal without a code", granting(good, &Refusal{Message: "hm"}), Forbidden, "access to this database is refused", `unknown code ""`},
		{"nil refusal in an error", granting(good, nilRefusal), Unavailable, "access could not be decided, try again later", "nil *Refusal"},
		{"other error", granting(good, secret), Unavailable, "access could not be decided, try again later", secret.Error()},
		{"panic", PolicyFunc(func(context.Context, Request) (Grant, error) { panic("boom") }), Unavailable, "access could not be decided, try again later", "policy panicked: boom"},
		{"nil policy", nil, Unavailable, "access could not be decided, try again later", "nil pointer"},
		{"goroutine ended", PolicyFunc(func(context.Context, Request) (Grant, error) { runtime.Goexit(); return good, nil }), Unavailable, "access could not be decided, try again later", "ended its goroutine"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := NewDecider(tt.policy, time.Minute)
			g, err := d.Decide(t.Context(), Request{Database: "todos"})
			if tt.code == "" {
				if err != nil || reflect.DeepEqual(g, Grant{}) {
					t.Fatalf("Decide = %+v, %v; want the grant", g, err)
				}
				return
			}
			r := refusal(t, err)
			if !reflect.DeepEqual(g, Grant{}) || r.Code != tt.code || r.Message != tt.message || r.Error() != tt.message {
				t.Errorf("Decide = %+v, %s %q; want no grant, %s %q", g, r.Code, r.Message, tt.code, tt.message)
			}
			if tt.cause == "" {
				if r.Err != nil {
					t.Errorf("cause is %v, want none", r.Err)
				}
			} else if r.Err == nil || !strings.Contains(r.Err.Error(), tt.cause) {
				t.Errorf("cause is %v, want %q in it", r.Err, tt.cause)
			}
			if err := d.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A policy that ignores its context is given up on at the deadline, and Close waits for it.
func TestDecideDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d := NewDecider(PolicyFunc(func(context.Context, Request) (Grant, error) {
			<-release
			return Grant{Database: "todos", Access: ReadWrite}, nil
		}), 5*time.Second)

		start := time.Now()
		_, err := d.Decide(t.Context(), Request{})
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("refused after %v, want 5s", took)
		}
		if r := refusal(t, err); r.Code != Unavailable || !errors.Is(r, context.DeadlineExceeded) {
			t.Errorf("refusal is %s, cause %v; want unavailable by the deadline", r.Code, r.Err)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := d.Close(ctx); err == nil || !strings.Contains(err.Error(), "1 calls") {
			t.Errorf("Close = %v, want it to report 1 call", err)
		}
		close(release)
		synctest.Wait()
		if len(d.calls) != cap(d.calls)-1 {
			t.Errorf("%d slots are taken after the call returned, want those that Close took", len(d.calls))
		}
	})
}

// A caller that goes away does not wait for the policy.
func TestDecideCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := make(chan struct{})
		d := NewDecider(PolicyFunc(func(ctx context.Context, _ Request) (Grant, error) {
			close(asked)
			<-ctx.Done()
			return Grant{}, ctx.Err()
		}), time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-asked
			cancel()
		}()
		start := time.Now()
		_, err := d.Decide(ctx, Request{})
		if r := refusal(t, err); !errors.Is(r, context.Canceled) || time.Since(start) != 0 {
			t.Errorf("refused after %v for %v, want at once for the cancellation", time.Since(start), r.Err)
		}
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Calls that never return do not pile up.
func TestDecideBoundsCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		running := make(chan struct{}, 2*maxCalls)
		d := NewDecider(PolicyFunc(func(context.Context, Request) (Grant, error) {
			running <- struct{}{}
			<-release
			return Grant{}, nil
		}), time.Second)
		refused := make(chan *Refusal, 2*maxCalls)
		for range 2 * maxCalls {
			go func() {
				_, err := d.Decide(t.Context(), Request{})
				r, _ := err.(*Refusal)
				refused <- r
			}()
		}
		for range 2 * maxCalls {
			if r := <-refused; r == nil || r.Code != Unavailable {
				t.Fatalf("refusal is %+v, want unavailable", r)
			}
		}
		if len(running) != maxCalls {
			t.Errorf("%d calls run, want %d", len(running), maxCalls)
		}
		close(release)
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestRequestHidesCredentials(t *testing.T) {
	t.Parallel()
	r := Request{Credentials: []byte(`{"token":"hunter2"}`), Database: "a\nb"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		got := fmt.Sprintf(format, r)
		if strings.Contains(got, "hunter2") || strings.Contains(got, "104, 117") || !strings.Contains(got, `"a\nb"`) {
			t.Errorf("%s prints %s", format, got)
		}
	}
}

func TestAccess(t *testing.T) {
	t.Parallel()
	for a, want := range map[Access]struct {
		read, write bool
		text        string
	}{
		NoAccess:  {false, false, "none"},
		ReadOnly:  {true, false, "read-only"},
		ReadWrite: {true, true, "read-write"},
		77:        {false, false, "Access(77)"},
	} {
		if a.CanRead() != want.read || a.CanWrite() != want.write || a.String() != want.text {
			t.Errorf("%s: read %t, write %t; want %+v", a, a.CanRead(), a.CanWrite(), want)
		}
	}
}
