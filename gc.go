package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// gcSlack is how much garbage may gather whatever is live: to collect a small heap again and again costs more than it saves.
	gcSlack = 16 << 20
	// gcLeast and gcMost bound what GOGC is set to.
	gcLeast, gcMost = 50, 200
	gcInterval      = 2 * time.Second
)

// paceGC sets GOGC by what is live, until ctx ends. Most of a large heap is idle connections, for which Go's default of 100 would
// let as much again gather as garbage; half is enough then. A small heap is that of a process with little to do, or with a few
// busy clients.
func paceGC(ctx context.Context) {
	ticker := time.NewTicker(gcInterval)
	defer ticker.Stop()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	set := 0
	for {
		metrics.Read(live)
		if percent := gcPercent(live[0].Value.Uint64()); percent != set {
			debug.SetGCPercent(percent)
			set = percent
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// gcPercent is GOGC for so many live bytes.
func gcPercent(live uint64) int {
	return int(min(max(100*gcSlack/max(live, 1), gcLeast), gcMost))
}
