package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kconfd/kconfd/internal/lint"
	"github.com/kconfd/kconfd/internal/safefs"
)

// A lintedFile is a resource file under examination.
type lintedFile struct {
	*linter
	name   string
	index  *lint.Index
	single bool // confd's [template]
	flag   bool // it is a -template flag, and no file
	failed bool
	config groupConfig
}

// resource looks at a resource file and its templates. It is false when there are
// errors.
func (l *linter) resource(name string) (groupConfig, bool) {
	r := &lintedFile{linter: l, name: name}
	content, err := readText(l.files, name, maxResource)
	if err != nil {
		r.error(whole(), lint.RuleRead, err)
		return groupConfig{}, false
	}
	raw, content, errs := decodeAll(name, content)
	r.index = lint.IndexTOML(content)
	if filepath.Ext(name) != ".toml" {
		r.index = lint.IndexYAML(content)
	}
	for _, err := range errs {
		r.decodeError(err)
	}
	if raw == nil {
		return groupConfig{}, false
	}
	r.single = r.index.Has("template") && !r.index.Has("template", "0")
	r.examine(raw, sources{l.files, filepath.Join(l.flags.confDir, "templates")})
	return r.config, !r.failed
}

// templateFlag looks at a -template flag and its template.
func (l *linter) templateFlag(flag string) (groupConfig, bool) {
	r := &lintedFile{linter: l, name: "-template " + flag, flag: true, index: lint.IndexTOML(nil)}
	raw, dir, err := rawTemplateFlag(flag)
	if err != nil {
		l.unplaced(r.name, err)
		return groupConfig{}, false
	}
	r.examine(raw, sources{l.files, dir})
	return r.config, !r.failed
}

// examine looks at what a resource file says.
func (r *lintedFile) examine(raw *rawResource, from sources) {
	config, err := raw.parse(from)
	config.name = r.name
	r.config = config
	var ofProcess []error // of its templates, which are looked at below
	for _, err := range all(err) {
		if strings.HasPrefix(err.Error(), "[process]: parsing template: ") {
			ofProcess = append(ofProcess, err)
			continue
		}
		r.valueError(err)
	}
	confd := slices.ContainsFunc(raw.Templates, func(t rawTemplate) bool { return len(t.Keys) > 0 })
	for i, t := range config.templates {
		r.template(i, t, confd)
	}
	if found := r.process(raw.Process); !found {
		for _, err := range ofProcess {
			r.valueError(err)
		}
	}
	r.confdKeys(raw)
	for _, c := range r.config.lint() {
		if c.rule == lint.RuleNoAction && r.failed && raw.Reload != nil {
			continue // the action is what is wrong
		}
		r.complain(c)
	}
	if r.failed {
		return
	}
	g, err := newGroup(r.config, r.flags.quiet, r.watcher)
	if err != nil { // what lint has overlooked
		r.error(whole(), lint.RuleSyntax, err)
		return
	}
	defer g.close()
	for _, c := range g.lintSecrets() {
		r.complain(c)
	}
}

// template looks at one template and its partials.
func (r *lintedFile) template(i int, t templateConfig, confd bool) {
	texts := maps.Clone(t.source.Partials)
	if texts == nil {
		texts = map[string]string{}
	}
	texts[t.source.Name] = t.source.Text
	src := lint.Source{
		File: r.name, Name: t.source.Name, Text: t.source.Text, Left: t.source.Left, Right: t.source.Right,
		Others: texts, Fields: templateFields(), Confd: confd,
	}
	if path := append(r.templatePath(i), "contents"); r.index.Has(path...) {
		at, indent := r.index.Text(path...)
		src.Line, src.Column, src.Indent = at.Line, at.Column, indent
	}
	partials := t.reads
	if t.own {
		src.File, partials = t.reads[0], t.reads[1:]
	}
	r.check(src)
	for _, file := range partials {
		src.File, src.Name = file, filepath.Base(file)
		src.Text, src.Line, src.Column, src.Indent, src.Fields = t.source.Partials[src.Name], 0, 0, 0, nil
		r.check(src)
	}
}

func (r *lintedFile) check(src lint.Source) {
	for _, f := range lint.Template(src, r.functions) {
		r.failed = r.failed || f.Severity == lint.Error
		r.findings = append(r.findings, f)
	}
}

// process looks at the templates of [process], and says whether there are errors.
func (r *lintedFile) process(p *rawProcess) bool {
	before := lint.Count(r.findings, lint.Error)
	if p == nil {
		return false
	}
	check := func(text string, path ...string) {
		at, indent := r.index.Text(path...)
		r.check(lint.Source{File: r.name, Text: text, Line: at.Line, Column: at.Column, Indent: indent, Fields: []string{}})
	}
	for i, arg := range p.Args {
		check(arg, "process", "args", strconv.Itoa(i))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Env)) {
		check(p.Env[name], "process", "env", name)
	}
	return lint.Count(r.findings, lint.Error) > before
}

