package watcher

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// hostileTexts are no names of anything, and would be configuration in some file.
func hostileTexts() []string {
	return []string{
		"a\n}\nserver { listen 8080; root /etc; }\n#", "a\r\nb", "a\x00b", "a;b", "a b", "a{b", "a}b", "a\"b", "a'b", "a\\b", "a#b", "a$b", "${x}", "$(id)",
		"`id`", "a|b", "a&b", "a<b", "a>b", "a%0ab", "a,b", "a=b", "a(b", "a[b]", "a\tb", "a\u2028b", "a\u0085b", "ä", "\xff", "a ", " a",
		"\ufeffa", strings.Repeat("a", 300), "a/../b", "*", "!include /etc/passwd", "{{ .Values }}", "1\n2", "10.0.0.1 evil", "A\n", "a_b\n",
	}
}

// hostileAddresses are no addresses of their type, or such as programs read in
// several ways.
func hostileAddresses() map[discoveryv1.AddressType][]string {
	return map[discoveryv1.AddressType][]string{
		discoveryv1.AddressTypeIPv4: {
			"010.0.0.1", "10.0.0.01", "::ffff:10.0.0.1", "10.0.0.1 ", " 10.0.0.1", "10.0.0.1\n", "10.0.0", "10.1", "0x0a.0.0.1", "167772161", "10.0.0.1:80", "10.0.0.256",
			"10.0.0.1/24", "fd00::1", "db.example.com", "localhost", "", "1O.0.0.1", "10.0.0.1;", "10.0.0.1%eth0", "[10.0.0.1]",
		},
		discoveryv1.AddressTypeIPv6: {
			"fe80::1%eth0", "fe80::1%\n", "[fd00::1]", "[fd00::1]:80", "::ffff:10.0.0.1", "::ffff:a00:1", "fd00::1/64", "fd00::1 ", "fd00:::1", "10.0.0.1", "db.example.com",
			"fd00::g", ":", "::1\n", "fd00::10.0.0.256",
		},
		discoveryv1.AddressTypeFQDN: {
			"10.0.0.1", "010.0.0.1", "0x7f.1", "1.2.3.0x4", "fd00::1", "localhost", "db", "DB.example.com", "db_1.example.com", "db.example.com;", "db..example.com", ".example.com",
			"db.example.com..", "db.example.com\n", "-db.example.com", "*.example.com", strings.Repeat("a", 64) + ".example.com", strings.Repeat("a.", 130) + "com",
		},
		"":     {"010.0.0.1", "localhost", "fe80::1%eth0", "::ffff:10.0.0.1", "a b", "0x7f.1"},
		"Ipv4": {"10.0.0.1", "db.example.com"},
	}
}

func TestAddressesThatAreNone(t *testing.T) {
	for family, addresses := range hostileAddresses() {
		for _, address := range append(addresses, hostileTexts()...) {
			s := edit(bare(sliceOf("a", address, "10.0.0.9")), func(s *discoveryv1.EndpointSlice) { s.AddressType = family })
			s.Endpoints = s.Endpoints[:1]
			var wrong faults
			_, view := viewEndpointSlice(s, &wrong)
			if got := view.([]*Endpoint); len(got) > 0 || wrong.count != 1 || wrong.value != address {
				t.Errorf("%s %q: got %v, and %+v", family, address, got, wrong)
			}
		}
	}
}

