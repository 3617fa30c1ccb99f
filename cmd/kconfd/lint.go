package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/kconfd/kconfd/internal/lint"
	"github.com/kconfd/kconfd/internal/steady"
	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/render"
	"github.com/kconfd/kconfd/watcher"
)

// The exit codes of lint, as diff and linters have them.
const (
	exitWarnings = 1
	exitErrors   = 2
)

// runLint reads the configuration as kconfd would, and prints all that is wrong with
// it, and what is allowed and probably not meant.
func runLint(ctx context.Context, args []string, s streams) error {
	asJSON := false
	f, err := parseOrHelp(ctx, "kconfd lint", args, s, func(set *flag.FlagSet) { set.BoolVar(&asJSON, "json", false, "") })
	if f == nil {
		return err
	}
	if len(f.args) > 0 {
		return &usageError{fmt.Errorf("lint looks at all there is, and has no use for %q", f.args)}
	}
	var l *linter
	files := steady.New(f.quiet.Min)
	err = files.Await(max(f.timeout, minBeginTime), func() error {
		l = newLinter(f, files)
		return l.run()
	})
	if err != nil {
		return err
	}
	findings := lint.Sorted(l.findings)
	if asJSON {
		err = lint.WriteJSON(s.out, findings)
	} else {
		err = l.print(s, findings)
	}
	switch {
	case err != nil:
		return err
	case lint.Count(findings, lint.Error) > 0:
		return &codeError{code: exitErrors}
	case lint.Count(findings, lint.Warning) > 0:
		return &codeError{code: exitWarnings}
	}
	return nil
}

func (l *linter) print(s streams, findings []lint.Finding) error {
	if err := lint.WriteText(s.out, findings); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.out, "%d resource files and templates read, %d errors, %d warnings\n",
		l.read, lint.Count(findings, lint.Error), lint.Count(findings, lint.Warning))
	return err
}

// A linter collects what it finds in all files.
type linter struct {
	flags     *flags
	files     *steady.Files
	watcher   *watcher.Watcher
	functions map[string]reflect.Type
	findings  []lint.Finding
	read      int // resource files and -template flags
}

func newLinter(f *flags, files *steady.Files) *linter {
	w := watcher.NewOffline()
	r := w.NewReader()
	defer r.Close()
	return &linter{flags: f, files: files, watcher: w, functions: render.FunctionTypes(r.Funcs())}
}

// add notes a finding at a place of a file.
func (l *linter) add(file string, at lint.Place, severity lint.Severity, rule, message, hint string) {
	l.findings = append(l.findings, lint.Finding{File: file, Line: at.Line, Column: at.Column, Severity: severity, Rule: rule, Message: message, Hint: hint})
}

// whole is the place of what is wrong with a whole file.
func whole() lint.Place { return lint.Place{Line: 1, Column: 1} }

// unplaced notes an error of what is no file, such as a flag.
func (l *linter) unplaced(file string, err error) {
	rule := lint.RuleValue
	if isUnreadable(err) {
		rule = lint.RuleRead
	}
	l.add(file, lint.Place{}, lint.Error, rule, err.Error(), hint(err))
}

// run looks at all files and flags. Its error is one of the command line.
func (l *linter) run() error {
	names, err := l.files.List(filepath.Join(l.flags.confDir, "conf.d"), "*", func() ([]string, error) { return resourceFiles(l.flags) })
	if err != nil {
		l.add(filepath.Join(l.flags.confDir, "conf.d"), whole(), lint.Error, lint.RuleRead, err.Error(), hint(err))
	}
	l.directories()
	var all, good []groupConfig
	add := func(g groupConfig, ok bool) {
		l.read++
		g.templates = slices.DeleteFunc(slices.Clone(g.templates), func(t templateConfig) bool { return t.file.Dest == "" })
		all = append(all, g)
		if ok {
			good = append(good, g)
		}
	}
	for _, name := range names {
		add(l.resource(name))
	}
	for _, flag := range l.flags.templates {
		add(l.templateFlag(flag))
	}
	if l.read == 0 && len(l.findings) == 0 {
		_, err := load(l.flags, l.files)
		return err
	}
	if err := l.flags.refuseDests(all); err != nil && !l.between(all, err) {
		l.unplaced(l.flags.confDir, err)
	}
	return l.together(good)
}

// together finds what is wrong between files that are right by themselves.
func (l *linter) together(groups []groupConfig) error {
	err := l.flags.refuseForChild(groups)
	if err == nil {
		_, err = processOf(l.flags, groups)
	}
	var usage *usageError
	if err != nil && !l.between(groups, err) && errors.As(err, &usage) {
		return err // of the flags alone
	}
	return nil
}

