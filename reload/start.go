package reload

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A StartError is a child that could not be started. Its code is the one that
// a shell would end with: 127 for a command that is not there, 126 for one
// that cannot be executed.
type StartError struct {
	Code int
	Err  error
}

func (e *StartError) Error() string { return "starting the child: " + e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }

// A Launcher starts children as processes of the operating system.
type Launcher struct {
	Notify *Notifier // nil: the child has no NOTIFY_SOCKET
	Link   *Link     // nil: there is no init to tell
}

// Start starts an instance of c as a process group of its own, with the
// standard streams of the caller and, on a terminal, in its foreground. It is
// a [Starter].
func (l Launcher) Start(c Child, ready func()) (Process, error) {
	if _, err := os.Stat(c.Dir); c.Dir != "" && err != nil {
		return nil, &StartError{126, err} // the kernel's error would blame the command
	}
	path, err := lookPath(c)
	if err != nil {
		return nil, err
	}
	var handle *os.Process
	err = l.Notify.expect(c, func() (int, error) {
		if handle, err = l.startProgram(path, c); err != nil {
			return 0, startError(err)
		}
		return handle.Pid, nil
	}, ready)
	if err != nil {
		return nil, err
	}
	p := &osProcess{pid: handle.Pid, handle: handle, child: c, link: l.Link}
	p.announce()
	if l.Link != nil {
		go p.watchStops() // until the process ends
	}
	return p, nil
}

// A program that is being written to cannot be started: the kernel says so while
// any process has it open for that, perhaps only one that was just forked.
const (
	busyWait  = 500 * time.Millisecond
	busyPause = 5 * time.Millisecond
)

func (l Launcher) startProgram(path string, c Child) (*os.Process, error) {
	for deadline := time.Now().Add(busyWait); ; time.Sleep(busyPause) {
		cmd := l.command(path, c)
		start := cmd.Start
		if c.NoNewPrivs {
			start = func() error { return withoutNewPrivileges(cmd.Start) }
		}
		err := start()
		if !errors.Is(err, syscall.ETXTBSY) || time.Now().After(deadline) {
			return cmd.Process, err
		}
	}
}

func (l Launcher) command(path string, c Child) *exec.Cmd {
	cmd := &exec.Cmd{
		Path: path, Args: c.Argv, Env: c.Env, Dir: c.Dir,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Credential: c.User.credential()},
	}
	if l.Notify != nil {
		cmd.Env = append(slices.Clone(cmd.Env), "NOTIFY_SOCKET="+l.Notify.Address())
	}
	return cmd
}

// Adopt takes over the child that an earlier worker left to init, as if it had
// started it. It is a [Starter].
func (l Launcher) Adopt(c Child, ready func()) (Process, error) {
	pid := l.Link.Adopted
	// It is a process or a zombie, or init is about to say how it ended.
	handle, err := os.FindProcess(pid)
	if err != nil {
		return nil, fmt.Errorf("taking over process %d: %w", pid, err)
	}
	_ = l.Notify.expect(c, func() (int, error) { return pid, nil }, ready)
	p := &adopted{osProcess{pid: pid, handle: handle, child: c, link: l.Link}}
	p.announce()
	if l.Link.ready {
		ready()
	}
	return p, nil
}

// defaultPath is where a shell looks when the environment has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// lookPath finds the command along the PATH that the child will have.
func lookPath(c Child) (string, error) {
	name := c.Argv[0]
	if strings.Contains(name, "/") {
		return name, nil
	}
	var found error = exec.ErrNotFound
	for _, dir := range filepath.SplitList(pathOf(c.Env)) {
		path := filepath.Join(dir, name)
		if !filepath.IsAbs(path) {
			continue // it would depend on where kconfd was started
		}
		info, err := os.Stat(path)
		switch {
		case err != nil || info.IsDir():
		case info.Mode()&0o111 == 0:
			found = fmt.Errorf("%s: %w", path, fs.ErrPermission)
		default:
			return path, nil
		}
	}
	return "", startError(fmt.Errorf("%q: %w", name, found))
}

func pathOf(env []string) string {
	path := defaultPath
	for _, e := range env {
		if p, ok := strings.CutPrefix(e, "PATH="); ok {
			path = p
		}
	}
	return path
}

func startError(err error) error {
	code := 126
	if errors.Is(err, syscall.E2BIG) {
		err = fmt.Errorf("%w: the kernel takes %d bytes a word, and %d together", err, maxWord, maxWords())
	}
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) && !missingInterpreter(err) {
		code = 127
	}
	return &StartError{Code: code, Err: err}
}