func TestAddressesInTheirForm(t *testing.T) {
	for _, test := range []struct {
		family          discoveryv1.AddressType
		addresses, want []string
		faults          int
	}{
		{"IPv4", []string{"10.0.0.1"}, []string{"10.0.0.1"}, 0},
		{"IPv4", []string{"0.0.0.0"}, []string{"0.0.0.0"}, 0},
		{"IPv6", []string{"fd00::1"}, []string{"fd00::1"}, 0},
		{"IPv6", []string{"FD00:0:0::0001"}, []string{"fd00::1"}, 0},
		{"IPv6", []string{"fd00::10.0.0.1"}, []string{"fd00::a00:1"}, 0},
		{"FQDN", []string{"db9.example.com"}, []string{"db9.example.com"}, 0},
		{"FQDN", []string{"db9.example.com."}, []string{"db9.example.com."}, 0},
		{"", []string{"10.0.0.1"}, []string{"10.0.0.1"}, 0},
		{"", []string{"FD00::1"}, []string{"fd00::1"}, 0},
		{"", []string{"db.example.com"}, []string{"db.example.com"}, 0},
		{"IPv4", []string{"x\n", "10.0.0.2", "010.0.0.1"}, []string{"10.0.0.2"}, 2},
	} {
		s := edit(bare(sliceOf("a", "10.0.0.1")), func(s *discoveryv1.EndpointSlice) {
			s.AddressType, s.Endpoints[0].Addresses = test.family, test.addresses
		})
		var wrong faults
		_, view := viewEndpointSlice(s, &wrong)
		all := view.([]*Endpoint)
		if len(all) != 1 || all[0].Address != test.want[0] || !slices.Equal(all[0].Addresses, test.want) || wrong.count != test.faults {
			t.Errorf("%s %q: got %v and %d faults, want %q and %d", test.family, test.addresses, all, wrong.count, test.want, test.faults)
		}
	}
}

// Names that are none are empty, one by one: what is right beside them stays.
func TestNamesInEndpoints(t *testing.T) {
	fields := map[string]struct {
		set  func(*discoveryv1.EndpointSlice, string)
		want func(*Endpoint)
	}{
		"pod":      {func(s *discoveryv1.EndpointSlice, v string) { s.Endpoints[0].TargetRef.Name = v }, func(e *Endpoint) { e.Pod = "" }},
		"node":     {func(s *discoveryv1.EndpointSlice, v string) { s.Endpoints[0].NodeName = &v }, func(e *Endpoint) { e.Node = "" }},
		"zone":     {func(s *discoveryv1.EndpointSlice, v string) { s.Endpoints[0].Zone = &v }, func(e *Endpoint) { e.Zone = "" }},
		"hostname": {func(s *discoveryv1.EndpointSlice, v string) { s.Endpoints[0].Hostname = &v }, func(e *Endpoint) { e.Hostname = "" }},
		"port":     {func(s *discoveryv1.EndpointSlice, v string) { s.Ports[0].Name = &v }, func(e *Endpoint) { e.Ports[0].Name = "" }},
		"protocol": {func(s *discoveryv1.EndpointSlice, v string) { s.Ports[0].Protocol = new(corev1.Protocol(v)) }, func(e *Endpoint) { e.Ports[0].Protocol = "" }},
		"app":      {func(s *discoveryv1.EndpointSlice, v string) { s.Ports[0].AppProtocol = &v }, func(e *Endpoint) { e.Ports[0].AppProtocol = "" }},
	}
	whole := func() *discoveryv1.EndpointSlice {
		return edit(sliceOf("web-0", "10.0.0.1"), func(s *discoveryv1.EndpointSlice) {
			s.Ports[0].AppProtocol, s.Endpoints[0].Hostname = new("http"), new("web-0-0")
		})
	}
	for name, f := range fields {
		for _, text := range hostileTexts() {
			s := whole()
			f.set(s, text)
			want := seenWith(seen("web-0-0", "10.0.0.1"), func(e *Endpoint) {
				e.Node, e.Zone, e.Hostname, e.Ports[0].AppProtocol = "node-0", "zone-0", "web-0-0", "http"
				f.want(e)
			})
			var wrong faults
			_, view := viewEndpointSlice(s, &wrong)
			if d := diff([]*Endpoint{want}, view); d != "" || wrong.count != 1 {
				t.Errorf("%s %q, with %d faults (-want +got):\n%s", name, text, wrong.count, d)
			}
		}
	}
}

