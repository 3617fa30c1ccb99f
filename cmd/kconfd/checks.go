package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kconfd/kconfd/internal/lint"
	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/render"
)

// check runs every check on the candidates, which are all staged by now.
func (e *engine) check(ctx context.Context, j *job, batch *render.Batch) error {
	j.of.shown.outputs.begin(outputOfCheck)
	staged := map[string]string{}
	for _, f := range batch.Files {
		staged[f.Dest] = f.Path
		if err := e.refuseContent(f); err != nil {
			return err
		}
	}
	if e.flags.syncOnly {
		return nil
	}
	funcs := j.group.commandFuncs(staged)
	for i, f := range batch.Files {
		c := j.group.templates[i].check
		if c == nil || !f.Rewritten() {
			continue
		}
		check := checkRun{job: j, batch: batch, file: f.Dest, command: *c, data: commandData(f.Path, f.Dest), funcs: funcs}
		if err := e.runCheck(ctx, check); err != nil {
			return fmt.Errorf("checking %q: %w", f.Dest, err)
		}
	}
	if j.group.check == nil {
		return nil
	}
	check := checkRun{job: j, batch: batch, command: *j.group.check, data: j.group.groupData(staged), funcs: funcs}
	if err := e.runCheck(ctx, check); err != nil {
		return fmt.Errorf("checking the files of %q: %w", j.group.name, err)
	}
	return nil
}

// A checkRun is one check of candidates: of one file's, or of all files of the group.
type checkRun struct {
	job     *job
	batch   *render.Batch
	file    string // empty for the group
	command reload.Command
	data    map[string]any
	funcs   map[string]any
}

// runCheck runs a check where the candidates have the names of the live files, as far as the kernel
// allows it.
func (e *engine) runCheck(ctx context.Context, r checkRun) error {
	liveDir := ""
	if namesDir(r.command) {
		mirror, err := r.batch.Mirror()
		if err != nil {
			return err
		}
		defer func() {
			if err := mirror.Remove(); err != nil {
				e.log.Warn("directory of a check not removed", "err", err)
			}
		}()
		r.data["dir"], liveDir = mirror.Dir(), mirror.Live()
	}
	c, err := r.command.Expand(r.data, r.funcs)
	if err != nil {
		return err
	}
	c.Hide, c.Ran = e.redactor.Redact, e.ran(r.job.of, outputOfCheck, r.file)
	var unseen []string
	why := wantsLive(r.command, r.file)
	if why == nil {
		c.Isolate = r.batch.Overlay
		err = c.Run(ctx)
		if isolation := (*reload.IsolationError)(nil); errors.As(err, &isolation) {
			why = isolation
		}
	}
	if why != nil {
		unseen = r.unseen()
		e.warnUnseen(r.job, unseen, why)
		c.Isolate = nil
		err = c.Run(ctx)
	}
	if err != nil && r.liveFails(ctx, err, liveDir) {
		return &liveFailsError{unseen, err}
	}
	return err
}

// errWantsLive is a check that is about the live file too.
var errWantsLive = errors.New("it names the live file")

// wantsLive is an error for a check that compares a candidate with the live file, which has to have its
// own name for that. The file is empty for a check of all files.
func wantsLive(c reload.Command, file string) error {
	if mentions(c, ".dest") || filepath.IsAbs(file) && mentions(c, ".src") && mentions(c, file) {
		return errWantsLive
	}
	return nil
}

// liveFails says, of a check that failed on the candidates, whether the live files fail it as well.
func (r checkRun) liveFails(ctx context.Context, failed error, liveDir string) bool {
	var command *reload.CommandError
	if !errors.As(failed, &command) || command.ExitCode < 0 || command.ExitCode == exitNotFound || command.ExitCode == exitNotRunnable {
		return false // it came to no result
	}
	for _, f := range r.batch.Files {
		if !f.Existed() {
			return false // that they fail says nothing
		}
	}
	data := r.job.group.groupData(nil)
	if r.file != "" {
		data = commandData(r.file, r.file)
	}
	data["dir"] = liveDir
	c, err := r.command.Expand(data, r.job.group.commandFuncs(nil))
	return err == nil && c.Run(ctx) != nil && ctx.Err() == nil
}

// A liveFailsError is a check that fails on the candidates and on the live files. What it finds may be in
// a file that the group does not write, or in one of which it reads the live one in place of the
// candidate: then the candidates are refused until that file is another one.
type liveFailsError struct {
	unseen []string // of which it reads the live ones
	err    error
}

func (e *liveFailsError) Error() string {
	if len(e.unseen) > 0 {
		return fmt.Sprintf("%v; the live files fail this check too, and it reads the live %s in place of the candidate", e.err, strings.Join(e.unseen, ", "))
	}
	return e.err.Error()
}

func (e *liveFailsError) Unwrap() error { return e.err }

