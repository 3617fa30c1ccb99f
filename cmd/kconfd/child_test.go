package main

import (
	"errors"
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

	"github.com/kconfd/kconfd/test/process"
)

// The two ways in which kconfd runs a command.
const (
	asPID1   = "as PID 1"
	asReaper = "as a reaper"
)

func inBothWays(t *testing.T, test func(t *testing.T, way string)) {
	t.Helper()
	t.Parallel()
	for _, way := range []string{asPID1, asReaper} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			test(t, way)
		})
	}
}

// startWay starts kconfd, as PID 1 of a PID namespace with a /proc of its own or
// as an ordinary process. The processes of a namespace end with its PID 1.
func startWay(t *testing.T, way string, args ...string) *daemon {
	t.Helper()
	return startCmd(t, inWay(way, args...))
}

func inWay(way string, args ...string) *exec.Cmd {
	if way == asReaper {
		return exec.Command("kconfd", args...)
	}
	const asInit = `mount --make-rprivate / && mount -t proc proc /proc && exec kconfd "$@"`
	cmd := exec.Command("sh", append([]string{"-c", asInit, "sh"}, args...)...)
	cmd.SysProcAttr = newNamespace()
	return cmd
}

// newNamespace makes a process PID 1, with mounts of its own. Who is not root
// must be allowed to have a user namespace.
func newNamespace() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return attr
}

// plain is a kconfd without any file, as it is where nobody configured it.
func plain(d dir, more ...string) []string {
	return append([]string{"-confdir", d.file("conf")}, more...)
}

// filed is a kconfd with the directory's files.
func filed(d dir, more ...string) []string {
	return append([]string{"-manifests", d.file("objects.yaml"), "-confdir", d.file("conf"), "-wait", "0s"}, more...)
}

// recorder is a child that writes what happens to it: a line to starts with its
// arguments, one to overlaps when another instance is there, and one to signals
// for each. On TERM it ends with 0, and a helper of its group a little later.
const recorder = `#!/bin/sh
mkdir $DIR/running 2>/dev/null || echo overlap >>$DIR/overlaps
onsignal "ready=: >$DIR/helps" HUP= USR1= USR2= "TERM:0=sleep 0.1; rm $DIR/helps; rmdir $DIR/running" &
cat $DIR/live/a >>$DIR/seen 2>/dev/null
exec onsignal "ready=until test -e $DIR/helps; do :; done; echo $$ $* >>$DIR/starts" "HUP=echo HUP >>$DIR/signals" \
	"USR1=echo USR1 >>$DIR/signals" "USR2=echo USR2 >>$DIR/signals" "TERM:0=echo TERM >>$DIR/signals"
`

// recorded are files with the recorder, and a group that writes live/a.
func recorded(resource string) map[string]string {
	files := colourFiles()
	files["child"] = recorder
	files["conf/conf.d/a.toml"] = "[[template]]\nsrc = \"a.tmpl\"\ndest = \"$DIR/live/a\"\n" + resource
	return files
}

func (d dir) recorder() []string { return []string{"--", "sh", d.file("child")} }

// wantUntouched fails when the child was started again or signalled.
func (d dir) wantUntouched() {
	d.t.Helper()
	if starts, signals := d.lines("starts"), d.read("signals"); starts != 1 || signals != "" {
		d.t.Errorf("got %d starts and signals %q, want one and none", starts, signals)
	}
}

// code waits for kconfd to end by itself and gives its exit code.
func (k *daemon) code() int {
	k.t.Helper()
	select {
	case <-k.ended:
	case <-time.After(testPatience):
		k.t.Fatal("kconfd does not end")
	}
	return k.cmd.ProcessState.ExitCode()
}

// wantEnd stops kconfd and wants it to end with a code.
func (k *daemon) wantEnd(want int) {
	k.t.Helper()
	if _, code := k.end(syscall.SIGTERM); code != want {
		k.t.Errorf("got exit code %d after SIGTERM, want %d", code, want)
	}
}

