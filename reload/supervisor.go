package reload

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A Supervisor starts a child, restarts it and ends it. One goroutine, that of
// [Supervisor.Run], owns its state; everybody else sends it requests.
//
//	waiting ──Start──► preparing ──────► running ──Stop, Restart──► waiting for its turn ──► stopping
//	                      ▲                 │ exit                     │ exit                   │ exit
//	                      │                 ▼                          ▼                        │
//	          pausing ────┴──────────── draining ◄─────────────────────┴────────────────────────┘
//	             ▲                          │
//	             └──────────────────────────┴─ nothing more to run ─► ended
//
// Preparing runs what comes before a start. Draining waits until the child's
// whole process group is gone, and the command that came after its start, so
// that two instances never run side by side, and for what is to come after a stop.
// An instance waits for its turn only where [Child.StopTurn] is set. It has the turn until all of it
// is gone and what comes after a stop has ended.
// Every instance has a number, by which what comes late from an old one is
// known.
//
// A pause that has been announced in the log holds, whatever is asked for:
//
//   - The pauses grow with each start that fails and each instance that ends by itself, until one
//     has run for 10 seconds. Nothing else makes them begin anew: no request, no new content,
//     no new configuration.
//   - A request that comes in a pause is served by the start at its end, which is described then. It
//     neither brings that start forward nor is it lost.
//   - A request that comes while an instance runs is served at once when nothing has failed. After
//     failures it waits until the instance has run as long as the next pause would be.
//   - A request that comes while the next start is prepared has it prepared anew. When the
//     preparation fails, it waits for the next try.
//
// The start that leads back after a trial is not held: nothing has been announced then.
type Supervisor struct {
	// Check says before a restart ends what runs why the next instance could not
	// be started, as far as that can be seen. Nil sees nothing. To be set before Run.
	Check func(Child) error

	log      *slog.Logger
	describe func(context.Context) (Child, error)
	start    Starter
	work     chan func()
	ended    chan struct{}  // closed when Run takes no more work
	changed  chan struct{}  // see Changed
	besides  sync.WaitGroup // what runs beside Run
	post     sync.WaitGroup // the instance's post_start

	endCompanion context.CancelFunc // ends post_start

	// Owned by Run.
	ctx      context.Context
	state    State
	number   int // of the instance that runs, or ran last
	child    Child
	asked    *line // of child, before pre_start added to it
	lines    lines
	process  Process
	ready    bool
	since    time.Time // of the start
	deadline time.Time // of the grace; zero when there is none

	condition time.Duration // what is left of the time for pre_stop
	release   func()        // gives the turn to stop back; nil when there is none
	goal      goal
	overdue   bool // not ready in time, and so killed
	tooLate   bool // it had ended when it was told to
	failing   bool // the last instance ended by itself, and soon
	checking  bool // a restart is asked for, and has its time, or the description is being tried
	back      bool // somebody wants to go back to the line that started
	stale     bool // a restart was asked for while preparing
	exit      Exit // of the last instance, if hasEnded
	hasEnded  bool
	failure   error              // why the last start did not come about
	waiters   []chan<- error     // for the next instance
	kept      []keptSignal       // until an instance can take them
	timer     *time.Timer        // of the state: grace, pause or watchdog
	cancel    context.CancelFunc // of what runs beside in this state
	backoff   *Backoff           // nil after a steady run
	paused    time.Duration      // the last of its pauses
	trying    bool               // see Try
	trial     chan struct{}      // to be closed; nil when it is
	parked    bool               // but for the trial it would be over
}

// State is where a supervised child stands.
type State string

// The states; see [Supervisor].
const (
	Waiting   State = "waiting"
	Preparing State = "preparing"
	Running   State = "running"

	// WaitingForTurn is an instance that runs and is to be ended: others are before it.
	WaitingForTurn State = "waiting_for_turn"

	Stopping State = "stopping"
	Draining State = "draining"
	Pausing  State = "pausing"
	Ended    State = "ended"
)

// isEnding says whether what runs is on its way to its end.
func (s State) isEnding() bool { return s == WaitingForTurn || s == Stopping || s == Draining }

// goal is what follows the end of the instance that runs.
type goal int

const (
	goalPolicy  goal = iota // what the restart policy says
	goalRestart             // the next instance
	goalStop                // nothing
)

