package watcher

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
)

// A Rule is what has to be allowed for objects of one resource: to list and to
// watch them.
type Rule struct {
	Namespace string   // empty for a ClusterRole
	Group     string   // API group, empty for the core one
	Resource  string   // plural, as rules name it
	Names     []string // the only objects it takes; empty for all
}

// A Use is a function's call in a template's text, whether it is ever run or
// not. Args are the literal ones, and nil stands for each that is computed.
type Use struct {
	Function string
	Args     []*string
}

// Rules are what the readers need for what they read when they last ran and
// for what the uses in their templates name. They are sorted, and one a
// resource and namespace.
//
// Only Secrets, ConfigMaps and what lookup reads by name are held down to
// their names: these are always watched one by one. Those that a selector selects are
// not known by name: their rule is for all of the namespace.
func (w *Watcher) Rules(ctx context.Context, uses []Use) ([]Rule, error) {
	w.mu.Lock()
	needs := w.needs()
	w.mu.Unlock()
	for _, u := range uses {
		if n, ok := w.needOf(u); ok {
			needs[n] = true
		}
	}
	kinds := kinds()
	type place struct{ namespace, group, resource string }
	merged := map[place]map[string]bool{} // names; nil for all
	for n := range needs {
		resource, namespaced, err := w.source.resource(ctx, n.narrow())
		if err != nil {
			return nil, err
		}
		at := place{n.Namespace, n.gvk().Group, resource}
		if !namespaced {
			at.namespace = ""
		}
		names, seen := merged[at]
		switch {
		case n.Name == "" || n.sharable(kinds):
			merged[at] = nil
		case !seen:
			merged[at] = map[string]bool{n.Name: true}
		case names != nil:
			names[n.Name] = true
		}
	}
	rules := make([]Rule, 0, len(merged))
	for at, names := range merged {
		rules = append(rules, Rule{at.namespace, at.group, at.resource, slices.Sorted(maps.Keys(names))})
	}
	slices.SortFunc(rules, func(a, b Rule) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Resource, b.Resource))
	})
	return rules, nil
}

// needOf is what a use reads, as far as its text tells: a Secret whose name is
// computed is known only when the template runs.
func (w *Watcher) needOf(u Use) (need, bool) {
	if u.Function == "lookup" {
		return lookupNeed(u.Args)
	}
	kind, ok := map[string]string{
		"configMap": kindConfigMap, "configMaps": kindConfigMap, "secret": kindSecret, "secrets": kindSecret, "endpoints": kindEndpointSlice, "statefulSet": kindStatefulSet,
		"service": kindService, "services": kindService, "pod": kindPod, "pods": kindPod, "node": kindNode, "nodes": kindNode,
	}[u.Function]
	if !ok || len(u.Args) == 0 {
		return need{}, false
	}
	k := kinds()[kind]
	n := need{Dependency: Dependency{APIVersion: k.gv.String(), Kind: kind, Namespace: w.namespace}}
	if len(u.Args) > 1 {
		if u.Args[1] == nil {
			return need{}, false
		}
		n.Namespace = *u.Args[1]
	}
	if k.cluster {
		n.Namespace = ""
	}
	if !k.sharable && !strings.HasSuffix(u.Function, "s") { // a Secret or ConfigMap, by its name
		if u.Args[0] == nil {
			return need{}, false
		}
		n.Name = *u.Args[0]
	}
	return n, true
}

// lookupNeed is what `lookup APIVERSION KIND NAMESPACE NAME` reads.
func lookupNeed(args []*string) (need, bool) {
	if len(args) != 4 || slices.Contains(args, nil) {
		return need{}, false
	}
	return need{Dependency{APIVersion: *args[0], Kind: *args[1], Namespace: *args[2], Name: *args[3]}, true}, true
}
