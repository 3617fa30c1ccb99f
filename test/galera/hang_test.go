package galera_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kconfd/kconfd/test/galera"
)

// aloneNode is a node that is its cluster, and ready.
func aloneNode(t *testing.T, args ...string) (*galera.Node, *galera.Process) {
	t.Helper()
	n := galera.New(t).Node(t, "a")
	n.Install(t)
	p := n.Start(t, n.Server(append(args, "--wsrep-new-cluster")...)...)
	awaitProbe(t, n, "ready: SYNCED: Operational", "ready")
	return n, p
}

// signalServer sends a signal to the node's server.
func signalServer(t *testing.T, n *galera.Node, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(n.Find(t, "mariadbd").PID, s); err != nil {
		t.Fatal(err)
	}
}

// wantNotReady fails unless a probe says within 10 s that the node is not ready, for that reason.
func wantNotReady(t *testing.T, n *galera.Node, since time.Time, reason string) {
	t.Helper()
	galera.Await(t, "the node is not ready", func() bool { return strings.HasPrefix(probe(t, n, "ready"), "not ready: "+reason+", for ") })
	took := time.Since(since)
	t.Logf("not ready after %v", took.Round(time.Millisecond))
	if took > 10*time.Second {
		t.Errorf("not ready after %v, want 10 s at most", took)
	}
}

// A server that is stopped is not ready, and after a time not alive. It is ready again when it goes on, and its log
// says nothing of the probes.
func TestStoppedServer(t *testing.T) {
	t.Parallel()
	n, p := aloneNode(t)
	before := p.Log()
	stopped := time.Now()
	signalServer(t, n, syscall.SIGSTOP)
	const reason = "the server is stopped by a signal or a debugger"
	wantNotReady(t, n, stopped, reason)
	want(t, "alive for an hour yet", probe(t, n, "alive", "-patience=1h"), "alive: SYNCED: Operational")
	galera.Await(t, "the server is not alive", func() bool {
		return strings.HasPrefix(probe(t, n, "alive", "-patience=4s"), "not alive: "+reason+", for ")
	})
	if took := time.Since(stopped); took < 4*time.Second {
		t.Errorf("not alive after %v, want 4s at least", took)
	}
	for range 20 {
		probe(t, n, "ready")
		probe(t, n, "alive")
	}
	signalServer(t, n, syscall.SIGCONT)
	awaitProbe(t, n, "ready: SYNCED: Operational", "ready")
	want(t, "afterwards", probe(t, n, "alive", "-patience=4s"), "alive: SYNCED: Operational")
	wantNoTrace(t, before, p.Log())
}

// wantNoTrace fails when the server has logged something, but that Galera noticed a pause.
func wantNoTrace(t *testing.T, before, after string) {
	t.Helper()
	for line := range strings.Lines(strings.TrimPrefix(after, before)) {
		if !strings.Contains(line, "last inactive check more than") {
			t.Errorf("the log has: %s", line)
		}
	}
}

// A server of which no thread runs is not ready, though nobody has stopped it: here one in a frozen control group.
func TestFrozenServer(t *testing.T) {
	t.Parallel()
	n, p := aloneNode(t)
	before := p.Log()
	freeze, thaw := freezer(t, n.Find(t, "mariadbd").PID)
	since := time.Now()
	freeze()
	wantNotReady(t, n, since, "no thread of the server runs")
	galera.Await(t, "the server is not alive", func() bool {
		return strings.HasPrefix(probe(t, n, "alive", "-patience=4s"), "not alive: ")
	})
	thaw()
	awaitProbe(t, n, "ready: SYNCED: Operational", "ready")
	// Of one probe the server may have run since the one before, and not any more.
	if got := strings.Count(strings.TrimPrefix(p.Log(), before), "Aborted connection"); got > 1 {
		t.Errorf("got %d aborted connections, want 1 at most", got)
	}
}

// A server that does not take connections any more, while its other threads run, is not ready. If it has done so
// before, it is not alive after a time.
func TestHungAcceptor(t *testing.T) {
	t.Parallel()
	n, _ := aloneNode(t)
	release := holdThread(t, n.Find(t, "mariadbd").PID)
	wantNotReady(t, n, time.Now(), "the server does not answer a login")
	want(t, "alive for an hour yet", probe(t, n, "alive", "-patience=1h"), "alive: SYNCED: Operational")
	galera.Await(t, "the server is not alive", func() bool {
		return strings.HasPrefix(probe(t, n, "alive", "-patience=4s"), "not alive: the server does not answer a login, for ")
	})
	release()
	awaitProbe(t, n, "ready: SYNCED: Operational", "ready")
	want(t, "afterwards", probe(t, n, "alive", "-patience=4s"), "alive: SYNCED: Operational")
}

