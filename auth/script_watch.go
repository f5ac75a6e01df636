package auth

import (
	"errors"
	"runtime/metrics"
	"time"
)

var (
	errScriptTimeout = errors.New("timed out")
	errScriptMemory  = errors.New("the heap grew beyond the limit")
)

// watchInterval is how often the heap is measured while JavaScript runs. In it a script allocates some ten megabytes.
const watchInterval = 10 * time.Millisecond

// watch interrupts the runtime when the call's time is over, or when the heap has grown too much since the call was first
// seen. goja has no heap of its own, so it is the process's that is measured: requests elsewhere count too, which is why
// only a call found running JavaScript is blamed. A call that is done before the first look costs nothing.
func (c *scriptCall) watch(ended <-chan struct{}) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	var before uint64
	for {
		select {
		case <-ended:
			return
		case <-c.ctx.Done():
			c.rt.vm.Interrupt(c.interruption())
			<-ended
			return
		case <-tick.C:
		}
		if !c.executing.Load() {
			continue
		}
		metrics.Read(heap)
		now := heap[0].Value.Uint64()
		if before == 0 {
			before = now
		}
		if now > before+c.rt.script.options.MaxMemoryBytes {
			c.rt.vm.Interrupt(errScriptMemory)
		}
	}
}

// interruption says why a call that runs JavaScript is interrupted.
func (c *scriptCall) interruption() error {
	if c.rt.script.ctx.Err() != nil {
		return errScriptClosed
	}
	return errScriptTimeout
}
