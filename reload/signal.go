package reload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrNoProcess is in the error of a signal action when there is nobody to signal: the pid file is stale,
// or no process has the name.
var ErrNoProcess = errors.New("no such process")

// maxSignal is the last of Linux's real-time signals.
const maxSignal = 64

// ParseSignal reads a signal's name with or without SIG, in upper or lower case, or its number.
func ParseSignal(s string) (syscall.Signal, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 1 || n > maxSignal {
			return 0, fmt.Errorf("signal %q: not a number from 1 to %d", s, maxSignal)
		}
		return syscall.Signal(n), nil
	}
	sig := unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(s), "SIG"))
	if sig == 0 {
		return 0, fmt.Errorf("signal %q: unknown", s)
	}
	return sig, nil
}

// SignalName is the short name, HUP, or the number where there is no name.
func SignalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return strings.TrimPrefix(name, "SIG")
	}
	return strconv.Itoa(int(sig))
}

func (a Action) validateSignal() error {
	switch {
	case a.Signal == 0:
		return errors.New(`field "signal": missing`)
	case a.Signal < 0 || a.Signal > maxSignal:
		return fmt.Errorf(`field "signal": %d is not a number from 1 to %d`, int(a.Signal), maxSignal)
	case a.Group && !a.ForChild():
		return errors.New(`field "group": does nothing with pid_file or process`)
	case a.UID != nil && a.ForChild():
		return errors.New(`field "user": does nothing without pid_file or process`)
	case strings.Contains(a.Process, "/"):
		return fmt.Errorf(`field "process": %q is a path, want the base name`, a.Process)
	}
	return nil
}

func (a Action) signal(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		err = a.sendSignal()
	}
	if err != nil {
		return fmt.Errorf("%v: %w", a, err)
	}
	return nil
}

func (a Action) sendSignal() error {
	p, err := a.target()
	if err != nil {
		return err
	}
	return p.signal(a.Signal, a.Process)
}

// target finds the one process that is meant.
func (a Action) target() (process, error) {
	if a.PIDFile == "" {
		return findProcess(a.Process, a.UID)
	}
	file, err := readPIDFile(a.PIDFile)
	if err != nil {
		return process{}, err
	}
	if file.pid == 1 && a.Process == "" {
		return process{}, errors.New("it holds 1, which may be anybody's init; name the process as well")
	}
	p, err := readProcess(file.pid)
	if err != nil {
		return process{}, fmt.Errorf("stale: process %d: %w", file.pid, err)
	}
	if a.Process != "" && !p.named(a.Process) {
		return process{}, fmt.Errorf("process %d is %q", p.pid, p.comm)
	}
	return p, file.mayName(p, a.UID)
}

// signal sends sig to p, if p is still the process it was when it was read, still of the same user, and
// still bears the name when there is one.
func (p process) signal(sig syscall.Signal, name string) error {
	handle, err := os.FindProcess(p.pid) // a pidfd: from here on the number cannot come to mean another
	if err != nil {
		return err
	}
	defer func() { _ = handle.Release() }()
	now, err := readProcess(p.pid)
	if err != nil {
		return fmt.Errorf("process %d: %w", p.pid, err)
	}
	if now.start != p.start || now.uid != p.uid || name != "" && !now.named(name) {
		return fmt.Errorf("process %d is another by now: %w", p.pid, ErrNoProcess)
	}
	err = handle.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		err = ErrNoProcess
	}
	if err != nil {
		return fmt.Errorf("process %d: %w", p.pid, err)
	}
	return nil
}
