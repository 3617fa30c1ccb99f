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
	begin := time.Now()
	g.setSettings(t, "max_connections = 211")
	g.awaitVariable(t, "max_connections", "211")
	w.awaitWrites(t)
	gap := longestGap(w.written()[from:])
	t.Logf("figure: in turns, in %v, no write for %v at most", time.Since(begin).Round(100*time.Millisecond), gap)
	if gap > 30*time.Second {
		t.Errorf("no write for %v while one node after the other restarted", gap)
	}
	g.setSettings(t, usual)
	g.awaitVariable(t, "max_connections", "200")
}

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
