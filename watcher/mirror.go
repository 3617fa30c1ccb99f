package watcher

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// In a cluster, a controller mirrors the Endpoints of Services without a selector to
// EndpointSlices. Templates read only these, so manifests are given what that controller
// would make of them.

const (
	kindEndpoints     = "Endpoints"
	mirroredBy        = "endpointslicemirroring-controller.k8s.io"
	leaderAnnotation  = "control-plane.alpha.kubernetes.io/leader"
	maxMirrored       = 1000 // addresses of a subset, as the controller has it by default
	changedAnnotation = corev1.EndpointsLastChangeTriggerTime
)

// isEndpoints says whether an object is of the kind that is mirrored.
func isEndpoints(o *unstructured.Unstructured) bool {
	return o.GetKind() == kindEndpoints && o.GetAPIVersion() == corev1.SchemeGroupVersion.String()
}

// endpoints is the API's own type, which it calls deprecated: what is mirrored is of it
// all the same.
//
//lint:ignore SA1019 mirrored is this type
type endpoints = corev1.Endpoints

// endpointsKind is what manifests are held against.
func endpointsKind() kind {
	return kind{gv: corev1.SchemeGroupVersion, object: func() runtime.Object { return &endpoints{} }}
}

// mirror adds the EndpointSlices that a cluster would have for the Endpoints among the
// objects, and has not been given.
func (m *manifests) mirror(objects map[manifestKey]*unstructured.Unstructured) error {
	var mirrored map[[2]string]bool
	made := map[manifestKey]*unstructured.Unstructured{}
	for _, o := range objects {
		if !isEndpoints(o) || !hasMirror(o, objects) {
			continue
		}
		if mirrored == nil {
			mirrored = mirroredServices(objects)
		}
		if mirrored[[2]string{o.GetNamespace(), o.GetName()}] {
			continue
		}
		e := &endpoints{}
		err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, e)
		if err != nil {
			return fmt.Errorf("%s %q: %w", kindEndpoints, o.GetName(), err)
		}
		next := 0
		for _, s := range m.slicesOf(e) {
			if next, err = addSlice(s, next, objects, made); err != nil {
				return err
			}
		}
	}
	maps.Copy(objects, made)
	return nil
}

// hasMirror says whether the controller looks at Endpoints: they are not excluded, and
// there is a Service of that name which has no selector.
func hasMirror(e *unstructured.Unstructured, objects map[manifestKey]*unstructured.Unstructured) bool {
	if _, elects := e.GetAnnotations()[leaderAnnotation]; elects || e.GetLabels()[discoveryv1.LabelSkipMirror] == "true" {
		return false
	}
	service := objects[manifestKey{corev1.SchemeGroupVersion.WithKind(kindService), e.GetNamespace(), e.GetName()}]
	if service == nil {
		return false
	}
	selector, _, _ := unstructured.NestedMap(service.Object, "spec", "selector") // has passed as a Service
	return len(selector) == 0
}

// mirroredServices are those of which the objects have the mirrored slices, by namespace
// and name: they were read from a cluster.
func mirroredServices(objects map[manifestKey]*unstructured.Unstructured) map[[2]string]bool {
	found := map[[2]string]bool{}
	for at, o := range objects {
		if labels := o.GetLabels(); at.gvk.Kind == kindEndpointSlice && labels[discoveryv1.LabelManagedBy] == mirroredBy {
			found[[2]string{at.namespace, labels[discoveryv1.LabelServiceName]}] = true
		}
	}
	return found
}

