package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kconfd/kconfd/galera"
	"github.com/kconfd/kconfd/render"
	"github.com/kconfd/kconfd/watcher"
)

const (
	// maxOldSecrets and maxOldBytes bound what is kept of secrets that are read no
	// more: a process may still print them, and no file has them.
	maxOldSecrets = 64
	maxOldBytes   = 1 << 20
)

// secrets are those that were read last, and the last of those before.
type secrets struct {
	current, old []string // current is sorted, old has the newest first
	pieces, keep []string // of files; paths
}

// set replaces what was read last, and says whether that is new.
func (s *secrets) set(current, pieces, keep []string) bool {
	if slices.Equal(s.current, current) && slices.Equal(s.pieces, pieces) && slices.Equal(s.keep, keep) {
		return false
	}
	var gone []string
	for _, before := range s.current {
		if _, still := slices.BinarySearch(current, before); !still {
			gone = append(gone, before)
		}
	}
	s.old = slices.DeleteFunc(append(gone, s.old...), func(old string) bool {
		_, again := slices.BinarySearch(current, old)
		return again
	})
	size, kept := 0, 0
	for kept < min(len(s.old), maxOldSecrets) && size+len(s.old[kept]) <= maxOldBytes {
		size += len(s.old[kept])
		kept++
	}
	s.old = slices.Clone(s.old[:kept]) // lets go of the others
	s.current, s.pieces, s.keep = current, pieces, keep
	return true
}

// all are the secrets to be hidden.
func (s *secrets) all() []string { return slices.Concat(s.current, s.old) }

// hideSecrets has what was read last hidden from now on.
func (e *engine) hideSecrets() {
	var current, pieces []string
	for _, r := range e.readers() {
		current = append(current, r.Secrets()...)
	}
	for _, g := range e.groups {
		current = append(current, g.secrets...)
		for _, t := range g.templates {
			for _, m := range []*render.Mask{t.mask, t.live} {
				if p := m.Pieces(); p != "" {
					pieces = append(pieces, p)
				}
			}
		}
	}
	if len(current)+len(e.secrets.current)+len(pieces) == 0 {
		return
	}
	slices.Sort(current)
	if e.secrets.set(slices.Compact(current), slices.Compact(pieces), e.paths()) {
		e.redactor.Set(e.secrets.all(), e.secrets.pieces, e.secrets.keep)
		e.board.hide(e.redactor)
	}
}

// paths are those that stay in texts from which secrets are taken: the files, and
// the directories in which the candidates are.
func (e *engine) paths() []string {
	var paths []string
	for _, dest := range e.dests() {
		paths = append(paths, dest)
		if dir := filepath.Dir(dest); len(dir) > 1 {
			paths = append(paths, dir+"/")
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// redactDiff is how a file changes, as far as it may be shown. Known says that
// this process has rendered what is live.
func (e *engine) redactDiff(diff string, f *render.Staged, before, after *render.Mask, known bool) string {
	redacted := render.FileDiff{
		Unified: diff, Content: f.Content, Before: before, After: after,
		Open: known || after == nil && !f.MayBeSecret(),
	}.Redacted()
	return redactLines(redacted, e.redactor)
}

// redactLines takes whole secrets out of the lines of a diff: what is no secret in
// one file may be one in another.
func redactLines(diff string, r *render.Redactor) string {
	var out strings.Builder
	for line := range strings.Lines(diff) {
		if !strings.HasPrefix(line, "@@") && !strings.HasPrefix(line, "--- ") && !strings.HasPrefix(line, "+++ ") {
			line = r.RedactOwn(line)
		}
		out.WriteString(line)
	}
	return out.String()
}

// refuseContent is galera's guard. It quotes what it does not like.
func (e *engine) refuseContent(f *render.Staged) error {
	err := galera.Guard(f.Content)
	if err == nil {
		return nil
	}
	return fmt.Errorf("refusing %q: %s", f.Dest, e.redactor.Redact(err.Error()))
}

// A runError is the error of a template that was run without data.
type runError struct {
	template *render.Template
	err      error
}

func (e *runError) Error() string { return e.err.Error() }
func (e *runError) Unwrap() error { return e.err }

// redactRun takes secrets out of the error of a run, if it is a template's.
func redactRun(v *watcher.View, r *watcher.Reader, err error) error {
	var failed *runError
	if !v.ReadSecret(r) || !errors.As(err, &failed) {
		return err
	}
	return failed.template.RedactError(failed.err, v.Repeat(r, failed.template.StandIns()[0], func() error {
		_, err := failed.template.Again(nil)
		return err
	}))
}

// exposed refuses to write secrets into a file that others may have open already: a
// program that reads it keeps on reading when the mode is taken away.
func exposed(batch *render.Batch) error {
	for _, f := range batch.Files {
		if !f.Private || !f.InPlace || !f.Rewritten() {
			continue
		}
		info, err := os.Stat(f.Dest)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it gets the right mode at once
		}
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if f.Mode != 0 {
			want = f.Mode
		}
		if now := info.Mode().Perm(); now&^want&0o066 != 0 {
			return fmt.Errorf("writing %q in place: it would have a secret, and mode %04o is open to other users: give the file mode %04o first, or set mode", f.Dest, now, want)
		}
	}
	return nil
}

// noteLive notes of which files the job has become the live one.
func (g *group) noteLive(r result) {
	var back *rolledBackError
	if !r.job.live || errors.As(r.err, &back) || len(r.job.masks) != len(g.templates) {
		return
	}
	for i, t := range g.templates {
		t.live = r.job.masks[i]
	}
}

// redactAttr takes secrets out of an attribute of the log. Names, paths and
// kconfd's own words stay.
func redactAttr(r *render.Redactor) func(groups []string, a slog.Attr) slog.Attr {
	return func(groups []string, a slog.Attr) slog.Attr {
		v := a.Value.Resolve()
		err, isError := v.Any().(error)
		switch {
		case a.Key == "line", a.Key == "message": // of another program
			a.Value = slog.StringValue(r.Redact(v.String()))
		case isError:
			a.Value = slog.StringValue(r.RedactOwn(err.Error()))
		case v.Kind() == slog.KindString && slices.Contains([]string{"err", "output", "reason", "why", "hint"}, a.Key):
			a.Value = slog.StringValue(r.RedactOwn(v.String()))
		}
		return a
	}
}

// redactForeign takes secrets out of all that another library says.
func redactForeign(a slog.Attr, r *render.Redactor) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(r.Redact(v.String()))
	case slog.KindGroup:
		var attrs []slog.Attr
		for _, inner := range v.Group() {
			attrs = append(attrs, redactForeign(inner, r))
		}
		a.Value = slog.GroupValue(attrs...)
	case slog.KindAny:
		a.Value = slog.StringValue(r.Redact(fmt.Sprintf("%+v", v.Any())))
	}
	return a
}

// redactError is err with the secrets hidden in its text.
func redactError(err error, r *render.Redactor) error {
	if err == nil {
		return nil
	}
	return &redactedError{err, r}
}

type redactedError struct {
	err      error
	redactor *render.Redactor
}

func (e *redactedError) Error() string { return e.redactor.RedactOwn(e.err.Error()) }
func (e *redactedError) Unwrap() error { return e.err }

// hideIn hides in a text the secrets that are hidden in err's own.
func hideIn(text string, err error) string {
	var redacted *redactedError
	if errors.As(err, &redacted) {
		return redacted.redactor.RedactOwn(text)
	}
	return text
}
