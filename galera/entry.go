package galera

import (
	"cmp"
	"slices"
	"time"
)

// A stamp is what every entry of a node has beside what it says.
type stamp struct {
	address, pod, token string
	at                  time.Time
}

// with is a copy of the record with an entry of a node, stamped.
func (r *Record) with(name string, n Node, s stamp) *Record {
	n.Address, n.Pod, n.Token, n.At = s.address, s.pod, s.token, s.at
	c := r.clone()
	c.Nodes[name] = n
	delete(c.Overruled, name)
	return c
}

// before is what the record says of a node so far: nothing but the generation of its data, if a
// decision has removed the entry.
func (r *Record) before(name string) (n Node, known bool) {
	n, known = r.Nodes[name]
	if !known {
		n.Generation = r.Overruled[name]
	}
	return n, known
}

// resting is a copy of the record that says: the node's server does not run, and
// this is what it has. What it had before and has no more is noted.
func (r *Record) resting(name string, state State, l local, s stamp) *Record {
	old, known := r.before(name)
	if l.outlived(name, old) {
		old.Generation = 0
	}
	n := Node{State: state, Data: l.data, Position: l.position, SafeToBootstrap: l.safe, Generation: r.historyOf(l.generation, old), Starts: old.Starts, FailedBoots: old.FailedBoots}
	n.Member = cmp.Or(l.me, old.Member)
	if l.memory.Node == name && (!known || l.memory.Record != r.ID) { // another record has counted on
		n.Starts = max(old.Starts, l.memory.Next)
	}
	if known {
		n.Lost = r.lossesOf(name, l)
		if l.data == NoData && old.neverStarted(s.pod) {
			n.Lost = old.Lost
		}
	}
	c := r.with(name, n, s)
	if !known && (l.data == Full || l.data == Fresh) && r.UUID == "" {
		c.Adopted = true // these data are older than the record
	}
	return c
}

// outlived says whether the data are those that the node has given up by its entry: the start that
// wrote this has ended before it removed them, or the volume was put back. They are not of the generation
// of that start.
func (l local) outlived(name string, own Node) bool {
	return l.data == Full && own.Data == Partial && l.memory.lacks(name, own)
}

// lacks says whether the node's last start by its entry was not carried out on this volume.
func (m memory) lacks(name string, own Node) bool {
	return m.Record != "" && m.Node == name && m.Starts < own.Starts
}

// historyOf is the generation of a node's data: what is written beside them, as far as the record
// goes; or else what its entry says. Of a node that was made the first the entry says it, also
// where that start ended before it wrote anything beside the data: they are the cluster's since then.
func (r *Record) historyOf(written int, old Node) int {
	if written == 0 || old.State == Bootstrapping {
		return old.Generation
	}
	return min(written, r.Generation)
}

// lossesOf is what the node had by its entry and has no more. The volume itself may not be the one
// that the entry is about: then its data may be older, wherever their position is.
func (r *Record) lossesOf(name string, l local) *Lost {
	old, m := r.Nodes[name], l.memory
	has := l.data == Full && old.Data == Full && l.position.UUID == old.UUID && l.position.Seqno >= old.Seqno
	switch {
	case m.Record != "" && m.Record == r.ID && (m.Node != name && old.Starts > 0 || m.Next < old.Starts):
		// It was replaced, or put back to a state of before the last start.
		if old.State.mayRun() {
			return old.loss(true)
		}
		if old.Data == Full && !has {
			return old.loss(false)
		}
	case l.data == Partial && (!old.State.mayRun() || m.Record == r.ID && m.lacks(name, old)) && r.counts(old):
		// No server has run since, which alone may leave that.
		return old.loss(false)
	}
	return old.losses(l)
}

// neverStarted says whether an entry is one without data that a monitor has made one that may be
// running, and whose volume is that of the pod. If the pod had been started since, the volume would not
// be empty: see [Start.beforeTransfer].
func (n Node) neverStarted(pod string) bool {
	return n.Data == NoData && n.Starts == 0 && n.Pod != "" && n.Pod == pod
}

// loss is the loss of all that the node had by its entry, beside what it had lost before.
func (n Node) loss(unknown bool) *Lost {
	all := &Lost{n.Position, unknown}
	before := n.Lost
	if before == nil {
		return all
	}
	all.Unknown = unknown || before.Unknown
	switch {
	case all.UUID == "", all.UUID == before.UUID && all.Seqno < before.Seqno:
		all.Position = before.Position
	case before.UUID != "" && before.UUID != all.UUID:
		all.Unknown = true // there is room for one position
	}
	return all
}

// losses is what the node had by its old entry and has no more, by the positions alone.
func (n Node) losses(l local) *Lost {
	switch {
	case l.data == Partial:
		return n.Lost // what else it had was given up for another's, in a transfer that did not end
	case l.data == Full && l.position.UUID != n.UUID && n.Data == Full:
		return n.loss(n.State.mayRun())
	case l.data == Full && n.Data == Full && l.position.Seqno >= n.Seqno, l.data == Full && n.Data != Full, l.data == Fresh && n.Data != Full:
		return n.Lost
	case n.State.mayRun():
		return n.loss(true)
	case n.Data == Full:
		return n.loss(false)
	}
	return n.Lost
}

// synced is a copy of the record that says: the node takes part in its cluster.
// Me is what it is called there, and view are all who are in it; none when that is not known.
// Generation is what is written beside its data; 0 when nothing is.
func (r *Record) synced(name, uuid, me string, view []string, generation int, s stamp) *Record {
	n, _ := r.before(name)
	n.Member = me
	n.State, n.Data, n.Lost, n.NonPrimary, n.Waits, n.FailedBoots = Synced, Full, nil, nil, "", 0
	n.Generation = max(r.historyOf(generation, n), r.newestIn(view))
	if n.UUID != uuid {
		n.Position = Position{UUID: uuid}
	}
	c := r.with(name, n, s)
	c.Bootstrap = nil // there is a cluster
	if c.UUID == "" {
		c.UUID = uuid
	}
	if c.hasAll(view) {
		c.Adopted, c.PutBack = false, false
	}
	return c
}

// viewed is a copy of the record that says in which view a node is.
func (r *Record) viewed(name string, v *View) *Record {
	c := r.clone()
	n := c.Nodes[name]
	n.View = v
	c.Nodes[name] = n
	return c
}

// hasAll says whether all members of a view, if it is known, are nodes of the record.
func (r *Record) hasAll(view []string) bool {
	return len(view) > 0 && !slices.ContainsFunc(view, func(member string) bool { return !r.has(member) })
}

// newestIn is the newest generation of the nodes of the record that are in a view: who is in one
// with them is in their history from now on, whatever its start went by. A node that is about to
// bootstrap has a view only when its server runs on: see [healing.claim].
func (r *Record) newestIn(view []string) (generation int) {
	for _, n := range r.Nodes {
		follows := n.State == Synced || n.State == Bootstrapping && n.View != nil
		if follows && n.Member != "" && slices.Contains(view, n.Member) {
			generation = max(generation, n.Generation)
		}
	}
	return generation
}

// has says whether a member of a view is a node of the record.
func (r *Record) has(member string) bool {
	for _, n := range r.Nodes {
		if n.State == Synced && n.Member == member {
			return true
		}
	}
	return false
}
