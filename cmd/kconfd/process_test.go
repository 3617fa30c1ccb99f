package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wantSignals compares what the child was told.
func (d dir) wantSignals(want ...string) {
	d.t.Helper()
	if got := strings.Fields(d.read("signals")); !slices.Equal(got, want) {
		d.t.Errorf("got signals %q, want %q", got, want)
	}
}

// A child that is ready when a command says so is not told anything before.
func TestReadyCommand(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		// It says so once: a try that the stop breaks off may still come to its end beside the next.
		const ready = "test -e $DIR/go && { mkdir $DIR/said 2>/dev/null && echo ready >>$DIR/signals; true; }"
		d := newDir(t, recorded("[reload]\naction = \"signal\"\nsignal = \"USR1\"\n[process]\nready_cmd = \""+ready+"\"\n"))
		k := startWay(t, way, filed(d, d.recorder()...)...)
		d.awaitLines("starts", 1)
		d.write("objects.yaml", settings("green"))
		k.awaitLog(`told action="signal USR1 to the child"`) // as soon as it can be
		d.write("go", "")
		d.awaitFile("signals", "ready\nUSR1\n")
		k.awaitLog("child ready")
		d.write("objects.yaml", settings("red"))
		d.awaitFile("signals", "ready\nUSR1\nUSR1\n") // and no second time ready
		k.wantEnd(0)
	})
}

// A child that is alive and does not get ready is killed, and what follows is
// the policy's to say.
func TestNeverReady(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		d := newDir(t, recorded(""))
		never := []string{"-ready-cmd", "false", "-ready-timeout", "300ms"}
		k := startWay(t, way, filed(d, append(never, d.recorder()...)...)...)
		if got := k.code(); got != 137 {
			t.Errorf("got exit code %d, want 137", got)
		}
		k.awaitLog(`killing child.*alive, but not ready after 300ms`)
		d.wantSignals() // it catches: SIGKILL is none of them

		d = newDir(t, recorded(""))
		k = startWay(t, way, filed(d, slices.Concat(never, []string{"-restart", "on-failure", "-restart-wait", "10ms"}, d.recorder())...)...)
		await(t, "it is started again", func() bool { return k.count("child started") >= 3 })
		k.kill()
	})
}

// A stop before the child is ready does what was said about that.
func TestStopBeforeReady(t *testing.T) {
	// It says so once: a try that the stop breaks off may still come to its end beside the next.
	const ready = "test -e $DIR/go && { mkdir $DIR/said 2>/dev/null && echo ready >>$DIR/signals; true; }"
	tests := map[string]struct {
		flags []string
		ready bool // while it is being stopped
		code  int
		log   string
		told  []string
	}{
		"as ever":       {nil, false, 0, `stopping child.*signal=TERM`, []string{"TERM"}},
		"kill":          {[]string{"-stop-before-ready", "kill", "-stop-grace", "none"}, false, 137, `killing child.*it is not ready`, nil},
		"wait":          {[]string{"-stop-before-ready", "wait", "-stop-grace", "none"}, true, 0, "waiting with the stop signal", []string{"ready", "TERM"}},
		"wait, in vain": {[]string{"-stop-before-ready", "wait", "-stop-grace", "300ms"}, false, 137, `killing child.*the time to stop`, nil},
	}
	inBothWays(t, func(t *testing.T, way string) {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := newDir(t, recorded(""))
				flags := append(test.flags, "-ready-cmd", strings.ReplaceAll(ready, "$DIR", d.path))
				k := startWay(t, way, filed(d, append(flags, d.recorder()...)...)...)
				d.awaitLines("starts", 1)
				k.signal(syscall.SIGTERM)
				k.awaitLog(test.log)
				if test.ready {
					d.write("go", "")
				}
				if got := k.code(); got != test.code {
					t.Errorf("got exit code %d, want %d", got, test.code)
				}
				d.wantSignals(test.told...)
			})
		}
	})
}

// Before a restart and a stop, the child is not told to end until pre_stop says
// that it may be.
func TestPreStop(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		d := newDir(t, recorded("[reload]\naction = \"restart\"\n[process]\npre_stop = \"echo asked >>$DIR/signals; test -e $DIR/go\"\n"))
		k := startWay(t, way, filed(d, d.recorder()...)...)
		d.awaitLines("starts", 1)
		d.write("objects.yaml", settings("green"))
		d.awaitLines("signals", 2)
		d.wantSignals("asked", "asked")
		d.write("go", "")
		d.awaitLines("starts", 2)
		if got := strings.Join(strings.Fields(d.read("signals")), " "); !strings.HasSuffix(got, "asked asked TERM") {
			t.Errorf("before the restart, got %s, want it to end with asked asked TERM", got)
		}
		d.write("signals", "")
		k.wantEnd(0)
		d.wantSignals("asked", "TERM")
	})
}

