package reload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"al.essio.dev/pkg/shellescape"

	"github.com/kconfd/kconfd/internal/process/tree"
)

// A Command is an external command: either Argv, run as it is, or Shell, given to sh -c.
type Command struct {
	Argv    []string
	Shell   string
	Timeout time.Duration // how long it may run; 0 means 30 s, negative for ever
	Grace   time.Duration // from SIGTERM to SIGKILL; 0 means 2 s at the deadline, 50 ms when the context ends
	Dir     string        // working directory; empty means the caller's
	Env     []string      // KEY=VALUE, added to the caller's environment

	// Hide takes secrets out of the output, before anything of it is cut or shown; nil leaves it.
	Hide func(string) string `json:"-"`

	// Ran is called when the command has ended, with the end of its output, without secrets, and with
	// the error of Run; nil leaves it.
	Ran func(output string, err error) `json:"-"`

	// Isolate, unless nil, gives the command a mount namespace of its own. It is called on a thread in
	// that namespace, and mounts what only the command is to see. When that is not possible the command
	// is not started, and the error is, or wraps, an [*IsolationError].
	Isolate func() error `json:"-"`
}

// An IsolationError is a command that was not started for want of a mount namespace of its own.
type IsolationError = tree.IsolationError

// CanIsolate reports why commands cannot have mount namespaces of their own; nil when they can.
func CanIsolate() error { return tree.CanIsolate() }

const (
	defaultGrace = 2 * time.Second

	// endGrace is the grace when the context ends: the caller itself is about to end then, and whoever
	// told it so is waiting.
	endGrace = 50 * time.Millisecond

	// killWait bounds the wait for processes that got SIGKILL, which is over in microseconds unless the
	// kernel holds one.
	killWait = time.Second

	// groupPoll is how often a process group that takes its time to die is looked at: the kernel tells
	// nobody when the last process of a group is gone.
	groupPoll = 20 * time.Millisecond

	// outputWait bounds the wait for the end of the output of a command that has ended. What the
	// command itself wrote is in the pipe by then; a background process that it left may hold the
	// pipe open for ever.
	outputWait = 500 * time.Millisecond
)

// errTimedOut is the cause of a context that was ended by Command.Timeout.
var errTimedOut = errors.New("timed out")

// check reports what is wrong with the shape of the command.
func (c Command) check() error {
	switch {
	case len(c.Argv) == 0 && c.Shell == "":
		return errors.New(`field "command": missing`)
	case len(c.Argv) > 0 && c.Shell != "":
		return errors.New(`field "command": both a list and a shell command`)
	case len(c.Argv) > 0 && c.Argv[0] == "":
		return errors.New(`field "command": the first word is empty`)
	case c.Grace < 0:
		return fmt.Errorf("field %q: %v is negative", "grace", c.Grace)
	}
	for _, e := range c.Env {
		if strings.Index(e, "=") < 1 {
			return fmt.Errorf("field %q: %q is not KEY=VALUE", "env", e)
		}
	}
	return nil
}

func (c Command) isZero() bool {
	return len(c.Argv) == 0 && c.Shell == "" && c.Timeout == 0 && c.Grace == 0 && c.Dir == "" && len(c.Env) == 0
}

// String is the command as one would type it.
func (c Command) String() string {
	if c.Shell != "" {
		return c.Shell
	}
	return shellescape.QuoteCommand(c.Argv)
}

// Run runs the command and waits for it. A nil error means that it exited with status 0; any other
// error is a [*CommandError].
//
// When Timeout has passed or ctx ends, the command and everything that it has started gets SIGTERM, and
// after Grace SIGKILL; Run returns when they are gone. See [tree] for what belongs to it. That is an
// error whatever the command's exit status. What a command leaves in the background when it exits by
// itself is left alone; what it leaves when a signal ends it gets SIGKILL.
func (c Command) Run(ctx context.Context) error {
	if c.Timeout >= 0 {
		limited, cancel := context.WithTimeoutCause(ctx, cmp.Or(c.Timeout, defaultTimeout), errTimedOut)
		defer cancel()
		ctx = limited
	}
	if err := c.check(); err != nil {
		return c.failed(err, "")
	}
	if ctx.Err() != nil {
		return c.failed(fmt.Errorf("not started: %w", context.Cause(ctx)), "")
	}
	process, out, err := c.start()
	if err != nil {
		return c.failed(err, "")
	}
	err = waitOrStop(ctx, process, c.Grace)
	out.wait(outputWait)
	return c.ended(err, out)
}

// ended is what Run gives for a command that has ended with err.
func (c Command) ended(err error, out *output) error {
	if err == nil && c.Ran == nil {
		return nil
	}
	text := out.tail(c.Hide != nil) // the end of a secret would not be known for one
	if c.Hide != nil {
		text = c.Hide(text)
	}
	if err != nil {
		err = c.failed(err, text)
	}
	if c.Ran != nil {
		c.Ran(text, err)
	}
	return err
}

