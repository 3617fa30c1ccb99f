package render

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

type missingService struct {
	Name   string
	Labels map[string]string
	Pod    *missingService
}

func (s *missingService) Port(name string) (int, error) {
	if name == "none" {
		return 0, errors.New("no such port")
	}
	return len(name), nil
}

func (s *missingService) Any() any { return nil }

func missingData() map[string]any {
	return map[string]any{
		"Values": map[string]any{
			"port": 80, "zero": 0, "null": nil, "text": "text", "name": "n",
			"tls": map[string]any{"cert": "c", "null": nil}, "list": []any{1, 2}, "empty": []any{},
		},
		"strings": map[string]string{"a": "b"},
		"nilMap":  map[string]string(nil),
		"svc":     &missingService{Name: "web", Labels: map[string]string{"role": "x"}},
		"nilSvc":  (*missingService)(nil),
	}
}

// Protects what authors of Helm charts expect: a key that a template asks about may be missing.
func TestMissingKeysAskedAbout(t *testing.T) {
	partials := map[string]string{"_p": `{{ .x.y | default "p" }}{{ if .x }}yes{{ else }}no{{ end }}`}
	for text, want := range map[string]string{
		// Every function that asks.
		`{{ .Values.x | default 5 }} {{ default 5 .Values.x }} {{ default 5 (.Values.x) }}`:                          "5 5 5",
		`{{ .Values.zero | default 5 }} {{ .Values.port | default 5 }}`:                                              "5 80",
		`{{ coalesce .Values.a .Values.b "c" }} {{ .Values.port | coalesce .Values.a }}`:                             "c 80",
		`{{ empty .Values.x }} {{ .Values.x | empty }} {{ empty .Values.port }}`:                                     "true true false",
		`{{ if .Values.x }}a{{ else }}b{{ end }}`:                                                                    "b",
		`{{ if not .Values.x }}a{{ else }}b{{ end }}`:                                                                "a",
		`{{ if .Values.x | not }}a{{ else }}b{{ end }}`:                                                              "a",
		`{{ with .Values.x }}a{{ else }}b{{ end }}`:                                                                  "b",
		`{{ with .Values.x }}a{{ else with .Values.y }}b{{ else }}c{{ end }}`:                                        "c",
		`{{ if .Values.x }}a{{ else if .Values.y.z }}b{{ else if .Values.tls.cert }}c{{ end }}`:                      "c",
		`{{ if and .Values.port .Values.x.y }}a{{ else }}b{{ end }}`:                                                 "b",
		`{{ if or .Values.x .Values.x.y .Values.port }}a{{ else }}b{{ end }}`:                                        "a",
		`{{ or .Values.x "d" }} {{ or .Values.x .Values.port }} {{ and .Values.port "e" }}`:                          "d 80 e",
		`{{ ternary "a" "b" .Values.x }} {{ .Values.x | ternary "a" "b" }}`:                                          "b b",
		`{{ ternary .Values.x "b" false }} {{ true | ternary "a" .Values.x }}`:                                       "b a",
		`{{ hasKey .Values.x "a" }} {{ hasKey .Values.tls "cert" }} {{ hasKey .Values "x" }}`:                        "false true false",
		`{{ get .Values.x "a" | quote }} {{ get .Values.tls "cert" }}`:                                               `"" c`,
		`{{ dig "a" "b" "d" .Values.x }} {{ .Values.x | dig "a" "d" }} {{ dig "tls" "cert" "d" .Values }}`:           "d d c",
		`{{ dig "null" "b" "d" .Values }} {{ dig "cert" .Values.x .Values.tls }}`:                                    "d c",
		`{{ kindIs "invalid" .Values.x }} {{ .Values.x | kindIs "map" }} {{ kindIs "int" .Values.port }}`:            "true false true",
		`{{ typeIs "int" .Values.x }} {{ .Values.port | typeIs "int" }} {{ typeIs "<nil>" .Values.x }}`:              "false true true",
		`{{ kindOf .Values.x }} {{ .Values.x | typeOf }} {{ kindOf .Values.port }} {{ typeIsLike "int" .Values.x }}`: "invalid <nil> int false",
		`{{ all .Values.port .Values.x }} {{ any .Values.x .Values.port }}`:                                          "false true",
		`{{ range .Values.x }}a{{ else }}b{{ end }}`:                                                                 "b",
		`{{ range $i, $e := .Values.x.y }}a{{ else }}b{{ end }}`:                                                     "b",
		`{{ range .Values.list }}{{ . }}{{ else }}b{{ end }}`:                                                        "12",
		`{{ required "no" .Values.port }} {{ .Values.port | required "no" }}`:                                        "80 80",

		// Any depth, however it is written.
		`{{ .Values.a.b.c.d | default 1 }} {{ .Values.tls.a.b | default 2 }} {{ .Values.null.a | default 3 }}`:                       "1 2 3",
		`{{ ((.Values.a).b).c | default 1 }} {{ (.Values.tls).x | default 2 }} {{ default 3 ((.Values.a).b) }}`:                      "1 2 3",
		`{{ $.Values.a.b | default 1 }} {{ with .Values }}{{ .a.b | default 2 }}{{ $.Values.x | default 3 }}{{ end }}`:               "1 23",
		`{{ .x | default 1 }} {{ .x.y | default 2 }}`:                                                                                "1 2",
		`{{ if eq (.Values.a.b | default 1) 1 }}a{{ end }}`:                                                                          "a",
		`{{ .Values.a | default .Values.b | default .Values.c.d | default 4 }}`:                                                      "4",
		`{{ .Values.a | default (.Values.b | default (default 5 .Values.c)) | quote }}`:                                              `"5"`,
		`{{ (.Values.a | default dict).b | default 6 }} {{ (get .Values "tls").x | default 7 }}`:                                     "6 7",
		`{{ (fromYaml "a: {b: null}").a.b.c | default 8 }} {{ (fromJson "{}").x | default 9 }}`:                                      "8 9",
		`{{ (dict).a.b | default 1 }} {{ (index .Values.list 0) | default 2 }}`:                                                      "1 1",
		`{{ index .Values "a" "b" | default 1 }} {{ index .Values.x "b" | default 2 }} {{ index .Values "tls" "cert" | default 3 }}`: "1 2 c",
		`{{ if index .Values "a" "b" "c" }}a{{ else }}b{{ end }} {{ index .Values.list 1 | default 3 }}`:                             "b 2",
		`{{ .strings.x | default 1 }} {{ .strings.a | default 2 }} {{ .nilMap.x | default 3 }}`:                                      "1 b 3",

		// Structs and methods.
		`{{ .svc.Labels.x | default 1 }} {{ .svc.Labels.role | default 2 }} {{ .svc.Name | default 3 }}`:                       "1 x web",
		`{{ .svc.Pod.Labels.x | default 1 }} {{ .nilSvc.Name | default 2 }} {{ .svc.Any.x | default 3 }}`:                      "1 2 3",
		`{{ if .svc.Port "http" }}a{{ end }} {{ .svc.Port "http" | default 9 }} {{ if .no.Port "http" }}a{{ else }}b{{ end }}`: "a 4 b",
		`{{ default 1 (.no.svc.Port "http") }} {{ default 1 (.svc.Port (.Values.x | default "ab")) }}`:                         "1 2",
		`{{ $s := .svc }}{{ $s.Port "http" | default 9 }} {{ $s.Pod.Pod.Port "http" | default 9 }}`:                            "4 9",

		// Variables.
		`{{ $x := .Values.x }}{{ $x | default 1 }} {{ if $x }}{{ $x }}{{ else }}b{{ end }}`:     "1 b",
		`{{ $x := .Values.port }}{{ if $x }}{{ $x }}{{ end }} {{ $x }} {{ quote $x }}`:          `80 80 "80"`,
		`{{ $x := .Values.x }}{{ $x.a.b | default 1 }} {{ with $x.c }}a{{ else }}b{{ end }}`:    "1 b",
		`{{ $x := .Values.x }}{{ $y := $x }}{{ $z := ($y) }}{{ if $z.a }}a{{ else }}b{{ end }}`: "b",
		`{{ $x := 1 }}{{ if true }}{{ $x = .Values.x }}{{ end }}{{ $x | default 2 }}`:           "2",
		`{{ $x := .Values.x | default .Values.y }}{{ $x | default 2 }}`:                         "2",
		`{{ with $x := .Values.x }}a{{ else }}{{ $x | default 1 }}{{ end }}`:                    "1",
		`{{ if $x := .Values.tls }}{{ $x.cert }}{{ toJson $x }}{{ end }}`:                       `c{"cert":"c","null":null}`,
		`{{ $v := .Values }}{{ $v.tls.cert }} {{ $v.x | default 1 }} {{ $v.port }}`:             "c 1 80",
		`{{ $x := index .Values "a" "b" }}{{ $x | default 1 }}`:                                 "1",

		// As charts have them.
		`{{ .Values.x | default 5 | int }} {{ if ne (.a | default 1 | int) 2 }}a{{ end }} {{ if .Values.on | default true }}b{{ end }}`:                            "5 a b",
		`{{ if and (not .a) (.b.c | not) }}a{{ end }}{{ if or (eq (.a | default "") "x") .b.c }}b{{ else }}c{{ end }}`:                                             "ac",
		`{{ with (.a | default dict).b }}a{{ else }}b{{ end }} {{ (.a | default (dict "b" 1)).b }} {{ (.Values.tls | default dict).cert }}`:                        "b 1 c",
		`{{ if hasKey (.a | default dict) "x" }}a{{ else }}b{{ end }} {{ if not (hasKey .a "y") }}c{{ end }} {{ get (.a) "x" | quote }}`:                           `b c ""`,
		`{{ range .a | default (list 1 2) }}{{ . }}{{ end }} {{ range (.a | default list) }}{{ . }}{{ end }}{{ range tuple 1 }}{{ . }}{{ end }}`:                   "12 1",
		`{{ empty (index .Values "a" "b") }} {{ .Values.x | empty | not }} {{ not (empty .Values.x) }}`:                                                            "true false false",
		`{{ list (.a | default 1) (.b.c | default 2) | join "," }} {{ include "_p" (dict "x" (.a | default "z" | dict "y")) }}`:                                    "1,2 zyes",
		`{{ $a := .Values.x | default 3 }}{{ $a }} {{ $b := dict "k" (coalesce .a .b "c") }}{{ $b.k }} {{ with .a.b.c }}no{{ end }}`:                               "3 c ",
		`{{ range $k, $v := .Values.tls | default .a }}{{ $k }}{{ end }} {{ range $i, $e := list dict nil }}{{ $e.x | default $i }}{{ break }}{{ else }}{{ end }}`: "certnull 0",

		// Other templates.
		`{{ define "d" }}{{ .x.y | default 1 }}{{ end }}{{ include "d" . }}{{ template "d" .Values }}`: "11",
		`{{ include "_p" . }} {{ template "_p" dict "x" (dict "y" 1) }}`:                               "pno 1yes",
		`{{ tpl "{{ .Values.x.y | default 1 }}{{ if .x }}a{{ end }}{{ include \"_p\" . }}" . }}`:       "1pno",
		`{{ tpl "{{ $x := .Values.x }}{{ $x | default 1 }}{{ tpl .Values.text . }}" . }}`:              "1text",

		// What is nil and not missing is as it was.
		`{{ toJson (.Values.null | default .Values.x | default nil) }}`: "null",
		`{{ .Values.x | default .Values.null | toJson }}`:               "null",
		`{{ $x := .Values.null }}{{ if $x }}a{{ end }}{{ toJson $x }}`:  "null",
	} {
		t.Run(text, func(t *testing.T) {
			parsed := mustParse(t, Source{Name: "main", Text: text, Partials: partials})
			for range 3 { // each run after the first begins with what that has found out
				got, err := parsed.Execute(missingData())
				if err != nil {
					t.Fatal(err)
				}
				if string(got) != want {
					t.Fatalf("got %q, want %q", got, want)
				}
			}
		})
	}
}

