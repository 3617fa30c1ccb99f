package watcher

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	kube "github.com/kconfd/kconfd/test/cluster"
)

// A world is one of the two places that objects come from. What a test does
// in one, it can do in the other.
type world interface {
	// namespace is the test's own.
	namespace() string
	// watcher reads the world; the test runs it.
	watcher(t *testing.T) *Watcher
	// put creates the objects, or makes them as given.
	put(t *testing.T, objects ...runtime.Object)
	// remove deletes an object.
	remove(t *testing.T, object runtime.Object)
}

// inBothWorlds runs every test on a cluster and on manifests.
func inBothWorlds(t *testing.T, tests map[string]func(*testing.T, world)) {
	for name, test := range tests {
		t.Run(name+" on a cluster", func(t *testing.T) {
			t.Parallel()
			test(t, newClusterWorld(t))
		})
		t.Run(name+" in manifests", func(t *testing.T) {
			t.Parallel()
			test(t, newManifestWorld(t))
		})
	}
}

// objects parses YAML documents, in which NS stands for the namespace.
func objects(t *testing.T, namespace, documents string) []runtime.Object {
	t.Helper()
	documents = strings.ReplaceAll(documents, "NS", namespace)
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewBufferString(documents), 4096)
	var all []runtime.Object
	for {
		u := &unstructured.Unstructured{}
		switch err := decoder.Decode(&u.Object); {
		case err == io.EOF:
			return all
		case err != nil:
			t.Fatalf("parsing %s: %v", documents, err)
		case len(u.Object) > 0:
			all = append(all, u)
		}
	}
}

// object is one of them.
func object(t *testing.T, namespace, document string) *unstructured.Unstructured {
	t.Helper()
	return objects(t, namespace, document)[0].(*unstructured.Unstructured)
}

