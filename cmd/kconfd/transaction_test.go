package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kconfd/kconfd/state"
)

// A group of three files whose process is a command that notes what it finds.
// Break says which content the process cannot work with.
func transactionFiles() map[string]string {
	files := map[string]string{
		"objects.yaml":          settings("blue"),
		"conf/templates/a.tmpl": `{{ (configMap "settings").colour }}` + "\n",
		"live/keep":             "",
		"conf/conf.d/a.toml": `
[[template]]
src = "a.tmpl"
dest = "$DIR/live/a"
[[template]]
src = "a.tmpl"
dest = "$DIR/live/b"
[[template]]
src = "a.tmpl"
dest = "$DIR/live/c"
[reload]
action = "exec"
command = "cat $DIR/live/a >$DIR/now; cat $DIR/live/a >>$DIR/actions; test ! -e $DIR/broken"
verify_cmd = "! grep -qxf $DIR/bad $DIR/now"
verify_timeout = "2s"
retry = "20ms:200ms"
`,
		"bad": "red\n",
	}
	return files
}

// set is the content of the group's files, which are all the same.
func (d dir) set() string {
	d.t.Helper()
	a, b, c := d.read("live/a"), d.read("live/b"), d.read("live/c")
	if a != b || b != c {
		d.t.Errorf("a mixed set: %q %q %q", a, b, c)
	}
	return strings.TrimSpace(a)
}

// hasSet says whether all three files have a content.
func (d dir) hasSet(content string) bool {
	d.t.Helper()
	for _, name := range []string{"a", "b", "c"} {
		if d.read("live/"+name) != content+"\n" {
			return false
		}
	}
	return true
}

// wantNothingKept fails when a way back or a ledger is left. A killed kconfd
// leaves candidates as well, which go when they are old.
func (d dir) wantNothingKept() {
	d.t.Helper()
	if left := append(d.glob("live/.*.old"), d.glob("live/.*.kconfd")...); len(left) > 0 {
		d.t.Errorf("left: %q", left)
	}
}

// startKilled starts a kconfd that kills itself at a step, and waits for that.
func (d dir) startKilled(at string, args ...string) {
	d.t.Helper()
	cmd := exec.Command("kconfd", filed(d, args...)...)
	cmd.Env = append(os.Environ(), killAt+"="+at)
	k := startCmd(d.t, cmd)
	select {
	case <-k.ended:
	case <-time.After(testPatience):
		d.t.Fatalf("kconfd does not come to %s", at)
	}
}

// Content that the process cannot work with is undone, and the process told of
// the old one. It is tried again later; what is right in the end goes through.
func TestRollBack(t *testing.T) {
	t.Parallel()
	d := newDir(t, transactionFiles())
	k := startIn(d)
	k.awaitLog("msg=verified")
	d.write("objects.yaml", settings("red"))
	k.awaitLog("the files are what they were before")
	await(t, "it is tried again, and undone", func() bool { return strings.HasPrefix(d.read("actions"), "blue\nred\nblue\nred\nblue\n") })
	d.write("bad", "none\n")
	await(t, "red is good now", func() bool { return d.hasSet("red") && d.read("now") == "red\n" })
	k.awaitLog("in order again")
	k.stop()
	d.wantNoLeftovers("live")
}

// Content that was undone and is wanted again as it was before needs no action:
// the process has it.
func TestBackToWhatItWas(t *testing.T) {
	t.Parallel()
	files := transactionFiles()
	files["conf/conf.d/a.toml"] = strings.Replace(files["conf/conf.d/a.toml"], "20ms:200ms", "1h", 1)
	d := newDir(t, files)
	k := startIn(d)
	k.awaitLog("msg=verified")
	d.write("objects.yaml", settings("red"))
	k.awaitLog("the files are what they were before")
	d.write("objects.yaml", settings("blue"))
	k.awaitLog("in order again")
	d.write("objects.yaml", settings("green"))
	d.awaitFile("actions", "blue\nred\nblue\ngreen\n")
	k.stop()
}