// Protects files from keys that are misspelt: a missing key that is printed, or passed to
// what does not ask, is an error that says where and which.
func TestMissingKeysUsed(t *testing.T) {
	for text, want := range map[string]string{
		"\n{{ .Values.x }}":                                         `2:11: executing "main" at <.Values.x>: map has no entry for key "x"`,
		"\n {{ quote .Values.x }}":                                  `2:18: executing "main" at <.Values.x>: map has no entry for key "x"`,
		"{{ .Values.x | quote }}":                                   `1:11: executing "main" at <.Values.x>: map has no entry for key "x"`,
		"{{ .Values.x | quote | default 5 }}":                       `1:11: executing "main" at <.Values.x>: map has no entry for key "x"`,
		"{{ if eq .Values.x 1 }}{{ end }}":                          `1:17: executing "main" at <.Values.x>: map has no entry for key "x"`,
		"{{ if .Values.x | quote }}{{ end }}":                       `1:14: executing "main" at <.Values.x>: map has no entry for key "x"`,
		"{{ range .Values.x }}{{ end }}":                            `1:17: executing "main" at <.Values.x>: map has no entry for key "x"`,
		"{{ required .Values.x .Values.port }}":                     `1:20: executing "main" at <.Values.x>: map has no entry for key "x"`,
		"{{ hasKey .Values .Values.x }}":                            `1:26: executing "main" at <.Values.x>: map has no entry for key "x"`,
		"{{ include \"main\" .Values.x }}":                          `1:26: executing "main" at <.Values.x>: map has no entry for key "x"`,
		"{{ template \"d\" .Values.x }}{{ define \"d\" }}{{ end }}": `1:24: executing "main" at <.Values.x>: map has no entry for key "x"`,
		"{{ dict \"a\" .Values.x }}":                                `1:20: executing "main" at <.Values.x>: map has no entry for key "x"`,
		"{{ index .Values.x \"a\" }}":                               `1:17: executing "main" at <.Values.x>: map has no entry for key "x"`,
		"{{ (index .Values \"a\" \"b\") }}":                         `1:5: executing "main" at <index .Values "a" "b">: error calling index: index of nil pointer`,
		"{{ if .Values.y }}{{ end }}{{ .Values.x }}":                `1:38: executing "main" at <.Values.x>: map has no entry for key "x"`,

		// The value of a function that asks.
		"{{ .Values.x | default .Values.y }}":                `1:16: executing "main" at <.Values.x | default .Values.y>: map has no entry for key "y"`,
		"{{ default .Values.y .Values.x | quote }}":          `1:4: executing "main" at <default .Values.y .Values.x>: map has no entry for key "y"`,
		"{{ quote (default .Values.y .Values.x) }}":          `1:11: executing "main" at <default .Values.y .Values.x>: map has no entry for key "y"`,
		"{{ coalesce .Values.x .Values.y }}":                 `1:4: executing "main" at <coalesce .Values.x .Values.y>: map has no entry for key "x"`,
		"{{ and .Values.x 1 }}":                              `1:4: executing "main" at <and .Values.x 1>: map has no entry for key "x"`,
		"{{ or 0 .Values.x }}":                               `1:4: executing "main" at <or 0 .Values.x>: map has no entry for key "x"`,
		"{{ ternary .Values.x 1 true }}":                     `1:4: executing "main" at <ternary .Values.x 1 true>: map has no entry for key "x"`,
		"{{ dig \"a\" .Values.x .Values }}":                  `1:4: executing "main" at <dig "a" .Values.x .Values>: map has no entry for key "x"`,
		"{{ range .Values.x | default .Values.y }}{{ end }}": `1:22: executing "main" at <.Values.x | default .Values.y>: map has no entry for key "y"`,

		// Variables.
		"{{ $x := .Values.x }}":                                                  `1:17: executing "main" at <.Values.x>: map has no entry for key "x"`,
		"{{ $x := .Values.x }}{{ if $x }}{{ end }}{{ $x }}":                      `1:45: executing "main" at <$x>: map has no entry for key "x"`,
		"{{ $x := .Values.x }}{{ if $x }}{{ end }}\n{{ quote $x }}":              `2:10: executing "main" at <$x>: map has no entry for key "x"`,
		"{{ $x := .Values.x }}{{ if $x }}{{ end }}{{ $x.y.z }}":                  `1:47: executing "main" at <$x>: map has no entry for key "x"`,
		"{{ $x := .Values.x }}{{ $y := $x }}{{ if $x }}{{ end }}":                `1:31: executing "main" at <$x>: map has no entry for key "x"`,
		"{{ $x := .Values.x }}{{ $y := $x }}{{ if $y }}{{ end }}{{ toJson $y }}": `1:66: executing "main" at <$y>: map has no entry for key "x"`,
		"{{ with $x := .Values.x }}{{ else }}{{ $x | toJson }}{{ end }}":         `1:40: executing "main" at <$x>: map has no entry for key "x"`,

		"{{ if ($x := .Values.x) }}{{ else }}{{ toJson $x }}{{ end }}": `1:47: executing "main" at <$x>: map has no entry for key "x"`,
		"{{ $y := ($x := .Values.x) }}{{ if $y }}{{ end }}{{ $x }}":    `1:53: executing "main" at <$x>: map has no entry for key "x"`,
		"{{ quote ($x := .Values.x) }}{{ if $x }}{{ end }}":            `1:24: executing "main" at <.Values.x>: map has no entry for key "x"`,
		"{{ $x := 1 }}{{ if $x = .Values.x }}{{ end }}{{ $x }}":        `1:49: executing "main" at <$x>: map has no entry for key "x"`,

		// What is no key.
		"{{ .svc.Nope | default 1 }}":                                      `1:8: executing "main" at <.svc.Nope>: the value has no field .Nope`,
		"{{ if .svc.Pod.Nope }}{{ end }}":                                  `1:11: executing "main" at <.svc.Pod.Nope>: one missingService has no field .Nope`,
		"{{ .Values.text.a | default 1 }}":                                 `1:11: executing "main" at <.Values.text.a>: the value has no field .a`,
		"{{ .Values.port.a.b | default 1 }}":                               `1:11: executing "main" at <.Values.port.a.b>: the value has no field .a`,
		"{{ .svc.Port | default 1 }}":                                      `1:8: executing "main" at <.svc.Port>: wrong number of args for Port: want 1 got 0`,
		"{{ default 1 (.svc.Port \"none\") }}":                             `1:19: executing "main" at <.svc.Port>: error calling Port: no such port`,
		"{{ default 1 (.svc.Port 1) }}":                                    `expected string`,
		"{{ default 1 (.Values.x.y 1) }}{{ default 1 (.Values.tls.x 1) }}": `x is not a method but has arguments`,
		"{{ ternary 1 2 .Values.text }}":                                   `1:4: executing "main" at <ternary 1 2 .Values.text>: error calling ternary: want true or false, not string`,
		"{{ hasKey .Values.text \"a\" }}":                                  `1:4: executing "main" at <hasKey .Values.text "a">: error calling hasKey: want a map, not string`,

		// Errors behind a missing key that is asked about are in the author's words.
		"{{ if .Values.x }}{{ end }}{{ ternary (.Values.a | default 1) $.Values.b.c .Values.text }}":                 `1:31: executing "main" at <ternary (.Values.a | default 1) $.Values.b.c .Values.text>: error calling ternary: want true or false, not string`,
		"{{ if .Values.x }}{{ end }}{{ ternary ((.Values.a).b) (fromYaml \"a: 1\").d .Values.text }}":                `at <ternary ((.Values.a).b) (fromYaml "a: 1").d .Values.text>`,
		"{{ if .Values.x }}{{ end }}{{ ternary (index .Values.a \"b\" | default 1) (.no.Port \"x\") .Values.text }}": `at <ternary (index .Values.a "b" | default 1) (.no.Port "x") .Values.text>`,
		"{{ if .Values.x }}{{ end }}{{ include \"_p\" . }}":                                                          `1:31: executing "main" at <include "_p" .>: error calling include: template: _p:1:8: executing "_p" at <.svc.Nope>: the value has no field .Nope`,
		"{{ tpl \"{{ .Values.x | default .Values.y }}\" . }}":                                                        `error calling tpl: template: tpl:1:16: executing "tpl" at <.Values.x | default .Values.y>: map has no entry for key "y"`,
	} {
		t.Run(text, func(t *testing.T) {
			parsed := mustParse(t, Source{Name: "main", Text: text, Partials: map[string]string{"_p": "{{ .svc.Nope | default 1 }}"}})
			for range 2 {
				_, err := parsed.Execute(missingData())
				var held *HeldError
				if err == nil || errors.As(err, &held) || !strings.Contains(err.Error(), want) || strings.HasPrefix(want, "1") && err.Error() != `rendering "main": main:`+want {
					t.Errorf("got  %v\nwant %s", err, want)
				}
				if regexp.MustCompile(`\b_(ask|sure|index)`).MatchString(fmt.Sprint(err)) {
					t.Errorf("got %v, want it in the author's words", err)
				}
			}
		})
	}
}

