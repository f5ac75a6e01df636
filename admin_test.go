package main

import (
	"strings"
	"testing"
)

// Profiles are for operators who ask for them, and never for clients. TestServe sees that there are none otherwise.
func TestProfiles(t *testing.T) {
	t.Parallel()
	url, _ := couchDB(t)
	p := start(t, "serve", map[string]string{
		"LISTEN": "127.0.0.1:0", "ADMIN_LISTEN": "127.0.0.1:0", "PPROF": "true", "POLICY": "open", "COUCHDB_URL": url,
	})
	web := client(t, nil)
	admin, clients := p.listening["admin_url"].(string), strings.Replace(p.listening["url"].(string), "ws://", "http://", 1)
	for _, tt := range []struct {
		url    string
		status int
		body   string
	}{
		{admin + "/debug/pprof/", 200, "goroutine"},
		{admin + "/debug/pprof/heap", 200, "\x1f\x8b"},
		{admin + "/debug/pprof/goroutine?debug=1", 200, "goroutine profile: total"},
		{admin + "/debug/pprof/profile?seconds=1", 200, "\x1f\x8b"},
		{admin + "/debug/pprof/cmdline", 404, "Unknown profile"},
		{clients + "/debug/pprof/", 426, "websocket"},
	} {
		if status, body := ask(t, web, tt.url, ""); status != tt.status || !strings.Contains(body, tt.body) {
			t.Errorf("%s: %d %.100q; want %d %q", tt.url, status, body, tt.status, tt.body)
		}
	}
}
