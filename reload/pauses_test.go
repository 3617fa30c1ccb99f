package reload

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// storm asks for restarts all the time, as a storm of new content does, until the
// test's end. It gives how many answers there have been.
func (st *stage) storm(every time.Duration, asks int) (answers func() int) {
	st.t.Helper()
	count := 0
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	st.t.Cleanup(func() {
		cancel()
		all.Wait()
	})
	for range asks {
		all.Go(func() { // until the test ends
			for ctx.Err() == nil {
				if err := st.s.Restart(ctx); errors.Is(err, ErrStopping) {
					return
				}
				st.set(func() { count++ })
				time.Sleep(every)
			}
		})
	}
	return func() (n int) {
		st.set(func() { n = count })
		return n
	}
}

// attempts are the starts that were tried.
func (st *stage) attempts() (n int) {
	st.set(func() {
		for _, e := range st.events {
			if e == "not started" || strings.Contains(e, ": started") {
				n++
			}
		}
	})
	return n
}

// Whatever is asked for, and however often, no start comes sooner than the log has
// announced: 7 in a minute, with pauses of 1, 2, 4, 8, 16 and 32 seconds.
func TestNothingShortensThePause(t *testing.T) {
	const most = 7
	always := Child{Restart: RestartAlways}
	t.Run("the program is gone", func(t *testing.T) {
		onStage(t, always, func(st *stage) {
			st.startErr = &StartError{127, errBroken}
			st.begin()
			answers := st.storm(10*time.Millisecond, 3)
			time.Sleep(time.Minute)
			if got := st.attempts(); got < 5 || got > most {
				t.Errorf("%d starts in a minute, want at most %d", got, most)
			}
			if answers() == 0 {
				t.Error("no request was answered")
			}
			st.s.Stop()
		})
	})
	t.Run("pre_start fails", func(t *testing.T) {
		onStage(t, Child{Restart: RestartOnFailure, PreStart: command("exit 1")}, func(st *stage) {
			st.begin()
			st.storm(10*time.Millisecond, 3)
			time.Sleep(time.Minute)
			// Each start asks for a description once.
			got := 0
			st.set(func() { got = st.asked })
			if got < 5 || got > most {
				t.Errorf("%d starts in a minute, want at most %d", got, most)
			}
			st.s.Stop()
		})
	})
	for name, life := range map[string]time.Duration{"it ends at once": 0, "it ends soon": 50 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			onStage(t, always, func(st *stage) {
				st.begin()
				st.instance().ends(exit3)
				st.state(Pausing, false)
				st.storm(7*time.Millisecond, 3)
				done := time.After(time.Minute)
				for at := 1; ; {
					select {
					case <-done:
						if got := st.attempts(); got < 5 || got > most {
							t.Errorf("%d starts in a minute, want at most %d", got, most)
						}
						st.s.Stop()
						return
					case <-time.After(time.Millisecond):
					}
					n := 0
					st.set(func() { n = len(st.played) })
					if n > at && time.Since(st.s.Status().Since) >= life {
						at = n
						st.instance().ends(exit3)
					}
				}
			})
		})
	}
	t.Run("and the restarts that are asked for in between", func(t *testing.T) {
		onStage(t, always, func(st *stage) {
			st.begin()
			st.instance().ends(exit3)
			time.Sleep(1200 * time.Millisecond)
			st.instance().ends(exit3)
			time.Sleep(2300 * time.Millisecond)
			st.set(func() { st.events = nil })
			st.state(Running, true)
			answer := st.restart() // of one that has just begun, after two failures
			time.Sleep(3 * time.Second)
			st.expect()
			st.unanswered(answer)
			time.Sleep(1500 * time.Millisecond)
			st.expect("3: TERM")
			st.instance().ends(exit0)
			st.expect(started(4), "4: ready")
			st.answered(answer, nil)
			time.Sleep(steadyAfter)
			answer = st.restart() // it has run steadily: at once
			st.expect("4: TERM")
			st.instance().ends(exit0)
			st.answered(answer, nil)
			st.s.Stop()
			st.instance().ends(exit0)
		})
	})
	t.Run("it is never ready in time", func(t *testing.T) {
		c := Child{Restart: RestartAlways, Ready: ReadyByNotify, ReadyTimeout: 11 * time.Second}
		onStage(t, c, func(st *stage) {
			st.begin()
			time.Sleep(10 * time.Minute)
			if got := st.attempts(); got < 10 || got > 15 {
				t.Errorf("%d starts in ten minutes, want 10 to 15: pauses grow, though each ran for 11 s", got)
			}
		})
	})
}

