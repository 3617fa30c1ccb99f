package watcher

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Funcs are the template functions. They are to be called within [View.Run] only.
//
// A function that names one object waits for it: where it does not exist, the
// run fails with an [*AbsentError]. A function that selects gives an empty
// list, and lookup an empty map, as in Helm.
func (r *Reader) Funcs() map[string]any {
	return map[string]any{
		"configMap":   r.configMap,
		"configMaps":  r.configMaps,
		"endpoints":   r.endpointsOf,
		"lookup":      r.lookup,
		"node":        r.node,
		"nodes":       r.nodes,
		"pod":         r.pod,
		"pods":        r.pods,
		"ready":       ready,
		"secret":      r.secret,
		"secretEnv":   r.secretEnv,
		"secrets":     r.secretsOf,
		"self":        r.self,
		"service":     r.service,
		"services":    r.services,
		"statefulSet": r.statefulSet,
		"withPort":    withPort,
	}
}

func (r *Reader) endpointsOf(service string, namespace ...string) ([]*Endpoint, error) {
	ns, err := r.namespace(namespace)
	if err != nil {
		return nil, err
	}
	if err := validName(service); err != nil {
		return nil, err
	}
	return r.endpoints(ns, service), nil
}

func (r *Reader) endpoints(namespace, service string) []*Endpoint {
	n := typedNeed(kindEndpointSlice, namespace, service, "")
	f := r.feed(n)
	if f == nil {
		return nil
	}
	list := f.endpoints(service)
	r.listed(n, list, len(f.groups[service]) == 0)
	return list
}

// ready are those of the endpoints that take traffic.
func ready(endpoints []*Endpoint) []*Endpoint {
	var list []*Endpoint
	for _, e := range endpoints {
		if e.Ready {
			list = append(list, e)
		}
	}
	return list
}

func (r *Reader) service(name string, namespace ...string) (*Service, error) {
	s, err := named[Service](r, kindService, name, namespace)
	if err != nil {
		return nil, err
	}
	s = s.readBy(r)
	if s.Name == "" {
		// Not listed yet. Its endpoints are asked for in the same run, and by its
		// name: without one they would be those of the whole cluster.
		s.Name = name
		s.Namespace, err = r.namespace(namespace)
	}
	return s, err
}

func (r *Reader) services(selector string, namespace ...string) ([]*Service, error) {
	list, err := selected[Service](r, kindService, selector, namespace)
	for i, s := range list {
		list[i] = s.readBy(r)
	}
	return sortedBy(list, func(s *Service) string { return s.Name }), err
}

// readBy is a copy of s whose Endpoints are recorded as read by r.
func (s *Service) readBy(r *Reader) *Service {
	c := *s
	c.reader = r
	return &c
}

func (r *Reader) pod(name string, namespace ...string) (*Pod, error) {
	return named[Pod](r, kindPod, name, namespace)
}

func (r *Reader) pods(selector string, namespace ...string) ([]*Pod, error) {
	list, err := selected[Pod](r, kindPod, selector, namespace)
	return sortedBy(list, func(p *Pod) string { return p.Name }), err
}

func (r *Reader) node(name string) (*Node, error) {
	return named[Node](r, kindNode, name, nil)
}

func (r *Reader) nodes(selector string) ([]*Node, error) {
	list, err := selected[Node](r, kindNode, selector, nil)
	return sortedBy(list, func(n *Node) string { return n.Name }), err
}

func (r *Reader) statefulSet(name string, namespace ...string) (*StatefulSet, error) {
	return named[StatefulSet](r, kindStatefulSet, name, namespace)
}

func (r *Reader) configMap(name string, namespace ...string) (map[string]string, error) {
	data, err := named[map[string]string](r, kindConfigMap, name, namespace)
	if err != nil {
		return nil, err
	}
	return maps.Clone(*data), nil
}

func (r *Reader) secret(name string, namespace ...string) (map[string]string, error) {
	data, err := named[map[string]string](r, kindSecret, name, namespace)
	if err != nil {
		return nil, err
	}
	return r.hiddenValues(*data), nil
}

// secretEnv is a variable of the environment whose value is secret.
func (r *Reader) secretEnv(name string) string {
	r.private = true
	if value := os.Getenv(name); value != "" {
		return r.hidden(value)
	}
	return ""
}