// holdThread stops one thread, as a debugger does, until release. It is done by another process: what waits for the
// server here would take the stop for its end.
func holdThread(t *testing.T, id int) (release func()) {
	t.Helper()
	debugger := exec.Command(os.Args[0], "-test.run=^TestDebugger$")
	debugger.Env = append(os.Environ(), fmt.Sprintf("HOLD_THREAD=%d", id))
	stdin, err1 := debugger.StdinPipe()
	stdout, err2 := debugger.StdoutPipe()
	if err := errors.Join(err1, err2, debugger.Start()); err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() { stdin.Close(); _ = debugger.Wait() })
	t.Cleanup(release)
	if word, err := bufio.NewReader(stdout).ReadString('\n'); word != "held\n" {
		t.Fatalf("got %q, %v", word, err)
	}
	return release
}

// TestDebugger is the other process of holdThread.
func TestDebugger(t *testing.T) {
	id, _ := strconv.Atoi(os.Getenv("HOLD_THREAD"))
	if id == 0 {
		return
	}
	runtime.LockOSThread() // which is the one that traces
	if err := errors.Join(unix.PtraceSeize(id), unix.PtraceInterrupt(id)); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Wait4(id, nil, unix.WALL, nil); err != nil {
		t.Fatal(err)
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin) // until release, or the end of the other process
	if err := unix.PtraceDetach(id); err != nil {
		t.Fatal(err)
	}
}

// freezer makes a control group with the process, and gives what stops it and lets it go on.
func freezer(t *testing.T, pid int) (freeze, thaw func()) {
	t.Helper()
	group, err := os.MkdirTemp("/sys/fs/cgroup/freezer", "kconfd-test-")
	if err != nil {
		t.Fatal(err)
	}
	write := func(file, text string) {
		if err := os.WriteFile(group+"/"+file, []byte(text), 0); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() {
		write("freezer.state", "THAWED")
		galera.Await(t, "the control group is gone", func() bool {
			tasks, _ := os.ReadFile(group + "/cgroup.procs")
			for _, task := range strings.Fields(string(tasks)) {
				_ = os.WriteFile("/sys/fs/cgroup/freezer/cgroup.procs", []byte(task), 0) // it may have ended
			}
			return os.Remove(group) == nil
		})
	})
	write("cgroup.procs", fmt.Sprint(pid))
	return func() { write("freezer.state", "FROZEN") }, func() { write("freezer.state", "THAWED") }
}

// A server whose disk does not answer is not ready, and after a time not alive, though it answers logins.
func TestFrozenDisk(t *testing.T) {
	t.Parallel()
	c := galera.New(t)
	n := c.Node(t, "a")
	disk := mountDisk(t, n)
	n.Start(t, n.Server("--wsrep-new-cluster")...)
	awaitProbe(t, n, "ready: SYNCED: Operational", "ready")
	n.Ask(t, "CREATE DATABASE x; CREATE TABLE x.t (i int PRIMARY KEY)")
	disk(t, "-f")
	since := time.Now()
	written := make(chan error, 1)
	go func() { // until the disk answers
		_, err := n.Query("INSERT INTO x.t VALUES (1)")
		written <- err
	}()
	const reason = "a thread of the server is blocked in the kernel, as by a disk that does not answer"
	wantNotReady(t, n, since, reason)
	want(t, "alive for an hour yet", probe(t, n, "alive", "-patience=1h"), "alive: SYNCED: Operational")
	galera.Await(t, "the server is not alive", func() bool {
		return strings.HasPrefix(probe(t, n, "alive", "-patience=8s"), "not alive: "+reason+", for ")
	})
	disk(t, "-u")
	if err := <-written; err != nil {
		t.Error(err)
	}
	awaitProbe(t, n, "ready: SYNCED: Operational", "ready")
}

// mountDisk gives the node a first boot's data directory on a file system of its own, and gives fsfreeze for it.
func mountDisk(t *testing.T, n *galera.Node) func(t *testing.T, flag string) {
	t.Helper()
	run := func(t *testing.T, words ...string) {
		t.Helper()
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", words, err, out)
		}
	}
	n.Install(t)
	saved := n.Save(t)
	image := n.Dir + "/image"
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 400<<20); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", image)
	run(t, "mount", "-o", "loop", image, n.Data())
	t.Cleanup(func() { // before the node is removed
		_ = exec.Command("fsfreeze", "-u", n.Data()).Run() // it may not be frozen
		n.Kill()
		run(t, "umount", n.Data())
	})
	run(t, "cp", "-a", saved+"/.", n.Data())
	run(t, "chown", "mysql:mysql", n.Data())
	return func(t *testing.T, flag string) { run(t, "fsfreeze", flag, n.Data()) }
}

