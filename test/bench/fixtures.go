package main

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kconfd/kconfd/test/cluster"
)

const (
	oneService = `{{range endpoints "web"}}{{.Address}}
{{end}}`
	manyServices = `{{range $i := until 500}}{{range endpoints (printf "web-%d" $i)}}{{.Address}}
{{end}}{{end}}`
)

// fixtures are the namespaces that programs are measured in.
type fixtures struct {
	small    *fixture // a service of 3 endpoints
	large    *fixture // one of 10,000, in slices of 100
	services *fixture // 500 services of one endpoint each
}

// fixture is a namespace with services, whose endpoints change when asked to.
type fixture struct {
	client     kubernetes.Interface
	namespace  string
	kubeconfig string
	template   string // writes the address of every endpoint on a line of its own
	endpoints  int    // in all
	slices     []*discoveryv1.EndpointSlice
	addresses  netip.Addr // the last that was used
	changes    int
}

func makeFixtures(ctx context.Context, c *cluster.Cluster) (all fixtures, err error) {
	if all.small, err = makeFixture(ctx, c, "small", oneService, 1); err != nil {
		return all, err
	}
	if err := all.small.addSlice(ctx, "web", "web", 3); err != nil {
		return all, err
	}
	if all.large, err = makeFixture(ctx, c, "large", oneService, 1); err != nil {
		return all, err
	}
	for i := range 100 {
		if err := all.large.addSlice(ctx, "web", fmt.Sprintf("web-%d", i), 100); err != nil {
			return all, err
		}
	}
	if all.services, err = makeFixture(ctx, c, "services", manyServices, 500); err != nil {
		return all, err
	}
	for i := range 500 {
		name := fmt.Sprintf("web-%d", i)
		if err := all.services.addSlice(ctx, name, name, 1); err != nil {
			return all, err
		}
	}
	return all, nil
}

// makeFixture makes the namespace and its services: "web", or when there are
// several "web-0", "web-1" ….
func makeFixture(ctx context.Context, c *cluster.Cluster, namespace, template string, services int) (*fixture, error) {
	f := &fixture{
		client: c.Client(), namespace: namespace, template: template,
		addresses: netip.AddrFrom4([4]byte{10, 0, 0, 0}),
	}
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := f.client.CoreV1().Namespaces().Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	for i := range services {
		name := fmt.Sprintf("web-%d", i)
		if services == 1 {
			name = "web"
		}
		service := cluster.Service(namespace, name)
		if _, err := f.client.CoreV1().Services(namespace).Create(ctx, service, metav1.CreateOptions{}); err != nil {
			return nil, err
		}
	}
	path, err := c.WriteKubeconfig(cluster.Admin, namespace)
	f.kubeconfig = path
	return f, err
}

func (f *fixture) addSlice(ctx context.Context, service, name string, endpoints int) error {
	var addresses []string
	for range endpoints {
		addresses = append(addresses, f.address())
	}
	slice := cluster.Slice(f.namespace, service, name, addresses...)
	made, err := f.client.DiscoveryV1().EndpointSlices(f.namespace).Create(ctx, slice, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	f.slices = append(f.slices, made)
	f.endpoints += endpoints
	return nil
}

// change gives another endpoint, in another slice if there are several, a new
// address, and returns it when the API server has committed it.
func (f *fixture) change(ctx context.Context) (string, error) {
	slice := f.slices[f.changes%len(f.slices)]
	endpoint := &slice.Endpoints[f.changes/len(f.slices)%len(slice.Endpoints)]
	address := f.address()
	endpoint.Addresses = []string{address}
	changed, err := f.client.DiscoveryV1().EndpointSlices(f.namespace).Update(ctx, slice, metav1.UpdateOptions{})
	if err != nil {
		return "", err
	}
	f.slices[f.changes%len(f.slices)] = changed
	f.changes++
	return address, nil
}

// address is one that was not used before.
func (f *fixture) address() string {
	f.addresses = f.addresses.Next()
	return f.addresses.String()
}
