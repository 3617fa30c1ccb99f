package gate

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// A stage is what a session is at.
type stage int

const (
	waiting     stage = iota
	inside            // has been let in
	leaving           // gives the pass back
	failing           // gives it back and stops the gate
	withdrawing       // will not wait any longer, or has not done anything
	abandoning        // leaves its entry to who comes with the same identity
)

// An order is the next stage.
type order struct {
	stage  stage
	reason string // of failing
}

// A session is one way through the gate, from Enter to the end of the pass. One
// goroutine owns it: it looks at the Lease, plans, writes, and waits for news.
type session struct {
	gate   *Gate
	inbox  inbox
	orders chan order
	let    chan struct{} // closed when it has been let in
	ended  chan struct{} // closed when it is over
	err    error         // why it did not do what it was told; read after ended
	hold   hold

	stage  stage
	reason string           // of failing
	since  time.Time        // of the stage
	run    metav1.MicroTime // tells its entry from those of other runs
	queued time.Time        // since when its entry is in the queue
	next   time.Time        // when to renew its entry
	loss   loss

	known  bool                  // lease is what the server has, as far as is known
	lease  *coordinationv1.Lease // nil when there is none
	record record
	seen   observer
	heard  time.Time // when the server last answered

	conflicts int // in a row
	pace      pace
	failures  int
	problem   error
	trouble   trouble
	told      string // what was last logged about waiting,
	toldAt    time.Time
}

func newSession(g *Gate, at stage) *session {
	now := time.Now()
	s := &session{
		gate:   g,
		inbox:  inbox{poke: make(chan struct{}, 1)},
		orders: make(chan order, 1),
		let:    make(chan struct{}),
		ended:  make(chan struct{}),
		hold:   hold{lost: make(chan struct{})},
		stage:  at,
		since:  now,
		run:    stamp(now),
		seen:   observer{duration: g.options.Duration, limit: 2 * g.period()},
	}
	s.show(s.state(), true)
	return s
}

// loop is the session's life. It ends when it has done what it was told, or with
// ctx.
func (s *session) loop(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var following sync.WaitGroup
	following.Go(func() { s.follow(ctx) }) // until cancel
	defer func() {
		cancel()
		following.Wait()
		s.hold.lose() // unless it was given back
		s.retire()
		close(s.ended)
	}()
	for {
		wait, done := s.step(ctx)
		if done {
			return
		}
		s.publish()
		if !s.await(ctx, wait) {
			s.err = ErrClosed
			return
		}
	}
}

// order tells the session what to do next. Only the first order counts.
func (s *session) order(o order) {
	select {
	case s.orders <- o:
	default:
	}
}

func (s *session) obey(o order) {
	if s.stage > inside {
		return
	}
	s.stage, s.reason, s.since = o.stage, o.reason, time.Now()
}

// await waits for an order, for news, or until wait is over. It is false when
// ctx has ended.
func (s *session) await(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	var lost <-chan struct{}
	if s.stage == inside && s.loss == kept {
		lost = s.hold.lost
	}
	select {
	case <-ctx.Done():
		return false
	case o := <-s.orders:
		s.obey(o)
	case <-lost:
		s.lose(late)
	case <-s.inbox.poke:
	case <-timer.C:
	}
	return true
}

// step does what can be done now, and says how long there will be nothing to do
// unless something happens.
func (s *session) step(ctx context.Context) (wait time.Duration, done bool) {
	for ctx.Err() == nil {
		s.receive()
		if s.stage == abandoning {
			return 0, true
		}
		if err := s.look(ctx); err != nil {
			return s.failed(err), s.stage == withdrawing
		}
		p := s.plan(time.Now())
		if p.lost != kept {
			s.lose(p.lost)
		}
		if !p.write {
			s.worked(p)
			return s.rest(p), p.done
		}
		if !s.pace.take(ctx) {
			return 0, false
		}
		err := s.write(ctx, p)
		switch {
		case err == nil:
			s.worked(p)
			if p.done {
				return 0, true
			}
		case outdated(err, s.lease == nil):
			s.known = false
			s.giveWay(ctx)
		default:
			return s.failed(err), s.stage == withdrawing
		}
	}
	return 0, false
}

// receive takes what the watch has brought. It may be older than what was read
// or written since.
func (s *session) receive() {
	select {
	case o := <-s.orders:
		s.obey(o)
	default:
	}
	n := s.inbox.take()
	switch {
	case n == nil:
	case n.lease == nil:
		s.known = false
	case s.newer(n.lease):
		s.take(n.lease)
	}
}

func (s *session) newer(lease *coordinationv1.Lease) bool {
	if s.lease == nil {
		return true
	}
	order, err := resourceversion.CompareResourceVersion(lease.ResourceVersion, s.lease.ResourceVersion)
	return err != nil || order > 0
}

// look reads the Lease unless it is known.
func (s *session) look(ctx context.Context) error {
	if !s.known {
		if !s.pace.take(ctx) {
			return context.Cause(ctx)
		}
		lease, err := s.gate.store.get(ctx)
		if err != nil {
			return err
		}
		s.take(lease)
	}
	if isClaim(s.lease) && s.stage != leaving {
		return ErrClaim
	}
	return nil
}

