package galera

import (
	"errors"
	"maps"
	"slices"
	"time"
)

// What must hold at every moment, whatever happens, but for what docs/design/galera.md lists as not
// protected. Each fault that is admitted has a reason with a name here.

// An exemption is a class of faults that the reference lists as not protected.
type exemption string

const (
	none exemption = ""

	// A record that was put back to an older state, or edited to say less than is true, may
	// choose a node that does not have all. What the others have more is refused then.
	oldRecord exemption = "the record was put back to an older state, or edited to say less than is true"

	// The rest waits for an operator.
	lostVolume    exemption = "a volume was lost, or put back to an older state, and with it what only that had"
	foreignData   exemption = "a volume is that of another cluster"
	goneNode      exemption = "a node does not come back, and the record says that its server may run or has more than the others"
	adoptedAlone  exemption = "the cluster is older than its record, and all of its servers ended before the record had all of them"
	wrongRecord   exemption = "the record was edited, and says of a node what only that node would put right"
	unnotedMember exemption = "a node was elected by the record of an older cluster, while a server ran that no monitor had noted"
	refusedByFork exemption = "the data of a node are of another history, and are refused"
)

// check looks for a second primary component. It is called after every step.
func (w *model) check() {
	components := map[int]bool{}
	for _, n := range w.nodes {
		if s := n.server; s != nil && s.primary && !s.paused {
			components[s.view.number] = true
		}
	}
	if len(components) > 1 {
		w.fail("there are two primary components")
	}
}

// holds says whether rows have all of some; both are in order.
func holds(rows, some []int) (missing int, all bool) {
	for _, row := range some {
		if _, found := slices.BinarySearch(rows, row); !found {
			return row, false
		}
	}
	return 0, true
}

// isPrefix says whether the rows of a volume are the first ones of another's.
func (v *modelVolume) isPrefix(of modelVolume) bool {
	return v.uuid == of.uuid && len(v.rows) <= len(of.rows) && slices.Equal(v.rows, of.rows[:len(v.rows)])
}

// checkFirst demands that a node that becomes the first has all acknowledged rows, and that nobody has a
// primary component.
func (n *modelNode) checkFirst() {
	w := n.w
	for _, m := range w.nodes {
		if m.server != nil && m.server.primary {
			w.fail("%s becomes the first while %s has a primary component", n.name, m.name)
			return
		}
	}
	missing, all := holds(n.rows, w.acked)
	switch {
	case all:
	case w.rewritten, w.restored:
		w.passOver(n)
	case n.uuid == "":
		w.fail("%s founds anew, and %d rows were acknowledged before", n.name, len(w.acked))
	default:
		w.fail("%s becomes the first with %d rows and without row %d, which was acknowledged", n.name, len(n.rows), missing)
	}
}

// checkAgain demands the same of a component that comes back.
func (w *model) checkAgain(best *modelNode) {
	if len(w.members()) > 0 {
		w.fail("a view comes back at %s while there is a primary component", best.name)
	}
	missing, all := holds(best.rows, w.acked)
	switch {
	case all:
	case w.rewritten, w.restored:
		w.passOver(best)
	default:
		w.fail("a view comes back with %d rows and without row %d, which was acknowledged", len(best.rows), missing)
	}
}

// passOver notes that a component is without acknowledged rows, because of a record that was wrong.
func (w *model) passOver(first *modelNode) {
	w.exempt(oldRecord)
	for _, row := range w.acked {
		if !slices.Contains(first.rows, row) {
			w.owed = append(w.owed, row)
		}
	}
	w.acked = slices.DeleteFunc(w.acked, func(row int) bool { return !slices.Contains(first.rows, row) })
}

// checkGivenUp demands that a node does not give up rows about which an operator has to decide.
func (n *modelNode) checkGivenUp() {
	for _, row := range n.w.owed {
		if slices.Contains(n.rows, row) && !n.w.rewritten {
			n.w.fail("%s gives up row %d, which was acknowledged, and which only an operator may give up", n.name, row)
			return
		}
	}
}

