package watcher

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Templates print names and addresses into configuration files, where a line break
// or a brace in one would be configuration. So what templates see in such fields is
// what Kubernetes allows there, or empty. The API server itself does not look at all
// of them (the names of pods and zones in an EndpointSlice, most of a status), and
// manifests on disk have passed no API server.

// faults are the values in one object that Kubernetes would not allow where they
// stand. Templates do not see them.
type faults struct {
	count int
	field string // of the first one
	value string // the first one
}

func (f *faults) add(field, value string) {
	if f.count == 0 {
		f.field, f.value = field, value
	}
	f.count++
}

// name returns the value if it is allowed in the field, else an empty string.
func (f *faults) name(field, value string, allowed func(string) bool) string {
	if value == "" || allowed(value) {
		return value
	}
	f.add(field, value)
	return ""
}

// oneOf returns the value if it is one of the words, else an empty string.
func (f *faults) oneOf(field, value string, words ...string) string {
	return f.name(field, value, func(s string) bool { return slices.Contains(words, s) })
}

// ip returns the canonical form of an IP address, or an empty string.
func (f *faults) ip(field, value string) string {
	if value == "" {
		return ""
	}
	address, _, ok := parseIP(value)
	if !ok {
		f.add(field, value)
	}
	return address
}

// list returns what allowed makes of the values, without those of which it makes an
// empty string. The list itself is not changed.
func (f *faults) list(values []string, allowed func(string) string) []string {
	var others []string
	same := true
	for i, value := range values {
		good := allowed(value)
		if same && (good != value || good == "") {
			others, same = slices.Clone(values[:i]), false
		}
		if !same && good != "" {
			others = append(others, good)
		}
	}
	if same {
		return values
	}
	return others
}

// number returns n if it is not negative, else 0.
func (f *faults) number(field string, n int) int {
	if n < 0 {
		f.add(field, strconv.Itoa(n))
		return 0
	}
	return n
}

// labels removes labels whose keys are none, and empties values that are none. No
// labels are nil.
func (f *faults) labels(labels map[string]string) map[string]string {
	for key, value := range labels {
		if !isQualifiedName(key) {
			f.add("metadata.labels", key)
			delete(labels, key)
		} else if !isLabelValue(value) {
			f.add("metadata.labels", value)
			labels[key] = ""
		}
	}
	return orNil(labels)
}

// annotations removes those whose keys are none. The values are free text.
func (f *faults) annotations(annotations map[string]string) map[string]string {
	for key := range annotations {
		if !isAnnotationKey(key) {
			f.add("metadata.annotations", key)
			delete(annotations, key)
		}
	}
	return orNil(annotations)
}

func orNil(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}

// data removes the keys of a ConfigMap or a Secret that are none. The values are free
// text.
func (f *faults) data(data map[string]string) map[string]string {
	for key := range data {
		if !isDataKey(key) {
			f.add("data", key)
			delete(data, key)
		}
	}
	return data
}

// ports cleans those of an endpoint, a service or a pod in place. A port whose number
// is none is removed, and so is the second of a name where names are unique.
func (f *faults) ports(ports []Port, named func(string) bool, unique bool) []Port {
	kept := ports[:0]
	for _, p := range ports {
		p.Name = f.name("ports.name", p.Name, named)
		p.Protocol = f.oneOf("ports.protocol", p.Protocol, "TCP", "UDP", "SCTP")
		p.AppProtocol = f.name("ports.appProtocol", p.AppProtocol, isQualifiedName)
		p.TargetPort = f.name("ports.targetPort", p.TargetPort, isTargetPort)
		if p.NodePort != 0 && !isPortNumber(p.NodePort) {
			f.add("ports.nodePort", strconv.Itoa(int(p.NodePort)))
			p.NodePort = 0
		}
		switch {
		case !isPortNumber(p.Port):
			f.add("ports.port", strconv.Itoa(int(p.Port)))
		case unique && slices.ContainsFunc(kept, func(k Port) bool { return k.Name == p.Name }):
			f.add("ports.name", p.Name)
		default:
			kept = append(kept, p)
		}
	}
	return kept
}

// isTargetPort reports whether s is a number of a port, or the name of one.
func isTargetPort(s string) bool {
	if n, err := strconv.ParseInt(s, 10, 32); err == nil {
		return isPortNumber(int32(n)) && s[0] != '+' && s[0] != '0'
	}
	return isPortName(s)
}

// endpoints cleans them and removes those that have no address of the type. With an
// empty type all addresses count that are one of some type.
func (f *faults) endpoints(all []*Endpoint, family discoveryv1.AddressType) []*Endpoint {
	return slices.DeleteFunc(all, func(e *Endpoint) bool {
		e.Addresses = f.addresses(e.Addresses, family)
		if len(e.Addresses) == 0 {
			return true
		}
		e.Address = e.Addresses[0]
		e.Hostname = f.name("endpoints.hostname", e.Hostname, isDNSLabel)
		e.Pod = f.name("endpoints.targetRef.name", e.Pod, isObjectName)
		e.Namespace = f.name("endpoints.targetRef.namespace", e.Namespace, isDNSLabel)
		e.UID = f.name("endpoints.targetRef.uid", e.UID, isLabelValue)
		e.Node = f.name("endpoints.nodeName", e.Node, isObjectName)
		e.Zone = f.name("endpoints.zone", e.Zone, isLabelValue)
		return false
	})
}

