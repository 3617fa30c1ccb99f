package reload

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// awaitExit waits until a child has ended, and leaves it a zombie.
func awaitExit(t *testing.T, pid int) {
	t.Helper()
	fatal(t, unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil))
}

func hup(pidFile, process string) Action {
	return Action{Kind: Signal, Signal: syscall.SIGHUP, PIDFile: pidFile, Process: process}
}

func TestParseSignal(t *testing.T) {
	for in, want := range map[string]syscall.Signal{
		"HUP": syscall.SIGHUP, "SIGHUP": syscall.SIGHUP, "hup": syscall.SIGHUP, "sigusr1": syscall.SIGUSR1,
		"WINCH": syscall.SIGWINCH, "1": syscall.SIGHUP, "15": syscall.SIGTERM, "37": syscall.Signal(37),
	} {
		if got, err := ParseSignal(in); got != want || err != nil {
			t.Errorf("ParseSignal(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "0", "-1", "65", "SIG", "HUPP", "SIGSIGHUP", "1 "} {
		if got, err := ParseSignal(in); err == nil {
			t.Errorf("ParseSignal(%q) = %v, want an error", in, got)
		}
	}
}

// postmasterRest is what follows the process id in PostgreSQL's postmaster.pid.
const postmasterRest = "\n/var/lib/postgresql/16/main\n1764500000\n5432\n/run/postgresql\nlocalhost\n  5432001         0\nready   \n"

func TestSignalReachesTheProcess(t *testing.T) {
	name := uniqueName("r")
	s := startServer(t, "", "/usr/sbin/"+name, 0)
	pid := strconv.Itoa(s.pid())
	for what, action := range map[string]Action{
		"pid file":             hup(writeFile(t, pid), ""),
		"white space":          hup(writeFile(t, " \n"+pid+"\r\n\n"), ""),
		"trailing spaces":      hup(writeFile(t, pid+" \t \r\n"), ""),
		"spaces to the limit":  hup(writeFile(t, pid+strings.Repeat(" ", maxPIDFile-len(pid)-1)+"\n1"), ""),
		"more lines":           hup(writeFile(t, pid+"\n1\n"+strings.Repeat("9", 1<<16)), ""),
		"PostgreSQL's":         hup(writeFile(t, pid+postmasterRest), ""),
		"PostgreSQL's, CRLF":   hup(writeFile(t, strings.ReplaceAll(pid+postmasterRest, "\n", "\r\n")), name),
		"pid file and process": hup(writeFile(t, pid), name),
		"process":              hup("", name),
	} {
		fatal(t, action.Do(t.Context()))
		if got, want := s.next(), "master told"; got != want {
			t.Errorf("%s: the server said %q, want %q", what, got, want)
		}
	}
	if rest := s.end(); rest != nil {
		t.Errorf("more signals than one each: %q", rest)
	}
}

// A wrong or foreign pid file must not hit whoever has the number.
func TestPIDFileRefused(t *testing.T) {
	bystander := startServer(t, "", uniqueName("b"), 0)
	for what, tt := range map[string]struct{ content, process, want string }{
		"empty":          {"", "", "it is empty"},
		"white space":    {" \n", "", "it is empty"},
		"garbage":        {"12x", "", `it holds "12x", which is not a process id`},
		"negative":       {fmt.Sprint(-bystander.pid()), "", "which is not a process id"},
		"plus":           {fmt.Sprint("+", bystander.pid()), "", "which is not a process id"},
		"hexadecimal":    {fmt.Sprintf("%#x", bystander.pid()), "", "which is not a process id"},
		"zero":           {"0", "", `it holds "0", which is not a process id`},
		"two in a line":  {fmt.Sprintf("%d %d\n", bystander.pid(), bystander.pid()), "", "which is not a process id"},
		"not the first":  {fmt.Sprintf("name\n%d\n", bystander.pid()), "", `it holds "name", which is not a process id`},
		"a key":          {fmt.Sprintf("pid=%d\n", bystander.pid()), "", "which is not a process id"},
		"NUL":            {fmt.Sprintf("%d\x00\n", bystander.pid()), "", "which is not a process id"},
		"no first line":  {strings.Repeat(" ", 62) + fmt.Sprintf("%d\n", bystander.pid()), "", "its first line has more than 63 bytes"},
		"foreign, lines": {fmt.Sprint(bystander.pid(), postmasterRest), uniqueName("x"), fmt.Sprintf("process %d is ", bystander.pid())},
		"PostgreSQL's":   {fmt.Sprint(-bystander.pid(), postmasterRest), "", "which is not a process id"}, // without a postmaster
		"too large":      {strings.Repeat("9", 20), "", "which is not a process id"},
		"a long file":    {strings.Repeat("9 ", 1<<20), "", "its first line has more than 63 bytes"},
		"init, unnamed":  {"1", "", "it holds 1, which may be anybody's init; name the process as well"},
		"init, misnamed": {"1", uniqueName("x"), "process 1 is "},
		"itself":         {fmt.Sprint(os.Getpid()), "", "which is kconfd itself"},
		"foreign":        {fmt.Sprint(bystander.pid()), uniqueName("x"), fmt.Sprintf("process %d is ", bystander.pid())},
	} {
		action := hup(writeFile(t, tt.content), tt.process)
		action.Signal = syscall.SIGWINCH // harms nobody, should it ever reach one of them
		err := action.Do(t.Context())
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want %q in it", what, err, tt.want)
		}
		if errors.Is(err, ErrNoProcess) {
			t.Errorf("%s: %v is ErrNoProcess, though nobody was looked for or somebody was there", what, err)
		}
	}
	if said := bystander.end(); said != nil {
		t.Errorf("the bystander was signalled: %q", said)
	}
}

func TestPIDFileMissing(t *testing.T) {
	err := hup(filepath.Join(t.TempDir(), "none"), "").Do(t.Context())
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got error %v, want fs.ErrNotExist", err)
	}
}

