package main

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A child that uses up the threads and processes that a container may have does
// not end kconfd, which would end the child.
func TestNoMoreThreads(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Fatal("run as root: the limit does not hold for root, so another user is needed")
	}
	uid := uint32(64001 + os.Getpid()%1000) // nobody's, and not that of another run of this test
	cmd := exec.Command("prlimit", "--nproc=100", publicCopy(t), "-listen", "127.0.0.1:0", "--", "sh", "-c",
		"(while :; do sleep 600 & done) 2>/dev/null; echo none is left; exec sleep 600")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	k := startCmd(t, cmd)
	await(t, "the child has used up all", func() bool { return strings.Contains(k.out.String(), "none is left") })
	worker := k.worker()
	var all sync.WaitGroup
	for range 20 { // some of them at the same time
		all.Go(func() {
			for range 20 {
				resp, err := http.Get("http://" + k.address() + "/metrics")
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			}
		})
	}
	all.Wait()
	select {
	case <-k.ended:
		t.Fatal("kconfd has ended")
	case <-time.After(3 * time.Second): // in which it gives memory back, for which it needs threads
	}
	if got := k.worker(); got != worker {
		t.Errorf("the worker is process %d, was %d", got, worker)
	}
	k.wantEnd(143)
}

// publicCopy is a kconfd that other users may run.
func publicCopy(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kconfd-public-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "kconfd")
	program, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(path, program, 0o755)
	}
	if err := errors.Join(err, os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return path
}
