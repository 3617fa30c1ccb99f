//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestE2E has all tests in it, since they share one Kubernetes. A part of them is run
// with -run: TestE2E/outages/a_node_is_cut_off.
func TestE2E(t *testing.T) {
	k := newKube(t)
	t.Run("clusters", func(t *testing.T) {
		t.Run("creation", func(t *testing.T) { testCreation(t, k) })
		t.Run("statefulset", func(t *testing.T) { testStatefulSet(t, k) })
		t.Run("input", func(t *testing.T) { testInput(t, k) })
	})
	rounds := flagValue[int]("e2e.rounds")
	for range rounds {
		t.Run("a server is stopped", func(t *testing.T) { testStoppedServer(t, k) })
	}
	t.Run("scenarios", func(t *testing.T) {
		t.Run("nodes", func(t *testing.T) {
			t.Parallel()
			testScenarios(t, k, rounds, memberScenarios(), crashScenarios(), stopScenarios())
		})
		t.Run("settings", func(t *testing.T) {
			t.Parallel()
			testScenarios(t, k, rounds, settingScenarios(), volumeScenarios())
		})
	})
	t.Run("majority", func(t *testing.T) { testScenarios(t, k, rounds, majorityScenarios()) })
	t.Run("scaling", func(t *testing.T) { testScaling(t, k) })
	t.Run("outages", func(t *testing.T) { testScenarios(t, k, 1, outageScenarios()) })
}

// testCreation makes clusters of the manifests in different orders, beside each other.
func testCreation(t *testing.T, k *kube) {
	t.Parallel()
	readme := append(common(), nodeFile(1), nodeFile(2), nodeFile(3))
	backwards := slices.Clone(readme)
	slices.Reverse(backwards)
	orders := map[string]func(*testing.T, *galera){
		"in order":  func(t *testing.T, g *galera) { g.create(t, readme...) },
		"backwards": func(t *testing.T, g *galera) { g.create(t, backwards...) },
		"one after the other": func(t *testing.T, g *galera) {
			g.create(t, common()...)
			for n := range 3 {
				g.create(t, nodeFile(n+1))
				g.awaitWhole(t, n+1)
			}
		},
		"all at once": func(t *testing.T, g *galera) {
			all := ""
			for _, file := range readme {
				all += "---\n" + g.manifest(t, file)
			}
			g.mustKubectl(t, all, "create", "--filename=-")
		},
	}
	for round := range flagValue[int]("e2e.creations") {
		t.Run(fmt.Sprint(round+1), func(t *testing.T) {
			for name, create := range orders {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					g := newGalera(t, k)
					begin := time.Now()
					create(t, g)
					g.wantCreated(t, begin)
				})
			}
		})
	}
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

// testScenarios runs the scenarios on one cluster, each after the other's end. When one
// fails, the next has a new cluster.
func testScenarios(t *testing.T, k *kube, rounds int, groups ...[]scenario) {
	var g *galera
	for range rounds {
		for _, s := range slices.Concat(groups...) {
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
	w := g.startWriter(t)
	begin := time.Now()
	s.run(t, g, w)
	g.awaitWhole(t, 3)
	whole := time.Since(begin).Round(100 * time.Millisecond)
	acks := w.stop(t)
	g.wantData(t, acks)
	t.Logf("figure: %d rows, no write for %v at most, three again after %v", len(acks), longestGap(acks), whole)
}
