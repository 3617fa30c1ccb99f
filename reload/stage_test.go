package reload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A stage is a supervisor whose child is played step by step. What it does to
// the child is written down, with the number of the instance in front.
type stage struct {
	t      *testing.T
	s      *Supervisor
	cancel context.CancelFunc
	result chan outcome

	mu       sync.Mutex
	child    Child           // what describe gives
	broken   error           // what describe gives instead
	hold     <-chan struct{} // closed when describe may return; nil at once
	asked    int             // how often describe has been asked
	startErr error
	refuses  string // an argument with which none can be started
	linger   bool   // the next instances leave processes behind
	unaware  bool   // the next instances handle no signals yet
	early    bool   // the next instances say that they are ready before they have been started
	played   []*played
	events   []string
}

type outcome struct {
	exit Exit
	err  error
}

// onStage runs a test in a bubble in which time passes only when everything
// waits.
func onStage(t *testing.T, c Child, test func(*stage)) {
	t.Helper()
	if c.Argv == nil {
		c.Argv = []string{"server"}
	}
	synctest.Test(t, func(t *testing.T) {
		st := &stage{t: t, child: c, result: make(chan outcome, 1)}
		st.s = NewSupervisor(st.describe, st.start, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(context.Background())
		st.cancel = cancel
		defer func() {
			cancel()
			synctest.Wait() // it may just start another one
			for _, p := range st.played {
				p.leave()
			}
		}()
		go func() { // until the supervisor ends, which cancel sees to
			exit, err := st.s.Run(ctx)
			st.result <- outcome{exit, err}
		}()
		test(st)
	})
}

func (st *stage) describe(ctx context.Context) (Child, error) {
	st.mu.Lock()
	st.asked++
	child, broken, hold := st.child, st.broken, st.hold
	st.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return Child{}, ctx.Err()
		}
	}
	return child, broken
}

func (st *stage) start(c Child, ready func()) (Process, error) {
	st.mu.Lock()
	err := st.startErr
	if err == nil && st.refuses != "" && slices.Contains(c.Argv, st.refuses) {
		err = errRefused
	}
	if err != nil {
		st.mu.Unlock()
		st.note("not started")
		return nil, err
	}
	p := &played{
		st: st, number: len(st.played) + 1, ready: ready, lingers: st.linger, unaware: st.unaware,
		ended: make(chan struct{}), gone: make(chan struct{}),
	}
	st.played = append(st.played, p)
	early := st.early
	st.mu.Unlock()
	st.note(fmt.Sprintf("%d: started %v", p.number, c.Argv))
	if early {
		ready()
	}
	return p, nil
}

func (st *stage) note(event string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.events = append(st.events, event)
}

// awaitEvents waits for as many events: what waits for a real command does not keep
// time in the bubble from passing.
func (st *stage) awaitEvents(count int) {
	for n := 0; n < count; time.Sleep(time.Millisecond) {
		st.set(func() { n = len(st.events) })
	}
}

// expect compares what has happened since the last time, when all is quiet.
func (st *stage) expect(want ...string) {
	st.t.Helper()
	synctest.Wait()
	st.mu.Lock()
	defer st.mu.Unlock()
	if diff := cmp.Diff(want, st.events); diff != "" {
		st.t.Fatalf("what happened (-want +got):\n%s", diff)
	}
	st.events = nil
}

// expectAfter lets time pass, and nothing happen before that.
func (st *stage) expectAfter(d time.Duration, want ...string) {
	st.t.Helper()
	time.Sleep(d - time.Nanosecond)
	st.expect()
	time.Sleep(time.Nanosecond)
	st.expect(want...)
}

// state compares what the supervisor says of itself.
func (st *stage) state(want State, ready bool) {
	st.t.Helper()
	synctest.Wait()
	if got, is := st.s.State(); got != want || is != ready {
		st.t.Fatalf("the child is %s, ready: %t, want %s, ready: %t", got, is, want, ready)
	}
}

