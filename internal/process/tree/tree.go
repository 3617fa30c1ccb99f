package tree

import (
	"context"
	"crypto/rand"
	"errors"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// markVariable holds the marks of all programs that a process belongs to,
// outermost first, with commas between them.
const markVariable = "KCONFD_COMMAND_ID"

const (
	// killWait bounds the wait for processes that got SIGKILL, which is over in
	// microseconds unless the kernel holds one.
	killWait = time.Second

	// longestPoll is how often a tree that takes its time to end is looked at. The
	// kernel reports only the end of children.
	longestPoll = 20 * time.Millisecond
)

// A Process is a program that was started by [Start].
type Process struct {
	cmd   *exec.Cmd
	root  process // as it was at its start
	mark  string
	ended chan struct{} // closed when the program itself has ended
	info  siginfo       // read after ended

	seen map[process]bool // orphans, and whether they have the mark
}

// Start starts cmd as the leader of a process group of its own. The caller calls
// Wait once, after Done is closed or End has returned. A Pdeathsig of cmd is sent
// when this process ends, rather than one of its threads.
func Start(cmd *exec.Cmd) (*Process, error) {
	return start(cmd, func(do func()) {
		go func() { // until the program ends
			// The kernel sends the Pdeathsig when the thread ends that started the program.
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			do()
		}()
	}, func() error { return nil })
}

// StartIsolated is [Start] for a program with a mount namespace of its own. It calls mount on a thread
// that is in the namespace: what mount opens and mounts is there, and seen by the program alone. The
// error is an [*IsolationError] when that fails; the program has not been started then.
func StartIsolated(cmd *exec.Cmd, mount func() error) (*Process, error) {
	return start(cmd, onThread, func() error { return isolate(mount) })
}

// start starts cmd on a thread of its own, which on provides, after prepare was called there.
func start(cmd *exec.Cmd, on func(do func()), prepare func() error) (*Process, error) {
	p := &Process{cmd: cmd, mark: rand.Text(), ended: make(chan struct{}), seen: map[process]bool{}}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.Env = marked(cmd.Environ(), p.mark)
	started := make(chan error)
	on(func() {
		err := prepare()
		if err == nil {
			err = cmd.Start()
		}
		if err == nil {
			p.root = process{pid: cmd.Process.Pid}
			if root, err := readProcess(cmd.Process.Pid); err == nil { // it is there until Wait
				p.root = root
			}
		}
		started <- err
		if err == nil {
			p.awaitEnd()
		}
	})
	return p, <-started
}

// awaitEnd leaves the program as a zombie: its process id, which is also that of
// its group, is not given to another process before Wait.
func (p *Process) awaitEnd() {
	for {
		err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, (*unix.Siginfo)(unsafe.Pointer(&p.info)), unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	close(p.ended)
}

// siginfo is what waitid(2) reports about a child, in the kernel's layout.
type siginfo struct {
	_, _, code int32
	_          [128 - 12]byte
}

// codeExited is the code of a child that called exit.
const codeExited = 1

// Done is closed when the program has ended. What it started may go on.
func (p *Process) Done() <-chan struct{} { return p.ended }

// Killed says whether a signal ended the program. It is valid once Done is closed.
func (p *Process) Killed() bool { return p.info.code != codeExited }

// Wait gives the result of the program, as [exec.Cmd.Wait] does.
func (p *Process) Wait() error {
	<-p.ended
	return p.cmd.Wait()
}

// End ends the program and all that it started: with SIGTERM, and after grace with
// SIGKILL. A grace of 0 is SIGKILL at once. It returns when all are gone, or a
// second after the SIGKILL when the kernel holds a process.
func (p *Process) End(grace time.Duration) {
	if grace > 0 {
		p.signal(syscall.SIGTERM)
		if p.gone(grace, func() {}) {
			return
		}
	}
	// What forks faster than it is killed has to be looked for again.
	p.gone(killWait, func() { p.signal(syscall.SIGKILL) })
}

// signal sends a signal to each process of the tree, once. The group gets it where
// /proc does not show the processes of other users as well.
func (p *Process) signal(sig syscall.Signal) {
	members := p.members()
	_ = syscall.Kill(-p.root.pid, sig) // all may be gone
	for _, member := range members {
		if member.group != p.root.pid {
			member.signal(sig)
		}
	}
}

// gone waits until nothing of the tree lives, and calls each before each look. It
// is false when the limit has passed before.
func (p *Process) gone(limit time.Duration, each func()) bool {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for pause := time.Millisecond; ; pause = min(2*pause, longestPoll) {
		each()
		if p.hasEnded() && len(p.members()) == 0 {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

func (p *Process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Bind has the kernel send SIGKILL to cmd when this process ends.
func Bind(cmd *exec.Cmd) *exec.Cmd {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return cmd
}

// Run runs cmd, which it binds, until it ends by itself or ctx ends. All that it
// started is ended then, with SIGKILL. The error is that of [exec.Cmd.Run], or the
// cause of ctx's end when that came before the start.
func Run(ctx context.Context, cmd *exec.Cmd) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p, err := Start(Bind(cmd))
	if err != nil {
		return err
	}
	return p.Await(ctx)
}

// Await is the rest of [Run] after the start.
func (p *Process) Await(ctx context.Context) error {
	select {
	case <-p.Done():
	case <-ctx.Done():
	}
	p.End(0)
	return p.Wait()
}

// marked is an environment with one more mark.
func marked(environment []string, mark string) []string {
	for i, variable := range environment {
		if marks, found := strings.CutPrefix(variable, markVariable+"="); found {
			environment = append([]string{}, environment...)
			environment[i] = markVariable + "=" + Marks(marks, mark)
			return environment
		}
	}
	return append(environment, markVariable+"="+mark)
}