// worker is the process id of kconfd's worker.
func (k *daemon) worker() int {
	k.t.Helper()
	found := 0
	await(k.t, "kconfd has a worker", func() bool {
		entries, err := os.ReadDir("/proc")
		if err != nil {
			k.t.Fatal(err)
		}
		for _, e := range entries {
			stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
			if err != nil {
				continue
			}
			_, after, _ := strings.Cut(string(stat), ") ")
			fields := strings.Fields(after)
			cmdline, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
			if len(fields) > 1 && fields[1] == strconv.Itoa(k.cmd.Process.Pid) && strings.HasPrefix(string(cmdline), "kconfd\x00") {
				found, _ = strconv.Atoi(e.Name())
			}
		}
		return found != 0
	})
	return found
}

// Without any file kconfd is a plain init: the child's code, 128 and the signal
// that ended it, and what a shell says of a command that cannot be run.
func TestPlainInit(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		d := newDir(t, map[string]string{"conf/conf.d/keep": "", "text": "no program"})
		sh := func(script string) []string { return []string{"--", "sh", "-c", script} }
		tests := map[string]struct {
			args []string
			want int
		}{
			"0":              {sh("exit 0"), 0},
			"3":              {sh("exit 3"), 3},
			"255":            {sh("exit 255"), 255},
			"SIGTERM":        {sh("kill -TERM $$"), 143},
			"SIGKILL":        {sh("kill -KILL $$"), 137},
			"no template":    {[]string{"--", "test", "{{ fail }}", "=", "{{ fail }}"}, 0},
			"not found":      {[]string{"--", "no-such-command"}, 127},
			"no such file":   {[]string{"--", d.file("nothing")}, 127},
			"not executable": {[]string{"--", d.file("text")}, 126},
			"no such dir":    {[]string{"-chdir", d.file("nothing"), "--", "true"}, 126},
			"no such user":   {[]string{"-user", "no-such-user", "--", "true"}, 2},
		}
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				k := startWay(t, way, plain(d, test.args...)...)
				if got := k.code(); got != test.want {
					t.Errorf("got exit code %d, want %d", got, test.want)
				}
			})
		}
	})
}

// Where /proc does not show kconfd's own processes, it could not tell whether the
// child's group is gone, and says so rather than guess.
func TestWithoutProc(t *testing.T) {
	tests := map[string]struct{ mount, want string }{
		"none":       {"mount -t tmpfs none /proc", "readlink /proc/self: no such file"},
		"somebody's": {"true", "it is that of another PID namespace"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDir(t, map[string]string{"conf/conf.d/keep": ""})
			cmd := inWay(asPID1, plain(d, "--", "touch", d.file("started"))...)
			cmd.Args[2] = strings.Replace(cmd.Args[2], "mount -t proc proc /proc", test.mount, 1)
			k := startCmd(t, cmd)
			if got := k.code(); got != 1 {
				t.Errorf("got exit code %d, want 1", got)
			}
			k.awaitLog("this process is not in /proc: " + test.want)
			k.awaitLog("hint: mount -t proc proc /proc")
			if _, err := os.Stat(d.file("started")); err == nil {
				t.Error("the command was started")
			}
		})
	}
}

// The child has kconfd's environment without what is kconfd's alone, and none of
// its descriptors.
func TestChildInheritsNothing(t *testing.T) {
	t.Parallel()
	d := newDir(t, map[string]string{"conf/conf.d/keep": ""})
	cmd := exec.Command("kconfd", plain(d, "--", "sh", "-c", "env >"+d.file("env")+"; ls -l /proc/$$/fd >"+d.file("fds"))...)
	cmd.Env = append(os.Environ(), "KCONFD_LOG_LEVEL=debug", "NOTIFY_SOCKET=@somebody-elses")
	k := startCmd(t, cmd)
	if got := k.code(); got != 0 {
		t.Fatalf("got exit code %d, want 0", got)
	}
	for line := range strings.Lines(d.read("env")) {
		if strings.HasPrefix(line, "KCONFD_") || strings.HasPrefix(line, "NOTIFY_SOCKET=") {
			t.Errorf("the child was given %s", line)
		}
	}
	if fds := d.read("fds"); strings.Contains(fds, "socket:") {
		t.Errorf("the child was given a socket:\n%s", fds)
	}
}

