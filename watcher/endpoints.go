package watcher

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"unique"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// An Endpoint is one member of a service: a pod, or an address from outside.
// Endpoints come sorted by pod (or host name), numbers in order, then address.
type Endpoint struct {
	Address     string   // the first of Addresses
	Addresses   []string // all of them; those of a pod with two IP families are IPv4 first
	Hostname    string   // set for the pods of a StatefulSet
	Pod         string   // empty when no pod is behind it
	Namespace   string   // of the pod
	UID         string   // of the pod, where the EndpointSlice has it
	Node        string
	Zone        string
	Ready       bool // takes traffic
	Serving     bool // passes its readiness probe, also while it terminates
	Terminating bool
	Ports       []Port
}

// Port is the number of the endpoint's port with that name, or a [*NoPortError].
func (e *Endpoint) Port(name string) (int32, error) {
	number, err := portNamed(e.Ports, name)
	if err != nil {
		err.OfEndpoint = true
		return 0, err
	}
	return number, nil
}

// String is the address: printed whole, an endpoint is not a pointer, which
// would be another one at every start.
func (e *Endpoint) String() string { return e.Address }

// name is what endpoints are sorted and recognised by, where they have one.
func (e *Endpoint) name() string { return cmp.Or(e.Pod, e.Hostname) }

// compareEndpoints knows no two different endpoints that are equal: the order in
// which they come from a server must not show. Entries of one pod are those of a
// moment in which it moves; of these the newer comes first.
func compareEndpoints(a, b *Endpoint) int {
	if c := compareNames(a.name(), b.name()); c != 0 {
		return c
	}
	age, address := compareAge(a, b), compareNames(a.Address, b.Address)
	if a.Pod == "" || b.Pod == "" {
		age, address = address, age // there, it is the address that must not jump about
	}
	return cmp.Or(
		cmp.Compare(b.Pod, a.Pod), // a host name may be that of a pod
		compareNames(a.Namespace, b.Namespace),
		compareBool(isIPv6(a.Address), isIPv6(b.Address)),
		age, address,
		cmp.Compare(a.UID, b.UID),
		cmp.Compare(a.Hostname, b.Hostname),
		cmp.Compare(a.Node, b.Node),
		cmp.Compare(a.Zone, b.Zone),
		slices.CompareFunc(a.Ports, b.Ports, comparePorts),
		slices.Compare(a.Addresses, b.Addresses),
	)
}

// compareAge puts the newer first, as far as conditions tell: a pod becomes ready
// once, and ends once.
func compareAge(a, b *Endpoint) int {
	return cmp.Or(compareBool(b.Ready, a.Ready), compareBool(b.Serving, a.Serving), compareBool(a.Terminating, b.Terminating))
}

func isIPv6(address string) bool { return strings.Contains(address, ":") }

