package cluster_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kconfd/kconfd/test/cluster"
)

// One API server serves all of these: starting it is what takes the time.
func TestCluster(t *testing.T) {
	c := cluster.Start(t)
	tests := map[string]func(*testing.T, *cluster.Cluster){
		"an ordinary user is denied until granted": testGrant,
		"a kubeconfig has user and namespace":      testKubeconfig,
		"manifests are applied":                    testApply,
		"slices have the shapes asked for":         testSlice,
		"a paused API server does not answer":      testPause,
		"data outlives a stop":                     testRestart((*cluster.Cluster).StopAPIServer),
		"data outlives a crash":                    testRestart((*cluster.Cluster).KillAPIServer),
		"data outlives a crash of etcd":            testEtcd,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, c) })
	}
}

func testGrant(t *testing.T, c *cluster.Cluster) {
	namespace := c.Namespace(t)
	alice := clientFor(t, c, "alice")
	list := func() error {
		_, err := alice.CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{})
		return err
	}
	if err := list(); !apierrors.IsForbidden(err) {
		t.Fatalf("before the grant: got %v, want forbidden", err)
	}
	c.Grant(t, namespace, "alice", `[{apiGroups: [""], resources: [configmaps], verbs: [list]}]`)
	if err := list(); err != nil {
		t.Fatalf("after the grant: %v", err)
	}
	c.Grant(t, namespace, "alice", `[]`)
	if err := list(); !apierrors.IsForbidden(err) {
		t.Fatalf("after taking it back: got %v, want forbidden", err)
	}
}

func testKubeconfig(t *testing.T, c *cluster.Cluster) {
	loaded := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: c.Kubeconfig(t, "bob", "somewhere")}, nil)
	namespace, _, err := loaded.Namespace()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("somewhere", namespace); diff != "" {
		t.Errorf("namespace (-want +got):\n%s", diff)
	}
	config, err := loaded.ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	_, err = kubernetes.NewForConfigOrDie(config).CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `User "bob"`) {
		t.Errorf("listing pods as bob: got %v, want that he may not", err)
	}
}

func testApply(t *testing.T, c *cluster.Cluster) {
	namespace := c.Namespace(t)
	const documents = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {%s: "1"}
---
---
apiVersion: v1
kind: Pod
metadata: {name: web-0}
spec: {containers: [{name: web, image: web}]}
`
	c.Apply(t, namespace, strings.Replace(documents, "%s", "before", 1))
	c.Apply(t, namespace, strings.Replace(documents, "%s", "after", 1))
	got, err := c.Client().CoreV1().ConfigMaps(namespace).Get(t.Context(), "settings", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"after": "1"}, got.Data); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	if _, err := c.Client().CoreV1().Pods(namespace).Get(t.Context(), "web-0", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

func testSlice(t *testing.T, c *cluster.Cluster) {
	namespace := c.Namespace(t)
	slice := cluster.Slice(namespace, "web", "web-a", "10.0.0.1", "10.0.0.2", "10.0.0.3")
	cluster.NotReady(&slice.Endpoints[1])
	cluster.Terminating(&slice.Endpoints[2])
	c.Put(t, cluster.Service(namespace, "web"), slice, cluster.Slice(namespace, "web", "web-six", "fd00::1"))

	list, err := c.Client().DiscoveryV1().EndpointSlices(namespace).List(t.Context(),
		metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=web"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, slice := range list.Items {
		for _, e := range slice.Endpoints {
			got[e.TargetRef.Name] = describe(e)
		}
	}
	want := map[string]string{
		"web-a-0":   "10.0.0.1 node-0 zone-0 ready serving",
		"web-a-1":   "10.0.0.2 node-1 zone-1",
		"web-a-2":   "10.0.0.3 node-2 zone-2 serving terminating",
		"web-six-0": "fd00::1 node-0 zone-0 ready serving",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
}

func describe(e discoveryv1.Endpoint) string {
	words := []string{e.Addresses[0], *e.NodeName, *e.Zone}
	if *e.Conditions.Ready {
		words = append(words, "ready")
	}
	if *e.Conditions.Serving {
		words = append(words, "serving")
	}
	if *e.Conditions.Terminating {
		words = append(words, "terminating")
	}
	return strings.Join(words, " ")
}

func testPause(t *testing.T, c *cluster.Cluster) {
	list := func(patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := c.Client().CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
		return err
	}
	c.PauseAPIServer(t)
	if err := list(200 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("paused: got %v, want no answer", err)
	}
	c.ResumeAPIServer(t)
	if err := list(time.Minute); err != nil {
		t.Errorf("resumed: %v", err)
	}
}

func testRestart(end func(*cluster.Cluster, testing.TB)) func(*testing.T, *cluster.Cluster) {
	return func(t *testing.T, c *cluster.Cluster) {
		namespace := c.Namespace(t)
		settings := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "settings"}}
		c.Put(t, settings)
		before := c.URL()

		end(c, t)
		_, err := c.Client().CoreV1().ConfigMaps(namespace).Get(t.Context(), "settings", metav1.GetOptions{})
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("without API server: got %v, want that the connection is refused", err)
		}
		c.StartAPIServer(t)
		if diff := cmp.Diff(before, c.URL()); diff != "" {
			t.Errorf("address (-before +after):\n%s", diff)
		}
		if _, err := c.Client().CoreV1().ConfigMaps(namespace).Get(t.Context(), "settings", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	}
}

func testEtcd(t *testing.T, c *cluster.Cluster) {
	namespace := c.Namespace(t)
	c.Put(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "settings"}})
	c.KillEtcd(t)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := c.Client().CoreV1().ConfigMaps(namespace).Get(ctx, "settings", metav1.GetOptions{}); err == nil {
		t.Error("without etcd: got an answer")
	}
	c.StartEtcd(t)
	if _, err := c.Client().CoreV1().ConfigMaps(namespace).Get(t.Context(), "settings", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

func TestMissingBinaries(t *testing.T) {
	t.Setenv("KCONFD_KUBERNETES_BIN", t.TempDir())
	_, err := cluster.New(t.TempDir())
	if err == nil || !strings.HasSuffix(err.Error(), "run: make kubernetes") {
		t.Errorf("got %v, want what to run", err)
	}
}

// A start that fails says why and leaves nothing behind.
func TestFailedStart(t *testing.T) {
	bin := t.TempDir()
	script := "#!/bin/sh\necho no such flag >&2\nexit 2\n"
	if err := os.WriteFile(bin+"/etcd", []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KCONFD_KUBERNETES_BIN", bin)
	_, err := cluster.New(t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "exit status 2\nno such flag") {
		t.Errorf("got %v, want the exit status and the log", err)
	}
}

func clientFor(t *testing.T, c *cluster.Cluster, user string) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.ConfigFor(user))
	if err != nil {
		t.Fatal(err)
	}
	return client
}
