package watcher

import (
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// A viewCase is an object and what templates see of it.
type viewCase struct {
	object string
	read   func(r *Reader, namespace string) (any, error)
	want   func(namespace string) any
}

func viewCases() map[string]viewCase {
	return map[string]viewCase{
		"a service of type NodePort": {
			object: `
apiVersion: v1
kind: Service
metadata:
  name: web
  labels: {app: web}
  annotations: {team: shop}
spec:
  type: NodePort
  clusterIP: 10.96.77.7
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: http-port, nodePort: 30777, appProtocol: kubernetes.io/h2c}
  - {name: dns, port: 53, protocol: UDP, nodePort: 30778}`,
			read: func(r *Reader, _ string) (any, error) { return r.service("web") },
			want: func(ns string) any {
				return &Service{
					Name: "web", Namespace: ns,
					Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"team": "shop"},
					Type: "NodePort", ClusterIP: "10.96.77.7", ClusterIPs: []string{"10.96.77.7"},
					Ports: []Port{
						{
							Name: "http", Port: 80, Protocol: "TCP", AppProtocol: "kubernetes.io/h2c",
							TargetPort: "http-port", NodePort: 30777,
						},
						{Name: "dns", Port: 53, Protocol: "UDP", TargetPort: "53", NodePort: 30778},
					},
				}
			},
		},
		"a headless service": {
			object: `
apiVersion: v1
kind: Service
metadata: {name: pxc}
spec:
  clusterIP: None
  ports: [{port: 3306, targetPort: 13306}]`,
			read: func(r *Reader, ns string) (any, error) { return r.service("pxc", ns) },
			want: func(ns string) any {
				return &Service{
					Name: "pxc", Namespace: ns, Type: "ClusterIP",
					ClusterIP: "None", ClusterIPs: []string{"None"}, Headless: true,
					Ports: []Port{{Port: 3306, Protocol: "TCP", TargetPort: "13306"}},
				}
			},
		},
		"a service that is a name elsewhere": {
			object: `
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {type: ExternalName, externalName: db.example.com}`,
			read: func(r *Reader, _ string) (any, error) { return r.service("db") },
			want: func(ns string) any {
				return &Service{Name: "db", Namespace: ns, Type: "ExternalName", ExternalName: "db.example.com"}
			},
		},
		"a pod": {
			object: `
apiVersion: v1
kind: Pod
metadata:
  name: web-12
  labels: {app: web}
  annotations: {team: shop}
spec:
  nodeName: node-a
  hostname: web-12
  subdomain: web
  serviceAccountName: web
  containers:
  - name: web
    image: web
    ports: [{name: http, containerPort: 8080}, {containerPort: 53, protocol: UDP}]
  - {name: side, image: side, ports: [{name: metrics, containerPort: 9090}]}
status:
  phase: Running
  podIP: 10.1.0.7
  podIPs: [{ip: 10.1.0.7}, {ip: "fd00::7"}]
  hostIP: 192.0.2.1
  hostIPs: [{ip: 192.0.2.1}]
  conditions: [{type: ContainersReady, status: "False"}, {type: Ready, status: "True"}]`,
			read: func(r *Reader, _ string) (any, error) { return r.pod("web-12") },
			want: func(ns string) any {
				return &Pod{
					Name: "web-12", Namespace: ns,
					Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"team": "shop"},
					IP: "10.1.0.7", IPs: []string{"10.1.0.7", "fd00::7"}, HostIP: "192.0.2.1", Node: "node-a",
					Hostname: "web-12", Subdomain: "web", ServiceAccount: "web", Phase: "Running", Ready: true, Ordinal: 12,
					Ports: []Port{
						{Name: "http", Port: 8080, Protocol: "TCP"},
						{Port: 53, Protocol: "UDP"},
						{Name: "metrics", Port: 9090, Protocol: "TCP"},
					},
				}
			},
		},
		"a pod that nobody runs yet": {
			object: `
apiVersion: v1
kind: Pod
metadata: {name: web-7d4b9}
spec: {containers: [{name: web, image: web}]}`,
			read: func(r *Reader, _ string) (any, error) { return r.pod("web-7d4b9") },
			want: func(ns string) any {
				return &Pod{Name: "web-7d4b9", Namespace: ns, Phase: "Pending", Ordinal: -1}
			},
		},
		"a pod that is being deleted": {
			object: `
apiVersion: v1
kind: Pod
metadata: {name: web-0, deletionTimestamp: "2026-01-02T03:04:05Z"}
spec: {nodeName: node-a, containers: [{name: web, image: web}]}
status: {phase: Running, conditions: [{type: Ready, status: "False"}]}`,
			read: func(r *Reader, _ string) (any, error) { return r.pod("web-0") },
			want: func(ns string) any {
				return &Pod{Name: "web-0", Namespace: ns, Node: "node-a", Phase: "Running", Terminating: true}
			},
		},
		"a node": {
			object: `
apiVersion: v1
kind: Node
metadata:
  name: NS-a
  labels: {topology.kubernetes.io/zone: z1, topology.kubernetes.io/region: r1}
  annotations: {rack: "7"}
spec: {unschedulable: true}
status:
  addresses:
  - {type: Hostname, address: a.example.com}
  - {type: InternalIP, address: 192.0.2.1}
  - {type: ExternalIP, address: 198.51.100.1}
  conditions: [{type: MemoryPressure, status: "False"}, {type: Ready, status: "True"}]`,
			read: func(r *Reader, ns string) (any, error) { return r.node(ns + "-a") },
			want: func(ns string) any {
				return &Node{
					Name: ns + "-a",
					Labels: map[string]string{
						"topology.kubernetes.io/zone": "z1", "topology.kubernetes.io/region": "r1",
					},
					Annotations: map[string]string{"rack": "7"},
					InternalIP:  "192.0.2.1", ExternalIP: "198.51.100.1", Hostname: "a.example.com",
					Zone: "z1", Region: "r1", Ready: true, Unschedulable: true,
				}
			},
		},
		"a stateful set": {
			object: `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: pxc, labels: {app: pxc}, annotations: {team: shop}}
spec:
  serviceName: pxc-headless
  replicas: 3
  ordinals: {start: 9}
  selector: {matchLabels: {app: pxc}}
  template:
    metadata: {labels: {app: pxc}}
    spec: {containers: [{name: pxc, image: pxc}]}
status: {replicas: 3, readyReplicas: 2}`,
			read: func(r *Reader, _ string) (any, error) { return r.statefulSet("pxc") },
			want: func(ns string) any {
				return &StatefulSet{
					Name: "pxc", Namespace: ns,
					Labels: map[string]string{"app": "pxc"}, Annotations: map[string]string{"team": "shop"},
					ServiceName: "pxc-headless", Replicas: 3, ReadyReplicas: 2, FirstOrdinal: 9,
				}
			},
		},
		"a stateful set with all left out that may be": {
			object: `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: one}
spec:
  selector: {matchLabels: {app: one}}
  template:
    metadata: {labels: {app: one}}
    spec: {containers: [{name: one, image: one}]}`,
			read: func(r *Reader, _ string) (any, error) { return r.statefulSet("one") },
			want: func(ns string) any {
				return &StatefulSet{Name: "one", Namespace: ns, Replicas: 1}
			},
		},
		"a config map": {
			object: `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {level: debug}
binaryData: {key: AAECAw==}`,
			read: func(r *Reader, _ string) (any, error) { return r.configMap("settings") },
			want: func(string) any { return map[string]string{"level": "debug", "key": "\x00\x01\x02\x03"} },
		},
		"a config map without data": {
			object: `
apiVersion: v1
kind: ConfigMap
metadata: {name: nothing}`,
			read: func(r *Reader, _ string) (any, error) { return r.configMap("nothing") },
			want: func(string) any { return map[string]string{} },
		},
		"a secret": {
			object: `
apiVersion: v1
kind: Secret
metadata: {name: sst}
data: {password: czNjcmV0}
stringData: {username: sst}`,
			read: func(r *Reader, _ string) (any, error) { return r.secret("sst") },
			want: func(string) any { return map[string]string{"username": "sst", "password": "s3cret"} },
		},
		"config maps by a selector": {
			object: `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {tier: front}, annotations: {team: shop}}
data: {level: debug}
binaryData: {key: AAECAw==}`,
			read: func(r *Reader, _ string) (any, error) { return r.configMaps("tier in (front,back)") },
			want: func(ns string) any {
				return []*ConfigMap{{
					Name: "settings", Namespace: ns, Labels: map[string]string{"tier": "front"}, Annotations: map[string]string{"team": "shop"},
					Data: map[string]string{"level": "debug", "key": "\x00\x01\x02\x03"},
				}}
			},
		},
		"secrets by a selector": {
			object: `
apiVersion: v1
kind: Secret
metadata: {name: sst, labels: {tier: back}, annotations: {team: shop, kubectl.kubernetes.io/last-applied-configuration: s3cret}}
data: {password: czNjcmV0}
stringData: {username: sst}`,
			read: func(r *Reader, ns string) (any, error) { return r.secretsOf("tier=back", ns) },
			want: func(ns string) any {
				return []*Secret{{
					Name: "sst", Namespace: ns, Labels: map[string]string{"tier": "back"}, Annotations: map[string]string{"team": "shop"},
					Data: map[string]string{"username": "sst", "password": "s3cret"},
				}}
			},
		},
	}
}

