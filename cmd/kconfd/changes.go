package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kconfd/kconfd/render"
	"github.com/kconfd/kconfd/watcher"
)

// A change is what became of a group's new files, or of what was owed.
type change struct {
	Time     time.Time `json:"time"` // of its end
	Group    string    `json:"group"`
	Outcome  string    `json:"outcome"`
	Reason   string    `json:"reason,omitempty"`
	Trigger  string    `json:"trigger"`
	Duration float64   `json:"duration_seconds"`
	Files    []string  `json:"files"`
	Diff     string    `json:"diff,omitempty"`
	Times    int       `json:"times"`
}

const (
	// maxChanges are kept.
	maxChanges = 50
	// maxDiff is how many bytes are kept of a change's diff.
	maxDiff = 8 << 10
	// maxCompared is the size in bytes of the largest file that is compared line
	// by line: a larger one takes longer than its change.
	maxCompared = 256 << 10
	// maxNews is of how many dependencies of a template the last change is known.
	maxNews = 10 * maxDependencies
)

// A story is what is kept of a job, for a change.
type story struct {
	began time.Time
	cause string
	files []string // with new content
	diff  string   // with secrets hidden
}

// why is why it is the group's turn now; empty when its data says so.
func (e *engine) why(g *group, now time.Time) string {
	switch {
	case !e.board.begun:
		return "start"
	case g.shown.rendered.IsZero():
		return "configuration"
	case e.child != nil && len(e.child.waiting) > 0:
		return "start of the child"
	}
	retry := !g.retry.IsZero() && !now.Before(g.retry)
	switch {
	case retry && g.err != nil:
		return "another try"
	case (retry || g.dirty) && g.settled:
		return touched
	}
	return ""
}

// look notes what of the group's data has changed since it was rendered last.
func (e *engine) look(g *group, v *watcher.View, now time.Time) {
	if !e.watched() {
		return
	}
	var all []watcher.News
	for _, t := range g.templates {
		for _, n := range v.News(t.reader) {
			t.note(n)
			all = append(all, n)
		}
	}
	if e.triggersOf(g).any() {
		all = append(all, v.News(e.child.line.reader)...)
	}
	var names []string
	for _, n := range all {
		name := n.Dependency.String()
		if n.Object != "" {
			name += " (" + n.Object + ")"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	switch {
	case len(names) > 0:
		g.shown.cause = firstThree(names)
	case g.shown.due != "":
		g.shown.cause = g.shown.due
	} // else something new that it reads has been listed: the cause is as before
	g.shown.rendered = now
}

func firstThree(names []string) string {
	text := strings.Join(names[:min(3, len(names))], ", ")
	if more := len(names) - 3; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// note keeps when something that the template reads has changed.
func (t *groupTemplate) note(news watcher.News) {
	if t.news == nil {
		t.news = map[watcher.Dependency]watcher.News{}
	}
	t.news[news.Dependency] = news
	if len(t.news) <= maxNews {
		return
	}
	oldest := news
	for _, n := range t.news {
		if n.At.Before(oldest.At) {
			oldest = n
		}
	}
	delete(t.news, oldest.Dependency)
}

// sketch notes what a job is about to change.
func (e *engine) sketch(j *job, batch *render.Batch) {
	if e.listener == nil {
		return
	}
	for i, f := range batch.Files {
		if !f.Rewritten() {
			continue
		}
		j.story.files = append(j.story.files, f.Dest)
		if len(j.story.diff) < maxDiff {
			j.story.diff = shorten(j.story.diff + e.diffOf(j, i, f))
		}
	}
}

// diffOf is how a file changes, as far as it may be shown to whoever looks.
func (e *engine) diffOf(j *job, i int, f *render.Staged) string {
	info, err := os.Stat(f.Dest)
	switch {
	case forOwner(f):
		return withoutLines(f, "for its owner only")
	case len(f.Content) > maxCompared, err == nil && info.Size() > maxCompared:
		return withoutLines(f, "too large to compare")
	}
	diff, err := f.Diff()
	if err != nil {
		return withoutLines(f, "cannot be read")
	}
	return e.redactDiff(diff, f, j.before[i], j.masks[i], j.known)
}

// forOwner says whether a file is nobody else's business though its template
// reads no Secret: kconfd does not know which of its words to hide.
func forOwner(f *render.Staged) bool {
	return !f.Private && (f.MayBeSecret() || (f.Mode != 0 && f.Mode&0o077 == 0))
}

func withoutLines(f *render.Staged, why string) string {
	return fmt.Sprintf("--- %s\n+++ %s\n@@ %s @@\n", f.Dest, f.Dest, why)
}

// shorten keeps the whole lines of a diff that is too long.
func shorten(diff string) string {
	if len(diff) <= maxDiff {
		return diff
	}
	kept := diff[:strings.LastIndexByte(diff[:maxDiff], '\n')+1]
	return kept + fmt.Sprintf("@@ %d more lines @@\n", strings.Count(diff[len(kept):], "\n"))
}

// record keeps what became of a job, if there was something to do.
func (e *engine) record(r result, now time.Time) {
	j, g := r.job, r.job.of
	if !e.watched() || !j.wrote && (r.err == nil && !j.acted || errors.Is(r.err, errSuperseded)) {
		return
	}
	c := change{
		Time: now, Group: g.name, Outcome: r.outcome(), Trigger: j.story.cause,
		Duration: now.Sub(j.story.began).Seconds(), Files: append([]string{}, j.story.files...), Diff: j.story.diff, Times: 1,
	}
	if r.err != nil {
		c.Reason = e.redactor.RedactOwn(withOutput(r.err.Error(), outputOf(r.err)))
	} else {
		g.shown.applied = now
		e.tellApplied(g, c)
	}
	e.meters.took(c)
	e.board.add(c)
	e.board.changed()
}

// withOutput is the reason of a failure, with what the command that failed has printed
// where that is more than the reason quotes.
func withOutput(reason, output string) string {
	if output == "" {
		return reason
	}
	return reason + "\n" + output
}

// add keeps a change. A failure that repeats itself is one.
func (b *board) add(c change) {
	for i, before := range slices.Backward(b.changes) {
		if before.Group != c.Group {
			continue
		}
		if c.Outcome != stateApplied && before.Outcome == c.Outcome && sameButNumbers(before.Reason, c.Reason) {
			c.Times += before.Times
			b.changes = slices.Delete(b.changes, i, i+1)
		}
		break
	}
	b.changes = append(b.changes, c)
	if len(b.changes) > maxChanges {
		b.changes = slices.Delete(b.changes, 0, 1)
	}
}

// latest are the changes, the newest first.
func (b *board) latest() []change {
	all := slices.Clone(b.changes)
	slices.Reverse(all)
	return append([]change{}, all...) // never nil: it is a list in JSON too
}

// hide hides secrets that have become known in the changes of before.
func (b *board) hide(r *render.Redactor) {
	for i := range b.changes {
		b.changes[i].Diff, b.changes[i].Reason = redactLines(b.changes[i].Diff, r), r.RedactOwn(b.changes[i].Reason)
	}
}

// sameButNumbers compares texts without the numbers in them, which are of
// candidates and ports and so not the same twice.
func sameButNumbers(a, b string) bool { return withoutNumbers(a) == withoutNumbers(b) }

func withoutNumbers(s string) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return -1
		}
		return r
	}, s)
}