func TestPortsThatAreNone(t *testing.T) {
	port := func(name string, number *int32) discoveryv1.EndpointPort {
		return discoveryv1.EndpointPort{Name: &name, Port: number, Protocol: new(corev1.ProtocolTCP)}
	}
	tests := map[string]struct {
		ports  []discoveryv1.EndpointPort
		want   []Port
		faults int
	}{
		"0":            {[]discoveryv1.EndpointPort{port("a", new(int32(0))), port("b", new(int32(1)))}, []Port{{Name: "b", Port: 1, Protocol: "TCP"}}, 1},
		"negative":     {[]discoveryv1.EndpointPort{port("a", new(int32(-1)))}, nil, 1},
		"70000":        {[]discoveryv1.EndpointPort{port("a", new(int32(70000)))}, nil, 1},
		"65536":        {[]discoveryv1.EndpointPort{port("a", new(int32(65536)))}, nil, 1},
		"65535":        {[]discoveryv1.EndpointPort{port("a", new(int32(65535)))}, []Port{{Name: "a", Port: 65535, Protocol: "TCP"}}, 0},
		"all":          {[]discoveryv1.EndpointPort{port("a", nil)}, nil, 0},
		"a name twice": {[]discoveryv1.EndpointPort{port("a", new(int32(1))), port("a", new(int32(2)))}, []Port{{Name: "a", Port: 1, Protocol: "TCP"}}, 1},
	}
	for name, test := range tests {
		s := edit(podNames(sliceOf("a", "10.0.0.1"), "web-0"), func(s *discoveryv1.EndpointSlice) { s.Ports = test.ports })
		var wrong faults
		_, view := viewEndpointSlice(s, &wrong)
		got := view.([]*Endpoint)[0]
		if d := diff(test.want, got.Ports); d != "" || wrong.count != test.faults {
			t.Errorf("%s: %d faults, want %d (-want +got):\n%s", name, wrong.count, test.faults, d)
		}
		if _, err := got.Port("none"); err == nil || !strings.Contains(err.Error(), "no port named") {
			t.Errorf("%s: got %v, want that there is no such port", name, err)
		}
	}
}

// hostileObject is one with the text in all fields that hold texts.
func hostileObject(t *testing.T, k kind, text string) any {
	t.Helper()
	o := k.object()
	fill := filler(text)
	fill(reflect.ValueOf(o).Elem(), 0)
	return o
}

// filler sets all strings, in lists and maps too, to the text, and numbers to what is
// no port.
func filler(text string) func(reflect.Value, int) {
	var fill func(reflect.Value, int)
	fill = func(v reflect.Value, depth int) {
		if depth > 8 {
			return
		}
		switch v.Kind() {
		case reflect.String:
			v.SetString(text)
		case reflect.Int32, reflect.Int64:
			v.SetInt(70000)
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), depth+1)
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			fill(v.Index(0), depth+1)
		case reflect.Map:
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(key, depth+1)
			fill(value, depth+1)
			v.Set(reflect.MakeMap(v.Type()))
			v.SetMapIndex(key, value)
		case reflect.Struct:
			switch v.Interface().(type) {
			case metav1.Time, metav1.MicroTime, intstr.IntOrString:
				return
			}
			for i := range v.NumField() {
				if v.Field(i).CanSet() {
					fill(v.Field(i), depth+1)
				}
			}
		}
	}
	return fill
}

