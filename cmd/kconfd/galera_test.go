package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/kconfd/kconfd/galera"
)

// nodeFile writes the option file of a node without data, whose peers do not answer.
func (w world) nodeFile(node string) string {
	w.write(node+".cnf", "[mysqld]\ndatadir = $DIR/"+node+"\nwsrep_cluster_name = My_Cluster\nwsrep_node_name = "+node+
		"\nwsrep_node_address = 192.0.2.1\nwsrep_cluster_address = gcomm://127.0.0.1:1\n")
	return w.file(node + ".cnf")
}

// galera is `kconfd galera`, with what else stands in its environment.
func (w world) galera(kubeconfig string, env []string, args ...string) *exec.Cmd {
	cmd := exec.Command("kconfd", append(append([]string{"galera"}, args...), "-kubeconfig", kubeconfig)...)
	cmd.Env = append(os.Environ(), env...)
	return cmd
}

// Protects what people see: what a start waits for, that it ends when it is told to, the
// status, what is refused, and that the Role printed is enough and named when it lacks.
func testGalera(t *testing.T, w world) {
	w.write("start", "")
	w.write("none.yaml", "")
	w.write("none.tmpl", "")
	printed := kconfdOutput(t, "rbac", "-manifests", w.file("none.yaml"), "-namespace", w.namespace, "-galera", "My_Cluster", "-template", w.file("none.tmpl")+":"+w.file("x"))
	rules := rulesOf(t, printed)
	grant := func(rules []map[string]any) (kubeconfig string) {
		text, err := yaml.Marshal(rules)
		if err != nil {
			t.Fatal(err)
		}
		w.server.locked(func() {
			w.server.Grant(t, w.namespace, "bob", string(text))
			kubeconfig = w.server.Kubeconfig(t, "bob", w.namespace)
		})
		return kubeconfig
	}
	env := []string{"KCONFD_START_FILE=" + w.file("start"), "POD_NAME=pod-b"}
	out, err := w.galera(grant(rules[:1]), env, "start", "-defaults-file", w.nodeFile("b")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "may not create configmap") || !strings.Contains(string(out), "kconfd rbac -galera CLUSTER") {
		t.Errorf("without create: got %v\n%s", err, out)
	}
	kubeconfig := grant(rules)

	// Another node has founded the cluster, and does not run here.
	client, err := galera.NewClient(w.server.Config())
	if err != nil {
		t.Fatal(err)
	}
	store, err := galera.NewStore(client, w.namespace, "My_Cluster")
	if err != nil {
		t.Fatal(err)
	}
	w.configMapData("my-cluster-galera", map[string]string{
		"cluster": `{"version":1,"name":"My_Cluster","founder":"a","uuid":"11111111-0000-0000-0000-000000000000","generation":1}`,
		"node.a":  `{"state":"synced","data":"full","uuid":"11111111-0000-0000-0000-000000000000","seqno":7,"at":"2026-01-01T00:00:00Z","token":"x"}`,
	})
	start := w.galera(kubeconfig, env, "start", "-defaults-file", w.nodeFile("b"))
	var stderr bytes.Buffer
	start.Stderr = &stderr
	if err := start.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = start.Process.Kill() }()
	const reason = "waits for a, which may be running: synced since 2026-01-01T00:00:00Z"
	await(t, "the record says for what it waits", func() bool {
		r, err := store.Read(t.Context())
		return err == nil && r.Nodes["b"].Waits == reason
	})
	status, err := w.galera(kubeconfig, nil, "status", "-cluster", "My_Cluster").CombinedOutput()
	for _, want := range []string{
		"cluster My_Cluster, configmap " + w.namespace + "/my-cluster-galera\n", "founded by a, generation 1\n",
		"a     synced   2026-01-01T00:00:00Z  7 or more  -          -\n", "  none       192.0.2.1  pod-b", "b: " + reason + "\n",
	} {
		if err != nil || !strings.Contains(string(status), want) {
			t.Errorf("status: want %q, got %v\n%s", want, err, status)
		}
	}
	out, err = w.galera(kubeconfig, nil, "bootstrap", "-cluster", "My_Cluster", "-from", "b", "-force").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "b has no data to begin with") || strings.Contains(string(out), "hint") {
		t.Errorf("bootstrap: got %v\n%s", err, out)
	}
	out, err = w.galera(kubeconfig, nil, "bootstrap", "-cluster", "My_Cluster", "-from", "a").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "a may be running: synced since") || !strings.Contains(string(out), "hint: when you know better") {
		t.Errorf("bootstrap: got %v\n%s", err, out)
	}
	told := time.Now()
	if err := start.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = start.Wait()
	if got := start.ProcessState.ExitCode(); got != 128+int(syscall.SIGTERM) || time.Since(told) > 4*time.Second {
		t.Errorf("SIGTERM: got exit code %d after %s", got, time.Since(told))
	}
	if got := strings.Count(stderr.String(), reason); got != 1 {
		t.Errorf("it says %d times for what it waits:\n%s", got, stderr.String())
	}
	if got := w.read("start"); got != "" {
		t.Errorf("it starts the server: %q", got)
	}
}
