package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A live file that somebody else edits, replaces, removes or gives another mode is
// put right; the process is told when it may have read the wrong bytes.
func TestDriftIsPutRight(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		touch func(path string) error
		acts  bool
	}{
		"edited": {func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteString("by hand\n")
			return err
		}, true},
		"same size": {func(path string) error { return os.WriteFile(path, []byte("grey\n"), 0o644) }, true},
		"truncated": {func(path string) error { return os.Truncate(path, 0) }, true},
		"removed":   {os.Remove, true},
		"replaced": {func(path string) error {
			if err := os.WriteFile(path+".new", []byte("replaced\n"), 0o644); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		}, true},
		"chmod":             {func(path string) error { return os.Chmod(path, 0o666) }, false},
		"chown":             {func(path string) error { return os.Chown(path, 1234, 1234) }, false},
		"directory removed": {func(path string) error { return replaceDir(path) }, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := colourFiles()
			files["conf/conf.d/a.toml"] = `
[[template]]
src = "a.tmpl"
dest = "$DIR/live/a"
mode = "0640"
uid = 0
gid = 0
[reload]
action = "exec"
command = "echo told >>$DIR/actions"
`
			d := newDir(t, files)
			k := startIn(d, "-listen", "127.0.0.1:0")
			jobs := func(outcome string) int {
				n, _ := strconv.Atoi(k.metric(`kconfd_applies_total{group="` + d.file("conf/conf.d/a.toml") + `",outcome="` + outcome + `"}`))
				return n
			}
			// Twice: what was put right is watched on.
			for i := range 2 {
				await(t, "kconfd is at rest", func() bool { return jobs("applied")+jobs("unchanged") > i })
				if err := test.touch(d.file("live/a")); err != nil {
					t.Fatal(err)
				}
				await(t, "live/a is put right", func() bool {
					now := fingerprintOf(d.file("live/a"))
					return d.read("live/a") == "blue\n" && now.mode == 0o640 && now.uid == 0
				})
				await(t, "the log says so", func() bool {
					return k.count(`level=WARN msg="a live file was touched by somebody else" group=`+d.file("conf/conf.d/a.toml")) > i
				})
				if test.acts {
					d.awaitFile("actions", strings.Repeat("told\n", i+2))
				}
			}
			k.stop()
			if !test.acts && d.lines("actions") != 1 {
				t.Errorf("actions: got %q, want no more than the first", d.read("actions"))
			}
		})
	}
}

// replaceDir replaces the directory of a file by an empty one.
func replaceDir(path string) error {
	dir := path[:strings.LastIndexByte(path, '/')]
	if err := os.Rename(dir, dir+".gone"); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return os.RemoveAll(dir + ".gone")
}

