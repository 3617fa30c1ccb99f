package watcher

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kconfd/kconfd/internal/limits"
)

// A Port of an endpoint, a service or a container.
type Port struct {
	Name        string // may be empty when there is only one
	Port        int32
	Protocol    string // TCP, UDP or SCTP
	AppProtocol string // as in the Service, often empty
	TargetPort  string // services only: a number, or the name of a container's port
	NodePort    int32  // services of type NodePort and LoadBalancer, else 0
}

// A Service is one Service.
type Service struct {
	Name         string
	Namespace    string
	Labels       map[string]string
	Annotations  map[string]string
	Type         string   // ClusterIP, NodePort, LoadBalancer or ExternalName
	ClusterIP    string   // "None" for a headless service
	ClusterIPs   []string // one per IP family
	Headless     bool
	ExternalName string
	Ports        []Port

	reader *Reader
}

// Endpoints are the service's, as `endpoints NAME` gives them.
func (s *Service) Endpoints() []*Endpoint {
	if s.Name == "" || s.Namespace == "" {
		return nil // an empty name would mean all there are
	}
	return s.reader.endpoints(s.Namespace, s.Name)
}

// Port is the number of the service's port with that name.
func (s *Service) Port(name string) (int32, error) { return orNoPort(portNamed(s.Ports, name)) }

// A Pod is one Pod.
type Pod struct {
	Name           string
	Namespace      string
	Labels         map[string]string
	Annotations    map[string]string
	IP             string   // empty until the pod has one
	IPs            []string // one per IP family
	HostIP         string
	Node           string
	Hostname       string
	Subdomain      string
	ServiceAccount string
	Phase          string // Pending, Running, Succeeded, Failed or Unknown
	Ready          bool
	Terminating    bool
	Ordinal        int // the number at the end of a StatefulSet's pod name, -1 when there is none
	Ports          []Port
}

// Port is the number of the container port with that name.
func (p *Pod) Port(name string) (int32, error) { return orNoPort(portNamed(p.Ports, name)) }

// A Node is one Node.
type Node struct {
	Name          string
	Labels        map[string]string
	Annotations   map[string]string
	InternalIP    string
	ExternalIP    string
	Hostname      string
	Zone          string
	Region        string
	Ready         bool
	Unschedulable bool
}

// A StatefulSet is one StatefulSet.
type StatefulSet struct {
	Name          string
	Namespace     string
	Labels        map[string]string
	Annotations   map[string]string
	ServiceName   string // its headless service
	Replicas      int    // wanted
	ReadyReplicas int
	FirstOrdinal  int
}

// maxPodNames is how many names a list of them may have. Replicas is a number
// that anybody may have written.
const maxPodNames = 100_000

// PodNames are those of all the replicas wanted, in order.
func (s *StatefulSet) PodNames() ([]string, error) {
	if s.Replicas > maxPodNames {
		return nil, &limits.Error{
			Limit: limits.Elements, Of: strconv.Itoa(maxPodNames),
			What: fmt.Sprintf("the names of %d replicas of StatefulSet %q", s.Replicas, s.Name),
		}
	}
	if s.Name == "" {
		return nil, nil
	}
	names := make([]string, max(s.Replicas, 0))
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", s.Name, s.FirstOrdinal+i)
	}
	return names, nil
}

// ordinal is the number behind the last dash of a pod's name, or -1.
func ordinal(pod string) int {
	number := pod[strings.LastIndex(pod, "-")+1:]
	n, err := strconv.Atoi(number)
	if number == pod || digits(number) < len(number) || err != nil {
		return -1
	}
	return n
}

// compareNames puts pxc-node2 before pxc-node10. Names whose numbers are equal,
// such as a1 and a01, still have an order: no two different names are the same.
func compareNames(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		n, m := 1, 1
		c := cmp.Compare(x[0], y[0])
		if isDigit(x[0]) && isDigit(y[0]) {
			n, m = digits(x), digits(y)
			c = compareNumbers(x[:n], y[:m])
		}
		if c != 0 {
			return c
		}
		x, y = x[n:], y[m:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(a, b))
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// digits is how many of them s begins with.
func digits(s string) int {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return i
		}
	}
	return len(s)
}

// compareNumbers compares decimal numbers of any size.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

