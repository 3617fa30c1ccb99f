package hostile

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kconfd/kconfd/test/process"
)

// hangEnv has the test binary be a program that hangs: it notes its process id in
// this file, ignores all signals that it can, and ends when its parent does.
const hangEnv = "HOSTILE_HANG"

func playHanging() {
	signal.Ignore()
	parent := os.Getppid()
	_ = os.WriteFile(os.Getenv(hangEnv), []byte(strconv.Itoa(os.Getpid())), 0o644)
	for os.Getppid() == parent {
		time.Sleep(20 * time.Millisecond)
	}
}

// promised is how long an end may take when all that could hang does.
const promised = 5 * time.Second

// hangingCluster is a kubeconfig whose credentials come from a program that hangs.
func (s *stage) hangingCluster() string {
	s.t.Helper()
	itself, err := os.Executable()
	s.must(err)
	s.write("kubeconfig", fmt.Sprintf(`
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users:
- name: u
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      interactiveMode: Never
      command: %s
      env: [{name: %s, value: %s}]
`, itself, hangEnv, s.path("hanging")))
	return s.path("kubeconfig")
}

// awaitHanging waits until the program hangs.
func (s *stage) awaitHanging() {
	s.t.Helper()
	process.Await(s.t, "the program hangs", func() bool { return s.read(s.path("hanging")) != "" })
}

// hangingFiles are a group whose file is there from before, of a template that
// reads from the cluster.
func (s *stage) hangingFiles() {
	s.t.Helper()
	s.write("colour", "blue")
	s.write("conf.d/a.toml", "[[template]]\ncontents = '{{ (configMap \"settings\").colour }}'\ndest = \""+s.path("colour")+"\"\n")
}

// started is a kconfd on the hanging cluster.
func (s *stage) startHanging(args ...string) *running {
	s.t.Helper()
	cmd := exec.Command("kconfd", append([]string{"-confdir", s.dir, "-kubeconfig", s.hangingCluster(), "-timeout", "200ms"}, args...)...)
	cmd.Env = append(os.Environ(), childEnv+"="+s.path("starts"), "GORACE=atexit_sleep_ms=0")
	return startRunning(s.t, cmd)
}

// A running is a process that a test signals, and whose end it times.
type running struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   process.Output
	ended chan struct{}
}

func startRunning(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	r := &running{t: t, cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &r.log, &r.log
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // until the process ends
		_ = cmd.Wait()
		close(r.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-r.ended
		if t.Failed() {
			t.Logf("%q:\n%s", cmd.Args, r.log.String())
		}
	})
	return r
}

// end sends the signal, and wants an end in the time that is promised.
func (r *running) end(sig syscall.Signal) (code int) {
	r.t.Helper()
	begin := time.Now()
	if err := r.cmd.Process.Signal(sig); err != nil {
		r.t.Fatal(err)
	}
	select {
	case <-r.ended:
	case <-time.After(process.Patience):
		r.t.Fatalf("%v does not end it", sig)
	}
	if took := time.Since(begin); took > promised {
		r.t.Errorf("the end took %v, want less than %v", took, promised)
	}
	return r.cmd.ProcessState.ExitCode()
}

// worker is the process id of the worker, which is init's child.
func (r *running) worker() int {
	r.t.Helper()
	pid := r.workers()
	if pid == 0 {
		r.t.Fatal("there is no worker")
	}
	return pid
}

// workers is that, or 0.
func (r *running) workers() int {
	r.t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		r.t.Fatal(err)
	}
	for _, path := range stats {
		stat, _ := os.ReadFile(path) // empty when it has ended
		var state string
		var parent int
		_, rest, _ := strings.Cut(string(stat), ") ")
		if _, err := fmt.Sscan(rest, &state, &parent); err != nil || parent != r.cmd.Process.Pid {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			return pid
		}
	}
	return 0
}

