package watcher

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/template"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	kube "github.com/kconfd/kconfd/test/cluster"
)

// What holds wherever objects come from.
func TestBehaviour(t *testing.T) {
	inBothWorlds(t, map[string]func(*testing.T, world){
		"nothing is known before it is listed":              testUnknown,
		"what is empty is known to be":                      testEmpty,
		"changes arrive":                                    testChanges,
		"an absent object is awaited":                       testAbsent,
		"a namespace that does not exist is not empty":      testNoNamespace,
		"a branch brings its watch and ends it":             testBranch,
		"a closed reader ends its watches":                  testClose,
		"a second service widens the watch":                 testWiden,
		"what no view has makes no poke":                    testNoise,
		"a change is for its readers alone":                 testOnlyItsReaders,
		"a selection changes with what it selects":          testSelectionChanges,
		"lookup gives objects":                              testLookup,
		"lookup gives lists":                                testLookupLists,
		"lookup waits for nothing that does not exist":      testLookupAbsent,
		"selections are sorted":                             testSelections,
		"the values of Secrets are known to be secret":      testSecrets,
		"what templates are given is theirs":                testCopies,
		"every function works in a template":                testTemplate,
		"wrong arguments are errors and start no watch":     testArguments,
		"status says what each watch holds":                 testStatus,
		"what several readers read is of one moment":        testOneMoment,
		"the endpoints of a service are the function's own": testServiceEndpoints,
	})
}

func addressesOf(endpoints []*Endpoint) []string {
	var all []string
	for _, e := range endpoints {
		all = append(all, e.Address)
	}
	return all
}

// addressesPage is one that shows addresses alone.
func addressesPage(w *Watcher, service string, namespace ...string) *page[[]string] {
	return newPage(w, func(r *Reader) ([]string, error) {
		endpoints, err := r.endpointsOf(service, namespace...)
		return addressesOf(endpoints), err
	})
}

func slice(w world, service string, addresses ...string) *discoveryv1.EndpointSlice {
	return kube.Slice(w.namespace(), service, service, addresses...)
}