// A cluster that is older than the account is probed by its threads alone, after one refused login.
func TestProbeWithoutAccount(t *testing.T) {
	t.Parallel()
	n, p := aloneNode(t)
	n.Ask(t, "DROP USER mysql@localhost")
	before := p.Log()
	first := probe(t, n, "ready")
	if !strings.HasPrefix(first, "ready: SYNCED: Operational (only its threads are looked at from now on, since logins are refused: ") {
		t.Errorf("got %q", first)
	}
	for range 50 {
		want(t, "afterwards", probe(t, n, "ready"), "ready: SYNCED: Operational")
		want(t, "afterwards", probe(t, n, "alive"), "alive: SYNCED: Operational")
	}
	// On a busy machine, Galera says that its timers are late.
	late := regexp.MustCompile(`(?m)^.*WSREP: last inactive check.*\n`)
	if got := late.ReplaceAllString(strings.TrimPrefix(p.Log(), before), ""); strings.Count(got, "\n") != 1 || !strings.Contains(got, "Access denied for user 'mysql'@'localhost'") {
		t.Errorf("the log has more:\n%s", got)
	}
	since := time.Now()
	signalServer(t, n, syscall.SIGSTOP)
	wantNotReady(t, n, since, "the server is stopped by a signal or a debugger")
	signalServer(t, n, syscall.SIGCONT)
	awaitProbe(t, n, "ready: SYNCED: Operational", "ready")
}

// A server with 100 clients on a machine with busy loops is ready and alive, at each of 200 looks.
func TestProbesOfABusyServer(t *testing.T) {
	t.Parallel()
	n, p := aloneNode(t, "--max-connections=120")
	n.Ask(t, "CREATE DATABASE x; CREATE TABLE x.t (i int AUTO_INCREMENT PRIMARY KEY, s varchar(40))")
	var load sync.WaitGroup
	done := make(chan struct{})
	begin := func(words ...string) {
		cmd := n.Beside(exec.Command(words[0], words[1:]...))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		load.Go(func() { // until done
			<-done
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	}
	for range 4 {
		begin("sh", "-c", "while :; do :; done")
	}
	begin("mariadb-slap", "--no-defaults", "--socket="+n.Socket(), "--user=root", "--create-schema=x", "--no-drop",
		"--concurrency=100", "--number-of-queries=100000000", "--query=INSERT INTO x.t (s) VALUES (UUID()); SELECT COUNT(*) FROM x.t WHERE i > 100 AND i < 500", "--delimiter=;")
	defer func() { close(done); load.Wait() }()
	galera.Await(t, "all clients are there", func() bool {
		return n.Ask(t, "SELECT COUNT(*) >= 100 FROM information_schema.processlist WHERE db = 'x'") == "1"
	})
	var slowest time.Duration
	for range 200 {
		began := time.Now()
		want(t, "under load", probe(t, n, "ready"), "ready: SYNCED: Operational")
		slowest = max(slowest, time.Since(began))
		want(t, "under load", probe(t, n, "alive", "-patience=5s"), "alive: SYNCED: Operational")
	}
	t.Logf("the slowest of 200 took %v", slowest)
	if strings.Contains(p.Log(), "Aborted connection") {
		t.Errorf("the log:\n%s", p.Log())
	}
}

// A server that recovers its tables is alive.
func TestAliveInRecovery(t *testing.T) {
	t.Parallel()
	n, p := aloneNode(t, "--innodb-flush-log-at-trx-commit=0")
	n.Ask(t, "CREATE DATABASE x; CREATE TABLE x.t (i int AUTO_INCREMENT PRIMARY KEY, s char(200), KEY (s)); USE x; "+
		"INSERT INTO x.t (s) SELECT SHA2(seq, 512) FROM seq_1_to_20000; BEGIN; INSERT INTO x.t (s) SELECT SHA2(seq, 512) FROM seq_20001_to_40000")
	p.Signal(t, syscall.SIGKILL)
	p.Wait(t, time.Minute)
	n.Start(t, n.Server("--wsrep-new-cluster")...)
	for probe(t, n, "ready") != "ready: SYNCED: Operational" {
		if got := probe(t, n, "alive", "-patience=2s"); !strings.HasPrefix(got, "alive: ") {
			t.Fatalf("got %q", got)
		}
	}
}
