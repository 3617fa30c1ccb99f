package watcher

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	kindConfigMap     = "ConfigMap"
	kindEndpointSlice = "EndpointSlice"
	kindNode          = "Node"
	kindPod           = "Pod"
	kindSecret        = "Secret"
	kindService       = "Service"
	kindStatefulSet   = "StatefulSet"
)

// A kind is one of those that have a typed view.
type kind struct {
	gv       schema.GroupVersion
	resource string
	cluster  bool // has no namespace
	sharable bool // see need.sharable
	object   func() runtime.Object
	list     func() runtime.Object
	// view cuts an object down to what templates can read. The group is what
	// dependencies name: the object's own name, or an EndpointSlice's service.
	view func(runtime.Object, *faults) (group string, view any)
	// decode reads a view from a snapshot. What is in it is no better than what the
	// server had.
	decode func([]byte, *faults) (view any, err error)
	// viewWhole and decodeWhole take the place of the two where objects are selected by
	// their labels, and not by their name; nil where that makes no difference.
	viewWhole   func(runtime.Object, *faults) (group string, view any)
	decodeWhole func([]byte, *faults) (view any, err error)
}

// kinds are the typed ones by name. kconfd's scheme holds these and nothing
// else: the all-in scheme costs 11 MiB of memory.
func kinds() map[string]kind {
	return map[string]kind{
		kindConfigMap: {
			gv: corev1.SchemeGroupVersion, resource: "configmaps",
			object: func() runtime.Object { return &corev1.ConfigMap{} },
			list:   func() runtime.Object { return &corev1.ConfigMapList{} },
			view:   viewConfigMap, viewWhole: viewWholeConfigMap,
			decode: decodeData, decodeWhole: decodeWholeConfigMap,
		},
		kindEndpointSlice: {
			gv: discoveryv1.SchemeGroupVersion, resource: "endpointslices", sharable: true,
			object: func() runtime.Object { return &discoveryv1.EndpointSlice{} },
			list:   func() runtime.Object { return &discoveryv1.EndpointSliceList{} },
			view:   viewEndpointSlice,
			decode: decodeEndpoints,
		},
		kindNode: {
			gv: corev1.SchemeGroupVersion, resource: "nodes", cluster: true, sharable: true,
			object: func() runtime.Object { return &corev1.Node{} },
			list:   func() runtime.Object { return &corev1.NodeList{} },
			view:   viewNode,
			decode: decodeView((*faults).node),
		},
		kindPod: {
			gv: corev1.SchemeGroupVersion, resource: "pods", sharable: true,
			object: func() runtime.Object { return &corev1.Pod{} },
			list:   func() runtime.Object { return &corev1.PodList{} },
			view:   viewPod,
			decode: decodeView((*faults).pod),
		},
		kindSecret: {
			gv: corev1.SchemeGroupVersion, resource: "secrets",
			object: func() runtime.Object { return &corev1.Secret{} },
			list:   func() runtime.Object { return &corev1.SecretList{} },
			view:   viewSecret, viewWhole: viewWholeSecret,
			decode: decodeData, decodeWhole: decodeWholeSecret,
		},
		kindService: {
			gv: corev1.SchemeGroupVersion, resource: "services", sharable: true,
			object: func() runtime.Object { return &corev1.Service{} },
			list:   func() runtime.Object { return &corev1.ServiceList{} },
			view:   viewService,
			decode: decodeView((*faults).service),
		},
		kindStatefulSet: {
			gv: appsv1.SchemeGroupVersion, resource: "statefulsets", sharable: true,
			object: func() runtime.Object { return &appsv1.StatefulSet{} },
			list:   func() runtime.Object { return &appsv1.StatefulSetList{} },
			view:   viewStatefulSet,
			decode: decodeView((*faults).statefulSet),
		},
	}
}

// apiVersion of a typed kind.
func apiVersion(name string) string { return kinds()[name].gv.String() }

// viewUntyped keeps an object as it is but for the bookkeeping that no
// template reads and that changes on every write. All of it is free text.
func viewUntyped(o runtime.Object, _ *faults) (string, any) {
	u := o.(*unstructured.Unstructured)
	u.SetManagedFields(nil)
	u.SetResourceVersion("")
	return u.GetName(), u
}

// view cuts an object of the watch down to what templates can read.
func (k watchKey) view() func(runtime.Object, *faults) (group string, view any) {
	known := kinds()[k.gvk.Kind]
	switch {
	case k.untyped:
		return viewUntyped
	case k.name == "" && known.viewWhole != nil:
		return known.viewWhole
	}
	return known.view
}

// dropNoise removes an annotation that repeats the whole object. When it was the
// only one, there are none: an empty map would look like a change.
func dropNoise(annotations map[string]string) map[string]string {
	delete(annotations, corev1.LastAppliedConfigAnnotation)
	if len(annotations) == 0 {
		return nil
	}
	return annotations
}

const serviceNameIs = discoveryv1.LabelServiceName + "="

func selectorOfService(name string) string { return serviceNameIs + name }

func serviceOfSelector(labels string) (string, bool) {
	return strings.CutPrefix(labels, serviceNameIs)
}
