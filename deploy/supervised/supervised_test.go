// Package supervised tests the examples of this directory: kconfd and a real
// mariadbd under a real supervisor, everything in a temporary directory.
package supervised

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kconfd/kconfd/test/build"
	"github.com/kconfd/kconfd/test/process"
)

// TestMain builds kconfd for the supervisors to find in PATH, where Debian's
// servers may be missing.
func TestMain(m *testing.M) { os.Exit(build.InPath(m.Run)) }

func TestSupervised(t *testing.T) {
	for name, s := range map[string]supervisor{
		"s6":          {[]string{"s6-svscan", "/srv/db/s6"}, "output"},
		"supervisord": {[]string{"supervisord", "-c", "/srv/db/supervisord.conf"}, "run/kconfd.log"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testSupervisor(t, s)
		})
	}
}

// A supervisor is the command that starts it, and the file that kconfd's log goes
// to; its own output is in the file output.
type supervisor struct {
	command []string
	log     string
}

// testSupervisor goes through the life of the two programs: they come up, one
// after the other; what changes reaches mariadbd; what is bad does not, and
// neither does kconfd's own end; in the end all are gone, and in order.
func testSupervisor(t *testing.T, s supervisor) {
	e := newExample(t, s)
	settings := e.read("manifests/mariadb.yaml")
	e.remove("manifests/mariadb.yaml")
	e.start()
	mark := e.awaitLog(0, `waiting for data.*ConfigMap \\"mariadb\\"`)
	if pids := e.pids("mariadbd"); len(pids) > 0 || e.exists("run/error.log") {
		t.Fatalf("mariadbd runs without its file, as process %v", pids)
	}
	e.write("manifests/mariadb.yaml", settings)
	mark = e.awaitLog(mark, `told.*RESTART_MARIADBD`)
	e.awaitAnswer("SELECT @@innodb_read_io_threads", "4")
	e.awaitLog(0, `told.*signal HUP`) // owed since the start
	e.awaitAnswer("SELECT * FROM cluster.pods", "10.244.1.11 web-0 worker-1", "10.244.2.12 web-1 worker-2")

	// A restart.
	before := e.pid()
	e.write("manifests/mariadb.yaml", strings.Replace(settings, `"4"`, `"8"`, 1))
	mark = e.awaitLog(mark, `told.*RESTART_MARIADBD`)
	e.awaitAnswer("SELECT @@innodb_read_io_threads", "8")
	if e.pid() == before {
		t.Errorf("mariadbd has another setting and is still process %d", before)
	}

	// From here on it is one and the same process.
	before = e.pid()
	cnf := e.read("run/server.cnf")
	e.write("manifests/mariadb.yaml", strings.Replace(settings, "read_io", "raed_io", 1))
	mark = e.awaitLog(mark, `not applied.*unknown variable 'innodb_raed_io_threads=4'`)
	if diff := cmp.Diff(cnf, e.read("run/server.cnf")); diff != "" {
		t.Errorf("a bad file went live (-before +after):\n%s", diff)
	}
	e.write("manifests/mariadb.yaml", strings.Replace(settings, `"4"`, `"8"`, 1))
	mark = e.awaitLog(mark, `in order again`)

	// With SIGHUP it opens its logs anew as well as its tables.
	e.crash("kconfd")
	e.rename("run/error.log", "run/error.log.old")
	e.write("manifests/web.yaml", strings.ReplaceAll(e.read("manifests/web.yaml"), "web-1", "web-7"))
	e.awaitAnswer("SELECT pod FROM cluster.pods", "web-0", "web-7")
	e.awaitLog(mark, `told.*signal HUP`)
	process.Await(t, "a new error.log", func() bool { return e.exists("run/error.log") })
	if got := e.pid(); got != before {
		t.Errorf("mariadbd is process %d, and was %d", got, before)
	}

	e.crash("mariadbd")
	e.awaitAnswer("SELECT @@innodb_read_io_threads", "8")
	e.stop()
}

// An example is a copy of this directory in which the path of the copy stands in
// place of /srv/db.
type example struct {
	t          *testing.T
	supervisor supervisor
	dir        string
	user       *syscall.Credential
	cmd        *exec.Cmd     // the supervisor
	ended      chan struct{} // closed when it has
}

func newExample(t *testing.T, s supervisor) *example {
	t.Helper()
	dir, err := os.MkdirTemp("", "kconfd-supervised-") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	e := &example{t: t, supervisor: s, dir: dir, user: mysql(t), ended: make(chan struct{})}
	t.Cleanup(func() {
		e.killAll()
		if t.Failed() {
			t.Logf("output:\n%s\nkconfd:\n%s\nerror.log:\n%s", e.read("output"), e.read(s.log), e.read("run/error.log"))
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(os.Chmod(dir, 0o755), e.copy(), os.Chown(dir, int(e.user.Uid), int(e.user.Gid))); err != nil {
		t.Fatal(err)
	}
	if out, err := e.command("/srv/db/prepare").CombinedOutput(); err != nil {
		t.Fatalf("prepare: %v (without MariaDB, run: make packages)\n%s", err, out)
	}
	return e
}

// mysql is the user of Debian's packages. Only root may become another.
func mysql(t *testing.T) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("mysql")
	if err != nil {
		t.Fatalf("%v; run: make packages", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (e *example) copy() error {
	return filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == "." || filepath.Ext(path) == ".go" {
			return err
		}
		target := filepath.Join(e.dir, path)
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if entry.IsDir() {
			err = os.Mkdir(target, info.Mode().Perm())
		} else {
			err = e.copyFile(path, target, info.Mode().Perm())
		}
		return errors.Join(err, os.Chown(target, int(e.user.Uid), int(e.user.Gid)))
	})
}

func (e *example) copyFile(path, target string, mode fs.FileMode) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(target, []byte(e.here(string(content))), mode)
}

func (e *example) here(text string) string { return strings.ReplaceAll(text, "/srv/db", e.dir) }

// command is one of the example's, run by its user. What it starts bears its mark
// in the environment.
func (e *example) command(words ...string) *exec.Cmd {
	for i := range words {
		words[i] = e.here(words[i])
	}
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = e.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), e.mark()}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: e.user, Setpgid: true}
	return cmd
}

