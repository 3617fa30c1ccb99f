package watcher

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// unstarted is a watcher whose source says nothing.
func unstarted(namespace string) *Watcher {
	return newWatcher(offline{}, namespace, (&logBook{}).logger())
}

func snapshotOf(t *testing.T, w *Watcher) []byte {
	t.Helper()
	snapshot, err := w.Snapshot()
	must(t, err)
	return snapshot
}

// What is restored is what was there, to the last byte, of every kind.
func TestSnapshot(t *testing.T) {
	inBothWorlds(t, map[string]func(*testing.T, world){
		"a snapshot gives what was there": testSnapshot,
	})
}

func testSnapshot(t *testing.T, w world) {
	ns := w.namespace()
	w.put(t, slice(w, "web", "10.0.0.1", "10.0.0.2"))
	w.put(t, objects(t, ns, `
{apiVersion: v1, kind: Service, metadata: {name: web, labels: {app: web}}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web-0, labels: {app: web}}, spec: {containers: [{name: x, image: x, ports: [{name: http, containerPort: 8080}]}]}, status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: NS-a, labels: {of: NS, topology.kubernetes.io/zone: z1}}}
---
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: web}, spec: {replicas: 2, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: x, image: x}]}}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, labels: {of: web}, annotations: {a: "<b>"}}, data: {level: "<debug> & \"more\""}, binaryData: {bytes: /wD+}}
---
{apiVersion: v1, kind: Secret, metadata: {name: sst, labels: {of: web}}, data: {password: czNjcmV0, bytes: /wD+gA==}}
---
{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: gate, namespace: NS}, spec: {holderIdentity: web-0, leaseDurationSeconds: 2000000000}}`)...)
	reads := map[string]func(*Reader) (any, error){
		"endpoints":   func(r *Reader) (any, error) { return r.endpointsOf("web") },
		"nothing":     func(r *Reader) (any, error) { return r.endpointsOf("none") },
		"service":     func(r *Reader) (any, error) { return r.service("web") },
		"services":    func(r *Reader) (any, error) { return r.services("app=web") },
		"pod":         func(r *Reader) (any, error) { return r.pod("web-0") },
		"pods":        func(r *Reader) (any, error) { return r.pods("app=web") },
		"node":        func(r *Reader) (any, error) { return r.node(ns + "-a") },
		"nodes":       func(r *Reader) (any, error) { return r.nodes("of=" + ns) },
		"statefulSet": func(r *Reader) (any, error) { return r.statefulSet("web") },
		"configMap":   func(r *Reader) (any, error) { return r.configMap("settings") },
		"secret":      func(r *Reader) (any, error) { return r.secret("sst") },
		"configMaps":  func(r *Reader) (any, error) { return r.configMaps("of=web") },
		"secrets":     func(r *Reader) (any, error) { return r.secretsOf("of=web") },
		"all secrets": func(r *Reader) (any, error) { return r.secretsOf("", ns) },
		"lookup":      func(r *Reader) (any, error) { return r.lookup("coordination.k8s.io/v1", "Lease", ns, "gate") },
		"lookup of a list": func(r *Reader) (any, error) {
			return r.lookup("coordination.k8s.io/v1", "Lease", ns, "")
		},
	}
	source := w.watcher(t)
	start(t, source)
	pages := map[string]*page[any]{}
	for name, read := range reads {
		pages[name] = newPage(source, read)
	}
	for _, p := range pages {
		p.await(t, func() string { return errorText(p.err) })
	}
	snapshot := snapshotOf(t, source)
	restored := unstarted(ns)
	must(t, restored.Restore(snapshot))
	for name, read := range reads {
		p := newPage(restored, read)
		p.look()
		if p.err != nil {
			t.Errorf("%s: %v", name, p.err)
			continue
		}
		if d := diff(pages[name].got, p.got); d != "" {
			t.Errorf("%s (-was +restored):\n%s", name, d)
		}
		if d := diff(pages[name].reader.Secrets(), p.reader.Secrets()); d != "" {
			t.Errorf("%s: secrets (-were +restored):\n%s", name, d)
		}
		var late *OutOfDateError
		if !errors.As(p.reader.OutOfDate(), &late) || !late.Restored || late.Since.After(time.Now()) {
			t.Errorf("%s: out of date: got %v, want that it is restored", name, late)
		}
	}
	// What one lists is what the other was restored from.
	if d := diff(contents(t, snapshot), contents(t, snapshotOf(t, restored))); d != "" {
		t.Errorf("a snapshot of what is restored (-want +got):\n%s", d)
	}
}

