package watcher

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kconfd/kconfd/internal/document"
)

// A snapshot is a stream of JSON values: its format, then each watch with its
// objects behind it. It is compressed for the sake of gzip's checksum as well:
// what is damaged or truncated does not pass for a snapshot.

// snapshotFormat has another number whenever a view changes: what an older
// kconfd did not note would be taken for empty.
const snapshotFormat = "kconfd snapshot 3"

// maxUnpacked is how many bytes a snapshot may have, unpacked.
const maxUnpacked = 256 << 20

// A snapshotWatch is what is noted of a watch.
type snapshotWatch struct {
	APIVersion, Kind        string
	Untyped                 bool
	Namespace, Labels, Name string
	AsOf                    time.Time // when its objects were last known to be what the source has
	Objects                 int

	records []*record
}

// A snapshotObject is what is noted of an object.
type snapshotObject[View any] struct {
	Namespace, Name, Group string
	View                   View
}

// Snapshot is what all complete watches hold, for [Watcher.Restore]. It has
// the values of Secrets: keep it from others' eyes.
//
// What is restored itself, and has not been listed since, is part of it.
func (w *Watcher) Snapshot() ([]byte, error) {
	var content bytes.Buffer
	// The fastest level: the others need more memory than the objects.
	z, err := gzip.NewWriterLevel(&content, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if err := writeSnapshot(z, w.complete()); err != nil {
		return nil, fmt.Errorf("writing a snapshot: %w", err)
	}
	return content.Bytes(), nil
}

// Revision is another one whenever a snapshot would hold other objects. Ask
// for it before the snapshot that it is to be compared with.
func (w *Watcher) Revision() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.revision
}

// complete are the watches that have been listed or restored. Views do not
// change once they are stored, so that they can be read without the mutex.
func (w *Watcher) complete() []snapshotWatch {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []snapshotWatch
	now := time.Now()
	for _, f := range w.feeds {
		if f.synced > 0 {
			all = append(all, f.snapshot(now))
		}
	}
	for _, f := range w.restored {
		all = append(all, f.snapshot(now))
	}
	return all
}

func (f *feed) snapshot(now time.Time) snapshotWatch {
	s := snapshotWatch{
		APIVersion: f.key.gvk.GroupVersion().String(), Kind: f.key.gvk.Kind, Untyped: f.key.untyped,
		Namespace: f.key.namespace, Labels: f.key.labels, Name: f.key.name,
		AsOf: f.asOf(now), Objects: len(f.records), records: make([]*record, 0, len(f.records)),
	}
	for _, r := range f.records {
		s.records = append(s.records, r)
	}
	return s
}

func writeSnapshot(z *gzip.Writer, watches []snapshotWatch) error {
	encoder := json.NewEncoder(z)
	if err := encoder.Encode(snapshotFormat); err != nil {
		return err
	}
	for _, s := range watches {
		if err := encoder.Encode(s); err != nil {
			return err
		}
		for _, r := range s.records {
			if err := encoder.Encode(snapshotObject[any]{r.Namespace, r.Name, r.group, encodable(r.view)}); err != nil {
				return err
			}
		}
	}
	return z.Close()
}

// encodable is a view in a form that loses nothing as JSON.
func encodable(view any) any {
	switch v := view.(type) {
	case map[string]string: // of any bytes, which strings in JSON are not
		return asBytes(v)
	case *ConfigMap:
		return v.stored()
	case *Secret:
		return (*ConfigMap)(v).stored()
	case *unstructured.Unstructured:
		return document.Lossless(v.Object)
	}
	return view
}