// What a script opens for its command, the command gets, as it would without
// kconfd, under the number that it was given.
func TestChildInheritsDescriptors(t *testing.T) {
	t.Parallel()
	d := newDir(t, map[string]string{"conf/conf.d/keep": ""})
	const script = `exec 3>$1/three 4>$1/four 7>$1/seven; shift; exec kconfd "$@"`
	child := []string{"--", "sh", "-c", "echo 3 >&3; echo 4 >&4; echo 7 >&7"}
	k := startCmd(t, exec.Command("sh", append([]string{"-c", script, "sh", d.path}, plain(d, child...)...)...))
	if got := k.code(); got != 0 {
		t.Errorf("got exit code %d, want 0", got)
	}
	for name, want := range map[string]string{"three": "3\n", "four": "4\n", "seven": "7\n"} {
		if got := d.read(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// The child starts when the first files are live, not before.
func TestChildStartsAfterFirstApply(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		files := recorded("check_cmd = \"echo >>$DIR/checking; test -e $DIR/go\"\n[reload]\naction = \"restart\"\nretry = \"10ms:20ms\"")
		files["live/a"] = "old\n"
		d := newDir(t, files)
		k := startWay(t, way, filed(d, d.recorder()...)...)
		d.awaitLines("checking", 3)
		if d.lines("starts") != 0 {
			t.Error("started before its files were written")
		}
		d.write("go", "")
		d.awaitLines("starts", 1)
		d.awaitFile("seen", "blue\n")
		k.wantEnd(0)
		if got := d.lines("starts"); got != 1 {
			t.Errorf("got %d starts, want 1", got)
		}
	})
}

// An action that needs the child does not keep it from starting, and is done
// when there is one.
func TestActionBeforeTheChild(t *testing.T) {
	t.Parallel()
	d := newDir(t, recorded("[reload]\naction = \"exec\"\ncommand = \"test -s $DIR/starts && echo >>$DIR/told\"\nretry = \"10ms:20ms\""))
	k := start(t, filed(d, d.recorder()...)...)
	d.awaitLines("starts", 1)
	d.awaitLines("told", 1)
	k.wantEnd(0)
}

const deadCluster = `
apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: a, context: {cluster: a}}]
current-context: a
`

// While the API server is away the child starts with the files of before, once
// -timeout has passed, and not without files.
func TestChildStartsWithoutAPIServer(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		files := recorded("")
		files["live/a"] = "old\n"
		files["kubeconfig"] = deadCluster
		files["b/conf.d/b.toml"] = "[[template]]\ncontents = '{{ configMap \"x\" }}'\ndest = \"$DIR/live/b\"\n"
		d := newDir(t, files)
		k := startWay(t, way, append([]string{"-kubeconfig", d.file("kubeconfig"), "-confdir", d.file("conf"), "-timeout", "300ms"}, d.recorder()...)...)
		missing := startWay(t, way, "-kubeconfig", d.file("kubeconfig"), "-confdir", d.file("b"), "-timeout", "10ms", "--", "touch", d.file("started"))
		d.awaitFile("seen", "old\n")
		d.awaitLines("starts", 1) // it heeds signals
		k.awaitLog(`starting the child with the files of before`)
		missing.awaitLog(`waiting for (data|ConfigMap)`) // the timeout may have passed before
		if _, err := os.Stat(d.file("started")); err == nil {
			t.Error("started without its files")
		}
		missing.wantEnd(0)
		k.wantEnd(0)
		if got := d.read("live/a"); got != "old\n" {
			t.Errorf("live/a: got %q", got)
		}
	})
}

