package main

import "testing"

func TestGCPercent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		live uint64
		want int
	}{{0, 200}, {1 << 20, 200}, {8 << 20, 200}, {16 << 20, 100}, {20 << 20, 80}, {32 << 20, 50}, {1 << 30, 50}} {
		if got := gcPercent(tt.live); got != tt.want {
			t.Errorf("%d MiB live: %d, want %d", tt.live>>20, got, tt.want)
		}
	}
}
