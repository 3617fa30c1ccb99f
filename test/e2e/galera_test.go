//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	manifests    = "../../deploy/pxc"
	rootPassword = "choose another" // of pxc-secret.yaml
	clientPod    = "e2e-client"
)

// A galera is a database cluster.
type galera struct {
	kube      *kube
	namespace string
	selector  string                    // of its pods
	isNode    func(service string) bool // whether the nodes find each other by the service
}

// newGalera makes a namespace for one of the manifests of deploy/pxc, and in the reader's own cluster a pod for its
// client.
func newGalera(t *testing.T, k *kube) *galera {
	t.Helper()
	g := &galera{kube: k, namespace: k.namespace(t), selector: "app=pxc"}
	g.isNode = func(service string) bool { return strings.HasPrefix(service, "pxc-node") }
	t.Cleanup(func() {
		if t.Failed() || flagValue[string]("e2e.results") != "" {
			g.keep(t)
		}
	})
	if k.machine == nil {
		g.startClientPod(t)
	}
	return g
}

// common are the manifests that all nodes share, in the README's order.
func common() []string {
	return []string{"pxc-account.yaml", "pxc-secret.yaml", "pxc-config.yaml", "pxc-cluster-service.yaml"}
}

func nodeFile(number int) string { return fmt.Sprintf("pxc-node%d.yaml", number) }

func podName(number int) string { return fmt.Sprintf("pxc-node%d-0", number) }

// newWholeGalera makes one with nodes from 1 on, and awaits them.
func newWholeGalera(t *testing.T, k *kube, nodes int) *galera {
	t.Helper()
	g := newGalera(t, k)
	begin := time.Now()
	files := common()
	for n := range nodes {
		files = append(files, nodeFile(n+1))
	}
	g.create(t, files...)
	g.awaitWhole(t, nodes)
	t.Logf("%d nodes after %v", nodes, time.Since(begin).Round(100*time.Millisecond))
	return g
}

// create does `kubectl create -f` with each of the manifests.
func (g *galera) create(t *testing.T, files ...string) {
	t.Helper()
	for _, file := range files {
		g.mustKubectl(t, g.manifest(t, file), "create", "--filename=-")
	}
}

// remove does `kubectl delete -f`.
func (g *galera) remove(t *testing.T, files ...string) {
	t.Helper()
	for _, file := range files {
		g.mustKubectl(t, g.manifest(t, file), "delete", "--filename=-")
	}
}

// manifest is a file of deploy/pxc, with the image of the test, small buffers and
// quick timers. Nodes of which there is no file are made of the third one's.
func (g *galera) manifest(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(manifests, file))
	if errors.Is(err, os.ErrNotExist) && strings.HasPrefix(file, "pxc-node") {
		number := strings.TrimSuffix(strings.TrimPrefix(file, "pxc-node"), ".yaml")
		content, err = os.ReadFile(filepath.Join(manifests, nodeFile(3)))
		content = bytes.ReplaceAll(content, []byte("pxc-node3"), []byte("pxc-node"+number))
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(
		"image: kconfd-mariadb", "image: "+g.kube.image,
		"namespace: default", "namespace: "+g.namespace,
		"    [values]\n", "    [values]\n    buffer_pool = \"16M\"\n    gcache = \"16M\"\n    provider_options = { "+quickTimers+" }\n",
		"storage: 10Gi", "storage: 1Gi",
		"cpu: 250m, memory: 1Gi", "cpu: 50m, memory: 384Mi",
	).Replace(string(content))
}

// quickTimers make a lost node be noticed within about a second.
const quickTimers = `"evs.keepalive_period" = "PT0.3S", "evs.inactive_check_period" = "PT0.1S", "evs.suspect_timeout" = "PT1S", ` +
	`"evs.inactive_timeout" = "PT3S", "evs.join_retrans_period" = "PT0.3S", "evs.delayed_keep_period" = "PT5S", ` +
	`"gmcast.peer_timeout" = "PT1S", "gmcast.time_wait" = "PT1S", "pc.announce_timeout" = "PT0.5S", "pc.wait_prim_timeout" = "PT8S"`

// kubectl runs it in the namespace.
func (g *galera) kubectl(stdin string, args ...string) (string, error) {
	return g.kube.run(stdin, append([]string{"--namespace=" + g.namespace}, args...)...)
}

