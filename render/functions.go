package render

import (
	"maps"
	"reflect"
	"slices"
	"text/template/parse"

	"github.com/kconfd/kconfd/internal/limits"
)

// FunctionTypes returns the types of the functions that authors of templates can
// call, by name: those of this package, those of text/template that it replaces, and
// the given ones.
func FunctionTypes(funcs map[string]any) map[string]reflect.Type {
	t := &Template{meter: limits.NewMeter(limits.Limits{}), source: Source{Funcs: funcs}}
	types := map[string]reflect.Type{}
	for _, funcs := range t.functions() {
		for name, f := range funcs {
			types[name] = reflect.TypeOf(f)
		}
	}
	maps.DeleteFunc(types, func(name string, _ reflect.Type) bool { return name[0] == '_' })
	return types
}

// Impure reports whether kconfd leaves a function of sprig out on purpose, since it
// gives something else each time it is called.
func Impure(function string) bool { return slices.Contains(impure(), function) }

// Similar returns the known word nearest to word, or an empty string when none is
// near enough to be meant.
func Similar(word string, known []string) string { return similar(word, known) }

// Walk visits a node of a parse tree and every node below it.
func Walk(n parse.Node, visit func(parse.Node)) { walk(n, visit) }
