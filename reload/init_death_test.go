package reload

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// C1: a reaper beside code that waits for its own children stole exit codes.
func TestOrphansAreReaped(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		over := filepath.Join(t.TempDir(), "over")
		w := startCrew(t, way, shell(fmt.Sprintf(
			"i=0; while [ $i -lt %d ]; do (true &); i=$((i+1)); done; echo $i >%s; sleep 60", orphanCount, over)))
		worker := w.next("worker")
		worker.do("commands " + over)
		var right, wrong int
		deadline := time.AfterFunc(time.Minute, func() { w.cmd.Process.Kill() })
		counts := worker.await("commands")
		deadline.Stop()
		if _, err := fmt.Sscan(counts, &right, &wrong); err != nil || wrong > 0 || right < orphanCount/50 {
			t.Errorf("of the worker's commands %d had the right exit code, %d had not; want %d or more, 0", right, wrong, orphanCount/50)
		}
		t.Logf("%d commands beside %d orphans", right, orphanCount)
		w.noZombies()
		w.littleMemory()
		w.signal(syscall.SIGTERM)
		w.wait(128 + int(syscall.SIGTERM))
	})
}

// noZombies waits until init has no zombies. That it has some for a moment is
// the way of things.
func (w *crew) noZombies() {
	w.t.Helper()
	var zombies int
	for deadline := time.Now().Add(slack); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if zombies = w.zombies(); zombies == 0 {
			return
		}
	}
	w.t.Errorf("init has %d zombies", zombies)
}

func (w *crew) zombies() (n int) {
	pids, err := processIDs()
	fatal(w.t, err)
	for _, pid := range pids {
		stat, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		_, rest, _ := strings.Cut(string(stat), ") ")
		if strings.HasPrefix(rest, fmt.Sprintf("Z %d ", w.pid())) {
			n++
		}
	}
	return n
}

// locking is a child that never runs twice at a time, nor beside what another
// one has left: that is written to a file. It leaves a process behind that takes
// up to 50 ms to end.
func locking(dir string) Child {
	return shell(fmt.Sprintf(`cd %s; echo >>starts
exec 9>lock; flock -n 9 || echo two of them >>two
(trap "" TERM; touch lingers.$$; sleep 0.0$(( $$ %% 5 ))) &
while [ ! -e lingers.$$ ]; do :; done
exec sleep 60`, dir))
}

func (w *crew) neverTwo(dir string) {
	w.t.Helper()
	if found, err := os.ReadFile(filepath.Join(dir, "two")); err == nil {
		w.t.Errorf("several instances ran side by side: %d times", strings.Count(string(found), "\n"))
	}
}

// starts is how often a locking child was started.
func (w *crew) starts(dir string) int {
	w.t.Helper()
	lines, err := os.ReadFile(filepath.Join(dir, "starts"))
	fatal(w.t, err)
	return strings.Count(string(lines), "\n")
}

// C4: two servers on one data directory.
func TestNeverTwoInstances(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		dir := t.TempDir()
		w := startCrew(t, way, locking(dir))
		worker := w.next("worker")
		worker.await(`log msg="child started"`)
		for range restartCount {
			worker.do("restart")
			if got := worker.await("restarted"); got != "<nil>" {
				t.Fatalf("the restart gave %s", got)
			}
			time.Sleep(rand.N(5 * time.Millisecond)) // a random moment
		}
		w.signal(syscall.SIGTERM)
		w.wait(128 + int(syscall.SIGTERM))
		w.neverTwo(dir)
		t.Logf("%d restarts, %d of them got as far as the lock", restartCount, w.starts(dir))
	})
}

// C4: the shell dies of the signal, the program that it runs does not get it.
func TestNothingOfTheGroupIsLeft(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		for name, command := range map[string]string{
			"in the background":    `sleep 60 & wait`,
			"as the shell's child": `sleep 60; true`,
			"in the shell's place": `sleep 60`,
			"in a pipeline":        `sleep 60 | sleep 60`,
			"deaf for a while":     `(trap "" TERM; sleep 0.2) & sleep 60; true`,
			"gone before its own":  `sleep 60 & sleep 60 & exit 7`,
		} {
			t.Run(name, func(t *testing.T) {
				c := shell(command)
				c.Restart = RestartAlways
				w := startCrew(t, way, c)
				worker := w.next("worker")
				worker.await(`log msg="child started"`)
				worker.do("restart")
				worker.await("restarted")
				w.signal(syscall.SIGTERM)
				<-w.ended
				w.nothingLeft()
			})
		}
	})
}

