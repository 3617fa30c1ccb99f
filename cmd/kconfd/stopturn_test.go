package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kconfd/kconfd/gate"
)

// stopping is a resource file whose child is stopped in its turn. Before post_stop has ended, no other
// child may have got its stop signal. The rest goes on in [process].
const stopping = `
[process]
stop_lease = "web-stops"
post_stop = "sleep 0.1; echo $KCONFD_STOP_TURN >>$DIR/turns; rmdir $DIR/../ending || echo overlap >>$DIR/../overlaps"
restart = "on-failure"
restart_wait = "10ms"
`

// member is a child that notes its stop signal.
const member = `#!/bin/sh
echo $$ >$DIR/pid
exec onsignal "ready=echo start >>$DIR/starts" "TERM:0=mkdir $DIR/../ending || echo overlap >>$DIR/../overlaps; echo $(basename $DIR) >>$DIR/../order; sleep 0.1"
`

// service are kconfds of one service, each with a child of its own.
func service(w world, n int, rest string, flags ...string) (all []*daemon, dirs []dir) {
	w.t.Helper()
	for i := range n {
		d := dir{w.t, filepath.Join(w.path, fmt.Sprintf("web-%d", i))}
		d.write("conf/conf.d/web.toml", rest)
		d.write("child", member)
		d.write("live/keep", "")
		dirs = append(dirs, d)
		all = append(all, startMember(w, d, flags...))
	}
	for _, d := range dirs {
		d.awaitLines("starts", 1)
	}
	return all, dirs
}

func startMember(w world, d dir, flags ...string) *daemon {
	w.t.Helper()
	args := append([]string{"-kubeconfig", w.kubeconfig, "-confdir", d.file("conf"), "-wait", "0s"}, flags...)
	cmd := exec.Command("kconfd", append(args, "--", "sh", d.file("child"))...)
	cmd.Env = append(os.Environ(), "POD_NAME="+filepath.Base(d.path))
	return startCmd(w.t, cmd)
}

