package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kconfd/kconfd/internal/limits"
	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/render"
	"github.com/kconfd/kconfd/watcher"
)

// rawProcess is [process] of a resource file: how the command behind the flags
// is run. One resource file at most has it.
type rawProcess struct {
	User               string            `toml:"user" yaml:"user"`
	Group              string            `toml:"group" yaml:"group"`
	Dir                string            `toml:"dir" yaml:"dir"`
	NoNewPrivs         *bool             `toml:"no_new_privs" yaml:"no_new_privs"`
	Args               []string          `toml:"args" yaml:"args"`
	Env                map[string]string `toml:"env" yaml:"env"`
	RestartOnChange    []string          `toml:"restart_on_change" yaml:"restart_on_change"`
	StopSignal         string            `toml:"stop_signal" yaml:"stop_signal"`
	StopGrace          string            `toml:"stop_grace" yaml:"stop_grace"`
	StopBeforeReady    string            `toml:"stop_before_ready" yaml:"stop_before_ready"`
	PreStart           any               `toml:"pre_start" yaml:"pre_start"`
	PreStartTimeout    string            `toml:"pre_start_timeout" yaml:"pre_start_timeout"`
	PostStart          any               `toml:"post_start" yaml:"post_start"`
	PostStartTimeout   string            `toml:"post_start_timeout" yaml:"post_start_timeout"`
	PostStop           any               `toml:"post_stop" yaml:"post_stop"`
	PostStopTimeout    string            `toml:"post_stop_timeout" yaml:"post_stop_timeout"`
	PreStop            any               `toml:"pre_stop" yaml:"pre_stop"`
	PreStopTimeout     string            `toml:"pre_stop_timeout" yaml:"pre_stop_timeout"`
	StopLease          string            `toml:"stop_lease" yaml:"stop_lease"`
	StopLeaseNamespace string            `toml:"stop_lease_namespace" yaml:"stop_lease_namespace"`
	StopLeaseTimeout   string            `toml:"stop_lease_timeout" yaml:"stop_lease_timeout"`

	Ready        string   `toml:"ready" yaml:"ready"`
	ReadyCmd     any      `toml:"ready_cmd" yaml:"ready_cmd"`
	ReadyTimeout string   `toml:"ready_timeout" yaml:"ready_timeout"`
	Restart      string   `toml:"restart" yaml:"restart"`
	RestartWait  string   `toml:"restart_wait" yaml:"restart_wait"`
	Forward      []string `toml:"forward" yaml:"forward"`
}

// A processConfig is how the command is run, and what of it is a template.
type processConfig struct {
	child   reload.Child      // without arguments and environment
	args    []string          // behind the command's own; templates
	env     map[string]string // added to kconfd's own; the values are templates
	forward []syscall.Signal  // what is passed on; nil for all that can be but SIGHUP

	turn *stopTurnConfig // nil: it is stopped without regard to other replicas

	forwardHUP bool // SIGHUP too, rather than read the configuration again

	triggers triggers // restart_on_change

	limits limits.Limits // of the templates
}

// forwards says whether a signal is passed on to the command.
func (p *processConfig) forwards(s syscall.Signal) bool {
	switch s {
	case syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGCONT:
		return true // a terminal's, which stop and continue all of a job
	case syscall.SIGHUP:
		return p.forwardHUP || slices.Contains(p.forward, s)
	}
	return p.forward == nil || slices.Contains(p.forward, s)
}

// processOf is how the command is run: [process] of the one group that has it,
// with what the flags say in its place.
func processOf(f *flags, groups []groupConfig) (*processConfig, error) {
	raw, from := rawProcess{}, ""
	var ofGroup limits.Limits
	for _, g := range groups {
		if g.process == nil {
			continue
		}
		if from != "" {
			return nil, fmt.Errorf("%s and %s both have [process]", from, g.name)
		}
		raw, from, ofGroup = *g.process, g.name, g.limits
	}
	raw.overlay(f.process)
	p, err := raw.parse()
	if err != nil {
		return nil, &usageError{err} // the file has been found good by itself
	}
	for _, g := range groups {
		if p.turn != nil && g.rolling != nil && p.turn.lease == g.rolling.lease && p.turn.namespace == g.rolling.namespace {
			return nil, &usageError{fmt.Errorf("%s: [process]: %w", from, p.turn.shared(g.name))}
		}
	}
	p.forwardHUP, p.limits = f.forwardHUP, ofGroup
	return p, nil
}

