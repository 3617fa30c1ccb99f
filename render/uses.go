package render

import (
	"reflect"
	"text/template/parse"
)

// A Call is a function's use in a template.
type Call struct {
	Function string
	Args     []*string // literal strings; nil for each argument that is computed
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
// or not, in the order of the text.
func (t *Template) AllCalls() []Call { return t.calls }

func (t *Template) readCalls() []Call {
	var calls []Call
	t.walk(func(n parse.Node) {
		command, ok := n.(*parse.CommandNode)
		if !ok || len(command.Args) == 0 {
			return
		}
		function, ok := command.Args[0].(*parse.IdentifierNode)
		if !ok {
			return
		}
		call := Call{Function: function.Ident}
		for _, arg := range command.Args[1:] {
			if text, ok := arg.(*parse.StringNode); ok {
				call.Args = append(call.Args, &text.Text)
			} else {
				call.Args = append(call.Args, nil)
			}
		}
		calls = append(calls, call)
	})
	return calls
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
	for _, defined := range t.template.Templates() {
		if defined.Tree != nil {
			walk(defined.Root, visit)
		}
	}
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
