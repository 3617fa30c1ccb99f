package render

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"text/template"
	"text/template/parse"
)

// A Call is a function's use in a template.
type Call struct {
	Function string
	Args     []*string // literal strings; nil for each argument that is computed
}

// checkIncludes finds the templates that are named and not there: now, rather
// than when the branch that has them is taken.
func (t *Template) checkIncludes() error {
	var missing error
	check := func(name string) {
		if t.template.Lookup(name) == nil && missing == nil {
			missing = &IncludeError{name, similar(name, t.partialNames()), fmt.Errorf("parsing template: %s: there is no template %q to include", t.name, name)}
		}
	}
	for _, c := range t.calls {
		if c.Function == "include" && len(c.Args) > 0 && c.Args[0] != nil {
			check(*c.Args[0])
		}
	}
	t.walk(func(n parse.Node) {
		if n, ok := n.(*parse.TemplateNode); ok {
			check(n.Name)
		}
	})
	return missing
}

// Calls says whether the template or a partial of it calls the function.
func (t *Template) Calls(function string) bool {
	for _, c := range t.calls {
		if c.Function == function {
			return true
		}
	}
	return false
}

// AllCalls are the calls of functions in the template and its partials, taken
// or not, each text's in its order.
func (t *Template) AllCalls() []Call { return t.calls }

func (t *Template) readCalls() []Call {
	var calls []Call
	for _, defined := range t.inOrder() {
		calls = append(calls, callsIn(defined)...)
	}
	return calls
}

// UsedCalls are those of [Template.AllCalls] that the template can come to: not those
// of partials that it does not include. When it computes what it includes, or is given
// more templates as text, they are all.
func (t *Template) UsedCalls() []Call { return t.usedCalls }

func (t *Template) readUsedCalls() []Call {
	var calls []Call
	used := map[string]bool{t.name: true}
	for names := []string{t.name}; len(names) > 0; names = names[1:] {
		defined := t.template.Lookup(names[0])
		if defined == nil || defined.Tree == nil {
			continue
		}
		calls = append(calls, callsIn(defined)...)
		included, known := includesOf(defined)
		if !known {
			return t.calls
		}
		for _, name := range included {
			if !used[name] {
				used[name] = true
				names = append(names, name)
			}
		}
	}
	return calls
}

// includesOf are the names of the templates that one has in it. Known is false when
// some are computed.
func includesOf(defined *template.Template) (names []string, known bool) {
	walk(defined.Root, func(n parse.Node) {
		if n, ok := n.(*parse.TemplateNode); ok {
			names = append(names, n.Name)
		}
	})
	for _, c := range callsIn(defined) {
		switch {
		case c.Function == "tpl":
			return nil, false
		case c.Function != "include":
		case len(c.Args) == 0 || c.Args[0] == nil:
			return nil, false
		default:
			names = append(names, *c.Args[0])
		}
	}
	return names, true
}

// callsIn are the calls in one template's own text.
func callsIn(defined *template.Template) []Call {
	var calls []Call
	args := map[parse.Node][]parse.Node{}
	walk(defined.Root, func(n parse.Node) {
		switch n := n.(type) {
		case *parse.CommandNode: // comes before its function
			args[n.Args[0]] = n.Args[1:]
		case *parse.IdentifierNode: // without a command in {{self.Name}}
			calls = append(calls, callOf(n.Ident, args[n]))
		}
	})
	return calls
}

func callOf(function string, args []parse.Node) Call {
	call := Call{Function: function}
	for _, arg := range args {
		if text, ok := arg.(*parse.StringNode); ok {
			call.Args = append(call.Args, &text.Text)
		} else {
			call.Args = append(call.Args, nil)
		}
	}
	return call
}

// Fields are the names behind dots in the template and its partials: Endpoints
// for {{.Endpoints}} and {{$s.Endpoints}}.
func (t *Template) Fields() map[string]bool { return t.fields }

func (t *Template) readFields() map[string]bool {
	fields := map[string]bool{}
	t.walk(func(n parse.Node) {
		var names []string
		switch n := n.(type) {
		case *parse.FieldNode:
			names = n.Ident
		case *parse.ChainNode:
			names = n.Field
		case *parse.VariableNode:
			names = n.Ident[1:]
		}
		for _, name := range names {
			fields[name] = true
		}
	})
	return fields
}

// walk visits every node of the template and its partials.
func (t *Template) walk(visit func(parse.Node)) {
	for _, defined := range t.inOrder() {
		walk(defined.Root, visit)
	}
}

// inOrder are the template and its partials by their texts' names, with what
// is defined in a text behind it.
func (t *Template) inOrder() []*template.Template {
	all := slices.DeleteFunc(t.template.Templates(), func(d *template.Template) bool { return d.Tree == nil })
	slices.SortFunc(all, func(a, b *template.Template) int {
		return cmp.Or(cmp.Compare(a.ParseName, b.ParseName), cmp.Compare(a.Root.Pos, b.Root.Pos))
	})
	return all
}

func walk(n parse.Node, visit func(parse.Node)) {
	if n == nil || reflect.ValueOf(n).IsNil() {
		return
	}
	visit(n)
	for _, child := range children(n) {
		walk(child, visit)
	}
}

func children(n parse.Node) (nodes []parse.Node) {
	branch := func(b *parse.BranchNode) []parse.Node { return []parse.Node{b.Pipe, b.List, b.ElseList} }
	switch n := n.(type) {
	case *parse.ListNode:
		return n.Nodes
	case *parse.ActionNode:
		return []parse.Node{n.Pipe}
	case *parse.IfNode:
		return branch(&n.BranchNode)
	case *parse.RangeNode:
		return branch(&n.BranchNode)
	case *parse.WithNode:
		return branch(&n.BranchNode)
	case *parse.TemplateNode:
		return []parse.Node{n.Pipe}
	case *parse.ChainNode:
		return []parse.Node{n.Node}
	case *parse.CommandNode:
		return n.Args
	case *parse.PipeNode:
		for _, c := range n.Cmds {
			nodes = append(nodes, c)
		}
	}
	return nodes
}
