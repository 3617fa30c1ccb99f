package watcher

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	kube "github.com/kconfd/kconfd/test/cluster"
)

// endpointsCases are slices of service "web", and what templates see of them.
func endpointsCases() map[string]endpointsCase {
	port := func(name string, number int32) discoveryv1.EndpointPort {
		return discoveryv1.EndpointPort{Name: &name, Port: &number, Protocol: new(corev1.ProtocolTCP)}
	}
	return map[string]endpointsCase{
		"every field": {
			[]*discoveryv1.EndpointSlice{edit(sliceOf("web-0", "10.0.0.1"), func(s *discoveryv1.EndpointSlice) {
				s.Ports[0].AppProtocol = new("kubernetes.io/h2c")
				s.Endpoints[0].Hostname = new("web-0-0")
			})},
			[]*Endpoint{{
				Address: "10.0.0.1", Addresses: []string{"10.0.0.1"}, Hostname: "web-0-0", Pod: "web-0-0",
				Node: "node-0", Zone: "zone-0", Ready: true, Serving: true,
				Ports: []Port{{Name: "http", Port: 8080, Protocol: "TCP", AppProtocol: "kubernetes.io/h2c"}},
			}},
		},
		"pods in the order of their numbers": {
			[]*discoveryv1.EndpointSlice{
				podNames(sliceOf("a", "10.0.0.1", "10.0.0.2"), "web-10", "web-2"),
				podNames(sliceOf("b", "10.0.0.3", "10.0.0.4"), "web-1", "web-11"),
			},
			[]*Endpoint{seen("web-1", "10.0.0.3"), seen("web-2", "10.0.0.2"), seen("web-10", "10.0.0.1"), seen("web-11", "10.0.0.4")},
		},
		"addresses without pods in order": {
			[]*discoveryv1.EndpointSlice{bare(sliceOf("a", "10.0.0.10", "10.0.0.9", "10.0.0.1"))},
			[]*Endpoint{seen("", "10.0.0.1"), seen("", "10.0.0.9"), seen("", "10.0.0.10")},
		},
		"host names where there are no pods": {
			[]*discoveryv1.EndpointSlice{edit(bare(sliceOf("a", "10.0.0.1", "10.0.0.2")), func(s *discoveryv1.EndpointSlice) {
				s.Endpoints[0].Hostname, s.Endpoints[1].Hostname = new("db-10"), new("db-9")
			})},
			[]*Endpoint{
				seenWith(seen("", "10.0.0.2"), func(e *Endpoint) { e.Hostname = "db-9" }),
				seenWith(seen("", "10.0.0.1"), func(e *Endpoint) { e.Hostname = "db-10" }),
			},
		},
		"what refers to something else has no pod": {
			[]*discoveryv1.EndpointSlice{edit(bare(sliceOf("a", "10.0.0.1")), func(s *discoveryv1.EndpointSlice) {
				s.Endpoints[0].TargetRef = &corev1.ObjectReference{Kind: "VirtualMachine", Name: "vm-1"}
			})},
			[]*Endpoint{seen("", "10.0.0.1")},
		},
		"conditions": {
			[]*discoveryv1.EndpointSlice{edit(podNames(sliceOf("a", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"),
				"not-said", "ready", "starting", "stopping", "unready-and-no-more-said"), func(s *discoveryv1.EndpointSlice) {
				s.Endpoints[0].Conditions = discoveryv1.EndpointConditions{}
				kube.NotReady(&s.Endpoints[2])
				kube.Terminating(&s.Endpoints[3])
				s.Endpoints[4].Conditions = discoveryv1.EndpointConditions{Ready: new(false)}
			})},
			[]*Endpoint{
				seen("not-said", "10.0.0.1"),
				seen("ready", "10.0.0.2"),
				seenWith(seen("starting", "10.0.0.3"), func(e *Endpoint) { e.Ready, e.Serving = false, false }),
				seenWith(seen("stopping", "10.0.0.4"), func(e *Endpoint) { e.Ready, e.Terminating = false, true }),
				seenWith(seen("unready-and-no-more-said", "10.0.0.5"), func(e *Endpoint) { e.Ready = false }),
			},
		},
		"two IP families, IPv4 first": {
			[]*discoveryv1.EndpointSlice{
				podNames(sliceOf("a", "fd00::1", "fd00::2"), "web-0", "web-1"),
				podNames(sliceOf("b", "10.0.0.1", "10.0.0.2"), "web-0", "web-1"),
			},
			[]*Endpoint{seen("web-0", "10.0.0.1", "fd00::1"), seen("web-1", "10.0.0.2", "fd00::2")},
		},
		"IPv6 alone": {
			[]*discoveryv1.EndpointSlice{podNames(sliceOf("a", "2001:db8:0:1::5", "2001:db8::9"), "web-1", "web-0")},
			[]*Endpoint{seen("web-0", "2001:db8::9"), seen("web-1", "2001:db8:0:1::5")},
		},
		"IPv6 without pods, in the order of addresses": {
			[]*discoveryv1.EndpointSlice{bare(sliceOf("a", "2001:db9::1", "2001:db8:0:1::5"))},
			[]*Endpoint{seen("", "2001:db8:0:1::5"), seen("", "2001:db9::1")},
		},
		"a pod in two slices while it moves": {
			[]*discoveryv1.EndpointSlice{
				podNames(sliceOf("a", "10.0.0.1"), "web-0"),
				edit(podNames(sliceOf("b", "10.0.0.1"), "web-0"), func(s *discoveryv1.EndpointSlice) { kube.NotReady(&s.Endpoints[0]) }),
			},
			[]*Endpoint{seen("web-0", "10.0.0.1")},
		},
		"a pod that came back with another address": {
			[]*discoveryv1.EndpointSlice{
				edit(podNames(sliceOf("a", "10.0.0.1"), "web-0"), func(s *discoveryv1.EndpointSlice) { kube.Terminating(&s.Endpoints[0]) }),
				podNames(sliceOf("b", "10.0.0.2"), "web-0"),
			},
			[]*Endpoint{seen("web-0", "10.0.0.2", "10.0.0.1")},
		},
		"pods of one name in two clusters": {
			[]*discoveryv1.EndpointSlice{
				of(podNames(sliceOf("a", "10.0.0.1"), "web-0"), "", "1"),
				of(podNames(sliceOf("b", "10.1.0.1"), "web-0"), "", "2"),
			},
			[]*Endpoint{seenOf(seen("web-0", "10.0.0.1"), "", "1"), seenOf(seen("web-0", "10.1.0.1"), "", "2")},
		},
		"pods of one name in two namespaces": {
			[]*discoveryv1.EndpointSlice{
				of(podNames(sliceOf("a", "10.0.0.2"), "web-0"), "east", "1"),
				of(podNames(sliceOf("b", "10.0.0.1"), "web-0"), "west", "2"),
				edit(of(podNames(sliceOf("c", "10.0.0.3"), "web-0"), "north", "3"), func(s *discoveryv1.EndpointSlice) { kube.NotReady(&s.Endpoints[0]) }),
			},
			[]*Endpoint{
				seenOf(seen("web-0", "10.0.0.2"), "east", "1"),
				seenWith(seenOf(seen("web-0", "10.0.0.3"), "north", "3"), func(e *Endpoint) { e.Ready, e.Serving = false, false }),
				seenOf(seen("web-0", "10.0.0.1"), "west", "2"),
			},
		},
		"pods of one name with one address in two clusters": {
			[]*discoveryv1.EndpointSlice{
				of(podNames(sliceOf("a", "10.0.0.1"), "web-0"), "", "1"),
				of(podNames(sliceOf("b", "10.0.0.1"), "web-0"), "", "2"),
			},
			[]*Endpoint{seenOf(seen("web-0", "10.0.0.1"), "", "1"), seenOf(seen("web-0", "10.0.0.1"), "", "2")},
		},
		"two clusters with two IP families each": {
			[]*discoveryv1.EndpointSlice{
				of(podNames(sliceOf("a", "fd00::1"), "web-0"), "", "1"), of(podNames(sliceOf("b", "10.0.0.1"), "web-0"), "", "1"),
				of(podNames(sliceOf("c", "fd01::1"), "web-0"), "", "2"), of(podNames(sliceOf("d", "10.1.0.1"), "web-0"), "", "2"),
			},
			[]*Endpoint{seenOf(seen("web-0", "10.0.0.1", "fd00::1"), "", "1"), seenOf(seen("web-0", "10.1.0.1", "fd01::1"), "", "2")},
		},
		"a new pod of the same name": {
			[]*discoveryv1.EndpointSlice{
				edit(of(podNames(sliceOf("a", "10.0.0.1"), "web-0"), "", "1"), func(s *discoveryv1.EndpointSlice) { kube.Terminating(&s.Endpoints[0]) }),
				of(podNames(sliceOf("b", "10.0.0.2"), "web-0"), "", "2"),
			},
			[]*Endpoint{seenOf(seen("web-0", "10.0.0.2", "10.0.0.1"), "", "2")},
		},
		"two pods of one name, and neither is ready": {
			[]*discoveryv1.EndpointSlice{
				edit(of(podNames(sliceOf("a", "10.0.0.1"), "web-0"), "", "1"), func(s *discoveryv1.EndpointSlice) { kube.Terminating(&s.Endpoints[0]) }),
				edit(of(podNames(sliceOf("b", "10.0.0.2"), "web-0"), "", "2"), func(s *discoveryv1.EndpointSlice) { kube.NotReady(&s.Endpoints[0]) }),
			},
			[]*Endpoint{
				seenWith(seenOf(seen("web-0", "10.0.0.1"), "", "1"), func(e *Endpoint) { e.Ready, e.Terminating = false, true }),
				seenWith(seenOf(seen("web-0", "10.0.0.2"), "", "2"), func(e *Endpoint) { e.Ready, e.Serving = false, false }),
			},
		},
		"a slice that has no UID": {
			[]*discoveryv1.EndpointSlice{
				podNames(sliceOf("a", "fd00::1"), "web-0"),
				of(podNames(sliceOf("b", "10.0.0.1"), "web-0"), "", "1"),
				of(podNames(sliceOf("c", "10.1.0.1"), "web-0"), "", "2"),
			},
			[]*Endpoint{seenOf(seen("web-0", "10.0.0.1", "fd00::1"), "", "1"), seenOf(seen("web-0", "10.1.0.1"), "", "2")},
		},
		"two numbers for one name of one pod": {
			[]*discoveryv1.EndpointSlice{
				edit(podNames(sliceOf("a", "10.0.0.1"), "web-0"), func(s *discoveryv1.EndpointSlice) {
					s.Ports[0].Port = new(int32(9090))
					kube.NotReady(&s.Endpoints[0])
				}),
				podNames(sliceOf("b", "10.0.0.1"), "web-0"),
			},
			[]*Endpoint{seen("web-0", "10.0.0.1")},
		},
		"a port without a number": {
			[]*discoveryv1.EndpointSlice{edit(podNames(sliceOf("a", "10.0.0.1"), "web-0"), func(s *discoveryv1.EndpointSlice) {
				s.Ports = []discoveryv1.EndpointPort{{Name: new("http")}, port("admin", 9000)}
			})},
			[]*Endpoint{seenWith(seen("web-0", "10.0.0.1"), func(e *Endpoint) { e.Ports = []Port{{Name: "admin", Port: 9000, Protocol: "TCP"}} })},
		},
		"ports that differ per slice": {
			[]*discoveryv1.EndpointSlice{
				podNames(sliceOf("a", "10.0.0.1"), "web-0"),
				edit(podNames(sliceOf("b", "10.0.0.2"), "web-1"), func(s *discoveryv1.EndpointSlice) { s.Ports[0].Port = new(int32(9090)) }),
			},
			[]*Endpoint{
				seen("web-0", "10.0.0.1"),
				seenWith(seen("web-1", "10.0.0.2"), func(e *Endpoint) { e.Ports[0].Port = 9090 }),
			},
		},
		"ports of one address in several slices": {
			[]*discoveryv1.EndpointSlice{
				edit(bare(sliceOf("a", "10.0.0.1")), func(s *discoveryv1.EndpointSlice) { s.Ports = []discoveryv1.EndpointPort{port("metrics", 9090)} }),
				bare(sliceOf("b", "10.0.0.1")),
				edit(bare(sliceOf("c", "10.0.0.1")), func(s *discoveryv1.EndpointSlice) { s.Ports = []discoveryv1.EndpointPort{port("admin", 1)} }),
			},
			[]*Endpoint{seenWith(seen("", "10.0.0.1"), func(e *Endpoint) {
				e.Ports = []Port{
					{Name: "admin", Port: 1, Protocol: "TCP"}, {Name: "http", Port: 8080, Protocol: "TCP"}, {Name: "metrics", Port: 9090, Protocol: "TCP"},
				}
			})},
		},
		"ports of one pod in several slices": {
			[]*discoveryv1.EndpointSlice{
				edit(podNames(sliceOf("a", "10.0.0.1"), "web-0"), func(s *discoveryv1.EndpointSlice) { s.Ports = []discoveryv1.EndpointPort{port("metrics", 9090)} }),
				edit(podNames(sliceOf("b", "10.0.0.1"), "web-0"), func(s *discoveryv1.EndpointSlice) { kube.NotReady(&s.Endpoints[0]) }),
			},
			[]*Endpoint{seenWith(seen("web-0", "10.0.0.1"), func(e *Endpoint) {
				e.Ports = append(e.Ports, Port{Name: "metrics", Port: 9090, Protocol: "TCP"})
			})},
		},
		"names instead of addresses": {
			[]*discoveryv1.EndpointSlice{edit(bare(sliceOf("a", "10.0.0.1", "10.0.0.2")), func(s *discoveryv1.EndpointSlice) {
				s.AddressType = discoveryv1.AddressTypeFQDN
				s.Endpoints[0].Addresses, s.Endpoints[1].Addresses = []string{"db10.example.com"}, []string{"db9.example.com"}
			})},
			[]*Endpoint{seen("", "db9.example.com"), seen("", "db10.example.com")},
		},
		"slices without endpoints": {
			[]*discoveryv1.EndpointSlice{sliceOf("a"), edit(sliceOf("b"), func(s *discoveryv1.EndpointSlice) { s.Ports = nil })},
			nil,
		},
		"a slice without ports": {
			[]*discoveryv1.EndpointSlice{edit(podNames(sliceOf("a", "10.0.0.1"), "web-0"), func(s *discoveryv1.EndpointSlice) { s.Ports = nil })},
			[]*Endpoint{seenWith(seen("web-0", "10.0.0.1"), func(e *Endpoint) { e.Ports = nil })},
		},
		"a port with nothing but a number": {
			[]*discoveryv1.EndpointSlice{edit(podNames(sliceOf("a", "10.0.0.1"), "web-0"), func(s *discoveryv1.EndpointSlice) {
				s.Ports = []discoveryv1.EndpointPort{{Port: new(int32(80))}}
			})},
			[]*Endpoint{seenWith(seen("web-0", "10.0.0.1"), func(e *Endpoint) { e.Ports = []Port{{Port: 80, Protocol: "TCP"}} })},
		},
	}
}
