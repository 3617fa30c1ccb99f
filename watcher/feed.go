package watcher

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// A record is one object, cut down to its view.
type record struct {
	metav1.ObjectMeta // name, namespace and resource version, no more
	group             string
	view              any
	faults            *faults // what templates do not see of it, nil when there is nothing wrong
}

// A feed is one watch and what it has brought. It is the store that its
// reflector writes to: an object is held once, and never in a form larger than
// its view. Its state is guarded by the watcher's mutex.
//
// Nobody but a source writes to it: a [cache.Reflector] for a cluster.
type feed struct {
	key     watchKey
	watcher *Watcher
	cut     func(runtime.Object, *faults) (string, any)
	ctx     context.Context // ends with the feed
	stop    context.CancelFunc
	listing watch.Interface // the watch that is listing, or did; its source's own

	records map[string]*record            // by namespace/name
	groups  map[string]map[string]*record // by group, then namespace/name
	changed map[string]uint64             // revision of each group's last change
	latest  uint64                        // revision of the last change of all
	synced  uint64                        // revision of the first complete list, 0 before it
	last    lastChange

	restored time.Time // how old the snapshot is that the objects are from, zero for those of a source

	memberships map[string]*membership // EndpointSlices only, by service

	unused   time.Time   // since when nobody needs it, zero while somebody does
	progress time.Time   // last list, watch, event or bookmark
	quiet    *time.Timer // runs off when there is none for too long; nil until there is a source
	trouble  trouble
}

func newFeed(key watchKey) *feed {
	return &feed{
		key:         key,
		records:     map[string]*record{},
		groups:      map[string]map[string]*record{},
		changed:     map[string]uint64{},
		memberships: map[string]*membership{},
	}
}

// Transformer makes the reflector cut objects down as they arrive in a first
// list, rather than hold them all in full.
func (f *feed) Transformer() cache.TransformFunc {
	return func(o any) (any, error) {
		if r, ok := o.(*record); ok {
			return r, nil
		}
		return f.record(o)
	}
}

func (f *feed) record(o any) (*record, error) {
	if r, ok := o.(*record); ok {
		return r, nil
	}
	object, ok := o.(runtime.Object)
	if !ok {
		return nil, fmt.Errorf("unexpected %T in a watch of %s", o, f.key.gvk.Kind)
	}
	m, err := meta.Accessor(object)
	if err != nil {
		return nil, err
	}
	r := &record{ObjectMeta: metav1.ObjectMeta{
		Name: m.GetName(), Namespace: m.GetNamespace(), ResourceVersion: m.GetResourceVersion(),
	}}
	var wrong faults
	r.group, r.view = f.cut(object, &wrong)
	r.faults = wrong.orNone()
	return r, nil
}

// Add implements [cache.ReflectorStore].
func (f *feed) Add(o any) error { return f.Update(o) }

// Update implements [cache.ReflectorStore].
func (f *feed) Update(o any) error {
	r, err := f.record(o)
	if err != nil {
		return err
	}
	f.watcher.mu.Lock()
	defer f.watcher.mu.Unlock()
	f.worked()
	if f.put(r) {
		f.watcher.poke()
	}
	return nil
}

// Delete implements [cache.ReflectorStore].
func (f *feed) Delete(o any) error {
	m, err := meta.Accessor(o)
	if err != nil {
		return err
	}
	f.watcher.mu.Lock()
	defer f.watcher.mu.Unlock()
	f.worked()
	if f.drop(objectKey(m.GetNamespace(), m.GetName())) {
		f.watcher.poke()
	}
	return nil
}

