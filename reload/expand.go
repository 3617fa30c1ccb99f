package reload

import (
	"fmt"
	"maps"
	"strings"
	"text/template"
	"text/template/parse"

	"al.essio.dev/pkg/shellescape"

	"github.com/kconfd/kconfd/internal/limits"
)

// Expand fills in the {{ }} of the command: {{.src}} and whatever else is in data, with the functions of
// funcs. In a list each word is filled in by itself and stays one word. In a shell command each value
// is quoted where it needs to be, also between the quotes that the command has itself, so that it
// stays one word and nothing in it is run.
//
// A name that data does not have is an error.
func (c Command) Expand(data map[string]any, funcs template.FuncMap) (Command, error) {
	expanded := c
	expanded.Argv = nil
	for _, word := range c.Argv {
		s, err := expandWord(word, data, funcs)
		if err != nil {
			return Command{}, fmt.Errorf("expanding command %q: %w", shorten(c.String()), err)
		}
		expanded.Argv = append(expanded.Argv, s)
	}
	shell, err := expandShell(c.Shell, data, funcs)
	if err != nil {
		return Command{}, fmt.Errorf("expanding command %q: %w", shorten(c.String()), err)
	}
	expanded.Shell = shell
	return expanded, nil
}

// Validate finds when the configuration is read what Run or Expand would otherwise find when it is too
// late: a command that is both list and shell command, or neither, and mistakes in its {{ }}, including
// names that do not exist. The data is an example of what Expand will be given.
func (c Command) Validate(data map[string]any, funcs template.FuncMap) error {
	expanded, err := c.Expand(data, funcs)
	if err != nil {
		return err
	}
	return expanded.check()
}

func parseCommand(m *limits.Meter, text string, funcs template.FuncMap) (*template.Template, error) {
	if err := m.Nesting("command", text, "", ""); err != nil {
		return nil, err
	}
	return template.New("command").Option("missingkey=error").Funcs(m.Builtins()).Funcs(funcs).Parse(text)
}

func expandWord(text string, data map[string]any, funcs template.FuncMap) (string, error) {
	m := limits.NewMeter(limits.Limits{})
	t, err := parseCommand(m, text, funcs)
	if err != nil {
		return "", err
	}
	out := m.Output()
	if err := m.Execute(t, out, data); err != nil {
		return "", err
	}
	return out.String(), nil
}

// quoteFunc is the name of the function through which every value of a shell command goes.
const quoteFunc = "_quote"

func expandShell(text string, data map[string]any, funcs template.FuncMap) (string, error) {
	m := limits.NewMeter(limits.Limits{})
	out := shellText{Writer: m.Output()}
	withQuote := template.FuncMap{}
	maps.Copy(withQuote, funcs)
	withQuote[quoteFunc] = out.quoteValue
	t, err := parseCommand(m, text, withQuote)
	if err != nil {
		return "", err
	}
	for _, defined := range t.Templates() {
		quoteActions(defined.Root)
	}
	if err := m.Execute(t, &out, data); err != nil {
		return "", err
	}
	return out.String(), nil
}

// quoteActions appends a call of quoteFunc to every action that prints something, as html/template does
// with its escapers.
func quoteActions(node parse.Node) {
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			return // an if without an else
		}
		for _, child := range n.Nodes {
			quoteActions(child)
		}
	case *parse.ActionNode:
		if len(n.Pipe.Decl) == 0 { // {{$x := .src}} prints nothing
			quote := parse.NewIdentifier(quoteFunc).SetPos(n.Pos)
			n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{
				NodeType: parse.NodeCommand, Pos: n.Pos, Args: []parse.Node{quote},
			})
		}
	case *parse.IfNode:
		quoteBranches(&n.BranchNode)
	case *parse.RangeNode:
		quoteBranches(&n.BranchNode)
	case *parse.WithNode:
		quoteBranches(&n.BranchNode)
	}
}

func quoteBranches(n *parse.BranchNode) {
	quoteActions(n.List)
	quoteActions(n.ElseList)
}

// A shellText is a shell command while it is being written. It keeps track of the quotes that are open,
// because a value must be quoted differently in each of them.
type shellText struct {
	*limits.Writer
	open    byte // the quote that is open: ', " or 0
	escaped bool // the last byte was a backslash that escapes the next
	last    byte // the last byte
	unsure  bool // there is something in it that this simple view does not follow
}

func (t *shellText) Write(p []byte) (int, error) {
	for _, b := range p {
		t.follow(b)
	}
	return t.Writer.Write(p)
}

func (t *shellText) follow(b byte) {
	last := t.last
	t.last = b
	switch {
	case t.escaped:
		t.escaped = false
		t.last = 'x' // whatever it was, it was only itself
	case t.open == '\'':
		if b == '\'' {
			t.open = 0
		}
	case b == '\\':
		t.escaped = true
	case b == '`':
		t.unsure = true
	case t.open == '"':
		if b == '"' {
			t.open = 0
		}
		// "$(cat "x")": a new world of quotes inside the quotes.
		t.unsure = t.unsure || last == '$' && (b == '(' || b == '{')
	case b == '\'' || b == '"':
		t.open = b
		t.unsure = t.unsure || last == '$' // $'it\'s' in some shells
	case b == '<':
		t.unsure = t.unsure || last == '<' // a here-document
	case b == '#':
		t.unsure = t.unsure || strings.IndexByte("\x00 \t\n;&|()", last) >= 0 // a comment
	}
}

// quoteValue gives a value as it must be written at this place of the command.
func (t *shellText) quoteValue(value any) (string, error) {
	s := fmt.Sprint(value)
	quoted := shellescape.Quote(s)
	switch {
	case quoted == s:
		return s, nil
	case strings.ContainsRune(s, 0):
		return "", fmt.Errorf("value %q: a command cannot hold a NUL byte", s)
	case t.unsure || t.escaped || t.last == '$':
		return "", fmt.Errorf("value %q: cannot tell how to quote it here; give the command as a list", s)
	case t.open == '\'':
		return strings.ReplaceAll(s, `'`, `'\''`), nil
	case t.open == '"':
		return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`").Replace(s), nil
	}
	return quoted, nil
}
