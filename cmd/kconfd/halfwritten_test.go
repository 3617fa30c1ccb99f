package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// writtenQuiet is the quiet time of the tests with slow writers, and writtenPause about how long these
// pause.
const (
	writtenQuiet = 250 * time.Millisecond
	writtenPause = 40 * time.Millisecond
)

// A slowWriter writes files in pieces. It notes the longest time between two pieces, since a busy
// machine may stop it in between.
type slowWriter struct {
	dir
	n    int    // the round
	done func() // called after each step; may be nil
	last time.Time
	gap  time.Duration
}

// step does one thing that changes a file, after a pause.
func (w *slowWriter) step(do func() error) {
	w.t.Helper()
	if !w.last.IsZero() {
		time.Sleep(writtenPause + time.Duration(w.n%3)*writtenPause/2)
	}
	if err := do(); err != nil {
		w.t.Error(err)
	}
	now := time.Now()
	if !w.last.IsZero() {
		w.gap = max(w.gap, now.Sub(w.last))
	}
	if w.last = now; w.done != nil {
		w.done()
	}
}

// pieces are what is to be written, in three parts.
func pieces(content string) []string {
	third := len(content) / 3
	return []string{content[:third], content[third : 2*third], content[2*third:]}
}

// writeSlowly opens a file, and writes the pieces to it.
func (w *slowWriter) writeSlowly(name, content string, flags int) {
	w.t.Helper()
	content = strings.ReplaceAll(content, "$DIR", w.path)
	var f *os.File
	w.step(func() (err error) {
		f, err = os.OpenFile(w.file(name), flags|os.O_WRONLY|os.O_CREATE, 0o644)
		return err
	})
	for _, piece := range pieces(content) {
		w.step(func() error { _, err := f.WriteString(piece); return err })
	}
	if err := f.Close(); err != nil {
		w.t.Error(err)
	}
}

// A writtenCase is a way to write the files that belong to round n.
type writtenCase struct {
	write func(w *slowWriter)
	// want is what is live after round n; wholeText(n) without one.
	want func(n int) string
	// files are those of the configuration that differ from the usual.
	files map[string]string
}

// wholeText is what a template has in round n: a part of it is seen to be one.
func wholeText(n int) string {
	return fmt.Sprintf("begin %04d\n%send %04d\n", n, strings.Repeat("something to read\n", 20), n)
}

