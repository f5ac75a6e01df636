package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// What Linux says about processes under /proc. On other systems the files are not there, and what needs them fails with that.

// clockTick is the unit of processor time in /proc; it is 100 a second on every architecture that Go runs on.
const clockTick = time.Second / 100

// memory is a line of /proc/<pid>/status in bytes: VmRSS, VmHWM. pid may be "self".
func memory(pid, field string) (int64, error) {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0, fmt.Errorf("memory is read from Linux's /proc: %w", err)
	}
	return parseMemory(status, field)
}

func parseMemory(status []byte, field string) (int64, error) {
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		if name == field {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("/proc does not tell %s", field)
}

// processor is the processor time that a process and its descendants have used so far, with those that have ended.
func processor(pid int) (time.Duration, error) {
	stats := map[int]stat{}
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		s, err := parseStat(text)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		stats[s.pid] = s
	}
	if _, ok := stats[pid]; !ok {
		return 0, fmt.Errorf("/proc does not tell the processor time of the process %d", pid)
	}
	return treeTime(stats, pid), nil
}

// stat is what matters of /proc/<pid>/stat.
type stat struct {
	pid, parent int
	used        time.Duration // by it and by its children that have ended
}

func parseStat(text []byte) (stat, error) {
	// pid (name) state parent ...; the name may contain anything.
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return stat{}, errors.New("no name in parentheses")
	}
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 15 {
		return stat{}, errors.New("too few fields")
	}
	numbers := []string{strings.TrimSpace(string(text[:open])), fields[1], fields[11], fields[12], fields[13], fields[14]}
	var n [6]int64
	for i, field := range numbers {
		var err error
		if n[i], err = strconv.ParseInt(field, 10, 64); err != nil {
			return stat{}, err
		}
	}
	return stat{int(n[0]), int(n[1]), time.Duration(n[2]+n[3]+n[4]+n[5]) * clockTick}, nil
}

func treeTime(stats map[int]stat, pid int) time.Duration {
	total := stats[pid].used
	for child, s := range stats {
		if s.parent == pid && child != pid {
			total += treeTime(stats, child)
		}
	}
	return total
}

// errNotHere says that no process that we can see listens on a port.
var errNotHere = errors.New("no process of this machine that can be seen listens there")

// listenerPID is the process that listens on a port of this machine.
func listenerPID(port uint16) (int, error) {
	var inodes []string
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(file)
		if err != nil {
			continue // no IPv6, or no Linux
		}
		found, err := listeners(f, port)
		_ = f.Close()
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		inodes = append(inodes, found...)
	}
	for _, inode := range inodes {
		if pid, ok := socketOwner("/proc", inode); ok {
			return pid, nil
		}
	}
	return 0, errNotHere
}

// listeners are the inodes of the sockets that listen on a port, in the format of /proc/net/tcp.
func listeners(table io.Reader, port uint16) ([]string, error) {
	const listening = "0A"
	var inodes []string
	scanner := bufio.NewScanner(table)
	scanner.Scan() // the head
	for scanner.Scan() {
		fields := strings.Fields(scanner.Text())
		if len(fields) < 10 {
			return nil, fmt.Errorf("a line has %d fields", len(fields))
		}
		_, hexPort, _ := strings.Cut(fields[1], ":")
		n, err := strconv.ParseUint(hexPort, 16, 16)
		if err != nil {
			return nil, fmt.Errorf("the address %q: %w", fields[1], err)
		}
		if fields[3] == listening && uint16(n) == port {
			inodes = append(inodes, fields[9])
		}
	}
	return inodes, scanner.Err()
}

// socketOwner is a process that has the socket open. proc is where the processes are.
func socketOwner(proc, inode string) (int, bool) {
	files, _ := filepath.Glob(proc + "/[0-9]*/fd/*")
	for _, file := range files {
		if target, err := os.Readlink(file); err == nil && target == "socket:["+inode+"]" {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(file))))
			return pid, err == nil
		}
	}
	return 0, false
}

// checkFiles fails with the command that helps if this process may not open so many files. Go has raised the soft limit to the
// hard one already.
func checkFiles(needed int) error {
	limits, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		return nil // no Linux: whoever runs out of files will say so
	}
	limit, err := parseFileLimit(limits)
	if err == nil && limit < needed {
		err = fmt.Errorf("a process may have %d files open here, and %d are needed: run `ulimit -n %d` before, if need be as root; or measure less with -sessions, -fanout and -idle", limit, needed, needed)
	}
	return err
}

func parseFileLimit(limits []byte) (int, error) {
	for line := range strings.Lines(string(limits)) {
		rest, ok := strings.CutPrefix(line, "Max open files")
		if fields := strings.Fields(rest); ok && len(fields) >= 2 {
			if fields[1] == "unlimited" {
				return int(^uint(0) >> 1), nil
			}
			return strconv.Atoi(fields[1])
		}
	}
	return 0, errors.New("/proc/self/limits does not tell the limit of open files")
}