// plain is an object in the form that all kinds share.
func plain(t *testing.T, o runtime.Object) *unstructured.Unstructured {
	t.Helper()
	if u, ok := o.(*unstructured.Unstructured); ok {
		return u.DeepCopy()
	}
	kinds, _, err := scheme.Scheme.ObjectKinds(o)
	if err != nil {
		t.Fatal(err)
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(kinds[0])
	return u
}

type clusterWorld struct {
	cluster *kube.Cluster
	own     string
}

func newClusterWorld(t *testing.T) *clusterWorld {
	t.Helper()
	var w clusterWorld
	theCluster.Use(t, func(c *kube.Cluster) { w = clusterWorld{c, c.Namespace(t)} })
	return &w
}

func (w *clusterWorld) namespace() string { return w.own }

func (w *clusterWorld) watcher(t *testing.T) *Watcher {
	t.Helper()
	return w.watcherOf(t, kube.Admin, &logBook{})
}

func (w *clusterWorld) watcherOf(t *testing.T, user string, log *logBook) *Watcher {
	t.Helper()
	return watcherWith(t, w.kubeconfig(t, user), log)
}

func watcherWith(t *testing.T, kubeconfig string, log *logBook) *Watcher {
	t.Helper()
	watcher, err := NewCluster(Cluster{Kubeconfig: kubeconfig, UserAgent: "kconfd-test"}, log.logger())
	if err != nil {
		t.Fatal(err)
	}
	return watcher
}

func (w *clusterWorld) kubeconfig(t *testing.T, user string) (path string) {
	t.Helper()
	theCluster.Use(t, func(c *kube.Cluster) { path = c.Kubeconfig(t, user, w.own) })
	return path
}

// kubeconfigFor is one whose server is known under another address or name.
// Connections are shared only among those with the same name.
func (w *clusterWorld) kubeconfigFor(t *testing.T, server, tlsName string) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(w.kubeconfig(t, kube.Admin))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range config.Clusters {
		c.Server, c.TLSServerName = server, tlsName
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func (w *clusterWorld) grant(t *testing.T, user, rules string) {
	t.Helper()
	theCluster.Use(t, func(c *kube.Cluster) { c.Grant(t, w.own, user, rules) })
}

func (w *clusterWorld) put(t *testing.T, objects ...runtime.Object) {
	t.Helper()
	for _, o := range objects {
		u := plain(t, o)
		status := u.Object["status"]
		delete(u.Object, "status")
		deleted := u.GetDeletionTimestamp()
		u.SetDeletionTimestamp(nil)
		w.apply(t, u)
		if s, _ := status.(map[string]any); len(s) > 0 {
			w.applyStatus(t, u, s)
		}
		if deleted != nil { // nobody ends the pod: it stays, terminating
			w.remove(t, u)
		}
	}
}

func (w *clusterWorld) apply(t *testing.T, u *unstructured.Unstructured) {
	t.Helper()
	document, err := yaml.Marshal(u.Object)
	if err != nil {
		t.Fatal(err)
	}
	theCluster.Use(t, func(c *kube.Cluster) { c.Apply(t, w.own, string(document)) })
}

// applyStatus does a kubelet's or a controller's part.
func (w *clusterWorld) applyStatus(t *testing.T, u *unstructured.Unstructured, status map[string]any) {
	t.Helper()
	with := &unstructured.Unstructured{}
	with.SetGroupVersionKind(u.GroupVersionKind())
	with.SetName(u.GetName())
	with.Object["status"] = status
	_, err := w.resource(t, u).ApplyStatus(t.Context(), u.GetName(), with,
		metav1.ApplyOptions{FieldManager: "test", Force: true})
	if err != nil {
		t.Fatalf("putting the status of %s %q: %v", u.GetKind(), u.GetName(), err)
	}
}

func (w *clusterWorld) remove(t *testing.T, o runtime.Object) {
	t.Helper()
	u := plain(t, o)
	if err := w.resource(t, u).Delete(t.Context(), u.GetName(), metav1.DeleteOptions{}); err != nil {
		t.Fatalf("deleting %s %q: %v", u.GetKind(), u.GetName(), err)
	}
}

// resourceVersion of an object as the server has it.
func (w *clusterWorld) resourceVersion(t *testing.T, o runtime.Object) string {
	t.Helper()
	u := plain(t, o)
	got, err := w.resource(t, u).Get(t.Context(), u.GetName(), metav1.GetOptions{})
	if err != nil {
		t.Fatalf("getting %s %q: %v", u.GetKind(), u.GetName(), err)
	}
	return got.GetResourceVersion()
}

func (w *clusterWorld) resource(t *testing.T, u *unstructured.Unstructured) dynamic.ResourceInterface {
	t.Helper()
	plural := strings.ToLower(u.GetKind()) + "s"
	k, typed := kinds()[u.GetKind()]
	if typed {
		plural = k.resource
	}
	resource := w.cluster.Dynamic().Resource(u.GroupVersionKind().GroupVersion().WithResource(plural))
	if k.cluster {
		return resource
	}
	return resource.Namespace(cmp.Or(u.GetNamespace(), w.own))
}

// awaitServed waits until the server answers for a kind that it has been told
// of.
func (w *clusterWorld) awaitServed(t *testing.T, gvr schema.GroupVersionResource) {
	t.Helper()
	poll(t, func() string {
		_, err := w.cluster.Dynamic().Resource(gvr).List(t.Context(), metav1.ListOptions{})
		if apierrors.IsNotFound(err) {
			return err.Error()
		}
		if err != nil {
			t.Fatal(err)
		}
		return ""
	})
}

type manifestWorld struct{ dir string }

func newManifestWorld(t *testing.T) *manifestWorld {
	t.Helper()
	return &manifestWorld{t.TempDir()}
}

func (w *manifestWorld) namespace() string { return "shop" }

func (w *manifestWorld) watcher(t *testing.T) *Watcher {
	t.Helper()
	return manifestWatcher(t, &logBook{}, w.dir)
}

func manifestWatcher(t *testing.T, log *logBook, paths ...string) *Watcher {
	t.Helper()
	watcher, err := NewManifests(paths, "shop", strings.NewReader(""), log.logger())
	if err != nil {
		t.Fatal(err)
	}
	return watcher
}

func (w *manifestWorld) put(t *testing.T, objects ...runtime.Object) {
	t.Helper()
	for _, o := range objects {
		u := plain(t, o)
		content, err := yaml.Marshal(u.Object)
		if err != nil {
			t.Fatal(err)
		}
		replaceFile(t, w.file(u), string(content))
	}
}

func (w *manifestWorld) remove(t *testing.T, o runtime.Object) {
	t.Helper()
	if err := os.Remove(w.file(plain(t, o))); err != nil {
		t.Fatal(err)
	}
}

func (w *manifestWorld) file(u *unstructured.Unstructured) string {
	return filepath.Join(w.dir, fmt.Sprintf("%s-%s-%s.yaml", u.GetKind(), u.GetNamespace(), u.GetName()))
}

// replaceFile writes a file as an editor does: beside it, then over it.
func replaceFile(t *testing.T, path, content string) {
	t.Helper()
	beside := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	writeFile(t, beside, content)
	if err := os.Rename(beside, path); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A recorder notes what a cluster's watcher asks of the server.
type recorder struct {
	next http.RoundTripper

	mu       sync.Mutex
	requests []string
	forms    map[string]string // content types of the answers, by request
	open     map[string]int    // watches, by request
}

// recordRequests makes the watcher's requests pass through a recorder.
func recordRequests(w *Watcher) *recorder {
	r := &recorder{next: w.source.(*cluster).http.Transport, forms: map[string]string{}, open: map[string]int{}}
	w.source.(*cluster).http.Transport = r
	return r
}

// RoundTrip implements [http.RoundTripper].
func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	name := nameOf(request)
	r.mu.Lock()
	r.requests = append(r.requests, name)
	r.mu.Unlock()
	response, err := r.next.RoundTrip(request)
	if err == nil {
		r.mu.Lock()
		r.forms[name] = response.Header.Get("Content-Type")
		r.mu.Unlock()
	}
	if err == nil && request.URL.Query().Get("watch") != "" {
		r.note(name, 1)
		response.Body = &watchBody{response.Body, sync.OnceFunc(func() { r.note(name, -1) })}
	}
	return response, err
}

func (r *recorder) note(name string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[name] += n
	if r.open[name] == 0 {
		delete(r.open, name)
	}
}

// watchBody tells when a watch is closed.
type watchBody struct {
	io.ReadCloser
	closed func()
}

func (b *watchBody) Close() error {
	b.closed()
	return b.ReadCloser.Close()
}

// nameOf has the parts of a request that say which objects are asked for.
func nameOf(r *http.Request) string {
	verb, query := "GET", r.URL.Query()
	if query.Get("watch") != "" {
		verb = "WATCH"
	}
	name := verb + " " + r.URL.Path
	for _, key := range []string{"labelSelector", "fieldSelector"} {
		if v := query.Get(key); v != "" {
			name += " " + key + "=" + v
		}
	}
	return name
}

// asked are the different requests so far, sorted.
func (r *recorder) asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Compact(slices.Sorted(slices.Values(r.requests)))
}

// count is how often something was asked.
func (r *recorder) count(name string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, request := range r.requests {
		if request == name {
			n++
		}
	}
	return n
}

// watching are the watches that are open now, and how often.
func (r *recorder) watching() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.open)
}

// form is the content type that a request was answered in.
func (r *recorder) form(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.forms[name]
}

// touch makes the server write an object anew that stays as it is: another
// manager claims a field with the value that it has.
func (w *clusterWorld) touch(t *testing.T, o *unstructured.Unstructured) {
	t.Helper()
	before := w.resourceVersion(t, o)
	claim := &unstructured.Unstructured{}
	claim.SetGroupVersionKind(o.GroupVersionKind())
	claim.SetName(o.GetName())
	claim.SetLabels(o.GetLabels())
	claim.SetAnnotations(map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{}"})
	if o.GroupVersionKind().Kind == "Lease" {
		claim.SetAnnotations(nil)
	}
	_, err := w.resource(t, o).Apply(t.Context(), o.GetName(), claim, metav1.ApplyOptions{FieldManager: "another", Force: true})
	if err != nil {
		t.Fatalf("touching %s %q: %v", o.GetKind(), o.GetName(), err)
	}
	if after := w.resourceVersion(t, o); after == before {
		t.Fatalf("touching %s %q: the server wrote nothing", o.GetKind(), o.GetName())
	}
}
