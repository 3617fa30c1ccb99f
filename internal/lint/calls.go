package lint

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"text/template/parse"

	"github.com/kconfd/kconfd/render"
)

// A builtin is a function of text/template that has no type of its own.
type builtin struct {
	least, most int // arguments; most is -1 when there is no limit
	result      reflect.Type
}

// builtins are text/template's functions, by name.
func builtins() map[string]builtin {
	boolean, integer, str := typeOf[bool](), typeOf[int](), typeOf[string]()
	return map[string]builtin{
		"and": {1, -1, nil}, "or": {1, -1, nil}, "not": {1, 1, boolean},
		"len": {1, 1, integer}, "index": {1, -1, nil}, "slice": {1, 4, nil}, "call": {1, -1, nil},
		"print": {0, -1, str}, "println": {0, -1, str}, "printf": {1, -1, str},
		"html": {0, -1, str}, "js": {0, -1, str}, "urlquery": {0, -1, str},
		"eq": {2, -1, boolean}, "ne": {2, 2, boolean},
		"lt": {2, 2, boolean}, "le": {2, 2, boolean}, "gt": {2, 2, boolean}, "ge": {2, 2, boolean},
	}
}

// call checks the call of a function, and returns what is known of its result.
func (w *walker) call(f *parse.IdentifierNode, nodes []parse.Node, dot value, last *value) value {
	args := w.arguments(nodes, dot, last)
	if b, ok := w.check.builtins[f.Ident]; ok {
		return w.builtin(f, b, args)
	}
	typ, ok := w.check.functions[f.Ident]
	if !ok {
		w.check.unknownFunction(f, args)
		return value{from: f.Ident}
	}
	w.check.included(f, args)
	w.check.objectName(f, args)
	if w.check.order(f, args) {
		return value{} // with another order it may well be another function
	}
	v := w.callOf(f.Ident, typ, f.Pos, args, last != nil)
	v.from, v.at = f.Ident, f.Pos
	return v
}

// callOf checks the arguments of a function of a known type.
func (w *walker) callOf(name string, typ reflect.Type, pos parse.Pos, args []argument, piped bool) value {
	w.check.arguments(name, typ, pos, args, piped)
	if typ.NumOut() == 0 {
		return value{}
	}
	return value{typ: typ.Out(0)}
}

// arguments checks the number of arguments, and what is known of their types.
func (c *check) arguments(name string, typ reflect.Type, pos parse.Pos, args []argument, piped bool) {
	fixed := typ.NumIn()
	if typ.IsVariadic() {
		fixed--
	}
	if len(args) < fixed || len(args) > fixed && !typ.IsVariadic() {
		c.add(pos, Error, RuleArguments, fmt.Sprintf("%s: %s, want %s", name, counted(len(args), piped), wanted(fixed, typ.IsVariadic())), c.usage(name, typ, args))
		return
	}
	for i, arg := range args {
		want := parameter(typ, i)
		if takes(want, arg) {
			continue
		}
		at := pos
		if arg.node != nil {
			at = startOf(arg.node)
		}
		which := fmt.Sprintf("argument %d", i+1)
		if arg.node == nil {
			which = "what the pipeline gives it"
		}
		c.add(at, Error, RuleArguments, fmt.Sprintf("%s: %s is %s, want %s", name, which, describeValue(arg.value), describe(want)), c.conversion(name, typ, want, args, i))
	}
}

func parameter(typ reflect.Type, i int) reflect.Type {
	if typ.IsVariadic() && i >= typ.NumIn()-1 {
		return typ.In(typ.NumIn() - 1).Elem()
	}
	return typ.In(i)
}

// counted is a number of arguments in words.
func counted(n int, piped bool) string {
	s := fmt.Sprintf("%d arguments", n)
	if n == 1 {
		s = "1 argument"
	}
	if piped {
		s += " with the one of the pipeline"
	}
	return s
}

func wanted(n int, more bool) string {
	if more {
		return fmt.Sprintf("at least %d", n)
	}
	return fmt.Sprint(n)
}

// usage is a hint for a call with too many or too few arguments, or with wrong ones.
func (c *check) usage(name string, typ reflect.Type, args []argument) string {
	if hint := usages()[name]; hint != "" {
		return hint
	}
	if strings.HasPrefix(name, ".") {
		return ""
	}
	var params []string
	for i := range typ.NumIn() {
		in := typ.In(i)
		if typ.IsVariadic() && i == typ.NumIn()-1 {
			params = append(params, "["+noun(in.Elem())+"…]")
			continue
		}
		params = append(params, noun(in))
	}
	return strings.TrimSpace("write " + name + " " + strings.Join(params, " "))
}