// Two groups that change at once make one restart. Files and arguments are new
// by then, and no two instances live at the same time.
func TestRestart(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		files := recorded("[reload]\naction = \"restart\"\n[process]\nargs = ['{{ (configMap \"settings\").colour }}', '{{ \"{{\" }}']\n")
		files["conf/conf.d/b.toml"] = "[[template]]\nsrc = \"a.tmpl\"\ndest = \"$DIR/live/b\"\n[reload]\naction = \"restart\"\n"
		d := newDir(t, files)
		k := startWay(t, way, filed(d, d.recorder()...)...)
		d.awaitLines("starts", 1)
		want := []string{"blue"}
		for i := range 10 {
			colour := fmt.Sprintf("colour-%d", i)
			want = append(want, colour)
			d.write("objects.yaml", settings(colour))
			d.awaitLines("starts", i+2)
		}
		d.awaitFile("live/b", want[10]+"\n")
		k.wantEnd(0)
		if got := d.read("seen"); got != strings.Join(want, "\n")+"\n" {
			t.Errorf("the instances saw\n%s\nwant %q", got, want)
		}
		for i, line := range strings.Split(strings.TrimSpace(d.read("starts")), "\n") {
			if i >= len(want) || !strings.HasSuffix(line, " "+want[i]+" {{") {
				t.Errorf("start %d: got %q", i, line)
			}
		}
		if d.read("overlaps") != "" {
			t.Error("two instances lived at the same time")
		}
	})
}

// A signal action goes to the child; two groups with the same make one.
func TestSignalAction(t *testing.T) {
	t.Parallel()
	files := recorded("[reload]\naction = \"signal\"\nsignal = \"USR1\"\n")
	files["conf/conf.d/b.toml"] = "[[template]]\nsrc = \"a.tmpl\"\ndest = \"$DIR/live/b\"\n[reload]\naction = \"signal\"\nsignal = \"USR2\"\ngroup = true\n"
	d := newDir(t, files)
	k := start(t, filed(d, d.recorder()...)...)
	d.awaitLines("starts", 1)
	d.write("objects.yaml", settings("green"))
	d.awaitLines("signals", 2)
	got := strings.Fields(d.read("signals"))
	slices.Sort(got)
	if !slices.Equal(got, []string{"USR1", "USR2"}) {
		t.Errorf("got signals %q, want USR1 and USR2", got)
	}
	k.wantEnd(0)
	if got := d.lines("starts"); got != 1 {
		t.Errorf("got %d starts, want 1", got)
	}
}

// SIGHUP is kconfd's own: it reads its configuration, and when that is bad, all
// stays as it is. With -forward-hup it is the child's.
func TestHUP(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		d := newDir(t, recorded(""))
		k := startWay(t, way, filed(d, d.recorder()...)...)
		d.awaitLines("starts", 1)
		k.signal(syscall.SIGHUP)
		k.awaitLog("configuration read")
		for _, bad := range []string{"nonsense", "[process]\nuser = \"no-such-user\"", "[process]\nargs = [\"{{ nonsense }}\"]"} {
			d.write("conf/conf.d/b.toml", bad)
			before := k.count("configuration refused")
			k.signal(syscall.SIGHUP)
			await(t, "the configuration is refused", func() bool { return k.count("configuration refused") > before })
		}
		d.wantUntouched()
		k.wantEnd(0)

		d = newDir(t, recorded(""))
		k = startWay(t, way, filed(d, append([]string{"-forward-hup"}, d.recorder()...)...)...)
		d.awaitLines("starts", 1)
		k.signal(syscall.SIGHUP)
		d.awaitFile("signals", "HUP\n")
		k.wantEnd(0)
		if k.count("configuration read") > 0 {
			t.Error("the configuration was read though SIGHUP is the child's")
		}
	})
}

