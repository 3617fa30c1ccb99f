//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// volumeScenarios lose data.
func volumeScenarios() []scenario {
	return []scenario{
		{name: "a node loses its volume", run: loseOne},
		{name: "a node loses its volume while nobody runs", run: loseOneOfNone},
		{name: "the last rows are lost", run: loseLast},
	}
}

func loseOne(t *testing.T, g *galera, _ *writer) {
	g.stopNode(t, 1)
	g.loseVolume(t, 1)
	g.scale(t, 1, 1)
}

// loseOneOfNone: what the lost one had, the others have too.
func loseOneOfNone(t *testing.T, g *galera, _ *writer) {
	for _, n := range []int{1, 2, 3} {
		g.stopNode(t, n)
	}
	g.loseVolume(t, 1)
	for _, n := range []int{1, 2, 3} {
		g.scale(t, n, 1)
	}
}

// loseLast: one node alone had the last rows, and a person has to decide.
func loseLast(t *testing.T, g *galera, w *writer) {
	g.stopNode(t, 2)
	there := len(w.written())
	g.stopNode(t, 3)
	w.awaitWrites(t)
	g.stopNode(t, 1)
	w.forget(there)
	g.loseVolume(t, 1)
	for _, n := range []int{1, 2, 3} {
		g.scale(t, n, 1)
	}
	g.awaitLog(t, podName(2), "lost")
	out, err := g.exec(podName(2), "kconfd", "galera", "bootstrap", "--from", "pxc-node2")
	if err == nil || !strings.Contains(err.Error(), "pxc-node1") {
		t.Errorf("bootstrap from what has less: got %q, %v, want a refusal that names pxc-node1", out, err)
	}
	g.mustKubectl(t, "", "exec", podName(2), "--", "kconfd", "galera", "bootstrap", "--from", "pxc-node2", "--force")
}
