//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// A process is a program of the cluster that runs.
type process struct {
	name string
	args []string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended

	killed bool // on purpose, and not started again
}

// startProcess starts a program with its output behind what is in dir/name.log. The
// end of the namespaces ends it.
func startProcess(dir string, name string, args ...string) (*process, error) {
	p := &process{name: name, args: args, log: filepath.Join(dir, filepath.Base(name)+".log")}
	return p, p.start()
}

// start starts it again when it has ended.
func (p *process) start() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("starting %q: %w", p.name, err)
	}
	defer log.Close()
	p.killed = false
	p.cmd, p.done = exec.Command(p.name, p.args...), make(chan struct{})
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("starting %q: %w", p.name, err)
	}
	cmd, done := p.cmd, p.done
	go func() { // until the program ends
		_ = cmd.Wait() // how it ended is in the log
		close(done)
	}()
	return nil
}

// kill ends the program at once. One that has ended is no error.
func (p *process) kill() error {
	p.killed = true
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %q to %q: %w", s, p.name, err)
	}
	return nil
}

// tail is the end of the program's log.
func (p *process) tail() string {
	content, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(content[max(0, len(content)-4000):])
}
