package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

const (
	defaultDuration = 15 * time.Second
	defaultSettle   = time.Second

	// longestReason is how much of a reason for a stop is kept, in bytes. An
	// object has room for 256 KiB of annotations.
	longestReason = 1024

	// MaxDuration is the longest lease time.
	MaxDuration = 24 * time.Hour

	// MaxSlots is the most that may be inside at once.
	MaxSlots = 1000

	// farewell is how long an Enter that was called off waits to be out of the
	// queue. Whoever calls it off may be in a hurry.
	farewell = 50 * time.Millisecond
)

// Options say which gate, and who wants to pass it. Namespace, Name and Identity
// have no default.
type Options struct {
	Namespace string
	Name      string // of the Lease

	// Identity is that of the replica, such as its pod's name: the same after a
	// restart, and nobody else's. Who comes with the identity of a holder gets
	// the holder's pass, and the holder loses it.
	Identity string

	// Duration is the lease time: how long a holder that died keeps the others
	// out. It is rounded up to whole seconds; 0 means 15 s. It is [MaxDuration] at most.
	Duration time.Duration

	// Slots is how many may be inside at once; 0 means 1, and [MaxSlots] is the most.
	// It should be the same for all replicas: each goes by its own.
	Slots int

	// Ordered lets those in the queue in by Ordinal, the lowest first, rather
	// than by when they came. Then nobody is let in before he has waited for
	// Settle, so that replicas which saw the same change are all in the queue
	// before the first is let in; 0 means 1 s.
	Ordered bool
	Ordinal int
	Settle  time.Duration

	Log *slog.Logger // nil discards

	tooLong bool // Duration was
}

// A Gate is one replica's way through a Lease. It asks nothing of the server
// but from Enter to the end of the pass, and when it is told to look.
type Gate struct {
	options Options
	store   store
	changed chan struct{}
	turn    chan struct{} // has an element while somebody enters or has a pass
	running sync.WaitGroup
	ctx     context.Context // ends with Close
	stop    context.CancelFunc

	mu     sync.Mutex
	status Status
	active bool // the status is being kept up to date
}

// New returns a gate. It makes no request: what is wrong with the options, the
// server or a Role shows in Enter. The client is that of [NewClient].
func New(client rest.Interface, options Options) *Gate {
	g := newGate(nil, options)
	g.store = &leases{client, options.Namespace, options.Name, max(g.period(), time.Second)}
	return g
}

