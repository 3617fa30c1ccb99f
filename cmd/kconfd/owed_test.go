package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What is live and owed is told also while newer content does not pass its check.
func TestOwedWhileACheckFails(t *testing.T) {
	t.Parallel()
	files := transactionFiles()
	files["broken"] = ""
	files["conf/conf.d/a.toml"] = strings.Replace(files["conf/conf.d/a.toml"], `dest = "$DIR/live/a"`, `dest = "$DIR/live/a"
check_cmd = "! grep -q black {{.src}}"`, 1)
	d := newDir(t, files)
	k := startIn(d)
	k.awaitLog("the process could not be told")
	d.write("objects.yaml", settings("black"))
	k.awaitLog("not applied.*checking")
	if err := os.Remove(d.file("broken")); err != nil {
		t.Fatal(err)
	}
	await(t, "nothing is owed", func() bool { return len(d.glob("live/.*.kconfd")) == 0 })
	if got := d.set(); got != "blue" {
		t.Errorf("live: got %q, want what passed the check", got)
	}
	d.write("objects.yaml", settings("green"))
	await(t, "what is good goes live", func() bool { return d.hasSet("green") && d.read("now") == "green\n" })
	k.stop()
}

// owing is a directory in which a kconfd with these flags has been ended when it
// owed the process a word.
func owing(t *testing.T, flags ...string) dir {
	t.Helper()
	files := transactionFiles()
	files["conf/conf.d/a.toml"] = strings.Replace(files["conf/conf.d/a.toml"], `dest = "$DIR/live/a"`, `dest = "$DIR/live/a"
check_cmd = "! grep -q black {{.src}}"`, 1)
	files["conf/conf.d/a.toml"] = strings.Replace(files["conf/conf.d/a.toml"], "verify_", "# verify_", 2) // nothing is put back
	d := newDir(t, files)
	for i, flag := range flags {
		flags[i] = strings.ReplaceAll(flag, "$DIR", d.path)
	}
	k := startIn(d, flags...)
	await(t, "it has been told", func() bool { return d.read("actions") == "blue\n" && len(d.glob("live/.*")) == 0 })
	d.write("broken", "")
	d.write("objects.yaml", settings("green"))
	k.awaitLog("the process could not be told")
	k.stop()
	d.remove("broken")
	d.remove("actions")
	return d
}

func (d dir) remove(name string) {
	d.t.Helper()
	if err := os.Remove(d.file(name)); err != nil {
		d.t.Fatal(err)
	}
}

// What is owed is told also by the next kconfd, when the resource file has another
// name then, or the files another order.
func TestOwedAfterARename(t *testing.T) {
	t.Parallel()
	const reordered = "[[template]]\ncontents = 'a new one'\ndest = \"$DIR/live/first\"\n"
	for name, test := range map[string]struct{ before, after, resource, more string }{
		"renamed":                              {resource: "z.toml"},
		"renamed, a state directory":           {before: "-state-dir=$DIR/state", after: "-state-dir=$DIR/state", resource: "z.toml"},
		"another first file":                   {resource: "a.toml", more: reordered},
		"both, a state directory":              {before: "-state-dir=$DIR/state", after: "-state-dir=$DIR/state", resource: "z.toml", more: reordered},
		"a state directory that was not there": {after: "-state-dir=$DIR/state", resource: "a.toml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var flags []string
			if test.before != "" {
				flags = append(flags, test.before)
			}
			d := owing(t, flags...)
			resource := d.read("conf/conf.d/a.toml")
			d.remove("conf/conf.d/a.toml")
			d.write("conf/conf.d/"+test.resource, strings.ReplaceAll(test.more, "$DIR", d.path)+resource)
			flags = nil
			if test.after != "" {
				flags = append(flags, strings.ReplaceAll(test.after, "$DIR", d.path))
			}
			k := startIn(d, flags...)
			k.awaitLog("an earlier kconfd was cut off.*owed=true|action pending since an earlier failure")
			await(t, "what is owed is told", func() bool { return strings.HasPrefix(d.read("actions"), "green\n") })
			await(t, "nothing is owed", func() bool { return len(d.glob("live/.*.kconfd")) == 0 })
			k.stop()
		})
	}
}

// Kconfd -onetime tells what an earlier one owes, also when newer content does not
// pass its check.
func TestOwedByOnetime(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]bool{"told": false, "still broken": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := owing(t)
			d.write("objects.yaml", settings("black"))
			if broken {
				d.write("broken", "")
			}
			k := startIn(d, "-onetime")
			if code := k.code(); code != 1 {
				t.Errorf("got exit code %d, want 1: the newest is not applied", code)
			}
			if got := d.read("actions"); !strings.HasPrefix(got, "green\n") {
				t.Errorf("the process was told of %q, want green", got)
			}
			if left := d.glob("live/.*.kconfd"); len(left) > 0 != broken {
				t.Errorf("owed: %q", left)
			}
		})
	}
}

