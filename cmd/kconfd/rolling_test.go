package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// rolled is a resource file whose action takes a while, in which nobody else may
// be at it, and whose process does not work with what is in bad. The rest goes on
// in the table of rolling.
func rolled(rest string) string {
	if !strings.Contains(rest, "verify_timeout") {
		rest += " }\nverify_timeout = \"1s\"\n#"
	}
	return nodes("web", `
[reload]
action = "exec"
command = "mkdir $DIR/../acting || echo overlap >>$DIR/../overlaps; basename $DIR >>$DIR/../order; sleep 0.1; cat $DIR/live/web >$DIR/now; rmdir $DIR/../acting"
verify_cmd = "cat $DIR/../bad $DIR/bad 2>/dev/null >$DIR/all-bad; ! grep -qf $DIR/all-bad $DIR/now"
retry = "500ms"
rolling = { lease = "web", lease_time = "2s"`+rest+" }\n")
}

// replicas are kconfds of one service, each with a directory of its own.
func replicas(w world, n int, rest string) (all []*daemon, dirs []dir) {
	w.t.Helper()
	w.write("bad", "10.6.6.6\n")
	for i := range n {
		d := dir{w.t, filepath.Join(w.path, fmt.Sprintf("web-%d", i))}
		d.write("conf/conf.d/web.toml", rolled(rest))
		d.write("live/keep", "")
		dirs = append(dirs, d)
		all = append(all, startReplica(w, i))
	}
	return all, dirs
}

func startReplica(w world, i int) *daemon {
	w.t.Helper()
	name := fmt.Sprintf("web-%d", i)
	cmd := exec.Command("kconfd", "-kubeconfig", w.kubeconfig, "-confdir", filepath.Join(w.path, name, "conf"), "-wait", "0s")
	cmd.Env = append(os.Environ(), "POD_NAME="+name)
	return startCmd(w.t, cmd)
}

// testRolling: the replicas of a service act one at a time, each when the one
// before has been found to work. Where one does not, the others keep what they
// have, and it is known which; content that works goes through.
func testRolling(t *testing.T, w world) {
	w.members("web", "10.0.0.1")
	all, dirs := replicas(w, 3, `, order = "ordinal"`)
	for _, d := range dirs {
		d.awaitFile("now", "10.0.0.1 ")
	}
	verified := func(times int) {
		t.Helper()
		for _, k := range all {
			await(t, "it is verified", func() bool { return k.count("msg=verified") == times })
		}
	}
	verified(1)
	w.write("order", "")
	w.members("web", "10.0.0.2")
	verified(2)
	if got, want := w.read("order"), "web-0\nweb-1\nweb-2\n"; got != want {
		t.Errorf("acted in the order %q, want %q", got, want)
	}
	w.members("web", "10.6.6.6")
	all[0].awaitLog("the files are what they were before")
	all[1].awaitLog("web-0")
	all[2].awaitLog("web-0")
	for i, d := range dirs {
		if got := d.read("live/web"); i > 0 && got != "10.0.0.2 " {
			t.Errorf("replica %d has %q before its turn", i, got)
		}
	}
	w.members("web", "10.0.0.3")
	for _, d := range dirs {
		d.awaitFile("now", "10.0.0.3 ")
	}
	for i, k := range all {
		k.stop()
		if i > 0 && strings.Contains(k.log.String(), "6.6.6") {
			t.Errorf("replica %d tried what was known to be bad", i)
		}
	}
	if got := w.read("overlaps"); got != "" {
		t.Errorf("two acted at the same time: %q", got)
	}
}

// testRollingCommandLine: replicas that are restarted for their command line take turns, and
// each is seen to work. The command line is watched for alone, also after the configuration
// has been read again.
func testRollingCommandLine(t *testing.T, w world) {
	w.configMap("line", "blue")
	var all []*daemon
	var dirs []dir
	for i := range 2 {
		d := dir{t, filepath.Join(w.path, fmt.Sprintf("web-%d", i))}
		d.write("conf/conf.d/a.toml", `
[process]
args = ['ready=echo {{ (configMap "line").value }} >>$DIR/starts', 'TERM:0=']
restart_on_change = ["args"]
[reload]
action = "none"
verify_cmd = "test -e $DIR/good"
rolling = { lease = "line" }
`)
		d.write("conf/conf.d/b.toml", "[[template]]\ncontents = 'old'\ndest = \"$DIR/live/b\"\n")
		d.write("live/keep", "")
		d.write("good", "")
		cmd := exec.Command("kconfd", "-kubeconfig", w.kubeconfig, "-confdir", d.file("conf"), "-wait", "0s", "-listen", "127.0.0.1:0", "--", "onsignal")
		cmd.Env = append(os.Environ(), fmt.Sprintf("POD_NAME=web-%d", i))
		all, dirs = append(all, startCmd(t, cmd)), append(dirs, d)
	}
	for i, d := range dirs {
		d.awaitFile("starts", "blue\n")
		d.write("conf/conf.d/b.toml", "[[template]]\ncontents = 'new'\ndest = \"$DIR/live/b\"\n")
		d.awaitFile("live/b", "new")
		await(t, "it is applied", func() bool { return all[i].status().Groups[0].State == stateApplied })
		d.remove("good")
	}
	w.configMap("line", "green")
	first := -1
	await(t, "one waits for the other", func() bool {
		for i, k := range all {
			if k.status().Groups[0].State == stateQueued && dirs[1-i].lines("starts") == 2 {
				first = 1 - i
			}
		}
		return first >= 0
	})
	if got := dirs[1-first].read("starts"); got != "blue\n" {
		t.Errorf("the one that waits was started with %q", got)
	}
	dirs[first].write("good", "")
	dirs[1-first].write("good", "")
	for i, d := range dirs {
		d.awaitFile("starts", "blue\ngreen\n")
		await(t, "it is applied", func() bool { return all[i].status().Groups[0].State == stateApplied })
		all[i].wantEnd(0)
	}
}

