package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/kconfd/kconfd/test/cluster"
)

// Chaos is rounds of changes with one fault in each, on a real API server with
// real processes. What each round decides by chance follows from its seed, and
// which fault it is too: as many rounds in a row as there are kinds have each
// kind once. A round that fails is run again with
//
//	go test -run TestChaos ./cmd/kconfd -chaos.seed=N -chaos.rounds=1
//
// which decides the same; how processes are scheduled is up to the machine.

// chaosFlags are the flags of TestChaos, which reads them with flag.Lookup.
func chaosFlags() {
	flag.Uint64("chaos.seed", 1, "of the first round")
	flag.Int("chaos.rounds", 0, "how many; 0 is one of each kind")
	flag.String("chaos.fault", "", "the kind of fault in all rounds, rather than the seed's")
	flag.Duration("chaos.pause", 5*time.Second, "how long the API server is stopped at most")
	flag.Duration("chaos.bar", 25*time.Second, "how long it may take to be in order again, in every round")
	flag.Int("chaos.changes", 400, "how many changes nothing may grow by")
}

// flagValue is the value of one of chaosFlags.
func flagValue[T any](name string) T { return flag.Lookup(name).Value.(flag.Getter).Get().(T) }

// chaosBar is how long after a fault the newest state may take to be applied. A
// machine that does other things as well may be late now and then, but not half
// of the time.
const chaosBar = 5 * time.Second

// TestChaos holds what kconfd promises against all that can happen to it.
func TestChaos(t *testing.T) {
	if os.Getenv(inside) == "" {
		runInside(t)
		return
	}
	// Who runs this may ignore hang-ups, as nohup does: the processes of the
	// scenes, which are told by them, must not.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	server := &server{Cluster: cluster.Start(t)}
	results := &chaosTally{}
	seeds, shared := chaosSeeds()
	for _, seed := range shared {
		chaosRound(t, server, seed, results)
	}
	t.Run("side by side", func(t *testing.T) {
		for _, seed := range seeds {
			chaosRound(t, server, seed, results)
		}
	})
	results.report(t)
}

// chaosSeeds are those of the rounds that run side by side, and of those that
// have the server for themselves.
func chaosSeeds() (beside, alone []uint64) {
	first, rounds := flagValue[uint64]("chaos.seed"), flagValue[int]("chaos.rounds")
	if rounds == 0 {
		rounds = len(faults())
	}
	for i := range rounds {
		seed := first + uint64(i)
		if faultOf(seed).shared {
			alone = append(alone, seed)
		} else {
			beside = append(beside, seed)
		}
	}
	return beside, alone
}

func chaosRound(t *testing.T, s *server, seed uint64, results *chaosTally) {
	f := faultOf(seed)
	t.Run(fmt.Sprintf("%d %s", seed, f.name), func(t *testing.T) {
		if !f.shared {
			t.Parallel()
		}
		r := newRound(t, s, seed, f, results)
		defer r.end()
		r.run()
	})
}

// inside is the environment variable that tells the test that it is the process
// that runInside has started.
const inside = "CHAOS_INSIDE"

// runInside runs the calling test once more, in a process with PIDs and mounts
// of its own: whatever becomes of it, nothing of it stays.
func runInside(t *testing.T, more ...string) {
	t.Helper()
	runtime.LockOSThread() // with which Pdeathsig goes
	defer runtime.UnlockOSThread()
	const prepare = `mount --make-rprivate / && mount -t proc proc /proc && mount -t tmpfs tmpfs /dev/shm || exit; "$@" & wait $!`
	args := []string{"-c", prepare, "sh", os.Args[0], "-test.run=^" + t.Name() + "$", "-test.v", "-test.parallel=4"}
	flag.Visit(func(f *flag.Flag) {
		if strings.HasPrefix(f.Name, "chaos.") || f.Name == "test.timeout" {
			args = append(args, "-"+f.Name+"="+f.Value.String())
		}
	})
	cmd := exec.Command("sh", append(args, more...)...)
	cmd.Env = append(os.Environ(), inside+"=1", "TMPDIR="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting a process with PIDs and mounts of its own: %v", err)
	}
	ended := make(chan error, 1)
	go func() { // until the process ends
		err := cmd.Wait()
		in.Close()
		ended <- err
	}()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		t.Log(lines.Text())
	}
	if err := <-ended; err != nil {
		t.Errorf("inside: %v", err)
	}
}

