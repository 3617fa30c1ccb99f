package watcher

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kconfd/kconfd/internal/steady"
)

// bombs are small documents that are large when they are read.
func bombs() map[string]string {
	big := strings.Repeat("x", 1<<20)
	return map[string]string{
		"one long text, many times": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nx: &a " + big + "\ndata: [" + strings.Repeat("*a,", 100_000) + "]\n",
		"laughs":                    laughs(9, 9),
		"laughs in keys":            "? &a [" + strings.Repeat("1,", 1000) + "]\n: [" + strings.Repeat("*a,", 1000) + "]\n",
		"merged laughs":             "a: &a {x: " + big + "}\nb: [" + strings.Repeat("{<<: *a},", 1000) + "]\n",
		"an anchor in itself":       "a: &a [*a, *a]\n",
		"deep lists":                "a: " + strings.Repeat("[", 1<<20),
		"deep maps":                 strings.Repeat("{a: ", 1<<20),
		"deep blocks":               strings.Repeat("- ", 1<<20) + "a\n",
		"deep JSON":                 strings.Repeat(`{"a":`, 1<<20),
		"a number without end":      "a: " + strings.Repeat("9", 1<<20) + "\n",
		"too large":                 "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: " + strings.Repeat("x", maxManifest) + "}\n",
	}
}

// laughs are lists of lists, each the one above so many times.
func laughs(levels, times int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 [lol]\n")
	for i := range levels {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d,", i), times))
	}
	return b.String()
}

// A bomb is an error, and takes neither much memory nor time.
func TestBombs(t *testing.T) {
	for name, bomb := range bombs() {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "a.yaml")
			writeFile(t, file, bomb)
			before := allocated()
			start := time.Now()
			got, err := readManifests([]string{file}, "")
			if err == nil || len(err.Error()) > 1000 {
				t.Errorf("read: %v, an error of %d bytes", got, len(errorText(err)))
			}
			const most = 600 << 20
			if used := allocated() - before; used > most {
				t.Errorf("allocated %d MiB", used>>20)
			}
			t.Logf("%s, %d MiB allocated: %.200s", time.Since(start), (allocated()-before)>>20, errorText(err))
		})
	}
}

