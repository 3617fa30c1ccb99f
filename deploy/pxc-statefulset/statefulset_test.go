// Package statefulset tests the manifests of this directory: a real API server takes
// them, and what they say of the image's configuration is so.
package statefulset

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/kconfd/kconfd/test/build"
	"github.com/kconfd/kconfd/test/cluster"
)

// TestMain builds kconfd for the tests to find in PATH.
func TestMain(m *testing.M) { os.Exit(build.InPath(m.Run)) }

// kubectl runs it with standard input, and gives its output.
func kubectl(t *testing.T, stdin string, words ...string) string {
	t.Helper()
	path, err := cluster.Binary("kubectl")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, words...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir()) // for its cache
	cmd.Stdin = strings.NewReader(stdin)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", words, err, stderr.String())
	}
	return string(out)
}

// objects are all that an overlay applies.
func objects() []string {
	return []string{
		"configmap/pxc-settings", "networkpolicy.networking.k8s.io/pxc", "poddisruptionbudget.policy/pxc",
		"role.rbac.authorization.k8s.io/pxc", "rolebinding.rbac.authorization.k8s.io/pxc",
		"service/pxc", "service/pxc-cluster", "serviceaccount/pxc", "statefulset.apps/pxc",
	}
}

func TestOverlays(t *testing.T) {
	c := cluster.Start(t)
	apply := []string{"--kubeconfig", c.Kubeconfig(t, cluster.Admin, "default"), "apply", "--server-side", "--validate=strict", "-f", "-"}
	for name, want := range map[string]struct {
		image string
		user  int64
	}{
		"mariadb": {"kconfd-mariadb:latest", 999},
		"percona": {"kconfd-percona:latest", 1001},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := newNamespace(t, c, name)
			manifests := kubectl(t, "", "kustomize", overlay(t, name, namespace))
			var got []string
			for line := range strings.Lines(kubectl(t, manifests, apply...)) {
				got = append(got, strings.TrimSuffix(line, " serverside-applied\n"))
			}
			slices.Sort(got)
			if diff := cmp.Diff(objects(), got); diff != "" {
				t.Errorf("applied (-want +got):\n%s", diff)
			}
			set, err := c.Client().AppsV1().StatefulSets(namespace).Get(t.Context(), "pxc", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			pod := set.Spec.Template.Spec
			if pod.Containers[0].Image != want.image || *pod.SecurityContext.RunAsUser != want.user || *pod.SecurityContext.FSGroup != want.user {
				t.Errorf("image %s, user %d, group of files %d; want %+v", pod.Containers[0].Image, *pod.SecurityContext.RunAsUser, *pod.SecurityContext.FSGroup, want)
			}
			testPod(t, c, set)
			testLabels(t, c, set)
			binding, err := c.Client().RbacV1().RoleBindings(namespace).Get(t.Context(), "pxc", metav1.GetOptions{})
			if err != nil || binding.Subjects[0].Namespace != namespace {
				t.Errorf("the role is bound to %+v, %v", binding.Subjects, err)
			}
		})
	}
	manifest, err := os.ReadFile("secret.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := kubectl(t, string(manifest), apply...), "secret/pxc serverside-applied\n"; got != want {
		t.Errorf("applied %q, want %q", got, want)
	}
}

// newNamespace makes one that lets only restricted pods in.
func newNamespace(t *testing.T, c *cluster.Cluster, name string) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	if _, err := c.Client().CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return name
}

