package galera

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// A viewNote is what the record has of a server's view.
type viewNote struct {
	noted *View     // as the record has it
	tried time.Time // when it could not be written; zero when it could
}

// due says whether the server has another view than the record. One that could not be written is
// tried again after askEvery.
func (n *viewNote) due(dir liveDir) bool {
	if !n.tried.IsZero() && time.Since(n.tried) < askEvery {
		return false
	}
	now := dir.primaryView()
	return now != nil && (n.noted == nil || *now != *n.noted)
}

// noteView writes the server's view into the node's entry. Each membership change costs one write
// for each node. The entry must say that the node is Synced, in this pod: everything else is for
// recheck, which looks whether the server still runs and then puts the record right.
//
// The write has a token of its own. It is a sign of life, which voids a decision that was forced
// against this node.
func (j *Joined) noteView(ctx context.Context) error {
	for {
		err := j.tryView(ctx)
		switch {
		case err == nil:
			j.seen.views.tried = time.Time{}
			return nil
		case errors.Is(err, errNotOurs):
			j.seen.views.tried = time.Now()
			return j.recheck(ctx)
		case transient(err) && !outdated(err):
			j.seen.views.tried = time.Now()
			return nil
		case !outdated(err):
			return err
		}
		if err := pause(ctx, rand.N(conflictPause)); err != nil {
			return err
		}
	}
}

// errNotOurs is an entry that another process has written, or that says something else.
var errNotOurs = errors.New("the record does not say that this server is Synced")

func (j *Joined) tryView(ctx context.Context) error {
	old, err := j.store.get(ctx)
	if err != nil {
		return err
	}
	if old == nil || !j.ownSynced(old) {
		return errNotOurs
	}
	n := old.Nodes[j.settings.Node]
	now := j.dir.primaryView() // it may have changed since
	if now == nil || n.View != nil && *n.View == *now {
		j.seen.views.noted = n.View
		return nil
	}
	n.View, n.Token = now, token()
	r := old.clone()
	r.Nodes[j.settings.Node] = n
	if _, err := j.store.put(ctx, old, r); err != nil {
		return err
	}
	j.seen.views.noted = now
	j.Log.Debug("view noted", "id", now.ID, "seqno", now.Seqno, "members", now.Members)
	return nil
}

// ownSynced says whether the record's entry of this node is one that this process has written.
func (j *Joined) ownSynced(old *stored) bool {
	return old.says(j.settings.Node, j.Pod) && old.follows(j.seen.known) && old.Generation <= j.seen.record.Generation
}