// Newer content does not wait for the verification of older.
func TestNewContentEndsVerification(t *testing.T) {
	t.Parallel()
	files := transactionFiles()
	files["conf/conf.d/a.toml"] = strings.Replace(files["conf/conf.d/a.toml"], "2s", "1h", 1)
	d := newDir(t, files)
	k := startIn(d)
	k.awaitLog("msg=verified")
	d.write("objects.yaml", settings("red"))
	d.awaitFile("actions", "blue\nred\n")
	d.write("objects.yaml", settings("green"))
	d.awaitFile("actions", "blue\nred\ngreen\n")
	await(t, "green is verified", func() bool { return k.count("msg=verified") == 2 })
	k.stop()
	d.wantNoLeftovers("live")
}

// What keeps the next content from being written is known when the one before has
// been verified, and not forgotten over that.
func TestHeldWhileVerifying(t *testing.T) {
	t.Parallel()
	files := transactionFiles()
	files["conf/conf.d/a.toml"] = strings.Replace(files["conf/conf.d/a.toml"], "2s", "1h", 1)
	files["conf/templates/a.tmpl"] = `{{ $c := (configMap "settings").colour }}{{ if eq $c "grey" }}{{ fail "no colour" }}{{ end }}{{ $c }}` + "\n"
	d := newDir(t, files)
	k := startIn(d)
	k.awaitLog("msg=verified")
	d.write("objects.yaml", settings("red"))
	d.awaitFile("actions", "blue\nred\n")
	d.write("objects.yaml", settings("grey"))
	time.Sleep(50 * time.Millisecond) // most probably enough for kconfd to notice
	d.write("bad", "none\n")
	k.awaitLog("render held, the last files stay.*no colour")
	k.stop()
	if !d.hasSet("red") {
		t.Errorf("live: %q", d.set())
	}
}

// A new configuration does not wait for what the old one is waiting for.
func TestNewConfigurationEndsVerification(t *testing.T) {
	t.Parallel()
	files := transactionFiles()
	config := strings.Replace(files["conf/conf.d/a.toml"], "2s", "1h", 1)
	files["conf/conf.d/a.toml"] = config
	d := newDir(t, files)
	k := startIn(d)
	k.awaitLog("msg=verified")
	d.write("objects.yaml", settings("red"))
	d.awaitFile("actions", "blue\nred\n")
	d.write("conf/conf.d/a.toml", strings.Replace(config, "! grep", "true || grep", 1))
	await(t, "red is good now", func() bool { return k.count("msg=verified") == 2 && len(d.glob("live/.*")) == 0 })
	k.stop()
	if !d.hasSet("red") {
		t.Errorf("live: %q", d.set())
	}
}

// What the process has been told of is not told again when the verification was
// broken off for content that did not get to it.
func TestVerificationGoesOn(t *testing.T) {
	t.Parallel()
	files := transactionFiles()
	config := strings.Replace(files["conf/conf.d/a.toml"], "! grep -qxf $DIR/bad $DIR/now", "test ! -e $DIR/wait", 1)
	files["conf/conf.d/a.toml"] = `check_cmd = "! grep -q green {{staged \"$DIR/live/a\"}}"` + strings.Replace(config, "2s", "1h", 1)
	d := newDir(t, files)
	k := startIn(d)
	k.awaitLog("msg=verified")
	d.write("wait", "")
	d.write("objects.yaml", settings("red"))
	d.awaitFile("actions", "blue\nred\n")
	d.write("objects.yaml", settings("green"))
	k.awaitLog("checking the files")
	d.write("objects.yaml", settings("red"))
	if err := os.Remove(d.file("wait")); err != nil {
		t.Fatal(err)
	}
	k.awaitLog("in order again")
	k.stop()
	d.awaitFile("actions", "blue\nred\n")
	d.wantNoLeftovers("live")
}

