package galera

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A modelServer is a mariadbd with Galera, after its exec.
type modelServer struct {
	id      string // in views; a server that brings back its last view keeps its own
	first   bool   // --wsrep-new-cluster
	began   int    // with first: the record's generation
	open    bool   // it listens for members
	primary bool
	view    modelView // the last primary one, also after it is lost
	member  bool      // it once had a primary component since its start

	transfer  int // moves until the full transfer has ended; 0 when there is none
	donor     *modelServer
	connected bool      // the donor is connected, or was when it ended,
	received  time.Time // and has sent something then
	lingers   bool      // it does not see that the donor is gone, and waits for ever
	unsaid    time.Time // when it could not tell the end of a transfer that it gave: it is no donor any more
	pending   []int     // rows received, and not durable

	isolated bool          // gmcast.isolate
	lock     *modelSession // that leads
	settling bool          // not all members of the view have installed it

	paused   bool
	said     serverState // in the status file when it was paused
	patience int
}

// state is what is in the status file.
func (s *modelServer) state() serverState {
	switch {
	case s.paused:
		return s.said
	case s.transfer > 0:
		return stateJoining
	case s.primary && !s.unsaid.IsZero():
		return stateJoined
	case s.primary:
		return stateSynced
	}
	return stateConnected
}

// launch starts a server with the lines that the start has written.
func (n *modelNode) launch(args string, d decision) {
	w := n.w
	if n.server != nil {
		w.fail("%s has two servers on one volume", n.name)
		return
	}
	if n.early {
		n.early, n.decided = false, false
		n.count("ended early")
		w.tell("  %s: the server ends before it has written anything", n.name)
		n.ended = true
		return
	}
	w.servers++
	s := &modelServer{id: fmt.Sprintf("%08d-0000-4000-8000-%012d", n.index, w.servers), first: strings.Contains(args, "--wsrep-new-cluster")}
	if n.tables && !n.partial && n.uuid != "" && !strings.Contains(args, fmt.Sprintf("--wsrep-start-position=%s:%d\n", n.uuid, len(n.rows))) {
		w.fail("%s starts without its position: %q", n.name, args)
	}
	if n.view.number > 0 && !s.first {
		s.id, s.view = n.view.me, n.view
	}
	if s.first {
		s.began = d.record.Generation
	}
	n.server, n.ended = s, false
	n.monitor.end()
	n.monitor = n.spawn("the monitor", n.runMonitor)
	if w.theme.has(twins) { // the other pod has to see it
		n.serve(0)
	}
}

// members are the servers with a primary component that are at work.
func (w *model) members() (members []*modelNode) {
	for _, n := range w.nodes {
		if n.server != nil && n.server.primary && !n.server.paused {
			members = append(members, n)
		}
	}
	return members
}

// connected says whether two servers take part in one group of members.
func connected(a, b *modelNode) bool {
	return a == b || a.segment == b.segment && !a.server.paused && !b.server.paused && !a.server.isolated && !b.server.isolated
}

// form makes the nodes a primary component.
func (w *model) form(members []*modelNode) {
	w.views++
	var ids []string
	for _, n := range members {
		ids = append(ids, n.server.id)
	}
	for _, n := range members {
		s := n.server
		n.view = modelView{w.views, s.id, ids}
		s.view, s.primary, s.member, s.patience, s.settling = n.view, true, true, 0, false
	}
}

// regroup lets the primary component find out who of it is still there. More than half of its
// members go on as one; otherwise nobody does.
func (w *model) regroup() {
	members := w.members()
	if len(members) == 0 {
		return
	}
	size := len(members[0].server.view.members)
	var rest []*modelNode
	for _, n := range members {
		group := slices.DeleteFunc(slices.Clone(members), func(m *modelNode) bool { return !connected(n, m) })
		if 2*len(group) > size {
			rest = group
			break
		}
	}
	if len(rest) == size {
		return
	}
	lost := slices.DeleteFunc(slices.Clone(members), func(n *modelNode) bool { return slices.Contains(rest, n) })
	for _, n := range lost {
		n.server.primary = false
	}
	for _, n := range lost {
		n.loseComponent()
	}
	if rest = w.loseDonors(rest); len(rest) > 0 {
		// The survivors have received what the lost members acknowledged, and write it to their disks before
		// they go on. That they all crash before that is a fault of its own: see TestNotProtected.
		for _, n := range rest {
			n.flush()
		}
		w.form(rest)
	}
}

