package reload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	exit0      = Exit{}
	exit3      = Exit{Code: 3}
	byTERM     = Exit{Signal: syscall.SIGTERM}
	byKILL     = Exit{Signal: syscall.SIGKILL}
	errBroken  = errors.New("broken")
	errRefused = errors.New("refused")
)

func command(shell string) *Command { return &Command{Shell: shell} }

func TestChildsExitIsPassedOn(t *testing.T) {
	for name, exit := range map[string]Exit{"0": exit0, "3": exit3, "TERM": byTERM} {
		t.Run(name, func(t *testing.T) {
			onStage(t, Child{}, func(st *stage) {
				st.expect() // nothing before Start
				st.state(Waiting, false)
				st.begin()
				st.expect(started(1), "1: ready")
				st.state(Running, true)
				st.begin() // again: nothing
				st.expect()
				st.instance().ends(exit)
				st.over(exit, nil)
				st.state(Ended, false)
			})
		})
	}
}

func TestStopGrace(t *testing.T) {
	for name, test := range map[string]struct {
		child  Child
		signal string
		grace  time.Duration
	}{
		"default": {Child{}, "TERM", 10 * time.Second},
		"own":     {Child{StopSignal: syscall.SIGQUIT, StopGrace: 3 * time.Minute}, "QUIT", 3 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, test.child, func(st *stage) {
				st.begin()
				st.expect(started(1), "1: ready")
				st.s.Stop()
				st.expect("1: " + test.signal)
				st.state(Stopping, true)
				time.Sleep(test.grace / 2)
				st.s.Stop() // does not shorten it, nor begin it anew
				st.expectAfter(test.grace-test.grace/2, "1: KILL to all")
				st.over(byKILL, nil)
			})
		})
	}
}

func TestStopObeyed(t *testing.T) {
	onStage(t, Child{Restart: RestartAlways}, func(st *stage) {
		st.begin()
		st.expect(started(1), "1: ready")
		st.s.Stop()
		time.Sleep(9 * time.Second)
		st.expect("1: TERM")
		st.instance().ends(exit0)
		st.over(exit0, nil)
	})
}

// A database in state transfer is never killed.
func TestNoLimit(t *testing.T) {
	onStage(t, Child{StopGrace: -1}, func(st *stage) {
		st.begin()
		st.s.Stop()
		st.expect(started(1), "1: ready", "1: TERM")
		time.Sleep(1000 * time.Hour)
		st.expect()
		st.instance().ends(exit3)
		st.over(exit3, nil)
	})
}

func TestQuitEndsTheGrace(t *testing.T) {
	t.Run("stopping", func(t *testing.T) {
		onStage(t, Child{StopGrace: -1}, func(st *stage) {
			st.begin()
			st.s.Forward(syscall.SIGQUIT) // only a signal yet
			st.s.Stop()
			st.expect(started(1), "1: ready", "1: QUIT", "1: TERM")
			st.s.Forward(syscall.SIGQUIT)
			st.expect("1: KILL to all")
			st.over(byKILL, nil)
		})
	})
	t.Run("waiting for pre_stop", func(t *testing.T) {
		onStage(t, Child{PreStop: command("exit 1"), PreStopTimeout: time.Hour}, func(st *stage) {
			st.begin()
			st.s.Stop()
			st.expect(started(1), "1: ready")
			st.s.Forward(syscall.SIGQUIT)
			st.expect("1: KILL to all")
			st.over(byKILL, nil)
		})
	})
	t.Run("draining", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.linger = true
			st.begin()
			st.s.Stop()
			st.expect(started(1), "1: ready", "1: TERM")
			st.instance().ends(exit0)
			st.expectAfter(time.Millisecond, "1: TERM to all")
			st.s.Forward(syscall.SIGQUIT)
			st.expect("1: KILL to all")
			st.over(exit0, nil)
		})
	})
}

// C3: the child outlives everything but is not left behind.
func TestEndOfContextKills(t *testing.T) {
	onStage(t, Child{PreStop: command("exit 1")}, func(st *stage) {
		st.begin()
		st.expect(started(1), "1: ready")
		st.cancel()
		st.expect("1: KILL to all")
		st.over(byKILL, nil)
	})
}

func TestStopWithoutInstance(t *testing.T) {
	t.Run("waiting", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.s.Stop()
			st.over(exit0, nil)
			st.begin() // too late, and does not hang
			st.s.Stop()
			st.s.Forward(syscall.SIGHUP)
			st.answered(st.restart(), ErrStopping)
			if err := st.s.Signal(syscall.SIGHUP, false); !errors.Is(err, ErrStopping) {
				t.Fatalf("Signal gave %v, want %v", err, ErrStopping)
			}
			st.expect()
		})
	})
	t.Run("preparing", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.hold = make(chan struct{}) // for ever
			st.begin()
			st.state(Preparing, false)
			answer := st.restart()
			st.s.Stop()
			st.answered(answer, ErrStopping)
			st.over(exit0, nil)
			st.expect()
		})
	})
	t.Run("pausing", func(t *testing.T) {
		onStage(t, Child{Restart: RestartAlways}, func(st *stage) {
			st.begin()
			st.expect(started(1), "1: ready")
			st.instance().ends(exit3)
			st.state(Pausing, false)
			st.s.Stop()
			st.over(exit3, nil)
		})
	})
	t.Run("draining", func(t *testing.T) {
		onStage(t, Child{Restart: RestartAlways}, func(st *stage) {
			st.linger = true
			st.begin()
			st.expect(started(1), "1: ready")
			st.instance().ends(exit3)
			st.expectAfter(time.Millisecond, "1: TERM to all")
			st.state(Draining, false)
			st.s.Stop()
			st.instance().leave()
			st.over(exit3, nil)
		})
	})
}