// A Process is a started child. Its id is not given to another process before
// Gone has returned nil.
type Process interface {
	// Signal sends a signal to the process, or to its whole group. The error is
	// os.ErrProcessDone when it has ended.
	Signal(sig syscall.Signal, group bool) error
	// Handles tells whether the process would live through a signal, because it
	// catches or ignores it.
	Handles(sig syscall.Signal) bool
	// Ready is called when the process is known to be ready.
	Ready()
	// Restarting is called when a restart of it gets on, or comes to nothing.
	Restarting(Progress)
	// Wait returns when the process has ended, and says how.
	Wait() Exit
	// Gone returns nil when nothing of its group is left, else ctx's error.
	Gone(ctx context.Context) error
}

// Progress is how far the restart of an instance has come.
type Progress int

// How far a restart has come.
const (
	NotRestarting   Progress = iota
	RestartAsked             // it is to be ended once there is a next one to start
	RestartStopping          // it has been told to end, or has ended
)

// A Starter starts an instance. Ready is to be called when the child says that
// it is ready; it may be called at any time, by anyone, and more than once.
type Starter func(c Child, ready func()) (Process, error)

// lines are the lines that are known.
type lines struct {
	proven  *line // the last that an instance was started with
	refused *line // the last that none could be started with, until another one can
	err     error // why that
	vain    bool  // going back to proven has failed as well
}

// A LeftAloneError is a restart that came to nothing: the instance that runs has
// not been touched.
type LeftAloneError struct {
	Instance int
	Err      error
}

func (e *LeftAloneError) Error() string { return "the child is not restarted: " + e.Err.Error() }
func (e *LeftAloneError) Unwrap() error { return e.Err }

// ErrStopping is a request that comes too late: the child is being stopped for
// good.
var ErrStopping = errors.New("the child is being stopped")

// NewSupervisor makes a supervisor of the child that describe gives. It is
// asked before every start, so that it can render files and arguments afresh,
// and before a restart ends what runs: an error then leaves the child alone.
// It must return soon when its context ends.
func NewSupervisor(describe func(context.Context) (Child, error), start Starter, log *slog.Logger) *Supervisor {
	return &Supervisor{
		log: log, describe: describe, start: start, state: Waiting,
		work: make(chan func()), ended: make(chan struct{}), changed: make(chan struct{}, 1), cancel: func() {}, endCompanion: func() {},
	}
}

// Run supervises until the child has ended and nothing asks for another
// instance. The error is that of a start that did not come about. Ending ctx
// kills the child; Stop ends it well.
func (s *Supervisor) Run(ctx context.Context) (Exit, error) {
	defer s.besides.Wait()
	defer close(s.ended)
	s.ctx = context.WithoutCancel(ctx)
	s.timer = time.NewTimer(time.Hour)
	s.timer.Stop()
	done := ctx.Done()
	for s.state != Ended {
		select {
		case do := <-s.work:
			do()
		case <-s.timer.C:
			s.timeUp()
		case <-done:
			done = nil
			s.stop()
			s.kill("the supervisor is ending")
		}
	}
	s.answer(ErrStopping)
	for _, k := range s.kept {
		s.log.Warn("signal not passed on, there is no child any more", "signal", SignalName(k.sig))
	}
	return s.exit, s.failure
}

// Start starts the first instance. Later calls do nothing.
func (s *Supervisor) Start() {
	s.do(func() {
		if s.state == Waiting {
			s.prepare()
		}
	})
}

// Adopt takes over, instead of the first start, a child that runs already, and
// completes the restart that has been begun, if one has. A PostStart that stays beside the child is
// started, unless the child is being ended; any other has run already.
func (s *Supervisor) Adopt(c Child, take Starter, restart Progress) {
	s.do(func() {
		if s.state != Waiting {
			return
		}
		s.number++
		s.child = c
		if err := s.begin(take, nil); err != nil {
			s.failed(err)
			return
		}
		s.log.Info("child taken over", "command", c.Argv[0], "instance", s.number)
		s.completeRestart(restart)
		if s.child.hasCompanion() && s.state == Running {
			s.afterStart() // init has ended that of the earlier worker
		}
	})
}

// Stop ends the child well: the stop signal, the grace, SIGKILL. It returns at
// once; [Supervisor.Run] returns when it is over. A second one changes nothing.
func (s *Supervisor) Stop() { s.do(s.stop) }

// Restart ends the child well and starts it again. It returns when an instance
// has been started that was prepared after the call, or could not be. Of
// several that ask before that, one is served for all. When it is seen before that the
// next instance could not be started, the error is a [*LeftAloneError].
func (s *Supervisor) Restart(ctx context.Context) error { return s.restart(ctx, false) }

// RestartBack is Restart with the command line that started last, where the one that is
// described cannot be started.
func (s *Supervisor) RestartBack(ctx context.Context) error { return s.restart(ctx, true) }

