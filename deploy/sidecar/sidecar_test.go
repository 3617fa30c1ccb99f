package sidecar

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kconfd/kconfd/test/cluster"
	"github.com/kconfd/kconfd/test/process"
)

const (
	nginxConf  = "/run/nginx/nginx.conf"
	podAddress = "10.244.0.10:8080" // where nginx is seen
	shopPort   = 8000
)

// One API server serves all of these: starting it is what takes the time.
func TestSidecar(t *testing.T) {
	c := cluster.Start(t)
	process.Await(t, "namespace default", func() bool {
		_, err := c.Client().CoreV1().Namespaces().Get(t.Context(), "default", metav1.GetOptions{})
		return err == nil
	})
	apply(t, c)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *cluster.Cluster)
	}{
		{"the pod asks for nothing special", testRestricted},
		{"the Role is what kconfd rbac prints", testRole},
		{"nginx follows the endpoints", testFollows},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, c) })
	}
}

// apply gives all manifests to the API server, which refuses fields that it does
// not know.
func apply(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	kubectl, err := cluster.Binary("kubectl")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(kubectl, "--kubeconfig", c.Kubeconfig(t, cluster.Admin, "default"),
		"apply", "--server-side", "--validate=strict", "-f", ".")
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir()) // for its cache
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl apply: %v\n%s", err, out)
	}
	want := []string{
		"configmap/web-kconfd", "deployment.apps/web",
		"role.rbac.authorization.k8s.io/kconfd", "rolebinding.rbac.authorization.k8s.io/kconfd",
		"service/web", "serviceaccount/kconfd",
	}
	var got []string
	for line := range strings.Lines(string(out)) {
		got = append(got, strings.TrimSuffix(line, " serverside-applied\n"))
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("applied (-want +got):\n%s", diff)
	}
}

// The pod is let into a namespace that allows none but restricted ones.
func testRestricted(t *testing.T, c *cluster.Cluster) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "restricted", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	if _, err := c.Client().CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	d, err := c.Client().AppsV1().Deployments("default").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: d.Spec.Template.Spec}
	if _, err := c.Client().CoreV1().Pods(namespace.Name).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
}

