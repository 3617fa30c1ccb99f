package watcher

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

const (
	mapA = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
	mapB = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\n  namespace: other\n"
	mapC = `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}`
	node = "apiVersion: v1\nkind: Node\nmetadata: {name: one}\n"
)

// read gives what manifests at the paths hold: kind namespace/name.
func readManifests(paths []string, stdin string) ([]string, error) {
	w, err := NewManifests(paths, "shop", strings.NewReader(stdin), (&logBook{}).logger())
	if err != nil {
		return nil, err
	}
	var all []string
	for key := range w.source.(*manifests).objects {
		all = append(all, fmt.Sprintf("%s %s/%s", key.gvk.Kind, key.namespace, key.name))
	}
	slices.Sort(all)
	return all, nil
}

func TestManifestsAreFound(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		links map[string]string
		paths []string // in the directory; none for itself
		stdin string
		want  []string
	}{
		"a file":                  {files: map[string]string{"a.yaml": mapA}, paths: []string{"a.yaml"}, want: []string{"ConfigMap shop/a"}},
		"a file of any name":      {files: map[string]string{"a.txt": mapA}, paths: []string{"a.txt"}, want: []string{"ConfigMap shop/a"}},
		"JSON":                    {files: map[string]string{"c.json": mapC}, want: []string{"ConfigMap shop/c"}},
		"several documents":       {files: map[string]string{"all.yml": "# first\n---\n" + mapA + "---\n\n---\n# nothing\n--- # last\n" + mapB + "...\n"}, want: []string{"ConfigMap other/b", "ConfigMap shop/a"}},
		"lines that end as DOS's": {files: map[string]string{"all.yaml": strings.ReplaceAll(mapA+"---\n"+node, "\n", "\r\n")}, want: []string{"ConfigMap shop/a", "Node /one"}},
		"a directory":             {files: map[string]string{"a.yaml": mapA, "b.yml": mapB, "c.json": mapC}, want: []string{"ConfigMap other/b", "ConfigMap shop/a", "ConfigMap shop/c"}},
		"directories below":       {files: map[string]string{"x/a.yaml": mapA, "x/y/z/b.yaml": mapB}, want: []string{"ConfigMap other/b", "ConfigMap shop/a"}},
		"an empty directory":      {files: map[string]string{"README": "none"}},
		"other files":             {files: map[string]string{"a.yaml": mapA, "b.yaml.bak": "{", "README.md": "# {", "noext": "{"}, want: []string{"ConfigMap shop/a"}},
		"hidden files":            {files: map[string]string{"a.yaml": mapA, ".b.yaml": "{", ".git/c.yaml": "{"}, want: []string{"ConfigMap shop/a"}},
		"several paths":           {files: map[string]string{"x/a.yaml": mapA, "b.yaml": mapB}, paths: []string{"x", "b.yaml"}, want: []string{"ConfigMap other/b", "ConfigMap shop/a"}},
		"standard input":          {paths: []string{"-"}, stdin: mapA + "---\n" + mapB, want: []string{"ConfigMap other/b", "ConfigMap shop/a"}},
		"standard input and more": {files: map[string]string{"a.yaml": mapA}, paths: []string{"-", "a.yaml"}, stdin: mapB, want: []string{"ConfigMap other/b", "ConfigMap shop/a"}},
		"an empty file":           {files: map[string]string{"a.yaml": ""}},
		"a List":                  {files: map[string]string{"a.yaml": "apiVersion: v1\nkind: List\nitems:\n- " + mapC + "\n- {apiVersion: v1, kind: Node, metadata: {name: one}}\n"}, want: []string{"ConfigMap shop/c", "Node /one"}},
		"a list of one kind":      {files: map[string]string{"a.yaml": "apiVersion: v1\nkind: ConfigMapList\nitems:\n- {metadata: {name: a}}\n- {metadata: {name: b, namespace: other}}\n"}, want: []string{"ConfigMap other/b", "ConfigMap shop/a"}},
		"anchors and merges":      {files: map[string]string{"a.yaml": "apiVersion: v1\nkind: List\nitems:\n- &a {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n- {<<: *a, metadata: {name: b}}\n"}, want: []string{"ConfigMap shop/a", "ConfigMap shop/b"}},
		"an empty List":           {files: map[string]string{"a.yaml": "apiVersion: v1\nkind: List\nitems: []\n"}},
		"the same name twice, in other places": {
			files: map[string]string{"a.yaml": mapA, "b.yaml": strings.ReplaceAll(mapA, "name: a", "name: a, namespace: other"), "c.yaml": strings.ReplaceAll(mapA, "ConfigMap", "Secret")},
			want:  []string{"ConfigMap other/a", "ConfigMap shop/a", "Secret shop/a"},
		},
		"a kind that kconfd does not know": {files: map[string]string{"a.yaml": "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\nanything: {goes: here}\n"}, want: []string{"Thing /t"}},
		"a ConfigMap mount": {
			files: map[string]string{"..2026/a.yaml": mapA, "..2026/x/b.yaml": mapB},
			links: map[string]string{"..data": "..2026", "a.yaml": "..data/a.yaml", "x": "..data/x"},
			want:  []string{"ConfigMap other/b", "ConfigMap shop/a"},
		},
		"a link to a directory": {files: map[string]string{"x/a.yaml": mapA}, links: map[string]string{"y": "x"}, paths: []string{"y"}, want: []string{"ConfigMap shop/a"}},
		"links in a circle":     {files: map[string]string{"x/a.yaml": mapA}, links: map[string]string{"x/up": ".."}, want: []string{"ConfigMap shop/a"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, content := range test.files {
				writeFile(t, filepath.Join(dir, file), content)
			}
			for link, target := range test.links {
				must(t, os.Symlink(target, filepath.Join(dir, link)))
			}
			got, err := readManifests(in(dir, test.paths), test.stdin)
			must(t, err)
			if d := diff(test.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// in are the paths in the directory, or it alone.
func in(dir string, paths []string) []string {
	if len(paths) == 0 {
		return []string{dir}
	}
	paths = slices.Clone(paths)
	for i, p := range paths {
		if p != "-" {
			paths[i] = filepath.Join(dir, p)
		}
	}
	return paths
}

// Bad manifests are refused at the start, by file and line.
func TestBadManifests(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		paths []string
		stdin string
		want  []string
	}{
		"no YAML":                    {files: map[string]string{"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {\nname: [\n"}, want: []string{"DIR/a.yaml: ", "yaml: line 4"}},
		"no YAML further down":       {files: map[string]string{"a.yaml": mapA + "---\n" + mapB + "---\nkind: [\n"}, want: []string{"DIR/a.yaml: document from line 10: ", ": line 11: "}},
		"no JSON":                    {files: map[string]string{"a.json": `{"apiVersion": }`}, want: []string{"DIR/a.json: "}},
		"bytes":                      {files: map[string]string{"a.yaml": "\x00\x01\x02"}, want: []string{"DIR/a.yaml: ", "control characters"}},
		"a text":                     {files: map[string]string{"a.yaml": "hello\n"}, want: []string{"DIR/a.yaml: ", "not a map of fields"}},
		"no object":                  {files: map[string]string{"a.yaml": mapA, "b.yaml": "level: debug\n"}, want: []string{"DIR/b.yaml: not a Kubernetes object: no apiVersion or kind"}},
		"items of nothing":           {files: map[string]string{"a.yaml": "items: []\n"}, want: []string{"DIR/a.yaml: not a Kubernetes object: no apiVersion or kind"}},
		"no name":                    {files: map[string]string{"a.yaml": "apiVersion: v1\nkind: ConfigMap\n"}, want: []string{"DIR/a.yaml: ConfigMap without a name"}},
		"a field that is not known":  {files: map[string]string{"a.yaml": mapA + "---\n" + mapB + "daat: {a: b}\n"}, want: []string{`DIR/a.yaml: document from line 4: ConfigMap "b": `, `unknown field "daat"`}},
		"a field of the wrong type":  {files: map[string]string{"a.yaml": mapA + "data: {a: 1}\n"}, want: []string{`DIR/a.yaml: ConfigMap "a": `, "string"}},
		"bad base64":                 {files: map[string]string{"a.yaml": strings.ReplaceAll(mapA, "ConfigMap", "Secret") + "data: {a: '%'}\n"}, want: []string{`DIR/a.yaml: Secret "a": `, "base64"}},
		"an object twice":            {files: map[string]string{"a.yaml": mapA, "b.yaml": node + "---\n" + mapA}, want: []string{`DIR/b.yaml: document from line 4: ConfigMap "a": there is another one of that name`}},
		"twice, once by default":     {files: map[string]string{"a.yaml": mapA, "b.yaml": strings.ReplaceAll(mapA, "name: a", "name: a, namespace: shop")}, want: []string{`DIR/b.yaml: ConfigMap "a": there is another one`}},
		"twice by two paths":         {files: map[string]string{"a.yaml": mapA}, paths: []string{".", "a.yaml"}, want: []string{`DIR/a.yaml: ConfigMap "a": there is another one`}},
		"an item that is no object":  {files: map[string]string{"a.yaml": "apiVersion: v1\nkind: List\nitems: [hello]\n"}, want: []string{"DIR/a.yaml: "}},
		"an item without a kind":     {files: map[string]string{"a.yaml": "apiVersion: v1\nkind: List\nitems: [{metadata: {name: a}}]\n"}, want: []string{"DIR/a.yaml: not a Kubernetes object: no apiVersion or kind"}},
		"an item that is bad":        {files: map[string]string{"a.yaml": "apiVersion: v1\nkind: List\nitems: [" + mapC + ", " + mapC + "]\n"}, want: []string{`DIR/a.yaml: ConfigMap "c": there is another one`}},
		"a missing file":             {paths: []string{"none.yaml"}, want: []string{"DIR/none.yaml", "no such file"}},
		"a link to nowhere":          {files: map[string]string{"a.yaml": mapA}, paths: []string{".", "nowhere"}, want: []string{"DIR/nowhere", "no such file"}},
		"standard input that is bad": {paths: []string{"-"}, stdin: mapA + "---\nkind: [\n", want: []string{"standard input: document from line 4: "}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, content := range test.files {
				writeFile(t, filepath.Join(dir, file), content)
			}
			got, err := readManifests(in(dir, test.paths), test.stdin)
			want := append([]string{"reading manifests: "}, test.want...)
			for i := range want {
				want[i] = strings.ReplaceAll(want[i], "DIR", dir)
			}
			if err == nil || !containsAll(err.Error(), want) {
				t.Errorf("got %v, %v, want an error with %q", got, err, want)
			}
		})
	}
}

func TestStandardInputThatFails(t *testing.T) {
	broken := errors.New("broken")
	_, err := NewManifests([]string{"-"}, "", iotest.ErrReader(broken), (&logBook{}).logger())
	if !errors.Is(err, broken) || !strings.HasPrefix(errorText(err), "reading manifests from standard input: ") {
		t.Errorf("got %v", err)
	}
}

func TestDefaultNamespaceOfManifests(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir+"/a.yaml", mapA)
	w, err := NewManifests([]string{dir}, "", nil, (&logBook{}).logger())
	must(t, err)
	start(t, w)
	p := newPage(w, func(r *Reader) (map[string]string, error) { return r.configMap("a", "default") })
	p.awaitGot(t, map[string]string{})
	if got := w.Namespace(); got != "default" {
		t.Errorf("got namespace %q", got)
	}
}

// level is a page that shows one value of a ConfigMap.
func levelPage(w *Watcher) *page[string] {
	return newPage(w, func(r *Reader) (string, error) {
		settings, err := r.configMap("settings")
		return settings["level"], err
	})
}

func levelYAML(level string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {level: " + level + "}\n"
}

// Whichever way files change, what they say in the end is what templates see.
func TestManifestsAreFollowed(t *testing.T) {
	type step struct {
		act  func(t *testing.T, dir string)
		want string // the level, or the error
	}
	write := func(name, content string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, name), content) }
	}
	replace := func(name, content string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { replaceFile(t, filepath.Join(dir, name), content) }
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { must(t, os.RemoveAll(filepath.Join(dir, name))) }
	}
	swap := func(target string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			must(t, os.Symlink(target, dir+"/..data_tmp"))
			must(t, os.Rename(dir+"/..data_tmp", dir+"/..data"))
		}
	}
	const absent = `ConfigMap "settings" in namespace "shop" does not exist`
	tests := map[string]struct {
		before func(t *testing.T, dir string)
		path   string
		steps  []step
	}{
		"written in place":    {write("a.yaml", levelYAML("one")), "", []step{{write("a.yaml", levelYAML("two")), "two"}}},
		"replaced":            {write("a.yaml", levelYAML("one")), "", []step{{replace("a.yaml", levelYAML("two")), "two"}}},
		"a file, replaced":    {write("a.yaml", levelYAML("one")), "a.yaml", []step{{replace("a.yaml", levelYAML("two")), "two"}}},
		"removed and back":    {write("a.yaml", levelYAML("one")), "", []step{{remove("a.yaml"), absent}, {write("a.yaml", levelYAML("two")), "two"}}},
		"in another file":     {write("a.yaml", levelYAML("one")), "", []step{{remove("a.yaml"), absent}, {write("b.json", strings.ReplaceAll(mapC, `"c"`, `"settings"`)), ""}}},
		"a directory below":   {write("a.yaml", node), "", []step{{write("x/y/z/b.yaml", levelYAML("one")), "one"}, {replace("x/y/z/b.yaml", levelYAML("two")), "two"}, {remove("x"), absent}}},
		"its directory again": {write("x/a.yaml", levelYAML("one")), "x", []step{{func(t *testing.T, dir string) { remove("x")(t, dir); write("x/a.yaml", levelYAML("two"))(t, dir) }, "two"}, {replace("x/a.yaml", levelYAML("three")), "three"}}},
		"a mount": {func(t *testing.T, dir string) {
			write("..1/a.yaml", levelYAML("one"))(t, dir)
			must(t, os.Symlink("..1", dir+"/..data"))
			must(t, os.Symlink("..data/a.yaml", dir+"/a.yaml"))
		}, "", []step{
			{func(t *testing.T, dir string) { write("..2/a.yaml", levelYAML("two"))(t, dir); swap("..2")(t, dir) }, "two"},
			{func(t *testing.T, dir string) {
				remove("..1")(t, dir)
				write("..3/a.yaml", levelYAML("three"))(t, dir)
				swap("..3")(t, dir)
			}, "three"},
		}},
		"one file of a mount": {func(t *testing.T, dir string) {
			write("..1/a.yaml", levelYAML("one"))(t, dir)
			must(t, os.Symlink("..1", dir+"/..data"))
			must(t, os.Symlink("..data/a.yaml", dir+"/a.yaml"))
		}, "a.yaml", []step{{func(t *testing.T, dir string) { write("..2/a.yaml", levelYAML("two"))(t, dir); swap("..2")(t, dir) }, "two"}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			test.before(t, dir)
			w := manifestWatcher(t, &logBook{}, filepath.Join(dir, test.path))
			start(t, w)
			p := levelPage(w)
			p.await(t, func() string {
				if p.err == nil || p.err.Error() == absent {
					return ""
				}
				return p.err.Error()
			})
			for i, step := range test.steps {
				step.act(t, dir)
				p.await(t, func() string {
					if got := p.got + errorText(p.err); got != step.want {
						return fmt.Sprintf("step %d: got %q, want %q", i, got, step.want)
					}
					return ""
				})
			}
		})
	}
}

