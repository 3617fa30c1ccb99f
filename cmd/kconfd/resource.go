package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/kconfd/kconfd/internal/safefs"
	"github.com/kconfd/kconfd/internal/timing"
	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/render"
)

// rawFile is a resource file as it is written. [[template]] and confd's
// [template] are two Go types for the one key, hence the parameter.
type rawFile[T any] struct {
	Wait         string      `toml:"wait" yaml:"wait"`
	CheckCmd     any         `toml:"check_cmd" yaml:"check_cmd"`
	CheckTimeout string      `toml:"check_timeout" yaml:"check_timeout"`
	Drift        string      `toml:"drift" yaml:"drift"`
	Values       fileValues  `toml:"values" yaml:"values"`
	Templates    T           `toml:"template" yaml:"template"`
	Guards       []rawGuard  `toml:"guard" yaml:"guard"`
	Reload       *rawReload  `toml:"reload" yaml:"reload"`
	Process      *rawProcess `toml:"process" yaml:"process"`
	Limits       *rawLimits  `toml:"limits" yaml:"limits"`
}

type rawResource rawFile[[]rawTemplate]

type rawTemplate struct {
	Src          string   `toml:"src" yaml:"src"`
	Contents     string   `toml:"contents" yaml:"contents"`
	Dest         string   `toml:"dest" yaml:"dest"`
	Owner        string   `toml:"owner" yaml:"owner"`
	Group        string   `toml:"group" yaml:"group"`
	UID          *int     `toml:"uid" yaml:"uid"`
	GID          *int     `toml:"gid" yaml:"gid"`
	Mode         any      `toml:"mode" yaml:"mode"`
	Delims       []string `toml:"delims" yaml:"delims"`
	Write        string   `toml:"write" yaml:"write"`
	MkDir        any      `toml:"mkdir" yaml:"mkdir"`
	TrustPath    bool     `toml:"trust_path" yaml:"trust_path"`
	CheckCmd     any      `toml:"check_cmd" yaml:"check_cmd"`
	CheckTimeout string   `toml:"check_timeout" yaml:"check_timeout"`
	ReloadCmd    any      `toml:"reload_cmd" yaml:"reload_cmd"`

	// confd's, without meaning here: templates say themselves what they read.
	Keys   []string `toml:"keys" yaml:"keys"`
	Prefix string   `toml:"prefix" yaml:"prefix"`
}

type rawReload struct {
	Action  string            `toml:"action" yaml:"action"`
	Signal  string            `toml:"signal" yaml:"signal"`
	PIDFile string            `toml:"pid_file" yaml:"pid_file"`
	Process string            `toml:"process" yaml:"process"`
	User    string            `toml:"user" yaml:"user"`
	Group   bool              `toml:"group" yaml:"group"`
	Command any               `toml:"command" yaml:"command"`
	URL     string            `toml:"url" yaml:"url"`
	Method  string            `toml:"method" yaml:"method"`
	Header  map[string]string `toml:"header" yaml:"header"`
	Body    string            `toml:"body" yaml:"body"`
	Status  []int             `toml:"status" yaml:"status"`
	Timeout string            `toml:"timeout" yaml:"timeout"`

	CAFile     string `toml:"ca_file" yaml:"ca_file"`
	ServerName string `toml:"server_name" yaml:"server_name"`
	Cert       string `toml:"cert" yaml:"cert"`
	Key        string `toml:"key" yaml:"key"`
	Insecure   bool   `toml:"insecure_skip_verify" yaml:"insecure_skip_verify"`

	Retry string `toml:"retry" yaml:"retry"`

	VerifyCmd     any    `toml:"verify_cmd" yaml:"verify_cmd"`
	VerifyTimeout string `toml:"verify_timeout" yaml:"verify_timeout"`
	MinInterval   string `toml:"min_interval" yaml:"min_interval"`

	Rolling *rawRolling `toml:"rolling" yaml:"rolling"`
}

