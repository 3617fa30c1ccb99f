package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// leaver is a command that leaves a process in the background. It has the
// command's output, and notes each line once it is written.
const leaver = `(while :; do echo line; echo error >&2; echo x >>$DIR/beats; sleep 0.01; done) & echo $! >$DIR/pid`

// flooder is the same for a process that writes as fast as it can.
const flooder = `(while :; do head -c 1000000 /dev/zero >&2; echo x >>$DIR/beats; done) & echo $! >$DIR/pid`

// wantAlive wants that the process that was left goes on writing.
func (d dir) wantAlive() {
	d.t.Helper()
	more := d.lines("beats") + 3
	await(d.t, "what was left goes on", func() bool { return d.lines("beats") >= more })
}

// endLeft ends the process that was left, and wants that what reads its output
// ends as well.
func (d dir) endLeft(drains map[int]bool) {
	d.t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(d.read("pid")))
	if err != nil {
		d.t.Fatal(err)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	await(d.t, "its output is read no more", func() bool {
		for drain := range drains {
			if _, err := os.Stat(fmt.Sprintf("/proc/%d", drain)); err == nil {
				return false
			}
		}
		return true
	})
}

// drainsOf are the processes that read what the one that was left writes.
func (d dir) drainsOf() map[int]bool {
	d.t.Helper()
	pid := strings.TrimSpace(d.read("pid"))
	pipe, err := os.Readlink("/proc/" + pid + "/fd/1")
	if err != nil {
		d.t.Fatal(err)
	}
	found := map[int]bool{}
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		line, _ := os.ReadFile(path) // empty when it has ended
		if !strings.Contains(string(line), drainName) {
			continue
		}
		dir := filepath.Dir(path)
		if to, _ := os.Readlink(dir + "/fd/3"); to == pipe {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			found[pid] = true
		}
	}
	return found
}

// What a command has left in the background goes on when kconfd ends, however it
// does, and however much is written.
func TestLeftProcessOutlivesKconfd(t *testing.T) {
	t.Parallel()
	type ending struct {
		name string
		end  func(k *daemon)
	}
	endings := []ending{
		{"SIGTERM", func(k *daemon) { k.end(syscall.SIGTERM) }},
		{"SIGKILL", func(k *daemon) { k.kill() }},
	}
	for name, test := range map[string]struct {
		config string
		flags  []string
		log    string
	}{
		"action":  {"[reload]\naction = \"exec\"\ncommand = '''" + leaver + "'''\n", nil, "told"},
		"a flood": {"[reload]\naction = \"exec\"\ncommand = '''" + flooder + "'''\n", nil, "told"},
		"verify":  {"[reload]\naction = \"exec\"\ncommand = \"true\"\nverify_cmd = '''" + leaver + "'''\n", nil, "verified"},
		"check":   {"check_cmd = '''" + leaver + "'''\n", nil, "written"},
		"started": {"[process]\npost_start = '''" + leaver + "'''\n", []string{"--", "sleep", "1000"}, "post_start ended"},
		"before":  {"[process]\npre_start = '''" + leaver + "'''\n", []string{"--", "sleep", "1000"}, "child started"},
	} {
		for _, by := range endings {
			t.Run(name+", "+by.name, func(t *testing.T) {
				t.Parallel()
				d := newDir(t, recorded(strings.ReplaceAll(test.config, "\\", "")))
				k := startIn(d, append([]string{"-log-level", "debug"}, test.flags...)...)
				await(t, "a process is left", func() bool { return d.lines("beats") > 0 && d.lines("pid") > 0 }) // in either order
				if name != "started" {                                                                           // which is not in the log
					k.awaitLog(test.log)
				}
				var drains map[int]bool
				await(t, "its output is read by another", func() bool { drains = d.drainsOf(); return len(drains) == 1 })
				by.end(k)
				d.wantAlive()
				d.endLeft(drains)
			})
		}
	}
	t.Run("onetime", func(t *testing.T) {
		t.Parallel()
		d := newDir(t, recorded("[reload]\naction = \"exec\"\ncommand = '''"+leaver+"'''\n"))
		if _, log, code := onetime(d); code != 0 {
			t.Fatalf("got exit code %d and %s", code, log)
		}
		drains := d.drainsOf()
		if len(drains) != 1 {
			t.Errorf("%d processes read its output, want 1", len(drains))
		}
		d.wantAlive()
		d.endLeft(drains)
	})
}

// A flood from what was left takes no memory, neither kconfd's nor that of what reads it.
func TestLeftFloodTakesNoMemory(t *testing.T) {
	t.Parallel()
	d := newDir(t, recorded("[reload]\naction = \"exec\"\ncommand = '''"+flooder+"'''\n"))
	k := startIn(d)
	k.awaitLog("told")
	drains := d.drainsOf()
	if len(drains) != 1 {
		t.Fatalf("%d processes read its output, want 1", len(drains))
	}
	k.stop()
	before := d.lines("beats")
	await(t, "much is written", func() bool { return d.lines("beats") >= before+300 })
	for drain := range drains {
		if peak := peakMemory(t, drain); peak > 128<<20 { // with the race detector
			t.Errorf("what reads the output took %d MiB", peak>>20)
		}
	}
	d.endLeft(drains)
}

// peakMemory is the most memory that a process has had, in bytes.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		kilobytes := 0
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); err == nil {
			return kilobytes << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}