// Of an object that has a hostile text wherever one fits, and of the snapshot of such an
// object by a kconfd that lets everything pass, templates see the text in the values of
// annotations, ConfigMaps and Secrets alone.
func TestNoFieldLetsTextThrough(t *testing.T) {
	for name, k := range kinds() {
		for _, text := range hostileTexts() {
			o := hostileObject(t, k, text)
			if n, ok := o.(*corev1.Node); ok {
				n.Status.Addresses = nil
				for _, kind := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP, corev1.NodeHostName} {
					n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: kind, Address: text})
				}
				n.Labels = map[string]string{corev1.LabelTopologyZone: text, corev1.LabelTopologyRegion: text}
			}
			if s, ok := o.(*discoveryv1.EndpointSlice); ok {
				s.AddressType, s.Endpoints[0].Addresses = discoveryv1.AddressTypeIPv4, []string{text, "10.0.0.1"}
				s.Endpoints[0].TargetRef.Kind = kindPod
			}
			if s, ok := o.(interface{ SetAnnotations(map[string]string) }); ok {
				s.SetAnnotations(map[string]string{text: "x"})
			}
			for _, cut := range []func(runtime.Object, *faults) (string, any){k.viewWhole, k.view} {
				if cut == nil {
					continue
				}
				var wrong faults
				_, view := cut(o.(runtime.Object).DeepCopyObject(), &wrong)
				demandSafe(t, name, text, view)
				if wrong.count == 0 {
					t.Errorf("%s %q: nothing is noted", name, text)
				}
			}
		}
	}
}

// demandSafe demands that the text is nowhere in what templates see.
func demandSafe(t *testing.T, name, text string, view any) {
	t.Helper()
	content, err := json.Marshal(view)
	must(t, err)
	quoted, err := json.Marshal(text)
	must(t, err)
	if strings.Contains(string(content), string(quoted[1:len(quoted)-1])) {
		t.Errorf("%s: %q is in %s", name, text, content)
	}
}

func TestHostileSnapshot(t *testing.T) {
	for _, text := range hostileTexts() {
		port := []Port{{Name: text, Port: 80, Protocol: text, AppProtocol: text, TargetPort: text, NodePort: -1}, {Name: "x", Port: 70000}}
		labels := map[string]string{text: "a", "a": text}
		annotations := map[string]string{text: "a"}
		views := map[string]any{
			kindConfigMap:     map[string][]byte{text: []byte("a")},
			kindSecret:        map[string][]byte{text: []byte("a")},
			kindEndpointSlice: []*Endpoint{{Address: text, Addresses: []string{text}}, {Address: text, Addresses: []string{"10.0.0.1"}, Hostname: text, Pod: text, Node: text, Zone: text, Ports: port}},
			kindService: &Service{
				Name: text, Namespace: text, Labels: labels, Annotations: annotations, Type: text, ClusterIP: text, ClusterIPs: []string{text}, ExternalName: text, Ports: port,
			},
			kindPod: &Pod{
				Name: text, Namespace: text, Labels: labels, Annotations: annotations, IP: text, IPs: []string{text}, HostIP: text, Node: text, Hostname: text, Subdomain: text,
				ServiceAccount: text, Phase: text, Ports: port,
			},
			kindNode:        &Node{Name: text, Labels: labels, Annotations: annotations, InternalIP: text, ExternalIP: text, Hostname: text, Zone: text, Region: text},
			kindStatefulSet: &StatefulSet{Name: text, Namespace: text, Labels: labels, Annotations: annotations, ServiceName: text, Replicas: -1},
		}
		for name, view := range views {
			content, err := json.Marshal(view)
			must(t, err)
			var wrong faults
			restored, err := kinds()[name].decode(content, &wrong)
			must(t, err)
			demandSafe(t, name, text, restored)
			if wrong.count == 0 {
				t.Errorf("%s %q: nothing is noted", name, text)
			}
		}
	}
}