// graceful is a child that says in a file when it was stopped well. It is not
// alone in its group.
func graceful(dir string) Child {
	return shell(fmt.Sprintf(`cd %s; sleep 60 & exec %s "ready=: >ready" "TERM:0=echo well >>stopped"`, dir, onSignal()))
}

// deaf is a child that says in a file when it was asked to stop, and does not.
func deaf(dir string) Child {
	return shell(fmt.Sprintf(`cd %s; sleep 60 & exec %s "ready=: >ready" "TERM=: >asked"`, dir, onSignal()))
}

func (m *member) kill() {
	m.t.Helper()
	fatal(m.t, syscall.Kill(m.pid, syscall.SIGKILL))
}

// A supervisor's crash does not leave the child unwatched, nor end as a success.
func TestWorkerIsKilled(t *testing.T) {
	const killed = 128 + int(syscall.SIGKILL)
	inBothWays(t, func(t *testing.T, way string) {
		t.Run("the child is stopped well", func(t *testing.T) {
			dir := t.TempDir()
			w := startCrew(t, way, graceful(dir))
			worker := w.next("worker")
			worker.await(`log msg="child started"`)
			awaitFile(t, dir+"/ready")
			worker.kill()
			w.wait(killed)
			if got := content(t, dir+"/stopped"); got != "well\n" {
				t.Errorf("the child wrote %q, want that it was stopped well, once", got)
			}
		})
		t.Run("a child that does not obey", func(t *testing.T) {
			c := shell(`trap "" TERM; while :; do sleep 0.01; done`)
			c.StopGrace = 200 * time.Millisecond
			w := startCrew(t, way, c)
			worker := w.next("worker")
			worker.await(`log msg="child started"`)
			worker.kill()
			w.wait(killed)
		})
		t.Run("no limit, and SIGQUIT", func(t *testing.T) {
			dir := t.TempDir()
			c := deaf(dir)
			c.StopGrace = -1
			w := startCrew(t, way, c)
			worker := w.next("worker")
			worker.await(`log msg="child started"`)
			awaitFile(t, dir+"/ready")
			worker.kill()
			awaitFile(t, dir+"/asked")
			w.signal(syscall.SIGQUIT)
			w.wait(killed)
		})
		t.Run("a child that is not ready", func(t *testing.T) {
			dir := t.TempDir()
			c := graceful(dir)
			c.Ready, c.StopBeforeReady, c.StopGrace = ReadyByNotify, StopKills, -1
			w := startCrew(t, way, c)
			worker := w.next("worker")
			worker.await(`log msg="child started"`)
			awaitFile(t, dir+"/ready")
			worker.kill()
			w.wait(killed)
			if got := content(t, dir+"/stopped"); got != "" {
				t.Errorf("the child got the stop signal, want SIGKILL")
			}
		})
		// A socket that nobody reads any more would hold up who writes to it.
		t.Run("a child that says how it ends", func(t *testing.T) {
			w := startCrew(t, way, Child{Argv: itself(), Ready: ReadyByNotify}, chattyEnv+"=1")
			worker := w.next("worker")
			worker.await(`log msg="child ready"`)
			worker.kill()
			w.next("child").await("leaving")
			w.wait(killed)
		})
		t.Run("and nobody reads standard error", func(t *testing.T) {
			dir := t.TempDir()
			w := newCrew(t, way, graceful(dir))
			w.listen()
			r, stderr, err := os.Pipe()
			fatal(t, err)
			w.cmd.Stderr = stderr
			w.start()
			r.Close()
			stderr.Close()
			worker := w.next("worker")
			worker.await(`log msg="child started"`)
			awaitFile(t, dir+"/ready")
			worker.do("print")
			worker.do("state")
			worker.await("state") // so it lives
			worker.kill()
			w.wait(killed)
			if got := content(t, dir+"/stopped"); got != "well\n" {
				t.Errorf("the child wrote %q, want that it was stopped well, once", got)
			}
		})
		t.Run("and a command of its own", func(t *testing.T) {
			dir := t.TempDir()
			c := shell("exit 9")
			c.PreStart = &Command{Shell: "touch " + dir + "/running; sleep 60"}
			w := startCrew(t, way, c)
			worker := w.next("worker")
			awaitFile(t, dir+"/running")
			worker.kill()
			w.wait(killed)
		})
		t.Run("it ends without a word", func(t *testing.T) {
			for order, want := range map[string]int{"exit 0": 1, "exit 3": 3} {
				dir := t.TempDir()
				w := startCrew(t, way, graceful(dir))
				worker := w.next("worker")
				worker.await(`log msg="child started"`)
				awaitFile(t, dir+"/ready")
				worker.do(order)
				w.wait(want)
				if got := content(t, dir+"/stopped"); got != "well\n" {
					t.Errorf("%s: the child wrote %q, want that it was stopped well, once", order, got)
				}
			}
		})
	})
}