// allocated is how many bytes were, so far.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// Aliases in a manifest of usual size are resolved.
func TestAliases(t *testing.T) {
	doc := "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: &l {x: z}}, data: &d {a: '*', b: '&'}}\n" +
		"- {apiVersion: v1, kind: ConfigMap, metadata: {name: b, labels: *l}, data: {<<: *d, b: c}}\n"
	got, err := readManifests([]string{"-"}, doc)
	must(t, err)
	if d := diff([]string{"ConfigMap shop/a", "ConfigMap shop/b"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// What is too large, or no file, is an error at once, and what was read before stays.
func TestManifestsBeyondLimits(t *testing.T) {
	large := strings.Repeat("#"+strings.Repeat("x", 1022)+"\n", maxManifest/1024)
	tests := map[string]struct {
		turn func(t *testing.T, dir string)
		want string
	}{
		"a large file": {func(t *testing.T, dir string) { replaceFile(t, dir+"/b.yaml", large+"# and more\n") }, "larger than the limit of 4194304 bytes"},
		"many large files": {func(t *testing.T, dir string) {
			for i := range 9 {
				replaceFile(t, fmt.Sprintf("%s/b%d.yaml", dir, i), large)
			}
		}, "all manifests together are larger than the limit of 33554432 bytes"},
		"many files": {func(t *testing.T, dir string) {
			must(t, os.Mkdir(dir+"/x", 0o755))
			for i := range maxFiles + 1 {
				must(t, os.WriteFile(fmt.Sprintf("%s/x/%d.yaml", dir, i), nil, 0o644))
			}
		}, "manifests, the limit is 10000"},
		"a FIFO":   {func(t *testing.T, dir string) { must(t, syscall.Mkfifo(dir+"/b.yaml", 0o644)) }, "is not a regular file but a FIFO"},
		"a device": {func(t *testing.T, dir string) { must(t, os.Symlink("/dev/zero", dir+"/b.yaml")) }, "is not a regular file but a device"},
		"a sparse file": {func(t *testing.T, dir string) {
			writeFile(t, dir+"/b.yaml", "")
			must(t, os.Truncate(dir+"/b.yaml", 1<<40))
		}, "larger than the limit"},
		"a bomb": {func(t *testing.T, dir string) { replaceFile(t, dir+"/b.yaml", bombs()["one long text, many times"]) }, "with its aliases resolved"},
		"no name of an object": {func(t *testing.T, dir string) {
			replaceFile(t, dir+"/b.yaml", `{apiVersion: v1, kind: Service, metadata: {name: "a\n}"}}`)
		}, `Service "a\n}": metadata.name is no name of an object`},
		"no name of a namespace": {func(t *testing.T, dir string) {
			replaceFile(t, dir+"/b.yaml", `{apiVersion: v1, kind: Service, metadata: {name: a, namespace: "b\n"}}`)
		}, `Service "a": metadata.namespace "b\n" is no name of a namespace`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			writeFile(t, dir+"/a.yaml", levelYAML("one"))
			var log logBook
			w := manifestWatcher(t, &log, dir)
			start(t, w)
			p := levelPage(w)
			p.awaitGot(t, "one")
			test.turn(t, dir)
			poll(t, func() string {
				if _, err := w.ManifestsRefused(); err == nil || !strings.Contains(err.Error(), test.want) {
					return fmt.Sprintf("refused because of %v, want %s", err, test.want)
				}
				return ""
			})
			p.awaitGot(t, "one")
			if _, err := NewManifests([]string{dir}, "shop", nil, log.logger()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("at the start: got %v, want %s", err, test.want)
			}
		})
	}
}

func TestLargeStandardInput(t *testing.T) {
	if _, err := readManifests([]string{"-"}, strings.Repeat("#\n", maxManifests/2+1)); err == nil || !strings.Contains(err.Error(), "larger than the limit of 33554432 bytes") {
		t.Errorf("got %v", err)
	}
}

// There are no manifests in the null device: it says that there are none.
func TestNoManifests(t *testing.T) {
	if got, err := readManifests([]string{os.DevNull}, ""); err != nil || len(got) > 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

// Many small documents take a time that grows with their number.
func TestManyDocuments(t *testing.T) {
	for _, doc := range []string{"---\n", "---\n" + strings.Repeat("#\n", 200)} {
		if _, err := readManifests([]string{"-"}, strings.Repeat(doc, maxDocuments)); err != nil {
			t.Error(err)
		}
		if _, err := readManifests([]string{"-"}, strings.Repeat(doc, maxDocuments+1)); err == nil || !strings.Contains(err.Error(), "10001 documents, the limit is 10000") {
			t.Errorf("one more: %v", err)
		}
	}
}

// What could not be read is read again, without a change of the files.
func TestManifestsAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir+"/a.yaml", levelYAML("one"))
	var log logBook
	w := manifestWatcher(t, &log, dir)
	start(t, w)
	p := levelPage(w)
	p.awaitGot(t, "one")

	// As long as there are no descriptors left, nothing can be read.
	var had syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &had))
	t.Cleanup(func() { must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &had)) })
	must(t, os.WriteFile(dir+"/.new", []byte(levelYAML("two")), 0o644))
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 0, Max: had.Max}))
	must(t, os.Rename(dir+"/.new", dir+"/a.yaml"))
	poll(t, func() string {
		if _, err := w.ManifestsRefused(); !errors.Is(err, syscall.EMFILE) {
			return fmt.Sprintf("refused because of %v, want %v", err, syscall.EMFILE)
		}
		return ""
	})
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &had))
	p.awaitGot(t, "two")
	if lines := log.lines("manifests refused"); len(lines) != 1 {
		t.Errorf("the log has %q, want it once", lines)
	}
	if len(log.lines("manifests accepted again")) != 1 {
		t.Errorf("the log does not have the end of it:\n%s", &log)
	}
}

