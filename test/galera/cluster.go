// Package galera runs real nodes of a Galera cluster for tests: mariadbd with
// small buffers and quick timers. Each node is in namespaces of its own, as a
// container would be: for its processes, its mounts and its network, which is
// joined with those of the other nodes and with nothing else. Only root may make
// these.
//
// A node is run by whatever command the test gives, such as a supervisor with
// mariadbd behind it. All that was started ends with the test, however that ends.
package galera

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// patience is how long a test waits for what must come. It is long, since the
// machine may have much else to do, and nobody waits for it when all is well.
const patience = 90 * time.Second

// Cluster is where nodes run. Its methods may be called from one goroutine at a
// time, those of different nodes from different ones.
type Cluster struct {
	// DefaultTimers gives the nodes Galera's own timers instead of quick ones. It is set
	// before the first node is made.
	DefaultTimers bool

	dir      string
	network  *network // the switch
	switches int      // that there are in it
	nodes    []*Node
}

// New makes a cluster without a node, which is gone when the test ends. The test
// fails when anything of it cannot be ended.
func New(t testing.TB) *Cluster {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("making namespaces: only root may, run the tests as root")
	}
	dir, err := os.MkdirTemp("", "kconfd-galera-") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{dir: dir}
	t.Cleanup(func() { c.close(t) })
	if err := os.Chmod(dir, 0o755); err != nil { // for the server's user
		t.Fatal(err)
	}
	if c.network, err = newSwitch(); err != nil {
		t.Fatal(err)
	}
	// In the nodes' namespaces, something else is at its place.
	if out, err := exec.Command("cp", "/usr/bin/rsync", c.rsync()).CombinedOutput(); err != nil {
		t.Fatalf("copying rsync: %v (run: make packages)\n%s", err, out)
	}
	return c
}

// close ends what runs and removes the cluster.
func (c *Cluster) close(t testing.TB) {
	for _, n := range c.nodes {
		n.close(t)
	}
	if c.network != nil {
		c.network.close()
	}
	if err := os.RemoveAll(c.dir); err != nil {
		t.Error(err)
	}
}

// Dir is where everything of the cluster is.
func (c *Cluster) Dir() string { return c.dir }

func (c *Cluster) rsync() string { return filepath.Join(c.dir, "rsync") }

// LocalAccount are statements that make the account for the server's own user, as kconfd's first boot
// does.
const LocalAccount = "FLUSH PRIVILEGES;\nCREATE USER mysql@localhost IDENTIFIED VIA unix_socket;\nGRANT SUPER ON *.* TO mysql@localhost;\n"

// installed is a data directory after the first boot, made once. The server's
// root is the root of the machine, without a password.
func (c *Cluster) installed() (string, error) {
	dir := filepath.Join(c.dir, "installed")
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	tmp := filepath.Join(c.dir, "tmp") // TMPDIR may be closed to the server's user
	if err := errors.Join(os.Mkdir(tmp, 0o755), own(tmp)); err != nil {
		return "", err
	}
	accounts := filepath.Join(c.dir, "accounts.sql")
	if err := os.WriteFile(accounts, []byte(LocalAccount), 0o644); err != nil {
		return "", err
	}
	install := exec.Command("mariadb-install-db", "--no-defaults", "--extra-file="+accounts, "--user=mysql", "--datadir="+dir, "--tmpdir="+tmp, "--skip-test-db",
		"--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M", "--wsrep-on=OFF",
		"--auth-root-authentication-method=socket", "--auth-root-socket-user=root")
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("installing a data directory: %w (run: make packages)\n%s", err, out)
	}
	return dir, nil
}

// copyData copies a data directory that nobody is writing to.
func copyData(from, to string) error {
	if out, err := exec.Command("cp", "-a", "-T", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("copying a data directory: %w\n%s", err, out)
	}
	return nil
}

// Await waits until a condition holds.
func Await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
