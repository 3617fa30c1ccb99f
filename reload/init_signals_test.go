package reload

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A tally is which signals were sent to an init, and which its children got.
type tally struct {
	t        *testing.T
	w        *crew
	workers  chan *member
	children chan *member

	following sync.WaitGroup

	mu      sync.Mutex
	sent    map[syscall.Signal]time.Time // the last time
	want    map[syscall.Signal]int       // how often each was sent
	got     map[syscall.Signal]int
	leaving time.Time                    // the last child
	passed  map[syscall.Signal]time.Time // by the worker, the last time
}

// newTally starts a crew and counts.
func newTally(t *testing.T, way string) *tally {
	t.Helper()
	w := newCrew(t, way, Child{Argv: itself(), Ready: ReadyByNotify})
	w.listen()
	w.start()
	y := &tally{
		t: t, w: w, workers: make(chan *member, 1), children: make(chan *member, 10_000),
		sent: map[syscall.Signal]time.Time{}, passed: map[syscall.Signal]time.Time{},
		want: map[syscall.Signal]int{}, got: map[syscall.Signal]int{},
	}
	y.following.Go(func() { // until init has ended
		for {
			select {
			case m := <-w.joined:
				y.following.Go(func() { y.follow(m) }) // until the member has ended
			case <-w.ended:
				return
			}
		}
	})
	return y
}

// follow takes down what a member says about signals.
func (y *tally) follow(m *member) {
	to := y.children
	if m.role == "worker" {
		to = y.workers
	}
	told := &member{t: m.t, role: m.role, pid: m.pid, conn: m.conn, lines: make(chan string, cap(m.lines))}
	defer close(told.lines)
	to <- told
	for line := range m.lines {
		y.take(line)
		told.lines <- line
	}
}

// wait waits for the end of all, when nothing is counted any more.
func (y *tally) wait() {
	y.t.Helper()
	y.w.wait(0)
	y.following.Wait()
}

func (y *tally) take(line string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	var nanoseconds, number int64
	switch {
	case scan(line, "got %d", &number):
		y.got[syscall.Signal(number)]++
	case scan(line, "leaving %d", &nanoseconds):
		y.leaving = time.Unix(0, nanoseconds)
	default:
		var name string
		if n, _ := fmt.Sscanf(line, `log msg="signal passed on" signal=%s instance=1 at=%d`, &name, &nanoseconds); n == 2 {
			sig, err := ParseSignal(name)
			if err != nil {
				y.t.Error(err)
			}
			y.passed[sig] = time.Unix(0, nanoseconds)
		}
	}
}

func scan(line, format string, into *int64) bool {
	_, err := fmt.Sscanf(line, format, into)
	return err == nil
}

// counted are the signals that a child lives through. SIGTERM and SIGINT stop
// it, SIGQUIT hurries that up; those of job control have tests of their own.
func counted() []syscall.Signal {
	var all []syscall.Signal
	for _, s := range forwardable() {
		sig := s.(syscall.Signal)
		if sig != syscall.SIGTERM && sig != syscall.SIGINT && sig != syscall.SIGQUIT && !isJobControl(sig) {
			all = append(all, sig)
		}
	}
	return all
}

// send sends each signal once, in any order, with pauses up to that long. What
// Go and the kernel tell a process about itself is in between.
func (y *tally) send(pause time.Duration) {
	y.t.Helper()
	signals := counted()
	rand.Shuffle(len(signals), func(i, j int) { signals[i], signals[j] = signals[j], signals[i] })
	for _, sig := range signals {
		init := y.w.cmd.Process // which may have ended, where that is tested
		_ = init.Signal([]syscall.Signal{syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPIPE}[rand.N(3)])
		time.Sleep(rand.N(pause)) // a random moment
		y.mu.Lock()
		y.want[sig]++
		y.mu.Unlock()
		_ = init.Signal(sig)
		y.mu.Lock()
		y.sent[sig] = time.Now()
		y.mu.Unlock()
	}
}

