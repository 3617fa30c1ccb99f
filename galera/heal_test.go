package galera

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A loneServer is the only node of its cluster, without a primary component, and its record.
type loneServer struct {
	liveDir
	lock              *loneSession
	primary, isolated bool
	bootstraps        int
	slow              time.Duration // from the bootstrap to the component
	formed            time.Time
	early             bool // the isolation has ended before the component was there
	hears             bool // isolates, and does not answer that

	record     *Record
	away       bool // the API server is
	answerLost func(*Record) bool
}

func newLoneServer() *loneServer {
	n := lostNode("a", 5, 3, "a")
	n.NonPrimary = nil
	r := nodes(map[string]Node{"a": n})
	r.UUID, r.ID = oneUUID, "the record"
	return &loneServer{record: r}
}

// monitor is a new one, which has not looked yet.
func (l *loneServer) monitor(t *testing.T) *Joined {
	j := &Joined{
		NodeCommand: NodeCommand{Pod: "pod of a", Log: slog.New(slog.DiscardHandler)},
		settings:    Settings{Node: "a", Suspect: defaultSuspect}, dir: l, store: l,
		open: func(context.Context) (healSession, error) { return &loneSession{l}, nil }, dial: listening,
	}
	j.recall(t.Context())
	return j
}

// watch lets a monitor go on until done, or for a minute.
func (l *loneServer) watch(ctx context.Context, j *Joined, done func() bool) {
	for end := time.Now().Add(time.Minute); !done() && time.Now().Before(end); time.Sleep(watchEvery) {
		state := stateConnected
		if l.primary {
			state = stateSynced
		}
		if j.alone.since.IsZero() {
			j.alone.since = time.Now()
		}
		j.heal(ctx, state)
	}
}

var errAway = errors.New("the API server is away")

func (l *loneServer) get(context.Context) (*stored, error) {
	if l.away {
		return nil, &RequestError{"get", "test", errAway}
	}
	return &stored{l.record, nil}, nil
}

func (l *loneServer) put(_ context.Context, old *stored, r *Record) (*stored, error) {
	switch {
	case l.away:
		return nil, &RequestError{"update", "test", errAway}
	case old.Record != l.record:
		return nil, &RequestError{"update", "test", apierrors.NewConflict(schema.GroupResource{}, "test", errAway)}
	}
	l.record = r.counted(old)
	if l.answerLost != nil && l.answerLost(r) {
		l.answerLost = nil
		return nil, &RequestError{"update", "test", errNoAnswer}
	}
	return &stored{l.record, nil}, nil
}

func (l *loneServer) lastPrimary() (me string, members []string, v *View, err error) {
	return memberID("a"), []string{memberID("a")}, &View{memberID("a"), 3, 1}, nil
}

func (l *loneServer) primaryView() *View       { return &View{memberID("a"), 3, 1} }
func (l *loneServer) generation() (int, error) { return 1, nil }
func (l *loneServer) setGeneration(int) error  { return nil }
func (l *loneServer) memory() (memory, error)  { return memory{}, nil }

type loneSession struct{ *loneServer }

func (s *loneSession) component(context.Context) (primary bool, p Position, err error) {
	return s.primary && !time.Now().Before(s.formed), Position{oneUUID, 5}, nil
}

func (s *loneSession) isolate(_ context.Context, on bool) error {
	if s.lock != nil && s.lock != s {
		return errors.New("another session leads")
	}
	s.early = s.early || !on && s.primary && time.Now().Before(s.formed)
	s.lock, s.isolated = s, on
	if s.hears {
		s.hears = false
		return errAway
	}
	return nil
}

func (s *loneSession) bootstrap(context.Context, Position) error {
	if s.lock != s || !s.isolated {
		return errors.New("it does not lead")
	}
	s.primary, s.formed = true, time.Now().Add(s.slow)
	s.bootstraps++
	return nil
}

func (s *loneSession) close() {
	if s.lock == s {
		s.lock = nil
	}
}

// A claim whose answer is lost is found in the record, and carried out.
func TestHealClaimWithoutAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLoneServer()
		lost := false
		l.answerLost = func(r *Record) bool {
			lost = lost || r.Nodes["a"].State == Bootstrapping
			return lost
		}
		j := l.monitor(t)
		l.watch(t.Context(), j, func() bool { return l.primary && !l.isolated })
		if !lost || l.bootstraps != 1 || l.isolated || l.record.Generation != 2 {
			t.Errorf("answer lost %v, %d bootstraps, isolated %v, generation %d", lost, l.bootstraps, l.isolated, l.record.Generation)
		}
	})
}

// A monitor that has claimed and ended leaves an entry from which the next one begins anew.
func TestHealClaimGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLoneServer()
		first := l.monitor(t)
		l.answerLost = func(r *Record) bool { return r.Nodes["a"].State == Bootstrapping }
		l.watch(t.Context(), first, func() bool { return l.record.Nodes["a"].State == Bootstrapping })
		l.lock = nil // its session is gone
		second := l.monitor(t)
		l.watch(t.Context(), second, func() bool { return l.primary && !l.isolated })
		if l.bootstraps != 1 || l.isolated || l.record.Generation != 3 {
			t.Errorf("%d bootstraps, isolated %v, generation %d", l.bootstraps, l.isolated, l.record.Generation)
		}
	})
}