func writtenCases() map[string]writtenCase {
	const template = "conf/templates/a.tmpl"
	truncated := func(name string, content func(n int) string) func(w *slowWriter) {
		return func(w *slowWriter) { w.writeSlowly(name, content(w.n), os.O_TRUNC) }
	}
	objects := func(n int) string {
		return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata:\n  a: begin %04d\n%s  z: end %04d\n",
			n, strings.Repeat("  # a comment of the writer\n", 20), n)
	}
	return map[string]writtenCase{
		"template, truncated": {write: truncated(template, wholeText)},
		"template, overwritten": {write: func(w *slowWriter) {
			w.writeSlowly(template, wholeText(w.n), 0)
		}},
		"template, removed": {write: func(w *slowWriter) {
			w.step(func() error { return os.Remove(w.file(template)) })
			w.writeSlowly(template, wholeText(w.n), os.O_EXCL)
		}},
		"template, appended": {
			write: func(w *slowWriter) { w.writeSlowly(template, wholeText(w.n), os.O_APPEND) },
			want: func(n int) (all string) {
				for i := range n + 1 {
					all += wholeText(i)
				}
				return all
			},
		},
		"template, copied": {write: func(w *slowWriter) {
			w.step(func() error { return os.WriteFile(w.file("source"), []byte(wholeText(w.n)), 0o644) })
			w.step(func() error { return exec.Command("cp", w.file("source"), w.file(template)).Run() })
		}},
		"template, renamed": {write: func(w *slowWriter) {
			w.writeSlowly("conf/templates/new", wholeText(w.n), os.O_TRUNC)
			w.step(func() error { return os.Rename(w.file("conf/templates/new"), w.file(template)) })
		}},
		"template, link swapped": {write: func(w *slowWriter) {
			name := fmt.Sprintf("..%d", w.n)
			w.step(func() error { return os.MkdirAll(w.file("conf/templates/"+name), 0o755) })
			w.writeSlowly("conf/templates/"+name+"/a.tmpl", wholeText(w.n), os.O_TRUNC)
			w.step(func() error { return os.Symlink(name, w.file("conf/templates/..data_tmp")) })
			w.step(func() error {
				return os.Rename(w.file("conf/templates/..data_tmp"), w.file("conf/templates/..data"))
			})
			if w.n == 1 {
				w.step(func() error { return os.Symlink("..data/a.tmpl", w.file("conf/templates/tmp")) })
				w.step(func() error { return os.Rename(w.file("conf/templates/tmp"), w.file(template)) })
			}
		}},
		"template and partial": {
			write: func(w *slowWriter) {
				names := []string{template, "conf/templates/_p.tmpl", "conf/templates/_q.tmpl"}
				for i, name := range names {
					content := fmt.Sprintf("%s %04d\n", []string{`begin {{ include "_p.tmpl" . }}{{ include "_q.tmpl" . }}`, "middle", "end"}[i], w.n)
					w.writeSlowly(name+".new", content, os.O_TRUNC)
				}
				for _, name := range names {
					w.step(func() error { return os.Rename(w.file(name+".new"), w.file(name)) })
				}
			},
			want: func(n int) string { return fmt.Sprintf("begin middle %04[1]d\nend %04[1]d\n %04[1]d\n", n) },
			files: map[string]string{
				template:                 `begin {{ include "_p.tmpl" . }}{{ include "_q.tmpl" . }} 0000` + "\n",
				"conf/templates/_p.tmpl": "middle 0000\n", "conf/templates/_q.tmpl": "end 0000\n",
			},
		},
		"resource file and template": {
			write: func(w *slowWriter) {
				truncated("conf/conf.d/a.toml", writtenResource)(w)
				truncated(template, func(n int) string { return fmt.Sprintf("{{ .Values.n }} is %04d\n", n) })(w)
			},
			want:  func(n int) string { return fmt.Sprintf("%04[1]d is %04[1]d\n", n) },
			files: map[string]string{template: "{{ .Values.n }} is 0000\n"},
		},
		"manifest, truncated": {
			write: truncated("objects.yaml", objects),
			want:  func(n int) string { return fmt.Sprintf("begin %04[1]d end %04[1]d ", n) },
			files: map[string]string{
				"objects.yaml": objects(0), template: `{{ range $key, $value := configMap "settings" }}{{ $value }} {{ end }}`,
			},
		},
	}
}

// writtenResource is a resource file whose beginning is one too.
func writtenResource(n int) string {
	return fmt.Sprintf(`
reload = {action = "exec", command = "cat $DIR/live/a >>$DIR/actions; echo --- >>$DIR/actions"}
[[template]]
src = "a.tmpl"
dest = "$DIR/live/a"
[values]
n = "%04d"
`, n)
}

func (c writtenCase) dir(t *testing.T) dir {
	files := map[string]string{
		"objects.yaml": "", "conf/templates/a.tmpl": wholeText(0), "conf/conf.d/a.toml": writtenResource(0), "live/keep": "",
	}
	for name, content := range c.files {
		files[name] = content
	}
	return newDir(t, files)
}

func (c writtenCase) whole(n int) string {
	if c.want == nil {
		return wholeText(n)
	}
	return c.want(n)
}

// What is written slowly goes live as a whole, after one action, and not before the quiet time has
// passed: no part of it is ever live, and none is refused as a bad configuration.
func TestNothingHalfWrittenGoesLive(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	counted, spoilt := 0, 0
	t.Run("", func(t *testing.T) {
		for name, c := range writtenCases() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				done, bad := c.run(t, writtenRounds)
				mu.Lock()
				defer mu.Unlock()
				counted, spoilt = counted+done, spoilt+bad
			})
		}
	})
	t.Logf("%d rounds; in %d more, the machine kept the writer waiting for too long", counted, spoilt)
}

