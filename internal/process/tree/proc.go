package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A process is what /proc says about one at one moment.
type process struct {
	pid, parent, group int
	zombie             bool
	start              uint64 // in ticks since the machine's; with pid it identifies a process
}

// signal sends a signal, unless the process id is another process's by now.
func (p process) signal(sig syscall.Signal) {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
			_ = syscall.Kill(p.pid, sig) // a kernel or sandbox without pidfds
		}
		return
	}
	defer unix.Close(fd)
	if now, err := readProcess(p.pid); err == nil && now.start == p.start {
		_ = unix.PidfdSendSignal(fd, sig, nil, 0) // it may have ended, or be another user's
	}
}

// members are the living processes of the tree.
func (p *Process) members() []process {
	all := readProcesses()
	outside := ancestors(all)
	family := map[int]bool{p.root.pid: true}
	patience := time.Now().Add(environWait)
	for pid, other := range all {
		family[pid] = other.group == p.root.pid ||
			outside[other.parent] && other.start >= p.root.start && p.marks(other, patience)
	}
	addDescendants(family, all)
	var living []process
	for pid, other := range all {
		if family[pid] && !outside[pid] && !other.zombie {
			living = append(living, other)
		}
	}
	return living
}

// ancestors are this process and those that it descends from: who loses his
// parent becomes a child of one of them.
func ancestors(all map[int]process) map[int]bool {
	found := map[int]bool{}
	for pid := os.Getpid(); pid > 0 && !found[pid]; pid = all[pid].parent {
		found[pid] = true
	}
	return found
}

func addDescendants(family map[int]bool, all map[int]process) {
	for grown := true; grown; {
		grown = false
		for pid, other := range all {
			if !family[pid] && family[other.parent] {
				family[pid], grown = true, true
			}
		}
	}
}

// environWait bounds one look at the environments of processes. Reading one reads
// the memory of the process, which that process can hold up.
const environWait = 100 * time.Millisecond

// marks says whether the process began with the mark in its environment. One whose
// environment cannot be read in time has none.
func (p *Process) marks(other process, deadline time.Time) bool {
	id := process{pid: other.pid, start: other.start}
	if has, known := p.seen[id]; known || !time.Now().Before(deadline) {
		return has
	}
	answer := make(chan bool, 1)
	go func() { // until the kernel has read it, or that process ends
		answer <- environHas(other.pid, p.mark)
	}()
	select {
	case p.seen[id] = <-answer:
	case <-time.After(time.Until(deadline)):
		p.seen[id] = false
	}
	return p.seen[id]
}

func environHas(pid int, mark string) bool {
	file, err := os.Open(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return false
	}
	defer file.Close()
	content, _ := io.ReadAll(io.LimitReader(file, 4<<20)) // more than programs are usually given
	return bytes.Contains(content, []byte(mark))
}

// readProcesses are the processes of this PID namespace by their ids.
func readProcesses() map[int]process {
	all := map[int]process{}
	dir, err := os.Open("/proc")
	if err != nil {
		return all
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, err := readProcess(pid); err == nil {
			all[pid] = p
		}
	}
	return all
}

// readProcess reads "PID (NAME) STATE PPID PGRP SESSION …", where NAME may hold
// anything, brackets included.
func readProcess(pid int) (process, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	return parseStat(pid, string(stat))
}

func parseStat(pid int, stat string) (process, error) {
	const threadsField, startField = 17, 19 // counted from the state
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) <= startField {
		return process{}, fmt.Errorf("reading /proc/%d/stat: too few fields in %q", pid, stat)
	}
	p := process{pid: pid}
	// A first thread that has ended looks like a zombie while others live.
	p.zombie = fields[0] == "X" || fields[0] == "Z" && fields[threadsField] <= "1"
	var errs [3]error
	p.parent, errs[0] = strconv.Atoi(fields[1])
	p.group, errs[1] = strconv.Atoi(fields[2])
	p.start, errs[2] = strconv.ParseUint(fields[startField], 10, 64)
	return p, errors.Join(errs[:]...)
}
