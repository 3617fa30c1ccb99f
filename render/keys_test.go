package render

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An error about a key that a map does not have says where the map comes from and which
// keys it has, wherever the template took it from. Those of a Secret are not named.
func TestMissingKey(t *testing.T) {
	funcs := map[string]any{
		"configMap": func(name string, more ...string) (map[string]string, error) {
			if name == "absent" {
				return nil, errors.New("absent")
			}
			return map[string]string{"name": name, "colour": "blue"}, nil
		},
		"secret": func(string, ...string) map[string]string { return map[string]string{"password": "x"} },
		"lookup": func(...string) map[string]any {
			return map[string]any{"data": map[string]any{"a": "b"}}
		},
		"here": func() map[string]any { return map[string]any{"Name": "web-0"} },
	}
	data := map[string]any{"Values": map[string]any{"port": 1, "tls": map[string]any{"cert": "x"}}, "l": []any{map[string]any{"a": 1}}}
	for text, want := range map[string]string{
		`{{ (configMap "s").color }}`:                           `configMap "s" [colour name]`,
		"\n\n {{ (configMap \"s\").color }}":                    `configMap "s" [colour name]`,
		`{{ (configMap "s" "n").Data.colour }}`:                 `configMap "s" "n" [colour name]`,
		`{{ $s := configMap "s" }}{{ $s.color }}`:               `configMap "s" [colour name]`,
		`{{ with configMap "s" }}{{ .color }}{{ end }}`:         `configMap "s" [colour name]`,
		`{{ (configMap "s").name }}{{ (configMap "s").color }}`: `configMap "s" [colour name]`,
		`{{ (lookup "v1" "ConfigMap" "" "s").data.color }}`:     `lookup "v1" "ConfigMap" "" "s".data [a]`,
		`{{ (lookup "v1" "Secret" "" "s").data.color }}`:        `lookup "v1" "Secret" "" "s".data []`,
		`{{ (secret "s").pasword }}`:                            `secret "s" []`,
		`{{ $s := secret "s" }}{{ $s.pasword }}`:                `secret "s" []`,
		`{{ with secret "s" }}{{ .pasword }}{{ end }}`:          `secret "s" []`,
		`{{ here.Nam }}`:                            `here [Name]`,
		`{{ .Values.x }}`:                           `.Values [port tls]`,
		`{{ $.Values.x }}`:                          `.Values [port tls]`,
		`{{ .Values.tls.key }}`:                     `.Values.tls [cert]`,
		`{{ .Value.x }}`:                            `. [Values l]`,
		`{{ include "_p" . }}`:                      `.Values [port tls]`,
		`{{ range .l }}{{ .Values }}{{ end }}`:      ` []`, // not one of the data
		`{{ with .Values }}{{ .x }}{{ end }}`:       ` []`,
		`{{ $n := "s" }}{{ (configMap $n).color }}`: ` []`, // computed
		`{{ if (configMap "s").colour }}{{ (configMap "s").color }}{{ end }}`:      `configMap "s" [colour name]`,
		`{{ define "d" }}{{ (configMap "s").color }}{{ end }}{{ template "d" . }}`: `configMap "s" [colour name]`,
	} {
		tmpl, err := Parse(Source{Name: "main", Text: text, Funcs: funcs, Partials: map[string]string{"_p": "\n{{ .Values.x }}"}})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		_, err = tmpl.Execute(data)
		var missing *MissingKeyError
		if !errors.As(err, &missing) {
			t.Errorf("%s: got error %v, want a MissingKeyError", text, err)
			continue
		}
		if !strings.Contains(err.Error(), fmt.Sprintf("map has no entry for key %q", missing.Key)) {
			t.Errorf("%s: key %q, error %v", text, missing.Key, err)
		}
		if diff := cmp.Diff(want, fmt.Sprintf("%s %v", missing.Of, missing.Keys)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", text, diff)
		}
	}
}
