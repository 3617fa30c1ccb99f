//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// deletePods asks for their end all at once.
func (g *galera) deletePods(t *testing.T, pods ...string) {
	t.Helper()
	g.mustKubectl(t, "", append([]string{"delete", "pod", "--wait=false"}, pods...)...)
}

// awaitNew waits until the pods have others in their place.
func (g *galera) awaitNew(t *testing.T, old ...corev1.Pod) {
	t.Helper()
	for _, o := range old {
		await(t, fmt.Sprintf("pod %q is another one", o.Name), func() bool {
			pod, err := g.kube.client.CoreV1().Pods(g.namespace).Get(t.Context(), o.Name, metav1.GetOptions{})
			return err == nil && pod.UID != o.UID
		})
	}
}

// allPods are the pods of the nodes.
func (g *galera) allPods(t *testing.T) []corev1.Pod {
	t.Helper()
	pods, err := g.pods()
	if err != nil {
		t.Fatal(err)
	}
	return pods
}

func names(pods []corev1.Pod) []string {
	var names []string
	for _, pod := range pods {
		names = append(names, pod.Name)
	}
	return names
}

// waits is what a node says that does not start yet.
const waits = "waits for"

// restarted tells whether the pod's container is not its first.
func restarted(pod corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.RestartCount > 0 })
}

// stopNode has the node's pod ended in good order, and waits for that.
func (g *galera) stopNode(t *testing.T, number int) {
	t.Helper()
	g.scale(t, number, 0)
	await(t, fmt.Sprintf("pod %q is gone", podName(number)), func() bool {
		_, err := g.kube.client.CoreV1().Pods(g.namespace).Get(t.Context(), podName(number), metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

// scale makes the node have a pod or none.
func (g *galera) scale(t *testing.T, number, replicas int) {
	t.Helper()
	g.mustKubectl(t, "", "scale", fmt.Sprintf("statefulset/pxc-node%d", number), fmt.Sprintf("--replicas=%d", replicas))
}

// loseVolume takes the volume of a node that has no pod.
func (g *galera) loseVolume(t *testing.T, number int) {
	t.Helper()
	g.mustKubectl(t, "", "delete", "persistentvolumeclaim", "data-"+podName(number))
}

// setSettings changes the settings of the servers.
func (g *galera) setSettings(t *testing.T, lines ...string) {
	t.Helper()
	g.setConfigMap(t, "pxc-settings", "settings.cnf", func(string) string {
		return "[mysqld]\n" + strings.Join(lines, "\n") + "\n"
	})
}

// setConfigMap changes a value of a ConfigMap.
func (g *galera) setConfigMap(t *testing.T, name, key string, change func(string) string) {
	t.Helper()
	maps := g.kube.client.CoreV1().ConfigMaps(g.namespace)
	m, err := maps.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m.Data[key] = change(m.Data[key])
	if _, err := maps.Update(t.Context(), m, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// awaitVariable waits until all servers have the value.
func (g *galera) awaitVariable(t *testing.T, name, want string) {
	t.Helper()
	await(t, fmt.Sprintf("%s is %s everywhere", name, want), func() bool {
		pods, err := g.pods()
		return err == nil && !slices.ContainsFunc(pods, func(pod corev1.Pod) bool {
			got, err := g.query(pod.Status.PodIP+":3306", "SELECT @@GLOBAL."+name)
			return err != nil || got != want
		})
	})
}

// servers are when the pods' servers were started, which tells whether one was
// restarted.
func (g *galera) servers(t *testing.T) map[string]string {
	t.Helper()
	started := map[string]string{}
	for _, pod := range g.allPods(t) {
		started[pod.Name] = g.started(t, pod.Name)
	}
	return started
}

func (g *galera) started(t *testing.T, pod string) string {
	t.Helper()
	return g.ask(t, pod, "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'wsrep_gcomm_uuid'")
}

// addresses are those of the nodes, as the EndpointSlices have them.
func (g *galera) addresses(t *testing.T) []string {
	t.Helper()
	slicesOf, err := g.kube.client.DiscoveryV1().EndpointSlices(g.namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var addresses []string
	for _, slice := range slicesOf.Items {
		if !g.isNode(slice.Labels["kubernetes.io/service-name"]) {
			continue
		}
		for _, endpoint := range slice.Endpoints {
			addresses = append(addresses, endpoint.Addresses...)
		}
	}
	slices.Sort(addresses)
	return addresses
}

// listed are the addresses in a pod's my.cnf.
func (g *galera) listed(t *testing.T, pod corev1.Pod) []string {
	t.Helper()
	file := ""
	if m := g.kube.machine; m != nil {
		if programs := m.programs(pod); len(programs) > 0 {
			file = within(programs[0].pid, "/run/mysqld/my.cnf")
		}
	} else {
		file, _ = g.exec(pod.Name, "cat", "/run/mysqld/my.cnf") // it may not be there yet
	}
	_, list, _ := strings.Cut(file, "wsrep_cluster_address = gcomm://")
	list, _, _ = strings.Cut(list, "\n")
	addresses := strings.Split(list, ",")
	slices.Sort(addresses)
	return addresses
}

// awaitListed waits until the EndpointSlices have so many addresses, and then fails
// when a node that runs does not list just these within the limit. It gives how long
// the last one took.
func (g *galera) awaitListed(t *testing.T, nodes int, limit time.Duration) time.Duration {
	t.Helper()
	await(t, fmt.Sprintf("EndpointSlices have %d addresses", nodes), func() bool { return len(g.addresses(t)) == nodes })
	begin := time.Now()
	awaitFor(t, limit, "every my.cnf lists all nodes", func() bool {
		want := g.addresses(t)
		return !slices.ContainsFunc(g.allPods(t), func(pod corev1.Pod) bool {
			return ready(pod) && !slices.Equal(g.listed(t, pod), want)
		})
	})
	return time.Since(begin).Round(time.Millisecond)
}