// contents are the lines of a snapshot, in any order but for their first.
func contents(t *testing.T, snapshot []byte) map[string]int {
	t.Helper()
	lines := map[string]int{}
	for line := range strings.Lines(string(unpacked(t, snapshot))) {
		if watch, _, ok := strings.Cut(line, `"AsOf"`); ok {
			line = watch // when it was is known only to what was restored
		}
		lines[line]++
	}
	return lines
}

func unpacked(t *testing.T, snapshot []byte) []byte {
	t.Helper()
	content, err := unpack(snapshot)
	must(t, err)
	return content
}

func unpack(snapshot []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(snapshot))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func packed(t *testing.T, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := io.WriteString(z, content)
	must(t, err)
	must(t, z.Close())
	return b.Bytes()
}

// ofPods is a snapshot of watches of pods, with what each of them holds.
func ofPods(t *testing.T, watches map[watchKey][]*corev1.Pod) []byte {
	t.Helper()
	w := unstarted("shop")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.ctx = ctx
	for key, pods := range watches {
		w.add(key)
		fill(t, w.feeds[key], pods...)
	}
	return snapshotOf(t, w)
}

// Until the source has listed a watch, the snapshot answers; from then on the
// source does, and nothing of the snapshot is left.
func TestRestoredUntilListed(t *testing.T) {
	snapshot := ofPods(t, map[watchKey][]*corev1.Pod{
		podKey("a"): {aPod("a", "10.0.0.1")},
		podKey("b"): {aPod("b", "10.0.0.2")},
		typedNeed(kindPod, "shop", "", "app=web").narrow(): {aPod("gone", "10.0.0.3"), aPod("stays", "10.0.0.4")},
	})
	inBubble(t, func(t *testing.T, w *Watcher, _ *logBook) {
		names := []string{"a"}
		one, all := ipsPage(w, &names), podNamesPage(w, "app=web")
		other := newPage(w, func(r *Reader) (any, error) { return r.secret("none") })
		one.look()
		all.look()
		other.look()
		poked(w)
		revision := w.Revision()

		must(t, w.Restore(snapshot))
		if !poked(w) || !one.stale() || other.stale() {
			t.Error("what is restored is worth a run of those who read it")
		}
		if w.Revision() == revision {
			t.Error("a snapshot would hold other objects, and has the same revision")
		}
		one.awaitGot(t, []string{"10.0.0.1"})
		all.awaitGot(t, []string{"gone", "stays"})
		other.look()
		var incomplete *IncompleteError
		if !errors.As(other.err, &incomplete) {
			t.Errorf("what is not in the snapshot: got %v, want an IncompleteError", other.err)
		}
		if s := w.Status()[0]; s.Listed {
			t.Errorf("called listed: %+v", s)
		}

		selected := feedFor(w, typedNeed(kindPod, "shop", "", "app=web").narrow())
		fill(t, selected, aPod("stays", "10.0.0.4"))
		if !poked(w) || !all.stale() || one.stale() {
			t.Error("what is listed is worth a run of those who read it")
		}
		if err := all.reader.OutOfDate(); err == nil {
			t.Error("what was read from the snapshot is up to date, once the source has listed something else")
		}
		all.awaitGot(t, []string{"stays"})
		if err := all.reader.OutOfDate(); err != nil {
			t.Errorf("listed, and out of date: %v", err)
		}
		if err := one.reader.OutOfDate(); err == nil {
			t.Error("not listed, and up to date")
		}

		fill(t, feedFor(w, podKey("a")))
		one.awaitErr(t, `Pod "a" in namespace "shop" does not exist`)
		other.reader.Close()
		if w.restored != nil {
			t.Errorf("all that is needed is listed, and %d watches are kept from the snapshot", len(w.restored))
		}
	})
}

