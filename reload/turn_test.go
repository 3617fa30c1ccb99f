package reload

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A playedTurn is one that a test gives and takes.
type playedTurn struct {
	st    *stage
	given chan bool // whether there is a turn, or the instance is to end without one
}

func (p *playedTurn) Acquire(ctx context.Context) func() {
	p.st.note("turn wanted")
	select {
	case has := <-p.given:
		if !has {
			return nil
		}
		return func() { p.st.note("turn released") }
	case <-ctx.Done():
		p.st.note("turn not wanted")
		return nil
	}
}

// inTurns runs a test with a child that is ended in its turn.
func inTurns(t *testing.T, c Child, test func(*stage, *playedTurn)) {
	t.Helper()
	turn := &playedTurn{}
	c.StopTurn = turn
	onStage(t, c, func(st *stage) {
		turn.st, turn.given = st, make(chan bool, 1) // in the bubble
		test(st, turn)
	})
}

// An instance is ended once it has its turn, and has that until all of it is gone.
func TestStopInTurn(t *testing.T) {
	inTurns(t, Child{}, func(st *stage, turn *playedTurn) {
		st.linger = true
		st.begin()
		st.s.Stop()
		st.expect(started(1), "1: ready", "turn wanted")
		time.Sleep(time.Hour)
		st.expect()
		st.state(WaitingForTurn, true)
		st.s.Stop() // changes nothing
		turn.given <- true
		st.expect("1: TERM")
		st.state(Stopping, true)
		st.instance().ends(exit0)
		st.expectAfter(time.Millisecond, "1: TERM to all")
		st.instance().leave()
		st.expect("turn released")
		st.over(exit0, nil)
	})
}

// Without a turn the instance is ended all the same.
func TestStopWithoutTurn(t *testing.T) {
	inTurns(t, Child{}, func(st *stage, turn *playedTurn) {
		st.begin()
		st.s.Stop()
		turn.given <- false
		st.expect(started(1), "1: ready", "turn wanted", "1: TERM")
		st.instance().ends(exit0)
		st.expect()
		st.over(exit0, nil)
	})
}

func TestRestartInTurn(t *testing.T) {
	inTurns(t, Child{}, func(st *stage, turn *playedTurn) {
		st.begin()
		answer := st.restart()
		st.expect(started(1), "1: ready", "turn wanted")
		st.progress(RestartAsked)
		also := st.restart() // is served by the same
		turn.given <- true
		st.expect("1: TERM")
		st.progress(RestartStopping)
		st.instance().ends(exit0)
		st.expect("turn released", started(2), "2: ready")
		st.answered(answer, nil)
		st.answered(also, nil)
		st.state(Running, true)
	})
}

// A restart that waits for its turn becomes a stop, and does not wait anew.
func TestStopDuringRestartInTurn(t *testing.T) {
	inTurns(t, Child{}, func(st *stage, turn *playedTurn) {
		st.begin()
		answer := st.restart()
		st.s.Stop()
		st.answered(answer, ErrStopping)
		turn.given <- true
		st.expect(started(1), "1: ready", "turn wanted", "1: TERM")
		st.instance().ends(exit0)
		st.expect("turn released")
		st.over(exit0, nil)
	})
}

// What ends by itself, or is killed, does not wait for its turn any more.
func TestEndWhileWaitingForTurn(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(*stage)
		want []string
		exit Exit
	}{
		"by itself":            {func(st *stage) { st.instance().ends(exit3) }, nil, exit3},
		"SIGQUIT":              {func(st *stage) { st.s.Forward(syscall.SIGQUIT) }, []string{"1: KILL to all"}, byKILL},
		"the supervisor's end": {func(st *stage) { st.cancel() }, []string{"1: KILL to all"}, byKILL},
	} {
		t.Run(name, func(t *testing.T) {
			inTurns(t, Child{StopGrace: -1}, func(st *stage, _ *playedTurn) {
				st.begin()
				st.s.Stop()
				st.expect(started(1), "1: ready", "turn wanted")
				test.do(st)
				st.expect(append(test.want, "turn not wanted")...)
				st.over(test.exit, nil)
			})
		})
	}
}

// One that is not ready is killed in its turn, unless it has become ready by then.
func TestTurnBeforeReady(t *testing.T) {
	child := Child{Ready: ReadyByNotify, StopBeforeReady: StopKills}
	t.Run("not ready", func(t *testing.T) {
		inTurns(t, child, func(st *stage, turn *playedTurn) {
			st.begin()
			st.s.Stop()
			st.expect(started(1), "turn wanted")
			turn.given <- true
			st.expect("1: KILL to all", "turn released")
			st.over(byKILL, nil)
		})
	})
	t.Run("ready by then", func(t *testing.T) {
		inTurns(t, child, func(st *stage, turn *playedTurn) {
			st.begin()
			st.s.Stop()
			st.expect(started(1), "turn wanted")
			st.instance().ready()
			st.expect("1: ready")
			turn.given <- true
			st.expect("1: TERM")
			st.instance().ends(exit0)
			st.expect("turn released")
			st.over(exit0, nil)
		})
	})
}