// hold is another replica that has its turn.
func (w world) hold(identity string) *gate.Pass {
	w.t.Helper()
	client, err := gate.NewClient(w.server.Config())
	if err != nil {
		w.t.Fatal(err)
	}
	g := gate.New(client, gate.Options{Namespace: w.namespace, Name: "web-stops", Identity: identity})
	w.t.Cleanup(g.Close)
	pass, err := g.Enter(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return pass
}

// wantInTurns fails when two children were ended at the same time.
func (w world) wantInTurns(dirs []dir) {
	w.t.Helper()
	if got := w.read("overlaps"); got != "" {
		w.t.Errorf("children were ended at the same time: %q", got)
	}
	if got := w.lines("order"); got != len(dirs) {
		w.t.Errorf("%d got a stop signal, want %d", got, len(dirs))
	}
	for _, d := range dirs {
		if got := d.read("turns"); got != "1\n" {
			w.t.Errorf("%s: KCONFD_STOP_TURN of post_stop: %q", d.path, got)
		}
	}
}

// testStopTurns: of replicas that get SIGTERM at the same moment, one ends after the other.
func testStopTurns(t *testing.T, w world) {
	all, dirs := service(w, 4, stopping)
	var ending sync.WaitGroup
	for _, k := range all {
		ending.Go(k.stop)
	}
	ending.Wait()
	w.wantInTurns(dirs)
	for _, k := range all {
		if acquired, released := k.count("turn acquired"), k.count("turn released"); acquired != 1 || released != 1 {
			t.Errorf("acquired %d and released %d times", acquired, released)
		}
	}
}

// testStopTurnWaits: a stop waits for its turn for as long as it is meant to. The status says so of a restart.
func testStopTurnWaits(t *testing.T, w world) {
	w.hold("another")
	all, _ := service(w, 1, stopping+"stop_lease_timeout = \"4s\"\n")
	took, code := all[0].end(syscall.SIGTERM)
	if code != 0 || took < 3*time.Second || took > 10*time.Second {
		t.Errorf("ended with code %d after %v, want 3 to 4 s", code, took)
	}
	if all[0].count("waiting for turn.*another is inside") != 1 || all[0].count("level=WARN") != 1 || all[0].count("stopping without a turn") != 1 {
		t.Errorf("want one warning:\n%s", all[0].log)
	}
}

// testStopTurnQuit: SIGQUIT ends a stop that waits for its turn, and so does the child's own end.
func testStopTurnQuit(t *testing.T, w world) {
	w.hold("another")
	all, dirs := service(w, 2, stopping)
	for _, k := range all {
		k.signal(syscall.SIGTERM)
		k.awaitLog("waiting for turn")
	}
	all[0].signal(syscall.SIGQUIT)
	if code := all[0].code(); code != 128+9 {
		t.Errorf("SIGQUIT: got code %d", code)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(dirs[1].read("pid")))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := all[1].code(); code != 128+9 {
		t.Errorf("the child was killed: got code %d", code)
	}
	if got := w.lines("order"); got != 0 {
		t.Errorf("%d children were told to end", got)
	}
}

// testStopTurnOutage: a stop does not wait for an API server that is away, or that refuses.
func testStopTurnOutage(t *testing.T, w world) {
	line, kubeconfig := newWire(w)
	for name, c := range map[string]struct {
		kubeconfig string
		prepare    func()
		least      time.Duration
		most       time.Duration
	}{
		"away":    {kubeconfig, line.cut, stopReach - time.Second, stopReach + 4*time.Second},
		"refused": {w.server.Kubeconfig(t, "carol", w.namespace), func() {}, 0, 3 * time.Second},
	} {
		w := w
		w.dir = newDir(t, nil)
		line.connect()
		w.kubeconfig = c.kubeconfig
		all, dirs := service(w, 1, stopping)
		c.prepare()
		took, code := all[0].end(syscall.SIGTERM)
		if code != 0 || took < c.least || took > c.most {
			t.Errorf("%s: ended with code %d after %v", name, code, took)
		}
		if all[0].count("stopping without a turn") != 1 || dirs[0].read("turns") != "\n" {
			t.Errorf("%s: want one warning, and no turn:\n%s", name, all[0].log)
		}
	}
}

// testStopTurnInRoll: a restart in the turn of a roll takes its turn to stop, beside replicas that stop.
func testStopTurnInRoll(t *testing.T, w world) {
	w.configMap("settings", "blue")
	rolled := `
[[template]]
contents = '{{ (configMap "settings").value }}'
dest = "$DIR/live/a"
[reload]
action = "restart"
rolling = { lease = "web" }
` + stopping
	all, dirs := service(w, 3, rolled)
	for _, d := range dirs {
		d.awaitFile("live/a", "blue")
	}
	w.configMap("settings", "green")
	for _, d := range dirs {
		d.awaitLines("starts", 2)
	}
	w.wantInTurns(dirs)
	for i, k := range all {
		if acquired := k.count("turn acquired"); acquired != 1 {
			t.Errorf("replica %d acquired %d turns", i, acquired)
		}
		k.stop()
	}
}

// testStopTurnAdopted: a restart that waits for its turn goes on waiting when the worker is killed. After
// SIGTERM, init stops the child without a turn.
func testStopTurnAdopted(t *testing.T, w world) {
	pass := w.hold("another")
	w.configMap("settings", "blue")
	restarting := `
[[template]]
contents = '{{ (configMap "settings").value }}'
dest = "$DIR/live/a"
[reload]
action = "restart"
` + stopping
	all, dirs := service(w, 1, restarting, "-adopt", "-listen", "127.0.0.1:0")
	k, d := all[0], dirs[0]
	d.awaitFile("live/a", "blue")
	w.configMap("settings", "green")
	k.awaitLog("waiting for turn")
	await(t, "the page says so", func() bool {
		_, page := k.get("/status")
		return strings.Contains(page, `"state": "waiting_for_turn"`) || strings.Contains(page, `"state":"waiting_for_turn"`)
	})
	k.killWorker(func() {})
	await(t, "the next worker waits", func() bool { return k.count("waiting for turn") == 2 })
	if got := d.lines("starts"); got != 1 {
		t.Errorf("%d starts before the turn", got)
	}
	if err := pass.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.awaitLines("starts", 2)
	await(t, "the turn is released", func() bool { return k.count("turn released") == 1 })

	w.hold("another")
	k.signal(syscall.SIGTERM)
	await(t, "it waits again", func() bool { return k.count("waiting for turn") == 3 })
	if err := syscall.Kill(k.worker(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	k.code()
	if got := w.lines("order"); got != 2 {
		t.Errorf("%d times told to end, want 2", got)
	}
}

// The Lease of rolling is refused: a restart in its turn would wait for itself.
func TestStopTurnSharesNoLease(t *testing.T) {
	t.Parallel()
	d := newDir(t, map[string]string{"conf/conf.d/web.toml": `
[[template]]
contents = "x"
dest = "$DIR/live/a"
[reload]
action = "restart"
rolling = { lease = "web-stops" }
` + stopping, "live/keep": ""})
	out, err := exec.CommandContext(context.Background(), "kconfd", "lint", "-confdir", d.file("conf")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), `stop_lease: "web-stops" is the Lease of rolling in`) {
		t.Errorf("got %v: %s", err, out)
	}
}