// What the source has listed is not replaced by what it once had.
func TestRestoreLeavesWhatIsListed(t *testing.T) {
	snapshot := ofPods(t, map[watchKey][]*corev1.Pod{podKey("a"): {aPod("a", "10.0.0.1")}, podKey("b"): {aPod("b", "10.0.0.2")}})
	inBubble(t, func(t *testing.T, w *Watcher, _ *logBook) {
		names := []string{"a"}
		p := ipsPage(w, &names)
		p.look()
		fill(t, feedFor(w, podKey("a")), aPod("a", "10.0.0.9"))
		p.awaitGot(t, []string{"10.0.0.9"})
		newPage(w, func(r *Reader) (any, error) { return r.secret("awaited") }).look()
		must(t, w.Restore(snapshot))
		if p.stale() || p.reader.OutOfDate() != nil {
			t.Errorf("stale: %v, out of date: %v", p.stale(), p.reader.OutOfDate())
		}
		if w.restored[podKey("a")] != nil {
			t.Error("what is listed is kept from the snapshot as well")
		}
	})
}

// A watch that was begun for two and is needed by one alone ends, whatever the
// snapshot has of it.
func TestRestoredKeepsNoWatchAlive(t *testing.T) {
	snapshot := ofPods(t, map[watchKey][]*corev1.Pod{podKey(""): {aPod("a", "10.0.0.1"), aPod("b", "10.0.0.2")}})
	inBubble(t, func(t *testing.T, w *Watcher, _ *logBook) {
		names := []string{"a", "b"}
		p := ipsPage(w, &names)
		p.look()
		must(t, w.Restore(snapshot))
		names = []string{"a"}
		p.look()
		time.Sleep(defaultGrace)
		synctest.Wait()
		if d := diff([]string{`Pod "a" in namespace "shop"`}, watches(w)); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		w.View(p.run)
		if d := diff([]string{"10.0.0.1"}, p.got); p.err != nil || d != "" {
			t.Errorf("restored: %v\n%s", p.err, d)
		}
	})
}

// The endpoints of a slice share what they have in common, as they did.
func TestRestoredEndpointsShareTheirPorts(t *testing.T) {
	view, err := decodeEndpoints([]byte(`[
		{"Addresses": ["10.0.0.1"], "Ports": [{"Name": "http", "Port": 80}]}, {"Addresses": ["10.0.0.2"], "Ports": [{"Name": "http", "Port": 80}]},
		{"Addresses": ["10.0.0.3"]}]`), &faults{})
	must(t, err)
	all := view.([]*Endpoint)
	if &all[0].Ports[0] != &all[1].Ports[0] || len(all[2].Ports) > 0 {
		t.Errorf("got %v, %v and %v", all[0].Ports, all[1].Ports, all[2].Ports)
	}
	if _, err := decodeEndpoints([]byte(`[null]`), &faults{}); err == nil {
		t.Error("an endpoint that is none is no error")
	}
}

// One watch may have been planned then, and another now.
func TestRestoredFromAnotherWatch(t *testing.T) {
	a, b := aPod("a", "10.0.0.1"), aPod("b", "10.0.0.2")
	tests := map[string]struct {
		was  map[watchKey][]*corev1.Pod
		want []string // as far as names can be read, one after the other
	}{
		"two shared a watch":     {map[watchKey][]*corev1.Pod{podKey(""): {a, b}}, []string{"10.0.0.1", "10.0.0.2"}},
		"each had one":           {map[watchKey][]*corev1.Pod{podKey("a"): {a}, podKey("b"): {b}}, []string{"10.0.0.1", "10.0.0.2"}},
		"only one had":           {map[watchKey][]*corev1.Pod{podKey("a"): {a}}, []string{"10.0.0.1"}},
		"a selection had both":   {map[watchKey][]*corev1.Pod{typedNeed(kindPod, "shop", "", "x=y").narrow(): {a, b}}, nil},
		"it was the other place": {map[watchKey][]*corev1.Pod{typedNeed(kindPod, "prod", "", "").narrow(): {a, b}}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			snapshot := ofPods(t, test.was)
			for _, names := range [][]string{{"a", "b"}, {"a"}} {
				inBubble(t, func(t *testing.T, w *Watcher, _ *logBook) {
					p := ipsPage(w, &names)
					p.look()
					must(t, w.Restore(snapshot))
					p.look()
					if len(test.want) < len(names) {
						var incomplete *IncompleteError
						if !errors.As(p.err, &incomplete) {
							t.Errorf("%v: got %v, %v, want an IncompleteError", names, p.got, p.err)
						}
						return
					}
					if d := diff(test.want[:len(names)], p.got); p.err != nil || d != "" {
						t.Errorf("%v: %v (-want +got):\n%s", names, p.err, d)
					}
				})
			}
		})
	}
}

