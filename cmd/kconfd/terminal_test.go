package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A terminal is the end of a pseudo-terminal at which one types.
type terminal struct {
	t    *testing.T
	file *os.File
}

// newTerminal gives both ends. What is shown on it, nobody reads.
func newTerminal(t *testing.T) (terminal, *os.File) {
	t.Helper()
	file, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	go io.Copy(io.Discard, file) // until it is closed
	y := terminal{t, file}
	y.control(func(fd int) error { return unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0) })
	number := 0
	y.control(func(fd int) (err error) {
		number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatalf("%v; a terminal needs /dev/pts", err)
	}
	t.Cleanup(func() { slave.Close() })
	return y, slave
}

func (y terminal) control(do func(fd int) error) {
	y.t.Helper()
	raw, err := y.file.SyscallConn() // File.Fd would make reading uninterruptible
	if err == nil {
		var failed error
		if err = raw.Control(func(fd uintptr) { failed = do(int(fd)) }); err == nil {
			err = failed
		}
	}
	if err != nil {
		y.t.Fatal(err)
	}
}

func (y terminal) types(keys string) {
	y.t.Helper()
	if _, err := y.file.WriteString(keys); err != nil {
		y.t.Fatal(err)
	}
}

// awaitForeground waits until a process with that command line has the terminal.
func (y terminal) awaitForeground(command ...string) {
	y.t.Helper()
	await(y.t, fmt.Sprintf("%q has the terminal", command), func() bool {
		group := 0
		y.control(func(fd int) (err error) {
			group, err = unix.IoctlGetInt(fd, unix.TIOCGPGRP)
			return err
		})
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", group))
		return err == nil && string(line) == strings.Join(command, "\x00")+"\x00"
	})
}

// shell is a shell with a kconfd as its job, which says what becomes of it. It
// is process 1 of a namespace, so that nothing outlives it.
const shell = `mount --make-rprivate / && mount -t proc proc /proc
set -m
state() { cut -d' ' -f3 /proc/$(cat "$0"/starts)/stat; }
say() { echo "$@" >>"$0"/shell; }
kconfd "$@"
say stopped $?
until test $(state) = T; do sleep 0.02; done
say the child too
bg
until test $(state) != T; do sleep 0.02; done
say goes on
until test -e "$0"/fg; do sleep 0.02; done
fg
say ended $?
`

// As the job of a shell, kconfd is one with its child: ^Z stops both, bg and fg
// continue both, and ^C is the child's alone, once.
func TestTerminal(t *testing.T) {
	t.Parallel()
	files := recorded("")
	// It starts nothing: ^Z in the middle of a vfork stops no shell, nor its job.
	files["child"] = `trap 'echo INT >>$DIR/signals' INT
trap 'echo TERM >>$DIR/signals; exit 0' TERM
echo $$ >>$DIR/starts
while :; do read x <$DIR/fifo; done
`
	d := newDir(t, files)
	if err := syscall.Mkfifo(d.file("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	tty, slave := newTerminal(t)
	cmd := exec.Command("sh", append([]string{"-c", shell, d.path}, filed(d, d.recorder()...)...)...)
	cmd.Stdin = slave
	cmd.SysProcAttr = newNamespace()
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	k := startCmd(t, cmd)
	d.awaitLines("starts", 1)
	tty.awaitForeground("sh", d.file("child"))
	tty.types("\x1a")
	d.awaitFile("shell", "stopped 147\nthe child too\ngoes on\n") // 128 and SIGSTOP
	d.write("objects.yaml", settings("green"))
	d.awaitFile("live/a", "green\n")
	d.write("fg", "")
	tty.awaitForeground("sh", d.file("child"))
	tty.types("\x03")
	d.awaitFile("signals", "INT\n")
	job := k.worker() // the shell's, so it is kconfd's init
	if err := syscall.Kill(job, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := k.code(); got != 0 {
		t.Errorf("the shell ended with %d, want 0", got)
	}
	d.awaitFile("shell", "stopped 147\nthe child too\ngoes on\nended 0\n")
	d.wantSignals("INT", "TERM")
}
