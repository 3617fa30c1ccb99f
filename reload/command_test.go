package reload

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slack is how late things may be on a busy machine.
const slack = 5 * time.Second

// A fifo carries lines from a command that runs to its test.
type fifo struct {
	path string
	file *os.File
	r    *bufio.Reader
}

func newFIFO(t *testing.T) *fifo {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	fatal(t, syscall.Mkfifo(path, 0o600))
	file, err := os.OpenFile(path, os.O_RDWR, 0) // for writing as well: so it opens at once
	fatal(t, err)
	t.Cleanup(func() { file.Close() })
	return &fifo{path, file, bufio.NewReader(file)}
}

// line waits for the next line.
func (f *fifo) line(t *testing.T) string {
	t.Helper()
	fatal(t, f.file.SetReadDeadline(time.Now().Add(2*slack)))
	line, err := f.r.ReadString('\n')
	fatal(t, err)
	return strings.TrimSuffix(line, "\n")
}

// pids waits for a line of process ids.
func (f *fifo) pids(t *testing.T) []int {
	t.Helper()
	var pids []int
	for _, word := range strings.Fields(f.line(t)) {
		pid, err := strconv.Atoi(word)
		fatal(t, err)
		pids = append(pids, pid)
	}
	return pids
}

// runInBackground gives the error of Run when it has come back.
func runInBackground(ctx context.Context, c Command) <-chan error {
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }() // stops with the command, which its deadline ends
	return done
}

// commandError takes the *CommandError out of err.
func commandError(t *testing.T, err error) *CommandError {
	t.Helper()
	var e *CommandError
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want a *CommandError", err)
	}
	return e
}

// stubborn ignores SIGTERM and has a child that does so too and keeps the output open. It writes the
// ids of both to the fifo.
func stubborn(f *fifo) Command {
	return Command{
		Shell: `trap "" TERM; sleep 60 & echo $$ $! >"$FIFO"; wait`,
		Env:   []string{"FIFO=" + f.path},
		Grace: 300 * time.Millisecond,
	}
}

