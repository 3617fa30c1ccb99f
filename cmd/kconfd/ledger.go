package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/kconfd/kconfd/internal/safefs"
	"github.com/kconfd/kconfd/render"
	"github.com/kconfd/kconfd/state"
)

// A ledger is what of a group outlives this process: the way back to the files
// that the process was last told of, and whether it is owed another word. It is
// on disk before the files that it is about are live, and says "nothing" when
// the process has been told of them.
//
// Without a state directory it is a hidden file beside one of the group's files:
// where that is kept, so is what is owed. Only what kconfd's own user wrote
// counts, and of that only what is about the group's files: another user may
// write to the directory, and move there what kconfd once wrote.
//
// One job at a time has a group's ledger.
type ledger struct {
	path string
	must bool // without it nothing goes live, since somebody asked for it
	entry

	unproven bool // the process has been told of what is live, and nobody has waited for the proof
}

// An entry is a ledger's content.
type entry struct {
	Group   string       `json:"group"`
	Files   []string     `json:"files"`             // the group's
	Olds    []render.Old `json:"olds,omitempty"`    // what the files were when the process was last told
	Owed    bool         `json:"owed,omitempty"`    // the process is to be told, whatever the files are
	Failed  bool         `json:"failed,omitempty"`  // the action has failed, and nothing was broken off
	Undoing bool         `json:"undoing,omitempty"` // the files are on their way back to what they were
	Applied *applied     `json:"applied,omitempty"`
}

// applied is what the process was last told of. It is kept in a state directory
// only.
type applied struct {
	At     time.Time `json:"at"`
	Counts counts    `json:"counts,omitempty"`
}

// counts are those of a group's guards, by what each counts.
type counts map[string]int

// newLedger is the ledger of a group, in the state directory if there is one.
func newLedger(g *groupConfig, dir *state.Dir) *ledger {
	l := &ledger{entry: entry{Group: g.name}}
	for _, t := range g.templates {
		l.Files = append(l.Files, t.file.Target())
	}
	switch {
	case dir != nil:
		name := sha256.Sum256([]byte(g.name))
		l.path, l.must = dir.File(hex.EncodeToString(name[:8])+".json"), true
	case len(l.Files) > 0:
		l.path = ledgerBeside(safest(l.Files))
	}
	return l
}

// safest is the first file whose directory no other user may write to, else the
// first.
func safest(files []string) string {
	for _, file := range files {
		if !shared(filepath.Dir(file)) {
			return file
		}
	}
	return files[0]
}

// shared says whether other users may write to a directory, or it cannot be
// opened.
func shared(path string) bool {
	dir, err := safefs.OpenDir(path, safefs.Checked)
	if err != nil {
		return true
	}
	defer dir.Close()
	return dir.Shared
}

func ledgerBeside(target string) string {
	return filepath.Join(filepath.Dir(target), "."+filepath.Base(target)+".kconfd")
}

// load reads what an earlier process left.
func (l *ledger) load() error {
	if l.path == "" {
		return nil
	}
	var e entry
	found, err := state.Load(l.path, &e)
	if !found || err != nil {
		return err
	}
	if e.Olds, err = l.own(e.Olds); err != nil {
		return &state.DamagedError{Path: l.path, Err: err}
	}
	e.Group, e.Files = l.Group, l.Files
	l.entry = e
	return nil
}

// own are the olds that are about the ledger's files. One that leads elsewhere
// from there is an error.
func (l *ledger) own(olds []render.Old) (own []render.Old, err error) {
	for _, o := range olds {
		if !slices.Contains(l.Files, o.Target) {
			continue // of a template that the group had once
		}
		if !o.Valid(o.Target) {
			return nil, fmt.Errorf("what it says of %q is nothing that kconfd writes", o.Target)
		}
		own = append(own, o)
	}
	return own, nil
}