// A pre_stop that never succeeds does not keep the child for ever, nor does one
// that hangs.
func TestPreStopInVain(t *testing.T) {
	for name, command := range map[string]string{"fails": "false", "hangs": "sleep 600"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDir(t, recorded("[process]\npre_stop = \""+command+"\"\npre_stop_timeout = \"300ms\"\n"))
			k := start(t, filed(d, d.recorder()...)...)
			d.awaitLines("starts", 1)
			k.wantEnd(0)
			k.awaitLog("pre_stop did not succeed, stopping all the same")
			d.wantSignals("TERM")
		})
	}
}

// post_start runs after each start, and what becomes of it does not matter to
// the child.
func TestPostStart(t *testing.T) {
	tests := map[string]struct{ process, log string }{
		"fails": {`post_start = "exit 3"`, `post_start failed, the child goes on.*exit status 3`},
		"hangs": {"post_start = \"sleep 600\"\npost_start_timeout = \"200ms\"", `post_start failed, the child goes on.*timed out after 200ms`},
	}
	inBothWays(t, func(t *testing.T, way string) {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := newDir(t, recorded("[reload]\naction = \"restart\"\n[process]\n"+test.process))
				k := startWay(t, way, filed(d, d.recorder()...)...)
				k.awaitLog(test.log)
				d.awaitLines("starts", 1)
				d.wantUntouched()
				d.write("objects.yaml", settings("green"))
				d.awaitLines("starts", 2)
				await(t, "it runs again", func() bool { return k.count(test.log) >= 2 })
				k.wantEnd(0)
				if got := k.count(test.log); got != 2 {
					t.Errorf("post_start ran %d times for two starts", got)
				}
			})
		}
	})
}

// A post_start that is still at work when its instance ends, and does not care
// for SIGTERM, is over before the next one begins.
func TestPostStartDoesNotOverlap(t *testing.T) {
	t.Parallel()
	const post = "exec 9>$DIR/lock; flock -n 9 || echo >>$DIR/overlaps; trap '' TERM; echo >>$DIR/posts; sleep 600"
	files := recorded("[reload]\naction = \"restart\"\n[process]\npost_start = \"" + post + "\"\n")
	files["child"] = "echo >>$DIR/starts; exec sleep 600"
	d := newDir(t, files)
	k := start(t, filed(d, d.recorder()...)...)
	for n := range 5 {
		d.awaitLines("posts", n+1)
		d.write("objects.yaml", settings(fmt.Sprintf("colour-%d", n)))
	}
	d.awaitLines("posts", 6)
	k.wantEnd(143)
	if got := d.lines("overlaps"); got > 0 {
		t.Errorf("%d times the post_start of two instances ran side by side", got)
	}
}

// post_stop runs when all of an instance is gone, before the next start and
// before the end of kconfd, and is told how it ended.
func TestPostStop(t *testing.T) {
	const process = `[reload]
action = "restart"
[process]
pre_start  = "echo before the start, ${KCONFD_LAST_EXIT-none} >>$DIR/order"
pre_start_timeout = "none"
post_stop  = "ls -d $DIR/lingers >>$DIR/order; echo stopped $KCONFD_LAST_EXIT >>$DIR/order; exit 3"
`
	inBothWays(t, func(t *testing.T, way string) {
		files := recorded(process)
		files["child"] = `(mkdir $DIR/lingers; trap 'sleep 0.1; rmdir $DIR/lingers; exit' TERM; while :; do sleep 0.02; done) &
trap 'echo ended >>$DIR/order; exit 7' TERM
while ! test -d $DIR/lingers; do sleep 0.02; done
echo started >>$DIR/order
while :; do sleep 0.02; done
`
		d := newDir(t, files)
		k := startWay(t, way, filed(d, "--", "sh", d.file("child"))...)
		d.awaitLines("order", 2)
		d.write("objects.yaml", settings("green"))
		d.awaitLines("order", 6)
		k.wantEnd(7)
		want := "before the start, none\nstarted\nended\nstopped 7\nbefore the start, 7\nstarted\nended\nstopped 7\n"
		if got := d.read("order"); got != want {
			t.Errorf("got order (-want +got):\n%s", cmp.Diff(want, got))
		}
		if got := k.count("post_stop failed.*exit status 3"); got != 2 {
			t.Errorf("the log tells %d times that post_stop failed, want 2", got)
		}
	})
}

