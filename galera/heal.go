package galera

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// noteAfter is how long a server has no primary component before its monitor notes that.
	noteAfter = 2 * time.Second

	// healEvery is how often the record is read then.
	healEvery = time.Second

	// settleTime is how long all nodes say the same before one of them is isolated. In that time
	// Galera mostly brings back a last primary component of which all members are there.
	settleTime = 3 * time.Second

	// isolatedAlone is how long a server stays isolated whose monitor cannot read the record.
	isolatedAlone = 10 * time.Second

	// primaryTimeout is how long a server may take to form a component with itself.
	primaryTimeout = 3 * time.Second
)

// A healer makes a new primary component of servers that have lost it, and run on. See
// docs/design/galera.md for why there is only one.
type healer struct {
	note    NonPrimary // as this process has written it last
	session healSession
	claim   string // token of the last claim
	undo    bool   // the server may be isolated, and the session that did it is gone

	round string
	since time.Time // when that round was first seen; a component in between changes the note, and so the round

	tried    time.Time
	reached  time.Time // when the record was last read
	declined bool      // the server does not accept the account
	said     string    // why nothing is done
}

// heal takes one step for a server that has no primary component. Its failure leaves the server to
// giveUp, and is no failure of the monitor.
func (j *Joined) heal(ctx context.Context, state serverState) {
	h := &j.healer
	switch {
	case state == stateUnknown:
		return
	case state != stateConnected || time.Since(j.alone.since) < noteAfter:
		j.endHealing(ctx)
		return
	}
	if h.declined || time.Since(h.tried) < healEvery {
		return
	}
	h.tried = time.Now()
	limited, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := j.tryHeal(limited)
	if outdated(err) {
		h.tried = time.Time{} // another node has written at the same moment
	}
	if refusal := (*serverError)(nil); errors.As(err, &refusal) && refusal.refused() {
		h.declined = true
	}
	if err != nil && !outdated(err) && ctx.Err() == nil {
		j.sayHealing("majority cannot be restored in the running server", "err", err)
	}
}

// sayHealing logs what it has not logged last.
func (j *Joined) sayHealing(message string, args ...any) {
	if text := fmt.Sprint(message, args); j.healer.said != text {
		j.Log.Info(message, args...)
		j.healer.said = text
	}
}

// tryHeal reads what the server and the record say, and takes the next step.
func (j *Joined) tryHeal(ctx context.Context) error {
	h := &j.healer
	old, err := j.store.get(ctx)
	switch {
	case err != nil:
	case old == nil || !old.runsIn(j.settings.Node, j.Pod):
		err = errNotOurs
	case !old.follows(j.seen.known), old.older(j.settings.Node, j.remembers()) != "":
		err = errors.New("the record was put back to an older version")
	default:
		j.seen.known = old.Record
	}
	if err != nil {
		switch {
		case h.session != nil && time.Since(h.reached) >= isolatedAlone:
			err = errors.Join(err, j.release(ctx))
		case h.session == nil && h.undo:
			err = errors.Join(err, j.undoIsolation(ctx))
		}
		return err
	}
	h.reached = time.Now()
	entry := old.Nodes[j.settings.Node]
	if h.session != nil && entry.State == Bootstrapping && entry.Token == h.claim {
		return j.bootstrapServer(ctx, entry)
	}
	own, err := j.nonPrimary(ctx)
	if err != nil {
		return err
	}
	own.ID, own.Isolated = h.note.ID, h.session != nil
	now := time.Now()
	if round := old.round(); round != h.round {
		h.round, h.since = round, now
	}
	seen := now.Sub(h.since)
	step := healing{old.Record, j.settings.Node, own, seen >= settleTime, seen >= j.settings.Suspect+healEvery}
	return j.takeStep(ctx, old, step)
}