func TestPIDFileStale(t *testing.T) {
	dead := exec.Command("true")
	fatal(t, dead.Run())
	for what, pid := range map[string]int{
		"ended":  dead.Process.Pid,
		"zombie": startZombie(t, uniqueName("z")),
	} {
		path := writeFile(t, strconv.Itoa(pid))
		err := hup(path, "").Do(t.Context())
		want := fmt.Sprintf("signal HUP to pid file %q: stale: process %d: no such process", path, pid)
		if !errors.Is(err, ErrNoProcess) || err.Error() != want {
			t.Errorf("%s: got error %v, want %s", what, err, want)
		}
	}
}

// A process may call itself something, be called something, or be a program of that name; and that
// program may have been replaced on disk since.
func TestProcessNames(t *testing.T) {
	for what, start := range map[string]func(t *testing.T, name string) *server{
		"comm":  func(t *testing.T, name string) *server { return startServer(t, "", "other", 0, "COMM="+name) },
		"argv0": func(t *testing.T, name string) *server { return startServer(t, "", "/usr/sbin/"+name, 0) },
		"exe": func(t *testing.T, name string) *server {
			return startServer(t, copyOfTestBinary(t, name), "other", 0, "COMM=other")
		},
		"deleted exe": func(t *testing.T, name string) *server {
			program := copyOfTestBinary(t, name)
			s := startServer(t, program, "other", 0, "COMM=other")
			fatal(t, os.Remove(program))
			return s
		},
	} {
		t.Run(what, func(t *testing.T) {
			name := uniqueName("n")
			s := start(t, name)
			fatal(t, hup("", name).Do(t.Context()))
			if got, want := s.next(), "master told"; got != want {
				t.Errorf("the server said %q, want %q", got, want)
			}
		})
	}
}