// adopt takes over the ledgers at paths that are about files of this one: those
// of resource files that had another name, or other templates.
func (l *ledger) adopt(paths []string) error {
	for _, path := range paths {
		var e entry
		found, err := state.Load(path, &e)
		if !found || err != nil || path == l.path || !l.shares(e.Files) {
			continue // one that is damaged says nothing about whose it is
		}
		olds, err := l.own(e.Olds)
		if err != nil {
			return &state.DamagedError{Path: path, Err: err}
		}
		next := l.entry
		next.Olds = append(slices.Clone(l.Olds), olds...)
		next.Owed, next.Undoing = l.Owed || e.Owed, l.Undoing || e.Undoing
		next.Failed = e.Failed && (l.Failed || !l.pending())
		next.Applied = cmp.Or(l.Applied, e.Applied)
		if err := l.save(next); err != nil {
			return err
		}
		if err := state.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

func (l *ledger) shares(files []string) bool {
	return slices.ContainsFunc(files, func(f string) bool { return slices.Contains(l.Files, f) })
}

// counts are those of the guards when the process was told last; nil when that
// is not known.
func (l *ledger) counts() counts {
	if l.Applied == nil {
		return nil
	}
	return l.Applied.Counts
}

// save writes e and makes it the ledger's content.
func (l *ledger) save(e entry) error {
	e.Group, e.Files = l.Group, l.Files
	var err error
	switch {
	case l.path == "":
	case len(e.Olds) == 0 && !e.Owed && !e.Undoing && e.Applied == nil:
		err = state.Remove(l.path)
	default:
		err = state.Save(l.path, e)
	}
	if err != nil && l.must {
		return err
	}
	l.entry = e
	return err
}

// pending says whether there is a way back, or something that is owed.
func (l *ledger) pending() bool { return len(l.Olds) > 0 || l.Owed || l.Undoing }

// with is the entry for a commit that replaces olds. The way back leads to what
// the process was last told of: spare is what is not needed for that.
func (l *ledger) with(olds []render.Old) (e entry, spare []render.Old) {
	e = l.entry
	e.Olds = append([]render.Old(nil), l.Olds...)
	e.Failed = false
	e.Owed = l.pending() // what it was told since may be half done
	at := map[string]int{}
	for i, o := range e.Olds {
		at[o.Target] = i
	}
	for _, o := range olds {
		if i, known := at[o.Target]; known {
			e.Olds[i].New = o.New
			spare = append(spare, o)
			continue
		}
		e.Olds = append(e.Olds, o)
	}
	return e, spare
}

// failed notes that the action has failed: what is owed is not what an earlier process
// was killed in.
func (l *ledger) failed() error {
	if l.Failed || l.Undoing || !l.pending() {
		return nil
	}
	e := l.entry
	e.Failed = true
	return l.save(e)
}

// done ends what was pending: the process knows of the files.
func (l *ledger) done(a *applied) error {
	olds := l.Olds
	e := entry{Applied: l.Applied}
	if l.must && a != nil {
		e.Applied = a
	}
	if err := l.save(e); err != nil {
		return err
	}
	render.Forget(olds)
	return nil
}

// recover finishes or undoes what an earlier process left, and says whether the
// process is owed a word. What was live as a whole stays.
func (l *ledger) recover() (owed bool, err error) {
	if l.Undoing {
		return true, l.undo()
	}
	if len(l.Olds) == 0 {
		return l.Owed, nil
	}
	for _, o := range l.Olds {
		replaced, err := o.Replaced()
		if err != nil {
			return false, fmt.Errorf("looking at what an earlier kconfd left: %w", err)
		}
		if !replaced {
			owed = l.Owed
			return owed, l.undo()
		}
	}
	return true, nil
}

// undo puts the files back. Who was told of them is to be told again.
func (l *ledger) undo() error {
	if err := render.Undo(l.Olds); err != nil {
		return err
	}
	return l.save(entry{Owed: l.Owed || l.Undoing, Applied: l.Applied})
}
