//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// testStatefulSet runs deploy/pxc-statefulset, with the timers that are Galera's own: from
// three nodes to five and back, and through the end of all pods.
//
// Nodes leave one at a time. When two of five leave at the same moment, Galera can lose both
// departures in one change of the view: two of the three nodes that stay count themselves as
// two of four, and the cluster is without a primary component until it is restarted.
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
	before := g.servers(t)
	for _, nodes := range []int{5, 4, 3} {
		g.mustKubectl(t, "", "scale", "statefulset/pxc", fmt.Sprintf("--replicas=%d", nodes))
		t.Logf("figure: %d nodes in every my.cnf after %v", nodes, g.awaitListed(t, nodes, listLimit))
		g.awaitWhole(t, nodes)
	}
	g.wantNoRestart(t, before, "pxc-0", "pxc-1", "pxc-2")

	old := g.allPods(t)
	g.deletePods(t, names(old)...)
	g.awaitNew(t, old...)
	g.awaitWhole(t, 3)
	acks := w.stop(t)
	g.wantData(t, acks)
	t.Logf("figure: %d rows, no write for %v at most", len(acks), longestGap(acks))
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
