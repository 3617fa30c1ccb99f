package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// soon is how long kconfd may take to end after a signal in these tests: more
// than its aim of a tenth of a second, since the machine may be busy, and less
// than the time that a command gets at its own deadline.
const soon = 1500 * time.Millisecond

// SIGTERM and SIGINT end the daemon at once and with 0, whatever it is about: no
// moment is bad. The live file is whole, and nothing is left beside it.
func TestEndsAtAnyMoment(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/conf.d/a.toml"] = `
[[template]]
src = "a.tmpl"
dest = "$DIR/live/a"
check_cmd = "sleep 0.02"
[reload]
action = "exec"
command = "sleep 0.02"
`
	var took []time.Duration
	for i := range 12 {
		d := newDir(t, files)
		k := startIn(d)
		d.awaitFile("live/a", "blue\n")
		moment := time.After(time.Duration(rand.Int64N(int64(150 * time.Millisecond))))
		stop := func() {
			s := []syscall.Signal{syscall.SIGTERM, syscall.SIGINT}[i%2]
			duration, code := k.end(s)
			took = append(took, duration)
			if code != 0 {
				t.Errorf("%v: got exit code %d, want 0", s, code)
			}
		}
		for n := 0; ; n++ {
			select {
			case <-moment:
				stop()
			default:
				d.write("objects.yaml", settings("colour-"+strconv.Itoa(n)))
				continue
			}
			break
		}
		if content := d.read("live/a"); content != "blue\n" && !strings.HasPrefix(content, "colour-") {
			t.Errorf("live/a: got %q, want a whole one", content)
		}
		d.wantOwedAtMost("live")
	}
	slices.Sort(took)
	t.Logf("ended within %v to %v, median %v", took[0], took[len(took)-1], took[len(took)/2])
	if longest := took[len(took)-1]; longest > soon {
		t.Errorf("the longest end took %v, want less than %v", longest, soon)
	}
	if quickest := took[0]; quickest > 100*time.Millisecond { // the others had to wait for the machine
		t.Errorf("the quickest end took %v, want less than 100ms", quickest)
	}
}

// A check or an action that is running does not hold up the end, though it does
// not care about SIGTERM; neither it nor what it started is left behind.
func TestEndsDuringCommand(t *testing.T) {
	t.Parallel()
	const stubborn = `trap '' TERM; sleep 600 & echo $$ $! >$DIR/pids.new; mv $DIR/pids.new $DIR/pids; wait`
	tests := map[string]struct {
		fields string // of the resource file
		live   string // what live/a has afterwards
	}{
		"check":  {"check_cmd = \"" + stubborn + "\"", "old\n"},
		"action": {"[reload]\naction = \"exec\"\ncommand = \"" + stubborn + "\"", "blue\n"},
	}
	for name, test := range tests {
		for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
			t.Run(fmt.Sprintf("%s, %v", name, s), func(t *testing.T) {
				t.Parallel()
				files := colourFiles()
				files["live/a"] = "old\n"
				files["conf/conf.d/a.toml"] = "[[template]]\nsrc = \"a.tmpl\"\ndest = \"$DIR/live/a\"\n" + test.fields
				d := newDir(t, files)
				k := startIn(d)
				await(t, "the command runs", func() bool { return d.read("pids") != "" })

				took, code := k.end(s)
				t.Logf("ended after %v", took)
				if took > soon || code != 0 {
					t.Errorf("ended after %v with %d, want less than %v and 0", took, code, soon)
				}
				wantGone(t, d.read("pids"))
				if got := d.read("live/a"); got != test.live {
					t.Errorf("live/a: got %q, want %q", got, test.live)
				}
				d.wantOwedAtMost("live")
			})
		}
	}
}

// wantGone fails when one of the processes still runs.
func wantGone(t *testing.T, pids string) {
	t.Helper()
	for _, field := range strings.Fields(pids) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		// A zombie that nobody has reaped yet is gone too.
		if stat, err := os.ReadFile("/proc/" + field + "/stat"); err == nil && !strings.Contains(string(stat), ") Z ") {
			t.Errorf("process %d still runs: %s", pid, stat)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// Signals that come while kconfd is about to end change nothing about its end.
func TestSignalsWhileItEnds(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/conf.d/a.toml"] = `
[[template]]
src = "a.tmpl"
dest = "$DIR/live/a"
check_cmd = "trap '' TERM; echo >$DIR/checking; sleep 600"
`
	for range 5 {
		d := newDir(t, files)
		k := startIn(d)
		await(t, "the check runs", func() bool { return d.read("checking") != "" })
		k.signal(syscall.SIGHUP)
		k.signal(syscall.SIGTERM)
		for range 20 {
			// It may have ended by now.
			_ = k.cmd.Process.Signal(syscall.SIGHUP)
			_ = k.cmd.Process.Signal(syscall.SIGTERM)
			_ = k.cmd.Process.Signal(syscall.SIGINT)
			time.Sleep(time.Millisecond)
		}
		<-k.ended
		if got := k.cmd.ProcessState.ExitCode(); got != 0 {
			t.Errorf("got exit code %d, want 0", got)
		}
		d.wantNoLeftovers("live")
	}
}

// The wait for a retry, for data, or for quiet does not hold up the end.
func TestEndsWhileItWaits(t *testing.T) {
	t.Parallel()
	const template = "[[template]]\nsrc = \"a.tmpl\"\ndest = \"$DIR/live/a\"\n"
	tests := map[string]struct {
		resource string
		objects  string
		log      string // when it has come to wait
	}{
		"retry": {template + "[reload]\naction = \"exec\"\ncommand = \"false\"\nretry = \"10m\"\n", settings("blue"), `msg="not applied"`},
		"data":  {template, "", `msg="waiting for data, the last files stay"`},
		"quiet": {"wait = \"10m\"\n" + template, settings("blue"), "msg=written"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := colourFiles()
			files["objects.yaml"] = test.objects
			files["conf/conf.d/a.toml"] = test.resource
			d := newDir(t, files)
			k := startIn(d)
			k.awaitLog(test.log)
			d.write("objects.yaml", settings("green"))
			if took, code := k.end(syscall.SIGTERM); took > soon || code != 0 {
				t.Errorf("ended after %v with %d, want less than %v and 0", took, code, soon)
			}
		})
	}
}

// With -onetime, a signal means that it was not finished: 128 and its number, and
// the command behind it is not started.
func TestSignalEndsOnetime(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/conf.d/a.toml"] = `
[[template]]
src = "a.tmpl"
dest = "$DIR/live/a"
check_cmd = "trap '' TERM; echo >$DIR/checking; sleep 600"
`
	for s, want := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGINT: 130} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			d := newDir(t, files)
			k := startIn(d, "-onetime", "--", "touch", d.file("started"))
			await(t, "the check runs", func() bool { return d.read("checking") != "" })
			if took, code := k.end(s); took > soon || code != want {
				t.Errorf("ended after %v with %d, want less than %v and %d", took, code, soon, want)
			}
			if _, err := os.Stat(d.file("started")); err == nil {
				t.Error("the command was started")
			}
			d.wantNoLeftovers("live")
		})
	}
}

// The -timeout of -onetime is for data. A check that runs when it passes has its
// own, and is neither cut short nor left behind.
func TestTimeoutDoesNotCutAJobShort(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/conf.d/a.toml"] = `
[[template]]
src = "a.tmpl"
dest = "$DIR/live/a"
check_cmd = "until test -e $DIR/go; do sleep 0.01; done"
`
	files["conf/conf.d/b.toml"] = "[[template]]\ncontents = '{{ configMap \"absent\" }}'\ndest = \"$DIR/live/b\"\n"
	d := newDir(t, files)
	k := startIn(d, "-onetime", "-timeout", "100ms")
	select {
	case <-k.ended:
		t.Error("it ended while a check was running")
	case <-time.After(400 * time.Millisecond):
	}
	d.write("go", "")
	<-k.ended
	if got := k.cmd.ProcessState.ExitCode(); got != 3 {
		t.Errorf("got exit code %d, want 3 for the file that is missing", got)
	}
	d.awaitFile("live/a", "blue\n")
	d.wantNoLeftovers("live")
}

// A kconfd that dies without warning leaves the live file whole, and the next one
// cleans up nothing that matters: it works as ever.
func TestKilled(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["live/a"] = "old\n"
	files["conf/conf.d/a.toml"] = `
[[template]]
src = "a.tmpl"
dest = "$DIR/live/a"
check_cmd = "test -e $DIR/go || { echo $$ >$DIR/pid; exec sleep 600; }"
`
	d := newDir(t, files)
	k := startIn(d)
	await(t, "the check runs", func() bool { return d.read("pid") != "" })
	k.kill()
	if pid, err := strconv.Atoi(strings.TrimSpace(d.read("pid"))); err == nil {
		_ = syscall.Kill(pid, syscall.SIGKILL) // nobody else will
	}
	if got := d.read("live/a"); got != "old\n" {
		t.Errorf("live/a: got %q, want the old one", got)
	}
	d.write("go", "")
	out, err := exec.Command("kconfd", "-onetime", "-manifests", d.file("objects.yaml"), "-confdir", d.file("conf")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	d.awaitFile("live/a", "blue\n")
}
