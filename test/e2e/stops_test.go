//go:build e2e

package e2e

import (
	"slices"
	"testing"
)

// stopScenarios end all nodes in good order.
func stopScenarios() []scenario {
	return []scenario{
		{name: "all pods are deleted at once", run: deleteAll},
		{name: "all nodes stop one after the other", run: stopInTurn},
		{name: "the last to stop comes back last", run: lastComesLast},
	}
}

func deleteAll(t *testing.T, g *galera, _ *writer) {
	old := g.allPods(t)
	g.deletePods(t, names(old)...)
	g.awaitNew(t, old...)
}

func stopInTurn(t *testing.T, g *galera, _ *writer) {
	for n := range 3 {
		g.stopNode(t, n+1)
	}
	for n := range 3 {
		g.scale(t, n+1, 1)
	}
}

// lastComesLast: nodes without the last rows wait for the one that has them.
func lastComesLast(t *testing.T, g *galera, w *writer) {
	for _, n := range []int{2, 3, 1} {
		g.stopNode(t, n)
	}
	g.scale(t, 2, 1)
	g.scale(t, 3, 1)
	g.awaitLog(t, podName(3), waits)
	n := len(w.written())
	g.scale(t, 1, 1)
	g.awaitWhole(t, 3)
	if got := len(w.written()); got == n {
		t.Errorf("nothing was written since the last node came back")
	}
	if slices.ContainsFunc(g.allPods(t), restarted) {
		t.Errorf("a container that waited was restarted")
	}
}
