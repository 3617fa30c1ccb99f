package galera

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Each of these is in the list of docs/design/galera.md of what the election does not protect from, and no
// game has it, or it is exempt there. The test shows the harm, so that the list stays true: where one of them fails
// because the harm is gone, the list gets shorter.
func TestNotProtected(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		play func(w *model, a, b, c *modelNode)
		harm string
	}{
		"two data directories with the name of one node, of which one is cut off": {
			harm: "becomes the first while a has a primary component",
			play: func(w *model, a, _, _ *modelNode) {
				w.bring(a)
				a.away, a.segment = true, 1
				w.second(a)
				other := w.nodes[len(w.nodes)-1]
				other.modelVolume = a.copy()
				w.bring(other)
			},
		},
		"a record that is edited to say less than a node has": {
			harm: "without row 1",
			play: func(w *model, a, b, c *modelNode) {
				w.crash(c, a, b, c)
				edited := w.record.clone()
				entry := edited.Nodes["c"]
				entry.State, entry.Data, entry.Position = Stopped, Full, Position{c.uuid, 0}
				edited.Nodes["c"] = entry
				w.store(edited)
				w.bring(a, b)
			},
		},
		"a record that is deleted while all nodes with data are down": {
			harm: "founds anew",
			play: func(w *model, a, b, c *modelNode) {
				w.crash(a, a, b)
				w.store(nil)
				w.bring(c)
			},
		},
		"a record that is put back to before an election, by which a node joins": {
			harm: "the record says that c is of generation 1, and its history began with 2",
			play: func(w *model, a, _, c *modelNode) {
				w.bring(a)
				record := w.record
				w.powerCut()
				w.bring(a)
				w.store(record)
				w.bring(c)
			},
		},
		"a record that is put back together with the volumes": {
			harm: "without row 1",
			play: func(w *model, a, b, c *modelNode) {
				w.bring(a, b, c)
				w.powerCut()
				w.bring(a, b, c)
				w.powerCut()
				w.snapshot()
				record := w.record
				w.bring(a, b, c)
				a.write()
				w.putBack(w.nodes, 0)
				w.store(record)
				w.bring(a, b, c)
			},
		},
		"all volumes are put back, and the API server is away": {
			harm: "a view comes back with 0 rows and without row 1",
			play: func(w *model, a, b, c *modelNode) {
				w.bring(a, b, c)
				w.snapshot()
				w.powerCut()
				w.bring(a, b, c)
				a.write()
				w.powerCut()
				w.putBack(w.nodes, 0)
				a.away, b.away, c.away = true, true, true
				w.bring(a, b, c)
			},
		},
		"a record that is put back, and an election by it before a later node has seen it": {
			harm: "without row 1",
			play: func(w *model, a, b, c *modelNode) {
				w.bring(a, b)
				w.powerCut()
				w.kconfd(a).round()
				w.kconfd(b).round()
				record := w.record
				w.bring(a)
				a.write()
				a.killPod()
				w.store(record)
				w.bring(b)
			},
		},
		"a record that is put back to before a founder gave its role back": {
			harm: "the cluster is not whole",
			play: func(w *model, a, b, _ *modelNode) {
				w.kconfd(a).round()
				w.kconfd(b).round()
				record := w.record
				a.early = true // its first boot fails, and b takes the role
				for range 10 {
					w.kconfd(a).round()
					for range 5 {
						if !b.tables {
							w.kconfd(b).step()
						}
					}
					w.pass(time.Second)
				}
				w.store(record)
				w.settle()
			},
		},
		"a record that is put back to before a founder gave its role back, and the next one has served": {
			harm: "a founds anew, and 1 rows were acknowledged before",
			play: func(w *model, a, b, _ *modelNode) {
				w.kconfd(a).round()
				record := w.record
				a.early = true // its first boot fails
				w.kconfd(a).round()
				w.kconfd(a).round()
				w.bring(b)
				b.write()
				b.stop()
				w.store(record)
				w.bring(a)
			},
		},
		"an empty node beside data that are older than the record": {
			harm: "founds anew",
			play: func(w *model, _, _, c *modelNode) {
				w.preexist()
				c.write()
				w.each((*modelNode).killPod)
				c.lose()
				w.bring(c)
			},
		},
		"a server that no monitor noted, beside an election by the record of an older cluster": {
			harm: "b is refused, and its 1 rows are the first of the cluster's 1",
			play: func(w *model, a, b, c *modelNode) {
				w.preexist()
				b.segment = 1
				w.regroup()
				c.stop()
				w.bring(a) // its view has no other member
				a.stop()
				w.bring(a)
				a.write()
				b.segment = 0
				b.serve(0)
				b.flush()
				w.powerCut() // before a monitor of b was started
				w.bring(a, b)
			},
		},
		"a server that is started past kconfd": {
			harm: "becomes the first while",
			play: func(w *model, a, b, _ *modelNode) {
				w.bring(a, b)
				b.stop()
				b.launch("arg --wsrep-new-cluster\narg --wsrep-start-position="+Position{b.uuid, 0}.String()+"\n", decision{record: w.record})
				b.serve(0)
			},
		},
		"acknowledged rows that no disk has": {
			harm: "without row 1",
			play: func(w *model, a, b, c *modelNode) {
				w.crash(a, a, b, c)
				a.rows = a.rows[:0] // as with innodb_flush_log_at_trx_commit = 0
				w.bring(a, b, c)
			},
		},
		"a row that only a lost member has on its disk, when the others crash as they go on without it": {
			harm: "a view comes back with 0 rows and without row 1",
			play: func(w *model, a, b, c *modelNode) {
				w.bring(a, b, c)
				c.write()
				a.server.pending, b.server.pending = nil, nil // received, and not yet on their disks
				c.killPod()
				w.powerCut()
				a.away, b.away = true, true // otherwise they wait for c, by the record
				w.bring(a, b)
			},
		},
		"an overruled node that returns while the API server is away": {
			harm: "a joins b by number, and has other rows",
			play: func(w *model, a, b, c *modelNode) {
				w.crash(a, a, b, c)
				w.bring(b, c)
				w.decide(b, forcingOperator)
				w.bring(b, c)
				b.write()
				a.away = true
				w.bring(a)
			},
		},
		"a decision with force while an overruled start is on the way to its server": {
			harm: "a becomes the first while b has a primary component",
			play: func(w *model, a, b, c *modelNode) {
				w.crash(a, a, b, c)
				w.bring(b, c)
				for w.kconfd(a).at != "the server's start" {
					w.kconfd(a).step()
					w.pass(time.Second)
				}
				r, _, err := w.record.decree("b", forcingOperator, true, time.Now())
				if err != nil {
					t.Error(err)
					return
				}
				w.store(r)
				w.bring(b)
				w.bring(a)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newModel(0)
				w.quiet = false
				defer w.close()
				c.play(w, w.nodes[0], w.nodes[1], w.nodes[2])
				if w.check(); !strings.Contains(w.fault, c.harm) {
					t.Errorf("got %q, want %q:\n%s", w.fault, c.harm, strings.Join(w.story, "\n"))
				}
			})
		})
	}
}

// bring starts nodes and waits until they are Synced, or as long as that can take.
func (w *model) bring(nodes ...*modelNode) {
	for range 30 {
		for _, n := range nodes {
			w.kconfd(n).round()
			n.serve(0)
			n.serve(0)
			n.runsMonitor().round()
		}
		if w.fault != "" || !slices.ContainsFunc(nodes, func(n *modelNode) bool {
			return w.entry(n.name).State != Synced || n.server == nil || !n.server.primary
		}) {
			return
		}
		w.pass(5 * time.Second)
	}
}

// crash brings nodes, and kills them all at the moment in which only one of them has the first row.
func (w *model) crash(with *modelNode, nodes ...*modelNode) {
	w.bring(nodes...)
	with.write()
	w.powerCut()
}
