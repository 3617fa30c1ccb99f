package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/render"
)

// A job is one group's files on their way to disk and process.
type job struct {
	of    *group // the loop's
	group *groupConfig
	files []render.File // nil when only what is owed is to be done
	owed  bool          // tell the process even when no file changes
	known bool          // what is live was rendered by this process

	masks  []*render.Mask // of the files, which of their lines stem from secrets; nil for those of which none does
	before []*render.Mask // of what is live

	ledger *ledger // the group's, which is the job's while it runs

	turnstile *turnstile // to the gate; nil without one
	ungated   bool       // nobody is disturbed by what the job does

	line lineWork

	counts counts          // of the guards, for this content
	life   context.Context // ends when kconfd does
	cancel context.CancelCauseFunc
	story  story

	// What the job did.
	wrote  bool
	live   bool // the files are on disk: what failed, failed after that
	acted  bool
	unborn bool                   // the child had not been started yet
	last   time.Time              // when the process was told last
	onDisk map[string]fingerprint // of the files as it left them
}

// A phase is a job that begins or ends to wait for others. While it waits it is
// not at work on files, and can be ended for newer content.
type phase struct {
	job     *job
	waiting bool
	queued  bool // for the gate
}

// An ask is a job that wants the child to be told. The answer is how that went.
type ask struct {
	job     *job
	action  reload.Action
	back    bool // of files that were live before
	atStart bool // it came while a start was prepared
	answer  chan error
}

// A result is the end of a job.
type result struct {
	job *job
	err error
}

// start hands files to a job, which ends by itself: all that it runs has a
// deadline, and ctx ends it early. Without files it is only about what is owed.
func (e *engine) start(ctx context.Context, g *group, files []render.File) {
	g.takeOver()
	jobCtx, cancel := context.WithCancelCause(ctx)
	j := &job{
		of: g, group: &g.groupConfig, files: files, owed: g.owed, known: g.settled && !g.drifted() && !e.flags.noop,
		turnstile: g.turnstile, ungated: e.child != nil && g.action.ForChild() && !e.child.started,
		ledger: g.ledger, counts: g.counts(), life: ctx, cancel: cancel, last: g.told,
		story: story{began: time.Now(), cause: g.shown.cause},
	}
	for _, t := range g.templates {
		j.masks, j.before = append(j.masks, t.mask), append(j.before, t.live)
	}
	e.planRestart(j)
	if files == nil {
		j.counts = g.applied // what is live is not what has been counted
	}
	g.busy, g.job = true, j
	e.jobs++
	e.working.Add(1)
	go func() {
		defer cancel(nil)
		err := e.apply(jobCtx, j)
		e.working.Add(-1)
		e.results <- result{j, err}
	}()
}

// phase tells the loop that a job waits, or goes on.
func (e *engine) phase(j *job, waiting bool) { e.tellPhase(phase{job: j, waiting: waiting}) }

func (e *engine) tellPhase(p phase) { e.phases <- p }

// finish takes a job's result.
func (e *engine) finish(r result, now time.Time) {
	e.jobs--
	e.settle(r, now)
}

// settle takes the end of all that was to be done for a group.
func (e *engine) settle(r result, now time.Time) {
	j, g := r.job, r.job.of
	g.busy, g.waiting, g.queued, g.job = false, false, false, nil
	g.told = j.last
	g.owed = (j.owed || j.wrote) && !j.acted
	g.noteRestart(r)
	e.lineSettled(g)
	e.record(r, now)
	if j.files == nil {
		e.settleOwed(r, now)
		return
	}
	if j.wrote {
		g.written = now
		if g.err != nil && !g.reached {
			g.backoff.Reset() // it got further than before
		}
	}
	g.onDisk = j.onDisk
	g.noteLive(r)
	e.meters.job(r)
	if !e.follows(g) {
		g.giveUp()
	}
	if r.err != nil {
		g.trouble(r, now)
		return
	}
	if g.err != nil && g.settled && g.blamed.IsZero() {
		g.blamed = g.since
	}
	if !g.blamed.IsZero() {
		e.log.Info("in order again", "group", g.name, "after", now.Sub(g.blamed).Round(time.Millisecond).String())
	}
	g.settled, g.err, g.rejected, g.blamed = true, nil, rejected{}, time.Time{}
	g.applied, g.line.good = j.counts, j.line.rendered
	if g.drifted() && !e.leaves(g) {
		// While the job ran, perhaps by the very process that it told: not at
		// once, or the two would keep each other busy.
		g.retry = now.Add(g.backoff.Next())
		e.log.Warn(touched, "group", g.name, "retry", g.retry.Sub(now).Round(time.Millisecond).String())
		return
	}
	g.backoff.Reset()
}

// follows says whether the group goes on, or another one in its place.
func (e *engine) follows(g *group) bool {
	return slices.ContainsFunc(e.groups, func(now *group) bool { return now == g || slices.Contains(now.after, g) })
}

// settleOwed is settle for a job that was only about what is owed.
func (e *engine) settleOwed(r result, now time.Time) {
	g := r.job.of
	g.tried = true
	if r.err != nil && !errors.Is(r.err, errSuperseded) {
		e.log.Warn("still owed", "group", g.name, "err", r.err)
	}
	if g.owed {
		g.retry = now.Add(g.backoff.Next())
		return
	}
	g.backoff.Reset()
	g.dirty = true // for what is to be written: until when that waits
}

// trouble notes why a job did not come to its end, and when to try again.
func (g *group) trouble(r result, now time.Time) {
	var throttled *throttledError
	var back *rolledBackError
	switch {
	case errors.Is(r.err, errSuperseded):
		g.dirty = true
		return
	case errors.As(r.err, &throttled):
		g.settled, g.err, g.retry = true, nil, throttled.until
		return
	case errors.As(r.err, &back):
		g.rejected = rejected{digest(r.job.files, r.job.line.rendered), now.Add(g.rejections.Next())}
	}
	g.failed(r.err, now)
	g.stuck, g.reached = !r.job.live, r.job.live
	g.retry = now.Add(g.backoff.Next())
	if back != nil && !g.owed {
		g.retry = g.rejected.until
	}
}