// Nothing may be written from a list that has not come yet.
func testUnknown(t *testing.T, w world) {
	w.put(t, slice(w, "web", "10.0.0.1"), object(t, w.namespace(), `{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {a: "1"}}`))
	watcher := w.watcher(t)
	p := newPage(watcher, func(r *Reader) (int, error) {
		settings, err := r.configMap("settings")
		if err != nil {
			return 0, err
		}
		endpoints, err := r.endpointsOf("web")
		return len(endpoints) + len(settings), err
	})
	p.look()
	var incomplete *IncompleteError
	if !errors.As(p.err, &incomplete) {
		t.Fatalf("before anything is watched: got %v, want an IncompleteError", p.err)
	}
	want := []Dependency{
		{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice", Namespace: w.namespace(), Name: "web"},
		{APIVersion: "v1", Kind: "ConfigMap", Namespace: w.namespace(), Name: "settings"},
	}
	if d := diff(want, incomplete.Pending); d != "" {
		t.Errorf("one run should find all that it reads (-want +got):\n%s", d)
	}
	if p.stale() {
		t.Error("another run before anything is listed could not come out differently")
	}
	start(t, watcher)
	p.await(t, func() string {
		if p.err == nil && p.got != 2 {
			t.Fatalf("a run was called complete with %d of 2", p.got)
		}
		return errorText(p.err)
	})
	if p.runs > 3 {
		t.Errorf("%d runs for two lists", p.runs)
	}
	if d := diff(want, p.reader.Dependencies()); d != "" {
		t.Errorf("dependencies of the reader (-want +got):\n%s", d)
	}
}

func testEmpty(t *testing.T, w world) {
	// A namespace without any object would not exist in manifests, unless it
	// is the default one.
	watcher := w.watcher(t)
	start(t, watcher)
	p := newPage(watcher, func(r *Reader) (int, error) {
		endpoints, err := r.endpointsOf("web")
		if err != nil {
			return 0, err
		}
		pods, err := r.pods("app=web")
		return len(endpoints) + len(pods), err
	})
	p.await(t, func() string { return errorText(p.err) })
	if p.got != 0 || len(watcher.Problems()) != 0 {
		t.Errorf("got %d objects, problems %v", p.got, watcher.Problems())
	}
}

func testChanges(t *testing.T, w world) {
	watcher := w.watcher(t)
	start(t, watcher)
	p := addressesPage(watcher, "web")
	p.awaitGot(t, nil)
	for _, want := range [][]string{{"10.0.0.1"}, {"10.0.0.1", "10.0.0.2"}, {"10.0.0.7"}, nil} {
		w.put(t, slice(w, "web", want...))
		p.awaitGot(t, want)
	}
	w.put(t, slice(w, "web", "10.0.0.9"))
	p.awaitGot(t, []string{"10.0.0.9"})
	w.remove(t, slice(w, "web"))
	p.awaitGot(t, nil)
}

func testAbsent(t *testing.T, w world) {
	ns := w.namespace()
	tests := map[string]struct {
		read   func(*Reader) (any, error)
		object string
		what   string
	}{
		"service": {
			func(r *Reader) (any, error) { return r.service("x") },
			`{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {clusterIP: None, ports: [{port: 80}]}}`,
			`Service "x" in namespace "` + ns + `"`,
		},
		"pod": {
			func(r *Reader) (any, error) { return r.pod("x", ns) },
			`{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: x, image: x}]}}`,
			`Pod "x" in namespace "` + ns + `"`,
		},
		"node": {
			func(r *Reader) (any, error) { return r.node(ns + "-x") },
			`{apiVersion: v1, kind: Node, metadata: {name: NS-x}}`,
			`Node "` + ns + `-x"`,
		},
		"statefulSet": {
			func(r *Reader) (any, error) { return r.statefulSet("x") },
			`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: x}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: x, image: x}]}}}}`,
			`StatefulSet "x" in namespace "` + ns + `"`,
		},
		"configMap": {
			func(r *Reader) (any, error) { return r.configMap("x") },
			`{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}`,
			`ConfigMap "x" in namespace "` + ns + `"`,
		},
		"secret": {
			func(r *Reader) (any, error) { return r.secret("x") },
			`{apiVersion: v1, kind: Secret, metadata: {name: x}}`,
			`Secret "x" in namespace "` + ns + `"`,
		},
	}
	watcher := w.watcher(t)
	start(t, watcher)
	for name, test := range tests {
		p := newPage(watcher, test.read)
		p.awaitErr(t, "does not exist")
		var absent *AbsentError
		if !errors.As(p.err, &absent) || absent.What != test.what {
			t.Errorf("%s: got %v, want an AbsentError with %s", name, p.err, test.what)
		}
		if p.stale() {
			t.Errorf("%s: nothing has changed, and the run is to be repeated", name)
		}
		o := object(t, ns, test.object)
		w.put(t, o)
		p.await(t, func() string { return errorText(p.err) })
		w.remove(t, o)
		p.awaitErr(t, test.what+" does not exist")
	}
}

// A server lists a namespace that does not exist as empty.
func testNoNamespace(t *testing.T, w world) {
	watcher := w.watcher(t)
	start(t, watcher)
	later := w.namespace() + "-later"
	p := addressesPage(watcher, "web", later)
	p.look()
	poll(t, func() string {
		p.look()
		if p.err == nil {
			t.Fatalf("got %v of a namespace that does not exist", p.got)
		}
		for _, problem := range watcher.Problems() {
			if errors.Is(problem, ErrNoNamespace) && strings.Contains(problem.Error(), fmt.Sprintf("%q", later)) {
				return ""
			}
		}
		return fmt.Sprintf("no problem says that there is no namespace %q: %v", later, watcher.Problems())
	})
	p.awaitErr(t, `waiting for endpoints of service "web" in namespace "`+later+`"`)

	w.put(t, object(t, later, `{apiVersion: v1, kind: Namespace, metadata: {name: NS}}`))
	p.awaitGot(t, nil)
	w.put(t, kube.Slice(later, "web", "web", "10.0.0.1"))
	p.awaitGot(t, []string{"10.0.0.1"})
	if problems := watcher.Problems(); len(problems) > 0 {
		t.Errorf("problems that are over: %v", problems)
	}
}

const settingsYAML = `{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {service: %q}}`

// chosen reads the endpoints of the service that a ConfigMap names.
func chosen(r *Reader) ([]string, error) {
	settings, err := r.configMap("settings")
	if err != nil || settings["service"] == "" {
		return nil, err
	}
	endpoints, err := r.endpointsOf(settings["service"])
	return addressesOf(endpoints), err
}

func testBranch(t *testing.T, w world) {
	ns := w.namespace()
	choose := func(service string) { w.put(t, object(t, ns, fmt.Sprintf(settingsYAML, service))) }
	settings := `ConfigMap "settings" in namespace "` + ns + `"`
	web := `endpoints of service "web" in namespace "` + ns + `"`

	w.put(t, slice(w, "web", "10.0.0.1"))
	choose("")
	watcher := w.watcher(t)
	watcher.grace = 20 * time.Millisecond
	start(t, watcher)
	p := newPage(watcher, chosen)
	p.awaitGot(t, nil)
	awaitWatches(t, watcher, settings)

	choose("web")
	p.awaitGot(t, []string{"10.0.0.1"})
	awaitWatches(t, watcher, web, settings)

	choose("")
	p.awaitGot(t, nil)
	awaitWatches(t, watcher, settings)
	w.put(t, slice(w, "web", "10.0.0.2"))
	choose("web")
	p.awaitGot(t, []string{"10.0.0.2"})
}

func testClose(t *testing.T, w world) {
	w.put(t, slice(w, "web", "10.0.0.1"), slice(w, "db", "10.0.0.2"))
	watcher := w.watcher(t)
	watcher.grace = 20 * time.Millisecond
	start(t, watcher)
	stays, goes := addressesPage(watcher, "web"), newPage(watcher, func(r *Reader) (int, error) {
		pods, err := r.pods("")
		return len(pods), err
	})
	stays.awaitGot(t, []string{"10.0.0.1"})
	goes.awaitGot(t, 0)
	awaitWatches(t, watcher, `endpoints of service "web" in namespace "`+w.namespace()+`"`, `all Pods in namespace "`+w.namespace()+`"`)
	goes.reader.Close()
	awaitWatches(t, watcher, `endpoints of service "web" in namespace "`+w.namespace()+`"`)
	w.put(t, slice(w, "web", "10.0.0.3"))
	stays.awaitGot(t, []string{"10.0.0.3"})
}

// While one watch takes the place of another, the first answers: there is no
// moment in which what was known is not.
func testWiden(t *testing.T, w world) {
	ns := w.namespace()
	w.put(t, slice(w, "web", "10.0.0.1"), slice(w, "db", "10.0.0.2"))
	watcher := w.watcher(t)
	watcher.grace = 20 * time.Millisecond
	start(t, watcher)
	web, db := addressesPage(watcher, "web"), addressesPage(watcher, "db")
	web.awaitGot(t, []string{"10.0.0.1"})
	awaitWatches(t, watcher, `endpoints of service "web" in namespace "`+ns+`"`)

	holds := func() {
		t.Helper()
		web.look()
		if d := diff([]string{"10.0.0.1"}, web.got); web.err != nil || d != "" {
			t.Fatalf("in between: %v\n%s", web.err, d)
		}
	}
	db.await(t, func() string { holds(); return errorText(db.err) })
	poll(t, func() string {
		holds()
		return diff([]string{`all EndpointSlices in namespace "` + ns + `"`}, watches(watcher))
	})

	db.reader.Close()
	poll(t, func() string {
		holds()
		return diff([]string{`endpoints of service "web" in namespace "` + ns + `"`}, watches(watcher))
	})
	w.put(t, slice(w, "web", "10.0.0.3"))
	web.awaitGot(t, []string{"10.0.0.3"})
}

// A noiseCase is an object, a change that no view shows, and one that does.
type noiseCase struct {
	object, noise, news string
	read                func(*Reader, string) (any, error)
}

func noiseCases() map[string]noiseCase {
	return map[string]noiseCase{
		"pod": {
			`{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: x, image: x}]}, status: {phase: Running}}`,
			`{apiVersion: v1, kind: Pod, metadata: {name: x, resourceVersion: "2", annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}}, spec: {containers: [{name: x, image: other}]}, status: {phase: Running, startTime: "2026-01-02T03:04:05Z", conditions: [{type: Initialized, status: "True"}]}}`,
			`{apiVersion: v1, kind: Pod, metadata: {name: x, resourceVersion: "3"}, spec: {containers: [{name: x, image: x}]}, status: {phase: Succeeded}}`,
			func(r *Reader, _ string) (any, error) { return r.pod("x") },
		},
		"node": {
			`{apiVersion: v1, kind: Node, metadata: {name: NS-x}}`,
			`{apiVersion: v1, kind: Node, metadata: {name: NS-x, resourceVersion: "2"}, spec: {podCIDR: 10.7.0.0/24}, status: {conditions: [{type: MemoryPressure, status: "False"}], images: [{names: [x]}]}}`,
			`{apiVersion: v1, kind: Node, metadata: {name: NS-x, resourceVersion: "3"}, spec: {podCIDR: 10.7.0.0/24}, status: {conditions: [{type: Ready, status: "True"}]}}`,
			func(r *Reader, ns string) (any, error) { return r.node(ns + "-x") },
		},
		"endpoints": {
			`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: x, labels: {kubernetes.io/service-name: x}}, addressType: IPv4, endpoints: [{addresses: [10.0.0.1]}]}`,
			`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: x, resourceVersion: "2", annotations: {endpoints.kubernetes.io/last-change-trigger-time: now}, labels: {kubernetes.io/service-name: x, more: labels}}, addressType: IPv4, endpoints: [{addresses: [10.0.0.1], deprecatedTopology: {a: b}}]}`,
			`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: x, resourceVersion: "3", labels: {kubernetes.io/service-name: x}}, addressType: IPv4, endpoints: [{addresses: [10.0.0.2]}]}`,
			func(r *Reader, _ string) (any, error) { return r.endpointsOf("x") },
		},
		"service": {
			`{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {clusterIP: None, ports: [{port: 80}]}}`,
			`{apiVersion: v1, kind: Service, metadata: {name: x, resourceVersion: "2", annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}}, spec: {clusterIP: None, publishNotReadyAddresses: true, ports: [{port: 80}]}}`,
			`{apiVersion: v1, kind: Service, metadata: {name: x, resourceVersion: "3"}, spec: {clusterIP: None, ports: [{port: 81}]}}`,
			func(r *Reader, _ string) (any, error) { return r.service("x") },
		},
		"stateful set": {
			`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: x}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: x, image: x}]}}}}`,
			`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: x, resourceVersion: "2"}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: x, image: other}]}}}, status: {replicas: 1, currentReplicas: 1}}`,
			`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: x, resourceVersion: "3"}, spec: {replicas: 2, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: x, image: other}]}}}}`,
			func(r *Reader, _ string) (any, error) { return r.statefulSet("x") },
		},
		"config map": {
			`{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {a: "1"}}`,
			`{apiVersion: v1, kind: ConfigMap, metadata: {name: x, resourceVersion: "2", labels: {a: b}, annotations: {a: b}}, data: {a: "1"}}`,
			`{apiVersion: v1, kind: ConfigMap, metadata: {name: x, resourceVersion: "3"}, data: {a: "2"}}`,
			func(r *Reader, _ string) (any, error) { return r.configMap("x") },
		},
		"secret": {
			`{apiVersion: v1, kind: Secret, metadata: {name: x}, data: {a: MQ==}}`,
			`{apiVersion: v1, kind: Secret, metadata: {name: x, resourceVersion: "2", labels: {a: b}, annotations: {a: b}}, data: {a: MQ==}}`,
			`{apiVersion: v1, kind: Secret, metadata: {name: x, resourceVersion: "3"}, data: {a: Mg==}}`,
			func(r *Reader, _ string) (any, error) { return r.secret("x") },
		},
		"object of lookup": {
			`{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: x, labels: {a: b}}, spec: {holderIdentity: a}}`,
			`{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: x, resourceVersion: "2", labels: {a: b}}, spec: {holderIdentity: a}}`,
			`{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: x, resourceVersion: "3", labels: {a: b}}, spec: {holderIdentity: b}}`,
			func(r *Reader, ns string) (any, error) { return r.lookup("coordination.k8s.io/v1", "Lease", ns, "x") },
		},
	}
}

// Most writes in a cluster are of no concern to a configuration file.
func testNoise(t *testing.T, w world) {
	for name, c := range noiseCases() {
		before, noise := object(t, w.namespace(), c.object), object(t, w.namespace(), c.noise)
		w.put(t, before)
		watcher := w.watcher(t)
		start(t, watcher)
		p := newPage(watcher, func(r *Reader) (any, error) { return c.read(r, w.namespace()) })
		p.await(t, func() string { return errorText(p.err) })
		awaitVersion(t, w, watcher, before)
		poked(watcher)
		p.look()
		runs := p.runs

		w.put(t, noise)
		if on, ok := w.(*clusterWorld); ok {
			on.touch(t, noise)
		}
		awaitVersion(t, w, watcher, noise)
		if poked(watcher) || p.stale() {
			t.Errorf("%s: stirred by what no view has", name)
		}
		w.put(t, object(t, w.namespace(), c.news))
		p.await(t, func() string {
			if p.runs == runs {
				return name + ": not stirred by what a view has"
			}
			return ""
		})
	}
}

// awaitVersion waits until the watcher has the object as it was last written.
func awaitVersion(t *testing.T, w world, watcher *Watcher, o *unstructured.Unstructured) {
	t.Helper()
	want := o.GetResourceVersion()
	if on, ok := w.(*clusterWorld); ok {
		want = on.resourceVersion(t, o)
	}
	poll(t, func() string {
		watcher.mu.Lock()
		defer watcher.mu.Unlock()
		for _, f := range watcher.feeds {
			for _, r := range f.records {
				if f.key.gvk == o.GroupVersionKind() && r.Name == o.GetName() && r.ResourceVersion == want {
					return ""
				}
			}
		}
		return fmt.Sprintf("%s %q has not come in version %q", o.GetKind(), o.GetName(), want)
	})
}

// A kindCase makes objects of a kind that are watched together.
type kindCase struct {
	object func(name, value string) string
	read   func(r *Reader, namespace, name string) (any, error)
}

func kindCases() map[string]kindCase {
	return map[string]kindCase{
		"pods": {
			func(name, value string) string {
				return fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s, labels: {v: %s}}, spec: {containers: [{name: x, image: x}]}}`, name, value)
			},
			func(r *Reader, _, name string) (any, error) { return r.pod(name) },
		},
		"nodes": {
			func(name, value string) string {
				return fmt.Sprintf(`{apiVersion: v1, kind: Node, metadata: {name: NS-%s, labels: {v: %s}}}`, name, value)
			},
			func(r *Reader, ns, name string) (any, error) { return r.node(ns + "-" + name) },
		},
		"services": {
			func(name, value string) string {
				return fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: %s, labels: {v: %s}}, spec: {clusterIP: None, ports: [{port: 80}]}}`, name, value)
			},
			func(r *Reader, _, name string) (any, error) { return r.service(name) },
		},
		"stateful sets": {
			func(name, value string) string {
				return fmt.Sprintf(`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: %s, labels: {v: %s}}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: x, image: x}]}}}}`, name, value)
			},
			func(r *Reader, _, name string) (any, error) { return r.statefulSet(name) },
		},
		"endpoints": {
			func(name, value string) string {
				return fmt.Sprintf(`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %s-1, labels: {kubernetes.io/service-name: %s}}, addressType: FQDN, endpoints: [{addresses: [%s.example.com]}]}`, name, name, value)
			},
			func(r *Reader, _, name string) (any, error) { return r.endpointsOf(name) },
		},
	}
}

