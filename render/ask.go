package render

import (
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
)

// The functions that an asker puts into parse trees. They are not for authors.
const (
	askFunc   = "_ask"   // PATH VALUE ARGS…: VALUE.PATH ARGS…, or a missing
	indexFunc = "_index" // index, whose nil in the middle is a missing
	sureFunc  = "_sure"  // VALUE, unless it is a missing
)

// An asker rewrites parse trees: a key that a template asks about, as in
//
//	{{ .Values.port | default 80 }}   {{ if .Values.tls.cert }}   {{ required "set x" .Values.x }}
//
// may be missing, at any depth of the chain. Each such chain becomes a call of
// _ask, which gives a [missing] where text/template would fail. A value that may
// be one goes through _sure before it is printed or passed to a function that
// does not ask.
//
// A variable takes a missing when it is asked about anywhere in its template.
// All of one name count as one variable there.
type asker struct {
	tracked map[string]bool // variables that may be a missing

	// Of the first pass, which finds these variables and rewrites nothing.
	scanning bool
	sources  map[string][]string // what variables are assigned from
	targets  []string            // of the assignment at hand
}

// A context is what becomes of a value.
type context int

const (
	used     context = iota // printed, or passed to what does not ask
	assigned                // to a variable; of the first pass only
	asked
)

// asks says whether the function asks about its argument i of n, from 0. An
// argument that must be a text is not asked about.
func asks(function string, i, n int) bool {
	switch function {
	case "default", "coalesce", "empty", "all", "any", "and", "or", "not", "ternary", "kindOf", "typeOf":
		return true
	case "required", "kindIs", "typeIs", "typeIsLike":
		return i == 1
	case "hasKey", "get":
		return i == 0
	case "dig":
		return i >= n-2
	}
	return false
}

// passesOn says whether the result of an asking function may be its argument i of n.
func passesOn(function string, i, n int) bool {
	switch function {
	case "default":
		return i == 0
	case "coalesce", "and":
		return true
	case "or":
		return i == n-1
	case "ternary":
		return i < 2
	case "dig":
		return i == n-2
	}
	return false
}

// asksAnything says whether a template has a key that is asked about.
func asksAnything(defined *template.Template) (found bool) {
	if defined.Tree == nil {
		return false
	}
	walk(defined.Root, func(n parse.Node) {
		switch n := n.(type) {
		case *parse.IfNode, *parse.WithNode:
			found = true
		case *parse.RangeNode:
			found = found || n.ElseList != nil
		case *parse.IdentifierNode:
			found = found || asks(n.Ident, 0, 2) || asks(n.Ident, 1, 2)
		}
	})
	return found
}

// askAbout rewrites a template.
func askAbout(defined *template.Template) {
	if !asksAnything(defined) {
		return
	}
	scan := &asker{scanning: true, tracked: map[string]bool{}, sources: map[string][]string{}}
	scan.list(defined.Root)
	(&asker{tracked: scan.reached()}).list(defined.Root)
}

// reached are the variables that are asked about, and those they are assigned from.
func (a *asker) reached() map[string]bool {
	var names []string
	for name := range a.tracked {
		names = append(names, name)
	}
	for ; len(names) > 0; names = names[1:] {
		for _, source := range a.sources[names[0]] {
			if !a.tracked[source] {
				a.tracked[source] = true
				names = append(names, source)
			}
		}
	}
	return a.tracked
}

func (a *asker) list(list *parse.ListNode) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			a.action(n.Pipe)
		case *parse.TemplateNode:
			a.pipe(n.Pipe, used)
		case *parse.IfNode:
			a.branch(&n.BranchNode, asked)
		case *parse.WithNode:
			a.branch(&n.BranchNode, asked)
		case *parse.RangeNode:
			if n.ElseList != nil {
				a.branch(&n.BranchNode, asked)
			} else {
				a.branch(&n.BranchNode, used)
			}
		}
	}
}

func (a *asker) branch(b *parse.BranchNode, as context) {
	if as == asked {
		a.declares(b.Pipe) // the else branch has it as well
	}
	a.pipe(b.Pipe, as)
	a.list(b.List)
	a.list(b.ElseList)
}

// declares tracks the variables of a pipeline whose value is used besides.
func (a *asker) declares(p *parse.PipeNode) {
	for _, variable := range p.Decl {
		a.tracked[variable.Ident[0]] = true
	}
}

