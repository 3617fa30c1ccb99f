package reload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// What follows is the life of an instance, in order. All of it is run by the
// goroutine of Supervisor.Run, but for the functions given to beside.

// prepare gets ready for the next instance.
func (s *Supervisor) prepare() {
	s.enter(Preparing)
	s.number++
	s.goal = goalPolicy
	s.stale, s.parked = false, false
	env, lines := s.environment(), s.lines
	s.beside(func(ctx context.Context, number int) { // until ctx ends or it is done
		child, err := s.describe(ctx)
		if err != nil {
			s.of(number, func() { s.launch(err) }, Preparing)
			return
		}
		child = lines.choose(child)
		asked := child.line()
		child, err = child.prepared(ctx, env)
		s.of(number, func() {
			s.child, s.asked = child, asked
			s.launch(err)
		}, Preparing)
	})
}

// choose is the child, with the line that started last in place of one that
// cannot be started.
func (l lines) choose(c Child) Child {
	if !l.refused.equal(c.line()) || l.proven == nil || l.vain {
		return c
	}
	c = c.on(l.proven, c.line())
	c.Refused = l.err
	return c
}

func (s *Supervisor) launch(err error) {
	switch {
	case err != nil:
		s.failed(fmt.Errorf("before the start: %w", err))
		return
	case s.stale:
		s.prepare() // for who has asked since
		return
	}
	if err := s.begin(s.start, nil); err != nil {
		s.goBack(err)
		return
	}
	s.lines.proven, s.lines.vain = s.asked, false
	if s.child.Refused == nil {
		s.lines.refused, s.lines.err = nil, nil
	}
	s.started()
}

func (s *Supervisor) started() {
	s.log.Info("child started", "command", s.child.Argv[0], "instance", s.number)
	if err := s.child.Refused; err != nil {
		s.log.Warn("the command line is the last one that could be started", "err", err)
	}
	s.afterStart()
}

// goBack starts the instance with the line that started last, since it could not be
// started with its own.
func (s *Supervisor) goBack(err error) {
	l := &s.lines
	if l.proven == nil || l.vain || l.proven.equal(s.asked) {
		s.failed(err)
		return
	}
	s.log.Error("child not started, going back to the last command line that started", "err", err)
	child := s.child.on(l.proven, s.asked)
	child.Refused = err
	meant := s.child
	s.child, l.refused, l.err = child, s.asked, err
	if s.begin(s.start, fmt.Errorf("%w; it runs with the last command line that started", err)) != nil {
		s.child, l.vain = meant, true // so that is not what is wrong
		s.failed(err)
		return
	}
	s.started()
}

// begin starts the instance, and answers those who wait for it.
func (s *Supervisor) begin(start Starter, answer error) error {
	number := s.number
	var sayer readySayer
	process, err := start(s.child, func() {
		if sayer.say() {
			s.of(number, s.becameReady, Running, WaitingForTurn, Stopping)
		}
	})
	if err != nil {
		return err
	}
	s.enter(Running)
	s.process, s.since, s.failure = process, time.Now(), nil
	s.overdue, s.tooLate = false, false
	go func() { // until the process ends
		exit := process.Wait()
		s.do(func() { s.exited(number, exit) })
	}()
	s.answer(answer)
	s.watchReadiness(sayer.listen())
	return nil
}

// A readySayer keeps what is said before somebody listens. Whoever says it may
// be the one who is to listen later.
type readySayer struct {
	mu              sync.Mutex
	said, listening bool
}

// say tells whether somebody listens by now.
func (r *readySayer) say() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = true
	return r.listening
}

// listen tells whether it has been said before.
func (r *readySayer) listen() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listening = true
	return r.said
}

// failed is a start that did not come about.
func (s *Supervisor) failed(err error) {
	s.log.Error("child not started", "err", err)
	s.failure = err
	if !s.stale { // else the next one is for them
		s.answer(err)
	}
	if s.stale || s.child.Restart == RestartOnFailure || s.child.Restart == RestartAlways {
		s.pause()
		return
	}
	s.over()
}

