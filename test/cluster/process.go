package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	version = "1.36.3"

	// stopTimeout is how long an orderly end may take. The API server waits
	// for requests that it is answering.
	stopTimeout = 10 * time.Second

	// logTail is how much of a log is shown when a start fails, in bytes.
	logTail = 4000
)

// Binary is the path of a program of the control plane, such as "kubectl": in the
// directory that KCONFD_KUBERNETES_BIN names, or where `make kubernetes` puts it.
func Binary(name string) (string, error) {
	dir := os.Getenv("KCONFD_KUBERNETES_BIN")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("finding %q: %w", name, err)
		}
		dir = filepath.Join(cache, "kconfd", "kubernetes-"+version)
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("finding %q: %w; run: make kubernetes", name, err)
	}
	return path, nil
}

// process is a running program. A nil process is one that never ran.
type process struct {
	name string
	log  string
	pid  int
	done chan struct{} // closed when the program has ended
	err  error         // how it ended; read after done
}

// start starts a program of the control plane, with its output in dir. The
// program dies with this process, however that ends.
func start(dir, name string, args ...string) (*process, error) {
	path, err := Binary(name)
	if err != nil {
		return nil, err
	}
	p := &process{name: name, log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting %q: %w", name, err)
	}
	defer log.Close()
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go p.run(cmd, started) // stopped by the program's end
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %q: %w", name, err)
	}
	return p, nil
}

// run starts the program and waits for its end. It keeps the thread to itself:
// the kernel sends the Pdeathsig when the thread that started a program ends.
func (p *process) run(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	p.pid = cmd.Process.Pid
	started <- nil
	p.err = cmd.Wait()
	close(p.done)
}

// signal sends it to the program's process group. A program that has ended is an
// error.
func (p *process) signal(s syscall.Signal) error {
	select {
	case <-p.done:
		return fmt.Errorf("sending %q to %q: %w", s, p.name, os.ErrProcessDone)
	default:
		return syscall.Kill(-p.pid, s)
	}
}

// pause returns when all of the program's threads have stopped.
func (p *process) pause() error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for {
		err := unix.Waitid(unix.P_PID, p.pid, nil, unix.WSTOPPED, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// kill ends the program at once, paused or not, and returns when it is gone. One
// that has ended, or never ran, is no error.
func (p *process) kill() error {
	if p == nil {
		return nil
	}
	if err := p.signal(syscall.SIGKILL); errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH) {
		return nil
	} else if err != nil {
		return err
	}
	<-p.done
	return nil
}

// stop asks the program to end and returns when it is gone; it is killed when it
// takes too long.
func (p *process) stop() error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(stopTimeout):
		return p.kill()
	}
}

// waitReady returns when the URL answers with 200.
func (p *process) waitReady(client *http.Client, url, token string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		last := get(ctx, client, url, token)
		if last == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("starting %q: %w\n%s", p.name, p.err, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("starting %q: not ready after %v: %w\n%s", p.name, startTimeout, last, p.tail())
		case <-tick.C:
		}
	}
}

// tail is the end of the program's log.
func (p *process) tail() string {
	content, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(content[max(0, len(content)-logTail):])
}

// get fails unless the answer is 200.
func get(ctx context.Context, client *http.Client, url, token string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("getting %q: %s", url, response.Status)
	}
	return nil
}
