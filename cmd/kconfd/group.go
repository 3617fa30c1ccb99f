package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/kconfd/kconfd/internal/limits"
	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/render"
	"github.com/kconfd/kconfd/watcher"
)

// A group is one resource file at work. The loop owns it.
type group struct {
	groupConfig
	templates []*groupTemplate
	guards    []*guard

	quiet     reload.Quiet
	settled   bool       // has been applied once; from then on changes wait for quiet
	busy      bool       // a job is under way
	job       *job       // that one
	waiting   bool       // it waits for others, and is not at work on files
	queued    bool       // for the gate
	turnstile *turnstile // to the gate; nil without one
	owed      bool       // written, and the process not told yet
	tried     bool       // what is owed has been tried by itself: -onetime does that once
	stuck     bool       // what is new could not be written: what is owed does not wait for that
	ledger    *ledger    // of what is owed, and of the way back
	line      lineState  // of the command; for the group with [process]
	told      time.Time  // when the process was told last
	applied   counts     // of what was applied last; nil when that is not known
	appliedAt time.Time  // when an earlier kconfd applied what it left; zero when that is not known
	dirty     bool       // to be applied, though no template changed: a retry or drift
	after     []*group   // whose files are this group's now; they are gone

	err     error     // why it is not applied, nil when it is
	since   time.Time // of err
	blamed  time.Time // since when the log says that it, or the group before it, is not applied; zero when it does not
	warn    time.Time // when to say so (again)
	backoff reload.Backoff
	retry   time.Time // when to try again, zero when only news can help
	reached bool      // the last failure was one of files that are live

	unkept map[string]string // by file, what the log has said that it did not get; the job's while one runs

	unseen map[string]bool // files of which the log has said that a check does not see the candidate; as unkept

	over *limits.Error // the last limit that a template exceeded, once it is counted

	empty emptyLists // that the templates read

	old error // why what was read may be out of date; nil when it is not

	rejected   rejected
	rejections reload.Backoff // before it is tried again

	onDisk  map[string]fingerprint // of the files as they were written
	written time.Time              // when that was
	contest reload.Backoff         // with whoever else writes them
	slow    reload.Backoff         // between renders that were too much for the machine

	shown shown
}

// A rejected content has been live and was undone.
type rejected struct {
	digest [32]byte
	until  time.Time // when it may be tried again; zero when nothing is rejected
}

// rejects says whether what has been rendered was undone, and it is too early to
// try it again.
func (g *group) rejects(now time.Time) bool {
	return now.Before(g.rejected.until) && digest(g.files(), g.line.rendered) == g.rejected.digest
}

// digest tells contents apart.
func digest(files []render.File, line *rendered) [32]byte {
	h := sha256.New()
	if line != nil {
		fmt.Fprintf(h, "%q %q ", line.argv, line.env)
	}
	for _, f := range files {
		fmt.Fprintf(h, "%q %d ", f.Dest, len(f.Content))
		h.Write(f.Content)
	}
	return [32]byte(h.Sum(nil))
}

// A groupTemplate is one template of a group with what it gave last.
type groupTemplate struct {
	config   templateConfig
	template *render.Template
	reader   *watcher.Reader
	content  []byte // nil when the last run did not come to an end
	err      error
	mask     *render.Mask                        // of the content; nil when it has no secrets
	live     *render.Mask                        // of what this process has written
	news     map[watcher.Dependency]watcher.News // the last that there were
}

// newGroup parses the group's templates, with functions that read through w.
func newGroup(config groupConfig, quiet reload.Quiet, w *watcher.Watcher) (*group, error) {
	g := &group{
		groupConfig: config, quiet: quiet, backoff: config.schedule, rejections: config.rejections(), slow: slowBackoff(),
		dirty: true, unkept: map[string]string{}, unseen: map[string]bool{}, shown: shown{outputs: &outputs{}},
	}
	if config.quiet != nil {
		g.quiet = *config.quiet
	}
	for _, t := range config.templates {
		reader := w.NewReader()
		source := t.source
		source.Funcs, source.NameOf = reader.Funcs(), reader.NameOf
		parsed, err := render.Parse(source)
		if err != nil {
			reader.Close()
			g.close()
			return nil, fmt.Errorf("reading %s: %w", config.name, explainSyntax(source, err))
		}
		g.templates = append(g.templates, &groupTemplate{config: t, template: parsed, reader: reader})
	}
	for _, c := range config.guards {
		guard, err := newGuard(c, w)
		if err != nil {
			g.close()
			return nil, fmt.Errorf("reading %s: %w", config.name, err)
		}
		g.guards = append(g.guards, guard)
	}
	return g, nil
}

func (g *group) close() {
	for _, r := range g.readers() {
		r.Close()
	}
}