// What templates see of an object is the same wherever it comes from: what an
// API server fills in is there in manifests too.
func TestViews(t *testing.T) {
	tests := map[string]func(*testing.T, world){}
	for name, c := range viewCases() {
		tests[name] = func(t *testing.T, w world) {
			o := object(t, w.namespace(), c.object)
			w.put(t, o)
			watcher := w.watcher(t)
			start(t, watcher)
			p := newPage(watcher, func(r *Reader) (any, error) { return c.read(r, w.namespace()) })
			p.awaitGot(t, c.want(w.namespace()))
			w.remove(t, o) // addresses and ports of the cluster are for one
		}
	}
	inBothWorlds(t, tests)
}

// A field that no case sets would be one that no test holds.
func TestViewCasesAreWhole(t *testing.T) {
	set := map[string]bool{}
	var all []string
	for _, c := range viewCases() {
		noteFields(reflect.ValueOf(c.want("shop")), set, &all)
	}
	for _, field := range all {
		if !set[field] {
			t.Errorf("no case has a %s", field)
		}
	}
}

// noteFields notes which of the exported fields below v there are, and which
// are set.
func noteFields(v reflect.Value, set map[string]bool, all *[]string) {
	switch v.Kind() {
	case reflect.Pointer:
		noteFields(v.Elem(), set, all)
	case reflect.Slice:
		for i := range v.Len() {
			noteFields(v.Index(i), set, all)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() {
				name := v.Type().Name() + "." + field.Name
				*all = append(*all, name)
				set[name] = set[name] || !v.Field(i).IsZero()
				noteFields(v.Field(i), set, all)
			}
		}
	}
}