func (s *Supervisor) afterStart() {
	if s.child.PostStart == nil {
		return
	}
	c := s.child.PostStart.with(s.environment())
	ctx, cancel := context.WithCancel(s.ctx)
	s.endCompanion = cancel
	s.post.Go(func() { s.runBeside(ctx, c) }) // until ctx ends or it is done
}

// runBeside runs the command beside the instance. One that may run for ever is run again
// when it fails.
func (s *Supervisor) runBeside(ctx context.Context, c Command) {
	var pauses Backoff
	for {
		begin := time.Now()
		err := c.Run(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if c.Timeout >= 0 {
			s.log.Error("post_start failed, the child goes on", "err", err)
			return
		}
		if time.Since(begin) > time.Minute {
			pauses.Reset()
		}
		pause := pauses.Next()
		s.log.Error("post_start failed, the child goes on", "err", err, "retry", pause.Round(10*time.Millisecond))
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (s *Supervisor) watchReadiness(known bool) {
	if known || s.child.Ready == ReadyAtOnce {
		s.becameReady()
		return
	}
	if s.child.Ready == ReadyByCommand {
		s.tryReadyCmd()
	}
	if s.child.ReadyTimeout > 0 {
		s.timer.Reset(s.child.ReadyTimeout)
	}
}

func (s *Supervisor) tryReadyCmd() {
	command := *s.child.ReadyCmd
	s.beside(func(ctx context.Context, number int) { // until ctx ends or the command succeeds
		if command.Await(ctx) == nil {
			s.of(number, s.becameReady, Running, WaitingForTurn, Stopping)
		}
	})
}

func (s *Supervisor) becameReady() {
	if s.ready {
		return
	}
	s.ready = true
	s.tellChanged()
	s.process.Ready()
	if s.child.Ready != ReadyAtOnce {
		s.log.Info("child ready", "instance", s.number, "after", time.Since(s.since).Round(time.Millisecond).String())
	}
	switch {
	case s.state == Running:
		s.timer.Stop() // the watchdog's
		s.releaseSignals()
	case s.state == Stopping && s.child.StopBeforeReady == StopWaits:
		s.enter(Stopping)
		s.deadline = time.Time{}
		s.endNow() // what was waiting for this
	}
}

func (s *Supervisor) takeRestart(answer chan<- error, back bool) {
	switch {
	case s.goal == goalStop:
		answer <- ErrStopping
		return
	case s.state == Waiting:
		answer <- nil // the first start is to come, and finds what is new
		return
	}
	s.waiters, s.back = append(s.waiters, answer), s.back || back
	switch s.state {
	case Preparing:
		s.stale = true // what it has read by now may be older than the request
	case Running:
		s.restartRunning()
	case WaitingForTurn, Stopping: // for one that has asked before
	case Draining:
		s.goal = goalRestart
		s.process.Restarting(RestartStopping)
	case Pausing:
		if s.parked {
			s.prepare()
			return
		}
		s.log.Info("the restart waits for the start that is announced", "instance", s.number+1)
	}
}

// restartRunning begins a restart. After failures the instance has its time first:
// as long as the next pause would be.
func (s *Supervisor) restartRunning() {
	s.goal = goalRestart
	age := time.Since(s.since)
	if s.checking || s.backoff == nil || age >= steadyAfter {
		s.tryDescription()
		return
	}
	s.checking = true
	s.process.Restarting(RestartAsked)
	wait := min(2*s.paused, steadyAfter) - age
	s.log.Info("the restart waits, for starts have failed", "in", wait.Round(time.Millisecond).String())
	s.beside(func(ctx context.Context, number int) { // until ctx ends or the time has passed
		select {
		case <-ctx.Done():
		case <-time.After(wait):
			s.of(number, func() {
				s.checking = false
				s.paused = s.backoff.Next() // it counts as one
				s.tryDescription()
			}, Running)
		}
	})
}

// tryDescription finds out whether there is a next instance to start, before
// the one that runs is ended for it.
func (s *Supervisor) tryDescription() {
	s.goal = goalRestart
	if s.checking {
		return
	}
	s.checking = true
	s.process.Restarting(RestartAsked)
	s.beside(func(ctx context.Context, number int) { // until ctx ends or it is done
		child, err := s.describe(ctx)
		s.of(number, func() {
			s.checking = false
			if err == nil {
				err = s.refuse(child)
			}
			if err == nil {
				s.end()
				return
			}
			s.goal = goalPolicy
			s.process.Restarting(NotRestarting)
			s.answer(&LeftAloneError{s.number, err})
		}, Running)
	})
}

// refuse is why the instance that runs must not be ended for the next one. Whoever
// wants to go back is served by any that can be started.
func (s *Supervisor) refuse(next Child) error {
	next = s.lines.choose(next)
	if next.Refused != nil && !s.back {
		return next.Refused
	}
	if s.Check == nil {
		return nil
	}
	return s.Check(next)
}

// completeRestart goes on where an earlier supervisor was. What has been told
// to end is not told again: a second signal may mean something else to it.
func (s *Supervisor) completeRestart(p Progress) {
	switch p {
	case RestartAsked:
		s.tryDescription()
	case RestartStopping:
		s.goal = goalRestart
		s.enter(Stopping)
		s.startGrace()
		s.holdTurn()
	}
}

func (s *Supervisor) stop() {
	if s.goal == goalStop {
		return
	}
	s.goal = goalStop
	s.answer(ErrStopping)
	switch s.state {
	case Waiting, Preparing, Pausing:
		s.enter(Ended)
	case Running:
		s.end()
		fallthrough
	case WaitingForTurn, Stopping:
		// There is no next one to keep them for.
		s.forgetOwnSignals()
		s.releaseSignals()
	}
}

// endNow ends the instance, which has its turn.
func (s *Supervisor) endNow() {
	switch {
	case s.ready && s.child.PreStop != nil:
		s.awaitPreStop(s.sendStop)
	case s.ready || s.child.StopBeforeReady == StopAlways:
		s.sendStop()
	case s.child.StopBeforeReady == StopKills:
		s.kill("it is not ready, and would not stop well")
	default:
		s.awaitReadyToStop()
	}
}

// awaitPreStop waits for the condition to stop, for what is left of its time.
func (s *Supervisor) awaitPreStop(then func()) {
	if s.condition <= 0 {
		then()
		return
	}
	command, limit, begin := *s.child.PreStop, s.condition, time.Now()
	s.beside(func(ctx context.Context, number int) { // until ctx ends, the command succeeds, or the limit passes
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		if err := command.Await(ctx); err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			s.log.Warn("pre_stop did not succeed, stopping all the same", "after", limit.Round(time.Millisecond).String(), "err", err)
		}
		s.of(number, func() {
			s.condition -= time.Since(begin)
			then()
		}, Stopping)
	})
}

// awaitReadyToStop waits until the child can be stopped, within the grace. With
// no grace, the watchdog sees to one that never gets there.
func (s *Supervisor) awaitReadyToStop() {
	s.log.Info("child is not ready, waiting with the stop signal", "instance", s.number)
	if s.child.Ready == ReadyByCommand {
		s.tryReadyCmd()
	}
	s.startGrace()
	if s.child.grace() < 0 && s.child.ReadyTimeout > 0 {
		s.timer.Reset(time.Until(s.since.Add(s.child.ReadyTimeout)))
	}
}

func (s *Supervisor) sendStop() {
	s.endCompanion()
	s.log.Info("stopping child", "signal", SignalName(s.child.stopSignal()), "instance", s.number)
	s.tooLate = !s.send(s.child.stopSignal(), false)
	if s.goal == goalRestart {
		s.process.Restarting(RestartStopping)
	}
	s.startGrace()
}

func (s *Supervisor) startGrace() {
	if grace := s.child.grace(); grace >= 0 {
		s.deadline = time.Now().Add(grace)
		s.timer.Reset(grace)
	}
}

// timeUp is the end of the state's timer.
func (s *Supervisor) timeUp() {
	switch s.state {
	case Running:
		s.overdue = true
		s.kill("alive, but not ready after " + s.child.ReadyTimeout.String())
	case Stopping:
		s.kill("the time to stop has passed")
	case Pausing:
		s.prepare()
	}
}

// kill ends the instance and its group at once.
func (s *Supervisor) kill(why string) {
	if s.process == nil {
		return
	}
	s.log.Warn("killing child", "why", why, "instance", s.number)
	s.send(syscall.SIGKILL, true)
}

// exited is the end of the instance's own process; others of its group may
// live on.
func (s *Supervisor) exited(number int, exit Exit) {
	if number != s.number {
		return
	}
	s.log.Info("child ended", "how", exit.String(), "instance", number)
	process, stop, grace := s.process, s.child.stopSignal(), s.drainGrace()
	s.exit, s.hasEnded, s.ready = exit, true, false
	steady := time.Since(s.since) >= steadyAfter && !s.overdue
	if steady {
		s.backoff = nil
	}
	s.failing = (s.state == Running || s.tooLate) && !steady
	s.forgetOwnSignals()
	s.endCompanion()
	s.enter(Draining)
	postStop := s.child.PostStop
	release, env := s.takeRelease(s.environment())
	s.beside(func(ctx context.Context, number int) { // until the group is gone, which SIGKILL sees to, and PostStop has ended
		drain(process, stop, grace)
		s.post.Wait() // it has been told to end
		s.afterStop(ctx, postStop, env)
		release()
		s.of(number, s.drained, Draining)
	})
}

// afterStop runs PostStop.
func (s *Supervisor) afterStop(ctx context.Context, c *Command, env []string) {
	if c == nil {
		return
	}
	if err := c.with(env).Run(ctx); err != nil && ctx.Err() == nil {
		s.log.Error("post_stop failed", "err", err)
	}
}

// drainGrace is for what is left of the group when its leader is gone: what is
// left of the leader's own. A child with no limit may take its time, but what
// it leaves behind is no child.
func (s *Supervisor) drainGrace() time.Duration {
	if s.state == Stopping && !s.deadline.IsZero() {
		return max(0, time.Until(s.deadline))
	}
	if grace := s.child.grace(); grace >= 0 {
		return grace
	}
	return defaultStopGrace
}

// drain ends what is left of a group: politely, and after the grace for good.
func drain(p Process, stop syscall.Signal, grace time.Duration) {
	moment, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if p.Gone(moment) == nil {
		return
	}
	_ = p.Signal(stop, true) // it may be gone by now
	limit, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if p.Gone(limit) == nil {
		return
	}
	_ = p.Signal(syscall.SIGKILL, true)
	_ = p.Gone(context.Background())
}

// drained is the end of the instance and all that it started.
func (s *Supervisor) drained() {
	s.process = nil
	switch {
	case s.goal == goalStop:
		s.enter(Ended)
	case s.goal == goalRestart && !s.failing:
		s.prepare()
	case s.goal == goalRestart, s.child.restarts(s.exit):
		s.pause()
	default:
		s.over()
	}
}

// pause waits before the next instance, longer each time until one has run
// steadily.
func (s *Supervisor) pause() {
	s.enter(Pausing)
	if s.backoff == nil {
		s.backoff = &Backoff{Initial: s.child.Backoff.Initial, Max: s.child.Backoff.Max}
	}
	s.paused = s.backoff.Next()
	s.log.Warn("child is started again", "in", s.paused.Round(time.Millisecond).String())
	s.timer.Reset(s.paused)
}

// A keptSignal waits for an instance that can take it.
type keptSignal struct {
	sig   syscall.Signal
	group bool
	own   bool // kconfd's own, for this instance only
}

func (s *Supervisor) forward(sig syscall.Signal) {
	switch {
	case sig == syscall.SIGQUIT && s.state.isEnding():
		s.kill("SIGQUIT ends the grace")
	case s.takes(sig):
		// SIGCONT is for all that the terminal may have stopped.
		s.sendOrKeep(keptSignal{sig: sig, group: sig == syscall.SIGCONT})
	case isJobControl(sig):
		// Out of order, it would stop the next one with nobody to continue it.
		s.log.Debug("signal dropped, nothing runs", "signal", SignalName(sig))
	default:
		s.keep(keptSignal{sig: sig})
	}
}

func (s *Supervisor) tell(sig syscall.Signal, group bool) error {
	switch {
	case s.state != Running:
		return nil
	case !s.ready || !s.settled(sig):
		s.keep(keptSignal{sig, group, true})
		return nil
	}
	err := s.process.Signal(sig, group)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// takes says whether a signal goes to the instance that runs, rather than to
// the next. What was kept goes first.
func (s *Supervisor) takes(sig syscall.Signal) bool {
	switch s.state {
	case Running:
		return isJobControl(sig) || len(s.kept) == 0 && s.ready && s.settled(sig)
	case WaitingForTurn, Stopping:
		return isJobControl(sig) || len(s.kept) == 0 && s.goal == goalStop
	}
	return false
}

// settled says whether the instance can be sent a signal. One that has just
// been started would die of a signal which it handles a moment later.
func (s *Supervisor) settled(sig syscall.Signal) bool {
	return time.Since(s.since) >= handleWait || s.process.Handles(sig)
}

func (s *Supervisor) keep(k keptSignal) {
	s.kept = append(s.kept, k)
	if s.state == Running && s.ready {
		s.releaseSignals()
	}
}

// releaseSignals sends what was kept as soon as the child would live through
// it, or handleWait has passed.
func (s *Supervisor) releaseSignals() {
	if len(s.kept) == 0 {
		return
	}
	process, signals := s.process, slices.Clone(s.kept)
	s.beside(func(state context.Context, number int) { // until state ends, all are handled, or handleWait has passed
		ctx, cancel := context.WithTimeout(state, handleWait)
		defer cancel()
		for _, k := range signals {
			awaitHandler(ctx, process, k.sig)
		}
		s.of(number, func() {
			if state.Err() == nil {
				s.sendKept()
			}
		}, Running, WaitingForTurn, Stopping)
	})
}

func awaitHandler(ctx context.Context, p Process, sig syscall.Signal) {
	for ctx.Err() == nil && !p.Handles(sig) {
		select {
		case <-ctx.Done():
		case <-time.After(handlePoll):
		}
	}
}

// sendKept sends what was kept, in order. What has come since may have to wait for
// a handler of its own.
func (s *Supervisor) sendKept() {
	signals := s.kept
	s.kept = nil
	for n, k := range signals {
		if !s.settled(k.sig) {
			s.kept = append(s.kept, signals[n:]...)
			s.releaseSignals()
			return
		}
		s.sendOrKeep(k)
	}
}

// sendOrKeep keeps a signal for the next instance if this one has ended, which
// Run is about to be told.
func (s *Supervisor) sendOrKeep(k keptSignal) {
	err := s.process.Signal(k.sig, k.group)
	switch {
	case err == nil:
		s.log.Debug("signal passed on", "signal", SignalName(k.sig), "instance", s.number)
	case errors.Is(err, os.ErrProcessDone):
		s.kept = append(s.kept, k)
	default:
		s.log.Error("signal not passed on", "signal", SignalName(k.sig), "err", err)
	}
}

// forgetOwnSignals drops what the next instance need not be told.
func (s *Supervisor) forgetOwnSignals() {
	s.kept = slices.DeleteFunc(s.kept, func(k keptSignal) bool { return k.own })
}

// send is for signals that a child which has ended does not need any more. It
// says whether the child had not.
func (s *Supervisor) send(sig syscall.Signal, group bool) bool {
	err := s.process.Signal(sig, group)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.log.Error("child not signalled", "signal", SignalName(sig), "err", err)
	}
	return !errors.Is(err, os.ErrProcessDone)
}
