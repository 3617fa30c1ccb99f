// Package unshare runs tests in Linux namespaces of their own: for processes, mounts and
// the network. When they end, however they end, the kernel ends all that is in them, and
// nothing is left of it.
package unshare

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"github.com/kconfd/kconfd/test/build"
)

// Rerun runs this program anew, with its arguments, in new namespaces, and gives its exit
// code, at least 1 when a signal ended it. The script is for sh -eu, which is process 1
// there; it runs the program by "$@". The environment is this one and env: by a variable
// there the program knows that it is inside.
func Rerun(script string, env ...string) (int, error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("making namespaces: only root may, run the tests as root")
	}
	args := append([]string{
		"--mount", "--mount-proc", "--net", "--pid", "--fork", "--kill-child",
		"sh", "-euc", script, "sh",
	}, os.Args...)
	cmd := exec.Command("unshare", args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	// The kernel sends it when the thread ends that started the program.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(1, exit.ExitCode()), nil
	}
	return 0, err
}

// inside is the environment variable that is set for the tests in a pod.
const inside = "KCONFD_IN_NAMESPACES"

// pod is what the shell does before the tests: an /etc and a /run to write to and to mount
// volumes on, and addresses of pods. etcd's data is in /dev/shm, under names with process
// ids, which mean something else here.
const pod = `
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
cp -a /etc /run/etc
mount --bind /run/etc /etc
ip link set lo up
for address in 10.244.0.10 10.244.1.11 10.244.2.12 10.244.3.13; do
  ip address add $address dev lo
done
`

// InPod is for TestMain: it runs the tests where all may be as in a pod, and gives their
// exit code. Files are where manifests and resource files have them, below /etc and /run;
// 10.244.0.10, 10.244.1.11, 10.244.2.12 and 10.244.3.13 are addresses to listen at, such as
// the API server accepts for endpoints, which 127.0.0.1 is not; every port is free. The
// setup is what the shell does besides before the tests begin.
//
// kconfd is in PATH, as [build.InPath] has it. When one of the programs is not, there are
// no tests: it says why, and gives 1.
func InPod(m *testing.M, setup string, programs ...string) int {
	if os.Getenv(inside) != "" {
		return m.Run()
	}
	return build.InPath(func() int {
		code, err := rerunInPod(setup, append(programs, "ip"))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	})
}

func rerunInPod(setup string, programs []string) (int, error) {
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			return 0, fmt.Errorf("%w; run: make packages", err)
		}
	}
	return Rerun(pod+setup+"\nexec \"$@\"\n", inside+"=yes")
}