func TestPortByName(t *testing.T) {
	ports := []Port{{Name: "http", Port: 80}, {Name: "", Port: 81}}
	tests := map[string]struct {
		ports []Port
		name  string
		want  int32
		err   string
	}{
		"its number":         {ports, "http", 80, ""},
		"the nameless one":   {ports, "", 81, ""},
		"not there":          {ports, "https", 0, `no port named "https", there is "http", ""`},
		"no ports there are": {nil, "http", 0, `no port named "http", there is none`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			lookups := map[string]func(string) (int32, error){
				"endpoint": (&Endpoint{Ports: test.ports}).Port,
				"service":  (&Service{Ports: test.ports}).Port,
				"pod":      (&Pod{Ports: test.ports}).Port,
			}
			for of, lookup := range lookups {
				got, err := lookup(test.name)
				if got != test.want || errorText(err) != test.err {
					t.Errorf("%s: got %d, %q, want %d, %q", of, got, errorText(err), test.want, test.err)
				}
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestOrdinal(t *testing.T) {
	tests := map[string]int{
		"pxc-0": 0, "pxc-12": 12, "my-pxc-007": 7,
		"pxc": -1, "pxc-": -1, "pxc-x": -1, "pxc--1": 1, "pxc-+1": -1, "": -1, "3": -1,
		"pxc-99999999999999999999": -1,
	}
	for pod, want := range tests {
		if got := ordinal(pod); got != want {
			t.Errorf("ordinal(%q): got %d, want %d", pod, got, want)
		}
	}
}

func TestNamesInOrder(t *testing.T) {
	tests := map[string][]string{
		"numbers":                     {"pxc-node1", "pxc-node2", "pxc-node10", "pxc-node100"},
		"ordinals":                    {"web-0", "web-9", "web-10", "web-10-a", "web-11"},
		"shorter first":               {"", "web", "web-", "web-1", "web-1a"},
		"equal numbers":               {"a01", "a1", "a1-", "a01b", "a1b", "a1c"},
		"beyond any integer":          {"a9", "a18446744073709551616", "a18446744073709551617"},
		"half of the integers apart":  {"a1", "a9223372036854775811"},
		"addresses":                   {"10.0.0.9", "10.0.0.10", "10.0.10.1"},
		"numbers before what is none": {"10", "a"},
	}
	for name, names := range tests {
		t.Run(name, func(t *testing.T) {
			for i, a := range names {
				for j, b := range names {
					if got, want := sign(compareNames(a, b)), sign(i-j); got != want {
						t.Errorf("comparing %q with %q: got %d, want %d", a, b, got, want)
					}
				}
			}
		})
	}
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// An order that contradicts itself would sort the same list in several ways.
func TestOrderOfNamesIsTotal(t *testing.T) {
	names := []string{""}
	for first := 0; len(names) < 300; first++ {
		for _, c := range "a01-." {
			names = append(names, names[first]+string(c))
		}
	}
	for _, a := range names {
		for _, b := range names {
			ab := sign(compareNames(a, b))
			if ab != -sign(compareNames(b, a)) || (ab == 0) != (a == b) {
				t.Fatalf("%q and %q are not in one order", a, b)
			}
			if ab >= 0 {
				continue
			}
			for _, c := range names {
				if compareNames(b, c) < 0 && compareNames(a, c) >= 0 {
					t.Fatalf("%q < %q < %q, and not %q < %q", a, b, c, a, c)
				}
			}
		}
	}
}

func TestNodeAddresses(t *testing.T) {
	n := &corev1.Node{}
	for kind, addresses := range map[corev1.NodeAddressType][]string{
		corev1.NodeInternalIP: {"192.0.2.1", "2001:db8::1"},
		corev1.NodeExternalIP: {"198.51.100.1", "2001:db8::2"},
	} {
		for _, a := range addresses {
			n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: kind, Address: a})
		}
	}
	_, view := viewNode(n, &faults{})
	want := &Node{InternalIP: "192.0.2.1", ExternalIP: "198.51.100.1"}
	if d := diff(want, view); d != "" {
		t.Errorf("the first of each kind (-want +got):\n%s", d)
	}
}

// What a view leaves out must not look like a change.
func TestViewsLeaveNoTraceOfNoise(t *testing.T) {
	noisy := func(m *metav1.ObjectMeta) {
		m.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: "{}"}
		m.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
		m.ResourceVersion = "2"
	}
	for name, k := range kinds() {
		t.Run(name, func(t *testing.T) {
			quiet, loud := k.object(), k.object()
			o, ok := loud.(metav1.ObjectMetaAccessor)
			if !ok {
				t.Fatalf("%T has no metadata", loud)
			}
			noisy(o.GetObjectMeta().(*metav1.ObjectMeta))
			if got, want := viewOnly(k, loud), viewOnly(k, quiet); !reflect.DeepEqual(got, want) {
				t.Errorf("got %#v, want %#v", got, want)
			}
		})
	}
}

func viewOnly(k kind, o runtime.Object) any {
	_, view := k.view(o, &faults{})
	return view
}

// The scheme and the table of kinds name the same things.
func TestKinds(t *testing.T) {
	for name, k := range kinds() {
		got := reflect.TypeOf(k.object()).Elem().Name()
		list := reflect.TypeOf(k.list()).Elem().Name()
		if got != name || list != name+"List" || !strings.EqualFold(k.resource, name+"s") {
			t.Errorf("%s: got %s, %s, %s", name, got, list, k.resource)
		}
	}
}
