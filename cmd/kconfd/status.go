package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/kconfd/kconfd/reload"
)

// The words for how a group stands.
const (
	stateApplied    = "applied"    // what its data asks for is live, and the process told
	statePending    = "pending"    // nothing of it is live yet, and nothing is in the way
	stateWaiting    = "waiting"    // data is missing
	stateHeld       = "held"       // a guard withholds the render
	stateOwed       = "owed"       // live, and the process not told
	stateQueued     = "queued"     // rendered and checked, and it waits for the gate
	stateFailed     = "failed"     // render, check or write failed
	stateRolledBack = "rolledback" // live was what failed its verification; the files of before are back
)

// states are all of them.
func states() []string {
	return []string{stateApplied, statePending, stateWaiting, stateHeld, stateOwed, stateQueued, stateFailed, stateRolledBack}
}

// state is how the group stands, and why; the reason is empty where there is
// nothing to say.
func (g *group) state() (word, reason string) {
	var back *rolledBackError
	switch {
	case g.queued:
		return stateQueued, g.turnstile.waits()
	case g.busy && g.waiting && g.err == nil:
		return stateOwed, "the process is being told"
	case errors.As(g.err, &back) && !g.owed:
		return stateRolledBack, g.err.Error()
	case held(g.err):
		return stateHeld, g.err.Error()
	case waiting(g.err):
		return stateWaiting, g.err.Error()
	case g.err != nil && (g.owed || g.line.owed):
		return stateOwed, g.err.Error()
	case g.err != nil:
		return stateFailed, g.err.Error()
	case g.owed, g.line.owed:
		return stateOwed, ""
	case !g.settled:
		return statePending, ""
	}
	return stateApplied, ""
}

// outdated says why what the group read may no longer be so; it is empty when all
// is well.
func (g *group) outdated() string {
	if g.old == nil {
		return ""
	}
	return g.old.Error()
}

// gate is where the group stands at the gate, nil without one.
func (g *group) gate() *gateStatus {
	if g.turnstile == nil {
		return nil
	}
	now := g.turnstile.gate.Status()
	s := &gateStatus{Lease: now.Name, Holders: []string{}, Queue: []string{}}
	for _, m := range now.Holders {
		s.Holders = append(s.Holders, m.Identity)
	}
	for _, m := range now.Queue {
		s.Queue = append(s.Queue, m.Identity)
	}
	if len(now.Stopped) > 0 {
		s.StoppedBy, s.Reason = cmp.Or(now.Stopped[0].By, "somebody"), now.Stopped[0].Reason
	}
	return s
}

// outcome is what became of a change, in the words for groups.
func (r result) outcome() string {
	var back *rolledBackError
	switch {
	case r.err == nil:
		return stateApplied
	case errors.As(r.err, &back):
		return stateRolledBack
	case r.job.wrote, (r.job.owed || r.job.line.begun) && len(r.job.story.files) == 0: // or nothing new was to be written
		return stateOwed
	}
	return stateFailed
}

// A status is what the loop shows of itself; /status has it as JSON. No text in
// it has a secret that kconfd knows.
type status struct {
	Time      time.Time     `json:"time"`
	Version   string        `json:"version"`
	Name      string        `json:"name"`
	Namespace string        `json:"namespace,omitempty"`
	Started   time.Time     `json:"started"`
	Ready     bool          `json:"ready"`
	Noop      bool          `json:"noop,omitempty"`
	Refused   string        `json:"refused,omitempty"`
	Groups    []groupStatus `json:"groups"`
	Child     *childStatus  `json:"child,omitempty"`
	Watches   []watchStatus `json:"watches"`
	Changes   []change      `json:"changes"`

	// How many there are that were left out.
	MoreGroups  int `json:"more_groups,omitempty"`
	MoreWatches int `json:"more_watches,omitempty"`
	MoreChanges int `json:"more_changes,omitempty"`
}

type groupStatus struct {
	Name    string       `json:"name"`
	State   string       `json:"state"`
	Reason  string       `json:"reason,omitempty"`
	Since   time.Time    `json:"since"`
	NextTry time.Time    `json:"next_try,omitzero"`
	Working bool         `json:"working,omitempty"`
	Stale   string       `json:"stale,omitempty"`
	Applied time.Time    `json:"applied,omitzero"`
	Action  string       `json:"action"`
	Files   []fileStatus `json:"files"`
	More    int          `json:"more_files,omitempty"`
	Gate    *gateStatus  `json:"gate,omitempty"`

	Outputs []outputStatus `json:"outputs,omitempty"`
}

