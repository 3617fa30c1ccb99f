package galera_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/kconfd/kconfd/test/galera"
)

// healLimit is how long the restoring of a majority may take here, where other tests load the machine:
// less than the minute after which servers are restarted. test/e2e measures that it takes 15 s at most.
const healLimit = 45 * time.Second

// A watch looks at the nodes all the time: there is never a second primary component.
type watch struct {
	*scene
	done    chan struct{}
	running sync.WaitGroup
	pids    map[string]int // of the servers
	hold    atomic.Bool    // nothing is written

	mu    sync.Mutex
	acked map[string][]time.Time // when each node acknowledged a row
}

// watch begins with writers to all nodes, and a look at the components.
func (s *scene) watch() *watch {
	s.Helper()
	w := &watch{scene: s, done: make(chan struct{}), pids: map[string]int{}, acked: map[string][]time.Time{}}
	for _, m := range s.members {
		w.pids[m.Name] = m.Find(s, "mariadbd ").PID
	}
	rows := &atomic.Int64{}
	for _, m := range s.members {
		w.running.Go(func() { // until done is closed
			for w.pause(20 * time.Millisecond) {
				if w.hold.Load() {
					continue
				}
				text := fmt.Sprintf("row-%s-%d-%d", m.Name, rows.Add(1), time.Now().UnixNano())
				if _, err := m.Query(fmt.Sprintf("INSERT INTO test.t (text) VALUES ('%s')", text)); err != nil {
					continue
				}
				w.mu.Lock()
				w.acked[m.Name] = append(w.acked[m.Name], time.Now())
				s.written = append(s.written, text)
				w.mu.Unlock()
			}
		})
	}
	w.running.Go(func() {
		for w.pause(50 * time.Millisecond) {
			w.wantOneComponent()
		}
	})
	return w
}

func (w *watch) pause(d time.Duration) bool {
	select {
	case <-w.done:
		return false
	case <-time.After(d):
		return true
	}
}

// end ends the watch, and fails if a server was started anew.
func (w *watch) end() {
	w.Helper()
	close(w.done)
	w.running.Wait()
	for _, m := range w.members {
		if pid, ok := w.pids[m.Name]; ok && m.Find(w, "mariadbd ").PID != pid {
			w.Errorf("node %q: the server was started anew", m.Name)
		}
	}
}

