package reload

import (
	"context"
	"slices"
	"time"
)

// A Turn lets the instances of several supervisors end one at a time.
type Turn interface {
	// Acquire returns when an instance may be ended, and soon after ctx has ended. Release gives
	// the turn back, once all of the instance is gone; it takes a moment at most. It is nil when
	// the instance is to be ended without a turn.
	Acquire(ctx context.Context) (release func())
}

// stopTurn is the environment variable that tells PostStop that the instance was ended in its turn:
// no other instance is ended before PostStop has.
const stopTurn = "KCONFD_STOP_TURN"

// end begins to end the instance: first its condition to stop, then its turn. The condition comes
// first, since it may take long, and the others need not wait for it. It may not hold any more when
// the turn has come: then it is waited for again.
func (s *Supervisor) end() {
	s.enter(Stopping)
	s.deadline = time.Time{}
	s.condition = s.child.preStopTimeout()
	switch {
	case s.child.StopTurn == nil:
		s.endNow()
	case s.ready && s.child.PreStop != nil:
		s.awaitPreStop(s.awaitTurn)
	default:
		s.awaitTurn()
	}
}

// awaitTurn waits for the turn. The instance runs on meanwhile.
func (s *Supervisor) awaitTurn() {
	s.enter(WaitingForTurn)
	s.acquire(func() {
		s.enter(Stopping)
		s.endNow()
	}, WaitingForTurn)
}

// acquire acquires the turn, and calls then, if the state is still the one given.
func (s *Supervisor) acquire(then func(), state State) {
	turn := s.child.StopTurn
	s.beside(func(ctx context.Context, number int) { // until the turn has come, or ctx ends
		release := turn.Acquire(ctx)
		done := make(chan struct{})
		s.do(func() {
			defer close(done)
			if s.number == number && s.state == state {
				s.release, release = release, nil
				then()
			}
		})
		select {
		case <-done:
		case <-s.ended: // what was to be done has been done, or never will be
		}
		if release != nil {
			release()
		}
	})
}

// holdTurn acquires the turn of an instance that is being ended already: an earlier supervisor had
// it.
func (s *Supervisor) holdTurn() {
	if s.child.StopTurn != nil {
		s.acquire(func() {}, Stopping)
	}
}

// takeRelease hands out what gives the turn back, and what PostStop is told about it.
func (s *Supervisor) takeRelease(env []string) (release func(), _ []string) {
	release, s.release = s.release, nil
	if release == nil {
		return func() {}, env
	}
	return release, append(slices.Clone(env), stopTurn+"=1")
}