// A list that has shrunk is released after its time, whatever was owed meanwhile.
func TestReleaseAfterWhatWasOwed(t *testing.T) {
	t.Parallel()
	files := shrinkingFiles(`hold = "2s"`)
	files["conf/conf.d/a.toml"] = strings.Replace(files["conf/conf.d/a.toml"], "verify_", "# verify_", 2) // nothing is put back
	d := newDir(t, files)
	k := startIn(d, "-state-dir", d.file("state"))
	k.awaitLog("told action")
	d.write("broken", "")
	d.write("objects.yaml", members(3))
	k.awaitLog("the process could not be told")
	d.write("objects.yaml", members(1))
	k.awaitLog("1 of 4, and max_shrink is 50%")
	if err := os.Remove(d.file("broken")); err != nil {
		t.Fatal(err)
	}
	await(t, "one is told", func() bool { return strings.Count(d.read("now"), "10.") == 1 })
	k.stop()
}

// What has been put back is what the next list is compared with, also by the next
// kconfd.
func TestGuardsCompareWithWhatIsLive(t *testing.T) {
	t.Parallel()
	d := newDir(t, shrinkingFiles(`hold = "none"`))
	k := startIn(d, "-state-dir", d.file("state"))
	k.awaitLog("verified")
	d.write("bad", "10.0.0.1 10.0.0.2 \n")
	d.write("objects.yaml", members(2))
	k.awaitLog("the files are what they were before")
	k.stop()
	d.write("objects.yaml", members(1))
	k = startIn(d, "-state-dir", d.file("state"))
	k.awaitLog("1 of 4, and max_shrink is 50%")
	k.stop()
	if got := strings.Count(d.read("live/a"), "10."); got != 4 {
		t.Errorf("live/a has %d, want the four that were put back", got)
	}
}

// A group that is configured anew is compared with what was applied before.
func TestGuardsOutliveReconfiguration(t *testing.T) {
	t.Parallel()
	d := newDir(t, shrinkingFiles(`hold = "none"`))
	k := startIn(d)
	k.awaitLog("verified")
	d.write("objects.yaml", members(1))
	k.awaitLog("1 of 4, and max_shrink is 50%")
	d.write("conf/conf.d/a.toml", strings.Replace(d.read("conf/conf.d/a.toml"), "50%", "40%", 1))
	k.awaitLog("1 of 4, and max_shrink is 40%")
	k.stop()
	if got := strings.Count(d.read("live/a"), "10."); got != 4 {
		t.Errorf("live/a has %d, want the last good four", got)
	}
}

// shrinkingFiles is a group whose list may lose half of its members at once.
func shrinkingFiles(hold string) map[string]string {
	files := transactionFiles()
	files["objects.yaml"] = members(4)
	files["conf/templates/a.tmpl"] = `{{ range endpoints "db" }}{{ .Address }} {{ end }}` + "\n"
	files["conf/conf.d/a.toml"] += `[[guard]]
endpoints = "db"
max_shrink = "50%"
` + hold + "\n"
	return files
}

// A guard that has let go is no reason to look again, at once and for ever, when
// another one still holds.
func TestGuardLetsGoOnce(t *testing.T) {
	t.Parallel()
	since := time.Now()
	g := guard{config: guardConfig{hold: time.Minute}, since: since}
	if got, want := g.release(since.Add(time.Second)), since.Add(time.Minute); !got.Equal(want) {
		t.Errorf("held: got %v, want %v", got, want)
	}
	if got := g.release(since.Add(time.Minute)); !got.IsZero() {
		t.Errorf("let go: got %v, want never", got)
	}
}

// Content that went back to what it had been, before what was between had been
// verified, and is not verified itself: there is nothing to go back to. The
// process is told again until it is.
func TestVerifyWhatWasThereBefore(t *testing.T) {
	t.Parallel()
	files := transactionFiles()
	files["conf/conf.d/a.toml"] = strings.Replace(files["conf/conf.d/a.toml"], `verify_cmd = "`, `verify_cmd = "test ! -e $DIR/unwell && `, 1)
	d := newDir(t, files)
	k := startIn(d)
	k.awaitLog("verified")
	d.write("unwell", "")
	d.write("objects.yaml", settings("green"))
	await(t, "it is told", func() bool { return d.read("actions") == "blue\ngreen\n" })
	d.write("objects.yaml", settings("blue"))
	k.awaitLog("not applied.*written, but the process could not be told: verifying")
	await(t, "it is told again", func() bool { return strings.HasPrefix(d.read("actions"), "blue\ngreen\nblue\nblue\n") })
	d.remove("unwell")
	k.awaitLog("in order again")
	await(t, "nothing is owed", func() bool { return len(d.glob("live/.*")) == 0 })
	k.stop()
	if got := k.count("putting the files back"); got > 0 {
		t.Errorf("the files were put back %d times, to what they were", got)
	}
}

