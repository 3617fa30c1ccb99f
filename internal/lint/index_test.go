package lint_test

import (
	"strings"
	"testing"

	"github.com/kconfd/kconfd/internal/lint"
)

const tomlDocument = `wait = "1s"
[values]
  a.b = { c = [1, { d = 2 }] }

[[template]]
src = "x"
contents = """
{{ a }}"""
[[template]]
 contents = 'b'
[reload]
rolling = { lease = "x" }
[process]
args = ["-v", "{{ x }}"]
`

const yamlDocument = `wait: 1s
template:
- src: x
  contents: |
      {{ a }}
- {contents: 'b', dest: "c"}
process:
  args: ["-v", "{{ x }}"]
`

func TestIndex(t *testing.T) {
	toml, yaml := lint.IndexTOML([]byte(tomlDocument)), lint.IndexYAML([]byte(yamlDocument))
	for path, want := range map[string]lint.Place{
		"wait": {1, 1}, "values": {2, 2}, "values a": {3, 3}, "values a b": {3, 5}, "values a b c": {3, 11}, "values a b c 1 d": {3, 21},
		"template 0": {5, 3}, "template 0 src": {6, 1}, "template 1": {9, 3}, "template 1 contents": {10, 2},
		"reload rolling lease": {12, 13}, "process args 1": {14, 15},
		"template 1 nope": {9, 3}, "nope": {1, 1},
	} {
		if got := toml.At(strings.Fields(path)...); got != want {
			t.Errorf("TOML %s: got %v, want %v", path, got, want)
		}
	}
	for path, want := range map[string]lint.Place{
		"template": {2, 1}, "template 0": {3, 3}, "template 0 contents": {4, 3}, "template 1 contents": {6, 4}, "template 1 dest": {6, 19},
		"process args 0": {8, 10}, "template 1 nope": {6, 3},
	} {
		if got := yaml.At(strings.Fields(path)...); got != want {
			t.Errorf("YAML %s: got %v, want %v", path, got, want)
		}
	}
	type text struct {
		at     lint.Place
		indent int
	}
	for path, want := range map[string][2]text{
		"template 0 contents": {{lint.Place{Line: 8, Column: 1}, 0}, {lint.Place{Line: 5, Column: 7}, 6}},
		"template 1 contents": {{lint.Place{Line: 10, Column: 14}, 0}, {lint.Place{Line: 6, Column: 15}, 0}},
		"process args 1":      {{lint.Place{Line: 14, Column: 16}, 0}, {lint.Place{Line: 8, Column: 17}, 0}},
	} {
		for i, x := range []*lint.Index{toml, yaml} {
			if at, indent := x.Text(strings.Fields(path)...); at != want[i].at || indent != want[i].indent {
				t.Errorf("%s in %d: got %v %d, want %v", path, i, at, indent, want[i])
			}
		}
	}
	if got := strings.Join(yaml.PathAt(lint.Place{Line: 3, Column: 3}), " "); got != "template 0 src" {
		t.Errorf("got %q at the first key of an element", got)
	}
}

func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{"{{ $x }}", "{{if}}{{else}}{{end}}", "{{ \"a\n}}", "{{/* a", "{{define \"a\"}}{{end}}{{define \"a\"}}", "{{range $i, $e := until 3}}{{break}}{{end}}", "{{- `", "{{ (a | b).c }}", "{{ split . \",\" | index 0 }}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, finding := range lint.Template(lint.Source{File: "x", Text: text, Fields: []string{"Values"}}, functions(t)) {
			if lines := strings.Count(text, "\n") + 1; finding.Line < 1 || finding.Line > lines || finding.Column < 1 || finding.Column > len(text)+1 {
				t.Errorf("%v is not in the text", finding)
			}
		}
	})
}

func FuzzIndex(f *testing.F) {
	f.Add(tomlDocument)
	f.Add(yamlDocument)
	f.Add("a: &a [*a]\n")
	f.Add("a.b.c = {a = [{b = [1]}]}\n[a.\"b\"]\n[[a.c]]\n")
	f.Fuzz(func(_ *testing.T, text string) {
		lint.IndexTOML([]byte(text)).At("a")
		lint.IndexYAML([]byte(text)).PathAt(lint.Place{Line: 1, Column: 1})
	})
}
