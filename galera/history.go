package galera

import (
	"context"
	"fmt"
)

// recall reads what is known at the monitor's start: of the data directory, which a full transfer
// may empty, and of the record. Where a transfer has begun to empty it, the entry has the generation
// of this start. An error is that of the first step that needs the file or the record.
//
// A server that an earlier monitor may have isolated is to be released, also while the API server is
// away: only the session that isolated it could make a component of it, and that is gone.
func (j *Joined) recall(ctx context.Context) {
	j.generation, _ = j.dir.generation()
	j.memory, _ = j.dir.memory()
	old, err := j.store.get(ctx)
	j.healer.undo = err != nil || old == nil || old.Nodes[j.settings.Node].mayBeIsolated()
	if err != nil || old == nil {
		return
	}
	j.seen.known = old.Record
	if own := old.Nodes[j.settings.Node]; j.generation == 0 && own.Pod == j.Pod && own.State.mayRun() {
		j.generation = own.Generation
	}
}

// keepHistory writes beside the data again what a full transfer has removed: of which history they
// are, and what they remember of the record. It needs no record: the node may be overruled, and end,
// before the API server answers.
func (j *Joined) keepHistory() error {
	written, err := j.dir.generation()
	if err != nil {
		return err
	}
	if written == 0 && j.generation > 0 {
		if err := j.dir.setGeneration(j.generation); err != nil {
			return fmt.Errorf("writing the generation of the data in %q: %w", j.settings.DataDir, err)
		}
	}
	m, err := j.dir.memory()
	if err != nil || m.Record != "" || j.memory.Record == "" {
		return err
	}
	if err := j.dir.remember(j.memory); err != nil {
		return fmt.Errorf("writing what the data directory %q remembers: %w", j.settings.DataDir, err)
	}
	return nil
}

// keepHistory writes beside the data of which history they are, if a full transfer has removed that
// and the server ended before its monitor wrote it. The entry has it until it is replaced or deleted. An
// entry at rest is not the one of the last start, nor is one of a start that was not carried out.
func keepHistory(dir disk, l *local, name string, own Node) error {
	if l.data != Full || l.generation > 0 || own.Generation == 0 || own.State != "" && !own.State.mayRun() || l.outlived(name, own) {
		return nil
	}
	if err := dir.setGeneration(own.Generation); err != nil {
		return fmt.Errorf("writing the generation of the data: %w", err)
	}
	l.generation = own.Generation
	return nil
}

// remembers is what the data directory remembers of the record, as the monitor has read or written it.
func (j *Joined) remembers() local { return local{generation: j.generation, memory: j.memory} }

// settled is the record, or what the data directory proves of a later version of it: that there was
// one, and which generation it had at least. The monitor may never have read that version.
func (j *Joined) settled(r *Record) *Record {
	switch {
	case r.older(j.settings.Node, j.remembers()) != "":
		later := newRecord(r.Name)
		later.ID, later.Writes, later.Generation = j.memory.Record, max(r.Writes, j.memory.Writes)+1, j.generation
		return r.merged(later)
	case r.Generation < j.generation: // one that was begun anew
		r = r.clone()
		r.Generation, r.Adopted = j.generation, true
	}
	return r
}