// Whoever takes over a child that has been told to end holds its turn to its end.
func TestAdoptInTurn(t *testing.T) {
	t.Run("stopping", func(t *testing.T) {
		inTurns(t, Child{}, func(st *stage, turn *playedTurn) {
			turn.given <- true
			st.s.Adopt(st.child, st.start, RestartStopping)
			st.expect(started(1), "1: ready", "turn wanted")
			st.instance().ends(exit0)
			st.expect("turn released", started(2), "2: ready")
		})
	})
	t.Run("asked", func(t *testing.T) {
		inTurns(t, Child{}, func(st *stage, turn *playedTurn) {
			st.s.Adopt(st.child, st.start, RestartAsked)
			st.expect(started(1), "1: ready", "turn wanted")
			turn.given <- true
			st.expect("1: TERM")
		})
	})
}

// The condition to stop comes before the turn, and is waited for again when the turn has come.
func TestConditionAndTurn(t *testing.T) {
	dir := t.TempDir()
	tries := filepath.Join(dir, "tries")
	inTurns(t, Child{PreStop: command("echo >>" + tries + "; test -e " + dir + "/may")}, func(st *stage, turn *playedTurn) {
		may := filepath.Join(dir, "may")
		touch(t, may)
		st.begin()
		st.s.Stop()
		st.awaitEvents(3)
		st.expect(started(1), "1: ready", "turn wanted")
		if err := os.Remove(may); err != nil {
			t.Fatal(err)
		}
		turn.given <- true
		time.Sleep(5 * time.Second)
		st.expect()
		touch(t, may)
		st.awaitEvents(1)
		st.expect("1: TERM")
		st.instance().ends(exit0)
		st.expect("turn released")
	})
}

// The time for the condition is not longer for the turn.
func TestConditionTimeoutAndTurn(t *testing.T) {
	inTurns(t, Child{PreStop: command("exit 1"), PreStopTimeout: 10 * time.Second}, func(st *stage, turn *playedTurn) {
		st.begin()
		st.s.Stop()
		st.awaitEvents(3)
		st.expect(started(1), "1: ready", "turn wanted")
		turn.given <- true
		st.expect("1: TERM") // at once
	})
}

// A realTurn is given by the test.
type realTurn struct {
	wanted, given, released chan struct{}
}

func (r *realTurn) Acquire(ctx context.Context) func() {
	close(r.wanted)
	select {
	case <-r.given:
		return func() { close(r.released) }
	case <-ctx.Done():
		return nil
	}
}

// What runs beside an instance runs until that is ended. What comes after it knows of the turn, which is
// given back at its end.
func TestHooksAndTurn(t *testing.T) {
	dir := t.TempDir()
	beside, after, release := filepath.Join(dir, "beside"), filepath.Join(dir, "after"), filepath.Join(dir, "release")
	companion := command("echo $$ >" + beside + "; exec sleep 60")
	companion.Timeout = -1
	turn := &realTurn{make(chan struct{}), make(chan struct{}), make(chan struct{})}
	child := Child{
		Argv: []string{"sleep", "60"}, Env: os.Environ(), StopTurn: turn, PostStart: companion,
		PostStop: command("kill -0 $(cat " + beside + ") 2>/dev/null || echo $KCONFD_STOP_TURN >" + after + "; until test -e " + release + "; do sleep 0.01; done"),
	}
	s := NewSupervisor(func(context.Context) (Child, error) { return child, nil }, Launcher{}.Start, slog.New(slog.DiscardHandler))
	ended := make(chan Exit, 1)
	go func() { // until Stop
		exit, _ := s.Run(context.Background())
		ended <- exit
	}()
	s.Start()
	awaitFile(t, beside)
	s.Stop()
	<-turn.wanted
	if state, ready := s.State(); state != WaitingForTurn || !ready {
		t.Errorf("got state %s, ready: %t", state, ready)
	}
	var pid int
	text, err := os.ReadFile(beside)
	if err == nil {
		_, err = fmt.Sscan(string(text), &pid)
	}
	if err == nil {
		err = syscall.Kill(pid, 0)
	}
	if err != nil {
		t.Errorf("what runs beside was ended before the turn: %v", err)
	}
	close(turn.given)
	awaitFile(t, after)
	select {
	case <-turn.released:
		t.Error("the turn was released before post_stop ended")
	default:
	}
	touch(t, release)
	if exit := <-ended; exit.Signal != syscall.SIGTERM {
		t.Errorf("got %v", exit)
	}
	<-turn.released
	if got, err := os.ReadFile(after); err != nil || string(got) != "1\n" {
		t.Errorf("post_stop: got KCONFD_STOP_TURN=%q, %v", got, err)
	}
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
