package watcher

import (
	"fmt"
	"slices"
	"testing"
)

func TestDependencyReadsAsAPersonWouldSayIt(t *testing.T) {
	tests := map[string]Dependency{
		`Secret "db" in namespace "prod"`:                    {APIVersion: "v1", Kind: "Secret", Namespace: "prod", Name: "db"},
		`endpoints of service "web" in namespace "prod"`:     {APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice", Namespace: "prod", Name: "web"},
		`all EndpointSlices in namespace "prod"`:             {APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice", Namespace: "prod"},
		`Pods with labels "app=web" in namespace "prod"`:     {APIVersion: "v1", Kind: "Pod", Namespace: "prod", Selector: "app=web"},
		`all Pods in namespace "prod"`:                       {APIVersion: "v1", Kind: "Pod", Namespace: "prod"},
		`Node "a"`:                                           {APIVersion: "v1", Kind: "Node", Name: "a"},
		`all Nodes`:                                          {APIVersion: "v1", Kind: "Node"},
		`Nodes with labels "zone in (a,b)"`:                  {APIVersion: "v1", Kind: "Node", Selector: "zone in (a,b)"},
		`Thing "x" in namespace "prod"`:                      {APIVersion: "example.com/v1", Kind: "Thing", Namespace: "prod", Name: "x"},
		`Pods with labels "a=b,c!=d" in namespace "default"`: {APIVersion: "v1", Kind: "Pod", Namespace: "default", Selector: "a=b,c!=d"},
	}
	for want, d := range tests {
		if got := d.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestIncompleteErrorNamesThreeAndCountsTheOthers(t *testing.T) {
	pod := func(name string) Dependency { return Dependency{Kind: "Pod", Name: name} }
	tests := map[string][]Dependency{
		`waiting for Pod "a"`:                                 {pod("a")},
		`waiting for Pod "a", Pod "b", Pod "c"`:               {pod("a"), pod("b"), pod("c")},
		`waiting for Pod "a", Pod "b", Pod "c" and 2 more`:    {pod("a"), pod("b"), pod("c"), pod("d"), pod("e")},
		`waiting for Pod "a", Secret "b" in namespace "prod"`: {pod("a"), {Kind: "Secret", Name: "b", Namespace: "prod"}},
	}
	for want, pending := range tests {
		if got := (&IncompleteError{pending}).Error(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// One that is named alone is watched alone; from two on, what may be shared
// is. What is secret, and what lookup reads by name, is never shared.
func TestPlan(t *testing.T) {
	byName := func(kind string, names ...string) (needs []need) {
		for _, name := range names {
			needs = append(needs, typedNeed(kind, "shop", name, ""))
		}
		return needs
	}
	lookup := func(kind string, names ...string) (needs []need) {
		for _, name := range names {
			needs = append(needs, need{Dependency{APIVersion: "v1", Kind: kind, Namespace: "shop", Name: name}, true})
		}
		return needs
	}
	tests := map[string]struct {
		needs []need
		want  []string // kind, labels, name of each watch
	}{
		"one service's endpoints":     {byName(kindEndpointSlice, "web"), []string{"EndpointSlice kubernetes.io/service-name=web "}},
		"two services' endpoints":     {byName(kindEndpointSlice, "web", "db"), []string{"EndpointSlice  "}},
		"one of each":                 {slices.Concat(byName(kindPod, "a"), byName(kindService, "a")), []string{"Pod  a", "Service  a"}},
		"two pods":                    {byName(kindPod, "a", "b"), []string{"Pod  "}},
		"two services":                {byName(kindService, "a", "b"), []string{"Service  "}},
		"two stateful sets":           {byName(kindStatefulSet, "a", "b"), []string{"StatefulSet  "}},
		"two Secrets":                 {byName(kindSecret, "a", "b"), []string{"Secret  a", "Secret  b"}},
		"two ConfigMaps":              {byName(kindConfigMap, "a", "b"), []string{"ConfigMap  a", "ConfigMap  b"}},
		"two of lookup":               {lookup("Pod", "a", "b"), []string{"Pod  a untyped", "Pod  b untyped"}},
		"a slice of lookup":           {lookup(kindEndpointSlice, "web-x"), []string{"EndpointSlice  web-x untyped"}},
		"all of lookup, and one":      {lookup("Pod", "a", ""), []string{"Pod   untyped", "Pod  a untyped"}},
		"lookup and a view":           {slices.Concat(lookup("Pod", "a"), byName(kindPod, "a")), []string{"Pod  a", "Pod  a untyped"}},
		"a selection and one by name": {append(byName(kindPod, "a"), typedNeed(kindPod, "shop", "", "app=web")), []string{"Pod  a", "Pod app=web "}},
		"two selections":              {[]need{typedNeed(kindPod, "shop", "", "app=web"), typedNeed(kindPod, "shop", "", "app=db")}, []string{"Pod app=db ", "Pod app=web "}},
		"two namespaces": {
			[]need{typedNeed(kindPod, "shop", "a", ""), typedNeed(kindPod, "prod", "a", "")},
			[]string{"Pod  a", "Pod  a in prod"},
		},
		"nothing": {},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			needs := map[need]bool{}
			for _, n := range test.needs {
				needs[n] = true
			}
			watches := map[string]bool{}
			for n, key := range plan(needs) {
				if !key.answers(n) {
					t.Errorf("%s is to be answered by %s", n, key.dependency())
				}
				watches[describe(key)] = true
			}
			var got []string
			for w := range watches {
				got = append(got, w)
			}
			slices.Sort(got)
			if d := diff(test.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func describe(k watchKey) string {
	s := fmt.Sprintf("%s %s %s", k.gvk.Kind, k.labels, k.name)
	if k.untyped {
		s += " untyped"
	}
	if k.namespace != "shop" {
		s += " in " + k.namespace
	}
	return s
}

// The watch of a service's EndpointSlices is named after the service, others that
// happen to select by the same label are not.
func TestWatchIsNamedAfterWhatItIsFor(t *testing.T) {
	tests := map[string]need{
		`endpoints of service "web" in namespace "shop"`:                        typedNeed(kindEndpointSlice, "shop", "web", ""),
		`Pods with labels "kubernetes.io/service-name=web" in namespace "shop"`: typedNeed(kindPod, "shop", "", "kubernetes.io/service-name=web"),
	}
	for want, n := range tests {
		if got := n.narrow().dependency().String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
