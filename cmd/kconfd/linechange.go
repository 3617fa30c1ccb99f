package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/watcher"
)

// triggers are the parts of the command line whose change restarts the child:
// restart_on_change of [process].
type triggers struct {
	env, args bool
}

func (t triggers) any() bool { return t.env || t.args }

// parseTriggers reads restart_on_change.
func (r *rawProcess) parseTriggers() (t triggers, err error) {
	if r.RestartOnChange == nil {
		return t, nil
	}
	refuse := func(format string, args ...any) (triggers, error) {
		return triggers{}, keyErrorf([]string{"restart_on_change"}, format, args...)
	}
	if len(r.RestartOnChange) == 0 {
		return refuse(`the list is empty: want "env", "args" or both; without the key, no change of them restarts the command`)
	}
	for _, word := range r.RestartOnChange {
		named, there := &t.env, len(r.Env) > 0
		switch word {
		case "env":
		case "args":
			named, there = &t.args, len(r.Args) > 0
		default:
			return refuse(`want "env", "args" or both, not %q`, word)
		}
		switch {
		case *named:
			return refuse("%q is there twice: name it once", word)
		case !there:
			return refuse("%q without %s in [process]: add %s, or leave %q out", word, word, word, word)
		}
		*named = true
	}
	return t, nil
}

// A lineDiff is what differs between two command lines. It has no values.
type lineDiff struct {
	env  []string // names of variables, sorted
	args []int    // numbers of [process] args, from 1
}

// compare finds what differs between two renders of the command line.
func (l *commandLine) compare(a, b *rendered) lineDiff {
	var d lineDiff
	if a == nil || b == nil {
		return d
	}
	before, after := variables(a.env), variables(b.env)
	for name, value := range before {
		if now, there := after[name]; !there || now != value {
			d.env = append(d.env, name)
		}
	}
	for name := range after {
		if _, there := before[name]; !there {
			d.env = append(d.env, name)
		}
	}
	slices.Sort(d.env)
	for i := len(l.command); i < max(len(a.argv), len(b.argv)); i++ {
		if i >= len(a.argv) || i >= len(b.argv) || a.argv[i] != b.argv[i] {
			d.args = append(d.args, i-len(l.command)+1)
		}
	}
	return d
}

// variables are those of an environment, by name. The last of a name counts.
func variables(env []string) map[string]string {
	all := make(map[string]string, len(env))
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		all[name] = value
	}
	return all
}

// only is the part that triggers name.
func (d lineDiff) only(t triggers) lineDiff {
	if !t.env {
		d.env = nil
	}
	if !t.args {
		d.args = nil
	}
	return d
}

func (d lineDiff) any() bool { return len(d.env)+len(d.args) > 0 }

// attrs are for the log.
func (d lineDiff) attrs() []any {
	var attrs []any
	if len(d.env) > 0 {
		attrs = append(attrs, "env", d.env)
	}
	if len(d.args) > 0 {
		attrs = append(attrs, "args", d.args)
	}
	return attrs
}

// names are for the status.
func (d lineDiff) names() []string {
	var names []string
	for _, name := range d.env {
		names = append(names, "env "+name)
	}
	for _, i := range d.args {
		names = append(names, fmt.Sprintf("args %d", i))
	}
	return names
}

// A lineWatch is what the loop knows about the command line of the instance that
// runs, and about the one that is rendered.
type lineWatch struct {
	given   *rendered    // what the supervisor was handed last
	at      int          // the number of the instance that ran or was prepared then
	assumed *rendered    // what a child that was taken over is taken to run with
	news    bool         // one of the two may be another one than before
	differs lineDiff     // between the two
	said    *rendered    // the last of which the log has a message
	quiet   reload.Quiet // of changes that restart nothing
}

// A lineState is what a group with restart_on_change knows of its command line.
type lineState struct {
	rendered *rendered // nil without restart_on_change
	good     *rendered // the last that was applied
	owed     bool      // the child is to be restarted for it
	unproven bool      // the child was restarted for it, and was not seen to work
	failed   bool      // that was waited for, and in vain
}

