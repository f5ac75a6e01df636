package auth

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkWebhook decides by an endpoint on this machine, signed, from many goroutines; uncached every request is another.
func BenchmarkWebhook(b *testing.B) {
	for _, bench := range []struct {
		name   string
		maxAge time.Duration
		names  uint64
	}{
		{"uncached", 0, 1 << 63},
		{"cached", time.Hour, 1000},
	} {
		b.Run(bench.name, func(b *testing.B) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				grantJSON(w, "Cache-Control", "max-age=3600")
			}))
			defer server.Close()
			w := newWebhook(b, WebhookOptions{URL: server.URL, Secret: webhookSecret, MaxAge: bench.maxAge, Timeout: time.Minute})
			var n atomic.Uint64
			b.ReportAllocs()
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r := someone
					r.Database = fmt.Sprint("todos-", n.Add(1)%bench.names)
					if _, err := w.OnRequest(b.Context(), r); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "decisions/s")
		})
	}
}