func testRole(t *testing.T, c *cluster.Cluster) {
	want, err := os.ReadFile("rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	newKubelet(t, c, "web") // for the configuration
	got, err := exec.Command("kconfd", "rbac", "-manifests", ".").Output()
	if err != nil {
		t.Fatalf("kconfd rbac: %v", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("rbac.yaml (-is +ought to be):\n%s", diff)
	}
}

// A member is replaced, again and again, all are unready for a while, a template is spoilt: a
// client that asks all the time gets its answers, from those whose turn it is.
func testFollows(t *testing.T, c *cluster.Cluster) {
	for _, address := range []string{"10.244.1.11", "10.244.2.12", "10.244.3.13"} {
		serve(t, address)
	}
	c.Put(t, shop("10.244.1.11", "10.244.2.12"))
	k := newKubelet(t, c, "web")
	k.initialize()
	containers := k.run()
	kconfd, nginx := containers["kconfd"], containers["nginx"]
	process.Await(t, "nginx listens", func() bool {
		conn, err := net.Dial("tcp", podAddress)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	client := newClient(t)
	for range 5 {
		c.Put(t, shop("10.244.1.11", "10.244.2.12"))
		client.awaitOnly("10.244.1.11", "10.244.2.12")
		c.Put(t, shop("10.244.1.11", "10.244.3.13"))
		client.awaitOnly("10.244.1.11", "10.244.3.13")
	}

	unready := shop("10.244.1.11", "10.244.3.13")
	for i := range unready.Endpoints {
		cluster.NotReady(&unready.Endpoints[i])
	}
	c.Put(t, unready)
	mark := kconfd.AwaitLog(0, "render held.*want at least 1, have 0")
	client.awaitOnly("10.244.1.11", "10.244.3.13")

	c.Put(t, shop("10.244.2.12"))
	client.awaitOnly("10.244.2.12")

	before := readFile(t, nginxConf)
	k.mountTemplate("upstream", "upstrem")
	kconfd.AwaitLog(mark, `not applied.*unknown directive .*upstrem`)
	c.Put(t, shop("10.244.3.13")) // refused as well, as long as the template is bad
	if diff := cmp.Diff(before, readFile(t, nginxConf)); diff != "" {
		t.Errorf("a bad file went live (-before +after):\n%s", diff)
	}
	client.awaitOnly("10.244.2.12")
	k.mountTemplate()
	client.awaitOnly("10.244.3.13")

	kconfd.Stop(syscall.SIGTERM)
	client.awaitOnly("10.244.3.13")
	client.stop()
	nginx.Stop(syscall.SIGQUIT)
}

// mountTemplate mounts the ConfigMap with words of its template replaced.
func (k *kubelet) mountTemplate(words ...string) {
	k.t.Helper()
	for _, v := range k.pod.Volumes {
		if v.ConfigMap != nil {
			m := k.configMap(v.ConfigMap.Name)
			m.Data["nginx.conf.tmpl"] = strings.NewReplacer(words...).Replace(m.Data["nginx.conf.tmpl"])
			k.mountConfigMap(v, m)
		}
	}
}

// shop is what Kubernetes knows of the Service with these pods.
func shop(addresses ...string) *discoveryv1.EndpointSlice {
	slice := cluster.Slice("default", "shop", "shop-abcde", addresses...)
	slice.Ports[0].Port = new(int32(shopPort))
	return slice
}

// serve answers every request at the address with the address.
func serve(t *testing.T, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, shopPort))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, address) // nginx sees it when it fails
	})}
	go func() { _ = server.Serve(listener) }() // until it is closed
	t.Cleanup(func() { server.Close() })
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// A client asks nginx all the time, four times at once, over a new connection each
// time.
type client struct {
	t      *testing.T
	cancel context.CancelFunc
	asking sync.WaitGroup

	mu      sync.Mutex
	answers []string
	errs    []error
}

func newClient(t *testing.T) *client {
	ctx, cancel := context.WithCancel(t.Context())
	c := &client{t: t, cancel: cancel}
	for range 4 {
		c.asking.Go(func() { c.run(ctx) }) // until ctx ends
	}
	return c
}

func (c *client) run(ctx context.Context) {
	web := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: process.Patience}
	for ctx.Err() == nil {
		answer, err := ask(ctx, &web)
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		c.answers = append(c.answers, answer)
		if err != nil {
			c.errs = append(c.errs, fmt.Errorf("request %d: %w", len(c.answers), err))
		}
		c.mu.Unlock()
	}
}

// ask gives the body of an answer that is 200.
func ask(ctx context.Context, web *http.Client) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+podAddress, nil)
	if err != nil {
		return "", err
	}
	response, err := web.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", response.Status, body)
	}
	return string(body), err
}

// awaitOnly waits until of many requests that begin from now on all are answered
// by these members, and by each of them.
func (c *client) awaitOnly(members ...string) {
	c.t.Helper()
	const many = 100
	c.mu.Lock()
	from := len(c.answers) + 4 // these are under way
	c.mu.Unlock()
	process.Await(c.t, fmt.Sprintf("only %q answer", members), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.answers) < from+many {
			return false
		}
		last := slices.Clone(c.answers[len(c.answers)-many:])
		slices.Sort(last)
		return slices.Equal(slices.Compact(last), members)
	})
}

// stop ends it, and demands that no request has failed.
func (c *client) stop() {
	c.t.Helper()
	c.cancel()
	c.asking.Wait()
	if len(c.errs) > 0 {
		c.t.Errorf("%d of %d requests failed: %v", len(c.errs), len(c.answers), c.errs[0])
	}
	c.t.Logf("%d requests", len(c.answers))
}
