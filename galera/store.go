package galera

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"

	"github.com/kconfd/kconfd/apiclient"
)

const (
	resource = "configmaps"

	labelManagedBy = "app.kubernetes.io/managed-by"
	labelRecord    = "kconfd.io/galera"

	// requestTimeout is that of one request.
	requestTimeout = 5 * time.Second
)

// NewClient is one for ConfigMaps alone.
func NewClient(config *rest.Config) (rest.Interface, error) {
	return apiclient.New(config, corev1.SchemeGroupVersion, &corev1.ConfigMap{})
}

// RecordName is the name of the ConfigMap for a wsrep_cluster_name, which may have
// letters that no object's name has.
func RecordName(cluster string) string {
	name := regexp.MustCompile(`[^a-z0-9.-]+`).ReplaceAllString(strings.ToLower(cluster), "-")
	return strings.TrimLeft(name, ".-") + "-galera"
}

// A Store keeps the record of one cluster in a ConfigMap.
type Store struct {
	client    rest.Interface
	namespace string
	cluster   string
	name      string
	timeout   time.Duration // of one request
}

// NewStore is the one for the cluster of that wsrep_cluster_name.
func NewStore(client rest.Interface, namespace, cluster string) (*Store, error) {
	name := RecordName(cluster)
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return nil, fmt.Errorf("wsrep_cluster_name %q: the record would be called %q: %s", cluster, name, problems[0])
	}
	return &Store{client, namespace, cluster, name, requestTimeout}, nil
}

// String is how people find it.
func (s *Store) String() string { return s.namespace + "/" + s.name }

// A stored record is one version of it.
type stored struct {
	*Record
	object *corev1.ConfigMap // nil: to be created
}

// get gives the record as it is now, or nil when there is none.
func (s *Store) get(ctx context.Context) (*stored, error) {
	object := &corev1.ConfigMap{}
	err := s.do(ctx, object, s.client.Get().Name(s.name))
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, s.explain("get", err)
	}
	return s.parse(object)
}

func (s *Store) parse(object *corev1.ConfigMap) (*stored, error) {
	r, err := parseRecord(object.Data)
	if err == nil && r.Name != s.cluster {
		err = fmt.Errorf("it is that of the cluster %q, and this one is %q", r.Name, s.cluster)
	}
	if err != nil {
		return nil, &RecordError{s.namespace, s.name, err}
	}
	return &stored{r, object}, nil
}

// put writes a record in place of the very version that old is, or creates it when
// old is nil.
func (s *Store) put(ctx context.Context, old *stored, r *Record) (*stored, error) {
	verb, object := "create", &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Name: s.name, Namespace: s.namespace, Labels: map[string]string{labelManagedBy: "kconfd", labelRecord: "true"},
	}}
	request := s.client.Post()
	if old != nil {
		verb, object, request = "update", old.object.DeepCopy(), s.client.Put().Name(s.name)
	}
	if object.Data == nil {
		object.Data = map[string]string{}
	}
	if err := r.counted(old).into(object.Data); err != nil {
		return nil, err
	}
	answer := &corev1.ConfigMap{}
	if err := s.do(ctx, answer, request.Body(object)); err != nil {
		return nil, s.explain(verb, err)
	}
	return s.parse(answer)
}

var errNoAnswer = errors.New("no answer")

// do makes one attempt.
func (s *Store) do(ctx context.Context, into *corev1.ConfigMap, request *rest.Request) error {
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err := request.Namespace(s.namespace).Resource(resource).MaxRetries(0).Do(limited).Into(into)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w within %s", errNoAnswer, s.timeout)
	}
	return err
}

func (s *Store) explain(verb string, err error) error {
	if apierrors.IsForbidden(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return &DeniedError{Verb: verb, Namespace: s.namespace, Name: s.name, cause: err}
	}
	return &RequestError{Verb: verb, Name: s.String(), cause: err}
}

// A RequestError is a request that came to nothing, or of which nobody knows what
// came of it.
type RequestError struct {
	Verb  string // of RBAC: get, create or update
	Name  string // of the ConfigMap, with its namespace
	cause error
}

func (e *RequestError) Error() string {
	doing := map[string]string{"get": "reading", "create": "creating", "update": "writing"}[e.Verb]
	return fmt.Sprintf("%s configmap %q: %v", doing, e.Name, e.cause)
}

func (e *RequestError) Unwrap() error { return e.cause }

// A RecordError is a ConfigMap that cannot be used for the record.
type RecordError struct {
	Namespace, Name string
	cause           error
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("reading the record in configmap \"%s/%s\": %v", e.Namespace, e.Name, e.cause)
}

func (e *RecordError) Unwrap() error { return e.cause }

// A DeniedError is a request that the server's authorisation refuses.
type DeniedError struct {
	Verb            string // of RBAC: get, create or update
	Namespace, Name string // of the ConfigMap
	cause           error
}

// Error ends in the server's own words, which name the user.
func (e *DeniedError) Error() string {
	return fmt.Sprintf("may not %s configmap %q in namespace %q: %v", e.Verb, e.Name, e.Namespace, e.cause)
}

func (e *DeniedError) Unwrap() error { return e.cause }

// outdated says whether a write came to nothing because the record is not what it
// was taken for.
func outdated(err error) bool {
	var request *RequestError
	return errors.As(err, &request) && (apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) ||
		request.Verb == "update" && apierrors.IsNotFound(err))
}

// transient says whether another attempt may have another answer.
func transient(err error) bool {
	var request *RequestError
	return errors.As(err, &request) && !apierrors.IsUnauthorized(err) && !apierrors.IsInvalid(err) &&
		!apierrors.IsBadRequest(err) && !(request.Verb == "create" && apierrors.IsNotFound(err))
}

// A Rule is one of a Role, for ConfigMaps of its namespace.
type Rule struct {
	Group    string   // API group
	Resource string   // plural, as rules name it
	Names    []string // the only objects it takes; empty for all
	Verbs    []string
}

// Rules are what the commands need for the record of a cluster. RBAC cannot hold
// create down to names.
func Rules(cluster string) []Rule {
	return []Rule{
		{Resource: resource, Names: []string{RecordName(cluster)}, Verbs: []string{"get", "update"}},
		{Resource: resource, Verbs: []string{"create"}},
	}
}
