package tree

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// An IsolationError is a program that was not started, since it could not have a mount namespace of
// its own, or not what is to be mounted there.
type IsolationError struct{ Err error }

func (e *IsolationError) Error() string { return "a private mount namespace: " + e.Err.Error() }

// Unwrap gives Err.
func (e *IsolationError) Unwrap() error { return e.Err }

// CanIsolate reports why this process cannot give a program a mount namespace of its own: nil when it
// can.
func CanIsolate() error {
	result := make(chan error)
	onThread(func() { result <- isolate(func() error { return nil }) })
	return <-result
}

// onThread calls do on a thread that ends afterwards, and does not wait for it. The thread is not the
// first one of the process: /proc shows the namespace of that one as the process's.
func onThread(do func()) {
	go func() { // until do returns
		runtime.LockOSThread() // without unlocking it: the thread ends with this goroutine
		if unix.Gettid() != os.Getpid() {
			do()
			return
		}
		defer runtime.UnlockOSThread()
		elsewhere := make(chan struct{})
		go func() { // which has to be on another thread, while this one is held
			runtime.LockOSThread()
			close(elsewhere)
			do()
		}()
		<-elsewhere
	}()
}

// isolate gives the calling thread a mount namespace of its own, from which no mount reaches another
// one, and calls mount there. The thread is of no use for anything else afterwards.
func isolate(mount func() error) error {
	wd, wdErr := os.Getwd()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return &IsolationError{fmt.Errorf("unshare: %w", err)}
	}
	// What is mounted and unmounted outside is seen here, and not the other way round.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return &IsolationError{fmt.Errorf("mount: %w", err)}
	}
	if err := mount(); err != nil {
		return &IsolationError{err}
	}
	if wdErr == nil {
		// The directory that the thread stands in may have been mounted over. Of the thread alone:
		// since unshare it has a working directory of its own.
		if err := unix.Chdir(wd); err != nil {
			return &IsolationError{fmt.Errorf("entering %q: %w", wd, err)}
		}
	}
	return nil
}
