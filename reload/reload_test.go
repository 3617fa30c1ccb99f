package reload

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	testprocess "github.com/kconfd/kconfd/test/process"
)

// The test binary plays the processes that are signalled when this variable names a part to play.
const partEnv = "KCONFD_RELOAD_TEST_PART"

// The race detector sleeps for a second before a process exits, unless told otherwise.
const exitAtOnce = "GORACE=atexit_sleep_ms=0 history_size=0"

func TestMain(m *testing.M) {
	switch part := os.Getenv(partEnv); part {
	case "":
		os.Exit(m.Run())
	case "master", "worker", "zombie":
		play(part)
	case "namespace":
		playNamespace()
	case "init":
		playInit()
	case "supervisor":
		playSupervisor()
	case "child":
		playChild()
	case "teller":
		ready()
	case "shell":
		playShell()
	case "flooder":
		playFlooder()
	case "onsignal":
		os.Exit(testprocess.OnSignal(os.Args[1:]))
	default:
		panic("unknown part " + part)
	}
}

// play is a server that says when it is ready and when it got a signal, and ends when its standard input
// does. A master has as many workers as WORKERS says; COMM is what a process calls itself.
func play(part string) {
	time.AfterFunc(time.Minute, func() { os.Exit(3) }) // outlives no failed test for long
	if comm := os.Getenv("COMM"); comm != "" {
		must(os.WriteFile("/proc/self/comm", []byte(comm), 0))
	}
	if part == "zombie" {
		return
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGWINCH)
	var workers []*exec.Cmd
	if part == "master" {
		workers = startWorkers()
	}
	fmt.Println(part, "ready")
	go func() { // stops with the process
		for range signals {
			fmt.Println(part, "told")
		}
	}()
	_, err := io.Copy(io.Discard, os.Stdin)
	must(err)
	// A signal that was sent by now may still be on its way here, and the absence of one is no event.
	time.Sleep(50 * time.Millisecond)
	for _, w := range workers {
		must(w.Wait())
	}
}

func startWorkers() []*exec.Cmd {
	count, _ := strconv.Atoi(os.Getenv("WORKERS"))
	var workers []*exec.Cmd
	for range count {
		w := exec.Command("/proc/self/exe")
		w.Args = os.Args
		w.Env = append(os.Environ(), partEnv+"=worker")
		w.Stdin, w.Stdout, w.Stderr = os.Stdin, os.Stdout, os.Stderr
		must(w.Start())
		workers = append(workers, w)
	}
	return workers
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// A server is a running master with its workers.
type server struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Closer
	lines *bufio.Scanner
}

// startServer starts program (empty: the test binary) under the name argv0 and waits until it and its
// workers are ready.
func startServer(t *testing.T, program, argv0 string, workers int, env ...string) *server {
	t.Helper()
	return startServerWith(t, func(*exec.Cmd) {}, program, argv0, workers, env...)
}

// startServerWith is startServer with a say in the command.
func startServerWith(t *testing.T, set func(*exec.Cmd), program, argv0 string, workers int, env ...string) *server {
	t.Helper()
	if program == "" {
		program = testBinary(t)
	}
	cmd := exec.Command(program)
	cmd.Args = []string{argv0}
	cmd.Env = append(os.Environ(), partEnv+"=master", "WORKERS="+strconv.Itoa(workers), exitAtOnce)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	fatal(t, err)
	stdout, err := cmd.StdoutPipe()
	fatal(t, err)
	set(cmd)
	fatal(t, cmd.Start())
	s := &server{t: t, cmd: cmd, stdin: stdin, lines: bufio.NewScanner(stdout)}
	t.Cleanup(func() { s.end() })
	for range 1 + workers {
		if line := s.next(); !strings.HasSuffix(line, " ready") {
			t.Fatalf("the server said %q, want ready", line)
		}
	}
	return s
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// next waits for what the server says next; empty when it has ended.
func (s *server) next() string {
	s.lines.Scan()
	return s.lines.Text()
}

// end ends the server and gives what it said that was not read with next: nil when nobody signalled it.
func (s *server) end() []string {
	s.stdin.Close()
	var rest []string
	for s.lines.Scan() {
		rest = append(rest, s.lines.Text())
	}
	_ = s.cmd.Wait() // fails when it was waited for already
	return rest
}

// startZombie gives a process that has ended and has not been waited for.
func startZombie(t *testing.T, comm string) int {
	t.Helper()
	cmd := exec.Command(testBinary(t))
	cmd.Env = append(os.Environ(), partEnv+"=zombie", "COMM="+comm, exitAtOnce)
	fatal(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Wait() })
	awaitExit(t, cmd.Process.Pid)
	return cmd.Process.Pid
}

// uniqueName is a process name that no other run of these tests on this machine uses, short enough for
// the kernel's 15 bytes.
func uniqueName(suffix string) string { return fmt.Sprintf("p%d%s", os.Getpid(), suffix) }

func testBinary(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	fatal(t, err)
	return path
}

// copyOfTestBinary gives a program with a name of its own.
func copyOfTestBinary(t *testing.T, name string) string {
	t.Helper()
	program, err := os.ReadFile(testBinary(t))
	fatal(t, err)
	path := filepath.Join(t.TempDir(), name)
	fatal(t, os.WriteFile(path, program, 0o755))
	return path
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	fatal(t, os.WriteFile(path, []byte(content), 0o644))
	return path
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