// overlay takes over what is set in o.
func (r *rawProcess) overlay(o rawProcess) {
	for at, value := range map[*string]string{
		&r.User: o.User, &r.Group: o.Group, &r.Dir: o.Dir, &r.StopSignal: o.StopSignal, &r.StopGrace: o.StopGrace,
		&r.StopBeforeReady: o.StopBeforeReady, &r.Ready: o.Ready, &r.ReadyTimeout: o.ReadyTimeout,
		&r.Restart: o.Restart, &r.RestartWait: o.RestartWait,
	} {
		*at = cmp.Or(value, *at)
	}
	if o.NoNewPrivs != nil {
		r.NoNewPrivs = o.NoNewPrivs
	}
	for at, value := range map[*any]any{&r.PreStart: o.PreStart, &r.PostStart: o.PostStart, &r.PreStop: o.PreStop, &r.PostStop: o.PostStop, &r.ReadyCmd: o.ReadyCmd} {
		if value != nil {
			*at = value
		}
	}
}

// processFlags are the settings of the command as flags.
func (f *flags) processFlags(set *flag.FlagSet) {
	p := &f.process
	command := func(name string, to *any) {
		set.Func(name, "", func(s string) error { *to = s; return nil })
	}
	set.StringVar(&p.User, "user", "", "")
	set.StringVar(&p.Group, "group", "", "")
	set.StringVar(&p.Dir, "chdir", "", "")
	set.BoolFunc("no-new-privs", "", func(given string) error {
		on, err := strconv.ParseBool(given)
		p.NoNewPrivs = &on
		return err
	})
	set.StringVar(&p.StopSignal, "stop-signal", "", "")
	set.StringVar(&p.StopGrace, "stop-grace", "", "")
	set.StringVar(&p.StopBeforeReady, "stop-before-ready", "", "")
	set.StringVar(&p.Ready, "ready", "", "")
	command("ready-cmd", &p.ReadyCmd)
	set.StringVar(&p.ReadyTimeout, "ready-timeout", "", "")
	command("pre-start", &p.PreStart)
	command("post-start", &p.PostStart)
	command("pre-stop", &p.PreStop)
	command("post-stop", &p.PostStop)
	set.StringVar(&p.Restart, "restart", "", "")
	set.StringVar(&p.RestartWait, "restart-wait", "", "")
	set.BoolVar(&f.forwardHUP, "forward-hup", false, "")
	set.BoolVar(&f.adopt, "adopt", false, "")
}

func (r *rawProcess) parse() (*processConfig, error) {
	p := &processConfig{args: r.Args, env: r.Env, child: reload.Child{
		Dir:             r.Dir,
		NoNewPrivs:      r.NoNewPrivs != nil && *r.NoNewPrivs,
		StopBeforeReady: reload.BeforeReady(r.StopBeforeReady),
		Ready:           reload.Readiness(r.Ready),
		Restart:         reload.RestartPolicy(r.Restart),
	}}
	for _, parse := range []func(*reload.Child) error{r.parseAccount, r.parseStop, r.parseCommands, r.parseReady, r.parseRestart} {
		if err := parse(&p.child); err != nil {
			return nil, err
		}
	}
	var err error
	if p.triggers, err = r.parseTriggers(); err != nil {
		return nil, err
	}
	turn, err := r.parseStopTurn()
	if err != nil {
		return nil, err
	}
	p.turn = turn
	for _, name := range r.Forward {
		sig, err := reload.ParseSignal(name)
		if err != nil {
			return nil, fmt.Errorf("forward: %w", err)
		}
		p.forward = append(p.forward, sig)
	}
	if r.Forward != nil && p.forward == nil {
		p.forward = []syscall.Signal{} // none, rather than all
	}
	for name := range r.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return nil, fmt.Errorf("env: %q is not the name of a variable", name)
		}
	}
	example := p.child
	example.Argv = []string{"command"}
	if err := example.Validate(); err != nil {
		return nil, err
	}
	_, err = newCommandLine(nil, p, watcher.NewOffline()) // for mistakes in the templates
	return p, err
}

