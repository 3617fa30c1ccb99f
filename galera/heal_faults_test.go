package galera

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A faultySession fails, or lets something happen, before each statement: component, isolate, release or
// bootstrap.
type faultySession struct {
	*loneSession
	before func(statement string) error
}

func (s *faultySession) component(ctx context.Context) (primary bool, p Position, err error) {
	if err := s.before("component"); err != nil {
		return false, p, err
	}
	return s.loneSession.component(ctx)
}

func (s *faultySession) isolate(ctx context.Context, on bool) error {
	statement := "release"
	if on {
		statement = "isolate"
	}
	if err := s.before(statement); err != nil {
		return err
	}
	return s.loneSession.isolate(ctx, on)
}

func (s *faultySession) bootstrap(ctx context.Context, p Position) error {
	if err := s.before("bootstrap"); err != nil {
		return err
	}
	return s.loneSession.bootstrap(ctx, p)
}

// faulty lets the sessions of a monitor, which have numbers from 1 on, fail.
func (l *loneServer) faulty(j *Joined, before func(session int, statement string) error) {
	sessions := 0
	j.open = func(context.Context) (healSession, error) {
		sessions++
		number := sessions
		return &faultySession{&loneSession{l}, func(statement string) error { return before(number, statement) }}, nil
	}
}

// healed says whether the server has a component, and the others reach it.
func (l *loneServer) healed() bool { return l.primary && !l.isolated }

var errBroken = errors.New("the connection is broken")

// Each step costs one write: the note, the one with the isolation, and the claim.
func TestHealWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLoneServer()
		before := l.record.Writes
		l.watch(t.Context(), l.monitor(t), l.healed)
		if writes := l.record.Writes - before; writes != 3 || !l.healed() {
			t.Errorf("%d writes, isolated %v", writes, l.isolated)
		}
	})
}

// A server that gets a component for a moment and loses it again says so, also where it could not write that
// meanwhile: what the nodes have agreed to before is void.
func TestHealNotesComponentInBetween(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLoneServer()
		j := l.monitor(t)
		dir := &laterView{l, 3}
		j.dir = dir
		l.watch(t.Context(), j, func() bool { return l.record.Nodes["a"].NonPrimary != nil })
		round, noted := l.record.round(), time.Now()
		l.away = true
		l.watch(t.Context(), j, func() bool { return time.Since(noted) >= settleTime })
		dir.number = 4
		j.heal(t.Context(), stateSynced)
		l.away = false
		l.watch(t.Context(), j, func() bool { return l.isolated || l.record.round() != round })
		if n := l.record.Nodes["a"].NonPrimary; l.isolated || n.View.Seqno != 4 {
			t.Errorf("isolated %v, and the note has view %v", l.isolated, n.View)
		}
	})
}

// A record that was put back says nothing of what has happened since: no majority is restored by it.
func TestHealByOlderRecord(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		known func(*loneServer, *Joined)
		want  int
	}{
		"the record of now":         {func(*loneServer, *Joined) {}, 1},
		"the monitor remembers":     {func(l *loneServer, j *Joined) { j.seen.known = l.record.clone(); j.seen.known.Writes = 40 }, 0},
		"the data remember writes":  {func(_ *loneServer, j *Joined) { j.memory = memory{Record: "the record", Node: "a", Writes: 40} }, 0},
		"the data have a later one": {func(_ *loneServer, j *Joined) { j.memory, j.generation = memory{Record: "the record", Node: "a"}, 7 }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLoneServer()
				j := l.monitor(t)
				c.known(l, j)
				l.watch(t.Context(), j, l.healed)
				if noted := l.record.Nodes["a"].NonPrimary != nil; l.bootstraps != c.want || c.want == 0 && (noted || l.isolated) {
					t.Errorf("%d bootstraps, noted %v, isolated %v", l.bootstraps, noted, l.isolated)
				}
			})
		})
	}
}

// conflicting is a store in which another node writes right before a claim.
type conflicting struct {
	*loneServer
	other func(*Record)
}

func (c *conflicting) put(ctx context.Context, old *stored, r *Record) (*stored, error) {
	if c.other != nil && r.Nodes["a"].State == Bootstrapping {
		changed := c.record.clone()
		c.other(changed)
		c.record, c.other = changed.counted(old), nil
		return nil, &RequestError{"update", "test", apierrors.NewConflict(schema.GroupResource{}, "test", errAway)}
	}
	return c.loneServer.put(ctx, old, r)
}

// A claim that was not written is not carried out: what another node has written instead may forbid it.
func TestHealClaimNotWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLoneServer()
		j := l.monitor(t)
		store := &conflicting{l, func(r *Record) { r.Nodes["b"] = at(Stopped, 9) }} // which has more
		j.store = store
		l.watch(t.Context(), j, l.healed)
		if store.other != nil || l.bootstraps > 0 || l.isolated {
			t.Errorf("claimed %v, %d bootstraps, isolated %v", store.other == nil, l.bootstraps, l.isolated)
		}
	})
}

