package main

import (
	"os"
	"strings"
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