// parseAccount reads user ("mysql", "999", "mysql:mysql") and group.
func (r *rawProcess) parseAccount(c *reload.Child) error {
	name, group, both := strings.Cut(r.User, ":")
	switch {
	case both && r.Group != "":
		return errors.New("user and group both name a group")
	case !both:
		group = r.Group
	}
	if name == "" && group == "" {
		return nil
	}
	c.User = &reload.Account{UID: os.Getuid(), GID: os.Getgid()}
	if name != "" {
		if err := lookupAccount(name, c.User); err != nil {
			return err // it says unknown user
		}
	}
	if group == "" {
		return nil
	}
	gid, numeric, err := parseID("group", group)
	if err != nil {
		return err
	}
	if !numeric {
		g, err := user.LookupGroup(group)
		if err != nil {
			return err // it says unknown group
		}
		gid, _ = strconv.Atoi(g.Gid) // a number on every system that kconfd runs on
	}
	c.User.GID = gid
	return nil
}

// parseID reads the number of a user or a group, if it is one. The kernel has 32
// bits for it, of which the last number means nobody: a larger one would be cut
// to somebody else's, root's perhaps.
func parseID(what, s string) (id int, numeric bool, err error) {
	id, err = strconv.Atoi(s)
	if errors.Is(err, strconv.ErrRange) || err == nil && (id < 0 || id >= math.MaxUint32) {
		return 0, false, fmt.Errorf("%s %q: not a number from 0 to %d", what, s, math.MaxUint32-1)
	}
	return id, err == nil, nil
}

// lookupAccount finds a user by name. A number that nobody has is taken as it
// is, with no groups.
func lookupAccount(name string, a *reload.Account) error {
	id, numeric, err := parseID("user", name)
	if err != nil {
		return err
	}
	u, err := user.Lookup(name)
	if err != nil && numeric {
		if u, err = user.LookupId(name); err != nil {
			a.UID, a.GID, a.Home = id, id, "/"
			return nil
		}
	}
	if err != nil {
		return err
	}
	a.UID, _ = strconv.Atoi(u.Uid) // numbers, as above
	a.GID, _ = strconv.Atoi(u.Gid)
	a.Name, a.Home = u.Username, cmp.Or(u.HomeDir, "/")
	groups, err := u.GroupIds()
	for _, g := range groups {
		gid, _ := strconv.Atoi(g)
		a.Groups = append(a.Groups, gid)
	}
	return err
}

func (r *rawProcess) parseStop(c *reload.Child) (err error) {
	if r.StopSignal != "" {
		if c.StopSignal, err = reload.ParseSignal(r.StopSignal); err != nil {
			err = adviseSignal(r.StopSignal, err)
			return fmt.Errorf("stop_signal: %w", err)
		}
	}
	c.StopGrace, err = parseGrace(r.StopGrace)
	return err
}

// parseGrace reads a duration, or "none" for no limit.
func parseGrace(s string) (time.Duration, error) {
	if s == "none" {
		return -1, nil
	}
	return parseTimeout("stop_grace", s)
}

func (r *rawProcess) parseCommands(c *reload.Child) (err error) {
	for key, command := range map[string]struct {
		to      **reload.Command
		text    any
		timeout string
	}{
		"pre_start":  {&c.PreStart, r.PreStart, r.PreStartTimeout},
		"post_start": {&c.PostStart, r.PostStart, r.PostStartTimeout},
		"post_stop":  {&c.PostStop, r.PostStop, r.PostStopTimeout},
	} {
		if *command.to, err = parseLongCommand(key, command.text, command.timeout); err != nil {
			return err
		}
	}
	if c.PreStop, err = parseCommand("pre_stop", r.PreStop, "", ""); err != nil {
		return err
	}
	if c.PreStop == nil && r.PreStopTimeout != "" {
		return errors.New("pre_stop_timeout without pre_stop")
	}
	c.PreStopTimeout, err = parseTimeout("pre_stop_timeout", r.PreStopTimeout)
	return err
}

// parseLongCommand reads a command that may take as long as it needs, with
// "none" as its timeout.
func parseLongCommand(key string, v any, timeout string) (*reload.Command, error) {
	if timeout != "none" {
		return parseCommand(key, v, key+"_timeout", timeout)
	}
	c, err := parseCommand(key, v, key+"_timeout", "1s")
	if c != nil {
		c.Timeout = -1
	}
	return c, err
}

