package docs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Masterminds/sprig/v3"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/kconfd/kconfd/docs"
	"github.com/kconfd/kconfd/internal/lint"
	"github.com/kconfd/kconfd/render"
	"github.com/kconfd/kconfd/test/build"
	"github.com/kconfd/kconfd/watcher"
)

// The examples in the reference give what stands behind them.
func TestExamples(t *testing.T) {
	t.Setenv("POD_NAME", "pxc-1")
	for _, name := range []string{"POD_NAMESPACE", "POD_IP", "NODE_NAME"} {
		t.Setenv(name, "")
	}
	w := watch(t, "examples/objects.yaml")
	blocks := blocksOf(t, "reference.md")
	examples := 0
	for i, b := range blocks {
		if b.Kind != "template" {
			continue
		}
		examples++
		t.Run(fmt.Sprintf("line %d", b.Line), func(t *testing.T) {
			if i+1 == len(blocks) {
				t.Fatal("no block follows that says what it gives")
			}
			want := blocks[i+1]
			kind, got := outcome(t, w, b.Text)
			if kind != want.Kind {
				t.Fatalf("got %s:\n%s\nwant %s:\n%s", kind, got, want.Kind, want.Text)
			}
			if diff := cmp.Diff(strings.TrimSpace(want.Text), strings.TrimSpace(got)); diff != "" {
				t.Errorf("-reference +rendered:\n%s", diff)
			}
		})
	}
	if examples < 20 {
		t.Errorf("only %d examples found", examples)
	}
}

// watch runs a watcher of the manifests until the test ends.
func watch(t *testing.T, manifests string) *watcher.Watcher {
	t.Helper()
	w, err := watcher.NewManifests([]string{manifests}, "", nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	running := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { running <- w.Run(ctx) }() // until cancel
	t.Cleanup(func() { cancel(); <-running })
	return w
}

// Whatever stands in the objects, no example makes a line of it.
func TestExamplesWithHostileObjects(t *testing.T) {
	t.Setenv("POD_NAME", "pxc-1")
	for _, name := range []string{"POD_NAMESPACE", "POD_IP", "NODE_NAME"} {
		t.Setenv(name, "")
	}
	const text = "x\r\nEVIL\n}\nEVIL { \"' \\"
	content, err := os.ReadFile("examples/objects.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var hostile strings.Builder
	for document := range strings.SplitSeq(string(content), "\n---\n") {
		var o map[string]any
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			t.Fatal(err)
		}
		content, err := yaml.Marshal(withText(o, text))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&hostile, "---\n%s", content)
	}
	file := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(file, []byte(hostile.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	w := watch(t, file)
	printed := 0
	for _, b := range blocksOf(t, "reference.md") {
		if b.Kind != "template" {
			continue
		}
		kind, got := outcome(t, w, b.Text)
		if kind == "output" {
			printed++
		}
		if kind == "output" && regexp.MustCompile(`(?m)^\s*EVIL`).MatchString(got) {
			t.Errorf("line %d:\n%s\nprints:\n%s", b.Line, b.Text, got)
		}
	}
	if printed < 10 {
		t.Errorf("only %d examples print something", printed)
	}
}

// withText is a part of an object with the text in place of all texts but those by which
// the object is found.
func withText(value any, text string) any {
	switch v := value.(type) {
	case map[string]any:
		for key, element := range v {
			if !slices.Contains([]string{"apiVersion", "kind", "metadata", "addressType", "addresses", "ports"}, key) {
				v[key] = withText(element, text)
			}
		}
		if m, ok := v["metadata"].(map[string]any); ok {
			m["annotations"] = map[string]any{"a": text}
			if labels, ok := m["labels"].(map[string]any); ok && labels["role"] != nil {
				labels["role"] = text
			}
		}
	case []any:
		for i := range v {
			v[i] = withText(v[i], text)
		}
	case string:
		return text
	}
	return value
}

// outcome renders a template: output, held, waits or error, and its text.
func outcome(t *testing.T, w *watcher.Watcher, text string) (kind, got string) {
	t.Helper()
	reader := w.NewReader()
	defer reader.Close()
	parsed, err := render.Parse(render.Source{Name: "example", Text: text, Funcs: reader.Funcs()})
	if err != nil {
		return "error", err.Error()
	}
	values := map[string]any{"limits": map[string]any{"memory": "1G"}}
	for {
		w.View(func(v *watcher.View) {
			err = v.Run(reader, func() error {
				content, err := parsed.Execute(map[string]any{"Values": values})
				got = string(content)
				return err
			})
		})
		var incomplete *watcher.IncompleteError
		if !errors.As(err, &incomplete) {
			break
		}
		select {
		case <-w.Changed():
		case <-time.After(10 * time.Second):
			t.Fatal(err)
		}
	}
	var held *render.HeldError
	var absent *watcher.AbsentError
	switch {
	case err == nil:
		return "output", got
	case errors.As(err, &held):
		return "held", held.Error()
	case errors.As(err, &absent):
		return "waits", absent.Error()
	}
	return "error", err.Error()
}

// The sessions in the reference are what the real kconfd prints.
func TestSessions(t *testing.T) {
	bin := t.TempDir()
	if err := build.Kconfd(bin); err != nil {
		t.Fatal(err)
	}
	sessions := 0
	for _, b := range blocksOf(t, "reference.md") {
		if b.Kind != "console" {
			continue
		}
		sessions++
		t.Run(fmt.Sprintf("line %d", b.Line), func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS("examples")); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(b.Text, replay(dir, bin, b.Text)); diff != "" {
				t.Errorf("-reference +printed:\n%s", diff)
			}
		})
	}
	if sessions < 2 {
		t.Errorf("only %d sessions found", sessions)
	}
}

