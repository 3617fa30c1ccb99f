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