// overlay is a directory for kustomize, as somebody writes it who has another
// namespace.
func overlay(t *testing.T, name, namespace string) string {
	t.Helper()
	dir := t.TempDir()
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	from, err := filepath.Rel(resolved(t, dir), filepath.Join(resolved(t, here), "overlays", name))
	if err != nil {
		t.Fatal(err)
	}
	content := fmt.Sprintf("resources: [%s]\nnamespace: %s\n", from, namespace)
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func resolved(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// testPod makes one of the pods: nobody else does here.
func testPod(t *testing.T, c *cluster.Cluster, set *appsv1.StatefulSet) {
	t.Helper()
	spec := set.Spec.Template.Spec
	spec.Volumes = append(slices.Clone(spec.Volumes), corev1.Volume{Name: "data"}) // the claim's
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pxc-0", Labels: set.Spec.Template.Labels}, Spec: spec}
	if _, err := c.Client().CoreV1().Pods(set.Namespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
	container := spec.Containers[0]
	if !*container.SecurityContext.ReadOnlyRootFilesystem {
		t.Error("the root file system is not read-only")
	}
	// The default for :latest is Always, which an image in no registry does not survive.
	if container.ImagePullPolicy != corev1.PullIfNotPresent {
		t.Errorf("the image is pulled %s", container.ImagePullPolicy)
	}
}

// testLabels demands that everything that selects pods selects these.
func testLabels(t *testing.T, c *cluster.Cluster, set *appsv1.StatefulSet) {
	t.Helper()
	labels := set.Spec.Template.Labels
	for _, name := range []string{"pxc", "pxc-cluster"} {
		service, err := c.Client().CoreV1().Services(set.Namespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(labels, service.Spec.Selector); diff != "" {
			t.Errorf("service %q (-pod +selected):\n%s", name, diff)
		}
	}
	budget, err1 := c.Client().PolicyV1().PodDisruptionBudgets(set.Namespace).Get(t.Context(), "pxc", metav1.GetOptions{})
	policy, err2 := c.Client().NetworkingV1().NetworkPolicies(set.Namespace).Get(t.Context(), "pxc", metav1.GetOptions{})
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(labels, budget.Spec.Selector.MatchLabels); diff != "" {
		t.Errorf("budget (-pod +selected):\n%s", diff)
	}
	if diff := cmp.Diff(labels, policy.Spec.PodSelector.MatchLabels); diff != "" {
		t.Errorf("policy (-pod +selected):\n%s", diff)
	}
	for _, rule := range policy.Spec.Ingress {
		for _, port := range rule.Ports {
			if !slices.ContainsFunc(set.Spec.Template.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool { return p.Name == port.Port.String() }) {
				t.Errorf("policy: the pod has no port %q", port.Port)
			}
		}
	}
}

// Policies open kconfd's port, on which it shows names, errors and changes, to sources
// that they name.
func TestPoliciesNameWhoSees(t *testing.T) {
	files, err := filepath.Glob("../*/*.yaml")
	deeper, err2 := filepath.Glob("../*/*/*.yaml")
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	opened := 0
	for _, file := range append(files, deeper...) {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for doc := range strings.SplitSeq(string(content), "\n---\n") {
			var policy networkingv1.NetworkPolicy
			if !strings.Contains(doc, "kind: NetworkPolicy\n") {
				continue
			}
			if err := yaml.UnmarshalStrict([]byte(doc), &policy); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			for _, rule := range policy.Spec.Ingress {
				if !opensKconfd(rule) {
					continue
				}
				opened++
				if len(rule.From) == 0 || slices.ContainsFunc(rule.From, namesNobody) {
					t.Errorf("%s: policy %q opens kconfd's port to sources that it does not name: %v", file, policy.Name, rule.From)
				}
			}
		}
	}
	if opened == 0 {
		t.Error("no policy opens kconfd's port")
	}
}

// opensKconfd says whether a rule is about the port that kconfd listens on.
func opensKconfd(rule networkingv1.NetworkPolicyIngressRule) bool {
	return len(rule.Ports) == 0 || slices.ContainsFunc(rule.Ports, func(p networkingv1.NetworkPolicyPort) bool {
		return p.Port == nil || p.Port.String() == "kconfd" || p.Port.String() == "9100"
	})
}

// namesNobody says whether a peer is no named source: any pod or namespace.
func namesNobody(peer networkingv1.NetworkPolicyPeer) bool {
	named := func(s *metav1.LabelSelector) bool { return s != nil && len(s.MatchLabels)+len(s.MatchExpressions) > 0 }
	block := peer.IPBlock != nil && !strings.HasSuffix(peer.IPBlock.CIDR, "/0")
	return !block && !named(peer.NamespaceSelector) && !named(peer.PodSelector)
}

// The manifests fit the configuration that is in the image: names, paths, and the time
// to stop.
func TestFitsTheImage(t *testing.T) {
	manifests := kubectl(t, "", "kustomize", "overlays/mariadb")
	for _, flavor := range []string{"../image/conf.d/galera.toml", "../image/percona/galera.toml"} {
		content, err := os.ReadFile(flavor)
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Values  struct{ Headless, Datadir, Include string }
			Process struct {
				PreStopTimeout string `toml:"pre_stop_timeout"`
				StopGrace      string `toml:"stop_grace"`
				StopLease      string `toml:"stop_lease_timeout"`
			}
		}
		if err := toml.Unmarshal(content, &file); err != nil {
			t.Fatal(err)
		}
		preStop, err1 := time.ParseDuration(file.Process.PreStopTimeout)
		grace, err2 := time.ParseDuration(file.Process.StopGrace)
		turn, err3 := time.ParseDuration(file.Process.StopLease)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		const postStop = 30 * time.Second // by default
		limit := preStop + turn + grace + postStop
		for _, want := range []string{
			"serviceName: " + file.Values.Headless + "\n",
			"mountPath: " + filepath.Dir(file.Values.Datadir) + "\n",
			"mountPath: " + filepath.Dir(file.Values.Include) + "\n",
		} {
			if !strings.Contains(manifests, want) {
				t.Errorf("%s: %q is not in\n%s", flavor, want, manifests)
			}
		}
		var seconds int
		_, after, _ := strings.Cut(manifests, "terminationGracePeriodSeconds: ")
		if _, err := fmt.Sscan(after, &seconds); err != nil || time.Duration(seconds)*time.Second <= limit {
			t.Errorf("%s: the pod has %d s to stop, want more than %v", flavor, seconds, limit)
		}
	}
}

// The Role is what kconfd says that the image's configuration needs.
func TestRole(t *testing.T) {
	conf := t.TempDir()
	for to, from := range map[string]string{"conf.d": "../image/conf.d", "templates": "../../templates"} {
		if err := os.CopyFS(filepath.Join(conf, to), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("base/rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("kconfd", "rbac", "-confdir", conf, "-manifests", "../image/testdata/cluster.yaml", "-name", "pxc", "-galera", "pxc", "-events")
	for _, variable := range []string{"POD_NAME=pxc-0", "POD_NAMESPACE=default", "POD_UID=1", "POD_IP=10.0.0.1", "NODE_NAME=node1"} {
		cmd.Env = append(cmd.Environ(), variable)
	}
	got, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		t.Fatalf("kconfd rbac: %v\n%s", err, exit.Stderr)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("rbac.yaml (-is +ought to be):\n%s", diff)
	}
}
