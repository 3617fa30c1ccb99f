package galera

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// sleeper is a process none of whose threads runs, until the test ends.
func sleeper(t *testing.T) process {
	t.Helper()
	c := exec.CommandContext(t.Context(), "sleep", "600")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Wait() }) // the context of the test has ended then
	p, err := readProcess(c.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return p.process
}

// suspend stops a process, and waits until it has stopped: the signal arrives when the process is scheduled.
func suspend(t *testing.T, p process) {
	t.Helper()
	if err := syscall.Kill(p.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(p.PID, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("stopping process %d: %v, %v", p.PID, status, err)
	}
}

// inspectionOf is one whose server is a process, by what a probe has seen before.
func inspectionOf(t *testing.T, seen sighting) *inspection {
	t.Helper()
	data := t.TempDir()
	e := &inspection{settings: Settings{DataDir: data, Socket: filepath.Join(data, "socket"), File: filepath.Join(data, "my.cnf")}}
	content, err := json.Marshal(seen)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, e.path(), string(content))
	return e
}

// What another user has left beside the socket is not believed. It could name a process that is stopped.
func TestSightingOfAnotherUser(t *testing.T) {
	t.Parallel()
	const another = 4711
	p := sleeper(t)
	for owner, want := range map[int]bool{os.Geteuid(): true, another: false} {
		e := inspectionOf(t, sighting{Server: p.id(bootID()), Process: &p})
		if err := os.Chown(e.path(), owner, -1); err != nil {
			t.Fatal(err)
		}
		if err := e.open(); err != nil {
			t.Fatal(err)
		}
		if got := e.seen.Process != nil; got != want {
			t.Errorf("of user %d: believed %v, want %v", owner, got, want)
		}
	}
}

// What was seen of a server says nothing of the next one.
func TestSightingOfAnEarlierServer(t *testing.T) {
	t.Parallel()
	p := sleeper(t)
	e := inspectionOf(t, sighting{Server: "an earlier one", Process: &p, Ran: 1, Counts: "x", Refused: true, Answered: 1})
	if err := e.open(); err != nil {
		t.Fatal(err)
	}
	if e.seen.Server != noServer || e.seen.Refused || e.seen.Counts != "" {
		t.Errorf("got %+v", e.seen)
	}
}

// A process that is stopped, and one of which no thread runs, do not go on. Each is found by a probe that
// sees it for the second time at the latest, and a stopped one by the first.
func TestExamineProcess(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		stop  bool
		looks int
		want  string
		limit time.Duration
	}{
		"stopped":        {true, 1, "the server is stopped by a signal or a debugger", stoppedLimit},
		"stopped before": {true, 2, "the server is stopped by a signal or a debugger", stoppedLimit},
		"no thread runs": {false, 2, "no thread of the server runs", noThreadLimit},
		"seen only once": {false, 1, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := sleeper(t)
			e := inspectionOf(t, sighting{Server: p.id(bootID()), Process: &p})
			if test.stop {
				suspend(t, p)
			}
			awaitSession(t, "the process rests", func() bool {
				a, err1 := readProgress(p.PID)
				_ = pause(t.Context(), 20*time.Millisecond) // of a test that goes on
				b, err2 := readProgress(p.PID)
				return err1 == nil && err2 == nil && a.counts == b.counts && a.stopped == test.stop
			})
			ctx, cancel := context.WithTimeout(t.Context(), patience) // without a sign of a hang it would wait for one
			defer cancel()
			var h hang
			for range test.looks {
				var err error
				if h, _, err = e.settings.examine(ctx, false); err != nil {
					t.Fatal(err)
				}
			}
			if h.why != test.want || h.lasted < test.limit || h.limit != test.limit || h.counts != (test.want != "") {
				t.Errorf("got %q after %v of %v, counts %v", h.why, h.lasted, h.limit, h.counts)
			}
		})
	}
}

// What a probe makes of what was seen.
func TestJudge(t *testing.T) {
	t.Parallel()
	const now = time.Minute
	blocked := func(since time.Duration) map[int]blockedThread { return map[int]blockedThread{7: {1, since}} }
	for name, test := range map[string]struct {
		seen sighting
		now  progress
		want string // begins why
	}{
		"all is well":                           {sighting{Ran: now}, progress{}, ""},
		"no thread has run":                     {sighting{Ran: now - time.Second}, progress{}, "no thread of the server runs"},
		"all threads are stopped":               {sighting{Ran: now - time.Second}, progress{stopped: true}, "the server is stopped"},
		"all threads were stopped just now":     {sighting{Ran: now}, progress{stopped: true}, "the server is stopped"},
		"one thread is blocked":                 {sighting{Ran: now, Blocked: blocked(now - blockedLimit)}, progress{}, "a thread of the server is blocked"},
		"one thread was blocked just now":       {sighting{Ran: now, Blocked: blocked(now - blockedLimit + 1)}, progress{}, ""},
		"no thread has a count, as with gVisor": {sighting{Ran: 1, Blocked: blocked(1)}, progress{unknown: true, stopped: true}, ""},
	} {
		e := &inspection{seen: test.seen}
		if h := e.judge(test.now, now); test.want == "" && h.why != "" || !strings.HasPrefix(h.why, test.want) {
			t.Errorf("%s: got %q, want %q", name, h.why, test.want)
		}
	}
}

// A login is tried only where what comes of it can be kept, by which the next probe knows of a refusal. One
// without an answer is a hang, which counts against the server's life if an earlier one was answered.
func TestExamineLogin(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		seen   sighting
		kept   error
		logins int32
		want   hang
		note   string
	}{
		"there is no answer":                    {logins: 1, want: hang{why: "the server does not answer a login"}},
		"there is none any more":                {seen: sighting{Answered: 1}, logins: 1, want: hang{why: "the server does not answer a login", counts: true}},
		"logins are refused":                    {seen: sighting{Answered: 1, Refused: true}},
		"there is no place to keep the outcome": {kept: os.ErrPermission, note: "no login is tried"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := inspectionOf(t, test.seen)
			e.seen, e.kept = test.seen, test.kept
			writeFile(t, e.settings.File, "[mysqld]\nuser = root\n")
			listener, err := net.Listen("unix", e.settings.Socket)
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			logins := atomic.Int32{}
			go func() { // until the listener is closed
				for {
					if _, err := listener.Accept(); err != nil { // and answer nothing
						return
					}
					logins.Add(1)
				}
			}()
			h, err := e.logIn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if h.why != test.want.why || h.counts != test.want.counts || logins.Load() != test.logins || !strings.HasPrefix(e.note, test.note) {
				t.Errorf("got %+v, %d logins, %q", h, logins.Load(), e.note)
			}
		})
	}
}

// A hung server is not logged in at: it would find, and log, the login later.
func TestHangBeforeLogin(t *testing.T) {
	t.Parallel()
	p := sleeper(t)
	suspend(t, p)
	e := inspectionOf(t, sighting{Server: p.id(bootID()), Process: &p})
	h, note, err := e.settings.examine(t.Context(), true)
	if err != nil || note != "" || !strings.HasPrefix(h.why, "the server is stopped") {
		t.Errorf("got %q, %q, %v", h.why, note, err)
	}
}
