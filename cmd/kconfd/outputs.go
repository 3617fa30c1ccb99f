package main

import (
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// maxOutput is how much of the output of a command is kept, in bytes.
	maxOutput = 4 << 10
	// maxOutputs is of how many commands of a sort that is: a group may check thousands of files.
	maxOutputs = 16
)

// The sorts of commands of which the output is kept.
const (
	outputOfCheck  = "check"
	outputOfAction = "action"
)

// An output is what a command has printed. It has no secret that was known then.
type output struct {
	of     string // sort
	file   string // that it checked; empty for all files of the group
	at     time.Time
	failed bool
	text   string
}

// outputs are those of a group's last check, and of its last action. A job writes
// them, and the loop reads them.
type outputs struct {
	mu  sync.Mutex
	all []output // by sort, in the order of the commands
}

// begin forgets those of the last time.
func (o *outputs) begin(sort string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var others []output
	for _, one := range o.all {
		if one.of != sort {
			others = append(others, one)
		}
	}
	o.all = others
}

func (o *outputs) add(one output) {
	o.mu.Lock()
	defer o.mu.Unlock()
	count := 0
	for _, before := range o.all {
		if before.of == one.of {
			count++
		}
	}
	if count < maxOutputs && one.text != "" {
		o.all = append(o.all, one)
	}
}

// list are the outputs, those of checks first.
func (o *outputs) list() []output {
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	all := slices.Clone(o.all)
	slices.SortStableFunc(all, func(a, b output) int { return strings.Compare(b.of, a.of) })
	return all
}

// follow takes over those of a group of which this one has the files.
func (o *outputs) follow(old *outputs) {
	all := old.list()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.all) == 0 {
		o.all = all
	}
}

// ran gives what notes the end of a command of a group: what it has printed is
// shown, and in the log at debug, where that of one that fails is anyway.
func (e *engine) ran(g *group, sort, file string) func(string, error) {
	return func(text string, err error) {
		attrs := []any{"group", g.name, "of", sort}
		if file != "" {
			attrs = append(attrs, "file", file)
		}
		e.logOutput(err, text, attrs...)
		g.shown.outputs.add(output{sort, file, time.Now(), err != nil, endOf(text)})
	}
}

// ranChild is ran for a command of the child.
func (e *engine) ranChild(key string) func(string, error) {
	return func(text string, err error) { e.logOutput(err, text, "of", key) }
}

func (e *engine) logOutput(err error, text string, attrs ...any) {
	if text = strings.TrimSpace(text); err == nil && text != "" {
		e.log.Debug("command output", append(attrs, "output", text)...)
	}
}

// endOf is the end of an output, in whole lines: a part of a line may be a part of
// a secret.
func endOf(text string) string {
	text = strings.TrimSpace(strings.ToValidUTF8(text, "�"))
	if len(text) <= maxOutput {
		return text
	}
	_, end, _ := strings.Cut(text[len(text)-maxOutput:], "\n")
	return end
}

// outputStatus is an output as it is shown.
type outputStatus struct {
	Of     string    `json:"of"`
	File   string    `json:"file,omitempty"`
	Time   time.Time `json:"time"`
	Failed bool      `json:"failed,omitempty"`
	Text   string    `json:"text"`
}

// outputStatus are the outputs of a group. What has become known as a secret since
// is hidden as well.
func (e *engine) outputStatus(g *group) []outputStatus {
	var all []outputStatus
	for _, o := range g.shown.outputs.list() {
		all = append(all, outputStatus{Of: o.of, File: o.file, Time: o.at, Failed: o.failed, Text: e.redactor.Redact(o.text)})
	}
	return all
}

func (l statusLimits) output(o outputStatus) outputStatus {
	o.File, o.Text = l.cut(o.File), l.cut(o.Text)
	return o
}