// Which objects changed decides which templates run, also where all are in one
// watch.
func testOnlyItsReaders(t *testing.T, w world) {
	for name, c := range kindCases() {
		put := func(object_, value string) *unstructured.Unstructured {
			o := object(t, w.namespace(), c.object(object_, value))
			w.put(t, o)
			return o
		}
		a := put("a", "one")
		put("b", "one")
		watcher := w.watcher(t)
		start(t, watcher)
		page := func(of string) *page[any] {
			return newPage(watcher, func(r *Reader) (any, error) { return c.read(r, w.namespace(), of) })
		}
		ofA, ofB := page("a"), page("b")
		watcher.View(func(v *View) { // both are asked for at once: one watch
			ofA.run(v)
			ofB.run(v)
		})
		ofA.await(t, func() string { return errorText(ofA.err) })
		ofB.await(t, func() string { return errorText(ofB.err) })
		if n := len(watcher.Status()); n != 1 {
			t.Fatalf("%s: %d watches for two of a kind", name, n)
		}
		for step, change := range map[string]func(){
			"changed": func() { put("a", "two") },
			"deleted": func() { w.remove(t, a) },
		} {
			before, others := ofA.runs, ofB.runs
			change()
			ofA.await(t, func() string {
				if ofA.runs == before {
					return name + ": its reader is not stale"
				}
				return ""
			})
			if ofB.look(); ofB.runs != others {
				t.Errorf("%s: one was %s, and the reader of another was stale", name, step)
			}
			put("a", "three")
			ofA.await(t, func() string { return errorText(ofA.err) })
		}
	}
}

