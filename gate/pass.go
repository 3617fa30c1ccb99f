package gate

import (
	"context"
	"fmt"
	"strings"
)

// A Pass is the right to act. It ends with Leave, Fail, Withdraw or Abandon, of
// which the first that is called counts.
type Pass struct {
	session *session
}

// Lost is closed when the pass could not be renewed in time, or somebody took
// it: others may be let in. Who has not begun to act must not, and should
// Leave and Enter again. What was begun goes on, and so does the renewal, as
// far as it can: while the entry in the Lease lasts, nobody else is let in.
func (p *Pass) Lost() <-chan struct{} { return p.session.hold.lost }

// Held says whether the pass is good at this very moment. Ask it just before
// acting: when a process was suspended, Lost may be closed a moment too late.
func (p *Pass) Held() bool { return p.session.hold.good() }

// Leave gives the pass back: all has gone well. The next in the queue is let in,
// and what this identity had stopped goes on.
//
// The error is that of ctx, with the reason: then Leave goes on in the background
// until it succeeds or the gate is closed, and may be called again to wait
// for that. The entry in the Lease is no longer renewed.
func (p *Pass) Leave(ctx context.Context) error { return p.end(ctx, order{stage: leaving}) }

// Fail gives the pass back and stops the gate: nobody but this identity is let
// in, until it has entered again and left well or somebody takes the mark away.
// The reason is for people. Errors are as with Leave.
func (p *Pass) Fail(ctx context.Context, reason string) error {
	return p.end(ctx, order{failing, shorten(reason)})
}

// Withdraw gives the pass back where nothing has been done with it: what this
// identity had stopped stays so. It is tried once; if it fails, the others wait
// for the lease time.
func (p *Pass) Withdraw(ctx context.Context) error { return p.end(ctx, order{stage: withdrawing}) }

// Abandon ends the pass and leaves its entry in the Lease, without renewing it.
// While that lasts, who enters with this identity has it at once. It is for a
// pass that is lost, by who has begun something and will go on with it.
func (p *Pass) Abandon() {
	p.session.hold.giveBack()
	p.session.order(order{stage: abandoning})
	<-p.session.ended // without a request
}

func (p *Pass) end(ctx context.Context, o order) error {
	s := p.session
	s.hold.giveBack()
	s.order(o)
	select {
	case <-s.ended:
		if s.err != nil {
			return fmt.Errorf("leaving gate %q: %w", s.gate.options.Name, s.err)
		}
		return nil
	case <-ctx.Done():
		err := context.Cause(ctx)
		if problem := s.gate.Status().Problem; problem != nil {
			return fmt.Errorf("leaving gate %q: %w: %w", s.gate.options.Name, err, problem)
		}
		return fmt.Errorf("leaving gate %q: %w", s.gate.options.Name, err)
	}
}

// shorten leaves room for others in the annotation.
func shorten(reason string) string {
	if len(reason) <= longestReason {
		return reason
	}
	return strings.ToValidUTF8(reason[:longestReason], "") + " …"
}