// readers are those of the templates and guards.
func (g *group) readers() []*watcher.Reader {
	var readers []*watcher.Reader
	for _, t := range g.templates {
		readers = append(readers, t.reader)
	}
	for _, guard := range g.guards {
		readers = append(readers, guard.reader)
	}
	return readers
}

// follow makes g come after a group that is gone, if they share a file: its job
// may not have ended, and what it owes is owed still.
func (g *group) follow(gone *group) {
	for _, old := range append([]*group{gone}, gone.after...) {
		if !old.writes(g.templates) {
			continue
		}
		g.after = append(g.after, old)
		g.shown.outputs.follow(old.shown.outputs)
		if old.told.After(g.told) {
			g.told = old.told
		}
		if g.applied == nil {
			g.applied = old.applied
		}
		if g.blamed.IsZero() {
			g.blamed = old.blamed
		}
	}
}

// writes says whether g has one of the templates' files.
func (g *group) writes(templates []*groupTemplate) bool {
	for _, t := range g.templates {
		for _, other := range templates {
			if t.config.file.Target() == other.config.file.Target() {
				return true
			}
		}
	}
	return false
}

// takeOver forgets the groups before g, whose jobs have ended.
func (g *group) takeOver() {
	for _, old := range g.after {
		g.owed = g.owed || old.owed
		if old.ledger.pending() && !g.ledger.pending() {
			old.ledger.must, old.ledger.unproven = g.ledger.must, false // who was told by another action
			g.ledger = old.ledger
		}
		g.turnstile = g.turnstile.follow(old.turnstile)
	}
	g.after = nil
}

// unfinished says whether whoever comes after the group has to know of it.
func (g *group) unfinished() bool {
	return g.busy || g.owed || slices.ContainsFunc(g.after, (*group).unfinished)
}

// giveUp ends the way through the gate of a group that is gone.
func (g *group) giveUp() {
	go g.turnstile.giveUp() // it ends by itself
	g.turnstile = nil
}

// waits says whether the group cannot start a job: its own, or that of one before
// it, has not ended.
func (g *group) waits() bool {
	return g.busy || slices.ContainsFunc(g.after, func(old *group) bool { return old.busy })
}

// stale says whether a template of the group is worth running again.
func (g *group) stale(v *watcher.View) bool {
	return slices.ContainsFunc(g.readers(), v.Stale)
}

