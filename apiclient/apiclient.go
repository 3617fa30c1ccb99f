// Package apiclient connects to a Kubernetes API server for a few kinds.
package apiclient

import (
	"fmt"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// New is a client for these objects of one group and version, over protobuf. Its scheme
// has no other kinds, where that of the ready-made clientset costs 11 MiB of memory. It
// makes no request yet. Clients of equal configurations share their connection.
func New(config *rest.Config, gv schema.GroupVersion, objects ...runtime.Object) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(gv, objects...)
	metav1.AddToGroupVersion(scheme, gv)

	config = rest.CopyConfig(config)
	config.GroupVersion = &gv
	config.APIPath = "/apis"
	if gv.Group == "" {
		config.APIPath = "/api"
	}
	config.QPS = -1 // the server has its own fairness
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	shared, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", config.Host, err)
	}
	transport := shared.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	client, err := rest.RESTClientForConfigAndClient(config, &http.Client{Transport: Bound(transport, config.Host), Timeout: shared.Timeout})
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", config.Host, err)
	}
	return client, nil
}
