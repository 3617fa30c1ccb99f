package main

import (
	"net"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// killWorker kills kconfd's worker, and has do done before there is another.
func (k *daemon) killWorker(do func()) {
	k.t.Helper()
	worker := k.worker()
	k.signal(syscall.SIGSTOP)
	if err := syscall.Kill(worker, syscall.SIGKILL); err != nil {
		k.t.Fatal(err)
	}
	do()
	k.signal(syscall.SIGCONT)
}

// lasting is a child that takes its time to end, and says so first.
const lasting = `exec onsignal "ready=echo '$1' >>$DIR/starts" \
	"TERM:0=echo TERM >>$DIR/signals; until test -e $DIR/end; do sleep 0.02; done"
`

// A restart that the worker had begun when it was killed is completed by the
// next one: the files are new, and the child was told to end, once, or is told
// now. That the policy is to start nothing after an end does not matter, nor
// that the new worker has to wait for what the arguments are made of.
func TestAdoptInRestart(t *testing.T) {
	tests := map[string]struct {
		preStop bool
		test    func(d dir, k *daemon)
	}{
		"told to end": {false, func(d dir, k *daemon) {
			d.awaitFile("signals", "TERM\n")
			k.killWorker(func() {})
			k.awaitLog("child taken over")
			d.write("end", "")
		}},
		"ended, and there are no arguments": {false, func(d dir, k *daemon) {
			d.awaitFile("signals", "TERM\n")
			k.killWorker(func() {
				d.write("end", "")
				d.write("objects.yaml", settings("green"))
			})
			k.awaitLog("child taken over")
			k.awaitLog("child is not started.*shape")
			d.write("objects.yaml", settings("green, shape: square"))
		}},
		"not told yet": {true, func(d dir, k *daemon) {
			d.write("end", "")
			d.awaitLines("asked", 1)
			k.killWorker(func() {})
			k.awaitLog("child taken over")
			d.awaitLines("asked", 2)
			if got := d.read("signals"); got != "" {
				d.t.Errorf("got signals %q before pre_stop has succeeded", got)
			}
			d.write("go", "")
		}},
	}
	inBothWays(t, func(t *testing.T, way string) {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				files := recorded(`[reload]
action = "restart"
[process]
stop_grace = "1m"
args = ['{{ (configMap "settings").shape }}']
`)
				if test.preStop {
					files["conf/conf.d/a.toml"] += `pre_stop = "echo >>$DIR/asked; test -e $DIR/go"`
				}
				files["objects.yaml"], files["child"] = settings("blue, shape: round"), lasting
				d := newDir(t, files)
				k := startWay(t, way, filed(d, append([]string{"-adopt"}, d.recorder()...)...)...)
				d.awaitFile("starts", "round\n")
				d.write("objects.yaml", settings("green, shape: square"))
				test.test(d, k)
				d.awaitFile("starts", "round\nsquare\n")
				d.wantSignals("TERM")
				k.wantEnd(0)
			})
		}
	})
}

// A worker that cannot listen does not start a child, and leaves one alone that
// runs already.
func TestListenOccupied(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		occupied, err := net.Listen("tcp", lastingAddress())
		if err != nil {
			t.Fatal(err)
		}
		defer occupied.Close()
		address := occupied.Addr().String()
		d := newDir(t, recorded("[reload]\naction = \"signal\"\nsignal = \"USR1\"\n"))
		args := filed(d, append([]string{"-adopt", "-listen", address}, d.recorder()...)...)
		k := startWay(t, way, args...)
		if got := k.code(); got != 1 {
			t.Errorf("got exit code %d, want 1", got)
		}
		k.awaitLog("error: -listen: .*address already in use")
		if got := d.read("starts"); got != "" {
			t.Error("the child was started")
		}

		occupied.Close()
		k = startWay(t, way, args...)
		d.awaitLines("starts", 1)
		k.killWorker(func() {
			await(t, "the port is free", func() bool {
				occupied, err = net.Listen("tcp", address)
				return err == nil
			})
		})
		k.awaitLog("error: -listen: .*address already in use")
		d.write("objects.yaml", settings("green"))
		d.wantUntouched()
		occupied.Close()
		d.awaitFile("signals", "USR1\n")
		k.wantEnd(0)
		if got := d.lines("starts"); got != 1 {
			t.Errorf("got %d starts, want 1", got)
		}
	})
}

