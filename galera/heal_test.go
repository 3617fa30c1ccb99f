package galera

import (
	"context"
	"errors"
	"log/slog"
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
		open: func(context.Context) (healSession, error) { return &loneSession{l}, nil },
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

func (l *loneServer) generation() (int, error) { return 1, nil }
func (l *loneServer) setGeneration(int) error  { return nil }
func (l *loneServer) memory() (memory, error)  { return memory{}, nil }

type loneSession struct{ *loneServer }

func (s *loneSession) component(context.Context) (primary bool, p Position, err error) {
	return s.primary, Position{oneUUID, 5}, nil
}

func (s *loneSession) isolate(_ context.Context, on bool) error {
	if s.lock != nil && s.lock != s {
		return errors.New("another session leads")
	}
	s.lock, s.isolated = s, on
	return nil
}

func (s *loneSession) bootstrap(context.Context, Position) error {
	if s.lock != s || !s.isolated {
		return errors.New("it does not lead")
	}
	s.primary = true
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
		if !lost || l.bootstraps != 1 || l.isolated {
			t.Errorf("answer lost %v, %d bootstraps, isolated %v", lost, l.bootstraps, l.isolated)
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

// note changes the note in the record.
func (l *loneServer) note(change func(*NonPrimary)) {
	l.record = l.record.clone()
	n := l.record.Nodes["a"]
	note := *n.NonPrimary
	change(&note)
	n.NonPrimary = &note
	l.record.Nodes["a"] = n
}