// What was good stays until what replaces it is good, and the log says why.
func TestManifestsThatTurnBad(t *testing.T) {
	tests := map[string]struct {
		turn func(t *testing.T, dir string)
		log  []string
	}{
		"no YAML":         {func(t *testing.T, dir string) { replaceFile(t, dir+"/a.yaml", "kind: [\n") }, []string{"/a.yaml", "line"}},
		"one of them bad": {func(t *testing.T, dir string) { writeFile(t, dir+"/z.yaml", "level: debug\n") }, []string{"/z.yaml", "not a Kubernetes object"}},
		"an object twice": {func(t *testing.T, dir string) { writeFile(t, dir+"/z.yaml", levelYAML("two")) }, []string{"/z.yaml", "there is another one"}},
		"a file is gone":  {func(t *testing.T, dir string) { must(t, os.Remove(dir+"/single.yaml")) }, []string{"/single.yaml", "no such file"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			top := t.TempDir()
			dir := top + "/dir"
			writeFile(t, dir+"/a.yaml", levelYAML("one"))
			writeFile(t, top+"/single.yaml", mapA)
			var log logBook
			w := manifestWatcher(t, &log, dir, top+"/single.yaml")
			start(t, w)
			p := levelPage(w)
			p.awaitGot(t, "one")
			runs := p.runs

			where := dir
			if name == "a file is gone" {
				where = top
			}
			test.turn(t, where)
			poll(t, func() string {
				if len(log.lines(append(test.log, "level=WARN", "manifests refused, the ones read before stay")...)) == 0 {
					return "no warning:\n" + log.String()
				}
				return ""
			})
			if p.look(); p.runs != runs || p.got != "one" {
				t.Errorf("got %q, %v after bad manifests", p.got, p.err)
			}
			must(t, os.RemoveAll(dir+"/z.yaml"))
			writeFile(t, top+"/single.yaml", mapA)
			replaceFile(t, dir+"/a.yaml", levelYAML("three"))
			p.awaitGot(t, "three")
		})
	}
}