func (e *example) mark() string { return "KCONFD_TEST=" + e.dir }

// start starts the supervisor.
func (e *example) start() {
	e.t.Helper()
	output, err := os.Create(filepath.Join(e.dir, "output"))
	if err != nil {
		e.t.Fatal(err)
	}
	defer output.Close()
	e.cmd = e.command(e.supervisor.command...)
	e.cmd.Stdout, e.cmd.Stderr = output, output
	if err := e.cmd.Start(); err != nil {
		e.t.Fatalf("%v; run: make packages", err)
	}
	go func() { // until the supervisor ends
		_ = e.cmd.Wait()
		close(e.ended)
	}()
}

// stop ends the supervisor, and with it all that it supervises.
func (e *example) stop() {
	e.t.Helper()
	if err := e.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		e.t.Fatal(err)
	}
	select {
	case <-e.ended:
	case <-time.After(process.Patience):
		e.t.Fatal("SIGTERM does not end the supervisor")
	}
	if code := e.cmd.ProcessState.ExitCode(); code != 0 {
		e.t.Errorf("got exit code %d, want 0", code)
	}
	if left := e.pids(""); len(left) > 0 {
		e.t.Errorf("processes are left: %v", left)
	}
	lines := strings.Split(strings.TrimSpace(e.read("run/error.log")), "\n")
	if last := lines[len(lines)-1]; !strings.HasSuffix(last, "mariadbd: Shutdown complete") {
		e.t.Errorf("mariadbd ended with %q", last)
	}
	for _, name := range []string{"run/mariadbd.pid", "run/mariadbd.sock"} {
		if e.exists(name) {
			e.t.Errorf("%s is left", name)
		}
	}
}

// pids are the processes of the example that have the name, or all of them when
// it is empty.
func (e *example) pids(name string) []int {
	e.t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		e.t.Fatal(err)
	}
	var pids []int
	for _, path := range paths {
		environ, _ := os.ReadFile(path) // it may have ended since
		comm, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "comm"))
		ours := slices.Contains(strings.Split(string(environ), "\x00"), e.mark())
		if ours && (name == "" || strings.TrimSpace(string(comm)) == name) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				e.t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// crash kills the process of that name, and waits until there is another.
func (e *example) crash(name string) {
	e.t.Helper()
	pids := e.pids(name)
	if len(pids) != 1 {
		e.t.Fatalf("%s: processes %v, want one", name, pids)
	}
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		e.t.Fatal(err)
	}
	process.Await(e.t, "another "+name, func() bool {
		now := e.pids(name)
		return len(now) == 1 && now[0] != pids[0]
	})
}

// killAll ends what a failed test leaves, the supervisor first.
func (e *example) killAll() {
	if e.cmd != nil && e.cmd.Process != nil {
		_ = e.cmd.Process.Kill() // it may have ended
		<-e.ended
	}
	process.Await(e.t, "all processes end", func() bool {
		left := e.pids("")
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		}
		return len(left) == 0
	})
}

// pid is mariadbd's, by its own account.
func (e *example) pid() int {
	e.t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(e.read("run/mariadbd.pid")))
	if err != nil {
		e.t.Fatal(err)
	}
	return pid
}

// awaitAnswer waits until mariadbd answers with these lines.
func (e *example) awaitAnswer(query string, want ...string) {
	e.t.Helper()
	process.Await(e.t, fmt.Sprintf("%s gives %q", query, want), func() bool {
		out, err := e.command("mariadb", "--no-defaults", "--socket=/srv/db/run/mariadbd.sock",
			"--batch", "--skip-column-names", "--execute="+query).Output()
		got := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(out), "\t", " ")), "\n")
		return err == nil && slices.Equal(got, want)
	})
}

// awaitLog waits until what kconfd has logged since the mark matches, and gives
// the new mark.
func (e *example) awaitLog(since int, pattern string) int {
	e.t.Helper()
	r := regexp.MustCompile(pattern)
	process.Await(e.t, "log matches "+pattern, func() bool { return r.MatchString(e.read(e.supervisor.log)[since:]) })
	return len(e.read(e.supervisor.log))
}

// read is a file's content, empty when it is not there.
func (e *example) read(name string) string {
	e.t.Helper()
	content, err := os.ReadFile(filepath.Join(e.dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.t.Fatal(err)
	}
	return string(content)
}

func (e *example) exists(name string) bool {
	_, err := os.Stat(filepath.Join(e.dir, name))
	return err == nil
}

// write puts a whole file in its place: kconfd may look at any moment.
func (e *example) write(name, content string) {
	e.t.Helper()
	next := filepath.Join(e.dir, "next")
	err := os.WriteFile(next, []byte(content), 0o644)
	if err == nil {
		err = os.Rename(next, filepath.Join(e.dir, name))
	}
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e *example) rename(from, to string) {
	e.t.Helper()
	if err := os.Rename(filepath.Join(e.dir, from), filepath.Join(e.dir, to)); err != nil {
		e.t.Fatal(err)
	}
}

func (e *example) remove(name string) {
	e.t.Helper()
	if err := os.Remove(filepath.Join(e.dir, name)); err != nil {
		e.t.Fatal(err)
	}
}
