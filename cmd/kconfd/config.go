package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/kconfd/kconfd/internal/document"
	"github.com/kconfd/kconfd/internal/limits"
	"github.com/kconfd/kconfd/internal/steady"
	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/render"
)

// A groupConfig is one resource file, read and found good.
type groupConfig struct {
	name      string // the file's, or the -template flag
	quiet     *reload.Quiet
	values    map[string]any
	templates []templateConfig
	check     *reload.Command // of the files together
	action    reload.Action
	noAction  bool           // action = "none" is written down
	schedule  reload.Backoff // between attempts to check, write and act
	guards    []guardConfig
	limits    limits.Limits // of its templates
	drift     driftPolicy

	// What follows the action.
	verify        *reload.Command // nil: that it was done is enough
	verifyTimeout time.Duration   // 0: the default
	minInterval   time.Duration   // between two actions
	rolling       *rollingConfig  // nil: without regard to other replicas

	process *rawProcess // of the command behind the flags, in one group at most
	unused  []string    // what confd reads and kconfd has no use for
	reads   []string    // files that settings were rendered from
	secrets []string    // in settings
	literal []string    // what lint has to say about settings
	print   [32]byte    // of all that was read: equal means the same
}

// driftPolicy is what becomes of a live file that somebody else touched.
type driftPolicy string

const (
	driftRepair driftPolicy = "repair" // it is put right
	driftReport driftPolicy = "report" // it is told, and stays until the next change
	driftIgnore driftPolicy = "ignore"
)

// rejections is how long content that was undone is left alone. Each time it is
// tried again disturbs the process twice.
func (g *groupConfig) rejections() reload.Backoff {
	if g.schedule.Initial > 0 {
		return reload.Backoff{Initial: g.schedule.Initial, Max: g.schedule.Max}
	}
	return reload.Backoff{Initial: time.Minute, Max: time.Hour}
}

// A templateConfig is one template and its file.
type templateConfig struct {
	source  render.Source // without functions
	reads   []string      // the files that the source was read from
	own     bool          // the first of them is the template's
	dir     string        // of the templates, and of the partials
	file    render.File   // without content
	written string        // its dest before it was rendered
	check   *reload.Command
}

// How many bytes a resource file, and a template or partial may have.
const (
	maxResource = 1 << 20
	maxTemplate = 16 << 20
)

// loadSteady is load for a start: files that are being written are waited for.
func loadSteady(f *flags, files *steady.Files) (configs []groupConfig, err error) {
	err = files.Await(max(f.timeout, minBeginTime), func() error {
		configs, err = load(f, files)
		return err
	})
	if busy := (*steady.BusyError)(nil); errors.As(err, &busy) {
		err = &codeError{exitDeadline, fmt.Errorf("reading the configuration: %w", err)}
	}
	return configs, err
}

// load reads the resource files and the -template flags.
func load(f *flags, files *steady.Files) ([]groupConfig, error) {
	confD := filepath.Join(f.confDir, "conf.d")
	names, err := files.List(confD, "*", func() ([]string, error) { return resourceFiles(f) })
	if err != nil {
		return nil, err
	}
	var groups []groupConfig
	for _, name := range names {
		g, err := loadResource(name, sources{files, filepath.Join(f.confDir, "templates")})
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		groups = append(groups, g)
	}
	for _, flag := range f.templates {
		g, err := parseTemplateFlag(flag, files)
		if err != nil {
			return nil, fmt.Errorf("-template %s: %w", flag, err)
		}
		groups = append(groups, g)
	}
	for _, g := range groups {
		quiet := f.quiet.Min
		if g.quiet != nil {
			quiet = g.quiet.Min
		}
		files.Hold(quiet, g.sourceFiles()...)
	}
	if len(groups) == 0 && !f.hasChild() {
		return nil, usageErrorf("name the directory that conf.d and templates are in with -confdir DIR, or a template with -template SRC:DEST",
			"nothing to render: no resource file in %s and no -template", filepath.Join(f.confDir, "conf.d"))
	}
	if err := f.refuseDests(groups); err != nil {
		return nil, err
	}
	if err := f.refuseForChild(groups); err != nil {
		return nil, err
	}
	_, err = processOf(f, groups)
	return groups, err
}

