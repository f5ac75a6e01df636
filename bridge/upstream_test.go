package bridge_test

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"pouchbridge/auth"
	"pouchbridge/bridge"
	"pouchbridge/couch"
	"pouchbridge/couch/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// upstream is the CouchDB of a test, the embedded store or the one of
// COUCHDB_URL, behind a door that can be held.
type upstream struct {
	t      *testing.T
	client *couch.Client
	db     *couch.Database // exists, and is empty
	name   string
	feeds  atomic.Int64 // requests of _changes that are open
	server *httptest.Server

	mu   sync.Mutex
	door func(http.ResponseWriter, *http.Request) bool // nil: all pass
}

var databases atomic.Int64

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{t: t, name: fmt.Sprintf("bridge-%d-%d", time.Now().UnixNano(), databases.Add(1))}
	u.server = httptest.NewServer(u.guard(u.store()))
	t.Cleanup(u.server.Close)
	client, err := couch.New(u.server.URL, couch.Options{Heartbeat: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	u.client = client
	if err := client.CreateDatabase(t.Context(), u.name, couch.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		u.hold(nil)
		_ = client.DeleteDatabase(context.Background(), u.name) // a test may have done it
	})
	if u.db, err = client.Database(u.name); err != nil {
		t.Fatal(err)
	}
	return u
}

// store is what answers: whoever says nothing else is its admin.
func (u *upstream) store() http.Handler {
	raw := os.Getenv("COUCHDB_URL")
	if raw == "" {
		store, err := embedded.Open(embedded.Options{Admin: "admin", Password: "secret"})
		if err != nil {
			u.t.Fatal(err)
		}
		u.t.Cleanup(func() {
			if err := store.Close(); err != nil {
				u.t.Error(err)
			}
		})
		return asAdmin(store, url.UserPassword("admin", "secret"))
	}
	target, err := url.Parse(raw)
	if err != nil {
		u.t.Fatal(err)
	}
	admin := target.User
	target.User = nil
	transport := &http.Transport{}
	u.t.Cleanup(transport.CloseIdleConnections)
	return asAdmin(&httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) {}, // the bridge went away
	}, admin)
}

func asAdmin(next http.Handler, admin *url.Userinfo) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization")+r.Header.Get("Cookie")+r.Header.Get("X-Auth-CouchDB-UserName") == "" {
			password, _ := admin.Password()
			r.SetBasicAuth(admin.Username(), password)
		}
		next.ServeHTTP(w, r)
	})
}

func (u *upstream) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		door := u.door
		u.mu.Unlock()
		if door != nil && !door(w, r) {
			return
		}
		if strings.HasSuffix(r.URL.Path, "/_changes") {
			u.feeds.Add(1)
			defer u.feeds.Add(-1)
		}
		next.ServeHTTP(w, r)
	})
}

// hold puts a door before the store; it returns whether a request may pass.
func (u *upstream) hold(door func(http.ResponseWriter, *http.Request) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.door = door
}

// cut breaks off whatever the bridge is asking.
func (u *upstream) cut() { u.server.CloseClientConnections() }

func refuse(status int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "away", status)
		return false
	}
}

// fixture is a bridge to an upstream.
type fixture struct {
	*upstream
	server  *bridge.Server
	http    *httptest.Server
	metrics *prometheus.Registry
}

// grantOwn grants the database of the upstream under any name.
func (u *upstream) grantOwn(g auth.Grant) auth.Policy {
	return auth.PolicyFunc(func(_ context.Context, r auth.Request) (auth.Grant, error) {
		g.Database = u.name
		g.Access = cmp.Or(g.Access, auth.ReadWrite)
		return g, nil
	})
}

func newBridge(t *testing.T, u *upstream, policy auth.Policy, o bridge.Options) *fixture {
	t.Helper()
	f := &fixture{upstream: u, metrics: prometheus.NewRegistry()}
	o.Registerer = f.metrics
	o.UpstreamPatience = cmp.Or(o.UpstreamPatience, 5*time.Second)
	o.Feeds.Linger = cmp.Or(o.Feeds.Linger, 50*time.Millisecond)
	f.server = bridge.NewServer(policy, u.client, o)
	f.http = httptest.NewServer(f.server)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := f.server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		f.http.Close()
	})
	return f
}

// newFixture is a bridge that grants one database under any name.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	u := newUpstream(t)
	return newBridge(t, u, u.grantOwn(auth.Grant{}), bridge.Options{})
}

// eventually waits for something that is about to become true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// closedFor waits until a connection has ended for a reason.
func (f *fixture) closedFor(reason string) {
	f.t.Helper()
	eventually(f.t, "a connection has ended as "+reason, func() bool { return f.metric("connections_closed_total", "reason", reason) == 1 })
}

// metric is the value of one metric.
func (f *fixture) metric(name string, labels ...string) float64 {
	f.t.Helper()
	families, err := f.metrics.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "pouchbridge_"+name {
			continue
		}
		for _, m := range family.GetMetric() {
			pairs := []string{}
			for _, l := range m.GetLabel() {
				pairs = append(pairs, l.GetName(), l.GetValue())
			}
			if strings.Join(pairs, ",") == strings.Join(labels, ",") {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

func TestMetricsAreWellFormed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	dial(t, f.http).open("x")
	problems, err := testutil.GatherAndLint(f.metrics)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

func values(docs ...string) []jsontext.Value {
	out := make([]jsontext.Value, len(docs))
	for i, doc := range docs {
		out[i] = jsontext.Value(doc)
	}
	return out
}
