package gate

import (
	"context"
	"errors"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"
)

// pollEvery is how often the Lease is read where it cannot be watched.
const pollEvery = time.Second

// An inbox has the latest news of the Lease that its session has not seen yet.
type inbox struct {
	poke chan struct{} // has an element when there are news

	mu   sync.Mutex
	news *news
}

// news is a Lease as it became, or that it is gone.
type news struct {
	lease *coordinationv1.Lease // nil when it is gone
}

func (i *inbox) put(lease *coordinationv1.Lease) {
	i.mu.Lock()
	i.news = &news{lease}
	i.mu.Unlock()
	select {
	case i.poke <- struct{}{}:
	default: // one is waiting already, and stands for this one too
	}
}

func (i *inbox) take() *news {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := i.news
	i.news = nil
	return n
}

// follow brings news of the Lease until ctx ends: by a watch, or by reading it
// again and again.
func (s *session) follow(ctx context.Context) {
	var trouble trouble
	for ctx.Err() == nil {
		began := time.Now()
		err := s.watch(ctx, func() { trouble.over(s.gate.options.Log, "gate watched again") })
		if err == nil && time.Since(began) > pollEvery {
			continue // its time was over
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			trouble.is(s.gate.options.Log, "gate polled, since it cannot be watched", err)
		}
		if !sleep(ctx, jitter(s.pollEvery())) {
			return
		}
		// An error shows where the session writes.
		if lease, err := s.gate.store.get(ctx); err == nil {
			s.inbox.put(lease)
		}
	}
}

func (s *session) pollEvery() time.Duration { return min(pollEvery, s.gate.period()) }

// watch brings news until the watch ends, and tells when it works.
func (s *session) watch(ctx context.Context, works func()) error {
	w, err := s.gate.store.watch(ctx)
	if err != nil {
		return err
	}
	defer w.Stop()
	for {
		select {
		case event, ok := <-w.ResultChan():
			if !ok {
				return nil
			}
			if err := s.heed(event); err != nil {
				return err
			}
			works()
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *session) heed(event watch.Event) error {
	if event.Type == watch.Error {
		return apierrors.FromObject(event.Object)
	}
	lease, ok := event.Object.(*coordinationv1.Lease)
	switch {
	case !ok:
		return errors.New("the watch brought something else than a Lease")
	case event.Type == watch.Deleted:
		s.inbox.put(nil)
	default:
		s.inbox.put(lease)
	}
	return nil
}

// sleep says whether the time passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
