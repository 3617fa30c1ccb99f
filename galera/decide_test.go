package galera

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// wantSame fails unless two records are the same.
func wantSame(t *testing.T, got, want *Record) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

const (
	oneUUID   = "11111111-0000-0000-0000-000000000000"
	otherUUID = "22222222-0000-0000-0000-000000000000"
)

// nodes is a record with a cluster of some history.
func nodes(entries map[string]Node) *Record {
	r := newRecord("test")
	r.UUID, r.Founder, r.Generation = oneUUID, "a", 1
	for name, n := range entries {
		n.Token = "token of " + name
		if n.Generation == 0 {
			n.Generation = 1
		}
		r.Nodes[name] = n
	}
	return r
}

// at is a node with data up to a position.
func at(state State, seqno int64) Node {
	return Node{State: state, Data: Full, Position: Position{oneUUID, seqno}}
}

// has is a node without a position.
func has(state State, data Data) Node { return Node{State: state, Data: data} }

func (n Node) lost(seqno int64, unknown bool) Node {
	n.Lost = &Lost{Position{oneUUID, seqno}, unknown}
	return n
}

func (r *Record) but(change func(*Record)) *Record {
	change(r)
	return r
}

// What a decides, whose offer is in the record.
func TestDecide(t *testing.T) {
	t.Parallel()
	adopted := func(r *Record) { r.Adopted = true }
	never := func(r *Record) { r.UUID, r.Generation = "", 0 }
	decree := func(from string, force bool, over ...string) func(*Record) {
		return func(r *Record) {
			r.Bootstrap = &Decree{From: from, Force: force, Over: map[string]string{}}
			for _, name := range over {
				r.Bootstrap.Over[name] = r.Nodes[name].standing()
			}
		}
	}
	peer := []string{"10.0.0.2:4567"}
	for name, c := range map[string]struct {
		record    *Record
		listening []string
		contrary  []string
		joining   []string // who only wants to join by the record
		view      int
		waited    time.Duration
		want      action
		reason    string // a part of it
		keepView  bool
		discard   bool
	}{
		// founding
		"the founder, alone": {
			record: nodes(map[string]Node{"a": has(Offered, NoData)}).but(never), want: found,
		},
		"the founder, killed in its first moment": {
			record: nodes(map[string]Node{"a": has(Offered, Partial), "b": has(Offered, NoData)}).but(never), want: bootstrap,
		},
		"the founder, with others that have nothing": {
			record: nodes(map[string]Node{"a": has(Offered, NoData), "b": has(Offered, NoData), "c": has(Stopped, Partial)}).but(never), want: found,
		},
		"the founder, after its first boot": {
			record: nodes(map[string]Node{"a": has(Offered, Fresh), "b": has(Offered, NoData)}).but(never), want: bootstrap,
		},
		"the founder, when all has been lost before anything was recorded": {
			record: nodes(map[string]Node{"a": has(Offered, NoData).lost(0, true), "b": has(Offered, NoData)}).but(never), want: wait, reason: "a lost its data, and nobody knows how much that was: bring them back, or delete the record",
		},
		"the founder, when one has lost all that it had joined": {
			record: nodes(map[string]Node{"a": has(Offered, Fresh), "b": has(Offered, NoData).lost(0, true)}).but(never), want: wait, reason: "b lost its data",
		},
		"the founder, and somebody has data": {
			record: nodes(map[string]Node{"a": has(Offered, NoData), "b": at(Offered, 3)}).but(never), want: wait, reason: "waits for b, which has more",
		},
		"the founder, and somebody listens who is not in the record": {
			record: nodes(map[string]Node{"a": has(Offered, NoData)}).but(never), listening: peer, want: wait, reason: "not in the record listens at 10.0.0.2:4567",
		},
		"the founder, and somebody may be running": {
			record: nodes(map[string]Node{"a": has(Offered, NoData), "b": has(Joining, NoData)}).but(never), want: wait, reason: "waits for b, which may be running",
		},
		"not the founder": {
			record: nodes(map[string]Node{"a": has(Offered, NoData), "b": has(Offered, NoData)}).but(func(r *Record) { never(r); r.Founder = "b" }),
			want:   wait, reason: "waits for b, which founds the cluster",
		},
		"the record of a cluster that is gone": {
			record: nodes(map[string]Node{"a": has(Offered, NoData), "b": has(Offered, NoData)}), want: wait, reason: "delete the record",
		},

		// joining
		"somebody is synced and listens": {
			record: nodes(map[string]Node{"a": has(Offered, NoData), "b": at(Synced, 3)}), listening: peer, want: join,
		},
		"somebody is synced and does not listen": {
			record: nodes(map[string]Node{"a": at(Offered, 9), "b": at(Synced, 3)}), want: wait, reason: "b, which may be running: synced",
		},
		"somebody listens, and the record was put back": {
			record: nodes(map[string]Node{"a": at(Offered, 3), "b": at(Synced, 3)}).but(func(r *Record) { r.PutBack, r.Adopted = true, true }), listening: peer,
			want: wait, reason: "10.0.0.2:4567 listens, and the record was put back",
		},
		"somebody listens, the record was put back, and there are no data": {
			record: nodes(map[string]Node{"a": has(Offered, NoData), "b": at(Stopped, 3)}).but(func(r *Record) { r.PutBack, r.Adopted = true, true }), listening: peer,
			want: wait, reason: "10.0.0.2:4567 listens, and the record was put back",
		},
		"the last view is kept": {
			record: nodes(map[string]Node{"a": at(Offered, 3), "b": at(Synced, 3)}), listening: peer, view: 3, want: join, keepView: true,
		},
		"the last view is that of a volume that has lost something": {
			record: nodes(map[string]Node{"a": at(Offered, 3).lost(5, true), "b": at(Synced, 3)}), listening: peer, view: 3, want: join,
		},
		"the last view is from before somebody became the first": {
			record: nodes(map[string]Node{"a": at(Offered, 3), "b": at(Synced, 3)}).but(func(r *Record) { r.Generation = 2 }), listening: peer, view: 3, want: join,
		},
		"the last view is of one node": {
			record: nodes(map[string]Node{"a": at(Offered, 3), "b": at(Synced, 3)}), listening: peer, view: 1, want: join,
		},
		"data that never were in a cluster": {
			record: nodes(map[string]Node{"a": has(Offered, Fresh), "b": at(Synced, 3)}), listening: peer, want: refuse, reason: "never were in a cluster",
		},
		"data of another cluster": {
			record: nodes(map[string]Node{"a": {State: Offered, Data: Full, Position: Position{otherUUID, 3}}, "b": at(Synced, 3)}), listening: peer,
			want: refuse, reason: "that of the cluster " + otherUUID + ", and the record is that of " + oneUUID,
		},
		"data of a cluster, and another one is just being founded": {
			record:    nodes(map[string]Node{"a": {State: Offered, Data: Full, Position: Position{otherUUID, 3}}, "b": has(Bootstrapping, Fresh)}).but(never).but(adopted),
			listening: peer, want: wait, reason: "waits for b, which founds a cluster, to tell its name",
		},
		"nothing, and a cluster is just being founded": {
			record: nodes(map[string]Node{"a": has(Offered, NoData), "b": has(Bootstrapping, Fresh)}).but(never), listening: peer, want: join,
		},
		"data that a person left behind": {
			record: nodes(map[string]Node{"a": at(Offered, 9), "b": at(Synced, 3)}).but(func(r *Record) { r.Generation, r.Forks = 2, []Fork{{2, 8}} }), listening: peer, view: 3,
			want: join, discard: true,
		},
		"data from before a person's decision, and not behind it": {
			record: nodes(map[string]Node{"a": at(Offered, 8), "b": at(Synced, 3)}).but(func(r *Record) { r.Generation, r.Forks = 2, []Fork{{2, 8}} }), listening: peer,
			want: join,
		},

		"data that an election by an old record did not know of": {
			record: nodes(map[string]Node{"a": at(Offered, 9), "b": at(Synced, 3)}).but(func(r *Record) { r.Generation, r.Elections = 2, []Fork{{2, 8}} }), listening: peer, view: 3,
			want: refuse, reason: "the data go on to 9, and the cluster was begun anew before that",
		},
		"data from before an election, and not behind it": {
			record: nodes(map[string]Node{"a": at(Offered, 8), "b": at(Synced, 3)}).but(func(r *Record) { r.Generation, r.Elections = 2, []Fork{{2, 8}} }), listening: peer,
			want: join,
		},
		"data that a person left behind, and an election too": {
			record: nodes(map[string]Node{"a": at(Offered, 9), "b": at(Synced, 3)}).but(func(r *Record) { r.Generation, r.Forks, r.Elections = 3, []Fork{{2, 7}}, []Fork{{3, 8}} }), listening: peer,
			want: join, discard: true,
		},

		// clusters that are older than their record
		"adopted, and somebody listens": {record: nodes(map[string]Node{"a": at(Offered, 3)}).but(adopted), listening: peer, view: 3, want: join},
		"adopted, and somebody listens, of a cluster whose UUID is not known": {
			record: nodes(map[string]Node{"a": at(Offered, 3)}).but(adopted).but(never), listening: peer, view: 3, want: wait, reason: "the UUID of the cluster is not known",
		},
		"joined before, and somebody runs of whom no UUID is known": {
			record: nodes(map[string]Node{"a": at(Offered, 3), "b": has(Joining, NoData)}).but(never), listening: peer, want: wait, reason: "the UUID of the cluster is not known",
		},
		"adopted, with nothing, and somebody listens": {
			record: nodes(map[string]Node{"a": has(Offered, NoData)}).but(adopted).but(never), listening: peer, want: join,
		},
		"adopted, and nobody listens":     {record: nodes(map[string]Node{"a": at(Offered, 3)}).but(adopted), want: wait, reason: "older than its record"},
		"adopted, with nothing, likewise": {record: nodes(map[string]Node{"a": has(Offered, NoData)}).but(adopted).but(never), want: wait, reason: "older than its record"},

		// elections
		"has the most": {
			record: nodes(map[string]Node{"a": at(Offered, 9), "b": at(Offered, 8), "c": at(Stopped, 7)}), want: bootstrap,
		},
		"those who listen have lost their component": {
			record: nodes(map[string]Node{"a": at(Offered, 7), "b": lostNode("b", 7, 3, "b"), "c": at(Synced, 7)}).but(func(r *Record) {
				n := r.Nodes["b"]
				n.Address = "10.0.0.2"
				r.Nodes["b"] = n
			}), listening: []string{"10.0.0.2:4567"},
			want: wait, reason: "waits for a primary component, which is lost: 10.0.0.2:4567",
		},
		"has less than one who waits":     {record: nodes(map[string]Node{"a": at(Offered, 7), "b": at(Offered, 8)}), want: wait, reason: "waits for b, which has more: " + oneUUID + ":8"},
		"has less than one who is absent": {record: nodes(map[string]Node{"a": at(Offered, 7), "b": at(Stopped, 8)}), want: wait, reason: "waits for b, which has more"},
		"has as much, and comes first":    {record: nodes(map[string]Node{"a": at(Offered, 8), "b": at(Offered, 8)}), want: bootstrap},
		"has as much, and another left last": {
			record: nodes(map[string]Node{"a": at(Offered, 8), "b": {State: Offered, Data: Full, Position: Position{oneUUID, 8}, SafeToBootstrap: true}}),
			want:   wait, reason: "lets b go first",
		},
		"has as much, and the other does not go": {
			record: nodes(map[string]Node{"a": at(Offered, 8), "b": {State: Offered, Data: Full, Position: Position{oneUUID, 8}, SafeToBootstrap: true}}),
			waited: time.Minute, want: bootstrap,
		},
		"has as much as one who is absent": {record: nodes(map[string]Node{"a": at(Offered, 8), "b": at(Stopped, 8)}), want: bootstrap},
		"one may be running":               {record: nodes(map[string]Node{"a": at(Offered, 9), "b": at(Offered, 8), "c": at(Bootstrapping, 1)}), want: wait, reason: "c, which may be running"},
		"one wants to join":                {record: nodes(map[string]Node{"a": at(Offered, 9), "b": has(Joining, NoData)}), want: wait, reason: "b, which may be running: joining"},
		"an unknown one listens":           {record: nodes(map[string]Node{"a": at(Offered, 9), "b": at(Offered, 8)}), listening: peer, want: wait, reason: "not in the record"},
		"one listens who does not run by the record": {
			record: nodes(map[string]Node{"a": at(Offered, 9), "b": at(Stopped, 8)}), contrary: peer, want: wait, reason: "a server listens at 10.0.0.2:4567, and by the record none runs there",
		},
		"one listens who does not run by the record, and another may": {
			record: nodes(map[string]Node{"a": at(Offered, 9), "b": at(Stopped, 8), "c": at(Synced, 8)}), listening: peer, contrary: peer, want: join,
		},
		"one has data of another cluster": {
			record: nodes(map[string]Node{"a": at(Offered, 9), "b": {State: Offered, Data: Full, Position: Position{otherUUID, 3}}}), want: wait, reason: "of two clusters",
		},
		"one never had anything": {record: nodes(map[string]Node{"a": at(Offered, 9), "b": has(Offered, NoData), "c": has(Stopped, Partial)}), want: bootstrap},
		"one lost who knows what": {
			record: nodes(map[string]Node{"a": at(Offered, 9), "b": has(Offered, NoData).lost(3, true)}), want: wait, reason: "b lost its data, and nobody knows how much",
		},
		"one lost what is known": {record: nodes(map[string]Node{"a": at(Offered, 9), "b": has(Offered, NoData).lost(9, false)}), want: bootstrap},
		"one lost more":          {record: nodes(map[string]Node{"a": at(Offered, 9), "b": has(Offered, NoData).lost(10, false)}), want: wait, reason: "b had 10, and lost it"},
		"it lost more itself":    {record: nodes(map[string]Node{"a": at(Offered, 9).lost(10, false)}), want: wait, reason: "a had 10, and lost it"},
		"has nothing":            {record: nodes(map[string]Node{"a": has(Offered, NoData), "b": at(Offered, 9)}), want: wait, reason: "waits for b"},
		"one has what was left behind": {
			record: nodes(map[string]Node{"a": {State: Offered, Data: Full, Position: Position{oneUUID, 8}, Generation: 2}, "b": at(Offered, 20)}).
				but(func(r *Record) { r.Generation, r.Forks = 2, []Fork{{2, 7}} }), want: bootstrap,
		},

		"one has what an election by an old record did not know of": {
			record: nodes(map[string]Node{"a": {State: Offered, Data: Full, Position: Position{oneUUID, 8}, Generation: 2}, "b": at(Offered, 20)}).
				but(func(r *Record) { r.Generation, r.Elections = 2, []Fork{{2, 7}} }), want: wait, reason: "did not know of them",
		},

		// decrees
		"decided": {record: nodes(map[string]Node{"a": at(Offered, 9), "b": at(Offered, 8)}).but(adopted).but(decree("a", true)), want: bootstrap},
		"decided without force, of a cluster that is older than its record": {
			record: nodes(map[string]Node{"a": at(Offered, 9), "b": at(Offered, 8)}).but(adopted).but(decree("a", false)), want: revise, reason: "older than its record",
		},
		"decided, with data that never were in a cluster": {
			record: nodes(map[string]Node{"a": has(Offered, Fresh), "b": has(Offered, NoData)}).but(never).but(adopted).but(decree("a", true)), want: bootstrap,
		},
		"decided, for another": {record: nodes(map[string]Node{"a": at(Offered, 9), "b": at(Offered, 9)}).but(decree("b", false)), want: wait, reason: "b, which was decided"},
		"decided, for another, while somebody serves": {
			record: nodes(map[string]Node{"a": at(Offered, 9), "b": at(Offered, 9), "c": at(Synced, 3)}).but(decree("b", true, "c")), listening: peer, want: join,
		},
		"decided, and then another offers more": {record: nodes(map[string]Node{"a": at(Offered, 8), "b": at(Offered, 9)}).but(decree("a", false)), want: revise, reason: "void: b has more: 9"},
		"decided, and then another is started":  {record: nodes(map[string]Node{"a": at(Offered, 9), "b": at(Synced, 8)}).but(decree("a", false)), want: revise, reason: "void: b may be running"},
		"decided, and somebody listens":         {record: nodes(map[string]Node{"a": at(Offered, 9)}).but(decree("a", true)), listening: peer, want: revise, reason: "void: a server listens"},
		"decided, and one listens who does not run by the record": {
			record: nodes(map[string]Node{"a": at(Offered, 9), "b": at(Stopped, 8)}).but(decree("a", true)), contrary: peer, want: revise, reason: "void: a server listens",
		},
		"forced, and one listens who joins by the record": {
			record: nodes(map[string]Node{"a": at(Offered, 9), "b": at(Joining, 8)}).but(decree("a", true, "b")), joining: peer, want: revise, reason: "void: a server listens at 10.0.0.2:4567",
		},
		"one listens who joins by the record, and nothing is decided": {
			record: nodes(map[string]Node{"a": at(Offered, 9), "b": at(Joining, 8)}), joining: peer, want: wait, reason: "b, which may be running",
		},
		"decided, and its data is gone by then":    {record: nodes(map[string]Node{"a": has(Offered, NoData)}).but(decree("a", true)), want: revise, reason: "void: a has no data"},
		"forced":                                   {record: nodes(map[string]Node{"a": at(Offered, 8), "b": at(Synced, 9), "c": has(Offered, NoData).lost(3, true)}).but(decree("a", true, "b", "c")), want: bootstrap},
		"forced, and who was thought dead returns": {record: nodes(map[string]Node{"a": at(Offered, 8), "b": at(Offered, 9)}).but(decree("a", true)).but(func(r *Record) { r.Bootstrap.Over["b"] = "older" }), want: revise, reason: "void: b has more"},
		"forced, and who has more comes to offer it": {
			record: nodes(map[string]Node{"a": at(Offered, 8), "b": at(Stopped, 9)}).but(decree("a", true, "b")).but(func(r *Record) { r.Nodes["b"] = at(Offered, 9) }), want: bootstrap,
		},
		"forced, and who may be running is started": {
			record: nodes(map[string]Node{"a": at(Offered, 8), "b": at(Synced, 9)}).but(decree("a", true, "b")).but(func(r *Record) { r.Nodes["b"] = at(Synced, 9) }), want: revise, reason: "void: b may be running",
		},
		"forced, for another, which then is void": {
			record: nodes(map[string]Node{"a": at(Offered, 9), "b": at(Offered, 8)}).but(decree("b", true)), want: revise, reason: "void: a has more",
		},
		"data from before a decision, under a name that is not in the record, and not behind it": {
			record: nodes(map[string]Node{"a": {State: Offered, Data: Full, Position: Position{oneUUID, 9}, Generation: 2}, "b": at(Synced, 3)}).
				but(func(r *Record) { r.Generation, r.Elections, r.Forks = 3, []Fork{{2, 5}}, []Fork{{3, 9}} }), listening: peer, want: join,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := situation{record: c.record, self: "a", anyone: slices.Concat(c.listening, c.contrary, c.joining), listening: c.listening, contrary: c.contrary, view: c.view, waited: c.waited}
			before := c.record.clone()
			got := decide(s)
			if got.action != c.want || !strings.Contains(got.reason, c.reason) {
				t.Fatalf("got %s because %q, want %s because %q", got.action, got.reason, c.want, c.reason)
			}
			if got.keepView != c.keepView || got.discard != c.discard {
				t.Errorf("got keepView %v, discard %v, want %v, %v", got.keepView, got.discard, c.keepView, c.discard)
			}
			if writes := got.action == join || got.action == bootstrap || got.action == revise; writes != (got.record != nil) {
				t.Errorf("%s: got record %v", got.action, got.record)
			}
			wantSame(t, c.record, before)
		})
	}
}