func TestRestartPolicy(t *testing.T) {
	for name, test := range map[string]struct {
		policy RestartPolicy
		exit   Exit
		again  bool
	}{
		"none":              {"", exit3, false},
		"never":             {RestartNever, exit3, false},
		"on-failure, 0":     {RestartOnFailure, exit0, false},
		"on-failure, 3":     {RestartOnFailure, exit3, true},
		"on-failure, TERM":  {RestartOnFailure, byTERM, true},
		"always, 0":         {RestartAlways, exit0, true},
		"always, by signal": {RestartAlways, byKILL, true},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, Child{Restart: test.policy}, func(st *stage) {
				st.begin()
				st.expect(started(1), "1: ready")
				st.instance().ends(test.exit)
				if !test.again {
					st.over(test.exit, nil)
					return
				}
				st.state(Pausing, false)
				time.Sleep(1100 * time.Millisecond)
				st.expect(started(2), "2: ready")
			})
		})
	}
}

// pauses are how long it takes each time from the end of an instance, or a
// start that fails, to the next start. A back-off changes each delay by up to
// 10 %.
func (st *stage) pauses(want ...time.Duration) {
	st.t.Helper()
	for _, pause := range want {
		begin := time.Now()
		for st.quiet() {
			time.Sleep(time.Millisecond)
		}
		if got := time.Since(begin); got < pause*89/100 || got > pause*111/100 {
			st.t.Fatalf("the pause was %v, want about %v", got, pause)
		}
		st.set(func() { st.events = nil })
		if st.startErr == nil {
			st.instance().ends(exit3)
		}
	}
}

// quiet says whether nothing has happened.
func (st *stage) quiet() bool {
	synctest.Wait()
	st.mu.Lock()
	defer st.mu.Unlock()
	return len(st.events) == 0
}

func TestPausesGrowUntilOneRunsSteadily(t *testing.T) {
	onStage(t, Child{Restart: RestartOnFailure, Backoff: Backoff{Initial: 10 * time.Second, Max: 35 * time.Second}}, func(st *stage) {
		s := time.Second
		st.begin()
		st.expect(started(1), "1: ready")
		st.instance().ends(exit3)
		st.pauses(10*s, 20*s, 35*s, 35*s)
		time.Sleep(40 * s) // the next one runs, and is left alone
		st.set(func() { st.events = nil })
		time.Sleep(steadyAfter)
		st.instance().ends(exit3)
		st.pauses(10*s, 20*s)
	})
}

// An instance that ran for a day says nothing about starts that fail after it.
func TestPausesGrowWhileStartsFail(t *testing.T) {
	onStage(t, Child{Restart: RestartAlways}, func(st *stage) {
		s := time.Second
		st.begin()
		st.expect(started(1), "1: ready")
		time.Sleep(24 * time.Hour)
		st.set(func() { st.startErr = errBroken })
		st.instance().ends(exit0)
		st.pauses(s, 2*s, 4*s, 8*s, 16*s, 32*s, 60*s, 60*s)
		st.s.Stop()
		st.over(exit0, errBroken)
	})
}

func TestStartFails(t *testing.T) {
	for name, test := range map[string]struct {
		child    Child
		startErr error
		broken   error
	}{
		"no such command": {Child{}, &StartError{127, errBroken}, nil},
		"no description":  {Child{}, nil, errBroken},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, test.child, func(st *stage) {
				st.startErr, st.broken = test.startErr, test.broken
				st.begin()
				st.over(exit0, errBroken)
			})
		})
	}
	t.Run("pre_start", func(t *testing.T) {
		onStage(t, Child{PreStart: command("echo no data; exit 4")}, func(st *stage) {
			st.begin()
			got := <-st.result
			want := `before the start: pre_start: command "echo no data; exit 4": exit status 4: no data`
			if got.err == nil || got.err.Error() != want {
				t.Fatalf("got error %v, want %s", got.err, want)
			}
			st.expect()
		})
	})
}

// The policy is that of the child which could not be started, the first time
// as well.
func TestPreStartIsTriedAgain(t *testing.T) {
	onStage(t, Child{Restart: RestartOnFailure, PreStart: command("exit 1")}, func(st *stage) {
		st.begin()
		time.Sleep(1500 * time.Millisecond)
		st.expect()
		st.set(func() { st.child.PreStart = command("echo arg --position=7 >$KCONFD_START_FILE") })
		time.Sleep(time.Minute)
		st.expect(started(1, "--position=7"), "1: ready")
	})
}

func TestReadyTimeout(t *testing.T) {
	c := Child{Ready: ReadyByNotify, ReadyTimeout: 15 * time.Minute}
	t.Run("never ready", func(t *testing.T) {
		onStage(t, c, func(st *stage) {
			st.begin()
			st.expect(started(1))
			st.state(Running, false)
			st.expectAfter(15*time.Minute, "1: KILL to all")
			st.over(byKILL, nil)
		})
	})
	t.Run("ready", func(t *testing.T) {
		onStage(t, c, func(st *stage) {
			st.begin()
			st.expect(started(1))
			time.Sleep(14 * time.Minute)
			st.instance().ready()
			st.instance().ready() // a second time changes nothing
			st.expect("1: ready")
			st.state(Running, true)
			time.Sleep(time.Hour)
			st.expect()
		})
	})
	t.Run("restarted, and watched again", func(t *testing.T) {
		c := c
		c.Restart = RestartOnFailure
		onStage(t, c, func(st *stage) {
			st.begin()
			st.expect(started(1))
			st.expectAfter(15*time.Minute, "1: KILL to all")
			time.Sleep(2 * time.Second)
			st.expect(started(2))
			st.instance(1).ready() // an old one that is late
			st.expect()
			st.state(Running, false)
			time.Sleep(15 * time.Minute)
			st.set(func() { st.events = st.events[:1] }) // a third is on its way
			st.expect("2: KILL to all")
		})
	})
}