// Restore answers from a snapshot what the source has not listed: all at once,
// as if it had, and each watch until its first list. Readers say by
// [Reader.OutOfDate] that they read from it.
//
// A snapshot that is empty, damaged, truncated, too large or of
// another version is an error, and changes nothing.
func (w *Watcher) Restore(snapshot []byte) error {
	restored, err := readSnapshot(snapshot, maxUnpacked)
	if err != nil {
		return fmt.Errorf("restoring a snapshot: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, f := range restored {
		if w.among(w.feeds, key.need()) != nil {
			delete(restored, key)
			continue
		}
		f.watcher = w
		f.synced = w.nextRevision()
		f.latest = f.synced
		for _, r := range f.records {
			f.report(r, nil)
		}
	}
	w.restored = restored
	w.poke()
	return nil
}

func readSnapshot(snapshot []byte, limit int) (map[watchKey]*feed, error) {
	if len(snapshot) == 0 {
		return nil, errors.New("it is empty")
	}
	z, err := gzip.NewReader(bytes.NewReader(snapshot))
	if err != nil {
		return nil, fmt.Errorf("it is none, or damaged: %w", err)
	}
	decoder := json.NewDecoder(&bounded{z, limit, limit})
	var format string
	if err := decoder.Decode(&format); err != nil {
		return nil, damaged(err)
	}
	if format != snapshotFormat {
		return nil, fmt.Errorf("it is a %q, not a %q", format, snapshotFormat)
	}
	feeds := map[watchKey]*feed{}
	for {
		f, err := readFeed(decoder)
		if errors.Is(err, errNoMore) {
			return feeds, nil
		}
		if err != nil {
			return nil, damaged(err)
		}
		feeds[f.key] = f
	}
}

// A bounded reader fails after so many bytes: the end of a limit must not pass for the
// end of the content.
type bounded struct {
	io.Reader
	limit, left int
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p[:min(len(p), b.left+1)])
	if b.left -= n; b.left < 0 {
		return 0, fmt.Errorf("it is larger than the limit of %d bytes", b.limit)
	}
	return n, err
}

func damaged(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("it is truncated or damaged: %w", err)
}

// errNoMore is the proper end of a snapshot.
var errNoMore = errors.New("no more watches")

func readFeed(decoder *json.Decoder) (*feed, error) {
	var s snapshotWatch
	if err := decoder.Decode(&s); errors.Is(err, io.EOF) {
		return nil, errNoMore // and the checksum was right
	} else if err != nil {
		return nil, err
	}
	f := newFeed(watchKey{schema.FromAPIVersionAndKind(s.APIVersion, s.Kind), s.Untyped, s.Namespace, s.Labels, s.Name})
	f.restored = s.AsOf
	for range s.Objects {
		var o snapshotObject[json.RawMessage]
		if err := decoder.Decode(&o); err != nil {
			return nil, err
		}
		var wrong faults
		view, err := f.key.decodeView(o.View, &wrong)
		if err != nil {
			return nil, err
		}
		r := &record{group: o.Group, view: view, faults: wrong.orNone()}
		r.Namespace, r.Name = o.Namespace, o.Name
		f.store(r)
	}
	return f, nil
}

func (k watchKey) decodeView(content []byte, f *faults) (any, error) {
	if k.untyped {
		v, err := document.FromJSON(content)
		fields, ok := v.(map[string]any)
		if err == nil && !ok {
			err = errors.New("an object without fields")
		}
		return &unstructured.Unstructured{Object: fields}, err
	}
	known, ok := kinds()[k.gvk.Kind]
	if !ok {
		return nil, fmt.Errorf("there is no view of a %s", k.gvk.Kind)
	}
	if k.name == "" && known.decodeWhole != nil {
		return known.decodeWhole(content, f)
	}
	return known.decode(content, f)
}

// decodeView reads views of the type that clean is for.
func decodeView[T any](clean func(*faults, *T)) func([]byte, *faults) (any, error) {
	return func(content []byte, f *faults) (any, error) {
		v := new(T)
		if err := json.Unmarshal(content, v); err != nil {
			return nil, err
		}
		clean(f, v)
		return v, nil
	}
}

// decodeEndpoints shares what viewEndpointSlice shares: a snapshot may have to
// do for long.
func decodeEndpoints(content []byte, f *faults) (any, error) {
	var all []*Endpoint
	if err := json.Unmarshal(content, &all); err != nil {
		return nil, err
	}
	if slices.Contains(all, nil) {
		return nil, errors.New("an endpoint is missing")
	}
	for _, e := range all {
		e.Ports = f.ports(e.Ports, isDNSLabel, true)
	}
	all = f.endpoints(all, "")
	for _, e := range all {
		e.Namespace, e.Node, e.Zone = shared(e.Namespace), shared(e.Node), shared(e.Zone)
		if slices.Equal(e.Ports, all[0].Ports) {
			e.Ports = all[0].Ports
		}
	}
	slices.SortFunc(all, compareEndpoints)
	return all, nil
}