// run writes until there have been enough rounds in which the writer's pauses were short enough.
func (c writtenCase) run(t *testing.T, rounds int) (counted, spoilt int) {
	d := c.dir(t)
	k := start(t, "-manifests", d.file("objects.yaml"), "-confdir", d.file("conf"), "-wait", writtenQuiet.String(), "-log-level", "debug")
	d.awaitFile("actions", c.whole(0)+"---\n")
	k.awaitLog("configuration read") // what began before the first round is over
	seen := len(d.read("actions"))
	for n := 1; counted < rounds; n++ {
		w := &slowWriter{dir: d, n: n}
		refused := k.count("refused")
		c.write(w)
		want := c.whole(n) + "---\n"
		if !comes(func() bool { return strings.HasSuffix(d.read("actions"), want) }) {
			t.Fatalf("round %d: waited in vain for %q", n, want)
		}
		actions := d.read("actions")
		new, refusals := actions[seen:], k.count("refused")-refused
		seen = len(actions)
		if w.gap > writtenQuiet*4/5 {
			if spoilt++; spoilt > 10*rounds {
				t.Fatalf("the machine is too busy: %d of %d rounds count", counted, n)
			}
			continue
		}
		counted++
		if new != want {
			t.Errorf("round %d, with pauses of %v at most: live was\n%s\nwant only the last", n, w.gap, new)
		}
		if refusals > 0 {
			t.Errorf("round %d, with pauses of %v at most: the configuration was refused %d times", n, w.gap, refusals)
		}
	}
	k.stop()
	return counted, spoilt
}

// A start in the middle of a write waits for its end: of -onetime, of the daemon, and of render.
func TestStartsInTheMiddleOfAWrite(t *testing.T) {
	t.Parallel()
	for name, c := range writtenCases() {
		for _, mode := range []string{"onetime", "daemon", "render"} {
			if mode != "onetime" && writtenShort && !strings.Contains(name, "truncated") {
				continue
			}
			t.Run(name+", "+mode, func(t *testing.T) {
				t.Parallel()
				for n := 1; ; n++ {
					if c.startsWhole(t, mode) {
						return
					}
					if n == 20 {
						t.Fatal("the machine is too busy")
					}
				}
			})
		}
	}
}

// startsWhole starts kconfd while round 1 is being written. It is false when the writer was kept waiting
// for too long.
func (c writtenCase) startsWhole(t *testing.T, mode string) bool {
	d := c.dir(t)
	begun, written := make(chan struct{}), make(chan struct{})
	w := &slowWriter{dir: d, n: 1, done: sync.OnceFunc(func() { close(begun) })}
	go func() { // ends with the write
		defer close(written)
		c.write(w)
	}()
	<-begun
	args := []string{"-manifests", d.file("objects.yaml"), "-confdir", d.file("conf"), "-wait", writtenQuiet.String()}
	live := ""
	switch mode {
	case "render":
		cmd := exec.Command("kconfd", append([]string{"render"}, args...)...)
		var out, log bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &log
		err := cmd.Run()
		<-written
		if live = out.String(); err != nil {
			live += err.Error() + log.String()
		}
	case "onetime":
		k := start(t, append(args, "-onetime")...)
		<-k.ended
		<-written
		if live = d.read("live/a"); k.cmd.ProcessState.ExitCode() != 0 {
			live += k.log.String()
		}
	case "daemon":
		k := start(t, args...)
		<-written
		await(t, "an action", func() bool { return strings.HasSuffix(d.read("actions"), c.whole(1)+"---\n") })
		k.stop()
		live = strings.TrimSuffix(strings.TrimPrefix(d.read("actions"), c.whole(0)+"---\n"), "---\n")
	}
	// The old one is whole, where the write had not begun.
	if w.gap > writtenQuiet*4/5 {
		return false
	}
	if live != c.whole(1) && (mode == "daemon" || live != c.whole(0)) {
		t.Errorf("pauses of %v at most: got\n%s\nwant\n%s", w.gap, live, c.whole(1))
	}
	return true
}

// Files that settings are rendered from are such files too: here, a name is written in two parts.
func TestHalfWrittenSettings(t *testing.T) {
	t.Parallel()
	d := newDir(t, map[string]string{
		"name": "name-0", "objects.yaml": "", "live/keep": "",
		"conf/conf.d/a.toml": "[[template]]\ncontents = \"content\"\ndest = \"$DIR/live/{{ file `$DIR/name` }}\"\n",
	})
	k := start(t, "-manifests", d.file("objects.yaml"), "-confdir", d.file("conf"), "-wait", writtenQuiet.String())
	d.awaitFile("live/name-0", "content")
	spoilt := false
	for n := 1; n <= 5; n++ {
		w := &slowWriter{dir: d, n: n}
		w.writeSlowly("name", "name-"+strconv.Itoa(n), os.O_TRUNC)
		d.awaitFile("live/name-"+strconv.Itoa(n), "content")
		spoilt = spoilt || w.gap > writtenQuiet*4/5
	}
	k.stop()
	files, _ := filepath.Glob(d.file("live/name*"))
	halves := len(files) - 6
	if (halves > 0 || k.count("refused") > 0) && !spoilt {
		t.Errorf("%d files of half names: %q", halves, files)
	}
}

