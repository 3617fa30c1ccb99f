package lint

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"text/template/parse"

	"github.com/kconfd/kconfd/render"
)

// A walker follows one parse tree as text/template would run it, with what is
// known of the values in place of them.
type walker struct {
	check    *check
	vars     []variable
	assigned map[string]bool // variables that are given another value somewhere
}

type variable struct {
	name  string
	value value
}

// tree walks a tree from its root, with what is known of its data.
func (w *walker) tree(t *parse.Tree, data value) {
	w.assigned = assignedIn(t.Root)
	w.vars = []variable{{"$", data}}
	w.list(t.Root, data)
}

// assignedIn are the variables to which a tree assigns with =.
func assignedIn(root *parse.ListNode) map[string]bool {
	names := map[string]bool{}
	render.Walk(root, func(n parse.Node) {
		if p, ok := n.(*parse.PipeNode); ok && p.IsAssign {
			for _, v := range p.Decl {
				names[v.Ident[0]] = true
			}
		}
	})
	return names
}

func (w *walker) list(list *parse.ListNode, dot value) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			w.pipe(n.Pipe, dot)
		case *parse.IfNode:
			w.scoped(func() {
				w.pipe(n.Pipe, dot)
				w.list(n.List, dot)
				w.list(n.ElseList, dot)
			})
		case *parse.WithNode:
			w.scoped(func() {
				inner := w.pipe(n.Pipe, dot)
				inner.literal = nil
				w.list(n.List, inner)
				w.list(n.ElseList, dot)
			})
		case *parse.RangeNode:
			w.scoped(func() { w.loop(n, dot) })
		case *parse.TemplateNode:
			w.check.template(n.Name, n.Pos)
			if n.Pipe != nil {
				w.pipe(n.Pipe, dot)
			}
		}
	}
}

func (w *walker) scoped(do func()) {
	outer := len(w.vars)
	do()
	w.vars = w.vars[:outer]
}

// loop walks a range with its element as the dot.
func (w *walker) loop(n *parse.RangeNode, dot value) {
	over := w.commands(n.Pipe, dot)
	key, element, ok := elementOf(over.typ)
	if !ok {
		w.check.add(startOf(n.Pipe.Cmds[0].Args[0]), Error, RuleType, "range: "+describeValue(over)+" is not a list or map", hintRange(over))
		if members, ok := methodOf(over.typ, "Endpoints"); ok { // the body is checked as it is to be
			key, element, _ = elementOf(members.Out(0))
		}
	}
	if over.from == "split" && over.typ != nil && over.typ.Kind() == reflect.Map {
		w.check.add(over.at, Warning, RuleType, "split gives a map, and range goes by its keys: _0, _1, _10, _2", "splitList gives a list")
	}
	one := value{typ: element}
	if over.typ == nil {
		one.from = over.from
	}
	w.scoped(func() {
		switch decl := n.Pipe.Decl; len(decl) {
		case 1:
			w.set(n.Pipe, decl[0], one)
		case 2:
			w.set(n.Pipe, decl[0], value{typ: key})
			w.set(n.Pipe, decl[1], one)
		}
		w.list(n.List, one)
	})
	w.list(n.ElseList, dot)
}

// elementOf are the types of the keys and elements that range gives; nil when they
// are not known. It is false for what range does not take.
func elementOf(t reflect.Type) (key, element reflect.Type, ok bool) {
	if t == nil {
		return nil, nil, true
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Array:
		return typeOf[int](), t.Elem(), true
	case reflect.Map:
		return t.Key(), t.Elem(), true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return t, t, true
	case reflect.Interface, reflect.Chan, reflect.Func:
		return nil, nil, true
	}
	return nil, nil, t == typeOf[reflect.Value]()
}

// pipe evaluates a pipeline and sets its variables.
func (w *walker) pipe(p *parse.PipeNode, dot value) value {
	v := w.commands(p, dot)
	for _, d := range p.Decl {
		w.set(p, d, v)
	}
	return v
}

func (w *walker) set(p *parse.PipeNode, d *parse.VariableNode, v value) {
	if p.IsAssign {
		return // nothing is known of a variable that is assigned to
	}
	if w.assigned[d.Ident[0]] {
		v = value{}
	}
	v.root = false
	w.vars = append(w.vars, variable{d.Ident[0], v})
}

func (w *walker) commands(p *parse.PipeNode, dot value) value {
	if p == nil {
		return value{}
	}
	var v value
	for i, c := range p.Cmds {
		var last *value
		if i > 0 {
			before := v
			last = &before
		}
		v = w.command(c, dot, last)
	}
	return v
}

