//go:build e2e

package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/kconfd/kconfd/test/unshare"
)

const (
	// inside is the environment variable with the directory of the run, set for the
	// tests in their namespaces.
	inside = "KCONFD_E2E_DIR"

	// ownImage is the one that names the image in the reader's own cluster. KUBECONFIG
	// alone does not make the tests run there: it may have been set for other ends.
	ownImage = "KCONFD_E2E_IMAGE"
)

// TestMain makes what the tests need, and runs them in namespaces of their own: for
// processes, mounts and the network. When the tests end, however they end, the kernel
// ends all that is in them.
func TestMain(m *testing.M) {
	flag.Int64("e2e.seed", 1, "of the random faults")
	flag.Duration("e2e.faults", 0, "for how long there are random faults")
	flag.Duration("e2e.outage", 20*time.Second, "how long a long outage lasts")
	flag.Int("e2e.creations", 1, "how often a cluster is made in each order")
	flag.Int("e2e.rounds", 1, "how often each scenario is run but the outages")
	flag.Int("e2e.scalings", 3, "how often a StatefulSet is scaled to five and back")
	flag.String("e2e.results", "", "where logs are kept, also of what went well; default: a new directory for what failed")
	flag.Parse()
	if os.Getenv(inside) != "" || os.Getenv(ownImage) != "" {
		os.Exit(m.Run())
	}
	code, err := runInNamespaces()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// flagValue is the value of a flag of TestMain.
func flagValue[T any](name string) T {
	value, _ := flag.Lookup(name).Value.(flag.Getter).Get().(T)
	return value
}

// namespaces is what the shell does in them: it goes on to be their process 1, which
// has to reap what loses its parent. Where a kubelet and a container runtime keep what
// they have in fixed places, there are places of their own. Mounts are shared among
// containers, and a kubelet wants a default route.
const namespaces = `
mkdir -p /var/lib/cni
for dir in /run /var/log /var/lib/cni; do mount -t tmpfs tmpfs $dir; done
mount --make-rshared /
ip link set lo up
ip link add node0 type bridge
ip address add ` + nodeAddress + `/24 dev node0
ip link set node0 up
ip route add default via ` + nodeAddress + ` dev node0
echo 1 >/proc/sys/net/ipv4/ip_forward
"$@"
exit
`

// removeStale removes what is left of runs that were killed.
func removeStale() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), "kconfd-e2e-*"))
	for _, dir := range dirs {
		var pid int
		_, err := fmt.Sscanf(filepath.Base(dir), "kconfd-e2e-%d-", &pid)
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			removeRun(dir)
		}
	}
}

// removeRun removes a run's directory and the control groups of its containers. It is
// a courtesy: what cannot be removed stays.
func removeRun(dir string) {
	containers, _ := filepath.Glob(filepath.Join(dir, "containerd/state/io.containerd.runtime.v2.task/k8s.io/*"))
	for _, container := range containers {
		// Each version of control groups has them in another place.
		for _, place := range []string{"/sys/fs/cgroup/k8s.io/", "/sys/fs/cgroup/*/k8s.io/"} {
			groups, _ := filepath.Glob(place + filepath.Base(container))
			for _, group := range groups {
				removeGroup(group)
			}
		}
	}
	_ = os.RemoveAll(dir)
}

// removeGroup removes a control group with those in it.
func removeGroup(group string) {
	entries, _ := os.ReadDir(group)
	for _, entry := range entries {
		if entry.IsDir() {
			removeGroup(filepath.Join(group, entry.Name()))
		}
	}
	_ = os.Remove(group)
}

// runInNamespaces runs this program anew, and returns its exit code.
func runInNamespaces() (int, error) {
	removeStale()
	dir, err := os.MkdirTemp("", fmt.Sprintf("kconfd-e2e-%d-", os.Getpid()))
	if err != nil {
		return 0, err
	}
	defer removeRun(dir)
	if err := prepare(dir); err != nil {
		return 0, err
	}
	return unshare.Rerun(namespaces, inside+"="+dir, "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
}
