package bridge

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pouchbridge/auth"
	"pouchbridge/bridge/wire"
)

// metrics are what an operator sees of the bridge. Label values are from fixed
// sets: nothing a client says becomes one.
type metrics struct {
	connections, sessions, feeds prometheus.Gauge
	accepted                     *prometheus.CounterVec // by result
	closed                       *prometheus.CounterVec // by reason
	requests                     *prometheus.CounterVec // by outcome
	calls                        *prometheus.HistogramVec
	failed                       *prometheus.CounterVec
	received, sent               prometheus.Counter
}

const namespace = "pouchbridge"

func newMetrics(r prometheus.Registerer, b *budget) *metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	received := counter("received_bytes_total", "Payload bytes received from clients.")
	sent := counter("sent_bytes_total", "Payload bytes sent to clients.")
	m := &metrics{
		connections: gauge("connections", "Open websocket connections."),
		sessions:    gauge("sessions", "Granted sessions: databases open on connections."),
		feeds:       gauge("live_feeds", "Live changes feeds of clients."),
		accepted:    counter("upgrades_total", "Websocket upgrades by result.", "result"),
		closed:      counter("connections_closed_total", "Connections that ended, by reason.", "reason"),
		requests:    counter("session_requests_total", "Requests for databases by outcome.", "outcome"),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: "call_duration_seconds",
			Help: "Time from taking up a call to its answer.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)}, []string{"operation"}),
		failed:   counter("calls_failed_total", "Calls that were not answered with a result.", "operation"),
		received: received.WithLabelValues(),
		sent:     sent.WithLabelValues(),
	}
	for _, reason := range reasons {
		m.closed.WithLabelValues(reason)
	}
	buffered := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: "buffered_bytes",
		Help: "Bytes held for clients: messages, calls, answers and caches."}, func() float64 { return float64(b.total()) })
	if r != nil {
		r.MustRegister(buffered, m.connections, m.sessions, m.feeds, m.accepted, m.closed, m.requests, m.calls, m.failed, received, sent)
	}
	return m
}

// decided counts a request for a database.
func (m *metrics) decided(err error) {
	outcome := "granted"
	if err != nil {
		outcome = "failed"
		if r := (*auth.Refusal)(nil); errors.As(err, &r) {
			outcome = string(r.Code)
		}
	}
	m.requests.WithLabelValues(outcome).Inc()
}

// called counts a call.
func (m *metrics) called(op wire.Op, err error, took time.Duration) {
	m.calls.WithLabelValues(name(op)).Observe(took.Seconds())
	if err != nil {
		m.failed.WithLabelValues(name(op)).Inc()
	}
}

// name is an operation's, for logs and metrics: the operations are a closed set.
func name(op wire.Op) string { return strings.TrimPrefix(fmt.Sprintf("%T", op), "wire.") }
