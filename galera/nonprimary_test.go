package galera

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func memberID(name string) string { return fmt.Sprintf("%s0000000-0000-4000-8000-000000000000", name) }

// lostNode has lost the view of that number, of the members, with rows up to seqno.
func lostNode(name string, seqno, number int64, members string) Node {
	n := at(Synced, 1)
	n.Member, n.Pod = memberID(name), "pod of "+name
	n.NonPrimary = &NonPrimary{ID: "note of " + name, Position: Position{oneUUID, seqno}, Me: n.Member}
	for member := range strings.SplitSeq(members, "") {
		n.NonPrimary.Members = append(n.NonPrimary.Members, memberID(member))
	}
	n.NonPrimary.View = View{ID: memberID(members[:1]), Seqno: number, Members: len(members)}
	return n
}

func TestLeader(t *testing.T) {
	t.Parallel()
	rest := func(n Node, name string) Node {
		n.Member = memberID(name)
		return n
	}
	lost := at(Offered, 3)
	lost.Lost = &Lost{Position{oneUUID, 8}, false}
	for name, c := range map[string]struct {
		nodes  map[string]Node
		change func(*Record)
		want   string // the leader, or else why there is none
	}{
		"all have the same, and the first by name leads": {
			nodes: map[string]Node{"a": lostNode("a", 5, 3, "abc"), "b": lostNode("b", 5, 3, "abc"), "c": lostNode("c", 5, 3, "abc")}, want: "a",
		},
		"the highest position leads": {
			nodes: map[string]Node{"a": lostNode("a", 5, 3, "abc"), "b": lostNode("b", 6, 3, "abc"), "c": lostNode("c", 5, 3, "abc")}, want: "b",
		},
		"a node without a note may have a component": {
			nodes: map[string]Node{"a": lostNode("a", 5, 3, "ab"), "b": at(Synced, 5)}, want: "b may have a primary component",
		},
		"a node that joins may get one": {
			nodes: map[string]Node{"a": lostNode("a", 5, 3, "a"), "b": at(Joining, 5)}, want: "b may have a primary component",
		},
		"a node at rest has less": {
			nodes: map[string]Node{"a": lostNode("a", 5, 3, "abc"), "b": rest(at(Stopped, 4), "b"), "c": rest(at(Offered, 5), "c")}, want: "a",
		},
		"a node at rest has more": {
			nodes: map[string]Node{"a": lostNode("a", 5, 3, "ab"), "b": rest(at(Stopped, 6), "b")}, want: "nodes at rest have more rows",
		},
		"a node at rest lost what nobody has": {
			nodes: map[string]Node{"a": lostNode("a", 5, 3, "ab"), "b": rest(lost, "b")}, want: "b had 8, and lost it",
		},
		"an older view without the leader may come back": {
			nodes: map[string]Node{"a": lostNode("a", 6, 4, "a"), "b": lostNode("b", 5, 3, "bc"), "c": lostNode("c", 5, 3, "bc")},
			want:  "the last primary component of b may come back",
		},
		"an older view whose member was in a later one": {
			nodes: map[string]Node{"a": lostNode("a", 6, 4, "ac"), "b": lostNode("b", 5, 3, "bc"), "c": lostNode("c", 6, 4, "ac")}, want: "a",
		},
		"a later view that one of its members did not install": {
			nodes: map[string]Node{"a": lostNode("a", 5, 3, "ab"), "b": lostNode("b", 5, 3, "ab"), "c": lostNode("c", 5, 4, "abc")}, want: "a",
		},
		"a view that only others have, and the highest position": {
			nodes: map[string]Node{"a": lostNode("a", 6, 3, "abcd"), "b": lostNode("b", 5, 4, "bc"), "c": lostNode("c", 5, 4, "bc"), "d": rest(at(Stopped, 5), "d")},
			want:  "the last primary component of b may come back",
		},
		"a member that no node is": {
			nodes: map[string]Node{"a": lostNode("a", 5, 3, "abd"), "b": lostNode("b", 5, 3, "abd")}, want: "a was with d0000000-0000-4000-8000-000000000000, which no node of the record is",
		},
		"a decision stands": {
			nodes:  map[string]Node{"a": lostNode("a", 5, 3, "a")},
			change: func(r *Record) { r.Bootstrap = &Decree{From: "a"} }, want: "a decision to bootstrap stands",
		},
		"an adopted cluster": {
			nodes:  map[string]Node{"a": lostNode("a", 5, 3, "a")},
			change: func(r *Record) { r.Adopted = true }, want: "the cluster is older than its record, and may have other members",
		},
		"a record that was put back": {
			nodes:  map[string]Node{"a": lostNode("a", 5, 3, "a")},
			change: func(r *Record) { r.PutBack = true }, want: "the record was put back to an older version",
		},
		"a cluster without a UUID": {
			nodes:  map[string]Node{"a": lostNode("a", 5, 3, "a")},
			change: func(r *Record) { r.UUID = "" }, want: "the UUID of the cluster is not known",
		},
		"data of another cluster": {
			nodes: map[string]Node{"a": lostNode("a", 5, 3, "a")},
			change: func(r *Record) {
				n := r.Nodes["a"]
				n.NonPrimary.UUID = strings.Replace(oneUUID, "1", "2", 1)
			}, want: "a has data of another cluster",
		},
		"a node that was overruled": {
			nodes:  map[string]Node{"a": lostNode("a", 5, 3, "a")},
			change: func(r *Record) { r.Generation, r.Forks = 2, []Fork{{2, 4}} }, want: "a has diverged",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := nodes(c.nodes)
			r.UUID = oneUUID
			if c.change != nil {
				c.change(r)
			}
			if err := r.check(); err != nil {
				t.Fatal(err)
			}
			leader, why := r.leader()
			if got := leader + why; got != c.want {
				t.Errorf("got %q, %q, want %q", leader, why, c.want)
			}
		})
	}
}