// A server is not left isolated by a monitor that has ended, whatever that has written before, and
// whether the API server is there or not.
func TestHealIsolationOutlivesMonitor(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*loneServer){
		"it has not written that":        func(l *loneServer) { l.note(func(n *NonPrimary) { n.Isolated = false }) },
		"it has":                         func(*loneServer) {},
		"it has claimed":                 func(l *loneServer) { l.record = healing{record: l.record, self: "a"}.claim() },
		"and the API server goes away":   func(l *loneServer) { l.away = true },
		"and the server has a component": func(l *loneServer) { l.away, l.primary = true, true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLoneServer()
				l.watch(t.Context(), l.monitor(t), func() bool {
					n := l.record.Nodes["a"].NonPrimary
					return n != nil && n.Isolated
				})
				if !l.isolated {
					t.Fatal("the server was not isolated")
				}
				l.lock = nil // its session is gone
				end(l)
				next := l.monitor(t)
				begun := time.Now()
				l.watch(t.Context(), next, func() bool { return !l.isolated })
				if took := time.Since(begun); l.isolated || took > 5*time.Second {
					t.Errorf("isolated %v, after %v", l.isolated, took)
				}
			})
		})
	}
}

// The isolation ends when the server has formed its component, and not before: others that connect would
// undo that.
func TestHealWaitsForComponent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLoneServer()
		l.slow = time.Second
		l.watch(t.Context(), l.monitor(t), func() bool { return l.primary && !l.isolated })
		if l.early || l.isolated || l.bootstraps != 1 {
			t.Errorf("ended early %v, isolated %v, %d bootstraps", l.early, l.isolated, l.bootstraps)
		}
	})
}

// A server does not stay isolated when the API server goes away, also when the answer to the isolation
// was lost.
func TestHealEndsIsolation(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*loneServer){
		"the answer was there": func(*loneServer) {},
		"it was lost":          func(l *loneServer) { l.hears = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLoneServer()
				fault(l)
				j := l.monitor(t)
				l.watch(t.Context(), j, func() bool { return l.isolated })
				l.away = true
				begun := time.Now()
				l.watch(t.Context(), j, func() bool { return !l.isolated })
				if took := time.Since(begun); l.isolated || took > isolatedAlone+5*time.Second {
					t.Errorf("isolated %v, after %v", l.isolated, took)
				}
			})
		})
	}
}

// No server is isolated beside one that listens and that by the record does not run.
func TestHealBesideStranger(t *testing.T) {
	t.Parallel()
	const stranger = "127.0.80.1"
	accept(t, stranger+":"+defaultPort, func(c net.Conn) {
		_, _ = c.Write([]byte("\x24\x00\x00\x02")) // as a member begins
		silent(c)
	})
	for name, test := range map[string]struct {
		node Node
		want string
	}{
		"it is not in the record": {Node{}, stranger + ":" + defaultPort},
		"it rests by the record":  {Node{State: Stopped, Address: stranger}, stranger + ":" + defaultPort},
		"it runs by the record":   {Node{State: Synced, Address: stranger}, ""},
	} {
		j := newLoneServer().monitor(t)
		j.settings.Peers = []string{stranger}
		r := nodes(map[string]Node{"a": lostNode("a", 5, 3, "a"), "b": test.node})
		r.UUID = oneUUID
		if got := j.strangers(t.Context(), r); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
		if test.want == "" {
			continue
		}
		step := healing{r, "a", *r.Nodes["a"].NonPrimary, true, true}
		step.own.ID = r.Nodes["a"].NonPrimary.ID
		delete(r.Nodes, "b") // one at rest, whose rows are not known, would lead otherwise
		opened := false
		j.open = func(context.Context) (healSession, error) {
			opened = true
			return nil, errAway
		}
		if err := j.takeStep(t.Context(), &stored{r, nil}, step); err != nil || opened {
			t.Errorf("%s: %v, the server was asked %v", name, err, opened)
		}
	}
}

// Nothing is noted of a server of which it is not certain.
func TestNotNoted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newLoneServer().monitor(t)
		if _, err := j.nonPrimary(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name, spoil := range map[string]func(*Joined, *loneServer){
			"members are evicted": func(j *Joined, _ *loneServer) { j.settings.Evicts = true },
			"it has a component":  func(_ *Joined, l *loneServer) { l.primary = true },
			"it does not answer": func(j *Joined, _ *loneServer) {
				j.open = func(context.Context) (healSession, error) { return nil, errAway }
			},
			"it has no view":        func(j *Joined, l *loneServer) { j.dir = &viewOf{l, 0} },
			"its view is too large": func(j *Joined, l *loneServer) { j.dir = &viewOf{l, maxHealed + 1} },
			"it may be isolated":    func(j *Joined, l *loneServer) { j.healer.undo, l.lock = true, &loneSession{l} },
		} {
			l := newLoneServer()
			j := l.monitor(t)
			if spoil(j, l); name == "it may be isolated" {
				j.open = func(context.Context) (healSession, error) { return &loneSession{l}, nil }
			}
			if _, err := j.nonPrimary(t.Context()); err == nil {
				t.Errorf("%s: it is noted", name)
			}
		}
	})
}

// viewOf is a data directory whose last view has so many members.
type viewOf struct {
	*loneServer
	members int
}

func (v *viewOf) lastPrimary() (me string, members []string, view *View, err error) {
	if v.members > 0 {
		view = &View{memberID("a"), 3, v.members}
	}
	return memberID("a"), make([]string, v.members), view, nil
}

// note changes the note in the record.
func (l *loneServer) note(change func(*NonPrimary)) {
	l.record = l.record.clone()
	n := l.record.Nodes["a"]
	note := *n.NonPrimary
	change(&note)
	n.NonPrimary = &note
	l.record.Nodes["a"] = n
}