// replay runs the commands of a session, which stand behind "$ ".
func replay(dir, bin, session string) string {
	var replayed strings.Builder
	for line := range strings.Lines(session) {
		command, found := strings.CutPrefix(line, "$ ")
		if !found {
			continue
		}
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH")}
		out, _ := cmd.CombinedOutput() // what it prints says whether it failed
		fmt.Fprintf(&replayed, "%s%s", line, out)
	}
	return replayed.String()
}

// The rules of lint and the fields of its JSON in the reference are those that there are.
func TestLint(t *testing.T) {
	var rules []string
	for _, row := range rowsOf(t, "### Rules of lint") {
		rules = append(rules, docs.Names(row[0])...)
	}
	compareSets(t, rules, lint.Rules())
	var fields, existing []string
	for _, row := range rowsOf(t, "## `kconfd lint`") {
		fields = append(fields, docs.Names(row[0])...)
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[lint.Finding]()) {
		existing = append(existing, f.Tag.Get("json"))
	}
	compareSets(t, fields, existing)
}

// The functions in the reference are those that there are.
func TestFunctionsOfTheCluster(t *testing.T) {
	var documented, existing []string
	for _, row := range rowsOf(t, "### From the cluster") {
		documented = append(documented, docs.Names(row[0])...)
	}
	for name := range watcher.NewOffline().NewReader().Funcs() {
		existing = append(existing, name)
	}
	compareSets(t, documented, existing)
}

// Of sprig, only what the reference names is left out.
func TestFunctionsLeftOut(t *testing.T) {
	section, err := docs.Section("reference.md", "### Sprig's")
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(section, "Left out")
	if !found {
		t.Fatal("the section does not say what is left out")
	}
	var missing []string
	for name := range sprig.TxtFuncMap() {
		_, err := render.Parse(render.Source{Name: "x", Text: "{{ " + name + " }}"})
		if errors.Is(err, render.ErrImpure) {
			missing = append(missing, name)
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	compareSets(t, docs.Names(list), missing)
}

// The fields in the reference are those that there are, with their types.
func TestFields(t *testing.T) {
	for heading, view := range map[string]any{
		"Endpoint":    &watcher.Endpoint{},
		"Port":        &watcher.Port{},
		"Service":     &watcher.Service{},
		"Pod":         &watcher.Pod{},
		"Node":        &watcher.Node{},
		"StatefulSet": &watcher.StatefulSet{},
		"ConfigMap":   &watcher.ConfigMap{},
		"Secret":      &watcher.Secret{},
		"Self":        &watcher.Self{},
	} {
		t.Run(heading, func(t *testing.T) {
			documented := map[string]string{}
			for _, row := range rowsOf(t, "#### "+heading) {
				for _, name := range docs.Names(row[0]) {
					documented[strings.TrimPrefix(name, ".")] = row[1]
				}
			}
			if diff := cmp.Diff(documented, fields(reflect.TypeOf(view))); diff != "" {
				t.Errorf("-reference +code:\n%s", diff)
			}
		})
	}
}

// The reference says of each text that a template can read what may stand in it.
func TestFieldsSayWhatTheyHold(t *testing.T) {
	known := []string{"**free text**", "`None`", "names", "addresses"}
	for _, row := range rowsOf(t, "#### Names and free text")[:8] {
		known = append(known, row[0])
	}
	for _, heading := range []string{"Endpoint", "Port", "Service", "Pod", "Node", "StatefulSet", "ConfigMap", "Secret", "Self"} {
		for _, row := range rowsOf(t, "#### "+heading) {
			if !strings.Contains(row[1], "string") {
				continue
			}
			for word := range strings.SplitSeq(row[2], " or ") {
				if !slices.Contains(known, word) {
					t.Errorf("%s %s: %q is none of %q", heading, row[0], word, known)
				}
			}
		}
	}
}

// fields are what a template can read of a view, with their types in words.
func fields(view reflect.Type) map[string]string {
	all := map[string]string{}
	for _, f := range reflect.VisibleFields(view.Elem()) {
		if f.IsExported() {
			all[f.Name] = inWords(f.Type)
		}
	}
	for i := range view.NumMethod() {
		if view.Method(i).Name == "String" {
			continue // for what is printed whole
		}
		all[view.Method(i).Name] = inWords(view.Method(i).Type.Out(0))
	}
	return all
}

func inWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return inWords(t.Elem())
	case reflect.Slice:
		return "list of " + inWords(t.Elem()) + "s"
	case reflect.Map:
		return "map of " + inWords(t.Elem()) + "s"
	case reflect.Int, reflect.Int32:
		return "number"
	case reflect.Struct:
		return t.Name()
	}
	return t.String()
}

