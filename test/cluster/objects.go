package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"
)

// Namespace makes one of its own for the test and returns its name.
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	made, err := c.client.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("making a namespace: %v", err)
	}
	return made.Name
}

// Put creates the objects, or changes them to be as given.
func (c *Cluster) Put(t testing.TB, objects ...runtime.Object) {
	t.Helper()
	for _, object := range objects {
		if err := c.objects.put(t.Context(), object); err != nil {
			t.Fatalf("putting a %T: %v", object, err)
		}
	}
}

// Apply does what `kubectl --namespace NAMESPACE apply --server-side` does with
// YAML documents.
func (c *Cluster) Apply(t testing.TB, namespace, documents string) {
	t.Helper()
	objects, err := decode(documents)
	if err != nil {
		t.Fatalf("applying: %v", err)
	}
	for _, object := range objects {
		if err := c.objects.apply(t.Context(), namespace, object); err != nil {
			t.Fatalf("applying: %v", err)
		}
	}
}

// Grant allows the user what the rules say, in the namespace, instead of what an
// earlier Grant allowed him there. It returns when the API server goes by it. Rules
// are YAML: a list as in a Role.
func (c *Cluster) Grant(t testing.TB, namespace, user, rules string) {
	t.Helper()
	c.grants++
	mark := fmt.Sprintf("grant-%d", c.grants)
	role, err := markedRole(namespace, user, rules, mark)
	if err != nil {
		t.Fatalf("granting: %v", err)
	}
	c.Put(t, role, binding(role, user))
	if err := c.waitGranted(t.Context(), namespace, user, mark); err != nil {
		t.Fatalf("granting: %v", err)
	}
}

// Service is a headless one with a port "http", 8080.
func Service(namespace, name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.ServiceSpec{
			ClusterIP: corev1.ClusterIPNone,
			Selector:  map[string]string{"app": name},
			Ports:     []corev1.ServicePort{{Name: "http", Port: 8080, Protocol: corev1.ProtocolTCP}},
		},
	}
}

// Slice is an EndpointSlice of the service, as its controller would write it for
// the pods NAME-0, NAME-1 … of a StatefulSet, spread over node-0 to node-2 in zone-0
// to zone-2, all ready, with a port "http", 8080. Addresses are of one family.
func Slice(namespace, service, name string, addresses ...string) *discoveryv1.EndpointSlice {
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Labels: map[string]string{
				discoveryv1.LabelServiceName: service,
				discoveryv1.LabelManagedBy:   "endpointslice-controller.k8s.io",
			},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{},
		Ports: []discoveryv1.EndpointPort{{
			Name: new("http"), Port: new(int32(8080)), Protocol: new(corev1.ProtocolTCP),
		}},
	}
	for i, address := range addresses {
		if ip, err := netip.ParseAddr(address); err == nil && ip.Is6() {
			slice.AddressType = discoveryv1.AddressTypeIPv6
		}
		slice.Endpoints = append(slice.Endpoints, endpoint(namespace, fmt.Sprintf("%s-%d", name, i), i, address))
	}
	return slice
}

func endpoint(namespace, pod string, i int, address string) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{
		Addresses:  []string{address},
		Hostname:   new(pod),
		NodeName:   new(fmt.Sprintf("node-%d", i%3)),
		Zone:       new(fmt.Sprintf("zone-%d", i%3)),
		TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: namespace, Name: pod},
		Conditions: conditions(true, true, false),
	}
}

// NotReady makes the endpoint one whose pod has not passed its readiness probe.
func NotReady(e *discoveryv1.Endpoint) { e.Conditions = conditions(false, false, false) }

// Terminating makes the endpoint one whose pod is being deleted and still serves.
func Terminating(e *discoveryv1.Endpoint) { e.Conditions = conditions(false, true, true) }

func conditions(ready, serving, terminating bool) discoveryv1.EndpointConditions {
	return discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating}
}

// objects writes objects of any kind.
type objects struct {
	mapper *restmapper.DeferredDiscoveryRESTMapper
	client dynamic.Interface
}

func newObjects(d discovery.DiscoveryInterface, client dynamic.Interface) *objects {
	return &objects{mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(d)), client: client}
}

// put applies an object of a type that client-go knows.
func (o *objects) put(ctx context.Context, object runtime.Object) error {
	kinds, _, err := scheme.Scheme.ObjectKinds(object)
	if err != nil {
		return err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return err
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(kinds[0])
	return o.apply(ctx, u.GetNamespace(), u)
}

// apply creates the object, or changes it to be as given. The namespace is for
// objects that are in one and do not name it.
func (o *objects) apply(ctx context.Context, namespace string, u *unstructured.Unstructured) error {
	resource, err := o.resource(u, namespace)
	if err != nil {
		return err
	}
	// An object that was read from the API server is as good as one made here.
	u.SetManagedFields(nil)
	u.SetResourceVersion("")
	options := metav1.ApplyOptions{FieldManager: "test", Force: true}
	_, err = resource.Apply(ctx, u.GetName(), u, options)
	return err
}

func (o *objects) resource(u *unstructured.Unstructured, namespace string) (dynamic.ResourceInterface, error) {
	kind := u.GroupVersionKind()
	mapping, err := o.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) { // perhaps of a CustomResourceDefinition made since
		o.mapper.Reset()
		mapping, err = o.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	}
	if err != nil {
		return nil, err
	}
	resource := o.client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return resource, nil
	}
	if u.GetNamespace() == "" {
		u.SetNamespace(namespace)
	}
	return resource.Namespace(u.GetNamespace()), nil
}

// decode reads YAML documents; empty ones are left out.
func decode(documents string) ([]*unstructured.Unstructured, error) {
	var decoded []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewBufferString(documents), 4096)
	for {
		u := &unstructured.Unstructured{}
		var raw runtime.RawExtension
		err := decoder.Decode(&raw)
		if err == nil && len(raw.Raw) > 0 {
			err = utiljson.Unmarshal(raw.Raw, &u.Object) // whole numbers stay whole
		}
		switch {
		case errors.Is(err, io.EOF):
			return decoded, nil
		case err != nil:
			return nil, err
		case len(u.Object) > 0:
			decoded = append(decoded, u)
		}
	}
}

// markedRole is a Role with the rules, and one more that nothing but waitGranted
// asks for, by which it sees that the API server knows this very version.
func markedRole(namespace, user, rules, mark string) (*rbacv1.Role, error) {
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "test-" + user}}
	if err := yaml.UnmarshalStrict([]byte(rules), &role.Rules); err != nil {
		return nil, fmt.Errorf("parsing rules: %w", err)
	}
	role.Rules = append(role.Rules, rbacv1.PolicyRule{
		Verbs: []string{"get"}, APIGroups: []string{"test"}, Resources: []string{"grants"}, ResourceNames: []string{mark},
	})
	return role, nil
}

func binding(role *rbacv1.Role, user string) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: role.Namespace, Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
	}
}

// waitGranted returns when the user is allowed what only the marked role allows.
func (c *Cluster) waitGranted(ctx context.Context, namespace, user, mark string) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		review, err := c.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: namespace, Verb: "get", Group: "test", Resource: "grants", Name: mark,
			}},
		}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		if review.Status.Allowed {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
