//go:build e2e

package e2e

import (
	"testing"
	"time"
)

// majorityScenarios take the primary component away while servers run.
func majorityScenarios() []scenario {
	return []scenario{
		{name: "all links between the nodes are cut", machine: true, run: func(t *testing.T, g *galera, w *writer) { loseLinks(t, g, w, false) }},
		{name: "and those to the API server", machine: true, run: func(t *testing.T, g *galera, w *writer) { loseLinks(t, g, w, true) }},
		{name: "two of three servers are killed", machine: true, run: killTwoServers},
	}
}

const (
	linksCut = 30 * time.Second

	// majorityBar is how long after the network is whole nothing may be written.
	majorityBar = 15 * time.Second
)

// loseLinks cuts the nodes off from each other, or from all. No server is started anew.
func loseLinks(t *testing.T, g *galera, w *writer, all bool) {
	servers := map[string]int{}
	for n := range 3 {
		servers[podName(n+1)] = g.server(t, podName(n+1))
	}
	var heals []func()
	if all {
		for n := range 3 {
			heals = append(heals, g.cut(t, podName(n+1)))
		}
	} else {
		heals = append(heals, g.cutBetween(t, podName(1), podName(2), podName(3)))
	}
	time.Sleep(linksCut)
	for _, heal := range heals {
		heal()
	}
	healed := time.Now()
	first := w.awaitWriteAfter(t, healed)
	t.Logf("figure: a row was written %v after the network was whole", first.Sub(healed).Round(10*time.Millisecond))
	if first.Sub(healed) > majorityBar {
		t.Errorf("no row was written for %v", first.Sub(healed))
	}
	g.awaitWhole(t, 3)
	for pod, server := range servers {
		if now := g.server(t, pod); now != server {
			t.Errorf("the server of %s was started anew", pod)
		}
	}
}

// killTwoServers: the third one is not started anew.
func killTwoServers(t *testing.T, g *galera, w *writer) {
	third := g.server(t, podName(3))
	kill(t, g.server(t, podName(1)), g.server(t, podName(2)))
	killed := time.Now()
	first := w.awaitWriteAfter(t, killed.Add(time.Second)) // some are still on their way
	t.Logf("figure: a row was written %v after two servers were killed", first.Sub(killed).Round(10*time.Millisecond))
	g.awaitWhole(t, 3)
	if now := g.server(t, podName(3)); now != third {
		t.Error("the third server was started anew")
	}
}

// awaitWriteAfter waits until a row is written after that time, and gives the first one's.
func (w *writer) awaitWriteAfter(t *testing.T, after time.Time) time.Time {
	t.Helper()
	for {
		w.awaitWrites(t)
		for _, ack := range w.written() {
			if ack.at.After(after) {
				return ack.at
			}
		}
	}
}

// cutBetween cuts pods off from each other, and from nobody else, until heal or the test's end.
func (g *galera) cutBetween(t *testing.T, pods ...string) (heal func()) {
	t.Helper()
	g.kube.needMachine(t)
	var rules [][]string
	for _, from := range pods {
		for _, to := range pods {
			if from != to {
				rules = append(rules, []string{"from", g.pod(t, from).Status.PodIP, "to", g.pod(t, to).Status.PodIP, "blackhole"})
			}
		}
	}
	return g.routes(t, rules)
}