// checkRefusal demands that no node is refused whose rows are the first ones of the cluster's.
func (n *modelNode) checkRefusal(err error) {
	w := n.w
	if !errors.Is(err, errRefused) || !n.tables || n.partial || n.uuid == "" {
		return
	}
	r := w.record
	if d, ok := foreign(situation{record: r, self: n.name}); !ok || d.action != refuse {
		return // it is refused because of something else
	}
	n.count("refused")
	if n.isUnnoted() {
		w.exempt(unnotedMember)
		return
	}
	if n.isPrefix(w.cluster) && !w.rewritten {
		w.fail("%s is refused, and its %d rows are the first of the cluster's %d: %v", n.name, len(n.rows), len(w.cluster.rows), err)
	}
}

// checkWrite looks at a record that a node has just written.
func (w *model) checkWrite(n *modelNode, r *Record) {
	for name, entry := range r.Nodes {
		if entry.Lost != nil && !slices.ContainsFunc(w.everNamed(name), func(m *modelNode) bool { return m.replaced }) && !w.rewritten && !w.restored {
			w.fail("the record says that %s has lost data, and no volume was lost", name)
		}
	}
	own := r.Nodes[n.name]
	w.passOverUnnoted(r, own)
	if s := n.server; s != nil && s.primary && s.transfer == 0 && own.State == Synced && own.Pod == n.podName() && !w.rewritten {
		switch {
		case own.Generation == n.history, r.continues(n.history, own.Generation):
		case n.isUnnoted() && own.Generation == 0: // until the elected node is noted as Synced
			w.exempt(unnotedMember)
		default:
			w.fail("the record says that %s is of generation %d, and its history began with %d", n.name, own.Generation, n.history)
		}
	}
}

// passOverUnnoted notes which servers run that the record of an older cluster lacks, when it elects a node. Their
// volumes have nothing of a record.
func (w *model) passOverUnnoted(r *Record, elected Node) {
	last := len(r.Elections) - 1
	if !w.theme.has(adopted) || elected.State != Bootstrapping || last < 0 || r.Elections[last].Generation != elected.Generation {
		return
	}
	for _, n := range w.nodes {
		_, known := r.Nodes[n.name]
		_, overruled := r.Overruled[n.name]
		if n.server != nil && !known && !overruled && n.modelVolume.generation == 0 && n.memo.Record == "" {
			n.unnoted = true
		}
	}
}

// isUnnoted says whether the data are of a server that an election passed over, and no monitor has written of
// which generation they are since.
func (n *modelNode) isUnnoted() bool { return n.unnoted && n.modelVolume.generation == 0 }

// continues says whether a later generation is of the same history: a majority that was restored, or
// was about to be, begins none.
func (r *Record) continues(from, to int) bool {
	return from < to && !slices.ContainsFunc(slices.Concat(r.Forks, r.Elections), func(f Fork) bool {
		return f.Generation > from && f.Generation <= to
	})
}

// checkRecreated demands that a record that was deleted and made again says no less than before.
func (w *model) checkRecreated(before *Record) {
	r := w.record
	if r == nil {
		w.fail("the record that was deleted is not made again")
		return
	}
	lacks := func(some, all []Fork) bool {
		return slices.ContainsFunc(all, func(f Fork) bool { return !slices.Contains(some, f) })
	}
	switch {
	case r.UUID != before.UUID:
		w.fail("the record that was made again is that of cluster %q, and it was that of %q", r.UUID, before.UUID)
	case r.Generation < before.Generation:
		w.fail("the record that was made again has generation %d, and it had %d", r.Generation, before.Generation)
	case lacks(r.Forks, before.Forks):
		w.fail("the record that was made again has the forks %v, and it had %v", r.Forks, before.Forks)
	case lacks(r.Elections, before.Elections):
		w.fail("the record that was made again has the elections %v, and it had %v", r.Elections, before.Elections)
	}
	for _, name := range before.Names() {
		if _, known := r.Nodes[name]; !known {
			w.fail("the record that was made again does not know %s", name)
		}
	}
}

