package reload

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A crew is an init with its worker and child, as real processes.
type crew struct {
	t      *testing.T
	cmd    *exec.Cmd
	dir    string
	mark   string // in the environment of all of them
	joined chan *member
	early  []*member     // that have joined before they were waited for
	ended  chan struct{} // closed when init has been waited for
}

// A member is a process of the crew that speaks.
type member struct {
	t     *testing.T
	role  string
	pid   int // in this namespace
	conn  net.Conn
	lines chan string // closed when it has ended
}

// The two ways in which an init runs. Each test of Init is done in both.
const (
	asPID1   = "as PID 1"
	asReaper = "as a reaper"
)

func inBothWays(t *testing.T, test func(t *testing.T, way string)) {
	t.Helper()
	for _, way := range []string{asPID1, asReaper} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			test(t, way)
		})
	}
}

// itself is the test binary as the child.
func itself() []string { return []string{"/proc/self/exe"} }

// newCrew makes a crew that is not started.
func newCrew(t *testing.T, way string, c Child, env ...string) *crew {
	t.Helper()
	w := &crew{
		t: t, dir: t.TempDir(), joined: make(chan *member, 100),
		mark: fmt.Sprintf("MARK=%s-%d", strings.ReplaceAll(t.Name(), "/", "-"), time.Now().UnixNano()), ended: make(chan struct{}),
	}
	var description bytes.Buffer
	fatal(t, gob.NewEncoder(hex.NewEncoder(&description)).Encode(c))
	w.cmd = exec.Command(testBinary(t))
	w.cmd.Stderr = os.Stderr
	part := "init"
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if way == asPID1 {
		part = "namespace"
		w.cmd.SysProcAttr = newNamespace()
	}
	w.cmd.Env = slices.Concat(os.Environ(), []string{partEnv + "=" + part, exitAtOnce, w.mark, childEnv + "=" + description.String()}, env)
	return w
}

// newNamespace makes the process PID 1. Who is not root must be allowed to have
// a user namespace.
func newNamespace() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return attr
}

// startCrew starts an init whose worker and child say what happens.
func startCrew(t *testing.T, way string, c Child, env ...string) *crew {
	t.Helper()
	w := newCrew(t, way, c, env...)
	w.listen()
	w.start()
	return w
}

// listen hears what the members say.
func (w *crew) listen() {
	w.t.Helper()
	dir, err := os.MkdirTemp("", "crew") // a socket's path must be short
	fatal(w.t, err)
	w.t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "socket")
	listener, err := net.Listen("unix", path)
	fatal(w.t, err)
	w.t.Cleanup(func() { listener.Close() })
	w.cmd.Env = append(w.cmd.Env, socketEnv+"="+path)
	go func() { // until the listener is closed
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go w.hear(conn.(*net.UnixConn)) // until the member has ended
		}
	}()
}

func (w *crew) hear(conn *net.UnixConn) {
	m := &member{t: w.t, conn: conn, pid: peer(conn), lines: make(chan string, 100_000)}
	defer close(m.lines)
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if m.role == "" {
			m.role = lines.Text()
			w.joined <- m
		} else {
			m.lines <- lines.Text()
		}
	}
}

// peer is the process at the other end, by the id that it has here.
func peer(conn *net.UnixConn) (pid int) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		if credentials, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(credentials.Pid)
		}
	})
	return pid
}

