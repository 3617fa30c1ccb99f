package lint_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kconfd/kconfd/internal/lint"
	"github.com/kconfd/kconfd/render"
	"github.com/kconfd/kconfd/watcher"
)

func functions(t *testing.T) map[string]reflect.Type {
	t.Helper()
	r := watcher.NewOffline().NewReader()
	t.Cleanup(r.Close)
	return render.FunctionTypes(r.Funcs())
}

// found are the findings in a template, without the file's name and the hints.
func found(t *testing.T, src lint.Source) []string {
	t.Helper()
	src.File = "x"
	var lines []string
	for _, f := range lint.Sorted(lint.Template(src, functions(t))) {
		f.Hint = ""
		lines = append(lines, strings.TrimPrefix(f.String(), "x:"))
	}
	return lines
}

func checkFindings(t *testing.T, src lint.Source, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, found(t, src)); diff != "" {
		t.Errorf("%q (-want +got)\n%s", src.Text, diff)
	}
}

// Each mistake of a template is found, and not only the first.
func TestSyntax(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"none":                  {"{{ .Values.a }}", nil},
		"undefined, twice":      {"{{ $y }}\n a {{ $y }} {{ $yy }}", []string{`1:4: error: undefined variable "$y" [syntax]`, `2:7: error: undefined variable "$y" [syntax]`, `2:16: error: undefined variable "$yy" [syntax]`}},
		"string without an end": {"a\n{{ \"b }} {{ upper \"c\" }}\n{{ nope }}", []string{`2:4: error: bad character U+0022 '"' [syntax]`, `3:4: error: there is no function "nope" [unknown-function]`}},
		"raw string":            {"{{ `b }}\n", []string{`1:4: error: unterminated raw quoted string [syntax]`}},
		"action without an end": {"a\n {{ upper \"b\"\n{{ nope }}", []string{`2:2: error: unexpected "{" in operand [syntax]`, `3:4: error: there is no function "nope" [unknown-function]`}},
		"at the end":            {"{{ nope }}\n {{ upper", []string{`1:4: error: there is no function "nope" [unknown-function]`, `2:2: error: unclosed action [syntax]`}},
		"one brace":             {"{{ .a }\n{{ nope }}", []string{`1:7: error: unexpected "}" in operand [syntax]`, `2:4: error: there is no function "nope" [unknown-function]`}},
		"a block without end":   {"{{ if true }}\n{{ range .Values.a }}{{ nope }}", []string{`1:1: error: the {{if}} that begins here has no {{end}} [syntax]`, `2:1: error: the {{range}} that begins here has no {{end}} [syntax]`, `2:25: error: there is no function "nope" [unknown-function]`}},
		"an end too many":       {"{{ end }}\n{{ end }}{{ nope }}", []string{`1:1: error: unexpected {{end}} [syntax]`, `2:1: error: unexpected {{end}} [syntax]`, `2:13: error: there is no function "nope" [unknown-function]`}},
		"an else too many":      {"{{ else }}{{ nope }}", []string{`1:1: error: unexpected {{else}} [syntax]`, `1:14: error: there is no function "nope" [unknown-function]`}},
		"no condition":          {"{{ if }}{{ nope }}{{ else }}{{ nope }}{{ end }}", []string{`1:1: error: missing value for if [syntax]`, `1:12: error: there is no function "nope" [unknown-function]`, `1:32: error: there is no function "nope" [unknown-function]`}},
		"what it declares":      {"{{ $x := }}{{ $x }}", []string{`1:1: error: missing value for command [syntax]`}},
		"number":                {"{{ 1x }}", []string{`1:4: error: bad number syntax: "1x" [syntax]`}},
		"sign":                  {"{{ .a ! }}", []string{`1:7: error: unexpected "!" in operand [syntax]`}},
		"parentheses":           {"{{ (upper \"a\" }}{{ ) }}", []string{`1:1: error: unclosed left paren [syntax]`, `1:17: error: unexpected right paren [syntax]`}},
		"break":                 {"{{ break }}{{ continue }}", []string{`1:1: error: {{break}} outside {{range}} [syntax]`, `1:12: error: {{continue}} outside {{range}} [syntax]`}},
		"comment":               {"a {{/* b", []string{`1:3: error: unclosed comment [syntax]`}},
		"defined twice":         {"{{ define \"a\" }}x{{ end }}{{ define \"a\" }}y{{ end }}", []string{`1:38: error: template: multiple definition of template "a" [syntax]`}},
		"not a template":        {"{{ template upper }}{{ nope }}", []string{`1:13: error: unexpected "upper" in template clause [syntax]`, `1:24: error: there is no function "nope" [unknown-function]`}},
		"letters of others":     {"ä {{ größe }}", []string{`1:7: error: there is no function "größe" [unknown-function]`}},
	} {
		t.Run(name, func(t *testing.T) { checkFindings(t, lint.Source{Text: test.text}, test.want...) })
	}
	t.Run("own delimiters", func(t *testing.T) {
		checkFindings(t, lint.Source{Text: "{{nope}}\n<< nope >> << $y >>", Left: "<<", Right: ">>"},
			`2:4: error: there is no function "nope" [unknown-function]`, `2:15: error: undefined variable "$y" [syntax]`)
	})
	t.Run("in another file", func(t *testing.T) {
		checkFindings(t, lint.Source{Text: "{{ nope }}\n{{ nope }}", Line: 7, Column: 13, Indent: 4},
			`7:16: error: there is no function "nope" [unknown-function]`, `8:8: error: there is no function "nope" [unknown-function]`)
	})
}

