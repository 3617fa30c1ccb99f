package watcher

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// NewManifests returns a watcher of Kubernetes manifests: files and
// directories of YAML or JSON, followed as they change, and "-" for stdin,
// which is read once. Objects without a namespace are in the given one, which
// may be empty for "default".
//
// Manifests that cannot be read now are an error. When they turn bad later,
// what was read before stays, and the log says why.
func NewManifests(paths []string, namespace string, stdin io.Reader, log *slog.Logger) (*Watcher, error) {
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	m := &manifests{paths: paths, namespace: namespace, log: log, changed: make(chan struct{})}
	if slices.Contains(paths, "-") {
		var err error
		if m.stdin, err = io.ReadAll(stdin); err != nil {
			return nil, fmt.Errorf("reading manifests from standard input: %w", err)
		}
	}
	if err := m.read(); err != nil {
		return nil, err
	}
	return newWatcher(m, namespace, log), nil
}

// manifests are objects on disk.
type manifests struct {
	paths     []string
	namespace string
	stdin     []byte
	log       *slog.Logger

	mu      sync.Mutex
	objects map[manifestKey]*unstructured.Unstructured
	changed chan struct{} // closed at the next change
}

type manifestKey struct {
	gvk             schema.GroupVersionKind
	namespace, name string
}

// run reads the manifests again whenever they change on disk, and after a while
// when they could not be read.
func (m *manifests) run(ctx context.Context) error {
	files := NewFiles(m.log)
	defer files.Close()
	paths := slices.DeleteFunc(slices.Clone(m.paths), func(p string) bool { return p == "-" })
	files.Watch(paths)
	again := time.NewTimer(0)
	again.Stop()
	defer again.Stop()
	refused, wait := "", minRereadWait
	for {
		changed := false
		select {
		case <-ctx.Done():
			return nil
		case <-files.Changed():
			changed = true
		case <-again.C:
		}
		files.Watch(paths) // directories may have come or gone
		err := m.read()
		if err == nil {
			refused, wait = "", minRereadWait
			continue
		}
		if changed || err.Error() != refused {
			m.log.Warn("manifests refused, the ones read before stay", "err", err)
		}
		refused = err.Error()
		if ReadFailed(err) {
			again.Reset(wait)
			wait = min(2*wait, maxRereadWait)
		}
	}
}

// What could not be read is read again after minRereadWait, and later twice as long,
// up to maxRereadWait.
const (
	minRereadWait = 100 * time.Millisecond
	maxRereadWait = 10 * time.Second
)

// ReadFailed says whether an error is one of the operating system's, for want of file
// descriptors for instance: the same read may succeed later without a change on disk.
func ReadFailed(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno)
}

// read takes over the manifests if all of them are good.
func (m *manifests) read() error {
	objects := map[manifestKey]*unstructured.Unstructured{}
	for _, path := range m.paths {
		if err := m.readPath(path, objects); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects = objects
	close(m.changed)
	m.changed = make(chan struct{})
	return nil
}

func (m *manifests) readPath(path string, objects map[manifestKey]*unstructured.Unstructured) error {
	if path == "-" {
		return m.decode("standard input", m.stdin, objects)
	}
	files, err := manifestFiles(path)
	if err != nil {
		return fmt.Errorf("reading manifests: %w", err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading manifests: %w", err)
		}
		if err := m.decode(file, content, objects); err != nil {
			return err
		}
	}
	return nil
}

// manifestFiles are path itself, or the manifests in and below the directory.
func manifestFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, err
	}
	var t tree
	t.add(path)
	manifest := func(file string) bool { return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(file)) }
	return slices.DeleteFunc(t.files, func(file string) bool { return !manifest(file) }), errors.Join(t.errs...)
}

// decode adds the objects in content, which has one document or several.
func (m *manifests) decode(file string, content []byte, objects map[manifestKey]*unstructured.Unstructured) error {
	first := 1
	for _, doc := range splitDocuments(content) {
		if err := m.decodeDocument(doc, first, objects); err != nil {
			return fmt.Errorf("reading manifests: %s: %w", file, atLine(err, first))
		}
		first += bytes.Count(doc, []byte("\n"))
	}
	return nil
}

// splitDocuments cuts at the lines that begin with "---". Together, the
// documents are the content.
func splitDocuments(content []byte) [][]byte {
	var docs [][]byte
	start, at := 0, 0
	for line := range bytes.Lines(content) {
		if bytes.HasPrefix(line, []byte("---")) && at > start {
			docs = append(docs, content[start:at])
			start = at
		}
		at += len(line)
	}
	return append(docs, content[start:])
}

// atLine adds to an error where its document starts.
func atLine(err error, first int) error {
	if first == 1 {
		return err
	}
	return fmt.Errorf("document from line %d: %w", first, err)
}

