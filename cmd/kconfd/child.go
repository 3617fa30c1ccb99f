package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/watcher"
)

// A child is the command behind the flags, supervised. The loop owns all of it
// but the supervisor, which has a loop of its own: it asks this one for files
// and arguments before every start, and is asked by it to restart or signal.
type child struct {
	supervisor *reload.Supervisor
	adopt      reload.Starter                // for one that runs already
	config     atomic.Pointer[processConfig] // also read when a signal comes
	line       *commandLine
	turn       *stopTurn // nil: there is none

	orders   chan order // of the supervisor
	waiting  []order    // for groups to be written
	asking   []ask      // of groups that wait for their action, not yet asked for
	telling  []ask      // those that the action under way is for
	told     chan error // the end of the action under way
	started  bool       // the first start has been ordered
	lineErr  error      // why the command line cannot be rendered
	lineSaid string     // the last of lineErr that kept the child from being started
	watch    lineWatch

	link  *reload.Link
	early []syscall.Signal // that came before the child could be supervised
	ended chan struct{}    // closed when the supervisor is done
	exit  reload.Exit
	err   error // of a start that did not come about
}

// An order asks for what the next instance is to be.
type order chan reload.Child

// describe has the loop bring all files up to date and render the command
// line. It is what the supervisor asks before every start.
func (c *child) describe(ctx context.Context) (reload.Child, error) {
	o := make(order, 1)
	select {
	case c.orders <- o:
	case <-ctx.Done():
		return reload.Child{}, context.Cause(ctx)
	}
	select {
	case child := <-o:
		return child, nil
	case <-ctx.Done():
		return reload.Child{}, context.Cause(ctx)
	}
}

// newChild makes a child of the flags' command.
func (e *engine) newChild(l reload.Launcher) error {
	config, err := e.process()
	if err != nil {
		return err
	}
	turn, err := e.stopTurn(config, nil)
	if err != nil {
		return err
	}
	config.child.StopTurn = turn.asTurn()
	line, err := newCommandLine(e.flags.args, config, e.watcher)
	if err != nil {
		return err
	}
	c := &child{line: line, turn: turn, link: l.Link, orders: make(chan order), told: make(chan error), ended: make(chan struct{})}
	c.config.Store(config)
	c.supervisor = reload.NewSupervisor(c.describe, launch(l, reload.Launcher.Start), e.log)
	c.supervisor.Check = l.Check
	c.adopt = launch(l, reload.Launcher.Adopt)
	e.child = c
	return nil
}

// process is how the command behind the flags is run.
func (e *engine) process() (*processConfig, error) {
	var configs []groupConfig
	for _, g := range e.groups {
		configs = append(configs, g.groupConfig)
	}
	return processOf(e.flags, configs)
}

// takeOver takes over the child that an earlier worker left, if there is one.
// How it is to be ended is what the configuration says now.
func (c *child) takeOver(command []string, e *engine) {
	if c == nil || c.link.Adopted == 0 {
		return
	}
	c.started = true
	c.supervisor.Adopt(c.instance(&rendered{command, childEnvironment(c.config.Load().child.User)}, e), c.adopt, c.link.Restart)
}

// instance is the child as the configuration has it now, with a command line.
// What its commands print is shown with the secrets hidden.
func (c *child) instance(line *rendered, e *engine) reload.Child {
	instance := c.config.Load().child
	instance.Argv, instance.Env = line.argv, line.env
	for key, command := range map[string]**reload.Command{
		"pre_start": &instance.PreStart, "post_start": &instance.PostStart, "pre_stop": &instance.PreStop,
		"post_stop": &instance.PostStop, "ready_cmd": &instance.ReadyCmd,
	} {
		if *command != nil {
			hidden := **command
			hidden.Hide, hidden.Ran = e.redactor.Redact, e.ranChild(key)
			*command = &hidden
		}
	}
	return instance
}

// takeOrder begins to bring all files up to date for a start.
func (e *engine) takeOrder(o order) {
	e.child.waiting = append(e.child.waiting, o)
	e.watcher.View(func(v *watcher.View) {
		for _, g := range e.groups {
			g.dirty = g.dirty || e.dueForStart(g, v)
		}
	})
}

