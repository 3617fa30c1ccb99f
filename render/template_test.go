package render

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kconfd/kconfd/internal/limits"
)

// Protects the reader of an error: it says where.
func TestParseErrors(t *testing.T) {
	for name, test := range map[string]struct {
		src  Source
		want string
	}{
		"unknown function":     {Source{Text: "a\n  {{ nope }}"}, `main:2:6: there is no function "nope"`},
		"in a pipeline":        {Source{Text: "{{ .a | quote | nope }}"}, `main:1:17: there is no function "nope"`},
		"as an argument":       {Source{Text: "{{ printf \"%s\" nope }}"}, `main:1:16: there is no function "nope"`},
		"with a field":         {Source{Text: "{{ nope.Name }}"}, `main:1:4: there is no function "nope"`},
		"the word elsewhere":   {Source{Text: `nope {{/* nope */}}{{ .nope }}{{ "nope" }}{{ nope }}`}, `main:1:46: there is no function "nope"`},
		"the first of two":     {Source{Text: "{{if true}}\n{{nope}} {{nope}}{{end}}"}, `main:2:3: there is no function "nope"`},
		"letters of others":    {Source{Text: "{{ größe }}"}, `main:1:4: there is no function "größe"`},
		"in a define":          {Source{Text: "{{define \"d\"}}\n {{nope}}{{end}}"}, `main:2:4: there is no function "nope"`},
		"own delimiters":       {Source{Text: "{{nope}}\n<< nope >>", Left: "<<", Right: ">>"}, `main:2:4: there is no function "nope"`},
		"in a partial":         {Source{Text: "a", Partials: map[string]string{"_p.tmpl": "\n\n{{nope}}"}}, `_p.tmpl:3:3: there is no function "nope"`},
		"impure":               {Source{Text: "now: {{ now }}"}, `main:1:9: function "now" is left out: it would give another result at every render, and so a reload for nothing`},
		"impure in a partial":  {Source{Partials: map[string]string{"_p.tmpl": "{{ 3 | randAlpha }}"}}, `_p.tmpl:1:8: function "randAlpha" is left out: it would give another result at every render, and so a reload for nothing`},
		"broken besides":       {Source{Text: "a {{ nope }}\n{{if}}"}, `main:1:1: there is no function "nope"`},
		"not closed":           {Source{Text: "a\n{{ .a"}, `main:2: unclosed action`},
		"no end":               {Source{Text: "{{if true}}\n"}, `main:2: unexpected EOF`},
		"a partial without it": {Source{Text: "a", Partials: map[string]string{"_a.tmpl": "", "_p.tmpl": "\n{{range .}}"}}, `_p.tmpl:2: unexpected EOF`},
		"no such partial":      {Source{Text: `{{ if false }}{{ include "nope" . }}{{ end }}`}, `main: there is no template "nope" to include`},
		"no such template":     {Source{Text: `{{ if false }}{{ template "nope" . }}{{ end }}`}, `main: there is no template "nope" to include`},
		"two broken partials":  {Source{Partials: map[string]string{"_a.tmpl": "{{if}}", "_b.tmpl": "{{if}}", "_c.tmpl": "{{if}}"}}, `_a.tmpl:1: missing value for if`},
	} {
		t.Run(name, func(t *testing.T) {
			test.src.Name = "main"
			_, err := Parse(test.src)
			if got, want := fmt.Sprint(err), "parsing template: "+test.want; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestUnknownFunctionSaysWhatMayBeMeant(t *testing.T) {
	for function, similar := range map[string]string{
		"requird":   "required",
		"toyaml":    "toYaml",
		"TOYAML":    "toYaml",
		"hostport":  "hostPort",
		"endpoint":  "endpoints",
		"configMpa": "configMap",
		"lopp":      "",
		"loop":      "", // there is one of that name, and it is not for authors
		"xyzzy":     "",
		"x":         "",
	} {
		t.Run(function, func(t *testing.T) {
			none := func() string { return "" }
			_, err := Parse(Source{Name: "main", Text: "{{" + function + "}}", Funcs: map[string]any{"endpoints": none, "configMap": none}})
			var unknown *UnknownFunctionError
			if !errors.As(err, &unknown) {
				t.Fatalf("got error %v, want an UnknownFunctionError", err)
			}
			if diff := cmp.Diff([]string{function, similar}, []string{unknown.Function, unknown.Similar}); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Protects the reader of an error: it says where, and what failed.
func TestExecuteErrors(t *testing.T) {
	partials := map[string]string{
		"_fails": "\n{{ repeat -1 .a }}",
		"_field": "{{ .missing }}",
	}
	for name, test := range map[string]struct {
		text string
		want string
	}{
		"in a function":       {"a\n{{ repeat -1 .a }}", `main:2:4: executing "main" at <repeat -1 .a>: error calling repeat: strings: negative Repeat count`},
		"in an own function":  {"{{ atLeast 1 .a }}", `main:1:4: executing "main" at <atLeast 1 .a>: error calling atLeast: want a list, not string`},
		"a panic":             {"{{ repeat -1 .a }}", `main:1:4: executing "main" at <repeat -1 .a>: error calling repeat: strings: negative Repeat count`},
		"wrong argument":      {"{{ 1 | upper }}", `main:1:8: executing "main" at <upper>: wrong type for value; expected string; got int`},
		"too few arguments":   {"{{ hostPort .a }}", `main:1:4: executing "main" at <hostPort>: wrong number of args for hostPort: want 2 got 1`},
		"no such key":         {"{{ .missing }}", `main:1:4: executing "main" at <.missing>: map has no entry for key "missing"`},
		"no such key below":   {"{{ .m.missing }}", `main:1:6: executing "main" at <.m.missing>: map has no entry for key "missing"`},
		"no such string key":  {"{{ .s.missing }}", `main:1:6: executing "main" at <.s.missing>: map has no entry for key "missing"`},
		"key of no map":       {"{{ .a.b }}", `main:1:6: executing "main" at <.a.b>: the value has no field .b`},
		"no such partial":     {`{{ include (print "nope") . }}`, `main:1:4: executing "main" at <include (print "nope") .>: error calling include: there is no template "nope"`},
		"in an include":       {`{{ include "_fails" . }}`, `main:1:4: executing "main" at <include "_fails" .>: error calling include: template: _fails:2:4: executing "_fails" at <repeat -1 .a>: error calling repeat: strings: negative Repeat count`},
		"in a template":       {`{{ template "_field" . }}`, `_field:1:4: executing "_field" at <.missing>: map has no entry for key "missing"`},
		"in tpl":              {`{{ tpl "\n{{ .missing }}" . }}`, `main:1:4: executing "main" at <tpl "\n{{ .missing }}" .>: error calling tpl: template: tpl:2:4: executing "tpl" at <.missing>: map has no entry for key "missing"`},
		"tpl of what is none": {`{{ tpl "\n{{ nope }}" . }}`, `main:1:4: executing "main" at <tpl "\n{{ nope }}" .>: error calling tpl: parsing template: tpl:2:4: there is no function "nope"`},
		"tpl of the impure":   {`{{ tpl "{{ now }}" . }}`, `main:1:4: executing "main" at <tpl "{{ now }}" .>: error calling tpl: parsing template: tpl:1:4: function "now" is left out: it would give another result at every render, and so a reload for nothing`},
		"in a plain loop":     {"\n{{range .l}}{{.missing}}{{end}}", `main:2:15: executing "main" at <.missing>: map has no entry for key "missing"`},
	} {
		t.Run(name, func(t *testing.T) {
			data := map[string]any{
				"a": "a", "m": map[string]any{}, "s": map[string]string{}, "l": []map[string]any{{}},
			}
			_, err := mustParse(t, Source{Name: "main", Text: test.text, Partials: partials}).Execute(data)
			if got, want := fmt.Sprint(err), `rendering "main": `+test.want; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// Protects files from what text/template prints for a nil.
func TestNothingIsPrintedForWhatIsNotThere(t *testing.T) {
	data := map[string]any{"nil": nil, "m": map[string]any{}, "text": "<no value>"}
	for name, text := range map[string]string{
		"a nil":              "x\n{{ .nil }}",
		"index of no key":    "x\n{{ index .m \"k\" }}",
		"fromYaml of a null": "x\n{{ (fromYaml \"a: null\").a }}",
		"in an include":      "x\n{{define \"d\"}}{{ .nil }}{{end}}{{ include \"d\" . }}",
		"from the data":      "x\n{{ .text }}",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := mustParse(t, Source{Name: "main", Text: text}).Execute(data)
			want := `rendering "main": line 2 of the output has "<no value>": the template printed something that is not there`
			if got := fmt.Sprint(err); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
	t.Run("unless the author wrote it", func(t *testing.T) {
		if got := mustRender(t, "# not <no value>", nil); got != "# not <no value>" {
			t.Errorf("got %q", got)
		}
	})
}

// Protects the difference between a fault and a guard that does its work, how
// deep inside it may be.
func TestHeld(t *testing.T) {
	type element struct{ Name string }
	data := map[string]any{
		"nil": nil, "empty": "", "list": []string{"a"}, "none": []string{}, "elements": []element{{"a"}},
		"nilMap": map[string]string(nil), "pointer": (*element)(nil),
	}
	for name, test := range map[string]struct {
		text   string
		reason string
	}{
		"required of nil":          {`{{ required "no x" .nil }}`, "no x"},
		"required of an empty":     {`{{ .empty | required "no x" }}`, "no x"},
		"required of no list":      {`{{ required "no x" .none }}`, "no x"},
		"required of a nil map":    {`{{ required "no x" .nilMap }}`, "no x"},
		"required of a nil":        {`{{ required "no x" .pointer }}`, "no x"},
		"fail":                     {`{{ fail "not today" }}`, "not today"},
		"atLeast of too few":       {`{{ range atLeast 3 .list }}x{{end}}`, "want at least 3, have 1"},
		"atLeast of none":          {`{{ .none | atLeast 1 }}`, "want at least 1, have 0"},
		"atLeast of a map":         {`{{ .nilMap | atLeast 1 }}`, "want at least 1, have 0"},
		"atLeast of nil":           {`{{ .nil | atLeast 1 }}`, "want at least 1, have 0"},
		"in an include":            {`{{ include "_fails" . }}`, "deep"},
		"in an include of another": {`{{ include "_outer" . | nindent 2 }}`, "deep"},
		"in a template":            {`{{ template "_outer" . }}`, "deep"},
		"in tpl":                   {`{{ tpl "{{ fail \"deep\" }}" . }}`, "deep"},
		"in tpl of an include":     {`{{ tpl "{{ include \"_outer\" . }}" . }}`, "deep"},
		"in a loop":                {`{{ range .list }}{{ include "_outer" . }}{{ end }}`, "deep"},
		"in a plain loop's list":   {`{{ range atLeast 2 .elements }}{{ .Name }}{{ end }}`, "want at least 2, have 1"},
	} {
		t.Run(name, func(t *testing.T) {
			parsed := mustParse(t, Source{Name: "main", Text: test.text, Partials: map[string]string{
				"_fails": `{{ fail "deep" }}`,
				"_outer": `{{ if true }}{{ include "_fails" . }}{{ end }}`,
			}})
			_, err := parsed.Execute(data)
			var held *HeldError
			if !errors.As(err, &held) || held.Reason != test.reason {
				t.Fatalf("got error %v, want it held for %q", err, test.reason)
			}
			// The reason is for people, who need no more than the place.
			if got, want := err.Error(), regexp.MustCompile(`^rendering "main": (main|_outer):1:\d+: `+test.reason+"$"); !want.MatchString(got) {
				t.Errorf("got %q, want %s", got, want)
			}
		})
	}
}

func TestNotHeld(t *testing.T) {
	data := map[string]any{"zero": 0, "no": false, "list": []string{"a"}, "array": [2]int{1, 2}, "none": []string{}}
	for text, want := range map[string]string{
		`{{ required "x" .zero }}`:          "0",
		`{{ required "x" .no }}`:            "false",
		`{{ required "x" .list }}`:          "[a]",
		`{{ atLeast 1 .list }}`:             "[a]",
		`{{ atLeast 2 .array }}`:            "[1 2]",
		`{{ atLeast 0 .none }}`:             "[]",
		`{{ if false }}{{fail "x"}}{{end}}`: "",
	} {
		t.Run(text, func(t *testing.T) {
			if got := mustRender(t, text, data); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// An error of the template is no guard's doing.
func TestFaultIsNotHeld(t *testing.T) {
	for _, text := range []string{"{{ .missing }}", "{{ .nil }}", "{{ repeat -1 \"\" }}", "{{ atLeast 1 1 }}", `{{ tpl "{{" . }}`} {
		_, err := mustParse(t, Source{Name: "main", Text: text}).Execute(map[string]any{"nil": nil})
		var held *HeldError
		if err == nil || errors.As(err, &held) {
			t.Errorf("%s: got error %v, want one that is not held", text, err)
		}
	}
}

// Protects the process from a template that calls itself: an error, and one
// that can be read.
func TestIncludeDepth(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		data any
		last string
	}{
		"of itself":   {`{{define "a"}}{{include "a" .}}{{end}}{{include "a" .}}`, nil, `main:1:15: templates within templates, and again "a"`},
		"in a circle": {`{{define "a"}}{{include "b" .}}{{end}}{{define "b"}}{{include "a" .}}{{end}}{{include "a" .}}`, nil, `main:1:15: templates within templates, and again "a"`},
		"of template": {`{{define "a"}}{{template "a" .}}{{end}}{{template "a" .}}`, nil, `main:1:15: templates within templates, and again "a"`},
		"of tpl":      {`{{tpl . .}}`, `{{tpl . .}}`, `tpl:1:1: templates within templates, and again "tpl"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := mustParse(t, Source{Name: "main", Text: test.text}).Execute(test.data)
			want := fmt.Sprintf(`rendering "main": %s: limit "depth" of 200 exceeded`, test.last)
			if got := fmt.Sprint(err); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
	t.Run("but 200 are well", func(t *testing.T) {
		text := `{{define "a"}}{{if .}}{{include "a" (rest .)}}{{end}}x{{end}}{{include "a" (until 199)}}{{include "a" (until 199)}}`
		if got, want := mustRender(t, text, nil), strings.Repeat("x", 400); got != want {
			t.Errorf("got %d bytes, want %d", len(got), len(want))
		}
	})
}

func TestDelimiters(t *testing.T) {
	parsed := mustParse(t, Source{
		Name: "main", Left: "<<", Right: ">>",
		Text:     `{{ kept }} << include "_p" . >> << tpl "<< .a >>{{ .a }}" . >>`,
		Partials: map[string]string{"_p": "{{ too }} << .a >>"},
	})
	got, err := parsed.Execute(map[string]any{"a": 1})
	if err != nil {
		t.Fatal(err)
	}
	if want := "{{ kept }} {{ too }} 1 1{{ .a }}"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPartials(t *testing.T) {
	for name, test := range map[string]struct {
		text     string
		partials map[string]string
		want     string
	}{
		"by template":               {`{{template "_p" .}}`, map[string]string{"_p": "p{{.}}"}, "p1"},
		"by include":                {`{{include "_p" . | upper}}`, map[string]string{"_p": "p{{.}}"}, "P1"},
		"that use one another":      {`{{include "_p" .}}`, map[string]string{"_a": "a", "_p": `{{include "_q" .}}{{template "_a"}}`, "_q": "q"}, "qa"},
		"with definitions":          {`{{include "host" .}}`, map[string]string{"_p": `{{define "host"}}h{{.}}{{end}}`}, "h1"},
		"not in the main's place":   {`main`, map[string]string{"main": "partial"}, "main"},
		"in tpl":                    {`{{tpl "{{include \"_p\" .}}{{template \"_p\" .}}" .}}`, map[string]string{"_p": "p{{.}}"}, "p1p1"},
		"that nobody uses":          {`main`, map[string]string{"_p": `{{fail "x"}}`}, "main"},
		"the main's over another's": {`{{define "d"}}main{{end}}{{template "d"}}`, map[string]string{"_p": `{{define "d"}}partial{{end}}`}, "main"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := mustParse(t, Source{Name: "main", Text: test.text, Partials: test.partials}).Execute(1)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Protects what authors know of Helm: a template that is a text may define others. They
// are there while it runs, before those of the same name, and not afterwards.
func TestTplWithDefinitions(t *testing.T) {
	partials := map[string]string{
		"_d": `{{ define "d" }}outer{{ end }}`,
		"_i": `{{ include "d" . }}{{ template "d" . }}`,
	}
	for name, test := range map[string]struct{ text, inner, want string }{
		"include":                 {`{{ tpl .t . }}`, `{{ define "x" }}inner{{ end }}{{ include "x" . }}`, "inner"},
		"include, piped":          {`{{ tpl .t . }}`, `{{ define "x" }}inner{{ end }}{{ include "x" . | upper }}`, "INNER"},
		"template":                {`{{ tpl .t . }}`, `{{ define "x" }}inner{{ end }}{{ template "x" . }}`, "inner"},
		"of an outer one's name":  {`{{ tpl .t . }} {{ include "d" . }}`, `{{ define "d" }}inner{{ end }}{{ include "d" . }}`, "inner outer"},
		"by an outer one":         {`{{ tpl .t . }} {{ include "_i" . }}`, `{{ define "d" }}inner{{ end }}{{ include "_i" . }}`, "innerinner outerouter"},
		"in tpl in tpl":           {`{{ tpl .t . }}`, "{{ define `x` }}inner{{ end }}{{ tpl `{{ include \"x\" . }}` . }}", "inner"},
		"in both":                 {`{{ tpl .t . }}`, "{{ define `x` }}1{{ end }}{{ tpl `{{ define \"x\" }}2{{ end }}{{ include \"x\" . }}` . }}{{ include `x` . }}", "21"},
		"in an include":           {`{{ define "y" }}{{ tpl .t . }}{{ end }}{{ include "y" . }}`, `{{ define "x" }}inner{{ end }}{{ include "x" . }}`, "inner"},
		"of the text's own name":  {`{{ tpl .t . }}`, `{{ define "main" }}inner{{ end }}{{ include "main" . }}`, "inner"},
		"twice, one for each":     {"{{ tpl .t . }}{{ tpl `{{ define \"x\" }}2{{ end }}{{ include \"x\" . }}` . }}", `{{ define "x" }}1{{ end }}{{ include "x" . }}`, "12"},
		"with nothing else in it": {`[{{ tpl .t . }}]`, `{{ define "x" }}inner{{ end }}`, "[]"},
		"block":                   {`{{ tpl .t . }}`, `{{ block "x" . }}inner{{ end }}{{ include "x" . }}`, "innerinner"},
		"not afterwards":          {`{{ tpl .t . }}{{ include (print "x") . }}`, `{{ define "x" }}inner{{ end }}`, ""},
		"not after an error":      {`{{ include (print "x") . }}{{ tpl .t . }}`, `{{ define "x" }}inner{{ end }}{{ fail "y" }}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			parsed := mustParse(t, Source{Name: "main", Text: test.text, Partials: partials})
			for range 2 {
				got, err := parsed.Execute(map[string]any{"t": test.inner})
				if test.want == "" {
					if err == nil || !strings.Contains(err.Error(), `there is no template "x"`) {
						t.Fatalf("got %q and error %v, want one that there is no template", got, err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if string(got) != test.want {
					t.Errorf("got %q, want %q", got, test.want)
				}
			}
		})
	}
}

// Protects against reloads for nothing: the same data give the same bytes, from
// one run to the next and from one start to the next.
func TestRenderingTwiceGivesEqualBytes(t *testing.T) {
	many := map[string]any{}
	for i := range 50 {
		many[fmt.Sprintf("key%d", i)] = map[string]any{"n": i, "list": []any{i, "x"}}
	}
	partials := map[string]string{}
	for i := range 10 {
		partials[fmt.Sprintf("_%d", i)] = fmt.Sprintf(`{{define "same"}}%d{{end}}`, i)
	}
	src := Source{Name: "main", Partials: partials, Text: `
{{ toYaml .many }}
{{ toJson .many }} {{ toPrettyJson .many }} {{ toRawJson .many }}
{{ toToml .many }}
{{ keys .many }} {{ values .many }} {{ keys .many .strings }}
{{ pick .many "key1" "key2" "key3" }} {{ omit .many "key1" }}
{{ range $k, $v := .many }}{{ $k }}{{ $v }}{{ end }}
{{ merge (dict "a" 1 "b" (dict "c" 2)) (dict "b" (dict "d" 3) "e" 4) .many | toYaml }}
{{ mergeOverwrite (dict "key1" 0) .many }} {{ deepCopy .many }}
{{ .many | toString }} {{ print .many }} {{ .many | quote }} {{ .strings }}
{{ pluck "key1" .many .many }} {{ dig "key1" "n" 0 .many }}
{{ list 3 1 2 | join "," }} {{ .names | sortAlpha | uniq | join "," }} {{ fromYaml "{b: 1, a: 2}" }}
{{ include "same" . }} {{ "x" | sha256sum }}`}
	render := func() string {
		got, err := mustParse(t, src).Execute(map[string]any{
			"many": many, "strings": map[string]string{"z": "1", "y": "2", "x": "3"}, "names": []string{"b", "a", "c"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(got)
	}
	want := render()
	for range 30 {
		if diff := cmp.Diff(want, render()); diff != "" {
			t.Fatalf("-first +later:\n%s", diff)
		}
	}
}

// Protects the data, which other templates read as well, from functions that
// would change them.
func TestFunctionsLeaveListsAlone(t *testing.T) {
	list, mixed := []string{"b", "c", "a", "b"}, []any{"b", 3, "a"}
	text := `{{ sortAlpha .list }} {{ sortAlpha .mixed }} {{ reverse .list }} {{ append .list "x" }} {{ prepend .list "x" }}
{{ uniq .list }} {{ without .list "b" }} {{ compact .list }} {{ concat .list .mixed }} {{ rest .list }} {{ initial .list }}
{{ slice .list 1 2 }} {{ chunk 2 .list }} {{ append (slice .list 0 1) "x" }} {{ append (initial .mixed) "x" }} {{ join "," .list }}`
	mustRender(t, text, map[string]any{"list": list, "mixed": mixed})
	if diff := cmp.Diff([]string{"b", "c", "a", "b"}, list); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
	if diff := cmp.Diff([]any{"b", 3, "a"}, mixed); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
}

// A template is parsed once and runs for ever: a run that failed leaves
// nothing behind for the next.
func TestExecuteAfterAnError(t *testing.T) {
	for name, test := range map[string]struct {
		text      string
		bad, good any
		want      string
	}{
		"in an include": {`a{{range .}}{{include "_p" .}}{{end}}`, []string{"1", ""}, []string{"1", "2"}, "ab1b2"},
		"too deep":      {`{{include "_deep" .}}`, true, false, "c"},
	} {
		t.Run(name, func(t *testing.T) {
			parsed := mustParse(t, Source{Name: "main", Text: test.text, Limits: limits.Limits{Depth: 20}, Partials: map[string]string{
				"_p":    `b{{required "x" .}}`,
				"_deep": `c{{if .}}{{include "_deep" .}}{{end}}`,
			}})
			for range 201 {
				if _, err := parsed.Execute(test.bad); err == nil {
					t.Fatal("got no error for bad data")
				}
			}
			got, err := parsed.Execute(test.good)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// What was kept is not overwritten by the next execution.
func TestKeep(t *testing.T) {
	parsed, err := Parse(Source{Name: "a", Text: "{{ . }}"})
	if err != nil {
		t.Fatal(err)
	}
	first, err := parsed.Execute("first")
	if err != nil {
		t.Fatal(err)
	}
	parsed.Keep()
	if _, err := parsed.Execute("other"); err != nil {
		t.Fatal(err)
	}
	if string(first) != "first" {
		t.Errorf("got %q", first)
	}
}
