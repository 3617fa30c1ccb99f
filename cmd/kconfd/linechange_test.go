package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lineDir is a directory with a child that writes, at each start, an argument and
// variables that come of a ConfigMap to starts. The group writes live/a of the same.
func lineDir(t *testing.T, process, resource string) dir {
	t.Helper()
	return newDir(t, map[string]string{
		"objects.yaml": lineObjects("blue", "small", "old"),
		"conf/conf.d/a.toml": `
[process]
args = ['ready=echo "{{ (configMap "settings").colour }} $SIZE" | tee -a $DIR/starts >$DIR/running', 'HUP=echo HUP >>$DIR/signals', 'USR1:0=rm $DIR/running', 'TERM:0=rm $DIR/running']
env = { SIZE = '{{ (configMap "settings").size }}' }
` + process + `
[[template]]
contents = '{{ (configMap "settings").file }}'
dest = "$DIR/live/a"
` + resource,
		"live/keep": "",
	})
}

func lineObjects(colour, size, file string) string {
	return settings(fmt.Sprintf("%q, size: %q, file: %q", colour, size, file))
}

func (d dir) startLine(flags ...string) *daemon {
	d.t.Helper()
	return start(d.t, filed(d, append(flags, "--", "onsignal")...)...)
}

// A lineChange is what the ConfigMap has next. The child is restarted for it when starts is
// not empty; else the log is awaited.
type lineChange struct{ colour, size, file, starts, log string }

// change makes a change and waits for what comes of it.
func (d dir) change(k *daemon, c lineChange) {
	d.t.Helper()
	starts := d.read("starts")
	d.write("objects.yaml", lineObjects(c.colour, c.size, c.file))
	d.awaitFile("live/a", c.file)
	if c.starts != "" {
		d.awaitFile("starts", starts+c.starts+"\n")
	}
	if c.log != "" {
		k.awaitLog(c.log)
	}
}

// wantStarts compares what the instances were started with.
func (d dir) wantStarts(want ...string) {
	d.t.Helper()
	if diff := cmp.Diff(want, strings.Split(strings.TrimSpace(d.read("starts")), "\n")); diff != "" {
		d.t.Errorf("starts (-want +got):\n%s", diff)
	}
}

// A change of what restart_on_change names restarts the child once, alone or together
// with a file. What renders to the same text, and what the key does not name, restart
// nothing.
func TestRestartOnChange(t *testing.T) {
	const other = "[[template]]\ncontents = '{{ (configMap \"settings\").file }}'\ndest = \"$DIR/live/b\"\n[reload]\naction = \"restart\"\n"
	for name, test := range map[string]struct {
		process, resource, other string
		changes                  []lineChange
		signals, actions         string
	}{
		"an argument": {process: `restart_on_change = ["args"]`, changes: []lineChange{
			{"green", "small", "old", "green small", `command line changed, restarting.*args=\[1\]`},
			{"red", "small", "old", "red small", ""},
		}},
		"a variable": {process: `restart_on_change = ["env"]`, changes: []lineChange{
			{"blue", "large", "old", "blue large", `command line changed, restarting.*env=\[SIZE\]`},
			{"blue", "huge", "old", "blue huge", ""},
		}},
		"the same text": {process: `restart_on_change = ["env", "args"]`, changes: []lineChange{
			{"blue", "small", "new", "", ""},
			{"blue", "large", "new", "blue large", ""},
		}},
		"both and a file": {process: `restart_on_change = ["args", "env"]`, resource: "[reload]\naction = \"restart\"\n", changes: []lineChange{
			{"green", "large", "new", "green large", ""},
			{"red", "huge", "newer", "red huge", ""},
			{"black", "tiny", "newest", "black tiny", ""},
		}},
		"a file of another group": {process: `restart_on_change = ["env"]`, other: other, changes: []lineChange{
			{"blue", "large", "new", "blue large", ""},
			{"blue", "huge", "newer", "blue huge", ""},
			{"blue", "tiny", "newest", "blue tiny", ""},
		}},
		"in place of a signal": {process: `restart_on_change = ["env"]`, resource: "[reload]\naction = \"signal\"\nsignal = \"HUP\"\n", changes: []lineChange{
			{"blue", "small", "new", "", `told action="signal HUP`},
			{"blue", "large", "newer", "blue large", ""},
		}, signals: "HUP\n"},
		"besides a command": {process: `restart_on_change = ["env"]`, resource: "[reload]\naction = \"exec\"\ncommand = \"cat $DIR/live/a >>$DIR/actions\"\n", changes: []lineChange{
			{"blue", "large", "new", "blue large", ""},
			{"blue", "huge", "new", "blue huge", ""},
		}, actions: "oldnew"},
		"without an action": {process: `restart_on_change = ["env"]`, resource: "[reload]\naction = \"none\"\n", changes: []lineChange{
			{"blue", "small", "new", "", ""},
			{"blue", "large", "newer", "blue large", ""},
		}},
		"no key, and a file": {resource: "[reload]\naction = \"restart\"\n", changes: []lineChange{
			{"green", "large", "new", "green large", ""},
			{"red", "huge", "newer", "red huge", ""},
		}},
		"not named": {process: `restart_on_change = ["env"]`, changes: []lineChange{
			{"green", "small", "old", "", `command line changed, used at the next start.*args=\[1\]`},
			{"green", "large", "old", "green large", ""},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := lineDir(t, test.process, test.resource)
			d.write("conf/conf.d/b.toml", test.other)
			if test.other == "" {
				d.remove("conf/conf.d/b.toml")
			}
			k := d.startLine()
			d.awaitFile("starts", "blue small\n")
			d.awaitFile("live/a", "old")
			want := []string{"blue small"}
			for _, c := range test.changes {
				d.change(k, c)
				if c.starts != "" {
					want = append(want, c.starts)
				}
			}
			k.wantEnd(0)
			d.wantStarts(want...)
			if got := d.read("signals"); got != test.signals {
				t.Errorf("got signals %q, want %q", got, test.signals)
			}
			if said := k.count("used at the next start") > 0; said != (name == "not named") {
				t.Errorf("said that a change is used at the next start: %v", said)
			}
			if got := d.read("actions"); got != test.actions {
				t.Errorf("got actions %q, want %q", got, test.actions)
			}
		})
	}
}

