package watcher

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/kconfd/kconfd/internal/nearest"
)

// A listRead is a list that the run under way has read.
type listRead struct {
	need need
	list any // a slice of pointers to views
}

// listed records a list that is read. None is whether it is empty because no object
// is selected at all.
func (r *Reader) listed(n need, list any, none bool) {
	r.lists = append(r.lists, listRead{n, list})
	if none && r.standIn == nil {
		r.empty[n] = true
	}
}

// Empty are the lists that the last run read and for which there was no object. They
// are sorted.
func (v *View) Empty(r *Reader) []Dependency {
	var all []Dependency
	for n := range r.empty {
		all = append(all, n.Dependency)
	}
	slices.SortFunc(all, Dependency.compare)
	return all
}

// NameOf returns what a list was read from, in words, while the run that read it is
// under way. It is empty for other values. An empty list may be any that was read: the
// words then name up to three.
func (r *Reader) NameOf(list any) string {
	v := reflect.ValueOf(list)
	if v.Kind() != reflect.Slice {
		return ""
	}
	var found []Dependency
	for _, read := range r.lists {
		if v.Len() == 0 || contains(read.list, v.Index(0)) {
			found = append(found, read.need.Dependency)
		}
	}
	slices.SortFunc(found, Dependency.compare)
	found = slices.Compact(found)
	if len(found) > 3 {
		return ""
	}
	var names []string
	for _, d := range found {
		names = append(names, d.String())
	}
	return strings.Join(names, " or ")
}

// contains reports whether a list has a pointer.
func contains(list any, pointer reflect.Value) bool {
	if pointer.Kind() == reflect.Interface {
		pointer = pointer.Elem()
	}
	v := reflect.ValueOf(list)
	if pointer.Kind() != reflect.Pointer || pointer.Type() != v.Type().Elem() {
		return false
	}
	for i := range v.Len() {
		if v.Index(i).Pointer() == pointer.Pointer() {
			return true
		}
	}
	return false
}

// WhyEmpty says which objects do not exist that would make a list longer, and what
// comes nearest to it among those that the watcher knows.
func (w *Watcher) WhyEmpty(d Dependency) string {
	why := fmt.Sprintf("there is no %s", d.Kind)
	known := w.known(d)
	near := ""
	switch {
	case d.Kind == kindEndpointSlice && d.Name != "":
		why += fmt.Sprintf(" with the label %s=%s", discoveryv1.LabelServiceName, d.Name)
		near = nearest.Of(d.Name, known.services)
	case d.Selector != "":
		why += fmt.Sprintf(" with labels %q", d.Selector)
		near = nearest.Of(d.Selector, known.labels)
	}
	if d.Namespace != "" {
		why += fmt.Sprintf(" in namespace %q", d.Namespace)
	}
	for _, more := range known.reasons {
		why += "; " + more
	}
	if near != "" && near != d.Name { // which has come meanwhile
		why += fmt.Sprintf("; the nearest name is %q", near)
	}
	return why
}

// maxKnown is how many names are compared to find the nearest one.
const maxKnown = 10_000

// known are objects beside those that a template has read.
type known struct {
	services []string // that have EndpointSlices
	labels   []string // KEY=VALUE, of objects of the kind
	names    []string // of objects of the kind
	reasons  []string // why objects that are there do not count
}

// known collects what is known of the objects of the kind and namespace of d. From a
// cluster these are the objects that are watched anyway, from manifests all.
func (w *Watcher) known(d Dependency) *known {
	k := &known{}
	if m, ok := w.source.(*manifests); ok {
		m.known(d, k)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, f := range w.feeds {
		if key.gvk != d.gvk() || key.untyped || d.Namespace != "" && key.namespace != "" && key.namespace != d.Namespace {
			continue
		}
		for _, r := range f.records {
			if len(k.names) >= maxKnown {
				break
			}
			if d.Namespace == "" || r.Namespace == d.Namespace {
				k.names = append(k.names, r.Name)
			}
		}
		if d.Kind == kindEndpointSlice && key.namespace == d.Namespace {
			k.services = slices.AppendSeq(k.services, maps.Keys(f.groups))
		}
	}
	return k
}

// known is what the manifests have.
func (m *manifests) known(d Dependency, k *known) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var unlabelled, elsewhere []string
	for at, o := range m.objects {
		ofKind := at.gvk.Kind == d.Kind && at.gvk.GroupVersion().String() == d.APIVersion
		if d.Namespace != "" && at.namespace != d.Namespace {
			if ofKind && (d.Kind == kindEndpointSlice && d.Name != "" && o.GetLabels()[discoveryv1.LabelServiceName] == d.Name || d.Kind != kindEndpointSlice && d.Name == at.name) {
				elsewhere = append(elsewhere, at.namespace)
			}
			continue
		}
		if !ofKind || len(k.names) >= maxKnown {
			continue
		}
		k.names = append(k.names, at.name)
		for key, value := range o.GetLabels() {
			k.labels = append(k.labels, key+"="+value)
		}
		if d.Kind != kindEndpointSlice {
			continue
		}
		service := o.GetLabels()[discoveryv1.LabelServiceName]
		switch {
		case service != "":
			k.services = append(k.services, service)
		case at.name == d.Name || strings.HasPrefix(at.name, d.Name+"-"):
			unlabelled = append(unlabelled, at.name)
		}
	}
	if d.Kind == kindEndpointSlice && d.Name != "" {
		k.reasons = m.withoutSlices(d)
	}
	if len(unlabelled) > 0 {
		k.reasons = append(k.reasons, fmt.Sprintf("EndpointSlice %q has no such label", slices.Min(unlabelled)))
	}
	if len(elsewhere) > 0 {
		k.reasons = append(k.reasons, fmt.Sprintf("there is one in namespace %q", slices.Min(elsewhere)))
	}
}

// withoutSlices says why a service has no EndpointSlices. The mutex is held.
func (m *manifests) withoutSlices(d Dependency) []string {
	of := func(kind string) manifestKey {
		return manifestKey{corev1.SchemeGroupVersion.WithKind(kind), d.Namespace, d.Name}
	}
	service, endpoints := m.objects[of(kindService)], m.objects[of(kindEndpoints)]
	switch {
	case endpoints != nil && service == nil:
		return []string{fmt.Sprintf("the Endpoints %q are not read, because they have no Service", d.Name)}
	case endpoints != nil && !hasMirror(endpoints, m.objects):
		return []string{fmt.Sprintf("the Endpoints %q are not read, because only those of a Service without a selector are mirrored to EndpointSlices", d.Name)}
	case service == nil:
		return []string{fmt.Sprintf("there is no Service %q either", d.Name)}
	}
	return nil
}

// absent is the error for an object that does not exist.
func (r *Reader) absent(d Dependency) error {
	return &AbsentError{What: d.String(), dependency: d}
}

// Near returns the name nearest to that of an object that does not exist, among the
// objects that the watcher knows; it is empty when none is near.
func (w *Watcher) Near(e *AbsentError) string {
	if e.dependency.Name == "" {
		return ""
	}
	k := w.known(e.dependency)
	names := slices.DeleteFunc(k.names, func(name string) bool { return name == e.dependency.Name })
	return cmp.Or(nearest.Of(e.dependency.Name, names), "")
}
