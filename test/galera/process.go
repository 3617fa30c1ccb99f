package galera

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Process is a command that was started as PID 1 of a PID namespace. When it
// ends, the kernel ends all that is left in the namespace.
type Process struct {
	cmd   *exec.Cmd
	log   string
	ended chan struct{} // closed when nothing of the namespace is left
}

// start runs the command in the network, with its output in the file. It dies
// with this process, however that ends: the kernel sends it the Pdeathsig.
func (n *network) start(cmd *exec.Cmd, log string) (*Process, error) {
	output, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644) // as others write to it too
	if err != nil {
		return nil, err
	}
	defer output.Close()
	p := &Process{cmd: cmd, log: log, ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = output, output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS,
		Setsid:     true,
		Pdeathsig:  syscall.SIGKILL,
	}
	started := make(chan error, 2)
	go func() { // until the command ends
		// The Pdeathsig is sent when the thread ends that started the command.
		started <- n.in(func() error {
			if err := p.cmd.Start(); err != nil {
				return err
			}
			started <- nil
			_ = p.cmd.Wait() // how it ended is in p.cmd
			close(p.ended)
			return nil
		})
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %q: %w", cmd.Args, err)
	}
	return p, nil
}

// Ended is closed when the command has ended, and with it all in its namespace.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// PID is the command's process id as the test sees it.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal to the command, if it still runs.
func (p *Process) Signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("sending %q to process %d: %v\n%s", s, p.PID(), err, p.Log())
	}
}

// Wait waits for the end, and gives the exit code, -1 when a signal ended the
// command. It fails when the end does not come within the limit, which is for
// what must not take longer.
func (p *Process) Wait(t testing.TB, limit time.Duration) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit):
		t.Fatalf("process %d has not ended after %v:\n%s", p.PID(), limit, p.Log())
	}
	return p.cmd.ProcessState.ExitCode()
}

// kill ends the command and all in its namespace.
func (p *Process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// Log is what the command and all that it started have written.
func (p *Process) Log() string {
	content, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(content)
}

// AwaitLog waits until the log matches.
func (p *Process) AwaitLog(t testing.TB, pattern string) {
	t.Helper()
	r := regexp.MustCompile(pattern)
	Await(t, "log matches "+pattern, func() bool {
		select {
		case <-p.ended:
			if !r.MatchString(p.Log()) {
				t.Fatalf("process %d ended, and its log does not match %s:\n%s", p.PID(), pattern, p.Log())
			}
		default:
		}
		return r.MatchString(p.Log())
	})
}

// A Found is a process that was found in /proc.
type Found struct {
	PID, Parent int // as the test sees them
	Command     string
}

// processes are those with the mark in their environment, which all that a
// process starts has as well.
func processes(mark string) ([]Found, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/environ")
	var found []Found
	for _, path := range paths {
		dir := filepath.Dir(path)
		environ, _ := os.ReadFile(path) // it may have ended since
		if !slices.Contains(strings.Split(string(environ), "\x00"), mark) {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		stat, _ := os.ReadFile(filepath.Join(dir, "stat"))
		_, after, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(after)
		if len(fields) < 2 {
			continue
		}
		f := Found{Command: strings.ReplaceAll(strings.TrimRight(string(line), "\x00"), "\x00", " ")}
		f.PID, _ = strconv.Atoi(filepath.Base(dir)) // a number, see the pattern
		f.Parent, _ = strconv.Atoi(fields[1])       // and this too, see proc(5)
		found = append(found, f)
	}
	return found, err
}

// runs says whether the command has not ended.
func (p *Process) runs() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}