// Standard input is read once, and stays beside what changes on disk.
func TestStandardInputStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, dir+"/a.yaml", levelYAML("one"))
	w, err := NewManifests([]string{dir, "-"}, "shop", strings.NewReader(mapA+"data: {from: stdin}\n"), (&logBook{}).logger())
	must(t, err)
	start(t, w)
	p := newPage(w, func(r *Reader) (string, error) {
		a, err := r.configMap("a")
		settings, err2 := r.configMap("settings")
		return a["from"] + " " + settings["level"], errors.Join(err, err2)
	})
	p.awaitGot(t, "stdin one")
	replaceFile(t, dir+"/a.yaml", levelYAML("two"))
	p.awaitGot(t, "stdin two")
}

// Nothing that a template does can change the manifests.
func TestManifestsAreGivenAsCopies(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir+"/a.yaml", strings.ReplaceAll(mapA, "name: a", `name: a, resourceVersion: "7"`)+"data: {a: b}\n")
	w := manifestWatcher(t, &logBook{}, dir)
	m := w.source.(*manifests)
	before := map[manifestKey]string{}
	for key, o := range m.objects {
		before[key] = fmt.Sprint(o.Object)
	}
	for _, untyped := range []bool{true, false} {
		n := need{Dependency{APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "a"}, untyped}
		_, f := detachedFeed(n)
		found, _, err := m.find(n.narrow())
		must(t, err)
		must(t, f.Replace(found, ""))
	}
	after := map[manifestKey]string{}
	for key, o := range m.objects {
		after[key] = fmt.Sprint(o.Object)
	}
	if !maps.Equal(before, after) {
		t.Errorf("got %v, want %v", after, before)
	}
}
