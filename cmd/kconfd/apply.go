package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/render"
)

// write brings a group's files to disk and tells the process: stage all, check
// all, commit all, act, verify. Until the commit, no live file is touched; what
// has failed after it is owed, or all of it is undone.
func (e *engine) write(ctx context.Context, j *job) (err error) {
	defer func() { e.endTurn(j, err) }()
	if j.ledger.Undoing {
		if err := e.finishUndo(j, nil); err != nil {
			return err
		}
		return errSuperseded // by what comes of a fresh look
	}
	j.look()
	batch, err := render.Stage(j.files)
	if err != nil {
		return err
	}
	defer batch.Discard()
	if err := exposed(batch); err != nil {
		return err
	}
	changed := slices.ContainsFunc(batch.Files, func(f *render.Staged) bool { return !f.InSync() })
	rewritten := slices.ContainsFunc(batch.Files, (*render.Staged).Rewritten)
	e.step("staged")
	if rewritten {
		e.sketch(j, batch)
		if err := e.check(ctx, j, batch); err != nil {
			return err
		}
		e.step("checked")
	}
	if e.tells(j.group) && (rewritten || j.owed) || j.line.restart {
		if err := e.takeTurn(ctx, j); err != nil {
			return err
		}
	}
	if changed {
		if ctx.Err() != nil {
			return context.Cause(ctx) // what goes live now could not be told to anybody
		}
		j.ledger.unproven = j.ledger.unproven && !rewritten
		candidates := j.candidates(batch)
		if err := e.commit(j, batch); err != nil {
			return err
		}
		j.look()
		maps.Copy(j.onDisk, candidates)
	}
	j.wrote, j.live = rewritten, true
	j.ledger.unproven = j.ledger.unproven && !j.line.changed
	if !rewritten && !j.owed && !j.line.restart {
		return nil
	}
	return e.tell(ctx, j)
}

// look notes what the files are on disk, before they are compared and after
// they are written: what changes later was somebody else.
func (j *job) look() {
	j.onDisk = map[string]fingerprint{}
	for _, f := range j.files {
		j.onDisk[f.Dest] = fingerprintOf(f.Dest)
	}
}

// candidates are the fingerprints that files will have when they are renamed:
// what is found in their places afterwards may be somebody else's already.
func (j *job) candidates(batch *render.Batch) map[string]fingerprint {
	all := map[string]fingerprint{}
	for _, f := range batch.Files {
		if f.Rewritten() && !f.InPlace {
			all[f.Dest] = fingerprintOf(f.Path)
		}
	}
	return all
}

func (e *engine) commit(j *job, batch *render.Batch) error {
	if e.flags.diff {
		if err := e.printDiff(j, batch); err != nil {
			return err
		}
	}
	before, spare, err := e.prepareUndo(j, batch)
	if err != nil {
		return err
	}
	e.step("prepared")
	switch err := batch.Commit(); {
	case errors.Is(err, render.ErrNotDurable):
		e.log.Warn("written", "err", err) // the process has to be told all the same
	case err != nil:
		return errors.Join(err, j.ledger.save(before))
	}
	e.step("committed")
	render.Forget(spare)
	for _, f := range batch.Files {
		switch {
		case f.Rewritten():
			e.log.Info("written", "file", f.Dest, "bytes", len(f.Content))
		case !f.InSync() && len(f.Unkept()) == 0:
			e.log.Info("mode or owner put right", "file", f.Dest)
		}
	}
	e.reportUnkept(j, batch)
	return nil
}

// reportUnkept logs what files have not got of what they should have beside their content:
// once, since on a volume without modes it is the same at every write.
func (e *engine) reportUnkept(j *job, batch *render.Batch) {
	for _, f := range batch.Files {
		unkept := strings.Join(f.Unkept(), "; ")
		if unkept != "" && unkept != j.of.unkept[f.Dest] {
			e.log.Warn("file attributes not kept", "file", f.Dest, "unkept", unkept)
		}
		j.of.unkept[f.Dest] = unkept
	}
}

// prepareUndo notes in the ledger how to go back. A file that is alone and of
// which nobody is told needs nothing: it is the old one or the new one.
func (e *engine) prepareUndo(j *job, batch *render.Batch) (before entry, spare []render.Old, err error) {
	before = j.ledger.entry
	if len(batch.Files) == 1 && !e.tells(j.group) {
		return before, nil, nil
	}
	olds, err := batch.KeepOld()
	if err != nil {
		return before, nil, err
	}
	next, spare := j.ledger.with(olds)
	if err := j.ledger.save(next); err != nil {
		if j.ledger.must {
			return before, nil, fmt.Errorf("nothing is written, for there would be no way back: %w", err)
		}
		e.log.Warn("what is owed would not survive a crash", "group", j.group.name, "err", err)
	}
	return before, spare, nil
}

// tells says whether a change of the group's files has consequences.
func (e *engine) tells(g *groupConfig) bool {
	return !e.flags.syncOnly && (g.action.Kind != reload.None || g.verify != nil)
}

// plan is write for -noop.
func (e *engine) plan(_ context.Context, j *job) error {
	j.look()
	batch, err := render.Plan(j.files)
	if err != nil {
		return err
	}
	defer batch.Discard()
	if err := exposed(batch); err != nil {
		return err
	}
	for _, f := range batch.Files {
		if err := e.refuseContent(f); err != nil {
			return err
		}
		if !f.InSync() {
			e.log.Info("would write", "file", f.Dest, "bytes", len(f.Content))
		}
	}
	if e.flags.diff {
		return e.printDiff(j, batch)
	}
	return nil
}

func (e *engine) printDiff(j *job, batch *render.Batch) error {
	for i, f := range batch.Files {
		diff, err := f.Diff()
		if err != nil {
			return err
		}
		if _, err := io.WriteString(e.out, e.redactDiff(diff, f, j.before[i], j.masks[i], j.known)); err != nil {
			return err
		}
	}
	return nil
}