func comparePorts(a, b Port) int {
	return cmp.Or(
		compareNames(a.Name, b.Name),
		cmp.Compare(a.Port, b.Port),
		cmp.Compare(a.Protocol, b.Protocol),
		cmp.Compare(a.AppProtocol, b.AppProtocol),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// viewEndpointSlice keeps a slice's endpoints, sorted.
func viewEndpointSlice(o runtime.Object, f *faults) (string, any) {
	s := o.(*discoveryv1.EndpointSlice)
	ports := f.ports(slicePorts(s), isDNSLabel, true)
	all := make([]Endpoint, len(s.Endpoints))
	list := make([]*Endpoint, len(s.Endpoints))
	for i, e := range s.Endpoints {
		list[i] = &all[i]
		all[i] = Endpoint{
			Addresses: e.Addresses,
			Hostname:  value(e.Hostname),
			Node:      shared(value(e.NodeName)),
			Zone:      shared(value(e.Zone)),
			// Where the API says that nil is to be read as true, it is.
			Ready:       e.Conditions.Ready == nil || *e.Conditions.Ready,
			Serving:     e.Conditions.Serving == nil || *e.Conditions.Serving,
			Terminating: value(e.Conditions.Terminating),
			Ports:       ports,
		}
		if e.TargetRef != nil && e.TargetRef.Kind == kindPod {
			all[i].Pod = e.TargetRef.Name
			all[i].Namespace = shared(cmp.Or(e.TargetRef.Namespace, s.Namespace))
			all[i].UID = string(e.TargetRef.UID)
		}
	}
	list = f.endpoints(list, s.AddressType)
	slices.SortFunc(list, compareEndpoints)
	return s.Labels[discoveryv1.LabelServiceName], list
}

// slicePorts are the ports of a slice. One without a number stands for all ports,
// which is no port to connect to.
func slicePorts(s *discoveryv1.EndpointSlice) []Port {
	ports := make([]Port, 0, len(s.Ports))
	for _, p := range s.Ports {
		if p.Port != nil {
			ports = append(ports, Port{
				Name: value(p.Name), Port: *p.Port, Protocol: protocol(value(p.Protocol)), AppProtocol: value(p.AppProtocol),
			})
		}
	}
	return ports
}

// shared makes equal strings share their bytes: ten thousand endpoints live on
// a few nodes.
func shared(s string) string { return unique.Make(s).Value() }

// A membership is one service's endpoints, merged from its slices. It is
// brought up to date by what changed, in place: a service of ten thousand
// endpoints has a hundred slices, of which one change touches one.
type membership struct {
	slices  map[string]*record // by the slice's name, as merged
	members []member           // all, sorted
	list    []*Endpoint        // what templates see, until the next merge: one entry a member
}

type member struct {
	*Endpoint
	slice *record
}

// merge brings the membership up to date with the slices of its service.
func (m *membership) merge(now map[string]*record) {
	gone := map[*record]bool{}
	for name, old := range m.slices {
		if now[name] != old {
			gone[old] = true
		}
	}
	var added []member
	for name, r := range now {
		if m.slices[name] != r {
			for _, e := range r.view.([]*Endpoint) {
				added = append(added, member{e, r})
			}
		}
	}
	if len(gone) == 0 && len(added) == 0 {
		return
	}
	slices.SortFunc(added, compareMembers)
	if len(gone) > 0 {
		m.members = slices.DeleteFunc(m.members, func(old member) bool { return gone[old.slice] })
	}
	m.members = mergeMembers(m.members, added)
	m.list = distinct(m.list[:0], m.members)
	m.slices = maps.Clone(now)
}

func compareMembers(a, b member) int { return compareEndpoints(a.Endpoint, b.Endpoint) }

// mergeMembers merges added into old, both sorted, from their ends, so that it
// needs no room besides. Places are found by bisection: few come among many.
func mergeMembers(old, added []member) []member {
	merged := append(old, added...)
	end := len(merged)
	for i := len(added) - 1; i >= 0; i-- {
		at, _ := slices.BinarySearchFunc(old, added[i], compareMembers)
		end -= len(old) - at
		copy(merged[end:], old[at:])
		old = old[:at]
		end--
		merged[end] = added[i]
	}
	return merged
}

// distinct joins what is one member in several entries: a pod that is listed
// in two slices while it moves between them, or once per IP family.
func distinct(list []*Endpoint, members []member) []*Endpoint {
	for start := 0; start < len(members); {
		end := start + 1
		for end < len(members) && mayBeOne(members[start].Endpoint, members[end].Endpoint) {
			end++
		}
		first := members[start].Endpoint
		if first.Pod == "" || allOfOnePod(members[start:end]) {
			for _, m := range members[start+1 : end] {
				first = join(first, m.Endpoint)
			}
			list = append(list, first)
		} else {
			list = append(list, samePods(members[start:end])...)
		}
		start = end
	}
	return list
}

// mayBeOne says whether two entries that follow each other may be one member. Those
// without a pod then are.
func mayBeOne(a, b *Endpoint) bool {
	if a.Pod != "" || b.Pod != "" {
		return a.Pod == b.Pod && a.Namespace == b.Namespace
	}
	return a.Address == b.Address && a.Hostname == b.Hostname
}

func allOfOnePod(members []member) bool {
	for _, m := range members {
		if m.UID != members[0].UID {
			return false
		}
	}
	return true
}

// samePods are the members among entries of pods that have one name and namespace.
// Pods with other UIDs are others: those of other clusters, as long as they are ready.
// One that is not ready beside one that is was there before it, or will be after it. An
// entry without a UID belongs to the first that has one.
func samePods(entries []member) []*Endpoint {
	var pods []*Endpoint
	at := map[string]int{} // in pods, by UID
	for _, e := range entries {
		if e.UID == "" {
			continue
		}
		if i, known := at[e.UID]; known {
			pods[i] = join(pods[i], e.Endpoint)
			continue
		}
		at[e.UID] = len(pods)
		pods = append(pods, e.Endpoint)
	}
	for _, e := range entries {
		if e.UID == "" {
			pods[0] = join(pods[0], e.Endpoint)
		}
	}
	first := slices.IndexFunc(pods, func(e *Endpoint) bool { return e.Ready })
	if first < 0 {
		return pods
	}
	ready := pods[first]
	var others []*Endpoint
	for i, e := range pods {
		switch {
		case i == first:
		case e.Ready:
			others = append(others, e)
		default:
			ready = join(ready, e)
		}
	}
	return append([]*Endpoint{ready}, others...)
}

// join adds what b has and a lacks; a is the newer, and its are the ports where both
// have one of a name. Ports that come from several slices are sorted, since slices
// have no order.
func join(a, b *Endpoint) *Endpoint {
	first := *a
	first.Addresses = slices.Clone(a.Addresses)
	for _, address := range b.Addresses {
		if !slices.Contains(first.Addresses, address) {
			first.Addresses = append(first.Addresses, address)
		}
	}
	first.Ports = slices.Clone(a.Ports)
	for _, p := range b.Ports {
		if !slices.ContainsFunc(first.Ports, func(q Port) bool { return q.Name == p.Name }) {
			first.Ports = append(first.Ports, p)
		}
	}
	if len(first.Ports) > len(a.Ports) {
		slices.SortFunc(first.Ports, comparePorts)
	}
	first.Ready = a.Ready || b.Ready
	first.Serving = a.Serving || b.Serving
	first.Terminating = a.Terminating && b.Terminating
	return &first
}
