package limits

import (
	"errors"
	"fmt"
	"reflect"
	"text/template"
)

// PrintFunc is the function through which values go that are printed, and
// ValueFunc that for the results of methods. They are not for authors.
const (
	PrintFunc = "_print"
	ValueFunc = "_value"
)

// Builtins are text/template's functions that may need much, measured, and
// those that Mount puts into pipelines.
func (m *Meter) Builtins() map[string]any {
	return map[string]any{
		"print":    m.printer(1, fmt.Sprint),
		"println":  m.printer(1, fmt.Sprintln),
		"printf":   m.printf,
		"html":     m.printer(5, template.HTMLEscaper),
		"js":       m.printer(6, template.JSEscaper),
		"urlquery": m.printer(3, template.URLQueryEscaper),
		"eq":       m.eq,
		"ne": func(a, b reflect.Value) (bool, error) {
			same, err := m.eq(a, b)
			return !same, err
		},
		"lt": func(a, b reflect.Value) (bool, error) { return m.less(a, b) },
		"gt": func(a, b reflect.Value) (bool, error) { return m.less(b, a) },
		"le": func(a, b reflect.Value) (bool, error) {
			greater, err := m.less(b, a)
			return !greater && err == nil, err
		},
		"ge": func(a, b reflect.Value) (bool, error) {
			less, err := m.less(a, b)
			return !less && err == nil, err
		},
		PrintFunc: m.print,
		ValueFunc: m.Result,
	}
}

// printer is a function that makes at most factor times of what its arguments
// take when they are printed.
func (m *Meter) printer(factor int, print func(...any) string) func(...any) (string, error) {
	return func(args ...any) (string, error) {
		n, err := m.printed(args)
		if err == nil && factor*n > m.limits.Value {
			err = m.Need(Times(factor, n))
		}
		if err != nil {
			return "", err
		}
		s := print(args...)
		return s, m.Text(len(s))
	}
}

// print looks at a value that is about to be printed.
func (m *Meter) print(v reflect.Value) (reflect.Value, error) {
	switch v.Kind() {
	case reflect.Map, reflect.Slice, reflect.Array, reflect.Struct, reflect.Pointer, reflect.Interface:
		if v.CanInterface() {
			return v, m.Printable(v.Interface())
		}
	}
	return v, nil
}

// Result fails when what a method gave is too large.
func (m *Meter) Result(v reflect.Value) (reflect.Value, error) {
	switch v.Kind() {
	case reflect.String:
		return v, m.Text(v.Len())
	case reflect.Slice:
		return v, m.List(v.Len(), int(v.Type().Elem().Size()))
	}
	return v, nil
}

// eq is text/template's, but for numbers of different types, and for its errors: these
// print what cannot be compared, which may contain itself.
func (m *Meter) eq(a reflect.Value, others ...reflect.Value) (bool, error) {
	if len(others) == 0 {
		return false, errors.New("missing argument for comparison")
	}
	a = inside(a)
	for _, b := range others {
		b = inside(b)
		if err := m.Spend(callCost); err != nil {
			return false, err
		}
		if same, err := equal(a, b); same || err != nil {
			return same, err
		}
	}
	return false, nil
}

func inside(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.Interface {
		return v.Elem()
	}
	return v
}

func equal(a, b reflect.Value) (bool, error) {
	x, y := basic(a), basic(b)
	switch {
	case x != y && isNumber(a) && isNumber(b):
		order, comparable := compareNumbers(a, b)
		return comparable && order == 0, nil
	case x != y && a.IsValid() && b.IsValid():
		return false, fmt.Errorf("incompatible types for comparison: %v and %v", a.Type(), b.Type())
	case x != y:
		return false, nil
	}
	switch x {
	case reflect.Bool:
		return a.Bool() == b.Bool(), nil
	case reflect.Int:
		return a.Int() == b.Int(), nil
	case reflect.Uint:
		return a.Uint() == b.Uint(), nil
	case reflect.Float64:
		return a.Float() == b.Float(), nil
	case reflect.Complex128:
		return a.Complex() == b.Complex(), nil
	case reflect.String:
		return a.String() == b.String(), nil
	}
	return equalOthers(a, b)
}

// equalOthers compares what is no number, text or bool.
func equalOthers(a, b reflect.Value) (bool, error) {
	switch {
	case a.Kind() != b.Kind() && a.IsValid() && b.IsValid():
		return false, fmt.Errorf("non-comparable types %v and %v", a.Type(), b.Type())
	case isNil(a) || isNil(b):
		return isNil(a) == isNil(b), nil
	case !b.Type().Comparable() || !a.Type().Comparable():
		return false, fmt.Errorf("non-comparable type %v", b.Type())
	}
	return a.Interface() == b.Interface(), nil
}

func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Chan, reflect.Func, reflect.Interface, reflect.Map, reflect.Pointer, reflect.Slice:
		return v.IsNil()
	}
	return false
}

// basic is the kind that stands for all sizes of a number, and Invalid for what
// is no number, text or bool.
func basic(v reflect.Value) reflect.Kind {
	switch {
	case v.CanInt():
		return reflect.Int
	case v.CanUint():
		return reflect.Uint
	case v.CanFloat():
		return reflect.Float64
	case v.CanComplex():
		return reflect.Complex128
	case v.Kind() == reflect.Bool, v.Kind() == reflect.String:
		return v.Kind()
	}
	return reflect.Invalid
}