func viewService(o runtime.Object, f *faults) (string, any) {
	s := o.(*corev1.Service)
	v := &Service{
		Name:         s.Name,
		Namespace:    s.Namespace,
		Labels:       s.Labels,
		Annotations:  dropNoise(s.Annotations),
		Type:         string(cmp.Or(s.Spec.Type, corev1.ServiceTypeClusterIP)),
		ClusterIP:    s.Spec.ClusterIP,
		ClusterIPs:   orFirst(s.Spec.ClusterIPs, s.Spec.ClusterIP),
		Headless:     s.Spec.ClusterIP == corev1.ClusterIPNone,
		ExternalName: s.Spec.ExternalName,
	}
	for _, p := range s.Spec.Ports {
		target := p.TargetPort.String()
		if target == "0" {
			target = strconv.Itoa(int(p.Port)) // what the API server would have filled in
		}
		v.Ports = append(v.Ports, Port{
			Name: p.Name, Port: p.Port, Protocol: protocol(p.Protocol),
			AppProtocol: value(p.AppProtocol), TargetPort: target, NodePort: p.NodePort,
		})
	}
	f.service(v)
	return s.Name, v
}

func viewPod(o runtime.Object, f *faults) (string, any) {
	p := o.(*corev1.Pod)
	v := &Pod{
		Name:           p.Name,
		Namespace:      p.Namespace,
		Labels:         p.Labels,
		Annotations:    dropNoise(p.Annotations),
		IP:             p.Status.PodIP,
		HostIP:         p.Status.HostIP,
		Node:           p.Spec.NodeName,
		Hostname:       p.Spec.Hostname,
		Subdomain:      p.Spec.Subdomain,
		ServiceAccount: p.Spec.ServiceAccountName,
		Phase:          string(cmp.Or(p.Status.Phase, corev1.PodPending)),
		Terminating:    p.DeletionTimestamp != nil,
		Ordinal:        ordinal(p.Name),
	}
	for _, ip := range p.Status.PodIPs {
		v.IPs = append(v.IPs, ip.IP)
	}
	v.IPs = orFirst(v.IPs, v.IP)
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			v.Ready = c.Status == corev1.ConditionTrue
		}
	}
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			v.Ports = append(v.Ports, Port{Name: port.Name, Port: port.ContainerPort, Protocol: protocol(port.Protocol)})
		}
	}
	f.pod(v)
	return p.Name, v
}

func viewNode(o runtime.Object, f *faults) (string, any) {
	n := o.(*corev1.Node)
	v := &Node{
		Name:          n.Name,
		Labels:        n.Labels,
		Annotations:   dropNoise(n.Annotations),
		Zone:          n.Labels[corev1.LabelTopologyZone],
		Region:        n.Labels[corev1.LabelTopologyRegion],
		Unschedulable: n.Spec.Unschedulable,
	}
	for _, a := range n.Status.Addresses {
		switch {
		case a.Type == corev1.NodeInternalIP && v.InternalIP == "":
			v.InternalIP = a.Address
		case a.Type == corev1.NodeExternalIP && v.ExternalIP == "":
			v.ExternalIP = a.Address
		case a.Type == corev1.NodeHostName:
			v.Hostname = a.Address
		}
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			v.Ready = c.Status == corev1.ConditionTrue
		}
	}
	f.node(v)
	return n.Name, v
}

func viewStatefulSet(o runtime.Object, f *faults) (string, any) {
	s := o.(*appsv1.StatefulSet)
	v := &StatefulSet{
		Name:          s.Name,
		Namespace:     s.Namespace,
		Labels:        s.Labels,
		Annotations:   dropNoise(s.Annotations),
		ServiceName:   s.Spec.ServiceName,
		Replicas:      1, // the API's default
		ReadyReplicas: int(s.Status.ReadyReplicas),
	}
	if s.Spec.Replicas != nil {
		v.Replicas = int(*s.Spec.Replicas)
	}
	if s.Spec.Ordinals != nil {
		v.FirstOrdinal = int(s.Spec.Ordinals.Start)
	}
	f.statefulSet(v)
	return s.Name, v
}

// The API server fills in some fields that manifests on disk leave out. Views
// have them either way.

// orFirst is list, or what its first element would be where only that is given.
func orFirst(list []string, first string) []string {
	if len(list) > 0 || first == "" {
		return list
	}
	return []string{first}
}

func protocol(p corev1.Protocol) string { return string(cmp.Or(p, corev1.ProtocolTCP)) }

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// sortedBy sorts list by the name of its elements.
func sortedBy[T any](list []T, name func(T) string) []T {
	slices.SortFunc(list, func(a, b T) int { return compareNames(name(a), name(b)) })
	return list
}

// Printed whole, an object is its name: a pointer would be another one at
// every start.

func (s *Service) String() string     { return s.Name }
func (p *Pod) String() string         { return p.Name }
func (n *Node) String() string        { return n.Name }
func (s *StatefulSet) String() string { return s.Name }
