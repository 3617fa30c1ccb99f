package watcher

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	kube "github.com/kconfd/kconfd/test/cluster"
)

// An endpointsCase is a service's slices and what templates see of them.
type endpointsCase struct {
	slices []*discoveryv1.EndpointSlice
	want   []*Endpoint
}

// sliceOf is a slice of service "web" in no namespace yet.
func sliceOf(name string, addresses ...string) *discoveryv1.EndpointSlice {
	return kube.Slice("", "web", name, addresses...)
}

// edit changes a slice's endpoints and ports.
func edit(s *discoveryv1.EndpointSlice, change func(*discoveryv1.EndpointSlice)) *discoveryv1.EndpointSlice {
	change(s)
	return s
}

// podNames makes the slice's endpoints those of the pods.
func podNames(s *discoveryv1.EndpointSlice, names ...string) *discoveryv1.EndpointSlice {
	for i, name := range names {
		s.Endpoints[i].TargetRef.Name = name
		s.Endpoints[i].Hostname = nil
		s.Endpoints[i].NodeName = nil
		s.Endpoints[i].Zone = nil
	}
	return s
}

// bare makes the endpoints addresses without a pod.
func bare(s *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	for i := range s.Endpoints {
		s.Endpoints[i] = discoveryv1.Endpoint{Addresses: s.Endpoints[i].Addresses}
	}
	return s
}

// of makes the slice's pods those of a namespace and with that UID.
func of(s *discoveryv1.EndpointSlice, namespace string, uid types.UID) *discoveryv1.EndpointSlice {
	for i := range s.Endpoints {
		s.Endpoints[i].TargetRef.Namespace, s.Endpoints[i].TargetRef.UID = namespace, uid
	}
	return s
}

func seenOf(e *Endpoint, namespace, uid string) *Endpoint {
	e.Namespace, e.UID = namespace, uid
	return e
}

// seen is an endpoint that is ready and has the usual port.
func seen(pod string, addresses ...string) *Endpoint {
	return &Endpoint{
		Address: addresses[0], Addresses: addresses, Pod: pod, Ready: true, Serving: true,
		Ports: []Port{{Name: "http", Port: 8080, Protocol: "TCP"}},
	}
}

func seenWith(e *Endpoint, change func(*Endpoint)) *Endpoint {
	change(e)
	return e
}

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

func TestEndpoints(t *testing.T) {
	tests := map[string]func(*testing.T, world){}
	for name := range endpointsCases() {
		tests[name] = func(t *testing.T, w world) {
			c := endpointsCases()[name]
			for _, s := range c.slices {
				s = s.DeepCopy()
				s.Namespace = w.namespace()
				w.put(t, s)
			}
			for _, e := range c.want {
				if e.Pod != "" {
					e.Namespace = cmp.Or(e.Namespace, w.namespace())
				}
			}
			watcher := w.watcher(t)
			start(t, watcher)
			p := newPage(watcher, func(r *Reader) ([]*Endpoint, error) { return r.endpointsOf("web") })
			p.awaitGot(t, c.want)
		}
	}
	inBothWorlds(t, tests)
}

// An API server refuses these; whoever writes manifests by hand may not know.
func TestEndpointWithoutAddress(t *testing.T) {
	s := sliceOf("a", "10.0.0.1", "10.0.0.2")
	s.Endpoints[0].Addresses = nil
	_, view := viewEndpointSlice(s, &faults{})
	got := view.([]*Endpoint)
	if len(got) != 1 || got[0].Address != "10.0.0.2" {
		t.Errorf("got %v, want the one with an address", got)
	}
}

