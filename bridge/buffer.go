package bridge

import "sync"

// Messages to clients are built in buffers that are used again. A buffer
// belongs to one goroutine at a time: who builds a message takes a buffer,
// appends to it, and gives it away with send, whether or not send succeeds;
// who has written it, or drops it, puts it back. After send nobody may look at
// it, and nothing that others look at may be sent.

// bufferSizes are the sizes buffers come in. Larger ones are not kept.
var bufferSizes = [...]int{512, 4 << 10, 32 << 10, 256 << 10, 1 << 20}

// maxBuffer is up to what capacity a buffer is kept: what append makes of the
// largest size.
const maxBuffer = 5 << 20 / 4

var (
	buffers [len(bufferSizes)]sync.Pool // of *[]byte, by size
	headers sync.Pool                   // of *[]byte without a buffer, so that keeping one costs no allocation
)

// newBuffer returns an empty buffer with room for size bytes.
func newBuffer(size int) []byte {
	for i, n := range bufferSizes {
		if n < size {
			continue
		}
		h, _ := buffers[i].Get().(*[]byte)
		if h == nil {
			return make([]byte, 0, n)
		}
		b := *h
		*h = nil
		headers.Put(h)
		return b[:0]
	}
	return make([]byte, 0, size)
}

// freeBuffer puts a buffer back, wherever it came from.
func freeBuffer(b []byte) {
	if cap(b) > maxBuffer {
		return
	}
	for i := len(bufferSizes) - 1; i >= 0; i-- {
		if cap(b) < bufferSizes[i] {
			continue
		}
		h, _ := headers.Get().(*[]byte)
		if h == nil {
			h = new([]byte)
		}
		*h = b
		buffers[i].Put(h)
		return
	}
}