// sources are the directory of a group's templates, and what reads them.
type sources struct {
	files *steady.Files
	dir   string
}

// sourceFiles are the files that the group was read from.
func (g *groupConfig) sourceFiles() []string {
	paths := append([]string{g.name}, g.reads...)
	for _, t := range g.templates {
		paths = append(paths, t.reads...)
	}
	return paths
}

// hasTemplates says whether anything of the group may read a cluster.
func (g groupConfig) hasTemplates() bool {
	return len(g.templates) > 0 || g.process != nil && len(g.process.Args)+len(g.process.Env) > 0
}

// refuseForChild refuses actions for the child where there will never be one.
func (f *flags) refuseForChild(groups []groupConfig) error {
	if !f.daemon || f.hasChild() || f.onetime || f.noop {
		return nil
	}
	for _, g := range groups {
		if g.action.ForChild() {
			return fmt.Errorf("reading %s: [reload]: %s is for the command that kconfd runs, and there is none: kconfd [flags] -- COMMAND, or say pid_file or process", g.name, g.action.Kind)
		}
	}
	return nil
}

// resourceFiles are those in conf.d, sorted. The links and directories that a
// ConfigMap mount has beside its files begin with two dots.
func resourceFiles(f *flags) ([]string, error) {
	dir := filepath.Join(f.confDir, "conf.d")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) && (!f.confDirSet || len(f.templates) > 0) {
		return nil, nil
	}
	if err != nil {
		return nil, f.confDirAdvice(fmt.Errorf("reading resource files: %w", err))
	}
	var names []string
	for _, e := range entries {
		if isResourceFile(e.Name()) {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	return names, nil
}

// readText reads a file of at most limit bytes, without a byte order mark.
func readText(files *steady.Files, name string, limit int64) ([]byte, error) {
	content, err := files.ReadFile(name, limit)
	if err != nil {
		return nil, err
	}
	text, err := document.Text(content)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	return text, nil
}

// isResourceFile says whether a file is a resource file, by its name.
func isResourceFile(name string) bool {
	return slices.Contains([]string{".toml", ".yaml", ".yml"}, filepath.Ext(name)) && !strings.HasPrefix(name, ".")
}

func loadResource(name string, from sources) (groupConfig, error) {
	content, err := readText(from.files, name, maxResource)
	if err != nil {
		return groupConfig{}, err
	}
	raw, err := decodeResource(name, content)
	if err != nil {
		return groupConfig{}, err
	}
	g, err := raw.parse(from)
	if err != nil {
		var errs []error
		for _, err := range all(err) {
			errs = append(errs, atKey(err, name, content))
		}
		return groupConfig{}, errors.Join(errs...)
	}
	g.name = name
	g.sign(content)
	return g, nil
}

// sign notes what the group was made of.
func (g *groupConfig) sign(content []byte) {
	h := sha256.New()
	// A struct of strings and maps always marshals, and with its keys sorted.
	sources := []any{string(content), g.action.URL, g.action.Header, g.action.Body}
	for _, t := range g.templates {
		sources = append(sources, t.source.Name, t.source.Text, t.source.Partials, t.file.Dest)
	}
	_ = json.NewEncoder(h).Encode(sources)
	g.print = [32]byte(h.Sum(nil))
}

// parseTemplateFlag reads SRC:DEST[:COMMAND].
func parseTemplateFlag(flag string, files *steady.Files) (groupConfig, error) {
	raw, dir, err := rawTemplateFlag(flag)
	if err != nil {
		return groupConfig{}, err
	}
	g, err := raw.parse(sources{files, dir})
	g.name = "-template " + flag
	g.sign([]byte(flag))
	return g, err
}

// rawTemplateFlag is SRC:DEST[:COMMAND] as a resource file, and the directory of SRC.
func rawTemplateFlag(flag string) (raw *rawResource, dir string, err error) {
	parts := strings.SplitN(flag, ":", 3)
	if len(parts) < 2 || parts[0] == "" || parts[1] == "" {
		return nil, "", &usageError{errors.New("want SRC:DEST or SRC:DEST:COMMAND")}
	}
	dir, base := filepath.Split(parts[0])
	raw = &rawResource{Templates: []rawTemplate{{Src: base, Dest: parts[1]}}}
	if len(parts) == 3 {
		raw.Reload = &rawReload{Action: "exec", Command: parts[2]}
	}
	return raw, filepath.Clean(dir), nil
}

// readSource reads a template's file, unless it has its text already, and the
// partials beside it.
func (t *templateConfig) readSource(from sources) error {
	t.dir = from.dir
	if t.source.Text == "" {
		path := t.source.Name
		if !filepath.IsAbs(path) {
			path = filepath.Join(from.dir, path)
		}
		text, err := readText(from.files, path, maxTemplate)
		if err != nil {
			return errors.Join(t.whereFrom(err, from.dir), t.readPartials(from))
		}
		t.source.Text = string(text)
		t.reads, t.own = append(t.reads, path), true
	}
	return t.readPartials(from)
}

// whereFrom adds to the error of a template that does not exist where it is looked up,
// and the name that was probably meant.
func (t *templateConfig) whereFrom(err error, dir string) error {
	if !errors.Is(err, fs.ErrNotExist) || filepath.IsAbs(t.source.Name) {
		return err
	}
	var advice []string
	if dir != "." { // of a -template flag, which has the directory in it
		advice = append(advice, fmt.Sprintf("src is looked up in %q", dir))
	}
	var names []string
	entries, _ := os.ReadDir(dir) // a directory that cannot be read has no names to propose
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !isPartial(e.Name()) {
			names = append(names, e.Name())
		}
	}
	within, nested := strings.CutPrefix(t.source.Name, filepath.Base(dir)+"/")
	if nested && slices.Contains(names, within) {
		advice = append(advice, fmt.Sprintf("did you mean %q?", within))
	} else if similar := render.Similar(t.source.Name, names); similar != "" {
		advice = append(advice, fmt.Sprintf("did you mean %q?", similar))
	}
	return &advisedError{err, strings.Join(advice, "; ")}
}

