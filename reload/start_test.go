package reload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A program that another process has open for writing for a moment is started
// when it is closed.
func TestProgramThatIsBeingWritten(t *testing.T) {
	content, err := os.ReadFile("/bin/true")
	fatal(t, err)
	path := filepath.Join(t.TempDir(), "program")
	fatal(t, os.WriteFile(path, content, 0o755))
	open, err := os.OpenFile(path, os.O_WRONLY, 0)
	fatal(t, err)
	time.AfterFunc(busyWait/4, func() { open.Close() })
	p, err := Launcher{}.Start(Child{Argv: []string{path}}, func() {})
	fatal(t, err)
	if exit := p.Wait(); exit.Code != 0 {
		t.Errorf("got %v, want that it ran", exit)
	}
	fatal(t, p.Gone(t.Context()))
}

// A shell ends so with a command that it cannot run.
func TestChildThatCannotBeStarted(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		fatal(t, os.WriteFile(path, []byte(content), mode))
		return path
	}
	plain := file("plain", "", 0o644)
	noInterpreter := file("script", "#!/nonexistent\n", 0o755)
	path := "PATH=" + dir
	for name, test := range map[string]struct {
		child Child
		code  int
		want  string
	}{
		"not in PATH": {Child{Argv: []string{"sh"}, Env: []string{path}}, 127, `"sh": executable file not found in $PATH`},
		"no such file": {
			Child{Argv: []string{"/nonexistent"}},
			127,
			"fork/exec /nonexistent: no such file or directory",
		},
		"not executable": {Child{Argv: []string{plain}}, 126, "fork/exec " + plain + ": permission denied"},
		"not executable in PATH": {
			Child{Argv: []string{"plain"}, Env: []string{path}},
			126,
			`"plain": ` + plain + ": permission denied",
		},
		"a directory": {Child{Argv: []string{dir}}, 126, "fork/exec " + dir + ": permission denied"},
		"no interpreter": {
			Child{Argv: []string{noInterpreter}},
			126,
			"fork/exec " + noInterpreter + ": no such file or directory",
		},
		"no such working directory": {
			Child{Argv: []string{"/bin/true"}, Dir: "/nonexistent"},
			126,
			"stat /nonexistent: no such file or directory",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Launcher{}.Start(test.child, func() {})
			var start *StartError
			if !errors.As(err, &start) {
				t.Fatalf("got error %v, want a *StartError", err)
			}
			if want := "starting the child: " + test.want; start.Code != test.code || err.Error() != want {
				t.Errorf("got %d, %v, want %d, %s", start.Code, err, test.code, want)
			}
		})
	}
}

// run runs a child to its end.
func run(t *testing.T, l Launcher, c Child) Exit {
	t.Helper()
	p, err := l.Start(c, func() {})
	fatal(t, err)
	exit := p.Wait()
	fatal(t, p.Gone(t.Context()))
	return exit
}

