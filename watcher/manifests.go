package watcher

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
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

	"github.com/kconfd/kconfd/internal/document"
	"github.com/kconfd/kconfd/internal/steady"
)

// NewManifests returns a watcher of Kubernetes manifests: files and
// directories of YAML or JSON, followed as they change, and "-" for stdin,
// which is read once. Objects without a namespace are in the given one, which
// may be empty for "default".
//
// A file may have 4 MiB, and all of them 32 MiB. Manifests that cannot be read now
// are an error. When they turn bad later, what was read before stays, and the log says
// why. Files that are being written are waited for: see [ManifestTiming].
func NewManifests(paths []string, namespace string, stdin io.Reader, log *slog.Logger, timing ...ManifestTiming) (*Watcher, error) {
	t := ManifestTiming{Timeout: time.Minute}
	if len(timing) > 0 {
		t = timing[0]
	}
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	m := &manifests{paths: paths, namespace: namespace, log: log, files: steady.New(t.Quiet), ceiling: cmp.Or(t.Ceiling, 4*t.Quiet), changed: make(chan struct{})}
	if slices.Contains(paths, "-") {
		var err error
		if m.stdin, err = readStdin(stdin); err != nil {
			return nil, fmt.Errorf("reading manifests from standard input: %w", err)
		}
	}
	if err := m.files.Await(t.Timeout, m.read); err != nil {
		if busy := (*steady.BusyError)(nil); errors.As(err, &busy) {
			err = fmt.Errorf("reading manifests: %w", err)
		}
		return nil, err
	}
	return newWatcher(m, namespace, log), nil
}

// ManifestTiming is how long manifests must have been unchanged, 50 ms at least, when 50 ms are
// enough since changes do not end, and how long [NewManifests] waits.
type ManifestTiming struct {
	Quiet   time.Duration
	Ceiling time.Duration // after the first change; 0: 4 × Quiet
	Timeout time.Duration
}

// manifests are objects on disk.
type manifests struct {
	paths     []string
	namespace string
	stdin     []byte
	log       *slog.Logger
	files     *steady.Files
	ceiling   time.Duration
	first     time.Time // of the changes that have not been read; zero without one

	mu       sync.Mutex
	since    time.Time // when the files that were read last were changed
	objects  map[manifestKey]*unstructured.Unstructured
	refused  error         // why those on disk are others, nil when they are not
	refusals uint64        // how often there was a reason
	changed  chan struct{} // closed at the next change
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
	wait := minRereadWait
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-files.Changed():
			files.Watch(paths) // directories may have come or gone
			if quiet := m.files.Look(); quiet > 0 {
				again.Reset(m.putOff(quiet))
				continue
			}
		case <-again.C:
			files.Watch(paths)
		}
		switch quiet, err := m.reread(); {
		case quiet > 0:
			again.Reset(m.putOff(quiet))
		case err == nil:
			wait = minRereadWait
		case ReadFailed(err):
			again.Reset(wait)
			wait = min(2*wait, maxRereadWait)
		}
	}
}

// putOff is when to look again at manifests that must not change for a time from now on. When
// the ceiling has passed, the shortest quiet time is enough.
func (m *manifests) putOff(quiet time.Duration) time.Duration {
	now := time.Now()
	if m.first.IsZero() {
		m.first = now
	}
	left := m.first.Add(m.ceiling).Sub(now)
	if left > 0 {
		return min(quiet, left)
	}
	m.files.Limit(steady.MinQuiet)
	return m.files.Look()
}

// What could not be read is read again after minRereadWait, and later twice as long,
// up to maxRereadWait.
const (
	minRereadWait = 100 * time.Millisecond
	maxRereadWait = 10 * time.Second
)

// reread is read for manifests that have been good before. The log has each reason
// once. Files that are being written are to be read later: quiet is when.
func (m *manifests) reread() (quiet time.Duration, err error) {
	var objects map[manifestKey]*unstructured.Unstructured
	quiet, err = m.files.Try(func() (err error) {
		objects, err = m.readObjects()
		return err
	})
	if quiet > 0 {
		return quiet, nil
	}
	late := !m.first.IsZero() && time.Since(m.first) >= m.ceiling
	if err == nil {
		m.use(objects)
	}
	m.mu.Lock()
	if late && err == nil {
		m.since = m.first // it has been put off for long enough
	}
	m.first = time.Time{}
	m.files.Limit(0)
	was := m.refused
	m.refused = err
	if err != nil {
		m.refusals++
	}
	m.mu.Unlock()
	switch {
	case err != nil && (was == nil || was.Error() != err.Error()):
		m.log.Warn("manifests refused, the ones read before stay", "err", err)
	case err == nil && was != nil:
		m.log.Info("manifests accepted again")
	}
	return 0, err
}