// When a wide watch has been listed, the narrow ones of the snapshot are not
// kept for the next: it would be the older that answers.
func TestRestoredIsGoneWithTheWiderList(t *testing.T) {
	snapshot := ofPods(t, map[watchKey][]*corev1.Pod{
		podKey("a"): {aPod("a", "10.0.0.1")}, podKey("b"): {aPod("b", "10.0.0.2")},
		typedNeed(kindPod, "shop", "", "x=y").narrow(): {aPod("c", "10.0.0.3")},
	})
	inBubble(t, func(t *testing.T, w *Watcher, _ *logBook) {
		names := []string{"a", "b"}
		ipsPage(w, &names).look()
		podNamesPage(w, "x=y").look()
		must(t, w.Restore(snapshot))
		fill(t, feedFor(w, podKey("")), aPod("a", "10.0.0.8"), aPod("b", "10.0.0.9"))

		next := unstarted("shop")
		must(t, next.Restore(snapshotOf(t, w)))
		one := []string{"a"}
		p := ipsPage(next, &one)
		p.look()
		if d := diff([]string{"10.0.0.8"}, p.got); p.err != nil || d != "" {
			t.Errorf("%v (-want +got):\n%s", p.err, d)
		}
		selected := podNamesPage(next, "x=y")
		selected.look()
		if d := diff([]string{"c"}, selected.got); selected.err != nil || d != "" {
			t.Errorf("what is not listed: %v (-want +got):\n%s", selected.err, d)
		}
	})
}

// How old data is does not get lost when it is restored again and again.
func TestAgeOutlivesRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		snapshot := ofPods(t, map[watchKey][]*corev1.Pod{podKey("a"): {aPod("a", "10.0.0.1")}})
		for range 3 {
			time.Sleep(time.Hour)
			w := unstarted("shop")
			must(t, w.Restore(snapshot))
			names := []string{"a"}
			p := ipsPage(w, &names)
			p.look()
			var late *OutOfDateError
			if !errors.As(p.reader.OutOfDate(), &late) || !late.Since.Equal(began) {
				t.Errorf("got %v, want that it is of %s", p.reader.OutOfDate(), began)
			}
			snapshot = snapshotOf(t, w)
		}
	})
}

// What is no snapshot of this version changes nothing, and says why.
func TestRestoreRefuses(t *testing.T) {
	good := ofPods(t, map[watchKey][]*corev1.Pod{podKey("a"): {aPod("a", "10.0.0.1"), aPod("b", "")}, podKey(""): {aPod("c", "")}})
	text := string(unpacked(t, good))
	tests := map[string]struct {
		snapshot []byte
		want     string
	}{
		"nothing":                  {nil, "restoring a snapshot: it is empty"},
		"an empty file":            {[]byte{}, "restoring a snapshot: it is empty"},
		"a text":                   {[]byte("lorem ipsum dolor"), "it is none, or damaged"},
		"half a header":            {good[:5], "it is none, or damaged"},
		"another packed thing":     {packed(t, "lorem ipsum"), "truncated or damaged"},
		"packed nothing":           {packed(t, ""), "truncated or damaged"},
		"an older version":         {packed(t, strings.Replace(text, snapshotFormat, "kconfd snapshot 0", 1)), `it is a "kconfd snapshot 0", not a "` + snapshotFormat + `"`},
		"without its last object":  {packed(t, text[:strings.LastIndex(strings.TrimSpace(text), "\n")+1]), "truncated or damaged"},
		"with something behind it": {append(bytes.Clone(good), "more"...), "truncated or damaged"},
		"of a kind without a view": {packed(t, strings.ReplaceAll(text, `"Pod"`, `"Cat"`)), "there is no view of a Cat"},
	}
	w := unstarted("shop")
	names := []string{"c"}
	p := ipsPage(w, &names)
	must(t, w.Restore(ofPods(t, map[watchKey][]*corev1.Pod{podKey("c"): {aPod("c", "10.0.0.3")}})))
	p.look()
	poked(w)
	refuses := func(name string, snapshot []byte, want string) {
		t.Helper()
		if err := w.Restore(snapshot); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, want)
		}
		if poked(w) || p.stale() {
			t.Fatalf("%s: something changed", name)
		}
	}
	for name, test := range tests {
		refuses(name, test.snapshot, test.want)
	}
	for n := range good[1:] {
		refuses(fmt.Sprintf("the first %d of %d bytes", n+1, len(good)), good[:n+1], "damaged")
	}
	for n := range good {
		flipped := bytes.Clone(good)
		flipped[n] ^= 0x10
		if content, err := unpack(flipped); err == nil && string(content) == text {
			continue // it was one without a meaning
		}
		refuses(fmt.Sprintf("with another byte %d", n), flipped, "")
	}
	p.look()
	if d := diff([]string{"10.0.0.3"}, p.got); p.err != nil || d != "" {
		t.Errorf("after all that: %v\n%s", p.err, d)
	}
	must(t, w.Restore(good))
}