// gone waits until a process has ended, in the time that is promised.
func (s *stage) gone(what string, pid int) {
	s.t.Helper()
	for deadline := time.Now().Add(promised); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if _, rest, _ := strings.Cut(string(stat), ") "); err != nil || strings.HasPrefix(rest, "Z") {
			return
		}
	}
	s.t.Errorf("%s lives on", what)
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

// SIGTERM ends kconfd in its time, whatever it waits for.
func TestEndWhileSomethingHangs(t *testing.T) {
	t.Parallel()
	t.Run("daemon", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		s.hangingFiles()
		k := s.startHanging()
		s.awaitHanging()
		if code := k.end(syscall.SIGTERM); code != 0 {
			t.Errorf("got exit code %d, want 0", code)
		}
	})
	t.Run("onetime", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		s.hangingFiles()
		k := s.startHanging("-onetime", "-timeout", "1m")
		s.awaitHanging()
		if code := k.end(syscall.SIGTERM); code != 143 {
			t.Errorf("got exit code %d, want 143", code)
		}
	})
	t.Run("onetime, by itself", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		s.hangingFiles()
		k := s.startHanging("-onetime", "-timeout", "1s")
		select {
		case <-k.ended:
		case <-time.After(time.Second + promised):
			t.Error("-onetime does not end when its time has passed")
		}
	})
	for _, adopt := range []string{"-adopt=false", "-adopt"} {
		t.Run("child, "+adopt, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.hangingFiles()
			k := s.startHanging(adopt, "--", s.program())
			s.awaitStarts(1)
			if code := k.end(syscall.SIGTERM); code != 0 {
				t.Errorf("got exit code %d, want the child's 0", code)
			}
		})
		t.Run("init is killed, "+adopt, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.hangingFiles()
			k := s.startHanging(adopt, "--", s.program())
			child, err := strconv.Atoi(strings.Fields(s.awaitStarts(1))[0])
			s.must(err)
			worker := k.worker()
			k.end(syscall.SIGKILL)
			s.gone("the child", child)
			s.gone("the worker", worker)
			if !strings.Contains(k.log.String(), `msg="child ended" how="exit status 0"`) {
				t.Errorf("the child was not stopped well")
			}
		})
	}
}

// It is so, too, when what hangs is what kconfd begins with: here its manifests,
// from a standard input that nobody closes.
func TestEndBeforeItHasBegun(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args   []string
		signal syscall.Signal
		want   int
	}{
		"daemon":          {nil, syscall.SIGTERM, 0},
		"onetime":         {[]string{"-onetime"}, syscall.SIGINT, 130},
		"child":           {[]string{"--", "true"}, syscall.SIGTERM, 0},
		"init is killed":  {[]string{"--", "true"}, syscall.SIGKILL, -1},
		"init is adopted": {[]string{"-adopt", "--", "true"}, syscall.SIGKILL, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.hangingFiles()
			cmd := exec.Command("kconfd", append([]string{"-confdir", s.dir, "-manifests", "-"}, test.args...)...)
			input, err := cmd.StdinPipe()
			s.must(err)
			k := startRunning(t, cmd)
			reader := k.cmd.Process.Pid
			if len(test.args) > 1 {
				process.Await(t, "there is a worker", func() bool { return k.workers() > 0 })
				reader = k.workers()
			}
			process.Await(t, "it reads", func() bool { return waitsInRead(reader) })
			if got := k.end(test.signal); got != test.want {
				t.Errorf("got exit code %d, want %d", got, test.want)
			}
			if reader != k.cmd.Process.Pid {
				s.gone("the worker", reader)
			}
			_ = input.Close()
		})
	}
}

// waitsInRead says whether a thread of a process reads from a pipe.
func waitsInRead(pid int) bool {
	paths, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	for _, path := range paths {
		call, _ := os.ReadFile(path)
		if strings.HasPrefix(string(call), fmt.Sprintf("%d 0x0 ", syscall.SYS_READ)) {
			return true
		}
	}
	return false
}
