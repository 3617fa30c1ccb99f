package gate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// An UnreachableError is a server that does not answer, or does not let this replica in.
type UnreachableError struct {
	For time.Duration // for which nothing was heard; 0 when the server refuses
	Err error         // what is wrong; nil when a request has had no answer yet
}

func (e *UnreachableError) Error() string {
	switch {
	case e.For == 0:
		return fmt.Sprintf("the API server refuses: %v", e.Err)
	case e.Err == nil:
		return fmt.Sprintf("the API server has not answered for %s", e.For)
	}
	return fmt.Sprintf("the API server has not answered for %s: %v", e.For, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// EnterReachable is Enter for a caller that would rather act without a pass than wait for a server
// that is away: the error is an [*UnreachableError] when nothing works for as long as reach, and at
// once when another attempt would have the same answer. Waits, which may be nil, is called with what
// is waited for, and again when that changes. [Gate.Changed] has nothing meanwhile.
func (g *Gate) EnterReachable(ctx context.Context, reach time.Duration, waits func(error)) (*Pass, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { g.watchReach(ctx, cancel, reach, waits) }) // until cancel
	defer watching.Wait()
	defer cancel(nil)
	return g.Enter(ctx)
}

// watchReach cancels when the server is away.
func (g *Gate) watchReach(ctx context.Context, cancel context.CancelCauseFunc, reach time.Duration, waits func(error)) {
	begin, last := time.Now(), ""
	limit := time.NewTimer(reach)
	defer limit.Stop()
	away := true // until it has answered
	for {
		late := false
		select {
		case <-ctx.Done():
			return
		case <-g.changed:
		case <-limit.C:
			late = true
		}
		s := g.Status()
		well := s.Problem == nil && !s.Seen.Before(begin)
		switch {
		case refused(s.Problem):
			cancel(&UnreachableError{0, s.Problem})
			return
		case late && away && !well:
			cancel(&UnreachableError{reach, s.Problem})
			return
		case well:
			away = false
			limit.Stop()
		case !away:
			away = true
			limit.Reset(reach)
		}
		if err := s.Waits(); well && err != nil && err.Error() != last {
			last = err.Error()
			if waits != nil {
				waits(err)
			}
		}
	}
}

// refused says whether another attempt would have the same answer.
func refused(err error) bool { return err != nil && (definite(err) || errors.Is(err, ErrClaim)) }