// Each object is in the log once, as long as something is wrong with it, and many are
// counted rather than told of.
func TestInvalidValuesAreLogged(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Watcher, log *logBook) {
		p := newPage(w, func(r *Reader) (string, error) {
			all, err := r.endpointsOf("web")
			return fmt.Sprint(all), err
		})
		p.look()
		f := feedFor(w, typedNeed(kindEndpointSlice, "shop", "web", "").narrow())
		hostile := func(name, pod string) *discoveryv1.EndpointSlice {
			s := podNames(sliceOf(name, "10.0.0.1"), pod)
			s.Namespace = "shop"
			return s
		}
		must(t, f.Replace([]any{hostile("a", "x\n}"), hostile("b", "good")}, ""))
		must(t, f.Update(hostile("a", "y\n}")))
		must(t, f.Replace([]any{hostile("a", "y\n}"), hostile("b", "good")}, ""))
		lines := log.lines("level=WARN")
		want := `msg="invalid values ignored" object="EndpointSlice shop/a" field=endpoints.targetRef.name value=x\n} values=1 unreported_objects=0`
		if len(lines) != 1 || !strings.Contains(lines[0], want) {
			t.Errorf("got %q, want one line with %s", lines, want)
		}
		if got := w.InvalidValues(); got != 2 {
			t.Errorf("counted %d values, want 2", got)
		}
		for i := range 100 {
			must(t, f.Update(hostile(fmt.Sprintf("many-%d", i), "x\n")))
		}
		if lines := log.lines("level=WARN"); len(lines) != 10 {
			t.Errorf("%d lines in a minute, want 10", len(lines))
		}
		time.Sleep(time.Minute)
		must(t, f.Update(hostile("last", "x\n")))
		if len(log.lines("level=WARN", "shop/last", "unreported_objects=91")) != 1 {
			t.Errorf("the others are not counted:\n%s", log)
		}
		synctest.Wait()
	})
}

func TestPrintable(t *testing.T) {
	for value, want := range map[string]string{
		"a\nb\x1b[31m\"": `a\nb\x1b[31m\"`, strings.Repeat("ä", 100): strings.Repeat(`\u00e4`, 40) + "...", "": "", "\xff": `\xff`,
	} {
		if got := printable(value); got != want {
			t.Errorf("%q: got %s, want %s", value, got, want)
		}
	}
}

// The rules are Kubernetes' own.
func FuzzNames(f *testing.F) {
	for _, s := range append(hostileTexts(), "a", "a.b", "a-b", "A", "a/b", "a.b/C_d", "http", "http-80", "80", "a--b", "a_b", ".", "..", "..a", "10.0.0.1", "fd00::1", "",
		strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("a.", 126)+"a", strings.Repeat("a.", 127)+"a", "db.example.com.", "1.2.3.4", "a.0x1") {
		f.Add(s)
	}
	for _, s := range []string{"-a", "a-", ".a", "a.", "a..b", "_a", "a_"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		path := field.NewPath("x")
		_, _, ip := parseIP(s)
		for rule, is := range map[string]struct{ got, want bool }{
			"isDNSLabel":      {isDNSLabel(s), len(validation.IsDNS1123Label(s)) == 0},
			"isObjectName":    {isObjectName(s), len(validation.IsDNS1123Subdomain(s)) == 0},
			"isPortName":      {isPortName(s), len(validation.IsValidPortName(s)) == 0},
			"isLabelValue":    {isLabelValue(s), len(validation.IsValidLabelValue(s)) == 0},
			"isQualifiedName": {isQualifiedName(s), len(validation.IsQualifiedName(s)) == 0},
			"isAnnotationKey": {isAnnotationKey(s), len(validation.IsQualifiedName(strings.ToLower(s))) == 0},
			"isDataKey":       {isDataKey(s), len(validation.IsConfigMapKey(s)) == 0},
			"parseIP":         {ip, len(validation.IsValidIPForLegacyField(path, s, true, nil)) == 0},
			"isDomainName":    {isDomainName(s), len(validation.IsFullyQualifiedDomainName(path, s)) == 0 && !endsInNumber(strings.TrimSuffix(s, "."))},
		} {
			if is.got != is.want {
				t.Errorf("%s(%q) is %v, and Kubernetes says %v", rule, s, is.got, is.want)
			}
		}
	})
}