// slicesOf are the mirror of Endpoints: one for each subset and IP family.
func (m *manifests) slicesOf(e *endpoints) []*discoveryv1.EndpointSlice {
	var all []*discoveryv1.EndpointSlice
	for _, subset := range e.Subsets {
		of := map[discoveryv1.AddressType]*discoveryv1.EndpointSlice{}
		mirrored := 0
		add := func(address corev1.EndpointAddress, ready bool) {
			ip, ok := mirroredIP(address.IP)
			if !ok || mirrored == maxMirrored {
				return
			}
			mirrored++
			family := familyOf(ip.Is6())
			if of[family] == nil {
				of[family] = mirrorOf(e, subset.Ports, family)
				all = append(all, of[family])
			}
			endpoint := discoveryv1.Endpoint{
				Addresses:  []string{ip.String()},
				Conditions: discoveryv1.EndpointConditions{Ready: &ready},
				TargetRef:  address.TargetRef,
				NodeName:   address.NodeName,
			}
			if address.Hostname != "" {
				endpoint.Hostname = &address.Hostname
			}
			of[family].Endpoints = append(of[family].Endpoints, endpoint)
		}
		for _, address := range subset.Addresses {
			add(address, true)
		}
		for _, address := range subset.NotReadyAddresses {
			add(address, false)
		}
		if lost := len(subset.Addresses) + len(subset.NotReadyAddresses) - mirrored; lost > 0 {
			m.log.Warn("addresses of Endpoints ignored", "endpoints", objectKey(e.Namespace, e.Name), "addresses", lost, "limit", maxMirrored)
		}
	}
	return all
}

// mirroredIP is an address of Endpoints, which are less strict than EndpointSlices:
// numbers may begin with zeros, and IPv4 may be written as IPv6.
func mirroredIP(s string) (netip.Addr, bool) {
	if numbers := strings.Split(s, "."); len(numbers) == 4 && !strings.Contains(s, ":") {
		for i, n := range numbers {
			if trimmed := strings.TrimLeft(n, "0"); n != "" {
				numbers[i] = trimmed
				if trimmed == "" {
					numbers[i] = "0"
				}
			}
		}
		s = strings.Join(numbers, ".")
	}
	ip, err := netip.ParseAddr(s)
	return ip.Unmap(), err == nil && ip.Zone() == ""
}

// mirrorOf is a slice of Endpoints that has no endpoints yet.
func mirrorOf(e *endpoints, ports []corev1.EndpointPort, family discoveryv1.AddressType) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		TypeMeta: metav1.TypeMeta{APIVersion: discoveryv1.SchemeGroupVersion.String(), Kind: kindEndpointSlice},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: e.Namespace, Labels: map[string]string{}, Annotations: map[string]string{},
		},
		AddressType: family,
		Ports:       []discoveryv1.EndpointPort{},
	}
	maps.Copy(s.Labels, e.Labels)
	s.Labels[discoveryv1.LabelServiceName], s.Labels[discoveryv1.LabelManagedBy] = e.Name, mirroredBy
	maps.Copy(s.Annotations, e.Annotations)
	delete(s.Annotations, changedAnnotation)
	delete(s.Annotations, corev1.LastAppliedConfigAnnotation)
	for _, p := range ports {
		protocol := corev1.Protocol(protocol(p.Protocol))
		s.Ports = append(s.Ports, discoveryv1.EndpointPort{Name: &p.Name, Port: &p.Port, Protocol: &protocol, AppProtocol: p.AppProtocol})
	}
	return s
}

// addSlice adds a slice under a name that none has, the same at every start. It takes
// the number of the first name to try, and gives that for the next slice.
func addSlice(s *discoveryv1.EndpointSlice, n int, objects, made map[manifestKey]*unstructured.Unstructured) (next int, err error) {
	service := s.Labels[discoveryv1.LabelServiceName]
	for ; ; n++ {
		sum := sha256.Sum256(fmt.Append(nil, service, " ", n))
		s.Name = service[:min(len(service), 240)] + "-" + hex.EncodeToString(sum[:6])
		key := manifestKey{discoveryv1.SchemeGroupVersion.WithKind(kindEndpointSlice), s.Namespace, s.Name}
		if objects[key] != nil || made[key] != nil {
			continue
		}
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(s)
		made[key] = &unstructured.Unstructured{Object: content}
		return n + 1, err
	}
}
