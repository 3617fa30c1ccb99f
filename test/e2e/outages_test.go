//go:build e2e

package e2e

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// outageScenarios take away what a node stands on.
func outageScenarios() []scenario {
	all := []scenario{
		{name: "no API server", machine: true, run: noAPIServer},
		{name: "no API server while a container is killed", machine: true, run: noAPIServerForOne},
		{name: "no API server while all servers are killed", machine: true, run: noAPIServerForAll},
		{name: "a node is cut off", machine: true, run: cutOff},
	}
	if flagValue[time.Duration]("e2e.faults") > 0 {
		all = append(all, scenario{name: "random faults", machine: true, run: randomFaults})
	}
	return all
}

// noAPIServer: nobody notices.
func noAPIServer(t *testing.T, g *galera, w *writer) {
	before, addresses := g.servers(t), g.podAddresses(t)
	start := g.kube.killAPIServer(t)
	from := len(w.written())
	time.Sleep(flagValue[time.Duration]("e2e.outage")) // the outage itself
	g.awaitMembers(t, addresses)
	gap := longestGap(w.written()[from:])
	t.Logf("figure: no write for %v at most while there was no API server", gap)
	if gap > 5*time.Second {
		t.Errorf("no write for %v while there was no API server", gap)
	}
	start()
	g.wantNoRestart(t, before, podName(1), podName(2), podName(3))
}

// noAPIServerForOne: the container is back before the API server is.
func noAPIServerForOne(t *testing.T, g *galera, _ *writer) {
	addresses, first := g.podAddresses(t), g.init(t, podName(2))
	start := g.kube.killAPIServer(t)
	begin := time.Now()
	kill(t, first)
	await(t, "the node has left", func() bool { _, err := g.query(addresses[1], "SELECT 1"); return err != nil })
	g.awaitMembers(t, addresses)
	t.Logf("figure: a container is back without the API server after %v", time.Since(begin).Round(100*time.Millisecond))
	g.outlast(t, begin, addresses)
	start()
	// The kubelet tells later of which containers there are now.
	await(t, "the new container is known", func() bool { return g.server(t, podName(2)) != 0 })
}

// noAPIServerForAll: the last view of the cluster comes back by itself.
func noAPIServerForAll(t *testing.T, g *galera, w *writer) {
	addresses := g.podAddresses(t)
	servers := []int{g.server(t, podName(1)), g.server(t, podName(2)), g.server(t, podName(3))}
	start := g.kube.killAPIServer(t)
	begin := time.Now()
	kill(t, servers...)
	w.awaitWrites(t)
	g.awaitMembers(t, addresses)
	t.Logf("figure: all servers are back without the API server after %v", time.Since(begin).Round(100*time.Millisecond))
	g.outlast(t, begin, addresses)
	start()
}

// outlast waits for the rest of the outage, through which the servers stay one cluster.
func (g *galera) outlast(t *testing.T, begin time.Time, addresses []string) {
	t.Helper()
	time.Sleep(time.Until(begin.Add(flagValue[time.Duration]("e2e.outage")))) // the outage itself
	g.awaitMembers(t, addresses)
}

// podAddresses are where the servers listen.
func (g *galera) podAddresses(t *testing.T) []string {
	t.Helper()
	var addresses []string
	for _, pod := range g.allPods(t) {
		addresses = append(addresses, pod.Status.PodIP+":3306")
	}
	return addresses
}

// awaitMembers waits until the servers are one cluster, without the API server.
func (g *galera) awaitMembers(t *testing.T, addresses []string) {
	t.Helper()
	for _, address := range addresses {
		await(t, address+" takes part", func() bool {
			got, err := g.query(address, membership)
			return err == nil && isWhole(got, len(addresses))
		})
	}
}

// cutOff: the others go on, and the one comes back by itself, with the server that
// it had.
func cutOff(t *testing.T, g *galera, w *writer) {
	before := g.started(t, podName(2))
	server := g.server(t, podName(2))
	heal := g.cut(t, podName(2))
	await(t, "the node that is cut off is not ready", func() bool { return !ready(g.pod(t, podName(2))) })
	w.awaitWrites(t)
	time.Sleep(flagValue[time.Duration]("e2e.outage") / 5) // the cut itself
	heal()
	begin := time.Now()
	g.awaitWhole(t, 3)
	t.Logf("figure: the node takes part %v after the cut", time.Since(begin).Round(100*time.Millisecond))
	if got := g.server(t, podName(2)); got != server {
		t.Errorf("the server that was cut off was restarted (it was %s)", before)
	}
}

// randomFaults: whatever comes together, the cluster comes back by itself.
func randomFaults(t *testing.T, g *galera, w *writer) {
	seed := uint64(flagValue[int64]("e2e.seed"))
	random := rand.New(rand.NewPCG(seed, 0))
	end := time.Now().Add(flagValue[time.Duration]("e2e.faults"))
	faults := 0
	for ; time.Now().Before(end) && !t.Failed(); faults++ {
		g.randomFault(t, random)
		if random.IntN(2) == 0 {
			g.awaitWhole(t, 3)
			w.awaitWrites(t)
		}
	}
	t.Logf("figure: %d faults with -e2e.seed=%d", faults, seed)
}

func (g *galera) randomFault(t *testing.T, random *rand.Rand) {
	t.Helper()
	n := 1 + random.IntN(3)
	some := time.Duration(random.Int64N(int64(10 * time.Second)))
	faults := []struct {
		name string
		do   func()
	}{
		{"delete a pod", func() { g.deletePods(t, podName(n)) }},
		{"delete all pods", func() { g.deletePods(t, podName(1), podName(2), podName(3)) }},
		{"kill a server", func() { g.killIfThere(t, n) }},
		{"kill two servers", func() { g.killIfThere(t, n, n%3+1) }},
		{"kill all servers", func() { g.killIfThere(t, 1, 2, 3) }},
		{"cut a node off", func() { g.cutFor(t, n, some) }},
		{"kill the API server", func() { start := g.kube.killAPIServer(t); time.Sleep(some); start() }},
	}
	f := faults[random.IntN(len(faults))]
	t.Logf("%s %s: node %d, %v", time.Now().Format(time.TimeOnly), f.name, n, some)
	f.do()
	time.Sleep(some / 2) // until the next
}

// killIfThere kills the servers of those nodes that have one.
func (g *galera) killIfThere(t *testing.T, numbers ...int) {
	t.Helper()
	for _, pod := range g.allPods(t) {
		for _, number := range numbers {
			if pod.Name != podName(number) {
				continue
			}
			for _, p := range g.kube.needMachine(t).programs(pod) {
				if p.name == "mariadbd" {
					_ = syscall.Kill(p.pid, syscall.SIGKILL) // it may have ended
				}
			}
		}
	}
}

func (g *galera) cutFor(t *testing.T, number int, some time.Duration) {
	t.Helper()
	for _, pod := range g.allPods(t) {
		if pod.Name == podName(number) && pod.Status.PodIP != "" {
			heal := g.cut(t, pod.Name)
			time.Sleep(some)
			heal()
			return
		}
	}
	t.Logf("node %d has no pod", number)
}
