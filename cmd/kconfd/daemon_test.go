package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kconfd/kconfd/test/process"
)

// testPatience is how long a test waits for what must come. It is long, since the
// machine may have much else to do, and nobody waits for it when all is well.
const testPatience = time.Minute

// comes waits until a condition holds, and says whether it did.
func comes(holds func() bool) bool {
	deadline := time.After(testPatience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			return holds()
		}
	}
	return true
}

// await waits until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	if !comes(holds) {
		t.Fatalf("waited in vain: %s", what)
	}
}

// A dir is a test's own directory. In what is written there, $DIR stands for its
// path.
type dir struct {
	t    *testing.T
	path string
}

func newDir(t *testing.T, files map[string]string) dir {
	t.Helper()
	d := dir{t, t.TempDir()}
	for name, content := range files {
		d.write(name, content)
	}
	return d
}

func (d dir) file(name string) string { return filepath.Join(d.path, name) }

// write makes a file, as an editor does: beside it, then renamed.
func (d dir) write(name, content string) {
	d.t.Helper()
	path := d.file(name)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path+"~", []byte(strings.ReplaceAll(content, "$DIR", d.path)), 0o644)
	}
	if err == nil {
		err = os.Rename(path+"~", path)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// read is a file's content, empty when it is not there.
func (d dir) read(name string) string {
	d.t.Helper()
	content, err := os.ReadFile(d.file(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		d.t.Fatal(err)
	}
	return string(content)
}

// lines is how many a file has.
func (d dir) lines(name string) int { return strings.Count(d.read(name), "\n") }

// awaitFile waits until a file has the content.
func (d dir) awaitFile(name, want string) {
	d.t.Helper()
	if !comes(func() bool { return d.read(name) == want }) {
		d.t.Fatalf("%s has %q, want %q", name, d.read(name), want)
	}
}

// awaitLines waits until a file has so many lines.
func (d dir) awaitLines(name string, want int) {
	d.t.Helper()
	await(d.t, name+" has its lines", func() bool { return d.lines(name) >= want })
}

// glob finds files.
func (d dir) glob(pattern string) []string {
	d.t.Helper()
	found, err := filepath.Glob(d.file(pattern))
	if err != nil {
		d.t.Fatal(err)
	}
	return found
}

// wantNoLeftovers fails when a candidate, a backup or a ledger is left in a
// directory.
func (d dir) wantNoLeftovers(name string) {
	d.t.Helper()
	left, err := filepath.Glob(filepath.Join(d.file(name), ".*"))
	if err != nil || len(left) > 0 {
		d.t.Errorf("left in %s: %q (%v)", name, left, err)
	}
}

// wantOwedAtMost is the same where kconfd may have been ended in the middle of
// an action: then a ledger and the way back are there, and nothing else.
func (d dir) wantOwedAtMost(name string) {
	d.t.Helper()
	ledgers, err := filepath.Glob(filepath.Join(d.file(name), ".*.kconfd"))
	if err != nil || len(ledgers) == 0 {
		d.wantNoLeftovers(name)
		return
	}
	left, err := filepath.Glob(filepath.Join(d.file(name), ".*"))
	left = slices.DeleteFunc(left, func(path string) bool {
		return slices.Contains(ledgers, path) || filepath.Ext(path) == ".old"
	})
	if err != nil || len(left) > 0 {
		d.t.Errorf("left in %s: %q (%v)", name, left, err)
	}
}

// A daemon is a kconfd that runs.
type daemon struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, log *process.Output
	ended    chan struct{} // closed when it has
}

// start starts kconfd; the test's end kills it if it is still there.
func start(t *testing.T, args ...string) *daemon {
	t.Helper()
	return startCmd(t, exec.Command("kconfd", args...))
}

func startCmd(t *testing.T, cmd *exec.Cmd) *daemon {
	t.Helper()
	k := &daemon{t: t, cmd: cmd, out: &process.Output{}, log: &process.Output{}, ended: make(chan struct{})}
	k.cmd.Stdout, k.cmd.Stderr = k.out, k.log
	k.run()
	return k
}

func (k *daemon) run() {
	t := k.t
	t.Helper()
	k.cmd.WaitDelay = time.Second // for what it might leave with its standard output
	mark := fmt.Sprintf("MARK=%s-%d", t.Name(), time.Now().UnixNano())
	k.cmd.Env = append(k.cmd.Environ(), mark)
	if err := k.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // until the process ends
		_ = k.cmd.Wait()
		close(k.ended)
	}()
	t.Cleanup(func() {
		k.kill()
		killMarked(mark)
		if t.Failed() {
			t.Logf("%s\nended with %v\nstandard output:\n%s\nlog:\n%s", strings.Join(k.cmd.Args, " "), k.cmd.ProcessState, k.out, k.log)
		}
	})
}

