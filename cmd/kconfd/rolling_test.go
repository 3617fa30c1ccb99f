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
// be at it, and whose process does not work with what is in bad.
func rolled(rest string) string {
	return nodes("web", `
[reload]
action = "exec"
command = "mkdir $DIR/../acting || echo overlap >>$DIR/../overlaps; basename $DIR >>$DIR/../order; sleep 0.1; cat $DIR/live/web >$DIR/now; rmdir $DIR/../acting"
verify_cmd = "! grep -qf $DIR/../bad $DIR/now"
verify_timeout = "200ms"
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
		cmd := exec.Command("kconfd", "-kubeconfig", w.kubeconfig, "-confdir", d.file("conf"), "-wait", "0s")
		cmd.Env = append(os.Environ(), fmt.Sprintf("POD_NAME=web-%d", i))
		dirs = append(dirs, d)
		all = append(all, startCmd(w.t, cmd))
	}
	return all, dirs
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
