package render

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kconfd/kconfd/docs"
)

// helmsEngine is where the source of Helm's templates is.
func helmsEngine(t *testing.T) string {
	t.Helper()
	return filepath.Join(moduleDir(t, "../test/helm", "helm.sh/helm/v4"), "pkg", "engine")
}

// All functions that Helm adds to sprig are there, and no new one can be missed. What is
// there of sprig, [TestSprigWithoutTheImpure] says.
func TestHelmsFunctions(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(helmsEngine(t), "funcs.go"), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	ast.Inspect(file, func(n ast.Node) bool {
		list, ok := n.(*ast.CompositeLit)
		if !ok || fmt.Sprint(list.Type) != "&{template FuncMap}" {
			return true
		}
		for _, element := range list.Elts {
			name, err := strconv.Unquote(element.(*ast.KeyValueExpr).Key.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
		return true
	})
	if len(names) < 25 || !slices.Contains(names, "toYaml") || !slices.Contains(names, "durationDays") {
		t.Fatalf("found only %d functions of Helm: %v", len(names), names)
	}
	known := mustParse(t, Source{Name: "main"}).known()
	for _, name := range names {
		if name != "lookup" && !slices.Contains(known, name) { // lookup is the watcher's
			t.Errorf("there is no function %q, which Helm has", name)
		}
	}
}

// differences are pairs of sprig's and Helm's tests that kconfd has another result for,
// by what the reference says of them under "Different from Helm".
func differences() map[string][]string {
	return map[string][]string{
		"A value that is not there, printed": {
			`{{ coalesce }}`, `{{ list | first }}`, `{{ list | mustFirst }}`, `{{ list | last }}`, `{{ list | mustLast }}`,
			`{{.noValue}}`, `missingValue: {{tpl "{{.Values.noSuchKey}}" .}}`,
		},
		"`fromYaml`, `fromJson`, `fromToml`, `from…Array` of other text": {
			`{{ fromToml . }}`, `{{ fromYaml . }}`, `{{ fromJson . }}`, `{{ fromJsonArray . }}`, `{{ fromYamlArray . }}`,
		},
		"`duration…` of what is no duration": {
			`{{ durationSeconds "nope" }}`, `{{ durationSeconds "" }}`, `{{ durationSeconds "   " }}`, `{{ durationSeconds . }}`,
			`{{ durationRoundTo "93s" "nope" }}`, `{{ durationTruncateTo "93s" "nope" }}`,
		},
		"`toYaml`, `toJson`, `toToml` of what cannot be written": {`{{ toYaml . }}`, `{{ toJson . }}`},
		"`ternary` of nil": {`{{ ternary "a" "b" .nil }}`},
		"`.Chart`, `.Release`, `.Files`, `.Capabilities`, `.Template`": {
			`{{.Template.Name}}`, `{{ .Files.Get "test" }}`,
		},
	}
}

// engines are pairs of the tests of Helm's engine, whose templates are not in tables, and
// those whose data a tableReader does not understand.
func engines() []pair {
	const partials = `{{define "partial"}}original-in-partial{{end}}{{define "test"}}parent value{{end}}{{define "overlook"}}All work{{end}}` +
		`{{define "only"}}only-in-manifest{{end}}{{define "conrad"}}{{.Release.Name}} - he dead.{{end}}{{define "recursion"}}{{include "recursion" . }}{{end}}` +
		`{{define "nested"}}original{{end}}{{define "nested-outer"}}original-outer{{end}}`
	cycle := map[string]any{"foo": "bar"}
	cycle["loop"] = []any{cycle}
	values := map[string]any{
		"outer": "spouter", "inner": "inn", "global": map[string]any{"callme": "Ishmael"}, "who": "us", "bases": 2, "value": "myvalue", "empty": "",
		"partialText": `{{define "partial"}}redefined-in-tpl{{end}}tpl: {{include "partial" .}}`,
		"onlyText":    `tpl: {{include "only" .}}`,
		"nestedText": `{{define "nested"}}redefined-in-tpl{{end}}{{define "nested-outer"}}redefined-outer-in-tpl{{end}}` +
			`{{include "nested" .}} {{include "nested-outer" . }} {{tpl .Values.innerText .}} {{include "nested" .}} {{include "nested-outer" . }}`,
		"innerText": `{{define "nested"}}redefined-in-inner-tpl{{end}}{{include "nested" .}} {{include "nested-outer" . }}`,
		"fromFile":  `{{define "nested-define"}}nested-define-content{{end}}{{ .Values.function }} {{include "nested-define" .}}`, "function": "test-function",
		"mapping": map[string]any{}, "mapped": map[string]any{"password": "p"},
	}
	data := map[string]any{"Values": values, "Release": map[string]any{"Name": "Mistah Kurtz"}, "nil": nil}
	const seconds = math.MaxInt64 / int64(time.Second)
	var pairs []pair
	for text, want := range map[string]string{
		`{{.Values.outer | title }} {{.Values.inner | title}}`: "Spouter Inn",
		`{{.Values.global.callme | lower }}`:                   "ishmael",
		`{{toJson .Values.global}}`:                            `{"callme":"Ishmael"}`,
		`{{.noValue}}`:                                         "",
		`missingValue: {{tpl "{{.Values.noSuchKey}}" .}}`:      "missingValue: ",
		`{{ tpl "{{ include \"test\" . }}" . }}`:               "parent value",
		`Hello {{title .Values.who}}`:                          "Hello Us",
		`{{define "two"}}Goodbye {{upper .Value}}{{end}}{{template "two" dict "Value" "three"}}`: "Goodbye THREE",
		`{{include "conrad" . | indent 2}}`:                                                  "  Mistah Kurtz - he dead.",
		`All your base are belong to {{ required "A valid 'who' is required" .Values.who }}`: "All your base are belong to us",
		`All {{ required "A valid 'bases' is required" .Values.bases }} of them!`:            "All 2 of them!",
		`Evaluate tpl {{tpl "Value: {{ .Values.value}}" .}}`:                                 "Evaluate tpl Value: myvalue",
		`Evaluate tpl {{tpl "Value: {{ .Values.value | quote}}" .}}`:                         `Evaluate tpl Value: "myvalue"`,
		`{{ tpl "{{include \"test\" . | quote}}" .}}`:                                        `"parent value"`,
		strings.Repeat(`{{include "overlook" . }}`, 4000):                                    strings.Repeat("All work", 4000),
		`{{ tpl .Values.fromFile . }}`:                                                       "test-function nested-define-content",
		`{{tpl "" .}}`:                                                                       "",
		`{{tpl "{{ \"\"}}" .}}`:                                                              "",
		`{{tpl "{{define \"x\"}}{{end}}" .}}`:                                                "",
		`{{include "partial" .}} {{tpl .Values.partialText .}} {{include "partial" .}}`:      "original-in-partial tpl: redefined-in-tpl original-in-partial",
		`{{include "only" .}} {{tpl .Values.onlyText .}} {{include "only" .}}`:               "only-in-manifest tpl: only-in-manifest only-in-manifest",
		`{{include "nested" .}} {{tpl .Values.nestedText .}} {{include "nested" .}}`: "original redefined-in-tpl redefined-outer-in-tpl " +
			"redefined-in-inner-tpl redefined-outer-in-tpl redefined-in-tpl redefined-outer-in-tpl original",
		`{{default "happy" .Release.Nobody }} {{default "happy" .Release.Name }}`:                                              "happy Mistah Kurtz",
		`{{- if hasKey .Values.mapping "password" -}}a{{- else -}}fallback{{- end -}}`:                                         "fallback",
		`{{- if hasKey .Values.mapped "password" -}}{{- printf "subPath: %s" (index .Values.mapped "password") -}}{{- end -}}`: "subPath: p",
		`{{b64enc "coffee"}} {{b64dec "Y29mZmVl"}} {{b32enc "coffee"}} {{b32dec "MNXWMZTFMU======"}}`:                          "Y29mZmVl coffee MNXWMZTFMU====== coffee",
		`{{if empty .Values.nothing.at.all}}1{{else}}0{{end}}`:                                                                 "1",
		`{{.Template.Name}}`: "chart/templates/name", `{{ .Files.Get "test" }}`: "a file of the chart",
	} {
		pairs = append(pairs, pair{place: "engine", text: text, data: data, want: want})
	}
	for _, text := range []string{ // that Helm refuses
		`{{required "foo is required" .Values.foo}}`, `{{required ":this: message: has many: colons:" .Values.foo}}`,
		`{{ $v := "abc" }}{{- required (printf "%s: something is missing" $v) .Values.empty | repeat 0 }}`, `{{fail "something is wrong\nlinebreak"}}`,
		`All your base are belong to us{{ fail "This is an error" }}`, `{{include "recursion" . }}`, `{{ ternary "a" "b" .nil }}`,
	} {
		pairs = append(pairs, pair{place: "engine", text: text, data: data, fails: true})
	}
	for _, of := range []any{[]int{1, 2, 3}, uint64(math.MaxInt64) + 1, seconds + 1, -seconds - 2, float64(seconds) * 2, -float64(seconds) * 2, math.NaN(), math.Inf(1), math.Inf(-1)} {
		pairs = append(pairs, pair{place: "durations", text: `{{ mustToDuration . }}`, data: of, fails: true})
		pairs = append(pairs, pair{place: "durations", text: `{{ durationSeconds . }}`, data: of, want: "0"})
	}
	return append(pairs,
		pair{place: "durations", text: `{{ durationSeconds . }}`, data: 1500 * time.Millisecond, want: "1.5"},
		pair{place: "types", text: `{{typeOf .}}`, data: &missingService{}, want: "*render.missingService"},
		pair{place: "types", text: `{{kindOf .}}`, data: missingService{}, want: "struct"},
		pair{place: "types", text: `{{kindOf .}}`, data: (*missingService)(nil), want: "ptr"},
		pair{place: "types", text: `{{if typeIs "*render.missingService" .}}t{{else}}f{{end}}`, data: &missingService{}, want: "t"},
		pair{place: "types", text: `{{if typeIsLike "render.missingService" .}}t{{else}}f{{end}}`, data: &missingService{}, want: "t"},
		pair{place: "types", text: `{{if kindIs "ptr" .}}t{{else}}f{{end}}`, data: &missingService{}, want: "t"},
		pair{place: "times", text: `{{unixEpoch .Time}}`, data: map[string]any{"Time": time.Unix(1560458379, 0)}, want: "1560458379"},
		pair{place: "cycles", text: `{{ mustToYaml . }}`, data: cycle, fails: true},
		pair{place: "cycles", text: `{{ mustToJson . }}`, data: cycle, fails: true},
		pair{place: "cycles", text: `{{ toYaml . }}`, data: cycle},
		pair{place: "cycles", text: `{{ toJson . }}`, data: cycle},
		pair{place: "partials", text: partials},
	)
}

// Templates of sprig's and Helm's own tests give what they give there, or the reference
// says under "Different from Helm" what they give here, and why.
func TestTemplatesOfSprigAndHelm(t *testing.T) {
	t.Setenv("FOO", "bar")
	section, err := docs.Section("../docs/reference.md", "### Different from Helm")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, row := range docs.Rows(section) {
		documented[row[0]] = true
	}
	pairs := slices.Concat(pairsOf(t, moduleDir(t, "..", "github.com/Masterminds/sprig/v3")), pairsOf(t, helmsEngine(t)), engines())
	var passed, leftOut, different, opaque int
	found := map[string][]string{}
	for _, p := range pairs {
		err := p.check(pairs[len(pairs)-1].text)
		why, listed := reasonOf(p.text)
		switch {
		case errors.Is(err, ErrImpure):
			leftOut++
		case p.opaque:
			opaque++
			t.Logf("%s: %s: the data is computed; see engines", p.place, p.text)
		case err == nil:
			passed++
		case listed && documented[why]:
			different++
			found[why] = append(found[why], p.text)
		default:
			t.Errorf("%s: %s: %v", p.place, p.text, err)
		}
	}
	t.Logf("of %d, %d pass, %d are of functions that are left out, %d are different, %d have computed data", len(pairs), passed, leftOut, different, opaque)
	if passed < 400 {
		t.Errorf("only %d of %d pairs pass", passed, len(pairs))
	}
	for why, texts := range differences() {
		for _, text := range texts {
			if !slices.Contains(found[why], text) {
				t.Errorf("%s: %s is as in Helm", why, text)
			}
		}
		if !documented[why] {
			t.Errorf("the reference does not say %q", why)
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(differences()))); diff != "" {
		t.Errorf("-reference +test:\n%s", diff)
	}
}

func reasonOf(text string) (why string, listed bool) {
	for why, texts := range differences() {
		if slices.Contains(texts, text) {
			return why, true
		}
	}
	return "", false
}

// check runs a pair.
func (p pair) check(partials string) error {
	parsed, err := Parse(Source{Name: "main", Text: p.text, Partials: map[string]string{"_p": partials}, Funcs: map[string]any{
		"lookup": func(_, _, _, _ string) map[string]any { return map[string]any{} },
	}})
	if err != nil || p.opaque {
		return err
	}
	got, err := parsed.Execute(p.data)
	switch {
	case p.fails && err == nil:
		return fmt.Errorf("got %q, want an error", got)
	case !p.fails && err != nil:
		return err
	case !p.fails && string(got) != p.want:
		return fmt.Errorf("got %q, want %q", got, p.want)
	}
	return nil
}