// A round is one fault in the midst of changes.
type round struct {
	t       *testing.T
	server  *server
	seed    uint64
	fault   fault
	random  *rand.Rand // for the test's goroutine
	scenes  []*scene
	results *chaosTally
}

func newRound(t *testing.T, s *server, seed uint64, f fault, results *chaosTally) *round {
	t.Helper()
	r := &round{t: t, server: s, seed: seed, fault: f, random: rand.New(rand.NewPCG(seed, 1)), results: results}
	setups := f.setups
	if !f.shared { // which concerns all
		setups = []setup{setups[r.random.IntN(len(setups))]}
	}
	for _, how := range setups {
		r.scenes = append(r.scenes, newScene(r, how))
	}
	return r
}

// run is the round: all in order, changes and the fault, all in order again, and
// no trace of it.
func (r *round) run() {
	r.t.Helper()
	for _, s := range r.scenes {
		s.open()
	}
	for _, s := range r.scenes {
		s.awaitOrder("at first", testPatience)
		s.beginChanges()
	}
	r.fault.run(r)
	over := time.Now()
	for _, s := range r.scenes {
		s.endChanges()
	}
	for _, s := range r.scenes {
		since := s.lastPut()
		if since.Before(over) {
			since = over
		}
		took := s.awaitRecovery(since)
		r.results.converged(r.fault.name, took)
	}
	for _, s := range r.scenes {
		s.wantRest()
		s.close()
		s.check()
	}
}

// end tells the tally how it went.
func (r *round) end() {
	outcome := "passed"
	if r.t.Failed() {
		outcome = "FAILED"
		for _, s := range r.scenes {
			r.t.Log(s.story())
		}
	}
	var setups []string
	for _, s := range r.scenes {
		setups = append(setups, s.what())
	}
	r.t.Logf("seed %d, %s, %s: %s", r.seed, r.fault.name, strings.Join(setups, "; "), outcome)
	r.results.ended(r.fault.name, outcome)
}

// A chaosTally counts what there was.
type chaosTally struct {
	mu      sync.Mutex
	times   map[string][]time.Duration // of recovery, by fault
	rounds  map[string]int
	failed  map[string]int
	noted   map[string]int
	longest time.Duration // of a gate that nobody was in
}

func (c *chaosTally) converged(fault string, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.times == nil {
		c.times = map[string][]time.Duration{}
	}
	c.times[fault] = append(c.times[fault], took)
}

func (c *chaosTally) ended(fault, outcome string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rounds == nil {
		c.rounds, c.failed = map[string]int{}, map[string]int{}
	}
	c.rounds[fault]++
	if outcome != "passed" {
		c.failed[fault]++
	}
}

// note counts what is worth knowing of.
func (c *chaosTally) note(what string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.noted == nil {
		c.noted = map[string]int{}
	}
	c.noted[what] += n
}

func (c *chaosTally) idle(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.longest = max(c.longest, d)
}

func (c *chaosTally) report(t *testing.T) {
	t.Helper()
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "fault\trounds\tfailed\trecovered: median\tlongest")
	var all []time.Duration
	for _, f := range slices.Sorted(maps.Keys(c.rounds)) {
		times := c.times[f]
		slices.Sort(times)
		all = append(all, times...)
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%s\n", f, c.rounds[f], c.failed[f], median(times), longest(times))
	}
	slices.Sort(all)
	fmt.Fprintf(table, "all\t\t\t%s\t%s\n", median(all), longest(all))
	table.Flush()
	for _, what := range slices.Sorted(maps.Keys(c.noted)) {
		fmt.Fprintf(&text, "%s: %d\n", what, c.noted[what])
	}
	fmt.Fprintf(&text, "longest that nobody was at a gate that somebody waited at: %s\n", c.longest.Round(time.Millisecond))
	t.Log("\n" + text.String())
	if m := median(all); m > chaosBar {
		t.Errorf("half of the time it took longer than %s, want at most %s", m, chaosBar)
	}
}

// median and longest are of sorted times.
func median(times []time.Duration) time.Duration {
	if len(times) == 0 {
		return 0
	}
	return times[len(times)/2].Round(time.Millisecond)
}

func longest(times []time.Duration) time.Duration {
	if len(times) == 0 {
		return 0
	}
	return times[len(times)-1].Round(time.Millisecond)
}
