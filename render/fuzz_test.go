package render

import (
	"flag"
	"maps"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/kconfd/kconfd/internal/limits"
)

// Whatever text and data a template has, a run ends soon, with bounded memory
// and without a panic. What Go cannot recover from ends the test.
func FuzzTemplate(f *testing.F) {
	if flag.Lookup("test.fuzz").Value.String() != "" { // else TestHostile runs them
		cases := hostileCases()
		for _, name := range slices.Sorted(maps.Keys(cases)) {
			f.Add(cases[name].text, "{{ . }}", int64(2_000_000_000))
		}
	}
	for _, text := range hostileTexts() {
		f.Add(`{{ tpl .s . }}{{ fromJson .s }}{{ fromYaml .s }}`, text, int64(-1))
	}
	data := hostileData()
	f.Fuzz(func(t *testing.T, text, s string, n int64) {
		d := maps.Clone(data)
		d["s"], d["n"], d["i"] = s, n, int(n)
		quick := limits.Limits{
			Time: 500 * time.Millisecond, Value: 4 << 20, Output: 4 << 20, Memory: 64 << 20, Iterations: 300_000, Elements: 300_000,
		}
		used, before := stopwatch(t), heapNow()
		parsed, err := Parse(Source{Name: "main", Text: text, Limits: quick, Partials: map[string]string{"_p": hostilePartial}})
		if err != nil {
			return
		}
		_, _ = parsed.Execute(d)
		if took := used(); took > 8*time.Second {
			t.Errorf("took %s of processor time", took)
		}
		if grown := heapNow() - before; grown > 600<<20 {
			t.Errorf("took %d MiB", grown>>20)
		}
	})
}

// heapNow is what the heap takes, with its garbage.
func heapNow() int {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// hostileTexts are short texts of the kinds that functions parse.
func hostileTexts() []string {
	return []string{
		"a: &a [*a]", "a: &a {<<: *a}", "[[[[]]]]", `{"a":{"a":{}}}`, "{{ tpl .s . }}", "{{define `x`}}{{template `x`}}{{end}}{{template `x`}}",
		"{{range .n}}{{end}}", "{{ until .i | toYaml }}", "{{if 1}}{{else if 0}}{{end}}", "{{/* {{ */}}", "{{ \"}}\" }}{{ `}}` }}{{ '}' }}", "{{- (((1))) -}}",
		"{{ repeat .i .s }}", "{{ $x := dict }}{{ set $x .s $x }}", "{{ regexFindAll .s .text .i }}", "{{ printf .s .i .i .s }}", "%[3]*.[2]*[1]f %!", "{{ semver .s }}",
	}
}
