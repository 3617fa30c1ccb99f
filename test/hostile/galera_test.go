package hostile

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kconfd/kconfd/test/process"
)

// A trial is a server program, and a pipe that all its processes have open.
type trial struct {
	*stage
	program string
	temp    string // TMPDIR
	pipe    *os.File
	lines   *bufio.Reader
}

func newTrial(t *testing.T, script string) *trial {
	t.Helper()
	s := newStage(t)
	tr := &trial{stage: s, program: s.path("mariadbd"), temp: s.path("tmp")}
	fifo := s.path("fifo")
	s.must(syscall.Mkfifo(fifo, 0o600))
	s.must(os.Mkdir(tr.temp, 0o700))
	s.must(process.WriteProgram(tr.program, fmt.Appendf(nil, "#!/bin/sh\nexec 9>%s\n%s\n", fifo, script)))
	s.write("my.cnf", "[mysqld]\nuser = mysql\nserver_id = 1\n")
	s.write("main.cnf", "[mysqld]\n!include "+s.path("my.cnf")+"\n")
	var err error
	tr.pipe, err = os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	s.must(err)
	t.Cleanup(func() { tr.pipe.Close() })
	tr.lines = bufio.NewReader(tr.pipe)
	return tr
}

// ready waits until the server says that it runs.
func (tr *trial) ready() {
	tr.t.Helper()
	deadline := time.Now().Add(process.Patience)
	for {
		line, err := tr.lines.ReadString('\n')
		if line == "ready\n" {
			return
		}
		if time.Now().After(deadline) {
			tr.t.Fatalf("the server does not start: %q, %v", line, err)
		}
		time.Sleep(time.Millisecond) // nobody has opened the other end yet
	}
}

// wantGone waits until no process has the pipe open, and looks whether a file is left.
func (tr *trial) wantGone() {
	tr.t.Helper()
	tr.must(tr.pipe.SetReadDeadline(time.Now().Add(process.Patience)))
	if _, err := io.Copy(io.Discard, tr.lines); err != nil {
		tr.t.Errorf("a process is left: %v", err)
	}
	left, err := os.ReadDir(tr.temp)
	tr.must(err)
	if len(left) > 0 {
		tr.t.Errorf("left: %v", left)
	}
}

// check is `kconfd galera check`.
func (tr *trial) check(args ...string) *exec.Cmd {
	cmd := exec.Command("kconfd", append([]string{"galera", "check", "-server", tr.program}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tr.temp)
	return cmd
}

// However a check is ended, what it started ends with it, and it leaves no file.
func TestCheckIsEnded(t *testing.T) {
	for name, script := range servers() {
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGKILL} {
			if sig == syscall.SIGKILL && !slices.Contains(bound(), name) {
				continue
			}
			t.Run(name+", "+sig.String(), func(t *testing.T) {
				t.Parallel()
				tr := newTrial(t, script)
				p := process.Start(t, tr.check("-in", tr.path("main.cnf"), "-dest", tr.path("my.cnf"), tr.path("my.cnf")))
				tr.ready()
				p.Signal(sig)
				if code := p.Wait(); code != 128+int(sig) && code != -1 {
					t.Errorf("exit code %d", code)
				}
				tr.wantGone()
			})
		}
	}
}

// A check_cmd whose time is over leaves nothing, whatever its server has started,
// and neither does one that is killed.
func TestCheckTimesOut(t *testing.T) {
	for name, script := range servers() {
		for how, command := range map[string]string{
			"timed out": "kconfd galera check -server PROGRAM -in MAIN -dest OPTIONS {{.src}}",
			"killed":    "kconfd galera check -server PROGRAM {{.src}} & read -r word <GO; kill -KILL $!; kill -KILL $$",
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				tr := newTrial(t, script)
				tr.must(syscall.Mkfifo(tr.path("go"), 0o600))
				command := strings.NewReplacer("PROGRAM", tr.program, "MAIN", tr.path("main.cnf"), "OPTIONS", tr.path("my.cnf"), "GO", tr.path("go")).Replace(command)
				timeout := map[string]string{"timed out": "3s", "killed": "1m"}[how]
				tr.write("conf.d/a.toml", fmt.Sprintf("[[template]]\ncontents = \"[mysqld]\\nuser = mysql\\n\"\ndest = %q\ncheck_cmd = %q\ncheck_timeout = %q\n",
					tr.path("my.cnf"), command, timeout))
				cmd := tr.command("-onetime")
				cmd.Env = append(os.Environ(), "TMPDIR="+tr.temp)
				p := process.Start(t, cmd)
				tr.ready()
				if how == "killed" {
					tr.must(os.WriteFile(tr.path("go"), []byte("go\n"), 0))
				}
				if code := p.Wait(); code != 1 {
					t.Errorf("exit code %d", code)
				}
				tr.wantGone()
			})
		}
	}
}

// What is no file, where the commands read one, is an error that names it, at once. The
// file for arguments is only written to.
func TestGaleraReadsFilesOnly(t *testing.T) {
	for place, args := range placesOfOptions() {
		for name, plant := range notFiles() {
			t.Run(place+" is "+name, func(t *testing.T) {
				t.Parallel()
				s := newStage(t)
				s.write("options.cnf", "[mysqld]\nuser = nobody\ndatadir = "+s.home+"/data\nwsrep_status_file = wsrep.json\nwsrep_cluster_address = gcomm://192.0.2.1\n")
				s.write("includes.cnf", "[mysqld]\n!includedir "+s.home+"/conf.d\n")
				for _, dir := range []string{"data", "conf.d"} {
					s.must(os.Mkdir(filepath.Join(s.home, dir), 0o755))
					s.must(os.Chown(filepath.Join(s.home, dir), other, other))
				}
				path := s.path(place)
				s.as(other, func() error { return plant(path) })
				names := strings.NewReplacer("HOME", s.home, "OPTIONS", s.path("options.cnf"), "INCLUDES", s.path("includes.cnf"))
				words := []string{"galera"}
				for _, arg := range args {
					words = append(words, names.Replace(arg))
				}
				cmd := exec.Command("kconfd", words...)
				cmd.Env = append(os.Environ(), "KCONFD_START_FILE="+s.path("home/start"))
				p := process.Start(t, cmd)
				code := p.Wait()
				if code == 0 || code < 0 || !strings.Contains(p.Log(), path) && place != "home/start" {
					t.Errorf("exit code %d:\n%s", code, p.Log())
				}
			})
		}
	}
}