// dueForStart says whether the group is to be brought up to date for a start of
// the child. What has failed has its pause, unless there is something new, or the
// start is what is owed. Whoever asked for the start is up to date.
func (e *engine) dueForStart(g *group, v *watcher.View) bool {
	switch {
	case e.stale(g, v):
		return true
	case g.busy:
		return false
	}
	return g.retry.IsZero() || g.owed && g.action.ForChild()
}

// attend does for the child what is due, after each round of the loop.
func (e *engine) attend(ctx context.Context) {
	c := e.child
	if c == nil {
		return
	}
	if e.writing() {
		return
	}
	e.answerOrders()
	e.startChild()
	e.tellChild(ctx)
}

// writing says whether the files of a group are on their way to disk.
func (e *engine) writing() bool {
	return slices.ContainsFunc(e.groups, func(g *group) bool { return g.busy && !g.waiting })
}

// answerOrders hands out the next instance: what there is on disk now is as
// new as can be. For a child that was taken over there is no command line of
// before, and what it is made of is waited for, as for a first start.
func (e *engine) answerOrders() {
	c := e.child
	if len(c.waiting) == 0 || !e.renderLine() {
		return
	}
	c.watch.given, c.watch.at = c.line.next(), c.supervisor.Status().Instance
	instance := c.instance(c.watch.given, e)
	var refused *reload.LineError
	switch {
	case errors.As(c.lineErr, &refused):
		instance.Refused = c.lineErr // nothing that runs is ended for this one
	case c.lineErr != nil:
		e.log.Warn("the command line is as before", "err", c.lineErr)
	}
	for _, o := range c.waiting {
		o <- instance
	}
	c.waiting = nil
}

// renderLine renders the command line, and says whether there is one, be it of
// before.
func (e *engine) renderLine() bool {
	c := e.child
	e.rendering.Store(true)
	e.watcher.View(e.runLine)
	e.rendering.Store(false)
	e.hideSecrets()
	if over := limitOf(c.lineErr); over != nil {
		e.meters.limit(over.Limit)
	}
	if c.line.last != nil {
		return true
	}
	var incomplete *watcher.IncompleteError
	if news := c.lineSaid != c.lineErr.Error(); news && !errors.As(c.lineErr, &incomplete) {
		e.log.Error("the child is not started, for the command line cannot be rendered", "err", c.lineErr)
	}
	c.lineSaid = c.lineErr.Error()
	return false
}

// startChild orders the first start, once the first files are live: rendered
// now, or when that takes too long, those of before. An action that is owed may
// well have failed because there is no child yet.
func (e *engine) startChild() {
	c := e.child
	if c.started {
		return
	}
	for _, g := range e.groups {
		if !g.live() && !(e.late && g.onDiskAlready()) {
			return
		}
	}
	if !e.renderLine() {
		return
	}
	for _, g := range e.groups {
		if !g.live() {
			e.log.Warn("starting the child with the files of before", "group", g.name, "err", e.explain(g))
		}
	}
	c.started = true
	c.supervisor.Start()
}

// live says whether what the group's data asks for has been written once.
func (g *group) live() bool { return g.settled || g.owed }

// onDiskAlready says whether all files of the group exist.
func (g *group) onDiskAlready() bool {
	for _, t := range g.templates {
		if _, err := os.Stat(t.config.file.Dest); err != nil {
			return false
		}
	}
	return true
}

// tellChild does one action for all groups that wait for one: the strongest.
func (e *engine) tellChild(ctx context.Context) {
	c := e.child
	if len(c.telling) > 0 {
		return
	}
	c.asking = slices.DeleteFunc(c.asking, e.servedByStart)
	if len(c.asking) == 0 {
		return
	}
	c.telling, c.asking = c.asking, nil
	actions, back := strongest(c.telling), slices.ContainsFunc(c.telling, func(a ask) bool { return a.back })
	go func() { // until the action is done, or ctx ends
		var errs []error
		for _, a := range actions {
			errs = append(errs, c.do(ctx, a, back))
		}
		err := errors.Join(errs...)
		if err == nil {
			for _, a := range actions {
				e.log.Info("told", "action", a.String())
			}
		}
		select {
		case c.told <- err:
		case <-ctx.Done():
		}
	}()
}

