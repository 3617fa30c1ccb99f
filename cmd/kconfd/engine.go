package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/kconfd/kconfd/apiclient"
	"github.com/kconfd/kconfd/events"
	"github.com/kconfd/kconfd/internal/status/web"
	"github.com/kconfd/kconfd/internal/steady"
	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/render"
	"github.com/kconfd/kconfd/state"
	"github.com/kconfd/kconfd/watcher"
)

// An engine is the loop that owns all groups. Events only poke it; it renders
// what changed and hands the files to jobs, one a group at a time, which check
// and write them and tell the process. It is the same for -onetime, which ends
// it when every group is applied, and for the daemon.
type engine struct {
	flags    *flags
	log      *slog.Logger
	watcher  *watcher.Watcher
	redactor *render.Redactor
	apply    func(context.Context, *job) error // what becomes of rendered files
	signals  caught                            // without a child
	hup      <-chan struct{}                   // read the configuration again
	meters   *meters
	out      io.Writer         // for diffs
	step     func(name string) // called at each step of the way to disk and process

	listener net.Listener     // for HTTP; nil without -listen
	web      *web.Server      // the same
	events   *events.Recorder // nil without -events
	board    *board

	// For whoever waits for the end of the loop.
	rendering atomic.Bool  // templates are being run, which nothing can break off
	working   atomic.Int32 // jobs that have not ended

	still  bool              // the data will not change: what is held now stays held
	enough func(*group) bool // when set, says that -onetime need not wait for a group
	child  *child            // nil when there is no command to supervise

	successor *successor // nil unless a command takes kconfd's place after -onetime

	herald herald
	state  *state.Dir // nil without one

	snapshots snapshotter

	groups  []*group
	gone    []*group // without a resource file now, and at work or owing: the file may come back
	results chan result
	phases  chan phase
	asks    chan ask
	late    bool // the time for first data has passed
	jobs    int  // under way, also those of groups that are gone
	secrets secrets
	config  *watcher.Files
	targets *watcher.Files
	refused string // why the configuration on disk is not in use
	absent  string // the file for want of which it is not

	rereading rereading
}

func newEngine(f *flags, log *slog.Logger, w *watcher.Watcher, redactor *render.Redactor) *engine {
	e := &engine{flags: f, log: log, watcher: w, redactor: redactor, results: make(chan result), phases: make(chan phase), asks: make(chan ask), meters: newMeters(w), board: newBoard(), step: func(string) {}}
	e.rereading.files = steady.New(f.quiet.Min)
	e.apply = e.write
	if f.noop {
		e.apply = e.plan
	}
	return e
}

// run is the loop. With once it ends when all groups are applied, one has
// failed, or the timeout has passed; else when ctx ends. No job outlives it.
func (e *engine) run(ctx context.Context, once bool) error {
	e.watchFiles(once)
	defer e.closeFiles()
	defer e.closeGates()
	e.child.takeOver(e.flags.args, e)
	deadline := time.After(e.flags.timeout)
	timer := time.NewTimer(0)
	defer timer.Stop()
	idle := time.NewTimer(idleAfter)
	defer idle.Stop()
	for {
		e.reread(time.Now())
		e.begin(ctx, time.Now())
		if once {
			if done, err := e.finished(); done {
				return err
			}
		}
		e.attend(ctx)
		e.lookAtLine(time.Now())
		e.remind(time.Now())
		e.announce(time.Now())
		e.keepSnapshot(time.Now())
		e.notice(time.Now())
		timer.Reset(e.sleep(time.Now()))
		select {
		case <-ctx.Done():
			return e.stop()
		case <-e.watcher.Changed(): // data
			e.poke(time.Now())
		case <-e.config.Changed(): // resource files or templates on disk
			e.noteEdits(time.Now())
		case <-e.hup: // the same, by order
			e.reconfigure(time.Now(), true)
		case <-e.targets.Changed(): // live files, perhaps by somebody else
			e.drift()
		case r := <-e.results: // a job ended
			e.finish(r, time.Now())
			idle.Reset(idleAfter)
		case p := <-e.phases: // a job waits, or goes on
			p.job.of.waiting, p.job.of.queued = p.waiting, p.queued
		case a := <-e.asks: // a job wants the child to be told
			e.takeAsk(a)
		case o := <-e.child.order(): // the supervisor prepares a start
			e.takeOrder(o)
		case err := <-e.child.answer(): // the child has been restarted or signalled
			e.childTold(err)
		case s := <-e.snapshots.saving: // the objects are on disk
			e.savedSnapshot(s)
		case <-e.child.changed(): // whether the child is ready
			e.child.watch.news = true
			e.board.changed()
		case answer := <-e.board.asks: // somebody looks
			answer <- e.status(time.Now())
		case <-idle.C: // nothing is being written
			debug.FreeOSMemory()
		case <-timer.C: // quiet is over, a retry or a message is due
		case <-deadline: // for data: what is at work has a deadline of its own
			e.timeOut()
		}
	}
}

