// Floor is the least that a program can do to keep a file in step with a
// service: client-go's reflector on the EndpointSlices, and the addresses written
// to a file on every event. It checks nothing, sorts nothing and does not fsync.
// kconfd is measured against it.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("floor", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "`path` of the kubeconfig")
	namespace := flags.String("namespace", "", "of the service")
	service := flags.String("service", "", "whose addresses to write")
	target := flags.String("target", "", "`file` to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	client, err := newClient(*kubeconfig)
	if err != nil {
		return err
	}
	slices := cache.NewFilteredListWatchFromClient(client, "endpointslices", *namespace, func(options *metav1.ListOptions) {
		options.LabelSelector = discoveryv1.LabelServiceName + "=" + *service
	})
	store := &fileStore{Store: cache.NewStore(cache.MetaNamespaceKeyFunc), target: *target}
	cache.NewReflector(slices, &discoveryv1.EndpointSlice{}, store, 0).Run(ctx.Done())
	return nil
}

// newClient makes one that knows EndpointSlices and nothing else, in protobuf.
func newClient(kubeconfig string) (*rest.RESTClient, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := discoveryv1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	config.APIPath = "/apis"
	config.GroupVersion = &discoveryv1.SchemeGroupVersion
	config.ContentType = runtime.ContentTypeProtobuf
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	return rest.RESTClientFor(config)
}

// fileStore writes the file whenever the store has changed.
type fileStore struct {
	cache.Store
	target string
}

func (s *fileStore) Add(object any) error {
	return s.write(s.Store.Add(object))
}

func (s *fileStore) Update(object any) error {
	return s.write(s.Store.Update(object))
}

func (s *fileStore) Delete(object any) error {
	return s.write(s.Store.Delete(object))
}

func (s *fileStore) Replace(objects []any, version string) error {
	return s.write(s.Store.Replace(objects, version))
}

func (s *fileStore) write(changed error) error {
	if changed != nil {
		return changed
	}
	staged, err := os.Create(s.target + ".new")
	if err != nil {
		return err
	}
	defer staged.Close()
	w := bufio.NewWriter(staged)
	for _, object := range s.List() {
		for _, endpoint := range object.(*discoveryv1.EndpointSlice).Endpoints {
			w.WriteString(endpoint.Addresses[0])
			w.WriteByte('\n')
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return os.Rename(staged.Name(), s.target)
}
