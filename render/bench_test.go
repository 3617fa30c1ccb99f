package render

import (
	"fmt"
	"strings"
	"testing"
)

// What a change costs: templates over 10,000 endpoints.
func BenchmarkExecute(b *testing.B) {
	type endpoint struct {
		Pod, Address, Zone string
		Port               int32
		Ready              bool
	}
	var list []*endpoint
	for i := range 10000 {
		list = append(list, &endpoint{fmt.Sprintf("web-%d", i), fmt.Sprintf("10.0.%d.%d", i/250, i%250), "a", 8080, i%3 > 0})
	}
	for name, text := range map[string]string{
		"plain":     `{{range .}}server {{.Pod}} {{.Address}}` + "\n{{end}}",
		"branches":  `{{range .}}{{if .Ready}}server {{.Pod}} {{.Address}}:{{.Port}}{{end}}` + "\n{{end}}",
		"variables": `{{range $i, $e := .}}server{{$i}} {{$e.Pod}} {{$e.Address}}` + "\n{{end}}",
		"functions": `{{range .}}server {{.Pod | quote}} {{printf "%s:%d" .Address .Port}} {{if eq .Zone "a"}}{{.Zone | upper}}{{end}}` + "\n{{end}}",
		"templates": `{{define "s"}}server {{.Pod}}{{end}}{{range .}}{{template "s" .}}` + "\n{{end}}",
		"includes":  `{{define "s"}}server {{.Pod}}{{end}}{{range .}}{{include "s" .}}` + "\n{{end}}",
		"lists":     `{{$l := list}}{{range .}}{{if lt (len $l) 1000}}{{$l = append $l .Address}}{{end}}{{end}}{{$l | join ","}}{{range .}}{{.Pod}}{{$l | len}}` + "\n{{end}}",
		"regexps":   `{{range .}}{{regexReplaceAll "[0-9]+$" .Pod "x"}}` + "\n{{end}}",
	} {
		b.Run(name, func(b *testing.B) {
			t, err := Parse(Source{Name: "x", Text: strings.TrimSpace(text)})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := t.Execute(list); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a template costs at the start.
func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(Source{Name: "x", Text: "{{range .}}{{.Pod}}{{end}}"}); err != nil {
			b.Fatal(err)
		}
	}
}

// What documents in ConfigMaps cost: 1,000 entries.
func BenchmarkDocuments(b *testing.B) {
	var yaml, json, numbers strings.Builder
	json.WriteString("{")
	for i := range 1000 {
		fmt.Fprintf(&yaml, "key%d: {port: %d, ratio: 0.5, name: \"web-%d\", tags: [a, b]}\n", i, 8000+i, i)
		fmt.Fprintf(&json, "\"key%d\": {\"port\": %d, \"ratio\": 0.5, \"name\": \"web-%d\", \"tags\": [\"a\", \"b\"]},", i, 8000+i, i)
		fmt.Fprintf(&numbers, "%d\n", i)
	}
	json.WriteString(`"end": {}}`)
	data := map[string]any{"yaml": yaml.String(), "json": json.String(), "numbers": numbers.String()}
	for name, text := range map[string]string{
		"fromYaml": `{{ fromYaml .yaml | len }}`,
		"fromJson": `{{ fromJson .json | len }}`,
		"toYaml":   `{{ fromJson .json | toYaml | len }}`,
		"toToml":   `{{ fromJson .json | toToml | len }}`,
		"int":      `{{ range splitList "\n" (trim .numbers) }}{{ add (. | int) 1 }}{{ end }}`,
	} {
		b.Run(name, func(b *testing.B) {
			t, err := Parse(Source{Name: "x", Text: text})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := t.Execute(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
