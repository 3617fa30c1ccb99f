package render

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
)

// takingWhole returns the functions with parameters that take a whole number of any
// type where they take an int: `until .Values.replicas` has an int64, and what comes
// from JSON may be 3.0. A text is an error of the call, as is what does not fit.
func takingWhole(all []map[string]any) []map[string]any {
	loose := make([]map[string]any, len(all))
	for i, funcs := range all {
		loose[i] = maps.Clone(funcs)
		for name, f := range funcs {
			if wantsInteger(reflect.TypeOf(f)) {
				loose[i][name] = takeWhole(reflect.ValueOf(f))
			}
		}
	}
	return loose
}

// wantsInteger says whether a function has a parameter of one of Go's integer types.
func wantsInteger(t reflect.Type) bool {
	for i := range t.NumIn() {
		in := t.In(i)
		if t.IsVariadic() && i == t.NumIn()-1 {
			in = in.Elem()
		}
		if isInteger(in) {
			return true
		}
	}
	return false
}

// isInteger says whether a type is one of Go's own for integers.
func isInteger(t reflect.Type) bool {
	return t.PkgPath() == "" && (reflect.Zero(t).CanInt() || reflect.Zero(t).CanUint())
}

// takeWhole is a function whose integers have the type any.
func takeWhole(f reflect.Value) any {
	strict := f.Type()
	anything := reflect.TypeFor[any]()
	in, out := make([]reflect.Type, strict.NumIn()), make([]reflect.Type, strict.NumOut())
	for i := range in {
		in[i] = strict.In(i)
		switch {
		case isInteger(in[i]):
			in[i] = anything
		case strict.IsVariadic() && i == len(in)-1 && isInteger(in[i].Elem()):
			in[i] = reflect.SliceOf(anything)
		}
	}
	for i := range out {
		out[i] = strict.Out(i)
	}
	call := f.Call
	if strict.IsVariadic() {
		call = f.CallSlice
	}
	return reflect.MakeFunc(reflect.FuncOf(in, out, strict.IsVariadic()), func(args []reflect.Value) []reflect.Value {
		for i, arg := range args {
			want := strict.In(i)
			switch {
			case in[i] == want:
			case isInteger(want):
				args[i] = integer(arg, want)
			default:
				numbers := reflect.MakeSlice(want, arg.Len(), arg.Len())
				for j := range arg.Len() {
					numbers.Index(j).Set(integer(arg.Index(j), want.Elem()))
				}
				args[i] = numbers
			}
		}
		return call(args)
	}).Interface()
}

// integer is a whole number as a value of one of Go's integer types. It panics with
// an error for another value, of which text/template makes an error of the call.
func integer(arg reflect.Value, t reflect.Type) reflect.Value {
	v := arg.Interface()
	indirect := reflect.Indirect(reflect.ValueOf(v))
	f, isFloat := floatOf(v)
	_, isDigits := v.(json.Number)
	if !indirect.IsValid() || !isDigits && !indirect.CanInt() && !indirect.CanUint() && (!isFloat || f != math.Trunc(f)) {
		panic(fmt.Errorf("want an integer, not %s", describe(v)))
	}
	n, err := whole(v)
	if err != nil {
		panic(err)
	}
	result := reflect.New(t).Elem()
	switch {
	case result.CanInt() && !result.OverflowInt(n):
		result.SetInt(n)
	case result.CanUint() && n >= 0 && !result.OverflowUint(uint64(n)):
		result.SetUint(uint64(n))
	default:
		panic(fmt.Errorf("%d does not fit into the type %s", n, t))
	}
	return result
}