// forget forgets the rows that the node did not have when it wrote the record, if it carries out a forced
// decision with that: that is what the operator wanted. The volume may be another one when a late write arrives.
func (w *model) forget(name string, had modelVolume, r *Record) {
	if w.record == nil || w.record.Bootstrap == nil || w.record.Bootstrap.By != forcingOperator || r.Nodes[name].State != Bootstrapping || r.Bootstrap != nil {
		return
	}
	w.count["forced"]++
	gone := func(row int) bool { return !slices.Contains(had.rows, row) }
	w.owed = slices.DeleteFunc(w.owed, gone)
	for _, other := range r.others(name) {
		switch entry := r.Nodes[other]; {
		case entry.State.mayRun():
			w.fail("an operator has decided with force against %s, and the record still waits for it", other)
		case entry.Lost != nil:
			w.fail("an operator has decided with force about what %s lost, and the record still waits for that", other)
		}
	}
	w.acked = slices.DeleteFunc(w.acked, gone)
	w.cluster = had
}

func (w *model) exempt(e exemption) { w.count["exempt: "+string(e)]++ }

// settle ends all faults and lets the world go on. The cluster is whole again then.
func (w *model) settle() {
	w.calm = true
	w.endFaults()
	for range 120 {
		for _, n := range w.nodes {
			if n.gone {
				continue
			}
			w.kconfd(n).round()
			n.serve(1)
			n.serve(1)
			n.runsMonitor().round()
			if w.check(); w.fault != "" {
				return
			}
		}
		if w.isWhole() {
			w.count["came back"]++
			return
		}
		w.pass(20 * time.Second)
	}
	if e := w.excuse(); e != none {
		w.exempt(e)
		return
	}
	for _, n := range w.nodes {
		w.tell("  %v, %+v", n, w.entry(n.name))
	}
	w.fail("all faults have ended, and the cluster is not whole")
}

func (w *model) entry(name string) Node {
	if w.record == nil {
		return Node{}
	}
	return w.record.Nodes[name]
}

// isWhole says whether each node that is to come back is Synced, and the record says so.
func (w *model) isWhole() bool { return !w.any((*modelNode).isMissing) }

// isMissing says whether the node is to be Synced, and is not.
func (n *modelNode) isMissing() bool {
	return !n.gone && (n.server == nil || n.server.state() != stateSynced || n.w.entry(n.name).State != Synced)
}

// isOtherFounders says whether the node is missing, and its data are those of a founder by another version of
// the record.
func (n *modelNode) isOtherFounders() bool {
	uuid := n.w.record.UUID
	return n.isMissing() && n.tables && (n.uuid == "" || !n.partial && uuid != "" && n.uuid != uuid)
}

// distrusts says whether the data of the node remember a later record.
func (n *modelNode) distrusts() bool {
	return n.tables && !n.partial && n.w.record.older(n.name, local{data: Full, generation: n.modelVolume.generation, memory: n.memo}) != ""
}

// excuse says why the cluster need not be whole.
func (w *model) excuse() exemption {
	if w.record == nil {
		return none
	}
	best, _ := w.record.best()
	for _, name := range w.record.Names() {
		entry := w.record.Nodes[name]
		owner := slices.IndexFunc(w.nodes, func(n *modelNode) bool { return n.name == name && !n.gone })
		waited := entry.State.mayRun() || w.record.counts(entry) && entry.Seqno == best.Seqno || w.record.Founder == name && w.record.UUID == ""
		decided := w.record.Bootstrap != nil && w.record.Bootstrap.From == name
		switch {
		case entry.Lost != nil:
			return lostVolume
		case owner < 0 && (waited || decided):
			return goneNode
		case w.theme.has(edits) && w.rewritten:
			return wrongRecord
		}
	}
	switch {
	case w.theme.has(older) && !w.any(func(n *modelNode) bool { return n.isMissing() && !n.replaced }):
		return lostVolume
	case w.count["volume of another cluster"] > 0:
		return foreignData
	case w.record.Adopted:
		return adoptedAlone
	case w.any(func(n *modelNode) bool { return n.isUnnoted() && w.record.isPassedOver(w.entry(n.name)) }):
		return unnotedMember
	case w.restored && slices.ContainsFunc(slices.Collect(maps.Values(w.record.Nodes)), w.record.isPassedOver):
		return oldRecord
	case w.restored && w.any((*modelNode).isOtherFounders):
		return oldRecord
	case w.restored && (w.record.PutBack || w.any(func(n *modelNode) bool { return n.isMissing() && n.distrusts() })):
		return oldRecord
	case w.rewritten:
		return refusedByFork
	}
	return none
}
