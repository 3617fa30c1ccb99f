package tree

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	await "github.com/kconfd/kconfd/test/process"
)

// Each program sees what was mounted for it, and no thread of this process stays in its namespace.
func TestStartIsolated(t *testing.T) {
	if err := CanIsolate(); err != nil {
		t.Fatalf("run the tests as root: %v", err)
	}
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	target := t.TempDir()
	var running sync.WaitGroup
	for range 50 {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "name"), []byte(dir), 0o600); err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			cmd := exec.Command("sh", "-euc", `test "$(cat "$1/name")" = "$2"; exit 7`, "sh", target, dir)
			p, err := StartIsolated(cmd, func() error { return unix.Mount(dir, target, "", unix.MS_BIND, "") })
			if err != nil {
				t.Error(err)
				return
			}
			if err := p.Wait(); err == nil || cmd.ProcessState.ExitCode() != 7 {
				t.Errorf("got %v, want exit status 7", err)
			}
		})
	}
	running.Wait()
	if names, err := os.ReadDir(target); err != nil || len(names) > 0 {
		t.Errorf("seen outside: %v, %v", names, err)
	}
	if now, err := os.Readlink("/proc/self/ns/mnt"); err != nil || now != own {
		t.Errorf("this process is in namespace %q, %v, want %q", now, err, own)
	}
	await.Await(t, "all threads are in the namespace of the process", func() bool {
		threads, err := filepath.Glob("/proc/self/task/*/ns/mnt")
		if err != nil || len(threads) == 0 {
			t.Fatalf("threads: %q, %v", threads, err)
		}
		for _, thread := range threads {
			if now, err := os.Readlink(thread); err == nil && now != own {
				return false
			}
		}
		return true
	})
}

// A program that cannot have what is to be mounted is not started.
func TestStartIsolatedFails(t *testing.T) {
	why := errors.New("why")
	marker := filepath.Join(t.TempDir(), "started")
	_, err := StartIsolated(exec.Command("touch", marker), func() error { return why })
	var isolation *IsolationError
	if !errors.Is(err, why) || !errors.As(err, &isolation) || !strings.Contains(err.Error(), "mount namespace") {
		t.Errorf("got %v, want an IsolationError of %v", err, why)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("the program was started")
	}
}