// The author's message of required is not lost.
func TestMissingKeysRequired(t *testing.T) {
	for _, text := range []string{
		`{{ required "set x" .Values.x }}`, `{{ .Values.x | required "set x" }}`, `{{ required "set x" .Values.x.y.z }}`,
		`{{ $x := .Values.x }}{{ required "set x" $x }}`, `{{ required "set x" (.Values.x | default .Values.y) }}`,
		`{{ required "set x" (coalesce .Values.x .Values.y) | quote }}`, `{{ tpl "{{ required \"set x\" .Values.x }}" . }}`,
		`{{ define "d" }}{{ required "set x" .Values.x }}{{ end }}{{ include "d" . }}`, `{{ required "set x" (.no.Port "http") }}`,
		`{{ if required "set x" .Values.x }}{{ end }}`, `{{ range required "set x" .Values.x }}{{ end }}`,
	} {
		t.Run(text, func(t *testing.T) {
			_, err := mustParse(t, Source{Name: "main", Text: text}).Execute(missingData())
			var held *HeldError
			if !errors.As(err, &held) || held.Reason != "set x" {
				t.Errorf("got error %v, want it held", err)
			}
		})
	}
}

// A template that is run again changes its data no second time.
func TestMissingKeysWithChanges(t *testing.T) {
	for _, text := range []string{
		`{{ $_ := set .Values "zero" (add .Values.zero 1) }}{{ .Values.x | default .Values.zero }}`,
		`{{ $_ := mergeOverwrite .Values (dict "zero" (add .Values.zero 1)) }}{{ .Values.x | default .Values.zero }}`,
		`{{ tpl "{{ $_ := set .Values \"zero\" (add .Values.zero 1) }}" . }}{{ .Values.x | default .Values.zero }}`,
		`{{ define "d" }}{{ $_ := set .Values "zero" (add .Values.zero 1) }}{{ end }}{{ include "d" . }}{{ .Values.x | default .Values.zero }}`,
	} {
		if got := mustRender(t, text, missingData()); got != "1" {
			t.Errorf("%s: got %s, want 1", text, got)
		}
	}
}