// Killed at any step, kconfd leaves the old set or the new one, and the next one
// finishes: the newest content is live, whole, and the process told of it.
func TestKilledAtAnyStep(t *testing.T) {
	for step, mayBeOld := range map[string]bool{
		"staged": true, "checked": true, "prepared": true, "committed": false, "acting": false, "acted": false, "verified": false,
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			d := newDir(t, transactionFiles())
			k := startIn(d)
			k.awaitLog("msg=verified")
			k.stop()
			d.write("objects.yaml", settings("green"))
			d.startKilled(step + ":1")
			if got := d.set(); got != "green" && !mayBeOld || got != "green" && got != "blue" {
				t.Errorf("killed at %s: the set is %q", step, got)
			}
			k = startIn(d)
			await(t, "the newest is told", func() bool { return d.hasSet("green") && d.read("now") == "green\n" })
			k.awaitLog("msg=verified")
			k.stop()
			d.wantNothingKept()
			told := strings.Count(d.read("actions"), "green")
			if want := map[string]int{"acted": 2, "verified": 2}[step]; told != max(1, want) {
				t.Errorf("told %d times, want %d", told, max(1, want))
			}
		})
	}
}

// Killed in the middle of going back, kconfd goes back all the way when it is
// started again, and tells the process.
func TestKilledWhileUndoing(t *testing.T) {
	for _, step := range []string{"undoing", "undone"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			files := transactionFiles()
			files["conf/conf.d/a.toml"] = strings.Replace(files["conf/conf.d/a.toml"], "20ms:200ms", "1h", 1)
			d := newDir(t, files)
			k := startIn(d)
			k.awaitLog("msg=verified")
			k.stop()
			d.write("objects.yaml", settings("red"))
			d.startKilled(step + ":1")
			d.write("objects.yaml", "") // what comes now cannot be rendered
			k = startIn(d, "-timeout", "100ms")
			await(t, "back to the old", func() bool { return d.hasSet("blue") && d.read("now") == "blue\n" })
			await(t, "nothing is owed", func() bool { return len(d.glob("live/.*.kconfd")) == 0 })
			k.stop()
			d.wantNothingKept()
		})
	}
}

// A power cut in the middle of a commit leaves some new files and some old ones.
// The next start makes a set of them, even when it cannot render.
func TestHalfACommit(t *testing.T) {
	t.Parallel()
	d := newDir(t, transactionFiles())
	k := startIn(d)
	k.awaitLog("msg=verified")
	k.stop()
	d.write("objects.yaml", settings("green"))
	d.startKilled("prepared:1")
	// All have a second name by then. Now the first is replaced.
	var e entry
	if found, err := state.Load(d.file("live/.a.kconfd"), &e); !found || err != nil || len(e.Olds) != 3 {
		t.Fatalf("got %v, %v with %d files, want a ledger of three", found, err, len(e.Olds))
	}
	d.write("live/a.new", "green\n")
	if err := os.Rename(d.file("live/a.new"), d.file("live/a")); err != nil {
		t.Fatal(err)
	}
	d.write("objects.yaml", "")
	k = startIn(d, "-timeout", "1h")
	k.awaitLog("an earlier kconfd was cut off")
	await(t, "the old set is there again", func() bool { return d.hasSet("blue") })
	k.awaitLog("waiting for data") // so it heeds signals
	k.stop()
	d.wantNothingKept()
	d.awaitFile("actions", "blue\n")
}

// What could not be told is told by the next kconfd, once: also when the data
// for a new render is not there.
func TestOwedSurvives(t *testing.T) {
	for name, kill := range map[string]bool{"killed": true, "stopped": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := transactionFiles()
			files["conf/conf.d/a.toml"] = strings.Replace(files["conf/conf.d/a.toml"], "20ms:200ms", "1h", 1)
			files["conf/conf.d/a.toml"] = strings.Replace(files["conf/conf.d/a.toml"], "verify_cmd", "#", 1)
			files["conf/conf.d/a.toml"] = strings.Replace(files["conf/conf.d/a.toml"], "verify_timeout", "#", 1)
			files["broken"] = ""
			d := newDir(t, files)
			k := startIn(d)
			k.awaitLog("could not be told")
			if kill {
				k.kill()
			} else {
				k.stop()
			}
			if err := os.Remove(d.file("broken")); err != nil {
				t.Fatal(err)
			}
			d.write("objects.yaml", "")
			k = startIn(d, "-timeout", "50ms")
			await(t, "nothing is owed", func() bool { return len(d.glob("live/.*.kconfd")) == 0 })
			k.stop()
			d.awaitFile("actions", "blue\nblue\n")
			d.write("objects.yaml", settings("blue"))
			k = startIn(d)
			k.awaitLog("x*") // it runs
			d.write("objects.yaml", settings("green"))
			d.awaitFile("actions", "blue\nblue\ngreen\n") // and nothing in between
			await(t, "nothing is owed", func() bool { return len(d.glob("live/.*.kconfd")) == 0 })
			k.stop()
			d.wantNoLeftovers("live")
		})
	}
}