func TestReadyBeforeTheStartReturned(t *testing.T) {
	onStage(t, Child{Ready: ReadyByNotify}, func(st *stage) {
		st.early = true
		st.begin()
		st.expect(started(1), "1: ready")
		st.state(Running, true)
	})
}

func TestReadyCmd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ready")
	onStage(t, Child{Ready: ReadyByCommand, ReadyCmd: command("test -e " + file), ReadyTimeout: time.Minute}, func(st *stage) {
		st.begin()
		time.Sleep(30 * time.Second)
		st.expect(started(1))
		fatal(t, os.WriteFile(file, nil, 0o600))
		time.Sleep(time.Second)
		st.expect("1: ready")
		time.Sleep(time.Hour)
		st.expect()
	})
}

// A database that gets SIGTERM while it joins may hang for ever.
func TestStopBeforeReady(t *testing.T) {
	start := func(st *stage) {
		st.begin()
		st.expect(started(1))
		st.s.Stop()
	}
	t.Run("always", func(t *testing.T) {
		onStage(t, Child{Ready: ReadyByNotify}, func(st *stage) {
			start(st)
			st.expect("1: TERM")
		})
	})
	t.Run("kill", func(t *testing.T) {
		onStage(t, Child{Ready: ReadyByNotify, StopBeforeReady: StopKills}, func(st *stage) {
			start(st)
			st.expect("1: KILL to all")
			st.over(byKILL, nil)
		})
	})
	t.Run("kill, but ready", func(t *testing.T) {
		onStage(t, Child{Ready: ReadyByNotify, StopBeforeReady: StopKills}, func(st *stage) {
			st.early = true
			st.begin()
			st.expect(started(1), "1: ready")
			st.s.Stop()
			st.expect("1: TERM")
		})
	})
	t.Run("wait, then ready", func(t *testing.T) {
		onStage(t, Child{Ready: ReadyByNotify, StopBeforeReady: StopWaits}, func(st *stage) {
			start(st)
			time.Sleep(9 * time.Second)
			st.expect()
			st.instance().ready()
			st.expect("1: ready", "1: TERM")
			st.expectAfter(10*time.Second, "1: KILL to all")
		})
	})
	t.Run("wait for the command, then ready", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "ready")
		onStage(t, Child{Ready: ReadyByCommand, ReadyCmd: command("test -e " + file), StopBeforeReady: StopWaits}, func(st *stage) {
			start(st)
			st.expect()
			fatal(t, os.WriteFile(file, nil, 0o600))
			time.Sleep(time.Second)
			st.expect("1: ready", "1: TERM")
		})
	})
	t.Run("wait, in vain", func(t *testing.T) {
		onStage(t, Child{Ready: ReadyByNotify, StopBeforeReady: StopWaits}, func(st *stage) {
			start(st)
			st.expectAfter(10*time.Second, "1: KILL to all")
		})
	})
	t.Run("wait without limit, but watched", func(t *testing.T) {
		c := Child{Ready: ReadyByNotify, StopBeforeReady: StopWaits, StopGrace: -1, ReadyTimeout: time.Hour}
		onStage(t, c, func(st *stage) {
			st.begin()
			time.Sleep(20 * time.Minute)
			st.s.Stop()
			st.expect(started(1))
			st.expectAfter(40*time.Minute, "1: KILL to all")
		})
	})
}

// A donor must not be stopped.
func TestPreStop(t *testing.T) {
	file := filepath.Join(t.TempDir(), "may stop")
	// Between two tries: one that the limit ends would take a moment to end.
	const limit = time.Minute + 500*time.Millisecond
	c := Child{PreStop: command("test -e '" + file + "'"), PreStopTimeout: limit}
	t.Run("in vain", func(t *testing.T) {
		onStage(t, c, func(st *stage) {
			st.begin()
			st.s.Stop()
			st.expect(started(1), "1: ready")
			st.expectAfter(limit, "1: TERM")
			st.expectAfter(10*time.Second, "1: KILL to all") // the grace is the child's own
		})
	})
	t.Run("it ends by itself", func(t *testing.T) {
		onStage(t, c, func(st *stage) {
			st.begin()
			st.s.Stop()
			st.expect(started(1), "1: ready")
			st.instance().ends(exit3)
			st.over(exit3, nil)
		})
	})
	t.Run("not ready: nothing to wait for", func(t *testing.T) {
		c := c
		c.Ready = ReadyByNotify
		onStage(t, c, func(st *stage) {
			st.begin()
			st.s.Stop()
			st.expect(started(1), "1: TERM")
		})
	})
	t.Run("fulfilled", func(t *testing.T) {
		onStage(t, c, func(st *stage) {
			st.begin()
			st.s.Stop()
			time.Sleep(30 * time.Second)
			st.expect(started(1), "1: ready")
			fatal(t, os.WriteFile(file, nil, 0o600))
			time.Sleep(time.Second)
			st.expect("1: TERM")
		})
	})
}

// C4: the shell dies, the program lives on, and there are two servers.
func TestNextStartWaitsForTheGroup(t *testing.T) {
	t.Run("it obeys", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.linger = true
			st.begin()
			st.expect(started(1), "1: ready")
			answer := st.restart()
			st.expect("1: TERM")
			st.instance().ends(byTERM)
			st.expectAfter(time.Millisecond, "1: TERM to all")
			time.Sleep(8 * time.Second)
			st.expect()
			st.unanswered(answer)
			st.instance().leave()
			st.expect(started(2), "2: ready")
			st.answered(answer, nil)
		})
	})
	t.Run("it is killed when the leader's grace is over", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.linger = true
			st.begin()
			st.expect(started(1), "1: ready")
			answer := st.restart()
			st.expect("1: TERM")
			time.Sleep(6 * time.Second)
			st.instance().ends(exit0)
			st.expectAfter(time.Millisecond, "1: TERM to all")
			st.expectAfter(4*time.Second, "1: KILL to all", started(2), "2: ready")
			st.answered(answer, nil)
		})
	})
	t.Run("without limit it has the usual grace", func(t *testing.T) {
		onStage(t, Child{StopGrace: -1}, func(st *stage) {
			st.linger = true
			st.begin()
			st.s.Stop()
			st.expect(started(1), "1: ready", "1: TERM")
			time.Sleep(time.Hour)
			st.instance().ends(exit0)
			st.expectAfter(time.Millisecond, "1: TERM to all")
			st.expectAfter(10*time.Second, "1: KILL to all")
			st.over(exit0, nil)
		})
	})
	t.Run("after an exit of its own", func(t *testing.T) {
		onStage(t, Child{StopSignal: syscall.SIGINT}, func(st *stage) {
			st.linger = true
			st.begin()
			st.expect(started(1), "1: ready")
			st.instance().ends(exit3)
			st.expectAfter(time.Millisecond, "1: INT to all")
			st.expectAfter(10*time.Second, "1: KILL to all")
			st.over(exit3, nil)
		})
	})
}