// A text that takes long, or too much of the stack, is an error and no more.
func TestHostileTemplates(t *testing.T) {
	for name, text := range map[string]string{
		"nested deep":   strings.Repeat("{{if true}}", 100_000),
		"parentheses":   "{{" + strings.Repeat("(", 100_000),
		"many mistakes": strings.Repeat("{{ $x }}\n", 20_000),
		"one long line": strings.Repeat("{{ $x }}", 20_000),
		"many strings":  strings.Repeat("{{ \"\n", 20_000),
		"many blocks":   strings.Repeat("{{ range", 20_000),
	} {
		t.Run(name, func(t *testing.T) {
			if got := found(t, lint.Source{Text: text}); len(got) == 0 || len(got) > 200 {
				t.Errorf("got %d findings", len(got))
			}
		})
	}
}

func TestCalls(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"too few":            {`{{ hostPort "a" }}`, []string{`1:4: error: hostPort: 1 argument, want 2 [arguments]`}},
		"too many":           {`{{ upper "a" "b" }}`, []string{`1:4: error: upper: 2 arguments, want 1 [arguments]`}},
		"with a pipeline":    {`{{ "a" | upper "b" }}`, []string{`1:10: error: upper: 2 arguments with the one of the pipeline, want 1 [arguments]`}},
		"variadic":           {`{{ endpoints }}{{ list }}{{ endpoints "a" "b" }}`, []string{`1:4: error: endpoints: 0 arguments, want at least 1 [arguments]`}},
		"as an argument":     {`{{ upper (lower) }}`, []string{`1:11: error: lower: 0 arguments, want 1 [arguments]`}},
		"without a command":  {`{{ if eq "a" lower }}{{ end }}`, []string{`1:14: error: lower: 0 arguments, want 1 [arguments]`}},
		"a literal":          {`{{ upper 1 }}{{ repeat "a" "b" }}{{ hostPort nil 1 }}`, []string{`1:10: error: upper: argument 1 is 1, want a string [arguments]`, `1:24: error: repeat: argument 1 is "a", want an integer [arguments]`, `1:46: error: hostPort: argument 1 is nil, want a string [arguments]`}},
		"through a pipeline": {`{{ 1 | upper }}`, []string{`1:8: error: upper: what the pipeline gives it is 1, want a string [arguments]`}},
		"a result":           {`{{ repeat (toString 1) "x" }}{{ until (add 1 2) }}{{ until (round 2.4 0) }}`, []string{`1:12: error: repeat: argument 1 is a string, want an integer [arguments]`}},
		"a variable":         {`{{ $x := lower "A" }}{{ repeat $x "x" }}{{ $y := 1 }}{{ $y = "a" }}{{ upper $y }}`, []string{`1:32: error: repeat: argument 1 is a string, want an integer [arguments]`}},
		"an element":         {`{{ range until 3 }}{{ upper . }}{{ end }}{{ range $i, $s := splitList "," "a" }}{{ upper $s }}{{ upper $i }}{{ end }}`, []string{`1:29: error: upper: argument 1 is an integer, want a string [arguments]`, `1:104: error: upper: argument 1 is an integer, want a string [arguments]`}},
		"a field":            {`{{ range endpoints "a" }}{{ repeat .Address "x" }}{{ end }}`, []string{`1:36: error: repeat: argument 1 is a string, want an integer [arguments]`}},
		"a list for one":     {`{{ upper (endpoints "a") }}`, []string{`1:11: error: upper: argument 1 is a list of Endpoints, want a string [arguments]`}},
		"a method":           {`{{ range endpoints "a" }}{{ .Port }}{{ .Port 80 }}{{ .Port "http" }}{{ end }}`, []string{`1:29: error: .Port: 0 arguments, want 1 [arguments]`, `1:46: error: .Port: argument 1 is 80, want a string [arguments]`}},
		"no such field":      {`{{ range endpoints "a" }}{{ .Adress }}{{ end }}{{ (service "a").Nope.More }}`, []string{`1:29: error: one Endpoint has no field .Adress [type]`, `1:64: error: one Service has no field .Nope [type]`}},
		"of a variable":      {`{{ $s := service "a" }}{{ $s.Nope }}`, []string{`1:29: error: one Service has no field .Nope [type]`}},
		"in with":            {`{{ with service "a" }}{{ .Nope }}{{ end }}`, []string{`1:26: error: one Service has no field .Nope [type]`}},
		"not a function":     {`{{ "a" "b" }}{{ .Values.a | .Values.b }}`, []string{`1:4: error: "a" is not a function and takes no arguments [arguments]`}},
		"not known":          {`{{ upper .Values.a }}{{ repeat .Values.b (get .Values.c "d") }}{{ range .Values.e }}{{ .f.g }}{{ end }}`, nil},
		"range":              {`{{ range service "a" }}{{ .Address }}{{ end }}{{ range seq 1 3 }}{{ end }}{{ range 3 }}{{ end }}`, []string{`1:10: error: range: one Service is not a list or map [type]`, `1:56: error: range: a string is not a list or map [type]`}},
		"index":              {`{{ index (configMap "a") 0 }}{{ index (list 1) "a" }}{{ index (configMap "a") "b" }}{{ index (endpoints "a") 0 }}`, []string{`1:4: error: index: the keys of a map of strings are strings, not 0 [type]`, `1:33: error: index: a list has numbers for its elements, not "a" [type]`}},
		"split gives a map":  {"{{ $x := split \",\" .Values.a }}\n{{ index $x 0 }}\n{{ range $x }}{{ end }}{{ $x._0 }}", []string{`1:10: error: split gives a map, and index asks it for an element by number [type]`, `1:10: warning: split gives a map, and range goes by its keys: _0, _1, _10, _2 [type]`}},
		"comparisons":        {`{{ if eq (env "X") 1 }}{{ end }}{{ if lt 1 "2" }}{{ end }}{{ if eq 1 (add 1 2) }}{{ end }}{{ if ne "a" }}{{ end }}`, []string{`1:7: error: eq: a string cannot be compared with 1 [arguments]`, `1:39: error: lt: 1 cannot be compared with "2" [arguments]`, `1:97: error: ne: 1 argument, want 2 [arguments]`}},
		"len":                {`{{ len 3 }}{{ len "a" }}{{ len (service "a") }}`, []string{`1:4: error: len: 3 has no length [type]`, `1:28: error: len: one Service has no length [type]`}},
		"printf":             {`{{ printf 1 }}{{ printf "%s" 1 }}`, []string{`1:4: error: printf: the format is 1, want a string [arguments]`}},
		"left out":           {`{{ now }}`, []string{`1:4: error: function "now" is left out: it would give another result at every render, and so a reload for nothing [unknown-function]`}},
		"in all branches":    {`{{ if false }}{{ nope }}{{ else if upper }}{{ else }}{{ with .Values.a }}{{ nope }}{{ else }}{{ nope }}{{ end }}{{ end }}{{ define "d" }}{{ nope }}{{ end }}`, []string{`1:18: error: there is no function "nope" [unknown-function]`, `1:36: error: upper: 0 arguments, want 1 [arguments]`, `1:77: error: there is no function "nope" [unknown-function]`, `1:97: error: there is no function "nope" [unknown-function]`, `1:141: error: there is no function "nope" [unknown-function]`}},
		"no such template":   {`{{ template "a" . }}{{ include "b" . }}{{ include "d" . }}{{ define "d" }}{{ end }}{{ include .Values.e . }}`, []string{`1:13: error: there is no template "a" [missing-template]`, `1:32: error: there is no template "b" [missing-template]`}},
		"no name of object":  {`{{ secret "secret/data/db" }}{{ service "tag.web" }}{{ services "a b" }}{{ endpoints "Web" }}{{ endpoints "web" }}{{ service "web" "passing" }}`, []string{`1:11: error: secret: no object can have the name "secret/data/db" [name]`, `1:41: error: service: no Service can have the name "tag.web" [name]`, `1:65: error: services: "a b" is no label selector [name]`, `1:86: error: endpoints: no object can have the name "Web" [name]`, `1:118: error: service: the second argument is a namespace, and "passing" is a state in consul-template [name]`}},
		"fields of pairs":    {`{{ range gets "/a/*" }}{{ .Key }}{{ end }}{{ range $p := ls "a" }}{{ $p.Value }}{{ end }}{{ range ls "a" }}{{ . }}{{ end }}`, []string{`1:10: error: there is no function "gets" [unknown-function]`, `1:27: error: the elements of what takes the place of gets have no .Key [type]`, `1:58: error: there is no function "ls" [unknown-function]`, `1:72: error: the elements of what takes the place of ls have no .Value [type]`, `1:99: error: there is no function "ls" [unknown-function]`}},
	} {
		t.Run(name, func(t *testing.T) { checkFindings(t, lint.Source{Text: test.text}, test.want...) })
	}
}

