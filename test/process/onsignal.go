package process

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// OnSignal is the main function of a child that runs a command for each signal that it
// gets. A shell with traps is no such child: dash loses a signal that comes while it starts
// a command, and one that comes between a command and wait.
//
// Each argument is NAME=COMMAND, NAME:CODE=COMMAND, or ready=COMMAND. The shell runs
// COMMAND for each signal NAME, one after the other; with CODE, the child ends then. It runs
// the command of ready as soon as the signals are caught. OnSignal returns the exit code, 2
// when the arguments are wrong.
func OnSignal(args []string) (code int) {
	on, err := parseReactions(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "onsignal:", err)
		return 2
	}
	runtime.LockOSThread() // with whose end a command ends
	caught := make(chan os.Signal, 64)
	for s := range on {
		if s != ready {
			signal.Notify(caught, s)
		}
	}
	on[ready].run()
	for s := range caught {
		r := on[s.(syscall.Signal)]
		r.run()
		if r.ends {
			return r.code
		}
	}
	return 0
}

// ready stands for no signal.
const ready = syscall.Signal(0)

// A reaction is what is done on a signal.
type reaction struct {
	command string
	ends    bool
	code    int
}

func (r reaction) run() {
	if r.command == "" {
		return
	}
	c := exec.Command("sh", "-c", r.command)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	// What the group is sent is for the child, and would kill the command.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := c.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "onsignal: running %q: %v\n", r.command, err)
	}
}

func parseReactions(args []string) (map[syscall.Signal]reaction, error) {
	on := map[syscall.Signal]reaction{}
	for _, arg := range args {
		what, command, found := strings.Cut(arg, "=")
		name, code, ends := strings.Cut(what, ":")
		r := reaction{command: command, ends: ends}
		if ends {
			var err error
			if r.code, err = strconv.Atoi(code); err != nil {
				return nil, fmt.Errorf("parsing %q: %w", arg, err)
			}
		}
		s := unix.SignalNum("SIG" + name)
		if name == "ready" {
			s = ready
		} else if s == 0 || !found {
			return nil, fmt.Errorf("parsing %q: want NAME[:CODE]=COMMAND", arg)
		}
		on[s] = r
	}
	return on, nil
}
