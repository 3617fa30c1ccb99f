package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/watcher"
)

// runLint reads the configuration as kconfd would, and warns of what is
// allowed and probably not meant.
func runLint(ctx context.Context, args []string, s streams) error {
	f, err := parseOrHelp(ctx, "kconfd lint", args, s)
	if f == nil {
		return err
	}
	if len(f.args) > 0 {
		return &usageError{fmt.Errorf("lint looks at all there is, and has no use for %q", f.args)}
	}
	configs, err := load(f)
	if err != nil {
		return err
	}
	w := watcher.NewOffline()
	warnings := 0
	for _, c := range configs {
		g, err := newGroup(c, f.quiet, w)
		if err != nil {
			return err
		}
		for _, warning := range g.lint() {
			warnings++
			fmt.Fprintf(s.out, "%s: warning: %s\n", c.name, warning)
		}
	}
	fmt.Fprintf(s.out, "%d resource files and templates read, %d warnings\n", len(configs), warnings)
	if warnings > 0 {
		return &codeError{code: exitError}
	}
	return nil
}

// lint is what is probably not meant.
func (g *group) lint() []string {
	var warnings []string
	warn := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	for _, t := range g.templates {
		dest := t.config.file.Dest
		if c := t.config.check; c != nil && !mentions(*c, ".src", "staged") {
			warn("the check_cmd of %q does not name {{.src}}: it checks the file that is live, not the one that is to be", dest)
		}
		if _, err := os.Stat(filepath.Dir(dest)); err != nil && t.config.file.MakeDir == 0 {
			warn("the directory of %q does not exist here", dest)
		}
	}
	warnings = append(warnings, g.lintSecrets()...)
	if len(g.templates) > 1 && g.check != nil && !mentions(*g.check, "staged") {
		warn("check_cmd does not name {{staged \"DEST\"}}: it checks the files that are live, not those that are to be")
	}
	if g.action.Kind == reload.None && g.check == nil {
		for _, t := range g.templates {
			if t.config.check == nil {
				warn("%q has neither a check_cmd nor an action", t.config.file.Dest)
			}
		}
	}
	warnings = append(warnings, g.literal...)
	for _, key := range g.unused {
		warn("%q has no meaning in kconfd: templates say themselves what they read", key)
	}
	return warnings
}

func mentions(c reload.Command, words ...string) bool {
	for _, w := range words {
		if strings.Contains(c.String(), w) {
			return true
		}
	}
	return false
}