func podYAML(name, labels string) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s, labels: {%s}}, spec: {containers: [{name: x, image: x}]}}`, name, labels)
}

func podNamesPage(w *Watcher, selector string) *page[[]string] {
	return newPage(w, func(r *Reader) ([]string, error) {
		pods, err := r.pods(selector)
		var names []string
		for _, p := range pods {
			names = append(names, p.Name)
		}
		return names, err
	})
}

func testSelectionChanges(t *testing.T, w world) {
	ns := w.namespace()
	w.put(t, object(t, ns, podYAML("web-0", "app: web")))
	watcher := w.watcher(t)
	start(t, watcher)
	p := podNamesPage(watcher, "app=web")
	p.awaitGot(t, []string{"web-0"})
	w.put(t, object(t, ns, podYAML("web-1", "app: web")))
	p.awaitGot(t, []string{"web-0", "web-1"})
	w.put(t, object(t, ns, podYAML("web-0", "app: db"))) // no longer selected
	p.awaitGot(t, []string{"web-1"})
	w.remove(t, object(t, ns, podYAML("web-1", "")))
	p.awaitGot(t, nil)
}

func testSelections(t *testing.T, w world) {
	ns := w.namespace()
	for _, n := range []int{10, 9, 1} {
		w.put(
			t,
			object(t, ns, podYAML(fmt.Sprintf("web-%d", n), fmt.Sprintf("app: web, nr: n%d", n))),
			object(t, ns, fmt.Sprintf(`{apiVersion: v1, kind: Node, metadata: {name: NS-%d, labels: {of: NS}}}`, n)),
			object(t, ns, fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: web-%d, labels: {app: web}}, spec: {clusterIP: None, ports: [{port: 80}]}}`, n)),
		)
	}
	w.put(t, object(t, ns, podYAML("other", "")))
	watcher := w.watcher(t)
	start(t, watcher)
	for selector, want := range map[string][]string{
		"app=web":               {"web-1", "web-9", "web-10"},
		" app == web ":          {"web-1", "web-9", "web-10"},
		"app=web,nr!=n9":        {"web-1", "web-10"},
		"nr in (n9,n10)":        {"web-9", "web-10"},
		"!app":                  {"other"},
		"":                      {"other", "web-1", "web-9", "web-10"},
		"app=web,app notin (a)": {"web-1", "web-9", "web-10"},
	} {
		p := podNamesPage(watcher, selector)
		p.awaitGot(t, want)
	}
	services := newPage(watcher, func(r *Reader) (names []string, err error) {
		list, err := r.services("app=web")
		for _, s := range list {
			names = append(names, s.Name)
		}
		return names, err
	})
	services.awaitGot(t, []string{"web-1", "web-9", "web-10"})
	nodes := newPage(watcher, func(r *Reader) (names []string, err error) {
		list, err := r.nodes("of=" + ns)
		for _, n := range list {
			names = append(names, n.Name)
		}
		return names, err
	})
	nodes.awaitGot(t, []string{ns + "-1", ns + "-9", ns + "-10"})
}