// render runs the templates whose data changed. The error is the first that
// keeps the group from being written.
func (g *group) render(v *watcher.View, now time.Time) error {
	var first error
	for _, t := range g.templates {
		if v.Stale(t.reader) || passing(t.err) {
			if g.busy {
				t.template.Keep() // for the job that waits
			}
			t.run(v, g.values)
		}
		if first == nil {
			first = t.err
		}
	}
	for _, guard := range g.guards {
		guard.look(v)
		before, known := g.applied[guard.counted()]
		if !known {
			before = -1
		}
		err := guard.check(before, now)
		if old := v.OutOfDate(guard.reader); err == nil && guard.config.fresh && old != nil {
			err = guard.held("%v", old)
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = g.behind(v)
	}
	return first
}

// behind holds what comes of objects from a snapshot, where the live files may
// have come of newer ones: a snapshot is older than the last changes. It is there
// for files that are missing, and for other templates.
func (g *group) behind(v *watcher.View) error {
	if g.settled || !g.onDiskAlready() {
		return nil
	}
	for _, r := range g.readers() {
		var old *watcher.OutOfDateError
		if errors.As(v.OutOfDate(r), &old) && old.Restored && (g.appliedAt.IsZero() || old.Since.Before(g.appliedAt)) {
			return &render.HeldError{Reason: fmt.Sprintf("the objects last seen are from %s, and the files may be newer", old.Since.Format(time.RFC3339))}
		}
	}
	return nil
}

// wantsFresh says whether a guard looks at the age of what it counts.
func (g *group) wantsFresh() bool {
	return slices.ContainsFunc(g.guards, func(guard *guard) bool { return guard.config.fresh })
}

// counts are those of the guards now.
func (g *group) counts() counts {
	counts := counts{}
	for _, guard := range g.guards {
		counts[guard.counted()] = guard.count
	}
	return counts
}

// release is when a guard lets go by itself; zero when none will.
func (g *group) release(now time.Time) time.Time {
	var first time.Time
	for _, guard := range g.guards {
		if at := guard.release(now); !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

func (t *groupTemplate) run(v *watcher.View, values map[string]any) {
	t.content, t.mask = nil, nil
	began := time.Now()
	t.err = v.Run(t.reader, func() (err error) {
		t.content, err = t.template.Execute(templateData(values))
		return err
	})
	if over := limitOf(t.err); over != nil && over.Limit == limits.Reads {
		t.err = fmt.Errorf("rendering %q: %w", t.config.source.Name, t.err)
	}
	var incomplete *watcher.IncompleteError
	if v.ReadSecret(t.reader) && !errors.As(t.err, &incomplete) {
		t.prove(v, values, time.Since(began))
	}
}

func templateData(values map[string]any) map[string]any {
	return map[string]any{"Values": cloneValues(values)}
}

// slowest is how long a template that reads a secret may take to be run again.
const slowest = time.Second

// prove finds out what of the content, or of the error, is the same with other
// secrets. All else may stem from a secret.
func (t *groupTemplate) prove(v *watcher.View, values map[string]any, took time.Duration) {
	var others [][]byte
	otherErr := errors.New("not run again")
	again := took <= slowest && len(t.content) <= render.MaxProof
	if again {
		for _, standIn := range t.template.StandIns() {
			var other []byte
			err := v.Repeat(t.reader, standIn, func() (err error) {
				other, err = t.template.Again(templateData(values))
				return err
			})
			if len(others) == 0 {
				otherErr = err
			}
			if t.err != nil || err != nil {
				break
			}
			others = append(others, other)
		}
	}
	switch {
	case t.err == nil:
		t.mask = t.template.Mask(t.content, others...)
	case again:
		t.err = t.template.RedactError(t.err, otherErr)
	default:
		t.err = t.template.RedactError(t.err, nil)
	}
}

// files are what the group wants on disk, once it has been rendered.
func (g *group) files() []render.File {
	files := make([]render.File, 0, len(g.templates))
	for _, t := range g.templates {
		f := t.config.file
		f.Content = t.content
		f.Private = t.reader.ReadSecret()
		files = append(files, f)
	}
	return files
}

// due is when the group has something to do, if it has.
func (g *group) due() (time.Time, bool) {
	if g.busy && g.waiting {
		return g.quiet.Due() // newer content may end the wait
	}
	if g.waits() {
		return time.Time{}, false
	}
	if g.dirty {
		return time.Time{}, true
	}
	at, pending := g.quiet.Due()
	if !g.retry.IsZero() && (!pending || g.retry.Before(at)) {
		return g.retry, true
	}
	return at, pending
}

// troubled says that there is something to tell about the group. While a job is
// under way, what it was before may be over.
func (g *group) troubled() bool { return g.err != nil && !g.waits() }

// failing says whether what is tried for the group fails, rather than waits for data.
func (g *group) failing() bool { return g.err != nil && !waiting(g.err) && !held(g.err) }

// failed notes why the group is not applied.
func (g *group) failed(err error, now time.Time) {
	if g.err == nil || !sameTrouble(g.err, err) {
		g.warn = now.Add(sayAfter(err))
	}
	if g.err == nil {
		g.since = now
	}
	g.err = err
}

// sameTrouble says whether two errors tell the same, with the same output. The names of candidates, which
// end with many digits, differ each time, and so do times in outputs.
func sameTrouble(a, b error) bool {
	random := regexp.MustCompile(`[0-9]{5,}`)
	return random.ReplaceAllString(a.Error(), "") == random.ReplaceAllString(b.Error(), "") && sameButNumbers(outputOf(a), outputOf(b))
}

const (
	// patience is how long data may take to come before the log says what is
	// awaited.
	patience = 3 * time.Second
	// reminder is how often it says so again.
	reminder = time.Minute
)

// sayAfter is how long to wait before an error is worth a message: what is
// awaited mostly comes at once.
func sayAfter(err error) time.Duration {
	if waiting(err) {
		return patience
	}
	return 0
}

// waiting says that err is for want of data, and no fault.
func waiting(err error) bool {
	var incomplete *watcher.IncompleteError
	var absent *watcher.AbsentError
	return errors.As(err, &incomplete) || errors.As(err, &absent)
}

// held says that a guard in a template withholds the render.
func held(err error) bool {
	var held *render.HeldError
	return errors.As(err, &held)
}

// A fingerprint tells without reading a file whether somebody touched it.
type fingerprint struct {
	inode    uint64
	size     int64
	modified time.Time
	mode     fs.FileMode
	uid, gid uint32
}

func fingerprintOf(path string) fingerprint {
	info, err := os.Stat(path)
	if err != nil {
		return fingerprint{}
	}
	sys := info.Sys().(*syscall.Stat_t)
	return fingerprint{sys.Ino, info.Size(), info.ModTime(), info.Mode(), sys.Uid, sys.Gid}
}

// drifted says whether somebody else touched a file since it was written.
func (g *group) drifted() bool {
	for dest, was := range g.onDisk {
		if fingerprintOf(dest) != was {
			return true
		}
	}
	return false
}
