package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What is right once may be luck. This is done again and again, by the whole
// program, as PID 1 and not.
func TestCounted(t *testing.T) {
	t.Parallel()
	p := buildProgram(t)
	for name, count := range map[string]func(t *testing.T, p program){
		"codes":    countCodes,
		"orphans":  countOrphans,
		"restarts": countRestarts,
		"signals":  countSignals,
		"stops":    countStops,
	} {
		t.Run(name, func(t *testing.T) { count(t, p) })
	}
}

// A program is the path of a kconfd as users have it, without the race detector,
// which takes time and memory of its own.
type program string

// buildProgram makes what "make build" makes.
func buildProgram(t *testing.T) program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kconfd")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build, err, out)
	}
	return program(path)
}

// start starts the program for a directory's files, whose path is in the
// environment of all that it starts.
func (p program) start(d dir, way string, args ...string) *daemon {
	d.t.Helper()
	cmd := inWay(way, filed(d, args...)...)
	if way == asReaper {
		cmd.Path = string(p)
	}
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(string(p))+":"+os.Getenv("PATH"), d.mark())
	return startCmd(d.t, cmd)
}

func (d dir) mark() string { return "COUNTED=" + d.path }

// wantNothingLeft fails when something runs that a kconfd of this directory
// started.
func (d dir) wantNothingLeft() {
	d.t.Helper()
	for pid := range processes(d.t) {
		environment, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ")) // it may end
		if strings.Contains("\x00"+string(environment), "\x00"+d.mark()+"\x00") {
			cmdline, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
			d.t.Errorf("process %d is left: %q", pid, cmdline)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// processes are the fields of /proc/PID/stat behind the name, from the state on,
// by the process.
func processes(t *testing.T) map[int][]string {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	found := map[int][]string{}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path))) // digits, as above
		_, fields, _ := strings.Cut(string(stat), ") ")
		found[pid] = strings.Fields(fields)
	}
	return found
}

// endings are shell commands that end in every way there is, and the codes that
// stand for that.
func endings() map[string]int {
	all := map[string]int{}
	for code := 0; code <= 255; code += 255 / countedCodes {
		all[fmt.Sprintf("exit %d", code)] = code
	}
	for sig := 1; sig <= 64; sig++ {
		switch syscall.Signal(sig) {
		case syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGURG, syscall.SIGWINCH: // not deadly
		case syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU:
		case 32, 33: // glibc's own: what it spawns, make's commands for one, ignores them
		default:
			all[fmt.Sprintf("ulimit -c 0; kill -%d $$", sig)] = 128 + sig
		}
	}
	return all
}

// A crash was reported as success, and the death by a signal as 255.
func countCodes(t *testing.T, p program) {
	inBothWays(t, func(t *testing.T, way string) {
		all := endings()
		for command, want := range all {
			t.Run(command, func(t *testing.T) {
				k := p.start(newDir(t, recorded("")), way, "--", "sh", "-c", command)
				if got := k.code(); got != want {
					t.Errorf("got exit code %d, want %d", got, want)
				}
			})
		}
		t.Logf("%d exit codes", len(all))
	})
}

// orphaning is a child that makes processes whose parent ends before they are
// waited for.
const orphaning = `i=0
while [ $i -lt %d ]; do (: &); i=$((i+1)); done
echo >>$DIR/over
exec sleep 600
`

