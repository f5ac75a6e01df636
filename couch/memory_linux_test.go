package couch_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"

	"pouchbridge/couch"
)

const (
	largeAttachment = 300 << 20
	mostMemory      = 32 << 20
	// memoryServer is the variable that names the server to the process whose memory is looked at.
	memoryServer = "POUCHBRIDGE_TEST_MEMORY_SERVER"
)

// TestAttachmentMemory pulls and pushes a large attachment in a process of its own, and looks how much memory that takes at its
// peak. The server is in this process, so that its memory does not count.
func TestAttachmentMemory(t *testing.T) {
	if url := os.Getenv(memoryServer); url != "" {
		passLargeAttachment(t, url)
		return
	}
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Length", strconv.Itoa(largeAttachment))
			_, _ = io.Copy(w, newZeros())
			return
		}
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || n != largeAttachment {
			t.Errorf("%d bytes were pushed: %v", n, err)
		}
		_, _ = io.WriteString(w, `{"ok":true,"id":"a","rev":"1-a"}`)
	}))
	t.Cleanup(server.Close)
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAttachmentMemory$", "-test.v")
	child.Env = append(os.Environ(), memoryServer+"="+server.URL)
	out, err := child.CombinedOutput()
	found := regexp.MustCompile(`memory: (\d+) bytes more`).FindSubmatch(out)
	if err != nil || found == nil {
		t.Fatalf("%v: %s", err, out)
	}
	if n, _ := strconv.Atoi(string(found[1])); n > mostMemory {
		t.Errorf("%d MiB took %.1f MiB of memory", largeAttachment>>20, float64(n)/(1<<20))
	}
	t.Logf("%s", found[0])
}

func newZeros() io.Reader { return io.LimitReader(zeros{}, largeAttachment) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func passLargeAttachment(t *testing.T, url string) {
	c, err := couch.New(url, couch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d, err := c.Database("db")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Up(t.Context()); err == nil { // everything is there now that a first call needs
		t.Fatal("this server answers nothing but attachments")
	}
	before := statusBytes(t, "VmRSS")
	a, err := d.Attachment(t.Context(), "a", "b", couch.AttachmentOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if n, err := io.Copy(io.Discard, a.Body); err != nil || n != largeAttachment {
		t.Fatalf("%d bytes were pulled: %v", n, err)
	}
	for _, length := range []int64{largeAttachment, -1} {
		if _, err := d.PutAttachment(t.Context(), "a", "b", "", "", length, newZeros()); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Printf("memory: %d bytes more\n", statusBytes(t, "VmHWM")-before)
}

// statusBytes is a figure of this process, from its status.
func statusBytes(t *testing.T, name string) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(status, []byte("\n"+name+":"))
	var kB int
	if _, err := fmt.Sscan(string(rest), &kB); err != nil {
		t.Fatal(err)
	}
	return kB << 10
}
