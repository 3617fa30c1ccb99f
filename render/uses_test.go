package render

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// callsOf writes calls as they would be in a template, with a dot for an
// argument that is computed.
func callsOf(parsed *Template) []string {
	var calls []string
	for _, c := range parsed.AllCalls() {
		call := []string{c.Function}
		for _, arg := range c.Args {
			if arg == nil {
				call = append(call, ".")
			} else {
				call = append(call, `"`+*arg+`"`)
			}
		}
		calls = append(calls, strings.Join(call, " "))
	}
	return calls
}

// Protects the Role that is made of the calls: one that is not seen is a
// permission that is missing, once its branch is taken.
func TestAllCalls(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"none":             {"text {{ .a }} {{ $.b }}", nil},
		"a literal":        {`{{ secret "db" }}`, []string{`secret "db"`}},
		"computed":         {`{{ secret .name "ns" }}`, []string{`secret . "ns"`}},
		"in backquotes":    {"{{ secret `db` }}", []string{`secret "db"`}},
		"a number":         {`{{ atLeast 3 .l }}`, []string{"atLeast . ."}},
		"without argument": {`{{ self }}`, []string{"self"}},
		"before a field":   {`{{ self.Name }}{{ (self).Node }}`, []string{"self", "self"}},
		"as an argument":   {`{{ hostPort self 80 }}`, []string{"hostPort . .", "self"}},
		"in a field's":     {`{{ printf "%s" self.Name }}`, []string{`printf "%s" .`, "self"}},
		"in brackets":      {`{{ get (secret "db") "k" }}{{ (secret "x").k }}`, []string{`get . "k"`, `secret "db"`, `secret "x"`}},
		"in a pipeline":    {`{{ "db" | secret | toYaml }}`, []string{"secret", "toYaml"}},
		"in a variable":    {`{{ $s := secret "db" }}{{ $s = configMap "c" }}`, []string{`secret "db"`, `configMap "c"`}},
		"in if":            {`{{if secret "a"}}{{secret "b"}}{{else if secret "c"}}{{secret "d"}}{{else}}{{secret "e"}}{{end}}`, []string{`secret "a"`, `secret "b"`, `secret "c"`, `secret "d"`, `secret "e"`}},
		"in range":         {`{{range $i, $p := pods "a"}}{{secret "b"}}{{break}}{{continue}}{{else}}{{secret "c"}}{{end}}`, []string{`pods "a"`, `secret "b"`, `secret "c"`}},
		"in with":          {`{{with secret "a"}}{{secret "b"}}{{else with secret "c"}}{{secret "d"}}{{end}}`, []string{`secret "a"`, `secret "b"`, `secret "c"`, `secret "d"`}},
		"in a plain loop":  {`{{range endpoints "web"}}{{.Address}}{{end}}`, []string{`endpoints "web"`}},
		"in include":       {`{{include "_p" (secret "a")}}`, []string{`include "_p" .`, `secret "a"`}},
		"in template":      {`{{template "_p" secret "a"}}`, []string{`secret "a"`}},
		"in define":        {`{{define "d"}}{{secret "b"}}{{end}}{{secret "a"}}`, []string{`secret "a"`, `secret "b"`}},
		"in block":         {`{{block "d" secret "a"}}{{secret "b"}}{{end}}`, []string{`secret "a"`, `secret "b"`}},
		"in and":           {`{{if and (secret "a") (not (secret "b"))}}{{end}}`, []string{"and . .", `secret "a"`, "not .", `secret "b"`}},
		"in a comment":     {`{{/* secret "a" */}}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			parsed := mustParse(t, Source{Name: "main", Text: test.text, Funcs: readers(), Partials: map[string]string{"_p": "p"}})
			if diff := cmp.Diff(test.want, callsOf(parsed)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// The partials' calls are in it, and the order is the same at every start.
func TestAllCallsOfPartials(t *testing.T) {
	src := Source{
		Name: "main", Text: `{{include "_b" .}}{{define "main d"}}{{secret "d"}}{{end}}{{secret "m"}}`, Funcs: readers(),
		Partials: map[string]string{
			"_c": `{{secret "c"}}`,
			"_a": `{{define "z"}}{{secret "a1"}}{{end}}{{define "b"}}{{secret "a2"}}{{end}}`,
			"_b": `{{secret "b"}}`,
		},
	}
	want := []string{`secret "a1"`, `secret "a2"`, `secret "b"`, `secret "c"`, `include "_b" .`, `secret "m"`, `secret "d"`}
	for range 20 {
		if diff := cmp.Diff(want, callsOf(mustParse(t, src))); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	}
}

// What a template cannot come to is in partials that it does not include, by whatever
// way.
func TestUsedCalls(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want bool // the partial _b is used, and what that includes, and its secret
	}{
		"nothing":            {`x`, false},
		"another":            {`{{include "_c" .}}`, false},
		"include":            {`{{include "_b" .}}`, true},
		"template":           {`{{template "_b" .}}`, true},
		"by another":         {`{{template "_a" .}}`, true},
		"by a definition":    {`{{define "d"}}{{template "_a" .}}{{end}}{{template "d"}}`, true},
		"by one not used":    {`{{define "d"}}{{template "_a" .}}{{end}}`, false},
		"in a branch":        {`{{if .x}}{{else}}{{template "_a" .}}{{end}}`, true},
		"computed":           {`{{include (print "_" "b") .}}`, true},
		"behind a pipe":      {`{{"_b" | include}}`, true},
		"a text":             {`{{tpl .x .}}`, true},
		"in a loop":          {`{{range .x}}{{include "_b" .}}{{end}}`, true},
		"in a plain loop":    {`{{range secret "s"}}{{.A}}{{end}}`, true},
		"itself, and others": {`{{define "d"}}{{template "d"}}{{template "_b"}}{{end}}{{template "d"}}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			parsed := mustParse(t, Source{Name: "main", Text: test.text, Funcs: readers(), Partials: map[string]string{
				"_a": `{{include "_b" .}}`, "_b": `{{with secret "s"}}{{end}}`, "_c": `{{with service "s"}}{{end}}`,
			}})
			got := slices.ContainsFunc(parsed.UsedCalls(), func(c Call) bool { return c.Function == "secret" })
			if got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestCalls(t *testing.T) {
	parsed := mustParse(t, Source{
		Name: "main", Text: `{{if false}}{{with .x}}{{ self.Name }}{{end}}{{end}} pods {{ .nodes }}`, Funcs: readers(),
		Partials: map[string]string{"_p": `{{ secret "a" | toYaml }}`},
	})
	for function, want := range map[string]bool{"self": true, "secret": true, "toYaml": true, "pods": false, "nodes": false, "x": false} {
		if got := parsed.Calls(function); got != want {
			t.Errorf("%s: got %v, want %v", function, got, want)
		}
	}
}

func TestFields(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"none":            {`{{ . }}{{ $ }}{{ "x.y" }}`, nil},
		"of dot":          {`{{ .A.B }}`, []string{"A", "B"}},
		"of a variable":   {`{{ $x := .A }}{{ $x.B.C }}{{ $.D }}`, []string{"A", "B", "C", "D"}},
		"of a call":       {`{{ (service "x").Endpoints.A }}{{ self.B }}`, []string{"A", "B", "Endpoints"}},
		"in branches":     {`{{if .A}}{{.B}}{{else}}{{.C}}{{end}}{{with .D}}{{.E}}{{end}}`, []string{"A", "B", "C", "D", "E"}},
		"in loops":        {`{{range .A}}{{.B}}{{end}}{{range $i, $e := .C}}{{$e.D}}{{else}}{{.E}}{{end}}`, []string{"A", "B", "C", "D", "E"}},
		"as an argument":  {`{{ printf "%s" .A (.B | quote) }}`, []string{"A", "B"}},
		"in definitions":  {`{{define "d"}}{{.A}}{{end}}{{template "d" .B}}`, []string{"A", "B"}},
		"in partials":     {`{{include "_p" .A}}`, []string{"A", "Partial"}},
		"called a method": {`{{ .Port "http" }}`, []string{"Port"}},
	} {
		t.Run(name, func(t *testing.T) {
			src := Source{Name: "main", Text: test.text, Funcs: readers()}
			if name == "in partials" {
				src.Partials = map[string]string{"_p": "{{.Partial}}"}
			}
			want := map[string]bool{}
			for _, field := range test.want {
				want[field] = true
			}
			if diff := cmp.Diff(want, mustParse(t, src).Fields()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// readers are functions with the names of those that read a cluster.
func readers() map[string]any {
	reads := func(...any) map[string]any { return nil }
	return map[string]any{
		"configMap": reads, "endpoints": reads, "pods": reads, "secret": reads, "self": reads, "service": reads,
	}
}
