package main

import (
	"strings"
	"testing"

	"github.com/kconfd/kconfd/internal/steady"
	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/watcher"
)

// decodeAndParse reads a resource file without the templates and files that it
// names, and lints what comes of it.
func decodeAndParse(t *testing.T, name, content string) {
	t.Helper()
	raw, err := decodeResource(name, []byte(content))
	if err != nil {
		return
	}
	for i := range raw.Templates {
		if raw.Templates[i].Src != "" {
			raw.Templates[i].Src, raw.Templates[i].Contents = "", "{{ .Values }}"
		}
	}
	config, err := raw.parse(sources{steady.New(0), t.TempDir()})
	if err != nil {
		return
	}
	config.name = name
	g, err := newGroup(config, reload.Quiet{}, watcher.NewOffline())
	if err != nil {
		return
	}
	_ = g.lint()
	_ = g.lintSecrets()
}

func FuzzResourceTOML(f *testing.F) {
	for _, seed := range []string{
		"[[template]]\ncontents = \"x\"\ndest = \"/tmp/a\"\nmode = \"0640\"\ncheck_cmd = \"true {{.src}}\"\ncheck_timeout = \"1s\"\n[reload]\naction = \"exec\"\ncommand = [\"true\"]\nretry = \"1s:1m\"\n",
		"wait = \"1s:2s\"\n[template]\nsrc = \"a\"\ndest = \"b\"\nkeys = [\"/\"]\nprefix = \"/x\"\nreload_cmd = \"true\"\n",
		"[[guard]]\nendpoints = \"db\"\nmin = 2\nmax_shrink = \"50%\"\nhold = \"none\"\n[[template]]\ncontents = \"\"\ndest = \"\"\n",
		"[process]\nuser = \"root\"\nargs = [\"{{ }}\"]\nenv = { A = \"{{ self.Name }}\" }\nstop_grace = \"none\"\nforward = []\nrestart_wait = \"1s\"\n",
		"[[template]]\ncontents = \"x\"\ndest = \"a\"\nuid = 4294967295\n[values]\na = 1979-05-27T07:32:00Z\nb = inf\nc = [[[[]]]]\n",
		"[reload]\naction = \"signal\"\nsignal = \"HUP\"\nrolling = { lease = \"a\", lease_time = \"9999999h\", max_unavailable = -1 }\n",
		"[[template]]\ncontents = \"x\"\ndest = \"a\"\n[reload]\naction = \"http\"\nurl = \"http://[::1\"\nstatus = [200]\nheader = { \"\" = \"\\n\" }\n",
		"a = " + strings.Repeat("[", 5000), strings.Repeat("a.", 5000) + "a = 1", "\x00", "template = 1", "[[template.x]]\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) { decodeAndParse(t, "a.toml", content) })
}

func FuzzResourceYAML(f *testing.F) {
	for _, seed := range []string{
		"template:\n- contents: x\n  dest: /tmp/a\n  mode: \"0640\"\n  check_cmd: [\"true\", \"{{.src}}\"]\nreload:\n  action: exec\n  command: \"true\"\n",
		"template: {src: a, dest: b}\nwait: 1s\n",
		"a: &a [*a]\n", "a: &a {b: *a}\ntemplate: *a\n",
		"values:\n  a: &x [1,2]\n  b: &y [*x,*x]\n  c: &z [*y,*y]\n  d: [*z,*z]\n",
		"values: {? [a, b] : c, 1: 2, null: 3, .nan: 4}\ntemplate: []\n",
		"<<: [1]\n", "template: !!binary x\n", "%YAML 9.9\n---\n", "---\n---\n", strings.Repeat("[", 5000), strings.Repeat("- ", 5000), strings.Repeat("{a: ", 5000), "\xff\xfe", "template:\n- <<: {dest: a}\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) { decodeAndParse(t, "a.yaml", content) })
}

// However deep the nesting, reading comes to an end, and the stack does not.
func TestDeepResourceFiles(t *testing.T) {
	const deep = 500_000
	for name, content := range map[string]string{
		"arrays.toml":   "a = " + strings.Repeat("[", deep),
		"closed.toml":   "values = { a = " + strings.Repeat("[", deep) + strings.Repeat("]", deep) + " }",
		"tables.toml":   "values = " + strings.Repeat("{a=", deep/3),
		"keys.toml":     "values." + strings.Repeat("a.", deep) + "a = 1",
		"headers.toml":  "[values." + strings.Repeat("a.", deep) + "a]",
		"flow.yaml":     strings.Repeat("[", deep),
		"maps.yaml":     strings.Repeat("{a: ", deep/4),
		"blocks.yaml":   strings.Repeat("- ", deep),
		"complex.yaml":  strings.Repeat("? ", deep),
		"anchors.yaml":  strings.Repeat("&a ", deep),
		"laughter.yaml": laughter(),
	} {
		t.Run(name, func(t *testing.T) { decodeAndParse(t, name, content) })
	}
}

// laughter is a document in which each list has the one before it ten times.
func laughter() string {
	var text strings.Builder
	text.WriteString("values:\n  a0: &a0 [x]\n")
	for i := range 12 {
		n := string(rune('a' + i))
		before := "a0"
		if i > 0 {
			before = string(rune('a'+i-1)) + "1"
		}
		text.WriteString("  " + n + "1: &" + n + "1 [" + strings.Repeat("*"+before+", ", 10) + "]\n")
	}
	return text.String()
}
