package watcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"

	kube "github.com/kconfd/kconfd/test/cluster"
)

// One namespace, few watches, and no more of each object than is needed.
func TestWhatIsAskedOfTheServer(t *testing.T) {
	t.Parallel()
	const (
		core, apps = "/api/v1/namespaces/NS", "/apis/apps/v1/namespaces/NS"
		discovery  = "/apis/discovery.k8s.io/v1/namespaces/NS"
		// What is listed as empty is asked about: does the namespace exist?
		exists = "GET /api/v1/namespaces/NS"
	)
	tests := map[string]struct {
		read func(r *Reader, ns string) error
		want []string
	}{
		"the endpoints of one service": {
			func(r *Reader, _ string) error { _, err := r.endpointsOf("web"); return err },
			[]string{exists, "WATCH " + discovery + "/endpointslices labelSelector=kubernetes.io/service-name=web"},
		},
		"the endpoints of two services": {
			func(r *Reader, _ string) error {
				_, err := r.endpointsOf("web")
				_, err2 := r.endpointsOf("db")
				return errors.Join(err, err2)
			},
			[]string{exists, "WATCH " + discovery + "/endpointslices"},
		},
		"a service and its endpoints": {
			func(r *Reader, _ string) error {
				s, err := r.service("web")
				if err == nil {
					s.Endpoints()
				}
				return err
			},
			[]string{
				exists, "WATCH " + core + "/services fieldSelector=metadata.name=web",
				"WATCH " + discovery + "/endpointslices labelSelector=kubernetes.io/service-name=web",
			},
		},
		"selected pods": {
			func(r *Reader, _ string) error { _, err := r.pods("app=web,tier!=db"); return err },
			[]string{exists, "WATCH " + core + "/pods labelSelector=app=web,tier!=db"},
		},
		"two Secrets and a ConfigMap": {
			func(r *Reader, _ string) error {
				_, err := r.secret("one")
				_, err2 := r.secret("two")
				_, err3 := r.configMap("settings")
				return errors.Join(err, err2, err3)
			},
			[]string{
				exists, "WATCH " + core + "/configmaps fieldSelector=metadata.name=settings",
				"WATCH " + core + "/secrets fieldSelector=metadata.name=one",
				"WATCH " + core + "/secrets fieldSelector=metadata.name=two",
			},
		},
		"a stateful set": {
			func(r *Reader, _ string) error { _, err := r.statefulSet("web"); return err },
			[]string{exists, "WATCH " + apps + "/statefulsets fieldSelector=metadata.name=web"},
		},
		"a node": {
			func(r *Reader, ns string) error { _, err := r.node(ns); return err },
			[]string{"WATCH /api/v1/nodes fieldSelector=metadata.name=NS"},
		},
		"an object of any kind": {
			func(r *Reader, ns string) error {
				_, err := r.lookup("coordination.k8s.io/v1", "Lease", ns, "gate")
				return err
			},
			[]string{
				exists, "GET /apis/coordination.k8s.io/v1",
				"WATCH /apis/coordination.k8s.io/v1/namespaces/NS/leases fieldSelector=metadata.name=gate",
			},
		},
		"all objects of a kind": {
			func(r *Reader, ns string) error { _, err := r.lookup("v1", "Pod", ns, ""); return err },
			[]string{exists, "WATCH " + core + "/pods"},
		},
		"an object without a namespace": {
			func(r *Reader, ns string) error { _, err := r.lookup("v1", "Node", "", ns); return err },
			[]string{"WATCH /api/v1/nodes fieldSelector=metadata.name=NS"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newClusterWorld(t)
			watcher := w.watcher(t)
			recorder := recordRequests(watcher)
			start(t, watcher)
			p := newPage(watcher, func(r *Reader) (any, error) { return nil, test.read(r, w.own) })
			var absent *AbsentError
			p.await(t, func() string {
				if p.err == nil || errors.As(p.err, &absent) {
					return ""
				}
				return p.err.Error()
			})
			var want []string
			for _, request := range test.want {
				want = append(want, strings.ReplaceAll(request, "NS", w.own))
			}
			if d := diff(want, recorder.asked()); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// Protobuf is a fraction of the work that JSON is.
func TestTypedKindsComeAsProtobuf(t *testing.T) {
	t.Parallel()
	w := newClusterWorld(t)
	watcher := w.watcher(t)
	recorder := recordRequests(watcher)
	start(t, watcher)
	p := podNamesPage(watcher, "")
	p.awaitGot(t, nil)
	request := "WATCH /api/v1/namespaces/" + w.own + "/pods"
	if got, want := recorder.form(request), "application/vnd.kubernetes.protobuf"; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A watch that nobody needs is closed on the server too.
func TestWatchIsClosedAfterTheGrace(t *testing.T) {
	t.Parallel()
	w := newClusterWorld(t)
	watcher := w.watcher(t)
	watcher.grace = 20 * time.Millisecond
	recorder := recordRequests(watcher)
	start(t, watcher)
	w.put(t, object(t, w.own, fmt.Sprintf(settingsYAML, "web")))
	p := newPage(watcher, chosen)
	p.awaitGot(t, nil)
	settings := "WATCH /api/v1/namespaces/" + w.own + "/configmaps fieldSelector=metadata.name=settings"
	endpoints := "WATCH /apis/discovery.k8s.io/v1/namespaces/" + w.own + "/endpointslices labelSelector=kubernetes.io/service-name=web"
	poll(t, func() string { return diff(map[string]int{settings: 1, endpoints: 1}, recorder.watching()) })
	w.put(t, object(t, w.own, fmt.Sprintf(settingsYAML, "")))
	p.await(t, func() string { return diff([]Dependency{p.reader.Dependencies()[0]}, p.reader.Dependencies()) })
	poll(t, func() string { return diff(map[string]int{settings: 1}, recorder.watching()) })
}

// A template that reads 500 services does not open 500 watches: the server
// counts them.
func TestManyServicesShareAWatch(t *testing.T) {
	w := newClusterWorld(t)
	w.put(t, kube.Slice(w.own, "s7", "s7-x", "10.0.0.7"), kube.Slice(w.own, "s499", "s499-x", "10.0.1.243"))
	before := watchesOn(t, w, "endpointslices")
	watcher := w.watcher(t)
	recorder := recordRequests(watcher)
	start(t, watcher)
	p := newPage(watcher, func(r *Reader) ([]string, error) {
		var all []string
		for n := range 500 {
			endpoints, err := r.endpointsOf(fmt.Sprintf("s%d", n))
			if err != nil {
				return nil, err
			}
			all = append(all, addressesOf(endpoints)...)
		}
		return all, nil
	})
	p.awaitGot(t, []string{"10.0.0.7", "10.0.1.243"})
	// Watches of earlier tests may still be ending.
	if after := watchesOn(t, w, "endpointslices"); after < 1 || after > before+1 {
		t.Errorf("the server has %d watches after %d, want one more", after, before)
	}
	if d := diff([]string{"WATCH /apis/discovery.k8s.io/v1/namespaces/" + w.own + "/endpointslices"}, recorder.asked()); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
}

// watchesOn is how many watches of a resource the server has open, once that
// is steady.
func watchesOn(t *testing.T, w *clusterWorld, resource string) (n int) {
	t.Helper()
	client := w.cluster.Client().(*kubernetes.Clientset).RESTClient()
	last := -1
	poll(t, func() string {
		content, err := client.Get().AbsPath("/metrics").Do(t.Context()).Raw()
		if err != nil {
			return err.Error()
		}
		n = 0
		for line := range strings.Lines(string(content)) {
			if strings.HasPrefix(line, "apiserver_longrunning_requests{") &&
				containsAll(line, []string{`resource="` + resource + `"`, `verb="WATCH"`}) {
				count, err := strconv.Atoi(line[strings.LastIndex(line, " ")+1 : len(line)-1])
				if err != nil {
					t.Fatalf("reading %q: %v", line, err)
				}
				n += count
			}
		}
		settled := n == last
		last = n
		if !settled {
			return "the number of watches is not steady"
		}
		return ""
	})
	return n
}

// What a Role allows decides what comes, and what does not is told by verb,
// resource and namespace.
func TestRoles(t *testing.T) {
	t.Parallel()
	const user = "kconfd"
	tests := map[string]struct {
		rules   string
		read    func(*Reader) (any, error)
		want    any
		problem []string // in one problem's text; none when all is well
	}{
		"names are enough for a Secret": {
			rules: `[{apiGroups: [""], resources: [secrets], resourceNames: [one], verbs: [list, watch]}]`,
			read:  func(r *Reader) (any, error) { return r.secret("one") },
			want:  map[string]string{"a": "1"},
		},
		"names are enough for several": {
			rules: `[{apiGroups: [""], resources: [secrets, configmaps], resourceNames: [one, two, settings], verbs: [list, watch]}]`,
			read: func(r *Reader) (any, error) {
				one, err := r.secret("one")
				two, err2 := r.secret("two")
				settings, err3 := r.configMap("settings")
				return one["a"] + two["a"] + settings["a"], errors.Join(err, err2, err3)
			},
			want: "123",
		},
		"names are enough for lookup": {
			rules: `[{apiGroups: [""], resources: [secrets], resourceNames: [one], verbs: [list, watch]}]`,
			read: func(r *Reader) (any, error) {
				o, err := r.lookup("v1", "Secret", r.watcher.Namespace(), "one")
				return o["data"], err
			},
			want: map[string]any{"a": "MQ=="},
		},
		"names are not enough for a selector": {
			rules:   `[{apiGroups: [""], resources: [secrets], resourceNames: [one], verbs: [list, watch]}]`,
			read:    func(r *Reader) (any, error) { return r.secretsOf("of=web") },
			problem: []string{`Secrets with labels "of=web" in namespace "NS": denied`, `User "kconfd" cannot `, ` resource "secrets"`},
		},
		"a rule without names is enough for a selector": {
			rules: `[{apiGroups: [""], resources: [secrets, configmaps], verbs: [list, watch]}]`,
			read: func(r *Reader) (any, error) {
				secrets, err := r.secretsOf("of=web")
				settings, err2 := r.configMaps("of=web")
				return [][]string{namesOf(secrets), namesOf(settings)}, errors.Join(err, err2)
			},
			want: [][]string{{"one"}, {"settings"}},
		},
		"other names are denied": {
			rules:   `[{apiGroups: [""], resources: [secrets], resourceNames: [one], verbs: [list, watch]}]`,
			read:    func(r *Reader) (any, error) { return r.secret("two") },
			problem: []string{`Secret "two" in namespace "NS": denied`, `User "kconfd" cannot `, ` resource "secrets"`, `in the namespace "NS"`},
		},
		"endpoints take list and watch": {
			rules: `[{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}]`,
			read:  func(r *Reader) (any, error) { e, err := r.endpointsOf("web"); return addressesOf(e), err },
			want:  []string{"10.0.0.1"},
		},
		"to watch is enough where a watch lists": {
			rules: `[{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [watch]}]`,
			read:  func(r *Reader) (any, error) { e, err := r.endpointsOf("web"); return addressesOf(e), err },
			want:  []string{"10.0.0.1"},
		},
		"without watch there is data, and a problem": {
			rules:   `[{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list]}]`,
			read:    func(r *Reader) (any, error) { e, err := r.endpointsOf("web"); return addressesOf(e), err },
			want:    []string{"10.0.0.1"},
			problem: []string{`endpoints of service "web" in namespace "NS": denied`, `User "kconfd" cannot watch resource "endpointslices"`},
		},
		"nothing": {
			rules:   `[]`,
			read:    func(r *Reader) (any, error) { e, err := r.endpointsOf("web"); return addressesOf(e), err },
			problem: []string{`resource "endpointslices" in API group "discovery.k8s.io" in the namespace "NS"`},
		},
		"nodes are the cluster's": {
			rules:   `[{apiGroups: [""], resources: [nodes], verbs: [list, watch]}]`, // of no use in a Role
			read:    func(r *Reader) (any, error) { return r.node("a") },
			problem: []string{`Node "a": denied`, `User "kconfd" cannot `, ` resource "nodes"`, `at the cluster scope`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newClusterWorld(t)
			w.put(t, slice(w, "web", "10.0.0.1"))
			w.put(t, objects(t, w.own, `
{apiVersion: v1, kind: Secret, metadata: {name: one, labels: {of: web}}, data: {a: MQ==}}
---
{apiVersion: v1, kind: Secret, metadata: {name: two}, data: {a: Mg==}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, labels: {of: web}}, data: {a: "3"}}`)...)
			w.grant(t, user, test.rules)
			var log logBook
			watcher := w.watcherOf(t, user, &log)
			start(t, watcher)
			p := newPage(watcher, test.read)
			if test.want != nil {
				p.awaitGot(t, test.want)
			}
			if len(test.problem) == 0 {
				if problems := watcher.Problems(); len(problems) > 0 {
					t.Errorf("problems: %v", problems)
				}
				return
			}
			p.look()
			parts := slices.Clone(test.problem)
			for i := range parts {
				parts[i] = strings.ReplaceAll(parts[i], "NS", w.own)
			}
			// What lasts is told, whether or not there is data.
			poll(t, func() string {
				p.look()
				if test.want == nil && p.err == nil {
					t.Fatalf("complete with %v", p.got)
				}
				if len(log.lines("level=WARN", "watch failing")) == 0 {
					return "not a word in the log"
				}
				return ""
			})
			poll(t, func() string { return deniedWith(watcher, parts) })
			for i := range parts {
				parts[i] = strings.ReplaceAll(parts[i], `"`, `\"`)
			}
			if len(log.lines(append(parts, "level=WARN")...)) == 0 {
				t.Errorf("no warning with %q in:\n%s", parts, &log)
			}
			if s := watcher.Status()[0]; s.Healthy(time.Now()) || s.Listed != (test.want != nil) {
				t.Errorf("status: %+v", s)
			}
		})
	}
}

// deniedWith says what is wrong unless a problem is a denial with these parts.
func deniedWith(w *Watcher, parts []string) string {
	var denied *DeniedError
	for _, problem := range w.Problems() {
		if errors.As(problem, &denied) && apierrors.IsForbidden(problem) && containsAll(problem.Error(), parts) {
			return ""
		}
	}
	return fmt.Sprintf("no denial with %q among %v", parts, w.Problems())
}

// Nobody has to start kconfd anew when a permission comes.
func TestGrantedLater(t *testing.T) {
	t.Parallel()
	w := newClusterWorld(t)
	w.put(t, slice(w, "web", "10.0.0.1"))
	var log logBook
	watcher := w.watcherOf(t, "alice", &log)
	start(t, watcher)
	p := addressesPage(watcher, "web")
	p.look()
	poll(t, func() string { p.look(); return deniedWith(watcher, []string{`"alice"`, w.own}) })
	p.awaitErr(t, `waiting for endpoints of service "web" in namespace "`+w.own+`"`)
	poll(t, func() string {
		if len(log.lines("level=WARN", "watch failing")) == 0 {
			return "no warning"
		}
		return ""
	})
	w.grant(t, "alice", `[{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}]`)
	granted := time.Now()
	p.awaitGot(t, []string{"10.0.0.1"})
	t.Logf("complete %s after the grant", time.Since(granted).Round(time.Millisecond))
	if problems := watcher.Problems(); len(problems) > 0 {
		t.Errorf("problems that are over: %v", problems)
	}
	if len(log.lines("level=INFO", "watch working again")) != 1 {
		t.Errorf("nothing says that it is over:\n%s", &log)
	}
}

// Without the right to ask, a namespace is taken to exist.
func TestNamespaceThatMayNotBeAskedFor(t *testing.T) {
	t.Parallel()
	w := newClusterWorld(t)
	w.put(t, objects(t, w.own, `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: NS}
rules: [{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: NS}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: bob}]`)...)
	watcher := w.watcherOf(t, "bob", &logBook{})
	start(t, watcher)
	p := addressesPage(watcher, "web", w.own+"-nowhere")
	p.awaitGot(t, nil)
}

// Asking again and again for a namespace leaves nothing open on the server.
func TestMissingNamespaceIsAskedForByOneWatch(t *testing.T) {
	t.Parallel()
	w := newClusterWorld(t)
	watcher := w.watcher(t)
	recorder := recordRequests(watcher)
	start(t, watcher)
	addressesPage(watcher, "web", w.own+"-nowhere").look()
	poll(t, func() string {
		open := 0
		for _, n := range recorder.watching() {
			open += n
		}
		if open > 1 {
			t.Fatalf("%d watches are open", open)
		}
		if asked := recorder.count("GET /api/v1/namespaces/" + w.own + "-nowhere"); asked < 6 {
			return fmt.Sprintf("asked %d times", asked)
		}
		return ""
	})
}

const definitionYAML = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]ss.NS.example.com}
spec:
  group: NS.example.com
  scope: %[2]s
  names: {kind: %[3]s, plural: %[1]ss, singular: %[1]s}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}`

func customYAML(kind, namespace, name, color string) string {
	return fmt.Sprintf(`{apiVersion: NS.example.com/v1, kind: %s, metadata: {%s name: %s}, spec: {color: %s}}`, kind, namespace, name, color)
}

// A custom resource may be defined after kconfd has started, and be of the
// cluster or of a namespace.
func TestCustomResources(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ scope, namespace string }{
		"of a namespace": {"Namespaced", "NS"},
		"of the cluster": {"Cluster", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newClusterWorld(t)
			namespace := strings.ReplaceAll(test.namespace, "NS", w.own)
			watcher := w.watcher(t)
			start(t, watcher)
			p := newPage(watcher, func(r *Reader) (string, error) {
				o, err := r.lookup(w.own+".example.com/v1", "Thing", namespace, "one")
				spec, _ := o["spec"].(map[string]any)
				return fmt.Sprint(spec["color"]), err
			})
			poll(t, func() string {
				p.look()
				if problems := fmt.Sprint(watcher.Problems()); !strings.Contains(problems, "the server knows no Thing in "+w.own+".example.com/v1") {
					return problems
				}
				return ""
			})
			p.awaitErr(t, `waiting for Thing "one"`)

			w.put(t, object(t, w.own, fmt.Sprintf(definitionYAML, "thing", test.scope, "Thing")))
			w.awaitServed(t, schema.GroupVersionResource{Group: w.own + ".example.com", Version: "v1", Resource: "things"})
			inNamespace := ""
			if namespace != "" {
				inNamespace = "namespace: NS,"
			}
			w.put(t, object(t, w.own, customYAML("Thing", inNamespace, "one", "red")))
			p.awaitGot(t, "red")
			w.put(t, object(t, w.own, customYAML("Thing", inNamespace, "one", "blue")))
			p.awaitGot(t, "blue")
		})
	}
}

// What was known stays known while the server is away; what was never known
// stays unknown; and both go on by themselves.
func TestServerStoppedAndStarted(t *testing.T) {
	w := newClusterWorld(t)
	w.put(t, slice(w, "web", "10.0.0.1"))
	var log logBook
	synced, late := w.watcherOf(t, kube.Admin, &log), w.watcher(t)
	start(t, synced)
	known := addressesPage(synced, "web")
	known.awaitGot(t, []string{"10.0.0.1"})

	theCluster.Use(t, func(c *kube.Cluster) { c.StopAPIServer(t) })
	start(t, late)
	unknown := addressesPage(late, "web")
	poll(t, func() string {
		unknown.look()
		return problemWith(late, `endpoints of service "web"`, "connection refused")
	})
	var incomplete *IncompleteError
	if !errors.As(unknown.err, &incomplete) {
		t.Errorf("with the server away from the start: got %v, %v, want an IncompleteError", unknown.got, unknown.err)
	}
	poll(t, func() string { return problemWith(synced, `endpoints of service "web"`, "connection refused") })
	synced.View(known.run)
	if d := diff([]string{"10.0.0.1"}, known.got); known.err != nil || d != "" {
		t.Errorf("with the server away: %v\n%s", known.err, d)
	}
	if s := synced.Status()[0]; s.Healthy(time.Now()) || !s.Listed {
		t.Errorf("with the server away: %+v", s)
	}

	theCluster.Use(t, func(c *kube.Cluster) { c.StartAPIServer(t) })
	started := time.Now()
	w.put(t, slice(w, "web", "10.0.0.1", "10.0.0.2"))
	known.awaitGot(t, []string{"10.0.0.1", "10.0.0.2"})
	unknown.awaitGot(t, []string{"10.0.0.1", "10.0.0.2"})
	took := time.Since(started)
	t.Logf("both go by what changed %s after the server was ready", took.Round(time.Millisecond))
	if took > 10*time.Second {
		t.Errorf("that took %s, want seconds", took)
	}
	poll(t, func() string { return unhealthy(synced) + unhealthy(late) })
	// The server that was started does not know what came before.
	t.Run("and where a watch was is too long ago", func(t *testing.T) { testWatchGoesOn(t, true) })
}

func problemWith(w *Watcher, parts ...string) string {
	for _, problem := range w.Problems() {
		if containsAll(problem.Error(), parts) {
			return ""
		}
	}
	return fmt.Sprintf("no problem with %q among %v", parts, w.Problems())
}

// unhealthy says which watches are.
func unhealthy(w *Watcher) string {
	var all []string
	for _, s := range w.Status() {
		if !s.Healthy(time.Now()) {
			all = append(all, fmt.Sprintf("%s: %v", s.Watch, s.Err))
		}
	}
	return strings.Join(all, "\n")
}

// A server that hangs, and says nothing, is noticed as well.
func TestServerPaused(t *testing.T) {
	w := newClusterWorld(t)
	w.put(t, slice(w, "web", "10.0.0.1"))
	// The health of a connection is probed after half a minute of silence; that
	// is read from the environment when the connection is made.
	t.Setenv("HTTP2_READ_IDLE_TIMEOUT_SECONDS", "1")
	t.Setenv("HTTP2_PING_TIMEOUT_SECONDS", "1")
	watcher := watcherWith(t, w.kubeconfigFor(t, w.cluster.URL(), "localhost"), &logBook{})
	start(t, watcher)
	p := addressesPage(watcher, "web")
	p.awaitGot(t, []string{"10.0.0.1"})

	resume := sync.OnceFunc(func() { theCluster.Use(t, func(c *kube.Cluster) { c.ResumeAPIServer(t) }) })
	defer resume()
	theCluster.Use(t, func(c *kube.Cluster) { c.PauseAPIServer(t) })
	paused := time.Now()
	poll(t, func() string {
		if unhealthy(watcher) == "" {
			return "called healthy while the server hangs"
		}
		return ""
	})
	t.Logf("unhealthy after %s: %s", time.Since(paused).Round(time.Millisecond), unhealthy(watcher))
	watcher.View(p.run)
	if d := diff([]string{"10.0.0.1"}, p.got); p.err != nil || d != "" {
		t.Errorf("while the server hangs: %v\n%s", p.err, d)
	}

	resume()
	resumed := time.Now()
	w.put(t, slice(w, "web", "10.0.0.2"))
	p.awaitGot(t, []string{"10.0.0.2"})
	poll(t, func() string { return unhealthy(watcher) })
	t.Logf("healthy and up to date %s after the server went on", time.Since(resumed).Round(time.Millisecond))

	// One that hangs may also be killed, and another one started.
	theCluster.Use(t, func(c *kube.Cluster) {
		c.PauseAPIServer(t)
		c.KillAPIServer(t)
		c.StartAPIServer(t)
	})
	started := time.Now()
	w.put(t, slice(w, "web", "10.0.0.3"))
	p.awaitGot(t, []string{"10.0.0.3"})
	took := time.Since(started)
	t.Logf("up to date %s after another server was ready", took.Round(time.Millisecond))
	if took > 10*time.Second {
		t.Errorf("that took %s, want seconds", took)
	}
}

// A line is a connection to the server that the test can cut, or freeze.
type line struct {
	listener net.Listener
	server   string

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
	thaw  chan struct{} // closed when what is frozen moves again; nil when nothing is
}

func newLine(t *testing.T, server string) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{listener: listener, server: strings.TrimPrefix(server, "https://"), conns: map[net.Conn]bool{}}
	go l.serve() // until the listener is closed
	t.Cleanup(func() {
		listener.Close()
		l.freeze(false)
		l.setCut(true)
	})
	return l
}

func (l *line) url() string { return "https://" + l.listener.Addr().String() }

func (l *line) serve() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return
		}
		onward, err := net.Dial("tcp", l.server)
		if err != nil || !l.join(conn, onward) {
			conn.Close()
			continue
		}
		go l.pipe(onward, conn) // both until either is closed
		go l.pipe(conn, onward)
	}
}

func (l *line) pipe(to, from net.Conn) {
	_, _ = io.Copy(to, &frozen{from, l})
	to.Close()
	from.Close()
}

// frozen is what comes along a line, but for the time in which nothing does.
type frozen struct {
	net.Conn
	line *line
}

func (f *frozen) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	f.line.mu.Lock()
	thaw := f.line.thaw
	f.line.mu.Unlock()
	if thaw != nil {
		<-thaw
	}
	return n, err
}

// freeze lets nothing pass any more, and ends no connection, or lets go on
// what is frozen.
func (l *line) freeze(freeze bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.thaw != nil {
		close(l.thaw)
		l.thaw = nil
	}
	if freeze {
		l.thaw = make(chan struct{})
	}
}

// join notes the connections unless the line is cut.
func (l *line) join(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		if l.cut {
			c.Close()
			continue
		}
		l.conns[c] = true
	}
	return !l.cut
}

func (l *line) setCut(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	for c := range l.conns {
		if cut {
			c.Close()
			delete(l.conns, c)
		}
	}
}

// What changed while the server could not be reached is there seconds after it
// can.
func TestChangesWhileCutOff(t *testing.T) {
	t.Parallel()
	w := newClusterWorld(t)
	w.put(t, slice(w, "web", "10.0.0.1"), slice(w, "db", "10.0.0.9"))
	l := newLine(t, w.cluster.URL())
	watcher := watcherWith(t, w.kubeconfigFor(t, l.url(), ""), &logBook{})
	start(t, watcher)
	web, db := addressesPage(watcher, "web"), addressesPage(watcher, "db")
	watcher.View(func(v *View) { web.run(v); db.run(v) })
	web.awaitGot(t, []string{"10.0.0.1"})
	db.awaitGot(t, []string{"10.0.0.9"})
	runs := db.runs

	l.setCut(true)
	poll(t, func() string { return problemWith(watcher, "all EndpointSlices") })
	w.put(t, slice(w, "web", "10.0.0.2", "10.0.0.3"))
	watcher.View(web.run)
	if d := diff([]string{"10.0.0.1"}, web.got); web.err != nil || d != "" {
		t.Errorf("while cut off: %v\n%s", web.err, d)
	}
	l.setCut(false)
	mended := time.Now()
	web.awaitGot(t, []string{"10.0.0.2", "10.0.0.3"})
	t.Logf("up to date %s after the line was mended", time.Since(mended).Round(time.Millisecond))
	if took := time.Since(mended); took > 10*time.Second {
		t.Errorf("that took %s, want seconds", took)
	}
	poll(t, func() string { return unhealthy(watcher) })
	if db.look(); db.runs != runs {
		t.Error("what did not change while cut off was taken for changed")
	}
}

// A watcher that waits for a server to come back ends at once when told to.
func TestRunEndsWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	w := newClusterWorld(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	watcher := watcherWith(t, w.kubeconfigFor(t, "https://"+closed.Addr().String(), ""), &logBook{})
	recorder := recordRequests(watcher)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- watcher.Run(ctx) }() // until cancel
	addressesPage(watcher, "web").look()
	// By the fifth time, it has just begun to wait for seconds.
	request := "WATCH /apis/discovery.k8s.io/v1/namespaces/" + w.own + "/endpointslices labelSelector=kubernetes.io/service-name=web"
	poll(t, func() string {
		if n := recorder.count(request); n < 5 {
			return fmt.Sprintf("asked %d times", n)
		}
		return problemWith(watcher, "connection refused")
	})
	cancel()
	told := time.Now()
	if err := <-done; err != nil {
		t.Errorf("Run returned %v", err)
	}
	if took := time.Since(told); took > time.Second {
		t.Errorf("Run returned after %s, want at once", took)
	}
}

func TestNewClusterRefusesBadKubeconfigs(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		writeFile(t, filepath.Join(dir, name), content)
		return filepath.Join(dir, name)
	}
	good := write("good", `
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: x}}]
contexts: [{name: here, context: {cluster: c, user: u, namespace: shop}}, {name: there, context: {cluster: c, user: u}}]
current-context: here`)
	tests := map[string]struct {
		cluster Cluster
		env     string
		want    string // namespace
		err     []string
	}{
		"the context's namespace":     {cluster: Cluster{Kubeconfig: good}, want: "shop"},
		"a context without one":       {cluster: Cluster{Kubeconfig: good, Context: "there"}, want: "default"},
		"the pod's":                   {cluster: Cluster{Kubeconfig: good}, env: "pod", want: "pod"},
		"one that is given":           {cluster: Cluster{Kubeconfig: good, Namespace: "given"}, env: "pod", want: "given"},
		"a file that is missing":      {cluster: Cluster{Kubeconfig: dir + "/none"}, err: []string{"reading kubeconfig", dir + "/none", "no such file"}},
		"a file that is no YAML":      {cluster: Cluster{Kubeconfig: write("bad", "a: [")}, err: []string{"reading kubeconfig", dir + "/bad", "yaml: line 1"}},
		"a context that is missing":   {cluster: Cluster{Kubeconfig: good, Context: "nowhere"}, err: []string{"reading kubeconfig", good, `"nowhere" does not exist`}},
		"a file that says nothing":    {cluster: Cluster{Kubeconfig: write("empty", "{}")}, err: []string{"reading kubeconfig", dir + "/empty"}},
		"a certificate that is none":  {cluster: Cluster{Kubeconfig: write("ca", strings.Replace(mustRead(t, good), "server:", "certificate-authority-data: AAAA, server:", 1))}, err: []string{"connecting to https://127.0.0.1:1"}},
		"a directory, not a file":     {cluster: Cluster{Kubeconfig: dir}, err: []string{"reading kubeconfig", "is a directory"}},
		"a file that may not be read": {cluster: Cluster{Kubeconfig: good + "/below"}, err: []string{"reading kubeconfig", "not a directory"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("POD_NAMESPACE", test.env)
			w, err := NewCluster(test.cluster, (&logBook{}).logger())
			if len(test.err) > 0 {
				if err == nil || !containsAll(err.Error(), test.err) {
					t.Errorf("got error %v, want one with %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := w.Namespace(); got != test.want {
				t.Errorf("got namespace %q, want %q", got, test.want)
			}
		})
	}
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// The scheme has the typed kinds, and nothing else: that is what it costs.
func TestSchemeIsSmall(t *testing.T) {
	want := map[string]bool{}
	for name := range kinds() {
		want[name], want[name+"List"] = true, true
	}
	got := map[string]bool{}
	for gvk := range newScheme().AllKnownTypes() {
		k, ok := kinds()[strings.TrimSuffix(gvk.Kind, "List")]
		if ok && k.gv == gvk.GroupVersion() {
			got[gvk.Kind] = true
		} else if !slices.Contains(bookkeepingKinds(), gvk.Kind) {
			t.Errorf("the scheme has a %s", gvk)
		}
	}
	if !maps.Equal(want, got) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// bookkeepingKinds are those that every API group has.
func bookkeepingKinds() []string {
	return []string{
		"WatchEvent", "ListOptions", "GetOptions", "DeleteOptions", "CreateOptions", "UpdateOptions", "PatchOptions",
		"Status", "APIVersions", "APIGroupList", "APIGroup", "APIResourceList",
	}
}
