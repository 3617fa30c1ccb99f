package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// maxStatusSize is the size of /status in bytes, and of what is like it.
	maxStatusSize = 512 << 10
	// maxText is the size in bytes of a name or reason there.
	maxText = 4 << 10
	// minText is the same when there is too much else.
	minText = 256
	// maxListed is how many groups, files or watches there are in a list.
	maxListed = 4096
)

// statusLimits are what a status may have of each sort.
type statusLimits struct {
	text, listed, dependencies, changes, diffs int
}

// limitsOf are the limits of an attempt, from 0 on, each about half of those before.
// The last one has no groups and no watches.
func limitsOf(attempt int) statusLimits {
	return statusLimits{
		text: max(minText, maxText>>attempt), listed: maxListed >> attempt, dependencies: maxDependencies >> attempt,
		changes: max(5, maxChanges>>max(0, attempt-2)), diffs: maxChanges >> attempt,
	}
}

// encode is the status as JSON, no longer than maxStatusSize. What is left out for
// that is counted, or said where it would be.
func (s *status) encode() []byte {
	for attempt := 0; ; attempt++ {
		limits := limitsOf(attempt)
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		_ = encoder.Encode(s.within(limits)) // it always marshals
		if text.Len() <= maxStatusSize || limits.listed == 0 {
			return text.Bytes()
		}
	}
}

// within is a status that keeps to limits. Of groups and watches, those in trouble
// stay.
func (s *status) within(l statusLimits) *status {
	cut := *s
	cut.Name, cut.Namespace, cut.Refused = l.cut(s.Name), l.cut(s.Namespace), l.cut(s.Refused)
	cut.Groups, cut.MoreGroups = fewer(s.Groups, l.listed, func(g groupStatus) bool { return g.State != stateApplied }, l.group)
	cut.Watches, cut.MoreWatches = fewer(s.Watches, l.listed, func(w watchStatus) bool { return !w.Healthy }, l.watch)
	cut.Changes, cut.MoreChanges = fewer(s.Changes, l.changes, nil, l.change)
	cut.MoreGroups += s.MoreGroups
	for i := l.diffs; i < len(cut.Changes); i++ {
		cut.Changes[i].Diff = withoutDiff(cut.Changes[i].Diff)
	}
	if s.Child != nil {
		child := *s.Child
		child.Command = l.cut(child.Command)
		cut.Child = &child
	}
	return &cut
}

// fewer are the first elements of a list, cut, and how many more there are. When there
// are more, those that matter come first.
func fewer[T any](list []T, most int, matters func(T) bool, cut func(T) T) (first []T, more int) {
	more = max(0, len(list)-most)
	if more > 0 && matters != nil {
		rank := func(v T) int {
			if matters(v) {
				return 0
			}
			return 1
		}
		list = slices.Clone(list)
		slices.SortStableFunc(list, func(a, b T) int { return rank(a) - rank(b) })
	}
	first = make([]T, 0, min(most, len(list)))
	for _, v := range list[:len(list)-more] {
		first = append(first, cut(v))
	}
	return first, more
}

func (l statusLimits) group(g groupStatus) groupStatus {
	g.Name, g.Reason, g.Stale, g.Action = l.cut(g.Name), l.cut(g.Reason), l.cut(g.Stale), l.cut(g.Action)
	g.Files, g.More = fewer(g.Files, l.listed, nil, l.file)
	g.Outputs, _ = fewer(g.Outputs, max(2, l.diffs), nil, l.output)
	if g.Gate != nil {
		gate := *g.Gate
		gate.Lease, gate.StoppedBy, gate.Reason = l.cut(gate.Lease), l.cut(gate.StoppedBy), l.cut(gate.Reason)
		gate.Holders, gate.Queue = l.names(gate.Holders), l.names(gate.Queue)
		g.Gate = &gate
	}
	return g
}

func (l statusLimits) file(f fileStatus) fileStatus {
	f.Path, f.Template = l.cut(f.Path), l.cut(f.Template)
	dependencies, more := fewer(f.Dependencies, l.dependencies, nil, l.dependency)
	f.Dependencies, f.More = dependencies, f.More+more
	return f
}

func (l statusLimits) dependency(d dependencyStatus) dependencyStatus {
	d.Name, d.Object, d.Empty = l.cut(d.Name), l.cut(d.Object), l.cut(d.Empty)
	return d
}

func (l statusLimits) watch(w watchStatus) watchStatus {
	w.Name, w.Error = l.cut(w.Name), l.cut(w.Error)
	return w
}

func (l statusLimits) change(c change) change {
	c.Group, c.Reason, c.Trigger, c.Files = l.cut(c.Group), l.cut(c.Reason), l.cut(c.Trigger), l.names(c.Files)
	return c
}

// names are the first names of a list, and then how many more there are.
func (l statusLimits) names(list []string) []string {
	first, more := fewer(list, l.listed, nil, l.cut)
	if more > 0 {
		first = append(first, fmt.Sprintf("and %d more", more))
	}
	return first
}

// cut shortens text that is too long, and says by how much.
func (l statusLimits) cut(text string) string {
	if len(text) <= l.text {
		return text
	}
	end := l.text
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return fmt.Sprintf("%s … and %d bytes more", text[:end], len(text)-end)
}

// withoutDiff stands for a diff that is left out.
func withoutDiff(diff string) string {
	if diff == "" {
		return ""
	}
	return fmt.Sprintf("@@ %d lines are left out @@\n", strings.Count(diff, "\n"))
}

// lines collects lines up to maxStatusSize.
type lines struct {
	text bytes.Buffer
	more int
}

// add adds a line, cut to maxText, if there is room for it.
func (l *lines) add(line string) {
	line = limitsOf(0).cut(line)
	if l.text.Len()+len(line) > maxStatusSize-minText {
		l.more++
		return
	}
	l.text.WriteString(line + "\n")
}

// bytes are all lines, and how many more there would be.
func (l *lines) bytes() []byte {
	if l.more > 0 {
		fmt.Fprintf(&l.text, "and %d more\n", l.more)
	}
	return l.text.Bytes()
}
