package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/kconfd/kconfd/docs"
	"github.com/kconfd/kconfd/internal/status/web"
	"github.com/kconfd/kconfd/internal/steady"
	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/render"
	"github.com/kconfd/kconfd/watcher"
)

const reference = "../../docs/reference.md"

// section gives the rows of the tables under a heading of the reference.
func section(t *testing.T, heading string) [][]string {
	t.Helper()
	text, err := docs.Section(reference, heading)
	if err != nil {
		t.Fatal(err)
	}
	rows := docs.Rows(text)
	if len(rows) == 0 {
		t.Fatalf("%q has no table", heading)
	}
	return rows
}

// mainFlags are those of kconfd without a subcommand, with their defaults.
func mainFlags() map[string]string {
	set := flag.NewFlagSet("", flag.ContinueOnError)
	(&flags{}).common(set)
	(&flags{}).processFlags(set)
	defaults := map[string]string{"help": ""} // package flag's own
	set.VisitAll(func(f *flag.Flag) { defaults[f.Name] = strings.ToLower(f.DefValue) })
	return defaults
}

// ownFlags are those of single commands, by the command.
func ownFlags() map[string][]string {
	return map[string][]string{
		"claim":  {"holder"},
		"rbac":   {"name", "service-account", "galera"},
		"status": {"json"},

		"galera alive":     {"defaults-file", "patience"},
		"galera bootstrap": {"cluster", "from", "force"},
		"galera check":     {"dest", "in", "node-address", "server"},
		"galera joined":    {"defaults-file", "without-primary"},
		"galera ready":     {"defaults-file", "donor", "whole"},
		"galera stopped":   {"defaults-file", "view-timeout"},
	}
}