// over waits for the supervisor's end.
func (st *stage) over(want Exit, failure error) {
	st.t.Helper()
	synctest.Wait()
	select {
	case got := <-st.result:
		if got.exit != want || !errors.Is(got.err, failure) || (failure == nil) != (got.err == nil) {
			st.t.Fatalf("Run gave %v, %v, want %v, %v", got.exit, got.err, want, failure)
		}
	default:
		st.t.Fatal("the supervisor goes on, want its end")
	}
}

// set changes the stage.
func (st *stage) set(change func()) {
	st.mu.Lock()
	defer st.mu.Unlock()
	change()
}

// restart asks for a restart, and gives its answer.
func (st *stage) restart() <-chan error {
	answer := make(chan error, 1)
	go func() { answer <- st.s.Restart(context.Background()) }() // until it is answered
	synctest.Wait()
	return answer
}

// instance gives the last instance started, or the one of that number.
func (st *stage) instance(number ...int) *played {
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(number) > 0 {
		return st.played[number[0]-1]
	}
	return st.played[len(st.played)-1]
}

func (st *stage) answered(answer <-chan error, want error) {
	st.t.Helper()
	synctest.Wait()
	select {
	case got := <-answer:
		if !errors.Is(got, want) || (want == nil) != (got == nil) {
			st.t.Fatalf("got answer %v, want %v", got, want)
		}
	default:
		st.t.Fatalf("got no answer, want %v", want)
	}
}

func (st *stage) unanswered(answer <-chan error) {
	st.t.Helper()
	synctest.Wait()
	select {
	case got := <-answer:
		st.t.Fatalf("got answer %v, want none yet", got)
	default:
	}
}

// played is a process that does as it is told. SIGKILL ends it and its group.
type played struct {
	st      *stage
	number  int
	ready   func()
	lingers bool
	unaware bool
	restart Progress
	yet     syscall.Signal // to be handled, though others are

	once, onceGone sync.Once
	ended, gone    chan struct{}
	exit           Exit
}

func (p *played) Signal(sig syscall.Signal, group bool) error {
	select {
	case <-p.gone:
		return os.ErrProcessDone
	default:
	}
	select {
	case <-p.ended:
		if !group {
			return os.ErrProcessDone
		}
	default:
	}
	event := fmt.Sprintf("%d: %s", p.number, SignalName(sig))
	if group {
		event += " to all"
	}
	p.st.note(event)
	if sig == syscall.SIGKILL {
		p.ends(Exit{Signal: sig})
		p.leave()
	}
	return nil
}

func (p *played) Handles(sig syscall.Signal) bool {
	p.st.mu.Lock()
	defer p.st.mu.Unlock()
	return !p.unaware && sig != p.yet
}

func (p *played) Ready() { p.st.note(fmt.Sprintf("%d: ready", p.number)) }

func (p *played) Restarting(progress Progress) {
	p.st.set(func() { p.restart = progress })
}

func (p *played) Wait() Exit {
	<-p.ended
	return p.exit
}

func (p *played) Gone(ctx context.Context) error {
	select {
	case <-p.gone:
		return nil
	default:
	}
	select {
	case <-p.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ends is the end of the process, and of its group unless that lingers.
func (p *played) ends(e Exit) {
	p.once.Do(func() {
		p.exit = e
		close(p.ended)
	})
	if !p.lingers {
		p.leave()
	}
}

// leave is the end of the group.
func (p *played) leave() {
	p.once.Do(func() { close(p.ended) })
	p.onceGone.Do(func() { close(p.gone) })
}

// started is the event of a start.
func started(number int, argv ...string) string {
	return fmt.Sprintf("%d: started %v", number, slices.Concat([]string{"server"}, argv))
}

// begin starts the child, if it can be started.
func (st *stage) begin() {
	st.s.Start()
	synctest.Wait()
}