// The data of a template is known, and that of a partial is not.
func TestData(t *testing.T) {
	text := `{{ .Release.Name }}{{ $.Chart }}{{ .Values.a }}{{ with .Values.b }}{{ .c }}{{ $.d }}{{ end }}{{ define "x" }}{{ .e }}{{ end }}`
	checkFindings(t, lint.Source{Text: text, Fields: []string{"Values"}},
		`1:4: warning: the template's data has no .Release [data]`,
		`1:24: warning: the template's data has no .Chart [data]`,
		`1:80: warning: the template's data has no .d [data]`)
	checkFindings(t, lint.Source{Text: text})
}

// The order of confd's and Go's arguments gives nonsense without an error, so it is
// found before.
func TestArgumentOrder(t *testing.T) {
	const confds = "the arguments are in the order of confd and Go [argument-order]"
	for text, want := range map[string]string{
		`{{ split (env "HOSTS") "," }}`:                                       `1:4: warning: split: ` + confds,
		`{{ splitList .Values.hosts "," }}`:                                   `1:4: warning: splitList: ` + confds,
		`{{ $h := env "HOSTS" }}{{ contains $h "a" }}`:                        `1:27: warning: contains: ` + confds,
		`{{ $h := env "A" }}{{ $s := "." }}{{ split $h $s }}`:                 `1:38: warning: split: ` + confds,
		`{{ trimSuffix .Values.name ".example.com" }}`:                        `1:4: warning: trimSuffix: ` + confds,
		`{{ trimPrefix .Values.name "a" }}`:                                   `1:4: warning: trimPrefix: ` + confds,
		`{{ if hasPrefix .Values.name "a" }}{{ end }}`:                        `1:7: warning: hasPrefix: ` + confds,
		`{{ if hasSuffix .Values.name "a" }}{{ end }}`:                        `1:7: warning: hasSuffix: ` + confds,
		`{{ join .Values.list "," }}`:                                         `1:4: warning: join: ` + confds,
		`{{ join (list "a") "," }}`:                                           `1:4: warning: join: ` + confds,
		`{{ replace .Values.text "a" "b" }}`:                                  `1:4: warning: replace: ` + confds,
		`{{ replace .Values.text "a" "b" -1 }}`:                               `1:4: warning: replace: ` + confds,
		`{{ contains "hello" "ell" }}`:                                        `1:4: warning: contains: ` + confds,
		`{{ trimSuffix "db.example.com" ".example.com" }}`:                    `1:4: warning: trimSuffix: ` + confds,
		`{{ "," | split "a,b" }}`:                                             `1:10: warning: split: ` + confds,
		`{{ replace "a.b" "." "-" }}`:                                         `1:4: warning: replace: ` + confds,
		`{{ .Values.text | regexReplaceAll "a" "b" }}`:                        `1:19: warning: regexReplaceAll: the arguments are in the order of consul-template [argument-order]`,
		`{{ contains "ell" "hello" }}{{ split "," "a,b" }}`:                   "",
		`{{ split "," (env "HOSTS") }}{{ env "HOSTS" | splitList "," }}`:      "",
		`{{ trimSuffix ".example.com" "db.example.com" }}`:                    "",
		`{{ contains "a" "b" }}{{ hasPrefix "a" "a" }}{{ trimPrefix "" "" }}`: "",
		`{{ contains .Values.part .Values.text }}`:                            "",
		`{{ "a,b" | splitList "," }}{{ "a.b" | replace "." "-" }}`:            "",
		`{{ list "a" | join "," }}{{ join "," (list "a") }}`:                  "",
		`{{ regexReplaceAll "a" .Values.text "b" }}`:                          "",
	} {
		var one []string
		if want != "" {
			one = []string{want}
		}
		checkFindings(t, lint.Source{Text: text}, one...)
		if strings.Contains(want, confds) {
			checkFindings(t, lint.Source{Text: text, Confd: true}, strings.Replace(want, "warning", "error", 1))
		}
	}
}

