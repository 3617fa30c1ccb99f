package services

import (
	"fmt"
	"syscall"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/kconfd/kconfd/test/cluster"
	"github.com/kconfd/kconfd/test/process"
)

const (
	balancer = "10.244.0.10" // what clients talk to
	first    = "10.244.1.11"
	second   = "10.244.2.12"
	third    = "10.244.3.13"
)

// One API server serves both: starting it is what takes the time.
func TestOnACluster(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t)
	for name, test := range map[string]func(*testing.T, *cluster.Cluster){
		"haproxy balances":     testHAProxyBalanced,
		"haproxy has a writer": testHAProxyWriter,
		"nginx":                testNginx,
	} {
		t.Run(name, func(t *testing.T) { test(t, c) })
	}
}

// shop is what Kubernetes knows of the Service with these pods.
func shop(namespace, portName string, port int32, addresses ...string) *discoveryv1.EndpointSlice {
	slice := cluster.Slice(namespace, "shop", "shop-abcde", addresses...)
	slice.Ports[0].Name, slice.Ports[0].Port = &portName, &port
	return slice
}

// onCluster has kconfd run a program with a resource file.
func onCluster(t *testing.T, c *cluster.Cluster, namespace, confdir string, command ...string) *process.Process {
	t.Helper()
	args := []string{"kconfd", "-confdir", confdir, "-kubeconfig", c.Kubeconfig(t, cluster.Admin, namespace), "--"}
	return start(t, nil, append(args, command...)...)
}

func newHAProxy(t *testing.T, c *cluster.Cluster, namespace, mode string) *process.Process {
	t.Helper()
	dir := confdir(t, "haproxy.toml", map[string]any{
		"service": "shop", "check": "tcp", "mode": mode, "listen": balancer + ":3306",
	})
	return onCluster(t, c, namespace, dir, "haproxy", "-W", "-db", "-p", "/run/haproxy.pid", "-f", "/etc/haproxy/haproxy.cfg")
}

// Members come and go. Connections that are open stay where they are, also when their member
// has left, and new ones go to the new members.
func testHAProxyBalanced(t *testing.T, c *cluster.Cluster) {
	namespace := c.Namespace(t)
	for _, address := range []string{first, second, third} {
		serveLines(t, address+":3306")
	}
	c.Put(t, shop(namespace, "mysql", 3306, first, second))
	haproxy := newHAProxy(t, c, namespace, "balanced")
	callers, ctx := newCallers(t)
	for i := range 4 {
		long := connect(t, balancer+":3306")
		callers.call(ctx, fmt.Sprintf("connection %d", i), func() (string, error) { return long.ask("?") })
	}
	fresh := callers.call(ctx, "new connections", func() (string, error) { return askNew(ctx, balancer+":3306", "?") })
	for range 3 {
		c.Put(t, shop(namespace, "mysql", 3306, first, third))
		fresh.awaitOnly(t, 50, first+":3306", third+":3306")
		c.Put(t, shop(namespace, "mysql", 3306, first, second))
		fresh.awaitOnly(t, 50, first+":3306", second+":3306")
	}
	c.Put(t, shop(namespace, "mysql", 3306, third))
	fresh.awaitOnly(t, 50, third+":3306")

	nobody := shop(namespace, "mysql", 3306, third)
	cluster.NotReady(&nobody.Endpoints[0])
	c.Put(t, nobody)
	haproxy.AwaitLog(0, "render held.*want at least 1, have 0")
	fresh.awaitOnly(t, 50, third+":3306")
	wantSameAnswers(t, callers.all[:4])
	callers.stop()
}

// wantSameAnswers demands that each caller had one member for all the time.
func wantSameAnswers(t *testing.T, all []*caller) {
	t.Helper()
	for _, c := range all {
		if got := c.lastOnes(c.asked()); len(got) != 1 {
			t.Errorf("%s: answered by %q, want one", c.name, got)
		}
	}
}

// All new connections go to the first member that is ready.
func testHAProxyWriter(t *testing.T, c *cluster.Cluster) {
	namespace := c.Namespace(t)
	for _, address := range []string{first, second, third} {
		serveLines(t, address+":3306")
	}
	all := func(notReady ...int) *discoveryv1.EndpointSlice {
		slice := shop(namespace, "mysql", 3306, first, second, third)
		for _, i := range notReady {
			cluster.NotReady(&slice.Endpoints[i])
		}
		return slice
	}
	c.Put(t, all())
	haproxy := newHAProxy(t, c, namespace, "writer")
	callers, ctx := newCallers(t)
	long := connect(t, balancer+":3306")
	callers.call(ctx, "a connection", func() (string, error) { return long.ask("?") })
	fresh := callers.call(ctx, "new connections", func() (string, error) { return askNew(ctx, balancer+":3306", "?") })
	fresh.awaitOnly(t, 50, first+":3306")
	c.Put(t, all(0))
	fresh.awaitOnly(t, 50, second+":3306")
	c.Put(t, all(0, 2))
	fresh.awaitOnly(t, 50, second+":3306")
	c.Put(t, all(0, 1))
	fresh.awaitOnly(t, 50, third+":3306")
	c.Put(t, all(2))
	fresh.awaitOnly(t, 50, first+":3306")
	wantSameAnswers(t, callers.all[:1])
	callers.stop()
	long.conn.Close()
	haproxy.Stop(syscall.SIGTERM)
}
