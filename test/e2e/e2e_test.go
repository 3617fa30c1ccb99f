//go:build e2e

package e2e

import (
	"slices"
	"testing"
	"time"
)

// TestE2E has all tests in it, since they share one Kubernetes. A part of them is run
// with -run: TestE2E/faults/partition.
func TestE2E(t *testing.T) {
	k := newKube(t)
	t.Run("creation", func(t *testing.T) { testCreation(t, k) })
	t.Run("statefulset", func(t *testing.T) { testStatefulSet(t, k) })
	t.Run("input", func(t *testing.T) { testInput(t, k) })
	t.Run("faults", func(t *testing.T) { testFaults(t, k) })
}

// testCreation makes clusters of the manifests in different orders, beside each other.
func testCreation(t *testing.T, k *kube) {
	readme := append(common(), nodeFile(1), nodeFile(2), nodeFile(3))
	backwards := slices.Clone(readme)
	slices.Reverse(backwards)
	for name, files := range map[string][]string{"in order": readme, "backwards": backwards} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGalera(t, k)
			begin := time.Now()
			g.create(t, files...)
			g.wantCreated(t, begin)
		})
	}
	t.Run("one after the other", func(t *testing.T) {
		t.Parallel()
		g := newGalera(t, k)
		begin := time.Now()
		g.create(t, common()...)
		for n := range 3 {
			g.create(t, nodeFile(n+1))
			g.awaitWhole(t, n+1)
		}
		g.wantCreated(t, begin)
	})
	t.Run("all at once", func(t *testing.T) {
		t.Parallel()
		g := newGalera(t, k)
		all := ""
		for _, file := range readme {
			all += "---\n" + g.manifest(t, file)
		}
		begin := time.Now()
		g.mustKubectl(t, all, "create", "--filename=-")
		g.wantCreated(t, begin)
	})
}

// wantCreated awaits three nodes, and fails when they do not keep what is written.
func (g *galera) wantCreated(t *testing.T, begin time.Time) {
	t.Helper()
	g.awaitWhole(t, 3)
	took := time.Since(begin).Round(100 * time.Millisecond)
	acks := g.startWriter(t).stop(t)
	g.wantData(t, acks)
	t.Logf("figure: three nodes after %v", took)
}

// A scenario is something that happens to a cluster of three nodes which a client
// writes to all the while. Afterwards the three are to be one cluster again, with all
// that was acknowledged.
type scenario struct {
	name    string
	machine bool // needs the inside of the node
	run     func(t *testing.T, g *galera, w *writer)
}

func scenarios() []scenario {
	return slices.Concat(memberScenarios(), crashScenarios(), stopScenarios(), settingScenarios(), volumeScenarios(), outageScenarios())
}

// testFaults runs the scenarios on one cluster after the other's end. When one fails,
// the next has a new cluster.
func testFaults(t *testing.T, k *kube) {
	var g *galera
	for range flagValue[int]("e2e.rounds") {
		for _, s := range scenarios() {
			if g == nil {
				g = newWholeGalera(t, k, 3)
			}
			well := t.Run(s.name, func(t *testing.T) {
				if s.machine {
					k.needMachine(t)
				}
				s.test(t, g)
			})
			if !well {
				g = nil
			}
		}
	}
}

// test runs the scenario.
func (s scenario) test(t *testing.T, g *galera) {
	t.Cleanup(func() {
		if t.Failed() {
			g.keep(t)
		}
	})
	begin := time.Now()
	w := g.startWriter(t)
	s.run(t, g, w)
	g.awaitWhole(t, 3)
	acks := w.stop(t)
	g.wantData(t, acks)
	t.Logf("figure: %d rows, no write for %v at most, all in %v", len(acks), longestGap(acks), time.Since(begin).Round(time.Second))
}
