package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

func TestLogger(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		level, format string
		console       bool
		lines         int
	}{
		{"info", "json", false, 2},
		{"info", "auto", false, 2}, // a buffer is no terminal
		{"warn", "console", true, 1},
		{"error", "json", false, 0},
	} {
		var b bytes.Buffer
		log := newLogger(Config{LogLevel: tt.level, LogFormat: tt.format}, &b)
		log.Debug().Msg("one")
		log.Info().Str("key", "value").Msg("two")
		httpErrorLog(log).Printf("http: TLS handshake error from %s", "127.0.0.1")
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if b.Len() == 0 {
			lines = nil
		}
		if len(lines) != tt.lines {
			t.Errorf("%+v: logged %q", tt, lines)
		}
		for _, line := range lines {
			var fields map[string]string
			err := json.Unmarshal([]byte(line), &fields)
			if tt.console {
				if err == nil || strings.Contains(line, "\x1b") || !regexp.MustCompile(`^\d\d:\d\d:\d\d WRN http: TLS`).MatchString(line) {
					t.Errorf("%+v: line %q", tt, line)
				}
			} else if err != nil || !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`).MatchString(fields["time"]) {
				t.Errorf("%+v: line %q, %v", tt, line, err)
			}
		}
	}
}
