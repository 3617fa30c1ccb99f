package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// residentMemory is a process's VmRSS, in MiB.
func residentMemory(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	var kibibytes float64
	if _, err := fmt.Sscan(after, &kibibytes); err != nil {
		return 0, fmt.Errorf("reading VmRSS of %d: %w", pid, err)
	}
	return kibibytes / 1024, nil
}

// cpuTime is what all threads of a process have used, to the nanosecond: the
// counters in /proc are in ticks of 10 ms.
func cpuTime(pid int) (time.Duration, error) {
	const schedulerClock = 2
	var used unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &used); err != nil {
		return 0, fmt.Errorf("reading the CPU clock of %d: %w", pid, err)
	}
	return time.Duration(used.Nano()), nil
}

// connections is how many TCP connections a process has open.
func connections(pid int) (int, error) {
	established := map[string]bool{} // by the link in /proc/PID/fd
	for _, table := range []string{"tcp", "tcp6"} {
		if err := readEstablished(fmt.Sprintf("/proc/%d/net/%s", pid, table), established); err != nil {
			return 0, err
		}
	}
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	var n int
	for _, entry := range entries {
		if link, err := os.Readlink(dir + "/" + entry.Name()); err == nil && established[link] {
			n++
		}
	}
	return n, nil
}

// readEstablished adds the sockets of a table of the kernel's.
func readEstablished(path string, established map[string]bool) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(content)) {
		const state, inode = 3, 9 // columns
		if fields := strings.Fields(line); len(fields) > inode && fields[state] == "01" {
			established["socket:["+fields[inode]+"]"] = true
		}
	}
	return nil
}

// filesystem tells whether what is written there reaches a disk.
func filesystem(dir string) string {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return err.Error()
	}
	if stat.Type == unix.TMPFS_MAGIC {
		return "tmpfs"
	}
	return "a disk"
}

// watches is how many watches on EndpointSlices the API server has ever
// answered, those that are open included.
func (b *bench) watches(ctx context.Context) (float64, error) {
	metrics, err := b.cluster.Client().Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return 0, fmt.Errorf("reading the API server's metrics: %w", err)
	}
	var sum float64
	for lines := bufio.NewScanner(bytes.NewReader(metrics)); lines.Scan(); {
		n, err := watchesIn(lines.Text())
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// watchesIn is what one line of the metrics adds.
func watchesIn(line string) (n float64, err error) {
	name, _, _ := strings.Cut(line, "{")
	if name != "apiserver_longrunning_requests" && name != "apiserver_request_total" ||
		!strings.Contains(line, `resource="endpointslices"`) || !strings.Contains(line, `verb="WATCH"`) {
		return 0, nil
	}
	value := line[strings.LastIndex(line, " ")+1:]
	if _, err := fmt.Sscan(value, &n); err != nil {
		return 0, fmt.Errorf("reading the metric %q: %w", line, err)
	}
	return n, nil
}