// A lineWork is what a job has to do with the command line.
type lineWork struct {
	rendered, good *rendered // of the group
	changed        bool      // the instance that runs has another one
	restart        bool      // the child is to be restarted, and seen to work
	served         bool      // it has been restarted, by a job that newer content ended
	begun          bool      // that was tried
	done           bool
}

// processGroup is the group with [process], nil when there is none.
func (e *engine) processGroup() *group {
	for _, g := range e.groups {
		if g.process != nil {
			return g
		}
	}
	return nil
}

// triggersOf are those of the group; none where nothing is restarted.
func (e *engine) triggersOf(g *group) triggers {
	if e.child == nil || g.process == nil || e.flags.syncOnly || e.flags.noop {
		return triggers{}
	}
	return e.child.config.Load().triggers
}

// stale says whether the group is worth rendering again.
func (e *engine) stale(g *group, v *watcher.View) bool {
	return g.stale(v) || e.triggersOf(g).any() && v.Stale(e.child.line.reader)
}

// renderGroup renders the group, and its command line where a change of that
// restarts the child: it is then as one more file of the group.
func (e *engine) renderGroup(g *group, v *watcher.View, now time.Time) error {
	err := g.render(v, now)
	g.line.rendered = nil
	if !e.triggersOf(g).any() {
		return err
	}
	c := e.child
	if v.Stale(c.line.reader) || passing(c.lineErr) || c.line.last == nil {
		e.runLine(v)
	}
	if err == nil {
		err = c.lineErr
	}
	if err == nil {
		g.line.rendered = c.line.last
	}
	return err
}

// runLine renders the command line. What a child was started with that was taken
// over is not known: it is taken for what is rendered first of data that is up to date.
func (e *engine) runLine(v *watcher.View) {
	c := e.child
	_, c.lineErr = c.line.render(v)
	c.watch.news = true
	if c.link.Adopted != 0 && c.watch.assumed == nil && c.lineErr == nil && v.OutOfDate(c.line.reader) == nil {
		c.watch.assumed = c.line.last
	}
}

// running is the command line of the instance that runs or is being started; nil
// when there is none, or it is not known.
func (c *child) running() *rendered {
	if !c.started {
		return nil
	}
	now := c.supervisor.Status()
	switch {
	case now.State == reload.Preparing && now.Instance == c.watch.at:
		return c.watch.given
	case now.State != reload.Running && now.State != reload.WaitingForTurn:
		return nil // what comes is rendered anew
	case now.Argv == nil:
		return c.watch.assumed
	}
	return &rendered{argv: now.Argv, env: now.Env}
}

// planRestart finds out whether the job has to restart the child for its command line.
func (e *engine) planRestart(j *job) {
	g, t := j.of, e.triggersOf(j.of)
	if !t.any() || j.files == nil {
		return
	}
	c := e.child
	d := c.line.compare(c.running(), g.line.rendered).only(t)
	j.line = lineWork{rendered: g.line.rendered, good: g.line.good, changed: d.any(), restart: d.any() || g.line.unproven}
	j.line.served = !d.any() && !g.line.failed
	if !j.line.restart {
		return
	}
	c.line.undone = undone{} // it is tried again
	if c.watch.said != g.line.rendered && d.any() {
		c.watch.said = g.line.rendered
		e.log.Info("command line changed, restarting", append([]any{"group", g.name}, d.attrs()...)...)
	}
}

// noteRestart takes what became of the command line in a job.
func (g *group) noteRestart(r result) {
	j := r.job
	if j.files == nil {
		return
	}
	g.line.owed = j.line.restart && !j.acted
	g.line.unproven = (j.line.done || g.line.unproven) && !j.acted
	g.line.failed = g.line.unproven && !errors.Is(r.err, errSuperseded)
}

