package services

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kconfd/kconfd/test/galera"
	"github.com/kconfd/kconfd/test/process"
)

// haproxy's own check sees what Kubernetes does not: a node that has lost its cluster, and still
// lets everybody in. And when Kubernetes calls a node unready, its connections go on, and new ones go
// to the other.
func TestHAProxyGalera(t *testing.T) {
	t.Parallel()
	c := galera.New(t)
	a, b, balancer := c.Node(t, "a"), c.Node(t, "b", "pc.weight=2"), c.Node(t, "balancer")
	a.Install(t)
	server := a.Start(t, a.Server("--wsrep-new-cluster")...)
	a.AwaitSynced(t)
	a.Ask(t, "CREATE USER haproxy@'%'; CREATE USER app@'%'; SET GLOBAL userstat=ON")
	b.Start(t, b.Server()...)
	b.AwaitSynced(t)

	manifests := t.TempDir()
	members := func(aNotReady bool) {
		t.Helper()
		write(t, filepath.Join(manifests, "pxc.yaml"), slice("pxc", "mysql",
			member{pod: "pxc-0", address: a.Address, port: 3306, notReady: aNotReady},
			member{pod: "pxc-1", address: b.Address, port: 3306}))
	}
	members(false)
	conf, pid := filepath.Join(balancer.Dir, "haproxy.cfg"), filepath.Join(balancer.Dir, "haproxy.pid")
	dir := confdir(t, "haproxy.toml", nil, "/etc/haproxy/haproxy.cfg", conf, "/run/haproxy.pid", pid)
	haproxy := balancer.Start(t, "kconfd", "-confdir", dir, "-manifests", manifests, "--", "haproxy", "-W", "-db", "-p", pid, "-f", conf)
	client := &client{network: fmt.Sprintf("--net=/proc/%d/ns/net", haproxy.PID()), address: balancer.Address}
	awaitNode(t, client, "a")
	galera.Await(t, "two checks", func() bool {
		return a.Ask(t, "SELECT count(*) FROM information_schema.user_statistics WHERE user = 'haproxy' AND total_connections >= 2") == "1"
	})
	if strings.Contains(server.Log(), "Aborted connection") {
		t.Errorf("the check does not say goodbye: %s", server.Log())
	}
	written := modified(t, conf)

	a.Ask(t, "SET GLOBAL wsrep_provider_options='gmcast.isolate=1'")
	a.AwaitStatus(t, "wsrep_cluster_status", "non-Primary")
	direct := *client
	direct.address = a.Address
	if _, err := direct.ask(t.Context(), "SELECT 1 FROM mysql.db"); err == nil || !strings.Contains(err.Error(), "WSREP has not yet prepared node") {
		t.Errorf("the node that has lost its cluster: got %v, want that it lets clients in and refuses what they ask", err)
	}
	awaitNode(t, client, "b")
	a.Ask(t, "SET GLOBAL wsrep_provider_options='gmcast.isolate=0'")
	a.AwaitSynced(t)
	awaitNode(t, client, "a")
	if got := modified(t, conf); got != written {
		t.Errorf("the file was written again, at %s", got)
	}

	callers, ctx := newCallers(t)
	long := callers.call(ctx, "a connection", client.session(t))
	fresh := callers.call(ctx, "new connections", func() (string, error) { return client.ask(ctx, whichNode) })
	long.awaitOnly(t, 10, "a")
	members(true)
	fresh.awaitOnly(t, 10, "b")
	long.awaitOnly(t, 10, "a")
	members(false)
	fresh.awaitOnly(t, 10, "a")
	wantSameAnswers(t, callers.all[:1])
	callers.stop()
}

const whichNode = "SELECT @@wsrep_node_name"

// A client talks to a server from within a network.
type client struct{ network, address string }

func (c *client) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{
		c.network, "mariadb", "--no-defaults", "-h", c.address, "-u", "app", "--batch", "--skip-column-names", "--unbuffered",
	}, args...)...)
}

// ask asks over a new connection.
func (c *client) ask(ctx context.Context, query string) (string, error) {
	out, err := c.command(ctx, "-e", query).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// session connects, and gives what asks over this connection.
func (c *client) session(t *testing.T) func() (string, error) {
	t.Helper()
	return interactive(t, c.command(t.Context()), whichNode+";")
}

func awaitNode(t *testing.T, c *client, want string) {
	t.Helper()
	process.Await(t, "new connections go to node "+want, func() bool {
		got, err := c.ask(t.Context(), whichNode)
		return err == nil && got == want
	})
}

func modified(t *testing.T, file string) string {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime().String()
}
