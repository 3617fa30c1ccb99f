package watcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	authn "k8s.io/client-go/transport"

	"github.com/kconfd/kconfd/apiclient"
)

// Cluster says which API server to read, as kubectl's flags of the same names
// do. The zero value is the service account's in a pod, else the default
// kubeconfig.
type Cluster struct {
	Kubeconfig string // path; empty means $KUBECONFIG, ~/.kube/config, or in a pod the service account's
	Context    string
	Namespace  string // of names given without one; empty means the context's or the pod's
	UserAgent  string
}

// A NoConfigError is a kubeconfig that does not exist, or names no server.
type NoConfigError struct {
	err error
}

func (e *NoConfigError) Error() string { return "it does not exist, or names no server" }
func (e *NoConfigError) Unwrap() error { return e.err }

// Config is how to reach the server, and the namespace of names given without
// one.
func (c Cluster) Config() (config *rest.Config, namespace string, err error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.Kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: c.Context})
	if raw, err := loader.RawConfig(); err == nil {
		if err := apiclient.CheckFiles(raw); err != nil {
			return nil, "", fmt.Errorf("reading kubeconfig %q: %w", cmp.Or(c.Kubeconfig, strings.Join(rules.Precedence, ":")), err)
		}
	}
	config, err = loader.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		err = &NoConfigError{err}
	}
	if err != nil {
		return nil, "", fmt.Errorf("reading kubeconfig %q: %w", cmp.Or(c.Kubeconfig, strings.Join(rules.Precedence, ":")), err)
	}
	namespace = cmp.Or(c.Namespace, os.Getenv("POD_NAMESPACE"))
	if namespace == "" {
		if namespace, _, err = loader.Namespace(); err != nil {
			return nil, "", fmt.Errorf("reading kubeconfig %q: %w", c.Kubeconfig, err)
		}
	}
	config.UserAgent = c.UserAgent
	// The server has its own fairness; a client-side limit would only delay
	// the first render of a template with many dependencies.
	config.QPS = -1
	apiclient.WatchCredentials(config, config.BearerTokenFile)
	if file := config.BearerTokenFile; file != "" {
		// Read anew when the token is refused, and not only once a minute.
		config.BearerToken, config.BearerTokenFile = "", ""
		config.Wrap(authn.ResettableTokenSourceWrapTransport(authn.NewCachedFileTokenSource(file)))
	}
	return config, namespace, nil
}

// NewCluster returns a watcher of a cluster. It makes no request yet: a
// server that cannot be reached shows in [Watcher.Problems].
func NewCluster(c Cluster, log *slog.Logger) (*Watcher, error) {
	config, namespace, err := c.Config()
	if err != nil {
		return nil, err
	}
	// With a dialer of its own, the connection is not one that client-go
	// shares with others in the process, and may be configured.
	config.Dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", config.Host, err)
	}
	if os.Getenv("HTTP2_READ_IDLE_TIMEOUT_SECONDS") == "" { // client-go's setting
		probe(client.Transport)
	}
	client.Transport = apiclient.Bound(transport{client.Transport}, config.Host)
	return newWatcher(&cluster{config: config, http: client, scheme: newScheme()}, namespace, log), nil
}

const (
	// dialTimeout is short for the sake of a server that packets are lost to
	// while it is away: the kernel would wait longer and longer between tries.
	dialTimeout = 5 * time.Second
	// pingAfter is how long a connection may be silent until it is asked for a
	// sign of life, and pingTimeout how long that may take.
	pingAfter   = 10 * time.Second
	pingTimeout = 10 * time.Second
)

// probe has the connections of t looked after: a watch on one that has died
// without a word would be silent for ever.
func probe(t http.RoundTripper) {
	for {
		switch inner := t.(type) {
		case *http.Transport:
			inner.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout}
			return
		case utilnet.RoundTripperWrapper:
			t = inner.WrappedRoundTripper()
		default:
			return
		}
	}
}

// cluster reads an API server: the typed kinds as protobuf, what lookup asks
// for as JSON, all over one connection.
type cluster struct {
	config *rest.Config
	http   *http.Client
	scheme *runtime.Scheme

	mu      sync.Mutex
	clients map[schema.GroupVersion]once
}

func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for name, k := range kinds() {
		s.AddKnownTypeWithName(k.gv.WithKind(name), k.object())
		s.AddKnownTypeWithName(k.gv.WithKind(name+"List"), k.list())
		metav1.AddToGroupVersion(s, k.gv)
	}
	return s
}

