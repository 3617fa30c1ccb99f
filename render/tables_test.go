package render

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// A pair is a template of another project's tests, with what it is to give there.
type pair struct {
	place  string // the test's function
	text   string
	data   any
	want   string
	fails  bool // it is to be an error
	opaque bool // the data is not among what a tableReader understands
}

// moduleDir is where the source of a module is, as the go.mod in a directory has it.
func moduleDir(t *testing.T, dir, module string) string {
	t.Helper()
	command := exec.Command("go", "mod", "download", "-json", module)
	command.Dir = dir
	out, err := command.Output()
	var found struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &found); jsonErr != nil || found.Dir == "" {
		t.Fatalf("downloading %s: %v, %v, %s", module, err, jsonErr, found.Error)
	}
	return found.Dir
}

// pairsOf are those in the tests of a package. They are read and not run: assignments
// and loops over literals are followed, up to calls of runt and runtv of sprig's tests,
// and to tables with a field tpl.
func pairsOf(t *testing.T, dir string) []pair {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var pairs []pair
	for _, name := range files {
		if strings.HasSuffix(name, "_windows_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Test") {
				r := tableReader{place: f.Name.Name, known: map[string]any{}, pairs: &pairs}
				r.statements(f.Body.List)
			}
		}
	}
	return pairs
}

// A tableReader follows one function.
type tableReader struct {
	place string
	known map[string]any
	pairs *[]pair
}

// unknown is a value that a tableReader does not understand.
type unknown struct{}

func (r tableReader) statements(list []ast.Stmt) {
	for _, s := range list {
		r.statement(s)
	}
}

func (r tableReader) statement(s ast.Stmt) {
	switch s := s.(type) {
	case *ast.AssignStmt:
		for i, left := range s.Lhs {
			if name, ok := left.(*ast.Ident); ok && len(s.Lhs) == len(s.Rhs) {
				r.known[name.Name] = r.value(s.Rhs[i], nil)
			}
			if element, ok := left.(*ast.IndexExpr); ok {
				if name, ok := element.X.(*ast.Ident); ok {
					r.known[name.Name] = unknown{}
				}
			}
		}
		r.calls(s)
	case *ast.DeclStmt:
		ast.Inspect(s, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok {
				for i, name := range v.Names {
					r.known[name.Name] = unknown{}
					if i < len(v.Values) {
						r.known[name.Name] = r.value(v.Values[i], nil)
					}
				}
			}
			return true
		})
	case *ast.IfStmt:
		if s.Init != nil {
			r.statement(s.Init)
		}
		r.statement(s.Body)
		if s.Else != nil {
			r.statement(s.Else)
		}
	case *ast.BlockStmt:
		r.statements(s.List)
	case *ast.RangeStmt:
		r.loop(s)
	default:
		r.calls(s)
	}
}

func (r tableReader) loop(s *ast.RangeStmt) {
	over := reflect.ValueOf(r.value(s.X, nil))
	bind := func(e ast.Expr, v reflect.Value) {
		if name, ok := e.(*ast.Ident); ok {
			r.known[name.Name] = v.Interface()
		}
	}
	switch over.Kind() {
	case reflect.Map:
		for all := over.MapRange(); all.Next(); {
			bind(s.Key, all.Key())
			bind(s.Value, all.Value())
			r.statement(s.Body)
		}
	case reflect.Slice:
		for i := range over.Len() {
			bind(s.Value, over.Index(i))
			if row, ok := over.Index(i).Interface().(map[string]any); ok && row["tpl"] != nil {
				r.row(row)
				continue
			}
			r.statement(s.Body)
		}
	}
}

// row is one of a table of Helm's tests. Without what is expected an error is.
func (r tableReader) row(row map[string]any) {
	text, _ := row["tpl"].(string)
	want, given := row["expect"].(string)
	_, opaque := row["vars"].(unknown)
	*r.pairs = append(*r.pairs, pair{r.place, text, row["vars"], want, !given, opaque})
}

// calls finds those of sprig's runt and runtv.
func (r tableReader) calls(n ast.Node) {
	ast.Inspect(n, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		name, _ := call.Fun.(*ast.Ident)
		if name == nil || name.Name != "runt" && name.Name != "runtv" {
			return true
		}
		text, isText := r.value(call.Args[0], nil).(string)
		want, isKnown := r.value(call.Args[1], nil).(string)
		p := pair{place: r.place, text: text, want: want, data: map[string]string{}, opaque: !isText || !isKnown}
		if name.Name == "runtv" {
			p.data = r.value(call.Args[2], nil)
			if _, is := p.data.(unknown); is {
				p.opaque = true
			}
		}
		*r.pairs = append(*r.pairs, p)
		return true
	})
}

