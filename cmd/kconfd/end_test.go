package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/render"
	"github.com/kconfd/kconfd/watcher"
)

// A template that takes very long does not hold up the end, and nothing comes of it.
func TestEndsDuringATemplate(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["live/a"] = "old\n"
	files["conf/templates/a.tmpl"] = `{{ range until 1000000 }}{{ range until 1000000 }}{{ end }}{{ end }}new` + "\n"
	files["conf/conf.d/a.toml"] += "[limits]\niterations = 1000000000\ntime = \"10m\"\n" // it computes until the end
	d := newDir(t, files)
	before := fingerprintOf(d.file("live/a"))
	k := startIn(d)
	k.awaitBusy()
	took, code := k.end(syscall.SIGTERM)
	t.Logf("ended after %v", took)
	if took > soon || code != 0 {
		t.Errorf("ended after %v with %d, want less than %v and 0", took, code, soon)
	}
	if now := fingerprintOf(d.file("live/a")); now != before {
		t.Errorf("live/a was touched: %+v, was %+v", now, before)
	}
	d.wantNoLeftovers("live")
}

// awaitBusy waits until kconfd has computed for a while: more than any start takes.
func (k *daemon) awaitBusy() {
	k.t.Helper()
	await(k.t, "kconfd computes", func() bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(k.cmd.Process.Pid) + "/stat")
		if err != nil {
			k.t.Fatal(err)
		}
		// Behind the name: state, ten numbers, and the user time in hundredths of a second.
		_, fields, _ := strings.Cut(string(stat), ") ")
		used, err := strconv.Atoi(strings.Fields(fields)[11])
		return err == nil && used > 50
	})
}

// benchEngine is an engine for its jobs only, which nothing runs.
func benchEngine(log slog.Handler) *engine {
	return newEngine(&flags{}, slog.New(log), watcher.NewOffline(), &render.Redactor{})
}

// jobOn is a job that wants the content in a file.
func jobOn(path, content string) *job {
	g := &groupConfig{name: "test", templates: []templateConfig{{}}}
	of := &group{groupConfig: *g, unkept: map[string]string{}, unseen: map[string]bool{}, shown: shown{outputs: &outputs{}}}
	return &job{of: of, group: g, ledger: &ledger{}, files: []render.File{{Dest: path, Content: []byte(content), UID: -1, GID: -1}}}
}

// After the end has been ordered nothing goes live: nobody would tell the process.
// That holds as well for what a check has just found good.
func TestNothingGoesLiveAfterTheEnd(t *testing.T) {
	for name, check := range map[string]*reload.Command{
		"no check":            nil,
		"a check that passes": {Shell: "true"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a")
			j := jobOn(path, "new\n")
			j.group.check = check
			why := errors.New("the end")
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(why)
			if err := benchEngine(slog.DiscardHandler).write(ctx, j); !errors.Is(err, why) {
				t.Errorf("got %v, want %v", err, why)
			}
			if left := candidatesBeside(path); len(left) > 0 {
				t.Errorf("in the directory: %q, want nothing", left)
			}
		})
	}
}

func candidatesBeside(path string) []string {
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")) // the pattern is good
	hidden, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	return append(left, hidden...)
}

// A check that ends well when it is told to end does not make the file go live.
func TestCheckThatEndsAfterSIGTERM(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["live/a"] = "old\n"
	files["conf/conf.d/a.toml"] = `
[[template]]
src = "a.tmpl"
dest = "$DIR/live/a"
check_cmd = "exec onsignal 'ready=echo >$DIR/checking' TERM:0="
`
	d := newDir(t, files)
	k := startIn(d)
	await(t, "the check runs", func() bool { return d.read("checking") != "" })
	k.stop()
	if got := d.read("live/a"); got != "old\n" {
		t.Errorf("live/a: got %q, want the old one", got)
	}
	d.wantNoLeftovers("live")
}

// atWritten does something when the log says that a file was written: after it
// went live, and before kconfd looks at it again.
type atWritten struct {
	slog.Handler
	do func()
}

func (h atWritten) Enabled(context.Context, slog.Level) bool { return true }

func (h atWritten) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "written" {
		h.do()
	}
	return nil
}

// Somebody else who replaces the file between kconfd's rename and its look at it is
// noticed: that is not what kconfd wrote.
func TestAnotherWriterAtOnce(t *testing.T) {
	for name, replaced := range map[string]bool{"replaced": true, "left alone": false} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a")
			e := benchEngine(atWritten{slog.DiscardHandler, func() {
				if !replaced {
					return
				}
				if err := os.WriteFile(path+".new", []byte("by another"), 0o644); err != nil {
					t.Error(err)
				}
				if err := os.Rename(path+".new", path); err != nil {
					t.Error(err)
				}
			}})
			j := jobOn(path, "new\n")
			if err := e.write(t.Context(), j); err != nil {
				t.Fatal(err)
			}
			g := &group{onDisk: j.onDisk}
			if got := g.drifted(); got != replaced {
				t.Errorf("drifted: got %v, want %v", got, replaced)
			}
		})
	}
}

// A command that edits the file a moment later, over and over, is answered with
// growing pauses, and not as fast as kconfd can.
func TestCommandThatEditsTheFileLater(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/conf.d/a.toml"] = `
[[template]]
src = "a.tmpl"
dest = "$DIR/live/a"
[reload]
action = "exec"
command = "echo told >>$DIR/actions; (sleep 0.1; echo edited >>$DIR/live/a) >/dev/null 2>&1 &"
`
	d := newDir(t, files)
	k := startIn(d)
	d.awaitLines("actions", 2) // the first was undone
	time.Sleep(3 * time.Second)
	k.stop()
	if got := d.lines("actions"); got > 4 {
		t.Errorf("told %d times in a few seconds, want no more than 4", got)
	}
}

// What a killed kconfd left is removed by the next one that writes; what is young
// may be another's at work, and what only looks like it is somebody's.
func TestLeftoversAreRemoved(t *testing.T) {
	t.Parallel()
	const left, young, other = "live/.a1234567890123456789", "live/.a1234567890123456780", "live/.a2"
	tests := map[string]struct {
		args  []string
		stays bool
	}{
		"daemon":  {nil, false},
		"onetime": {[]string{"-onetime"}, false},
		"noop":    {[]string{"-onetime", "-noop"}, true},
		"render":  {[]string{"render"}, true},
		"lint":    {[]string{"lint"}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := colourFiles()
			files[left], files[young], files[other] = "old\n", "young\n", "other\n"
			d := newDir(t, files)
			then := time.Now().Add(-time.Hour)
			for _, name := range []string{left, other} {
				if err := os.Chtimes(d.file(name), then, then); err != nil {
					t.Fatal(err)
				}
			}
			from := []string{"-manifests", d.file("objects.yaml"), "-confdir", d.file("conf")}
			k := start(t, append(test.args, from...)...)
			if name == "daemon" {
				d.awaitFile("live/a", "blue\n")
				k.stop()
			}
			<-k.ended
			if stays := d.read(left) != ""; stays != test.stays {
				t.Errorf("what was left stays: %v, want %v", stays, test.stays)
			}
			if d.read(young) == "" || d.read(other) == "" {
				t.Error("what is young or another's is gone")
			}
		})
	}
}