// idleAfter is how long after the last job memory is given back: a large list
// leaves garbage of its own size, and kconfd mostly sleeps beside a process
// that has better use for it.
const idleAfter = 2 * time.Second

func (e *engine) watchFiles(once bool) {
	e.config, e.targets = watcher.NewFiles(e.log), watcher.NewFiles(e.log)
	if once {
		return // what is on disk when it starts counts
	}
	e.config.Watch(e.configPaths())
	e.targets.Watch(e.dests())
}

func (e *engine) closeFiles() {
	e.config.Close()
	e.targets.Close()
}

// files are those of all groups, without content.
func (e *engine) files() []render.File {
	var files []render.File
	for _, g := range e.groups {
		for _, t := range g.templates {
			files = append(files, t.config.file)
		}
	}
	return files
}

func (e *engine) dests() []string {
	var dests []string
	for _, f := range e.files() {
		dests = append(dests, f.Dest)
	}
	return dests
}

// poke notes the groups whose data changed.
func (e *engine) poke(now time.Time) {
	at := e.watcher.LastChange(now)
	e.watcher.View(func(v *watcher.View) {
		for _, g := range e.groups {
			switch {
			case !e.stale(g, v):
			case g.settled, g.busy, g.failing():
				g.quiet.Poke(at)
			default:
				g.dirty = true // nothing is live yet: at once
			}
			g.dirty = g.dirty || held(g.err) && (g.wantsFresh() || !g.settled)
		}
		e.pokeLine(v, at)
	})
	e.lookAtAge()
}

// begin renders the groups that are due and starts their jobs.
func (e *engine) begin(ctx context.Context, now time.Time) {
	var groups []*group
	for _, g := range e.groups {
		if at, due := g.due(); due && !at.After(now) {
			groups = append(groups, g)
		}
	}
	if len(groups) == 0 {
		return
	}
	for _, g := range groups {
		if news := g.retry.IsZero() || now.Before(g.retry); news {
			// What was failing is not what is tried now. But the back-off goes on: where all
			// is failing, a storm of news must not make it a storm of retries.
			g.stuck = false
		}
		g.shown.due = e.why(g, now)
		g.dirty, g.retry = false, time.Time{}
		g.quiet.Done()
	}
	errs := map[*group]error{}
	empty := map[*group]map[*watcher.Reader][]watcher.Dependency{}
	// All in one view, so that the watches are chosen for all of them at once.
	e.rendering.Store(true)
	e.watcher.View(func(v *watcher.View) {
		for _, g := range groups {
			e.look(g, v, now)
			errs[g] = e.renderGroup(g, v, now)
			empty[g] = g.emptyOf(v, errs[g])
		}
	})
	e.rendering.Store(false)
	e.hideSecrets()
	for _, g := range groups {
		if empty[g] != nil {
			e.seeEmpty(g, empty[g], now)
		}
		e.countLimits(g, errs[g])
		if err := errs[g]; err != nil {
			if g.busy { // and waits; how that ends is known before what is next
				g.dirty = true
				continue
			}
			g.failed(err, now)
			switch {
			case held(err):
				g.retry = g.release(now)
			case passing(err):
				g.retry = time.Now().Add(g.slow.Next()) // the render itself took long
			}
			if g.owed && !g.busy && (g.settled || e.late) {
				e.start(ctx, g, nil) // what is live waits for no data
			}
			continue
		}
		g.slow.Reset()
		e.take(ctx, g, now)
	}
}

// take does what is due with a group that has been rendered.
func (e *engine) take(ctx context.Context, g *group, now time.Time) {
	switch {
	case g.busy && !g.job.outdated(g.files()) && e.sameLine(g.job):
	case g.busy: // but only waiting
		g.job.cancel(errSuperseded)
		g.dirty = true
	case g.owed && g.stuck:
		g.stuck = false // then it is the turn of what is new
		e.start(ctx, g, nil)
	case !g.rejects(now):
		e.start(ctx, g, g.files())
	case g.owed:
		e.start(ctx, g, nil)
	default:
		g.retry = g.rejected.until
	}
}

// outdated says whether the job is about other content.
func (j *job) outdated(files []render.File) bool {
	return j.files != nil && !slices.EqualFunc(j.files, files, func(a, b render.File) bool { return bytes.Equal(a.Content, b.Content) })
}

// timeOut is when first data has been waited for long enough: what is live and
// owed is told without.
func (e *engine) timeOut() {
	e.late = true
	e.restoreSnapshot()
	for _, g := range e.groups {
		g.dirty = g.dirty || !g.settled
	}
	e.sayNotStarted()
}

