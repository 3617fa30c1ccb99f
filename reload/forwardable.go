package reload

import (
	"os"
	"syscall"
)

// forwardable are the signals that are passed on: all but those that cannot be
// caught, those about kconfd's own children and pipes, and those that Go keeps
// to itself: SIGURG, with which it interrupts threads, SIGPROF, which is its
// profiler's, and 32 to 34, which it leaves to C libraries.
func forwardable() []os.Signal {
	var all []os.Signal
	for s := syscall.Signal(1); s <= maxSignal; s++ {
		switch s {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, syscall.SIGPIPE, syscall.SIGURG, syscall.SIGPROF, 32, 33, 34:
		default:
			all = append(all, s)
		}
	}
	return all
}

func isJobControl(sig syscall.Signal) bool {
	return sig == syscall.SIGCONT || isStop(sig)
}

// isStop tells the signals of a terminal that stop a process.
func isStop(sig syscall.Signal) bool {
	return sig == syscall.SIGTSTP || sig == syscall.SIGTTIN || sig == syscall.SIGTTOU
}