// takeStep does what the step says.
func (j *Joined) takeStep(ctx context.Context, old *stored, now healing) error {
	step, why := now.step()
	switch step {
	case healNote:
		return j.writeNote(ctx, old, now.own)
	case healIsolate:
		if open := j.strangers(ctx, old.Record); open != "" {
			j.sayHealing("majority is not restored", "because", "a server that the record does not expect listens at "+open)
			return nil
		}
		if err := j.isolate(ctx); err != nil {
			return err
		}
		now.own.Isolated = true
		j.Log.Info("server isolated to restore the majority", "position", now.own.Position)
		return j.writeNote(ctx, old, now.own)
	case healRelease:
		j.Log.Info("server is not isolated any more", "because", why)
		if err := j.release(ctx); err != nil {
			return err
		}
		now.own.Isolated = false
		return j.writeNote(ctx, old, now.own)
	case healAgree:
		note := *old.Nodes[j.settings.Node].NonPrimary
		note.Agrees = old.round()
		_, err := j.store.put(ctx, old, old.withNote(j.settings.Node, note))
		return err
	case healClaim:
		return j.writeClaim(ctx, old, now)
	}
	j.sayHealing("waiting to restore the majority", "because", why)
	return nil
}

// writeNote writes what the server says of itself.
func (j *Joined) writeNote(ctx context.Context, old *stored, note NonPrimary) error {
	note.ID, note.Agrees = token(), ""
	j.healer.note = note    // also when the write is carried out later
	j.seen.recorded = false // once the server is Synced, the entry says that again
	_, err := j.store.put(ctx, old, old.withNote(j.settings.Node, note))
	if err == nil {
		j.sayHealing("primary component lost", "position", note.Position, "view", note.View, "isolated", note.Isolated)
	}
	return err
}

// writeClaim writes that this node bootstraps, and lets the server do it. When the answer is lost,
// the next step finds the claim in the record.
func (j *Joined) writeClaim(ctx context.Context, old *stored, now healing) error {
	h := &j.healer
	r := now.claim()
	h.claim = token()
	n := r.Nodes[j.settings.Node]
	n.Token, n.At = h.claim, time.Now().UTC()
	r.Nodes[j.settings.Node] = n
	if _, err := j.store.put(ctx, old, r); err != nil {
		return err
	}
	return j.bootstrapServer(ctx, n)
}

// bootstrapServer makes a primary component of the isolated server, and ends the isolation, so that
// the others join it. Whatever comes of it, a second attempt begins with a new note.
func (j *Joined) bootstrapServer(ctx context.Context, entry Node) error {
	j.healer.claim = ""
	if err := j.dir.setGeneration(entry.Generation); err != nil {
		return errors.Join(err, j.release(ctx))
	}
	j.generation = entry.Generation
	err := j.healer.session.bootstrap(ctx, entry.Position)
	if err == nil {
		err = j.awaitPrimary(ctx)
	}
	if err == nil {
		j.Log.Warn("majority restored: this node is the first of its cluster, and no server was restarted",
			"node", j.settings.Node, "position", entry.Position, "generation", entry.Generation)
	}
	return errors.Join(err, j.release(ctx))
}

// awaitPrimary waits for the server's primary component. Before that, others that connect would
// undo the bootstrap.
func (j *Joined) awaitPrimary(ctx context.Context) error {
	for limit := time.Now().Add(primaryTimeout); ; {
		primary, _, err := j.healer.session.component(ctx)
		switch {
		case err != nil || primary:
			return err
		case time.Now().After(limit):
			return errors.New("the server has formed no primary component")
		}
		if err := pause(ctx, statusPause); err != nil {
			return err
		}
	}
}

// isolate opens the session that leads, and isolates the server.
func (j *Joined) isolate(ctx context.Context) error {
	session, err := j.open(ctx)
	if err != nil {
		return err
	}
	if err := session.isolate(ctx, true); err != nil {
		session.close()
		j.healer.undo = true // the answer may have been lost
		return err
	}
	j.healer.session = session
	return nil
}

