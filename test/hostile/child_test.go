package hostile

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kconfd/kconfd/test/process"
)

// childEnv names the file in which the test binary, as the child, writes a line for
// each start: its process id, its user, the first bytes of its arguments, and what it reads.
const childEnv = "HOSTILE_CHILD"

// playChild is a child that obeys SIGTERM.
func playChild() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	starts := os.Getenv(childEnv)
	colour, _ := os.ReadFile(filepath.Join(filepath.Dir(starts), "colour"))
	args := strings.Join(os.Args[1:], " ")
	line := fmt.Sprintf("%d %d %q %q\n", os.Getpid(), os.Getuid(), args[:min(20, len(args))], colour)
	file, err := os.OpenFile(starts, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err == nil {
		_, err = file.WriteString(line)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	<-stop
}

// program is a copy of the child that may be spoilt.
func (s *stage) program() string {
	s.t.Helper()
	path, err := os.Executable()
	s.must(err)
	if _, err := os.Stat(s.path("program")); err != nil {
		// Whole at once: kconfd tries it as soon as it is there. By another process: a child that this one
		// starts meanwhile would have it open for writing for a moment, and it cannot be run then.
		out, err := exec.Command("cp", path, s.path("program.new")).CombinedOutput()
		if err != nil {
			s.t.Fatalf("%v: %s", err, out)
		}
		s.must(os.Rename(s.path("program.new"), s.path("program")))
	}
	return s.path("program")
}

// starts are the lines of the child.
func (s *stage) starts() []string {
	s.t.Helper()
	return strings.FieldsFunc(s.read(s.path("starts")), func(r rune) bool { return r == '\n' })
}

// awaitStarts waits for as many, and gives the last.
func (s *stage) awaitStarts(count int) string {
	s.t.Helper()
	process.Await(s.t, fmt.Sprintf("the child was started %d times", count), func() bool { return len(s.starts()) >= count })
	return s.starts()[count-1]
}

// settings are the objects: what the file says, and what becomes of the command line.
func (s *stage) settings(colour, word string) {
	s.t.Helper()
	s.write("objects.yaml", fmt.Sprintf(
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {colour: %s, word: %s}}\n", colour, word))
}

// supervise starts kconfd with a group whose changes restart the child.
func (s *stage) supervise(config, program string, args ...string) *process.Process {
	s.t.Helper()
	s.write("conf.d/a.toml", "[[template]]\ncontents = '{{ (configMap \"settings\").colour }}'\ndest = \""+s.path("colour")+"\"\n"+config)
	cmd := s.command(append(append([]string{"-wait", "0s"}, args...), "--", program)...)
	cmd.Env = append(os.Environ(), childEnv+"="+s.path("starts"), "GORACE=atexit_sleep_ms=0")
	return process.Start(s.t, cmd)
}

const onChange = "[reload]\naction = \"restart\"\n"

// However often the data changes, a command that does not run is started no more
// often than the log announces: at once, and after 1, 2 and 4 seconds more.
func TestNoHotLoops(t *testing.T) {
	t.Parallel()
	for name, test := range neverRunnings() {
		for _, policy := range []string{"always", "on-failure"} {
			if policy == "on-failure" && test.command != "false" {
				continue // it is always the same, or no failure
			}
			t.Run(name+", "+policy, func(t *testing.T) {
				t.Parallel()
				s := newStage(t)
				program := strings.ReplaceAll(test.command, "$CHILD", s.program())
				s.settings("c0", "x")
				k := s.supervise(onChange+"retry = \"10ms:20ms\"\n[process]\nrestart = \""+policy+"\"\n"+test.process+"\n", program)
				k.AwaitLog(0, "child is started again")
				for n, over := 1, time.After(4*time.Second); ; n++ {
					s.settings(fmt.Sprintf("c%d", n), "x")
					select {
					case <-time.After(20 * time.Millisecond):
						continue
					case <-over:
					}
					break
				}
				tries := strings.Count(k.Log(), "child not started") + strings.Count(k.Log(), "child started")
				if tries < 2 || tries > 3 {
					t.Errorf("%d starts in four seconds, want 2 or 3", tries)
				}
				if want := fmt.Sprint(strings.Count(k.Log(), "child is started again")); want != fmt.Sprint(tries) {
					t.Errorf("%d starts that failed, and %s pauses announced", tries, want)
				}
			})
		}
	}
}

// A command line that the kernel would refuse ends nothing: the child goes on, the
// log says what the limit is, and what is right in the end is applied.
func TestCommandLinesThatTheKernelRefuses(t *testing.T) {
	t.Parallel()
	const verified = "verify_cmd = \"true\"\nretry = \"50ms:100ms\"\n"
	for name, bad := range badLines() {
		for _, where := range []string{"argument", "variable"} {
			for what, reload := range map[string]string{"": onChange, ", verified": onChange + verified} {
				t.Run(name+", "+where+what, func(t *testing.T) {
					t.Parallel()
					s := newStage(t)
					s.settings("blue", "good")
					config := reload + "[process]\nargs = [\"-\"" + strings.Repeat(`, '{{ (configMap "settings").word }}'`, bad.many) + "]\n"
					if where == "variable" {
						config = reload + "[process.env]\n"
						for n := range bad.many {
							config += fmt.Sprintf("WORD%d = '{{ (configMap \"settings\").word }}'\n", n)
						}
					}
					k := s.supervise(config, s.program())
					first := s.awaitStarts(1)
					s.settings("red", bad.word)
					mark := k.AwaitLog(0, "(not applied|putting the files back).*"+bad.want)
					if got := s.starts(); len(got) != 1 {
						t.Errorf("the child was started %d times, want that it is left alone: %q", len(got), got)
					}
					if what != "" {
						process.Await(t, "the file is what it was", func() bool { return s.read(s.path("colour")) == "blue" })
					}
					s.settings("green", "better")
					process.Await(t, "another child has what is right", func() bool {
						last := s.starts()[len(s.starts())-1]
						return strings.HasSuffix(last, `"green"`) && strings.Fields(last)[0] != strings.Fields(first)[0]
					})
					k.AwaitLog(mark, "in order again")
					k.Stop(syscall.SIGTERM)
				})
			}
		}
	}
}

// Before there is a child, it is waited for a line that it can be started with.
func TestFirstCommandLineThatTheKernelRefuses(t *testing.T) {
	t.Parallel()
	for name, bad := range badLines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.settings("blue", bad.word)
			config := onChange + "[process]\nargs = [\"-\"" + strings.Repeat(`, '{{ (configMap "settings").word }}'`, bad.many) + "]\n"
			k := s.supervise(config, s.program())
			k.AwaitLog(0, "the child is not started.*"+bad.want)
			s.settings("blue", "good")
			s.awaitStarts(1)
			k.Stop(syscall.SIGTERM)
		})
	}
}