func TestChildRunsAsItIsTold(t *testing.T) {
	account := &Account{UID: os.Getuid(), GID: os.Getgid(), Groups: []int{os.Getgid()}}
	if os.Getuid() == 0 {
		account = &Account{UID: 65534, GID: 65533, Groups: []int{65532}}
	}
	dir, err := os.MkdirTemp("", "child") // where any account gets to
	fatal(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	fatal(t, os.Chmod(dir, 0o777))
	exit := run(t, Launcher{}, Child{
		Argv: []string{"sh", "-c", `{ echo "$1" $PWD $A $(id -u) $(id -g) $(id -G); [ $(ps -o pgid= $$) = $$ ]; } >out`, "name", "a b"},
		Env:  []string{"A=1", "PATH=/usr/bin:/bin", "A=2"}, Dir: dir, User: account,
	})
	groups := fmt.Sprint(account.GID)
	if account.Groups[0] != account.GID {
		groups += fmt.Sprint(" ", account.Groups[0])
	}
	want := fmt.Sprintf("a b %s 2 %d %d %s\n", dir, account.UID, account.GID, groups)
	if got := content(t, dir+"/out"); got != want || exit != exit0 {
		t.Errorf("the child %v and said %q, want %v, %q", exit, got, exit0, want)
	}
}

// The streams are the child's own, nothing is between.
func TestStreamsArePassedThrough(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		var out, err bytes.Buffer
		w := newCrew(t, way, shell("cat; echo to standard error >&2"))
		w.cmd.Stdin, w.cmd.Stdout, w.cmd.Stderr = strings.NewReader("to standard output"), &out, &err
		w.start()
		w.wait(0)
		if got, want := out.String()+", "+err.String(), "to standard output, to standard error\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// A process in between finds and loses its id: only a leader that has been
// waited for leaves it to others.
func TestIdIsKeptUntilTheGroupIsGone(t *testing.T) {
	dir := t.TempDir()
	p, err := Launcher{}.Start(shell("cd "+dir+"; (while [ ! -e go ]; do sleep 0.01; done) & exit 3"), func() {})
	fatal(t, err)
	if got := p.Wait(); got != exit3 {
		t.Fatalf("the child %v, want %v", got, exit3)
	}
	pid := p.(*osProcess).pid
	if err := p.Signal(syscall.SIGTERM, false); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("a signal to what has ended gave %v, want %v", err, os.ErrProcessDone)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.Gone(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Gone gave %v, want that the group lives", err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("process %d: %v, want that it is kept", pid, err)
	}
	_, err = os.Create(dir + "/go")
	fatal(t, err)
	fatal(t, p.Gone(t.Context()))
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d: %v, want that it has been waited for", pid, err)
	}
	if err := p.Signal(syscall.SIGTERM, true); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("a signal to the group gave %v, want %v", err, os.ErrProcessDone)
	}
}

func TestHandles(t *testing.T) {
	dir := t.TempDir()
	p, err := Launcher{}.Start(shell("cd "+dir+`; trap : HUP; trap "" USR1; : >ready; while :; do sleep 0.01; done`), func() {})
	fatal(t, err)
	awaitFile(t, dir+"/ready")
	for sig, want := range map[syscall.Signal]bool{syscall.SIGHUP: true, syscall.SIGUSR1: true, syscall.SIGUSR2: false} {
		if got := p.Handles(sig); got != want {
			t.Errorf("Handles(%s) = %t, want %t", SignalName(sig), got, want)
		}
	}
	fatal(t, p.Signal(syscall.SIGKILL, true))
	if got := p.Wait(); got != byKILL {
		t.Errorf("the child %v, want %v", got, byKILL)
	}
	fatal(t, p.Gone(t.Context()))
}

// A notified says when it was called.
type notified chan struct{}

func (n notified) call() { n <- struct{}{} }

func (n notified) await(t *testing.T) {
	t.Helper()
	select {
	case <-n:
	case <-time.After(2 * slack):
		t.Fatal("it was not believed that the child is ready")
	}
}

func (n notified) never(t *testing.T) {
	t.Helper()
	select {
	case <-n:
		t.Fatal("it was believed that the child is ready")
	default:
	}
}

