package tree

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	testprocess "github.com/kconfd/kconfd/test/process"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// TestMain is also the programs of the tests: see play.
func TestMain(m *testing.M) {
	if role := os.Getenv("TREE_ROLE"); role != "" {
		play(strings.Split(role, " "))
	}
	os.Exit(m.Run())
}

// play is a program that starts the next one of the roles, in a way that its role
// says. All hold the test's pipe open, descriptor 3, until they end.
func play(roles []string) {
	role, rest := roles[0], roles[1:]
	var next *exec.Cmd
	if len(rest) > 0 {
		next = exec.Command(os.Args[0])
		next.Env = append(os.Environ(), "TREE_ROLE="+strings.Join(rest, " "))
		next.ExtraFiles = []*os.File{os.NewFile(3, "pipe")}
		next.SysProcAttr = &syscall.SysProcAttr{}
	}
	start := func() {
		if next == nil {
			fmt.Fprintln(os.NewFile(3, "pipe"), "ready")
		} else if err := next.Start(); err != nil {
			panic(err)
		}
	}
	switch role {
	case "stays":
		start()
	case "group": // in a process group of its own
		next.SysProcAttr.Setpgid = true
		start()
	case "session":
		next.SysProcAttr.Setsid = true
		start()
	case "daemon": // in a session of its own, and without a parent
		next.SysProcAttr.Setsid = true
		start()
		os.Exit(0)
	case "helper": // a program that starts its own with this package
		if err := Run(context.Background(), next); err != nil {
			panic(err)
		}
	case "exits":
		start()
		os.Exit(0)
	}
	<-time.After(10 * time.Minute) // a test that is gone has no more use for it
	os.Exit(0)
}

// A playing is a tree of processes that the test waits for by their pipe.
type playing struct {
	cmd  *exec.Cmd
	pipe *os.File
}

func newPlay(t *testing.T, roles string) playing {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TREE_ROLE="+roles)
	cmd.ExtraFiles = []*os.File{w}
	cmd.Stderr = os.Stderr
	return playing{cmd, r}
}

// ready waits until the last of the processes runs.
func (p playing) ready(t *testing.T) {
	t.Helper()
	p.cmd.ExtraFiles[0].Close()
	p.read(t, func(r *bufio.Reader) error { _, err := r.ReadString('\n'); return err })
}

// wantGone waits until none of the processes holds the pipe.
func (p playing) wantGone(t *testing.T) {
	t.Helper()
	p.read(t, func(r *bufio.Reader) error { _, err := io.Copy(io.Discard, r); return err })
}

func (p playing) read(t *testing.T, read func(*bufio.Reader) error) {
	t.Helper()
	if err := p.pipe.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if err := read(bufio.NewReader(p.pipe)); err != nil {
		t.Fatal(err)
	}
}

// Whatever a program's processes have done to their group, session and parent,
// they end with it.
func TestEndsAll(t *testing.T) {
	for name, roles := range map[string]string{
		"one process":           "stays",
		"a child":               "stays stays",
		"another group":         "stays group stays",
		"another session":       "stays session stays",
		"no parent":             "stays exits stays",
		"a daemon":              "stays daemon stays",
		"a daemon's children":   "stays daemon daemon group stays",
		"of a helper":           "helper stays",
		"a daemon of a helper":  "helper stays daemon stays",
		"a helper of a helper":  "helper helper group stays",
		"a session in a helper": "session helper session stays",
	} {
		for grace := range []time.Duration{0, 1} {
			t.Run(fmt.Sprintf("%s, grace %d", name, grace), func(t *testing.T) {
				t.Parallel()
				play := newPlay(t, roles)
				p, err := Start(play.cmd)
				if err != nil {
					t.Fatal(err)
				}
				play.ready(t)
				p.End(time.Duration(grace) * patience)
				if err := p.Wait(); err == nil {
					t.Error("the program ended well")
				}
				play.wantGone(t)
			})
		}
	}
}

// Run ends with its context and leaves nothing; and neither does a program that
// ends by itself.
func TestRunLeavesNothing(t *testing.T) {
	t.Run("context", func(t *testing.T) {
		play := newPlay(t, "stays daemon stays")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- Run(ctx, play.cmd) }() // until cancel
		play.read(t, func(r *bufio.Reader) error { _, err := r.ReadString('\n'); return err })
		cancel()
		if err := <-done; err == nil {
			t.Error("the program ended well")
		}
		play.cmd.ExtraFiles[0].Close()
		play.wantGone(t)
	})
	t.Run("exit", func(t *testing.T) {
		play := newPlay(t, "daemon stays")
		if err := Run(t.Context(), play.cmd); err != nil {
			t.Error(err)
		}
		play.cmd.ExtraFiles[0].Close()
		play.wantGone(t)
	})
}

// What is none of the tree is left alone: other children, and what they started.
func TestLeavesOthers(t *testing.T) {
	other := newPlay(t, "stays daemon stays")
	bystander, err := Start(other.cmd)
	if err != nil {
		t.Fatal(err)
	}
	other.ready(t)
	testprocess.Await(t, "the daemon's parent has ended", func() bool { return len(bystander.members()) == 2 })
	play := newPlay(t, "stays")
	p, err := Start(play.cmd)
	if err != nil {
		t.Fatal(err)
	}
	play.ready(t)
	p.End(0)
	_ = p.Wait() // it was killed
	if got := len(bystander.members()); got != 2 {
		t.Errorf("of the other tree %d processes live, want 2", got)
	}
	bystander.End(0)
	_ = bystander.Wait() // it was killed
	other.wantGone(t)
}

// The kernel ends the program with a caller that is killed.
func TestEndsWithItsCaller(t *testing.T) {
	play := newPlay(t, "helper stays")
	if err := play.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	play.ready(t)
	if err := play.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = play.cmd.Wait() // it was killed
	play.wantGone(t)
}

func TestMarked(t *testing.T) {
	got := fmt.Sprint(marked(marked([]string{"A=1"}, "x"), "y"))
	if want := "[A=1 KCONFD_COMMAND_ID=x,y]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestStartFails(t *testing.T) {
	if _, err := Start(exec.Command(filepath.Join(t.TempDir(), "none"))); err == nil {
		t.Error("a program that does not exist was started")
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 1 1 0 0 20 0 1 0 12345 1 1")
	f.Add("7 (")
	f.Add("")
	f.Fuzz(func(_ *testing.T, stat string) {
		_, _ = parseStat(7, stat) // no panic
	})
}