// An old record in which a node is stopped that ran on later: another one is elected without
// it. It does not join then as if its rows were the others' rows of the same numbers.
func TestOldRecord(t *testing.T) {
	t.Parallel()
	r := nodes(map[string]Node{"a": at(Offered, 8), "b": at(Stopped, 5)})
	first := decide(situation{record: r, self: "a"})
	if first.action != bootstrap {
		t.Fatalf("got %s because %q", first.action, first.reason)
	}
	r = first.record.synced("a", oneUUID, "member a", nil, 0, stamp{})
	r = r.resting("b", Offered, local{data: Full, position: Position{oneUUID, 9}}, stamp{})
	if got := decide(situation{record: r, self: "b", listening: []string{"10.0.0.1:4567"}}); got.action != refuse {
		t.Errorf("got %s because %q, want it refused", got.action, got.reason)
	}
	r = r.resting("b", Offered, local{data: Full, position: Position{oneUUID, 8}}, stamp{})
	if got := decide(situation{record: r, self: "b", listening: []string{"10.0.0.1:4567"}}); got.action != join {
		t.Errorf("with no more than was begun with: got %s because %q", got.action, got.reason)
	}
}

// diverged is a record in which a was overruled at 100 and has 120, and b was made the
// first instead and has 110.
func diverged(change func(*Record)) *Record {
	b := at(Offered, 110)
	b.Generation = 2
	return nodes(map[string]Node{"a": at(Offered, 120), "b": b}).but(func(r *Record) {
		r.Generation, r.Forks = 2, []Fork{{2, 100}}
		change(r)
	})
}