// Without restart_on_change, and with -sync-only, a change restarts nothing. The log
// says so once for each change, and names no values. The next start has them.
func TestChangeUsedAtTheNextStart(t *testing.T) {
	for name, test := range map[string]struct{ process, flag string }{
		"no key":    {"", "-adopt"}, // a flag without meaning here
		"sync only": {`restart_on_change = ["env", "args"]`, "-sync-only"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := lineDir(t, test.process, "")
			k := d.startLine(test.flag, "-restart", "always", "-restart-wait", "10ms", "-listen", "127.0.0.1:0")
			d.awaitFile("starts", "blue small\n")
			const said = `level=INFO msg="command line changed, used at the next start"`
			for i, size := range []string{"large", "small", "large"} {
				d.write("objects.yaml", lineObjects("blue", size, size))
				d.awaitFile("live/a", size)
				if size == "large" {
					await(t, "it is said", func() bool { return k.count(said+` env=\[SIZE\]`) == i/2+1 })
				} else {
					await(t, "it is as before", func() bool { return len(k.status().Child.Outdated) == 0 })
				}
			}
			d.write("objects.yaml", lineObjects("green", "large", "more"))
			k.awaitLog(said + ` env=\[SIZE\] args=\[1\]`)
			if diff := cmp.Diff([]string{"env SIZE", "args 1"}, k.status().Child.Outdated); diff != "" {
				t.Errorf("outdated (-want +got):\n%s", diff)
			}
			d.wantStarts("blue small")
			d.endChild(k)
			d.awaitFile("starts", "blue small\ngreen large\n")
			await(t, "it has all", func() bool { return len(k.status().Child.Outdated) == 0 })
			k.wantEnd(0)
			if got := k.count(said); got != 3 {
				t.Errorf("said %d times, want 3", got)
			}
		})
	}
}

// endChild ends the child without kconfd.
func (d dir) endChild(k *daemon) {
	d.t.Helper()
	k.signal(syscall.SIGUSR1)
}