// The flags in the reference are those that there are, with their defaults and
// environment variables.
func TestReferenceNamesTheFlags(t *testing.T) {
	documented := map[string]string{}
	for _, row := range section(t, "## Flags") {
		name := strings.TrimPrefix(docs.Names(row[0])[0], "-")
		documented[name] = strings.Trim(row[1], "`")
		variable := "KCONFD_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		if got := strings.Trim(row[2], "`"); got != variable && name != "help" {
			t.Errorf("-%s: the reference has the variable %q, want %q", name, got, variable)
		}
	}
	own := map[string]bool{}
	for command, names := range ownFlags() {
		for _, name := range names {
			if _, ok := documented[name]; !ok {
				t.Errorf("-%s of kconfd %s is not in the reference", name, command)
			}
			own[name] = true
		}
	}
	maps.DeleteFunc(documented, func(name, _ string) bool { return own[name] })
	existing := mainFlags()
	// What these are when they are not given is told in words.
	for name, words := range map[string]string{
		"kubeconfig": "as kubectl", "context": "the current one", "namespace": "the pod's", "listen": "off", "state-dir": "", "timeout": "1m", "version": "",
		"user": "kconfd's", "group": "kconfd's", "chdir": "kconfd's", "stop-signal": "TERM", "stop-grace": "10s",
		"ready-timeout": "none", "restart": "never", "restart-wait": "1s:1m",
	} {
		existing[name] = words
	}
	if diff := gocmp.Diff(documented, existing); diff != "" {
		t.Errorf("-reference +code:\n%s", diff)
	}
	if got, want := existing["timeout"]+"0s", defaultTimeout.String(); got != want {
		t.Errorf("-timeout: the reference has the default %s, want %s", got, want)
	}
}

// The help names every flag, and no flag that there is not.
func TestHelpNamesTheFlags(t *testing.T) {
	var inHelp []string
	for _, match := range regexp.MustCompile(`(?m)(?:^  |, )-([a-z-]+)\b`).FindAllStringSubmatch(usage, -1) {
		inHelp = append(inHelp, match[1])
	}
	want := []string{}
	for name := range mainFlags() {
		want = append(want, name)
	}
	for _, names := range ownFlags() {
		want = append(want, names...)
	}
	slices.Sort(inHelp)
	slices.Sort(want)
	want = slices.Compact(want) // some are those of several commands
	if diff := gocmp.Diff(want, inHelp); diff != "" {
		t.Errorf("-code +help:\n%s", diff)
	}
}

// The flags of single commands are theirs.
func TestCommandsTakeTheirFlags(t *testing.T) {
	for command, names := range ownFlags() {
		for _, name := range names {
			value := map[string]string{"without-primary": "1s", "patience": "1s", "view-timeout": "1s"}
			args := append(strings.Fields(command), "-"+name+"="+cmp.Or(value[name], "1"), "-help")
			if err := run(t.Context(), args, streams{strings.NewReader(""), io.Discard, io.Discard}); err != nil {
				t.Errorf("kconfd %s: %v", strings.Join(args, " "), err)
			}
		}
	}
}

// The keys of resource files in the reference are those that there are.
func TestReferenceNamesTheKeys(t *testing.T) {
	for heading, raw := range map[string]any{
		"### The group":      rawFile[any]{},
		"### `[[template]]`": rawTemplate{},
		"### `[reload]`":     rawReload{},
		"### `[process]`":    rawProcess{},
		"### `[[guard]]`":    rawGuard{},
		"### Rolling":        rawRolling{},
		"### `[limits]`":     rawLimits{},
	} {
		t.Run(heading, func(t *testing.T) {
			var documented, existing []string
			for _, row := range section(t, heading) {
				documented = append(documented, docs.Names(row[0])...)
			}
			for _, f := range reflect.VisibleFields(reflect.TypeOf(raw)) {
				existing = append(existing, f.Tag.Get("toml"))
				if f.Tag.Get("toml") != f.Tag.Get("yaml") {
					t.Errorf("%s: %q in TOML and %q in YAML", f.Name, f.Tag.Get("toml"), f.Tag.Get("yaml"))
				}
			}
			slices.Sort(documented)
			slices.Sort(existing)
			if diff := gocmp.Diff(documented, existing); diff != "" {
				t.Errorf("-reference +code:\n%s", diff)
			}
		})
	}
}

// The resource files in the documentation are good ones.
func TestDocumentedResourceFiles(t *testing.T) {
	seen := 0
	for _, page := range []string{reference, "../../docs/templates.md", "../../README.md"} {
		blocks, err := docs.Blocks(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			if b.Kind != "toml" && !strings.HasPrefix(b.Text, "template:") {
				continue
			}
			seen++
			t.Run(fmt.Sprintf("%s line %d", filepath.Base(page), b.Line), func(t *testing.T) { readDocumented(t, b) })
		}
	}
	if seen < 6 {
		t.Errorf("only %d resource files found", seen)
	}
}

// readDocumented reads a resource file, or a part of one, with templates of
// the names that it has.
func readDocumented(t *testing.T, b docs.Block) {
	t.Setenv("POD_NAME", "web-0")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(b.Text, "/run/secrets/", dir+"/")
	if b.Kind == "toml" && !strings.Contains(text, "[[template]]") {
		text += "\n[[template]]\ncontents = \"x\"\ndest = \"x\"\n"
	}
	raw, err := decodeResource("x."+b.Kind, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, tmpl := range raw.Templates {
		if tmpl.Src != "" {
			if err := os.WriteFile(filepath.Join(dir, tmpl.Src), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	g, err := raw.parse(sources{steady.New(0), dir})
	if err != nil {
		t.Fatalf("%v (for want of a user mysql, run: make packages)", err)
	}
	if _, err := newGroup(g, reload.Quiet{}, watcher.NewOffline()); err != nil {
		t.Error(err)
	}
}

// The metrics in the reference are those that there are.
func TestReferenceNamesTheMetrics(t *testing.T) {
	var documented []string
	for _, row := range section(t, "### Metrics") {
		documented = append(documented, docs.Names(row[0])...)
	}
	existing := slices.Collect(maps.Keys(meanings())) // which are those that there are
	slices.Sort(documented)
	slices.Sort(existing)
	if diff := gocmp.Diff(documented, existing); diff != "" {
		t.Errorf("-reference +code:\n%s", diff)
	}
}

// The fields of the status in the reference are those that there are.
func TestReferenceNamesTheStatus(t *testing.T) {
	for heading, view := range map[string]any{
		"### The status":              status{},
		"#### Each of `groups`":       groupStatus{},
		"#### Each of `files`":        fileStatus{},
		"#### Each of `dependencies`": dependencyStatus{},
		"#### A `gate`":               gateStatus{},
		"#### The `child`":            childStatus{},
		"#### Each of `watches`":      watchStatus{},
		"#### Each of `changes`":      change{},
	} {
		t.Run(heading, func(t *testing.T) {
			var documented, existing []string
			for _, row := range section(t, heading) {
				documented = append(documented, docs.Names(row[0])...)
			}
			for _, f := range reflect.VisibleFields(reflect.TypeOf(view)) {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				existing = append(existing, name)
			}
			if diff := gocmp.Diff(existing, documented); diff != "" {
				t.Errorf("-code +reference:\n%s", diff)
			}
		})
	}
}

// The states and the reasons of Events in the reference are those that there are.
func TestReferenceNamesTheStates(t *testing.T) {
	for heading, existing := range map[string][]string{
		"### States": states(),
		"### Events": {reasonApplied, reasonHeld, reasonFailed, reasonRolledBack, reasonStale},
	} {
		var documented []string
		for _, row := range section(t, heading) {
			documented = append(documented, docs.Names(row[0])...)
		}
		if diff := gocmp.Diff(existing, documented); diff != "" {
			t.Errorf("%s: -code +reference:\n%s", heading, diff)
		}
	}
}

// The paths in the reference are served.
func TestReferenceNamesThePaths(t *testing.T) {
	e := newEngine(&flags{}, slog.New(slog.DiscardHandler), watcher.NewOffline(), &render.Redactor{})
	server := web.New(e.log, e.meters.set)
	e.pages(server)
	var documented []string
	for _, row := range section(t, "## Seeing what happens") {
		documented = append(documented, docs.Names(row[0])[0])
	}
	slices.Sort(documented)
	files := []string{"/icon.svg", "/page.css", "/page.js"} // of the page
	served := slices.DeleteFunc(server.Paths(), func(path string) bool { return slices.Contains(files, path) })
	if diff := gocmp.Diff(served, documented); diff != "" {
		t.Errorf("-code +reference:\n%s", diff)
	}
}