// Who touches the file while its process is being told is noticed as well; and a
// command that does so itself does not make kconfd run it without end.
func TestDriftDuringAction(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/conf.d/a.toml"] = `
[[template]]
src = "a.tmpl"
dest = "$DIR/live/a"
[reload]
action = "exec"
command = "echo told >>$DIR/actions; test $(wc -l <$DIR/actions) -gt 1 || echo edited >>$DIR/live/a"
retry = "50ms:100ms"
`
	d := newDir(t, files)
	k := startIn(d)
	k.awaitLog(`level=WARN msg="a live file was touched by somebody else" .* retry=`)
	d.awaitFile("live/a", "blue\n")
	d.awaitFile("actions", "told\ntold\n")
	k.stop()
}

// An action that fails is tried again, ever more rarely, for as long as it takes;
// the daemon lives, says so, and counts it.
func TestFailingActionIsRetried(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/conf.d/a.toml"] = `
[[template]]
src = "a.tmpl"
dest = "$DIR/live/a"
[reload]
action = "exec"
command = "date +%s%N >>$DIR/attempts; echo it does not want to; test -e $DIR/wants"
retry = "50ms:10s"
`
	d := newDir(t, files)
	k := startIn(d, "-listen", "127.0.0.1:0")
	d.awaitLines("attempts", 5)
	k.awaitLog(`level=ERROR msg="not applied" .*err="written, but the process could not be told: command .*exit status 1: it does not want to" retry=`)
	group := d.file("conf/conf.d/a.toml")
	const failed = 4 // the fifth may not have ended
	if got, _ := strconv.Atoi(k.metric(`kconfd_applies_total{group="` + group + `",outcome="failed"}`)); got < failed {
		t.Errorf("counted %d failures, want %d or more", got, failed)
	}
	var pauses []time.Duration
	var before int64
	for line := range strings.Lines(d.read("attempts")) {
		at, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if before != 0 {
			pauses = append(pauses, time.Duration(at-before))
		}
		before = at
	}
	if pauses[0] < 45*time.Millisecond || pauses[3] < 2*pauses[0] {
		t.Errorf("pauses of %v between the attempts, want them to begin with 50ms and to grow", pauses)
	}
	if got := k.count(`msg="not applied"`); got != 1 {
		t.Errorf("said %d times that it does not work, want once a minute", got)
	}

	d.write("wants", "")
	k.awaitLog("msg=told")
	await(t, "it is counted as applied", func() bool {
		return k.metric(`kconfd_applies_total{group="`+group+`",outcome="applied"}`) == "1"
	})
	if got := k.count("msg=written"); got != 1 {
		t.Errorf("written %d times, want once", got)
	}
	k.stop()
}

// New content does not wait for the retry of the old.
func TestNewContentCancelsTheWaitForARetry(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/conf.d/a.toml"] = `
[[template]]
src = "a.tmpl"
dest = "$DIR/live/a"
[reload]
action = "exec"
command = "echo tried >>$DIR/attempts; grep -q green $DIR/live/a && cat $DIR/live/a >>$DIR/actions"
retry = "10m"
`
	d := newDir(t, files)
	k := startIn(d)
	k.awaitLog(`msg="not applied" .* retry=(9|10|11)m`)
	start := time.Now()
	d.write("objects.yaml", settings("green"))
	d.awaitFile("actions", "green\n")
	t.Logf("told of the new content after %v", time.Since(start))
	if got := d.lines("attempts"); got != 2 {
		t.Errorf("tried %d times, want twice", got)
	}
	k.stop()
}

// The same for a check that fails: the new candidate is checked at once, and the
// live file is the last good one until then.
func TestNewContentCancelsTheWaitForACheck(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/conf.d/a.toml"] = strings.Replace(files["conf/conf.d/a.toml"],
		"[reload]", "check_cmd = \"! grep -q bad {{.src}}\"\n[reload]\nretry = \"10m\"", 1)
	d := newDir(t, files)
	k := startIn(d)
	d.awaitFile("actions", "blue\n")
	d.write("objects.yaml", settings("bad"))
	k.awaitLog(`msg="not applied" .*checking`)
	if got := d.read("live/a"); got != "blue\n" {
		t.Errorf("live/a: got %q, want the last good one", got)
	}
	d.write("objects.yaml", settings("green"))
	d.awaitFile("actions", "blue\ngreen\n")
	k.awaitLog(`level=INFO msg="in order again"`)
	k.stop()
}

// Changes that come without a pause are applied when the ceiling of -wait is
// reached, counted from the first of them; a quiet time alone would put them off
// for ever.
func TestCeilingOfTheQuietTime(t *testing.T) {
	t.Parallel()
	d := newDir(t, colourFiles())
	k := startIn(d, "-wait", "300ms:900ms")
	d.awaitFile("actions", "blue\n") // the first is not put off at all
	k.awaitLog("msg=told")

	tick := time.NewTicker(120 * time.Millisecond) // a manifest is never read within 50 ms of a change
	defer tick.Stop()
	start := time.Now()
	for n := 0; d.lines("actions") < 3; n++ {
		if time.Since(start) > testPatience {
			t.Fatal("put off for ever")
		}
		d.write("objects.yaml", settings("colour-"+strconv.Itoa(n)))
		<-tick.C
	}
	if took := time.Since(start); took < 2*900*time.Millisecond {
		t.Errorf("two actions within %v of unrest, want one each 900ms", took)
	}

	// And when it is quiet, once more for the last.
	d.write("objects.yaml", settings("last"))
	await(t, "the last change is applied", func() bool { return strings.HasSuffix(d.read("actions"), "\nlast\n") })
	k.stop()
}

// A daemon that starts where nothing changed touches nothing and tells nobody.
func TestRestartWithoutChange(t *testing.T) {
	t.Parallel()
	d := newDir(t, colourFiles())
	startIn(d).stopAfter(func(k *daemon) { k.awaitLog("msg=told") })
	before := fingerprintOf(d.file("live/a"))
	group := d.file("conf/conf.d/a.toml")
	for range 2 {
		startIn(d, "-listen", "127.0.0.1:0").stopAfter(func(k *daemon) {
			await(t, "it has looked", func() bool {
				return k.metric(`kconfd_applies_total{group="`+group+`",outcome="unchanged"}`) == "1"
			})
		})
	}
	if now := fingerprintOf(d.file("live/a")); now != before {
		t.Errorf("live/a was touched: %+v, was %+v", now, before)
	}
	if got := d.read("actions"); got != "blue\n" {
		t.Errorf("actions: got %q, want only the first", got)
	}
}

func (k *daemon) stopAfter(wait func(*daemon)) {
	k.t.Helper()
	wait(k)
	k.stop()
}

// The flags that write less do so in the daemon as well.
func TestDaemonFlags(t *testing.T) {
	t.Parallel()
	diff := func(d dir, from, to string) string {
		return "--- " + d.file("live/a") + "\n+++ " + d.file("live/a") + "\n@@ -1,1 +1,1 @@\n-" + from + "\n+" + to + "\n"
	}
	tests := map[string]struct {
		flags   []string
		diffs   bool
		live    string
		actions string
	}{
		"none":      {nil, false, "green\n", "blue\ngreen\n"},
		"diff":      {[]string{"-diff"}, true, "green\n", "blue\ngreen\n"},
		"noop":      {[]string{"-noop"}, false, "old\n", ""},
		"noop diff": {[]string{"-noop", "-diff"}, true, "old\n", ""},
		"sync-only": {[]string{"-sync-only"}, false, "green\n", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := colourFiles()
			files["live/a"] = "old\n"
			d := newDir(t, files)
			k := startIn(d, test.flags...)
			k.awaitLog(`msg=(written|"would write") file=` + d.file("live/a") + " bytes=5")
			d.write("objects.yaml", settings("green"))
			k.awaitLog(`msg=(written|"would write") file=` + d.file("live/a") + " bytes=6")
			if test.actions != "" {
				d.awaitFile("actions", test.actions)
			}
			want := ""
			if test.diffs {
				second := diff(d, "blue", "green")
				if test.live == "old\n" {
					second = diff(d, "old", "green")
				}
				want = diff(d, "old", "blue") + second
				await(t, "both diffs are printed", func() bool { return len(k.out.String()) >= len(want) })
			}
			k.stop()
			if got := k.out.String(); got != want {
				t.Errorf("standard output: got %q, want %q", got, want)
			}
			if got := d.read("live/a"); got != test.live {
				t.Errorf("live/a: got %q, want %q", got, test.live)
			}
			if got := d.read("actions"); got != test.actions {
				t.Errorf("actions: got %q, want %q", got, test.actions)
			}
		})
	}
}

// All that the daemon writes to standard error is a line of its log: JSON where
// that is asked for, and text where it is not.
func TestLogFormats(t *testing.T) {
	t.Parallel()
	text := regexp.MustCompile(`^time=\S+ level=(DEBUG|INFO|WARN|ERROR) msg=(\w+|".*")( |$)`)
	tests := map[string]func(line string) bool{
		"text": text.MatchString,
		"json": func(line string) bool {
			var fields struct{ Time, Level, Msg string }
			return json.Unmarshal([]byte(line), &fields) == nil && fields.Time != "" && fields.Level != "" && fields.Msg != ""
		},
	}
	for format, isLine := range tests {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			d := newDir(t, colourFiles())
			k := startIn(d, "-log-format", format, "-log-level", "debug", "-listen", "127.0.0.1:0")
			d.awaitFile("actions", "blue\n")
			// A bit of everything.
			d.write("objects.yaml", "not: [yaml")
			k.awaitLog("manifests refused")
			d.write("objects.yaml", settings("green"))
			d.awaitFile("actions", "blue\ngreen\n")
			d.write("conf/conf.d/a.toml", "nonsense = 1\n")
			k.awaitLog("configuration refused")
			if err := os.Remove(d.file("live/a")); err != nil {
				t.Fatal(err)
			}
			k.awaitLog("touched by somebody else")
			k.signal(syscall.SIGHUP)
			k.stop()
			for line := range strings.Lines(k.log.String()) {
				if !isLine(strings.TrimSuffix(line, "\n")) {
					t.Errorf("not a line of the log: %q", line)
				}
			}
		})
	}
}

// Manifests that turn bad while they are followed change nothing.
func TestManifestsThatTurnBad(t *testing.T) {
	t.Parallel()
	d := newDir(t, colourFiles())
	k := startIn(d)
	d.awaitFile("actions", "blue\n")
	d.write("objects.yaml", settings("green")+"---\nnot: [yaml")
	k.awaitLog(`level=WARN msg="manifests refused, the ones read before stay" err="reading manifests: .*objects.yaml: document from line 2: `)
	if got := d.read("live/a"); got != "blue\n" {
		t.Errorf("live/a: got %q, want that of the good manifests", got)
	}
	d.write("objects.yaml", settings("green"))
	d.awaitFile("actions", "blue\ngreen\n")
	k.stop()
}

// What a template does to the values of its resource file is gone with the run:
// rendering again gives the same.
func TestValuesAreNotChangedByTemplates(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/conf.d/a.toml"] = `
values = { list = [{ n = 1 }] }
[[template]]
src = "a.tmpl"
dest = "$DIR/live/a"
`
	files["conf/templates/a.tmpl"] = `{{ range .Values.list }}{{ $_ := set . "n" (add1 .n) }}{{ .n }}{{ end }} {{ (configMap "settings").colour }}`
	d := newDir(t, files)
	k := startIn(d)
	d.awaitFile("live/a", "2 blue")
	d.write("objects.yaml", settings("green"))
	d.awaitFile("live/a", "2 green")
	k.stop()
}
