//go:build e2e

package e2e

import (
	"syscall"
	"testing"
	"time"
)

const (
	// stopFor is how long the server is stopped: for as long as Galera needs to go on without it, several times over.
	stopFor = time.Minute

	// notReadyLimit is how long a server that hangs may be sent clients.
	notReadyLimit = 10 * time.Second
)

// testStoppedServer stops a server as one that hangs, with the timers that are Galera's own, and lets it go on. Its pod
// gets no clients meanwhile, the others serve, and it comes back without a restart of its container.
func testStoppedServer(t *testing.T, k *kube) {
	k.needMachine(t)
	g := newGalera(t, k)
	g.selector = "app.kubernetes.io/name=pxc"
	g.isNode = func(service string) bool { return service == "pxc" }
	g.mustKubectl(t, g.statefulSet(t), "create", "--filename=-")
	g.awaitWhole(t, 3)
	w := g.startWriter(t)
	const pod = "pxc-1"
	server := g.server(t, pod)
	signal := func(s syscall.Signal) {
		if err := syscall.Kill(server, s); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	signal(syscall.SIGSTOP)
	awaitFor(t, stopFor, "the pod is not ready", func() bool { return !ready(g.pod(t, pod)) })
	notReady := time.Since(begin)
	if notReady > notReadyLimit {
		t.Errorf("the pod is not ready after %v, want %v at most", notReady, notReadyLimit)
	}
	w.awaitWrites(t)
	awaitFor(t, 2*stopFor, "the server has been stopped for long enough", func() bool {
		if now := g.pod(t, pod); time.Since(begin) > notReady+time.Second && ready(now) {
			t.Fatal("the pod is ready while its server is stopped")
		}
		return time.Since(begin) >= stopFor
	})
	w.awaitWrites(t)
	signal(syscall.SIGCONT)
	again := time.Now()
	g.awaitWhole(t, 3)
	back := time.Since(again)
	acks := w.stop(t)
	g.wantData(t, acks)
	if restarted(g.pod(t, pod)) {
		t.Error("the container was restarted")
	}
	t.Logf("figure: not ready after %v, three again %v after the end of the pause, %d rows, no write for %v at most; the same server: %t",
		notReady.Round(time.Millisecond), back.Round(time.Millisecond), len(acks), longestGap(acks), g.server(t, pod) == server)
}