// parse makes a group of what was written. It returns all errors that it finds,
// joined; each names the key. The group has what could be read all the same.
func (raw *rawResource) parse(from sources) (groupConfig, error) {
	g := groupConfig{values: raw.Values}
	if g.values == nil {
		g.values = map[string]any{}
	}
	if len(raw.Templates) == 0 && raw.Process == nil {
		return g, errors.New("there is no [[template]]")
	}
	var errs []error
	if raw.Wait != "" {
		quiet, ceiling, err := parseWait("wait", raw.Wait, 0)
		errs = append(errs, err)
		g.quiet = &reload.Quiet{Min: quiet, Max: ceiling}
	}
	var err error
	if g.limits, err = raw.Limits.parse(); err != nil {
		errs = append(errs, fmt.Errorf("[limits]: %w", err))
	}
	errs = append(errs, refuseLiterals(*raw))
	s := &settingRenderer{limits: g.limits, files: from.files}
	for i, t := range raw.Templates {
		parsed, err := t.parse(from, s)
		for _, err := range all(err) {
			errs = append(errs, fmt.Errorf("template %d%s: %w", i+1, t.name(), under(err, "template", strconv.Itoa(i))))
		}
		parsed.source.Limits = g.limits
		g.templates = append(g.templates, parsed)
		g.unused = append(g.unused, t.unused()...)
	}
	g.check, err = parseCommand("check_cmd", raw.CheckCmd, "check_timeout", raw.CheckTimeout)
	errs = append(errs, err)
	rendered, err := s.action(raw.Reload, g.settingData())
	errs = append(errs, err)
	if err == nil {
		raw.Reload = rendered
		g.noAction = raw.Reload != nil && raw.Reload.Action == reload.None.String()
		g.action, err = raw.action()
		errs = append(errs, err)
	}
	g.reads, g.secrets, g.literal = s.reads, s.secrets, s.literal
	g.schedule, err = raw.backoff()
	errs = append(errs, err, raw.parseAfterwards(&g))
	if raw.Process != nil {
		g.process = raw.Process
		if _, err := raw.Process.parse(); err != nil {
			errs = append(errs, ofProcess(err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return g, err
	}
	return g, g.tryCommands()
}

// parseAfterwards reads what holds a render, and what follows the action.
func (raw *rawResource) parseAfterwards(g *groupConfig) (err error) {
	switch g.drift = driftPolicy(cmp.Or(raw.Drift, string(driftRepair))); g.drift {
	case driftRepair, driftReport, driftIgnore:
	default:
		return fmt.Errorf("drift: want repair, report or ignore, not %q", raw.Drift)
	}
	for i, guard := range raw.Guards {
		parsed, err := guard.parse()
		if err != nil {
			return fmt.Errorf("guard %d: %w", i+1, err)
		}
		parsed.source.Limits = g.limits
		g.guards = append(g.guards, parsed)
	}
	if raw.Reload == nil {
		return nil
	}
	if g.verify, err = parseCommand("verify_cmd", raw.Reload.VerifyCmd, "", ""); err != nil {
		return fmt.Errorf("[reload]: %w", err)
	}
	if g.verify == nil && raw.Reload.VerifyTimeout != "" {
		return errors.New("[reload]: verify_timeout without verify_cmd")
	}
	if g.verifyTimeout, err = parseTimeout("verify_timeout", raw.Reload.VerifyTimeout); err != nil {
		return fmt.Errorf("[reload]: %w", err)
	}
	if g.minInterval, err = parseTimeout("min_interval", raw.Reload.MinInterval); err != nil {
		return fmt.Errorf("[reload]: %w", err)
	}
	if raw.Reload.Rolling == nil {
		return nil
	}
	if g.rolling, err = raw.Reload.Rolling.parse(); err != nil {
		return fmt.Errorf("[reload]: rolling: %w", err)
	}
	return nil
}

// tryCommands finds mistakes in the {{ }} of commands now rather than when
// they are needed.
func (g *groupConfig) tryCommands() error {
	for _, t := range g.templates {
		if t.check != nil {
			if err := t.check.Validate(checkData(commandData("src", t.file.Dest)), g.commandFuncs(nil)); err != nil {
				return g.commandAdvice(fmt.Errorf("check_cmd of %q: %w", t.file.Dest, err))
			}
		}
	}
	if g.check != nil {
		if err := g.check.Validate(checkData(g.groupData(nil)), g.commandFuncs(nil)); err != nil {
			return g.ofSeveral("check_cmd", err)
		}
	}
	if g.action.Kind == reload.Exec {
		if err := g.action.Command.Validate(g.groupData(nil), g.commandFuncs(nil)); err != nil {
			return g.ofSeveral("reload command", err)
		}
	}
	if g.verify != nil {
		if err := g.verify.Validate(g.groupData(nil), g.commandFuncs(nil)); err != nil {
			return g.ofSeveral("verify_cmd", err)
		}
	}
	return nil
}

// unused are the keys that are confd's and have no meaning here.
func (t *rawTemplate) unused() []string {
	var keys []string
	if len(t.Keys) > 0 {
		keys = append(keys, "keys")
	}
	if t.Prefix != "" {
		keys = append(keys, "prefix")
	}
	return keys
}

// name is how to tell it from others, in brackets, as far as it has a name.
func (t *rawTemplate) name() string {
	if t.Src == "" && t.Dest == "" {
		return ""
	}
	return " (" + cmp.Or(t.Src, t.Dest) + ")"
}

func (t *rawTemplate) parse(from sources, s *settingRenderer) (templateConfig, error) {
	parsed := templateConfig{file: render.File{Dest: t.Dest}, written: t.Dest}
	dest, err := s.dest(t.Dest)
	if err != nil {
		return parsed, &keyError{[]string{"dest"}, err}
	}
	parsed.file.Dest = dest
	switch {
	case t.Dest == "":
		return parsed, errors.New("dest is missing")
	case (t.Src == "") == (t.Contents == ""):
		return parsed, errors.New("want one of src and contents")
	}
	parsed.source = render.Source{Name: cmp.Or(t.Src, dest), Text: t.Contents}
	read := parsed.readSource(from)
	delims := t.parseDelims(&parsed.source)
	file := t.parseFile(&parsed.file)
	var check error
	parsed.check, check = parseCommand("check_cmd", t.CheckCmd, "check_timeout", t.CheckTimeout)
	return parsed, errors.Join(read, delims, file, check)
}

func (t *rawTemplate) parseDelims(src *render.Source) error {
	switch {
	case len(t.Delims) == 0:
	case len(t.Delims) != 2 || t.Delims[0] == "" || t.Delims[1] == "":
		return fmt.Errorf(`delims: want two, such as ["<<", ">>"], not %q`, t.Delims)
	default:
		src.Left, src.Right = t.Delims[0], t.Delims[1]
	}
	return nil
}

func (t *rawTemplate) parseFile(f *render.File) error {
	switch t.Write {
	case "", "rename":
	case "inplace":
		f.InPlace = true
	default:
		return fmt.Errorf("write: want rename or inplace, not %q", t.Write)
	}
	if t.TrustPath {
		f.Trust = safefs.Trusted
	}
	var wrong error
	f.Mode, wrong = parseMode(t.Mode)
	var err error
	var badDir error
	f.MakeDir, badDir = parseMkDir(t.MkDir)
	f.UID, f.GID, err = t.owners()
	return errors.Join(wrong, badDir, err)
}

// parseMode reads an octal mode. Unquoted, 0640 would mean 416 in one format
// and be no number in the other.
func parseMode(v any) (fs.FileMode, error) {
	if v == nil {
		return 0, nil
	}
	s, ok := v.(string)
	mode, err := strconv.ParseUint(s, 8, 32)
	if !ok || err != nil || mode == 0 || mode > 0o777 {
		return 0, fmt.Errorf(`mode: want an octal number in quotes, such as "0640", not %v`, v)
	}
	return fs.FileMode(mode), nil
}

// parseMkDir reads the mode of directories, which their owner must be able to use.
func parseMkDir(v any) (fs.FileMode, error) {
	const use = 0o300
	mode, err := parseMode(v)
	if err != nil || v != nil && mode&use != use {
		return 0, keyErrorf([]string{"mkdir"}, `want the mode of missing directories in quotes, such as "0755", with which their owner may write and enter, not %#v`, v)
	}
	return mode, nil
}

// owners reads owner ("mysql" or "mysql:mysql"), group, uid and gid.
func (t *rawTemplate) owners() (uid, gid int, err error) {
	uid, gid = -1, -1
	owner, group, both := strings.Cut(t.Owner, ":")
	switch {
	case both && t.Group != "":
		return uid, gid, errors.New("owner and group both name a group")
	case owner != "" && t.UID != nil:
		return uid, gid, errors.New("want one of owner and uid")
	case (group != "" || t.Group != "") && t.GID != nil:
		return uid, gid, errors.New("want one of group and gid")
	case t.UID != nil && *t.UID < 0, t.GID != nil && *t.GID < 0:
		return uid, gid, errors.New("uid and gid are never negative; leave them out to keep the file's")
	case t.UID != nil && *t.UID >= math.MaxUint32, t.GID != nil && *t.GID >= math.MaxUint32:
		return uid, gid, fmt.Errorf("uid and gid: want numbers from 0 to %d", math.MaxUint32-1)
	}
	if !both {
		group = t.Group
	}
	if t.UID != nil {
		uid = *t.UID
	}
	if t.GID != nil {
		gid = *t.GID
	}
	if owner != "" {
		u, err := user.Lookup(owner)
		if err != nil {
			return uid, gid, fmt.Errorf("owner: %w", err)
		}
		uid, _ = strconv.Atoi(u.Uid) // a number on every system that kconfd runs on
	}
	if group != "" {
		g, err := user.LookupGroup(group)
		if err != nil {
			return uid, gid, fmt.Errorf("group: %w", err)
		}
		gid, _ = strconv.Atoi(g.Gid)
	}
	return uid, gid, nil
}

// parseCommand reads a string for the shell, or a list of words. An empty string
// is no command, as in confd.
func parseCommand(key string, v any, timeoutKey, timeout string) (*reload.Command, error) {
	if v == "" {
		v = nil
	}
	c := &reload.Command{}
	switch v := v.(type) {
	case nil:
		if timeout != "" {
			return nil, fmt.Errorf("%s without %s", timeoutKey, key)
		}
		return nil, nil
	case string:
		c.Shell = v
	case []any:
		for _, word := range v {
			s, ok := word.(string)
			if !ok {
				return nil, fmt.Errorf("%s: want a list of strings, not %v", key, v)
			}
			c.Argv = append(c.Argv, s)
		}
	default:
		return nil, fmt.Errorf("%s: want a string or a list of strings, not %v", key, v)
	}
	var err error
	c.Timeout, err = parseTimeout(timeoutKey, timeout)
	return c, err
}

func parseTimeout(key, s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	return parseDuration(key, s, timing.Longest)
}

// parseDuration reads one from a millisecond to the longest.
func parseDuration(key, s string, longest time.Duration) (time.Duration, error) {
	d, err := timing.Parse(s, timing.Shortest, longest)
	var outside *timing.RangeError
	switch {
	case errors.As(err, &outside) && !strings.HasPrefix(s, "-"):
		return 0, fmt.Errorf("%s: %w", key, err)
	case err != nil:
		return 0, fmt.Errorf("%s: want a duration such as 30s, not %q", key, s)
	}
	return d, nil
}

// parseBackoff reads MIN:MAX, how long to wait between attempts.
func parseBackoff(key, s string) (reload.Backoff, error) {
	first, longest, err := parseWait(key, s, timing.Shortest)
	var outside *timing.RangeError
	switch {
	case errors.As(err, &outside):
		return reload.Backoff{}, err
	case err != nil || first <= 0:
		return reload.Backoff{}, fmt.Errorf("%s: want two durations such as 1s:1m, not %q", key, s)
	}
	return reload.Backoff{Initial: first, Max: longest}, nil
}

// parseWait reads MIN[:MAX] as reload.ParseWait does, each from the shortest to a
// year. What is 0 or negative is for the caller to judge.
func parseWait(key, s string, shortest time.Duration) (quiet, ceiling time.Duration, err error) {
	for span := range strings.SplitSeq(s, ":") {
		d, err := timing.Parse(strings.TrimSpace(span), -timing.Longest, timing.Longest)
		outside := (*timing.RangeError)(nil)
		if errors.As(err, &outside) || 0 < d && d < shortest {
			return 0, 0, fmt.Errorf("%s: %w", key, &timing.RangeError{Text: s, Min: shortest, Max: timing.Longest})
		}
		if err != nil {
			return 0, 0, fmt.Errorf("%s: want durations such as 50ms or 50ms:1s, not %q", key, s)
		}
	}
	return reload.ParseWait(s)
}

// backoff is how long to wait between attempts: [reload] retry = "MIN:MAX".
func (raw *rawResource) backoff() (reload.Backoff, error) {
	if raw.Reload == nil || raw.Reload.Retry == "" {
		return reload.Backoff{}, nil
	}
	b, err := parseBackoff("retry", raw.Reload.Retry)
	if err != nil {
		return b, fmt.Errorf("[reload]: %w", err)
	}
	return b, nil
}