type fileStatus struct {
	Path         string             `json:"path"`
	Template     string             `json:"template"`
	Written      time.Time          `json:"written,omitzero"`
	Dependencies []dependencyStatus `json:"dependencies"`
	More         int                `json:"more_dependencies,omitempty"`
}

type dependencyStatus struct {
	Name    string    `json:"name"`
	Changed time.Time `json:"changed,omitzero"`
	Object  string    `json:"object,omitempty"`
	Empty   string    `json:"empty,omitempty"`
}

type gateStatus struct {
	Lease     string   `json:"lease"`
	Holders   []string `json:"holders"`
	Queue     []string `json:"queue"`
	StoppedBy string   `json:"stopped_by,omitempty"`
	Reason    string   `json:"reason,omitempty"`
}

type childStatus struct {
	Command  string    `json:"command"`
	State    string    `json:"state"`
	Ready    bool      `json:"ready"`
	Instance int       `json:"instance"`
	Since    time.Time `json:"since,omitzero"`
	Waits    string    `json:"waits,omitempty"` // for what, when it waits for its turn to stop
	Refused  string    `json:"refused,omitempty"`
	Outdated []string  `json:"outdated,omitempty"` // variables and arguments that it has not got yet
}

type watchStatus struct {
	Name     string    `json:"name"`
	Healthy  bool      `json:"healthy"`
	Listed   bool      `json:"listed"`
	Objects  int       `json:"objects"`
	Progress time.Time `json:"progress,omitzero"`
	Error    string    `json:"error,omitempty"`
}

const (
	// maxDependencies are shown of one file: a template may read thousands.
	maxDependencies = 100
	// allDependencies are shown of all files, if there are so many, but one of each.
	allDependencies = 5000
)

// A board is where the loop is asked how it stands. Nothing is made that nobody
// looks at.
type board struct {
	asks    chan chan<- *status
	started time.Time
	begun   bool     // the groups of the start have been rendered
	changes []change // the oldest first
	changed func()   // called when the status is another one
}

func newBoard() *board {
	return &board{asks: make(chan chan<- *status), started: time.Now(), changed: func() {}}
}

// errBusy is a loop that does not come round.
var errBusy = errors.New("kconfd is in the middle of a template, or ending")

// ask asks the loop, which is mostly waiting for it.
func (b *board) ask(ctx context.Context) (*status, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	answer := make(chan *status, 1)
	select {
	case b.asks <- answer:
	case <-ctx.Done():
		return nil, errBusy
	}
	select {
	case s := <-answer:
		return s, nil
	case <-ctx.Done():
		return nil, errBusy
	}
}

// askPatience is how long the loop may take to come round.
const askPatience = 3 * time.Second

// A glimpse is what of a group is worth telling when it changes.
type glimpse struct {
	word, reason, stale string
	troubled, busy      bool
	output              string // of the command that failed
	retry               time.Time
	rendered            time.Time // the last time
	applied             time.Time // the last time that a change was
}

// shown is what is kept about a group for those who look.
type shown struct {
	last     glimpse
	since    time.Time // of the word
	rendered time.Time
	applied  time.Time
	due      string   // why it is its turn, empty for data
	outputs  *outputs // nil before there can be any
	cause    string   // of the render under way, or the last
	told     bool     // that it is applied, by an Event, since the last notice
}

// watched says whether anybody may look at the loop.
func (e *engine) watched() bool { return e.listener != nil || e.events != nil }

// notice looks, after each round of the loop, for what has changed about the
// groups, and tells it.
func (e *engine) notice(now time.Time) {
	if !e.watched() {
		return
	}
	news := false
	for _, g := range e.groups {
		word, reason := g.state()
		is := glimpse{word, reason, g.outdated(), g.err != nil, g.busy, outputOf(g.err), g.retry, g.shown.rendered, g.shown.applied}
		if is != g.shown.last {
			news = true
			e.turn(g, is, now)
		}
		g.shown.told = false
	}
	e.board.begun = true
	if news {
		e.board.changed()
	}
}

// turn notes that a group is not as it was.
func (e *engine) turn(g *group, is glimpse, now time.Time) {
	was := g.shown.last
	g.shown.last = is
	if is.word != was.word {
		g.shown.since = now
	}
	e.meters.group(g.name, is)
	e.tellEvents(g, was, is)
}

// glance is how often the loop looks by itself for watches that have ceased to
// work: they do not wake it.
const glance = 5 * time.Second

