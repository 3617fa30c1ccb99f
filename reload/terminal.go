package reload

import (
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// moveTerminal gives the terminal on standard input from one process group to
// another. It does nothing where there is no terminal, or where it belongs to
// a third: to a shell, whose background job this is.
func moveTerminal(from, to int) {
	fd := int(os.Stdin.Fd())
	if from <= 0 || to <= 0 || terminalGroup(fd) != from {
		return
	}
	// From the background, the call would be answered with SIGTTOU, unless this
	// thread blocks that.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var block, before unix.Sigset_t
	block.Val[0] = 1 << (syscall.SIGTTOU - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &block, &before); err != nil {
		return
	}
	_ = unix.IoctlSetPointerInt(fd, unix.TIOCSPGRP, to) // it may be gone by now
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
}

// terminalGroup is the process group in the foreground of the terminal that fd
// is and that controls this process; 0 when it does not.
func terminalGroup(fd int) int {
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	if err != nil {
		return 0
	}
	return group
}

// canSuspend tells whether somebody could continue this process: a shell that
// is the parent of its process group, from another group of the same session.
// Where there is none, the kernel ignores the signals of the terminal that stop.
func canSuspend() bool {
	pids, err := processIDs()
	if err != nil || os.Getpid() == 1 {
		return false
	}
	group := syscall.Getpgrp()
	for _, pid := range pids {
		p, err := readStat(pid)
		if err != nil || p.group != group {
			continue
		}
		parent, err := readStat(p.parent)
		if err == nil && parent.session == p.session && parent.group != group {
			return true
		}
	}
	return false
}

// hasTerminal tells whether a terminal controls this process.
func hasTerminal() bool {
	p, err := readStat(os.Getpid())
	return err == nil && p.tty != 0
}

func isStopped(pid int) bool {
	p, err := readStat(pid)
	return err == nil && p.stopped
}
