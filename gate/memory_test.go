package gate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// A memory is a server that keeps one Lease, for tests in which an hour passes
// in a moment. Its manners are those of the API server; that they are is what the
// other tests are for.
type memory struct {
	mu      sync.Mutex
	version int
	lease   *coordinationv1.Lease
	watches map[*memoryWatch]bool
	writes  int
	down    bool // no request is answered, and no watch brings anything
}

func newMemory() *memory { return &memory{watches: map[*memoryWatch]bool{}} }

// A link is one client's way to the server.
type link struct {
	*memory
	cut  func() bool    // requests get no answer now, and are not carried out
	lose func() float64 // how likely it is that an answer is lost
}

func anyLease() schema.GroupResource {
	return schema.GroupResource{Group: coordinationv1.GroupName, Resource: resource}
}

const memoryTimeout = 3 * time.Second

// travel is the way there or back.
func (l *link) travel(ctx context.Context) error {
	if !sleep(ctx, rand.N(5*time.Millisecond)) {
		return ctx.Err()
	}
	if l.cut() || l.isDown() {
		return l.silence(ctx)
	}
	return nil
}

func (l *link) silence(ctx context.Context) error {
	if !sleep(ctx, memoryTimeout) {
		return ctx.Err()
	}
	return errNoAnswer
}

func (m *memory) isDown() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.down
}

func (l *link) get(ctx context.Context) (*coordinationv1.Lease, error) {
	if err := l.travel(ctx); err != nil {
		return nil, err
	}
	lease := l.now()
	return lease, l.travel(ctx)
}

// now is the Lease as it is.
func (m *memory) now() *coordinationv1.Lease {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lease.DeepCopy()
}

func (l *link) put(ctx context.Context, lease *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	if err := l.travel(ctx); err != nil {
		return nil, err
	}
	stored, err := l.store(lease)
	if err != nil {
		return nil, err
	}
	if rand.Float64() < l.lose() {
		return nil, l.silence(ctx)
	}
	return stored, l.travel(ctx)
}

// store is put, without the way.
func (m *memory) store(lease *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case lease.ResourceVersion == "" && m.lease != nil:
		return nil, apierrors.NewAlreadyExists(anyLease(), "gate")
	case lease.ResourceVersion != "" && m.lease == nil:
		return nil, apierrors.NewNotFound(anyLease(), "gate")
	case lease.ResourceVersion != "" && lease.ResourceVersion != m.lease.ResourceVersion:
		return nil, apierrors.NewConflict(anyLease(), "gate", errors.New("another version"))
	}
	m.writes++
	m.set(lease.DeepCopy())
	return m.lease.DeepCopy(), nil
}

// edit changes the Lease as a person does, or deletes it when change gives nil.
func (m *memory) edit(change func(*coordinationv1.Lease) *coordinationv1.Lease) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(change(m.lease.DeepCopy()))
}

func (m *memory) set(lease *coordinationv1.Lease) {
	event := watch.Event{Type: watch.Modified}
	m.version++
	if lease == nil {
		event = watch.Event{Type: watch.Deleted, Object: m.lease}
	} else {
		lease.ResourceVersion = strconv.Itoa(m.version)
		event.Object = lease
	}
	m.lease = lease
	for w := range m.watches {
		w.add(event)
	}
}

func (l *link) watch(ctx context.Context) (watch.Interface, error) {
	if err := l.travel(ctx); err != nil {
		return nil, err
	}
	w := &memoryWatch{link: l, events: make(chan watch.Event), more: make(chan struct{}, 1), stopped: make(chan struct{})}
	l.mu.Lock()
	if l.lease != nil {
		w.add(watch.Event{Type: watch.Added, Object: l.lease})
	}
	l.watches[w] = true
	l.mu.Unlock()
	go w.run() // until Stop
	return w, nil
}

// A memoryWatch brings events in their order, late, and none while the link is
// cut.
type memoryWatch struct {
	link    *link
	events  chan watch.Event
	more    chan struct{}
	stopped chan struct{}

	mu      sync.Mutex
	waiting []watch.Event
}

func (w *memoryWatch) ResultChan() <-chan watch.Event { return w.events }

func (w *memoryWatch) Stop() {
	w.link.mu.Lock()
	defer w.link.mu.Unlock()
	if w.link.watches[w] {
		delete(w.link.watches, w)
		close(w.stopped)
	}
}

func (w *memoryWatch) add(event watch.Event) {
	event.Object = event.Object.DeepCopyObject()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = append(w.waiting, event)
	select {
	case w.more <- struct{}{}:
	default:
	}
}

func (w *memoryWatch) run() {
	for {
		select {
		case <-w.more:
		case <-w.stopped:
			return
		}
		for _, event := range w.takeAll() {
			for late := rand.N(5 * time.Millisecond); ; late = 100 * time.Millisecond {
				time.Sleep(late)
				if w.isStopped() {
					return
				}
				if !w.link.cut() && !w.link.isDown() {
					break
				}
			}
			select {
			case w.events <- event:
			case <-w.stopped:
				return
			}
		}
	}
}

func (w *memoryWatch) isStopped() bool {
	select {
	case <-w.stopped:
		return true
	default:
		return false
	}
}

func (w *memoryWatch) takeAll() []watch.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.waiting
	w.waiting = nil
	return all
}

func (m *memory) String() string {
	lease := m.now()
	if lease == nil {
		return "no Lease"
	}
	return fmt.Sprintf("%+v", decode(lease))
}

// setDown begins or ends an outage.
func (m *memory) setDown(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}