// confdKeys notes keys of confd that are read and have no meaning.
func (r *lintedFile) confdKeys(raw *rawResource) {
	for i, t := range raw.Templates {
		for _, key := range t.unused() {
			r.add(r.name, r.index.At(append(r.templatePath(i), key)...), lint.Note, lint.RuleConfdKey,
				fmt.Sprintf("%q has no meaning in kconfd: templates say themselves what they read", key), "")
		}
	}
}

// templatePath leads to a template in the file.
func (r *lintedFile) templatePath(i int) []string {
	if r.single {
		return []string{"template"}
	}
	return []string{"template", strconv.Itoa(i)}
}

// error notes an error at a place.
func (r *lintedFile) error(at lint.Place, rule string, err error) {
	r.failed = true
	if r.flag {
		at = lint.Place{}
	}
	r.add(r.name, at, lint.Error, rule, err.Error(), hint(err))
}

// decodeError notes one of the decoder.
func (r *lintedFile) decodeError(err error) {
	var e *decodeError
	if !errors.As(err, &e) {
		r.error(whole(), lint.RuleSyntax, err)
		return
	}
	r.failed = true
	r.add(r.name, lint.Place{Line: max(e.line, 1), Column: max(e.column, 1)}, lint.Error, e.rule, e.message, e.hint)
}

// valueError notes an error that names the key whose value is refused. A user or
// group that this machine does not have may be there where kconfd runs.
func (r *lintedFile) valueError(err error) {
	at := r.placeOf(err.Error())
	var key *keyError
	if errors.As(err, &key) {
		at = r.index.At(r.written(key.path)...)
	}
	switch {
	case errors.As(err, new(user.UnknownUserError)), errors.As(err, new(user.UnknownGroupError)):
		r.add(r.name, at, lint.Warning, lint.RuleEnvironment, err.Error()+" on this machine", "")
	case isUnreadable(err):
		if src := append(r.templatePathIn(err.Error()), "src"); r.index.Has(src...) {
			at = r.index.At(src...)
		}
		r.error(at, lint.RuleRead, err)
	default:
		r.error(at, lint.RuleValue, err)
	}
}

// isUnreadable says whether an error is one of reading a file.
func isUnreadable(err error) bool {
	return errors.As(err, new(*fs.PathError)) || errors.As(err, new(*safefs.TypeError)) || errors.As(err, new(*safefs.SizeError)) || errors.As(err, new(*safefs.PathError))
}

// written is a path as the file has it, which may have confd's [template].
func (r *lintedFile) written(path []string) []string {
	if r.single && len(path) > 1 && path[0] == "template" {
		return slices.Delete(slices.Clone(path), 1, 2)
	}
	return path
}

// complain notes what is not an error.
func (r *lintedFile) complain(c complaint) {
	at := r.index.At(r.written(c.path)...)
	if r.flag {
		at = lint.Place{}
	}
	r.add(r.name, at, c.severity, c.rule, c.message, c.hint)
}

// placeOf is where the key is that an error of a resource file names. Such errors
// begin with what leads to the key: "template 2 (web.tmpl): mode: want …".
func (r *lintedFile) placeOf(message string) lint.Place {
	path := r.templatePathIn(message)
	for {
		part, rest, more := strings.Cut(message, ": ")
		if !more {
			break
		}
		key := tableIn(part)
		switch {
		case strings.HasPrefix(part, "template "):
		case key != "" && r.index.Has(append(path, key)...):
			path = append(path, key)
		default:
			return r.mentioned(path, message)
		}
		message = rest
	}
	return r.mentioned(path, message)
}

// mentioned is the place of the first key below path that a message mentions, or of
// the path itself.
func (r *lintedFile) mentioned(path []string, message string) lint.Place {
	for _, word := range regexp.MustCompile(`[a-z_]+`).FindAllString(message, -1) {
		if key := append(slices.Clone(path), word); r.index.Has(key...) {
			return r.index.At(key...)
		}
	}
	return r.index.At(path...)
}

// tableIn is the key that a part of an error names: mode, [reload], guard 2.
func tableIn(part string) string {
	name := strings.Trim(part, "[]")
	if !regexp.MustCompile(`^[a-z_]+$`).MatchString(name) {
		return ""
	}
	return name
}

// templatePathIn leads to the template that an error names; it is empty when it names
// none.
func (r *lintedFile) templatePathIn(message string) []string {
	number := regexp.MustCompile(`^template ([0-9]+)\b`).FindStringSubmatch(message)
	if number == nil {
		return r.templateWith(message)
	}
	n, err := strconv.Atoi(number[1])
	if err != nil {
		return nil
	}
	return r.templatePath(n - 1)
}

// templateWith leads to the template whose dest an error names: check_cmd of "DEST".
func (r *lintedFile) templateWith(message string) []string {
	for i, t := range r.config.templates {
		if strings.HasPrefix(message, fmt.Sprintf("check_cmd of %q: ", t.file.Dest)) {
			return append(r.templatePath(i), "check_cmd")
		}
	}
	return nil
}
