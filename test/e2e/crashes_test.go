//go:build e2e

package e2e

import (
	"testing"
)

// crashScenarios end processes without a warning.
func crashScenarios() []scenario {
	return []scenario{
		{name: "a server is killed", machine: true, run: killServer},
		{name: "a container is killed", machine: true, run: killContainer},
		{name: "a worker of kconfd is killed", machine: true, run: killWorker},
		{name: "all servers are killed", machine: true, run: killAllServers},
		{name: "all containers are killed", machine: true, run: killAllContainers},
	}
}

func killServer(t *testing.T, g *galera, _ *writer) {
	kill(t, g.server(t, podName(2)))
}

// killContainer ends its first process, and with it all others.
func killContainer(t *testing.T, g *galera, _ *writer) {
	kill(t, g.init(t, podName(2)))
}

// killWorker: the first process is left, and stops the server.
func killWorker(t *testing.T, g *galera, _ *writer) {
	server := g.server(t, podName(2))
	kill(t, g.worker(t, podName(2)))
	await(t, "the server is another one", func() bool { return g.server(t, podName(2)) != server })
}

func killAllServers(t *testing.T, g *galera, w *writer) {
	kill(t, g.server(t, podName(1)), g.server(t, podName(2)), g.server(t, podName(3)))
	w.awaitWrites(t)
}

func killAllContainers(t *testing.T, g *galera, w *writer) {
	kill(t, g.init(t, podName(1)), g.init(t, podName(2)), g.init(t, podName(3)))
	w.awaitWrites(t)
}