// At any moment: whatever the worker was about, nothing is left, and no code
// says that all was well.
func TestWorkerIsKilledAtAnyMoment(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		for range killCount {
			dir := t.TempDir()
			w := startCrew(t, way, locking(dir))
			worker := w.next("worker")
			worker.do("restart")
			worker.do("commands " + dir + "/never")
			time.Sleep(rand.N(100 * time.Millisecond)) // a random moment
			worker.kill()
			w.wait(128 + int(syscall.SIGKILL))
			w.neverTwo(dir)
		}
	})
}

// With Adopt, the child does not notice.
func TestAdoption(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		w := startCrew(t, way, Child{Argv: itself(), Ready: ReadyByNotify, StopBeforeReady: StopKills}, adoptEnv+"=1")
		worker := w.next("worker")
		child := w.next("child")
		worker.await(`log msg="child ready"`)
		for n := range 3 { // the next worker is started at once after a steady run only
			worker.kill()
			w.signal(syscall.SIGUSR1) // to nobody yet
			worker = w.next("worker")
			worker.await(`log msg="child taken over"`)
			worker.do("state")
			if got := worker.await("state"); got != "running true" {
				t.Fatalf("the child is %s after worker %d, want it running and ready", got, n)
			}
			if got := child.await("got"); got != strconv.Itoa(int(syscall.SIGUSR1)) {
				t.Fatalf("the child got signal %s, want SIGUSR1", got)
			}
		}
		worker.do("restart")
		next := w.next("child")
		if got := worker.await("restarted"); got != "<nil>" {
			t.Fatalf("the restart gave %s", got)
		}
		if got := child.gone(); len(got) < 2 || got[0] != "got 15" || !strings.HasPrefix(got[1], "leaving") {
			t.Errorf("the child said %q, want that it was stopped well", got)
		}
		worker.await(`log msg="child ready"`)
		worker.kill()
		worker = w.next("worker")
		worker.await(`log msg="child taken over"`)
		next.do("exit") // the exit of an adopted child is the worker's to tell
		w.wait(5)
	})
}

// The command beside the child ends with the worker that ran it, and the next worker runs it anew: there are never two.
func TestAdoptionOfCompanion(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		file := filepath.Join(t.TempDir(), "ran")
		// The lock lasts for as long as the command does.
		shell := fmt.Sprintf("exec 9>>%[1]s.lock; if flock -n 9; then echo alone >>%[1]s; else echo second >>%[1]s; fi; exec sleep 1000", file)
		w := startCrew(t, way, Child{Argv: itself(), PostStart: &Command{Shell: shell, Timeout: -1}}, adoptEnv+"=1")
		worker := w.next("worker")
		child := w.next("child")
		want := ""
		for n := range 3 {
			if n > 0 {
				worker.kill()
				worker = w.next("worker")
				worker.await(`log msg="child taken over"`)
			}
			want += "alone\n"
			ran := ""
			for deadline := time.Now().Add(slack); ran != want && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
				content, _ := os.ReadFile(file) // it may not be there yet
				ran = string(content)
			}
			if ran != want {
				t.Fatalf("after the end of %d workers the companion has run as %q, want %q", n, ran, want)
			}
		}
		child.do("exit")
		w.wait(5)
	})
}

