package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Several groups that ask at the same time are served by the strongest of what
// they ask for: who wants a signal is served by a restart.
func TestStrongestAction(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		files := recorded("[reload]\naction = \"signal\"\nsignal = \"USR1\"\n")
		for name, reload := range map[string]string{
			"b": "action = \"restart\"", "c": "action = \"signal\"\nsignal = \"USR2\"\ngroup = true", "d": "action = \"restart\"",
			"e": "action = \"exec\"\ncommand = \"echo >>$DIR/commands\"",
		} {
			files["conf/conf.d/"+name+".toml"] = "[[template]]\nsrc = \"a.tmpl\"\ndest = \"$DIR/live/" + name + "\"\n[reload]\n" + reload
		}
		d := newDir(t, files)
		k := startWay(t, way, filed(d, d.recorder()...)...)
		d.awaitLines("starts", 1)
		d.awaitLines("commands", 1)
		const changes = 5
		for n := range changes {
			d.write("objects.yaml", settings(fmt.Sprintf("colour-%d", n)))
			d.awaitLines("starts", n+2)
			d.awaitLines("commands", n+2)
		}
		await(t, "the last restart is over", func() bool { return k.count("told action=restart") == changes })
		k.wantEnd(0)
		if got := k.count("told action=\"signal"); got > 0 {
			t.Errorf("%d signals were sent beside the restarts", got)
		}
		if starts, commands := d.lines("starts"), d.lines("commands"); starts != 1+changes || commands != 1+changes {
			t.Errorf("got %d starts and %d commands, want %d", starts, commands, 1+changes)
		}
		d.wantSignals(strings.Fields(strings.Repeat("TERM ", changes+1))...)
	})
}

// A pid file that is missing, empty, stale, or of somebody else signals nobody,
// and says why; as soon as it is right, whom it names is told.
func TestPIDFiles(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	inBothWays(t, func(t *testing.T, way string) {
		files := recorded("[reload]\naction = \"signal\"\nsignal = \"HUP\"\npid_file = \"$DIR/pid\"\nprocess = \"the-server\"\nretry = \"10ms:20ms\"\n")
		// The child starts the server, so that both have a number there.
		files["child"] = "$DIR/the-server $DIR/serve &\n" + recorder
		files["serve"] = `trap 'echo HUP >>$DIR/told' HUP
trap exit TERM
echo $$ >$DIR/server
while :; do sleep 0.02; done
`
		d := newDir(t, files)
		if err := os.Symlink(shell, d.file("the-server")); err != nil {
			t.Fatal(err)
		}
		k := startWay(t, way, filed(d, d.recorder()...)...)
		d.awaitLines("starts", 1)
		d.awaitLines("server", 1)
		child := strings.Fields(d.read("starts"))[0]
		init := strconv.Itoa(k.cmd.Process.Pid)
		if way == asPID1 {
			init = "1"
		}
		k.awaitLog(`not applied.*pid: no such file`)
		for _, bad := range []struct{ content, want string }{
			{"", "it is empty"},
			{"nonsense", "is not a process id"},
			{"-" + child, "is not a process id"}, // a group to kill(1)
			{"4194303", "stale: process 4194303: no such process"},
			{child, fmt.Sprintf(`process %s is \\"onsignal\\"`, child)},
			{init, fmt.Sprintf("it holds %s, which is kconfd itself", init)},
		} {
			d.write("pid", bad.content)
			k.awaitLog("not applied.*" + bad.want)
		}
		if got := d.read("told"); got != "" {
			t.Errorf("the server was told %q, want nothing yet", got)
		}
		d.write("pid", d.read("server"))
		d.awaitFile("told", "HUP\n")
		k.awaitLog(`told action="signal HUP to process`)
		k.wantEnd(0)
		d.wantSignals("TERM")
		if k.count("configuration read") > 0 {
			t.Error("kconfd has signalled itself")
		}
	})
}

// A command that cannot be run is tried again as the policy says, and is run
// when it can be.
func TestCommandThatComesLater(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		d := newDir(t, map[string]string{"conf/conf.d/keep": ""})
		k := startWay(t, way, plain(d, "-restart", "on-failure", "-restart-wait", "10ms:20ms", "--", d.file("late"))...)
		await(t, "it is tried again", func() bool { return k.count("child is started again") >= 3 })
		d.write("later", "#!/bin/sh\ntrap 'exit 3' TERM\necho >>$DIR/starts\nwhile :; do sleep 0.02; done\n")
		if err := os.Chmod(d.file("later"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(d.file("later"), d.file("late")); err != nil {
			t.Fatal(err)
		}
		d.awaitLines("starts", 1)
		k.wantEnd(3)
	})
}

// A stop in the pause between two instances is over at once, with the code of
// the last one.
func TestStopInThePause(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		d := newDir(t, map[string]string{"conf/conf.d/keep": ""})
		k := startWay(t, way, plain(d, "-restart", "always", "-restart-wait", "10m", "--", "sh", "-c", "exit 5")...)
		k.awaitLog("child is started again.*in=(9|10|11)m")
		if took, code := k.end(syscall.SIGTERM); code != 5 || took > soon {
			t.Errorf("got exit code %d after %v, want 5 at once", code, took)
		}
	})
}
