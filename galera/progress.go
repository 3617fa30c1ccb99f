package galera

import (
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A progress is how far the threads of a server have come, by the kernel's counts of their context
// switches. The count of a thread rises whenever the thread runs. A server that is alive has threads
// that wake up each second, whatever else it does.
type progress struct {
	counts  string         // of all threads, as a hash; equal ones mean that no thread ran in between
	unknown bool           // no thread has a count, as under gVisor
	stopped bool           // all threads, by a signal or a debugger
	blocked map[int]uint64 // threads in an uninterruptible wait, as for a disk, and their counts
}

// readProgress reads the counts of a process's threads. It takes some 10 µs for each.
func readProgress(pid int) (progress, error) {
	tasks := fmt.Sprintf("/proc/%d/task", pid)
	dir, err := os.Open(tasks)
	if err != nil {
		return progress{}, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return progress{}, err
	}
	slices.Sort(names)
	return progressIn(tasks, names), nil
}

// progressIn reads the counts of the threads in /proc/PID/task.
func progressIn(tasks string, names []string) progress {
	p := progress{unknown: true, blocked: map[int]uint64{}}
	running := 0
	hash := fnv.New64a()
	for _, name := range names {
		status, err := os.ReadFile(filepath.Join(tasks, name, "status"))
		if err != nil {
			continue // it has ended, which is progress
		}
		state, count, counted := parseThread(status)
		fmt.Fprintln(hash, name, count)
		p.unknown = p.unknown && !counted
		if state != "T" && state != "t" {
			running++
		}
		if state == "D" {
			id, _ := strconv.Atoi(name) // a number, see proc(5)
			p.blocked[id] = count
		}
	}
	p.stopped = running == 0
	p.counts = strconv.FormatUint(hash.Sum64(), 16)
	return p
}

// parseThread reads the state and the number of context switches in /proc/PID/task/TID/status, and
// whether that is there.
func parseThread(status []byte) (state string, switches uint64, counted bool) {
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch name {
		case "State":
			state = value[:min(1, len(value))]
		case "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches":
			n, _ := strconv.ParseUint(value, 10, 64) // a number, see proc(5)
			switches += n
			counted = true
		}
	}
	return state, switches, counted
}

// sinceBoot is the time on the machine's clock that nobody sets. It stands still while the machine
// is suspended, and so do all servers.
func sinceBoot() (time.Duration, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0, fmt.Errorf("reading the clock: %w", err)
	}
	return time.Duration(now.Nano()), nil
}

// A sighting is what probes have seen of one server, kept from one to the next in a file. All times are
// those of sinceBoot.
type sighting struct {
	Server  string   `json:"server"`            // which one: see inspection.find
	Process *process `json:"process,omitempty"` // nil: it is not in sight

	Counts string        `json:"counts"` // the progress at the last look
	Ran    time.Duration `json:"ran"`    // when the counts were first seen to be these

	Blocked map[int]blockedThread `json:"blocked,omitempty"` // by thread

	Answered   time.Duration `json:"answered"`   // the last login that was answered; 0: none
	Unanswered time.Duration `json:"unanswered"` // the first one since that was not; 0: none
	Refused    bool          `json:"refused"`    // that login, as every other one would be
}

type blockedThread struct {
	Switches uint64        `json:"switches"`
	Since    time.Duration `json:"since"`
}

// see returns the sighting with the threads' progress at that time.
func (s sighting) see(p progress, now time.Duration) sighting {
	if p.counts != s.Counts {
		s.Counts, s.Ran = p.counts, now
	}
	blocked := map[int]blockedThread{}
	for id, switches := range p.blocked {
		b := blockedThread{switches, now}
		if before, found := s.Blocked[id]; found && before.Switches == switches {
			b = before
		}
		blocked[id] = b
	}
	s.Blocked = blocked
	return s
}

// blockedSince is since when the thread has been blocked that has been for longest.
func (s sighting) blockedSince() (since time.Duration, found bool) {
	for _, b := range s.Blocked {
		if !found || b.Since < since {
			since, found = b.Since, true
		}
	}
	return since, found
}

// login returns the sighting with a login that began at that time.
func (s sighting) login(begun time.Duration, answered, refused bool) sighting {
	switch {
	case answered:
		s.Answered, s.Unanswered, s.Refused = begun, 0, refused
	case s.Unanswered == 0 && s.Answered < begun: // not when another probe has had an answer meanwhile
		s.Unanswered = begun
	}
	return s
}
