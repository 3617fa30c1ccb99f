package reload

import (
	"bufio"
	"context"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What the test binary plays for the tests of Init: init itself, its worker
// with a supervisor, and the child. Worker and child say on a socket what
// happens to them, one event a line, and do what it says.

const (
	adoptEnv  = "KCONFD_RELOAD_TEST_ADOPT"  // set: Init.Adopt
	chattyEnv = "KCONFD_RELOAD_TEST_CHATTY" // set: the child says a lot on its socket when it leaves
	childEnv  = "KCONFD_RELOAD_TEST_CHILD"  // the Child, as a gob in hexadecimal
	socketEnv = "KCONFD_RELOAD_TEST_SOCKET" // where to say what happens; empty: nowhere
)

// playNamespace becomes init in a PID namespace that has just been made.
func playNamespace() {
	must(syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
	must(syscall.Mount("proc", "/proc", "proc", 0, ""))
	playInit()
}

func playInit() {
	_, adopt := os.LookupEnv(adoptEnv)
	must(os.Setenv(partEnv, "supervisor"))
	i := &Init{Argv: os.Args, Env: os.Environ(), Adopt: adopt}
	code, err := i.Run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
	}
	os.Exit(code)
}

// A voice says what happens, and hears what to do.
type voice struct {
	mu   sync.Mutex
	conn net.Conn // nil: nobody listens
}

func newVoice(role string) *voice {
	address := os.Getenv(socketEnv)
	if address == "" {
		return &voice{}
	}
	conn, err := net.Dial("unix", address)
	must(err)
	v := &voice{conn: conn}
	v.say(role)
	return v
}

func (v *voice) say(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.conn != nil {
		_, _ = fmt.Fprintf(v.conn, format+"\n", args...) // a test that is over does not listen
	}
}

// Write says log lines, and when they were written.
func (v *voice) Write(line []byte) (int, error) {
	v.say("log %s at=%d", strings.TrimSuffix(string(line), "\n"), time.Now().UnixNano())
	return len(line), nil
}

// orders calls obey for each line heard, until nobody speaks any more.
func (v *voice) orders(obey func(order string)) {
	if v.conn == nil {
		return
	}
	lines := bufio.NewScanner(v.conn)
	for lines.Scan() {
		obey(lines.Text())
	}
}

// playSupervisor is a worker, and does what kconfd does.
func playSupervisor() {
	link, err := Connect()
	must(err)
	v := newVoice("worker")
	log := slog.New(slog.NewTextHandler(v, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: withoutTimeAndLevel}))
	notifier, err := Listen(log)
	must(err)
	var child Child
	must(gob.NewDecoder(hex.NewDecoder(strings.NewReader(os.Getenv(childEnv)))).Decode(&child))
	if child.Env == nil {
		child.Env = append(os.Environ(), partEnv+"=child")
	}
	launcher := Launcher{Notify: notifier, Link: link}
	s := NewSupervisor(func(context.Context) (Child, error) { return child, nil }, launcher.Start, log)
	go func() { // until init is gone
		for sig := range link.Signals {
			if sig == syscall.SIGTERM || sig == syscall.SIGINT {
				s.Stop()
			} else {
				s.Forward(sig)
			}
		}
		s.Stop()
	}()
	go v.orders(func(order string) { obey(v, s, order) }) // until the process ends
	go func() {                                           // until the child runs
		if link.Adopted != 0 {
			s.Adopt(child, launcher.Adopt, link.Restart)
		} else {
			s.Start()
		}
	}()
	exit, err := s.Run(context.Background())
	code := exit.Status()
	var start *StartError
	if errors.As(err, &start) {
		code = start.Code
	} else if err != nil {
		code = 1
	}
	v.say("ended %d", code)
	link.End(code)
	os.Exit(code)
}

func withoutTimeAndLevel(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
		return slog.Attr{}
	}
	return a
}

func obey(v *voice, s *Supervisor, order string) {
	what, arg, _ := strings.Cut(order, " ")
	switch what {
	case "restart":
		go func() { v.say("restarted %v", s.Restart(context.Background())) }() // until it is answered
	case "commands":
		go v.say("commands %s", runCommands(arg)) // until all have run
	case "print":
		fmt.Fprintln(os.Stderr, "something")
	case "state":
		state, ready := s.State()
		v.say("state %s %t", state, ready)
	case "exit":
		code, _ := strconv.Atoi(arg)
		os.Exit(code)
	}
}

// runCommands runs shells until the file exists, and counts the exit codes that
// are right and those that are not.
func runCommands(file string) string {
	right, wrong := 0, 0
	for n := 0; ; n++ {
		want := n % 256
		err := exec.Command("sh", "-c", "exit "+strconv.Itoa(want)).Run()
		got := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			got = exit.ExitCode()
		} else if err != nil {
			got = -1
		}
		if got == want {
			right++
		} else {
			wrong++
		}
		if _, err := os.Stat(file); err == nil {
			return fmt.Sprintf("%d %d", right, wrong)
		}
	}
}

// playChild says which signals it gets, and leaves at SIGTERM, which takes it
// leaveTime. With orders, it reads a line from standard input.
func playChild() {
	signals := make(chan os.Signal, 1000)
	signal.Notify(signals, forwardable()...)
	v := newVoice("child")
	for file := os.Getenv("WAIT"); file != ""; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			break
		}
	}
	ready()
	v.say("said ready")
	go v.orders(func(order string) { // until the process ends
		switch order {
		case "read":
			line, err := bufio.NewReader(os.Stdin).ReadString('\n')
			v.say("read %q %v", line, err)
		case "exit":
			os.Exit(5)
		}
	})
	for s := range signals {
		v.say("got %d", s)
		if s == syscall.SIGTERM {
			break
		}
	}
	if _, chatty := os.LookupEnv(chattyEnv); chatty {
		for range 100 { // more than wait for a reader
			ready()
		}
	}
	v.say("leaving %d", time.Now().UnixNano())
	over := time.After(leaveTime)
	for {
		select {
		case s := <-signals:
			v.say("got %d", s)
		case <-over:
			return
		}
	}
}

const leaveTime = 20 * time.Millisecond

// ready says READY=1, where somebody wants to know.
func ready() {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return
	}
	conn, err := net.Dial("unixgram", address)
	if err != nil {
		return // nobody wants to
	}
	_, err = io.WriteString(conn, "STATUS=here\nREADY=1\n")
	must(err)
	conn.Close()
}

// playShell runs the rest of its arguments as a job on the terminal that is its
// standard input, and does with it what a shell does: says when the job has
// stopped or ended, and puts it into the foreground, or the background, when
// told to.
func playShell() {
	signal.Ignore(syscall.SIGTTOU)
	v := newVoice("shell")
	must(os.Setenv(partEnv, "init"))
	cmd := exec.Command("/proc/self/exe")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Foreground: os.Getenv("BACKGROUND") == ""}
	must(cmd.Start())
	job := cmd.Process.Pid
	v.say("job %d", job)
	go v.orders(func(order string) { // until the process ends
		if order == "fg" {
			must(unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, job))
		}
		if order == "fg" || order == "bg" {
			must(syscall.Kill(-job, syscall.SIGCONT))
		}
	})
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(job, &status, syscall.WUNTRACED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			panic(err)
		case status.Stopped():
			must(unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, syscall.Getpgrp()))
			v.say("stopped %d", status.StopSignal())
		default:
			v.say("exited %d", exitOf(status).Status())
			return
		}
	}
}