// sameLine says whether the command line of the job's group is still the one that the
// job is about.
func (e *engine) sameLine(j *job) bool {
	t := e.triggersOf(j.of)
	return !t.any() || !e.child.line.compare(j.line.rendered, j.of.line.rendered).only(t).any()
}

// lineGoesBack says whether there is another command line to go back to.
func (j *job) lineGoesBack() bool {
	w := j.line
	return w.restart && w.good != nil && !(slices.Equal(w.good.argv, w.rendered.argv) && slices.Equal(w.good.env, w.rendered.env))
}

// undone is a command line that failed its verification, and the one in its place.
type undone struct {
	rendered, instead *rendered
}

// next is the command line for the next start.
func (l *commandLine) next() *rendered {
	if u := l.undone; u.rendered != nil && !l.compare(u.rendered, l.last).any() {
		return u.instead
	}
	return l.last
}

// pokeLine notes that what the command line reads has changed, where that is only
// for the log.
func (e *engine) pokeLine(v *watcher.View, at time.Time) {
	c, g := e.child, e.processGroup()
	if c == nil || g == nil || !c.started || e.triggersOf(g).any() || !v.Stale(c.line.reader) {
		return
	}
	c.watch.quiet.Min, c.watch.quiet.Max = g.quiet.Min, g.quiet.Max
	c.watch.quiet.Poke(at)
}

// lineReplaced has the command line rendered that another configuration has brought.
func (e *engine) lineReplaced(now time.Time) {
	g := e.processGroup()
	switch {
	case g == nil || !e.child.started:
	case !e.triggersOf(g).any():
		e.watcher.View(func(v *watcher.View) { e.pokeLine(v, now) })
	case g.settled:
		g.quiet.Poke(now)
	}
}

// lookAtLine compares, after each round of the loop in which there was news of it,
// the command line of the instance that runs with the one that is rendered.
func (e *engine) lookAtLine(now time.Time) {
	c := e.child
	if c == nil {
		return
	}
	if at, pending := c.watch.quiet.Due(); pending && !at.After(now) {
		c.watch.quiet.Done()
		e.rendering.Store(true)
		e.watcher.View(e.runLine)
		e.rendering.Store(false)
		e.hideSecrets()
	}
	g := e.processGroup()
	if g == nil || !c.watch.news || len(c.waiting)+len(c.telling)+len(c.asking) > 0 {
		return
	}
	c.watch.news = false
	before, running := c.watch.differs, c.running()
	d := c.line.compare(running, c.line.last)
	if running != nil && !d.any() {
		c.watch.said = nil // to change back and forth is two changes
	}
	if c.watch.differs = d; !slices.Equal(before.names(), d.names()) {
		e.board.changed()
	}
	t := e.triggersOf(g)
	if d.only(t).any() && g.settled && g.err == nil && !g.waits() && g.retry.IsZero() {
		if _, pending := g.quiet.Due(); !pending {
			g.quiet.Poke(now) // it changed while an instance was being started
		}
	}
	if slices.ContainsFunc(e.groups, (*group).comes) {
		c.watch.news = true // the child may be restarted for files
		return
	}
	e.sayUnused(d.only(triggers{env: !t.env, args: !t.args}))
}

// comes says whether the group is at work, or about to be.
func (g *group) comes() bool {
	_, pending := g.quiet.Due()
	return g.busy || g.dirty || pending
}

// sayUnused says, once for each change, that the child is not restarted for it.
func (e *engine) sayUnused(d lineDiff) {
	w, l := &e.child.watch, e.child.line
	switch {
	case !d.any():
		return
	case w.said != nil && !l.compare(w.said, l.last).any():
		return
	}
	w.said = l.last
	e.log.Info("command line changed, used at the next start", d.attrs()...)
}

// lineSettled has the command line looked at again when the group's job has ended.
func (e *engine) lineSettled(g *group) {
	if e.child != nil && g.process != nil {
		e.child.watch.news = true
	}
}