func leaseYAML(name, holder string) string {
	return fmt.Sprintf(`{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {namespace: NS, name: %s}, spec: {holderIdentity: %s}}`, name, holder)
}

// holders are what the leases in a list say.
func holders(list map[string]any) []string {
	var all []string
	items, _ := list["items"].([]any)
	for _, item := range items {
		all = append(all, holder(item.(map[string]any)))
	}
	return all
}

func holder(lease map[string]any) string {
	s, _, _ := unstructured.NestedString(lease, "spec", "holderIdentity")
	return s
}

func testLookup(t *testing.T, w world) {
	ns := w.namespace()
	w.put(
		t,
		object(t, ns, leaseYAML("gate", "pxc-0")),
		object(t, ns, `{apiVersion: v1, kind: Node, metadata: {name: NS-a, labels: {of: NS}}}`),
		object(t, ns, `{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {a: "1"}}`),
	)
	watcher := w.watcher(t)
	start(t, watcher)
	gate := newPage(watcher, func(r *Reader) (string, error) {
		lease, err := r.lookup("coordination.k8s.io/v1", "Lease", ns, "gate")
		return holder(lease), err
	})
	gate.awaitGot(t, "pxc-0")
	w.put(t, object(t, ns, leaseYAML("gate", "pxc-1")))
	gate.awaitGot(t, "pxc-1")

	// Whole numbers are printed as such, large ones too.
	w.put(t, object(t, ns, `{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {namespace: NS, name: long}, spec: {leaseDurationSeconds: 2000000000}}`))
	long := newPage(watcher, func(r *Reader) (string, error) {
		lease, err := r.lookup("coordination.k8s.io/v1", "Lease", ns, "long")
		spec, _ := lease["spec"].(map[string]any)
		return fmt.Sprint(spec["leaseDurationSeconds"]), err
	})
	long.awaitGot(t, "2000000000")

	node := newPage(watcher, func(r *Reader) (string, error) {
		o, err := r.lookup("v1", "Node", "", ns+"-a")
		label, _, _ := unstructured.NestedString(o, "metadata", "labels", "of")
		return label, err
	})
	node.awaitGot(t, ns)

	// A kind that has a view of its own is given whole, as Helm gives it.
	settings := newPage(watcher, func(r *Reader) (string, error) {
		o, err := r.lookup("v1", "ConfigMap", ns, "settings")
		data, _, _ := unstructured.NestedString(o, "data", "a")
		return fmt.Sprint(o["kind"], data), err
	})
	settings.awaitGot(t, "ConfigMap1")
}

