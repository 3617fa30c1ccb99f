package reload

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// playFlooder sends as much as it can of all that a notification must not be, until
// it is killed.
func playFlooder() {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	must(err)
	to := &unix.SockaddrUnix{Name: os.Getenv("NOTIFY_SOCKET")}
	file, err := os.Open("/dev/null")
	must(err)
	many := make([]int, 200)
	for i := range many {
		many[i] = int(file.Fd())
	}
	messages := []struct {
		text        string
		descriptors []int
	}{
		{text: "READY=1"},
		{text: "READY=1", descriptors: many},
		{text: "STATUS=" + strings.Repeat("x", 100_000)},
		{text: "STATUS=\x1b[2J\x00\xff\nMAINPID=1\nERRNO=1\nBUSERROR=x\n" + strings.Repeat("\n", 3000)},
		{text: "", descriptors: many[:1]},
	}
	time.AfterFunc(time.Minute, func() { os.Exit(3) }) // outlives no failed test for long
	println("flooding")
	for {
		for _, m := range messages {
			var rights []byte
			if m.descriptors != nil {
				rights = syscall.UnixRights(m.descriptors...)
			}
			// Fails when it is too long.
			_ = unix.Sendmsg(fd, []byte(m.text), rights, to, 0)
		}
	}
}

// A flood on the child's socket, of another user or of a process that is not the
// child, neither fills the log nor takes descriptors nor keeps what the child says from being heard.
func TestFloodOfNotifications(t *testing.T) {
	needRoot(t)
	for name, uid := range map[string]int{"another user's": attackerUser, "another process's": 0} {
		t.Run(name, func(t *testing.T) {
			n, log := newNotifier(t)
			dir, ready := openDir(t, 0, 0o755), make(notified, 1000)
			c := Child{Argv: itself(), Env: append(os.Environ(), partEnv+"=child", "WAIT="+dir+"/go")}
			p, err := Launcher{Notify: n}.Start(c, ready.call)
			fatal(t, err)
			flood(t, n, uid)
			log.await(t, "notification ignored")
			before, busy := openDescriptors(t), processorTime(t)
			time.Sleep(300 * time.Millisecond) // of flood
			if took := processorTime(t) - busy; took > 150*time.Millisecond {
				t.Errorf("a flood of 300 ms took %v of processor time", took)
			}
			ready.never(t)
			fatal(t, os.WriteFile(dir+"/go", nil, 0o644))
			ready.await(t)
			if after := openDescriptors(t); after > before+5 {
				t.Errorf("%d descriptors are open after the flood, %d before", after, before)
			}
			if more := log.count("notification ignored"); more > 0 {
				t.Errorf("the log has %d more messages about it, want none within a minute", more)
			}
			fatal(t, p.Signal(syscall.SIGKILL, true))
			p.Wait()
			fatal(t, p.Gone(t.Context()))
		})
	}
}

// flood starts a flooder, which the test's end kills.
func flood(t *testing.T, n *Notifier, uid int) {
	t.Helper()
	cmd := exec.Command(openCopy(t))
	cmd.Env = append(os.Environ(), partEnv+"=flooder", "NOTIFY_SOCKET="+n.Address(), exitAtOnce)
	cmd.SysProcAttr = as(uid)
	cmd.SysProcAttr.Setpgid = true
	stderr, err := cmd.StderrPipe()
	fatal(t, err)
	fatal(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	_, err = stderr.Read(make([]byte, 1)) // it begins
	fatal(t, err)
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	fatal(t, err)
	return len(open)
}

// processorTime is what this process has used.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	fatal(t, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// count counts the lines with a text that have been logged and not been awaited.
func (l *logged) count(part string) (n int) {
	for {
		select {
		case line := <-l.lines:
			if strings.Contains(line, part) {
				n++
			}
		default:
			return n
		}
	}
}

// What is shown of a message is short, and harms no terminal.
func TestPrintable(t *testing.T) {
	long := strings.Repeat("é", maxShownLine)
	for in, want := range map[string]string{
		"READY=1\n":            "READY=1",
		"STATUS=\x1b[2J\x00ok": "STATUS= [2J ok",
		"a\nb\xff\u202ec":      "a b  c",
		long:                   long[:maxShownLine] + "…",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
}