func (a *asker) action(p *parse.PipeNode) {
	as := used
	for _, variable := range p.Decl {
		name := variable.Ident[0]
		switch {
		case a.scanning:
			as = assigned
			a.targets = append(a.targets, name)
		case a.tracked[name]:
			as = asked
		}
	}
	a.pipe(p, as)
	a.targets = nil
}

// pipe rewrites a pipeline and says whether its value may be a missing.
func (a *asker) pipe(p *parse.PipeNode, as context) (may bool) {
	if p == nil {
		return false
	}
	var commands []*parse.CommandNode
	for i, c := range p.Cmds {
		becomes := as
		if i+1 < len(p.Cmds) {
			becomes = used
			if next, ok := p.Cmds[i+1].Args[0].(*parse.IdentifierNode); ok {
				if n := len(p.Cmds[i+1].Args); asks(next.Ident, n-1, n) {
					becomes = asked
				}
			}
		}
		may = a.command(c, becomes, i > 0, may)
		commands = append(commands, c)
		if may && becomes == used && !a.scanning {
			sure := callOfFunc(sureFunc, c.Pos)
			sure.Args = append(sure.Args, &parse.PipeNode{NodeType: parse.NodePipe, Pos: c.Pos, Cmds: commands})
			commands, may = []*parse.CommandNode{sure}, false
		}
	}
	p.Cmds = commands
	return may
}

// command rewrites one of a pipeline. Piped says that it is given the value of
// the one before, and mayBe that this may be a missing.
func (a *asker) command(c *parse.CommandNode, as context, piped, mayBe bool) bool {
	switch first := c.Args[0].(type) {
	case *parse.IdentifierNode:
		if first.Ident == "index" && !piped && len(c.Args) > 1 && as != used {
			return a.index(c, first, as)
		}
		return a.call(first.Ident, c.Args[1:], piped, mayBe)
	case *parse.FieldNode, *parse.VariableNode, *parse.ChainNode:
		for i, arg := range c.Args[1:] {
			c.Args[i+1], _ = a.node(arg, used)
		}
		if len(c.Args) > 1 && !piped && as == asked && !a.scanning {
			chain, _ := a.node(first, asked)
			if called, ok := chain.(*parse.PipeNode); ok {
				call := called.Cmds[0]
				call.Args = append(call.Args, c.Args[1:]...)
				c.Args = []parse.Node{called}
			}
			return true
		}
		if piped {
			as = used
		}
	}
	var may bool
	c.Args[0], may = a.node(c.Args[0], as)
	return may
}

// call rewrites the arguments of a function and says whether its result may be a missing.
func (a *asker) call(function string, args []parse.Node, piped, mayBe bool) (may bool) {
	n := len(args)
	if piped {
		n++
		may = mayBe && passesOn(function, n-1, n)
	}
	for i, arg := range args {
		as := used
		if asks(function, i, n) {
			as = asked
		}
		rewritten, mayBe := a.node(arg, as)
		args[i] = rewritten
		may = may || mayBe && passesOn(function, i, n)
	}
	return may
}

// index rewrites the command index MAP KEYS….
func (a *asker) index(c *parse.CommandNode, function *parse.IdentifierNode, as context) bool {
	c.Args[1], _ = a.node(c.Args[1], as)
	for i, key := range c.Args[2:] {
		c.Args[i+2], _ = a.node(key, used)
	}
	if !a.scanning {
		c.Args[0] = parse.NewIdentifier(indexFunc).SetPos(function.Pos)
	}
	return true
}

// node rewrites an argument and says whether its value may be a missing.
func (a *asker) node(n parse.Node, as context) (parse.Node, bool) {
	switch n := n.(type) {
	case *parse.PipeNode:
		a.declares(n)
		return n, a.pipe(n, as)
	case *parse.FieldNode:
		if as == asked {
			return a.ask(n.Ident, &parse.DotNode{NodeType: parse.NodeDot, Pos: n.Pos}, n), true
		}
	case *parse.VariableNode:
		return a.variable(n, as)
	case *parse.ChainNode:
		if as == used {
			n.Node, _ = a.node(n.Node, used)
			return n, false
		}
		receiver, _ := a.node(n.Node, as)
		if as == asked {
			return a.ask(n.Field, receiver, n), true
		}
	}
	return n, false
}