// compare waits until all that was sent has arrived, and fails when something
// has not, or more than that.
func (y *tally) compare(when string) {
	y.t.Helper()
	deadline := time.Now().Add(2 * slack)
	for {
		y.mu.Lock()
		diff := cmp.Diff(y.want, y.counted())
		y.mu.Unlock()
		if diff == "" {
			return
		}
		if time.Now().After(deadline) {
			y.t.Fatalf("signals sent %s (-sent +arrived):\n%s", when, diff)
		}
		time.Sleep(5 * time.Millisecond) // a signal that is not sent is no event
	}
}

// counted are the signals that have arrived, but for those that stop a child.
func (y *tally) counted() map[syscall.Signal]int {
	got := maps.Clone(y.got)
	delete(got, syscall.SIGTERM)
	return got
}

// C2, C9: each signal arrives once, whenever it is sent: before there is a
// worker or a child, while the child is being restarted, and while it runs. What
// Go and the kernel tell init about itself never does.
func TestSignalsArriveOnce(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		y := newTally(t, way)
		y.w.awaitWorker()
		y.send(3 * time.Millisecond)
		worker := <-y.workers
		y.compare("around the start")
		restarts := 0
		for range 3 {
			over := make(chan struct{})
			go func() { // until all are sent
				defer close(over)
				y.send(8 * time.Millisecond)
			}()
			for sending := true; sending; {
				worker.do("restart")
				if got := worker.await("restarted"); got != "<nil>" {
					t.Fatalf("the restart gave %s", got)
				}
				restarts++
				time.Sleep(rand.N(50 * time.Millisecond)) // a random moment
				select {
				case <-over:
					sending = false
				default:
				}
			}
			y.compare("around restarts")
		}
		y.send(time.Microsecond)
		y.compare("while it runs")
		t.Logf("%d signals, %d restarts", 5*len(counted()), restarts)
		y.w.signal(syscall.SIGTERM)
		y.wait()
		if got := y.got[syscall.SIGTERM]; got > restarts+1 {
			t.Errorf("%d children were stopped %d times", restarts+1, got)
		}
		if diff := cmp.Diff(y.want, y.counted()); diff != "" {
			t.Errorf("signals in all (-sent +arrived):\n%s", diff)
		}
	})
}

// A signal that comes while the child is being stopped still reaches it. When it
// is leaving, or has left, there is nobody to take it: that is said, and the
// signal is not sent to anybody else.
func TestSignalsAroundTheStop(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		sent, arrived := 0, 0
		for range 5 {
			y := newTally(t, way)
			worker := <-y.workers
			worker.await(`log msg="child ready"`)
			time.AfterFunc(rand.N(30*time.Millisecond), func() { _ = y.w.cmd.Process.Signal(syscall.SIGTERM) })
			y.send(2 * time.Millisecond)
			y.wait()
			for _, sig := range counted() {
				sent++
				arrived += y.got[sig]
				late := y.sent[sig].After(y.leaving) || y.passed[sig].After(y.leaving)
				if got := y.got[sig]; got > 1 || got == 0 && !late {
					t.Errorf("signal %s arrived %d times; sent %v, passed on %v after the child began to leave",
						SignalName(sig), got, y.sent[sig].Sub(y.leaving), y.passed[sig].Sub(y.leaving))
				}
			}
		}
		t.Logf("%d signals, %d before the child began to leave", sent, arrived)
	})
}

// awaitWorker waits until init has begun to start its worker, from when on no
// signal is lost. The worker may be anywhere on its way.
func (w *crew) awaitWorker() {
	w.t.Helper()
	for deadline := time.Now().Add(slack); ; {
		if len(children(w.t, w.pid())) > 0 {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatal("init starts no worker")
		}
		time.Sleep(100 * time.Microsecond) // it cannot tell
	}
}

// children are the processes that have that parent, but for zombies.
func children(t *testing.T, parent int) (found []int) {
	t.Helper()
	pids, err := processIDs()
	fatal(t, err)
	for _, pid := range pids {
		if p, err := readStat(pid); err == nil && p.parent == parent {
			found = append(found, pid)
		}
	}
	return found
}