func (g *galera) mustKubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := g.kubectl(stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// exec runs a command in a pod.
func (g *galera) exec(pod string, args ...string) (string, error) {
	return g.kubectl("", append([]string{"exec", pod, "--"}, args...)...)
}

// pods are those of the nodes, by name, ended or not.
func (g *galera) pods() ([]corev1.Pod, error) {
	list, err := g.kube.client.CoreV1().Pods(g.namespace).List(context.Background(), metav1.ListOptions{LabelSelector: g.selector})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return list.Items, nil
}

// pod is one of them; it must be there.
func (g *galera) pod(t *testing.T, name string) corev1.Pod {
	t.Helper()
	pod, err := g.kube.client.CoreV1().Pods(g.namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return *pod
}

func ready(pod corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// log is what a pod's container has written, the last instance and the one before.
func (g *galera) log(pod string) string {
	last, _ := g.kubectl("", "logs", pod)                 // it may not have begun yet
	before, _ := g.kubectl("", "logs", "--previous", pod) // or not again
	return before + last
}

// awaitLog waits until a pod has written it.
func (g *galera) awaitLog(t *testing.T, pod, text string) {
	t.Helper()
	await(t, fmt.Sprintf("pod %q says %q", pod, text), func() bool { return strings.Contains(g.log(pod), text) })
}

// client is the command that runs the client: beside the cluster where that is
// possible, else in a pod.
func (g *galera) client(ctx context.Context, args ...string) *exec.Cmd {
	if m := g.kube.machine; m != nil {
		cmd := exec.CommandContext(ctx, m.path("client"), args...)
		cmd.Env = append(os.Environ(), "MYSQL_PWD="+rootPassword)
		return cmd
	}
	in := []string{"--kubeconfig=" + g.kube.config, "--namespace=" + g.namespace, "exec", "--stdin", clientPod, "--", "/tmp/client"}
	return exec.CommandContext(ctx, g.kube.kubectl, append(in, args...)...)
}

// query gives the rows that a server answers with: a line each, with tabs between the
// columns.
func (g *galera) query(address, statements string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := g.client(ctx, "query", address)
	cmd.Stdin = strings.NewReader(statements)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("asking %q: %w: %s", address, err, stderr.String())
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}

// ask is query for a pod's server, which must answer.
func (g *galera) ask(t *testing.T, pod, statements string) string {
	t.Helper()
	answer, err := g.query(g.pod(t, pod).Status.PodIP+":3306", statements)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// startClientPod makes a pod of the same image with the client in it.
func (g *galera) startClientPod(t *testing.T) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "client")
	if err := goBuild("client", ".", program); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	g.mustKubectl(t, "", "run", clientPod, "--image="+g.kube.image, "--env=MYSQL_PWD="+rootPassword,
		"--restart=Never", "--command", "--", "sleep", "infinity")
	g.mustKubectl(t, "", "wait", "--for=condition=Ready", "--timeout=2m", "pod/"+clientPod)
	g.mustKubectl(t, string(content), "exec", "--stdin", clientPod, "--", "sh", "-c", "cat >/tmp/client && chmod +x /tmp/client")
}

// serviceAddress is where clients of the cluster connect to.
func (g *galera) serviceAddress(t *testing.T) string {
	t.Helper()
	s, err := g.kube.client.CoreV1().Services(g.namespace).Get(t.Context(), "pxc-cluster", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s.Spec.ClusterIP + ":3306"
}

// keep keeps what is to be known of what failed, and says where.
func (g *galera) keep(t *testing.T) {
	dir, err := resultsDir(t)
	if err != nil {
		t.Error(err)
		return
	}
	save := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Error(err)
		}
	}
	objects, err := g.kubectl("", "get", "--output=yaml", "pods,statefulsets,services,endpointslices,configmaps,leases,persistentvolumeclaims,events")
	save("objects.yaml", objects+fmt.Sprintln(err))
	pods, err := g.pods()
	if err != nil {
		t.Error(err)
	}
	for _, pod := range pods {
		if g.kube.machine == nil {
			save(pod.Name+".log", g.log(pod.Name))
		}
		file, err := g.exec(pod.Name, "cat", "/run/mysqld/my.cnf")
		save(pod.Name+".my.cnf", file+fmt.Sprintln(err))
	}
	if m := g.kube.machine; m != nil {
		err := errors.Join(command("", nil, "cp", "-a", m.path("log"), dir), copyLogs(g.namespace, dir))
		if err != nil {
			t.Error(err)
		}
	}
	t.Logf("logs, files and objects are in %s", dir)
}

// resultsDir is a directory for the test.
func resultsDir(t *testing.T) (string, error) {
	name := strings.ReplaceAll(t.Name(), "/", "-")
	top := flagValue[string]("e2e.results")
	if top == "" {
		return os.MkdirTemp("", "kconfd-e2e-failed-"+name+"-")
	}
	if err := os.MkdirAll(top, 0o755); err != nil {
		return "", err
	}
	return os.MkdirTemp(top, name+"-")
}