// A throttled action is done later, once, for the newest content: none is lost,
// and files do not wait for it.
func TestMinInterval(t *testing.T) {
	t.Parallel()
	files := transactionFiles()
	files["conf/conf.d/a.toml"] += "min_interval = \"1s\"\n"
	d := newDir(t, files)
	k := startIn(d, "-log-level", "debug")
	k.awaitLog("msg=verified")
	began := time.Now()
	for n := range 5 {
		d.write("objects.yaml", settings("colour-"+strconv.Itoa(n)))
		await(t, "it is live", func() bool { return d.hasSet("colour-" + strconv.Itoa(n)) })
	}
	if time.Since(began) < time.Second && d.read("actions") != "blue\n" {
		t.Errorf("told too soon: %q", d.read("actions"))
	}
	await(t, "the last is told", func() bool {
		return strings.HasSuffix(d.read("actions"), "colour-4\n") && len(d.glob("live/.*")) == 0
	})
	k.stop()
	// As many as fit into the time that the changes took, and one.
	if got, most := d.lines("actions"), 3+int(time.Since(began)/time.Second); got > most {
		t.Errorf("told %d times, want %d at most", got, most)
	}
	d.wantNoLeftovers("live")
}

// A child that does not live with new content is given the old one: kconfd does
// not end with it.
func TestRollBackOfTheChild(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		files := recorded("[reload]\naction = \"restart\"\nverify_cmd = \"test -e $DIR/up && ! grep -q red $DIR/live/a\"\nretry = \"1h\"\n")
		files["child"] = "trap 'exit 0' TERM\ncat $DIR/live/a >>$DIR/starts\ngrep -q red $DIR/live/a && exit 7\necho >$DIR/up\n" +
			"while :; do sleep 0.02; done\n"
		d := newDir(t, files)
		k := startWay(t, way, filed(d, d.recorder()...)...)
		d.awaitFile("starts", "blue\n")
		d.awaitLines("up", 1)
		d.write("objects.yaml", settings("red"))
		d.awaitFile("starts", "blue\nred\nblue\n")
		k.awaitLog("the child has ended; the files are what they were before")
		d.wantLive("blue\n")
		d.write("objects.yaml", settings("green"))
		d.awaitFile("starts", "blue\nred\nblue\ngreen\n")
		k.awaitLog("msg=verified")
		k.wantEnd(0)
	})
}