func TestReady(t *testing.T) {
	a, b, c := seen("a", "10.0.0.1"), seen("b", "10.0.0.2"), seen("c", "10.0.0.3")
	b.Ready = false
	if d := diff([]*Endpoint{a, c}, ready([]*Endpoint{a, b, c})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// What has no such port is left out; a port without a number is no port, and so is
// none of any number.
func TestWithPort(t *testing.T) {
	web, admin, both, none := seen("web", "10.0.0.1"), seen("admin", "10.0.0.2"), seen("both", "10.0.0.3"), seen("none", "10.0.0.4")
	admin.Ports = []Port{{Name: "admin", Port: 9000, Protocol: "TCP"}}
	both.Ports = append(both.Ports, Port{Port: 9000, Protocol: "TCP"})
	none.Ports = nil
	all := []*Endpoint{web, admin, both, none}
	for name, test := range map[string]struct {
		port any
		want []*Endpoint
		err  string
	}{
		"a name":                   {"http", []*Endpoint{web, both}, ""},
		"another name":             {"admin", []*Endpoint{admin}, ""},
		"the nameless one":         {"", []*Endpoint{both}, ""},
		"any":                      {"*", []*Endpoint{web, admin, both}, ""},
		"no such name":             {"https", nil, ""},
		"a number":                 {9000, []*Endpoint{admin, both}, ""},
		"a number of another type": {int64(8080), []*Endpoint{web, both}, ""},
		"a number of YAML":         {float64(8080), []*Endpoint{web, both}, ""},
		"no such number":           {uint16(80), nil, ""},
		"a number as text":         {"8080", nil, ""}, // is a name too
		"no port's number":         {0, nil, "want the name of a port or its number, 1 to 65535, not 0"},
		"a fraction":               {80.5, nil, "want the name of a port or its number, 1 to 65535, not 80.5"},
		"beyond all ports":         {1 << 16, nil, "want the name of a port or its number, 1 to 65535, not 65536"},
		"nothing":                  {nil, nil, "want the name of a port or its number, 1 to 65535, not <nil>"},
		"no name":                  {"http {", nil, `"http {" is no name of a port`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := withPort(test.port, all)
			if errorText(err) != test.err {
				t.Errorf("got error %v, want %q", err, test.err)
			}
			if d := diff(test.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// A hostile slice has one pod's name ten thousand times.
func TestManyPodsOfOneName(t *testing.T) {
	var members []member
	for i := range 10_000 {
		e := seenOf(seen("web-0", fmt.Sprintf("10.0.%d.%d", i/250, i%250)), "default", fmt.Sprint(i))
		e.Ready = i%3 > 0
		members = append(members, member{e, nil})
	}
	slices.SortFunc(members, compareMembers)
	allocs := testing.AllocsPerRun(1, func() {
		if got, want := len(distinct(nil, members)), 6666; got != want {
			t.Errorf("got %d members, want %d", got, want)
		}
	})
	if allocs > 100_000 {
		t.Errorf("%v allocations", allocs)
	}
}

// detachedFeed is a feed that the test fills itself.
func detachedFeed(n need) (*Watcher, *feed) {
	w := newWatcher(offline{}, "default", (&logBook{}).logger())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.add(n.narrow())
	return w, w.feeds[n.narrow()]
}

// The order in which objects, and the endpoints in them, come from a server is
// no order at all.
func TestShuffledSlicesGiveOneList(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	slicesOf := crowdedSlices()
	var want []*Endpoint
	for i := range 100 {
		random.Shuffle(len(slicesOf), func(i, j int) { slicesOf[i], slicesOf[j] = slicesOf[j], slicesOf[i] })
		list := make([]any, 0, len(slicesOf))
		for _, s := range slicesOf {
			s = s.DeepCopy()
			random.Shuffle(len(s.Endpoints), func(i, j int) { s.Endpoints[i], s.Endpoints[j] = s.Endpoints[j], s.Endpoints[i] })
			list = append(list, s)
		}
		w, f := detachedFeed(typedNeed(kindEndpointSlice, "default", "web", ""))
		if err := f.Replace(list, ""); err != nil {
			t.Fatal(err)
		}
		w.mu.Lock()
		got := f.endpoints("web")
		w.mu.Unlock()
		if i == 0 {
			want = got
		}
		if d := diff(want, got); d != "" {
			t.Fatalf("shuffle %d differs from the first (-first +this):\n%s", i, d)
		}
	}
}

// crowdedSlices have pods in several slices, with different ports, families,
// conditions and names that are equal but for zeros.
func crowdedSlices() []*discoveryv1.EndpointSlice {
	var all []*discoveryv1.EndpointSlice
	for n := range 8 {
		s := sliceOf(fmt.Sprintf("s%d", n))
		s.Namespace = "default"
		s.Ports[0].Port = new(int32(8080 + n%3))
		for i := range 12 {
			all := []string{fmt.Sprintf("10.0.0.%d", i), fmt.Sprintf("fd00::%d", i)}
			e := discoveryv1.Endpoint{
				Addresses:  []string{all[n%2]},
				NodeName:   new(fmt.Sprintf("node-%d", n)),
				TargetRef:  &corev1.ObjectReference{Kind: "Pod", Name: fmt.Sprintf("web-%0*d", 1+n%2, i), UID: types.UID(fmt.Sprint(n % 5))},
				Conditions: discoveryv1.EndpointConditions{Ready: new(n%4 == 0), Terminating: new(n%3 == 0)},
			}
			if i%4 == 3 {
				e.TargetRef, e.Hostname = nil, new(fmt.Sprintf("web-%d", i-1))
			}
			s.Endpoints = append(s.Endpoints, e)
		}
		all = append(all, s)
	}
	return all
}

// Without one order for any three endpoints, merging and sorting anew would not
// come to the same.
func TestOrderOfEndpointsIsTotal(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var all []*Endpoint
	for len(all) < 150 {
		_, view := viewEndpointSlice(randomSlice(random), &faults{})
		all = append(all, view.([]*Endpoint)...)
	}
	for _, a := range all {
		for _, b := range all {
			ab := compareEndpoints(a, b)
			if ab != -compareEndpoints(b, a) || (ab == 0) != reflect.DeepEqual(a, b) {
				t.Fatalf("%v and %v are not in one order", a, b)
			}
			if ab >= 0 {
				continue
			}
			for _, c := range all {
				if compareEndpoints(b, c) < 0 && compareEndpoints(a, c) >= 0 {
					t.Fatalf("%v < %v < %v, and not the first < the last", a, b, c)
				}
			}
		}
	}
}

// What a thousand changes, one by one, have made of a list is what a fresh
// start would make of it.
func TestMergedListIsTheListMadeAnew(t *testing.T) {
	for seed := range uint64(2) {
		random := rand.New(rand.NewPCG(seed, 7))
		now := map[string]*record{}
		var m membership
		for change := range 1000 {
			changeSlices(random, now)
			m.merge(now)
			if want := madeAnew(now); !reflect.DeepEqual(want, append([]*Endpoint(nil), m.list...)) {
				t.Fatalf("seed %d, after %d changes (-anew +merged):\n%s", seed, change+1, diff(want, m.list))
			}
		}
	}
}

// changeSlices adds, replaces or removes one slice or a few.
func changeSlices(random *rand.Rand, now map[string]*record) {
	for range 1 + random.IntN(3) {
		name := fmt.Sprintf("default/s%d", random.IntN(10))
		if random.IntN(4) == 0 {
			delete(now, name)
			continue
		}
		_, view := viewEndpointSlice(randomSlice(random), &faults{})
		now[name] = &record{view: view}
	}
}

// randomSlice has few names to choose from, so that slices often share a pod.
func randomSlice(random *rand.Rand) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: "any"}}
	for range random.IntN(3) {
		s.Ports = append(s.Ports, discoveryv1.EndpointPort{
			Name: new(fmt.Sprintf("p%d", random.IntN(3))), Port: new(int32(random.IntN(3))),
		})
	}
	for range random.IntN(12) {
		e := discoveryv1.Endpoint{
			Addresses:  []string{fmt.Sprintf("10.0.0.%d", random.IntN(20))},
			NodeName:   new(fmt.Sprintf("node-%d", random.IntN(2))),
			Conditions: discoveryv1.EndpointConditions{Ready: new(random.IntN(2) == 0), Serving: new(random.IntN(2) == 0)},
		}
		if random.IntN(3) == 0 {
			e.Addresses = []string{fmt.Sprintf("fd00::%d", random.IntN(20))}
		}
		switch random.IntN(3) {
		case 0:
			e.Hostname = new(fmt.Sprintf("web-%d", random.IntN(15)))
		default:
			e.TargetRef = &corev1.ObjectReference{
				Kind: "Pod", Name: fmt.Sprintf("web-%d", random.IntN(15)),
				Namespace: []string{"", "a", "b"}[random.IntN(3)], UID: types.UID([]string{"", "1", "2"}[random.IntN(3)]),
			}
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	return s
}

// madeAnew is the list in the simplest way: all of them, sorted, then joined.
func madeAnew(now map[string]*record) []*Endpoint {
	var all []member
	for _, r := range now {
		for _, e := range r.view.([]*Endpoint) {
			all = append(all, member{e, r})
		}
	}
	slices.SortFunc(all, compareMembers)
	return distinct(nil, all)
}

// Templates keep what they were given until they end: a later change must not
// reach into it, and one that is undone must leave no trace.
func TestMergeLeavesSlicesAlone(t *testing.T) {
	_, view := viewEndpointSlice(podNames(sliceOf("a", "10.0.0.1"), "web-0"), &faults{})
	_, other := viewEndpointSlice(podNames(sliceOf("b", "fd00::1"), "web-0"), &faults{})
	alone := map[string]*record{"a": {view: view}}
	both := maps.Clone(alone)
	both["b"] = &record{view: other}

	var m membership
	for _, step := range []struct {
		now  map[string]*record
		want []*Endpoint
	}{
		{alone, []*Endpoint{seen("web-0", "10.0.0.1")}},
		{both, []*Endpoint{seen("web-0", "10.0.0.1", "fd00::1")}},
		{alone, []*Endpoint{seen("web-0", "10.0.0.1")}},
		{nil, nil},
	} {
		m.merge(step.now)
		if d := diff(step.want, m.list); d != "" {
			t.Fatalf("with %d slices (-want +got):\n%s", len(step.now), d)
		}
	}
	if len(m.members) != 0 || len(m.slices) != 0 {
		t.Errorf("%d members and %d slices are left of a service without any", len(m.members), len(m.slices))
	}
}

// What is joined is made anew: the same entry may be joined with another next.
func TestJoinLeavesItsPartsAlone(t *testing.T) {
	spare := func(e *Endpoint) *Endpoint { // as decoders leave it
		e.Addresses = append(make([]string, 0, 8), e.Addresses...)
		e.Ports = append(make([]Port, 0, 8), e.Ports...)
		return e
	}
	a := spare(seen("web-0", "10.0.0.1"))
	b, c := seen("web-0", "fd00::1"), seen("web-0", "fd00::2")
	b.Ports, c.Ports = []Port{{Name: "b", Port: 1}}, []Port{{Name: "c", Port: 2}}
	first := join(a, b)
	want := []any{[]string{"10.0.0.1", "fd00::1"}, []Port{{Name: "b", Port: 1}, a.Ports[0]}}
	join(a, c)
	if d := diff(want, []any{first.Addresses, first.Ports}); d != "" {
		t.Errorf("after another join (-want +got):\n%s", d)
	}
	if d := diff(spare(seen("web-0", "10.0.0.1")), a); d != "" {
		t.Errorf("the part itself (-want +got):\n%s", d)
	}
}

// A controller that lists the same endpoints in another order has no news.
func TestOrderWithinASliceIsNoNews(t *testing.T) {
	s := podNames(sliceOf("a", "10.0.0.1", "10.0.0.2", "10.0.0.3"), "web-0", "web-1", "web-2")
	_, before := viewEndpointSlice(s, &faults{})
	slices.Reverse(s.Endpoints)
	if _, after := viewEndpointSlice(s, &faults{}); !reflect.DeepEqual(before, after) {
		t.Errorf("(-before +after):\n%s", diff(before, after))
	}
}

// A slice that is given to another service leaves the first.
func TestSliceChangesItsService(t *testing.T) {
	w, f := detachedFeed(typedNeed(kindEndpointSlice, "default", "", ""))
	slice := sliceOf("a", "10.0.0.1")
	slice.Namespace = "default"
	put := func(service string) {
		s := slice.DeepCopy()
		s.Labels[discoveryv1.LabelServiceName] = service
		var o runtime.Object = s
		if err := f.Update(o); err != nil {
			t.Fatal(err)
		}
	}
	counts := func() [2]int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return [2]int{len(f.endpoints("web")), len(f.endpoints("db"))}
	}
	put("web")
	if got, want := counts(), [2]int{1, 0}; got != want {
		t.Errorf("at first: got %v, want %v", got, want)
	}
	put("db")
	if got, want := counts(), [2]int{0, 1}; got != want {
		t.Errorf("afterwards: got %v, want %v", got, want)
	}
}