// LastChange is when the objects changed of which [Watcher.Changed] has said so: for manifests,
// when the files were changed that have been read since; now for a cluster.
func (w *Watcher) LastChange(now time.Time) time.Time {
	m, ok := w.source.(*manifests)
	if !ok {
		return now
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.since.IsZero() { // no file has an age
		return now
	}
	return m.since
}

// ManifestsRefused is why the manifests on disk are not those that templates read, and
// how often they were refused so far. The error is nil for good ones, and without
// manifests.
func (w *Watcher) ManifestsRefused() (times uint64, err error) {
	m, ok := w.source.(*manifests)
	if !ok {
		return 0, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refusals, m.refused
}

// ReadFailed says whether an error is one of the operating system's, for want of file
// descriptors for instance: the same read may succeed later without a change on disk.
func ReadFailed(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno)
}

// read takes over the manifests if all of them are good.
func (m *manifests) read() error {
	objects, err := m.readObjects()
	if err == nil {
		m.use(objects)
	}
	return err
}

// readObjects reads all manifests.
func (m *manifests) readObjects() (map[manifestKey]*unstructured.Unstructured, error) {
	objects := map[manifestKey]*unstructured.Unstructured{}
	left := int64(maxManifests - len(m.stdin))
	for _, path := range m.paths {
		if err := m.readPath(path, &left, objects); err != nil {
			return nil, err
		}
	}
	if err := m.mirror(objects); err != nil {
		return nil, fmt.Errorf("reading manifests: %w", err)
	}
	return objects, nil
}

// use makes objects those that templates read.
func (m *manifests) use(objects map[manifestKey]*unstructured.Unstructured) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects, m.since = objects, m.files.LastChange()
	close(m.changed)
	m.changed = make(chan struct{})
}

// readPath reads what is at a path. It takes the size of the files off left.
func (m *manifests) readPath(path string, left *int64, objects map[manifestKey]*unstructured.Unstructured) error {
	if path == "-" {
		return m.decode("standard input", m.stdin, objects)
	}
	files, err := m.files.List(path, "*", func() ([]string, error) { return manifestFiles(path) })
	if err != nil {
		return fmt.Errorf("reading manifests: %w", err)
	}
	for _, file := range files {
		content, err := m.readManifest(file, *left)
		if err != nil {
			return fmt.Errorf("reading manifests: %w", err)
		}
		*left -= int64(len(content))
		if err := m.decode(file, content, objects); err != nil {
			return err
		}
	}
	return nil
}

// decode adds the objects in content, which has one document or several.
func (m *manifests) decode(file string, content []byte, objects map[manifestKey]*unstructured.Unstructured) error {
	content, err := document.Text(content)
	if err != nil {
		return fmt.Errorf("reading manifests: %s: %w", file, err)
	}
	first := 1
	docs := splitDocuments(content)
	if len(docs) > maxDocuments {
		return fmt.Errorf("reading manifests: %s: %d documents, the limit is %d", file, len(docs), maxDocuments)
	}
	for _, doc := range docs {
		if err := m.decodeDocument(doc, first, objects); err != nil {
			return fmt.Errorf("reading manifests: %s: %w", file, atLine(shortened(err), first))
		}
		first += bytes.Count(doc, []byte("\n"))
	}
	return nil
}

// shortened is an error on a few lines: some have all that they are about in their text.
func shortened(err error) error {
	const most = 500
	if text := err.Error(); len(text) > most {
		return errors.New(strings.ToValidUTF8(text[:most], "") + "...")
	}
	return err
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
	fields, err := fieldsOf(doc, first)
	if err != nil {
		return withoutValues(err, doc)
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

// withoutValues takes what the decoder quotes out of its error about a document
// that may be a Secret.
func withoutValues(err error, doc []byte) error {
	if !bytes.Contains(doc, []byte(kindSecret)) {
		return err
	}
	quoted := regexp.MustCompile("'[^']*'|`[^`]*`|\"[^\"]*\"")
	return errors.New(quoted.ReplaceAllString(err.Error(), "[redacted]"))
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
	if isEndpoints(o) {
		k, known = endpointsKind(), true
	}
	if known && !isObjectName(o.GetName()) {
		return fmt.Errorf("%s %q: metadata.name is no name of an object", o.GetKind(), o.GetName())
	}
	if known && o.GetNamespace() != "" && !isDNSLabel(o.GetNamespace()) {
		return fmt.Errorf("%s %q: metadata.namespace %q is no name of a namespace", o.GetKind(), o.GetName(), o.GetNamespace())
	}
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