// A list that shrinks too much or is too short is held, and released by itself.
func TestGuards(t *testing.T) {
	t.Parallel()
	files := transactionFiles()
	files["objects.yaml"] = members(4)
	files["conf/templates/a.tmpl"] = `{{ range endpoints "db" }}{{ .Address }} {{ end }}` + "\n"
	files["conf/conf.d/a.toml"] = `
[[template]]
src = "a.tmpl"
dest = "$DIR/live/a"
[[guard]]
endpoints = "db"
min = 1
max_shrink = "50%"
hold = "1h"
`
	d := newDir(t, files)
	k := startIn(d, "-state-dir", d.file("state"))
	await(t, "four", func() bool { return strings.Count(d.read("live/a"), "10.") == 4 })
	d.write("objects.yaml", members(1))
	k.awaitLog(`guard endpoints \\?"db\\?" in namespace \\?"default\\?": 1 of 4, and max_shrink is 50%`)
	k.stop()
	k = startIn(d, "-state-dir", d.file("state")) // which remembers
	k.awaitLog(`1 of 4, and max_shrink is 50%`)
	d.write("objects.yaml", members(2))
	await(t, "two", func() bool { return strings.Count(d.read("live/a"), "10.") == 2 })
	d.write("objects.yaml", members(0))
	k.awaitLog(`0, and min is 1`)
	k.stop()
	if got := strings.Count(d.read("live/a"), "10."); got != 2 {
		t.Errorf("live/a has %d, want the last good two", got)
	}
	config := strings.Replace(strings.ReplaceAll(files["conf/conf.d/a.toml"], "$DIR", d.path), "1h", "200ms", 1)
	d.write("conf/conf.d/a.toml", config)
	d.write("objects.yaml", members(4))
	k = startIn(d)
	await(t, "four", func() bool { return strings.Count(d.read("live/a"), "10.") == 4 })
	d.write("objects.yaml", members(1))
	await(t, "one, after a while", func() bool { return strings.Count(d.read("live/a"), "10.") == 1 })
	k.stop()
}

// members is a manifest of a service with n endpoints.
func members(n int) string {
	s := "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: db-1, labels: {kubernetes.io/service-name: db}}, addressType: IPv4, endpoints: ["
	for i := range n {
		s += fmt.Sprintf("{addresses: [10.0.0.%d]},", i+1)
	}
	return s + "]}\n"
}

// What somebody else did to a live file is put right, told, or left alone.
func TestDriftPolicies(t *testing.T) {
	for policy, put := range map[string]bool{"repair": true, "report": false, "ignore": false} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			files := colourFiles()
			files["conf/conf.d/a.toml"] = "drift = \"" + policy + "\"\n" + files["conf/conf.d/a.toml"]
			d := newDir(t, files)
			k := startIn(d)
			d.awaitFile("actions", "blue\n")
			d.write("live/a", "somebody's\n")
			if policy != "ignore" {
				k.awaitLog(touched)
			}
			if put {
				d.awaitFile("live/a", "blue\n")
			}
			d.write("objects.yaml", settings("green"))
			d.awaitFile("live/a", "green\n")
			await(t, "it is told", func() bool { return strings.HasSuffix(d.read("actions"), "green\n") })
			if policy == "ignore" && k.count(touched) > 0 {
				t.Error("it was told")
			}
			k.stop()
			if want := map[bool]int{true: 3, false: 2}[put]; d.lines("actions") != want {
				t.Errorf("actions: %q, want %d", d.read("actions"), want)
			}
		})
	}
}

// A state directory that is damaged is as a new one, and the log says so. One
// that is in use is refused.
func TestStateDirectory(t *testing.T) {
	t.Parallel()
	files := transactionFiles()
	files["conf/conf.d/a.toml"] = strings.Replace(files["conf/conf.d/a.toml"], "20ms:200ms", "1h", 1)
	files["broken"] = ""
	d := newDir(t, files)
	k := startIn(d, "-state-dir", d.file("state"))
	k.awaitLog("could not be told")
	second := startIn(d, "-state-dir", d.file("state"))
	if code := second.code(); code != 1 {
		t.Errorf("the second ended with %d, want 1", code)
	}
	second.awaitLog(fmt.Sprintf("in use by process %d on host", k.cmd.Process.Pid))
	k.kill()
	ledgers := d.glob("state/*.json")
	if len(ledgers) != 1 {
		t.Fatalf("got the ledgers %q, want one", ledgers)
	}
	if err := os.Truncate(ledgers[0], 20); err != nil {
		t.Fatal(err)
	}
	k = startIn(d, "-state-dir", d.file("state"))
	k.awaitLog("starting as if nothing were owed")
	if err := os.Remove(d.file("broken")); err != nil { // what is not applied is put back
		t.Fatal(err)
	}
	d.write("objects.yaml", settings("green"))
	await(t, "green is live", func() bool { return d.hasSet("green") })
	k.stop()
}
