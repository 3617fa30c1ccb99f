package cluster_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kconfd/kconfd/test/cluster"
)

// A test that is killed leaves no process, and the next one removes its data: what
// is in memory would stay there until the machine is restarted.
func TestKilled(t *testing.T) {
	if os.Getenv("BE_KILLED") != "" {
		c := cluster.Start(t)
		fmt.Println(c.Dir())
		select {}
	}
	child := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	child.Env = append(os.Environ(), "BE_KILLED=1", "TMPDIR="+t.TempDir())
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	dir, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	marks := []string{strings.TrimSpace(dir), fmt.Sprintf("kconfd-etcd-%d-", child.Process.Pid)}
	if n := len(processes(t, marks)); n != 2 {
		t.Fatalf("%d processes are running, want etcd and the API server", n)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed

	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		left := processes(t, marks)
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("processes are left: %q", left)
		}
	}
	cluster.Start(t)
	for _, parent := range []string{"/dev/shm", os.TempDir()} {
		if left, _ := filepath.Glob(filepath.Join(parent, marks[1]+"*")); len(left) > 0 {
			t.Errorf("data is left: %q", left)
		}
	}
}

// processes are the command lines that have one of the marks in them.
func processes(t *testing.T, marks []string) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range paths {
		line, _ := os.ReadFile(path) // it may have ended since
		for _, mark := range marks {
			if strings.Contains(string(line), mark) {
				found = append(found, string(line))
				break
			}
		}
	}
	return found
}
