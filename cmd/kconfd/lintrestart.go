package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kconfd/kconfd/internal/lint"
	"github.com/kconfd/kconfd/render"
	"github.com/kconfd/kconfd/watcher"
)

// lintRestart is what of the command line reads objects, whose change restarts nothing:
// restart_on_change does not name it.
func lintRestart(raw *rawProcess) []complaint {
	p, err := raw.parse()
	if err != nil {
		return nil // it has been refused
	}
	line, err := newCommandLine(nil, p, watcher.NewOffline())
	if err != nil {
		return nil
	}
	defer line.reader.Close()
	var warnings []complaint
	parts := slices.Clone(raw.RestartOnChange)
	warn := func(part string, t *render.Template, key, what string) {
		object := readsObject(t, line.reader)
		if object == "" || slices.Contains(raw.RestartOnChange, part) {
			return
		}
		warnings = append(warnings, complaint{
			severity: lint.Warning, rule: lint.RuleRestart, path: []string{"process", part, key},
			message: fmt.Sprintf("[process] %s reads %s, and a change of that does not restart the command", what, object),
		})
		parts = append(parts, part)
	}
	for i, t := range line.args {
		warn("args", t, strconv.Itoa(i), fmt.Sprintf("args %d", i+1))
	}
	for i, t := range line.values {
		warn("env", t, line.names[i], "env "+line.names[i])
	}
	for i := range warnings {
		warnings[i].hint = restartHint(parts)
	}
	return warnings
}

// restartHint is what to write for parts of the command line.
func restartHint(parts []string) string {
	slices.Sort(parts)
	parts = slices.Compact(parts)
	return fmt.Sprintf(`write restart_on_change = ["%s"] in [process]; without it, the next start takes the new value`, strings.Join(parts, `", "`))
}

// readsObject is the first call of a template that reads objects, as far as its text
// tells; empty when it has none. What is known of this pod and its environment does
// not change.
func readsObject(t *render.Template, r *watcher.Reader) string {
	reads := r.Funcs()
	for _, name := range []string{"ready", "withPort", "self", "secretEnv"} {
		delete(reads, name)
	}
	for _, c := range t.UsedCalls() {
		if _, found := reads[c.Function]; !found {
			continue
		}
		words := []string{c.Function}
		for _, arg := range c.Args {
			if arg == nil {
				words = append(words, "…")
				continue
			}
			words = append(words, strconv.Quote(*arg))
		}
		return strings.Join(words, " ")
	}
	return ""
}
