package reload

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// Become runs the child's command in place of this process: with its arguments, environment,
// directory, account and no_new_privs. What else a child has needs a supervisor, and does nothing
// here. It returns only when it fails, with a [*StartError]; this process has then lost the rights
// that the account does not have.
func Become(c Child) error {
	path, err := lookPath(c)
	if err != nil {
		return err
	}
	runtime.LockOSThread() // the thread becomes the command
	if err := c.User.become(); err != nil {
		return startError(fmt.Errorf("changing to user %d and group %d: %w", c.User.UID, c.User.GID, err))
	}
	if c.NoNewPrivs {
		if err := NoNewPrivileges(); err != nil {
			return startError(err)
		}
	}
	if c.Dir != "" {
		if err := os.Chdir(c.Dir); err != nil {
			return startError(err)
		}
	}
	err = syscall.Exec(path, c.Argv, lastOfEach(c.Env))
	if missingInterpreter(&os.PathError{Op: "fork/exec", Path: path, Err: err}) {
		return &StartError{Code: 126, Err: fmt.Errorf("%w: the file is there, but not the interpreter or loader that it needs", err)}
	}
	return startError(err)
}

// lastOfEach is an environment with the last value of each variable: which of several counts differs
// from program to program.
func lastOfEach(env []string) []string {
	last := map[string]int{}
	for i, e := range env {
		name, _, _ := strings.Cut(e, "=")
		last[name] = i
	}
	var kept []string
	for i, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if last[name] == i {
			kept = append(kept, e)
		}
	}
	return slices.Clip(kept)
}
