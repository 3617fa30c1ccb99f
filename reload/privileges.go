package reload

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// NoNewPrivileges keeps what the calling thread executes, and all that descends
// from it, from gaining rights by programs that are set-user-ID, set-group-ID or have file
// capabilities: see PR_SET_NO_NEW_PRIVS in prctl(2). It cannot be undone. The caller
// has locked its goroutine to the thread.
func NoNewPrivileges() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("setting no_new_privs: %w", err)
	}
	return nil
}

// withoutNewPrivileges runs start on a thread whose children have
// [NoNewPrivileges]. The thread is used for nothing else, and ends.
func withoutNewPrivileges(start func() error) error {
	done := make(chan error, 1)
	go func() { // until start has returned
		runtime.LockOSThread() // and not unlocked, which ends the thread with the goroutine
		if err := NoNewPrivileges(); err != nil {
			done <- err
			return
		}
		done <- start()
	}()
	return <-done
}
