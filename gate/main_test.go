package gate

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kconfd/kconfd/test/cluster"
	"github.com/kconfd/kconfd/test/process"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// theCluster is the API server of all tests.
var theCluster cluster.Shared

// TestMain makes the test binary a replica as well, for tests that kill some.
func TestMain(m *testing.M) {
	if os.Getenv(replicaVariable) != "" {
		if err := beReplica(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	// They wait more than they work.
	if err := flag.Set("test.parallel", "16"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(theCluster.Run(m))
}

// A place is a namespace of a test's own.
type place struct {
	t         *testing.T
	namespace string
	config    *rest.Config // of who may do everything
	admin     kubernetes.Interface
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{t: t}
	theCluster.Use(t, func(c *cluster.Cluster) {
		p.namespace, p.config, p.admin = c.Namespace(t), c.Config(), c.Client()
	})
	return p
}

func (p *place) client(config *rest.Config) rest.Interface {
	p.t.Helper()
	client, err := NewClient(config)
	if err != nil {
		p.t.Fatal(err)
	}
	return client
}

// gate is that of a replica, with a lease time for which a busy machine is no
// matter. The test closes it.
func (p *place) gate(identity string, change ...func(*Options)) *Gate {
	p.t.Helper()
	return p.gateFor(p.config, identity, change...)
}

func (p *place) gateFor(config *rest.Config, identity string, change ...func(*Options)) *Gate {
	p.t.Helper()
	o := Options{Namespace: p.namespace, Name: "web", Identity: identity, Duration: time.Minute}
	for _, c := range change {
		c(&o)
	}
	g := New(p.client(config), o)
	p.t.Cleanup(g.Close)
	return g
}

// enter is Enter, which must succeed.
func (p *place) enter(g *Gate) *Pass {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	pass, err := g.Enter(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	return pass
}

func (p *place) leave(pass *Pass) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	if err := pass.Leave(ctx); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) fail(pass *Pass, reason string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	if err := pass.Fail(ctx, reason); err != nil {
		p.t.Fatal(err)
	}
}

// An entering is an Enter that goes on in the background.
type entering struct {
	t    *testing.T
	gate *Gate
	done chan struct{}
	pass *Pass
	err  error
	at   time.Time
}

// start enters until the test ends.
func (p *place) start(g *Gate) *entering {
	p.t.Helper()
	e := &entering{t: p.t, gate: g, done: make(chan struct{})}
	go func() { // until it is let in, or the test's context ends
		defer close(e.done)
		e.pass, e.err = g.Enter(p.t.Context())
		e.at = time.Now()
	}()
	return e
}

// queued waits until the entering waits in the queue.
func (e *entering) queued() *entering {
	e.t.Helper()
	e.awaitStatus("it is in the queue", func(s Status) bool {
		for _, m := range s.Queue {
			if m.Self {
				return true
			}
		}
		return false
	})
	return e
}

func (e *entering) awaitStatus(what string, holds func(Status) bool) Status {
	e.t.Helper()
	return awaitStatus(e.t, e.gate, what, holds)
}

// awaitStatus waits for a status, and for nothing else than news of it.
func awaitStatus(t *testing.T, g *Gate, what string, holds func(Status) bool) Status {
	t.Helper()
	late := time.After(patience)
	for {
		s := g.Status()
		if holds(s) {
			return s
		}
		select {
		case <-g.Changed():
		case <-late:
			t.Fatalf("not after %s: %s; status is %+v, waiting for: %v", patience, what, s, s.Waits())
		}
	}
}

// in waits until it has been let in.
func (e *entering) in() *Pass {
	e.t.Helper()
	select {
	case <-e.done:
	case <-time.After(patience):
		e.t.Fatalf("%s is not let in after %s: %v", e.gate.options.Identity, patience, e.gate.Status().Waits())
	}
	if e.err != nil {
		e.t.Fatal(e.err)
	}
	return e.pass
}

// waits wants that it is not let in for a while.
func (e *entering) waits(d time.Duration) {
	e.t.Helper()
	select {
	case <-e.done:
		e.t.Fatalf("%s was let in (%v)", e.gate.options.Identity, e.err)
	case <-time.After(d):
	}
}

func (p *place) lease() *coordinationv1.Lease {
	p.t.Helper()
	lease, err := p.admin.CoordinationV1().Leases(p.namespace).Get(p.t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	return lease
}

// edit changes the Lease, whatever others do to it meanwhile.
func (p *place) edit(change func(*coordinationv1.Lease)) {
	p.t.Helper()
	leases := p.admin.CoordinationV1().Leases(p.namespace)
	for {
		lease := p.lease()
		if lease.Annotations == nil {
			lease.Annotations = map[string]string{}
		}
		change(lease)
		_, err := leases.Update(p.t.Context(), lease, metav1.UpdateOptions{})
		if err == nil {
			return
		}
		if !outdated(err, false) {
			p.t.Fatal(err)
		}
	}
}

// awaitLease waits until there is a Lease, and it is so.
func (p *place) awaitLease(what string, holds func(*coordinationv1.Lease) bool) {
	p.t.Helper()
	late := time.Now().Add(patience)
	for {
		lease, err := p.admin.CoordinationV1().Leases(p.namespace).Get(p.t.Context(), "web", metav1.GetOptions{})
		if err == nil && holds(lease) {
			return
		}
		if time.Now().After(late) {
			p.t.Fatalf("not after %s: %s: %v, %v", patience, what, lease, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (p *place) remove() {
	p.t.Helper()
	if err := p.admin.CoordinationV1().Leases(p.namespace).Delete(p.t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		p.t.Fatal(err)
	}
}

// within waits for what must come by then.
func within(t *testing.T, d time.Duration, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(d):
		t.Fatalf("not after %s: %s", d, what)
	}
}

// A journal is a log that can be read.
type journal struct{ process.Output }

func (j *journal) count(words string) int {
	return strings.Count(j.String(), words)
}

func (j *journal) showIfFailed(t *testing.T) {
	t.Helper()
	if t.Failed() {
		t.Log(j.String())
	}
}

func (j *journal) log(o *Options) {
	o.Log = slog.New(slog.NewTextHandler(j, nil)).With("replica", o.Identity)
}

func asError[T error](err error) (T, bool) {
	var target T
	ok := errors.As(err, &target)
	return target, ok
}
