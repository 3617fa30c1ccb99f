package gate

import (
	"context"
	"errors"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	"github.com/kconfd/kconfd/apiclient"
)

const resource = "leases"

// NewClient is one for Leases alone.
func NewClient(config *rest.Config) (rest.Interface, error) {
	return apiclient.New(config, coordinationv1.SchemeGroupVersion, &coordinationv1.Lease{}, &coordinationv1.LeaseList{})
}

// A store keeps one Lease.
type store interface {
	// get gives the Lease as it is now, or nil when there is none.
	get(ctx context.Context) (*coordinationv1.Lease, error)
	// put creates a Lease that has no resource version. One that has takes the
	// place of that very version.
	put(ctx context.Context, lease *coordinationv1.Lease) (*coordinationv1.Lease, error)
	// watch gives the Lease, if there is one, and then each change.
	watch(ctx context.Context) (watch.Interface, error)
}

// leases is the store of an API server.
type leases struct {
	client    rest.Interface
	namespace string
	name      string
	timeout   time.Duration // of one request
}

func (l *leases) get(ctx context.Context) (*coordinationv1.Lease, error) {
	lease := &coordinationv1.Lease{}
	err := l.do(ctx, lease, func() *rest.Request { return l.client.Get().Name(l.name) })
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return lease, l.explain("get", err)
}

func (l *leases) put(ctx context.Context, lease *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	verb, request := "update", func() *rest.Request { return l.client.Put().Name(l.name).Body(lease) }
	if lease.ResourceVersion == "" {
		lease.Name, lease.Namespace = l.name, l.namespace
		verb, request = "create", func() *rest.Request { return l.client.Post().Body(lease) }
	}
	answer := &coordinationv1.Lease{}
	err := l.do(ctx, answer, request)
	return answer, l.explain(verb, err)
}

// do makes one attempt. When to make another, the caller knows better than the
// client.
func (l *leases) do(ctx context.Context, into *coordinationv1.Lease, request func() *rest.Request) error {
	limited, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	err := request().Namespace(l.namespace).Resource(resource).MaxRetries(0).Do(limited).Into(into)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w within %s", errNoAnswer, l.timeout)
	}
	return err
}

var errNoAnswer = errors.New("no answer")

// watchFor is how long a watch may last, with half of that again at random, so
// that those of many replicas do not end together.
const watchFor = 5 * time.Minute

func (l *leases) watch(ctx context.Context) (watch.Interface, error) {
	seconds := int64(jitter(watchFor).Seconds())
	options := &metav1.ListOptions{Watch: true, FieldSelector: "metadata.name=" + l.name, TimeoutSeconds: &seconds}
	ctx, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(l.timeout, cancel)
	w, err := l.client.Get().Namespace(l.namespace).Resource(resource).
		VersionedParams(options, metav1.ParameterCodec).MaxRetries(0).Watch(ctx)
	if !late.Stop() && err != nil {
		err = fmt.Errorf("%w within %s", errNoAnswer, l.timeout)
	}
	if err != nil {
		cancel()
		return nil, l.explain("watch", err)
	}
	return &cancelled{w, cancel}, nil
}

// cancelled is a watch that ends its request.
type cancelled struct {
	watch.Interface
	cancel context.CancelFunc
}

func (c *cancelled) Stop() {
	c.Interface.Stop()
	c.cancel()
}

func (l *leases) explain(verb string, err error) error {
	doing := map[string]string{"get": "reading", "create": "creating", "update": "writing", "watch": "watching"}[verb]
	switch {
	case err == nil:
		return nil
	case denied(err):
		return &DeniedError{Verb: verb, Namespace: l.namespace, Name: l.name, cause: err}
	}
	return fmt.Errorf("%s lease \"%s/%s\": %w", doing, l.namespace, l.name, err)
}

// denied says whether a Role would help.
func denied(err error) bool {
	return apierrors.IsForbidden(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// A DeniedError is a request that the server's authorisation refuses.
type DeniedError struct {
	Verb            string // of RBAC: get, create, update or watch
	Namespace, Name string // of the Lease
	cause           error
}

// Error ends in the server's own words, which name the user.
func (e *DeniedError) Error() string {
	return fmt.Sprintf("may not %s %s.%s %q in namespace %q: %v",
		e.Verb, resource, coordinationv1.GroupName, e.Name, e.Namespace, e.cause)
}

func (e *DeniedError) Unwrap() error { return e.cause }

// outdated says whether a write failed because the Lease is not what it was
// taken for.
func outdated(err error, created bool) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || (!created && apierrors.IsNotFound(err))
}
