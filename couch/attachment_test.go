package couch

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

// TestAttachmentsStream moves 64 MB each way through the heap of this process, server included.
func TestAttachmentsStream(t *testing.T) {
	const size = 64 << 20
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			n, err := io.Copy(io.Discard, r.Body)
			if err != nil || n != size || r.Header.Get("Content-Encoding") != "" {
				t.Errorf("took %d bytes, %v", n, err)
			}
			_, _ = io.WriteString(w, `{"ok":true,"id":"a","rev":"1-a"}`)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = io.CopyN(w, &zeros{}, size)
	}), "", Options{})
	d := mustDatabase(t, c, "db")
	heap := watchHeap()
	for _, length := range []int64{size, -1} {
		if rev, err := d.PutAttachment(t.Context(), "a", "b", "", "application/x", length, io.LimitReader(&zeros{heap: heap}, size)); err != nil || rev != "1-a" {
			t.Errorf("%q, %v", rev, err)
		}
	}
	a, err := d.Attachment(t.Context(), "a", "b", AttachmentOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(heap, a.Body)
	if err != nil || n != size || a.Length != size || a.Body.Close() != nil {
		t.Errorf("read %d bytes of %d, %v", n, a.Length, err)
	}
	if heap.most > 16<<20 {
		t.Errorf("the heap grew by %d MB", heap.most>>20)
	}
	if heap.looks < 30 {
		t.Errorf("looked %d times only", heap.looks)
	}
}

// TestAttachmentCut has a download that breaks off.
func TestAttachmentCut(t *testing.T) {
	t.Parallel()
	a, err := answer(t, strings.Repeat("x", 10_000), true).Attachment(t.Context(), "a", "b", AttachmentOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if _, err := io.Copy(io.Discard, a.Body); outcome(err) != "cut" || !Transient(err) {
		t.Errorf("%v", err)
	}
}

// TestAttachmentBodyFails has bodies that fail or are too short: nothing may seem to be written, and nothing seem transient.
func TestAttachmentBodyFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("the client went away")
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			t.Error("the body came whole")
		}
	}), "", Options{})
	d := mustDatabase(t, c, "db")
	for _, length := range []int64{-1, 100_000} {
		body := io.MultiReader(strings.NewReader(strings.Repeat("x", 50_000)), iotest.ErrReader(broken))
		if _, err := d.PutAttachment(t.Context(), "a", "b", "", "", length, body); !errors.Is(err, broken) || Transient(err) {
			t.Errorf("length %d: %v", length, err)
		}
	}
	_, err := d.PutAttachment(t.Context(), "a", "b", "", "", 100, strings.NewReader("short"))
	var e *Error
	if !errors.As(err, &e) || e.Status != 400 || e.Reason != "Body ended after 5 of 100 bytes." {
		t.Errorf("%v", err)
	}
}

// heapWatch looks at the heap every few megabytes.
type heapWatch struct {
	start, most uint64
	bytes       int
	looks       int
}

func watchHeap() *heapWatch {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return &heapWatch{start: m.HeapAlloc}
}

func (h *heapWatch) Write(p []byte) (int, error) {
	if h.bytes += len(p); h.bytes > 4<<20 {
		h.bytes = 0
		h.looks++
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if m.HeapAlloc > h.start {
			h.most = max(h.most, m.HeapAlloc-h.start)
		}
	}
	return len(p), nil
}

type zeros struct{ heap *heapWatch }

func (z *zeros) Read(p []byte) (int, error) {
	clear(p)
	if z.heap != nil {
		return z.heap.Write(p)
	}
	return len(p), nil
}