func testLookupLists(t *testing.T, w world) {
	ns := w.namespace()
	other := ns + "-other"
	w.put(t, object(t, other, `{apiVersion: v1, kind: Namespace, metadata: {name: NS}}`))
	for _, n := range []int{10, 9} {
		w.put(t, object(t, ns, leaseYAML(fmt.Sprintf("l-%d", n), fmt.Sprintf("h%d", n))))
	}
	w.put(t, object(t, other, leaseYAML("l-1", "h1")), object(t, other, leaseYAML("l-9", "elsewhere")))
	watcher := w.watcher(t)
	start(t, watcher)

	own := newPage(watcher, func(r *Reader) ([]string, error) {
		list, err := r.lookup("coordination.k8s.io/v1", "Lease", ns, "")
		if err == nil && len(list) > 0 && (list["kind"] != "LeaseList" || list["apiVersion"] != "coordination.k8s.io/v1") {
			err = fmt.Errorf("not a list of leases: %v", list)
		}
		return holders(list), err
	})
	own.awaitGot(t, []string{"h9", "h10"})
	w.remove(t, object(t, ns, leaseYAML("l-9", "h9")))
	own.awaitGot(t, []string{"h10"})

	// The cluster has leases of other tests too.
	w.put(t, object(t, ns, leaseYAML("l-11", ns+"-h11")), object(t, other, leaseYAML("l-1", ns+"-elsewhere")))
	everywhere := newPage(watcher, func(r *Reader) ([]string, error) {
		list, err := r.lookup("coordination.k8s.io/v1", "Lease", "", "")
		return slices.DeleteFunc(holders(list), func(h string) bool { return !strings.HasPrefix(h, ns) }), err
	})
	everywhere.awaitGot(t, []string{ns + "-h11", ns + "-elsewhere"})
	w.remove(t, object(t, ns, leaseYAML("l-11", "")))

	none := newPage(watcher, func(r *Reader) ([]string, error) {
		list, err := r.lookup("coordination.k8s.io/v1", "Lease", ns, "")
		return holders(list), err
	})
	w.remove(t, object(t, ns, leaseYAML("l-10", "h10")))
	none.awaitGot(t, nil)

	// The same name in two namespaces: it is always the same one that is given.
	twice := "twice-" + ns
	w.put(t, object(t, ns, leaseYAML(twice, "first")), object(t, other, leaseYAML(twice, "second")))
	for range 20 {
		twice := newPage(watcher, func(r *Reader) (string, error) {
			lease, err := r.lookup("coordination.k8s.io/v1", "Lease", "", twice)
			return holder(lease), err
		})
		twice.awaitGot(t, "first")
	}
}

func testLookupAbsent(t *testing.T, w world) {
	ns := w.namespace()
	watcher := w.watcher(t)
	start(t, watcher)
	p := newPage(watcher, func(r *Reader) (map[string]any, error) {
		return r.lookup("coordination.k8s.io/v1", "Lease", ns, "gate")
	})
	p.awaitGot(t, map[string]any{})
	if p.got == nil {
		t.Error("got nil, want an empty map")
	}
	w.put(t, object(t, ns, leaseYAML("gate", "pxc-0")))
	p.await(t, func() string {
		if holder(p.got) != "pxc-0" {
			return fmt.Sprintf("got %v", p.got)
		}
		return ""
	})
}

func testSecrets(t *testing.T, w world) {
	ns := w.namespace()
	w.put(
		t,
		object(t, ns, `{apiVersion: v1, kind: Secret, metadata: {name: one}, data: {password: czNjcmV0, user: c3N0}}`),
		object(t, ns, `{apiVersion: v1, kind: Secret, metadata: {name: two}, stringData: {token: t0ken}}`),
		object(t, ns, `{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {open: "to all"}}`),
	)
	watcher := w.watcher(t)
	start(t, watcher)
	tests := map[string]struct {
		read func(*Reader) (any, error)
		want []string
	}{
		"secret":                 {func(r *Reader) (any, error) { return r.secret("one") }, []string{"s3cret", "sst"}},
		"lookup of one":          {func(r *Reader) (any, error) { return r.lookup("v1", "Secret", ns, "two") }, []string{"t0ken"}},
		"lookup of all":          {func(r *Reader) (any, error) { return r.lookup("v1", "Secret", ns, "") }, []string{"s3cret", "sst", "t0ken"}},
		"secrets":                {func(r *Reader) (any, error) { return r.secretsOf("", ns) }, []string{"s3cret", "sst", "t0ken"}},
		"nothing that is secret": {func(r *Reader) (any, error) { return r.configMap("settings") }, nil},
	}
	for name, test := range tests {
		p := newPage(watcher, test.read)
		p.await(t, func() string { return errorText(p.err) })
		if d := diff(test.want, p.reader.Secrets()); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		if got, want := p.reader.ReadSecret(), test.want != nil; got != want {
			t.Errorf("%s: ReadSecret gave %v, want %v", name, got, want)
		}
	}
}

