package galera

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// restate writes into the record that the server may run, where the record was deleted, was put back
// to an older version, or does not say that. It is for a server without a primary component: of one
// that is Synced, recheck writes more. Without it, another node could be elected beside rows that only
// this node has.
//
// What the record forbids stays forbidden, and what the monitor remembers of a later version is
// forbidden as well. A conflicting write is no error, and is tried again soon.
func (j *Joined) restate(ctx context.Context, old *stored) error {
	switch {
	case j.isIntact(old) && old.follows(j.seen.known):
		j.seen.known = old.Record
		return nil
	case j.isIntact(old):
		return nil
	}
	// As in recheck: a note that the server has ended may be older than the server.
	if pids, err := j.dir.processes(); err != nil || len(pids) == 0 {
		return err
	}
	state, err := j.dir.grastate()
	if err != nil {
		return err
	}
	r := j.restated(old, state.position.UUID)
	if uuid := state.position.UUID; uuid != "" && r.UUID != "" && uuid != r.UUID {
		return fmt.Errorf("the server is in cluster %s, and the record is that of %s: one of them is wrong", uuid, r.UUID)
	}
	written, err := j.store.put(ctx, old, r)
	if outdated(err) {
		j.alone.reached = time.Time{}
		return nil
	}
	if err != nil {
		return err
	}
	if written != nil {
		r = written.Record
	}
	j.seen.recorded = false // once the server is Synced, the entry says that
	if r.follows(j.seen.known) {
		j.seen.known = r
	}
	j.Log.Warn("record corrected: this server may run", "node", j.settings.Node, "state", r.Nodes[j.settings.Node].State)
	return nil
}

// isIntact says whether the record says no less than this monitor knows, and that the server may run.
// The entry of another pod counts too, since that is for the start to settle. So does an entry that a
// decision has removed: the operator has given up the node, until its next start.
func (j *Joined) isIntact(old *stored) bool {
	if old == nil {
		return false
	}
	own, known := old.Nodes[j.settings.Node]
	_, overruled := old.Overruled[j.settings.Node]
	switch {
	case known && !own.State.mayRun(), !known && !overruled:
		return false
	case j.isOutrun(old):
		return true
	}
	return old.follows(j.seen.known) && old.older(j.settings.Node, j.remembers()) == ""
}

// isOutrun says whether another history of the record has gone on, and a node was made the first by
// it. What this monitor remembers is not written over that.
func (j *Joined) isOutrun(old *stored) bool {
	return old != nil && j.seen.known != nil && old.Generation > j.seen.known.Generation && !old.follows(j.seen.known)
}

// restated is the record that says: the server, whose data are of the cluster of that UUID, may run.
func (j *Joined) restated(old *stored, uuid string) *Record {
	var r *Record
	if j.isOutrun(old) {
		r = old.Record
	} else {
		r = j.base(old)
	}
	own, known := r.before(j.settings.Node)
	if !known || !own.State.mayRun() {
		own.State, own.Waits, own.SafeToBootstrap = Joining, "", false
	}
	switch {
	case own.Data != Full && uuid != "":
		own.Data, own.Position = Full, Position{UUID: uuid}
	case own.Data == "":
		own.Data = Partial
	}
	me, _ := j.dir.lastView()
	own.Member, own.NonPrimary = cmp.Or(me, own.Member), nil
	own.Generation = r.historyOf(j.generation, own)
	if j.memory.Node == j.settings.Node {
		own.Starts = max(own.Starts, j.memory.Starts)
	}
	return r.with(j.settings.Node, own, stamp{j.settings.Address, j.Pod, token(), time.Now().UTC()})
}