// What happens to the child while there is no worker is not lost.
func TestAdoptionOfWhatHasEnded(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		for range killCount / 4 {
			w := startCrew(t, way, Child{Argv: itself(), Ready: ReadyByNotify}, adoptEnv+"=1")
			worker := w.next("worker")
			child := w.next("child")
			worker.await(`log msg="child ready"`)
			worker.kill()
			time.Sleep(rand.N(20 * time.Millisecond)) // a random moment
			child.do("exit")
			w.wait(5)
		}
	})
}

// READY=1 that is said while there is no worker waits for the next one.
func TestReadyWithoutWorker(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		dir := t.TempDir()
		c := Child{Argv: itself(), Ready: ReadyByNotify}
		w := startCrew(t, way, c, adoptEnv+"=1", "WAIT="+dir+"/go")
		worker := w.next("worker")
		child := w.next("child")
		worker.kill()
		_, err := os.Create(dir + "/go")
		fatal(t, err)
		child.await("said ready")
		worker = w.next("worker")
		worker.await(`log msg="child ready"`)
		w.signal(syscall.SIGTERM)
		w.wait(0)
	})
}

// A new worker and the old child, at any moment: never two instances, a restart
// that was under way is no end, and the stop is as ever.
func TestAdoptionAtAnyMoment(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		for range killCount / 2 {
			dir := t.TempDir()
			w := startCrew(t, way, locking(dir), adoptEnv+"=1")
			worker := w.next("worker")
			worker.do("restart")
			worker.do("restart")
			worker.do("commands " + dir + "/never")
			time.Sleep(rand.N(100 * time.Millisecond)) // a random moment
			worker.kill()
			worker = w.next("worker")
			worker.do("restart")
			worker.await("restarted")
			w.signal(syscall.SIGTERM)
			<-w.ended
			w.nothingLeft()
			w.neverTwo(dir)
		}
	})
}

// A crash while the child is being stopped is no reason to let it run.
func TestAdoptionNotWhileStopping(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		dir := t.TempDir()
		c := deaf(dir)
		c.StopGrace = 500 * time.Millisecond
		w := startCrew(t, way, c, adoptEnv+"=1")
		worker := w.next("worker")
		worker.await(`log msg="child started"`)
		awaitFile(t, dir+"/ready")
		w.signal(syscall.SIGTERM)
		awaitFile(t, dir+"/asked")
		worker.kill()
		w.wait(128 + int(syscall.SIGKILL))
	})
}

// Where it is not PID 1, init can be killed as well.
func TestInitIsKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := startCrew(t, asReaper, graceful(dir))
	worker := w.next("worker")
	worker.await(`log msg="child started"`)
	awaitFile(t, dir+"/ready")
	fatal(t, w.cmd.Process.Kill())
	if got := worker.await("ended"); got != "0" {
		t.Errorf("the worker ended with %s, want 0", got)
	}
	worker.gone()
	w.nothingLeft()
	if got := content(t, dir+"/stopped"); got != "well\n" {
		t.Errorf("the child wrote %q, want that it was stopped well, once", got)
	}
}

// Not even a child that was taken over is left then.
func TestInitIsKilledAfterAdoption(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := startCrew(t, asReaper, graceful(dir), adoptEnv+"=1")
	worker := w.next("worker")
	worker.await(`log msg="child started"`)
	awaitFile(t, dir+"/ready")
	worker.kill()
	worker = w.next("worker")
	worker.await(`log msg="child taken over"`)
	fatal(t, w.cmd.Process.Kill())
	worker.gone()
	w.nothingLeft()
	if got := content(t, dir+"/stopped"); got != "well\n" {
		t.Errorf("the child wrote %q, want that it was stopped well, once", got)
	}
}