// The steps up to a new component, and what undoes them.
func TestHealSteps(t *testing.T) {
	t.Parallel()
	change := func(r *Record, name string, do func(*NonPrimary)) {
		n := r.Nodes[name]
		note := *n.NonPrimary
		do(&note)
		n.NonPrimary = &note
		r.Nodes[name] = n
	}
	isolated := func(r *Record) { change(r, "a", func(n *NonPrimary) { n.Isolated = true }) }
	agreed := func(r *Record, names ...string) {
		round := r.round()
		for _, name := range names {
			change(r, name, func(n *NonPrimary) { n.Agrees = round })
		}
	}
	for name, c := range map[string]struct {
		self            string
		before          func(*Record)
		own             func(*NonPrimary)
		settled, stable bool
		want            healStep
	}{
		"the note is there, and young":           {self: "a", want: healWait},
		"there is none":                          {self: "a", before: func(r *Record) { n := r.Nodes["a"]; n.NonPrimary = nil; r.Nodes["a"] = n }, want: healNote},
		"another process has written it":         {self: "a", own: func(n *NonPrimary) { n.ID = "" }, settled: true, want: healNote},
		"the server has more rows by now":        {self: "a", own: func(n *NonPrimary) { n.Seqno++ }, settled: true, want: healNote},
		"the server was in another view":         {self: "a", own: func(n *NonPrimary) { n.View = View{n.View.ID, 9, 3} }, settled: true, want: healNote},
		"the server is isolated by now":          {self: "a", own: func(n *NonPrimary) { n.Isolated = true }, settled: true, want: healNote},
		"the leader isolates itself":             {self: "a", settled: true, want: healIsolate},
		"another node does not":                  {self: "b", settled: true, stable: true, want: healWait},
		"it agrees":                              {self: "b", before: isolated, settled: true, stable: true, want: healAgree},
		"it does not agree to a round too young": {self: "b", before: isolated, settled: true, want: healWait},
		"it has agreed":                          {self: "b", before: func(r *Record) { isolated(r); agreed(r, "b") }, settled: true, stable: true, want: healWait},
		"the leader waits for all":               {self: "a", before: func(r *Record) { isolated(r); agreed(r, "b") }, settled: true, stable: true, want: healWait},
		"all have agreed":                        {self: "a", before: func(r *Record) { isolated(r); agreed(r, "b", "c") }, settled: true, stable: true, want: healClaim},
		"all have agreed to another round": {self: "a", before: func(r *Record) {
			isolated(r)
			agreed(r, "b", "c")
			change(r, "c", func(n *NonPrimary) { n.ID = "a later one" })
		}, settled: true, stable: true, want: healWait},
		"a node at rest started in between": {self: "a", before: func(r *Record) {
			isolated(r)
			agreed(r, "b", "c")
			n := r.Nodes["d"]
			n.State = Joining
			r.Nodes["d"] = n
		}, settled: true, stable: true, want: healRelease},
		"nodes at rest agree to nothing": {self: "a", before: func(r *Record) { isolated(r); agreed(r, "b", "c") }, settled: true, want: healWait},
		"another node leads": {self: "a", before: func(r *Record) {
			isolated(r)
			change(r, "b", func(n *NonPrimary) { n.Seqno = 9 })
		}, settled: true, stable: true, want: healRelease},
	} {
		t.Run(name, func(t *testing.T) {
			d := at(Stopped, 4)
			d.Token = "of a stop"
			r := nodes(map[string]Node{"a": lostNode("a", 5, 3, "abc"), "b": lostNode("b", 5, 3, "abc"), "c": lostNode("c", 5, 3, "abc"), "d": d})
			r.UUID = oneUUID
			if c.before != nil {
				c.before(r)
			}
			own := *lostNode(c.self, 5, 3, "abc").NonPrimary
			if note := r.Nodes[c.self].NonPrimary; note != nil {
				own = *note
			}
			if c.own != nil {
				c.own(&own)
			}
			got, why := healing{r, c.self, own, c.settled, c.stable}.step()
			if got != c.want {
				t.Errorf("got %s, %s, want %s", got, why, c.want)
			}
		})
	}
}

