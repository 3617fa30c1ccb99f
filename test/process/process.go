// Package process runs commands beside a test, which reads what they write.
package process

import (
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// Patience is how long a test waits for what must come. It is long, since the
// machine may have much else to do, and nobody waits for it when all is well.
const Patience = time.Minute

// Await waits until a condition holds.
func Await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(Patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// A Process is a command that a test has started.
type Process struct {
	t     testing.TB
	cmd   *exec.Cmd
	log   Output
	ended chan struct{} // closed when it has
}

// Start starts the command in a process group of its own, and takes its standard
// output and standard error. If it is still there when the test ends, SIGTERM ends it:
// what it has started elsewhere is its own to stop. If that takes too long, its group is
// killed. The log of a test that fails has what it wrote.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{t: t, cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // until the process ends
		_ = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.end()
		if t.Failed() {
			t.Logf("%q:\n%s", cmd.Args, p.Log())
		}
	})
	return p
}

func (p *Process) end() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(Patience):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.ended
	}
}

// Wait waits for the end, and gives the exit code, -1 when a signal ended it.
func (p *Process) Wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(Patience):
		p.t.Fatalf("%q does not end", p.cmd.Args)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Signal sends the signal.
func (p *Process) Signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("sending %v to %q: %v", s, p.cmd.Args, err)
	}
}

// Stop sends the signal and demands an end with 0.
func (p *Process) Stop(s syscall.Signal) {
	p.t.Helper()
	p.Signal(s)
	if code := p.Wait(); code != 0 {
		p.t.Errorf("%q: got exit code %d after %v, want 0", p.cmd.Args, code, s)
	}
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log is what it has written so far.
func (p *Process) Log() string { return p.log.String() }

// AwaitLog waits until the log matches from the mark on, a number of bytes. It gives
// the mark for what is written after that.
func (p *Process) AwaitLog(mark int, pattern string) int {
	p.t.Helper()
	r := regexp.MustCompile(pattern)
	Await(p.t, "log matches "+pattern, func() bool { return r.MatchString(p.Log()[mark:]) })
	return len(p.Log())
}

// WriteProgram writes an executable file, which can be run at once. With os.WriteFile alone, a
// process that another goroutine starts meanwhile has the file open for writing until its exec,
// and the kernel refuses to run it ("text file busy").
func WriteProgram(path string, content []byte) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(path, content, 0o755)
}