// What keeps the next start from coming about is tried again, if the policy says
// so; a stop in the middle of it is a stop.
func TestPreStartOfANextStart(t *testing.T) {
	tests := map[string]struct {
		process string
		log     string
		starts  int
		code    int
		ends    bool // by itself
	}{
		"fails, never":      {"pre_start = \"test ! -s $DIR/starts\"", "child not started.*pre_start", 1, 1, true},
		"fails, on-failure": {"pre_start = \"echo >>$DIR/tries; test $(wc -l <$DIR/tries) -ne 2\"\nrestart = \"on-failure\"\nrestart_wait = \"10ms\"", "child not started.*pre_start", 2, 0, false},
		"hangs":             {"pre_start = \"test ! -s $DIR/starts || sleep 600\"\npre_start_timeout = \"2s\"", "child not started.*timed out after 2s", 1, 1, true},
		"hangs, and a stop": {"pre_start = \"test ! -s $DIR/starts || { echo >>$DIR/hanging; exec sleep 600; }\"", "child ended", 1, 0, false},
	}
	inBothWays(t, func(t *testing.T, way string) {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := newDir(t, recorded("[reload]\naction = \"restart\"\n[process]\n"+test.process))
				k := startWay(t, way, filed(d, d.recorder()...)...)
				d.awaitLines("starts", 1)
				d.write("objects.yaml", settings("green"))
				k.awaitLog(test.log)
				switch {
				case test.ends:
					if got := k.code(); got != test.code {
						t.Errorf("got exit code %d, want %d", got, test.code)
					}
				case test.starts == 1:
					d.awaitLines("hanging", 1)
					if took, code := k.end(syscall.SIGTERM); code != test.code || took > soon {
						t.Errorf("got exit code %d after %v, want %d at once", code, took, test.code)
					}
				default:
					d.awaitLines("starts", test.starts)
					k.wantEnd(test.code)
				}
				if got := d.lines("starts"); got != test.starts {
					t.Errorf("got %d starts, want %d", got, test.starts)
				}
			})
		}
	})
}

// The child has the user, the group and the groups that were asked for, and
// nothing of kconfd's own.
func TestUser(t *testing.T) {
	needRoot(t)
	tests := map[string]struct {
		process string
		flags   []string
		want    string
	}{
		"name":               {"", []string{"-user", "daemon"}, ids(1, 1, 1)},
		"nobody":             {"", []string{"-user", "nobody"}, ids(65534, 65534, 65534)},
		"number":             {"", []string{"-user", "1"}, ids(1, 1, 1)},
		"number of nobody's": {"", []string{"-user", "54321"}, ids(54321, 54321)},
		"user and group":     {"", []string{"-user", "daemon:adm"}, ids(1, 4, 1)},
		"in two flags":       {"", []string{"-user", "daemon", "-group", "4"}, ids(1, 4, 1)},
		"group":              {"", []string{"-group", "adm"}, ids(0, 4)},
		"in the file":        {"user = \"daemon\"\ngroup = \"adm\"", nil, ids(1, 4, 1)},
		"the flag wins":      {"user = \"nobody\"", []string{"-user", "daemon"}, ids(1, 1, 1)},
	}
	inBothWays(t, func(t *testing.T, way string) {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := newDir(t, map[string]string{"conf/conf.d/p.toml": "[process]\npre_start = \"id -u >$DIR/uid\"\n" + test.process})
				k := startWay(t, way, plain(d, slices.Concat(test.flags, showIDs())...)...)
				k.wantIDs(test.want)
				d.awaitFile("uid", "0\n") // commands are kconfd's, not the child's
			})
		}
	})
}

// A user who is in several groups has all of them, and none of kconfd's.
func TestUserInSeveralGroups(t *testing.T) {
	needRoot(t)
	t.Parallel()
	d := newDir(t, map[string]string{
		"conf/conf.d/keep": "",
		"passwd":           "root:x:0:0::/:/bin/sh\nserver:x:4711:4712::/:/bin/sh\n",
		"group":            "root:x:0:\nserver:x:4712:\ndisks:x:4713:root,server\ntapes:x:4714:server\nothers:x:4715:root\n",
	})
	const withAccounts = `
mount --make-rprivate / && mount --bind "$0/passwd" /etc/passwd && mount --bind "$0/group" /etc/group && exec kconfd "$@"`
	for user, want := range map[string]string{
		"server":        ids(4711, 4712, 4712, 4713, 4714),
		"4711":          ids(4711, 4712, 4712, 4713, 4714),
		"server:others": ids(4711, 4715, 4712, 4713, 4714),
	} {
		args := plain(d, append([]string{"-user", user}, showIDs()...)...)
		cmd := exec.Command("sh", slices.Concat([]string{"-c", withAccounts, d.path}, args)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWNS,
			Credential: &syscall.Credential{Groups: []uint32{0, 4715}}, // which the child is not to have
		}
		startCmd(t, cmd).wantIDs(want)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("to become another user takes root: run the tests as root")
	}
}

// showIDs is a command that shows as whom it runs.
func showIDs() []string {
	return []string{"--", "grep", "-E", "^(Uid|Gid|Groups):", "/proc/self/status"}
}