// A reaper beside code that waits for its own children stole exit codes.
func countOrphans(t *testing.T, p program) {
	inBothWays(t, func(t *testing.T, way string) {
		files := recorded("check_cmd = \"read code <{{.src}}; exit $code\"\n[reload]\naction = \"none\"\nretry = \"10m\"\n")
		files["conf/conf.d/b.toml"] = `
[[template]]
src = "a.tmpl"
dest = "$DIR/live/b"
[reload]
action = "exec"
command = "read code <$DIR/live/b; exit $code"
retry = "10m"
`
		files["objects.yaml"] = settings(`"0"`)
		files["child"] = fmt.Sprintf(orphaning, countedOrphans)
		d := newDir(t, files)
		k := p.start(d, way, d.recorder()...)
		k.awaitLog("child started")
		rounds, memory := 0, 0
		for deadline := time.Now().Add(4 * testPatience); d.lines("over") == 0; rounds++ {
			if time.Now().After(deadline) {
				t.Fatal("the child does not come to an end with its orphans")
			}
			k.runCommands(d, 1+rounds%255)
			memory = max(memory, k.privateMemory())
		}
		t.Logf("%d codes of commands beside %d orphans; init has up to %d KiB of its own", 2*rounds, countedOrphans, memory)
		if rounds < 10 {
			t.Errorf("the worker ran commands %d times beside the orphans, want more", rounds)
		}
		if limit := 3 << 10; memory > limit {
			t.Errorf("init has %d KiB of its own, want at most %d", memory, limit)
		}
		init, worker := k.cmd.Process.Pid, k.worker()
		await(t, "there are no zombies", func() bool { return zombiesOf(t, init, worker) == 0 })
		k.wantEnd(128 + int(syscall.SIGTERM))
	})
}

// runCommands has a check and an action end with a code, and waits for kconfd to
// say that they have.
func (k *daemon) runCommands(d dir, code int) {
	k.t.Helper()
	before := len(k.log.String())
	d.write("objects.yaml", settings(fmt.Sprintf("%q", strconv.Itoa(code))))
	await(k.t, fmt.Sprintf("both commands exit with %d", code), func() bool {
		checked, told := 0, 0
		for line := range strings.Lines(k.log.String()[before:]) {
			switch {
			case !strings.Contains(line, `msg="not applied"`):
			case !strings.Contains(line, fmt.Sprintf(": exit status %d\"", code)) && !strings.Contains(line, fmt.Sprintf(": exit status %d (", code)):
				k.t.Errorf("want exit status %d: %s", code, line)
			case strings.Contains(line, `err="checking`):
				checked++
			default:
				told++
			}
		}
		return checked == 1 && told == 1 || k.t.Failed()
	})
	if k.t.Failed() {
		k.t.FailNow() // what comes next would follow from that
	}
}

// privateMemory is how many KiB init does not share with the worker, which runs
// the same file.
func (k *daemon) privateMemory() (kib int) {
	k.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", k.cmd.Process.Pid))
	if err != nil {
		k.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		k.t.Fatal(err)
	}
	return kib
}

func zombiesOf(t *testing.T, parents ...int) (n int) {
	t.Helper()
	for _, fields := range processes(t) {
		for _, parent := range parents {
			if fields[0] == "Z" && fields[1] == strconv.Itoa(parent) {
				n++
			}
		}
	}
	return n
}

// locking is a child that never runs twice at a time, nor beside what another one
// has left: that is written to a file. It leaves a process behind that takes its
// time to end, or does not before it is killed.
const locking = `cd $DIR
echo >>starts
exec 9>lock
flock -n 9 || echo >>two
(trap "" TERM; echo >lingers.$$; sleep 0.0$(( $$ % 9 ))) &
until test -e lingers.$$; do :; done
exec sleep 600
`

// Two servers ran on one data directory.
func countRestarts(t *testing.T, _ program) {
	inBothWays(t, func(t *testing.T, way string) {
		files := recorded("[reload]\naction = \"restart\"\n")
		files["child"] = locking
		d := newDir(t, files)
		k := startWay(t, way, filed(d, append([]string{"-stop-grace", "50ms"}, d.recorder()...)...)...)
		d.awaitLines("starts", 1)
		for n := range countedRestarts {
			d.write("objects.yaml", settings("colour-"+strconv.Itoa(n)))
			d.awaitLines("starts", n+2)
			time.Sleep(rand.N(10 * time.Millisecond)) // a random moment
		}
		k.wantEnd(128 + int(syscall.SIGTERM))
		if two := d.lines("two"); two != 0 {
			t.Errorf("two instances ran side by side %d times", two)
		}
		t.Logf("%d restarts", d.lines("starts")-1)
	})
}