// lookup is Helm's: one object, or with an empty name a map whose items are
// all of the namespace, or of all namespaces when that is empty too. What does
// not exist is an empty map. A name without a namespace is for kinds that have
// none; of others it gives the first of that name in all namespaces.
func (r *Reader) lookup(apiVersion, kind, namespace, name string) (map[string]any, error) {
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil || gv.Version == "" || kind == "" {
		return nil, fmt.Errorf("want an apiVersion like %q and a kind like %q, not %q and %q", "apps/v1", "Deployment", apiVersion, kind)
	}
	n := need{Dependency{APIVersion: apiVersion, Kind: kind, Namespace: namespace, Name: name}, true}
	f := r.feed(n)
	if f == nil {
		return map[string]any{}, nil
	}
	secret := gv.Group == "" && kind == kindSecret
	if name != "" {
		found := sorted(f.groups[name])
		if len(found) == 0 {
			return map[string]any{}, nil
		}
		return r.given(found[0], secret), nil
	}
	items := []any{}
	for _, found := range sorted(f.records) {
		items = append(items, r.given(found, secret))
	}
	return map[string]any{"apiVersion": apiVersion, "kind": kind + "List", "items": items}, nil
}

// sorted are the records by namespace and name.
func sorted(records map[string]*record) []*record {
	return slices.SortedFunc(maps.Values(records), func(a, b *record) int {
		return cmp.Or(compareNames(a.Namespace, b.Namespace), compareNames(a.Name, b.Name))
	})
}

// given is a copy of the object that lookup found. The values of a Secret are
// noted, also in the annotation in which kubectl keeps a copy of them.
func (r *Reader) given(found *record, secret bool) map[string]any {
	o := found.view.(*unstructured.Unstructured).DeepCopy()
	if !secret {
		return o.Object
	}
	data, _, _ := unstructured.NestedMap(o.Object, "data")
	for k, v := range data {
		data[k] = r.hiddenData(v)
	}
	if data != nil {
		o.Object["data"] = data
	}
	annotations := o.GetAnnotations()
	if copied, ok := annotations[corev1.LastAppliedConfigAnnotation]; ok {
		annotations[corev1.LastAppliedConfigAnnotation] = r.hidden(copied)
		o.SetAnnotations(annotations)
	}
	return o.Object
}

// hiddenData is hidden for base64, as a Secret has it.
func (r *Reader) hiddenData(v any) any {
	text, ok := v.(string)
	if !ok {
		return v
	}
	plain, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return r.hidden(text)
	}
	return base64.StdEncoding.EncodeToString([]byte(r.hidden(string(plain))))
}

// Self is the pod that kconfd runs in. Its name comes from the environment
// variable POD_NAME, else from the host name; IP and node from POD_IP and
// NODE_NAME where these are set. All else is read from the Pod itself.
type Self struct {
	reader *Reader
}

func (r *Reader) self() *Self { return &Self{reader: r} }

// String is the name of the pod, or of the host while it has none.
func (s *Self) String() string {
	name, _ := s.Name() // a host always has one
	return name
}

// Name of the pod.
func (s *Self) Name() (string, error) {
	if name := os.Getenv("POD_NAME"); name != "" {
		return fromEnv("POD_NAME", name, isObjectName)
	}
	name, err := os.Hostname()
	if err == nil && !isHostName(name) {
		err = fmt.Errorf("the host name %q is no name of a pod", name)
	}
	return name, err
}

// SelfOfEnvironment is what is known of this pod without a cluster: Name and Ordinal, and of
// Namespace, IP and Node what the environment has.
func SelfOfEnvironment() (map[string]any, error) {
	s := &Self{}
	name, err := s.Name()
	if err != nil {
		return nil, err
	}
	known := map[string]any{"Name": name, "Ordinal": ordinal(name)}
	for variable, field := range map[string]struct {
		name string
		get  func() (string, error)
	}{"POD_NAMESPACE": {"Namespace", s.Namespace}, "POD_IP": {"IP", s.IP}, "NODE_NAME": {"Node", s.Node}} {
		if os.Getenv(variable) == "" {
			continue
		}
		if known[field.name], err = field.get(); err != nil {
			return nil, err
		}
	}
	return known, nil
}

// fromEnv is the value of an environment variable, or an error when it is not what
// the downward API would give.
func fromEnv(variable, value string, allowed func(string) bool) (string, error) {
	if !allowed(value) {
		return "", fmt.Errorf("the environment variable %s is %q, which cannot be", variable, value)
	}
	return value, nil
}

