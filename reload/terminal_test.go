package reload

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A terminal is one end of a pseudo-terminal; a job has the other.
type terminal struct {
	t    *testing.T
	file *os.File
}

// startJob runs a crew as the job of a shell on a new terminal.
func startJob(t *testing.T, c Child, env ...string) (tty terminal, w *crew, sh *member) {
	t.Helper()
	master, slave := newTerminal(t)
	defer slave.Close()
	w = newCrew(t, asReaper, c, env...)
	w.listen()
	w.cmd.Env = append(w.cmd.Env, partEnv+"=shell")
	w.cmd.Stdin, w.cmd.Stdout, w.cmd.Stderr = slave, slave, slave
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	w.start()
	tty = terminal{t, master}
	go tty.watch() // until the terminal is closed
	return tty, w, w.next("shell")
}

// watch reads what is shown, so that nobody has to wait for that.
func (y terminal) watch() {
	lines := bufio.NewScanner(y.file)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "panic") {
			y.t.Error(lines.Text())
		}
	}
}

// awaitForeground waits until a process group has the terminal.
func (y terminal) awaitForeground(group int) {
	y.t.Helper()
	y.await(fmt.Sprintf("it is group %d", group), func(got int) bool { return got == group })
}

// awaitHandedOn waits until another process group has the terminal.
func (y terminal) awaitHandedOn(group int) {
	y.t.Helper()
	y.await(fmt.Sprintf("it is not group %d", group), func(got int) bool { return got != group })
}

// await waits for what holds of the process group that has the terminal.
func (y terminal) await(what string, holds func(group int) bool) {
	y.t.Helper()
	raw, err := y.file.SyscallConn()
	fatal(y.t, err)
	var got int
	for deadline := time.Now().Add(2 * slack); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		fatal(y.t, raw.Control(func(fd uintptr) { got = terminalGroup(int(fd)) }))
		if holds(got) {
			return
		}
	}
	y.t.Fatalf("group %d has the terminal, want that %s", got, what)
}

// childOf is the one process that a process has started.
func childOf(t *testing.T, pid int) int {
	t.Helper()
	found := children(t, pid)
	if len(found) != 1 {
		t.Fatalf("process %d has the children %v, want one", pid, found)
	}
	return found[0]
}

func newTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	fatal(t, err)
	t.Cleanup(func() { master.Close() })
	raw, err := master.SyscallConn() // Fd would make reading uninterruptible
	fatal(t, err)
	var number int
	fatal(t, raw.Control(func(fd uintptr) {
		fatal(t, unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0))
		number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
	}))
	fatal(t, err)
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatalf("%v; a terminal needs /dev/pts", err)
	}
	return master, slave
}

func (y terminal) types(keys string) {
	y.t.Helper()
	_, err := y.file.WriteString(keys)
	fatal(y.t, err)
}

const (
	controlC         = "\x03"
	controlZ         = "\x1a"
	controlBackslash = "\x1c"
)

// awaitState waits until the kernel says so of a process: T when it is stopped,
// R or S when it runs.
func awaitState(t *testing.T, pid int, want string) {
	t.Helper()
	var state string
	for deadline := time.Now().Add(2 * slack); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		fatal(t, err)
		_, rest, _ := strings.Cut(string(stat), ") ")
		if state = rest[:1]; strings.Contains(want, state) {
			return
		}
	}
	t.Fatalf("process %d is in state %s, want %s", pid, state, want)
}

func jobOf(t *testing.T, sh *member) int {
	t.Helper()
	pid, err := strconv.Atoi(sh.await("job"))
	fatal(t, err)
	return pid
}

// unaware is a child in a shell that catches no signal of the terminal.
var unaware = shell("exec sleep 60")

