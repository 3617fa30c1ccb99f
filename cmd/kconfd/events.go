package main

import (
	"context"
	"errors"
	"strings"

	rungroup "github.com/oklog/run"

	"github.com/kconfd/kconfd/events"
	"github.com/kconfd/kconfd/reload"
)

// findPod prepares to write Events about the own Pod, if they are asked for. Where
// there is none, the log says so, and that is all.
func (e *engine) findPod() {
	if !e.flags.events {
		return
	}
	recorder, err := e.recorder()
	if err != nil {
		e.log.Warn("no Events are written", "err", err)
		return
	}
	e.events = recorder
}

func (e *engine) recorder() (*events.Recorder, error) {
	if len(e.flags.manifests) > 0 {
		return nil, errors.New("the objects are from manifests, and there is no cluster")
	}
	pod, found := events.Self(events.TokenFile)
	if !found {
		return nil, errors.New("this is no pod, as far as POD_NAME, POD_NAMESPACE and the service account tell")
	}
	config, _, err := e.flags.cluster.Config()
	if err != nil {
		return nil, err
	}
	return events.New(config, pod, e.log)
}

// addEvents adds the actor that writes Events, if any are to be written.
func (e *engine) addEvents(ctx context.Context, actors *rungroup.Group) {
	if e.events == nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	actors.Add(func() error { return e.events.Run(ctx) }, func(error) { cancel() })
}

// The reasons of Events.
const (
	reasonApplied    = "Applied"
	reasonHeld       = "Held"
	reasonFailed     = "Failed"
	reasonRolledBack = "RolledBack"
	reasonStale      = "Stale"
)

// trouble is the reason of the Event that a group is worth which stands like
// this, empty for none.
func (is glimpse) trouble() string {
	switch is.word {
	case stateHeld:
		return reasonHeld
	case stateFailed:
		return reasonFailed
	case stateRolledBack:
		return reasonRolledBack
	case stateOwed:
		if is.troubled {
			return reasonFailed
		}
	}
	return ""
}

// tellEvents writes the Events of a group that is not as it was.
func (e *engine) tellEvents(g *group, was, is glimpse) {
	switch reason := is.trouble(); {
	case reason != "" && (reason != was.trouble() || !sameButNumbers(withOutput(is.reason, is.output), withOutput(was.reason, was.output))):
		e.event(events.Warning, reason, g.name+": "+e.redactor.RedactOwn(withOutput(is.reason, is.output)))
	case was.trouble() != "" && is.word == stateApplied && !g.shown.told:
		e.event(events.Normal, reasonApplied, g.name+": in order again")
	}
	if is.stale != "" && was.stale == "" {
		e.event(events.Warning, reasonStale, g.name+": "+e.redactor.RedactOwn(is.stale))
	}
}

// tellApplied writes the Event of a change that went well.
func (e *engine) tellApplied(g *group, c change) {
	var parts []string
	if len(c.Files) > 0 {
		parts = append(parts, firstThree(c.Files)+" written")
	}
	if g.action.Kind != reload.None && !e.flags.syncOnly {
		parts = append(parts, "told by "+g.action.String())
	}
	g.shown.told = true
	e.event(events.Normal, reasonApplied, g.name+": "+strings.Join(parts, ", "))
}

func (e *engine) event(kind events.Kind, reason, message string) {
	e.events.Record(kind, reason, message)
}