// command evaluates one command of a pipeline; last is what the one before gave,
// nil for the first.
func (w *walker) command(c *parse.CommandNode, dot value, last *value) value {
	first := c.Args[0]
	switch n := first.(type) {
	case *parse.IdentifierNode:
		return w.call(n, c.Args[1:], dot, last)
	case *parse.FieldNode:
		return w.fields(dot, n, n.Ident, c.Args[1:], dot, last)
	case *parse.VariableNode:
		if len(n.Ident) > 1 {
			return w.fields(w.variable(n.Ident[0]), n, n.Ident[1:], c.Args[1:], dot, last)
		}
	case *parse.ChainNode:
		return w.fields(w.argument(n.Node, dot), n, n.Field, c.Args[1:], dot, last)
	}
	if len(c.Args) > 1 || last != nil {
		w.check.add(startOf(first), Error, RuleArguments, fmt.Sprintf("%s is not a function and takes no arguments", first), "")
	}
	for _, arg := range c.Args[1:] {
		w.argument(arg, dot)
	}
	return w.argument(first, dot)
}

// argument evaluates what stands as an argument.
func (w *walker) argument(n parse.Node, dot value) value {
	if v, ok := literalOf(n); ok {
		return v
	}
	switch n := n.(type) {
	case *parse.DotNode:
		return dot
	case *parse.VariableNode:
		return w.fields(w.variable(n.Ident[0]), n, n.Ident[1:], nil, dot, nil)
	case *parse.FieldNode:
		return w.fields(dot, n, n.Ident, nil, dot, nil)
	case *parse.ChainNode:
		return w.fields(w.argument(n.Node, dot), n, n.Field, nil, dot, nil)
	case *parse.PipeNode:
		return w.pipe(n, dot)
	case *parse.IdentifierNode:
		return w.call(n, nil, dot, nil)
	}
	return value{}
}

func (w *walker) variable(name string) value {
	for _, v := range slices.Backward(w.vars) {
		if v.name == name {
			return v.value
		}
	}
	return value{}
}

// fields follows the names behind a value. The last may be a method with arguments.
func (w *walker) fields(v value, at parse.Node, names []string, args []parse.Node, dot value, last *value) value {
	for i, name := range names {
		pos := fieldPos(at, i)
		if v.root {
			w.check.data(pos, name)
		}
		if i == len(names)-1 {
			if method, ok := methodOf(v.typ, name); ok {
				return w.callOf("."+name, method, pos, w.arguments(args, dot, last), last != nil)
			}
		}
		w.check.pairField(pos, v, name)
		result, exists, known := fieldOf(v.typ, name)
		if known && !exists {
			w.check.noField(pos, v, name)
		}
		if !known || !exists {
			result = nil
		}
		v = value{typ: result, from: v.from, at: v.at}
	}
	if len(names) == 0 {
		return v
	}
	all := w.arguments(args, dot, last)
	if len(all) > 0 && v.typ != nil && v.typ.Kind() != reflect.Interface && v.typ.Kind() != reflect.Func {
		w.check.add(startOf(at), Error, RuleArguments, fmt.Sprintf(".%s is not a function and takes no arguments", strings.Join(names, ".")), "")
	}
	return v
}

// arguments evaluates those of a call, with what the pipeline adds.
func (w *walker) arguments(args []parse.Node, dot value, last *value) []argument {
	var all []argument
	for _, n := range args {
		all = append(all, argument{w.argument(n, dot), n})
	}
	if last != nil {
		all = append(all, argument{*last, nil})
	}
	return all
}

// An argument is one of a call. Its node is nil for what the pipeline adds.
type argument struct {
	value
	node parse.Node
}

// startOf is where a node begins. text/template notes for fields behind one another
// where the second begins, and for those of a variable the first.
func startOf(n parse.Node) parse.Pos {
	switch n := n.(type) {
	case *parse.FieldNode:
		if len(n.Ident) > 1 {
			return n.Pos - parse.Pos(len(n.Ident[0])+1)
		}
	case *parse.VariableNode:
		if len(n.Ident) > 1 {
			return n.Pos - parse.Pos(len(n.Ident[0]))
		}
	case *parse.ChainNode:
		return startOf(n.Node)
	}
	return n.Position()
}

// fieldPos is where the dot before the i-th field of a node is.
func fieldPos(n parse.Node, i int) parse.Pos {
	var names []string
	pos := n.Position()
	switch n := n.(type) {
	case *parse.FieldNode:
		names, pos = n.Ident, startOf(n)
	case *parse.VariableNode:
		names = n.Ident[1:]
	case *parse.ChainNode:
		names = n.Field
	}
	for _, name := range names[:min(i, len(names))] {
		pos += parse.Pos(len(name) + 1)
	}
	return pos
}