// A template is run with whatever data there come to be.
func TestMissingKeysComeAndGo(t *testing.T) {
	parsed := mustParse(t, Source{Name: "main", Text: `{{ .x | default "none" }}{{ if .y.z }} {{ .y.z }}{{ end }}`})
	for i, step := range []struct {
		data map[string]any
		want string // "" for an error
	}{
		{map[string]any{"x": 1, "y": map[string]any{"z": 2}}, "1 2"},
		{map[string]any{"y": map[string]any{"z": 2}}, "none 2"},
		{map[string]any{"x": 1}, "1"},
		{map[string]any{}, "none"},
		{map[string]any{"y": 5}, ""},
		{map[string]any{"x": 1, "y": map[string]any{"z": 2}}, "1 2"},
		{map[string]any{"x": 3, "y": map[string]any{"z": 2}}, "3 2"},
		{map[string]any{"x": 1, "y": 5}, ""},
		{nil, "none"},
	} {
		got, err := parsed.Execute(step.data)
		if string(got) != step.want || (err == nil) != (step.want != "") {
			t.Errorf("run %d: got %q and error %v, want %q", i+1, got, err, step.want)
		}
	}
}

// What a function or a method reports is found in the error, and Again gives what Execute does.
func TestMissingKeysOfFunctions(t *testing.T) {
	broken := errors.New("broken")
	source := Source{Name: "main", Text: `{{ if .no }}{{ end }}{{ self.Labels.x | default "a" }} {{ self.Labels.role }} {{ if self.Pod.Name }}b{{ end }}`, Funcs: map[string]any{
		"self":   func() *missingService { return &missingService{Labels: map[string]string{"role": "x"}} },
		"broken": func() (map[string]string, error) { return nil, broken },
	}}
	parsed := mustParse(t, source)
	for _, run := range []func(any) ([]byte, error){parsed.Execute, parsed.Again, parsed.Execute} {
		if got, err := run(missingData()); string(got) != "a x " || err != nil {
			t.Errorf("got %q and error %v", got, err)
		}
	}
	source.Text = `{{ if .no }}{{ end }}{{ broken.x | default "a" }}`
	_, err := mustParse(t, source).Execute(missingData())
	if want := `rendering "main": main:1:25: executing "main" at <broken>: error calling broken: broken`; fmt.Sprint(err) != want || !errors.Is(err, broken) {
		t.Errorf("got error %v, want %s", err, want)
	}
}
