package galera

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// confirm reads the record once more, directly before the decision is carried out. The decision
// stands as long as the node's entry is the one that this start has written with it: a pause, and
// a record that was put back in the meantime, may have made another node the first.
//
// A join needs no confirmation while the API server is away: it makes no second cluster.
func (s *Start) confirm(ctx context.Context, d decision) bool {
	if d.record == nil {
		return true // it was decided without the record
	}
	old, err := s.store.get(ctx)
	switch {
	case transient(err) && d.action == join:
		return true
	case err != nil: // it is reported by the next round
		return false
	}
	if old != nil {
		if own := old.Nodes[s.settings.Node]; own.Token == d.token && own.State.mayRun() {
			s.memory.Record, s.memory.Writes = old.ID, old.Writes
			return true
		}
	}
	s.say(slog.LevelWarn, "the record was changed before the start, or put back: it is decided again")
	clear(s.attempts)
	s.offer, s.since = "", time.Time{}
	return false
}

// keepMemory writes beside the data what the node's start was decided by.
func (s *Start) keepMemory(d decision) error {
	if d.record == nil {
		return nil
	}
	m := s.memory
	m.Starts = m.Next
	if err := s.dir.remember(m); err != nil {
		return fmt.Errorf("writing what the data directory %q remembers: %w", s.settings.DataDir, err)
	}
	return nil
}

// mayBelieve says whether a person has decided that the node is to be the first although the record
// is known to have been put back.
func (s *Start) mayBelieve(r *Record) bool {
	d := r.Bootstrap
	return r.PutBack && d != nil && d.Force && d.From == s.settings.Node
}

// distrust waits, since the record is older than what the data directory remembers. It says so in
// the record: the other nodes may not have seen that, and must not elect one of them by it. A
// decision that stands in it is void.
func (s *Start) distrust(ctx context.Context, old *stored, fault string) (decision, error) {
	reason := fmt.Sprintf("%s; the data are at %s; %s", fault, s.local.position, wayOut)
	d := decision{action: wait, reason: reason}
	s.say(slog.LevelWarn, reason)
	if err := s.mark(); err != nil { // the entry may say that the server does not run
		return d, err
	}
	own, known := old.Nodes[s.settings.Node]
	// A node with rows does not believe the record before the start is in it again: they may be those of
	// a history that the record does not have. Without rows nothing can be lost, and no monitor corrects
	// the number if none has read the version in which this node was started.
	forgot := known && s.local.data != Full && s.local.data != Fresh && own.Starts < s.local.memory.Starts
	if old.PutBack && old.Generation >= s.local.generation && !forgot && (!known || own.Waits == cut(reason)) {
		return d, nil
	}
	r := old.clone()
	if !r.PutBack {
		r.PutBack, r.Adopted, r.Bootstrap = true, true, nil
	}
	r.Generation = max(r.Generation, s.local.generation)
	if known {
		if own.Waits = cut(reason); forgot {
			own.Starts = s.local.memory.Starts
		}
		r.Nodes[s.settings.Node] = own
	}
	_, err := s.store.put(ctx, old, r)
	return d, err
}
