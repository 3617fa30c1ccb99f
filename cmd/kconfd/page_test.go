package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"
)

// A showcase is a board whose status is the test's.
type showcase struct {
	board  *board
	server *httptest.Server

	mu     sync.Mutex
	status *status
}

func newShowcase(t *testing.T, s *status) *showcase {
	t.Helper()
	c := &showcase{board: newBoard(), status: s}
	mux := http.NewServeMux()
	c.board.serve(mux)
	c.server = httptest.NewServer(mux)
	done := make(chan struct{})
	go func() { // until the test's end
		for {
			select {
			case answer := <-c.board.asks:
				c.mu.Lock()
				answer <- c.status
				c.mu.Unlock()
			case <-done:
				return
			}
		}
	}()
	t.Cleanup(func() {
		c.server.CloseClientConnections()
		c.server.Close()
		close(done)
	})
	return c
}

// set changes the status, and tells whoever looks.
func (c *showcase) set(s *status) {
	c.mu.Lock()
	c.status = s
	c.mu.Unlock()
	c.board.tell()
}

// aStatus is one with something of everything.
func aStatus() *status {
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	settings := dependencyStatus{Name: `ConfigMap "settings" in namespace "prod"`}
	pxc := dependencyStatus{Name: `Services with labels "app=pxc" in namespace "prod"`, Changed: ago(2 * time.Minute), Object: "pxc-node4"}
	return &status{
		Time: now, Version: "1.2.0", Name: "pxc-node2-0", Namespace: "prod", Started: ago(75 * time.Hour), Ready: false,
		Groups: []groupStatus{
			{
				Name: "/etc/kconfd/conf.d/galera.toml", State: stateApplied, Since: ago(75 * time.Hour), Applied: ago(2 * time.Minute),
				Action: "restart", Files: []fileStatus{
					{"/etc/mysql/conf.d/cluster.cnf", "my.cnf.tmpl", ago(2 * time.Minute), []dependencyStatus{pxc, settings}, 0},
				},
				Gate: &gateStatus{Lease: "prod/pxc-cluster", Holders: []string{"pxc-node1-0"}, Queue: []string{"pxc-node2-0", "pxc-node3-0"}},
			},
			{
				Name: "/etc/kconfd/conf.d/haproxy.toml", State: stateHeld, Since: ago(40 * time.Second),
				Reason: `rendering "haproxy.cfg.tmpl": haproxy.cfg.tmpl:12:9: want at least 3, have 2`,
				Action: `signal USR2 to pid file "/run/haproxy.pid"`, Files: []fileStatus{
					{"/etc/haproxy/haproxy.cfg", "haproxy.cfg.tmpl", ago(26 * time.Hour), []dependencyStatus{
						{`endpoints of service "pxc" in namespace "prod"`, ago(40 * time.Second), ""}, {`Secret "monitor" in namespace "prod"`, time.Time{}, ""},
					}, 0},
				},
			},
			{
				Name: "/etc/kconfd/conf.d/exporter.toml", State: stateApplied, Since: ago(75 * time.Hour), Applied: ago(30 * time.Hour),
				Action: "none", Files: []fileStatus{{"/run/exporter/targets.json", "targets.tmpl", ago(30 * time.Hour), []dependencyStatus{settings}, 0}},
			},
		},
		Child: &childStatus{Command: "mariadbd", State: "running", Ready: true, Instance: 3, Since: ago(118 * time.Second)},
		Watches: []watchStatus{
			{Name: `ConfigMap "settings" in namespace "prod"`, Healthy: true, Listed: true, Objects: 1, Progress: ago(12 * time.Second)},
			{Name: `endpoints of service "pxc" in namespace "prod"`, Healthy: true, Listed: true, Objects: 1, Progress: ago(40 * time.Second)},
			{Name: `Secret "monitor" in namespace "prod"`, Healthy: true, Listed: true, Objects: 1, Progress: ago(8 * time.Second)},
			{Name: `Services with labels "app=pxc" in namespace "prod"`, Healthy: true, Listed: true, Objects: 4, Progress: ago(31 * time.Second)},
		},
		Changes: []change{
			{
				Time: ago(2 * time.Minute), Group: "/etc/kconfd/conf.d/galera.toml", Outcome: stateApplied, Times: 1, Duration: 4.31,
				Trigger: `Services with labels "app=pxc" in namespace "prod" (pxc-node4)`, Files: []string{"/etc/mysql/conf.d/cluster.cnf"},
				Diff: "--- /etc/mysql/conf.d/cluster.cnf\n+++ /etc/mysql/conf.d/cluster.cnf\n@@ -23,7 +23,7 @@\n wsrep_provider = /usr/lib/galera/libgalera_smm.so\n wsrep_cluster_name = galera\n" +
					"-wsrep_cluster_address = gcomm://10.244.1.21,10.244.2.22,10.244.3.23\n+wsrep_cluster_address = gcomm://10.244.1.21,10.244.2.22,10.244.3.23,10.244.4.24\n wsrep_sst_method = rsync\n wsrep_status_file = wsrep.json\n",
			},
			{
				Time: ago(26 * time.Hour), Group: "/etc/kconfd/conf.d/haproxy.toml", Outcome: stateFailed, Times: 4, Duration: 0.048,
				Reason: `checking "/etc/haproxy/haproxy.cfg": command "haproxy -c -f .haproxy.cfg123": exit status 1: unknown keyword 'sever' in 'listen' section`, Trigger: "configuration",
				Files: []string{"/etc/haproxy/haproxy.cfg"}, Diff: "--- a\n+++ a\n@@ -1 +1 @@\n-  server pxc-0 check\n+  sever pxc-0 check\n",
			},
			{Time: ago(30 * time.Hour), Group: "/etc/kconfd/conf.d/exporter.toml", Outcome: stateApplied, Times: 1, Duration: 0.012, Trigger: "start", Files: []string{}},
		},
	}
}

func TestShots(t *testing.T) {
	c := newShowcase(t, aStatus())
	b := startBrowser(t)
	for name, size := range map[string][3]any{"light": {1180, 1400, "light"}, "dark": {1180, 1400, "dark"}, "phone": {390, 2200, "light"}} {
		b.look(size[0].(int), size[1].(int), size[2].(string))
		b.open(c.server.URL + "/")
		b.await(`document.querySelector("#groups article") && document.getElementById("live").textContent === "live"`)
		os.WriteFile("/tmp/demo/"+name+".png", b.screenshot(), 0o644)
	}
	t.Log(b.complained())
}