// noun is a parameter of a type, as the reference writes parameters.
func noun(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "TEXT"
	case reflect.Bool:
		return "BOOLEAN"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Float64, reflect.Float32:
		return "NUMBER"
	case reflect.Slice:
		return "LIST"
	case reflect.Map:
		return "MAP"
	}
	return "VALUE"
}

// conversion is a hint for an argument of another type.
func (c *check) conversion(name string, typ, want reflect.Type, args []argument, i int) string {
	if hint := usages()[name]; hint != "" {
		return hint
	}
	have := args[i].typ
	convert := ""
	switch kind := want.Kind(); {
	case have == nil:
	case kind == reflect.Int && isNumberOrText(have):
		convert = "int"
	case kind == reflect.Int64 && isNumberOrText(have):
		convert = "int64"
	case kind == reflect.Float64 && isNumberOrText(have):
		convert = "float64"
	case kind == reflect.String && (isNumberOrText(have) || have.Kind() == reflect.Bool):
		convert = "toString"
	case kind == reflect.String && have.Kind() == reflect.Slice:
		return fmt.Sprintf(`join "," LIST makes a string of a list; range calls %s for each element`, name)
	}
	if _, ok := c.functions[convert]; ok {
		return fmt.Sprintf("convert it: (%s …)", convert)
	}
	return c.usage(name, typ, args)
}

func isNumberOrText(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return true
	}
	return false
}

// builtin checks the call of one of text/template's functions.
func (w *walker) builtin(f *parse.IdentifierNode, b builtin, args []argument) value {
	c := w.check
	if n := len(args); n < b.least || b.most >= 0 && n > b.most {
		want := wanted(b.least, b.most < 0)
		if b.most > b.least {
			want = fmt.Sprintf("%d to %d", b.least, b.most)
		}
		c.add(f.Pos, Error, RuleArguments, fmt.Sprintf("%s: %s, want %s", f.Ident, counted(n, args != nil && args[n-1].node == nil), want), "")
		return value{typ: b.result}
	}
	switch f.Ident {
	case "printf":
		if !takes(typeOf[string](), args[0]) {
			c.add(f.Pos, Error, RuleArguments, "printf: the format is "+describeValue(args[0].value)+", want a string", "")
		}
	case "len":
		c.length(f, args[0])
	case "index":
		return value{typ: c.index(f, args)}
	case "eq", "ne", "lt", "le", "gt", "ge":
		c.comparison(f, args)
	case "call":
		c.add(f.Pos, Error, RuleArguments, "call: kconfd has no values that are functions", "")
	}
	return value{typ: b.result}
}

func (c *check) length(f *parse.IdentifierNode, arg argument) {
	t := deref(arg.typ)
	if t == nil {
		return
	}
	switch t.Kind() {
	case reflect.String, reflect.Slice, reflect.Array, reflect.Map, reflect.Chan, reflect.Interface:
		return
	}
	if t == typeOf[reflect.Value]() {
		return
	}
	c.add(f.Pos, Error, RuleType, "len: "+describeValue(arg.value)+" has no length", hintRange(arg.value))
}