// Signals reach the child as long as they are among those that are passed on.
func TestForward(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		d := newDir(t, recorded("[process]\nforward = [\"USR2\"]\n"))
		k := startWay(t, way, filed(d, d.recorder()...)...)
		d.awaitLines("starts", 1)
		k.signal(syscall.SIGUSR1)
		k.signal(syscall.SIGQUIT)
		k.signal(syscall.SIGUSR2)
		d.awaitFile("signals", "USR2\n")
		k.wantEnd(0)
	})
}

// A signal that somebody sends to all of kconfd's processes counts once.
func TestSignalToBothProcesses(t *testing.T) {
	t.Parallel()
	d := newDir(t, recorded(""))
	k := start(t, filed(d, d.recorder()...)...)
	d.awaitLines("starts", 1)
	for range 5 {
		before := d.lines("signals")
		if err := syscall.Kill(k.worker(), syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond) // for the shell to see the first, if there are two
		k.signal(syscall.SIGUSR1)
		d.awaitLines("signals", before+1)
	}
	k.signal(syscall.SIGUSR2)
	await(t, "USR2 comes", func() bool { return strings.Contains(d.read("signals"), "USR2") })
	if got := d.lines("signals"); got != 6 {
		t.Errorf("got %d signals, want 6", got)
	}
	k.wantEnd(0)
}

// Nothing that goes wrong elsewhere touches the child.
func TestChildIsNeverTouched(t *testing.T) {
	t.Parallel()
	d := newDir(t, recorded("check_cmd = \"! grep red {{.src}}\"\n[reload]\naction = \"restart\"\nretry = \"10ms:20ms\""))
	k := start(t, filed(d, append([]string{"-listen", "127.0.0.1:0"}, d.recorder()...)...)...)
	d.awaitLines("starts", 1)
	d.write("objects.yaml", settings("red"))
	k.awaitLog(`not applied.*checking`)
	d.write("conf/templates/a.tmpl", `{{ fail "not now" }}`)
	k.awaitLog(`render held.*not now`)
	d.write("conf/templates/a.tmpl", `{{ nonsense }}`)
	k.awaitLog(`configuration refused`)
	d.write("objects.yaml", "nonsense")
	k.awaitLog(`manifests refused`)
	d.wantUntouched()
	k.wantEnd(0)
}

// A stop takes the child's own time and little more, whatever kconfd is about,
// and ends with the child's code.
func TestChildStopsAtAnyMoment(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		files := recorded("check_cmd = \"sleep 0.02\"\n[reload]\naction = \"restart\"\nretry = \"10ms:1s\"\n")
		files["conf/conf.d/b.toml"] = "[[template]]\nsrc = \"a.tmpl\"\ndest = \"$DIR/live/b\"\ncheck_cmd = \"grep -q 1 {{.src}} || sleep 600\"\n[reload]\naction = \"exec\"\ncommand = \"sleep 0.03; false\"\nretry = \"10ms:1s\"\n"
		files["live/b"] = "blue\n"
		files["child"] = "#!/bin/sh\necho >>$DIR/starts\ntrap 'exit 7' TERM\nwhile :; do read x <$DIR/fifo; done\n"
		var took []time.Duration
		for range 16 {
			d := newDir(t, files)
			if err := syscall.Mkfifo(d.file("fifo"), 0o600); err != nil {
				t.Fatal(err)
			}
			k := startWay(t, way, filed(d, d.recorder()...)...)
			d.awaitLines("starts", 1)
			moment := time.After(100*time.Millisecond + time.Duration(rand.Int64N(int64(300*time.Millisecond))))
			for n := 0; ; n++ {
				select {
				case <-moment:
				case <-time.After(5 * time.Millisecond):
					d.write("objects.yaml", settings("colour-"+strconv.Itoa(n)))
					continue
				}
				break
			}
			duration, code := k.end(syscall.SIGTERM)
			took = append(took, duration)
			// 143: it had not set its trap yet. 0: between two instances.
			if code != 7 && code != 143 && code != 0 {
				t.Errorf("got exit code %d, want the child's", code)
			}
		}
		wantSoon(t, took)
	})
}