// testHolderDies: a replica that is killed in its turn holds up the others for
// the lease time only.
func testHolderDies(t *testing.T, w world) {
	w.members("web", "10.0.0.1")
	all, dirs := replicas(w, 2, `, precondition_cmd = "test ! -e $DIR/stuck", precondition_timeout = "1h"`)
	for _, k := range all {
		k.awaitLog("msg=verified")
	}
	dirs[0].write("stuck", "")
	dirs[1].write("stuck", "")
	w.members("web", "10.0.0.2")
	holder := -1
	await(t, "one has its turn", func() bool {
		for i, k := range all {
			if k.count("let in") == 2 {
				holder = i
			}
		}
		return holder >= 0
	})
	other := 1 - holder
	all[holder].kill()
	killed := time.Now()
	if err := os.Remove(dirs[other].file("stuck")); err != nil {
		t.Fatal(err)
	}
	dirs[other].awaitFile("now", "10.0.0.2 ")
	if took := time.Since(killed); took > 10*time.Second {
		t.Errorf("it took %v, and the lease time is 2s", took)
	}
	all[other].stop()
}

// testRollingThrottled: who is too soon after its last action has not failed. It
// waits for its turn when its time has come, and stops nobody.
func testRollingThrottled(t *testing.T, w world) {
	w.members("web", "10.0.0.1")
	all, dirs := replicas(w, 2, " }\nmin_interval = \"1s\"\n#")
	for _, last := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"} {
		w.members("web", last)
		for _, d := range dirs {
			d.awaitFile("now", last+" ")
		}
	}
	for _, k := range all {
		if n := k.count("gate stopped"); n > 0 {
			t.Errorf("stopped %d times", n)
		}
		k.stop()
	}
}

// testRollingTakenBack: who stopped the others, for content that does not work,
// lets them go on when that is taken back, though it has nothing to do itself: not
// even when it has been restarted in between.
func testRollingTakenBack(t *testing.T, w world) {
	for name, restart := range map[string]bool{"at work": false, "restarted": true} {
		t.Run(name, func(t *testing.T) {
			w := w
			w.dir = newDir(t, nil)
			w.members("web", "10.0.0.1")
			all, dirs := replicas(w, 2, `, order = "ordinal"`)
			dirs[1].write("bad", "10.0.0.2\n")
			for _, k := range all {
				k.awaitLog("msg=verified")
			}
			w.members("web", "10.0.0.2")
			all[1].awaitLog("the files are what they were before")
			dirs[0].awaitFile("now", "10.0.0.2 ")
			if restart {
				all[1].stop()
			}
			w.members("web", "10.0.0.1")
			if restart {
				all[1] = startReplica(w, 1)
			}
			dirs[0].awaitFile("now", "10.0.0.1 ")
			for _, k := range all {
				k.stop()
			}
		})
	}
}

// testRollingLost: who loses its turn while it waits for the verification, which
// newer content ends, goes on with that when the API server is back.
func testRollingLost(t *testing.T, w world) {
	line, kubeconfig := newWire(w)
	w.kubeconfig = kubeconfig
	line.connect()
	w.members("web", "10.0.0.1")
	all, dirs := replicas(w, 1, " }\nverify_timeout = \"1h\"\n#")
	dirs[0].awaitFile("now", "10.0.0.1 ")
	all[0].awaitLog("msg=verified")
	w.members("web", "10.6.6.6")
	dirs[0].awaitFile("now", "10.6.6.6 ")
	line.cut()
	all[0].awaitLog("gate lost")
	w.members("web", "10.0.0.2")
	line.connect()
	dirs[0].awaitFile("now", "10.0.0.2 ")
	all[0].stop()
}
