package galera_test

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kconfd/kconfd/docs"
	"github.com/kconfd/kconfd/test/build"
	"github.com/kconfd/kconfd/test/galera"
)

// TestMain builds kconfd for the nodes to find in PATH, with the race detector
// if the tests have it.
func TestMain(m *testing.M) {
	flag.Parse()
	err := errors.Join(
		flag.Set("test.parallel", "4"),           // they wait most of the time
		os.Setenv("GORACE", "atexit_sleep_ms=0"), // else it sleeps a second in every process that ends
	)
	if err != nil {
		panic(err)
	}
	os.Exit(build.InPath(func() int { return theServer.Run(m) }, fmt.Sprintf("-race=%t", raceDetector())))
}

// raceDetector is whether the test was built with it.
func raceDetector() bool {
	info, _ := debug.ReadBuildInfo() // a test has it
	return slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// grace is that of the documentation's example.
const grace = 30 * time.Second

// A way is how kconfd runs in the namespace.
type way string

const (
	asPID1   way = "as PID 1"
	asReaper way = "as a reaper" // under a shell that notes what kconfd leaves behind
)

const noteWhatIsLeft = `"$@"; code=$?; ps -e -o args= >left; exit $code`

// start starts the node's server under kconfd, with the settings that its
// documentation recommends.
func start(t *testing.T, way way, n *galera.Node, args ...string) *galera.Process {
	t.Helper()
	conf := filepath.Join(n.Dir, "conf")
	path := filepath.Join(conf, "conf.d", "process.toml")
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(recommended(t, n)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	command := append([]string{"kconfd", "-log-level", "debug", "-confdir", conf, "--"}, n.Server(args...)...)
	if way == asReaper {
		command = append([]string{"sh", "-c", noteWhatIsLeft, "sh"}, command...)
	}
	return n.Start(t, command...)
}

// recommended is the resource file of the documentation, for the node's socket.
func recommended(t *testing.T, n *galera.Node) string {
	t.Helper()
	section, err := docs.Section("../../docs/reference.md", "### The server of a Galera cluster")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(section, "```toml\n")
	text, _, _ = strings.Cut(text, "```")
	for old, own := range map[string]string{
		"/var/lib/mysql": n.Data(),
		"mariadb -Ne":    "mariadb --no-defaults --socket=" + n.Socket() + " -Ne",
		`"30s"`:          fmt.Sprintf("%q", grace),
	} {
		if !strings.Contains(text, old) {
			t.Fatalf("the documentation's example has no %s:\n%s", old, text)
		}
		text = strings.ReplaceAll(text, old, own)
	}
	return text
}

// kconfd is the process that is to get the signals.
func kconfd(t *testing.T, way way, n *galera.Node, p *galera.Process) int {
	t.Helper()
	if way == asPID1 {
		return p.PID()
	}
	return child(t, n, p.PID(), "kconfd ")
}

// child is the one process of the node that the parent has started and whose
// command begins so.
func child(t *testing.T, n *galera.Node, parent int, command string) int {
	t.Helper()
	for _, f := range n.Processes(t) {
		if f.Parent == parent && strings.HasPrefix(f.Command, command) {
			return f.PID
		}
	}
	t.Fatalf("node %q: no process %q of %d in %+v", n.Name, command, parent, n.Processes(t))
	return 0
}

// wantGone waits for the container's end, and fails unless all is gone by then and
// kconfd itself has left nothing.
func wantGone(t *testing.T, way way, n *galera.Node, p *galera.Process, code int) {
	t.Helper()
	if got := p.Wait(t, grace+20*time.Second); got != code {
		t.Errorf("got exit code %d, want %d:\n%s", got, code, p.Log())
	}
	n.WantNothingLeft(t)
	if way == asPID1 {
		return
	}
	left, err := os.ReadFile(filepath.Join(n.Dir, "left"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Split(strings.TrimSpace(string(left)), "\n"); len(got) != 2 { // the shell and ps
		t.Errorf("kconfd has left processes:\n%s", left)
	}
}

func send(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

// found starts a cluster of one node under kconfd. The loss of one that joins does
// not cost it the majority.
func found(t *testing.T, c *galera.Cluster) (*galera.Node, *galera.Process) {
	t.Helper()
	n := c.Node(t, "founder", "pc.weight=9")
	n.Install(t)
	p := start(t, asPID1, n, "--wsrep-new-cluster")
	n.AwaitSynced(t)
	n.Ask(t, "CREATE DATABASE test; CREATE TABLE test.t (id INT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(200))")
	return n, p
}

// wantStopped ends a node well.
func wantStopped(t *testing.T, n *galera.Node, p *galera.Process) {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
	wantGone(t, asPID1, n, p, 0)
}

// SIGTERM at any moment of a join ends the container at once, with nothing left:
// in a full state transfer and an incremental one, before and after. The node that
// gives the state goes on, and the one that joins takes part when it is let.
func TestStopWhileJoining(t *testing.T) {
	t.Parallel()
	record := &record{killed: map[hit][]time.Duration{}, stopped: map[hit][]time.Duration{}}
	t.Run("clusters", func(t *testing.T) {
		for number := range lanes {
			t.Run(fmt.Sprint(number), func(t *testing.T) {
				t.Parallel()
				stopJoins(t, number, record)
			})
		}
	})
	record.judge(t)
}

// lanes is how many clusters there are at the same time.
const lanes = 2

func stopJoins(t *testing.T, number int, r *record) {
	c := galera.New(t)
	donor, giver := found(t, c)
	l := &lane{t: t, number: number, donor: donor, joiner: c.Node(t, "joiner"), record: r}
	l.prepare()
	// Some are ready before the signal comes.
	for k, killed := 0, 0; killed < joins/lanes; k++ {
		if k == 3*joins {
			t.Fatalf("only %d of %d joins were stopped before the server was ready", killed, k)
		}
		if l.stopOnce(k) {
			killed++
		}
	}
	taker := start(t, asPID1, l.joiner)
	l.joiner.AwaitSynced(t)
	galera.WantHealthy(t, donor, l.joiner)
	const sum = "CHECKSUM TABLE test.t"
	if got, want := l.joiner.Ask(t, sum), donor.Ask(t, sum); got != want {
		t.Errorf("the one that joined has other data: got %q, want %q", got, want)
	}
	wantStopped(t, l.joiner, taker)
	wantStopped(t, donor, giver)
}

// The kinds of state transfers.
const (
	full        = "full"
	incremental = "incremental"
)

// A lane is a node that joins again and again, and the one that gives it the state.
type lane struct {
	t             *testing.T
	number        int
	donor, joiner *galera.Node
	record        *record
	saved         string                   // a data directory for incremental transfers
	span          map[string]time.Duration // from a join's start until it is ready, by the kind of transfer
}

// prepare lets the node join in both ways.
func (l *lane) prepare() {
	l.t.Helper()
	l.span = map[string]time.Duration{}
	for _, transfer := range []string{full, incremental} {
		p := l.join(transfer, asPID1)
		begin := time.Now()
		p.AwaitLog(l.t, "child ready")
		l.span[transfer] = time.Since(begin)
		l.joiner.AwaitSynced(l.t)
		wantStopped(l.t, l.joiner, p)
		if transfer == full {
			l.saved = l.joiner.Save(l.t)
			fill(l.t, l.donor, 1000)
		}
	}
}

// fill makes changes for an incremental transfer.
func fill(t *testing.T, n *galera.Node, rows int) {
	t.Helper()
	n.Ask(t, "SET GLOBAL innodb_flush_log_at_trx_commit = 0;"+strings.Repeat("INSERT INTO test.t (text) VALUES (uuid());", rows))
}

// join starts the joiner, and returns when the server's program is.
func (l *lane) join(transfer string, way way) *galera.Process {
	l.t.Helper()
	if transfer == full {
		l.joiner.Empty(l.t)
	} else {
		l.joiner.Restore(l.t, l.saved)
	}
	forgetful(l.t, l.joiner)
	l.donor.AwaitSynced(l.t)
	p := start(l.t, way, l.joiner)
	p.AwaitLog(l.t, "child started")
	return p
}

// forgetful leaves in the data directory what a killed transfer does: a process id
// that is another's in a new container.
func forgetful(t *testing.T, n *galera.Node) {
	t.Helper()
	for _, name := range []string{"wsrep_sst.pid", "rsync_sst.pid"} {
		if err := os.WriteFile(filepath.Join(n.Data(), name), []byte("1\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// stopOnce lets the node join and sends SIGTERM to kconfd. It says whether the
// server was killed, as it is before it is ready.
func (l *lane) stopOnce(k int) bool {
	l.t.Helper()
	way, transfer := asPID1, []string{full, incremental}[(k+l.number)%2]
	if (k*lanes+l.number)%5 == 4 {
		way = asReaper
	}
	p := l.join(transfer, way)
	target := kconfd(l.t, way, l.joiner, p)
	l.awaitMoment(k, transfer)
	before, begin := l.joiner.Phase(), time.Now()
	send(l.t, target, syscall.SIGTERM)
	select {
	case <-p.Ended():
	case <-time.After(2 * grace):
		l.t.Fatalf("%s transfer, %q: kconfd does not end:\n%s", transfer, before, p.Log())
	}
	took := time.Since(begin)
	if strings.Contains(p.Log(), "it is not ready") {
		l.record.add(l.record.killed, hit{transfer, l.joiner.Phase()}, took)
		wantGone(l.t, way, l.joiner, p, 137)
		return true
	}
	l.record.add(l.record.stopped, hit{transfer, before}, took)
	wantGone(l.t, way, l.joiner, p, 0)
	return false
}

// awaitMoment waits for a random moment of the join: half of them are anywhere,
// half of them follow closely on the beginning of a phase, since some are short.
func (l *lane) awaitMoment(k int, transfer string) {
	l.t.Helper()
	if k%2 == 0 {
		time.Sleep(rand.N(l.span[transfer]))
		return
	}
	short := []string{"JOINING: Initializing", "JOINING: Receiving IST", "JOINING: Receiving SST", "JOINING: Initializing", "JOINED"}
	phase := short[k/2%len(short)]
	galera.Await(l.t, fmt.Sprintf("node %q has come to %q", l.joiner.Name, phase), func() bool {
		return order(l.joiner.Phase()) >= order(phase)
	})
	time.Sleep(rand.N(50 * time.Millisecond))
}

// order is the place of a phase in a join.
func order(phase string) int {
	phases := []string{"DISCONNECTED", "CONNECTED", "JOINING: Receiving SST", "JOINING: Initializing", "JOINING: Receiving IST", "JOINED", "SYNCED"}
	return slices.IndexFunc(phases, func(p string) bool { return strings.HasPrefix(phase, p) })
}

// A hit is what a signal came upon.
type hit struct{ transfer, phase string }

// A record is how long the ends took, in all lanes.
type record struct {
	mu      sync.Mutex
	killed  map[hit][]time.Duration // before they were ready
	stopped map[hit][]time.Duration
}

func (r *record) add(to map[hit][]time.Duration, h hit, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to[h] = append(to[h], took)
}

// judge prints the figures. SIGKILL takes no time; what is stopped has the grace.
func (r *record) judge(t *testing.T) {
	t.Helper()
	killed, stopped := figures(t, "killed", r.killed), figures(t, "stopped", r.stopped)
	if got := len(killed); got != joins {
		t.Fatalf("%d joins were stopped before the server was ready, want %d", got, joins)
	}
	if median := killed[len(killed)/2]; median > time.Second {
		t.Errorf("SIGKILL took %v in the median, want less than a second", median)
	}
	if longest := killed[len(killed)-1]; longest > grace/3 {
		t.Errorf("SIGKILL took %v at the most, want less than %v", longest, grace/3)
	}
	if longest := slices.Max(append(stopped, 0)); longest > grace {
		t.Errorf("an orderly stop took %v, want less than the grace of %v", longest, grace)
	}
}

// figures prints how long ends took, and gives them all, sorted.
func figures(t *testing.T, how string, took map[hit][]time.Duration) (all []time.Duration) {
	for _, h := range slices.SortedFunc(maps.Keys(took), func(a, b hit) int {
		return cmp.Or(strings.Compare(a.transfer, b.transfer), order(a.phase)-order(b.phase))
	}) {
		slices.Sort(took[h])
		t.Logf("%-11s  %-26s %-7s  %2d times, %s", h.transfer, h.phase, how, len(took[h]), spread(took[h]))
		all = append(all, took[h]...)
	}
	slices.Sort(all)
	t.Logf("%-7s  %2d times, %s", how, len(all), spread(all))
	return all
}

func spread(sorted []time.Duration) string {
	if len(sorted) == 0 {
		return "never"
	}
	return fmt.Sprintf("median %v, longest %v", sorted[len(sorted)/2].Round(time.Millisecond), sorted[len(sorted)-1].Round(time.Millisecond))
}

// A node that gives a state transfer is not stopped before the other one takes
// part, and then well.
func TestStopDonor(t *testing.T) {
	t.Parallel()
	c := galera.New(t)
	donor, giver := found(t, c)
	joiner := c.Node(t, "joiner")
	donor.HoldTransfers(t)
	taker := start(t, asPID1, joiner)
	donor.AwaitStatus(t, "wsrep_local_state_comment", "Donor/Desynced")
	giver.Signal(t, syscall.SIGTERM)
	giver.AwaitLog(t, "state=stopping")
	time.Sleep(2500 * time.Millisecond) // for pre_stop to be tried a few times
	if got := donor.Status("wsrep_local_state_comment"); got != "Donor/Desynced" {
		t.Errorf("the donor's state: got %q, want it to wait", got)
	}
	donor.ReleaseTransfers(t)
	wantGone(t, asPID1, donor, giver, 0)
	joiner.AwaitSynced(t)

	// Now the other way round, with an incremental transfer.
	fill(t, joiner, 2000)
	giver = start(t, asPID1, donor)
	galera.Await(t, "the transfer has begun", func() bool { return order(donor.Phase()) >= order("JOINING: Receiving IST") })
	taker.Signal(t, syscall.SIGTERM)
	wantGone(t, asPID1, joiner, taker, 0)
	donor.AwaitSynced(t)
	galera.WantHealthy(t, donor)
	wantStopped(t, donor, giver)
}

// A worker or a server that is killed during a transfer takes all that belongs to
// the transfer with it. The donor goes on, and so does the next join.
func TestKilledWhileJoining(t *testing.T) {
	t.Parallel()
	c := galera.New(t)
	donor, giver := found(t, c)
	joiner := c.Node(t, "joiner")
	victims := map[string]func(kconfd int) int{
		"worker": func(kconfd int) int { return child(t, joiner, kconfd, "kconfd ") },
		"server": func(int) int { return joiner.Find(t, "mariadbd ").PID },
	}
	for name, victim := range victims {
		for _, way := range []way{asPID1, asReaper} {
			donor.AwaitSynced(t)
			donor.HoldTransfers(t)
			p := start(t, way, joiner)
			donor.AwaitStatus(t, "wsrep_local_state_comment", "Donor/Desynced")
			pid := victim(kconfd(t, way, joiner, p))
			begin := time.Now()
			send(t, pid, syscall.SIGKILL)
			wantGone(t, way, joiner, p, 137)
			t.Logf("%s killed, kconfd %s: gone after %v", name, way, time.Since(begin).Round(time.Millisecond))
			donor.ReleaseTransfers(t)
		}
	}
	taker := start(t, asPID1, joiner)
	joiner.AwaitSynced(t)
	galera.WantHealthy(t, donor, joiner)
	wantStopped(t, joiner, taker)
	wantStopped(t, donor, giver)
}