// A round changes with all that a node says of itself, and so does its token: a decision that was forced
// against the node is void then.
func TestRound(t *testing.T) {
	t.Parallel()
	r := nodes(map[string]Node{"a": lostNode("a", 5, 3, "ab"), "b": at(Stopped, 4)})
	noted := r.withNote("a", NonPrimary{ID: "another"})
	if noted.round() == r.round() || noted.Nodes["a"].Token == r.Nodes["a"].Token {
		t.Errorf("after another note: round %s, token %q", noted.round(), noted.Nodes["a"].Token)
	}
	rests := r.clone()
	b := rests.Nodes["b"]
	b.Token = "of another stop"
	rests.Nodes["b"] = b
	if rests.round() == r.round() {
		t.Error("the round is the same after another stop")
	}
}

// A node that is to begin has a view only if its server runs on: another one does not follow it before.
func TestFollowsServerThatRuns(t *testing.T) {
	t.Parallel()
	n := at(Bootstrapping, 1)
	n.Member, n.Generation = memberID("a"), 3
	r := nodes(map[string]Node{"a": n})
	if got := r.newestIn([]string{memberID("a")}); got != 0 {
		t.Errorf("got generation %d, want none", got)
	}
}

// A view that is being written says nothing.
func TestLastPrimaryIsWhole(t *testing.T) {
	t.Parallel()
	d := dataDir{path: t.TempDir()}
	whole := gvwstate(3, 5, 1)
	writeFile(t, d.join(gvwstateName), whole)
	if _, _, v, err := d.lastPrimary(); err != nil || v == nil {
		t.Fatalf("got %v, %v", v, err)
	}
	writeFile(t, d.join(gvwstateName), strings.Replace(whole, "#vwend", "", 1))
	if _, _, v, err := d.lastPrimary(); err == nil {
		t.Errorf("got %v", v)
	}
}

// A node whose own last view may come back starts beside servers that have lost theirs, and another one
// does when one of those that listen may still have its component.
func TestJoinsBesideLost(t *testing.T) {
	t.Parallel()
	own := at(Offered, 5)
	own.Generation = 1
	lost, runs := lostNode("b", 5, 3, "ab"), at(Synced, 5)
	lost.Address, runs.Address = "10.0.0.2", "10.0.0.3"
	for name, test := range map[string]struct {
		view      int
		listening []string
		want      action
	}{
		"with a view":             {2, []string{"10.0.0.2:4567"}, join},
		"without":                 {0, []string{"10.0.0.2:4567"}, wait},
		"beside one that has not": {0, []string{"10.0.0.3:4567", "10.0.0.2:4567"}, join},
		"and in the other order":  {0, []string{"10.0.0.2:4567", "10.0.0.3:4567"}, join},
	} {
		r := nodes(map[string]Node{"a": own, "b": lost, "c": runs})
		r.UUID, r.Generation = oneUUID, 1
		if d, ok := joined(situation{record: r, self: "a", view: test.view, listening: test.listening}); !ok || d.action != test.want {
			t.Errorf("%s: got %s, %s", name, d.action, d.reason)
		}
	}
}