func TestRestart(t *testing.T) {
	t.Run("several ask, one action", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.begin()
			st.expect(started(1), "1: ready")
			first, second := st.restart(), st.restart()
			st.expect("1: TERM")
			third := st.restart()
			st.instance().ends(byTERM)
			st.expect(started(2), "2: ready")
			for _, answer := range []<-chan error{first, second, third} {
				st.answered(answer, nil)
			}
			time.Sleep(time.Hour)
			st.expect()
		})
	})
	t.Run("waiting", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.answered(st.restart(), nil) // the first start finds what is new
			st.expect()
			st.begin()
			st.expect(started(1), "1: ready")
		})
	})
	t.Run("preparing: what it has read is old", func(t *testing.T) {
		onStage(t, Child{Argv: []string{"server", "old"}}, func(st *stage) {
			hold := make(chan struct{})
			st.hold = hold
			st.begin()
			st.state(Preparing, false)
			st.set(func() { st.child.Argv, st.hold = []string{"server", "new"}, nil })
			first, second := st.restart(), st.restart()
			st.unanswered(first)
			close(hold)
			st.expect(started(1, "new"), "1: ready")
			st.answered(first, nil)
			st.answered(second, nil)
		})
	})
	t.Run("preparing, and it fails: the request is for the next try", func(t *testing.T) {
		onStage(t, Child{PreStart: command("exit 1")}, func(st *stage) {
			hold := make(chan struct{})
			st.hold = hold
			st.begin()
			st.state(Preparing, false)
			st.set(func() { st.child.PreStart, st.hold = nil, nil })
			answer := st.restart()
			close(hold)
			st.unanswered(answer)
			time.Sleep(1100 * time.Millisecond)
			st.expect(started(1), "1: ready")
			st.answered(answer, nil)
		})
	})
	t.Run("draining", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.linger = true
			st.begin()
			st.expect(started(1), "1: ready")
			st.instance().ends(exit3)
			answer := st.restart()
			st.instance().leave()
			st.unanswered(answer)
			time.Sleep(1100 * time.Millisecond) // it has ended by itself, and soon
			st.expect(started(2), "2: ready")
			st.answered(answer, nil)
		})
	})
	t.Run("draining after a steady run", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.linger = true
			st.begin()
			st.expect(started(1), "1: ready")
			time.Sleep(steadyAfter)
			st.instance().ends(exit3)
			answer := st.restart()
			st.instance().leave()
			st.expect(started(2), "2: ready")
			st.answered(answer, nil)
		})
	})
	t.Run("pausing", func(t *testing.T) {
		onStage(t, Child{Restart: RestartAlways, Backoff: Backoff{Initial: time.Hour, Max: time.Hour}}, func(st *stage) {
			st.begin()
			st.expect(started(1), "1: ready")
			st.instance().ends(exit3)
			first, second := st.restart(), st.restart()
			st.unanswered(first)
			time.Sleep(50 * time.Minute)
			st.expect() // what is asked for waits for the start that is announced
			time.Sleep(20 * time.Minute)
			st.expect(started(2), "2: ready")
			st.answered(first, nil)
			st.answered(second, nil)
			time.Sleep(3 * time.Hour)
			st.expect()
		})
	})
	t.Run("stopping", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.begin()
			st.s.Stop()
			st.answered(st.restart(), ErrStopping)
			st.expect(started(1), "1: ready", "1: TERM")
		})
	})
	t.Run("and then it is stopped", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.begin()
			answer := st.restart()
			st.expect(started(1), "1: ready", "1: TERM")
			st.s.Stop()
			st.answered(answer, ErrStopping)
			st.expectAfter(10*time.Second, "1: KILL to all") // one stop, one signal
			st.over(byKILL, nil)
		})
	})
	t.Run("the caller gives up", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.begin()
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if err := st.s.Restart(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("Restart gave %v, want %v", err, context.DeadlineExceeded)
			}
			st.instance().ends(exit0)
			st.expect(started(1), "1: ready", "1: TERM", started(2), "2: ready")
		})
	})
	t.Run("the next start fails", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.begin()
			answer := st.restart()
			st.set(func() { st.startErr = errBroken })
			st.instance().ends(exit0)
			st.expect(started(1), "1: ready", "1: TERM", "not started")
			st.answered(answer, errBroken)
			st.over(exit0, errBroken)
		})
	})
}

