package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/render"
)

// A rolledBackError is new content that did not stand the test: the files are
// what they were.
type rolledBackError struct {
	why error
	// undo is why going back did not come to its end, nil when it did.
	undo error
}

func (e *rolledBackError) Error() string {
	if e.undo != nil {
		return fmt.Sprintf("%v; going back: %v", e.why, e.undo)
	}
	return fmt.Sprintf("%v; the files are what they were before", e.why)
}

func (e *rolledBackError) Unwrap() []error { return []error{e.why, e.undo} }

// A throttledError is an action that is too soon after the last.
type throttledError struct {
	until time.Time
}

func (e *throttledError) Error() string {
	return "written, the process is told at " + e.until.Format(time.TimeOnly)
}

// errSuperseded ends what waits for content that is no longer the newest.
var errSuperseded = errors.New("there is newer content")

// errChildEnded ends a verification that cannot succeed any more.
var errChildEnded = errors.New("the child has ended")

// tell has the process take over what is on disk, and sees that it does.
func (e *engine) tell(ctx context.Context, j *job) error {
	if !e.tells(j.group) && !j.line.restart {
		return e.told(j)
	}
	if due := j.group.earliest(j.last); time.Until(due) > 0 && !j.ledger.unproven {
		return &throttledError{due}
	}
	defer e.phase(j, false)
	trial := e.try(j)
	defer trial.settle()
	err := e.actOnce(j)
	if err == nil {
		e.step("acted")
		err = e.verify(ctx, j, trial.ended)
		j.ledger.unproven = errors.Is(err, errSuperseded)
	}
	switch {
	case err == nil:
		e.step("verified")
		return e.told(j)
	case j.life.Err() != nil, errors.Is(err, errSuperseded):
		return err // it is owed
	case !j.group.rollsBack() || !j.canGoBack():
		if err := j.ledger.failed(); err != nil {
			e.log.Warn("that the action failed is not kept", "group", j.group.name, "err", err)
		}
		return fmt.Errorf("written, but the process could not be told: %w", err)
	}
	return e.rollBack(j, err)
}

// told notes that the process knows of the files.
func (e *engine) told(j *job) error {
	j.acted = true
	if err := j.ledger.done(&applied{At: time.Now(), Counts: j.counts}); err != nil {
		e.log.Warn("the process will be told again after a restart", "group", j.group.name, "err", err)
	}
	return nil
}

// earliest is when the process may be told again.
func (g *groupConfig) earliest(last time.Time) time.Time {
	if last.IsZero() {
		return time.Time{}
	}
	return last.Add(g.minInterval)
}

// rollsBack says whether new content that fails is undone: where somebody said
// how to see that it works.
func (g *groupConfig) rollsBack() bool { return g.verify != nil }

// canGoBack says whether there is something to go back to: not when a file was
// not there before, and not when what is live is the same.
func (j *job) canGoBack() bool {
	for _, o := range j.ledger.Olds {
		if o.Backup == "" {
			return false
		}
	}
	return slices.ContainsFunc(j.ledger.Olds, render.Old.Changes) || j.lineGoesBack()
}

// actOnce tells the process, if it has not been told of what is live.
func (e *engine) actOnce(j *job) error {
	if j.ledger.unproven {
		return nil
	}
	e.step("acting")
	j.line.begun = j.line.restart
	defer func() { j.last = time.Now() }()
	return e.act(j, false)
}

// act tells the process, back that the files are those of before. What has been
// begun is not broken off by newer content, only when kconfd ends.
func (e *engine) act(j *job, back bool) (err error) {
	action := j.group.action
	forChild := action.ForChild() && e.child != nil
	restart := j.line.restart && (back || !j.line.served)
	switch forFiles := j.wrote || j.owed || !j.line.restart; {
	case forFiles && forChild && !restart:
		return e.askChild(j, action, back)
	case forFiles && !forChild:
		if err := e.actOn(j, action); err != nil {
			return err
		}
	}
	if !restart {
		return nil
	}
	err = e.askChild(j, reload.Action{Kind: reload.Restart}, back)
	j.line.done = j.line.done || err == nil && !back
	return err
}