// Changes that follow each other within the quiet time restart the child once.
func TestRestartOnChangeIsDebounced(t *testing.T) {
	t.Parallel()
	d := lineDir(t, `restart_on_change = ["env", "args"]`, "[reload]\naction = \"restart\"\n")
	k := start(t, append(filed(d), "-wait", "1s:20s", "--", "onsignal")...)
	d.awaitFile("starts", "blue small\n")
	for i := range 5 {
		d.write("objects.yaml", lineObjects("blue", fmt.Sprint("size-", i), "old"))
	}
	d.write("objects.yaml", lineObjects("green", "large", "old"))
	d.awaitLines("starts", 2)
	d.write("objects.yaml", lineObjects("green", "large", "new"))
	d.awaitLines("starts", 3)
	k.wantEnd(0)
	d.wantStarts("blue small", "green large", "green large")
}

// A new value with which the child cannot be started leaves the child alone. A good one
// restarts it, and the one that it runs with does not.
func TestRestartOnChangeRefused(t *testing.T) {
	for name, test := range map[string]struct{ env, bad, log string }{
		"a key that is missing":   {`MORE = '{{ (configMap "settings").more }}'`, "", `rendering|"more"`},
		"a template that fails":   {`MORE = '{{ (configMap "settings").more | required "none" }}'`, `, more: ""`, `render held.*none`},
		"too long for the kernel": {`MORE = '{{ (configMap "settings").more }}'`, ", more: " + strings.Repeat("x", 128<<10), `not applied.*the kernel takes`},
		"a program that is gone":  {`PATH = '{{ (configMap "settings").more }}'`, ", more: /nowhere", `not applied.*the child is not restarted`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := lineDir(t, `restart_on_change = ["env"]`, "")
			more := ", more: " + os.Getenv("PATH")
			d.write("conf/conf.d/a.toml", strings.Replace(d.read("conf/conf.d/a.toml"), "env = { ", "env = { "+test.env+", ", 1))
			objects := func(size, more string) string {
				return settings(fmt.Sprintf("blue, size: %s, file: old%s", size, more))
			}
			d.write("objects.yaml", objects("small", more))
			k := d.startLine("-listen", "127.0.0.1:0")
			d.awaitFile("starts", "blue small\n")
			d.write("objects.yaml", objects("large", test.bad))
			k.awaitLog(test.log)
			await(t, "it is not applied", func() bool { return k.status().Groups[0].State != stateApplied })
			d.write("objects.yaml", objects("small", more))
			k.awaitLog("in order again")
			d.wantStarts("blue small")
			d.write("objects.yaml", objects("huge", more))
			d.awaitLines("starts", 2)
			k.wantEnd(0)
			d.wantStarts("blue small", "blue huge")
		})
	}
}

// A command line with which verify_cmd does not succeed is undone like a file, and
// not tried again before its time. What starts meanwhile has the one of before.
func TestRestartOnChangeVerified(t *testing.T) {
	for name, file := range map[string]string{"alone": "old", "with a file": "new"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := lineDir(t, `restart_on_change = ["env"]`, "[reload]\naction = \"restart\"\nverify_cmd = \"grep -v bad $DIR/running\"\nverify_timeout = \"2s\"\n")
			k := d.startLine("-listen", "127.0.0.1:0", "-restart", "always", "-restart-wait", "10ms")
			d.awaitFile("starts", "blue small\n")
			d.write("objects.yaml", lineObjects("blue", "bad", file))
			await(t, "it is rolled back", func() bool { return k.status().Groups[0].State == stateRolledBack })
			d.awaitFile("starts", "blue small\nblue bad\nblue small\n")
			if got := d.read("live/a"); got != "old" {
				t.Errorf("live/a has %q, want what it was", got)
			}
			d.endChild(k)
			d.awaitLines("starts", 4)
			d.write("objects.yaml", lineObjects("blue", "large", "new"))
			d.awaitLines("starts", 5)
			k.awaitLog("in order again")
			k.wantEnd(0)
			d.wantStarts("blue small", "blue bad", "blue small", "blue small", "blue large")
		})
	}
}