// ids is what it shows.
func ids(uid, gid int, groups ...int) string {
	shown := fmt.Sprint("Uid: ", uid, uid, uid, uid, " Gid: ", gid, gid, gid, gid, " Groups:")
	for _, g := range groups {
		shown += fmt.Sprint(" ", g)
	}
	return shown
}

func (k *daemon) wantIDs(want string) {
	k.t.Helper()
	if got := k.code(); got != 0 {
		k.t.Fatalf("got exit code %d, want 0", got)
	}
	if got := strings.Join(strings.Fields(k.out.String()), " "); got != want {
		k.t.Errorf("the child runs as %s, want %s", got, want)
	}
}

// A user or group that does not exist is said, and the command not started.
func TestUnknownUser(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		process, want string
		flags         []string
		code          int
	}{
		"user":               {"", "unknown user no-such-user", []string{"-user", "no-such-user"}, 2},
		"group of a user":    {"", "unknown group no-such-group", []string{"-user", "daemon:no-such-group"}, 2},
		"group":              {"", "unknown group no-such-group", []string{"-group", "no-such-group"}, 2},
		"in the file":        {"user = \"no-such-user\"", `p.toml: \[process\]: user: unknown user no-such-user`, nil, 1},
		"group there":        {"group = \"no-such-group\"", `p.toml: \[process\]: group: unknown group no-such-group`, nil, 1},
		"number cut to root": {"", `user "4294967296": not a number from 0 to 4294967294`, []string{"-user", "4294967296"}, 2},
		"nobody's number":    {"", `user "4294967295": not a number`, []string{"-user", "4294967295"}, 2},
		"number too long":    {"", `user "99999999999999999999": not a number`, []string{"-user", "99999999999999999999"}, 2},
		"negative":           {"user = \"-1\"", `p.toml: \[process\]: user "-1": not a number`, nil, 1},
		"group cut to root":  {"", `group "4294967296": not a number`, []string{"-user", "daemon:4294967296"}, 2},
		"not its business":   {"user = \"no-such-user\"", `unknown user no-such-user`, []string{"-user", "daemon"}, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDir(t, map[string]string{"conf/conf.d/p.toml": "[process]\n" + test.process})
			k := start(t, plain(d, append(test.flags, "--", "touch", d.file("started"))...)...)
			if got := k.code(); got != test.code {
				t.Errorf("got exit code %d, want %d", got, test.code)
			}
			k.awaitLog(test.want)
			if _, err := os.Stat(d.file("started")); err == nil {
				t.Error("the command was started")
			}
		})
	}
}

// A variable that could not be one is refused when it is read.
func TestBadVariable(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "A=B", "A\\u0000"} {
		d := newDir(t, map[string]string{"conf/conf.d/p.toml": "[process]\nenv = { \"" + name + "\" = \"x\" }"})
		k := start(t, plain(d, "--", "true")...)
		if got := k.code(); got != 1 {
			t.Errorf("%q: got exit code %d, want 1", name, got)
		}
		k.awaitLog(`p.toml: \[process\]: env: ".*" is not the name of a variable`)
	}
}

// Arguments and environment are those of the data at the start. A change of them
// alone restarts nothing; the next start sees it. When they cannot be had, the
// next start has those of before.
func TestEnvironmentFollowsTheData(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		files := recorded(`[reload]
action = "restart"
[process]
args = ['{{ (configMap "settings").shape }}']
dir = "/"
[process.env]
SHAPE = '{{ (configMap "settings").shape }}'
OWN = 'of [process]'
PATH = '$DIR/bin:{{ env "PATH" }}'
`)
		files["objects.yaml"] = settings("blue, shape: round")
		files["child"] = "trap 'exit 0' TERM; echo \"$1, $SHAPE, $OWN, $(pwd), ${PATH%%:*}\" >>$DIR/starts; while :; do sleep 0.02; done"
		d := newDir(t, files)
		k := startWay(t, way, filed(d, append([]string{"-chdir", d.file("live")}, d.recorder()...)...)...)
		line := func(shape string) string {
			return fmt.Sprintf("%s, %s, of [process], %s, %s\n", shape, shape, d.file("live"), d.file("bin"))
		}
		d.awaitFile("starts", line("round"))
		d.write("objects.yaml", settings("blue, shape: square"))
		d.write("objects.yaml", settings("green, shape: oval"))
		d.awaitFile("starts", line("round")+line("oval"))
		for name, shape := range map[string]string{"none": "", "one that is no argument": `, shape: "a\0b"`} {
			before := d.read("starts")
			d.write("objects.yaml", settings(strings.ReplaceAll(name, " ", "-")+shape))
			d.awaitFile("starts", before+line("oval")) // as before, rather than not at all
		}
		k.wantEnd(0)
	})
}
