package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"pouchbridge/bridge"
)

// upTimeout is how long CouchDB may take to say that it is up.
const upTimeout = 5 * time.Second

// adminHandler answers operators: /metrics, /healthz, /readyz, /grants and, if they are wanted, profiles.
func (s *service) adminHandler(registry *prometheus.Registry) http.Handler {
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfoGauge())
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: httpErrorLog(s.log)}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("DELETE /grants", s.revoke)
	if s.PProf {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
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

// revoke ends the sessions of the grants that every parameter fits: subject, database (its name in CouchDB) and token_id, at
// least one of them. It answers {"revoked": how many there were}.
func (s *service) revoke(w http.ResponseWriter, r *http.Request) {
	revocation, err := parseRevocation(r.URL.RawQuery)
	if err != nil {
		answer(w, http.StatusBadRequest, err.Error())
		return
	}
	for _, forget := range s.forget {
		forget()
	}
	n := s.bridge.Revoke(revocation)
	s.log.Info().Str("subject", revocation.Subject).Str("database", revocation.Database).Str("token_id", revocation.TokenID).
		Int("revoked", n).Msg("grants revoked")
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = fmt.Fprintf(w, "{\"revoked\":%d}\n", n)
}

// parseRevocation reads the query of /grants. A parameter that is not understood could only mean that fewer grants were to
// end than would.
func parseRevocation(query string) (bridge.Revocation, error) {
	const which = "name the grants that are to end by subject, database, token_id or several of these, as in /grants?subject=alice"
	var r bridge.Revocation
	parameters, err := url.ParseQuery(query)
	if err != nil {
		return r, fmt.Errorf("the query cannot be read; %s", which)
	}
	known := map[string]*string{"subject": &r.Subject, "database": &r.Database, "token_id": &r.TokenID}
	for name, values := range parameters {
		into := known[name]
		if into == nil || len(values) != 1 || values[0] == "" {
			return r, fmt.Errorf("the parameter %q is unknown, empty or there twice; %s", name, which)
		}
		*into = values[0]
	}
	if r == (bridge.Revocation{}) {
		return r, fmt.Errorf("there is no parameter; %s", which)
	}
	return r, nil
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
