//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// settingScenarios change what the servers restart for.
func settingScenarios() []scenario {
	return []scenario{
		{name: "a setting changes in turns", run: changeInTurns},
		{name: "a setting changes everywhere at once", run: changeAtOnce},
		{name: "a setting that the server refuses", run: refusedSetting},
		{name: "a setting that the server dies of", run: deadlySetting},
		{name: "another password", run: changeSecret},
	}
}

const usual = "max_connections = 200"

func changeInTurns(t *testing.T, g *galera, w *writer) {
	from := len(w.written())
	smallest := g.watchSize(t)
	begin := time.Now()
	g.setSettings(t, "max_connections = 211")
	g.awaitVariable(t, "max_connections", "211")
	took := time.Since(begin).Round(100 * time.Millisecond)
	w.awaitWrites(t)
	g.awaitWhole(t, 3)
	size, gap := smallest(), longestGap(w.written()[from:])
	t.Logf("figure: in turns, in %v, no write for %v at most, %d nodes at least", took, gap, size)
	if size < 2 {
		t.Errorf("%d nodes were left while one after the other restarted, want 2", size)
	}
	if gap > 30*time.Second {
		t.Errorf("no write for %v while one node after the other restarted", gap)
	}
	g.setSettings(t, usual)
	g.awaitVariable(t, "max_connections", "200")
}

// watchSize looks at the cluster's size ten times a second, until smallest is asked for.
func (g *galera) watchSize(t *testing.T) (smallest func() int) {
	t.Helper()
	addresses := g.podAddresses(t)
	end, seen := make(chan struct{}), make(chan int)
	go func() { // until smallest is asked for, or the test ends
		least := len(addresses)
		for {
			select {
			case <-time.After(100 * time.Millisecond):
				least = min(least, g.size(addresses))
			case <-end:
				seen <- least
				return
			case <-t.Context().Done():
				return
			}
		}
	}()
	return func() int {
		close(end)
		return <-seen
	}
}

// size is how many nodes the primary component has, by the word of whoever sees most.
func (g *galera) size(addresses []string) int {
	most := 0
	for _, address := range addresses {
		var size int
		got, err := g.query(address, primarySize)
		if err != nil {
			continue // restarts
		}
		if _, err := fmt.Sscan(got, &size); err == nil {
			most = max(most, size)
		}
	}
	return most
}

// primarySize is the size of the component, 0 where it is not the primary one.
const primarySize = `SELECT SUM(IF(VARIABLE_NAME = 'wsrep_cluster_size', VARIABLE_VALUE, 0)) * MAX(VARIABLE_VALUE = 'Primary')
FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME IN ('wsrep_cluster_size', 'wsrep_cluster_status')`

// changeAtOnce is what changeInTurns is measured against.
func changeAtOnce(t *testing.T, g *galera, w *writer) {
	var turns string
	g.configure(t, func(old string) string {
		turns = old
		head, _, _ := strings.Cut(old, "[reload.rolling]")
		return head
	})
	from := len(w.written())
	begin := time.Now()
	g.setSettings(t, "max_connections = 222")
	g.awaitVariable(t, "max_connections", "222")
	g.awaitWhole(t, 3)
	w.awaitWrites(t)
	t.Logf("figure: at once, in %v, no write for %v at most", time.Since(begin).Round(100*time.Millisecond), longestGap(w.written()[from:]))
	g.configure(t, func(string) string { return turns })
	g.setSettings(t, usual)
	g.awaitVariable(t, "max_connections", "200")
}

// configure changes the resource file for the settings, and waits until every kconfd
// goes by it: it writes a file then that another resource file has.
func (g *galera) configure(t *testing.T, change func(string) string) {
	t.Helper()
	g.setConfigMap(t, "pxc-kconfd", "settings.toml", change)
	mark := fmt.Sprint(time.Now().UnixNano())
	g.setConfigMap(t, "pxc-kconfd", "mark.toml", func(string) string {
		return "[[template]]\ndest = \"/run/mysqld/mark\"\ncontents = \"" + mark + "\"\n"
	})
	for _, pod := range g.allPods(t) {
		await(t, "kconfd in pod "+pod.Name+" goes by its new configuration", func() bool {
			got, err := g.exec(pod.Name, "cat", "/run/mysqld/mark")
			return err == nil && got == mark
		})
	}
}

// refusedSetting: the check keeps it from every server.
func refusedSetting(t *testing.T, g *galera, _ *writer) {
	before := g.servers(t)
	g.setSettings(t, "no_such_variable = 1")
	for _, pod := range g.allPods(t) {
		g.awaitLog(t, pod.Name, "unknown variable 'no_such_variable'")
	}
	if diff := cmp.Diff(before, g.servers(t)); diff != "" {
		t.Errorf("servers were restarted: %s", diff)
	}
	g.setSettings(t, usual)
}

// deadlySetting: one server tries it, goes back, and keeps it from the others.
func deadlySetting(t *testing.T, g *galera, _ *writer) {
	before := g.servers(t)
	g.setSettings(t, "innodb_page_size = 4096")
	await(t, "somebody stops the gate", func() bool {
		lease, err := g.kubectl("", "get", "lease", "pxc-nodes", "--output=yaml")
		return err == nil && strings.Contains(lease, "kconfd.io/gate-stopped")
	})
	g.awaitWhole(t, 3)
	changed := 0
	for pod, started := range g.servers(t) {
		if started != before[pod] {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("%d servers were restarted, want 1", changed)
	}
	g.setSettings(t, "max_connections = 233")
	g.awaitVariable(t, "max_connections", "233")
	g.setSettings(t, usual)
	g.awaitVariable(t, "max_connections", "200")
}

// changeSecret: the password of the Secret is for the first boot, and a node that
// starts with another one takes part as before.
func changeSecret(t *testing.T, g *galera, _ *writer) {
	g.setPassword(t, "yet another")
	old := g.pod(t, podName(3))
	g.deletePods(t, old.Name)
	g.awaitNew(t, old)
	g.awaitWhole(t, 3)
	g.setPassword(t, rootPassword)
}
