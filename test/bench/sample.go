package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// median is the middle value, or the mean of the two in the middle.
func median[T ~int64 | ~float64](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// percentile is the least value that p percent of the values do not exceed.
func percentile[T cmp.Ordered](values []T, p float64) T {
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// seconds shows a duration of seconds.
func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// milliseconds shows a duration of milliseconds.
func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

// megabytes and kilobytes show sizes, of 1,000,000 and 1,000 bytes.
func megabytes(n int64) string   { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
func kilobytes(n float64) string { return fmt.Sprintf("%.1f KB", n/1e3) }

// number shows a whole number with commas between thousands.
func number[T ~int | ~int64](n T) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