func TestTerminal(t *testing.T) {
	talking := Child{Argv: itself(), Ready: ReadyByNotify}
	t.Run("the child reads from it", func(t *testing.T) {
		t.Parallel()
		tty, w, sh := startJob(t, talking)
		worker := w.next("worker")
		for range 10 {
			child := w.next("child")
			child.do("read")
			tty.types("a line\n")
			if got := child.await("read"); got != `"a line\n" <nil>` {
				t.Fatalf("the child read %s", got)
			}
			worker.do("restart")
		}
		w.next("child").await("said ready")
		fatal(t, syscall.Kill(jobOf(t, sh), syscall.SIGTERM))
		if got := sh.await("exited"); got != "0" {
			t.Errorf("the job ended with %s, want 0", got)
		}
	})
	t.Run("the child reads from it before it is given it", func(t *testing.T) {
		t.Parallel()
		c := shell("read line")
		c.Restart, c.Backoff = RestartAlways, Backoff{Initial: time.Millisecond, Max: time.Millisecond}
		tty, w, sh := startJob(t, c)
		worker := w.next("worker")
		for range 50 {
			worker.await(`log msg="child started"`)
			tty.types("a line\n")
		}
		fatal(t, syscall.Kill(jobOf(t, sh), syscall.SIGTERM))
		sh.await("exited")
	})
	t.Run("^C reaches the child once", func(t *testing.T) {
		t.Parallel()
		tty, w, sh := startJob(t, talking)
		child := w.next("child")
		child.await("said ready")
		tty.types(controlC)
		if got := child.await("got"); got != "2" {
			t.Fatalf("the child got signal %s, want 2", got)
		}
		fatal(t, syscall.Kill(jobOf(t, sh), syscall.SIGTERM))
		if got := sh.await("exited"); got != "0" {
			t.Errorf("the job ended with %s, want 0", got)
		}
		for _, line := range child.gone() {
			if line == "got 2" {
				t.Error("the child got it twice")
			}
		}
	})
	t.Run("^C ends a child that does not catch it", func(t *testing.T) {
		t.Parallel()
		tty, w, sh := startJob(t, unaware)
		w.next("worker").await(`log msg="child started"`)
		tty.types(controlC)
		if got := sh.await("exited"); got != "130" {
			t.Errorf("the job ended with %s, want 130", got)
		}
	})
	t.Run("^C without a child", func(t *testing.T) {
		t.Parallel()
		c := unaware
		c.PreStart = &Command{Shell: "sleep 60"}
		tty, w, sh := startJob(t, c)
		worker := w.next("worker")
		worker.await(`log msg=child state=preparing`)
		tty.types(controlBackslash) // not for kconfd
		worker.do("state")
		if got := worker.await("state"); got != "preparing false" {
			t.Errorf("the child is %s, want it preparing", got)
		}
		tty.types(controlC)
		if got := sh.await("exited"); got != "0" {
			t.Errorf("the job ended with %s, want 0", got)
		}
	})
	t.Run("^Z stops the job, and the shell continues it", func(t *testing.T) {
		t.Parallel()
		tty, w, sh := startJob(t, unaware)
		worker := w.next("worker")
		worker.await(`log msg="child started"`)
		job := jobOf(t, sh)
		child := childOf(t, worker.pid)
		for range 5 {
			tty.types(controlZ)
			sh.await("stopped")
			awaitState(t, job, "T")
			awaitState(t, child, "T")
			sh.do("fg")
			awaitState(t, child, "RS")
			awaitState(t, job, "RS")
		}
		tty.types(controlZ)
		sh.await("stopped")
		sh.do("bg")
		awaitState(t, child, "RS")
		sh.do("fg") // and so it has the terminal again
		tty.awaitForeground(child)
		tty.types(controlC)
		if got := sh.await("exited"); got != "130" {
			t.Errorf("the job ended with %s, want 130", got)
		}
	})
	t.Run("in the background, it stops for reading", func(t *testing.T) {
		t.Parallel()
		tty, w, sh := startJob(t, shell("read line; exit 7"), "BACKGROUND=1")
		w.next("worker").await(`log msg="child started"`)
		sh.await("stopped")
		sh.do("fg")
		tty.types("a line\n")
		if got := sh.await("exited"); got != "7" {
			t.Errorf("the job ended with %s, want 7", got)
		}
	})
	for _, sig := range []syscall.Signal{syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU} {
		t.Run("kill -"+SignalName(sig), func(t *testing.T) {
			t.Parallel()
			_, w, sh := startJob(t, unaware)
			worker := w.next("worker")
			worker.await(`log msg="child started"`)
			job := jobOf(t, sh)
			child := childOf(t, worker.pid)
			for range 5 {
				fatal(t, syscall.Kill(job, sig))
				sh.await("stopped")
				awaitState(t, child, "T")
				fatal(t, syscall.Kill(job, syscall.SIGCONT))
				awaitState(t, child, "RS")
				awaitState(t, job, "RS")
			}
			fatal(t, syscall.Kill(job, syscall.SIGTERM))
			if got := sh.await("exited"); got != "143" {
				t.Errorf("the job ended with %s, want 143", got)
			}
		})
	}
}

// Where nobody could continue init, because it has the terminal for itself, the
// child goes on.
func TestTerminalWithoutShell(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		master, slave := newTerminal(t)
		defer slave.Close()
		dir := t.TempDir()
		w := newCrew(t, way, shell("cd "+dir+"; sleep 60 & exec "+onSignal()+" 'ready=: >ready' 'CONT=: >continued'"))
		w.cmd.Stdin = slave
		w.cmd.SysProcAttr.Setpgid, w.cmd.SysProcAttr.Setsid, w.cmd.SysProcAttr.Setctty = false, true, true
		w.start()
		tty := terminal{t, master}
		awaitFile(t, dir+"/ready")
		tty.awaitHandedOn(w.pid())
		tty.types(controlZ)
		awaitFile(t, dir+"/continued")
		tty.types(controlC)
		w.wait(130)
	})
}

// A child that somebody stops stays stopped until he continues it, and kconfd is
// none the worse for it.
func TestStoppedBySomebody(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGTSTP} {
		t.Run(SignalName(sig), func(t *testing.T) {
			inBothWays(t, func(t *testing.T, way string) {
				dir := t.TempDir()
				w := startCrew(t, way, shell("cd "+dir+"; exec "+onSignal()+" 'ready=: >ready' 'CONT=echo >>continued' TERM:3="))
				awaitFile(t, dir+"/ready")
				child := childOf(t, childOf(t, w.pid()))
				fatal(t, syscall.Kill(child, sig))
				awaitState(t, child, "T")
				for range 20 { // kconfd would have noticed by then
					time.Sleep(10 * time.Millisecond)
					awaitState(t, child, "T")
					awaitState(t, w.pid(), "RS")
				}
				fatal(t, syscall.Kill(child, syscall.SIGCONT))
				awaitFile(t, dir+"/continued")
				w.signal(syscall.SIGTERM)
				w.wait(3)
				content, err := os.ReadFile(dir + "/continued")
				fatal(t, err)
				if got := string(content); got != "\n" {
					t.Errorf("it was continued %d times, want once", strings.Count(got, "\n"))
				}
			})
		})
	}
}
