package galera

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What probes have seen is kept for as long as it holds: the time since the threads have run, since a thread is blocked,
// and since logins are not answered.
func TestSighting(t *testing.T) {
	t.Parallel()
	s := sighting{}
	s = s.see(progress{counts: "a", blocked: map[int]uint64{7: 1, 8: 1}}, 10*time.Second)
	s = s.see(progress{counts: "a", blocked: map[int]uint64{7: 1, 8: 2, 9: 1}}, 20*time.Second)
	want := sighting{Counts: "a", Ran: 10 * time.Second, Blocked: map[int]blockedThread{
		7: {1, 10 * time.Second}, 8: {2, 20 * time.Second}, 9: {1, 20 * time.Second},
	}}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("no thread has run (-want +got):\n%s", diff)
	}
	if since, found := s.blockedSince(); !found || since != 10*time.Second {
		t.Errorf("blocked: got %v, %t, want 10s", since, found)
	}
	s = s.see(progress{counts: "b"}, 30*time.Second)
	if diff := cmp.Diff(sighting{Counts: "b", Ran: 30 * time.Second, Blocked: map[int]blockedThread{}}, s); diff != "" {
		t.Errorf("all is well (-want +got):\n%s", diff)
	}
	if _, found := s.blockedSince(); found {
		t.Error("a thread is blocked")
	}

	s = s.login(31*time.Second, false, false).login(33*time.Second, false, false)
	if s.Unanswered != 31*time.Second {
		t.Errorf("got %v, want the first login without an answer", s.Unanswered)
	}
	s = s.login(35*time.Second, true, false)
	if s.Unanswered != 0 || s.Answered != 35*time.Second || s.Refused {
		t.Errorf("after an answer: got %+v", s)
	}
	// A probe whose login began before that of another one, and ends after it.
	if s = s.login(34*time.Second, false, false); s.Unanswered != 0 {
		t.Errorf("got %v, want that the later answer counts", s.Unanswered)
	}
	if s = s.login(40*time.Second, true, true); !s.Refused {
		t.Error("a refusal is not kept")
	}
}

// The kernel's text of a thread.
func TestParseThread(t *testing.T) {
	t.Parallel()
	state, switches, counted := parseThread([]byte("Name:\tmariadbd\nState:\tD (disk sleep)\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n"))
	if state != "D" || switches != 15 || !counted {
		t.Errorf("got %q, %d, want D, 15", state, switches)
	}
	if state, switches, counted := parseThread([]byte("State:\n\x00")); state != "" || switches != 0 || counted {
		t.Errorf("got %q, %d, want nothing", state, switches)
	}
}

// Without counts, as under gVisor, nothing is known: neither that the server hangs, nor that it is stopped.
func TestProgressWithoutCounts(t *testing.T) {
	t.Parallel()
	if p := progressIn("/nonexistent", []string{"1"}); !p.unknown {
		t.Errorf("no thread can be read: got %+v", p)
	}
	tasks := t.TempDir()
	for _, thread := range []string{"7", "8"} {
		if err := os.Mkdir(filepath.Join(tasks, thread), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(tasks, "7/status"), "Name:\tmariadbd\nState:\tS (sleeping)\nMems_allowed_list:\t0\n")
	if p := progressIn(tasks, []string{"7"}); !p.unknown || p.stopped {
		t.Errorf("no counts: got %+v", p)
	}
	writeFile(t, filepath.Join(tasks, "8/status"), "State:\tT (stopped)\nvoluntary_ctxt_switches:\t1\n")
	if p := progressIn(tasks, []string{"8"}); p.unknown || !p.stopped {
		t.Errorf("stopped: got %+v", p)
	}
}