// hint is the way out.
func (e *liveFailsError) hint() string {
	if len(e.unseen) > 0 {
		return "`kconfd -onetime -sync-only` writes the candidates without a check; for the future: " + hintUnseen
	}
	return "the live files fail this check too: if the fault is in a file outside of the group, mend that file, and put files that include each other into one resource file; `kconfd -onetime -sync-only` writes without a check"
}

var dirName = regexp.MustCompile(`\{\{[^}]*[."]dir\b`)

// namesDir says whether a command names {{.dir}}.
func namesDir(c reload.Command) bool { return dirName.MatchString(c.String()) }

// warnUnseen logs, once for each file, that a check does not see its candidate.
func (e *engine) warnUnseen(j *job, files []string, why error) {
	for _, file := range files {
		if j.of.unseen[file] {
			continue
		}
		j.of.unseen[file] = true
		attrs := []any{"group", j.group.name, "file", file, "err", why}
		if j.group.verify == nil {
			attrs = append(attrs, "hint", hintUnseen)
		}
		e.log.Warn("check cannot see candidate", attrs...)
	}
}

const hintUnseen = "name the files by {{.dir}} and include them by relative paths, or set verify_cmd in [reload], which rolls back files that the process does not work with"

// unseen are the changed files of the group of which the check sees the live file, unless it has its own
// mount namespace.
func (r checkRun) unseen() []string {
	texts := make([]string, 0, len(r.batch.Files))
	var files []checkedFile
	for i, f := range r.batch.Files {
		texts = append(texts, string(f.Content))
		files = append(files, checkedFile{f.Dest, r.job.group.templates[i].written, f.Rewritten() && f.Dest != r.file})
	}
	return unseenBy(r.command, files, texts)
}

// A checkedFile is a file of a group for which there is a check.
type checkedFile struct {
	dest, written string
	changed       bool // and not the file that {{.src}} is
}

// unseenBy are the changed files to which a text of the group leads by a path that the check follows to
// the live file: an absolute one, or without {{.dir}} a relative one.
func unseenBy(c reload.Command, files []checkedFile, texts []string) []string {
	var unseen []string
	for i, f := range files {
		if f.changed && f.led(i, texts, !namesDir(c) && !f.namedBy(c)) {
			unseen = append(unseen, f.dest)
		}
	}
	return unseen
}

// namedBy says whether the check has the path of the file's candidate.
func (f checkedFile) namedBy(c reload.Command) bool {
	return mentions(c, "staged") && mentions(c, f.dest, f.written)
}

// led says whether a text other than the file's own leads to it.
func (f checkedFile) led(own int, texts []string, relative bool) bool {
	for i, text := range texts {
		if i != own && leads(text, f.dest, relative) {
			return true
		}
	}
	return false
}

// lintUnseen finds checks that cannot see files of the group, as far as the texts of the templates tell,
// where files that turn out bad are not rolled back either.
func (g *groupConfig) lintUnseen() []complaint {
	if g.verify != nil || len(g.templates) < 2 || !g.hasCheck() {
		return nil
	}
	cannot := reload.CanIsolate()
	var found []complaint
	var texts, said []string
	var files []checkedFile
	for _, t := range g.templates {
		texts = append(texts, t.source.Text)
		files = append(files, checkedFile{t.file.Dest, t.written, true})
	}
	look := func(c *reload.Command, file string, files []checkedFile, path ...string) {
		if c == nil {
			return
		}
		why := cmp.Or(wantsLive(*c, file), cannot)
		if why == nil {
			return
		}
		for _, file := range unseenBy(*c, files, texts) {
			if slices.Contains(said, file) {
				continue
			}
			said = append(said, file)
			found = append(found, complaint{
				lint.Warning, lint.RuleCheckCmd, path,
				fmt.Sprintf("the check_cmd follows an include to the live %q and cannot see its candidate: %v", file, why), hintUnseen,
			})
		}
	}
	look(g.check, "", files, "check_cmd")
	for i, t := range g.templates {
		others := slices.Clone(files)
		others[i].changed = false
		look(t.check, t.file.Dest, others, "template", strconv.Itoa(i), "check_cmd")
	}
	return found
}

func (g *groupConfig) hasCheck() bool {
	return g.check != nil || slices.ContainsFunc(g.templates, func(t templateConfig) bool { return t.check != nil })
}

// leads says whether a text has the path of a file, or of its directory with a pattern; with relative,
// also a path that may end there.
func leads(text, dest string, relative bool) bool {
	path, err := filepath.Abs(dest)
	if err != nil {
		return false
	}
	dir, name := filepath.Split(path)
	paths := []string{path, dir + "*"}
	if relative {
		paths = append(paths, name, filepath.Base(dir)+"/*")
	}
	for _, p := range paths {
		if strings.Contains(text, p) {
			return true
		}
	}
	return false
}