// decodeDocument adds the objects in doc, whose first line is that of its file.
func (m *manifests) decodeDocument(doc []byte, first int, objects map[manifestKey]*unstructured.Unstructured) error {
	// Behind as many empty lines, the decoder's line numbers are the file's.
	placed := append(bytes.Repeat([]byte("\n"), first-1), doc...)
	var fields map[string]any
	if err := yaml.Unmarshal(placed, &fields, exactNumbers); err != nil {
		return err
	}
	if err := utiljson.ConvertMapNumbers(fields, 0); err != nil {
		return err
	}
	if len(fields) == 0 {
		return nil
	}
	o := &unstructured.Unstructured{Object: fields}
	if o.IsList() && o.GetKind() != "" {
		return o.EachListItem(func(item runtime.Object) error {
			return m.add(ofList(item.(*unstructured.Unstructured), o), objects)
		})
	}
	return m.add(o, objects)
}

// exactNumbers leaves it to ConvertMapNumbers what a number is: a whole one, as
// on a server, if it looks like that.
func exactNumbers(d *json.Decoder) *json.Decoder {
	d.UseNumber()
	return d
}

// ofList is an item of a list, which may leave its kind to the list: the API
// server's own lists do.
func ofList(item, list *unstructured.Unstructured) *unstructured.Unstructured {
	kind, ofOne := strings.CutSuffix(list.GetKind(), "List")
	if ofOne && kind != "" && item.GetKind() == "" {
		item.SetKind(kind)
		item.SetAPIVersion(list.GetAPIVersion())
	}
	return item
}

func (m *manifests) add(o *unstructured.Unstructured, objects map[manifestKey]*unstructured.Unstructured) error {
	if o.GetKind() == "" || o.GetAPIVersion() == "" {
		return errors.New("not a Kubernetes object: no apiVersion or kind")
	}
	if o.GetName() == "" {
		return fmt.Errorf("%s without a name", o.GetKind())
	}
	k, known := kinds()[o.GetKind()]
	if known && k.gv == o.GroupVersionKind().GroupVersion() {
		if !k.cluster && o.GetNamespace() == "" {
			o.SetNamespace(m.namespace)
		}
		if _, err := typed(o, k); err != nil {
			return fmt.Errorf("%s %q: %w", o.GetKind(), o.GetName(), err)
		}
		encodeStringData(o)
	}
	key := manifestKey{o.GroupVersionKind(), o.GetNamespace(), o.GetName()}
	if objects[key] != nil {
		return fmt.Errorf("%s %q: there is another one of that name", o.GetKind(), o.GetName())
	}
	objects[key] = o
	return nil
}

// encodeStringData makes a Secret what it would be on a server: all in data.
func encodeStringData(o *unstructured.Unstructured) {
	plain, _, _ := unstructured.NestedStringMap(o.Object, "stringData")
	if o.GetKind() != kindSecret || plain == nil {
		return
	}
	data, _, _ := unstructured.NestedMap(o.Object, "data")
	if data == nil {
		data = map[string]any{}
	}
	for k, v := range plain {
		data[k] = base64.StdEncoding.EncodeToString([]byte(v))
	}
	o.Object["data"] = data
	delete(o.Object, "stringData")
}

// typed is o as its API type.
func typed(o *unstructured.Unstructured, k kind) (runtime.Object, error) {
	object := k.object()
	return object, runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, object, true)
}

func (m *manifests) namespaceMissing(_ context.Context, namespace string) (bool, error) {
	if namespace == m.namespace {
		return false, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.objects {
		if key.namespace == namespace || (key.gvk.Kind == "Namespace" && key.name == namespace) {
			return false, nil
		}
	}
	return true, nil
}

func (m *manifests) resource(_ context.Context, key watchKey) (string, bool, error) {
	if k, ok := kinds()[key.gvk.Kind]; ok && k.gv == key.gvk.GroupVersion() {
		return k.resource, !k.cluster, nil
	}
	plural, _ := meta.UnsafeGuessKindToResource(key.gvk)
	return plural.Resource, key.namespace != "", nil
}

// follow hands the feed its objects, and again whenever the manifests change.
func (m *manifests) follow(ctx context.Context, f *feed) {
	alive := time.NewTicker(time.Minute)
	defer alive.Stop()
	for ctx.Err() == nil {
		found, changed, err := m.find(f.key)
		if err == nil {
			err = f.Replace(found, "")
		}
		f.failed(err)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-alive.C:
		}
	}
}

// find gives the key's objects and what is closed when they may be others.
func (m *manifests) find(key watchKey) ([]any, <-chan struct{}, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	selector, err := labels.Parse(key.labels)
	if err != nil {
		return nil, m.changed, err
	}
	var found []any
	for at, o := range m.objects {
		if !m.within(key, at) || !selector.Matches(labels.Set(o.GetLabels())) {
			continue
		}
		var object runtime.Object = o.DeepCopy()
		if !key.untyped {
			if object, err = typed(o, kinds()[key.gvk.Kind]); err != nil {
				return nil, m.changed, err
			}
		}
		found = append(found, object)
	}
	return found, m.changed, nil
}

// within says whether key's namespace and name take in what is at a place. An
// object of a kind that kconfd does not know may have a namespace or none when
// it names none: only a server could tell, so both are taken in.
func (m *manifests) within(key watchKey, at manifestKey) bool {
	return at.gvk == key.gvk &&
		(key.namespace == "" || at.namespace == key.namespace || (at.namespace == "" && key.namespace == m.namespace)) &&
		(key.name == "" || at.name == key.name)
}