// take notes what the Lease is now. One that was deleted is put back as it was
// last seen, since those inside are still inside. Only what had stopped the gate
// is gone: that may be why it was deleted.
func (s *session) take(lease *coordinationv1.Lease) {
	now := time.Now()
	s.lease, s.known, s.heard = lease, true, now
	if lease == nil {
		s.record.stops = nil
		return
	}
	s.record = decode(lease)
	s.seen.see(s.record, lease.ResourceVersion, now)
}

func (s *session) plan(now time.Time) plan {
	v := view{
		record: s.record,
		exists: s.lease != nil,
		self:   s.gate.self(s.run, stamp(now)),
		slots:  s.gate.options.Slots,
		settle: s.gate.options.Settle,
		due:    !now.Before(s.next),
		left:   func(e entry) time.Duration { return s.seen.left(e, now) },
	}
	if !s.queued.IsZero() {
		v.settle -= now.Sub(s.queued)
	}
	switch s.stage {
	case waiting:
		return v.waiting()
	case inside:
		return v.inside()
	case leaving:
		return v.leaving()
	case failing:
		return v.failing(s.reason)
	}
	return v.withdrawing()
}

func (s *session) write(ctx context.Context, p plan) error {
	sent := time.Now() // the others may count from any moment after this
	lease, err := s.gate.store.put(ctx, p.record.lease(s.lease))
	if err != nil {
		return err
	}
	s.take(lease)
	s.conflicts = 0
	s.next = sent.Add(s.gate.period() - rand.N(s.gate.period()/5))
	if p.holds {
		s.run = p.self.Since
		s.hold.extend(sent.Add(s.gate.deadline()))
		s.enter()
	}
	return nil
}

// enter tells who waits that it is his turn.
func (s *session) enter() {
	if s.stage != waiting {
		return
	}
	s.gate.options.Log.Info("let in at the gate", "after", time.Since(s.since).Round(time.Millisecond).String())
	s.stage, s.since = inside, time.Now()
	s.publish() // before anybody can ask
	close(s.let)
}

// lose notes how the slot was lost, the first time.
func (s *session) lose(how loss) {
	s.hold.lose()
	if s.loss == kept {
		s.gate.options.Log.Warn("gate lost", "cause", how.String())
	}
	s.loss = how
}

// worked notes that the server took or needs nothing more.
func (s *session) worked(p plan) {
	s.failures, s.problem = 0, nil
	s.trouble.over(s.gate.options.Log, "gate in order again")
	if p.queued && s.queued.IsZero() {
		s.queued = time.Now()
	}
}

// failed notes what is wrong, and says when to try again.
func (s *session) failed(err error) time.Duration {
	s.problem = err
	s.trouble.is(s.gate.options.Log, "gate out of order", err)
	longest := min(s.gate.period(), 2*time.Second)
	wait := min(longest, 50*time.Millisecond<<min(s.failures, 10))
	s.failures++
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
		wait = max(wait, min(time.Duration(seconds)*time.Second, s.gate.period()))
	}
	return wait/2 + rand.N(wait/2)
}

// giveWay lets others write who are at it as well. Those inside come first: they
// have something to lose.
func (s *session) giveWay(ctx context.Context) {
	longest := 5 * time.Millisecond
	if s.stage == waiting {
		longest <<= min(s.conflicts, 6)
	} else {
		longest <<= min(s.conflicts, 3)
	}
	s.conflicts++
	sleep(ctx, rand.N(longest))
}

// rest is how long the plan has nothing to do.
func (s *session) rest(p plan) time.Duration {
	wait := time.Until(s.next)
	if wait <= 0 {
		wait = s.gate.period() // nothing of ours is there to be renewed
	}
	if p.wait > 0 {
		wait = min(wait, p.wait)
	}
	return max(wait, time.Millisecond)
}

// publish tells how it stands.
func (s *session) publish() {
	g := s.gate
	g.mu.Lock()
	s.show(s.state(), true)
	waits := g.status.Waits()
	g.mu.Unlock()
	s.logWaits(waits)
}

// retire tells that the gate is not followed any more.
func (s *session) retire() {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	s.since = time.Now()
	s.show(Idle, false)
}

// show makes the gate's status. The gate's mutex is held.
func (s *session) show(state State, active bool) {
	status := s.gate.status
	status.State, status.Since, status.Problem = state, s.since, s.problem
	if !s.heard.IsZero() {
		status.Seen = s.heard
		status.fill(s.record)
	}
	s.gate.active = active
	s.gate.publish(status)
}

func (s *session) state() State {
	switch {
	case s.stage == waiting:
		return Waiting
	case s.stage == inside && s.loss == kept:
		return Inside
	case s.stage == inside:
		return Lost
	}
	return Leaving
}

// tellEvery is how often what is waited for may be logged.
const tellEvery = time.Second

// logWaits logs what is waited for, where that is news. Of trouble with the server
// there is a message already.
func (s *session) logWaits(err error) {
	var stopped *StoppedError
	var busy *BusyError
	kind := ""
	switch {
	case errors.As(err, &stopped):
		kind = stopped.By + ": " + stopped.Reason
	case errors.As(err, &busy) && !s.queued.IsZero():
		kind = "busy"
	}
	// What changes all the time is told from time to time.
	if kind == "" || kind == s.told || time.Since(s.toldAt) < tellEvery {
		return
	}
	s.told, s.toldAt = kind, time.Now()
	if stopped != nil {
		s.gate.options.Log.Warn("gate stopped", "err", err)
	} else {
		s.gate.options.Log.Info("waiting at the gate", "for", err.Error())
	}
}