// readPartials reads templates/_*.tmpl.
func (t *templateConfig) readPartials(from sources) error {
	paths, err := from.files.List(from.dir, "_*.tmpl", func() ([]string, error) { return partials(from.dir) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) { // then a template may be readable all the same
		return fmt.Errorf("reading partials: %w", err)
	}
	t.source.Partials = map[string]string{}
	var errs []error
	for _, p := range paths {
		text, err := readText(from.files, p, maxTemplate)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		t.source.Partials[filepath.Base(p)] = string(text)
		t.reads = append(t.reads, p)
	}
	return errors.Join(errs...)
}

// templateFields are the names in the data of templates.
func templateFields() []string { return []string{"Values"} }

// partials are the paths of the partials in a directory.
func partials(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if isPartial(e.Name()) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, err
}

// commandData is what {{ }} in a template's check_cmd may name.
func commandData(src, dest string) map[string]any {
	return map[string]any{"src": src, "dest": dest}
}

// checkData is an example of what {{ }} in a check may name, given what it may name in any command.
func checkData(data map[string]any) map[string]any {
	data["dir"] = "dir"
	return data
}

// settingData is what {{ }} in settings may name: with several files there is no dest.
func (g *groupConfig) settingData() map[string]any {
	if len(g.templates) != 1 {
		return map[string]any{}
	}
	return map[string]any{"dest": g.templates[0].file.Dest}
}

// groupData is what {{ }} in a command of the whole group may name: with
// several files there is no src or dest, but the staged function.
func (g *groupConfig) groupData(staged map[string]string) map[string]any {
	if len(g.templates) != 1 {
		return map[string]any{}
	}
	dest := g.templates[0].file.Dest
	return commandData(stagedPath(staged, dest), dest)
}

// commandFuncs are the functions of the group's commands: staged gives the path
// of a file's candidate while files are checked, and that of the file itself
// afterwards.
func (g *groupConfig) commandFuncs(staged map[string]string) template.FuncMap {
	return template.FuncMap{"staged": func(dest string) (string, error) {
		for _, t := range g.templates {
			if t.file.Dest == dest || t.written == dest {
				return stagedPath(staged, t.file.Dest), nil
			}
		}
		return "", fmt.Errorf("no template of this group writes %q", dest)
	}}
}

func stagedPath(staged map[string]string, dest string) string {
	if path, ok := staged[dest]; ok {
		return path
	}
	return dest
}
