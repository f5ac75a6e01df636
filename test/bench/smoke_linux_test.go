package main

import (
	"errors"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"testing"
)

// The measures that look at processes under /proc.
func TestSmokeOfProcesses(t *testing.T) {
	t.Parallel()
	smoke(t, "idle|attachment", 3)
}

func TestProcessor(t *testing.T) {
	t.Parallel()
	before, err := processor(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ { // until it shows, which it does after a tick of processor time
		now, err := processor(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if now > before {
			break
		}
	}
	if got, err := processor(1 << 30); err == nil {
		t.Errorf("a process that does not exist used %s", got)
	}
}

// The process that listens is found by its port.
func TestListenerPID(t *testing.T) {
	t.Parallel()
	s, err := openRows(1)
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(at.Port(), 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(n)
	if pid, err := listenerPID(port); pid != os.Getpid() || err != nil {
		t.Errorf("process %d listens, %v; want %d", pid, err, os.Getpid())
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if pid, err := listenerPID(0); !errors.Is(err, errNotHere) {
		t.Errorf("process %d listens on port 0, %v", pid, err)
	}
}

// Memory that was used for a moment only is seen.
func TestPeak(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	before, most, err := peak(func() error {
		used := make([]byte, size)
		for i := range used {
			used[i] = 1
		}
		runtime.KeepAlive(used)
		return nil
	})
	if err != nil || most-before < size/2 {
		t.Errorf("%d bytes before, %d at most, %v; want %d more or nearly so", before, most, err, size)
	}
}
