package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// counting is a child that writes down each signal that it gets, as its number.
// After SIGTERM it goes on with that until it is told to leave. It starts no
// command once it has handlers, as a shell loses signals then.
const counting = `exec 3<>$DIR/fifo 4>>$DIR/heard
for s in %s; do trap "echo $s >&4" $s; done
trap 'echo leaving $$ >&4' TERM
read -r colour <$DIR/live/a
echo here $$ $colour >&4
while :; do read -r line <&3; test "$line" = "leave $$" && exit; done
`

// A tally is which signals were sent to kconfd, to be compared with those that its
// child has heard.
type tally struct {
	t    *testing.T
	d    dir
	k    *daemon
	want map[syscall.Signal]int
	door chan bool // whether a child that was told to end may leave
}

// passedOn are the signals that a child is to get whenever they are sent. SIGTERM
// and SIGINT stop it, and with SIGQUIT that is quick.
func passedOn() (all []syscall.Signal) {
	for s := syscall.Signal(1); s <= 64; s++ {
		switch s {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT:
		case syscall.SIGCHLD, syscall.SIGPIPE, syscall.SIGURG, syscall.SIGPROF, 32, 33, 34:
		case syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGCONT:
		default:
			all = append(all, s)
		}
	}
	return all
}

// whileRunning are those that mean something else when no child runs.
func whileRunning() []syscall.Signal {
	return []syscall.Signal{syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGCONT, syscall.SIGTTIN, syscall.SIGCONT, syscall.SIGTTOU, syscall.SIGCONT}
}

