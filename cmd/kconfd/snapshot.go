package main

import (
	"errors"
	"io/fs"
	"time"

	"github.com/kconfd/kconfd/state"
)

// A snapshotter keeps the objects last seen in the state directory, for a start
// while the API server is away. The loop owns it.
type snapshotter struct {
	path string // empty without a state directory

	revision uint64    // of the watcher, of what is saved
	next     time.Time // when the next one may be saved
	saving   chan saved
}

type saved struct {
	revision uint64
	err      error
}

// snapshotPause is the least time between two snapshots: a large one takes its
// time to encode, and what it is for is rare.
const snapshotPause = 10 * time.Second

// maxSnapshot is how many bytes a snapshot may have. One of 100,000 endpoints has
// a tenth of that.
const maxSnapshot = 1 << 30

// keepSnapshot saves the objects when they are others than before.
func (e *engine) keepSnapshot(now time.Time) {
	s := &e.snapshots
	if s.path == "" || s.saving != nil || now.Before(s.next) || !e.inOrder() {
		return
	}
	revision := e.watcher.Revision()
	if revision == s.revision {
		return
	}
	s.next = now.Add(snapshotPause)
	done := make(chan saved, 1)
	s.saving = done
	go func() { // until it is saved
		snapshot, err := e.watcher.Snapshot()
		if err == nil {
			err = state.Write(s.path, snapshot)
		}
		done <- saved{revision, err}
	}()
}

// savedSnapshot takes the outcome.
func (e *engine) savedSnapshot(s saved) {
	e.snapshots.saving = nil
	if s.err != nil {
		e.log.Warn("the objects could not be kept for a start without the API server", "err", s.err)
		return
	}
	e.snapshots.revision = s.revision
}

// restoreSnapshot has the watcher answer from the objects that an earlier kconfd
// saw last, as far as it knows nothing better.
func (e *engine) restoreSnapshot() {
	if e.snapshots.path == "" || e.settledAll() {
		return
	}
	snapshot, err := state.Read(e.snapshots.path, maxSnapshot)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = e.watcher.Restore(snapshot)
	}
	if err != nil {
		e.meters.refuse(sourceState)
		e.log.Warn("the objects last seen are of no use", "err", err)
		return
	}
	e.log.Warn("going on with the objects last seen", "timeout", e.flags.timeout.String())
}

// settledAll says whether each group has been applied once.
func (e *engine) settledAll() bool {
	for _, g := range e.groups {
		if !g.settled {
			return false
		}
	}
	return true
}

// lookAtAge notes which groups have been rendered from data that may be old.
func (e *engine) lookAtAge() {
	for _, g := range e.groups {
		var old error
		for _, r := range g.readers() {
			if err := r.OutOfDate(); err != nil && !waiting(err) {
				old = err
				break
			}
		}
		switch {
		case old != nil && g.old == nil:
			e.log.Warn("what was read may be out of date", "group", g.name, "err", old)
		case old == nil && g.old != nil:
			e.log.Info("what was read is up to date again", "group", g.name)
		}
		g.old = old
	}
}
