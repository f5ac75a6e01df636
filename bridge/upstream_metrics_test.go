package bridge_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"pouchbridge/auth"
	"pouchbridge/bridge"
	"pouchbridge/couch"
)

// TestUpstreamMetrics looks at what is told of two servers of which one refuses.
func TestUpstreamMetrics(t *testing.T) {
	t.Parallel()
	u, eu := newUpstream(t), newUpstream(t)
	f := newBridge(t, u, u.grantOwn(auth.Grant{}), bridge.Options{Upstreams: map[string]*couch.Client{"eu": eu.client}})
	f.hold(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "_local") {
			return true
		}
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusServiceUnavailable)
		return false
	})
	_, _ = u.db.GetLocal(t.Context(), "a")
	_, _ = eu.db.Info(t.Context())
	dial(t, f.http).open("x")
	for _, want := range []struct {
		name   string
		labels []string
		least  float64
	}{
		{"upstream_requests_total", []string{"code", "5xx", "operation", "_local", "upstream", ""}, 1},
		{"upstream_requests_total", []string{"code", "2xx", "operation", "database", "upstream", ""}, 1},
		{"upstream_requests_total", []string{"code", "2xx", "operation", "database", "upstream", "eu"}, 1},
		{"upstream_concurrency_limit", []string{"upstream", ""}, 22},
		{"upstream_concurrency_limit", []string{"upstream", "eu"}, 32},
	} {
		if got := f.metric(want.name, want.labels...); got < want.least || got > want.least+10 {
			t.Errorf("%s%q is %v, want %v", want.name, want.labels, got, want.least)
		}
	}
	if problems, err := testutil.GatherAndLint(f.metrics); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
