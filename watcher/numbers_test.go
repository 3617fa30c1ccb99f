package watcher

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// fieldsOfSpec reads the spec of a custom resource, each field with its type.
func fieldsOfSpec(apiVersion, namespace string) func(*Reader) (string, error) {
	return func(r *Reader) (string, error) {
		o, err := r.lookup(apiVersion, "Thing", namespace, "one")
		spec, _ := o["spec"].(map[string]any)
		return strings.NewReplacer("interface {}", "any", "json.Number", "number").Replace(fmt.Sprintf("%#v", spec)), err
	}
}

// Whole numbers are whole numbers, as large as they are: in manifests, and after a restart
// without them.
func TestNumbersOfManifests(t *testing.T) {
	for name, content := range map[string]string{
		"a.yaml": "\ufeffapiVersion: example.com/v1\nkind: Thing\nmetadata: {name: one, namespace: shop}\nspec: {mib: 16777216, id: 9007199254740993, neg: -16777217, ratio: 0.75," +
			" whole: 16777216.0, exp: 1e3, hex: 0x10, octal: 0640, under: 1_000, uint: 18446744073709551615, large: 18446744073709551616, huge: 1.5e30, list: [16777216], 5: x}\n",
		"a.json": "\ufeff" + `{"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "one", "namespace": "shop"}, "spec": {"mib": 16777216, "id": 9007199254740993, "neg": -16777217, "ratio": 0.75,` +
			` "whole": 16777216.0, "exp": 1e3, "hex": 16, "octal": 416, "under": 1000, "uint": 18446744073709551615, "large": 18446744073709551616, "huge": 1.5e30, "list": [16777216], "5": "x"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			must(t, os.WriteFile(path, []byte(content), 0o600))
			source := manifestWatcher(t, &logBook{}, path)
			start(t, source)
			const want = `map[string]any{"5":"x", "exp":1000, "hex":16, "huge":1.5e+30, "id":9007199254740993, "large":"18446744073709551616", "list":[]any{16777216},` +
				` "mib":16777216, "neg":-16777217, "octal":416, "ratio":0.75, "uint":"18446744073709551615", "under":1000, "whole":16777216}`
			read := fieldsOfSpec("example.com/v1", "shop")
			newPage(source, read).awaitGot(t, want)

			restored := unstarted("shop")
			must(t, restored.Restore(snapshotOf(t, source)))
			p := newPage(restored, read)
			if p.look(); p.err != nil || p.got != want {
				t.Errorf("restored: got %s, %v, want %s", p.got, p.err, want)
			}
		})
	}
}

// A float on a server that prints without a fraction is one after a restart, too.
func TestFloatsOfSnapshots(t *testing.T) {
	view := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"large": 1e20, "int": int64(5)}}}
	content, err := json.Marshal(encodable(view))
	must(t, err)
	got, err := watchKey{untyped: true}.decodeView(content, nil)
	must(t, err)
	if d := diff(view, got.(*unstructured.Unstructured)); d != "" {
		t.Errorf("%s (-was +restored):\n%s", content, d)
	}
	for _, bad := range []string{`5`, `[]`, `{`, `{} {}`} {
		if got, err := (watchKey{untyped: true}).decodeView([]byte(bad), nil); err == nil {
			t.Errorf("%s: got %v, want an error", bad, got)
		}
	}
}

// The numbers of custom resources are whole on a cluster.
func TestNumbersOfCustomResources(t *testing.T) {
	t.Parallel()
	w := newClusterWorld(t)
	group := w.own + ".example.com"
	w.put(t, object(t, w.own, fmt.Sprintf(definitionYAML, "thing", "Namespaced", "Thing")))
	w.awaitServed(t, schema.GroupVersionResource{Group: group, Version: "v1", Resource: "things"})
	thing := object(t, w.own, customYAML("Thing", "namespace: NS,", "one", "red"))
	thing.Object["spec"] = map[string]any{"id": int64(9007199254740993), "mib": int64(16777216), "ratio": 0.75}
	w.put(t, thing)
	watcher := w.watcher(t)
	start(t, watcher)
	newPage(watcher, fieldsOfSpec(group+"/v1", w.own)).awaitGot(t, `map[string]any{"id":9007199254740993, "mib":16777216, "ratio":0.75}`)
}

// UTF-16 is refused with the file's name.
func TestManifestInUTF16(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	must(t, os.WriteFile(path, []byte("\xff\xfea\x00:\x00"), 0o600))
	_, err := NewManifests([]string{path}, "shop", strings.NewReader(""), (&logBook{}).logger())
	if text := fmt.Sprint(err); !strings.Contains(text, path) || !strings.Contains(text, "UTF-16") {
		t.Errorf("got error %s", text)
	}
}