// firstWrite is when a row was first acknowledged after that time; zero when none was.
func (w *watch) firstWrite(after time.Time) (first time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, times := range w.acked {
		for _, at := range times {
			if at.After(after) && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
	}
	return first
}

// longestGap is the longest time without an acknowledged row.
func (w *watch) longestGap() (gap time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []time.Time
	for _, times := range w.acked {
		all = append(all, times...)
	}
	slices.SortFunc(all, time.Time.Compare)
	for i := range all[1:] {
		gap = max(gap, all[i+1].Sub(all[i]))
	}
	return gap
}

// wantOneComponent fails if two nodes are in primary components of which neither has the other.
func (w *watch) wantOneComponent() {
	type in struct{ me, view string }
	found := make([]in, len(w.members))
	var asking sync.WaitGroup
	for i, m := range w.members {
		asking.Go(func() {
			before := view(m)
			if m.Status("wsrep_cluster_status") == "Primary" && view(m) == before {
				found[i] = in{regexp.MustCompile(`my_uuid: (\S+)`).FindString(before), before}
			}
		})
	}
	asking.Wait()
	for i, a := range found {
		for j, b := range found[:i] {
			if a.me == "" || b.me == "" || strings.Contains(a.view, "member: "+b.me[9:]) || strings.Contains(b.view, "member: "+a.me[9:]) {
				continue
			}
			w.Errorf("there are two primary components, of %s and %s:\n%s\n%s", w.members[i].Name, w.members[j].Name, a.view, b.view)
		}
	}
}

func view(m *member) string {
	content, _ := os.ReadFile(filepath.Join(m.Data(), "gvwstate.dat"))
	return string(content)
}

// awaitNonPrimary waits until no member has a primary component.
func (s *scene) awaitNonPrimary(members []*member) {
	s.Helper()
	for _, m := range members {
		galera.Await(s, fmt.Sprintf("node %q has no primary component", m.Name), func() bool { return strings.HasPrefix(m.Phase(), "CONNECTED") })
	}
}

const restored = "majority restored"

// restorers are the nodes that have restored the majority so far.
func (s *scene) restorers() (names []string) {
	for _, m := range s.members {
		for range strings.Count(m.process.Log(), restored) {
			names = append(names, m.Name)
		}
	}
	return names
}

// A majority that is lost while all servers live comes back without a restart, with Galera's own
// timers.
func TestMajorityLost(t *testing.T) {
	t.Parallel()
	c := galera.New(t)
	c.DefaultTimers = true
	s := newSceneOf(t, c, 5, "60s")
	s.form()
	all := nodes(s.members)
	alone := [][]*galera.Node{all[:1], all[1:2], all[2:3], all[3:4], all[4:]}
	doors := func(do func(*galera.Door)) {
		for _, m := range s.members {
			do(m.door)
		}
	}
	for _, loss := range []struct {
		name string
		do   func(w *watch) (healed time.Time)
	}{
		{"all links are cut for 30 s", func(w *watch) time.Time {
			c.Part(t, alone...)
			time.Sleep(30 * time.Second)
			c.Part(t, all)
			return time.Now()
		}},
		{"all links are cut for 30 s, and those to the API server", func(w *watch) time.Time {
			doors((*galera.Door).Shut)
			c.Part(t, alone...)
			time.Sleep(30 * time.Second)
			c.Part(t, all)
			doors(func(d *galera.Door) { d.Open(t) })
			return time.Now()
		}},
		{"2 + 2 + 1 for 30 s", func(w *watch) time.Time {
			c.Part(t, all[:2], all[2:4], all[4:])
			time.Sleep(30 * time.Second)
			c.Part(t, all)
			return time.Now()
		}},
		{"two leave at the same moment as the others lose each other", func(w *watch) time.Time {
			c.Part(t, alone...)
			s.awaitNonPrimary(s.members)
			for _, m := range s.members[3:] {
				delete(w.pids, m.Name)
			}
			atOnce(s.members[3:], func(m *member) { m.stop(t) })
			c.Part(t, all)
			whole := time.Now()
			galera.Await(t, "rows are written", func() bool { return !w.firstWrite(whole).IsZero() })
			for _, m := range s.members[3:] {
				s.start(m)
			}
			return whole
		}},
	} {
		t.Log(loss.name)
		before, began := len(s.restorers()), time.Now()
		w, watched := s.watch(), time.Now()
		galera.Await(t, "rows are written", func() bool { return !w.firstWrite(watched).IsZero() })
		healed := loss.do(w)
		s.awaitAll()
		w.end()
		first := w.firstWrite(healed)
		t.Logf("%s: first row %v after the network was whole, longest gap %v, whole after %v, restored by %v",
			loss.name, first.Sub(healed).Round(10*time.Millisecond), w.longestGap().Round(10*time.Millisecond), time.Since(began).Round(time.Second), s.restorers()[before:])
		if first.IsZero() || first.Sub(healed) > healLimit {
			t.Errorf("no row for %v after the network was whole", first.Sub(healed))
		}
		if n := len(s.restorers()) - before; n > 1 {
			t.Errorf("the majority was restored %d times", n)
		}
		s.judge()
		if t.Failed() {
			t.FailNow()
		}
	}
	atOnce(s.members, func(m *member) { m.stop(t) })
}

// While the record says of a dead node that its server may run, nothing is restored without it. When all
// nodes are back, the server that lived on takes them in, also when the last view does not return.
func TestMajorityCrashed(t *testing.T) {
	t.Parallel()
	c := galera.New(t)
	c.DefaultTimers = true
	s := newSceneOf(t, c, 3, "60s")
	s.form()
	dead, survivor := s.members[:2], s.members[2]
	for _, crash := range []struct {
		name   string
		before func()
		want   []string
	}{
		{"and the last view comes back", func() {}, nil},
		{"and the last view cannot come back", func() {
			for _, m := range dead {
				if err := os.Remove(filepath.Join(m.Data(), "gvwstate.dat")); err != nil {
					t.Fatal(err)
				}
			}
		}, []string{survivor.Name}},
	} {
		before := len(s.restorers())
		w, watched := s.watch(), time.Now()
		galera.Await(t, "rows are written", func() bool { return !w.firstWrite(watched).IsZero() })
		for _, m := range dead {
			delete(w.pids, m.Name)
		}
		// A dead node that has more than the survivor could not be the first before its server answers.
		w.hold.Store(true)
		position := func(m *member) string { return m.Status("wsrep_last_committed") }
		galera.Await(t, "all have the same", func() bool { return position(dead[0]) == position(survivor) && position(dead[1]) == position(survivor) })
		atOnce(dead, func(m *member) { m.kill(t) })
		w.hold.Store(false)
		galera.Await(t, "the survivor says so", func() bool { return s.entry(survivor).NonPrimary != nil })
		time.Sleep(15 * time.Second) // longer than it takes to restore a majority
		if n := s.entry(survivor).NonPrimary; n == nil || n.Isolated || len(s.restorers()) != before {
			t.Errorf("%s: the survivor went on alone: %+v", crash.name, n)
		}
		crash.before()
		began := time.Now()
		for _, m := range dead {
			s.start(m)
		}
		s.awaitAll()
		w.end()
		first := w.firstWrite(began).Sub(began)
		t.Logf("%s: first row after %v, restored by %v", crash.name, first.Round(10*time.Millisecond), s.restorers()[before:])
		if got := s.restorers()[before:]; !slices.Equal(got, crash.want) || first > healLimit || first < 0 {
			t.Errorf("%s: restored by %v, want %v; first row after %v", crash.name, got, crash.want, first)
		}
		s.judge()
		if t.Failed() {
			t.FailNow()
		}
	}
	atOnce(s.members, func(m *member) { m.stop(t) })
}

// A server that was isolated to restore the majority is released when its monitor is killed and the API
// server is away, so that Galera brings back the last primary component by itself.
func TestIsolationWithoutMonitor(t *testing.T) {
	t.Parallel()
	c := galera.New(t)
	c.DefaultTimers = true
	s := newSceneOf(t, c, 3, "60s")
	s.form()
	all := nodes(s.members)
	c.Part(t, all[:1], all[1:2], all[2:])
	var leader *member
	galera.Await(t, "a server is isolated", func() bool {
		for _, m := range s.members {
			if n := s.entry(m).NonPrimary; n != nil && n.Isolated {
				leader = m
			}
		}
		return leader != nil
	})
	for _, m := range s.members {
		m.door.Shut()
	}
	w := s.watch()
	if err := syscall.Kill(leader.Find(t, "kconfd galera joined").PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.Part(t, all)
	whole := time.Now()
	galera.Await(t, "rows are written", func() bool { return !w.firstWrite(whole).IsZero() })
	t.Logf("first row after %v", w.firstWrite(whole).Sub(whole).Round(10*time.Millisecond))
	galera.WantHealthy(t, all...)
	for _, m := range s.members {
		m.door.Open(t)
	}
	s.awaitAll()
	w.end()
	s.judge()
	atOnce(s.members, func(m *member) { m.stop(t) })
}