// A monitor that finds its claim when it does not isolate the server any more begins anew.
func TestHealClaimAfterRelease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLoneServer()
		j := l.monitor(t)
		l.answerLost = func(r *Record) bool {
			l.away = r.Nodes["a"].State == Bootstrapping
			return l.away
		}
		l.watch(t.Context(), j, func() bool { return l.away })
		l.watch(t.Context(), j, func() bool { return !l.isolated })
		if own := l.record.Nodes["a"]; !l.away || l.isolated || own.State != Bootstrapping || own.Token != j.healer.claim {
			t.Fatalf("away %v, isolated %v, the entry is %+v", l.away, l.isolated, own)
		}
		l.away = false
		l.watch(t.Context(), j, l.healed)
		if l.bootstraps != 1 || l.isolated || l.record.Generation != 3 {
			t.Errorf("%d bootstraps, isolated %v, generation %d", l.bootstraps, l.isolated, l.record.Generation)
		}
	})
}

// beside is a data directory that remembers the generation, or is full.
type beside struct {
	*loneServer
	written int
	full    bool
}

func (b *beside) setGeneration(generation int) error {
	if b.full {
		return errBroken
	}
	b.written = generation
	return nil
}

// The generation is beside the data before the server has rows of it: a component is not made when that
// cannot be written.
func TestHealWritesGenerationFirst(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		full bool
		want int // bootstraps
	}{"it is written": {false, 1}, "it cannot be": {true, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLoneServer()
				j := l.monitor(t)
				dir := &beside{l, 1, c.full}
				j.dir = dir
				l.faulty(j, func(_ int, statement string) error {
					if statement == "bootstrap" && dir.written != l.record.Generation {
						t.Errorf("a component is made with generation %d beside the data, and %d in the record", dir.written, l.record.Generation)
					}
					return nil
				})
				l.watch(t.Context(), j, l.healed)
				if l.bootstraps != c.want || l.record.Generation < 2 {
					t.Errorf("%d bootstraps, generation %d", l.bootstraps, l.record.Generation)
				}
			})
		})
	}
}

// A bootstrap that fails ends the isolation at once, and another one follows.
func TestHealAfterFailedBootstrap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLoneServer()
		j := l.monitor(t)
		failed := false
		l.faulty(j, func(_ int, statement string) (err error) {
			if statement == "bootstrap" && !failed {
				failed, err = true, errBroken
			}
			return err
		})
		l.watch(t.Context(), j, func() bool { return failed })
		if !failed || l.isolated {
			t.Errorf("failed %v, isolated %v", failed, l.isolated)
		}
		l.watch(t.Context(), j, l.healed)
		if !l.healed() || l.bootstraps != 1 {
			t.Errorf("isolated %v, %d bootstraps", l.isolated, l.bootstraps)
		}
	})
}

// A session that fails while it leads does not keep the server isolated, nor does it keep another one from
// restoring the majority.
func TestHealSessionFails(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]string{"while the server is isolated": "component", "when the component is there": "release"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLoneServer()
				j := l.monitor(t)
				broken := 0
				l.faulty(j, func(session int, statement string) error {
					if broken == 0 && l.isolated && statement == from {
						broken = session
					}
					if broken == session {
						return errBroken
					}
					return nil
				})
				l.watch(t.Context(), j, l.healed)
				if broken == 0 || !l.healed() || l.bootstraps != 1 {
					t.Errorf("broken %d, isolated %v, %d bootstraps", broken, l.isolated, l.bootstraps)
				}
			})
		})
	}
}

// A note has the view that the server was in last when it was asked, and not an earlier one: the rows may
// be of the later one.
func TestNoteHasLaterView(t *testing.T) {
	t.Parallel()
	l := newLoneServer()
	j := l.monitor(t)
	dir := &laterView{l, 3}
	j.dir = dir
	l.faulty(j, func(int, string) error {
		dir.number = 4 // it was in another component meanwhile, and has lost that as well
		return nil
	})
	if n, err := j.nonPrimary(t.Context()); err != nil || n.View.Seqno != 4 {
		t.Errorf("got view %v, %v", n.View, err)
	}
}

// laterView is a data directory with a view of that number.
type laterView struct {
	*loneServer
	number int64
}

func (v *laterView) primaryView() *View { return &View{memberID("a"), v.number, 1} }

func (v *laterView) lastPrimary() (me string, members []string, view *View, err error) {
	return memberID("a"), []string{memberID("a")}, v.primaryView(), nil
}

// A server that an earlier monitor may have isolated, and that has a component, is asked once where it
// accepts no login: it logs each such attempt.
func TestUndoAsksOnce(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]error{
		"it was started anew":    errNotServing,
		"it refuses the account": &serverError{1045, "access denied"},
		"it requires a password": errPassword,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLoneServer()
				l.away, l.primary = true, true
				j := l.monitor(t)
				asked := 0
				j.open = func(context.Context) (healSession, error) {
					asked++
					return nil, refusal
				}
				begun := time.Now()
				l.watch(t.Context(), j, func() bool { return time.Since(begun) > 10*time.Second })
				if asked != 1 {
					t.Errorf("asked %d times", asked)
				}
			})
		})
	}
}