func (c *cluster) run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// follow lists and watches the feed's objects until ctx ends.
func (c *cluster) follow(ctx context.Context, f *feed) {
	var lw *cache.ListWatch
	var example runtime.Object
	// A custom resource may be defined later than kconfd starts.
	err := retry().DelayFunc().Until(ctx, true, true, func(ctx context.Context) (done bool, _ error) {
		var err error
		lw, example, err = c.open(ctx, f.key)
		f.failed(err)
		return err == nil, nil
	})
	if err != nil {
		return // ctx has ended
	}
	backoff := retry()
	ctx = context.WithValue(ctx, feedKey{}, f)
	cache.NewReflectorWithOptions(&observed{ListWatch: lw, feed: f}, example, f, cache.ReflectorOptions{
		Name:            f.key.dependency().String(),
		TypeDescription: f.key.gvk.Kind,
		Backoff:         &backoff,
	}).RunWithContext(ctx)
}

// retry is how long to wait before what failed is tried again: at most two to
// three seconds, spread. client-go's own lets a minute pass after the server is
// back; this is no storm either.
func retry() wait.Backoff {
	return wait.Backoff{Duration: 250 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 5, Cap: 2 * time.Second}
}

// observed tells the feed what the server refused, and keeps the reflector from
// asking too often, or waiting too long.
type observed struct {
	*cache.ListWatch
	feed         *feed
	last, before time.Time // when a watch was asked for, and the time before
}

func (o *observed) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	list, err := o.ListWatch.ListWithContext(ctx, options)
	o.feed.failed(err)
	return list, err
}

func (o *observed) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	o.pace(ctx)
	w, err := o.watch(ctx, options)
	if options.SendInitialEvents == nil {
		o.feed.watchFailed(err)
		return w, err
	}
	o.feed.failed(err)
	o.feed.listing = w
	if utilnet.IsConnectionRefused(err) || apierrors.IsTooManyRequests(err) {
		// For these the reflector would sleep here, and sleep on when its
		// context has ended. Of others it does so outside, where it wakes.
		err = errors.New(err.Error())
	}
	return w, err
}

// pace waits when watches follow each other fast. The reflector waits after
// most that can go wrong, but not when it is told that what it has is too old,
// nor when a watch ends after its first word.
func (o *observed) pace(ctx context.Context) {
	pause := time.Until(o.before.Add(wait.Jitter(time.Second, 0.5)))
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
	o.before, o.last = o.last, time.Now()
}

// watch ends when the server should have ended it: what stands before the
// server may have lost it, and hold on to the connection.
func (o *observed) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(value(options.TimeoutSeconds))*time.Second+overtime)
	w, err := o.ListWatch.WatchWithContext(ctx, options)
	if err != nil {
		cancel()
		return nil, err
	}
	return &limited{w, cancel}, nil
}

// overtime is what a server is granted to end a watch.
const overtime = 30 * time.Second

// limited is a watch with a context of its own.
type limited struct {
	watch.Interface
	cancel context.CancelFunc
}

// Stop implements [watch.Interface].
func (l *limited) Stop() {
	l.cancel() // first, so that what is read now is known to be the end
	l.Interface.Stop()
}

// once is a client that tries each request once. By itself it would try ten
// times more and wait as long as the server says in between, be it an hour, and
// always a second where it says nothing, as all other clients do.
type once struct{ rest.Interface }

// Get implements [rest.Interface].
func (o once) Get() *rest.Request { return o.Interface.Get().MaxRetries(0) }

// transport tells the feed that a request is for how each attempt fared. The
// client keeps some of that to itself: it tries again, and in the end calls a
// server that does not answer an empty watch.
type transport struct{ http.RoundTripper }

type feedKey struct{}

func (t transport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(request)
	f, ok := request.Context().Value(feedKey{}).(*feed)
	if !ok {
		return response, err
	}
	query := request.URL.Query()
	watch, lists := query.Has("watch"), query.Has("sendInitialEvents")
	switch {
	case err != nil && watch && !lists:
		f.watchFailed(err)
	case err != nil:
		f.failed(err)
	case watch && response.StatusCode == http.StatusOK:
		f.watching(lists)
		response.Body = &body{response.Body, request.Context(), f}
	}
	return response, err
}