// A program that could not be started again is not ended for that.
func TestProgramsThatAreSpoilt(t *testing.T) {
	t.Parallel()
	for name, spoil := range spoilt() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.settings("blue", "x")
			program := s.program()
			k := s.supervise(onChange+"retry = \"50ms:100ms\"\n", program)
			s.awaitStarts(1)
			s.must(spoil(program))
			s.settings("red", "x")
			k.AwaitLog(0, "not applied.*the child is not restarted: starting the child: ")
			time.Sleep(300 * time.Millisecond) // for a few more tries
			if got := s.starts(); len(got) != 1 {
				t.Errorf("the child was started %d times, want that it is left alone", len(got))
			}
			s.must(os.RemoveAll(program))
			s.program()
			if second := s.awaitStarts(2); !strings.HasSuffix(second, `"red"`) {
				t.Errorf("the child was started as %q, want with what is new", second)
			}
			k.Stop(syscall.SIGTERM)
		})
	}
}

// The last command line that started is the way back from one that cannot be
// started after all.
func TestWayBackToTheLineThatStarted(t *testing.T) {
	t.Parallel()
	for what, verify := range map[string]string{"": "", ", verified": "verify_cmd = \"true\"\nverify_timeout = \"2s\"\n"} {
		t.Run("a user who may not run it"+what, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.settings("blue", "x")
			config := onChange + verify + "retry = \"50ms:100ms\"\n[process]\nargs = [\"-\", \"USER\"]\n"
			k := s.supervise(config+"user = \"0\"\n", s.program())
			s.awaitStarts(1)
			s.must(os.Chmod(s.dir, 0o700)) // kconfd may go there, and the child's new user may not
			s.settings("red", "x")
			s.awaitStarts(2)
			k.AwaitLog(0, "told action=restart")
			s.write("conf.d/a.toml", strings.ReplaceAll(s.read(s.path("conf.d/a.toml")), `user = "0"`, `user = "65534"`))
			k.AwaitLog(0, "configuration read|level=DEBUG|") // it may be read before or after the data
			time.Sleep(300 * time.Millisecond)
			s.settings("green", "x")
			k.AwaitLog(0, "going back to the last command line that started.*permission denied")
			want := 3
			if verify != "" {
				want = 4 // with the file that is back
			}
			k.AwaitLog(0, fmt.Sprintf("child started.*instance=%d", want))
			last := s.awaitStarts(3) // one that is ended at once may not say that it was started
			if strings.Fields(last)[1] != "0" {
				t.Errorf("the child runs as %q, want as before", last)
			}
			if colour := s.read(s.path("colour")); verify != "" && colour != "red" {
				t.Errorf("the file has %q, want what it was", colour)
			}
			time.Sleep(500 * time.Millisecond) // in which the group is tried again
			if got := strings.Count(k.Log(), `msg="child started"`); got != want {
				t.Errorf("the child was started %d times, want %d: it runs", got, want)
			}
			k.Stop(syscall.SIGTERM)
		})
	}
}

