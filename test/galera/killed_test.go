package galera

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A test that is killed leaves no process.
func TestKilled(t *testing.T) {
	t.Parallel()
	const launcher = `"$@" & wait`
	if os.Getenv("BE_KILLED") != "" {
		n := New(t).Node(t, "a")
		n.Install(t)
		n.Start(t, append([]string{"sh", "-c", launcher, "sh"}, n.Server("--wsrep-new-cluster")...)...)
		n.AwaitSynced(t)
		fmt.Println(n.mark())
		select {}
	}
	dir, err := os.MkdirTemp("", "kconfd-killed-") // that of the test would be closed to the server's user
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	test := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	test.Env = append(os.Environ(), "BE_KILLED=1", "TMPDIR="+dir)
	stdout, err := test.StdoutPipe()
	if err := errors.Join(err, os.Chmod(dir, 0o755), test.Start()); err != nil {
		t.Fatal(err)
	}
	mark, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !strings.HasPrefix(mark, "GALERA_NODE=") {
		t.Fatalf("the test says %q, %v", mark, err)
	}
	mark = strings.TrimSpace(mark)
	if running, err := processes(mark); err != nil || len(running) < 2 {
		t.Errorf("got processes %+v, %v, want the launcher and the server", running, err)
	}
	if err := test.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = test.Wait() // it was killed
	Await(t, "all processes are gone", func() bool {
		left, err := processes(mark)
		return err == nil && len(left) == 0
	})
}