// Replace implements [cache.ReflectorStore]: the outcome of a list.
func (f *feed) Replace(list []any, _ string) error {
	found, err := f.take(list)
	if err != nil {
		f.failed(err)
		if f.listing != nil {
			f.listing.Stop() // the reflector leaves it open, and lists again by another
		}
		return err
	}
	f.watcher.mu.Lock()
	defer f.watcher.mu.Unlock()
	f.listed()
	news := f.synced == 0
	for key := range maps.Clone(f.records) {
		if found[key] == nil {
			news = f.drop(key) || news
		}
	}
	for _, r := range found {
		news = f.put(r) || news
	}
	if f.synced == 0 {
		f.synced = f.watcher.nextRevision()
		f.latest = f.synced
		maps.DeleteFunc(f.watcher.restored, func(key watchKey, _ *feed) bool { return f.key.answers(key.need()) })
	}
	if news {
		f.watcher.poke()
	}
	return nil
}

// take makes records of a list. A server lists a namespace that does not exist
// as empty: that is an error, as is not to know.
func (f *feed) take(list []any) (map[string]*record, error) {
	if len(list) == 0 {
		if err := f.namespaceExists(); err != nil {
			return nil, err
		}
	}
	found := make(map[string]*record, len(list))
	for _, o := range list {
		r, err := f.record(o)
		if err != nil {
			return nil, err
		}
		found[objectKey(r.Namespace, r.Name)] = r
	}
	return found, nil
}

func (f *feed) namespaceExists() error {
	if f.key.namespace == "" {
		return nil
	}
	missing, err := f.watcher.source.namespaceMissing(f.ctx, f.key.namespace)
	if missing {
		err = fmt.Errorf("%w: %q", ErrNoNamespace, f.key.namespace)
	}
	return err
}

// Bookmark implements [cache.ReflectorBookmarkStore]: nothing happened, and
// the watch is alive.
func (f *feed) Bookmark(string) error {
	f.watcher.mu.Lock()
	defer f.watcher.mu.Unlock()
	f.worked()
	return nil
}

// Resync implements [cache.ReflectorStore]. It is never asked for.
func (f *feed) Resync() error { return nil }

// put stores r and says whether templates could tell the difference.
func (f *feed) put(r *record) bool {
	key := objectKey(r.Namespace, r.Name)
	old := f.records[key]
	f.report(r, old)
	if old != nil && old.group == r.group && reflect.DeepEqual(old.view, r.view) {
		old.ResourceVersion, old.faults = r.ResourceVersion, r.faults
		return false
	}
	if old != nil && old.group != r.group {
		f.drop(key)
	}
	f.store(r)
	f.touch(r.group)
	return true
}

func (f *feed) store(r *record) {
	key := objectKey(r.Namespace, r.Name)
	f.records[key] = r
	if f.groups[r.group] == nil {
		f.groups[r.group] = map[string]*record{}
	}
	f.groups[r.group][key] = r
}

func (f *feed) drop(key string) bool {
	r := f.records[key]
	if r == nil {
		return false
	}
	delete(f.records, key)
	delete(f.groups[r.group], key)
	f.touch(r.group)
	if len(f.groups[r.group]) == 0 {
		f.forget(r.group)
	}
	return true
}

// forget drops what is left of a group without objects. Pods come and go: only
// for those who read it by name is its end of interest.
func (f *feed) forget(group string) {
	delete(f.groups, group)
	n := need{Dependency{
		APIVersion: f.key.gvk.GroupVersion().String(), Kind: f.key.gvk.Kind, Namespace: f.key.namespace, Name: group,
	}, f.key.untyped}
	for r := range f.watcher.readers {
		if _, reads := r.needs[n]; reads {
			return
		}
	}
	delete(f.changed, group)
	delete(f.memberships, group)
}

func (f *feed) touch(group string) {
	f.latest = f.watcher.nextRevision()
	f.changed[group] = f.latest
	f.last = lastChange{group, time.Now()}
}

// revision of what n reads here.
func (f *feed) revision(n need) uint64 {
	if n.Name == "" {
		return f.latest
	}
	return max(f.changed[n.Name], f.synced)
}

// endpoints are those of one service, sorted.
func (f *feed) endpoints(service string) []*Endpoint {
	m := f.memberships[service]
	if m == nil {
		m = &membership{}
		f.memberships[service] = m
	}
	m.merge(f.groups[service])
	return m.list
}

func objectKey(namespace, name string) string { return namespace + "/" + name }
