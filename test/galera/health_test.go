package galera_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kconfd/kconfd/test/galera"
)

// probe runs a probe of kconfd beside the node's server, and gives what it says.
func probe(t *testing.T, n *galera.Node, words ...string) string {
	t.Helper()
	out, err := probeCommand(t.Context(), n, words...).CombinedOutput()
	text := strings.TrimSuffix(string(out), "\n")
	if failed := strings.HasPrefix(text, "not "); failed != (err != nil) {
		t.Errorf("node %q: %s: %q ends with %v", n.Name, words, text, err)
	}
	return text
}

func probeCommand(ctx context.Context, n *galera.Node, words ...string) *exec.Cmd {
	return n.Beside(exec.CommandContext(ctx, "kconfd", append([]string{"galera"}, words...)...),
		"KCONFD_DEFAULTS_FILE="+n.Config())
}

// awaitProbe waits until the probe says so.
func awaitProbe(t *testing.T, n *galera.Node, want string, words ...string) {
	t.Helper()
	var got string
	defer func() {
		if t.Failed() {
			t.Logf("node %q: %s says %q", n.Name, words, got)
		}
	}()
	galera.Await(t, fmt.Sprintf("%s of node %q says %q", words, n.Name, want), func() bool {
		got = probe(t, n, words...)
		return got == want
	})
}

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// A node is ready when it serves clients, and alive unless only a restart mends
// it, through everything that happens to one.
func TestProbes(t *testing.T) {
	t.Parallel()
	c := galera.New(t)
	a, b, d := c.Node(t, "a"), c.Node(t, "b"), c.Node(t, "d")
	a.Install(t)
	want(t, "before the first start", probe(t, a, "ready"), fmt.Sprintf("not ready: the server has not written %q yet", a.StatusFile()))
	want(t, "before the first start", probe(t, a, "alive"), "alive: the server does not listen at port 3306 yet")

	a.Start(t, a.Server("--wsrep-new-cluster")...)
	awaitProbe(t, a, "ready: SYNCED: Operational", "ready")
	a.HoldTransfers(t)
	b.Start(t, b.Server()...)
	awaitProbe(t, a, "not ready: DONOR: Donating SST: wsrep_sst_method rsync locks its tables", "ready")
	want(t, "a donor that may be one", probe(t, a, "ready", "-donor=yes"), "ready: DONOR: Donating SST")
	want(t, "a donor that may not", probe(t, a, "ready", "-donor=no"), "not ready: DONOR: Donating SST")
	want(t, "a donor", probe(t, a, "alive"), "alive: DONOR: Donating SST")
	want(t, "a joiner", probe(t, b, "ready"), "not ready: JOINING: Receiving SST")
	want(t, "a joiner", probe(t, b, "alive"), "alive: the server does not listen at port 3306 yet")
	for began := time.Now(); time.Since(began) < 5*time.Second; {
		want(t, "a joiner for long", probe(t, b, "alive", "-patience=2s"), "alive: the server does not listen at port 3306 yet")
		want(t, "a donor for long", probe(t, a, "alive", "-patience=2s"), "alive: DONOR: Donating SST")
	}
	a.ReleaseTransfers(t)
	awaitProbe(t, b, "ready: SYNCED: Operational", "ready")
	awaitProbe(t, a, "ready: SYNCED: Operational", "ready")
	third := d.Start(t, d.Server()...)
	awaitProbe(t, d, "ready: SYNCED: Operational", "ready")

	// Cut off from the others, and with them again.
	d.Unplug(t)
	awaitProbe(t, d, "not ready: CONNECTED: Waiting", "ready")
	want(t, "cut off", probe(t, d, "alive", "-patience=0s"), "alive: CONNECTED: Waiting")
	d.Plug(t)
	awaitProbe(t, d, "ready: SYNCED: Operational", "ready")

	// Killed: the status file stays.
	third.Signal(t, syscall.SIGKILL)
	third.Wait(t, time.Minute)
	want(t, "killed", d.Phase(), "SYNCED: Operational")
	want(t, "killed", probe(t, d, "ready"), "not ready: nobody listens at port 3306")
	want(t, "killed", probe(t, d, "alive", "-patience=0s"), "alive: the server does not listen at port 3306 yet")
	d.Empty(t)
	d.Start(t, d.Server()...)
	awaitProbe(t, d, "ready: SYNCED: Operational", "ready")

	// Other data than the others have: thrown out, for good.
	a.Ask(t, "CREATE DATABASE x; CREATE TABLE x.t (i int PRIMARY KEY); INSERT INTO x.t VALUES (1)")
	galera.Await(t, "the row arrives", func() bool { row, _ := d.Query("SELECT i FROM x.t"); return row == "1" })
	d.Ask(t, "SET SESSION wsrep_on = OFF; DELETE FROM x.t")
	a.Ask(t, "UPDATE x.t SET i = 2")
	awaitProbe(t, d, "not ready: DISCONNECTED: Disconnected", "ready")
	want(t, "thrown out", probe(t, d, "alive", "-patience=1h"), "alive: DISCONNECTED: Disconnected")
	if got := probe(t, d, "alive", "-patience=1ns"); !strings.HasPrefix(got, "not alive: DISCONNECTED: Disconnected, for ") {
		t.Errorf("thrown out: got %q", got)
	}
	want(t, "the others", probe(t, a, "ready"), "ready: SYNCED: Operational")
}