// value is that of an expression, of a type where that is not in the expression.
func (r tableReader) value(e ast.Expr, of ast.Expr) any {
	switch e := e.(type) {
	case *ast.BasicLit:
		return literal(e)
	case *ast.ParenExpr:
		return r.value(e.X, of)
	case *ast.Ident:
		switch e.Name {
		case "nil":
			return nil
		case "true", "false":
			return e.Name == "true"
		}
		if v, ok := r.known[e.Name]; ok {
			return v
		}
	case *ast.SelectorExpr:
		if row, ok := r.value(e.X, nil).(map[string]any); ok {
			return row[e.Sel.Name]
		}
	case *ast.BinaryExpr:
		a, isText := r.value(e.X, nil).(string)
		b, isToo := r.value(e.Y, nil).(string)
		if isText && isToo && e.Op == token.ADD {
			return a + b
		}
	case *ast.UnaryExpr:
		if n, ok := r.value(e.X, nil).(int); ok && e.Op == token.SUB {
			return -n
		}
	case *ast.CallExpr:
		return r.converted(e)
	case *ast.CompositeLit:
		if e.Type != nil {
			of = e.Type
		}
		return r.composite(e, of)
	}
	return unknown{}
}

func literal(e *ast.BasicLit) any {
	switch e.Kind {
	case token.STRING:
		s, _ := strconv.Unquote(e.Value)
		return s
	case token.INT:
		n, _ := strconv.Atoi(e.Value)
		return n
	case token.FLOAT:
		f, _ := strconv.ParseFloat(e.Value, 64)
		return f
	}
	return unknown{}
}

// converted is what fmt.Sprintf makes, or a number of another type.
func (r tableReader) converted(e *ast.CallExpr) any {
	var args []any
	for _, arg := range e.Args {
		v := r.value(arg, nil)
		if _, is := v.(unknown); is {
			return v
		}
		args = append(args, v)
	}
	switch f := e.Fun.(type) {
	case *ast.SelectorExpr:
		if format, ok := append(args, nil)[0].(string); ok && f.Sel.Name == "Sprintf" {
			return fmt.Sprintf(format, args[1:]...)
		}
	case *ast.Ident:
		if types := simpleTypes(); len(args) == 1 && types[f.Name] != nil && reflect.TypeOf(args[0]).ConvertibleTo(types[f.Name]) {
			return reflect.ValueOf(args[0]).Convert(types[f.Name]).Interface()
		}
	}
	return unknown{}
}

func simpleTypes() map[string]reflect.Type {
	return map[string]reflect.Type{
		"int": reflect.TypeFor[int](), "int64": reflect.TypeFor[int64](), "int32": reflect.TypeFor[int32](), "float64": reflect.TypeFor[float64](),
		"string": reflect.TypeFor[string](), "bool": reflect.TypeFor[bool](), "uint": reflect.TypeFor[uint](), "any": reflect.TypeFor[any](),
	}
}

// typeOf is a type of simple types; nil when it is none.
func typeOf(e ast.Expr) reflect.Type {
	switch e := e.(type) {
	case *ast.Ident:
		return simpleTypes()[e.Name]
	case *ast.InterfaceType:
		return reflect.TypeFor[any]()
	case *ast.ArrayType:
		if element := typeOf(e.Elt); element != nil && e.Len == nil {
			return reflect.SliceOf(element)
		}
	case *ast.MapType:
		if key, element := typeOf(e.Key), typeOf(e.Value); key != nil && element != nil {
			return reflect.MapOf(key, element)
		}
	}
	return nil
}

// composite is a map or list. Structs are maps of their fields.
func (r tableReader) composite(e *ast.CompositeLit, of ast.Expr) any {
	if list, ok := of.(*ast.ArrayType); ok {
		if _, isStruct := list.Elt.(*ast.StructType); isStruct {
			rows := []any{}
			for _, element := range e.Elts {
				rows = append(rows, r.fields(element.(*ast.CompositeLit)))
			}
			return rows
		}
	}
	t := typeOf(of)
	if t == nil {
		return unknown{}
	}
	made := reflect.MakeSlice(reflect.SliceOf(reflect.TypeFor[any]()), 0, 0)
	if t.Kind() == reflect.Map {
		made = reflect.MakeMap(t)
	} else if t.Kind() == reflect.Slice {
		made = reflect.MakeSlice(t, 0, len(e.Elts))
	}
	for _, element := range e.Elts {
		if pair, ok := element.(*ast.KeyValueExpr); ok {
			value := r.typed(pair.Value, of.(*ast.MapType).Value, t.Elem())
			key := r.typed(pair.Key, nil, t.Key())
			if !value.IsValid() || !key.IsValid() {
				return unknown{}
			}
			made.SetMapIndex(key, value)
			continue
		}
		value := r.typed(element, of.(*ast.ArrayType).Elt, t.Elem())
		if !value.IsValid() {
			return unknown{}
		}
		made = reflect.Append(made, value)
	}
	return made.Interface()
}

func (r tableReader) typed(e, of ast.Expr, t reflect.Type) reflect.Value {
	v := r.value(e, of)
	if v == nil {
		return reflect.Zero(t)
	}
	value := reflect.ValueOf(v)
	if _, is := v.(unknown); is || !value.Type().ConvertibleTo(t) {
		return reflect.Value{}
	}
	return value.Convert(t)
}

func (r tableReader) fields(e *ast.CompositeLit) map[string]any {
	row := map[string]any{}
	for _, element := range e.Elts {
		if field, ok := element.(*ast.KeyValueExpr); ok {
			row[field.Key.(*ast.Ident).Name] = r.value(field.Value, nil)
		}
	}
	return row
}