// remind says what keeps groups from being applied.
func (e *engine) remind(now time.Time) {
	for _, g := range e.groups {
		e.sayEmpty(g, now)
		if !g.troubled() || now.Before(g.warn) {
			continue
		}
		g.warn = now.Add(reminder)
		if g.blamed.IsZero() {
			g.blamed = g.since
		}
		err := e.explain(g)
		attrs := []any{"group", g.name, "err", err}
		if output := outputOf(err); output != "" {
			attrs = append(attrs, "output", output)
		}
		if h := hint(err); h != "" {
			attrs = append(attrs, "hint", h)
		}
		if !g.retry.IsZero() {
			attrs = append(attrs, "retry", g.retry.Sub(now).Round(time.Millisecond).String())
		}
		late := e.startsLater() && !g.live()
		if late {
			attrs = append(attrs, "command", filepath.Base(e.flags.args[0])) // the others may be anything
		}
		switch {
		case late && held(g.err):
			e.log.Warn("command not started, render held", attrs...)
		case late && waiting(g.err):
			e.log.Warn("command not started, waiting for data", attrs...)
		case held(g.err):
			e.log.Warn("render held, the last files stay", attrs...)
		case waiting(g.err):
			e.log.Warn("waiting for data, the last files stay", attrs...)
		default:
			e.log.Error("not applied", attrs...)
		}
	}
}

// explain adds to what a group waits for why it does not come.
func (e *engine) explain(g *group) error {
	var incomplete *watcher.IncompleteError
	var absent *watcher.AbsentError
	if errors.As(g.err, &absent) {
		if near := e.watcher.Near(absent); near != "" {
			return fmt.Errorf("%w; the nearest name is %q", g.err, near)
		}
	}
	if !errors.As(g.err, &incomplete) {
		return g.err
	}
	if problems := errors.Join(e.watcher.Problems()...); problems != nil {
		return fmt.Errorf("%w: %w", g.err, problems)
	}
	if pending := apiclient.Pending(); pending != "" {
		return fmt.Errorf("%w: the API server: waiting for %s", g.err, pending)
	}
	return g.err
}

// sleep is how long nothing will be due.
func (e *engine) sleep(now time.Time) time.Duration {
	next := now.Add(time.Hour)
	if e.watched() {
		next = now.Add(glance)
	}
	if at := e.rereading.at; !at.IsZero() && at.Before(next) {
		next = at
	}
	if alive := e.herald.alive; !alive.IsZero() && alive.Before(next) {
		next = alive
	}
	if s := e.snapshots; s.path != "" && s.next.After(now) && s.next.Before(next) {
		next = s.next
	}
	if e.child != nil {
		if at, pending := e.child.watch.quiet.Due(); pending && at.Before(next) {
			next = at
		}
	}
	for _, g := range e.groups {
		if at, due := g.due(); due && at.Before(next) {
			next = at
		}
		if g.troubled() && g.warn.Before(next) {
			next = g.warn
		}
		for _, list := range g.empty {
			if !list.said && list.say.Before(next) {
				next = list.say
			}
		}
	}
	return max(0, next.Sub(now))
}

// finished says whether -onetime has come to its end: nothing is at work, and
// what is missing, if anything, is no longer awaited.
func (e *engine) finished() (bool, error) {
	var failed, missing []error
	await := !e.still
	for _, g := range e.groups {
		var incomplete *watcher.IncompleteError
		switch {
		case e.enough != nil && e.enough(g):
		case g.busy, g.err == nil && !g.settled, g.owed && g.stuck && !g.tried:
			return false, nil
		case held(g.err), waiting(g.err):
			await = await || errors.As(g.err, &incomplete)
			missing = append(missing, fmt.Errorf("%s: %w", g.name, e.explain(g)))
		case g.err != nil:
			failed = append(failed, fmt.Errorf("%s: %w", g.name, g.err))
		}
	}
	switch {
	case len(missing)+len(failed) == 0:
		return e.renderSuccessor()
	case len(missing) == 0:
		return true, errors.Join(failed...)
	case e.late:
		missing = append([]error{fmt.Errorf("not done after %s", e.flags.timeout)}, missing...)
	case await:
		return false, nil
	}
	return true, &codeError{exitDeadline, errors.Join(append(missing, failed...)...)}
}

// stop waits for the jobs, which end with the context.
func (e *engine) stop() error {
	e.herald.manager.Stopping()
	if e.child != nil {
		go e.child.keepAlive(e.herald.manager) // until the child has ended
	}
	for e.jobs > 0 {
		select {
		case r := <-e.results:
			e.finish(r, time.Now())
		case <-e.phases:
		case a := <-e.asks:
			a.answer <- reload.ErrStopping
		}
	}
	return nil
}

// readers are those of all templates, the child's command line included.
func (e *engine) readers() []*watcher.Reader {
	var readers []*watcher.Reader
	for _, g := range e.groups {
		readers = append(readers, g.readers()...)
	}
	if e.child != nil {
		readers = append(readers, e.child.line.reader)
	}
	if e.successor != nil {
		readers = append(readers, e.successor.line.reader)
	}
	return readers
}