// A template may do to maps what it likes, as Helm's do.
func testCopies(t *testing.T, w world) {
	ns := w.namespace()
	w.put(
		t,
		object(t, ns, `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, labels: {of: x}}, data: {a: "1"}}`),
		object(t, ns, `{apiVersion: v1, kind: Secret, metadata: {name: x, labels: {of: x}}, data: {a: MQ==}}`),
	)
	watcher := w.watcher(t)
	start(t, watcher)
	vandal := newPage(watcher, func(r *Reader) (string, error) {
		settings, err := r.configMap("x")
		if err != nil {
			return "", err
		}
		secret, err := r.secret("x")
		if err != nil {
			return "", err
		}
		object, err := r.lookup("v1", "ConfigMap", ns, "x")
		if err != nil {
			return "", err
		}
		all, err := r.configMaps("of=x")
		if err != nil {
			return "", err
		}
		hidden, err := r.secretsOf("of=x")
		if err != nil {
			return "", err
		}
		data, _ := object["data"].(map[string]any)
		was := fmt.Sprint(settings["a"], secret["a"], data["a"])
		for _, selected := range all {
			was += selected.Data["a"]
			clear(selected.Data)
		}
		for _, selected := range hidden {
			was += selected.Data["a"]
			clear(selected.Data)
		}
		clear(settings)
		clear(secret)
		clear(data)
		return was, nil
	})
	vandal.awaitGot(t, "11111")
	watcher.View(vandal.run)
	if vandal.got != "11111" {
		t.Errorf("a template changed what the next one reads: got %q", vandal.got)
	}
}

// The functions have the names, arguments and results that templates use.
func testTemplate(t *testing.T, w world) {
	ns := w.namespace()
	w.put(t, slice(w, "web", "10.0.0.1", "10.0.0.2"))
	w.put(t, objects(t, ns, `
{apiVersion: v1, kind: Service, metadata: {name: web, labels: {app: web}}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web-0, labels: {app: web}}, spec: {containers: [{name: x, image: x, ports: [{name: http, containerPort: 8080}]}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: NS-a, labels: {of: NS, topology.kubernetes.io/zone: z1}}}
---
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: web}, spec: {replicas: 2, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: x, image: x}]}}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, labels: {app: web}}, data: {level: debug}}
---
{apiVersion: v1, kind: Secret, metadata: {name: sst, labels: {app: web}}, stringData: {password: s3cret}}
---
{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {namespace: NS, name: gate}, spec: {holderIdentity: web-0}}`)...)
	texts := map[string][2]string{
		"configMap":   {`{{(configMap "settings").level}}`, "debug"},
		"configMaps":  {`{{range configMaps "app=web"}}{{.Name}} {{.Labels.app}} {{.Data.level}}{{end}}`, "settings web debug"},
		"endpoints":   {`{{range endpoints "web"}}{{.Address}}:{{.Port "http"}} {{end}}`, "10.0.0.1:8080 10.0.0.2:8080 "},
		"lookup":      {`{{(lookup "coordination.k8s.io/v1" "Lease" "NS" "gate").spec.holderIdentity}}`, "web-0"},
		"node":        {`{{(node "NS-a").Zone}}`, "z1"},
		"nodes":       {`{{range nodes "of=NS"}}{{.Name}}{{end}}`, ns + "-a"},
		"pod":         {`{{(pod "web-0" "NS").Port "http"}}`, "8080"},
		"pods":        {`{{range pods "app=web" "NS"}}{{.Ordinal}}{{end}}`, "0"},
		"ready":       {`{{len (endpoints "web" "NS" | ready)}}`, "2"},
		"secret":      {`{{(secret "sst").password}}`, "s3cret"},
		"secrets":     {`{{range secrets "app=web" "NS"}}{{.}} {{.Data.password}}{{end}}`, "sst s3cret"},
		"withPort":    {`{{len (endpoints "web" | withPort "http")}} {{len (endpoints "web" | withPort 8081)}}`, "2 0"},
		"secretEnv":   {`[{{secretEnv "NOT_SET"}}]`, "[]"},
		"self":        {`{{self.Namespace}}`, ns},
		"service":     {`{{with service "web"}}{{.Port "http"}}{{range .Endpoints}} {{.Pod}}{{end}}{{end}}`, "80 web-0 web-1"},
		"services":    {`{{range services "app=web"}}{{.Name}}{{len .Endpoints}}{{end}}`, "web2"},
		"statefulSet": {`{{(statefulSet "web").PodNames}}`, "[web-0 web-1]"},
	}
	watcher := w.watcher(t)
	start(t, watcher)
	for function := range watcher.NewReader().Funcs() {
		text, ok := texts[function]
		if !ok {
			t.Errorf("no template here uses %s", function)
			continue
		}
		var parsed *template.Template
		p := newPage(watcher, func(*Reader) (string, error) {
			var b strings.Builder
			err := parsed.Execute(&b, nil)
			return b.String(), err
		})
		parsed = template.Must(template.New(function).Funcs(p.reader.Funcs()).Parse(strings.ReplaceAll(text[0], "NS", ns)))
		p.awaitGot(t, text[1])
	}
}