func (f *faults) addresses(addresses []string, family discoveryv1.AddressType) []string {
	return f.list(addresses, func(address string) string {
		good := endpointAddress(address, family)
		if good == "" {
			f.add("endpoints.addresses", address)
		}
		return good
	})
}

// endpointAddress returns the canonical form of an address of the type, or an empty
// string.
func endpointAddress(address string, family discoveryv1.AddressType) string {
	if family == discoveryv1.AddressTypeFQDN || family == "" {
		if isDomainName(address) {
			return address
		}
	}
	ip, v6, ok := parseIP(address)
	if ok && (family == "" || family == familyOf(v6)) {
		return ip
	}
	return ""
}

func familyOf(v6 bool) discoveryv1.AddressType {
	if v6 {
		return discoveryv1.AddressTypeIPv6
	}
	return discoveryv1.AddressTypeIPv4
}

func (f *faults) service(v *Service) {
	v.Name = f.name("metadata.name", v.Name, isObjectName)
	v.Namespace = f.name("metadata.namespace", v.Namespace, isDNSLabel)
	v.Labels = f.labels(v.Labels)
	v.Annotations = f.annotations(v.Annotations)
	v.Type = f.oneOf("spec.type", v.Type, "ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
	v.ClusterIP = f.clusterIP(v.ClusterIP)
	v.ClusterIPs = f.list(v.ClusterIPs, f.clusterIP)
	v.ExternalName = f.name("spec.externalName", v.ExternalName, isExternalName)
	v.Ports = f.ports(v.Ports, isDNSLabel, true)
}

func (f *faults) clusterIP(ip string) string {
	if ip == corev1.ClusterIPNone {
		return ip
	}
	return f.ip("spec.clusterIPs", ip)
}

func (f *faults) pod(v *Pod) {
	ip := func(ip string) string { return f.ip("status.podIPs", ip) }
	v.Name = f.name("metadata.name", v.Name, isObjectName)
	v.Namespace = f.name("metadata.namespace", v.Namespace, isDNSLabel)
	v.Labels = f.labels(v.Labels)
	v.Annotations = f.annotations(v.Annotations)
	v.IP = f.ip("status.podIP", v.IP)
	v.IPs = f.list(v.IPs, ip)
	v.HostIP = f.ip("status.hostIP", v.HostIP)
	v.Node = f.name("spec.nodeName", v.Node, isObjectName)
	v.Hostname = f.name("spec.hostname", v.Hostname, isDNSLabel)
	v.Subdomain = f.name("spec.subdomain", v.Subdomain, isDNSLabel)
	v.ServiceAccount = f.name("spec.serviceAccountName", v.ServiceAccount, isObjectName)
	v.Phase = f.oneOf("status.phase", v.Phase, "Pending", "Running", "Succeeded", "Failed", "Unknown")
	v.Ports = f.ports(v.Ports, isPortName, false)
}

func (f *faults) node(v *Node) {
	v.Name = f.name("metadata.name", v.Name, isObjectName)
	v.Labels = f.labels(v.Labels)
	v.Annotations = f.annotations(v.Annotations)
	v.InternalIP = f.ip("status.addresses", v.InternalIP)
	v.ExternalIP = f.ip("status.addresses", v.ExternalIP)
	v.Hostname = f.name("status.addresses", v.Hostname, isHostName)
	v.Zone = f.name("metadata.labels", v.Zone, isLabelValue)
	v.Region = f.name("metadata.labels", v.Region, isLabelValue)
}

func (f *faults) statefulSet(v *StatefulSet) {
	v.Name = f.name("metadata.name", v.Name, isObjectName)
	v.Namespace = f.name("metadata.namespace", v.Namespace, isDNSLabel)
	v.Labels = f.labels(v.Labels)
	v.Annotations = f.annotations(v.Annotations)
	v.ServiceName = f.name("spec.serviceName", v.ServiceName, isObjectName)
	v.Replicas = f.number("spec.replicas", v.Replicas)
	v.ReadyReplicas = f.number("status.readyReplicas", v.ReadyReplicas)
	v.FirstOrdinal = f.number("spec.ordinals.start", v.FirstOrdinal)
}

// printable is a value for the log: on one line, and not long.
func printable(value string) string {
	const most = 80
	quoted := strconv.QuoteToASCII(value[:min(len(value), most)])
	quoted = quoted[1 : len(quoted)-1]
	if len(value) > most {
		quoted += "..."
	}
	return quoted
}