// What is being tried may end: whoever tries goes back, and nothing of the end
// is seen.
func TestTrial(t *testing.T) {
	closed := func(st *stage, trial <-chan struct{}, want bool) {
		st.t.Helper()
		synctest.Wait()
		select {
		case <-trial:
			if !want {
				st.t.Fatal("the trial is over")
			}
		default:
			if want {
				st.t.Fatal("the trial is not over")
			}
		}
	}
	try := func(st *stage) <-chan struct{} {
		st.begin()
		trial := st.s.Try()
		answer := st.restart()
		st.instance().ends(exit0)
		st.expect(started(1), "1: ready", "1: TERM", started(2), "2: ready")
		st.answered(answer, nil)
		closed(st, trial, false)
		return trial
	}
	t.Run("it ends, and another is tried", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			trial := try(st)
			st.instance().ends(exit3)
			closed(st, trial, true)
			st.state(Pausing, false)
			time.Sleep(time.Hour)
			st.expect()
			st.answered(st.restart(), nil)
			st.expect(started(3), "3: ready")
			st.s.Settle()
			st.state(Running, true)
			st.instance().ends(exit3)
			st.over(exit3, nil)
		})
	})
	t.Run("it cannot be started", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.begin()
			trial := st.s.Try()
			answer := st.restart()
			st.set(func() { st.startErr = errBroken })
			st.instance().ends(exit0)
			st.expect(started(1), "1: ready", "1: TERM", "not started")
			st.answered(answer, errBroken)
			closed(st, trial, true)
			st.set(func() { st.startErr = nil })
			st.answered(st.restart(), nil)
			st.expect(started(2), "2: ready")
		})
	})
	t.Run("settled after the end", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			try(st)
			st.instance().ends(exit3)
			st.state(Pausing, false)
			st.s.Settle()
			st.over(exit3, nil)
		})
	})
	t.Run("stopped", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			try(st)
			st.instance().ends(exit3)
			st.state(Pausing, false)
			st.s.Stop()
			st.over(exit3, nil)
		})
	})
}

// C8: the child was stopped first, and then the configuration was found to be
// bad.
func TestRestartNeedsADescription(t *testing.T) {
	t.Run("none", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.begin()
			st.expect(started(1), "1: ready")
			st.set(func() { st.broken = errBroken })
			st.answered(st.restart(), errBroken)
			st.expect()
			st.state(Running, true)
			st.instance().ends(exit3) // the policy is what it was
			st.over(exit3, nil)
		})
	})
	t.Run("it takes long", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.begin()
			st.expect(started(1), "1: ready")
			hold := make(chan struct{})
			st.set(func() { st.hold = hold })
			first, second := st.restart(), st.restart()
			st.state(Running, true)
			close(hold)
			st.expect("1: TERM")
			st.instance().ends(exit0)
			st.expect(started(2), "2: ready")
			st.answered(first, nil)
			st.answered(second, nil)
			if st.asked != 3 {
				t.Fatalf("the description was asked for %d times, want 3: two starts and one restart", st.asked)
			}
		})
	})
	t.Run("it takes too long for a stop", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.begin()
			st.expect(started(1), "1: ready")
			st.set(func() { st.hold = make(chan struct{}) })
			answer := st.restart()
			st.s.Stop()
			st.expect("1: TERM")
			st.answered(answer, ErrStopping)
			st.instance().ends(exit0)
			st.over(exit0, nil)
		})
	})
	t.Run("the child ends meanwhile", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.begin()
			st.expect(started(1), "1: ready")
			hold := make(chan struct{})
			st.set(func() { st.hold = hold })
			answer := st.restart()
			st.instance().ends(exit3)
			st.expect()
			close(hold)
			time.Sleep(1100 * time.Millisecond) // as after any end that is not asked for
			st.expect(started(2), "2: ready")
			st.answered(answer, nil)
		})
	})
}

func TestExitOfAnOldInstance(t *testing.T) {
	onStage(t, Child{}, func(st *stage) {
		st.begin()
		answer := st.restart()
		st.instance().ends(exit0)
		st.answered(answer, nil)
		st.expect(started(1), "1: ready", "1: TERM", started(2), "2: ready")
		st.s.do(func() { st.s.exited(1, exit3) })
		st.expect()
		st.state(Running, true)
		st.instance().ends(exit0)
		st.over(exit0, nil)
	})
}

func TestAdopt(t *testing.T) {
	onStage(t, Child{Argv: []string{"server"}, Ready: ReadyByNotify, Restart: RestartAlways, PostStart: command("exit 1")}, func(st *stage) {
		st.s.Adopt(st.child, st.start, NotRestarting)
		st.begin() // nothing more to start
		st.expect(started(1))
		if st.asked != 0 {
			t.Fatal("a description was asked for, want none: it runs already")
		}
		st.state(Running, false)
		st.instance().ready()
		st.expect("1: ready")
		answer := st.restart()
		st.expect("1: TERM")
		st.instance().ends(exit0)
		st.expect(started(2))
		st.answered(answer, nil)
	})
}

// A command that stays beside the child is started again beside one that is taken over, unless that is being ended. One
// that ends has run already.
func TestAdoptStartsCompanion(t *testing.T) {
	for name, test := range map[string]struct {
		timeout  time.Duration
		progress Progress
		want     string
	}{
		"stays":                          {-1, NotRestarting, "x\n"},
		"stays, and a restart is asked":  {-1, RestartAsked, "x\n"},
		"stays, and the child is ending": {-1, RestartStopping, ""},
		"ends":                           {0, NotRestarting, ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "ran")
			fatal(t, os.WriteFile(file, nil, 0o600))
			post := command("echo x >>" + file)
			post.Timeout = test.timeout
			onStage(t, Child{Argv: []string{"server"}, StopGrace: -1, PostStart: post}, func(st *stage) {
				if test.progress == RestartAsked {
					st.s.Check = func(Child) error { return errBroken }
				}
				st.s.Adopt(st.child, st.start, test.progress)
				time.Sleep(time.Minute) // does not pass before the command has ended
				ran, err := os.ReadFile(file)
				if fatal(t, err); string(ran) != test.want {
					t.Errorf("post_start wrote %q, want %q", ran, test.want)
				}
				st.instance().ends(exit0)
			})
		})
	}
}