func deref(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// index checks the keys and numbers of an index, and returns the type that it gives.
func (c *check) index(f *parse.IdentifierNode, args []argument) reflect.Type {
	t := args[0].typ
	for _, key := range args[1:] {
		t = deref(t)
		if t == nil || t == typeOf[reflect.Value]() {
			return nil
		}
		switch t.Kind() {
		case reflect.Map:
			if key.typ != nil && t.Key().Kind() == reflect.String && isNumber(key.typ) {
				if args[0].from == "split" {
					c.add(args[0].at, Error, RuleType, "split gives a map, and index asks it for an element by number", "splitList gives a list")
					return nil
				}
				c.add(f.Pos, Error, RuleType, "index: the keys of "+describe(t)+" are strings, not "+describeValue(key.value), usages()[args[0].from])
				return nil
			}
			t = t.Elem()
		case reflect.Slice, reflect.Array, reflect.String:
			if key.typ != nil && key.typ.Kind() == reflect.String {
				c.add(f.Pos, Error, RuleType, "index: "+describe(t)+" has numbers for its elements, not "+describeValue(key.value), "")
				return nil
			}
			if t.Kind() == reflect.String {
				return typeOf[uint8]()
			}
			t = t.Elem()
		case reflect.Interface:
			return nil
		default:
			c.add(f.Pos, Error, RuleType, "index: "+describe(t)+" is not a list or map", "")
			return nil
		}
	}
	return t
}

func isNumber(t reflect.Type) bool { return t.Kind() != reflect.String && isNumberOrText(t) }

// comparison finds values that can never be compared.
func (c *check) comparison(f *parse.IdentifierNode, args []argument) {
	first := compared(args[0].typ)
	for _, other := range args[1:] {
		second := compared(other.typ)
		if first == reflect.Invalid || second == reflect.Invalid || first == second {
			continue
		}
		hint := ""
		if first == reflect.String && second == reflect.Int || first == reflect.Int && second == reflect.String {
			hint = "compare two strings, or make an integer of the string: (int …)"
		}
		c.add(f.Pos, Error, RuleArguments, fmt.Sprintf("%s: %s cannot be compared with %s", f.Ident, describeValue(args[0].value), describeValue(other.value)), hint)
	}
}

// compared is the kind that stands for all that a type can be compared with;
// Invalid when that is not known.
func compared(t reflect.Type) reflect.Kind {
	if t == nil {
		return reflect.Invalid
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return reflect.Int
	case reflect.Float32, reflect.Float64:
		return reflect.Float64
	case reflect.String, reflect.Bool:
		return t.Kind()
	}
	return reflect.Invalid
}

// unknownFunction notes a function that there is not, with what takes its place.
func (c *check) unknownFunction(f *parse.IdentifierNode, args []argument) {
	message := fmt.Sprintf("there is no function %q", f.Ident)
	if render.Impure(f.Ident) {
		message = fmt.Sprintf("function %q is left out: %v", f.Ident, render.ErrImpure)
	}
	hint := concrete(f.Ident, args)
	if hint == "" {
		hint = HintFor(f.Ident, c.names)
	}
	c.add(f.Pos, Error, RuleUnknownFunction, message, hint)
}

// HintFor is what to write in the place of a function that there is not: from the
// table of other tools, or a known name that is similar.
func HintFor(function string, known []string) string {
	if hint := Instead(function); hint != "" {
		return hint
	}
	if render.Impure(function) {
		return ""
	}
	if similar := render.Similar(function, known); similar != "" {
		return fmt.Sprintf("did you mean %q?", similar)
	}
	return fmt.Sprintf("the functions are listed in docs/reference.md; a text is in quotes: %q", function)
}

// included notes the name of a template that include is given and that is not there.
func (c *check) included(f *parse.IdentifierNode, args []argument) {
	if f.Ident != "include" || len(args) == 0 || args[0].node == nil {
		return
	}
	if name, ok := args[0].node.(*parse.StringNode); ok {
		c.template(name.Text, name.Pos)
	}
}

// pairField notes the fields of the pairs that gets, ls and tree give elsewhere: what
// takes the place of these gives none.
func (c *check) pairField(pos parse.Pos, v value, name string) {
	if v.typ != nil || name != "Key" && name != "Value" || !slices.Contains(givesPairs(), v.from) {
		return
	}
	c.add(pos, Error, RuleType, fmt.Sprintf("the elements of what takes the place of %s have no .%s", v.from, name),
		fmt.Sprintf(`range $key, $value := configMap "NAME", and here $%s`, strings.ToLower(name)))
}

// noField notes a field that a value does not have.
func (c *check) noField(pos parse.Pos, v value, name string) {
	names := fieldNames(v.typ)
	hint := usages()[v.from]
	switch t := deref(v.typ); {
	case v.from == "service" && consulFields()[name] != "":
	case t.Name() == "Endpoint" && consulFields()[name] != "":
		hint = consulFields()[name]
	case t.Kind() == reflect.Slice:
		hint = "range goes through a list, first gives its first element"
	case t.Kind() == reflect.Struct:
		if similar := render.Similar(name, names); similar != "" {
			hint = fmt.Sprintf("did you mean .%s?", similar)
		} else {
			slices.Sort(names)
			hint = "it has ." + strings.Join(slices.Compact(names), ", .")
		}
	}
	c.add(pos, Error, RuleType, fmt.Sprintf("%s has no field .%s", describe(v.typ), name), hint)
}
