package main

import "time"

// contended is how soon after a file was put right the next such event makes
// two writers of it probable.
const contended = 10 * time.Second

const touched = "a live file was touched by somebody else"

// drift looks for live files that somebody else touched, and has them put
// right.
func (e *engine) drift() {
	e.targets.Watch(e.dests()) // a directory may have been replaced
	for _, g := range e.groups {
		if g.busy || !g.settled || g.dirty || !g.retry.IsZero() || !g.drifted() || e.leaves(g) {
			continue
		}
		e.log.Warn(touched, "group", g.name)
		if now := time.Now(); now.Sub(g.written) < contended {
			// Again, and so soon: not at once, or two writers would keep each
			// other busy.
			g.retry = now.Add(g.contest.Next())
			continue
		}
		g.contest.Reset()
		g.dirty = true
	}
}

// leaves says whether what somebody else did to the group's files stays, and
// tells it if that is wanted.
func (e *engine) leaves(g *group) bool {
	if g.drift == driftReport {
		e.log.Warn(touched, "group", g.name)
		g.onDisk = nil // once is enough
	}
	return g.drift != driftRepair
}