// A restart that an earlier supervisor has begun is completed, whatever the
// policy, and what has been told to end is not told again.
func TestAdoptInRestart(t *testing.T) {
	c := Child{Argv: []string{"server"}}
	t.Run("asked", func(t *testing.T) {
		onStage(t, c, func(st *stage) {
			st.s.Adopt(st.child, st.start, RestartAsked)
			st.expect(started(1), "1: ready", "1: TERM")
			st.progress(RestartStopping)
			st.instance().ends(exit0)
			st.expect(started(2), "2: ready")
			st.progress(NotRestarting)
		})
	})
	t.Run("stopping", func(t *testing.T) {
		onStage(t, c, func(st *stage) {
			st.s.Adopt(st.child, st.start, RestartStopping)
			st.expect(started(1), "1: ready")
			st.state(Stopping, true)
			answer := st.restart()
			st.instance().ends(exit0)
			st.expect(started(2), "2: ready")
			st.answered(answer, nil)
		})
	})
	t.Run("stopping, and it does not end", func(t *testing.T) {
		onStage(t, c, func(st *stage) {
			st.s.Adopt(st.child, st.start, RestartStopping)
			st.expect(started(1), "1: ready")
			st.expectAfter(10*time.Second, "1: KILL to all", started(2), "2: ready")
		})
	})
	t.Run("stopping, and then it is stopped", func(t *testing.T) {
		onStage(t, c, func(st *stage) {
			st.s.Adopt(st.child, st.start, RestartStopping)
			st.s.Stop()
			st.instance().ends(exit0)
			st.over(exit0, nil)
		})
	})
}

// Whoever takes the child over has to know how far its restart has come.
func TestProgressOfRestart(t *testing.T) {
	t.Run("to the end", func(t *testing.T) {
		onStage(t, Child{PreStop: command("exit 1"), PreStopTimeout: time.Minute}, func(st *stage) {
			hold := make(chan struct{})
			st.begin()
			st.progress(NotRestarting)
			st.set(func() { st.hold = hold })
			st.restart()
			st.progress(RestartAsked)
			close(hold)
			st.state(Stopping, true)
			st.progress(RestartAsked)             // and not told to end, before pre_stop says so
			time.Sleep(time.Minute + time.Second) // its last try may have to be broken off
			st.progress(RestartStopping)
		})
	})
	t.Run("and it comes to nothing", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.begin()
			st.set(func() { st.broken = errBroken })
			st.answered(st.restart(), errBroken)
			st.progress(NotRestarting)
		})
	})
	t.Run("after an end", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.linger = true
			st.begin()
			st.instance().ends(exit3)
			st.state(Draining, false)
			st.progress(NotRestarting)
			st.restart()
			st.progress(RestartStopping)
		})
	})
	t.Run("a stop is none", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.begin()
			st.s.Stop()
			st.progress(NotRestarting)
		})
	})
}

// progress compares how far the restart of the last instance has come.
func (st *stage) progress(want Progress) {
	st.t.Helper()
	synctest.Wait()
	p := st.instance()
	st.mu.Lock()
	defer st.mu.Unlock()
	if p.restart != want {
		st.t.Fatalf("the restart of instance %d is at %d, want %d", p.number, p.restart, want)
	}
}

func TestAdoptFails(t *testing.T) {
	onStage(t, Child{Argv: []string{"server"}}, func(st *stage) {
		st.startErr = errBroken
		st.s.Adopt(st.child, st.start, NotRestarting)
		st.over(exit0, errBroken)
	})
}