func (w *crew) start() {
	w.t.Helper()
	if err := w.cmd.Start(); err != nil {
		w.t.Fatalf("starting init: %v; a PID namespace needs root, or user namespaces", err)
	}
	w.t.Cleanup(func() {
		_ = w.cmd.Process.Kill()
		for _, pid := range w.left() { // a failed test must not leave them behind
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		<-w.ended
	})
	go func() { // until init ends, which the cleanup sees to
		defer close(w.ended)
		_ = w.cmd.Wait()
	}()
}

// next waits for the next member of that role.
func (w *crew) next(role string) *member {
	w.t.Helper()
	deadline := time.After(2 * slack)
	for n := 0; ; n++ {
		if n == len(w.early) {
			select {
			case m := <-w.joined:
				w.early = append(w.early, m)
			case <-deadline:
				w.t.Fatalf("no %s has joined", role)
			}
		}
		if m := w.early[n]; m.role == role {
			w.early = slices.Delete(w.early, n, n+1)
			return m
		}
	}
}

func (w *crew) pid() int { return w.cmd.Process.Pid }

func (w *crew) signal(sig syscall.Signal) {
	w.t.Helper()
	fatal(w.t, w.cmd.Process.Signal(sig))
}

// wait waits for init's end and compares the code. Nothing of the crew must be
// left then.
func (w *crew) wait(want int) {
	w.t.Helper()
	w.waitCode(want)
	w.nothingLeft()
}

func (w *crew) waitCode(want int) {
	w.t.Helper()
	select {
	case <-w.ended:
	case <-time.After(4 * slack):
		w.t.Fatal("init goes on, want its end")
	}
	if got := w.cmd.ProcessState.ExitCode(); got != want {
		w.t.Errorf("init ended with %v, want exit status %d", w.cmd.ProcessState, want)
	}
}

func (w *crew) nothingLeft() {
	w.t.Helper()
	for _, pid := range w.left() {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		w.t.Errorf("a process is left: %s", stat)
	}
}

// left are the processes of the crew that run.
func (w *crew) left() []int {
	pids, err := processIDs()
	fatal(w.t, err)
	return slices.DeleteFunc(pids, func(pid int) bool {
		environment, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
		return !slices.Contains(strings.Split(string(environment), "\x00"), w.mark)
	})
}

// do tells a member what to do.
func (m *member) do(order string) {
	m.t.Helper()
	_, err := fmt.Fprintln(m.conn, order)
	fatal(m.t, err)
}

// await skips what a member says until a line begins so, and gives the rest of
// it.
func (m *member) await(prefix string) string {
	m.t.Helper()
	var skipped []string
	deadline := time.After(4 * slack)
	for {
		select {
		case line, more := <-m.lines:
			if rest, found := strings.CutPrefix(line, prefix); found {
				return strings.TrimSpace(rest)
			}
			if !more {
				m.t.Fatalf("the %s has ended without a word of %q, but has said %q", m.role, prefix, skipped)
			}
			skipped = append(skipped, line)
		case <-deadline:
			m.t.Fatalf("the %s has not said %q, but %q", m.role, prefix, skipped)
		}
	}
}

// gone waits for the end of a member, and gives what else it has said.
func (m *member) gone() (lines []string) {
	m.t.Helper()
	deadline := time.After(4 * slack)
	for {
		select {
		case line, more := <-m.lines:
			if !more {
				return lines
			}
			lines = append(lines, line)
		case <-deadline:
			m.t.Fatalf("the %s goes on, want its end", m.role)
		}
	}
}

// onSignal is the beginning of a shell command that runs OnSignal of test/process.
func onSignal() string { return "env " + partEnv + "=onsignal " + os.Args[0] }

// shell is a child that is a shell command.
func shell(command string) Child { return Child{Argv: []string{"sh", "-c", command}} }

// C5: a crash was reported as success, the death by a signal as 255.
func TestCodesArePassedOn(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		commands := map[string]int{}
		for code := range 256 {
			commands[fmt.Sprintf("exit %d", code)] = code
		}
		for sig := 1; sig <= maxSignal; sig++ {
			switch syscall.Signal(sig) {
			case syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGURG, syscall.SIGWINCH: // not deadly
			case syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU:
			case 32, 33: // glibc's own: what it spawns, make's commands for one, ignores them
			default:
				commands[fmt.Sprintf("ulimit -c 0; kill -%d $$", sig)] = 128 + sig
			}
		}
		for command, code := range commands {
			w := newCrew(t, way, shell(command))
			w.start()
			w.waitCode(code)
		}
	})
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}

func awaitFile(t *testing.T, pattern string) {
	t.Helper()
	for deadline := time.Now().Add(2 * slack); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if found, _ := filepath.Glob(pattern); found != nil {
			return
		}
	}
	t.Fatalf("there is no %s", pattern)
}
