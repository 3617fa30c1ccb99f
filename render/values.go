package render

import (
	"reflect"
	"slices"
	"text/template"
	"text/template/parse"

	"github.com/kconfd/kconfd/internal/limits"
)

// watchValues lets the meter see values that text/template prints, where these
// may contain themselves, and the results of methods, where these may grow. Most
// templates have neither, and pay nothing.
func (t *Template) watchValues(templates []*template.Template) {
	v := valueWatcher{t: t, prints: t.callsAny(builders()), methods: t.callsAny(methodical())}
	for _, d := range templates {
		if d.Tree != nil && (v.prints || v.methods) {
			walk(d.Root, v.visit)
		}
	}
}

func (t *Template) callsAny(functions []string) bool {
	return slices.ContainsFunc(functions, t.Calls)
}

type valueWatcher struct {
	t               *Template
	prints, methods bool
}

func (v valueWatcher) visit(n parse.Node) {
	switch n := n.(type) {
	case *parse.PipeNode:
		if v.methods {
			v.methodsOf(n)
		}
	case *parse.ActionNode:
		if v.prints && len(n.Pipe.Decl) == 0 && !v.printsText(n.Pipe) {
			n.Pipe.Cmds = append(n.Pipe.Cmds, callOfFunc(limits.PrintFunc, n.Pos))
		}
	}
}

// printsText says whether the last of a pipeline is sure to be no list or map.
func (v valueWatcher) printsText(p *parse.PipeNode) bool {
	last := p.Cmds[len(p.Cmds)-1].Args[0]
	switch last := last.(type) {
	case *parse.StringNode, *parse.NumberNode, *parse.BoolNode:
		return true
	case *parse.IdentifierNode:
		for _, funcs := range slices.Backward(v.t.funcs) {
			if f, there := funcs[last.Ident]; there {
				return reflect.TypeOf(f).Out(0).Kind() <= reflect.Float64 || reflect.TypeOf(f).Out(0).Kind() == reflect.String
			}
		}
	}
	return false
}

// methodsOf lets the results of methods with arguments be seen.
func (v valueWatcher) methodsOf(p *parse.PipeNode) {
	for i := 0; i < len(p.Cmds); i++ {
		switch p.Cmds[i].Args[0].(type) {
		case *parse.FieldNode, *parse.ChainNode, *parse.VariableNode:
			if len(p.Cmds[i].Args) > 1 || i > 0 {
				p.Cmds = slices.Insert(p.Cmds, i+1, callOfFunc(limits.ValueFunc, p.Cmds[i].Pos))
				i++
			}
		}
	}
}

func callOfFunc(name string, at parse.Pos) *parse.CommandNode {
	return &parse.CommandNode{NodeType: parse.NodeCommand, Pos: at, Args: []parse.Node{parse.NewIdentifier(name).SetPos(at)}}
}