// wantSoon wants stops that took no longer than they may. The tails are the
// machine's, which has much else to do.
func wantSoon(t *testing.T, took []time.Duration) {
	t.Helper()
	slices.Sort(took)
	t.Logf("%d stops: median %v, 90%% %v, longest %v", len(took), took[len(took)/2], took[len(took)*9/10], took[len(took)-1])
	if longest := took[len(took)-1]; longest > soon {
		t.Errorf("the longest stop took %v, want less than %v", longest, soon)
	}
	if quickest := took[0]; quickest > 100*time.Millisecond { // the others had to wait for the machine
		t.Errorf("the quickest stop took %v, want less than 100ms", quickest)
	}
}

// A child that ignores its stop signal is killed after its grace, or when SIGQUIT
// says so. A second SIGTERM changes nothing.
func TestStubbornChild(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		d := newDir(t, map[string]string{"conf/conf.d/keep": "", "child": "trap '' TERM USR1; echo >>$DIR/starts; while :; do sleep 0.02; done"})
		k := startWay(t, way, plain(d, append([]string{"-stop-grace", "400ms"}, d.recorder()...)...)...)
		d.awaitLines("starts", 1)
		k.signal(syscall.SIGTERM)
		if took, code := k.end(syscall.SIGTERM); code != 137 || took < 300*time.Millisecond {
			t.Errorf("got code %d after %v, want 137 after 400ms", code, took)
		}
		// Also when it is not among the signals that are passed on.
		d.write("conf/conf.d/p.toml", "[process]\nforward = []")
		k = startWay(t, way, plain(d, append([]string{"-stop-grace", "none", "-stop-signal", "USR1"}, d.recorder()...)...)...)
		d.awaitLines("starts", 2)
		k.signal(syscall.SIGTERM)
		k.awaitLog("stopping child.*signal=USR1")
		if _, code := k.end(syscall.SIGQUIT); code != 137 {
			t.Errorf("got code %d after SIGQUIT, want 137", code)
		}
	})
}

// What follows an end that nobody asked for is the policy's to say, and a child
// that ends at once again and again is not started in a storm.
func TestRestartPolicies(t *testing.T) {
	t.Parallel()
	fails := "echo >>$DIR/starts; test $(wc -l <$DIR/starts) -ge 4 && exit 0; exit 5"
	tests := map[string]struct {
		policy string
		code   int
		starts int
	}{
		"never":      {"never", 5, 1},
		"on-failure": {"on-failure", 0, 4},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDir(t, map[string]string{"conf/conf.d/keep": "", "child": fails})
			k := start(t, plain(d, append([]string{"-restart", test.policy, "-restart-wait", "10ms:20ms"}, d.recorder()...)...)...)
			if code, starts := k.code(), d.lines("starts"); code != test.code || starts != test.starts {
				t.Errorf("got code %d after %d starts, want %d after %d", code, starts, test.code, test.starts)
			}
		})
	}
	t.Run("always", func(t *testing.T) {
		t.Parallel()
		d := newDir(t, map[string]string{"conf/conf.d/keep": "", "child": "echo >>$DIR/starts; date +%s%N >>$DIR/times"})
		k := start(t, plain(d, append([]string{"-restart", "always", "-restart-wait", "200ms:10s"}, d.recorder()...)...)...)
		d.awaitLines("times", 4)
		k.awaitLog(`(?s)(child is started again.*){4}`) // the fourth has ended
		times := strings.Fields(d.read("times"))
		first, _ := strconv.ParseInt(times[0], 10, 64)
		fourth, _ := strconv.ParseInt(times[3], 10, 64)
		// Pauses of 200, 400 and 800 ms, less a tenth.
		if got := time.Duration(fourth - first); got < 1260*time.Millisecond {
			t.Errorf("the fourth start came %v after the first, want 1.26s at least", got)
		}
		k.wantEnd(0)
	})
}