// newNotifier gives a notifier and what it logs.
func newNotifier(t *testing.T) (*Notifier, *logged) {
	t.Helper()
	log := &logged{lines: make(chan string, 1000)}
	n, err := Listen(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	fatal(t, err)
	t.Cleanup(func() { n.Close() })
	return n, log
}

// logged is a log that can be waited for.
type logged struct{ lines chan string }

func (l *logged) Write(line []byte) (int, error) {
	l.lines <- string(line)
	return len(line), nil
}

func (l *logged) await(t *testing.T, part string) {
	t.Helper()
	deadline := time.After(2 * slack)
	for {
		select {
		case line := <-l.lines:
			if strings.Contains(line, part) {
				return
			}
		case <-deadline:
			t.Fatalf("%q has not been logged", part)
		}
	}
}

// send sends a message to the child's socket.
func send(t *testing.T, n *Notifier, message string) {
	t.Helper()
	conn, err := net.Dial("unixgram", n.Address())
	fatal(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, message)
	fatal(t, err)
}

// Who is not of the child cannot say that it is ready.
func TestReadyIsTheChildsToSay(t *testing.T) {
	for name, argv := range map[string][]string{
		"itself":      itself(),
		"its shell's": {"sh", "-c", testBinary(t) + " & wait"},
	} {
		t.Run(name, func(t *testing.T) {
			n, log := newNotifier(t)
			dir, ready := t.TempDir(), make(notified, 10)
			c := Child{Argv: argv, Env: append(os.Environ(), partEnv+"=child", "WAIT="+dir+"/go")}
			p, err := Launcher{Notify: n}.Start(c, ready.call)
			fatal(t, err)
			send(t, n, "STATUS=starting\nREADY=1\nSTATUS=me too")
			log.await(t, "me too")
			log.await(t, "not of the child's group")
			ready.never(t)
			_, err = os.Create(dir + "/go")
			fatal(t, err)
			ready.await(t)
			fatal(t, p.Signal(syscall.SIGKILL, true))
			p.Wait()
			fatal(t, p.Gone(t.Context()))
		})
	}
}

// A helper of a shell script may have ended before its message is read.
func TestReadyFromAProcessThatHasEnded(t *testing.T) {
	n, log := newNotifier(t)
	ready := make(notified, 10)
	say := func(uid int) func() (int, error) {
		return func() (int, error) { // no message is looked at before this has returned
			c := Child{Argv: itself(), Env: append(os.Environ(), partEnv+"=teller", "NOTIFY_SOCKET="+n.Address())}
			if uid != os.Getuid() {
				c.User = &Account{UID: uid, GID: uid}
			}
			return 1 << 30, errorOf(run(t, Launcher{}, c))
		}
	}
	fatal(t, n.expect(Child{}, say(os.Getuid()), ready.call))
	ready.await(t)
	if os.Getuid() == 0 { // who else could be somebody else
		fatal(t, n.expect(Child{}, say(65534), ready.call))
		log.await(t, "it is of another user")
		ready.never(t)
		fatal(t, n.expect(Child{User: &Account{UID: 65534}}, say(65534), ready.call))
		ready.await(t)
	}
}

func errorOf(e Exit) error {
	if e != exit0 {
		return errors.New(e.String())
	}
	return nil
}

// pre_start decides about one start, and what it says is not kept.
func TestPreStartDecides(t *testing.T) {
	dir := t.TempDir()
	c := shell(`echo "$0 $1 $POSITION" >>` + dir + `/starts; [ "$1" = --last ]`)
	c.Env = append(os.Environ(), "POSITION=none")
	c.Restart = RestartOnFailure
	c.Backoff = Backoff{Initial: time.Millisecond}
	c.PreStart = &Command{Shell: `cd ` + dir + `; touch n; n=$(( $(wc -l <n) + 1 )); echo >>n
if [ $n = 1 ]; then echo "arg first start" >>$KCONFD_START_FILE; fi
if [ $n = 3 ]; then { echo arg sh; echo arg --last; echo env POSITION=7; } >$KCONFD_START_FILE; fi`}
	s := NewSupervisor(func(context.Context) (Child, error) { return c, nil }, Launcher{}.Start, slog.New(slog.DiscardHandler))
	go s.Start() // until Run has taken note
	exit, err := s.Run(t.Context())
	fatal(t, err)
	want := "first start  none\nsh  none\nsh --last 7\n"
	if got := content(t, dir+"/starts"); got != want || exit != exit0 {
		t.Errorf("the child %v; the starts were\n%swant\n%s", exit, got, want)
	}
}

func TestPreStartHangs(t *testing.T) {
	c := shell("exit 0")
	c.PreStart = &Command{Shell: "sleep 60", Timeout: 50 * time.Millisecond}
	s := NewSupervisor(func(context.Context) (Child, error) { return c, nil }, Launcher{}.Start, slog.New(slog.DiscardHandler))
	go s.Start() // until Run has taken note
	_, err := s.Run(t.Context())
	want := `before the start: pre_start: command "sleep 60": timed out after 50ms`
	if err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}