// A PATH from a ConfigMap along which the program is not found ends nothing.
func TestPathOfAnObject(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.program()
	s.settings("blue", s.dir)
	k := s.supervise(onChange+"retry = \"50ms:100ms\"\n[process]\nrestart = \"always\"\n[process.env]\nPATH = '{{ (configMap \"settings\").word }}'\n", "program")
	first := s.awaitStarts(1)
	s.settings("red", "/nonexistent")
	k.AwaitLog(0, `not applied.*the child is not restarted: starting the child: .*executable file not found`)
	if got := s.starts(); len(got) != 1 {
		t.Errorf("the child was started %d times, want that it is left alone", len(got))
	}
	// When it ends all the same, it is started as it was.
	pid, err := strconv.Atoi(strings.Fields(first)[0])
	s.must(err)
	s.must(syscall.Kill(pid, syscall.SIGKILL))
	s.awaitStarts(2)
	k.AwaitLog(0, "going back to the last command line that started")
	k.Stop(syscall.SIGTERM)
}

// A child that ends while its command line is one that the kernel refuses is started
// with the last one that it takes.
func TestEndWithARefusedLine(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.settings("blue", "good")
	k := s.supervise(onChange+"[process]\nrestart = \"always\"\nrestart_wait = \"10ms:20ms\"\nargs = [\"-\", '{{ (configMap \"settings\").word }}']\n", s.program())
	first := s.awaitStarts(1)
	s.settings("red", strings.Repeat("x", 200_000))
	k.AwaitLog(0, "not applied.*it has 200000 bytes")
	pid, err := strconv.Atoi(strings.Fields(first)[0])
	s.must(err)
	s.must(syscall.Kill(pid, syscall.SIGKILL))
	second := s.awaitStarts(2)
	if _, as, _ := strings.Cut(second, " "); as != `0 "- good" "red"` {
		t.Errorf("the child was started as %q, want with the arguments of before and what is new", second)
	}
	k.AwaitLog(0, "the command line is the last one that could be started.*it has 200000 bytes")
	k.Stop(syscall.SIGTERM)
}
