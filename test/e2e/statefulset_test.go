//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kconfd/kconfd/internal/process/tree"
)

// testStatefulSet runs deploy/pxc-statefulset, with the timers of the template: from
// three nodes to five and back, and through the end of all pods. Other clusters are created at the
// same time, so how long writes stop is for testScaling.
func testStatefulSet(t *testing.T, k *kube) {
	t.Parallel()
	g := newGalera(t, k)
	g.selector = "app.kubernetes.io/name=pxc"
	g.isNode = func(service string) bool { return service == "pxc" }
	begin := time.Now()
	g.mustKubectl(t, g.statefulSet(t), "create", "--filename=-")
	g.awaitWhole(t, 3)
	t.Logf("figure: three nodes after %v", time.Since(begin).Round(100*time.Millisecond))

	w := g.startWriter(t)
	before, lost := g.servers(t), g.losses()
	g.scaleTo(t, w, 5)
	g.scaleTo(t, w, 3)
	g.wantNoRestart(t, before, survivors()...)
	g.wantNoLoss(t, lost)

	old := g.allPods(t)
	g.deletePods(t, names(old)...)
	g.awaitNew(t, old...)
	g.awaitWhole(t, 3)
	acks := w.stop(t)
	g.wantData(t, acks)
	t.Logf("figure: %d rows, no write for %v at most", len(acks), longestGap(acks))
}

// mostWithoutWrite is how long there may be no write while nodes leave.
const mostWithoutWrite = 2 * time.Second

// survivors are the pods that a scaling to three leaves.
func survivors() []string { return []string{"pxc-0", "pxc-1", "pxc-2"} }

// scaleTo scales the StatefulSet, awaits its nodes, and gives the longest time without a write meanwhile.
func (g *galera) scaleTo(t *testing.T, w *writer, nodes int) time.Duration {
	t.Helper()
	w.awaitWrites(t)
	first, begin := len(w.written())-1, time.Now()
	failed := len(w.failures())
	g.mustKubectl(t, "", "scale", "statefulset/pxc", fmt.Sprintf("--replicas=%d", nodes))
	listed := g.awaitListed(t, nodes, patience)
	g.awaitWhole(t, nodes)
	w.awaitWrites(t)
	gap := longestGap(w.written()[first:])
	t.Logf("what the client says meanwhile:\n%s", w.failures()[failed:])
	t.Logf("figure: %d nodes after %v, in every my.cnf after %v, no write for %v at most",
		nodes, time.Since(begin).Round(100*time.Millisecond), listed, gap)
	return gap
}

// wantShort fails when there was no write for too long while nodes left.
func (g *galera) wantShort(t *testing.T, gap time.Duration) {
	t.Helper()
	if gap > mostWithoutWrite {
		t.Errorf("no write for %v while nodes left, want %v at most", gap, mostWithoutWrite)
	}
}

// losses counts by pod how often the server was without a primary component.
func (g *galera) losses() map[string]int {
	counts := map[string]int{}
	for _, pod := range survivors() {
		counts[pod] = strings.Count(g.log(pod), "Received NON-PRIMARY")
	}
	return counts
}

// wantNoLoss fails when the primary component was lost since.
func (g *galera) wantNoLoss(t *testing.T, before map[string]int) {
	t.Helper()
	if diff := cmp.Diff(before, g.losses()); diff != "" {
		t.Errorf("the primary component was lost (-before +after):\n%s", diff)
	}
}

// testScaling takes two of five nodes away, and adds two, again and again, with the timers that are
// Galera's own, while the machine has other things to do.
func testScaling(t *testing.T, k *kube) {
	g := newGalera(t, k)
	g.selector = "app.kubernetes.io/name=pxc"
	g.isNode = func(service string) bool { return service == "pxc" }
	g.mustKubectl(t, g.statefulSet(t), "create", "--filename=-")
	g.awaitWhole(t, 3)
	busy(t, 2)
	w := g.startWriter(t)
	before := g.servers(t)
	var joins, leaves []time.Duration
	for range flagValue[int]("e2e.scalings") {
		lost := g.losses()
		joins = append(joins, g.scaleTo(t, w, 5))
		gap := g.scaleTo(t, w, 3)
		leaves = append(leaves, gap)
		g.wantShort(t, gap)
		g.wantNoRestart(t, before, survivors()...)
		g.wantNoLoss(t, lost)
	}
	acks := w.stop(t)
	g.wantData(t, acks)
	t.Logf("figure: %d rows, no write for at most: %v while nodes join, %v while nodes leave", len(acks), joins, leaves)
}

// busy keeps processors busy until the test ends.
func busy(t *testing.T, loops int) {
	t.Helper()
	for range loops {
		loop, err := tree.Start(tree.Bind(exec.Command("sh", "-c", "while :; do :; done")))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { loop.End(0) })
	}
}

// statefulSet is what the README has applied, with the image of the test and with less
// memory.
func (g *galera) statefulSet(t *testing.T) string {
	t.Helper()
	const dir = "../../deploy/pxc-statefulset"
	secret, err := os.ReadFile(dir + "/secret.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rest := g.mustKubectl(t, "", "kustomize", dir+"/overlays/mariadb")
	return strings.NewReplacer(
		"image: kconfd-mariadb:latest", "image: "+g.kube.image,
		"namespace: default", "namespace: "+g.namespace,
		"cpu: 250m", "cpu: 50m",
		"root-password: change me", "root-password: "+rootPassword,
		"memory: 1Gi", "memory: 384Mi",
		"innodb_buffer_pool_size = 512M", "innodb_buffer_pool_size = 16M",
	).Replace(string(secret) + "\n---\n" + rest)
}