// Data that have left the history of the cluster are no reason to begin with them, however
// high their position is.
func TestDecreeDiverged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		record *Record
		want   []string
	}{
		"another has the rows of the cluster": {
			diverged(func(*Record) {}),
			[]string{"a has diverged: behind 100 the cluster has other rows", "b has the cluster's rows, up to 110"},
		},
		"another had them, and lost them": {
			diverged(func(r *Record) { r.Nodes["b"] = has(Offered, NoData).lost(110, false) }),
			[]string{"a has diverged: behind 100 the cluster has other rows", "b had 110, and lost it"},
		},
		"who had them is not in the record any more": {
			diverged(func(r *Record) { delete(r.Nodes, "b") }),
			[]string{"a has diverged: behind 100 the cluster has other rows"},
		},
		"it diverged in an election": {
			diverged(func(r *Record) { r.Forks, r.Elections = nil, r.Forks }),
			[]string{"a has diverged: behind 100 the cluster has other rows", "b has the cluster's rows, up to 110"},
		},
	} {
		var refused *RefusedError
		_, _, err := c.record.decree("a", "test", false, time.Time{})
		if !errors.As(err, &refused) || !refused.Overrules {
			t.Errorf("%s: got %v, want it refused", name, err)
			continue
		}
		if diff := cmp.Diff(c.want, refused.Reasons); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
		forced, _, err := c.record.decree("a", "test", true, time.Time{})
		if err != nil {
			t.Errorf("%s, forced: got %v", name, err)
			continue
		}
		d := decide(situation{record: forced, self: "a"})
		if d.action != bootstrap {
			t.Errorf("%s, forced: got %s because %q", name, d.action, d.reason)
		}
	}
}