// actOn does an action that is not the child's.
func (e *engine) actOn(j *job, action reload.Action) (err error) {
	e.phase(j, true)
	j.of.shown.outputs.begin(outputOfAction)
	switch {
	case action.Kind == reload.None, action.ForChild(): // with -onetime the child is started later
		return nil
	case action.Kind == reload.Exec:
		if action.Command, err = action.Command.Expand(j.group.groupData(nil), j.group.commandFuncs(nil)); err != nil {
			return err
		}
	}
	action.Hide, action.Command.Hide = e.redactor.Redact, e.redactor.Redact
	action.Command.Ran = e.ran(j.of, outputOfAction, "")
	if err := action.Do(j.life); err != nil {
		return err
	}
	e.log.Info("told", "action", action.String())
	return nil
}

// verify waits until the process works with what it was told of. Ended is closed
// when it never will.
func (e *engine) verify(ctx context.Context, j *job, ended <-chan struct{}) error {
	if j.group.verify == nil || j.unborn && !j.canGoBack() {
		return nil // or there is nothing yet that could be better than this
	}
	limit := cmp.Or(j.group.verifyTimeout, defaultVerifyTimeout)
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ctx, give := context.WithCancelCause(limited)
	defer give(nil)
	go func() { // until ctx ends
		select {
		case <-ended:
			give(errChildEnded)
		case <-ctx.Done():
		}
	}()
	command, err := j.group.verify.Expand(j.group.groupData(nil), j.group.commandFuncs(nil))
	if err != nil {
		return err
	}
	command.Hide = e.redactor.Redact
	command.Ran = func(text string, err error) { e.logOutput(err, text, "group", j.group.name, "of", "verify") }
	err = command.Await(ctx)
	switch cause := context.Cause(ctx); {
	case err == nil:
		e.log.Info("verified", "group", j.group.name)
		return nil
	case errors.Is(cause, errSuperseded):
		return errSuperseded
	case errors.Is(cause, errChildEnded):
		return fmt.Errorf("verifying: %w", errChildEnded)
	case errors.Is(cause, context.DeadlineExceeded):
		return fmt.Errorf("verifying: not after %s: %w", limit, err)
	}
	return fmt.Errorf("verifying: %w", err)
}

const defaultVerifyTimeout = time.Minute

// rollBack puts the files back and has the process take them over again.
func (e *engine) rollBack(j *job, why error) error {
	e.log.Error("putting the files back", "group", j.group.name, "err", why)
	next := j.ledger.entry
	next.Undoing = true
	if err := j.ledger.save(next); err != nil {
		e.log.Warn("a crash now would leave the process untold", "group", j.group.name, "err", err)
		j.ledger.entry = next
	}
	e.step("undoing")
	return &rolledBackError{why, e.finishUndo(j, why)}
}

// finishUndo puts the files back, and tells the process, unless it has been left alone.
func (e *engine) finishUndo(j *job, why error) error {
	e.phase(j, false)
	err := j.ledger.undo()
	j.look()
	if err != nil {
		return err
	}
	e.step("undone")
	if !e.leftAlone(why) {
		if err := e.act(j, true); err != nil {
			return fmt.Errorf("the process could not be told: %w", err)
		}
	}
	j.counts = j.ledger.counts() // of the files that are back
	return e.told(j)
}

// leftAlone says whether the child is the one that has never heard of the files that are undone.
func (e *engine) leftAlone(why error) bool {
	var alone *reload.LeftAloneError
	return errors.As(why, &alone) && e.child.supervisor.Status().Instance == alone.Instance
}

// A trial lets the child end without kconfd, while something is verified that
// may be undone.
type trial struct {
	ended  <-chan struct{} // closed when the child has ended; nil when that says nothing
	settle func()
}

func (e *engine) try(j *job) trial {
	if e.child == nil || !j.group.action.ForChild() && !j.line.restart || !j.group.rollsBack() || !j.canGoBack() {
		return trial{settle: func() {}}
	}
	return trial{e.child.supervisor.Try(), e.child.supervisor.Settle}
}