func (a *asker) variable(n *parse.VariableNode, as context) (parse.Node, bool) {
	name, fields := n.Ident[0], n.Ident[1:]
	if a.scanning {
		switch as {
		case asked:
			a.tracked[name] = true
		case assigned:
			for _, target := range a.targets {
				a.sources[target] = append(a.sources[target], name)
			}
		}
		return n, false
	}
	bare := &parse.VariableNode{NodeType: parse.NodeVariable, Pos: n.Pos, Ident: n.Ident[:1]}
	switch {
	case as == asked && len(fields) > 0:
		return a.ask(fields, bare, n), true
	case as == asked:
		return n, a.tracked[name]
	case !a.tracked[name]:
		return n, false
	}
	sure := callOfFunc(sureFunc, n.Pos)
	sure.Args = append(sure.Args, bare)
	var safe parse.Node = inParentheses(sure)
	if len(fields) > 0 {
		safe = &parse.ChainNode{NodeType: parse.NodeChain, Pos: n.Pos, Node: safe, Field: fields}
	}
	return safe, false
}

// ask is (_ask "a.b" RECEIVER) in the place of a node.
func (a *asker) ask(fields []string, receiver, instead parse.Node) parse.Node {
	if a.scanning {
		return instead
	}
	path := strings.Join(fields, ".")
	call := callOfFunc(askFunc, instead.Position())
	call.Args = append(call.Args, &parse.StringNode{NodeType: parse.NodeString, Pos: call.Pos, Quoted: `"` + path + `"`, Text: path}, receiver)
	return inParentheses(call)
}

func inParentheses(c *parse.CommandNode) *parse.PipeNode {
	return &parse.PipeNode{NodeType: parse.NodePipe, Pos: c.Pos, Cmds: []*parse.CommandNode{c}}
}

// asWritten takes what an asker has put into templates out of an error's text.
func asWritten(text string) string {
	for _, function := range []string{askFunc, sureFunc} {
		text = strings.ReplaceAll(text, "error calling "+function+": ", "")
	}
	text = strings.ReplaceAll(text, indexFunc+" ", "index ")
	text = strings.ReplaceAll(text, "error calling "+indexFunc+":", "error calling index:")
	for at := len(text); at > 0; { // inner calls begin behind outer ones
		at = max(strings.LastIndex(text[:at], askFunc+` "`), strings.LastIndex(text[:at], sureFunc+" "))
		if at < 1 {
			break
		}
		written, end := chainIn(text[at:], text[at-1])
		switch {
		case end < 0:
		case text[at-1] == '(':
			text = text[:at-1] + written + text[at+end+1:]
		default:
			text = text[:at] + written + text[at+end:]
		}
	}
	return text
}

// chainIn is the chain that a call stands for, with the text's part that it takes the
// place of. The call stands in parentheses, or by itself in what an error quotes.
func chainIn(call string, opened byte) (chain string, end int) {
	end = closingParenthesis(call)
	if opened == '<' {
		end = strings.Index(call, ">: ")
	}
	if end < 0 {
		return "", -1
	}
	function, rest, _ := strings.Cut(call[:end], " ")
	path := ""
	if function == askFunc {
		var ok bool
		if path, rest, ok = strings.Cut(rest, " "); !ok {
			return "", -1
		}
		path = "." + strings.Trim(path, `"`)
	}
	receiver, args := rest, ""
	first := strings.IndexByte(rest, ' ')
	if strings.HasPrefix(rest, "(") {
		first = closingParenthesis(rest[1:]) + 2
	}
	if first > 0 && first < len(rest) {
		receiver, args = rest[:first], rest[first:]
	}
	if receiver == "." {
		receiver = ""
	}
	if opened == '<' && path == "" && args == "" && strings.HasPrefix(receiver, "(") {
		return receiver[1 : len(receiver)-1], end
	}
	if strings.HasPrefix(args, " |") && opened == '(' {
		return "(" + receiver + path + args + ")", end
	}
	return receiver + path + args, end
}

// closingParenthesis is where the one is that closes what was opened before the text.
func closingParenthesis(text string) int {
	open := 1
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '(':
			open++
		case ')':
			if open--; open == 0 {
				return i
			}
		case '"', '`':
			end := quotedEnd(text[i:]) // of a raw text, which seldom has backslashes
			i += end - 1
		}
	}
	return -1
}

// asksAnything says whether the template, a partial of it, or a text that it runs as a
// template may have a key that is asked about.
func (t *Template) asksAnything() bool {
	return t.Calls("tpl") || slices.ContainsFunc(t.template.Templates(), asksAnything)
}

// mutates says whether running the template twice may differ from running it once:
// it changes maps, or it may.
func (t *Template) mutates() bool {
	return slices.ContainsFunc([]string{"set", "unset", "merge", "mustMerge", "mergeOverwrite", "mustMergeOverwrite", "tpl"}, t.Calls)
}