// pre_start decides about the start, and hands over arguments and environment.
func TestPreStart(t *testing.T) {
	t.Parallel()
	show := []string{"--", "sh", "-c", `echo "$0 $1 $X" >$DIR/got`, "own"}
	tests := map[string]struct {
		process string
		code    int
		got     string
	}{
		"hands over": {`pre_start = 'printf "arg {{ a b\nenv X=1 2\n" >>$KCONFD_START_FILE'`, 0, "own {{ a b 1 2\n"},
		"fails":      {`pre_start = "exit 3"`, 1, ""},
		"hangs":      {"pre_start = \"sleep 600\"\npre_start_timeout = \"100ms\"", 1, ""},
		"nonsense":   {`pre_start = 'echo nonsense >>$KCONFD_START_FILE'`, 1, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDir(t, map[string]string{"conf/conf.d/p.toml": "[process]\n" + test.process})
			args := slices.Clone(show)
			args[3] = strings.ReplaceAll(args[3], "$DIR", d.path)
			k := start(t, plain(d, args...)...)
			if code, got := k.code(), d.read("got"); code != test.code || got != test.got {
				t.Errorf("got code %d and %q, want %d and %q", code, got, test.code, test.got)
			}
		})
	}
}

// Settings that make no sense are refused, with the file and the line or key.
func TestBadProcess(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, want string }{
		"unknown key":     {"[process]\nusr = \"x\"", `p.toml: line 2, column 1: there is no key "process.usr"`},
		"unknown user":    {"[process]\nuser = \"no-such-user\"", `p.toml: \[process\]: user: unknown user no-such-user`},
		"two groups":      {"[process]\nuser = \"root:root\"\ngroup = \"root\"", `user and group both name a group`},
		"signal":          {"[process]\nstop_signal = \"TREM\"", `stop_signal: signal "TREM": unknown`},
		"forward":         {"[process]\nforward = [\"TREM\"]", `forward: signal "TREM": unknown`},
		"grace":           {"[process]\nstop_grace = \"ever\"", `stop_grace: want a duration`},
		"before ready":    {"[process]\nstop_before_ready = \"kill\"", `stop_before_ready without ready`},
		"ready":           {"[process]\nready = \"soon\"", `ready: want notify or a ready_cmd, not "soon"`},
		"ready timeout":   {"[process]\nready_timeout = \"1s\"", `ready_timeout without ready`},
		"pre_stop":        {"[process]\npre_stop_timeout = \"1s\"", `pre_stop_timeout without pre_stop`},
		"restart":         {"[process]\nrestart = \"sometimes\"", `restart: want never, on-failure or always, not "sometimes"`},
		"restart wait":    {"[process]\nrestart_wait = \"ever\"", `restart_wait: want two durations`},
		"argument":        {"[process]\nargs = [\"{{ nonsense }}\"]", `p.toml: \[process\]: .*args 1.*nonsense`},
		"two of them":     {"[process]\ndir = \"/\"", `both have \[process\]`},
		"group of others": {"[[template]]\ncontents = \"x\"\ndest = \"x\"\n[reload]\naction = \"signal\"\nsignal = \"HUP\"\nprocess = \"x\"\ngroup = true", `"group": does nothing with pid_file or process`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{"conf/conf.d/p.toml": test.text}
			if name == "two of them" {
				files["conf/conf.d/q.toml"] = "[process]\n"
			}
			d := newDir(t, files)
			k := start(t, plain(d, "--", "touch", d.file("started"))...)
			if code := k.code(); code != 1 {
				t.Errorf("got exit code %d, want 1", code)
			}
			k.awaitLog(test.want)
			if _, err := os.Stat(d.file("started")); err == nil {
				t.Error("the command was started")
			}
		})
	}
}