// loseDonors ends transfers whose donors are not among the members of a component, and gives the members
// that are left. Servers that only receive are no component.
func (w *model) loseDonors(members []*modelNode) []*modelNode {
	members = slices.DeleteFunc(slices.Clone(members), func(n *modelNode) bool { return n.server == nil })
	receives := func(n *modelNode) bool { return n.server.transfer > 0 }
	alone := !slices.ContainsFunc(members, func(n *modelNode) bool { return !receives(n) })
	var donors []*modelServer
	for _, n := range members {
		donors = append(donors, n.server)
	}
	return slices.DeleteFunc(members, func(n *modelNode) bool {
		gone := receives(n) && !slices.Contains(donors, n.server.donor)
		if gone {
			n.loseDonor(alone)
		}
		return gone
	})
}

// loseComponent leaves a server without a primary component. It has received what it has.
func (n *modelNode) loseComponent() {
	n.server.primary = false
	n.rows, n.server.pending = append(n.rows, n.server.pending...), nil
	if n.server.transfer > 0 {
		n.loseDonor(true)
		return
	}
	n.w.tell("  %s: no primary component any more", n.name)
}

// loseDonor ends a server in the middle of a transfer whose donor is gone, but for one that has no primary
// component any more: nobody tells it, and it may wait.
func (n *modelNode) loseDonor(alone bool) {
	n.server.primary = false
	if alone && n.server.lingers {
		n.count("waits for a donor")
		n.w.tell("  %s: the donor is gone, and the server waits", n.name)
		return
	}
	n.w.tell("  %s: the donor is gone, the server ends", n.name)
	n.server, n.ended = nil, true
}

// endUnsaid leaves a server that is to come back as one that cannot be a donor: see unsaid.
func (n *modelNode) endUnsaid() bool {
	s := n.server
	if s == nil || s.primary || s.paused || !s.member || s.transfer > 0 || !s.unsaid.IsZero() {
		return false
	}
	s.unsaid = time.Now()
	n.count("transfer's end not told")
	return true
}

// endServer ends the server, in good order or not.
func (n *modelNode) endServer(well bool) {
	w, s := n.w, n.server
	if s == nil {
		return
	}
	well = well && s.primary && s.transfer == 0 && !s.paused
	w.tell("  %s: the server ends, in good order %v, with %d rows and %d that are not durable", n.name, well, len(n.rows), len(s.pending))
	if well {
		n.rows = append(n.rows, s.pending...)
		n.view, n.safe = modelView{}, len(w.members()) == 1
	}
	n.server, n.ended, n.decided = nil, true, false
	if !s.primary || s.paused {
		return
	}
	rest := w.members()
	if len(rest) == 0 {
		return
	}
	if well { // a leave makes the component smaller, without a vote
		for _, m := range rest { // see regroup
			m.flush()
		}
		if rest = w.loseDonors(rest); len(rest) == 0 {
			return
		}
		w.form(rest)
	}
	w.regroup()
}

// serve lets a server go on.
func (n *modelNode) serve(arg int) bool {
	s, w := n.server, n.w
	switch {
	case s == nil, s.paused:
		return false
	case !s.open:
		s.open, n.decided = true, false
		if s.first {
			n.lead()
		}
	case !s.primary && s.transfer > 0 && !n.isConnectedToDonor():
		return false
	case !s.primary && s.transfer > 0:
		s.received = time.Now()
		if s.transfer--; s.transfer == 0 {
			n.partial, n.tables = false, true
			w.tell("  %s: the transfer is complete, without a component", n.name)
			n.count("transfer went on alone")
		}
	case s.primary && s.transfer > 0:
		s.received = time.Now()
		if s.transfer--; s.transfer == 0 {
			n.partial, n.tables = false, true
			w.tell("  %s: the transfer is complete, with %d rows", n.name, len(n.rows))
			n.count("joined")
		}
	case s.primary:
		if len(s.pending) == 0 {
			return false
		}
		n.flush()
	default:
		n.connect(arg)
	}
	return true
}

