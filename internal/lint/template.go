package lint

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"text/template/parse"

	"github.com/kconfd/kconfd/internal/limits"
	"github.com/kconfd/kconfd/render"
)

// Source is a template's text, and what is known of its use.
type Source struct {
	File        string // in which the text is
	Name        string // by which templates can name it
	Text        string
	Left, Right string // delimiters; empty means {{ and }}

	// Where the text begins in the file, from 1; 0 means 1. Indent is how many
	// columns further each line but the first begins.
	Line, Column, Indent int

	// Others are the texts that template and include can name, by their names. They
	// are not checked.
	Others map[string]string

	Fields []string // of its data; nil when they are not known, as in a partial
	Confd  bool     // it belongs to a resource file with confd's keys
}

// Template checks a template: its syntax, and each call in it, against the types of
// the functions. It finds the mistakes that rendering can come to, in all branches.
func Template(src Source, functions map[string]reflect.Type) []Finding {
	c := &check{src: src, functions: functions, builtins: builtins()}
	c.src.Left, c.src.Right = orDefault(src.Left, "{{"), orDefault(src.Right, "}}")
	c.names = append(slices.Collect(maps.Keys(functions)), slices.Collect(maps.Keys(c.builtins))...)
	c.run()
	return c.findings
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// A check is one template under examination.
type check struct {
	src       Source
	functions map[string]reflect.Type
	builtins  map[string]builtin
	names     []string        // of all functions
	templates map[string]bool // that can be named; nil when they are not all known
	findings  []Finding
	lines     []int // where they begin in the text
}

// root is the name of a text while it is parsed: one that no template defines.
const root = "\x00"

func (c *check) run() {
	if err := limits.NewMeter(limits.Limits{}).Nesting(root, c.src.Text, c.src.Left, c.src.Right); err != nil {
		var over *limits.Error
		if errors.As(err, &over) {
			over.Place = ""
		}
		c.add(0, Error, RuleSyntax, err.Error(), "")
		return
	}
	s := &source{name: root, text: c.src.Text, left: c.src.Left, right: c.src.Right}
	trees := s.parseAll()
	c.syntax(s)
	c.known(s, trees)
	for _, tree := range inOrder(trees) {
		(&walker{check: c}).tree(tree, value{root: tree.Name == root && c.src.Fields != nil})
	}
}

// inOrder are the trees by their places.
func inOrder(trees map[string]*parse.Tree) []*parse.Tree {
	return slices.SortedFunc(maps.Values(trees), func(a, b *parse.Tree) int { return int(a.Root.Pos) - int(b.Root.Pos) })
}

// syntax notes the mistakes of the parser, but for those that follow from others: a
// variable that a broken action would have declared.
func (c *check) syntax(s *source) {
	for _, e := range s.findings {
		if name, ok := strings.CutPrefix(e.message, "undefined variable "); ok {
			name = strings.Trim(name, `"`)
			if slices.ContainsFunc(s.blanked, func(a string) bool {
				before, _, declares := strings.Cut(a, ":=")
				return declares && strings.Contains(before, name)
			}) {
				continue
			}
		}
		c.add(parse.Pos(e.offset), Error, RuleSyntax, e.message, syntaxHint(c.src.Text[e.offset:]))
	}
}

// syntaxHint is for what is written as in other languages, by what a mistake begins with.
func syntaxHint(at string) string {
	for begin, hint := range map[string]string{
		"/*": "a comment begins right behind the delimiter: {{/* … */}}",
		"=":  `compare with a function: eq .a "b", ne .a "b"`,
		"!":  `negate with a function: not .a, ne .a "b"`,
		"&":  "join conditions with a function: and .a .b",
		"<":  "compare with a function: lt .a 1, le .a 1",
		">":  "compare with a function: gt .a 1, ge .a 1",
		"+":  "calculate with a function: add .a 1",
		"*":  "calculate with a function: mul .a 2",
		"/":  "calculate with a function: div .a 2",
		"?":  "choose with a function: ternary IF-TRUE IF-FALSE .a",
	} {
		if strings.HasPrefix(at, begin) && (begin != "/" || !strings.HasPrefix(at, "/*")) {
			return hint
		}
	}
	return ""
}

// known collects the templates that can be named.
func (c *check) known(s *source, trees map[string]*parse.Tree) {
	if trees == nil || slices.ContainsFunc(s.blanked, func(a string) bool { return strings.Contains(a, "define") || strings.Contains(a, "block") }) {
		return
	}
	c.templates = map[string]bool{c.src.Name: true}
	for name := range trees {
		c.templates[name] = true
	}
	for name, text := range c.src.Others {
		c.templates[name] = true
		for _, a := range actionsOf(text, c.src.Left, c.src.Right) {
			if a.keyword == "define" || a.keyword == "block" {
				c.templates[a.name] = true
			}
		}
	}
}

// template notes a template that is named and not there.
func (c *check) template(name string, pos parse.Pos) {
	if c.templates == nil || c.templates[name] {
		return
	}
	hint := "partials are the files templates/_*.tmpl, and what they define"
	if similar := render.Similar(name, slices.Sorted(maps.Keys(c.templates))); similar != "" {
		hint = fmt.Sprintf("did you mean %q?", similar)
	}
	c.add(pos, Error, RuleMissingTemplate, fmt.Sprintf("there is no template %q", name), hint)
}

// data notes a field that a template's data does not have.
func (c *check) data(pos parse.Pos, name string) {
	if slices.Contains(c.src.Fields, name) {
		return
	}
	hint := "put it under [values] and write .Values." + name
	switch name {
	case "Release", "Chart", "Capabilities", "Files", "Template", "Subcharts":
		hint = "Helm's objects are not there: put what is needed of it under [values]"
	}
	c.add(pos, Warning, RuleData, fmt.Sprintf("the template's data has no .%s", name), hint)
}

// add notes a finding at an offset of the text.
func (c *check) add(pos parse.Pos, severity Severity, rule, message, hint string) {
	at := min(max(int(pos), 0), len(c.src.Text))
	if c.lines == nil {
		c.lines = lineStarts(c.src.Text)
	}
	line, found := slices.BinarySearch(c.lines, at)
	if !found {
		line-- // the one before begins a line
	}
	column := at - c.lines[line] + 1
	if line == 0 {
		column += max(c.src.Column, 1) - 1
	} else {
		column += c.src.Indent
	}
	c.findings = append(c.findings, Finding{c.src.File, line + max(c.src.Line, 1), column, severity, rule, message, hint})
}

// lineStarts are the offsets at which the lines of a text begin.
func lineStarts(text string) []int {
	starts := []int{0}
	for at := 0; ; {
		next := strings.IndexByte(text[at:], '\n')
		if next < 0 {
			return starts
		}
		at += next + 1
		starts = append(starts, at)
	}
}

// hintRange is what to range over in the place of a value that is no list.
func hintRange(v value) string {
	if hint := usages()[v.from]; hint != "" {
		return hint
	}
	if v.typ != nil && v.typ.Kind() == reflect.String {
		return "splitList SEPARATOR TEXT makes a list of a text"
	}
	return ""
}