// The pod in the README is one, without a field that there is not.
func TestPods(t *testing.T) {
	pods := 0
	for _, b := range blocksOf(t, "../README.md") {
		if b.Kind != "yaml" {
			continue
		}
		var pod corev1.Pod
		if err := yaml.UnmarshalStrict([]byte(b.Text), &pod); err != nil {
			t.Errorf("README.md line %d: %v", b.Line, err)
		}
		if pod.Kind == "Pod" {
			pods++
		}
	}
	if pods == 0 {
		t.Error("README.md has no pod")
	}
}

// Links in the documentation lead somewhere.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob("*/*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages = append(pages, "reference.md", "templates.md", "../README.md", "../CHANGELOG.md", "../CONTRIBUTING.md")
	for _, page := range pages {
		content, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(string(content), -1) {
			if fault := follow(page, link[1]); fault != "" {
				t.Errorf("%s: link %s: %s", page, link[1], fault)
			}
		}
	}
}

// follow says what is wrong with a link to a file or heading, or nothing.
func follow(page, link string) string {
	if strings.Contains(link, "://") {
		return ""
	}
	path, anchor, _ := strings.Cut(link, "#")
	target := page
	if path != "" {
		target = filepath.Join(filepath.Dir(page), path)
	}
	info, err := os.Stat(target)
	if err != nil {
		return err.Error()
	}
	if anchor == "" || info.IsDir() {
		return ""
	}
	content, err := os.ReadFile(target)
	if err != nil {
		return err.Error()
	}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(content), -1) {
		if anchorOf(heading[1]) == anchor {
			return ""
		}
	}
	return "there is no such heading"
}

// anchorOf is what GitHub makes of a heading.
func anchorOf(heading string) string {
	heading = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(heading, " ", "-")
}

func blocksOf(t *testing.T, path string) []docs.Block {
	t.Helper()
	blocks, err := docs.Blocks(path)
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

func rowsOf(t *testing.T, heading string) [][]string {
	t.Helper()
	section, err := docs.Section("reference.md", heading)
	if err != nil {
		t.Fatal(err)
	}
	rows := docs.Rows(section)
	if len(rows) == 0 {
		t.Fatalf("%q has no table", heading)
	}
	return rows
}

func compareSets(t *testing.T, documented, existing []string) {
	t.Helper()
	slices.Sort(documented)
	slices.Sort(existing)
	if diff := cmp.Diff(documented, existing); diff != "" {
		t.Errorf("-reference +code:\n%s", diff)
	}
}

// Each module that the code imports has its reason in the text, and no other
// is there.
func TestDependencies(t *testing.T) {
	content, err := os.ReadFile("design/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, heading := range regexp.MustCompile(`(?m)^### (.*)$`).FindAllStringSubmatch(string(content), -1) {
		documented = append(documented, heading[1])
	}
	imported := map[string]bool{}
	for _, dir := range []string{"..", "../test/e2e/client"} { // modules
		cmd := exec.Command("go", "list", "-f", "{{range .Imports}}{{println .}}{{end}}{{range .TestImports}}{{println .}}{{end}}{{range .XTestImports}}{{println .}}{{end}}", "./...")
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		for path := range strings.Lines(string(out)) {
			if module, ok := moduleOf(strings.TrimSpace(path)); ok {
				imported[module] = true
			}
		}
	}
	compareSets(t, documented, slices.Collect(maps.Keys(imported)))
}

// moduleOf is the module that a package is from, without its major version; ok
// is false for the standard library and for kconfd itself.
func moduleOf(path string) (module string, ok bool) {
	parts := strings.Split(path, "/")
	switch {
	case !strings.Contains(parts[0], ".") || strings.HasPrefix(path, "github.com/kconfd/"):
		return "", false
	case parts[0] == "github.com" || parts[0] == "al.essio.dev" || strings.HasPrefix(path, "golang.org/x/"):
		return strings.Join(parts[:3], "/"), true
	}
	return strings.Join(parts[:2], "/"), true // k8s.io/api, sigs.k8s.io/yaml
}