// osProcess is a Process of the operating system, which leads a process group.
// It is not reaped before the group is gone: as long as it is a zombie, nobody
// else is given its id.
type osProcess struct {
	pid    int // and its group; handle's may change
	handle *os.Process
	child  Child
	link   *Link
	over   atomic.Bool // the id may be somebody else's
}

// announce tells init about the process and gives it the terminal.
func (p *osProcess) announce() {
	stop := p.child.stopSignal()
	if p.child.StopBeforeReady == StopKills {
		stop = syscall.SIGKILL // until it is ready
	}
	p.link.child(p.pid, stop, p.child.grace())
	moveTerminal(p.link.initGroup(), p.pid)
}

func (p *osProcess) Ready() {
	p.link.child(p.pid, p.child.stopSignal(), p.child.grace())
	p.link.childReady()
}

func (p *osProcess) Restarting(progress Progress) { p.link.restarting(progress) }

func (p *osProcess) Signal(sig syscall.Signal, group bool) error {
	var info siginfo
	switch {
	case p.over.Load():
		return os.ErrProcessDone
	case group:
		return p.signalGroup(sig)
	case waitid(unix.P_PID, p.pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT) == nil && info.pid() != 0:
		return os.ErrProcessDone // to a zombie, the kernel would send it
	}
	return p.handle.Signal(sig)
}

func (p *osProcess) signalGroup(sig syscall.Signal) error {
	err := syscall.Kill(-p.pid, sig)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// Handles reads /proc. That a signal is blocked is no sign: C libraries block
// all for a moment when they start a process or a thread.
func (p *osProcess) Handles(sig syscall.Signal) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return true // it has ended
	}
	for line := range strings.Lines(string(status)) {
		name, set, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name != "SigIgn" && name != "SigCgt" {
			continue
		}
		if bits, err := strconv.ParseUint(strings.TrimSpace(set), 16, 64); err == nil && bits>>(sig-1)&1 == 1 {
			return true
		}
	}
	return false
}

func (p *osProcess) Wait() Exit {
	var info siginfo
	_ = waitid(unix.P_PID, p.pid, &info, unix.WEXITED|unix.WNOWAIT) // it is a child, so this works
	return info.exit()
}

func (p *osProcess) Gone(ctx context.Context) error {
	if err := p.gone(ctx); err != nil {
		return err
	}
	_, _ = p.handle.Wait() // how it ended is known
	return nil
}

// gone waits until nothing of the group is left but zombies.
func (p *osProcess) gone(ctx context.Context) error {
	if err := untilGone(ctx, p.pid); err != nil {
		return err
	}
	moveTerminal(p.pid, p.link.initGroup())
	p.link.noChild()
	p.over.Store(true)
	return nil
}

// untilGone waits until nothing of a group is left but zombies. Most groups are
// gone a moment after they were signalled; who lives longer is looked at less often.
func untilGone(ctx context.Context, group int) error {
	for pause := time.Millisecond; groupLives(group); pause = min(2*pause, groupPoll) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// watchStops tells init when the process is stopped, so that, when the terminal
// did it, the whole job stops, as it does in a shell. One that is stopped for reading from the
// terminal just before it was given that goes on.
func (p *osProcess) watchStops() {
	for {
		var info siginfo
		if err := waitid(unix.P_PID, p.pid, &info, unix.WSTOPPED); err != nil {
			return // it has ended
		}
		switch sig := syscall.Signal(info.status); {
		case p.link.suspended.Load(): // by a signal that init got, and knows about
		case (sig == syscall.SIGTTIN || sig == syscall.SIGTTOU) && terminalGroup(int(os.Stdin.Fd())) == p.pid:
			_ = syscall.Kill(-p.pid, syscall.SIGCONT)
		default:
			p.link.childStopped(p.pid, sig)
		}
	}
}

// adopted is a child that an earlier worker started. Init is its parent by now
// and tells how it has ended.
type adopted struct{ osProcess }

func (a *adopted) Signal(sig syscall.Signal, group bool) error {
	switch {
	case a.over.Load():
		return os.ErrProcessDone
	case group:
		return a.signalGroup(sig)
	}
	return a.handle.Signal(sig)
}

func (a *adopted) Wait() Exit {
	if exit, ok := <-a.link.ended; ok {
		return exit
	}
	// Init is gone, and how the child ends will not be known.
	before, err := readStat(a.pid)
	for now := before; err == nil && now.start == before.start; now, err = readStat(a.pid) {
		time.Sleep(groupPoll)
	}
	return Exit{Code: 1}
}

func (a *adopted) Gone(ctx context.Context) error { return a.gone(ctx) }