// A node is not ready when clients cannot reach it, or are kept waiting.
func TestReadyLooksAtThePort(t *testing.T) {
	t.Parallel()
	c := galera.New(t)
	n := c.Node(t, "a")
	n.Install(t)
	p := n.Start(t, n.Server("--wsrep-new-cluster", "--bind-address=127.0.0.1")...)
	n.AwaitSynced(t)
	want(t, "bound elsewhere", probe(t, n, "ready"), "not ready: the server listens at 127.0.0.1 only, and the others are told 10.0.0.1")
	p.Signal(t, syscall.SIGKILL)
	p.Wait(t, time.Minute)

	n.Start(t, n.Server("--wsrep-new-cluster")...)
	awaitProbe(t, n, "ready: SYNCED: Operational", "ready")
	signalServer(t, n, syscall.SIGSTOP)
	connection, err := n.Dial(3306)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	want(t, "stopped, with a client", probe(t, n, "ready"), "not ready: connections wait at port 3306 and nobody accepts them: 1")
	signalServer(t, n, syscall.SIGCONT)
	awaitProbe(t, n, "ready: SYNCED: Operational", "ready")
}

// Probes leave no trace in the server: no aborted connection, no line in its log.
func TestProbesLeaveNoTrace(t *testing.T) {
	t.Parallel()
	c := galera.New(t)
	n := c.Node(t, "a")
	n.Install(t)
	p := n.Start(t, n.Server("--wsrep-new-cluster")...)
	awaitProbe(t, n, "ready: SYNCED: Operational", "ready")
	n.AwaitSynced(t)
	before, cpu := p.Log(), serverCPU(t, n)
	began := time.Now()
	for range 100 {
		want(t, "a probe", probe(t, n, "ready"), "ready: SYNCED: Operational")
		want(t, "a probe", probe(t, n, "alive"), "alive: SYNCED: Operational")
	}
	t.Logf("200 probes in %v, for which the server needed %v of CPU time", time.Since(began), serverCPU(t, n)-cpu)
	if got := n.Status("Aborted_connects"); got != "0" {
		t.Errorf("got %s aborted connections, want 0", got)
	}
	want(t, "the log", p.Log(), before)
}

// serverCPU is how much CPU time the node's server has used.
func serverCPU(t *testing.T, n *galera.Node) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.Find(t, "mariadbd").PID))
	if err != nil {
		t.Fatal(err)
	}
	var user, system time.Duration
	fields := strings.Fields(string(text))
	if _, err := fmt.Sscan(fields[13]+" "+fields[14], &user, &system); err != nil {
		t.Fatal(err)
	}
	return (user + system) * 10 * time.Millisecond
}

// A server that has no status file tells by its notifications.
func TestNotify(t *testing.T) {
	t.Parallel()
	c := galera.New(t)
	a, b := c.Node(t, "a"), c.Node(t, "b")
	a.Install(t)
	kconfd := filepath.Join(c.Dir(), "kconfd") // for the server's user
	if out, err := exec.Command("sh", "-c", `cp "$(command -v kconfd)" "$0"`, kconfd).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	told := []string{"--wsrep-status-file=", "--wsrep-notify-cmd=" + kconfd + " galera notify"}
	a.Start(t, a.Server(append(told, "--wsrep-new-cluster")...)...)
	awaitProbe(t, a, "ready: SYNCED: synced", "ready")
	second := b.Start(t, b.Server(told...)...)
	awaitProbe(t, b, "ready: SYNCED: synced", "ready")
	awaitProbe(t, a, "ready: SYNCED: synced", "ready")

	b.Unplug(t)
	awaitProbe(t, b, "not ready: CONNECTED: connected", "ready")
	b.Plug(t)
	awaitProbe(t, b, "ready: SYNCED: synced", "ready")

	// The file of a server that is gone counts for nothing, whoever serves the port.
	second.Signal(t, syscall.SIGKILL)
	second.Wait(t, time.Minute)
	want(t, "killed", probe(t, b, "ready"), "not ready: the server that told of SYNCED is gone")
	if left, err := filepath.Glob(filepath.Join(b.Data(), ".wsrep.json.*")); err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
}