func testArguments(t *testing.T, w world) {
	watcher := w.watcher(t)
	start(t, watcher)
	tests := map[string]struct {
		read func(*Reader) (any, error)
		want string
	}{
		"endpoints without a name":   {func(r *Reader) (any, error) { return r.endpointsOf("") }, "the name is empty"},
		"service without a name":     {func(r *Reader) (any, error) { return r.service("") }, "the name is empty"},
		"node without a name":        {func(r *Reader) (any, error) { return r.node("") }, "the name is empty"},
		"an empty namespace":         {func(r *Reader) (any, error) { return r.endpointsOf("web", "") }, "the namespace is empty"},
		"an empty namespace of pods": {func(r *Reader) (any, error) { return r.pods("", "") }, "the namespace is empty"},
		"two namespaces":             {func(r *Reader) (any, error) { return r.secret("db", "a", "b") }, "one namespace at most, not 2"},
		"a bad selector":             {func(r *Reader) (any, error) { return r.pods("app=(") }, `label selector "app=("`},
		"lookup without a kind":      {func(r *Reader) (any, error) { return r.lookup("v1", "", "", "") }, `want an apiVersion like "apps/v1" and a kind like "Deployment", not "v1" and ""`},
		"lookup without a version":   {func(r *Reader) (any, error) { return r.lookup("", "Pod", "", "") }, `not "" and "Pod"`},
		"lookup with a bad version":  {func(r *Reader) (any, error) { return r.lookup("a/b/c", "Pod", "", "") }, `not "a/b/c" and "Pod"`},
	}
	for name, test := range tests {
		p := newPage(watcher, test.read)
		p.look()
		if p.err == nil || !strings.Contains(p.err.Error(), test.want) {
			t.Errorf("%s: got %v, want an error with %s", name, p.err, test.want)
		}
	}
	if n := watches(watcher); len(n) > 0 {
		t.Errorf("watches were started: %v", n)
	}
}

func testStatus(t *testing.T, w world) {
	w.put(t, slice(w, "web", "10.0.0.1"), object(t, w.namespace(), podYAML("a", "")), object(t, w.namespace(), podYAML("b", "")))
	watcher := w.watcher(t)
	p := newPage(watcher, func(r *Reader) (any, error) {
		if _, err := r.pods(""); err != nil {
			return nil, err
		}
		return r.endpointsOf("web")
	})
	p.look()
	for _, s := range watcher.Status() {
		if s.Listed || s.Healthy(time.Now()) {
			t.Errorf("before anything is watched: %+v", s)
		}
	}
	began := time.Now()
	start(t, watcher)
	p.await(t, func() string { return errorText(p.err) })
	want := []WatchStatus{
		{Watch: Dependency{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice", Namespace: w.namespace(), Name: "web"}, Listed: true, Objects: 1},
		{Watch: Dependency{APIVersion: "v1", Kind: "Pod", Namespace: w.namespace()}, Listed: true, Objects: 2},
	}
	got := watcher.Status()
	for i := range got {
		if now := time.Now(); got[i].Progress.Before(began) || got[i].Progress.After(now) || !got[i].Healthy(now) {
			t.Errorf("%s: progress at %s, healthy %v", got[i].Watch, got[i].Progress, got[i].Healthy(now))
		}
		got[i].Progress = time.Time{}
	}
	if d := diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// Two templates that are run together agree on what there is.
func testOneMoment(t *testing.T, w world) {
	w.put(t, slice(w, "web", "10.0.0.0"))
	watcher := w.watcher(t)
	start(t, watcher)
	one, two := addressesPage(watcher, "web"), addressesPage(watcher, "web")
	one.awaitGot(t, []string{"10.0.0.0"})
	two.awaitGot(t, []string{"10.0.0.0"})
	done := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() { // until done
		for {
			select {
			case <-done:
				return
			case <-watcher.Changed():
			}
			watcher.View(func(v *View) {
				one.run(v)
				two.run(v)
			})
			if d := diff(one.got, two.got); d != "" {
				t.Errorf("two views of one moment:\n%s", d)
			}
		}
	})
	for n := range 20 {
		w.put(t, slice(w, "web", fmt.Sprintf("10.0.0.%d", n+1)))
	}
	close(done)
	reading.Wait()
	two.awaitGot(t, []string{"10.0.0.20"})
}

func testServiceEndpoints(t *testing.T, w world) {
	ns := w.namespace()
	w.put(t, slice(w, "web", "10.0.0.1"), object(t, ns, `{apiVersion: v1, kind: Service, metadata: {name: web, labels: {app: web}}, spec: {clusterIP: None, ports: [{port: 80}]}}`))
	watcher := w.watcher(t)
	watcher.grace = time.Hour // whatever is watched stays to be seen
	start(t, watcher)
	p := newPage(watcher, func(r *Reader) ([]string, error) {
		s, err := r.service("web")
		if err != nil {
			return nil, err
		}
		return addressesOf(s.Endpoints()), nil
	})
	p.awaitGot(t, []string{"10.0.0.1"})
	w.put(t, slice(w, "web", "10.0.0.2"))
	p.awaitGot(t, []string{"10.0.0.2"})
	awaitWatches(t, watcher, `endpoints of service "web" in namespace "`+ns+`"`, `Service "web" in namespace "`+ns+`"`)
}
