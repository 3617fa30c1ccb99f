package galera

import (
	"fmt"
	"slices"
	"time"
)

// What the actions of model_actions_test.go do to volumes, nodes and the record.

// lose takes a volume away, with all that runs on it.
func (n *modelNode) lose() bool {
	if !n.tables && !n.partial {
		return false
	}
	n.killPod()
	n.count("volume lost")
	n.modelVolume, n.replaced = modelVolume{}, true
	n.pod++
	return true
}

// foreignVolume puts a volume of another cluster in place of the node's. While the UUID of the cluster is
// not known, nobody can tell it from the founder's.
func (n *modelNode) foreignVolume(arg int) bool {
	if n.w.record == nil || n.w.record.UUID == "" {
		return false
	}
	n.killPod()
	n.modelVolume, n.replaced = modelVolume{uuid: "88888888-0000-0000-0000-000000000000", rows: []int{-3, -2, -1}[arg%4:], tables: true}, true
	n.pod++
	n.count("volume of another cluster")
	return true
}

func (w *model) snapshot() bool {
	var all []modelVolume
	for _, n := range w.nodes {
		all = append(all, n.copy())
	}
	w.snapshots = append(w.snapshots, all)
	return true
}

// putBack puts volumes back to what they were when all of them were copied.
func (w *model) putBack(nodes []*modelNode, arg int) bool {
	if len(w.snapshots) == 0 {
		return false
	}
	could := false
	for _, n := range nodes {
		old := w.snapshots[arg%len(w.snapshots)]
		if n.index >= len(old) || !n.isOlder(old[n.index]) || n.away && !old[n.index].marker {
			continue
		}
		n.killPod()
		n.modelVolume, n.replaced, could = old[n.index], true, true
		n.pod++
		w.count["volume put back"]++
	}
	return could
}

// isOlder says whether a copy of the volume is of before the node's last start, and remembers the record. Any
// other one cannot be told from the volume as a crash would leave it.
func (n *modelNode) isOlder(v modelVolume) bool {
	r := n.w.record
	return r != nil && v.memo.Record == r.ID && v.memo.Node == n.name && v.memo.Next < r.Nodes[n.name].Starts
}

// trustsOlder says whether the node would start with a volume that was put back, if the API server were away: see
// the tests of what is not protected.
func (n *modelNode) trustsOlder() bool { return n.isOlder(n.modelVolume) && !n.marker }

// losePosition makes the data ones without a position, as a broken-off full transfer does, although by
// the record no server has run since they had one.
func (n *modelNode) losePosition() bool {
	if n.uuid == "" || n.partial || n.server != nil || n.w.entry(n.name).State.mayRun() || n.w.entry(n.name).Data != Full {
		return false
	}
	n.killPod()
	n.partial, n.replaced = true, true
	return true
}

// decide notes a decision of an operator. With force it may be wrong about what runs, but no server is on the
// way to its port, and none is out of reach, now or later: see the tests of what is not protected.
func (w *model) decide(n *modelNode, by string) bool {
	force := by == forcingOperator
	if w.record == nil || force && w.any(func(m *modelNode) bool {
		return m.away || m.segment != 0 || m.underway() || m.server != nil && (m.server.paused || !m.server.open)
	}) {
		return false
	}
	r, told, err := w.record.decree(n.name, by, force, time.Now())
	if err != nil {
		return false
	}
	w.tell("%s decides for %s, against %q", by, n.name, told)
	w.count["decided"]++
	w.forced = w.forced || force
	w.store(r)
	return true
}

// underway says whether the record says that the server may run, and it does not listen yet: the start is
// between its last write, of which it may not even know, and its server's port.
func (n *modelNode) underway() bool {
	if n.decided {
		return true
	}
	if n.server != nil || !n.kconfd.alive() || n.start == nil || n.w.record == nil {
		return false
	}
	_, written := n.start.attempts[n.w.entry(n.name).Token]
	return written
}

// rename gives a node another name, while by the record its server does not run: what may run under the
// old name, also by a write that is still on its way, is waited for until an operator decides.
func (n *modelNode) rename() bool {
	w := n.w
	if w.record == nil || n.server != nil || n.kconfd.alive() || len(w.late) > 0 {
		return false
	}
	d, r := w.record.Bootstrap, w.record
	if r.Nodes[n.name].State.mayRun() || r.UUID == "" || d != nil && d.From == n.name {
		return false // the others would wait for it
	}
	n.monitor.end()
	n.pod++
	n.name = fmt.Sprintf("%s%d", w.nodes[n.index].names[0], n.pod)
	n.names = append(n.names, n.name)
	n.count("renamed")
	return true
}

// move gives a node that does not run another address: a new one, or one that the record has of another
// node, which does not run either.
func (w *model) move(n *modelNode, arg int) bool {
	if n.server != nil || n.kconfd.alive() {
		return false
	}
	n.monitor.end()
	n.pod++
	next := fmt.Sprintf("10.0.%d.%d", n.pod, n.index+1)
	if other := w.nodes[arg%len(w.nodes)]; other != n && other.server == nil && !other.kconfd.alive() && arg >= 4 {
		next, other.addr = other.addr, n.addr // they change places
		other.pod++
		other.monitor.end()
	}
	n.addr = next
	w.count["moved"]++
	return true
}

