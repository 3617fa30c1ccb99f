package galera

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// joinUnnoted starts a node that is at rest, and lets it become Synced while it cannot reach the API
// server; or it does not reach the other servers either.
func (w *model) joinUnnoted(n *modelNode, alone bool) {
	for range 30 {
		if n.server == nil {
			w.kconfd(n).round()
			w.pass(time.Second)
		}
	}
	n.away = true
	if alone {
		n.segment = 2
	}
	for range 5 {
		n.serve(0)
		n.monitor.round()
	}
}

// watchAll lets all monitors go on for that long.
func (w *model) watchAll(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); w.pass(watchEvery) {
		for _, n := range w.nodes {
			n.monitor.round()
		}
	}
}

// A node that became Synced while the API server was away takes part when the majority is lost. One that
// has had no primary component since its start may still get one, and nothing is restored beside it.
func TestHealBesideJoining(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		node   int // that is joining in the record
		alone  bool
		healed int
	}{
		"it leads":                        {node: 0, healed: 1},
		"another node leads":              {node: 2, healed: 1},
		"it has had no primary component": {node: 2, alone: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newModel(0)
				w.quiet = false
				defer w.close()
				n := w.nodes[c.node]
				w.bring(w.nodes...)
				n.stop()
				w.kconfd(n).round()
				w.joinUnnoted(n, c.alone)
				if got := w.entry(n.name).State; got != Joining || n.server == nil || n.server.primary == c.alone {
					t.Fatalf("the node is %s, %v", got, n)
				}
				for i, m := range w.nodes {
					m.segment = i
				}
				w.regroup()
				n.away = false
				w.watchAll(45 * time.Second)
				if got := w.count["healed"]; got != c.healed || w.count["given up"] > 0 || w.fault != "" {
					t.Errorf("restored %d times, %d servers killed, %s:\n%s", got, w.count["given up"], w.fault, strings.Join(w.story, "\n"))
				}
				if c.healed == 0 {
					return
				}
				w.mend()
				w.settle()
				if w.fault != "" || w.count["given up"] > 0 {
					t.Errorf("%s:\n%s", w.fault, strings.Join(w.story, "\n"))
				}
			})
		})
	}
}