// Whatever bytes manifests have: they are read, or an error that says where.
func FuzzManifests(f *testing.F) {
	for _, doc := range []string{
		mapA, mapB, mapC, node, mapA + "---\n" + mapB, "", "---", "--- # x\n--- !!map {}\n", "\xef\xbb\xbf" + mapA, "items: []", "kind: List\napiVersion: v1\nitems: [{}]",
		"apiVersion: v1\nkind: ConfigMapList\nitems: [{metadata: {name: a}}, null, 1, [x]]", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {a: b}\ndata: {c: '!'}\n",
		"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {a: b}\ndata: 1\n", "apiVersion: x\nkind: Y\nmetadata: {name: z}\na: [1, 1.5, 1e3, .inf, .nan, 0x1, 0o7, 2001-01-01, ~, true, !!binary aGk=]\n",
		"{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"a\", \"labels\": 1}}", "a: &a [*a]", laughs(3, 3), "%YAML 1.1\n---\n" + mapA, "? [a]\n: b\n", "1: 2\ntrue: x\n",
		"apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: x}\nspec: {replicas: -1, ordinals: {start: -5}}\n", "metadata: []\nkind: Pod\napiVersion: v1\n", "kind: [a]\napiVersion: {}\n",
		"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-1, labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\nports: [{name: \"a\\n\", port: 70000}]\nendpoints: [{addresses: [\"x\\n\"]}, {addresses: [10.0.0.1], targetRef: {kind: Pod, name: \"}\\n\"}}]\n",
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 64<<10 {
			return // TestManifestsBeyondLimits has larger ones
		}
		before := allocated()
		m := &manifests{namespace: "shop", paths: []string{"-"}, stdin: content, files: steady.New(0), changed: make(chan struct{})}
		if err := m.read(); err != nil {
			if !strings.HasPrefix(err.Error(), "reading manifests: standard input: ") {
				t.Errorf("the error does not say where: %v", err)
			}
			return
		}
		for at := range m.objects {
			for _, untyped := range []bool{false, true} {
				if _, known := kinds()[at.gvk.Kind]; !untyped && (!known || kinds()[at.gvk.Kind].gv != at.gvk.GroupVersion()) {
					continue
				}
				demandViews(t, m, watchKey{gvk: at.gvk, untyped: untyped, namespace: at.namespace, name: at.name})
			}
		}
		if used := allocated() - before; used > 1<<30 {
			t.Errorf("allocated %d MiB for %d bytes", used>>20, len(content))
		}
	})
}

// demandViews makes views of what a watch finds.
func demandViews(t *testing.T, m *manifests, key watchKey) {
	t.Helper()
	found, _, err := m.find(key)
	if err != nil {
		t.Errorf("%v: %v", key, err)
	}
	f := newFeed(key)
	f.cut = viewUntyped
	if !key.untyped {
		f.cut = kinds()[key.gvk.Kind].view
	}
	for _, o := range found {
		r, err := f.record(o)
		if err != nil {
			t.Errorf("%v: %v", key, err)
			continue
		}
		if all, ok := r.view.([]*Endpoint); ok {
			demandPromised(t, all, "")
		}
		f.store(r)
	}
}