// stranger lets something that is no server of the cluster listen, at an address that a node had or has,
// or one that no node had.
func (w *model) stranger(n *modelNode, arg int) bool {
	address := []string{"10.0.99.1", fmt.Sprintf("10.0.0.%d", n.index+1)}[arg%2]
	if w.any(func(m *modelNode) bool { return m.addr == address }) && w.forced {
		return false
	}
	if i := slices.Index(w.strangers, address); i >= 0 {
		w.strangers = slices.Delete(w.strangers, i, i+1)
	} else {
		w.strangers = append(w.strangers, address)
	}
	w.count["stranger"]++
	return true
}

// leaves lets a node never return. A majority of all stays.
func (w *model) leaves(n *modelNode) bool {
	gone := 0
	for _, m := range w.nodes {
		if m.gone {
			gone++
		}
	}
	if n.gone || 2*(gone+1) >= len(w.nodes) {
		return false
	}
	n.killPod()
	n.gone, n.replaced = true, true
	w.count["gone"]++
	return true
}

// second makes a second pod of a node, with a volume of its own. The first one is out of the reach of
// Kubernetes: it is never started again, and its server is there until that ends.
func (w *model) second(n *modelNode) bool {
	if n.ousted || n.gone || len(w.nodes) > 7 || n.decided {
		return false
	}
	n.kconfd.end()
	m := &modelNode{w: w, name: n.name, names: n.names, index: len(w.nodes), pod: n.pod + 1, replaced: true}
	m.addr = fmt.Sprintf("10.0.%d.%d", m.pod, m.index+1)
	n.ousted, n.replaced = true, true
	w.nodes = append(w.nodes, m)
	w.count["second pod"]++
	return true
}

// forgets says whether a full transfer has removed what the volume remembers of the record, or may do so
// before the monitor has read it.
func (n *modelNode) forgets() bool {
	return n.server != nil && (!n.server.member || n.server.transfer > 0) || (n.tables || n.partial) && n.memo.Record == ""
}

// restore puts the record back to an older version, which has no fork less, while no start is on its way
// and each volume remembers the record.
func (w *model) restore(arg int) bool {
	if len(w.past) == 0 || w.record == nil || w.any((*modelNode).underway) || w.any((*modelNode).forgets) {
		return false
	}
	old := w.past[len(w.past)-1-(arg*arg)%len(w.past)]
	runs := slices.ContainsFunc(old.Names(), func(name string) bool { return old.Nodes[name].State.mayRun() })
	if len(old.Forks) < w.forks || old.Generation < w.generation && runs {
		return false // see the tests of what is not protected
	}
	w.tell("  the record is put back to generation %d, of %d writes", old.Generation, old.Writes)
	w.store(old)
	w.restored = true
	w.count["record put back"]++
	return true
}

// deleteRecord deletes the record of a whole cluster, whose monitors make it again.
func (w *model) deleteRecord(arg int) bool {
	before := w.record
	if before == nil || !w.isWhole() || w.any(func(n *modelNode) bool { return !n.monitor.alive() }) {
		return false
	}
	for _, n := range w.nodes {
		n.monitor.round() // it knows the record of now
	}
	w.pass(recheckEvery)
	for _, n := range w.nodes {
		n.monitor.round()
	}
	if before = w.record; before == nil {
		return false
	}
	w.record = nil
	w.version++
	for i := range 2 * len(w.nodes) { // the first write of each may not arrive
		w.pass(recheckEvery)
		w.nodes[(i+arg)%len(w.nodes)].monitor.round()
	}
	w.checkRecreated(before)
	w.count["record deleted"]++
	return true
}

// edit changes the entry of a node by hand, into something that may be.
func (w *model) edit(n *modelNode, arg int) bool {
	if w.record == nil {
		return false
	}
	own, known := w.record.Nodes[n.name]
	if !known {
		return false
	}
	r := w.record.clone()
	switch arg % 5 {
	case 0:
		own.Seqno += 5
	case 1:
		own.State = Joining
	case 2:
		own.Lost = &Lost{own.Position, true}
	case 3:
		own.Address = "10.0.77.7"
	case 4:
		own.Token = "by hand"
	}
	r.Nodes[n.name] = own
	w.tell("the entry of %s is edited: %+v", n.name, own)
	w.store(r)
	w.rewritten = true
	w.count["edited"]++
	return true
}

// endFaults ends all that is out of order.
func (w *model) endFaults() {
	w.late, w.strangers = nil, nil
	for _, n := range w.nodes {
		n.away, n.segment, n.unsound, n.early, n.outcome = false, 0, false, false, done
		n.goOn()
		if n.ousted {
			n.killPod()
			n.gone = true
		}
	}
}
