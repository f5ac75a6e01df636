package bridge

import (
	"github.com/prometheus/client_golang/prometheus"

	"pouchbridge/couch"
)

// upstreamMetrics are what an operator sees of the servers behind the bridge. The label upstream is the name that grants use,
// empty for the server without one; the others are from fixed sets as well.
type upstreamMetrics struct {
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec

	servers                    map[string]*couch.Client
	limit, inFlight, waitingOf *prometheus.Desc
}

// watchUpstreams has r told of every request to the servers from now on, of the bridge and of whoever else shares the clients.
func watchUpstreams(r prometheus.Registerer, service *couch.Client, others map[string]*couch.Client) {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "upstream", name), help, []string{"upstream"}, nil)
	}
	m := &upstreamMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: "upstream", Name: "requests_total",
			Help: "Requests to CouchDB by the status of the answer; none: there was none, cancelled: nobody wanted it any more."},
			[]string{"upstream", "operation", "code"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Subsystem: "upstream", Name: "request_duration_seconds",
			Help: "Time from sending a request to the headers of its answer.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)},
			[]string{"upstream", "operation"}),
		servers:   map[string]*couch.Client{"": service},
		limit:     desc("concurrency_limit", "Requests to CouchDB that may be under way; adapts to what it can take."),
		inFlight:  desc("requests_in_flight", "Requests to CouchDB that are under way, without feeds."),
		waitingOf: desc("requests_waiting", "Requests that wait until CouchDB may be asked."),
	}
	for name, server := range others {
		m.servers[name] = server
	}
	for name, server := range m.servers {
		server.Observe(func(c couch.Call) { m.told(name, c) })
	}
	r.MustRegister(m.requests, m.took, m)
}

func (m *upstreamMetrics) told(upstream string, c couch.Call) {
	m.requests.WithLabelValues(upstream, c.Op, codeClass(c)).Inc()
	if c.Status != 0 {
		m.took.WithLabelValues(upstream, c.Op).Observe(c.Took.Seconds())
	}
}

// codeClass is "2xx" and the like: there are a handful.
func codeClass(c couch.Call) string {
	switch {
	case c.Cancelled:
		return "cancelled"
	case c.Status < 100 || c.Status > 599:
		return "none"
	}
	return string(rune('0'+c.Status/100)) + "xx"
}

// Describe is for the registry.
func (m *upstreamMetrics) Describe(to chan<- *prometheus.Desc) {
	to <- m.limit
	to <- m.inFlight
	to <- m.waitingOf
}

// Collect asks the clients.
func (m *upstreamMetrics) Collect(to chan<- prometheus.Metric) {
	for name, server := range m.servers {
		load := server.Load()
		gauge := func(d *prometheus.Desc, n int) {
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), name)
		}
		gauge(m.limit, load.Limit)
		gauge(m.inFlight, load.InFlight)
		gauge(m.waitingOf, load.Waiting)
	}
}
