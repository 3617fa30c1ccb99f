package galera

import (
	"slices"
	"strings"
	"time"
)

// A theme is what may happen in a game. Not all of it may happen in the same one: see themeOf.
type theme uint

const (
	outages    theme = 1 << iota // of the API server, for a node
	partitions                   // of the network between servers
	hangs                        // of servers
	volumes                      // are lost
	older                        // a volume is put back to an older state, alone or with others
	decisions                    // of operators, as far as the record permits them
	forcing                      // decisions against the record
	renames                      // of nodes
	addresses                    // new ones, and such that another node had
	strangers                    // listen at addresses of the option file
	early                        // servers end before they have written anything
	monitors                     // die, and are started again
	unsound                      // --wsrep-recover fails
	leavers                      // nodes never return
	adopted                      // the cluster is older than its record
	twins                        // two pods of one node
	restores                     // of the record
	deletions                    // of the record
	edits                        // of the record
	themes     = iota
)

var themeNames = []string{
	"outages", "partitions", "hangs", "lost volumes", "older volumes", "decisions", "force", "renames", "addresses", "strangers", "early ends",
	"monitors", "unsound", "leavers", "adopted", "second pods", "restored records", "deleted records", "edited records",
}

func (t theme) String() string {
	var names []string
	for i, name := range themeNames {
		if t.has(1 << i) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// themeNamed is the theme with these names, separated by commas.
func themeNamed(names string) (t theme) {
	for name := range strings.SplitSeq(names, ", ") {
		i := slices.Index(themeNames, name)
		if i < 0 {
			panic("there is no theme " + name)
		}
		t |= 1 << i
	}
	return t
}

func (t theme) has(all theme) bool { return t&all == all }

// themeOf chooses what may happen in a game.
func themeOf(w *model) (t theme) {
	const rare = volumes | twins | edits | adopted | leavers | strangers
	for i := range themes {
		oneIn := 3
		if rare.has(1 << i) {
			oneIn = 8
		}
		if w.random.IntN(oneIn) == 0 {
			t |= 1 << i
		}
	}
	const unreachable = outages | partitions | hangs
	if t.has(twins) { // the other pod has to be seen
		t &^= unreachable | forcing | renames | addresses | older | adopted
	}
	if t&(restores|edits|deletions) != 0 { // what runs against the record has to be seen
		t &^= unreachable | forcing | leavers | strangers
	}
	if t.has(restores) { // without the volumes, nothing remembers the later record
		t &^= volumes | older | twins
	}
	if t.has(adopted) { // a node with an empty volume founds a new cluster, when all others are down
		t &^= volumes
	}
	if t.has(renames) { // an entry of the old name has the data of a volume that is lost under the new one
		t &^= volumes | older | leavers | twins
	}
	return t
}

// The names under which operators decide.
const (
	carefulOperator = "a careful operator"
	forcingOperator = "an operator with force"
)

// An action is what may happen next, to a node. It says whether it could. Arg makes a choice inside of it.
type modelAction struct {
	name   string
	weight int
	needs  theme
	do     func(w *model, n *modelNode, arg int) bool
}

// modelActions are all. A schedule has their indices: a new one goes to the end.
var modelActions = []modelAction{
	{"kconfd goes on until it waits", 160, 0, func(w *model, n *modelNode, _ int) bool {
		p := w.kconfd(n)
		p.round()
		return p != nil
	}},
	{"kconfd takes one step", 160, 0, func(w *model, n *modelNode, _ int) bool {
		p := w.kconfd(n)
		p.step()
		return p != nil
	}},
	{"the monitor goes on until it waits", 100, 0, func(_ *model, n *modelNode, _ int) bool {
		n.monitor.round()
		return n.monitor.alive()
	}},
	{"the monitor takes one step", 60, 0, func(_ *model, n *modelNode, _ int) bool { return n.monitor.step() }},
	{"the server goes on", 400, 0, func(_ *model, n *modelNode, arg int) bool { return n.serve(arg) }},
	{"a client writes", 400, 0, func(_ *model, n *modelNode, _ int) bool { return n.write() }},
	{"time passes", 25, 0, func(w *model, _ *modelNode, arg int) bool {
		w.pass([]time.Duration{3 * time.Second, 15 * time.Second, 40 * time.Second, 2 * time.Minute}[arg%4])
		return true
	}},

	// Ends.
	{"the pod is killed", 6, 0, func(_ *model, n *modelNode, _ int) bool { return n.killPod() }},
	{"the server is killed", 12, 0, func(_ *model, n *modelNode, _ int) bool { return n.killServer() }},
	{"kconfd is killed", 4, 0, func(_ *model, n *modelNode, _ int) bool { return n.killKconfd() }},
	{"the server is stopped", 12, 0, func(_ *model, n *modelNode, _ int) bool { return n.stop() }},
	{"all pods are killed", 2, 0, func(w *model, _ *modelNode, _ int) bool { return w.powerCut() }},
	{"all servers are stopped", 3, 0, func(w *model, _ *modelNode, _ int) bool { return w.each((*modelNode).stop) }},

	// Writes of the record.
	{"the next write does not reach the API server", 6, 0, func(_ *model, n *modelNode, _ int) bool { return n.next(lost) }},
	{"the answer to the next write is lost", 8, 0, func(_ *model, n *modelNode, _ int) bool { return n.next(answerLost) }},
	{"the next write is late", 8, 0, func(_ *model, n *modelNode, _ int) bool { return n.next(delayed) }},
	{"a late write is carried out", 300, 0, func(w *model, _ *modelNode, arg int) bool { return w.carryOutLate(arg) }},

	// What does not answer.
	{"the API server goes away, or is back, for the node", 25, outages, func(w *model, n *modelNode, _ int) bool {
		if w.forced || !n.away && n.trustsOlder() {
			return false
		}
		n.away = !n.away
		return true
	}},
	{"the network between the servers changes", 15, partitions, func(w *model, n *modelNode, arg int) bool { return w.cut(n, arg) }},
	{"the server hangs, or goes on", 12, hangs, func(w *model, n *modelNode, _ int) bool { return w.hang(n) }},
	{"the network is whole again", 10, partitions, func(w *model, _ *modelNode, _ int) bool { return w.mend() }},

	// Volumes.
	{"the volume is lost", 6, volumes, func(_ *model, n *modelNode, _ int) bool { return n.lose() }},
	{"a snapshot of all volumes is made", 4, older, func(w *model, _ *modelNode, _ int) bool { return w.snapshot() }},
	{"the volume is put back to a snapshot", 4, older, func(w *model, n *modelNode, arg int) bool { return w.putBack([]*modelNode{n}, arg) }},
	{"all volumes are put back to a snapshot", 2, older, func(w *model, _ *modelNode, arg int) bool { return w.putBack(w.nodes, arg) }},
	{"the volume loses its position", 4, older, func(_ *model, n *modelNode, _ int) bool { return n.losePosition() }},

	// Operators.
	{"an operator decides", 15, decisions, func(w *model, n *modelNode, _ int) bool { return w.decide(n, carefulOperator) }},
	{"an operator decides with force", 12, forcing, func(w *model, n *modelNode, _ int) bool { return w.decide(n, forcingOperator) }},

	// Nodes.
	{"the node gets another name", 60, renames, func(_ *model, n *modelNode, _ int) bool { return n.rename() }},
	{"the node gets another address", 20, addresses, func(w *model, n *modelNode, arg int) bool { return w.move(n, arg) }},
	{"a stranger listens, or ends", 5, strangers, func(w *model, n *modelNode, arg int) bool { return w.stranger(n, arg) }},
	{"the next server ends early", 10, early, func(_ *model, n *modelNode, _ int) bool {
		n.early = !n.early
		return true
	}},
	{"the monitor dies", 15, monitors, func(_ *model, n *modelNode, _ int) bool {
		alive := n.monitor.alive()
		n.monitor.end()
		return alive
	}},
	{"the monitor is started again", 15, monitors | adopted, nil}, // see init
	{"the position cannot be told, or can again", 8, unsound, func(_ *model, n *modelNode, _ int) bool {
		n.unsound = !n.unsound
		return true
	}},
	{"the node never returns", 2, leavers, func(w *model, n *modelNode, _ int) bool { return w.leaves(n) }},
	{"the node has a second pod", 6, twins, func(w *model, n *modelNode, _ int) bool { return w.second(n) }},

	// The record.
	{"the record is put back", 4, restores, func(w *model, _ *modelNode, arg int) bool { return w.restore(arg) }},
	{"the record is deleted", 80, deletions, func(w *model, _ *modelNode, arg int) bool { return w.deleteRecord(arg) }},
	{"the volume is one of another cluster", 3, volumes, func(_ *model, n *modelNode, arg int) bool { return n.foreignVolume(arg) }},
	{"the record is edited", 4, edits, func(w *model, n *modelNode, arg int) bool { return w.edit(n, arg) }},

	// A lost majority.
	{"all monitors go on, and some seconds pass", 60, partitions, func(w *model, _ *modelNode, _ int) bool { return w.heal() }},
	{"the last view is sent", 60, partitions, func(_ *model, n *modelNode, _ int) bool { return n.send() }},
	{"a view is installed", 120, partitions, func(_ *model, n *modelNode, arg int) bool { return n.install(arg) }},
	{"a view comes back without one member", 10, partitions, func(_ *model, n *modelNode, arg int) bool { return n.leftOut(arg) }},
	{"a transfer that the server gave ends while it has no component", 20, partitions, func(_ *model, n *modelNode, _ int) bool { return n.endUnsaid() }},
}

func init() {
	i := slices.IndexFunc(modelActions, func(a modelAction) bool { return a.do == nil })
	modelActions[i].do = func(_ *model, n *modelNode, _ int) bool {
		missing := n.server != nil && !n.monitor.alive()
		n.runsMonitor()
		return missing
	}
	modelActions[i].needs = 0
}

// kconfd is what kconfd does about a node without a server.
func (w *model) kconfd(n *modelNode) *modelProcess {
	switch {
	case n.kconfd.alive():
	case n.server != nil, n.gone, n.ousted:
		return nil
	case n.ended:
		n.ended = false
		n.kconfd = n.spawn("the note of the stop", n.runStopped)
	default:
		n.kconfd = n.spawn("the start", n.runStart)
	}
	return n.kconfd
}

// runsMonitor is the monitor, started if there is none beside the server.
func (n *modelNode) runsMonitor() *modelProcess {
	if n.server != nil && !n.monitor.alive() {
		n.monitor = n.spawn("the monitor", n.runMonitor)
	}
	return n.monitor
}

// each does something with all nodes, and says whether it could with one.
func (w *model) each(do func(*modelNode) bool) (could bool) {
	for _, n := range slices.Clone(w.nodes) {
		could = do(n) || could
	}
	return could
}

// killPod ends all of a node at once. Nothing notes that the server has ended.
func (n *modelNode) killPod() bool {
	if n.server == nil && !n.kconfd.alive() && !n.monitor.alive() {
		return false
	}
	n.endServer(false)
	n.kconfd.end()
	n.monitor.end()
	n.ended, n.decided = false, false
	return true
}

// powerCut ends all nodes at the same moment: what one has received and not made durable, none makes durable.
func (w *model) powerCut() (could bool) {
	for _, n := range w.nodes {
		if n.server != nil {
			n.server.pending, n.server.primary = nil, false
		}
	}
	return w.each((*modelNode).killPod)
}

func (n *modelNode) killServer() bool {
	if n.server == nil {
		return false
	}
	n.endServer(false)
	return true
}

// killKconfd ends kconfd and what it runs, but for the server, which the next kconfd adopts.
func (n *modelNode) killKconfd() bool {
	if !n.kconfd.alive() && !n.monitor.alive() {
		return false
	}
	n.kconfd.end()
	n.monitor.end()
	if n.server == nil {
		n.decided = false
	}
	return true
}

// stop ends a server in good order, if it can. One without a primary component is killed.
func (n *modelNode) stop() bool {
	if n.server == nil {
		return false
	}
	n.endServer(true)
	return true
}

// next says what comes of the next write of the record by the node.
func (n *modelNode) next(o outcome) bool {
	same := n.outcome == o
	n.outcome = o
	return !same
}

func (w *model) carryOutLate(arg int) bool {
	if len(w.late) == 0 {
		return false
	}
	i := arg % len(w.late)
	late := w.late[i]
	w.late = slices.Delete(w.late, i, i+1)
	if late.carryOut() == nil {
		w.count["late write carried out"]++
	}
	return true
}

func (w *model) cut(n *modelNode, arg int) bool {
	if w.forced || n.segment == arg%3 {
		return false
	}
	n.segment = arg % 3
	w.regroup()
	return true
}

func (w *model) mend() bool {
	broken := false
	for _, n := range w.nodes {
		broken, n.segment = broken || n.segment != 0, 0
	}
	return broken
}

func (w *model) hang(n *modelNode) bool {
	s := n.server
	if s == nil || w.forced {
		return false
	}
	if s.paused {
		n.goOn()
		return true
	}
	s.said, s.paused = s.state(), true
	if s.primary {
		s.primary = false // it can write nothing any more
		if s.transfer > 0 {
			n.server, n.ended = nil, true
		}
		w.regroup()
	}
	return true
}

// goOn lets a server go on that hung. It has received what it has.
func (n *modelNode) goOn() {
	if s := n.server; s != nil && s.paused {
		s.paused = false
		n.flush()
	}
}