func newGate(store store, o Options) *Gate {
	o.tooLong = o.Duration > MaxDuration
	o.Duration = (min(orDefault(o.Duration, defaultDuration), MaxDuration) + time.Second - 1).Truncate(time.Second)
	o.Slots = orDefault(o.Slots, 1)
	o.Settle = orDefault(o.Settle, defaultSettle)
	if !o.Ordered {
		o.Settle = 0
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Log = o.Log.With("gate", o.Name)
	ctx, stop := context.WithCancel(context.Background())
	return &Gate{
		options: o, store: store, ctx: ctx, stop: stop,
		changed: make(chan struct{}, 1),
		turn:    make(chan struct{}, 1),
		status:  Status{Namespace: o.Namespace, Name: o.Name, Slots: o.Slots, State: Idle, identity: o.Identity},
	}
}

func orDefault[T time.Duration | int](given, otherwise T) T {
	if given <= 0 {
		return otherwise
	}
	return given
}

// period is how often entries are renewed.
func (g *Gate) period() time.Duration { return g.options.Duration / 5 }

// deadline is how long a pass is good after it was renewed. The others take it
// for void after the lease time, which they count from later: from when
// they see that it was renewed.
func (g *Gate) deadline() time.Duration { return g.options.Duration * 2 / 3 }

// ErrClosed is a gate that was closed.
var ErrClosed = errors.New("the gate is closed")

// ErrClaim is a Lease that is a claim, and therefore no gate.
var ErrClaim = errors.New("the Lease is a claim")

// Enter waits to be let in, for as long as ctx lasts: for the turn, for whoever
// stopped the gate, and for the server. [Gate.Status] says for what. The error
// is about the options, [ErrClosed], or that of ctx with what was waited for,
// a [StoppedError] for instance.
//
// A gate gives one pass at a time: a second Enter waits until the first pass
// was given back.
func (g *Gate) Enter(ctx context.Context) (*Pass, error) {
	if err := g.options.check(); err != nil {
		return nil, fmt.Errorf("entering gate %q: %w", g.options.Name, err)
	}
	s, err := g.start(ctx, waiting)
	if err != nil {
		return nil, g.failed(err)
	}
	select {
	case <-s.let:
		return &Pass{s}, nil
	case <-s.ended:
		return nil, g.failed(ErrClosed)
	case <-ctx.Done():
		err := g.failed(context.Cause(ctx))
		s.order(order{stage: withdrawing})
		select {
		case <-s.ended:
		case <-time.After(farewell):
		}
		return nil, err
	}
}

// Resume takes back what this identity has stopped, if it has: what was wrong has
// been put right without a pass. Errors are as with [Pass.Leave].
func (g *Gate) Resume(ctx context.Context) error {
	err := g.options.check()
	var s *session
	if err == nil {
		s, err = g.start(ctx, leaving)
	}
	if err != nil {
		return fmt.Errorf("resuming gate %q: %w", g.options.Name, err)
	}
	return (&Pass{s}).end(ctx, order{stage: leaving})
}

// start begins a session at a stage, when those before it are over.
func (g *Gate) start(ctx context.Context, at stage) (*session, error) {
	select {
	case g.turn <- struct{}{}:
	case <-g.ctx.Done():
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ctx.Err() != nil {
		<-g.turn
		return nil, ErrClosed
	}
	s := newSession(g, at)
	g.running.Go(func() { // until the pass was given back, or Close
		defer func() { <-g.turn }()
		s.loop(g.ctx)
	})
	return s, nil
}

func (o Options) check() error {
	switch {
	case o.Name == "":
		return errors.New("no name is given")
	case o.Namespace == "":
		return errors.New("no namespace is given")
	case o.Identity == "":
		return errors.New("no identity is given")
	case o.tooLong:
		return fmt.Errorf("the lease time is longer than %s", MaxDuration)
	case o.Slots > MaxSlots:
		return fmt.Errorf("%d slots are more than %d", o.Slots, MaxSlots)
	}
	return nil
}

// failed is why Enter gave up, with what it was waiting for.
func (g *Gate) failed(why error) error {
	if waits := g.Status().Waits(); waits != nil {
		return fmt.Errorf("waiting at gate %q: %w: %w", g.options.Name, why, waits)
	}
	return fmt.Errorf("waiting at gate %q: %w", g.options.Name, why)
}

// Close ends all that the gate does. A pass is lost, and not given back: the
// others wait for the lease time, unless this replica enters again before.
func (g *Gate) Close() {
	g.mu.Lock()
	g.stop() // from here on, nothing is started
	g.mu.Unlock()
	g.running.Wait()
}

// Changed has an element whenever [Gate.Status] is different.
func (g *Gate) Changed() <-chan struct{} { return g.changed }

// Status is what is known without asking the server: all there is while this
// replica waits or is inside, and otherwise what was last seen.
func (g *Gate) Status() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.status.clone()
}

// Look is Status, asking the server first when nothing has been heard from it
// for maxAge.
func (g *Gate) Look(ctx context.Context, maxAge time.Duration) Status {
	g.mu.Lock()
	known := g.active || time.Since(g.status.Seen) < maxAge
	g.mu.Unlock()
	if known {
		return g.Status()
	}
	lease, err := g.store.get(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.active {
		return g.status.clone() // since then
	}
	status := g.status
	status.Problem = err
	if err == nil {
		status.fill(decode(lease))
		status.Seen = time.Now()
	}
	g.publish(status)
	return g.status.clone()
}

// publish makes it the status. The mutex is held.
func (g *Gate) publish(status Status) {
	before, now := g.status, status
	before.Seen, now.Seen = time.Time{}, time.Time{}
	g.status = status
	if reflect.DeepEqual(before, now) {
		return
	}
	select {
	case g.changed <- struct{}{}:
	default: // one is waiting already, and stands for this one too
	}
}

// self is this replica's entry.
func (g *Gate) self(since, renewed metav1.MicroTime) entry {
	e := entry{
		Identity: g.options.Identity, Since: since, Renewed: renewed, Seconds: int32(g.options.Duration / time.Second),
	}
	if g.options.Ordered {
		e.Ordinal = &g.options.Ordinal
	}
	return e
}

// jitter is d and up to half as much again, so that replicas do not act
// together.
func jitter(d time.Duration) time.Duration { return d + rand.N(d/2+1) }