func (r *rawProcess) parseReady(c *reload.Child) (err error) {
	if c.ReadyCmd, err = parseCommand("ready_cmd", r.ReadyCmd, "", ""); err != nil {
		return err
	}
	if c.ReadyCmd != nil && r.Ready == "" {
		c.Ready = reload.ReadyByCommand
	}
	c.ReadyTimeout, err = parseTimeout("ready_timeout", r.ReadyTimeout)
	return err
}

func (r *rawProcess) parseRestart(c *reload.Child) error {
	if r.RestartWait == "" {
		return nil
	}
	var err error
	c.Backoff, err = parseBackoff("restart_wait", r.RestartWait)
	return err
}

// A commandLine is the child's arguments and environment. What [process] adds
// to the command is made of templates, rendered before every start; the
// command itself stays as it was given, braces and all.
type commandLine struct {
	reader  *watcher.Reader
	command []string
	args    []*render.Template
	names   []string // of the variables, in order
	values  []*render.Template
	account *reload.Account
	last    *rendered // what the last good run gave
	undone  undone

	takesPlace bool // of kconfd: what a service manager set for kconfd is the command's
}

type rendered struct {
	argv, env []string
}

func newCommandLine(command []string, p *processConfig, w *watcher.Watcher) (*commandLine, error) {
	l := &commandLine{reader: w.NewReader(), command: command, account: p.child.User}
	if err := l.parse(p); err != nil {
		l.reader.Close()
		return nil, err
	}
	return l, nil
}

func (l *commandLine) parse(p *processConfig) error {
	l.names = slices.Sorted(maps.Keys(p.env))
	for i, arg := range p.args {
		t, err := render.Parse(render.Source{Name: fmt.Sprintf("args %d", i+1), Text: arg, Funcs: l.reader.Funcs(), NameOf: l.reader.NameOf, Limits: p.limits})
		if err != nil {
			return err
		}
		l.args = append(l.args, t)
	}
	for _, name := range l.names {
		t, err := render.Parse(render.Source{Name: "env " + name, Text: p.env[name], Funcs: l.reader.Funcs(), NameOf: l.reader.NameOf, Limits: p.limits})
		if err != nil {
			return err
		}
		l.values = append(l.values, t)
	}
	return nil
}

// render fills in the templates.
func (l *commandLine) render(v *watcher.View) (*rendered, error) {
	r := &rendered{argv: slices.Clone(l.command), env: l.environment()}
	err := v.Run(l.reader, func() error {
		for i, t := range l.args {
			word, err := execute(t, fmt.Sprintf("args %d", i+1), "")
			if err != nil {
				return err
			}
			r.argv = append(r.argv, word)
		}
		for i, t := range l.values {
			word, err := execute(t, "env "+l.names[i], l.names[i]+"=")
			if err != nil {
				return err
			}
			r.env = append(r.env, word)
		}
		return reload.CheckWords(r.argv, r.env)
	})
	if err == nil {
		l.last = r
		return r, nil
	}
	return r, redactRun(v, l.reader, err)
}

// execute runs the template of an argument, or of a variable, which has a prefix.
// What the kernel would not take is found before anything is ended for it.
func execute(t *render.Template, name, prefix string) (string, error) {
	text, err := t.Execute(nil)
	if err != nil {
		return "", &runError{t, err}
	}
	word := prefix + string(text)
	if err := reload.CheckWord(word); err != nil {
		return "", fmt.Errorf("rendering %q: %w", name, err)
	}
	return word, nil
}

// environment is what the command has without [process] env.
func (l *commandLine) environment() []string {
	if l.takesPlace {
		return l.account.Environment(environmentWithout())
	}
	return childEnvironment(l.account)
}

// childEnvironment is kconfd's own without what is meant for kconfd alone, and
// with what belongs to the account.
func childEnvironment(account *reload.Account) []string {
	return account.Environment(environmentWithout("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"))
}

// environmentWithout is kconfd's own environment without its flags and some more
// variables.
func environmentWithout(more ...string) []string {
	return slices.DeleteFunc(os.Environ(), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return strings.HasPrefix(name, "KCONFD_") || slices.Contains(more, name)
	})
}