// Each signal arrives once, at whatever moment it is sent.
func TestForward(t *testing.T) {
	const hup, usr1 = syscall.SIGHUP, syscall.SIGUSR1
	t.Run("before the start", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.s.Forward(hup)
			st.s.Forward(syscall.SIGTSTP) // nothing to stop
			st.s.Forward(usr1)
			st.begin()
			st.expect(started(1), "1: ready", "1: HUP", "1: USR1")
		})
	})
	t.Run("preparing", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			hold := make(chan struct{})
			st.hold = hold
			st.begin()
			st.s.Forward(hup)
			st.expect()
			close(hold)
			st.expect(started(1), "1: ready", "1: HUP")
		})
	})
	t.Run("running", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.begin()
			st.s.Forward(hup)
			st.s.Forward(hup)
			st.expect(started(1), "1: ready", "1: HUP", "1: HUP")
		})
	})
	t.Run("running, not ready", func(t *testing.T) {
		onStage(t, Child{Ready: ReadyByNotify}, func(st *stage) {
			st.begin()
			st.s.Forward(hup)
			st.s.Forward(syscall.SIGTSTP)
			st.s.Forward(syscall.SIGCONT)
			st.expect(started(1), "1: TSTP", "1: CONT to all")
			st.instance().ready()
			st.expect("1: ready", "1: HUP")
		})
	})
	t.Run("before the start, and long not ready", func(t *testing.T) {
		onStage(t, Child{Ready: ReadyByNotify}, func(st *stage) {
			st.s.Forward(hup)
			st.begin()
			st.expect(started(1))
			st.s.Forward(usr1) // behind the first
			time.Sleep(time.Hour)
			st.expect()
			st.instance().ready()
			st.expect("1: ready", "1: HUP", "1: USR1")
		})
	})
	// A program that has just been started dies of a signal that it handles a
	// moment later.
	t.Run("not handled yet", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.unaware = true
			st.s.Forward(usr1)
			st.begin()
			st.expect(started(1), "1: ready")
			st.s.Forward(hup)
			time.Sleep(500 * time.Millisecond)
			st.expect()
			st.set(func() { st.instance0().unaware = false })
			time.Sleep(10 * time.Millisecond)
			st.expect("1: USR1", "1: HUP")
			time.Sleep(time.Hour)
			st.expect()
		})
	})
	t.Run("handled one after the other", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.unaware = true
			st.s.Forward(usr1)
			st.begin()
			st.expect(started(1), "1: ready")
			st.s.Forward(hup)
			st.s.Forward(usr1)
			st.set(func() { st.instance0().unaware, st.instance0().yet = false, hup })
			time.Sleep(10 * time.Millisecond)
			st.expect("1: USR1")
			time.Sleep(500 * time.Millisecond)
			st.expect()
			st.set(func() { st.instance0().yet = 0 })
			time.Sleep(10 * time.Millisecond)
			st.expect("1: HUP", "1: USR1")
		})
	})
	t.Run("never handled", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.unaware = true
			st.begin()
			st.expect(started(1), "1: ready")
			time.Sleep(500 * time.Millisecond)
			st.s.Forward(hup)
			st.expectAfter(time.Second, "1: HUP")
			st.s.Forward(hup) // a second old: at once
			st.expect("1: HUP")
		})
	})
	t.Run("not handled yet, and restarted", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.unaware = true
			st.begin()
			st.s.Forward(hup)
			st.set(func() { st.unaware = false })
			st.restart()
			st.expect(started(1), "1: ready", "1: TERM")
			time.Sleep(5 * time.Second)
			st.instance().ends(exit0)
			st.expect(started(2), "2: ready", "2: HUP")
		})
	})
	t.Run("not handled yet, and stopped", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.unaware = true
			st.begin()
			st.s.Forward(hup)
			st.s.Stop()
			st.expect(started(1), "1: ready", "1: TERM")
			st.expectAfter(time.Second, "1: HUP")
		})
	})
	t.Run("being restarted", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.begin()
			st.restart()
			st.s.Forward(hup)
			st.expect(started(1), "1: ready", "1: TERM")
			st.instance().ends(exit0)
			st.expect(started(2), "2: ready", "2: HUP")
		})
	})
	t.Run("being restarted, then stopped", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.begin()
			st.restart()
			st.s.Forward(hup)
			st.expect(started(1), "1: ready", "1: TERM")
			st.s.Stop()
			st.expect("1: HUP")
			st.s.Forward(usr1)
			st.expect("1: USR1")
		})
	})
	t.Run("being restarted, but stopped by the terminal", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.begin()
			st.restart()
			st.s.Forward(syscall.SIGTSTP)
			st.s.Forward(syscall.SIGCONT)
			st.expect(started(1), "1: ready", "1: TERM", "1: TSTP", "1: CONT to all")
		})
	})
	t.Run("draining", func(t *testing.T) {
		onStage(t, Child{Restart: RestartAlways}, func(st *stage) {
			st.linger = true
			st.begin()
			st.expect(started(1), "1: ready")
			st.instance().ends(exit0)
			st.s.Forward(hup)
			st.expectAfter(time.Millisecond, "1: TERM to all")
			st.instance().leave()
			time.Sleep(2 * time.Second)
			st.expect(started(2), "2: ready", "2: HUP")
		})
	})
	t.Run("pausing", func(t *testing.T) {
		onStage(t, Child{Restart: RestartAlways}, func(st *stage) {
			st.begin()
			st.expect(started(1), "1: ready")
			st.instance().ends(exit0)
			st.state(Pausing, false)
			st.s.Forward(hup)
			time.Sleep(2 * time.Second)
			st.expect(started(2), "2: ready", "2: HUP")
		})
	})
	// The process has ended, but the supervisor does not know yet.
	t.Run("ended", func(t *testing.T) {
		onStage(t, Child{Restart: RestartAlways}, func(st *stage) {
			st.begin()
			st.expect(started(1), "1: ready")
			st.s.do(func() {
				st.instance().ends(exit0)
				st.s.forward(hup)
				st.s.forward(hup)
			})
			time.Sleep(2 * time.Second)
			st.expect(started(2), "2: ready", "2: HUP", "2: HUP")
		})
	})
}

// instance0 is instance for who holds the lock.
func (st *stage) instance0() *played { return st.played[len(st.played)-1] }

func TestSignal(t *testing.T) {
	const hup = syscall.SIGHUP
	tell := func(st *stage, group bool) {
		st.t.Helper()
		fatal(st.t, st.s.Signal(hup, group))
	}
	t.Run("running", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			tell(st, false) // nothing runs: the start reads what is new
			st.begin()
			st.expect(started(1), "1: ready")
			tell(st, false)
			tell(st, true)
			st.expect("1: HUP", "1: HUP to all")
		})
	})
	t.Run("not ready", func(t *testing.T) {
		onStage(t, Child{Ready: ReadyByNotify}, func(st *stage) {
			st.begin()
			tell(st, true)
			st.expect(started(1))
			st.instance().ready()
			st.expect("1: ready", "1: HUP to all")
		})
	})
	t.Run("never ready: the next one reads it", func(t *testing.T) {
		onStage(t, Child{Ready: ReadyByNotify, Restart: RestartAlways}, func(st *stage) {
			st.begin()
			tell(st, false)
			st.expect(started(1))
			st.instance().ends(exit3)
			time.Sleep(2 * time.Second)
			st.instance().ready()
			st.expect(started(2), "2: ready")
		})
	})
	t.Run("not handled yet", func(t *testing.T) {
		onStage(t, Child{}, func(st *stage) {
			st.unaware = true
			st.begin()
			tell(st, false)
			st.expect(started(1), "1: ready")
			st.set(func() { st.instance0().unaware = false })
			time.Sleep(10 * time.Millisecond)
			st.expect("1: HUP")
		})
	})
	t.Run("being restarted, pausing", func(t *testing.T) {
		onStage(t, Child{Restart: RestartAlways}, func(st *stage) {
			st.begin()
			st.restart()
			tell(st, false)
			st.expect(started(1), "1: ready", "1: TERM")
			st.instance().ends(exit0)
			st.expect(started(2), "2: ready")
			st.instance().ends(exit0)
			st.state(Pausing, false)
			tell(st, false)
			time.Sleep(2 * time.Second)
			st.expect(started(3), "3: ready")
		})
	})
	t.Run("ended", func(t *testing.T) {
		onStage(t, Child{Restart: RestartAlways}, func(st *stage) {
			st.begin()
			st.expect(started(1), "1: ready")
			st.s.do(func() {
				st.instance().ends(exit0)
				if err := st.s.tell(hup, false); err != nil {
					t.Errorf("got error %v, want none: the next one reads it", err)
				}
			})
			time.Sleep(2 * time.Second)
			st.expect(started(2), "2: ready")
		})
	})
}

func TestPostStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ran")
	onStage(t, Child{PostStart: command("echo x >>" + file + "; exit 1")}, func(st *stage) {
		st.begin()
		st.expect(started(1), "1: ready")
		time.Sleep(time.Minute) // does not pass before the command has ended
		st.state(Running, true)
		st.answeredAfterExit(st.restart())
		time.Sleep(time.Minute)
		ran, err := os.ReadFile(file)
		if fatal(t, err); string(ran) != "x\nx\n" {
			t.Fatalf("post_start wrote %q, want one line for each start", ran)
		}
	})
}

// A post_start that is to stay beside the child is run again when it fails, as long as
// the child runs.
func TestPostStartStays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ran")
	post := command("echo x >>" + file + "; exit 1")
	post.Timeout = -1
	onStage(t, Child{PostStart: post}, func(st *stage) {
		st.begin()
		st.expect(started(1), "1: ready")
		time.Sleep(time.Minute)
		ran, err := os.ReadFile(file)
		if fatal(t, err); len(ran) < len("x\n")*5 || len(ran) > len("x\n")*8 {
			t.Errorf("post_start wrote %q in a minute, want a line for each try with growing pauses", ran)
		}
		st.instance().ends(exit0)
		st.over(exit0, nil)
		time.Sleep(5 * time.Minute)
		after, err := os.ReadFile(file)
		if fatal(t, err); string(after) != string(ran) {
			t.Errorf("post_start went on after the child's end: %q", after)
		}
	})
}

func (st *stage) answeredAfterExit(answer <-chan error) {
	st.t.Helper()
	st.instance().ends(exit0)
	st.answered(answer, nil)
}

func TestChildValidate(t *testing.T) {
	good := Child{Argv: []string{"server"}}
	fatal(t, good.Validate())
	for want, change := range map[string]func(*Child){
		"there is no command":                                    func(c *Child) { c.Argv = nil },
		`stop_before_ready: want kill or wait, not "term"`:       func(c *Child) { c.StopBeforeReady = "term" },
		`ready: want notify or a ready_cmd, not "yes"`:           func(c *Child) { c.Ready = "yes" },
		`ready_cmd goes with ready = "command"`:                  func(c *Child) { c.ReadyCmd = command("true") },
		"ready_timeout: negative":                                func(c *Child) { c.Ready, c.ReadyTimeout = ReadyByNotify, -1 },
		`restart: want never, on-failure or always, not "maybe"`: func(c *Child) { c.Restart = "maybe" },
		"ready_timeout without ready: nothing tells when the child is ready": func(c *Child) {
			c.ReadyTimeout = time.Second
		},
		"stop_before_ready without ready: nothing tells when the child is ready": func(c *Child) {
			c.StopBeforeReady = StopKills
		},
	} {
		c := good
		change(&c)
		if err := c.Validate(); err == nil || err.Error() != want {
			t.Errorf("Validate(%+v) = %v, want %s", c, err, want)
		}
	}
}

func TestStartFile(t *testing.T) {
	c := Child{Argv: []string{"server", "--a"}, Env: []string{"A=1"}}
	got, err := c.with("arg --b=1 2\narg \n\nenv B==x y\nenv A=2\narg last")
	fatal(t, err)
	wantArgv, wantEnv := []string{"server", "--a", "--b=1 2", "", "last"}, []string{"A=1", "B==x y", "A=2"}
	if !slices.Equal(got.Argv, wantArgv) || !slices.Equal(got.Env, wantEnv) {
		t.Errorf("got %q, %q, want %q, %q", got.Argv, got.Env, wantArgv, wantEnv)
	}
	if len(c.Argv) != 2 || len(c.Env) != 1 {
		t.Errorf("the child itself has become %q, %q", c.Argv, c.Env)
	}
	for _, text := range []string{"--b", "args x", "env B", "env =x", " arg x"} {
		want := fmt.Sprintf("pre_start: want lines `arg VALUE` or `env NAME=VALUE` in $KCONFD_START_FILE, not %q", text)
		if _, err := c.with(text); err == nil || err.Error() != want {
			t.Errorf("with(%q) gave %v, want %s", text, err, want)
		}
	}
}

// Whoever looks sees which instance it is and since when it runs.
func TestStatusOfTheChild(t *testing.T) {
	onStage(t, Child{Restart: RestartAlways, Backoff: Backoff{Initial: time.Hour, Max: time.Hour}}, func(st *stage) {
		want := func(want Status) {
			st.t.Helper()
			synctest.Wait()
			if diff := cmp.Diff(want, st.s.Status()); diff != "" {
				st.t.Errorf("-want +got:\n%s", diff)
			}
		}
		want(Status{State: Waiting})
		began := time.Now()
		st.begin()
		want(Status{State: Running, Ready: true, Instance: 1, Since: began, Argv: []string{"server"}})
		time.Sleep(time.Minute)
		st.instance().ends(exit3)
		want(Status{State: Pausing, Instance: 1, Since: began, Argv: []string{"server"}})
		st.expect(started(1), "1: ready")
		time.Sleep(2 * time.Hour)
		st.expect(started(2), "2: ready")
		if got := st.s.Status(); got.Instance != 2 || !got.Since.After(began.Add(30*time.Minute)) {
			t.Errorf("got %+v, want the second instance, since a while ago", got)
		}
		st.s.Stop()
		st.instance().ends(exit0)
		synctest.Wait()
		want(Status{State: Ended})
	})
}