// A listener that breaks is said, and all else goes on.
func TestListenerBreaks(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		d := newDir(t, recorded("[reload]\naction = \"signal\"\nsignal = \"USR1\"\n"))
		k := startWay(t, way, filed(d, append([]string{"-listen", "127.0.0.1:0"}, d.recorder()...)...)...)
		d.awaitLines("starts", 1)
		breakListener(t, k.worker())
		k.awaitLog("no longer listening")
		d.wantUntouched()
		d.write("objects.yaml", settings("green"))
		d.awaitFile("signals", "USR1\n")
		k.wantEnd(0)
	})
}

// breakListener shuts down the socket on which a process listens, in that
// process.
func breakListener(t *testing.T, pid int) {
	t.Helper()
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(process)
	for number := range 100 {
		fd, err := unix.PidfdGetfd(process, number, 0)
		if err != nil {
			continue // it has none of that number
		}
		defer unix.Close(fd)
		if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err == nil && listens == 1 {
			if err := unix.Shutdown(fd, unix.SHUT_RDWR); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("process %d does not listen, or its descriptors cannot be had: run the tests as root", pid)
}

// A configuration or data that turn bad are refused, and nobody is told.
func TestChildAndBadFiles(t *testing.T) {
	t.Parallel()
	d := newDir(t, recorded("[reload]\naction = \"restart\"\n"))
	good := d.read("conf/conf.d/a.toml")
	k := start(t, filed(d, d.recorder()...)...)
	d.awaitLines("starts", 1)
	bad := map[string]map[string]string{
		"no TOML":                 {"conf/conf.d/b.toml": "nonsense"},
		"no YAML":                 {"conf/conf.d/b.yaml": "\t"},
		"a key that is none":      {"conf/conf.d/b.toml": "tempalte = 1"},
		"a file of two groups":    {"conf/conf.d/b.toml": good},
		"a template with a fault": {"conf/templates/a.tmpl": "{{ if }}"},
		"no template":             {"conf/conf.d/a.toml": "[[template]]\nsrc = \"b.tmpl\"\ndest = \"$DIR/live/a\"\n[reload]\naction = \"restart\"\n"},
		"a policy that is none":   {"conf/conf.d/b.toml": "[process]\nrestart = \"sometimes\""},
	}
	for name, files := range bad {
		before := k.count("configuration refused")
		for file, content := range files {
			d.write(file, content)
		}
		k.signal(syscall.SIGHUP)
		await(t, name+" is refused", func() bool { return k.count("configuration refused") > before })
		for file := range files {
			if err := os.Remove(d.file(file)); err != nil {
				t.Fatal(err)
			}
		}
		d.write("conf/conf.d/a.toml", good)
		d.write("conf/templates/a.tmpl", colourFiles()["conf/templates/a.tmpl"])
		before = k.count("configuration read")
		k.signal(syscall.SIGHUP)
		await(t, "all is well after "+name, func() bool { return k.count("configuration read") > before })
	}
	for _, gone := range []string{"conf", "objects.yaml"} {
		if err := os.Rename(d.file(gone), d.file(gone+".gone")); err != nil {
			t.Fatal(err)
		}
		k.signal(syscall.SIGHUP)
		k.awaitLog("refused.*" + gone)
	}
	k.wantEnd(0)
	d.wantSignals("TERM")
	if got := d.lines("starts"); got != 1 {
		t.Errorf("got %d starts, want 1", got)
	}
}

// A new worker that cannot be started for want of descriptors is tried again,
// and the child goes on.
func TestAdoptLater(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		d := newDir(t, recorded(""))
		k := startWay(t, way, filed(d, append([]string{"-adopt"}, d.recorder()...)...)...)
		d.awaitLines("starts", 1)
		worker := k.worker()
		if err := unix.Prlimit(k.cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: 1 << 10}, nil); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(worker, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		await(t, "it is tried twice", func() bool { return k.count("too many open files") >= 2 })
		if err := unix.Prlimit(k.cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 10, Max: 1 << 10}, nil); err != nil {
			t.Fatal(err)
		}
		k.awaitLog("child taken over")
		d.wantUntouched()
		k.wantEnd(0)
	})
}

// When it cannot be started and a stop is asked for, init stops the child.
func TestAdoptNeverAndStop(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		d := newDir(t, recorded(""))
		k := startWay(t, way, filed(d, append([]string{"-adopt"}, d.recorder()...)...)...)
		d.awaitLines("starts", 1)
		worker := k.worker()
		if err := unix.Prlimit(k.cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: 1 << 10}, nil); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(worker, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		k.awaitLog("too many open files")
		k.wantEnd(137)
		d.awaitFile("signals", "TERM\n")
	})
}
