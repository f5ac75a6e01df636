package main

import (
	"context"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

// tiny is enough for everything to happen once.
func tiny() sizes {
	return sizes{docs: 50, runs: 1, sessions: []int{1, 5}, fanout: 5, writes: 8, idle: 5, rows: 2000, attachment: 1_000_000, settle: 10 * time.Millisecond, rest: 200 * time.Millisecond}
}

// smoke runs measures at tiny size on the embedded store. What they find is not looked at: this machine is busy with tests.
func smoke(t *testing.T, only string, rows int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	b, err := openBench(ctx, options{sizes: tiny(), only: regexp.MustCompile(only)}, "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	text, err := b.measureAll(ctx)
	if err := b.close(); err != nil {
		t.Error(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(text, "Upstream: the embedded store. Machine: ") {
		t.Errorf("it begins %.100q", text)
	}
	if n := strings.Count(text, "| yes |\n") + strings.Count(text, "| no |\n"); n != rows || strings.Contains(text, "not measured") {
		t.Errorf("%d rows, want %d:\n%s", n, rows, text)
	}
}

// The measures that need neither Node.js nor Linux. test/e2e/bench.test.mjs runs those that need Node.js.
func TestSmoke(t *testing.T) {
	t.Parallel()
	smoke(t, "sessions|fanout|changes", 4)
}