// Whatever bytes a snapshot has: it is restored, and answers with names and addresses,
// or it is an error and nothing changes.
func FuzzSnapshot(f *testing.F) {
	for _, body := range []string{
		`"kconfd snapshot 3"`, `"kconfd snapshot 1"`, `1`, ``, `"kconfd snapshot 3"{}`, `"kconfd snapshot 2"{"Objects":-1}`, `"kconfd snapshot 2"{"Objects":9223372036854775807}`,
		`"kconfd snapshot 3"{"APIVersion":"v1","Kind":"Pod","Namespace":"shop","Objects":1}{"Namespace":"shop","Name":"a","Group":"a","View":{"Name":"a\n}","IPs":["x"],"Ports":[{"Port":-1}]}}`,
		`"kconfd snapshot 3"{"APIVersion":"discovery.k8s.io/v1","Kind":"EndpointSlice","Namespace":"shop","Labels":"kubernetes.io/service-name=web","Objects":1}{"Namespace":"shop","Name":"a","Group":"web","View":[{"Address":"x\n","Addresses":["x\n","10.0.0.1"],"Pod":"}","Ports":[{"Port":70000},{"Port":80,"Name":"\n"}]}]}`,
		`"kconfd snapshot 3"{"APIVersion":"discovery.k8s.io/v1","Kind":"EndpointSlice","Namespace":"shop","Objects":2}{"Name":"a","Group":"web","View":[null]}{"Name":"b","Group":"web","View":null}`,
		`"kconfd snapshot 3"{"APIVersion":"v1","Kind":"ConfigMap","Namespace":"shop","Name":"a","Objects":1}{"Namespace":"shop","Name":"a","Group":"a","View":{"k":"AA=="}}`,
		`"kconfd snapshot 3"{"APIVersion":"v1","Kind":"Secret","Namespace":"shop","Labels":"a=b","Objects":1}{"Namespace":"shop","Name":"a","Group":"a","View":{"Name":"}","Labels":{"\n":""},"Data":{"k":"AA==","..":""}}}`, `"kconfd snapshot 3"{"APIVersion":"v1","Kind":"ConfigMap","Objects":1}{"View":null}`,
		`"kconfd snapshot 3"{"APIVersion":"v1","Kind":"Secret","Untyped":true,"Namespace":"shop","Objects":1}{"Name":"a","Group":"a","View":{"apiVersion":"v1","kind":"Secret","data":{"a":1}}}`,
		`"kconfd snapshot 3"{"APIVersion":"x","Kind":"Y","Untyped":true,"Objects":1}{"Name":"a","Group":"a","View":null}`, `"kconfd snapshot 3"{"APIVersion":"v1","Kind":"Node","Objects":1}{"View":null}`,
		`"kconfd snapshot 3"{"APIVersion":"apps/v1","Kind":"StatefulSet","Objects":1}{"Name":"a","Group":"a","View":{"Name":"a","Replicas":-5,"PodNames":["a-0","\n"]}}`,
		`"kconfd snapshot 3"{"APIVersion":"v1","Kind":"Service","Objects":1}{"Name":"a","Group":"a","View":[]}`, strings.Repeat("[", 20_000),
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w := NewOffline()
		if err := w.Restore(body); err == nil {
			t.Error("bytes without a checksum are restored")
		}
		if err := w.Restore(packed(t, string(body))); err != nil {
			if w.restored != nil {
				t.Error("something is restored in spite of an error")
			}
			return
		}
		for key, restored := range w.restored {
			for _, r := range restored.records {
				if all, ok := r.view.([]*Endpoint); ok {
					demandPromised(t, all, "")
				}
			}
			readAll(w, key)
		}
	})
}

// readAll has a template read what was restored, with its methods too.
func readAll(w *Watcher, key watchKey) {
	for _, text := range []string{
		`{{ range pods "" }}{{ .Name }}{{ .IPs }}{{ .Ports }}{{ end }}`, `{{ range nodes "" }}{{ . }}{{ end }}`, `{{ range services "" }}{{ . }}{{ .Endpoints }}{{ end }}`,
		`{{ range endpoints "web" }}{{ . }}{{ .Ports }}{{ end }}`, `{{ configMap "a" }}`, `{{ secret "a" }}`, `{{ (statefulSet "a").PodNames }}`,
		fmt.Sprintf(`{{ lookup %q %q %q "" }}`, key.gvk.GroupVersion(), key.gvk.Kind, key.namespace),
	} {
		r := w.NewReader()
		w.View(func(v *View) {
			_ = v.Run(r, func() error {
				_, err := printed(r, text)
				return err
			})
		})
		r.Close()
	}
}

// A snapshot may not be a bomb either.
func TestSnapshotThatIsTooLarge(t *testing.T) {
	bomb := packed(t, `"kconfd snapshot 3"`+strings.Repeat(" ", 1000))
	if _, err := readSnapshot(bomb, 1000); err == nil || !strings.Contains(err.Error(), "it is larger than the limit of 1000 bytes") {
		t.Errorf("got %v", err)
	}
	if _, err := readSnapshot(bomb, 1020); err != nil {
		t.Errorf("within the limit: %v", err)
	}
}