// An action for the child needs one.
func TestRestartWithoutCommand(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"restart", "signal\"\nsignal = \"HUP"} {
		d := newDir(t, recorded("[reload]\naction = \""+action+"\""))
		k := start(t, filed(d)...)
		if code := k.code(); code != 1 {
			t.Errorf("%s: got exit code %d, want 1", action, code)
		}
		k.awaitLog(`a.toml: \[reload\]: (restart|signal) is for the command`)
		if got := d.read("live/a"); got != "" {
			t.Errorf("%s: live/a was written: %q", action, got)
		}
	}
}

// When the worker is killed, the child is stopped well, and the code is not 0.
func TestWorkerKilled(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		d := newDir(t, recorded(""))
		k := startWay(t, way, filed(d, d.recorder()...)...)
		d.awaitLines("starts", 1)
		if err := syscall.Kill(k.worker(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if got := k.code(); got != 137 {
			t.Errorf("got exit code %d, want 137", got)
		}
		if got := d.read("signals"); got != "TERM\n" {
			t.Errorf("the child got %q, want its stop signal", got)
		}
		if _, err := os.Stat(d.file("running")); err == nil {
			t.Error("something of the child was left behind, or killed")
		}
	})
}

// With -adopt the child goes on under a new worker: changes still arrive, also
// those that came in between, and a stop works. A configuration that is bad at
// that moment does not matter to the child.
func TestAdopt(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		resource := "[reload]\naction = \"signal\"\nsignal = \"USR1\"\n"
		d := newDir(t, recorded(resource))
		good := d.read("conf/conf.d/a.toml")
		k := startWay(t, way, filed(d, append([]string{"-adopt"}, d.recorder()...)...)...)
		d.awaitLines("starts", 1)
		d.write("conf/conf.d/a.toml", "nonsense")
		k.awaitLog("configuration refused")
		worker := k.worker()
		if err := syscall.Kill(worker, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		k.awaitLog("the worker ended without a word, exit status 1")
		d.write("objects.yaml", settings("green"))
		d.write("conf/conf.d/a.toml", good)
		k.awaitLog("child taken over")
		d.awaitFile("live/a", "green\n")
		d.awaitFile("signals", "USR1\n")
		d.write("objects.yaml", settings("red"))
		d.awaitFile("signals", "USR1\nUSR1\n")
		k.wantEnd(0)
		d.awaitFile("signals", "USR1\nUSR1\nTERM\n")
		if got := d.lines("starts"); got != 1 {
			t.Errorf("got %d starts, want 1", got)
		}
	})
}

// A log that nobody reads holds up neither the start nor the stop: standard
// error is a pipe that is full.
func TestLogIsNotRead(t *testing.T) {
	tests := map[string]struct {
		end  func(k *daemon) error
		want int
	}{
		"stop":          {func(k *daemon) error { return k.cmd.Process.Signal(syscall.SIGTERM) }, 0},
		"worker killed": {func(k *daemon) error { return syscall.Kill(k.worker(), syscall.SIGKILL) }, 137},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inBothWays(t, func(t *testing.T, way string) {
				d := newDir(t, recorded(""))
				cmd := inWay(way, filed(d, d.recorder()...)...)
				cmd.Stderr = fullPipe(t)
				k := &daemon{t: t, cmd: cmd, out: &process.Output{}, log: &process.Output{}, ended: make(chan struct{})}
				k.run()
				d.awaitLines("starts", 1)
				if err := test.end(k); err != nil {
					t.Fatal(err)
				}
				if got := k.code(); got != test.want {
					t.Errorf("got exit code %d, want %d", got, test.want)
				}
				d.awaitFile("signals", "TERM\n")
			})
		})
	}
}

// fullPipe is a pipe to which nobody can write any more.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	if err := w.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = w.Write(make([]byte, 4096))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return w
}