// isConnectedToDonor says whether the transfer to the server goes on, whatever becomes of the component.
func (n *modelNode) isConnectedToDonor() bool {
	return n.server.connected && n.w.any(func(m *modelNode) bool {
		return m.server == n.server.donor && !m.server.paused && m.segment == n.segment
	})
}

func (n *modelNode) count(what string) { n.w.count[what]++ }

// flush makes durable what was received.
func (n *modelNode) flush() {
	if s := n.server; s.transfer == 0 {
		n.rows, s.pending = append(n.rows, s.pending...), nil
	}
}

// lead makes the server the first of its cluster.
func (n *modelNode) lead() {
	w := n.w
	n.checkFirst()
	if n.uuid == "" {
		n.uuid = fmt.Sprintf("%08d-0000-0000-0000-000000000000", w.views+1)
		w.acked = nil
		n.count("founded")
	} else {
		n.count("elected")
	}
	n.history, n.tables, n.partial = n.server.began, true, false
	w.cluster = n.copy()
	w.tell("  %s: IS THE FIRST with %d rows", n.name, len(n.rows))
	w.form([]*modelNode{n})
}

// connect looks for a primary component, or for all members of the last one.
func (n *modelNode) connect(arg int) {
	w := n.w
	var members []*modelNode
	for _, m := range w.members() {
		if connected(m, n) && !m.server.settling {
			members = append(members, m)
		}
	}
	switch s := n.server; {
	case len(members) > 0:
		n.join(members, arg)
	case w.seed&majorityGame != 0 && !w.calm && arg%4 > 0 && n.send():
	case n.comeBack():
	case s.view.number > 0: // it waits for ever
	default:
		if s.patience++; s.patience > 4 {
			n.w.tell("  %s: the server found no cluster", n.name)
			n.endServer(false)
		}
	}
}

// join makes the server a member of a primary component.
func (n *modelNode) join(members []*modelNode, arg int) {
	w, s := n.w, n.server
	donor := slices.IndexFunc(members, func(m *modelNode) bool { return m.server.transfer == 0 && m.server.unsaid.IsZero() })
	if donor < 0 {
		return
	}
	from := members[donor]
	from.flush()
	same := n.uuid == from.uuid && !n.partial && n.tables
	full := !same || len(n.rows) > len(from.rows)
	if same && !slices.Equal(n.rows, from.rows[:min(len(n.rows), len(from.rows))]) {
		w.fail("%s joins %s by number, and has other rows: %v and %v", n.name, from.name, n.rows, from.rows)
	}
	if n.uuid != "" && n.uuid != from.uuid && n.tables && !n.partial {
		w.fail("%s joins %s, which replaces its data of another cluster", n.name, from.name)
	}
	if n.uuid == "" && n.tables && !n.partial {
		w.fail("%s joins %s, which replaces its data of no cluster", n.name, from.name)
	}
	n.uuid, n.rows, n.history = from.uuid, slices.Clip(from.rows), from.history
	if full {
		s.transfer, s.donor, n.tables, n.partial = 1+arg%4, from.server, false, true
		s.lingers, s.connected, s.received = arg%3 > 0, arg%3 > 1, time.Now()
		if arg%2 == 0 { // some transfers empty the directory
			n.modelVolume.generation, n.memo = 0, memory{}
		}
		w.tell("  %s: gets all of %s", n.name, from.name)
	} else {
		n.count("joined")
		w.tell("  %s: joins %s by number", n.name, from.name)
	}
	w.form(append(members, n))
}

// write writes a row to a node. That node has it for good, and all others have got it.
func (n *modelNode) write() bool {
	w, s := n.w, n.server
	if s == nil || !s.primary || s.paused || s.transfer > 0 || s.settling {
		return false
	}
	n.count("write")
	w.rows++
	for _, m := range w.members() {
		m.server.pending = append(m.server.pending, w.rows)
	}
	n.flush()
	w.acked = append(w.acked, w.rows)
	w.cluster.rows = n.copy().rows
	return true
}
