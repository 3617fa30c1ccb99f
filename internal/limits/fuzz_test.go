package limits

import (
	"testing"
	"text/template/parse"
)

// Whatever the parser takes, the scanner has found to be nested as deep, or
// deeper: else the parser could be made to use all of the stack.
func FuzzNesting(f *testing.F) {
	for _, text := range []string{
		"", "x", "{{if 1}}{{if 1}}{{end}}{{end}}", "{{if 1}}{{else if 2}}{{else}}{{with 1}}{{end}}{{end}}", "{{- with 1 -}}{{- else with 2 -}}{{- end -}}",
		"{{range (((.)))}}{{end}}", `{{print "(" (print ")}}") '(' (print 1)}}`, "{{print `(\n}}` (((1)))}}", "{{/* {{if 1}} */}}{{if 1}}{{end}}", "{{- /* {{if 1}} */ -}}",
		`{{define "a"}}{{block "b" .}}{{if 1}}{{end}}{{end}}{{end}}`, "{{(1).a}}", "{{if\n1}}{{end}}", "{{if(1)}}{{end}}", "{{else", "{{", "{{\"\\", "{{'", "{{`", "{{/*", "{{-", "{{- /*",
		`{{"\"("}}{{(print "\\")}}`, "{{ if 1 }}\n{{ end }}", "{{ else if 1}}", "{{ 'x' | print (1) }}", "{{$x := (1)}}{{$x}}", "{{break}}{{range 1}}{{break}}{{end}}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := scanner{text: text, left: "{{", right: "}}"}
		for s.action() {
		}
		tree, trees := parse.New("x"), map[string]*parse.Tree{}
		tree.Mode = parse.SkipFuncCheck
		if _, err := tree.Parse(text, "", "", trees); err != nil {
			return
		}
		for name, tree := range trees {
			n := &mounter{meter: NewMeter(Limits{}), tree: tree, mine: new([]*byte)}
			n.list(tree.Root, 0)
			if n.deepest > s.deepest {
				t.Errorf("template %q is nested %d deep, and the scanner found %d", name, n.deepest, s.deepest)
			}
		}
	})
}
