package couch

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWatchdog(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		use  func(w *watchdog)
		want time.Duration // 0: never
	}{
		{"no headers", func(*watchdog) {}, 10 * time.Second},
		{"paused", func(w *watchdog) { w.pause() }, 0},
		{"stopped", func(w *watchdog) { w.stop(); w.start(); w.last(1) }, 0},
		{"started again", func(w *watchdog) { time.Sleep(9 * time.Second); w.start() }, 19 * time.Second},
		{"upload", func(w *watchdog) { w.upload(false); time.Sleep(time.Hour); w.upload(true) }, time.Hour + 10*time.Second},
		{"answered", func(w *watchdog) { w.answer(time.Minute) }, 0},
		{"upload after the answer", func(w *watchdog) { w.answer(time.Minute); w.upload(true) }, 0},
		{"body", func(w *watchdog) { w.answer(time.Minute); w.start() }, time.Minute},
		{"last", func(w *watchdog) { w.last(time.Second); w.start(); w.pause(); w.upload(false) }, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			barked := time.Duration(0)
			w := newWatchdog(10*time.Second, func() { barked = time.Since(start) })
			test.use(w)
			time.Sleep(3 * time.Hour)
			synctest.Wait()
			w.stop()
			if barked != test.want {
				t.Errorf("%s: barked after %v, want %v", test.name, barked, test.want)
			}
		})
	}
}