// between notes an error at the file that it names; of two at the later one. It is
// false when it names none.
func (l *linter) between(groups []groupConfig, err error) bool {
	for _, g := range slices.Backward(groups) {
		switch {
		case g.name == "" || !strings.Contains(err.Error(), g.name):
			continue
		case strings.HasPrefix(g.name, "-template "):
			l.unplaced(g.name, err)
		default:
			l.add(g.name, whole(), lint.Error, lint.RuleValue, err.Error(), hint(err))
		}
		return true
	}
	return false
}

// directories finds resource files that kconfd does not read.
func (l *linter) directories() {
	for _, dir := range ignoredDirs(l.flags.confDir) {
		l.add(dir.path, whole(), lint.Warning, lint.RuleIgnored, fmt.Sprintf("%d resource files in a subdirectory of conf.d are not read", dir.files),
			"move them to conf.d itself, or start another kconfd for them with -confdir")
	}
	if own := filepath.Join(l.flags.confDir, "confd.toml"); exists(own) {
		l.add(own, whole(), lint.Note, lint.RuleConfdKey, "confd's own configuration is not read", "its settings are flags of kconfd, see kconfd -help")
	}
}

// An ignoredDir is a subdirectory of conf.d with resource files. kconfd reads those
// in conf.d alone, and confd those below it too.
type ignoredDir struct {
	path  string
	files int
}

func ignoredDirs(confDir string) []ignoredDir {
	dir := filepath.Join(confDir, "conf.d")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // it is said elsewhere, or need not be there
	}
	var ignored []ignoredDir
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			continue
		}
		if n := resourceFilesBelow(path); n > 0 {
			ignored = append(ignored, ignoredDir{path, n})
		}
	}
	return ignored
}

// maxEntries is how many files below a directory are looked at.
const maxEntries = 10000

// resourceFilesBelow is how many resource files are below a directory. Links are
// not followed.
func resourceFilesBelow(dir string) int {
	found, seen := 0, 0
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		seen++
		switch {
		case seen > maxEntries:
			return fs.SkipAll
		case err != nil:
			return nil // the others are counted all the same
		case !e.IsDir() && isResourceFile(e.Name()):
			found++
		}
		return nil
	})
	return found
}

// A complaint is what is allowed and probably not meant, at a key.
type complaint struct {
	severity lint.Severity
	rule     string
	path     []string // to the key
	message  string
	hint     string
}

// lint is what is probably not meant with the group, as far as its resource file
// tells.
func (g *groupConfig) lint() []complaint {
	var found []complaint
	warn := func(rule string, path []string, format string, args ...any) {
		found = append(found, complaint{lint.Warning, rule, path, fmt.Sprintf(format, args...), ""})
	}
	for i, t := range g.templates {
		dest := t.file.Dest
		path := []string{"template", strconv.Itoa(i)}
		if c := t.check; c != nil && !mentions(*c, ".src", "staged", ".dir") {
			warn(lint.RuleCheckCmd, append(path, "check_cmd"), "the check_cmd of %q does not name {{.src}}: where kconfd may not mount, it checks the file that is live, not the one that is to be", dest)
		}
		if _, err := os.Stat(filepath.Dir(dest)); err != nil && dest != "" && t.file.MakeDir == 0 {
			warn(lint.RuleEnvironment, append(path, "dest"), "the directory of %q does not exist here", dest)
		}
	}
	if len(g.templates) > 1 && g.check != nil && !mentions(*g.check, "staged", ".dir") {
		warn(lint.RuleCheckCmd, []string{"check_cmd"}, "check_cmd does not name {{.dir}} or {{staged \"DEST\"}}: where kconfd may not mount, it checks the files that are live, not those that are to be")
	}
	found = append(found, g.lintUnseen()...)
	if g.action.Kind == reload.None && g.check == nil && !g.noAction {
		for i, t := range g.templates {
			if t.check == nil && t.file.Dest != "" {
				warn(lint.RuleNoAction, []string{"template", strconv.Itoa(i)}, "%q has neither a check_cmd nor an action", t.file.Dest)
				if isResourceFile(g.name) {
					found[len(found)-1].hint = `if that is meant, say so: [reload] with action = "none"`
				}
			}
		}
	}
	for _, text := range g.literal {
		warn(lint.RuleValue, []string{"reload"}, "%s", text)
	}
	return found
}

func mentions(c reload.Command, words ...string) bool {
	for _, w := range words {
		if strings.Contains(c.String(), w) {
			return true
		}
	}
	return false
}