// A claim raises the generation, keeps what the server is called, and leaves no fork: the others go on in
// the same history, without a start.
func TestClaim(t *testing.T) {
	t.Parallel()
	r := nodes(map[string]Node{"a": lostNode("a", 5, 3, "ab"), "b": lostNode("b", 4, 3, "ab")})
	r.UUID, r.Generation, r.Elections = oneUUID, 2, []Fork{{2, 1}}
	c := healing{record: r, self: "a"}.claim()
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	a := c.Nodes["a"]
	if a.Starts != r.Nodes["a"].Starts {
		t.Errorf("got %d starts", a.Starts)
	}
	if a.State != Bootstrapping || a.Generation != 3 || a.NonPrimary != nil || a.Seqno != 5 || a.Member != memberID("a") {
		t.Errorf("got %+v", a)
	}
	if diff := cmp.Diff(r.Elections, c.Elections); diff != "" || c.Generation != 3 {
		t.Errorf("got generation %d, elections: %s", c.Generation, diff)
	}
	if diff := cmp.Diff(r.Nodes["b"], c.Nodes["b"]); diff != "" {
		t.Errorf("the entry of another node was changed: %s", diff)
	}
	// The other one that joins it is of the same generation, whether or not the first one is Synced in the record.
	c = c.synced("b", oneUUID, memberID("b"), []string{memberID("a"), memberID("b")}, 2, stamp{})
	if b := c.Nodes["b"]; b.Generation != 3 || b.NonPrimary != nil {
		t.Errorf("got %+v", b)
	}
	// A node that is at rest is not in the last view any more.
	rest := r.resting("b", Offered, local{data: Full, position: Position{oneUUID, 4}}, stamp{})
	if b := rest.Nodes["b"]; b.NonPrimary != nil || b.Member != memberID("b") {
		t.Errorf("got %+v", b)
	}
}

// Each field of a note in the record is checked.
func TestCheckNonPrimary(t *testing.T) {
	t.Parallel()
	for field, spoil := range map[string]func(*Node){
		"nonPrimary":         func(n *Node) { n.State = Stopped },
		"nonPrimary.id":      func(n *Node) { n.NonPrimary.ID = "" },
		"nonPrimary.uuid":    func(n *Node) { n.NonPrimary.UUID = "x" },
		"nonPrimary.seqno":   func(n *Node) { n.NonPrimary.Seqno = -2 },
		"nonPrimary.members": func(n *Node) { n.NonPrimary.Members = append(n.NonPrimary.Members, "x") },
		"nonPrimary.view":    func(n *Node) { n.NonPrimary.View.Seqno = -1 },
		"nonPrimary.me":      func(n *Node) { n.NonPrimary.Me = memberID("f") },
		"nonPrimary.agrees":  func(n *Node) { n.NonPrimary.Agrees = "\x00" },
	} {
		n := lostNode("a", 5, 3, "abc")
		spoil(&n)
		want := fmt.Sprintf("field %q: ", field)
		if err := n.check(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v", field, err)
		}
	}
	many := lostNode("a", 5, 3, "a")
	for len(many.NonPrimary.Members) <= maxHealed {
		many.NonPrimary.Members = append(many.NonPrimary.Members, memberID("a"))
	}
	if err := many.check(); err == nil {
		t.Error("too many members are taken")
	}
}

func TestEvicts(t *testing.T) {
	t.Parallel()
	for options, want := range map[string]bool{"": false, "evs.auto_evict=0": false, "evs.auto_evict = 5; gcache.size=1M": true} {
		if got := evicts(options); got != want {
			t.Errorf("%q: got %v, want %v", options, got, want)
		}
	}
}

func TestSuspectTimeout(t *testing.T) {
	t.Parallel()
	for options, want := range map[string]time.Duration{
		"": 5 * time.Second, "gcache.size=1M; evs.suspect_timeout = PT10S": 10 * time.Second, "evs.suspect_timeout=PT1.5S": 1500 * time.Millisecond,
		"evs.suspect_timeout=PT1M30S": 90 * time.Second, "evs.suspect_timeout=7": 7 * time.Second, "evs.suspect_timeout=P1D": 30 * time.Second,
	} {
		if got := suspectTimeout(options); got != want {
			t.Errorf("%q: got %v, want %v", options, got, want)
		}
	}
}