// What is asked for while nothing has failed is served at once, each time.
func TestRestartsOfAHealthyChild(t *testing.T) {
	onStage(t, Child{Restart: RestartAlways}, func(st *stage) {
		st.begin()
		for range 20 {
			answer := st.restart()
			st.instance().ends(exit0)
			st.answered(answer, nil)
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		if got := st.attempts(); got != 21 {
			t.Errorf("%d starts, want 21", got)
		}
	})
}

// What can be seen before is found before anything is ended for it.
func TestRestartLeavesAloneWhatCannotBeReplaced(t *testing.T) {
	onStage(t, Child{}, func(st *stage) {
		st.s.Check = func(c Child) error {
			if len(c.Argv) > 1 {
				return errBroken
			}
			return nil
		}
		st.begin()
		st.expect(started(1), "1: ready")
		st.set(func() { st.child.Argv = []string{"server", "new"} })
		answer := st.restart()
		var alone *LeftAloneError
		if err := <-answer; !errors.Is(err, errBroken) || !errors.As(err, &alone) || alone.Instance != 1 {
			t.Errorf("got %v, want that instance 1 is left alone", err)
		}
		st.set(func() { st.child.Argv, st.child.Refused = []string{"server"}, errBroken })
		st.answered(st.restart(), errBroken)
		st.expect()
		// Back to what there is, it can be started.
		back := make(chan error, 1)
		go func() { back <- st.s.RestartBack(context.Background()) }()
		st.expect("1: TERM")
		st.instance().ends(exit0)
		st.expect(started(2), "2: ready")
		st.answered(back, nil)
		if got := st.s.Status().Refused; !errors.Is(got, errBroken) {
			t.Errorf("the status says %v, want why it is the line of before", got)
		}
	})
}

// The last command line that started is the way back from one that does not.
func TestBackToTheLineThatStarted(t *testing.T) {
	refuse := func(st *stage, word string) {
		st.set(func() { st.refuses = word })
	}
	t.Run("and it is not tried again until it is another", func(t *testing.T) {
		onStage(t, Child{Argv: []string{"server", "old"}, PreStart: command("echo arg added >>$KCONFD_START_FILE")}, func(st *stage) {
			refuse(st, "bad")
			st.begin()
			st.expect(started(1, "old", "added"), "1: ready")
			st.set(func() { st.child.Argv = []string{"server", "bad", "line"} })
			answer := st.restart()
			st.instance().ends(exit0)
			st.awaitEvents(4)
			st.expect("1: TERM", "not started", started(2, "old", "added"), "2: ready")
			st.answered(answer, errRefused)
			if got := st.s.Status().Refused; !errors.Is(got, errRefused) {
				t.Errorf("the status says %v, want why it is the line of before", got)
			}
			answer = st.restart() // nothing is new
			st.answered(answer, errRefused)
			st.expect()

			back := make(chan error, 1)
			go func() { back <- st.s.RestartBack(context.Background()) }()
			st.expect("2: TERM")
			st.instance().ends(exit0)
			st.awaitEvents(2)
			st.expect(started(3, "old", "added"), "3: ready")
			st.answered(back, nil)

			st.set(func() { st.child.Argv = []string{"server", "good"} })
			answer = st.restart()
			st.instance().ends(exit0)
			st.awaitEvents(3)
			st.expect("3: TERM", started(4, "good", "added"), "4: ready")
			st.answered(answer, nil)
			if got := st.s.Status().Refused; got != nil {
				t.Errorf("the status says %v, want nothing", got)
			}
		})
	})
	t.Run("and when that does not start either, it ends as ever", func(t *testing.T) {
		onStage(t, Child{Argv: []string{"server", "old"}}, func(st *stage) {
			st.begin()
			st.expect(started(1, "old"), "1: ready")
			st.set(func() { st.child.Argv, st.startErr = []string{"server", "new"}, errBroken })
			answer := st.restart()
			st.instance().ends(exit0)
			st.expect("1: TERM", "not started", "not started")
			st.answered(answer, errBroken)
			st.over(exit0, errBroken)
		})
	})
	t.Run("and one start a pause when neither starts", func(t *testing.T) {
		onStage(t, Child{Argv: []string{"server", "old"}, Restart: RestartAlways}, func(st *stage) {
			st.begin()
			st.set(func() { st.child.Argv, st.startErr = []string{"server", "new"}, errBroken })
			st.instance().ends(exit3)
			st.set(func() { st.events = nil })
			time.Sleep(time.Minute)
			if got := st.attempts(); got > 8 {
				t.Errorf("%d starts in a minute, want at most 7, and once the way back", got)
			}
		})
	})
}
