package watcher

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A Dependency is something that a template read.
type Dependency struct {
	APIVersion string // "v1", "discovery.k8s.io/v1"
	Kind       string // "Secret"
	Namespace  string // empty for kinds without one, and for all namespaces
	Name       string // empty for all that the selector matches; for EndpointSlices the name of their service
	Selector   string // label selector, as in `kubectl -l`
}

// String reads as a person would say it: `Secret "db" in namespace "prod"`.
func (d Dependency) String() string {
	s := d.Kind
	switch {
	case d.Kind == kindEndpointSlice && d.Name != "":
		s = fmt.Sprintf("endpoints of service %q", d.Name)
	case d.Name != "":
		s += fmt.Sprintf(" %q", d.Name)
	case d.Selector != "":
		s += fmt.Sprintf("s with labels %q", d.Selector)
	default:
		s = "all " + s + "s"
	}
	if d.Namespace != "" {
		s += fmt.Sprintf(" in namespace %q", d.Namespace)
	}
	return s
}

// compare orders dependencies for listings.
func (d Dependency) compare(e Dependency) int {
	return cmp.Or(
		cmp.Compare(d.APIVersion, e.APIVersion),
		cmp.Compare(d.Kind, e.Kind),
		cmp.Compare(d.Namespace, e.Namespace),
		cmp.Compare(d.Name, e.Name),
		cmp.Compare(d.Selector, e.Selector),
	)
}

func (d Dependency) gvk() schema.GroupVersionKind {
	return schema.FromAPIVersionAndKind(d.APIVersion, d.Kind)
}

// A watchKey names one watch on the server. Dependencies share it when their
// objects are within it.
type watchKey struct {
	gvk       schema.GroupVersionKind
	untyped   bool // for lookup: objects as they are, not cut down
	namespace string
	labels    string // label selector
	name      string // metadata.name field selector
}

func (k watchKey) dependency() Dependency {
	d := Dependency{
		APIVersion: k.gvk.GroupVersion().String(), Kind: k.gvk.Kind,
		Namespace: k.namespace, Name: k.name, Selector: k.labels,
	}
	if service, ok := serviceOfSelector(k.labels); ok && k.gvk.Kind == kindEndpointSlice {
		d.Name, d.Selector = service, ""
	}
	return d
}

// need is the one that k is the smallest watch for.
func (k watchKey) need() need { return need{k.dependency(), k.untyped} }

// need is a dependency together with the form its objects are wanted in.
type need struct {
	Dependency
	untyped bool
}

// narrow is the smallest watch that answers n.
func (n need) narrow() watchKey {
	k := watchKey{gvk: n.gvk(), untyped: n.untyped, namespace: n.Namespace, labels: n.Selector, name: n.Name}
	if n.Kind == kindEndpointSlice && !n.untyped && n.Name != "" {
		k.name, k.labels = "", selectorOfService(n.Name)
	}
	return k
}

// wide is the watch that several needs of one kind and namespace share.
func (n need) wide() watchKey {
	return watchKey{gvk: n.gvk(), untyped: n.untyped, namespace: n.Namespace}
}

// sharable says whether the objects that n names may be watched together with
// the others of their namespace. Secrets, ConfigMaps and what lookup reads by
// name are always watched one by one, so that a Role with resourceNames is
// enough and no other Secret ever reaches this process.
func (n need) sharable(kinds map[string]kind) bool {
	return !n.untyped && n.Name != "" && kinds[n.Kind].sharable
}

// plan chooses the watches for the needs: one that is named alone gets a watch
// of its own object; two or more of one kind and namespace share the
// namespace's.
func plan(needs map[need]bool) map[need]watchKey {
	kinds := kinds()
	named := map[watchKey]int{}
	for n := range needs {
		if n.sharable(kinds) {
			named[n.wide()]++
		}
	}
	keys := make(map[need]watchKey, len(needs))
	for n := range needs {
		keys[n] = n.narrow()
		if n.sharable(kinds) && named[n.wide()] > 1 {
			keys[n] = n.wide()
		}
	}
	return keys
}