// status is how all stands. The loop makes it when somebody asks.
func (e *engine) status(now time.Time) *status {
	s := &status{
		Time: now, Version: version, Name: podName(), Namespace: e.watcher.Namespace(), Started: e.board.started,
		Ready: e.child.ready(), Noop: e.flags.noop, Refused: e.redactor.RedactOwn(e.refused),
		Groups: []groupStatus{}, Child: e.childStatus(), Watches: e.watchStatus(now), Changes: e.board.latest(),
	}
	most := max(1, min(maxDependencies, allDependencies/max(1, len(e.dests()))))
	for _, g := range e.groups {
		one := e.groupStatus(g, now, most)
		s.Ready = s.Ready && one.State == stateApplied
		s.Groups = append(s.Groups, one)
	}
	for _, g := range e.gone {
		if g.owed && !g.busy {
			s.Groups = append(s.Groups, e.goneStatus(g, now, most))
		}
	}
	return s
}

// goneStatus is how a group stands that owes the process a word, and has no
// resource file any more.
func (e *engine) goneStatus(g *group, now time.Time, most int) groupStatus {
	s := e.groupStatus(g, now, most)
	s.State, s.Reason, s.NextTry = stateOwed, "its resource file is gone: the process is told when there is one for these files again", time.Time{}
	return s
}

// podName is as in templates.
func podName() string {
	host, _ := os.Hostname() // empty if there is none
	return cmp.Or(os.Getenv("POD_NAME"), host)
}

// groupStatus is how a group stands, with so many dependencies of a file at most.
func (e *engine) groupStatus(g *group, now time.Time, most int) groupStatus {
	word, reason := g.state()
	if word == stateWaiting {
		reason = e.explain(g).Error()
	}
	s := groupStatus{
		Name: g.name, State: word, Reason: e.redactor.RedactOwn(reason), Since: g.shown.since, NextTry: g.retry, Working: g.busy,
		Stale: e.redactor.RedactOwn(g.outdated()), Applied: g.shown.applied, Action: g.action.String(),
		Files: []fileStatus{}, Gate: g.gate(), Outputs: e.outputStatus(g),
	}
	for _, t := range g.templates {
		dest := t.config.file.Dest
		f := fileStatus{Path: dest, Template: t.config.source.Name, Written: g.onDisk[dest].modified}
		f.Dependencies, f.More = t.dependencies(most, g.empty)
		s.Files = append(s.Files, f)
	}
	return s
}

// dependencies are what the template read last, those that are empty and then those
// that changed last first,
// and how many more there are.
func (t *groupTemplate) dependencies(most int, empty emptyLists) (shown []dependencyStatus, more int) {
	shown = []dependencyStatus{}
	for _, d := range t.reader.Dependencies() {
		news := t.news[d]
		shown = append(shown, dependencyStatus{Name: d.String(), Changed: news.At, Object: news.Object, Empty: empty[d].reason})
	}
	sort.SliceStable(shown, func(i, j int) bool {
		if a, b := shown[i].Empty != "", shown[j].Empty != ""; a != b {
			return a
		}
		return shown[i].Changed.After(shown[j].Changed)
	})
	if more = len(shown) - most; more > 0 {
		return shown[:most], more
	}
	return shown, 0
}

func (e *engine) childStatus() *childStatus {
	if e.child == nil {
		return nil
	}
	now := e.child.supervisor.Status()
	s := &childStatus{
		Command: filepath.Base(e.flags.args[0]), // the others may be anything
		State:   string(now.State), Ready: now.State == reload.Running && now.Ready, Instance: now.Instance, Since: now.Since,
	}
	s.Outdated = e.child.watch.differs.names()
	if now.State == reload.WaitingForTurn {
		s.Waits = e.redactor.RedactOwn(e.child.turn.waits())
	}
	if refused := cmp.Or(now.Refused, e.child.lineErr); refused != nil && !waiting(refused) {
		s.Refused = e.redactor.RedactOwn(refused.Error())
	}
	return s
}

func (e *engine) watchStatus(now time.Time) []watchStatus {
	all := []watchStatus{}
	for _, w := range e.watcher.Status() {
		s := watchStatus{
			Name: w.Watch.String(), Healthy: w.Healthy(now), Listed: w.Listed, Objects: w.Objects, Progress: w.Progress,
		}
		if w.Err != nil {
			s.Error = e.redactor.RedactOwn(w.Err.Error())
		}
		all = append(all, s)
	}
	return all
}