// Await repeats the command until it succeeds or ctx ends. The error is then
// that of the last try which came to its own end.
func (c Command) Await(ctx context.Context) error {
	var last error
	for {
		err := c.Run(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(pollPause):
		}
	}
}

// start starts the command in a process group of its own, with its output going to the output returned.
func (c Command) start() (*tree.Process, *output, error) {
	if _, err := os.Stat(c.Dir); c.Dir != "" && err != nil {
		return nil, nil, err // the kernel's error would blame the program
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("making a pipe: %w", err)
	}
	defer w.Close() // the command has its own copy by then
	argv := c.Argv
	if c.Shell != "" {
		argv = []string{"sh", "-c", c.Shell}
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdout, cmd.Stderr = w, w
	var process *tree.Process
	if c.Isolate != nil {
		process, err = tree.StartIsolated(cmd, c.Isolate)
	} else {
		process, err = tree.Start(cmd)
	}
	if err != nil {
		r.Close()
		return nil, nil, err
	}
	return process, collect(r), nil
}

// waitOrStop waits for a started command, or stops it when ctx ends, with all that it has started; a
// grace of 0 is the default for the cause of that. The error is the command's own, or the cause of ctx's
// end.
func waitOrStop(ctx context.Context, process *tree.Process, grace time.Duration) error {
	select {
	case <-process.Done():
		if process.Killed() { // it could not end what it has started
			process.End(0)
		}
		return process.Wait()
	case <-ctx.Done():
	}
	cause := context.Cause(ctx)
	fallback := endGrace
	if errors.Is(cause, errTimedOut) {
		fallback = defaultGrace
	}
	process.End(cmp.Or(grace, fallback))
	_ = process.Wait() // why it was stopped counts
	return fmt.Errorf("stopped: %w", cause)
}

// stopGroup ends a process group: politely, and after the grace for good.
func stopGroup(pgid int, grace time.Duration) {
	_ = syscall.Kill(-pgid, syscall.SIGTERM) // fails when it is gone already
	if groupGone(pgid, grace) {
		return
	}
	_ = syscall.Kill(-pgid, syscall.SIGKILL)
	groupGone(pgid, killWait)
}

// groupGone waits until a process group is gone, or the limit has passed. The whole group is waited
// for, not only its leader: a shell dies of SIGTERM at once, the program it runs may need its grace.
func groupGone(pgid int, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return untilGone(ctx, pgid) == nil
}

// A CommandError tells why a command failed. Its text is one line.
type CommandError struct {
	Command  Command
	ExitCode int            // -1 when it did not exit by itself
	Signal   syscall.Signal // what ended it, when that was not Run
	TimedOut bool           // Command.Timeout passed
	Output   string         // the end of standard output and standard error, at most 8 KiB
	Err      error          // why it could not run or was stopped; an *exec.ExitError when it exited
}

// failed makes the error of the command, of which the output has no secrets any more.
func (c Command) failed(err error, output string) *CommandError {
	e := &CommandError{Command: c, ExitCode: -1, TimedOut: errors.Is(err, errTimedOut), Output: output, Err: err}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return e
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		e.Signal = status.Signal()
	} else {
		e.ExitCode = exit.ExitCode()
	}
	return e
}

// Unwrap gives Err, in which the cause of the context's end is found when that stopped the command.
func (e *CommandError) Unwrap() error { return e.Err }

// Error reads `command "nginx -t": exit status 1: ` and the last line of the output that says anything.
func (e *CommandError) Error() string {
	s := fmt.Sprintf("command %q: %s", shorten(e.Command.String()), e.reason())
	if line := lastLine(e.Output); line != "" {
		s += ": " + line
	}
	return s
}

func (e *CommandError) reason() string {
	switch {
	case e.TimedOut:
		return fmt.Sprintf("timed out after %v", cmp.Or(e.Command.Timeout, defaultTimeout))
	case e.Signal != 0:
		return "ended by signal " + SignalName(e.Signal)
	case e.ExitCode == 126:
		return "exit status 126 (found, but cannot be executed)"
	case e.ExitCode == 127:
		return "exit status 127 (not found)"
	case e.ExitCode >= 0:
		return fmt.Sprintf("exit status %d", e.ExitCode)
	case e.Command.Shell != "" && errors.Is(e.Err, exec.ErrNotFound):
		return "sh: not found; give the command as a list"
	case missingInterpreter(e.Err):
		return e.Err.Error() + ": the file is there, but not the interpreter or loader that it needs"
	}
	return e.Err.Error()
}

// missingInterpreter tells whether a file that exists could not be started because another does not:
// the kernel says "no such file or directory" for both.
func missingInterpreter(err error) bool {
	var pathErr *fs.PathError
	if !errors.As(err, &pathErr) || pathErr.Op != "fork/exec" || !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	_, err = os.Stat(pathErr.Path)
	return err == nil
}