// release ends the isolation and the session that leads.
func (j *Joined) release(ctx context.Context) error {
	h := &j.healer
	err := h.session.isolate(ctx, false)
	h.session.close()
	h.session, h.undo = nil, err != nil
	return err
}

// runsIn says whether by the record the node's server may run in that pod. Whether it has had a
// primary component since its start is for the server to say: one that has had none accepts no login,
// so that nothing is noted of it. One that joins by the record may have become Synced while the API
// server was away.
func (r *Record) runsIn(name, pod string) bool {
	n, known := r.Nodes[name]
	return known && n.State.mayRun() && n.Pod == pod
}

// mayBeIsolated says whether an earlier monitor may have isolated the server, and ended. It does that
// after its note, and before it writes that.
func (n Node) mayBeIsolated() bool { return n.State == Bootstrapping || n.NonPrimary != nil }

// undoIsolation ends an isolation whose session is gone, unless another session leads.
func (j *Joined) undoIsolation(ctx context.Context) error {
	session, err := j.open(ctx)
	if refusal := (*serverError)(nil); errors.Is(err, errNotServing) || errors.As(err, &refusal) && refusal.refused() {
		j.healer.undo = false // it was started anew, or was never isolated
		return nil
	}
	if err != nil {
		return err
	}
	defer session.close()
	if err := session.isolate(ctx, false); err != nil {
		return err
	}
	j.healer.undo = false
	return nil
}

// endHealing ends what was begun when the server has a primary component again.
func (j *Joined) endHealing(ctx context.Context) {
	h := &j.healer
	if h.session == nil && !h.undo {
		return
	}
	limited, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	err := error(nil)
	if h.session != nil {
		err = j.release(limited)
	} else {
		err = j.undoIsolation(limited)
	}
	if err != nil {
		j.sayHealing("server may still be isolated", "err", err)
	}
}

// nonPrimary is what is so of the server. An error means that nothing can be said.
func (j *Joined) nonPrimary(ctx context.Context) (n NonPrimary, err error) {
	if j.settings.Evicts {
		return n, errors.New("evs.auto_evict is on: a last primary component may come back without members that were evicted")
	}
	if j.healer.undo {
		if err := j.undoIsolation(ctx); err != nil {
			return n, err
		}
	}
	primary, p, err := j.component(ctx)
	if err == nil && primary {
		err = errors.New("the server has a primary component")
	}
	if err != nil { // a server that does not answer may be about to end, and have any position
		return n, err
	}
	n.Position = p
	// After the server: what it writes there, it writes before it says that it is primary.
	var view *View
	if n.Me, n.Members, view, err = j.dir.lastPrimary(); err != nil {
		return n, err
	}
	switch {
	case view == nil:
		return n, fmt.Errorf("%s does not say in which primary component the server was", gvwstateName)
	case len(n.Members) > maxHealed:
		return n, fmt.Errorf("the last primary component had %d members, and a note has room for %d", len(n.Members), maxHealed)
	}
	n.View = *view
	return n, nil
}

// component asks the server, in the session that leads when there is one.
func (j *Joined) component(ctx context.Context) (primary bool, p Position, err error) {
	h := &j.healer
	if h.session != nil {
		primary, p, err = h.session.component(ctx)
		if err != nil {
			h.session.close()
			h.session, h.undo = nil, true
		}
		return primary, p, err
	}
	session, err := j.open(ctx)
	if err != nil {
		return false, p, err
	}
	defer session.close()
	return session.component(ctx)
}

// strangers are addresses at which somebody listens who is at rest by the record, or not in it.
func (j *Joined) strangers(ctx context.Context, r *Record) string {
	var found []peer
	for _, p := range j.dial(ctx, j.settings.peers(ctx)) {
		known, runs := r.at(p, j.settings.Node, func(n Node) bool { return n.State.mayRun() })
		if !known || !runs {
			found = append(found, p)
		}
	}
	return strings.Join(texts(found), ", ")
}
