package lint

import (
	"reflect"
	"slices"
	"strings"
	"text/template/parse"
)

// A value is what is known of a template's value before it is run.
type value struct {
	typ     reflect.Type // nil: not known
	literal parse.Node   // a StringNode, NumberNode, BoolNode or NilNode; nil for others
	from    string       // the function that gave it, or empty
	at      parse.Pos    // of that function's call
	root    bool         // the template's data
}

// text is the value when it is a literal string.
func (v value) text() (string, bool) {
	s, ok := v.literal.(*parse.StringNode)
	if !ok {
		return "", false
	}
	return s.Text, true
}

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// literalOf is the value that a literal has where its type decides nothing, as
// text/template has it.
func literalOf(n parse.Node) (value, bool) {
	switch n := n.(type) {
	case *parse.StringNode:
		return value{typ: typeOf[string](), literal: n}, true
	case *parse.BoolNode:
		return value{typ: typeOf[bool](), literal: n}, true
	case *parse.NilNode:
		return value{literal: n}, true
	case *parse.NumberNode:
		v := value{literal: n}
		hex := len(n.Text) > 2 && n.Text[0] == '0' && (n.Text[1] == 'x' || n.Text[1] == 'X')
		switch {
		case n.IsComplex && !n.IsInt && !n.IsFloat && !n.IsUint:
			v.typ = typeOf[complex128]()
		case n.Text[0] == '\'':
			v.typ = typeOf[rune]()
		case n.IsFloat && !hex && strings.ContainsAny(n.Text, ".eEpP"):
			v.typ = typeOf[float64]()
		case n.IsInt:
			v.typ = typeOf[int]()
		}
		return v, true
	}
	return value{}, false
}

// takes says whether a parameter of type want takes the argument, as text/template
// decides it. What is not known is taken.
func takes(want reflect.Type, v argument) bool {
	if want == typeOf[reflect.Value]() {
		return true
	}
	if literal, ok := literalOf(v.node); ok {
		return takesLiteral(want, literal.literal)
	}
	if isInteger(want) && v.typ != nil && isNumber(v.typ) {
		literal, ok := v.literal.(*parse.NumberNode)
		return !ok || literal.IsInt
	}
	switch {
	case v.typ == nil, v.typ.Kind() == reflect.Interface, v.typ == typeOf[reflect.Value]():
		return true
	case v.typ.AssignableTo(want):
		return true
	case v.typ.Kind() == reflect.Pointer && v.typ.Elem().AssignableTo(want):
		return true
	}
	return v.literal == nil && reflect.PointerTo(v.typ).AssignableTo(want) // of a field, for instance
}

// isInteger says whether values of a type are whole numbers.
func isInteger(t reflect.Type) bool {
	return reflect.Zero(t).CanInt() || reflect.Zero(t).CanUint()
}

func takesLiteral(want reflect.Type, n parse.Node) bool {
	if want.Kind() == reflect.Interface {
		return want.NumMethod() == 0
	}
	switch n := n.(type) {
	case *parse.StringNode:
		return want.Kind() == reflect.String
	case *parse.BoolNode:
		return want.Kind() == reflect.Bool
	case *parse.NilNode:
		return canBeNil(want)
	case *parse.NumberNode:
		switch want.Kind() {
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
			return n.IsInt
		case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
			return n.IsUint
		case reflect.Float32, reflect.Float64:
			return n.IsFloat
		case reflect.Complex64, reflect.Complex128:
			return n.IsComplex
		}
		return false
	}
	return true
}

func canBeNil(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Interface, reflect.Map, reflect.Pointer, reflect.Slice:
		return true
	}
	return t == typeOf[reflect.Value]()
}

// describe is a type in words.
func describe(t reflect.Type) string {
	if t == nil {
		return "nil"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "a boolean"
	case reflect.Int:
		return "an integer"
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return "an integer of the type " + t.Kind().String()
	case reflect.Float32, reflect.Float64:
		return "a decimal number"
	case reflect.Slice, reflect.Array:
		if name := elementName(t.Elem()); name != "" {
			return "a list of " + name
		}
		return "a list"
	case reflect.Map:
		if t.Elem().Kind() == reflect.String {
			return "a map of strings"
		}
		return "a map"
	case reflect.Pointer:
		return describe(t.Elem())
	case reflect.Struct:
		return "one " + t.Name()
	case reflect.Interface:
		return "any value"
	}
	return "a " + t.String()
}

// elementName is what the elements of a list are called; empty for those of any type.
func elementName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "strings"
	case reflect.Int, reflect.Int64:
		return "integers"
	case reflect.Pointer:
		return elementName(t.Elem())
	case reflect.Struct:
		name := t.Name()
		if strings.HasSuffix(name, "s") {
			return name
		}
		return name + "s"
	}
	return ""
}

// describeValue is what a value is in words: a literal as it is written.
func describeValue(v value) string {
	if v.literal != nil {
		return v.literal.String()
	}
	return describe(v.typ)
}

// fieldOf is the type of a field or method of a value. Known is false when it
// cannot be known; exists is false when the value has none of that name.
func fieldOf(t reflect.Type, name string) (result reflect.Type, exists, known bool) {
	if t == nil || t.Kind() == reflect.Interface || t == typeOf[reflect.Value]() {
		return nil, true, false
	}
	receiver := t
	if t.Kind() != reflect.Pointer {
		receiver = reflect.PointerTo(t) // as of a field, which has an address
	}
	if m, ok := receiver.MethodByName(name); ok {
		if m.Type.NumOut() == 0 {
			return nil, true, false
		}
		return m.Type.Out(0), true, true
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Struct:
		if f, ok := t.FieldByName(name); ok && f.IsExported() {
			return f.Type, true, true
		}
		return nil, false, true
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			return t.Elem(), true, true
		}
		return nil, false, true
	case reflect.Interface:
		return nil, true, false
	}
	return nil, false, true
}

// methodOf is a method's type, without its receiver; nil when there is none.
func methodOf(t reflect.Type, name string) (reflect.Type, bool) {
	if t == nil {
		return nil, false
	}
	receiver := t
	if t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface {
		receiver = reflect.PointerTo(t)
	}
	m, ok := receiver.MethodByName(name)
	if !ok || t.Kind() == reflect.Interface {
		return nil, false
	}
	var in, out []reflect.Type
	for i := 1; i < m.Type.NumIn(); i++ {
		in = append(in, m.Type.In(i))
	}
	for i := range m.Type.NumOut() {
		out = append(out, m.Type.Out(i))
	}
	return reflect.FuncOf(in, out, m.Type.IsVariadic()), true
}

// fieldNames are the fields and methods that a template can use.
func fieldNames(t reflect.Type) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var names []string
	if t.Kind() == reflect.Struct {
		for _, f := range reflect.VisibleFields(t) {
			if f.IsExported() && !f.Anonymous {
				names = append(names, f.Name)
			}
		}
	}
	p := reflect.PointerTo(t)
	for i := range p.NumMethod() {
		names = append(names, p.Method(i).Name)
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "String" })
}
