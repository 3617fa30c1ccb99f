package hostile

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/kconfd/kconfd/test/process"
)

// targetEnv has the test binary be a process that says on standard output when it
// gets SIGHUP.
const targetEnv = "HOSTILE_TARGET"

func playTarget() {
	hup := make(chan os.Signal, 10)
	signal.Notify(hup, syscall.SIGHUP)
	if comm := os.Getenv(targetEnv); comm != "-" {
		_ = os.WriteFile("/proc/self/comm", []byte(comm), 0)
	}
	fmt.Println("ready")
	go func() { // until the process ends
		for range hup {
			fmt.Println("told")
		}
	}()
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // until the test is over
}

// A target is a process that may be signalled.
type target struct {
	cmd *exec.Cmd
	out *process.Output
}

// target starts one as a user, under a name.
func (s *stage) target(uid uint32, argv0, comm string) *target {
	s.t.Helper()
	p := &target{asUser(uid, exec.Command(s.program())), &process.Output{}}
	p.cmd.Args[0] = argv0
	p.cmd.Env = append(os.Environ(), targetEnv+"="+comm, "GORACE=atexit_sleep_ms=0")
	p.cmd.Stdout = p.out
	stdin, err := p.cmd.StdinPipe()
	s.must(err)
	s.must(p.cmd.Start())
	s.t.Cleanup(func() {
		_ = stdin.Close()
		_ = p.cmd.Wait()
	})
	process.Await(s.t, "the target is ready", func() bool { return strings.Contains(p.out.String(), "ready") })
	return p
}

func (p *target) told() bool { return strings.Contains(p.out.String(), "told") }

// signalGroup is a group that signals when its file is written, which it is at once.
func (s *stage) signalGroup(keys string) *process.Process {
	s.t.Helper()
	s.settings("blue", "x")
	s.write("conf.d/a.toml", "[[template]]\ncontents = '{{ (configMap \"settings\").colour }}'\ndest = \""+s.path("colour")+
		"\"\n[reload]\naction = \"signal\"\nsignal = \"HUP\"\nretry = \"20ms:50ms\"\n"+keys)
	return s.start()
}

// A pid file of the application's user makes root signal no process of root's, and what is no
// file holds up nothing.
func TestPIDFilesOfAnotherUser(t *testing.T) {
	t.Parallel()
	t.Run("names a process of root's", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		root := s.target(0, "server", "-")
		path := filepath.Join(s.home, "app.pid")
		s.as(other, func() error { return os.WriteFile(path, []byte(strconv.Itoa(root.cmd.Process.Pid)), 0o644) })
		k := s.signalGroup(fmt.Sprintf("pid_file = %q\n", path))
		k.AwaitLog(0, "not applied.*is of user 0, and the file of user 65534; none was signalled.*hint=")
		own := s.target(other, "server", "-")
		s.as(other, func() error { return os.WriteFile(path, []byte(strconv.Itoa(own.cmd.Process.Pid)), 0o644) })
		process.Await(t, "its own process is told", own.told)
		k.Stop(syscall.SIGTERM)
		if root.told() {
			t.Error("a process of root's was signalled")
		}
	})
	for name, lead := range leadsToPIDFiles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			root := s.target(0, "server", "-")
			s.must(os.Mkdir(s.path("run"), 0o755))
			s.write("run/app.pid", strconv.Itoa(root.cmd.Process.Pid))
			s.as(other, func() error { return lead(s) })
			k := s.signalGroup(fmt.Sprintf("pid_file = %q\n", s.home+"/run/app.pid"))
			k.AwaitLog(0, "not applied.*(is not followed|has 2 names|not a regular file)")
			k.Stop(syscall.SIGTERM)
			if root.told() {
				t.Error("a process of root's was signalled")
			}
		})
	}
	for name, plant := range notFiles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			path := filepath.Join(s.home, "app.pid")
			s.must(plant(path))
			k := s.signalGroup(fmt.Sprintf("pid_file = %q\n", path))
			k.AwaitLog(0, "not applied.*(not a regular file|its first line has more than 63 bytes)")
			k.Stop(syscall.SIGTERM)
		})
	}
}

// A process of another user that calls itself as the one that is meant is neither signalled nor in
// the way.
func TestNamesOfAnotherUser(t *testing.T) {
	t.Parallel()
	for name, spoof := range map[string]struct{ argv0, comm string }{
		"argv[0]": {"NAME", "-"},
		"comm":    {"x", "NAME"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			unique := fmt.Sprintf("h%d%c", os.Getpid()%100000, name[0])
			meant := s.target(0, unique, "-")
			fake := s.target(other, strings.ReplaceAll(spoof.argv0, "NAME", unique), strings.ReplaceAll(spoof.comm, "NAME", unique))
			k := s.signalGroup(fmt.Sprintf("process = %q\n", unique))
			process.Await(t, "the one that is meant is told", meant.told)
			k.Stop(syscall.SIGTERM)
			if fake.told() {
				t.Error("the one that only has its name was signalled")
			}
		})
	}
	t.Run("beside a server of a user", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		unique := fmt.Sprintf("h%du", os.Getpid()%100000)
		meant := s.target(65533, unique, "-")
		fake := s.target(other, unique, "-")
		k := s.signalGroup(fmt.Sprintf("process = %q\n", unique))
		k.AwaitLog(0, "not applied.*processes of several users have the name.*hint=.*user in \\[reload\\]")
		s.write("conf.d/a.toml", s.read(s.path("conf.d/a.toml"))+"user = \"65533\"\n")
		process.Await(t, "the one that is meant is told", meant.told)
		k.Stop(syscall.SIGTERM)
		if fake.told() {
			t.Error("the one that only has its name was signalled")
		}
	})
}
