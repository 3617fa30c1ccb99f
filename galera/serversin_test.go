package galera

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// A server in another container, which shares the process namespace, may have another data directory of
// the same path. It is not this node's, and must not be killed.
func TestServersInAnotherContainer(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	data, other, server := filepath.Join(top, "data"), filepath.Join(top, "other"), filepath.Join(top, "mariadbd")
	for _, dir := range []string{data, other} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("cp", "/bin/sh", server).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	start := func(script string) int {
		cmd := exec.CommandContext(t.Context(), "unshare", "-m", "--propagation", "private", "sh", "-c", script+" && exec "+server+" -c 'echo started; read end'")
		cmd.Dir = top
		if _, err := cmd.StdinPipe(); err != nil { // which it waits for
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Wait() }) // the context of the test has ended then
		if _, err := fmt.Fscanln(out, new(string)); err != nil {
			t.Fatal(err)
		}
		return cmd.Process.Pid
	}
	start("mount --bind " + other + " " + data + " && cd " + data)
	own := start("cd " + data)
	if got, err := serversIn(data); err != nil || !slices.Equal(got, []int{own}) {
		t.Errorf("got %v, %v, want %d alone", got, err, own)
	}
}

// Root sees the server's process in a container without CAP_SYS_PTRACE as well.
func TestServersWithoutPtrace(t *testing.T) {
	t.Parallel()
	const inContainer = "KCONFD_TEST_WITHOUT_PTRACE"
	if os.Getenv(inContainer) == "" {
		cmd := exec.CommandContext(t.Context(), "setpriv", "--bounding-set", "-sys_ptrace", "--inh-caps", "-sys_ptrace",
			os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), inContainer+"=yes")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	const user = 12345
	top := openDir(t)
	data, server := filepath.Join(top, "data"), filepath.Join(top, "mariadbd")
	if err := errors.Join(os.Mkdir(data, 0o700), os.Chown(data, user, user)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "/bin/sh", server).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), server, "-c", "cd "+data+" && echo started; read end")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	if _, err := cmd.StdinPipe(); err != nil { // which it waits for
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // the context of the test has ended then
	if _, err := fmt.Fscanln(out, new(string)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", cmd.Process.Pid)); !errors.Is(err, fs.ErrPermission) {
		t.Fatalf("got %v, want that the kernel refuses it", err)
	}
	if got, err := serversIn(data); err != nil || !slices.Equal(got, []int{cmd.Process.Pid}) {
		t.Errorf("got %v, %v, want %d", got, err, cmd.Process.Pid)
	}
}

// openDir is one that all users may look into.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kconfd")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
