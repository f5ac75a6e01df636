package main

import (
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		values []time.Duration
		want   time.Duration
	}{
		{[]time.Duration{7}, 7},
		{[]time.Duration{9, 1, 5}, 5},
		{[]time.Duration{8, 2, 4, 6}, 5},
	} {
		if got := median(tt.values); got != tt.want {
			t.Errorf("median(%d) = %d, want %d", tt.values, got, tt.want)
		}
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	values := make([]int, 200)
	for i := range values {
		values[i] = 200 - i // 1 to 200, backwards
	}
	for p, want := range map[float64]int{0: 1, 0.5: 1, 50: 100, 90: 180, 99: 198, 99.1: 199, 100: 200} {
		if got := percentile(values, p); got != want {
			t.Errorf("percentile %g is %d, want %d", p, got, want)
		}
	}
	if got := percentile([]int{3}, 99); got != 3 {
		t.Errorf("percentile of one value is %d", got)
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", -999: "-999", -1234567: "-1,234,567", 12345678: "12,345,678"} {
		if got := number(n); got != want {
			t.Errorf("number(%d) = %s, want %s", n, got, want)
		}
	}
}
