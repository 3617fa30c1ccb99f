package render

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"

	"github.com/kconfd/kconfd/internal/limits"
)

type plainElement struct {
	Name  string
	Port  int32
	Ready bool
	Named plainName
	Tags  []string
}

type plainName string

func (n plainName) String() string { return "<" + string(n) + ">" }

func (*plainElement) Address() string { return "10.0.0.1" }

// Protects the promise that a plain loop prints and fails exactly as
// text/template would have it.
func TestPlainLoopPrintsWhatTextTemplatePrints(t *testing.T) {
	one := &plainElement{Name: "a", Port: 3306, Ready: true, Named: "n", Tags: []string{"x"}}
	lists := map[string]any{
		"pointers":        []*plainElement{one, {Name: "b", Port: -1}},
		"structs":         []plainElement{*one, {Name: "<no>"}},
		"empty":           []*plainElement{},
		"nil list":        []*plainElement(nil),
		"nil":             nil,
		"a nil among":     []*plainElement{one, nil},
		"maps":            []map[string]any{{"Name": "m", "Port": 1, "Ready": "r", "Named": 1, "Tags": 2, "Address": 3}},
		"any":             []any{one, *one},
		"strings":         []string{"a"},
		"a map":           map[string]*plainElement{"k": one},
		"a number":        3,
		"not to range":    "text",
		"array":           [1]plainElement{*one},
		"pointer to list": &[]*plainElement{one},
	}
	texts := map[string]string{
		"plain":        "a {{range .L}}{{.Name}}:{{.Port}} {{.Ready}}\n{{end}}z",
		"trimmed":      "{{- range .L -}} {{.Name}} {{- end -}} z",
		"text alone":   "{{range .L}}x{{end}}",
		"empty body":   "{{range .L}}{{end}}",
		"stringer":     "{{range .L}}{{.Named}}{{end}}",
		"slice field":  "{{range .L}}{{.Tags}}{{end}}",
		"method":       "{{range .L}}{{.Address}}{{end}}",
		"no field":     "{{range .L}}\n {{.Nope}}{{end}}",
		"unexported":   "{{range .L}}{{.name}}{{end}}",
		"else":         "{{range .L}}{{.Name}}{{else}}none{{end}}",
		"variables":    "{{range $i, $e := .L}}{{$i}}{{$e.Name}}{{end}}",
		"in a branch":  "{{if .L}}{{range .L}}{{.Name}}{{end}}{{else}}{{range .L}}{{.Port}}{{end}}{{end}}",
		"in a loop":    "{{range .T}}{{range $.L}}{{.Name}}{{end}};{{end}}",
		"in with":      "{{with .L}}{{range .}}{{.Name}}{{end}}{{end}}",
		"in a define":  "{{define \"d\"}}{{range .L}}{{.Name}}{{end}}{{end}}<{{template \"d\" .}}>",
		"piped":        "{{range .L | same}}{{.Name}}{{end}}",
		"pipe fails":   "x\n{{range .L | fails}}{{.Name}}{{end}}",
		"with a break": "{{range .L}}{{.Name}}{{break}}{{end}}",
	}
	funcs := template.FuncMap{"same": func(v any) any { return v }, "fails": func(any) (any, error) { return nil, errors.New("broken") }}
	for name, text := range texts {
		for list, value := range lists {
			t.Run(name+"/"+list, func(t *testing.T) {
				data := map[string]any{"L": value, "T": []int{1, 2}}
				want, wantErr := plainly(text, funcs, data)
				wantErr = limits.FromOne(wantErr)
				parsed, err := Parse(Source{Name: "x", Text: text, Funcs: funcs})
				if err != nil {
					t.Fatal(err)
				}
				if wantErr != "" {
					wantErr = parsed.inWords(errors.New(wantErr)).Error()
				}
				for range 2 { // the second time with what the first has looked up
					got, err := parsed.Execute(data)
					if wantErr != "" {
						if err == nil || !strings.HasSuffix(asDot(err.Error()), asDot(wantErr)) {
							t.Fatalf("got error %v, want %q", err, wantErr)
						}
						continue
					}
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(want, string(got)); diff != "" {
						t.Errorf("(-want +got)\n%s", diff)
					}
				}
			})
		}
	}
}

// asDot leaves out how the list is written in an error that says it is none: a
// loop that is run by itself has it as its dot.
func asDot(message string) string {
	if !strings.Contains(message, "can't iterate over") {
		return message
	}
	return regexp.MustCompile(`at <.*?>`).ReplaceAllString(message, "at <.>")
}

// Protects includes, whose text is not the file's.
func TestPlainLoopInsideIncludeAndTpl(t *testing.T) {
	parsed, err := Parse(Source{
		Name:     "x",
		Text:     `[{{include "_p" .}}] {{tpl "{{range .}}{{.Name}}{{end}}{{include \"_p\" .}}" . | upper}} {{range .}}{{.Name}}{{end}}`,
		Partials: map[string]string{"_p": "{{range .}}{{.Name}},{{end}}"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := parsed.Execute([]plainElement{{Name: "a"}, {Name: "b"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := "[a,b,] ABA,B, ab"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// plainly is what text/template by itself makes of it.
func plainly(text string, funcs template.FuncMap, data any) (out, failure string) {
	var b strings.Builder
	err := template.Must(template.New("x").Option("missingkey=error").Funcs(funcs).Parse(text)).Execute(&b, data)
	if err != nil {
		return "", strings.TrimPrefix(err.Error(), "template: ")
	}
	if strings.Contains(b.String(), "<no value>") {
		return "", "that is not there"
	}
	return b.String(), ""
}
