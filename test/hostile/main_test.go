package hostile

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kconfd/kconfd/test/build"
	"github.com/kconfd/kconfd/test/process"
)

// other is the uid and gid of the application's user.
const other = 65534

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(hangEnv) != "":
		playHanging()
		return
	case os.Getenv(targetEnv) != "":
		playTarget()
		return
	case os.Getenv(childEnv) != "":
		playChild()
		return
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "kconfd runs as root here, beside other users: run the tests as root")
		os.Exit(1)
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) // what nohup ignores, children would ignore as well
	os.Exit(build.InPath(m.Run))
}

// A stage is what one kconfd works with: its configuration, which is root's, and
// home, a directory of the application's user.
type stage struct {
	t    *testing.T
	dir  string // root's; has conf.d, templates and objects.yaml
	home string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	// Not t.TempDir, whose parents only root may enter.
	dir, err := os.MkdirTemp("", "hostile")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &stage{t: t, dir: dir, home: filepath.Join(dir, "home")}
	s.must(os.Chmod(dir, 0o755))
	for _, name := range []string{"conf.d", "templates", "home"} {
		s.must(os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	s.must(os.Chown(s.home, other, other))
	s.write("objects.yaml", "")
	return s
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// path is that of a file of root's.
func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

// write writes a file of root's, whole at once.
func (s *stage) write(name, content string) {
	s.t.Helper()
	s.must(os.WriteFile(s.path(name+".new"), []byte(content), 0o644))
	s.must(os.Rename(s.path(name+".new"), s.path(name)))
}

// read reads a file, which may be anybody's. One that is not there is empty.
func (s *stage) read(path string) string {
	s.t.Helper()
	content, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	return string(content)
}

// command is a kconfd with the stage's configuration.
func (s *stage) command(args ...string) *exec.Cmd {
	cmd := exec.Command("kconfd", append([]string{"-confdir", s.dir, "-manifests", s.path("objects.yaml")}, args...)...)
	cmd.Dir = s.dir
	return cmd
}

// start starts it.
func (s *stage) start(args ...string) *process.Process {
	s.t.Helper()
	return process.Start(s.t, s.command(args...))
}

// as does what do does with files as the user that has the uid, with that user's
// rights and no others.
func (s *stage) as(uid int, do func() error) {
	s.t.Helper()
	err := make(chan error)
	go func() { // until do returns; its thread is not used again
		runtime.LockOSThread()
		if _, e := unix.SetfsgidRetGid(uid); e != nil {
			err <- e
			return
		}
		if _, e := unix.SetfsuidRetUid(uid); e != nil {
			err <- e
			return
		}
		err <- do()
	}()
	s.must(<-err)
}

// asUser makes a command one of the user that has the uid.
func asUser(uid uint32, cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return cmd
}
