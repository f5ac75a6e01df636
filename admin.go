package main

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// upTimeout is how long CouchDB may take to say that it is up.
const upTimeout = 5 * time.Second

// adminHandler answers operators: /metrics, /healthz and /readyz.
func (s *service) adminHandler(registry *prometheus.Registry) http.Handler {
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfoGauge())
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: httpErrorLog(s.log)}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	return mux
}

// ready answers 200 if a client would be served now.
func (s *service) ready(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		answer(w, http.StatusServiceUnavailable, "shutting down")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), upTimeout)
	defer cancel()
	if err := s.upstream.Up(ctx); err != nil {
		answer(w, http.StatusServiceUnavailable, "CouchDB does not answer: "+err.Error())
		return
	}
	answer(w, http.StatusOK, "ok")
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}

// buildInfoGauge is always 1; its labels say what runs.
func buildInfoGauge() prometheus.Collector {
	b := version()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "pouchbridge_build_info",
		Help:        "What this binary was built from, as labels; always 1.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "go_version": b.Go},
	})
	gauge.Set(1)
	return gauge
}
