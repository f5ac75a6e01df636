package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const tcpTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1770 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1770 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0000000000000000 20 4 30 10 -1
   2: 00000000:1771 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4244 1 0000000000000000 100 0 0 10 0
   3: 0100007F:C001 0100007F:1770 01 00000000:00000000 00:00000000 00000000     0        0 4245 1 0000000000000000 20 4 30 10 -1
`

func TestListeners(t *testing.T) {
	t.Parallel()
	for port, want := range map[uint16][]string{6000: {"4242"}, 6001: {"4244"}, 49153: nil, 1: nil} {
		got, err := listeners(strings.NewReader(tcpTable), port)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("port %d: %q %v, want %q", port, got, err, want)
		}
	}
	for _, bad := range []string{"head\n 0: short\n", "head\n" + strings.Repeat("x ", 10) + "\n"} {
		if got, err := listeners(strings.NewReader(bad), 1); err == nil {
			t.Errorf("%q: %q", bad, got)
		}
	}
}

func TestSocketOwner(t *testing.T) {
	t.Parallel()
	proc := t.TempDir()
	for _, fd := range []struct{ file, target string }{
		{"17/fd/3", "socket:[4241]"}, {"17/fd/4", "/dev/null"}, {"18/fd/0", "socket:[4242]"}, {"self/fd/0", "socket:[4243]"},
	} {
		file := filepath.Join(proc, fd.file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(fd.target, file); err != nil {
			t.Fatal(err)
		}
	}
	for inode, want := range map[string]int{"4241": 17, "4242": 18, "4243": 0, "424": 0} {
		if got, ok := socketOwner(proc, inode); got != want || ok != (want != 0) {
			t.Errorf("%s is of %d, %t; want %d", inode, got, ok, want)
		}
	}
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	got, err := parseStat([]byte("28310 (beam) (x) S 1 28310 28310 0 -1 4194304 100 200 0 0 11 22 33 44 20 0 1 0 5 6 7\n"))
	if want := (stat{pid: 28310, parent: 1, used: 1100 * time.Millisecond}); err != nil || got != want {
		t.Errorf("%+v %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "1 name S 1", "1 (name) S 1", "1 (name) S x" + strings.Repeat(" 1", 20), ")("} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

func TestTreeTime(t *testing.T) {
	t.Parallel()
	stats := map[int]stat{1: {1, 0, 1}, 2: {2, 1, 10}, 3: {3, 2, 100}, 4: {4, 1, 1000}, 5: {5, 2, 10000}}
	for pid, want := range map[int]time.Duration{2: 10110, 3: 100, 1: 11111} {
		if got := treeTime(stats, pid); got != want {
			t.Errorf("process %d used %d, want %d", pid, got, want)
		}
	}
}

func TestParseMemory(t *testing.T) {
	t.Parallel()
	status := []byte("Name:\tpouchbridge\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\n")
	if got, err := parseMemory(status, "VmRSS"); got != 10<<20 || err != nil {
		t.Errorf("VmRSS is %d, %v", got, err)
	}
	if got, err := parseMemory(status, "VmSwap"); err == nil {
		t.Errorf("VmSwap is %d", got)
	}
}

func TestParseFileLimit(t *testing.T) {
	t.Parallel()
	const head = "Limit                     Soft Limit           Hard Limit           Units\nMax processes             1                    2                    processes\n"
	for line, want := range map[string]int{
		"Max open files            1024                 20000                files\n": 20000,
		"Max open files            1024                 unlimited            files\n": int(^uint(0) >> 1),
	} {
		if got, err := parseFileLimit([]byte(head + line)); got != want || err != nil {
			t.Errorf("%s is %d, %v", line, got, err)
		}
	}
	if got, err := parseFileLimit([]byte(head)); err == nil {
		t.Errorf("without the line: %d", got)
	}
}