func newTally(t *testing.T, way string) *tally {
	t.Helper()
	var signals strings.Builder
	for _, s := range append(passedOn(), whileRunning()...) {
		fmt.Fprintf(&signals, "%d ", s)
	}
	files := recorded("[reload]\naction = \"restart\"\n")
	files["child"] = fmt.Sprintf(counting, signals.String())
	d := newDir(t, files)
	if err := syscall.Mkfifo(d.file("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	y := &tally{t: t, d: d, want: map[syscall.Signal]int{}, door: make(chan bool)}
	flags := []string{"-forward-hup", "-log-level", "debug", "-stop-grace", "1m"}
	cmd := inWay(way, filed(d, append(flags, d.recorder()...)...)...)
	if way == asReaper {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a shell's job, so that it can be stopped
	}
	y.k = startCmd(t, cmd)
	go y.keepDoor() // until kconfd ends
	return y
}

// keepDoor lets children leave that have been told to end, after a moment, if the
// door is open. All others it nudges: a shell that was about to read when a signal
// came would notice only then.
func (y *tally) keepDoor() {
	fifo, err := os.OpenFile(y.d.file("fifo"), os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		y.t.Error(err)
		return
	}
	defer fifo.Close()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for open := true; ; {
		select {
		case open = <-y.door:
		case <-tick.C:
			line := ""
			if pid := lastOf(y.d.read("heard"), "leaving "); open && rand.N(4) == 0 {
				line = "leave " + pid
			}
			_, _ = fifo.WriteString(line + "\n") // it may be full when nobody is there
		case <-y.k.ended:
			return
		}
	}
}

// lastOf is the rest of the last line that begins so.
func lastOf(text, prefix string) (rest string) {
	for line := range strings.Lines(text) {
		if after, found := strings.CutPrefix(line, prefix); found {
			rest = strings.TrimSpace(after)
		}
	}
	return rest
}

// send sends a signal. What Go and the kernel tell a process about itself comes
// before it.
func (y *tally) send(s syscall.Signal) {
	y.t.Helper()
	y.k.signal([]syscall.Signal{syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPIPE}[rand.N(3)])
	y.k.signal(s)
	y.want[s]++
}

// sendAll sends each signal once, in any order, with pauses up to that long, and
// does something between them.
func (y *tally) sendAll(pause time.Duration, between func(n int)) {
	y.t.Helper()
	signals := passedOn()
	for n, at := range rand.Perm(len(signals)) {
		time.Sleep(rand.N(pause)) // a random moment
		between(n)
		y.send(signals[at])
	}
}

// heard is how often the children got each signal.
func (y *tally) heard() map[syscall.Signal]int {
	y.t.Helper()
	got := map[syscall.Signal]int{}
	for line := range strings.Lines(y.d.read("heard")) {
		if n, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
			got[syscall.Signal(n)]++
		}
	}
	return got
}

// passed is how often kconfd says that it sent each signal to a child. Who gets
// two of a number at the same moment may hear of one.
func (y *tally) passed() map[syscall.Signal]int {
	got := map[syscall.Signal]int{}
	for _, match := range regexp.MustCompile(`msg="signal passed on" signal=(\S+)`).FindAllStringSubmatch(y.k.log.String(), -1) {
		s := unix.SignalNum("SIG" + match[1])
		if n, err := strconv.Atoi(match[1]); err == nil {
			s = syscall.Signal(n)
		}
		got[s]++
	}
	return got
}

// compare waits until all that was sent has arrived, and fails when something has
// not, or more than that.
func (y *tally) compare(when string) {
	y.t.Helper()
	comes(func() bool { return cmp.Equal(y.want, y.heard()) && cmp.Equal(y.want, y.passed()) })
	for what, got := range map[string]map[syscall.Signal]int{"heard": y.heard(), "passed on": y.passed()} {
		if diff := cmp.Diff(y.want, got); diff != "" {
			y.t.Fatalf("signals sent %s (-sent +%s):\n%s", when, what, diff)
		}
	}
}

func nothing(int) {}

// Each signal arrives once, whenever it is sent: before there is a worker or a
// child, while that is restarted, while it runs, and while it is stopped.
func countSignals(t *testing.T, _ program) {
	inBothWays(t, func(t *testing.T, way string) {
		signals, instances := 0, 0
		for n := range countedSignals {
			t.Run(strconv.Itoa(n), func(t *testing.T) {
				y := newTally(t, way)
				y.k.worker() // from when on no signal is lost
				y.sendAll(4*time.Millisecond, nothing)
				y.compare("around the start")
				y.sendAll(time.Microsecond, nothing)
				y.compare("while it runs")
				for _, s := range whileRunning() {
					y.send(s)
					y.compare("while it runs")
					y.awaitStop(s, way)
				}
				y.restart()
				y.stop()
				signals += 5*len(passedOn()) + len(whileRunning())
				instances += strings.Count(y.d.read("heard"), "here")
			})
		}
		t.Logf("%d signals, %d instances, %d stops", signals, instances, countedSignals)
	})
}

// awaitStop waits until kconfd has stopped, after a signal that does so, and if
// somebody could continue it.
func (y *tally) awaitStop(s syscall.Signal, way string) {
	y.t.Helper()
	if s == syscall.SIGQUIT || s == syscall.SIGCONT || way == asPID1 {
		return
	}
	await(y.t, "kconfd has stopped", func() bool { return processes(y.t)[y.k.cmd.Process.Pid][0] == "T" })
}

// restart has kconfd restart the child at random moments between signals.
func (y *tally) restart() {
	y.t.Helper()
	colour := "blue"
	y.sendAll(8*time.Millisecond, func(n int) {
		if rand.N(6) == 0 {
			colour = "colour-" + strconv.Itoa(n)
			y.d.write("objects.yaml", settings(colour))
		}
	})
	y.compare("around restarts")
	await(y.t, "the restarts are over", func() bool {
		return strings.HasSuffix(lastOf(y.d.read("heard"), "here "), colour)
	})
}

// stop stops kconfd at a random moment between signals. They all arrive as long as
// the child does not leave; then they come as soon as it is told to.
func (y *tally) stop() {
	y.t.Helper()
	y.door <- false
	at := rand.N(len(passedOn()))
	y.sendAll(3*time.Millisecond, func(n int) {
		if n == at {
			y.k.signal([]syscall.Signal{syscall.SIGTERM, syscall.SIGINT}[rand.N(2)])
		}
	})
	y.compare("around the stop")
	y.door <- true
	y.late()
	if got := y.k.code(); got != 0 {
		y.t.Errorf("got exit code %d, want 0", got)
	}
	for s, got := range y.heard() {
		if got > y.want[s]+1 {
			y.t.Errorf("signal %v sent to a child that leaves arrived %d times", s, got-y.want[s])
		}
	}
}

// late sends each signal once more, to a child that is leaving or has left.
func (y *tally) late() {
	for _, s := range passedOn() {
		_ = y.k.cmd.Process.Signal(s) // it may have ended
		time.Sleep(rand.N(time.Millisecond))
	}
}