func (s *Supervisor) restart(ctx context.Context, back bool) error {
	answer := make(chan error, 1)
	s.do(func() { s.takeRestart(answer, back) })
	select {
	case err := <-answer:
		return err
	case <-s.ended:
		return ErrStopping
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Signal tells the child or its group that something has changed. One that is
// not ready yet is told when it is. While there is none that would be told,
// nothing needs to be sent: the next start does all that a signal could.
func (s *Supervisor) Signal(sig syscall.Signal, group bool) error {
	answer := make(chan error, 1)
	s.do(func() { answer <- s.tell(sig, group) })
	select {
	case err := <-answer:
		return err
	case <-s.ended:
		return ErrStopping
	}
}

// Forward passes a signal on that somebody sent. While no instance can take it,
// because none runs, or the one that runs is not ready or is being restarted,
// it is kept until one can, so that none is lost. Those of job control are not
// kept. SIGQUIT ends the grace of a child that is being stopped.
func (s *Supervisor) Forward(sig syscall.Signal) { s.do(func() { s.forward(sig) }) }

// Status is how the child fares.
type Status struct {
	State    State
	Ready    bool
	Instance int       // of the one that runs or is prepared, or ran last; counted from 1
	Since    time.Time // of its start, or of that of the one before; zero before the first
	Refused  error     // why its command line is not the one that was asked for; nil when it is

	// The command line and environment of that which runs or ran last, without what PreStart added.
	// They are nil before the first start, and of a child that was taken over.
	Argv, Env []string
}

// State is where the child stands, and whether it is ready.
func (s *Supervisor) State() (State, bool) {
	now := s.Status()
	return now.State, now.Ready
}

// Status is how the child fares now.
func (s *Supervisor) Status() Status {
	answer := make(chan Status, 1)
	s.do(func() {
		now := Status{State: s.state, Ready: s.ready, Instance: s.number, Since: s.since, Refused: s.child.Refused}
		if l := s.lines.proven; l != nil {
			now.Argv, now.Env = l.argv, l.env
		}
		answer <- now
	})
	select {
	case now := <-answer:
		return now
	case <-s.ended:
		return Status{State: Ended}
	}
}

// Try begins a trial: until [Supervisor.Settle], an instance that ends or cannot
// be started is no reason to end, for whoever tries may want to go back. The
// channel is closed when that has happened.
func (s *Supervisor) Try() <-chan struct{} {
	trial := make(chan struct{})
	s.do(func() { s.trying, s.trial = true, trial })
	return trial
}

// Settle ends a trial. What would have been the end without it is the end now.
func (s *Supervisor) Settle() {
	s.do(func() {
		s.trying, s.trial = false, nil
		if s.parked {
			s.enter(Ended)
		}
	})
}

// over is when there is nothing more to run.
func (s *Supervisor) over() {
	if !s.trying {
		s.enter(Ended)
		return
	}
	s.enter(Pausing) // until somebody asks for a restart, or it is settled
	s.parked = true
	if s.trial != nil {
		close(s.trial)
		s.trial = nil
	}
}

// Changed gets a value when what State says may have changed since it was read
// last.
func (s *Supervisor) Changed() <-chan struct{} { return s.changed }

func (s *Supervisor) tellChanged() {
	select {
	case s.changed <- struct{}{}:
	default: // one is waiting, and stands for this one too
	}
}

// do has Run execute f, unless it has returned.
func (s *Supervisor) do(f func()) {
	select {
	case s.work <- f:
	case <-s.ended:
	}
}

// of has Run execute f, if instance number is still the one that it is about
// and the state one that f is for.
func (s *Supervisor) of(number int, f func(), states ...State) {
	s.do(func() {
		if s.number == number && slices.Contains(states, s.state) {
			f()
		}
	})
}

// beside runs f until it returns; its ctx ends with the state.
func (s *Supervisor) beside(f func(ctx context.Context, number int)) {
	ctx, cancel := context.WithCancel(s.ctx)
	before := s.cancel
	s.cancel = func() { before(); cancel() }
	number := s.number
	s.besides.Go(func() { f(ctx, number) })
}

func (s *Supervisor) enter(state State) {
	s.cancel()
	s.cancel = func() {}
	s.timer.Stop()
	s.checking = false
	s.state = state
	s.log.Debug("child", "state", string(state), "instance", s.number)
	s.tellChanged()
}

// answer tells everybody who waits for the next instance.
func (s *Supervisor) answer(err error) {
	for _, a := range s.waiters {
		a <- err
	}
	s.waiters, s.back = nil, false
}
