package tree

import (
	"syscall"
	"time"
)

// MarkVariable is the environment variable with the marks of a process.
const MarkVariable = markVariable

// Marks are the marks of a process that has those of before, and one more.
func Marks(before, mark string) string {
	if before == "" {
		return mark
	}
	return before + "," + mark
}

// nowhere is a process id that none has, and no group.
const nowhere = -1

// markedBy stands for the tree of processes with a mark that another package has started.
func markedBy(mark string) *Process {
	return &Process{root: process{pid: nowhere, group: nowhere}, mark: mark, seen: map[process]bool{}}
}

// MarkedLives says whether a process with the mark in its environment lives, which is a child of this
// process or has lost its parent.
func MarkedLives(mark string) bool { return len(markedBy(mark).members()) > 0 }

const (
	// quietLooks is how often in a row no process must be seen: one that has been killed may
	// make way for the next.
	quietLooks = 5
	quietPause = 4 * time.Millisecond
)

// EndMarked sends SIGKILL to the processes with the mark and all their descendants. It returns when
// there are none any more, or after a second.
func EndMarked(mark string) {
	found := false
	for quiet, deadline := 0, time.Now().Add(killWait); quiet < quietLooks && time.Now().Before(deadline); time.Sleep(quietPause) {
		members := markedBy(mark).members()
		for _, member := range members {
			member.signal(syscall.SIGKILL)
		}
		found = found || len(members) > 0
		switch {
		case len(members) > 0:
			quiet = 0
		case !found:
			return
		default:
			quiet++
		}
	}
}