func wantGone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		if p, err := readProcess(pid); !errors.Is(err, ErrNoProcess) {
			t.Errorf("process %d (%+v, error %v) is still there", pid, p, err)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func wantBetween(t *testing.T, got, from, to time.Duration) {
	t.Helper()
	if got < from || got > to {
		t.Errorf("it took %v, want %v to %v", got, from, to)
	}
}

func TestCommandEndsAtItsDeadline(t *testing.T) {
	f := newFIFO(t)
	c := stubborn(f)
	c.Timeout = time.Second
	start := time.Now()
	done := runInBackground(t.Context(), c)
	pids := f.pids(t)
	e := commandError(t, <-done)
	wantBetween(t, time.Since(start), c.Timeout+c.Grace, c.Timeout+c.Grace+slack)
	wantGone(t, pids)
	if !e.TimedOut || e.ExitCode != -1 || e.Signal != 0 {
		t.Errorf("got TimedOut %v, ExitCode %d, Signal %d, want true, -1, 0", e.TimedOut, e.ExitCode, e.Signal)
	}
	if got, want := e.reason(), "timed out after 1s"; got != want {
		t.Errorf("got reason %q, want %q", got, want)
	}
}

func TestCommandEndsWithItsContext(t *testing.T) {
	f := newFIFO(t)
	c := stubborn(f)
	ctx, cancel := context.WithCancel(t.Context())
	done := runInBackground(ctx, c)
	pids := f.pids(t)
	start := time.Now()
	cancel()
	e := commandError(t, <-done)
	wantBetween(t, time.Since(start), c.Grace, c.Grace+slack)
	wantGone(t, pids)
	if e.TimedOut || !errors.Is(e, context.Canceled) {
		t.Errorf("got TimedOut %v, error %v, want false and context.Canceled", e.TimedOut, e)
	}
	if got, want := e.reason(), "stopped: context canceled"; got != want {
		t.Errorf("got reason %q, want %q", got, want)
	}
}

// Who ends the caller does not wait for a command that takes its time.
func TestCommandEndsSoonWithItsContext(t *testing.T) {
	f := newFIFO(t)
	c := stubborn(f)
	c.Grace = 0
	ctx, cancel := context.WithCancel(t.Context())
	done := runInBackground(ctx, c)
	pids := f.pids(t)
	start := time.Now()
	cancel()
	<-done
	wantBetween(t, time.Since(start), endGrace, defaultGrace/2)
	wantGone(t, pids)
}

func TestCommandThatObeysEndsAtOnce(t *testing.T) {
	f := newFIFO(t)
	c := Command{Shell: `echo ready >"$FIFO"; sleep 60`, Env: []string{"FIFO=" + f.path}, Grace: time.Minute}
	ctx, cancel := context.WithCancel(t.Context())
	done := runInBackground(ctx, c)
	f.line(t)
	start := time.Now()
	cancel()
	<-done
	wantBetween(t, time.Since(start), 0, slack)
}

// The shell dies of SIGTERM at once; what it runs gets its grace nevertheless, and is waited for.
func TestGraceIsTheWholeGroups(t *testing.T) {
	f := newFIFO(t)
	cleaned := filepath.Join(t.TempDir(), "cleaned")
	c := Command{
		Shell: `(trap 'sleep 0.3; : >"$CLEANED"; exit' TERM; echo ready >"$FIFO"; while :; do sleep 0.05; done) & wait`,
		Env:   []string{"FIFO=" + f.path, "CLEANED=" + cleaned},
		Grace: time.Minute,
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := runInBackground(ctx, c)
	f.line(t)
	cancel()
	<-done
	if _, err := os.Stat(cleaned); err != nil {
		t.Errorf("Run came back before the group had cleaned up: %v", err)
	}
}

// What has left the command's process group and its parent ends with it at its deadline,
// and what a killed command cannot end any more.
func TestCommandEndsWithAllItStarted(t *testing.T) {
	for name, tt := range map[string]struct {
		shell   string
		timeout time.Duration
	}{
		"session":             {`setsid sh -c 'echo $$ >"$FIFO"; exec sleep 60' & wait`, time.Second},
		"daemon":              {`(setsid sh -c 'echo $$ >"$FIFO"; exec sleep 60' &); sleep 60`, time.Second},
		"killed":              {`setsid sh -c 'echo $$ >"$FIFO"; exec sleep 60' & read -r line <"$GO"; kill -KILL $$`, time.Minute},
		"killed, in no group": {`(setsid sh -c 'echo $$ >"$FIFO"; exec sleep 60' &); read -r line <"$GO"; kill -KILL $$`, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, proceed := newFIFO(t), newFIFO(t)
			c := Command{Shell: tt.shell, Env: []string{"FIFO=" + f.path, "GO=" + proceed.path}, Timeout: tt.timeout, Grace: slack}
			done := runInBackground(t.Context(), c)
			pids := f.pids(t)
			_, err := proceed.file.WriteString("go on\n")
			fatal(t, err)
			if err := <-done; err == nil {
				t.Error("the command ended well")
			}
			wantGone(t, pids)
		})
	}
}

// A command may start a server and exit. The server keeps the output open, is left alone, and may go on
// writing: closing the pipe under it would kill it.
func TestBackgroundProcessIsLeftAlone(t *testing.T) {
	toTest, toServer := newFIFO(t), newFIFO(t)
	c := Command{
		Shell: `(read line <"$IN"; echo output; echo alive >"$OUT") & exit 0`,
		Env:   []string{"IN=" + toServer.path, "OUT=" + toTest.path},
	}
	start := time.Now()
	fatal(t, c.Run(t.Context()))
	wantBetween(t, time.Since(start), 0, slack)
	_, err := toServer.file.WriteString("go on\n")
	fatal(t, err)
	if got, want := toTest.line(t), "alive"; got != want {
		t.Errorf("the server said %q, want %q", got, want)
	}
}

func TestCommandNotStartedAfterTheEnd(t *testing.T) {
	made := filepath.Join(t.TempDir(), "made")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := Command{Argv: []string{"touch", made}}.Run(ctx)
	if want := "not started: context canceled"; commandError(t, err).reason() != want {
		t.Errorf("got error %v, want %q", err, want)
	}
	if _, err := os.Stat(made); err == nil {
		t.Error("the command was run")
	}
}

func TestCommandSurroundings(t *testing.T) {
	t.Setenv("INHERITED", "a")
	t.Setenv("REPLACED", "b")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	fatal(t, err)
	c := Command{
		Shell: `echo "$INHERITED $REPLACED $ADDED $(pwd -P) $(readlink /proc/self/fd/0)"; exit 1`,
		Dir:   dir,
		Env:   []string{"REPLACED=c", "ADDED=d"},
	}
	got, want := commandError(t, c.Run(t.Context())).Output, "a c d "+dir+" /dev/null\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMuchOutputTakesLittleMemory(t *testing.T) {
	c := Command{Shell: `head -c 100000000 /dev/zero | tr '\0' x; echo; echo the end >&2; exit 1`}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	e := commandError(t, c.Run(t.Context()))
	runtime.ReadMemStats(&after)
	if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(1<<20); got > limit {
		t.Errorf("allocated %d bytes, want at most %d", got, limit)
	}
	if got, want := e.Output, "the end\n"; got != want {
		t.Errorf("got output %q, want %q", got, want)
	}
}

func TestOutputKeepsTheEnd(t *testing.T) {
	long := strings.Repeat("x", tailSize)
	for what, tt := range map[string]struct {
		writes []string
		want   string
	}{
		"nothing":          {nil, ""},
		"little":           {[]string{"a\n", "b\n"}, "a\nb\n"},
		"just fits":        {[]string{"a\n", long[2:]}, "a\n" + long[2:]},
		"begins in a line": {[]string{"first\n", long[2:], "\nb\n"}, "b\n"},
		"one long line":    {[]string{long, "y"}, long[1:] + "y"},
		"one long write":   {[]string{"a\n", "b" + long + "\nc\n"}, "c\n"},
		"many":             {[]string{long, "\n", long, "\n", long[:tailSize/2], "\nend"}, long[:tailSize/2] + "\nend"},
	} {
		var o output
		for _, w := range tt.writes {
			if n, err := o.Write([]byte(w)); n != len(w) || err != nil {
				t.Fatalf("%s: Write gave %d, %v", what, n, err)
			}
		}
		if got := o.tail(false); got != tt.want {
			t.Errorf("%s: got %d bytes %.20q…, want %d bytes %.20q…", what, len(got), got, len(tt.want), tt.want)
		}
	}
}

func TestCommandErrors(t *testing.T) {
	script := writeFile(t, "#!/no/such/interpreter\n")
	fatal(t, os.Chmod(script, 0o755))
	plain := writeFile(t, "")
	for what, tt := range map[string]struct {
		command Command
		want    string // the whole error, or its beginning when it ends with …
	}{
		"last line with a meaning": {
			Command{Shell: `echo out; echo "bad thing:  7" >&2; echo; echo "  ^^^"; exit 3`},
			`command "echo out; echo \"bad thing: 7\" >&2; echo; echo \" ^^^\"; exit 3": exit status 3: bad thing: 7`,
		},
		"no output":      {Command{Argv: []string{"false"}}, `command "false": exit status 1`},
		"terminal codes": {Command{Argv: []string{"sh", "-c", `printf 'a\033\tb\377\r\n'; exit 1`}}, `command "sh -c 'printf '\"'\"'a\\033\\tb\\377\\r\\n'\"'\"'; exit 1'": exit status 1: a b`},
		"signal":         {Command{Shell: "kill -KILL $$"}, `command "kill -KILL $$": ended by signal KILL`},
		"sh: not found":  {Command{Shell: "kconfd-none"}, `command "kconfd-none": exit status 127 (not found): …`},
		"sh: no program": {Command{Shell: plain}, `command "` + plain + `": exit status 126 (found, but cannot be executed): …`},
		"not found":      {Command{Argv: []string{"kconfd-none"}}, `command "kconfd-none": exec: "kconfd-none": executable file not found in $PATH`},
		"no program":     {Command{Argv: []string{plain}}, `command "` + plain + `": fork/exec ` + plain + `: permission denied`},
		"no interpreter": {
			Command{Argv: []string{script}},
			`command "` + script + `": fork/exec ` + script + `: no such file or directory: the file is there, but not the interpreter or loader that it needs`,
		},
		"no directory": {Command{Argv: []string{"true"}, Dir: "/no/such"}, `command "true": stat /no/such: no such file or directory`},
		"invalid":      {Command{}, `command "": field "command": missing`},
	} {
		err := tt.command.Run(t.Context())
		if err == nil {
			t.Errorf("%s: got no error", what)
			continue
		}
		got := err.Error()
		if begin, isBegin := strings.CutSuffix(tt.want, "…"); isBegin && strings.HasPrefix(got, begin) {
			continue
		}
		if got != tt.want {
			t.Errorf("%s: got error\n%s\nwant\n%s", what, got, tt.want)
		}
	}
}

func TestCommandErrorFields(t *testing.T) {
	e := commandError(t, Command{Shell: "echo a; echo b >&2; exit 3"}.Run(t.Context()))
	var exit *exec.ExitError
	if e.ExitCode != 3 || e.Signal != 0 || e.TimedOut || e.Output != "a\nb\n" || !errors.As(e, &exit) {
		t.Errorf("got %+v, want exit code 3 and both lines", e)
	}
	e = commandError(t, Command{Shell: "kill -KILL $$"}.Run(t.Context()))
	if e.ExitCode != -1 || e.Signal != syscall.SIGKILL {
		t.Errorf("got %+v, want signal 9", e)
	}
}

// Minimal images have no shell; a command given as a list needs none.
func TestNoShell(t *testing.T) {
	truePath, err := exec.LookPath("true")
	fatal(t, err)
	t.Setenv("PATH", t.TempDir())
	err = Command{Shell: "true"}.Run(t.Context())
	if want := `command "true": sh: not found; give the command as a list`; err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
	fatal(t, Command{Argv: []string{truePath}}.Run(t.Context()))
}

func TestLongLinesAreCut(t *testing.T) {
	e := commandError(t, Command{Shell: "printf '%01000d' 0; exit 1 # " + strings.Repeat("é", 1000)}.Run(t.Context()))
	if got, limit := len(e.Error()), 2*lineSize+100; got > limit || strings.Count(e.Error(), "…") != 2 {
		t.Errorf("got %d bytes, want at most %d and both parts cut: %s", got, limit, e)
	}
}
