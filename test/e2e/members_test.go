//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// listLimit is how long a my.cnf may be behind an EndpointSlice.
const listLimit = 5 * time.Second

// memberScenarios are about who is in the cluster.
func memberScenarios() []scenario {
	return []scenario{
		{name: "a service without a node", run: serviceWithoutNode},
		{name: "five nodes and three again", run: scale},
		{name: "a node under another name", run: rename},
		{name: "a pod is deleted", run: deletePod},
	}
}

// serviceWithoutNode: a Service for a node that does not exist is no member.
func serviceWithoutNode(t *testing.T, g *galera, _ *writer) {
	before := g.servers(t)
	g.mustKubectl(t, "", "create", "service", "clusterip", "pxc-node4", "--tcp=3306")
	g.mustKubectl(t, "", "label", "--overwrite", "service", "pxc-node4", "app=pxc")
	old := g.pod(t, podName(3))
	g.deletePods(t, old.Name)
	g.awaitNew(t, old)
	g.awaitWhole(t, 3)
	g.awaitListed(t, 3, listLimit)
	g.mustKubectl(t, "", "delete", "service", "pxc-node4")
	g.wantNoRestart(t, before, podName(1), podName(2))
}

// scale: the files follow the members, and nobody is restarted.
func scale(t *testing.T, g *galera, _ *writer) {
	before := g.servers(t)
	for _, n := range []int{4, 5} {
		g.create(t, nodeFile(n))
		t.Logf("figure: node %d in every my.cnf after %v", n, g.awaitListed(t, n, listLimit))
		g.awaitWhole(t, n)
	}
	for _, n := range []int{5, 4} {
		g.stopNode(t, n)
		g.remove(t, nodeFile(n))
		t.Logf("figure: node %d in no my.cnf after %v", n, g.awaitListed(t, n-1, listLimit))
		g.loseVolume(t, n)
		g.awaitWhole(t, n-1)
	}
	g.wantNoRestart(t, before, podName(1), podName(2), podName(3))
}

// wantNoRestart fails when the server of a pod is not the one of before.
func (g *galera) wantNoRestart(t *testing.T, before map[string]string, pods ...string) {
	t.Helper()
	for _, pod := range pods {
		if diff := cmp.Diff(before[pod], g.started(t, pod)); diff != "" {
			t.Errorf("the server of pod %q was restarted: %s", pod, diff)
		}
	}
}

// rename: a node goes, and another one with a new name and an empty volume takes its
// place.
func rename(t *testing.T, g *galera, _ *writer) {
	g.stopNode(t, 3)
	g.remove(t, nodeFile(3))
	g.create(t, nodeFile(6))
	g.awaitWhole(t, 3)
	g.stopNode(t, 6)
	g.remove(t, nodeFile(6))
	g.loseVolume(t, 6)
	g.create(t, nodeFile(3))
}

func deletePod(t *testing.T, g *galera, _ *writer) {
	old := g.pod(t, podName(2))
	g.deletePods(t, old.Name)
	g.awaitNew(t, old)
}