// strongest are the actions that serve all groups: a restart serves whoever
// wants a signal as well.
func strongest(asks []ask) []reload.Action {
	var signals []reload.Action
	for _, a := range asks {
		action := a.action
		same := func(a reload.Action) bool { return a.Signal == action.Signal && a.Group == action.Group }
		switch {
		case action.Kind == reload.Restart:
			return []reload.Action{action}
		case !slices.ContainsFunc(signals, same):
			signals = append(signals, action)
		}
	}
	return signals
}

func (c *child) do(ctx context.Context, a reload.Action, back bool) error {
	switch {
	case a.Kind == reload.Restart && back:
		return c.supervisor.RestartBack(ctx)
	case a.Kind == reload.Restart:
		return c.supervisor.Restart(ctx)
	}
	return c.supervisor.Signal(a.Signal, a.Group)
}

// servedByStart answers an ask that came while a start was prepared, if the instance
// has got what is asked for. It may not: what ran may have been left alone.
func (e *engine) servedByStart(a ask) bool {
	c, t := e.child, e.triggersOf(a.job.of)
	if !a.atStart || c.line.compare(c.running(), a.job.line.rendered).only(t).any() {
		return false
	}
	a.answer <- nil
	return true
}

// askChild has the loop tell the child, back that the files are those of before.
func (e *engine) askChild(j *job, action reload.Action, back bool) error {
	a := ask{job: j, action: action, back: back, answer: make(chan error, 1)}
	e.asks <- a
	select {
	case err := <-a.answer:
		return err
	case <-j.life.Done():
		return context.Cause(j.life)
	}
}

// takeAsk notes that the child is to be told. A start that is to come is as good, but
// for a command line that is waited for until an instance has it.
func (e *engine) takeAsk(a ask) {
	a.job.of.waiting = true
	if a.back && a.job.lineGoesBack() {
		e.child.line.undone = undone{rendered: a.job.line.rendered, instead: a.job.line.good}
	}
	if len(e.child.waiting) > 0 || !e.child.started {
		if e.child.started && a.job.line.restart && !a.back {
			a.atStart = true
			e.child.asking = append(e.child.asking, a)
			return
		}
		a.job.unborn = !e.child.started
		a.answer <- nil
		return
	}
	e.child.asking = append(e.child.asking, a)
}

// childTold takes the end of an action for the groups that asked for it.
func (e *engine) childTold(err error) {
	for _, a := range e.child.telling {
		a.answer <- err
	}
	e.child.telling = nil
}

// order and answer are channels of the loop; without a child nothing comes.
func (c *child) order() <-chan order {
	if c == nil {
		return nil
	}
	return c.orders
}

func (c *child) answer() <-chan error {
	if c == nil {
		return nil
	}
	return c.told
}

// reconfigure makes the new settings those of the next start. They have been
// found good when they were read.
func (c *child) reconfigure(e *engine, groups []groupConfig) error {
	config, err := processOf(e.flags, groups)
	if err != nil {
		return err
	}
	turn, err := e.stopTurn(config, c.turn)
	if err != nil {
		return err
	}
	config.child.StopTurn = turn.asTurn()
	line, err := newCommandLine(e.flags.args, config, e.watcher)
	if err != nil {
		return err
	}
	c.line.reader.Close()
	line.last, line.undone = c.line.last, c.line.undone
	c.line, c.turn = line, turn
	c.config.Store(config)
	return nil
}

// startsLater reports whether there is a command that has not been started yet.
func (e *engine) startsLater() bool {
	return e.child != nil && !e.child.started || e.successor != nil
}

// sayNotStarted says once more, when the time for first data has passed, why the
// command is not started: what its files or its command line wait for.
func (e *engine) sayNotStarted() {
	if e.child == nil || e.child.started {
		return
	}
	attrs := []any{"command", filepath.Base(e.flags.args[0]), "timeout", e.flags.timeout}
	for _, g := range e.groups {
		if !g.live() && !g.onDiskAlready() && (held(g.err) || waiting(g.err)) {
			e.log.Warn("command not started, timeout passed", append(attrs, "group", g.name, "err", e.explain(g))...)
			g.warn = time.Now().Add(reminder)
		}
	}
	if e.child.lineErr != nil {
		e.log.Warn("command not started, timeout passed", append(attrs, "err", e.child.lineErr)...)
	}
}