// A record that says that a server does not run, which has lost its primary component, is corrected by
// its monitor. Otherwise the others are elected beside a row that only this node has.
func TestRestateBeforeElection(t *testing.T) {
	t.Parallel()
	for name, older := range map[string]func(*Record) *Record{
		"the node is at rest": func(r *Record) *Record { return r },
		"the node is missing": func(r *Record) *Record {
			r = r.clone()
			delete(r.Nodes, "c")
			return r
		},
		"it is deleted": func(*Record) *Record { return nil },
	} {
		for _, restarted := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newModel(0)
					w.quiet = false
					defer w.close()
					a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
					w.bring(a, b, c)
					c.stop()
					w.kconfd(c).round()
					before := w.record
					w.bring(c)
					c.write()
					a.server.pending, b.server.pending = nil, nil // received, and not yet on their disks
					a.killPod()
					b.killPod()
					w.store(older(before))
					if restarted { // then only the data directory remembers the record
						c.monitor.end()
						c.runsMonitor()
					}
					w.watchAll(2 * askEvery)
					if own := w.entry("c"); own.State == "" || !own.State.mayRun() || own.Pod != c.podName() || own.Generation != 1 {
						t.Errorf("the record says of the node: %+v", own)
					}
					c.killPod()
					w.bring(a, b)
					if w.fault != "" || w.count["elected"] > 0 {
						t.Errorf("%s:\n%s", w.fault, strings.Join(w.story, "\n"))
					}
					if err := w.record.check(); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// What the monitor of a server without a primary component writes again, and what it leaves.
func TestRestate(t *testing.T) {
	t.Parallel()
	own := Node{State: Synced, Data: Full, Position: Position{oneUUID, 9}, Generation: 3, Starts: 4, Pod: "pod of a", Token: "own"}
	rest := own
	rest.State, rest.Seqno, rest.Starts, rest.Generation = Stopped, 5, 3, 2
	known := nodes(map[string]Node{"a": own, "b": at(Stopped, 7)})
	known.ID, known.UUID, known.Writes, known.Generation = "id", oneUUID, 50, 3
	known.Forks, known.Elections = []Fork{{2, 4}}, []Fork{{3, 6}}
	version := func(change func(*Record)) *Record {
		r := known.clone()
		r.Writes++
		change(r)
		return r
	}
	entry := func(n Node) func(*Record) { return func(r *Record) { r.Nodes["a"] = n } }
	for name, c := range map[string]struct {
		record *Record
		forgot bool // the monitor has read no version before
		want   string
	}{
		"a later version":       {record: version(func(*Record) {}), want: "left"},
		"it is joining":         {record: version(entry(Node{State: Joining, Data: NoData, Pod: "pod of a", Starts: 4})), want: "left"},
		"another pod may run":   {record: version(entry(Node{State: Joining, Data: NoData, Pod: "another", Starts: 4})), want: "left"},
		"it was overruled":      {record: version(func(r *Record) { delete(r.Nodes, "a"); r.Overruled = map[string]int{"a": 3} }), want: "left"},
		"at rest":               {record: version(entry(rest)), want: "joining"},
		"at rest, in a new pod": {record: version(func(r *Record) { n := rest; n.Pod = "another"; r.Nodes["a"] = n }), want: "joining"},
		"missing":               {record: version(func(r *Record) { delete(r.Nodes, "a") }), want: "joining"},
		"deleted":               {want: "synced"},
		"deleted, never read":   {forgot: true, want: "joining"},
		"put back": {record: version(func(r *Record) {
			r.Writes, r.Generation, r.Forks, r.Elections = 20, 2, nil, nil
			r.Nodes["a"] = rest
		}), want: "synced"},
		"put back, and the entry says that it runs": {record: version(func(r *Record) { r.Writes = 20 }), want: "synced"},
		"put back, never read": {record: version(func(r *Record) {
			r.Writes, r.Generation, r.Forks, r.Elections = 20, 2, nil, nil
			r.Nodes["a"] = rest
		}), forgot: true, want: "joining"},
		"another history went on": {record: version(func(r *Record) { r.ID, r.Generation = "another", 4 }), want: "left"},
		"another history went on, and the node is at rest": {record: version(func(r *Record) {
			r.ID, r.Generation, r.Nodes["a"] = "another", 4, rest
		}), want: "joining"},
		"another cluster": {record: version(func(r *Record) { r.UUID = strings.Replace(oneUUID, "1", "2", 1); delete(r.Nodes, "a") }), want: "error"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newModel(0)
			w.calm = true
			n := w.node("a")
			n.uuid, n.rows, n.tables, n.server = oneUUID, []int{1}, true, &modelServer{}
			j := &Joined{
				NodeCommand: NodeCommand{Pod: "pod of a", Log: slog.New(slog.DiscardHandler)}, dir: n, store: n, settings: n.settings(),
				generation: 3, memory: memory{Record: "id", Node: "a", Writes: 49, Starts: 4, Next: 4}, seen: seenRecord{known: known},
			}
			if c.forgot {
				j.seen.known = nil
			}
			w.record = c.record
			old, err := n.get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			err = j.restate(t.Context(), old)
			switch c.want {
			case "error", "left":
				if (err != nil) != (c.want == "error") || w.record != c.record {
					t.Errorf("got %v, and %+v", err, w.record)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			r := w.record
			if got := r.Nodes["a"]; string(got.State) != c.want || got.Generation != 3 && r.Generation != 4 || got.Starts != 4 || got.Pod != "pod of a" || got.Data != Full || j.seen.recorded {
				t.Errorf("got %+v", got)
			}
			if err := r.check(); err != nil {
				t.Error(err)
			}
			if !c.forgot && r.ID == "id" && !r.follows(&Record{General: known.General}) {
				t.Errorf("the record is weaker than before: %s", cmp.Diff(known.General, r.General))
			}
			if older := c.record == nil || c.record.Writes < 49; older && !r.Adopted {
				t.Error("by a record that was put back a node could be elected")
			} else if b := r.Nodes["b"]; older && !c.forgot && !b.State.mayRun() {
				t.Errorf("another node is taken to be at rest: %+v", b)
			}
			// The next look finds nothing to correct, and the start of the node believes the record.
			if old, err = n.get(t.Context()); err != nil || !j.isIntact(old) {
				t.Errorf("it would be written again, %v", err)
			}
			if fault := r.older("a", j.remembers()); fault != "" {
				t.Error(fault)
			}
			// A server that has ended is left to the note of its end.
			n.server, w.record = nil, c.record
			if old, err = n.get(t.Context()); err == nil {
				err = j.restate(t.Context(), old)
			}
			if err != nil || w.record != c.record {
				t.Errorf("of a server that has ended: %v", err)
			}
		})
	}
	if !slices.Equal(known.Names(), []string{"a", "b"}) {
		t.Error("what the monitor knows has changed")
	}
}

// A node that has joined by a record that was put back gets the generation of its history, as soon as the
// record says of another node in its view that it was made the first.
func TestRecheckJoinsNewerHistory(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		member string // of the node that was made the first
		want   int
	}{
		"in one view":         {memberID("b"), 2},
		"in another one":      {memberID("c"), 1},
		"before it has noted": {"", 1},
	} {
		w := newModel(0)
		w.calm = true
		n := w.node("a")
		own := Node{State: Synced, Data: Full, Position: Position{oneUUID, 1}, Generation: 1, Pod: "pod of a", Member: memberID("a")}
		first := Node{State: Synced, Data: Full, Position: Position{oneUUID, 1}, Generation: 2, Member: c.member}
		w.record = nodes(map[string]Node{"a": own, "b": first})
		w.record.UUID, w.record.Generation = oneUUID, 2
		n.uuid, n.rows, n.tables, n.server = oneUUID, []int{1}, true, &modelServer{}
		n.view = modelView{7, memberID("a"), []string{memberID("a"), memberID("b")}}
		j := &Joined{
			NodeCommand: NodeCommand{Pod: "pod of a", Log: slog.New(slog.DiscardHandler)}, dir: n, store: n, settings: n.settings(),
			generation: 1, seen: seenRecord{recorded: true, record: General{Generation: 1}},
		}
		if err := j.recheck(t.Context()); (err == nil) != (c.want == 2) {
			t.Errorf("%s: %v", name, err)
		}
		if got := w.record.Nodes["a"].Generation; got != c.want {
			t.Errorf("%s: got generation %d, want %d", name, got, c.want)
		}
	}
}