// A decision that was made without force is void when its own node has diverged since, or has lost
// data.
func TestDecreeVoid(t *testing.T) {
	t.Parallel()
	d := &Decree{From: "a"}
	if fault := nodes(map[string]Node{"a": at(Offered, 9)}).faultOf(d); fault != "" {
		t.Errorf("got %q", fault)
	}
	if fault := nodes(map[string]Node{"a": at(Joining, 9)}).faultOf(d); fault != "" {
		t.Errorf("while it starts: got %q", fault)
	}
	if nodes(map[string]Node{"a": at(Offered, 9).lost(10, false)}).faultOf(d) == "" {
		t.Error("it has lost data: want the decision void")
	}
	r := diverged(func(r *Record) { delete(r.Nodes, "b") })
	if r.faultOf(d) == "" {
		t.Error("it has diverged: want the decision void")
	}
	if d.Force = true; r.faultOf(d) != "" {
		t.Error("it has diverged, and the decision is forced: want it kept")
	}
}

// A forced decision rests on what its own node has and has lost as well.
func TestForcedForWhatItHas(t *testing.T) {
	t.Parallel()
	others := at(Joining, 9)
	lost := at(Offered, 0)
	lost.Data, lost.Position = NoData, Position{}
	for name, c := range map[string]struct {
		then, now Node
		void      bool
	}{
		"the same":                        {at(Offered, 9), at(Offered, 9), false},
		"it starts its wait":              {at(Stopped, 9), at(Offered, 9), false},
		"a later position":                {at(Offered, 9), at(Offered, 10), true},
		"put back to an older state":      {at(Offered, 9), at(Offered, 9).lost(9, false), true},
		"had lost something before":       {at(Offered, 9).lost(12, false), at(Offered, 9).lost(12, false), false},
		"it ran, and says what it has":    {at(Synced, 0), at(Offered, 9), false},
		"it ran, and is put back":         {at(Synced, 9), at(Offered, 5).lost(9, true), true},
		"it ran, and had lost before":     {at(Joining, 9).lost(12, true), at(Offered, 9).lost(12, true), false},
		"it ran, and has lost its volume": {at(Synced, 9), lost.lost(9, true), true},
	} {
		r, _, err := nodes(map[string]Node{"a": c.then, "b": others}).decree("a", "test", true, time.Time{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r.Nodes["a"] = c.now
		if fault := r.faultOf(r.Bootstrap); fault != "" != c.void {
			t.Errorf("%s: got %q, want it void: %v", name, fault, c.void)
		}
	}
}

// Who was overruled, and is then made the first by force, begins where the histories parted:
// what the others have from there on is left behind.
func TestForkAtBranch(t *testing.T) {
	t.Parallel()
	r, _, err := diverged(func(r *Record) {
		r.Forks = append(r.Forks, Fork{2, 105})
		for name, seqno := range map[string]int64{"c": 100, "d": 101} {
			n := at(Stopped, seqno)
			n.Generation = 2
			r.Nodes[name] = n
		}
	}).decree("a", "test", true, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	first := decide(situation{record: r, self: "a"})
	if first.action != bootstrap {
		t.Fatalf("got %s because %q", first.action, first.reason)
	}
	r = first.record
	if got, want := r.Forks[len(r.Forks)-1], (Fork{3, 100}); got != want {
		t.Errorf("got fork %v, want %v", got, want)
	}
	for name, want := range map[string]bool{"a": false, "b": true, "c": false, "d": true} {
		if got := r.diverged(r.Nodes[name]); got != want {
			t.Errorf("%s: got diverged %v, want %v", name, got, want)
		}
	}
}

// What cannot be the first, whatever an operator says, and what only force overrules.
func TestUnfitAndObjections(t *testing.T) {
	t.Parallel()
	const other = "22222222-2222-2222-2222-222222222222"
	full := func(uuid string, seqno int64) Node {
		return Node{State: Offered, Data: Full, Position: Position{uuid, seqno}}
	}
	for name, test := range map[string]struct {
		uuid         string
		a, b         Node
		unfit, about string // of a as the first
	}{
		"data of no cluster":             {uuid: oneUUID, a: Node{State: Offered, Data: Fresh}, unfit: "never were in this cluster"},
		"data of no cluster, and no one": {a: Node{State: Offered, Data: Fresh}},
		"data of another cluster":        {uuid: oneUUID, a: full(other, 1), unfit: "are those of another cluster"},
		"it may be running":              {uuid: oneUUID, a: Node{State: Synced, Data: Full, Position: Position{oneUUID, 1}}, about: "a may be running"},
		"another one has other data":     {a: full(oneUUID, 5), b: full(other, 1), about: "b has other data"},
		"and this one has none":          {a: Node{State: Offered, Data: Fresh}, b: full(other, 1), about: "b has other data"},
	} {
		r := nodes(map[string]Node{"a": test.a})
		if test.b.State != "" {
			r.Nodes["b"] = test.b
		}
		r.UUID = test.uuid
		if got := r.unfit("a"); test.unfit == "" && got != "" || !strings.Contains(got, test.unfit) {
			t.Errorf("%s: got %q, want %q", name, got, test.unfit)
		}
		_, _, err := r.decree("a", "test", test.unfit != "", time.Time{}) // force does not help
		if refused := test.unfit+test.about != ""; (err != nil) != refused || refused && !strings.Contains(err.Error(), test.unfit+test.about) {
			t.Errorf("%s: got %v, want %q", name, err, test.unfit+test.about)
		}
	}
	lost := Lost{Position{oneUUID, 3}, false}
	if lost.within(Position{other, 5}) || !lost.within(Position{oneUUID, 3}) || lost.within(Position{oneUUID, 2}) {
		t.Error("what was lost is within other data, or not within the same")
	}
}

// What a node gives up to join is not lost when its volume is lost later. Another node at the address of
// this one is another one all the same.
func TestJoinGivesUp(t *testing.T) {
	t.Parallel()
	r := nodes(map[string]Node{"a": at(Offered, 9), "b": at(Synced, 5)})
	r.UUID, r.Generation, r.Forks = oneUUID, 2, []Fork{{2, 4}}
	b := r.Nodes["b"]
	b.Generation = 2
	r.Nodes["b"] = b
	d, ok := joined(situation{record: r, self: "a", listening: []string{"b"}})
	if own := d.record.Nodes["a"]; !ok || !d.discard || own.Data != Partial || own.Position != (Position{}) {
		t.Errorf("got %+v", d)
	}
	n := at(Synced, 1)
	n.Address = "10.0.0.1"
	r = nodes(map[string]Node{"a": n})
	if known, is := r.at(peer{"10.0.0.1", defaultPort}, "a", func(Node) bool { return true }); !known || is {
		t.Errorf("the own address: known %v, another's %v", known, is)
	}
}
