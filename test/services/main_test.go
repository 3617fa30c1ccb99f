// Package services tests the templates and their resource files with the programs that
// they are for: kconfd runs them as its child, members come and go, and clients that are
// at it all the while must not notice.
package services

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// The tests run in namespaces of their own, so that files are where the resource files have
// them, endpoints have the addresses of pods (the API server refuses 127.0.0.1 as one), and
// nothing of it is left when they end, however they end.
func TestMain(m *testing.M) {
	if os.Getenv("KCONFD_IN_NAMESPACES") != "" {
		flag.Parse()
		if err := flag.Set("test.parallel", "5"); err != nil { // they wait most of the time
			panic(err)
		}
		os.Exit(m.Run())
	}
	code, err := runInNamespaces()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// namespaces is what the shell does in them before the tests: an /etc to write to, and
// addresses of pods. etcd's data is in /dev/shm, under names with process ids, which mean
// something else here.
const namespaces = `
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
cp -a /etc /run/etc
mount --bind /run/etc /etc
mkdir -p /etc/nginx/upstreams /etc/prometheus/targets
ip link set lo up
for address in 10.244.0.10 10.244.1.11 10.244.2.12 10.244.3.13; do
  ip address add $address dev lo
done
exec "$@"
`

// runInNamespaces runs this program anew, and returns its exit code.
func runInNamespaces() (int, error) {
	dir, err := os.MkdirTemp("", "kconfd")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := preparePath(dir); err != nil {
		return 0, err
	}
	args := append([]string{
		"--mount", "--mount-proc", "--net", "--pid", "--fork", "--kill-child",
		"sh", "-euc", namespaces, "sh",
	}, os.Args...)
	cmd := exec.Command("unshare", args...)
	cmd.Env = append(os.Environ(), "KCONFD_IN_NAMESPACES=yes")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	// The kernel sends it when the thread ends that started the program.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(1, exit.ExitCode()), nil
	}
	return 0, err
}

// preparePath puts kconfd, built in dir, and what the tests need into PATH.
func preparePath(dir string) error {
	if os.Geteuid() != 0 {
		return errors.New("making namespaces: only root may, run the tests as root")
	}
	if err := os.Chmod(dir, 0o755); err != nil { // for the programs' users
		return err
	}
	if out, err := exec.Command("go", "build", "-o", dir, "../../cmd/kconfd").CombinedOutput(); err != nil {
		return fmt.Errorf("building kconfd: %w\n%s", err, out)
	}
	if err := os.Setenv("PATH", dir+":"+os.Getenv("PATH")+":/usr/sbin"); err != nil {
		return err
	}
	for _, program := range []string{"haproxy", "ip", "mariadbd", "nginx", "pgbouncer", "prometheus", "psql", "redis-server"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w; run: make packages", err)
		}
	}
	return nil
}