// killMarked kills what is left of a kconfd, or of its child: a test that fails
// may leave a child that nothing else would end. In its environment is the mark.
func killMarked(mark string) {
	comes(func() bool {
		left := false
		environments, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, path := range environments {
			environment, _ := os.ReadFile(path) // empty when it has ended, or is somebody else's
			if !slices.Contains(strings.Split(string(environment), "\x00"), mark) {
				continue
			}
			left = true
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		return !left
	})
}

func (k *daemon) kill() {
	_ = k.cmd.Process.Kill() // it may have ended
	<-k.ended
}

func (k *daemon) signal(s syscall.Signal) {
	k.t.Helper()
	if err := k.cmd.Process.Signal(s); err != nil {
		k.t.Fatal(err)
	}
}

// awaitLog waits until the log matches.
func (k *daemon) awaitLog(pattern string) {
	k.t.Helper()
	r := regexp.MustCompile(pattern)
	await(k.t, "log matches "+pattern, func() bool { return r.MatchString(k.log.String()) })
}

// count is how often the log matches.
func (k *daemon) count(pattern string) int {
	return len(regexp.MustCompile(pattern).FindAllString(k.log.String(), -1))
}

// end signals kconfd and returns how long it took to end, and its exit code, -1
// when the signal killed it.
func (k *daemon) end(s syscall.Signal) (time.Duration, int) {
	k.t.Helper()
	start := time.Now()
	k.signal(s)
	select {
	case <-k.ended:
	case <-time.After(testPatience):
		k.t.Fatalf("%v did not end kconfd", s)
	}
	return time.Since(start), k.cmd.ProcessState.ExitCode()
}

// stop ends kconfd as it is meant to be ended.
func (k *daemon) stop() {
	k.t.Helper()
	if _, code := k.end(syscall.SIGTERM); code != 0 {
		k.t.Errorf("got exit code %d after SIGTERM, want 0", code)
	}
}

// address is where it listens, with -listen 127.0.0.1:0.
func (k *daemon) address() string {
	k.t.Helper()
	const pattern = `msg=listening addr=(\S+)`
	k.awaitLog(pattern)
	return regexp.MustCompile(pattern).FindStringSubmatch(k.log.String())[1]
}

// get asks the HTTP server for a path.
func (k *daemon) get(path string) (int, string) {
	k.t.Helper()
	resp, err := http.Get("http://" + k.address() + path)
	if err != nil {
		k.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		k.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// metric is the value of one line of /metrics, empty when there is none.
func (k *daemon) metric(name string) string {
	k.t.Helper()
	_, body := k.get("/metrics")
	for line := range strings.Lines(body) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// settings is a manifest of the ConfigMap that most tests read.
func settings(colour string) string {
	return "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {colour: " + colour + "}}\n"
}

// colourFiles are a configuration with one group that writes the colour to live/a.
func colourFiles() map[string]string {
	return map[string]string{
		"objects.yaml":          settings("blue"),
		"conf/templates/a.tmpl": `{{ (configMap "settings").colour }}` + "\n",
		"conf/conf.d/a.toml": `
[[template]]
src = "a.tmpl"
dest = "$DIR/live/a"
[reload]
action = "exec"
command = "cat $DIR/live/a >>$DIR/actions"
`,
		"live/keep": "",
	}
}

// startIn starts a daemon on the directory's manifests and configuration.
func startIn(d dir, flags ...string) *daemon {
	d.t.Helper()
	args := []string{"-manifests", d.file("objects.yaml"), "-confdir", d.file("conf"), "-wait", "0s"}
	return start(d.t, append(args, flags...)...)
}
