package main

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/watcher"
)

// A successor is the command that takes kconfd's place after -onetime.
type successor struct {
	config *processConfig
	line   *commandLine
}

// honoured are the keys of [process] that count for a successor. All others need a supervisor.
var honoured = []string{"user", "group", "dir", "no_new_privs", "args", "env"}

// unhonoured are the keys that are set and do not count for a successor.
func (r *rawProcess) unhonoured() []string {
	var keys []string
	v := reflect.ValueOf(*r)
	for i := range v.NumField() {
		key := v.Type().Field(i).Tag.Get("toml")
		if !v.Field(i).IsZero() && !slices.Contains(honoured, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// checkSuccessor refuses flags that do nothing for a successor.
func (f *flags) checkSuccessor() error {
	keys := f.process.unhonoured()
	for name, set := range map[string]bool{"adopt": f.adopt, "forward_hup": f.forwardHUP} {
		if set {
			keys = append(keys, name)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	slices.Sort(keys)
	for i, key := range keys {
		keys[i] = "-" + strings.ReplaceAll(key, "_", "-")
	}
	return &usageError{errors.New(needSupervisor(keys))}
}

// needSupervisor says why keys or flags are refused.
func needSupervisor(keys []string) string {
	return strings.Join(keys, ", ") + ": cannot be honoured with -onetime, where the command takes kconfd's place"
}

// newSuccessor is the command of the flags, as [process] of the groups describes it.
func (e *engine) newSuccessor() (*successor, error) {
	for _, g := range e.groups {
		if g.process == nil {
			continue
		}
		if keys := g.process.unhonoured(); len(keys) > 0 {
			return nil, &usageError{fmt.Errorf("%s: [process]: %s", g.name, needSupervisor(keys))}
		}
	}
	config, err := e.process()
	if err != nil {
		return nil, err
	}
	if _, own := config.env["PATH"]; !own && config.child.Dir == "" {
		if err := findCommand(e.flags.args[0]); err != nil {
			return nil, err // before anything is written
		}
	}
	line, err := newCommandLine(e.flags.args, config, e.watcher)
	if err != nil {
		return nil, err
	}
	line.takesPlace = true
	return &successor{config, line}, nil
}

// renderSuccessor renders the command line, once all groups are applied. Done is false while its data
// may still come.
func (e *engine) renderSuccessor() (done bool, err error) {
	if e.successor == nil {
		return true, nil
	}
	e.rendering.Store(true)
	e.watcher.View(func(v *watcher.View) { _, err = e.successor.line.render(v) })
	e.rendering.Store(false)
	e.hideSecrets()
	var incomplete *watcher.IncompleteError
	switch {
	case err == nil:
		return true, nil
	case !held(err) && !waiting(err):
		return true, err
	case e.late:
		err = fmt.Errorf("not done after %s: %w", e.flags.timeout, err)
	case !e.still || errors.As(err, &incomplete):
		return false, nil
	}
	return true, &codeError{exitDeadline, err}
}

// become runs the successor in kconfd's place. It returns only when that fails, with the exit codes
// that a shell has for it.
func (s *successor) become() error {
	c := s.config.child
	c.Argv, c.Env = s.line.last.argv, s.line.last.env
	err := reload.Become(c)
	var start *reload.StartError
	if !errors.As(err, &start) {
		return err
	}
	return &codeError{start.Code, fmt.Errorf("running %q: %w", c.Argv[0], start.Err)}
}