// A group whose resource file is removed while it owes is shown, and told of once
// there is one again.
func TestOwedWithoutAResourceFile(t *testing.T) {
	t.Parallel()
	d := owing(t)
	d.write("broken", "")
	d.write("conf/conf.d/other.toml", "[[template]]\ncontents = 'another'\ndest = \""+d.file("live/other")+"\"\n")
	k := startIn(d, "-listen", "127.0.0.1:0")
	k.awaitLog("the process could not be told|still owed")
	resource := d.read("conf/conf.d/a.toml")
	d.remove("conf/conf.d/a.toml")
	shown := func() bool {
		_, text := k.get("/status")
		return strings.Contains(text, "its resource file is gone")
	}
	await(t, "it is shown", shown)
	d.remove("broken")
	d.remove("actions")
	d.write("conf/conf.d/b.toml", resource)
	await(t, "it is told", func() bool { return strings.HasPrefix(d.read("actions"), "green\n") })
	await(t, "it is shown no more", func() bool { return !shown() })
	await(t, "nothing is owed", func() bool { return len(d.glob("live/.*.kconfd")) == 0 })
	k.stop()
}

// What is taken over from another ledger is in the own one before the other is gone.
func TestLedgerAdopts(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a")
	other := ledgerBeside(file)
	if err := (&ledger{path: other, entry: entry{Files: []string{file}}}).save(entry{Owed: true}); err != nil {
		t.Fatal(err)
	}
	full := &ledger{path: filepath.Join(file, "nowhere", "l.json"), must: true, entry: entry{Files: []string{file}}}
	if err := full.adopt([]string{other}); err == nil {
		t.Error("got no error from a ledger that cannot be written")
	}
	l := &ledger{path: filepath.Join(filepath.Dir(file), "l.json"), entry: entry{Files: []string{file}}}
	if err := l.adopt([]string{other}); err != nil || !l.Owed {
		t.Fatalf("got owed %v and error %v, want what was owed before", l.Owed, err)
	}
	if _, err := os.Stat(other); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the other ledger: got %v, want it to be gone", err)
	}
}

// The candidates' names do not make an error another one; exit codes do.
func TestSameTrouble(t *testing.T) {
	t.Parallel()
	full := errors.New("creating .my.cnf2367278231982391: no space left on device")
	for text, want := range map[string]bool{
		"creating .my.cnf9963023019283746: no space left on device": true,
		"creating .my.cnf9963023019283746: permission denied":       false,
	} {
		if got := sameTrouble(full, errors.New(text)); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
	if sameTrouble(errors.New("exit status 1"), errors.New("exit status 2")) {
		t.Error("two exit codes are taken for the same trouble")
	}
}

// The counts of guards are known again after a restart with other guards.
func TestGuardsKnowTheirCounts(t *testing.T) {
	t.Parallel()
	d := newDir(t, shrinkingFiles(`hold = "none"`))
	k := startIn(d, "-state-dir", d.file("state"))
	k.awaitLog("verified")
	await(t, "nothing is owed", func() bool { return len(d.glob("live/.*")) == 0 })
	k.stop()
	resource := d.read("conf/conf.d/a.toml")
	d.write("conf/conf.d/a.toml", strings.Replace(resource, "[[guard]]", "[[guard]]\nservices = \"app=db\"\nmax_shrink = \"10%\"\n[[guard]]", 1))
	d.write("objects.yaml", members(1))
	k = startIn(d, "-state-dir", d.file("state"))
	k.awaitLog("1 of 4, and max_shrink is 50%")
	k.stop()
}

// A signal that comes while what an earlier kconfd left is looked at ends kconfd as at
// any other time.
func TestSignalDuringRecovery(t *testing.T) {
	t.Parallel()
	d := newDir(t, transactionFiles())
	path := d.file("live/.a.kconfd") // the ledger, which is not read before somebody writes
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	k := startIn(d)
	ledger, err := os.OpenFile(path, os.O_WRONLY, 0) // once it is being read
	if err != nil {
		t.Fatal(err)
	}
	k.signal(syscall.SIGTERM)
	d.remove("live/.a.kconfd")
	if err := ledger.Close(); err != nil {
		t.Fatal(err)
	}
	if code := k.code(); code != 0 {
		t.Errorf("got exit code %d, want 0", code)
	}
}