// Namespace of the pod.
func (s *Self) Namespace() (string, error) {
	if namespace := os.Getenv("POD_NAMESPACE"); namespace != "" {
		return fromEnv("POD_NAMESPACE", namespace, isDNSLabel)
	}
	return s.reader.watcher.namespace, nil
}

// Ordinal of a StatefulSet's pod, else -1.
func (s *Self) Ordinal() (int, error) {
	name, err := s.Name()
	return ordinal(name), err
}

// IP of the pod, the first where it has two.
func (s *Self) IP() (string, error) {
	if ip := os.Getenv("POD_IP"); ip != "" {
		address, _, ok := parseIP(ip)
		_, err := fromEnv("POD_IP", ip, func(string) bool { return ok })
		return address, err
	}
	pod, err := s.Pod()
	if err != nil {
		return "", err
	}
	if pod.IP == "" && len(s.reader.pending) == 0 {
		return "", &AbsentError{What: fmt.Sprintf("the IP of pod %q", pod.Name)}
	}
	return pod.IP, nil
}

// Node that the pod runs on.
func (s *Self) Node() (string, error) {
	if node := os.Getenv("NODE_NAME"); node != "" {
		return fromEnv("NODE_NAME", node, isObjectName)
	}
	pod, err := s.Pod()
	if err != nil {
		return "", err
	}
	return pod.Node, nil
}

// Labels of the pod.
func (s *Self) Labels() (map[string]string, error) {
	pod, err := s.Pod()
	if err != nil {
		return nil, err
	}
	return pod.Labels, nil
}

// Annotations of the pod.
func (s *Self) Annotations() (map[string]string, error) {
	pod, err := s.Pod()
	if err != nil {
		return nil, err
	}
	return pod.Annotations, nil
}

// Pod is all that is known of it.
func (s *Self) Pod() (*Pod, error) {
	name, err := s.Name()
	if err != nil {
		return nil, err
	}
	namespace, err := s.Namespace()
	if err != nil {
		return nil, err
	}
	return s.reader.pod(name, namespace)
}

func typedNeed(kind, namespace, name, selector string) need {
	return need{Dependency{APIVersion: apiVersion(kind), Kind: kind, Namespace: namespace, Name: name, Selector: selector}, false}
}

// scope is the namespace for a kind: none for one of the cluster.
func (r *Reader) scope(kind string, given []string) (string, error) {
	if kinds()[kind].cluster {
		return "", nil
	}
	return r.namespace(given)
}

// named is the view of one object. While it is not listed yet, an empty one
// stands in.
func named[T any](r *Reader, kind, name string, namespace []string) (*T, error) {
	ns, err := r.scope(kind, namespace)
	if err != nil {
		return nil, err
	}
	if err := validName(name); err != nil {
		return nil, err
	}
	n := typedNeed(kind, ns, name, "")
	f := r.feed(n)
	if f == nil {
		return new(T), nil
	}
	for _, found := range f.groups[name] {
		return viewOf[T](found), nil
	}
	return nil, r.absent(n.Dependency)
}

// validName refuses what no object can be called: awaited, it would be awaited
// for ever, and in a selector it could select something else.
func validName(name string) error {
	faults := validation.IsDNS1123Subdomain(name)
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(faults) > 0:
		why, _, _ := strings.Cut(faults[0], " (e.g.")
		return fmt.Errorf("%q is no name of an object: %s", name, why)
	}
	return nil
}

// selected are the views of all objects whose labels match.
func selected[T any](r *Reader, kind, selector string, namespace []string) ([]*T, error) {
	ns, err := r.scope(kind, namespace)
	if err != nil {
		return nil, err
	}
	parsed, err := labels.Parse(selector)
	if err != nil {
		return nil, fmt.Errorf("label selector %q: %w", selector, err)
	}
	n := typedNeed(kind, ns, "", parsed.String())
	f := r.feed(n)
	if f == nil {
		return nil, nil
	}
	list := make([]*T, 0, len(f.records))
	for _, found := range f.records {
		list = append(list, viewOf[T](found))
	}
	r.listed(n, list, len(list) == 0)
	return list, nil
}

// viewOf is a record's view. Maps are views by value, all else by pointer.
func viewOf[T any](r *record) *T {
	if v, ok := r.view.(T); ok {
		return &v
	}
	return r.view.(*T)
}