func hintFor(t *testing.T, text string) string {
	t.Helper()
	for _, f := range lint.Template(lint.Source{Text: text, Confd: true}, functions(t)) {
		return f.Hint
	}
	return ""
}

// A hint says what to write, and with the arguments that are there.
func TestHints(t *testing.T) {
	for text, want := range map[string]string{
		`{{ split (env "HOSTS") "," }}`:                   `write splitList "," (env "HOSTS"); split gives a map`,
		`{{ replace .Values.x "a" "b" -1 }}`:              `write replace "a" "b" .Values.x`,
		`{{ getv "/database/host" }}`:                     `write (configMap "NAME").host`,
		`{{ getv "/database/max-conns" "5" }}`:            `write get (configMap "NAME") "max-conns" | default "5"`,
		`{{ getv "/a/b-c" }}`:                             `write index (configMap "NAME") "b-c"`,
		`{{ cgetv "/a/b" }}`:                              `write (secret "NAME").b`,
		`{{ keyOrDefault (print "a" .Values) 3 }}`:        `write get (configMap "NAME") "KEY" | default 3`,
		`{{ get "/a" }}`:                                  `get takes a map and a key; values come from ConfigMaps: (configMap "NAME").KEY`,
		`{{ range service "web" }}{{ end }}`:              `service gives one Service; the members of a service are endpoints "NAME" | ready, each with .Address and .Port "NAME"`,
		`{{ toJSON .Values }}`:                            `write toJson`,
		`{{ repeat (toString 1) "a" }}`:                   `convert it: (int …)`,
		`{{ range endpoints "a" }}{{ .Adress }}{{ end }}`: `did you mean .Address?`,
		`{{ range endpoints "a" }}{{ .Tags }}{{ end }}`:   `(pod .Pod).Labels are the labels of its pod`,
		`{{ /* a */}}`:                                    `a comment begins right behind the delimiter: {{/* … */}}`,
		`{{ if .a == "b" }}{{ end }}`:                     `compare with a function: eq .a "b", ne .a "b"`,
		`{{ if .a > 1 }}{{ end }}`:                        `compare with a function: gt .a 1, ge .a 1`,
		`{{ servces "a=b" }}`:                             `did you mean "services"?`,
	} {
		if got := hintFor(t, text); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

// Each function of confd and consul-template is one of kconfd's, or has a hint.
func TestOtherToolsAreKnown(t *testing.T) {
	known := functions(t)
	for _, name := range strings.Fields(`
		base split json jsonArray dir map getenv join datetime toUpper toLower contains replace trimSuffix lookupIP lookupIPV4 lookupIPV6
		lookupSRV lookupIfaceIPV4 lookupIfaceIPV6 fileExists base64Encode base64Decode parseBool reverse sortByLength sortKVByLength add sub
		div mod mul seq atoi hostname exists get gets getv getvs ls lsdir cget cgets cgetv cgetvs
		datacenters exportedServices importedServices file key keyExists keyOrDefault safeLs node nodes partitions peerings secret secrets
		service connect services tree safeTree caRoots caLeaf pkiCert nomadServices nomadService nomadVarList nomadVarListSafe nomadVar
		nomadVarExists scratch base64URLDecode base64URLEncode byKey byPort byTag containsAll containsAny containsNone containsNotAll env
		mustEnv envOrDefault executeTemplate explode explodeMap mergeMap mergeMapWithOverride in indent loop trim trimPrefix trimSpace
		parseFloat parseInt parseJSON parseUint parseYAML plugin regexReplaceAll regexMatch replaceAll sha256Hex md5sum hmacSHA256Hex
		timestamp toJSON toJSONPretty toUnescapedJSON toUnescapedJSONPretty toTitle toTOML toYAML splitToMap byMeta sockaddr writeToFile
		subtract multiply divide modulo minimum maximum spew_dump spew_printf spew_sdump spew_sprintf`) {
		if _, ok := known[name]; !ok && lint.Instead(name) == "" {
			t.Errorf("no hint for %s", name)
		}
	}
}

// What lint says of the number and kind of arguments is what text/template says when
// the call is run.
func TestArgumentsAgreeWithExecution(t *testing.T) {
	r := watcher.NewOffline().NewReader()
	defer r.Close()
	types := functions(t)
	values := []string{`nil`, `"a"`, `1`, `1.5`, `true`, `(list "a")`, `(dict "a" 1)`, `(add 1 2)`, `(len "a")`, `(splitList "," "a")`, `(toString 1)`, `(hasKey (dict) "a")`}
	refused := func(err error) bool {
		for _, text := range []string{"wrong number of args for", "wrong type for value; expected", "; found ", "missing argument for comparison", ": can't handle ", "cannot assign nil to", "invalid value; expected", "want an integer, not "} {
			if strings.Contains(err.Error(), text) {
				return true
			}
		}
		return false
	}
	calls, seen := 0, map[reflect.Type]bool{}
	for _, name := range slices.Sorted(maps.Keys(types)) {
		if seen[types[name]] || slices.Contains([]string{"include", "tpl", "fail", "endpoints", "service", "secret", "secretEnv"}, name) {
			continue // the first of a type is enough, and some look for what is not there
		}
		seen[types[name]] = true
		for _, text := range callsOf(name, types[name].NumIn()+1, values) {
			parsed, err := render.Parse(render.Source{Name: "x", Text: text, Funcs: r.Funcs()})
			if err != nil {
				t.Fatal(err)
			}
			_, err = parsed.Execute(nil)
			fails := err != nil && refused(err)
			says := false
			findings := lint.Template(lint.Source{Text: text}, types)
			for _, f := range findings {
				// Comparisons fail in their own words, and the order is no fault to text/template.
				says = says || f.Rule == lint.RuleArguments && !strings.Contains(f.Message, "cannot be compared")
				fails = fails && f.Rule != lint.RuleOrder
			}
			if calls++; fails != says {
				t.Errorf("%s: lint says %q, and the render %v", text, findings, err)
			}
		}
	}
	if calls < 1000 {
		t.Errorf("only %d calls", calls)
	}
}

// callsOf are calls of a function with up to most arguments, of which one is each of
// the values, also through a pipeline.
func callsOf(name string, most int, values []string) []string {
	calls := []string{"{{ " + name + " }}"}
	for n := 1; n <= most; n++ {
		for vary := range n {
			for _, v := range values {
				words := append([]string{name}, slices.Repeat([]string{`"a"`}, n)...)
				words[1+vary] = v
				calls = append(calls, "{{ "+strings.Join(words, " ")+" }}")
				if v != "nil" && vary == n-1 {
					calls = append(calls, "{{ "+v+" | "+strings.Join(words[:n], " ")+" }}")
				}
			}
		}
	}
	return calls
}
