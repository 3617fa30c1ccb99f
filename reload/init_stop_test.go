package reload

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// C6: a stop takes the child's own time, whatever is going on.
func TestStopTakesTheChildsOwnTime(t *testing.T) {
	const own = 100 * time.Millisecond // of a child that obeys
	obeys := `sleep 60 & exec ` + onSignal() + ` "TERM:0=sleep 0.1"`
	hangs := &Command{Shell: "sleep 60"}
	situations := map[string]struct {
		child Child
		busy  bool // with a restart
	}{
		"running":          {child: shell(obeys)},
		"being restarted":  {child: shell(obeys), busy: true},
		"pre_start hangs":  {child: Child{Argv: []string{"true"}, PreStart: hangs}},
		"post_start hangs": {child: Child{Argv: []string{"sh", "-c", obeys}, PostStart: hangs}},
		"ready_cmd hangs":  {child: Child{Argv: []string{"sh", "-c", obeys}, Ready: ReadyByCommand, ReadyCmd: hangs}},
		"not ready":        {child: Child{Argv: []string{"sh", "-c", obeys}, Ready: ReadyByNotify, StopBeforeReady: StopKills}},
		"pausing":          {child: Child{Argv: []string{"false"}, Restart: RestartAlways, Backoff: Backoff{Initial: time.Hour}}},
		"starting again":   {child: Child{Argv: []string{"false"}, Restart: RestartAlways, Backoff: Backoff{Initial: time.Millisecond, Max: time.Millisecond}}},
		"leaving others":   {child: shell("sleep 60 & sleep 60; true"), busy: true},
		"cannot be started": {child: Child{
			Argv: []string{"/nonexistent"}, Restart: RestartAlways,
			Backoff: Backoff{Initial: time.Millisecond, Max: time.Millisecond},
		}},
	}
	inBothWays(t, func(t *testing.T, way string) {
		var times []time.Duration
		for range 3 {
			for name, situation := range situations {
				w := startCrew(t, way, situation.child)
				worker := w.next("worker")
				if situation.busy {
					worker.do("restart")
				}
				time.Sleep(rand.N(60 * time.Millisecond)) // a random moment
				begin := time.Now()
				w.signal(syscall.SIGTERM)
				<-w.ended
				took := time.Since(begin)
				if took > own+slack {
					t.Errorf("%s: it took %v", name, took)
				}
				times = append(times, took)
				w.nothingLeft()
			}
		}
		slices.Sort(times)
		t.Logf("half took less than %v, 90 %% less than %v, the longest %v", times[len(times)/2], times[len(times)*9/10], times[len(times)-1])
		// What the machine does besides may hold up many of them, but hardly each.
		if limit := own + 100*time.Millisecond; times[len(times)/4] > limit {
			t.Errorf("three quarters of the stops took more than %v: %v", limit, times)
		}
	})
}

// Init does so little that it takes little memory.
func TestMemoryOfInit(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		w := startCrew(t, way, Child{Argv: itself(), Ready: ReadyByNotify})
		w.next("worker").await(`log msg="child ready"`)
		w.signal(syscall.SIGHUP)
		w.next("child").await("got")
		w.littleMemory()
		w.signal(syscall.SIGTERM)
		w.wait(0)
	})
}

// littleMemory looks at the memory that init does not share with the worker,
// which runs the same file.
func (w *crew) littleMemory() {
	w.t.Helper()
	const limit = 3 << 10 // KiB
	kib := w.status("RssAnon")
	w.t.Logf("init has %d KiB of its own, %d KiB of files, %d threads", kib, w.status("RssFile"), w.status("Threads"))
	if kib > limit && !raceDetector {
		w.t.Errorf("init has %d KiB of its own, want at most %d", kib, limit)
	}
}

// status is a number of /proc/PID/status.
func (w *crew) status(name string) (value int) {
	w.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.pid()))
	fatal(w.t, err)
	_, rest, _ := strings.Cut(string(status), name+":")
	_, err = fmt.Sscan(rest, &value)
	fatal(w.t, err)
	return value
}
