package render

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/Masterminds/sprig/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/kconfd/kconfd/internal/limits"
)

// Every function of sprig is measured, or has one of kconfd's own in its place,
// or is named here with a reason: a new version of sprig brings no other.
func TestAllFunctionsAreMeasured(t *testing.T) {
	m := &maker{Meter: limits.NewMeter(limits.Limits{}), sprig: pure()}
	own := m.replaced()
	var without []string
	for name, f := range m.sprig {
		if _, replaced := own[name]; replaced {
			continue
		}
		if _, wrapped := m.Wrap(f, shallow(name)); !wrapped {
			without = append(without, name)
		}
	}
	slices.Sort(without)
	want := []string{
		"hello",      // takes nothing
		"mustToDate", // as long as its texts
		"unixEpoch",  // a number
		"unset",      // makes nothing
	}
	if diff := cmp.Diff(want, without); diff != "" {
		t.Errorf("not measured: -want +got:\n%s", diff)
	}
	for name := range own {
		if sprig.TxtFuncMap()[name] == nil && helm()[name] == nil && m.builtins()[name] == nil {
			t.Errorf("%s is in the place of none", name)
		}
	}
}

// The functions in the place of sprig's give what sprig's give.
func TestReplacedFunctionsAreSprigs(t *testing.T) {
	own := &maker{Meter: limits.NewMeter(limits.Limits{}), sprig: pure(), regexps: map[string]*expression{}}
	own.Start()
	mine, theirs := own.replaced(), sprig.TxtFuncMap()
	numbers := []any{-3, -1, 0, 1, 2, 5}
	texts := []any{"", "a", "a b", "a,b,,c", "x\ny\n", "ab12ab", "ä€", "$1", "a+", "(b)|a", "1.2.3", ">=1"}
	lists := []any{[]any{}, []any{1, 2, 1, "a", nil}, []string{"b", "a", "b"}, []int{3, 1}, []any{[]any{1}, []any{1}}}
	dicts := []any{map[string]any{}, map[string]any{"a": 1, "b": map[string]any{"c": 2}}, map[string]any{"b": map[string]any{"d": 3}}}
	for name, calls := range map[string][][]any{
		"until": {numbers}, "untilStep": {numbers, numbers, numbers}, "seq": {numbers, numbers, numbers},
		"repeat": {numbers, texts}, "indent": {numbers, texts}, "nindent": {numbers, texts}, "replace": {texts, texts, texts},
		"wrap": {numbers, texts}, "wrapWith": {numbers, texts, texts}, "join": {texts, slices.Concat(lists[:4], texts, numbers)},
		"split": {texts, texts}, "splitn": {texts, numbers, texts}, "splitList": {texts, texts},
		"dict": {slices.Concat(texts, numbers), lists}, "concat": {lists, lists}, "pluck": {texts, dicts, dicts},
		"deepCopy": {slices.Concat(lists, dicts)}, "uniq": {lists}, "has": {slices.Concat(numbers, texts), lists}, "without": {lists, numbers, texts},
		"semver": {texts}, "semverCompare": {texts, texts}, "mustMerge": {dicts, dicts}, "mergeOverwrite": {dicts, dicts}, "merge": {dicts, dicts},
		"regexMatch": {texts, texts}, "mustRegexMatch": {texts, texts}, "regexFind": {texts, texts}, "regexFindAll": {texts, texts, numbers}, "regexSplit": {texts, texts, numbers},
		"regexReplaceAll": {texts, texts, texts}, "regexReplaceAllLiteral": {texts, texts, texts}, "addf": {numbers, numbers}, "mulf": {numbers, numbers}, "divf": {numbers, numbers},
		"mustToJson": {slices.Concat(lists, dicts, texts)}, "toPrettyJson": {slices.Concat(lists, dicts)}, "toRawJson": {slices.Concat(lists, texts)},
	} {
		t.Run(name, func(t *testing.T) {
			for _, args := range combinations(calls) {
				got, gotErr := call(mine[name], args)
				want, wantErr := call(theirs[name], args)
				if (gotErr == nil) != (wantErr == nil) {
					t.Fatalf("%v: got error %v, want %v", args, gotErr, wantErr)
				}
				if gotErr == nil && !reflect.DeepEqual(got, want) {
					t.Fatalf("%v: got %#v, want %#v", args, got, want)
				}
			}
		})
	}
}

