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

// lintSecrets is where secrets can be seen that need not be, and which files
// anybody may change.
func (g *group) lintSecrets() []complaint {
	var warnings []complaint
	for i, t := range g.templates {
		warn := func(rule, key, format string, args ...any) {
			path := []string{"template", strconv.Itoa(i), key}
			warnings = append(warnings, complaint{lint.Warning, rule, path, fmt.Sprintf(format, args...), ""})
		}
		dest, mode := t.config.file.Dest, t.config.file.Mode
		if mode&0o004 != 0 && readsSecret(t.template) {
			warn(lint.RuleSecret, "mode", "%q has secrets, and everybody may read it with mode %04o", dest, mode)
		}
		if mode&0o002 != 0 {
			warn(lint.RuleWritable, "mode", "everybody may write %q with mode %04o", dest, mode)
		}
		for _, name := range secretLooking(t.template) {
			warn(lint.RuleSecret, "src", "%q reads the variable %s with env: with secretEnv it is hidden, and the file is for its owner only", dest, name)
		}
	}
	if g.process != nil {
		warnings = append(warnings, lintProcess(g.process)...)
		warnings = append(warnings, lintRestart(g.process)...)
	}
	return warnings
}

// lintProcess is lintSecrets for a command line, which every user of the machine
// can see.
func lintProcess(raw *rawProcess) []complaint {
	p, err := raw.parse()
	if err != nil {
		return nil // it has been refused
	}
	line, err := newCommandLine(nil, p, watcher.NewOffline())
	if err != nil {
		return nil
	}
	var warnings []complaint
	warn := func(path []string, format string, args ...any) {
		warnings = append(warnings, complaint{lint.Warning, lint.RuleSecret, append([]string{"process"}, path...), fmt.Sprintf(format, args...), ""})
	}
	for i, t := range line.args {
		if readsSecret(t) || len(secretLooking(t)) > 0 {
			warn([]string{"args", strconv.Itoa(i)}, "[process] args %d has a secret, which other users see in the list of processes: give it in env or in a file", i+1)
		}
	}
	for i, t := range line.values {
		for _, name := range secretLooking(t) {
			warn([]string{"env", line.names[i]}, "[process] env %s reads the variable %s with env: with secretEnv it is hidden", line.names[i], name)
		}
	}
	return warnings
}

// readsSecret says whether a template calls for secrets, as far as its text tells.
func readsSecret(t *render.Template) bool {
	return slices.ContainsFunc(t.UsedCalls(), func(c render.Call) bool {
		switch c.Function {
		case "secret", "secrets", "secretEnv":
			return true
		case "lookup":
			return len(c.Args) > 1 && c.Args[1] != nil && *c.Args[1] == "Secret"
		}
		return false
	})
}

// secretLooking are the variables that a template reads with env, and whose names
// say that they are secret.
func secretLooking(t *render.Template) []string {
	var names []string
	for _, c := range t.UsedCalls() {
		if (c.Function == "env" || c.Function == "getenv") && len(c.Args) > 0 && c.Args[0] != nil && soundsSecret(*c.Args[0]) {
			names = append(names, *c.Args[0])
		}
	}
	return names
}

// soundsSecret says whether a variable is called as those are that hold secrets.
func soundsSecret(name string) bool {
	name = strings.ToUpper(name)
	has := func(word string) bool { return strings.Contains(name, word) }
	ends := func(end string) bool { return strings.HasSuffix(name, end) }
	switch {
	case slices.ContainsFunc([]string{"_FILE", "_PATH", "_DIR", "_NAME", "_URL", "_TTL"}, ends):
		return false // where it is, or what it is called
	case slices.ContainsFunc([]string{"PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "CREDENTIAL"}, has):
		return true
	}
	return slices.ContainsFunc([]string{"_KEY", "APIKEY", "_PASS", "_PWD", "_PW"}, ends) || name == "KEY"
}
