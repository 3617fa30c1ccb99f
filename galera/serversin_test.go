package galera

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