// The names of bracketed, spaced and bracket-closing processes are in the way of the other fields.
func TestParseStat(t *testing.T) {
	const fields = " S 41 42 40 34816 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 1"
	for _, comm := range []string{"nginx", "a b", "(sd-pam)", ") S 1 (", ""} {
		got, err := parseStat(43, "43 ("+comm+")"+fields)
		fatal(t, err)
		want := process{pid: 43, parent: 41, group: 42, session: 40, tty: 34816, start: "98765", comm: comm}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(process{})); diff != "" {
			t.Errorf("%q: (-want +got)\n%s", comm, diff)
		}
	}
	for state, want := range map[string]struct {
		stopped bool
		err     error
	}{
		" T": {stopped: true},
		" Z": {err: ErrNoProcess},
		" X": {err: ErrNoProcess},
	} {
		got, err := parseStat(43, "43 (x)"+state+fields[2:])
		if got.stopped != want.stopped || err != want.err {
			t.Errorf("state%s: got %+v, %v, want %+v", state, got, err, want)
		}
	}
	threads := strings.Replace(fields, "20 0 1 0", "20 0 2 0", 1)
	if _, err := parseStat(43, "43 (x) Z"+threads[2:]); err != nil {
		t.Errorf("the first thread has ended, another lives: got error %v, want none", err)
	}
	for _, stat := range []string{"", "43", "43 (x", "43 x) S 1", "43 (x) S 1 2", ")(", "43 (x) S y" + fields[5:], "43 (x) S 41 y" + fields[8:]} {
		if got, err := parseStat(43, stat); err == nil {
			t.Errorf("%q: got %+v, want an error", stat, got)
		}
	}
}

func TestSignalGoesToTheMasterAlone(t *testing.T) {
	name := uniqueName("m")
	s := startServer(t, "", name, 3)
	fatal(t, hup("", name).Do(t.Context()))
	if got, want := s.next(), "master told"; got != want {
		t.Errorf("the server said %q, want %q", got, want)
	}
	if rest := s.end(); rest != nil {
		t.Errorf("workers were signalled too: %q", rest)
	}
}

func TestSeveralMasters(t *testing.T) {
	name := uniqueName("s")
	a, b := startServer(t, "", name, 1), startServer(t, "", name, 0)
	err := hup("", name).Do(t.Context())
	want := fmt.Sprintf(`signal HUP to process %q: several processes have the name, none was signalled: [%d %d]`,
		name, min(a.pid(), b.pid()), max(a.pid(), b.pid()))
	if err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
	if said := append(a.end(), b.end()...); said != nil {
		t.Errorf("somebody was signalled: %q", said)
	}
}

// Neither the caller nor the dead count as bearers of the name.
func TestNobodyOfThatName(t *testing.T) {
	zombie, own := uniqueName("d"), uniqueName("o")
	startZombie(t, zombie)
	before, err := os.ReadFile("/proc/self/comm")
	fatal(t, err)
	fatal(t, os.WriteFile("/proc/self/comm", []byte(own), 0))
	defer func() { fatal(t, os.WriteFile("/proc/self/comm", before, 0)) }()
	for _, name := range []string{uniqueName("x"), zombie, own} {
		err := hup("", name).Do(t.Context())
		want := fmt.Sprintf("signal HUP to process %q: no such process in this PID namespace", name)
		if !errors.Is(err, ErrNoProcess) || err.Error() != want {
			t.Errorf("got error %v, want %s", err, want)
		}
	}
}

// Between finding a process and signalling it, the number may have come to mean another.
func TestProcessChangedMeanwhile(t *testing.T) {
	name := uniqueName("c")
	s := startServer(t, "", name, 0)
	found, err := readProcess(s.pid())
	fatal(t, err)
	former := found
	former.start = "1"
	for what, err := range map[string]error{
		"another process": former.signal(syscall.SIGHUP, name),
		"another name":    found.signal(syscall.SIGHUP, uniqueName("x")),
	} {
		if !errors.Is(err, ErrNoProcess) {
			t.Errorf("%s: got error %v, want ErrNoProcess", what, err)
		}
	}
	if said := s.end(); said != nil {
		t.Errorf("it was signalled: %q", said)
	}
	if err := found.signal(syscall.SIGHUP, name); !errors.Is(err, ErrNoProcess) {
		t.Errorf("ended: got error %v, want ErrNoProcess", err)
	}
}

func TestSignalAfterTheEnd(t *testing.T) {
	name := uniqueName("e")
	s := startServer(t, "", name, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := hup("", name).Do(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want context.Canceled", err)
	}
	if said := s.end(); said != nil {
		t.Errorf("it was signalled: %q", said)
	}
}
