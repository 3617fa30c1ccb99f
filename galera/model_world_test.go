package galera

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A model is a whole world: an API server with the record, a network, and nodes. One step follows the
// other, so that a game is what its choices say and nothing else.
type model struct {
	seed   uint64
	random *rand.Rand // makes the choices; all that happens goes by those
	theme  theme
	nodes  []*modelNode

	current *modelProcess // that does what happens now

	// The API server.
	record  *Record
	version int
	past    []*Record // earlier versions

	generation, forks int // the most that the record ever had

	late []lateWrite

	installs []*modelInstall // views on their way

	// What is true of the cluster.
	cluster   modelVolume // what the newest primary component has, or the node of the last forced decision
	acked     []int       // rows that a client was told are written
	owed      []int       // of those, the ones that a record that was put back passed over: an operator decides about them
	rows      int         // written so far
	views     int
	servers   int
	forced    bool // a decision was forced
	rewritten bool // the record was edited
	restored  bool // the record was put back to an older state
	strangers []string
	snapshots [][]modelVolume

	calm  bool // nothing goes wrong any more
	fault string
	kind  string // of the fault
	quiet bool   // the story is not written down
	story []string
	count map[string]int
}

// A modelNode is a name, a place and a volume, with the processes that are there.
type modelNode struct {
	w     *model
	name  string // wsrep_node_name
	names []string
	index int
	pod   int
	addr  string
	modelVolume

	away     bool    // the API server, for this node
	segment  int     // of the network; servers of one segment reach each other
	outcome  outcome // of the next write of the record
	unsound  bool    // --wsrep-recover fails
	gone     bool    // it never returns
	ousted   bool    // the pod whose place this one takes is still there
	replaced bool    // the volume was lost, or put back to an older state

	kconfd  *modelProcess // a start, or what follows the end of a server
	monitor *modelProcess
	server  *modelServer
	start   *Start
	early   bool // the next server ends before it has written anything
	ended   bool // the server has, and the record may be told
	decided bool // a start is behind its last write and before its server listens
}

// A modelVolume is a data directory.
type modelVolume struct {
	uuid       string
	rows       []int // durable ones, in order; their number is the position
	tables     bool
	partial    bool // grastate.dat has no UUID
	marker     bool
	safe       bool
	view       modelView // gvwstate.dat
	generation int       // kconfd-generation
	memo       memory    // kconfd-record

	// unnoted says that a node was elected by a record without this node, while its server ran.
	unnoted bool

	// history is, as it is true, the generation of the record at which the history began that the
	// rows are of.
	history int
}

// copy is the volume as it is now.
func (v *modelVolume) copy() modelVolume {
	c := *v
	c.rows = slices.Clip(c.rows)
	return c
}

// A modelView is a primary component, as one of its members knows it.
type modelView struct {
	number  int // higher than that of any view before
	me      string
	members []string // identities of servers
}

// A lateWrite is one without an answer that the API server carries out some time.
type lateWrite struct {
	by, what string
	carryOut func() error
}

// newModel is a world of three or five nodes, without a record and without data.
func newModel(seed uint64) *model {
	w := &model{
		seed: seed, random: rand.New(rand.NewPCG(seed, 1)), count: map[string]int{}, quiet: true,
	}
	size := 3
	if seed%4 == 3 {
		size = 5
	}
	for i, name := range []string{"a", "b", "c", "d", "e"}[:size] {
		w.nodes = append(w.nodes, &modelNode{w: w, name: name, names: []string{name}, index: i, addr: fmt.Sprintf("10.0.0.%d", i+1)})
	}
	return w
}

// close ends all processes.
func (w *model) close() {
	for _, n := range w.nodes {
		n.kconfd.end()
		n.monitor.end()
	}
}

// fail notes the first fault. What comes after it in the same step proves nothing.
func (w *model) fail(format string, args ...any) {
	if w.fault == "" {
		w.kind = format
		w.fault = fmt.Sprintf(format, args...)
		w.tell("FAULT: %s", w.fault)
	}
}

func (w *model) tell(format string, args ...any) {
	if !w.quiet {
		w.story = append(w.story, fmt.Sprintf(format, args...))
	}
}

// node is the one of that name.
func (w *model) node(name string) *modelNode {
	return w.nodes[slices.IndexFunc(w.nodes, func(n *modelNode) bool { return n.name == name })]
}

// everNamed are the nodes that have, or had, a name.
func (w *model) everNamed(name string) (all []*modelNode) {
	for _, n := range w.nodes {
		if slices.Contains(n.names, name) {
			all = append(all, n)
		}
	}
	return all
}

// any says whether one of the nodes is so.
func (w *model) any(so func(*modelNode) bool) bool { return slices.ContainsFunc(w.nodes, so) }

func (n *modelNode) podName() string { return fmt.Sprintf("%s-%d-%d", n.name, n.index, n.pod) }

func (n *modelNode) settings() Settings {
	// The status file is asked of the model, see modelNode.status.
	return Settings{Cluster: "test", Node: n.name, Address: n.addr, StatusFile: "wsrep.json"}
}

// pass lets time go by.
func (w *model) pass(d time.Duration) {
	time.Sleep(d)
	w.expire()
}

// String shows a node on one line.
func (n *modelNode) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s at %s: %s", n.name, n.addr, n.modelVolume)
	if s := n.server; s != nil {
		fmt.Fprintf(&text, ", server %s: open %v, primary %v, view %d of %v, transfer %d, paused %v", s.id, s.open, s.primary, s.view.number, s.view.members, s.transfer, s.paused)
	}
	for what, is := range map[string]bool{"API server away": n.away, "gone": n.gone} {
		if is {
			text.WriteString(", " + what)
		}
	}
	if n.kconfd != nil {
		fmt.Fprintf(&text, ", %s is at %q", n.kconfd.kind, n.kconfd.at)
	}
	return text.String()
}

// String shows a volume in some words.
func (v modelVolume) String() string {
	switch {
	case v.partial:
		return "partial"
	case v.tables && v.uuid == "":
		return "fresh"
	case v.tables:
		return fmt.Sprintf("%d rows of generation %d, noted %d", len(v.rows), v.history, v.generation)
	}
	return "no data"
}