// Whatever is in an EndpointSlice, each field of what templates see is what the
// reference says: a name, an address, or empty.
func FuzzEndpoints(f *testing.F) {
	f.Add("IPv4", "10.0.0.1", "10.0.0.2", "web-0", "node-a", "zone-1", "web-0", "http", "TCP", "kubernetes.io/h2c", int32(80))
	for family, addresses := range hostileAddresses() {
		for _, address := range addresses {
			f.Add(string(family), address, "10.0.0.1", "web-0", "node-a", "zone-1", "web-0", "http", "UDP", "", int32(65536))
		}
	}
	for _, text := range hostileTexts() {
		f.Add("IPv6", "FD00::1", text, text, text, text, text, text, text, text, int32(-1))
	}
	f.Fuzz(func(t *testing.T, family, first, second, pod, node, zone, hostname, name, protocol, app string, number int32) {
		s := &discoveryv1.EndpointSlice{
			AddressType: discoveryv1.AddressType(family),
			Ports:       []discoveryv1.EndpointPort{{Name: &name, Protocol: new(corev1.Protocol(protocol)), AppProtocol: &app, Port: &number}, {Port: &number}},
			Endpoints: []discoveryv1.Endpoint{
				{Addresses: []string{first, second}, NodeName: &node, Zone: &zone, Hostname: &hostname, TargetRef: &corev1.ObjectReference{Kind: kindPod, Name: pod}},
				{Addresses: []string{second}},
			},
		}
		_, view := viewEndpointSlice(s, &faults{})
		all := view.([]*Endpoint)
		demandPromised(t, all, family)
		if !slices.IsSortedFunc(all, compareEndpoints) {
			t.Errorf("not sorted: %v", all)
		}
		// What is snapshot and restored is the same.
		content, err := json.Marshal(all)
		must(t, err)
		var wrong faults
		restored, err := decodeEndpoints(content, &wrong)
		must(t, err)
		if d := diff(all, restored); d != "" || wrong.count > 0 {
			t.Errorf("restored, with %d faults (-want +got):\n%s", wrong.count, d)
		}
	})
}

// demandPromised holds endpoints against what the reference says of their fields.
func demandPromised(t *testing.T, all []*Endpoint, family string) {
	t.Helper()
	for _, e := range all {
		if len(e.Addresses) == 0 || e.Address != e.Addresses[0] {
			t.Errorf("address %q of %q", e.Address, e.Addresses)
		}
		for _, address := range e.Addresses {
			ip := len(validation.IsValidIP(field.NewPath("x"), address)) == 0
			name := len(validation.IsFullyQualifiedDomainName(field.NewPath("x"), address)) == 0
			if family == "FQDN" && !name || family != "FQDN" && family != "" && !ip || !ip && !name {
				t.Errorf("%s address %q", family, address)
			}
		}
		for what, faults := range map[string][]string{
			"pod " + e.Pod:           orEmpty(validation.IsDNS1123Subdomain, e.Pod),
			"node " + e.Node:         orEmpty(validation.IsDNS1123Subdomain, e.Node),
			"zone " + e.Zone:         validation.IsValidLabelValue(e.Zone),
			"hostname " + e.Hostname: orEmpty(validation.IsDNS1123Label, e.Hostname),
		} {
			if len(faults) > 0 {
				t.Errorf("%q: %q", what, faults)
			}
		}
		for _, p := range e.Ports {
			if len(validation.IsValidPortNum(int(p.Port))) > 0 || len(orEmpty(validation.IsDNS1123Label, p.Name)) > 0 ||
				!slices.Contains([]string{"", "TCP", "UDP", "SCTP"}, p.Protocol) || len(orEmpty(validation.IsQualifiedName, p.AppProtocol)) > 0 {
				t.Errorf("port %+v", p)
			}
		}
	}
}

func orEmpty(faults func(string) []string, s string) []string {
	if s == "" {
		return nil
	}
	return faults(s)
}