// Newer content does not wait until a restart is verified, and is verified in its place. The
// child that has been restarted is not restarted again.
func TestRestartOnChangeSuperseded(t *testing.T) {
	t.Parallel()
	d := lineDir(t, `restart_on_change = ["env"]`, "[reload]\naction = \"signal\"\nsignal = \"HUP\"\nverify_cmd = \"test -e $DIR/good\"\n")
	d.write("good", "")
	k := d.startLine("-listen", "127.0.0.1:0")
	d.awaitFile("starts", "blue small\n")
	await(t, "it is applied", func() bool { return k.status().Groups[0].State == stateApplied })
	d.remove("good")
	d.change(k, lineChange{"blue", "large", "old", "blue large", ""})
	d.change(k, lineChange{"blue", "large", "new", "", `told action="signal HUP`})
	d.awaitFile("signals", "HUP\n")
	before := k.count("msg=verified")
	d.write("good", "")
	await(t, "it is verified", func() bool { return k.count("msg=verified") > before })
	await(t, "it is applied", func() bool { return k.status().Groups[0].State == stateApplied })
	k.wantEnd(0)
	d.wantStarts("blue small", "blue large")
}

// A change that comes while the child is being started is not lost.
func TestRestartOnChangeDuringAStart(t *testing.T) {
	t.Parallel()
	d := lineDir(t, `restart_on_change = ["env"]`+"\npre_start = 'echo >>$DIR/starting; until test -e $DIR/go; do sleep 0.02; done'", "")
	k := d.startLine()
	d.awaitLines("starting", 1)
	d.write("objects.yaml", lineObjects("blue", "large", "new"))
	d.awaitFile("live/a", "new")
	d.write("go", "")
	await(t, "it has the new one", func() bool { return strings.HasSuffix(d.read("starts"), "blue large\n") })
	k.wantEnd(0)
}

// A change of the templates themselves is one as well, and so is a change after the
// configuration has been read again.
func TestRestartOnChangeOfTheConfiguration(t *testing.T) {
	t.Parallel()
	d := lineDir(t, `restart_on_change = ["env"]`, "")
	d.write("conf/conf.d/b.toml", "[[template]]\ncontents = 'old'\ndest = \"$DIR/live/b\"\n")
	k := d.startLine()
	d.awaitFile("starts", "blue small\n")
	d.write("conf/conf.d/b.toml", "[[template]]\ncontents = 'new'\ndest = \"$DIR/live/b\"\n")
	d.awaitFile("live/b", "new")
	d.write("objects.yaml", lineObjects("blue", "large", "old"))
	d.awaitLines("starts", 2)
	resource := d.read("conf/conf.d/a.toml")
	d.write("conf/conf.d/a.toml", strings.Replace(resource, ".size }}", ".size }}r", 1))
	d.awaitLines("starts", 3)
	d.write("conf/conf.d/a.toml", strings.Replace(resource, "restart_on_change", "# ", 1))
	k.awaitLog(`used at the next start.*env=\[SIZE\]`)
	k.wantEnd(0)
	d.wantStarts("blue small", "blue large", "blue larger")
}

// A worker that takes the child over does not restart it for what it runs with, and
// does for what comes later.
func TestRestartOnChangeOfAnAdoptedChild(t *testing.T) {
	t.Parallel()
	d := lineDir(t, `restart_on_change = ["env"]`, "")
	k := d.startLine("-adopt")
	d.awaitFile("starts", "blue small\n")
	k.killWorker(func() {})
	k.awaitLog("child taken over")
	d.change(k, lineChange{"blue", "small", "new", "", ""})
	d.change(k, lineChange{"blue", "large", "newer", "blue large", ""})
	k.wantEnd(0)
	d.wantStarts("blue small", "blue large")
}

// The log names variables and never has values of secrets.
func TestRestartOnChangeOfASecret(t *testing.T) {
	t.Parallel()
	d := lineDir(t, `restart_on_change = ["env"]`, "")
	d.write("conf/conf.d/a.toml", strings.Replace(d.read("conf/conf.d/a.toml"), "env = { ", `env = { TOKEN = '{{ (secret "s").token }}', `, 1))
	objects := func(token string) string {
		return lineObjects("blue", "small", "old") + "---\n{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {token: " + token + "}}\n"
	}
	d.write("objects.yaml", objects("first-hunter2"))
	k := d.startLine("-log-level", "debug", "-listen", "127.0.0.1:0")
	d.awaitLines("starts", 1)
	d.write("objects.yaml", objects("second-hunter2"))
	d.awaitLines("starts", 2)
	k.awaitLog(`command line changed, restarting.*env=\[TOKEN\]`)
	_, status := k.get("/status")
	k.wantEnd(0)
	if strings.Contains(k.log.String()+status, "hunter2") {
		t.Error("the log or the status has a secret")
	}
}