// An older snapshot would lack what a view has now, and be taken for empty.
func TestSnapshotFormatIsOfTheViews(t *testing.T) {
	var all strings.Builder
	for _, v := range []any{snapshotWatch{}, snapshotObject[any]{}, Endpoint{}, Node{}, Pod{}, Service{}, StatefulSet{}, storedData{}} {
		shape(&all, reflect.TypeOf(v))
	}
	want := map[string]string{"kconfd snapshot 3": "d619b3f6b2722206"}
	got := fmt.Sprintf("%x", sha256.Sum256([]byte(all.String())))[:16]
	if want[snapshotFormat] != got {
		t.Errorf("views are not those of %q: give snapshotFormat another number, and that %q here", snapshotFormat, got)
	}
}

// shape writes what a type looks like to JSON.
func shape(b *strings.Builder, t reflect.Type) {
	fmt.Fprintf(b, "%s{", t)
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() {
				fmt.Fprintf(b, "%s ", f.Name)
				shape(b, f.Type)
			}
		}
	case reflect.Slice, reflect.Pointer:
		shape(b, t.Elem())
	}
	b.WriteString("}")
}

// A snapshot of ten thousand endpoints is no burden, and whoever reads or
// writes meanwhile need not wait for it.
func TestSnapshotOfManyEndpoints(t *testing.T) {
	w, f := manyEndpoints(t)
	quickest, held, size := time.Hour, time.Hour, 0
	for range 5 {
		began := time.Now()
		size = len(snapshotOf(t, w))
		quickest = min(quickest, time.Since(began))
		began = time.Now()
		w.complete()
		held = min(held, time.Since(began))
	}
	t.Logf("%d endpoints: %s at best, %s of these with the mutex, %d bytes", 100*len(f.records), quickest, held, size)
	if held > 5*time.Millisecond {
		t.Errorf("the mutex is held for %s", held)
	}
	before := w.Revision()
	restored := unstarted("default")
	must(t, restored.Restore(snapshotOf(t, w)))
	must(t, f.Update(bigSlice(7, 1))) // as it is
	if w.Revision() != before {
		t.Error("another revision, and no change")
	}
	must(t, f.Update(bigSlice(7, 2)))
	if w.Revision() == before {
		t.Error("a change, and no other revision")
	}
	p := addressesPage(restored, "web")
	p.look()
	if len(p.got) != 10000 {
		t.Errorf("got %d endpoints, want 10000: %v", len(p.got), p.err)
	}
}

// manyEndpoints is a watcher that holds ten thousand of one service.
func manyEndpoints(t testing.TB) (*Watcher, *feed) {
	t.Helper()
	w := unstarted("default")
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	w.ctx = ctx
	key := typedNeed(kindEndpointSlice, "default", "web", "").narrow()
	w.add(key)
	var all []any
	for n := range 100 {
		all = append(all, bigSlice(n, 1))
	}
	if err := w.feeds[key].Replace(all, ""); err != nil {
		t.Fatal(err)
	}
	return w, w.feeds[key]
}

func BenchmarkSnapshot(b *testing.B) {
	w, _ := manyEndpoints(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Snapshot(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRestore(b *testing.B) {
	w, _ := manyEndpoints(b)
	snapshot, err := w.Snapshot()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := unstarted("default").Restore(snapshot); err != nil {
			b.Fatal(err)
		}
	}
}
