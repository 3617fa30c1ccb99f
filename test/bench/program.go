package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// patience is how long a program may take for what takes it milliseconds.
const patience = time.Minute

// program is one of those that are measured.
type program struct {
	name string
	path string
	args func(f *fixture, dir string) []string
}

func floor(path string) program {
	return program{name: "floor", path: path, args: func(f *fixture, dir string) []string {
		return []string{
			"-kubeconfig", f.kubeconfig, "-namespace", f.namespace,
			"-service", "web", "-target", target(dir),
		}
	}}
}

func kconfd(path string) program {
	return program{name: "kconfd", path: path, args: func(f *fixture, dir string) []string {
		return []string{
			"-kubeconfig", f.kubeconfig, "-namespace", f.namespace,
			"-wait", "0s", "-template", source(dir) + ":" + target(dir),
		}
	}}
}

func source(dir string) string { return filepath.Join(dir, "template") }
func target(dir string) string { return filepath.Join(dir, "live", "addresses") }
func log(dir string) string    { return filepath.Join(dir, "log") }

// session is a running program and the file that it writes.
type session struct {
	dir   string
	cmd   *exec.Cmd
	done  chan struct{} // closed when the program has ended
	files *fsnotify.Watcher
}

// start starts the program and returns when it has written all of the fixture's
// addresses, with the time that this took.
func (b *bench) start(ctx context.Context, p program, f *fixture) (_ *session, took time.Duration, err error) {
	s := &session{done: make(chan struct{})}
	if s.dir, err = os.MkdirTemp(b.dir, "session-"); err != nil {
		return nil, 0, err
	}
	if err := s.prepare(f.template); err != nil {
		return nil, 0, err
	}
	began := time.Now()
	if err := s.run(p.path, p.args(f, s.dir)); err != nil {
		return nil, 0, errors.Join(err, s.files.Close())
	}
	seen, err := s.await(ctx, hasLines(f.endpoints))
	if err != nil {
		s.stop()
		return nil, 0, err
	}
	return s, seen.Sub(began), nil
}

func (s *session) prepare(template string) (err error) {
	if err := os.WriteFile(source(s.dir), []byte(template), 0o600); err != nil {
		return err
	}
	live := filepath.Dir(target(s.dir))
	if err := os.Mkdir(live, 0o700); err != nil {
		return err
	}
	if s.files, err = fsnotify.NewWatcher(); err != nil {
		return err
	}
	return s.files.Add(live)
}

func (s *session) run(path string, args []string) error {
	output, err := os.Create(log(s.dir))
	if err != nil {
		return err
	}
	defer output.Close()
	s.cmd = exec.Command(path, args...)
	s.cmd.Stdout, s.cmd.Stderr = output, output
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func() { // stopped by the program's end
		_ = s.cmd.Wait() // how it ended is in ProcessState
		close(s.done)
	}()
	return nil
}

func (s *session) pid() int { return s.cmd.Process.Pid }

// await returns the moment at which the file came that has what is wanted, or
// now if it came earlier.
func (s *session) await(ctx context.Context, wanted func(content []byte) bool) (time.Time, error) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case event := <-s.files.Events:
			seen := time.Now()
			if event.Name != target(s.dir) {
				continue
			}
			if content, err := os.ReadFile(event.Name); err == nil && wanted(content) {
				return seen, nil
			}
		case err := <-s.files.Errors:
			return time.Time{}, fmt.Errorf("watching %q: %w", s.dir, err)
		case <-s.done:
			return time.Time{}, s.ended()
		case <-timeout.C:
			return time.Time{}, fmt.Errorf("waiting for %q: nothing after %v\n%s", s.cmd.Path, patience, s.output())
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
}

// idle lets the program be for a while.
func (s *session) idle(ctx context.Context, while time.Duration) error {
	select {
	case <-time.After(while):
		return nil
	case <-s.done:
		return s.ended()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *session) ended() error {
	return fmt.Errorf("running %q: %v\n%s", s.cmd.Path, s.cmd.ProcessState, s.output())
}

func (s *session) output() []byte {
	content, err := os.ReadFile(log(s.dir))
	if err != nil {
		return []byte(err.Error())
	}
	return content[max(0, len(content)-4000):]
}

// stop ends the program and removes what it wrote.
func (s *session) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(patience):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	_ = s.files.Close()
	_ = os.RemoveAll(s.dir)
}

func hasLines(n int) func([]byte) bool {
	return func(content []byte) bool { return bytes.Count(content, []byte("\n")) == n }
}

func hasAddress(address string) func([]byte) bool {
	return func(content []byte) bool { return bytes.Contains(content, []byte(address+"\n")) }
}