// body tells the feed when a watch breaks off: the next one may take long to
// find out that the server is away.
type body struct {
	io.ReadCloser
	ctx  context.Context // of the watch
	feed *feed
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && b.ctx.Err() == nil {
		b.feed.watchFailed(err)
	}
	return n, err
}

func (c *cluster) open(ctx context.Context, key watchKey) (*cache.ListWatch, runtime.Object, error) {
	if key.untyped {
		return c.openUntyped(ctx, key)
	}
	k := kinds()[key.gvk.Kind]
	client, err := c.client(k.gv)
	if err != nil {
		return nil, nil, err
	}
	request := func(options metav1.ListOptions) *rest.Request {
		restrict(&options, key)
		return client.Get().NamespaceIfScoped(key.namespace, key.namespace != "").Resource(k.resource).
			VersionedParams(&options, metav1.ParameterCodec)
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return request(options).Do(ctx).Get()
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.Watch = true
			return request(options).Watch(ctx)
		},
	}, k.object(), nil
}

func (c *cluster) openUntyped(ctx context.Context, key watchKey) (*cache.ListWatch, runtime.Object, error) {
	resource, _, err := c.resource(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	client, err := rest.UnversionedRESTClientForConfigAndClient(dynamic.ConfigFor(c.config), c.http)
	if err != nil {
		return nil, nil, err
	}
	objects := dynamic.New(once{client}).Resource(key.gvk.GroupVersion().WithResource(resource)).Namespace(key.namespace)
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			restrict(&options, key)
			return objects.List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			restrict(&options, key)
			return objects.Watch(ctx, options)
		},
	}, &unstructured.Unstructured{}, nil
}

// restrict makes the server send no more than the key's objects.
func restrict(options *metav1.ListOptions, key watchKey) {
	options.LabelSelector = key.labels
	if key.name != "" {
		options.FieldSelector = "metadata.name=" + key.name
	}
}

// client is the one for a group and version.
func (c *cluster) client(gv schema.GroupVersion) (rest.Interface, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if client, ok := c.clients[gv]; ok {
		return client, nil
	}
	config := rest.CopyConfig(c.config)
	config.GroupVersion = &gv
	config.APIPath = "/apis"
	if gv.Group == "" {
		config.APIPath = "/api"
	}
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	config.NegotiatedSerializer = serializer.NewCodecFactory(c.scheme).WithoutConversion()
	client, err := rest.RESTClientForConfigAndClient(config, c.http)
	if err != nil {
		return nil, err
	}
	if c.clients == nil {
		c.clients = map[schema.GroupVersion]once{}
	}
	c.clients[gv] = once{client}
	return c.clients[gv], nil
}

// resource asks the server what it calls a kind. (client-go's discovery
// client would do it as well, for several MiB of OpenAPI descriptors.)
func (c *cluster) resource(ctx context.Context, key watchKey) (string, bool, error) {
	if k, ok := kinds()[key.gvk.Kind]; ok && k.gv == key.gvk.GroupVersion() {
		return k.resource, !k.cluster, nil
	}
	client, err := c.client(schema.GroupVersion{Version: "v1"})
	if err != nil {
		return "", false, err
	}
	gv := key.gvk.GroupVersion()
	path := "/apis/" + gv.String()
	if gv.Group == "" {
		path = "/api/" + gv.Version
	}
	var list metav1.APIResourceList
	err = client.Get().AbsPath(path).Timeout(requestTimeout).Do(ctx).Into(&list)
	if err != nil && !apierrors.IsNotFound(err) {
		return "", false, fmt.Errorf("asking the server about %s: %w", gv, err)
	}
	for _, r := range list.APIResources {
		if r.Kind == key.gvk.Kind && !strings.Contains(r.Name, "/") {
			return r.Name, r.Namespaced, nil
		}
	}
	return "", false, fmt.Errorf("the server knows no %s in %s", key.gvk.Kind, gv)
}

const requestTimeout = 10 * time.Second

// namespaceMissing asks the server. Most Roles do not allow to ask; then it is
// taken to exist: without it there would be no Role in it.
func (c *cluster) namespaceMissing(ctx context.Context, namespace string) (bool, error) {
	client, err := c.client(schema.GroupVersion{Version: "v1"})
	if err != nil {
		return false, err
	}
	err = client.Get().Resource("namespaces").Name(namespace).Timeout(requestTimeout).Do(ctx).Error()
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil && !apierrors.IsForbidden(err) {
		return false, fmt.Errorf("asking the server about namespace %q: %w", namespace, err)
	}
	return false, nil
}
