package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv("PART") == "onsignal" {
		os.Exit(OnSignal(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// Each signal that is sent is heard, and the child ends with the code that is asked for.
func TestOnSignal(t *testing.T) {
	heard := filepath.Join(t.TempDir(), "heard")
	read := func() string {
		content, _ := os.ReadFile(heard) // empty when it is not there yet
		return string(content)
	}
	cmd := exec.Command(os.Args[0], "ready=echo ready >>"+heard, "HUP=echo HUP >>"+heard, "USR1=", "TERM:7=echo TERM >>"+heard)
	cmd.Env = append(os.Environ(), "PART=onsignal")
	p := Start(t, cmd)
	want := "ready\n"
	Await(t, "the child is ready", func() bool { return read() == want })
	for range 20 {
		for _, s := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGHUP} {
			if err := cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
		}
		want += "HUP\n"
		Await(t, "the child hears "+strings.TrimSpace(want), func() bool { return read() == want })
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := p.Wait(); got != 7 {
		t.Errorf("got exit code %d, want 7", got)
	}
	if want += "TERM\n"; read() != want {
		t.Errorf("heard %q, want %q", read(), want)
	}
}

func TestOnSignalArguments(t *testing.T) {
	for _, arg := range []string{"HUP", "NONSENSE=true", "HUP:x=true"} {
		if got := OnSignal([]string{arg}); got != 2 {
			t.Errorf("%q: got exit code %d, want 2", arg, got)
		}
	}
}
