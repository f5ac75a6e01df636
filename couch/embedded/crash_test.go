package embedded

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// crashDirVariable tells the test binary to be the process that is killed.
const crashDirVariable = "POUCHBRIDGE_EMBEDDED_CRASH_DIR"

// writeUntilKilled writes documents from several goroutines and prints the id of each one that was acknowledged.
func writeUntilKilled(dir string) {
	s, err := Open(Options{Dir: dir})
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	call := func(method, path, body string) int {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Code
	}
	call("PUT", "/crash", "")
	var out sync.Mutex
	for writer := range 4 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("w%d-%d", writer, i)
				if call("PUT", "/crash/"+id, `{"_attachments":{"a":{"data":"aGVsbG8="}}}`) != http.StatusCreated {
					os.Exit(1)
				}
				out.Lock()
				fmt.Println(id)
				out.Unlock()
			}
		}()
	}
	select {}
}

func TestAcknowledgedWritesSurviveSIGKILL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashDirVariable+"="+dir)
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var acknowledged []string
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		acknowledged = append(acknowledged, lines.Text())
		if len(acknowledged) == 200 {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	if len(acknowledged) < 200 {
		t.Fatalf("the child acknowledged only %v", acknowledged)
	}
	s := newServer(t, Options{Dir: dir})
	for _, id := range acknowledged {
		if strings.Contains(id, "failed") {
			t.Fatal(id)
		}
		if got := s.must(200, "GET", "/crash/"+id+"/a", ""); got != "hello" {
			t.Errorf("attachment of %s is %q", id, got)
		}
	}
}
