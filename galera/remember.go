package galera

import (
	"cmp"
	"maps"
	"slices"
)

// forgotten is more than the writes of a record in the time in which a monitor does not look at it. A
// record that comes back from memory is later by so many than the one that was deleted.
const forgotten = 1000

// maxWrites is more than a record will ever have, and can be counted up.
const maxWrites = 1 << 53

// counted is a copy of the record as the version that replaces old, which is nil for a new one.
// Each version has one write more than the one before, and all versions have one ID.
func (r *Record) counted(old *stored) *Record {
	c := r.clone()
	if old != nil {
		c.Writes = max(c.Writes, old.Writes)
	}
	c.Writes = min(maxWrites, c.Writes+1)
	c.ID = cmp.Or(c.ID, token())
	return c
}

// follows says whether the record is the one of before or a later version of it. A record that was
// deleted and made anew, or put back to an older version, is not. Nil is followed by all.
func (r *Record) follows(before *Record) bool {
	if before == nil {
		return true
	}
	counts := r.ID != "" && before.ID != "" // a kconfd that does not know of it removes it
	switch {
	case counts && (r.ID != before.ID || r.Writes < before.Writes):
		return false
	case r.Generation < before.Generation, before.UUID != "" && r.UUID != before.UUID:
		return false
	}
	for _, f := range before.Forks {
		if !slices.Contains(r.Forks, f) {
			return false
		}
	}
	last := len(before.Elections) - 1
	return last < 0 || slices.Contains(r.Elections, before.Elections[last])
}

// recalled is a record in place of one that was deleted, from what a monitor remembers of that. All
// that is said of the cluster stays. Any server may be running: a node may have written so after
// the record was last read, and before it was deleted.
func (r *Record) recalled() *Record {
	return newRecord(r.Name).merged(r)
}

// merged is a copy of the record with what a monitor remembers of one that was later, or that was
// deleted before this one was made. It forbids what either of the two forbids.
func (r *Record) merged(known *Record) *Record {
	c := r.clone()
	older := r.ID == known.ID && r.Writes < known.Writes
	c.Adopted, c.Bootstrap = true, nil
	c.Founder, c.UUID = cmp.Or(known.Founder, r.Founder), cmp.Or(r.UUID, known.UUID)
	c.Generation, c.Writes = max(r.Generation, known.Generation), min(maxWrites-1, max(r.Writes, known.Writes)+forgotten)
	c.Forks, c.Elections = union(r.Forks, known.Forks), union(r.Elections, known.Elections)
	c.Elections = c.Elections[max(0, len(c.Elections)-keptElections):]
	// All monitors come to the same one, whatever they remember.
	first := r
	if cmp.Or(cmp.Compare(known.Generation, r.Generation), cmp.Compare(known.Writes, r.Writes), cmp.Compare(known.ID, r.ID)) > 0 {
		first = known
	}
	c.ID, c.Since = first.ID, first.Since
	c.Overruled = maps.Clone(first.Overruled)
	for name, n := range known.Nodes {
		now, there := r.Nodes[name]
		if !there {
			now = n
		}
		c.Nodes[name] = now.merged(n, older)
	}
	for name, n := range c.Nodes {
		if !n.State.mayRun() {
			n.State = Joining
			c.Nodes[name] = n
		}
	}
	return c
}

// merged is the entry with what is remembered of it, which is later where the record is an older
// one. Who wrote it, and when, is left: a start that waits knows its own offer by that.
func (n Node) merged(known Node, older bool) Node {
	c := n
	c.NonPrimary = nil // it is of a moment that has passed
	if known.State.mayRun() && (older || !n.State.mayRun()) {
		c.State = known.State
	}
	if c.Member == "" || older && known.Member != "" {
		c.Member = known.Member
	}
	if known.Data == Full && (n.Data != Full || n.UUID == known.UUID && n.Seqno < known.Seqno) {
		c.Data, c.Position = Full, known.Position
	}
	c.Generation = max(n.Generation, known.Generation)
	switch {
	case n.Lost == nil:
		c.Lost = known.Lost
	case known.Lost != nil && known.Lost.UUID == n.Lost.UUID && known.Lost.Seqno > n.Lost.Seqno:
		c.Lost = &Lost{known.Lost.Position, known.Lost.Unknown || n.Lost.Unknown}
	}
	return c
}

// union has the forks of both lists, each once, by generation and seqno.
func union(a, b []Fork) []Fork {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y Fork) int {
		return cmp.Or(cmp.Compare(x.Generation, y.Generation), cmp.Compare(x.Seqno, y.Seqno))
	})
	return slices.Compact(all)
}