func combinations(of [][]any) [][]any {
	if len(of) == 0 {
		return [][]any{nil}
	}
	var all [][]any
	for _, first := range of[0] {
		for _, rest := range combinations(of[1:]) {
			all = append(all, append([]any{first}, rest...))
		}
	}
	return all
}

// call calls f as text/template does, on copies of maps.
func call(f any, args []any) (result any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	var values []reflect.Value
	for _, a := range args {
		if d, ok := a.(map[string]any); ok {
			a = maps.Clone(d)
			if inner, ok := d["b"].(map[string]any); ok {
				a.(map[string]any)["b"] = maps.Clone(inner)
			}
		}
		values = append(values, reflect.ValueOf(a))
	}
	out := reflect.ValueOf(f).Call(values)
	if len(out) == 2 && !out[1].IsNil() {
		return nil, out[1].Interface().(error)
	}
	return out[0].Interface(), nil
}

// Counts end at the ends of what an int holds.
func TestSteps(t *testing.T) {
	const largest, smallest = 1<<63 - 1, -1 << 63
	for _, test := range []struct{ start, stop, step, want int }{
		{0, 10, 3, 4},
		{0, 9, 3, 3},
		{10, 0, -3, 4},
		{0, 10, 0, 0},
		{0, 10, -1, 0},
		{10, 0, 1, 0},
		{5, 5, 1, 0},
		{0, largest, largest - 1, 2},
		{0, largest, 1, largest},
		{smallest, largest, 1, -1},
		{largest, smallest, smallest, 2},
		{largest, smallest, -1, -1},
	} {
		if got := steps(test.start, test.stop, test.step); got != test.want {
			t.Errorf("from %d to %d by %d: got %d, want %d", test.start, test.stop, test.step, got, test.want)
		}
	}
}

// The settings count.
func TestLimits(t *testing.T) {
	for name, test := range map[string]struct {
		limits     limits.Limits
		good, bad  string
		limitError string
	}{
		"depth":      {limits.Limits{Depth: 3}, `{{define "a"}}{{if gt . 1}}{{template "a" (sub . 1)}}{{end}}{{end}}{{template "a" 3}}`, `{{define "a"}}{{if gt . 1}}{{template "a" (sub . 1)}}{{end}}{{end}}{{template "a" 4}}`, `main:1:15: templates within templates, and again "a": limit "depth" of 3 exceeded`},
		"values":     {limits.Limits{Depth: 2}, `{{list (list 1)}}`, `{{list (list (list 1))}}`, `main:1:3: values within values: limit "depth" of 2 exceeded`},
		"elements":   {limits.Limits{Elements: 3}, `{{until 3}}`, `{{until 4}}`, `main:1:3: executing "main" at <until 4>: error calling until: a list of 4 elements: limit "elements" of 3 exceeded`},
		"iterations": {limits.Limits{Iterations: 3}, `{{range until 3}}x{{end}}`, "\n{{range until 4}}x{{end}}", `main:2:9: the loops go round once more: limit "iterations" of 3 exceeded`},
		"value":      {limits.Limits{Value: 3}, `{{repeat 3 "x"}}`, `{{repeat 4 "x"}}`, `main:1:3: executing "main" at <repeat 4 "x">: error calling repeat: a text of 4 bytes: limit "value" of 3 exceeded`},
		"an include": {limits.Limits{Value: 3}, `{{define "a"}}xxx{{end}}{{include "a" .}}`, `{{define "a"}}xxxx{{end}}{{include "a" .}}`, `main:1:15: the template prints more: limit "value" of 3 exceeded`},
		"output":     {limits.Limits{Output: 4096}, `{{repeat 4096 "x"}}`, "x{{repeat 4096 `x`}}", `main:1:1: the template prints more: limit "output" of 4Ki exceeded`},
		"memory":     {limits.Limits{Memory: 1 << 20}, `{{fromJsonArray "[1]"}}`, `{{print "[" (repeat 20000 "1,") "1]" | fromJsonArray}}`, `main:1:40: executing "main" at <fromJsonArray>: error calling fromJsonArray: 2040203 bytes needed at once: limit "memory" of 1Mi exceeded`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := mustParse(t, Source{Name: "main", Text: test.good, Limits: test.limits}).Execute(nil); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			_, err := mustParse(t, Source{Name: "main", Text: test.bad, Limits: test.limits}).Execute(nil)
			if got, want := fmt.Sprint(err), `rendering "main": `+test.limitError; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			var over *limits.Error
			if !errors.As(err, &over) {
				t.Errorf("got error %T, want one of a limit in its chain", err)
			}
		})
	}
}