// A quiet time of a group's own holds for its files, and -wait 0s, which is for objects, does not do
// away with that of files.
func TestQuietTimeOfFiles(t *testing.T) {
	t.Parallel()
	c := writtenCases()["template, truncated"]
	c.files = map[string]string{"conf/conf.d/a.toml": "wait = \"" + writtenQuiet.String() + "\"" + writtenResource(0)}
	d := c.dir(t)
	k := startIn(d)
	d.awaitFile("actions", c.whole(0)+"---\n")
	for n := 1; ; n++ {
		w := &slowWriter{dir: d, n: n}
		seen := len(d.read("actions"))
		c.write(w)
		await(t, "an action", func() bool { return strings.HasSuffix(d.read("actions"), c.whole(n)+"---\n") })
		if w.gap > writtenQuiet*4/5 && n < 20 {
			continue
		}
		if got := d.read("actions")[seen:]; got != c.whole(n)+"---\n" {
			t.Errorf("pauses of %v: live was\n%s", w.gap, got)
		}
		break
	}
	k.stop()
}

// cp empties a file before it writes it: with no pause at all, and without any quiet time for objects.
func TestCopiedInPlace(t *testing.T) {
	t.Parallel()
	c := writtenCases()["template, copied"]
	d := c.dir(t)
	k := startIn(d)
	d.awaitFile("actions", c.whole(0)+"---\n")
	for n := 1; n <= 40; n++ {
		d.write("source", wholeText(n))
		if err := exec.Command("cp", d.file("source"), d.file("conf/templates/a.tmpl")).Run(); err != nil {
			t.Fatal(err)
		}
		await(t, "an action", func() bool { return strings.HasSuffix(d.read("actions"), wholeText(n)+"---\n") })
	}
	k.stop()
	for n, live := range strings.SplitAfter(d.read("actions"), "---\n") {
		if n <= 40 && live != wholeText(n)+"---\n" {
			t.Errorf("%d: live was %q", n, live)
		}
	}
}

// A file that never comes to rest keeps the configuration that was read before, and the log says which
// file it is. The first start ends with its name.
func TestFileThatIsAlwaysWritten(t *testing.T) {
	t.Parallel()
	c := writtenCases()["template, truncated"]
	d := c.dir(t)
	k := start(t, "-manifests", d.file("objects.yaml"), "-confdir", d.file("conf"), "-wait", "1s")
	d.awaitFile("actions", c.whole(0)+"---\n")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // until stop
		defer close(stopped)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				_ = os.WriteFile(d.file("conf/templates/a.tmpl"), []byte(strings.Repeat("x", n%100)), 0o644)
			}
		}
	}()
	k.awaitLog(`level=WARN msg="configuration still changes, the one before stays" file=\S*/a.tmpl`)
	once := exec.Command("kconfd", "-onetime", "-manifests", d.file("objects.yaml"), "-confdir", d.file("conf"), "-timeout", "1s", "-wait", "1s")
	out, err := once.CombinedOutput()
	if once.ProcessState.ExitCode() != exitDeadline || !strings.Contains(string(out), `a.tmpl" is still being written after 5s`) {
		t.Errorf("-onetime: %v\n%s", err, out)
	}
	close(stop)
	<-stopped
	if got := d.read("live/a"); got != c.whole(0) {
		t.Errorf("live: %q", got)
	}
	d.write("conf/templates/a.tmpl", wholeText(1))
	d.awaitFile("live/a", wholeText(1))
	k.stop()
}

// Files that are older than the quiet time cost no wait at the start.
func TestStartWithOldFiles(t *testing.T) {
	t.Parallel()
	const long = 3 * time.Second
	d := writtenCase{}.dir(t)
	time.Sleep(long) // no event says that a file is old
	run := func() time.Duration {
		began := time.Now()
		k := start(t, "-onetime", "-manifests", d.file("objects.yaml"), "-confdir", d.file("conf"), "-wait", long.String())
		<-k.ended
		if d.read("live/a") != wholeText(0) {
			t.Errorf("live: %q", d.read("live/a"))
		}
		return time.Since(began)
	}
	// A busy machine may keep one of them waiting, but not all.
	best := min(run(), run(), run())
	if best >= long {
		t.Errorf("took %v, as long as the quiet time", best)
	}
	t.Logf("took %v with a quiet time of %v", best, long)
}
