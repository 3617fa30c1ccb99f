package render

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/Masterminds/sprig/v3"
	"github.com/google/go-cmp/cmp"
)

// Protects against reloads for nothing: what sprig itself calls not repeatable
// is left out, and so is what it forgot. All else of sprig is there.
func TestSprigWithoutTheImpure(t *testing.T) {
	want := []string{
		// of the clock or the time zone, or with random numbers or salt
		"ago", "durationRound", "mustDateModify", "must_date_modify", "randInt", "shuffle",
		"bcrypt", "htpasswd", "encryptAES", "genPrivateKey", "buildCustomCert",
		"genCA", "genCAWithKey", "genSelfSignedCert", "genSelfSignedCertWithKey", "genSignedCert", "genSignedCertWithKey",
	}
	repeatable := sprig.HermeticTxtFuncMap()
	for name := range sprig.TxtFuncMap() {
		if repeatable[name] == nil && name != "env" {
			want = append(want, name)
		}
	}
	var got []string
	for name := range sprig.TxtFuncMap() {
		_, err := Parse(Source{Name: "main", Text: "{{if false}}\n{{" + name + "}}{{end}}"})
		if errors.Is(err, ErrImpure) && strings.Contains(err.Error(), `main:2:3: function "`+name+`"`) {
			got = append(got, name)
		} else if err != nil {
			t.Errorf("%s is not there: %v", name, err)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("left out: -want +got:\n%s", diff)
	}
	for _, name := range impure() {
		if sprig.TxtFuncMap()[name] == nil {
			t.Errorf("%s is none of sprig's", name)
		}
	}
}

func TestFunctions(t *testing.T) {
	t.Setenv("RENDER_TEST", "from outside")
	data := map[string]any{
		"any":     map[string]any{"b": 2, "a": map[string]any{"x": true}, "c": nil},
		"strings": map[string]string{"b": "2", "a": "1", "c": ""},
		"none":    map[string]string{},
		"list":    []any{1, "two", map[string]any{"three": 3.5}},
	}
	for text, want := range map[string]string{
		`{{ keys .any }}`:                "[a b c]",
		`{{ keys .strings }}`:            "[a b c]",
		`{{ keys .none }}`:               "[]",
		`{{ keys .strings .any }}`:       "[a b c a b c]",
		`{{ values .strings | toJson }}`: `["1","2",""]`,
		`{{ values .any | toJson }}`:     `[{"x":true},2,null]`,
		`{{ get .any "b" }}`:             "2",
		`{{ get .strings "b" }}`:         "2",

		`{{ get .any "z" | quote }}{{ get .strings "z" | quote }}`: `""""`,
		`{{ hasKey .any "c" }} {{ hasKey .any "z" }}`:              "true false",
		`{{ hasKey .strings "c" }} {{ hasKey .strings "z" }}`:      "true false",
		`{{ pick .any "b" "z" }}`:                                  "map[b:2]",
		`{{ pick .strings "b" "a" "z" }}`:                          "map[a:1 b:2]",
		`{{ omit .any "a" "c" "z" }}`:                              "map[b:2]",
		`{{ omit .strings "a" }}`:                                  "map[b:2 c:]",
		`{{ .any | toYaml }}`:                                      "a:\n  x: true\nb: 2\nc: null",
		`{{ .list | toYaml }}`:                                     "- 1\n- two\n- three: 3.5",
		`{{ "" | toYaml }}`:                                        `""`,
		`{{ (fromYaml "a: {b: [1, x]}").a.b }}`:                    "[1 x]",
		`{{ fromYamlArray "[1, {a: b}]" }}`:                        "[1 map[a:b]]",
		`{{ .list | toJson }}`:                                     `[1,"two",{"three":3.5}]`,
		`{{ (fromJson "{\"a\": [1, 2]}").a }}`:                     "[1 2]",
		`{{ fromJsonArray "[1, {\"a\": null}]" | toJson }}`:        `[1,{"a":null}]`,
		`{{ .strings | toToml }}`:                                  "a = '1'\nb = '2'\nc = ''\n",
		`{{ (fromToml "[a]\nb = 1").a.b }}`:                        "1",
		`{{ hostPort "10.0.0.1" 3306 }}`:                           "10.0.0.1:3306",
		`{{ hostPort "fd00::1" 3306 }}`:                            "[fd00::1]:3306",
		`{{ hostPort "fe80::1%eth0" "80" }}`:                       "[fe80::1%eth0]:80",
		`{{ "::" | quote }} {{ hostPort "::" "http" }}`:            `"::" [::]:http`,
		`{{ hostPort "db.example" "3306" }}`:                       "db.example:3306",
		`{{ env "RENDER_TEST" }}`:                                  "from outside",
		`{{ env "RENDER_TEST_UNSET" | default "x" }}`:              "x",
		`{{ tpl "{{ get .any \"b\" }}" . }}`:                       "2",
		`{{ sortAlpha (list 3 1 2) }}`:                             "[1 2 3]",
		`{{ list "b" "a" | sortAlpha | join "," }}`:                "a,b",
	} {
		t.Run(text, func(t *testing.T) {
			if got := mustRender(t, text, data); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestFunctionsRefuse(t *testing.T) {
	for text, want := range map[string]string{
		`{{ keys 1 }}`:               "error calling keys: want a map, not int",
		`{{ values "x" }}`:           "error calling values: want a map, not string",
		`{{ get (list) "a" }}`:       "error calling get: want a map, not []interface {}",
		`{{ hasKey 1 "a" }}`:         "error calling hasKey: want a map, not int",
		`{{ pick 1 "a" }}`:           "error calling pick: want a map, not int",
		`{{ omit 1 "a" }}`:           "error calling omit: want a map, not int",
		`{{ atLeast 1 "abc" }}`:      "error calling atLeast: want a list, not string",
		`{{ fromYaml "a: [" }}`:      "error calling fromYaml: error converting YAML to JSON",
		`{{ fromYaml "- a" }}`:       "error calling fromYaml: error unmarshaling JSON",
		`{{ fromYamlArray "a: 1" }}`: "error calling fromYamlArray: error unmarshaling JSON",
		`{{ fromJson "{" }}`:         "error calling fromJson: unexpected end of JSON input",
		`{{ fromJsonArray "{}" }}`:   "error calling fromJsonArray: json: cannot unmarshal object",
		`{{ fromToml "a" }}`:         "error calling fromToml: toml:",
	} {
		t.Run(text, func(t *testing.T) {
			_, err := mustParse(t, Source{Name: "main", Text: text}).Execute(nil)
			if got := fmt.Sprint(err); !strings.Contains(got, want) {
				t.Errorf("got error %s, want one with %s", got, want)
			}
		})
	}
}

// The functions of the source come on top.
func TestSourceFunctions(t *testing.T) {
	parsed := mustParse(t, Source{
		Name: "main", Text: `{{ self }} {{ include "_p" . }} {{ tpl "{{ self }}" . }} {{ env "HOME" }}`,
		Partials: map[string]string{"_p": "{{ self | upper }}"},
		Funcs: map[string]any{
			"self": func() string { return "pxc-0" },
			"env":  func(name string) string { return "no " + name },
		},
	})
	got, err := parsed.Execute(nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := "pxc-0 PXC-0 pxc-0 no HOME"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
