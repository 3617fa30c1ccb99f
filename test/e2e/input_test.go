//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// testInput gives clusters what they cannot do with: they say so, and go on once it is
// put right.
func testInput(t *testing.T, k *kube) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T, *kube){
		"secret":                  testSecret,
		"provider":                testProvider,
		"leftover record":         testLeftoverRecord,
		"data of another cluster": testForeignData,
		"two nodes":               testTwo,
		"all under other names":   testRenamed,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, k)
		})
	}
}

// testSecret: first there is none, and then it has no password.
func testSecret(t *testing.T, k *kube) {
	g := newGalera(t, k)
	g.create(t, "pxc-account.yaml", "pxc-config.yaml", "pxc-cluster-service.yaml", nodeFile(1))
	await(t, "the pod waits for the secret", func() bool {
		out, err := g.kubectl("", "get", "events", "--field-selector=reason=FailedMount", "--output=jsonpath={.items[*].message}")
		return err == nil && strings.Contains(out, `secret "pxc" not found`)
	})
	g.mustKubectl(t, "", "create", "secret", "generic", "pxc", "--from-literal=root-password=")
	g.awaitLog(t, podName(1), "MYSQL_ROOT_PASSWORD")
	g.setPassword(t, rootPassword)
	old := g.pod(t, podName(1))
	g.deletePods(t, old.Name)
	g.awaitNew(t, old)
	g.awaitWhole(t, 1)
}

// setPassword changes the one in the Secret.
func (g *galera) setPassword(t *testing.T, password string) {
	t.Helper()
	g.mustKubectl(t, "", "patch", "secret", "pxc", `--patch={"stringData":{"root-password":"`+password+`"}}`)
}

// testProvider: with a wrong path the file is not written, and the server not started.
func testProvider(t *testing.T, k *kube) {
	g := newGalera(t, k)
	g.create(t, common()...)
	g.setConfigMap(t, "pxc-kconfd", "galera.toml", func(old string) string {
		return strings.Replace(old, "[values]\n", "[values]\nprovider = \"/usr/lib/no-such.so\"\n", 1)
	})
	g.create(t, nodeFile(1))
	g.awaitLog(t, podName(1), "/usr/lib/no-such.so")
	g.setConfigMap(t, "pxc-kconfd", "galera.toml", func(old string) string {
		return strings.Replace(old, "provider = \"/usr/lib/no-such.so\"\n", "", 1)
	})
	g.awaitWhole(t, 1)
}

// testLeftoverRecord: the record of a cluster whose volumes are gone keeps another one
// from being founded by mistake.
func testLeftoverRecord(t *testing.T, k *kube) {
	g := newWholeGalera(t, k, 1)
	g.stopNode(t, 1)
	g.loseVolume(t, 1)
	g.scale(t, 1, 1)
	g.awaitLog(t, podName(1), "delete the record to begin anew")
	g.mustKubectl(t, "", "delete", "configmap", "pxc-galera")
	g.awaitWhole(t, 1)
}

// testForeignData: a node with the data of another cluster names both and does not
// join, and the others go on.
func testForeignData(t *testing.T, k *kube) {
	m := k.needMachine(t)
	other := newWholeGalera(t, k, 1)
	theirs := other.uuid(t, podName(1))
	other.stopNode(t, 1)

	g := newWholeGalera(t, k, 2)
	ours := g.uuid(t, podName(1))
	g.stopNode(t, 2)
	from, to := m.directory(t, other, 1), m.directory(t, g, 2)
	if err := command("", nil, "sh", "-euc", `rm -rf "$2"/* && cp -a "$1"/. "$2"`, "sh", from, to); err != nil {
		t.Fatal(err)
	}
	g.scale(t, 2, 1)
	g.awaitLog(t, podName(2), theirs)
	if !strings.Contains(g.log(podName(2)), ours) {
		t.Errorf("the log does not name the node's own cluster %s", ours)
	}
	g.startWriter(t).stop(t)
	g.stopNode(t, 2)
	g.loseVolume(t, 2)
	g.scale(t, 2, 1)
	g.awaitWhole(t, 2)
}

// uuid is that of the cluster.
func (g *galera) uuid(t *testing.T, pod string) string {
	t.Helper()
	return g.ask(t, pod, "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'wsrep_cluster_state_uuid'")
}

// directory is where the volume of a node is.
func (m *machine) directory(t *testing.T, g *galera, number int) string {
	t.Helper()
	name := g.mustKubectl(t, "", "get", "persistentvolumeclaim", "data-"+podName(number), "--output=jsonpath={.spec.volumeName}")
	return m.path("volumes/" + name)
}

// testRenamed: nodes with new names and empty volumes, of which none of the cluster's nodes
// is left, found no other cluster. They wait for who has the data.
func testRenamed(t *testing.T, k *kube) {
	g := newWholeGalera(t, k, 1)
	w := g.startWriter(t)
	w.awaitWrites(t)
	acks := w.stop(t)
	g.stopNode(t, 1)
	g.create(t, nodeFile(2), nodeFile(3))
	g.awaitLog(t, podName(2), "waits for pxc-node1")
	g.awaitLog(t, podName(3), "waits for pxc-node1")
	g.scale(t, 1, 1)
	g.awaitWhole(t, 3)
	g.wantData(t, acks)
}

// testTwo: an even number of nodes comes back like any other.
func testTwo(t *testing.T, k *kube) {
	g := newWholeGalera(t, k, 2)
	w := g.startWriter(t)
	old := g.allPods(t)
	g.deletePods(t, names(old)...)
	g.awaitNew(t, old...)
	g.awaitWhole(t, 2)
	g.wantData(t, w.stop(t))
}
