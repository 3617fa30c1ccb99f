package limits

import (
	"bytes"
	"fmt"
	"strings"
	"text/template"
	"text/template/parse"
)

// A mark is a text of no length in a parse tree. text/template writes it as it
// writes every text, and the Writer knows it by the address of its bytes.
type mark struct {
	kind  markKind
	cost  int // of a template: what it adds to the depth
	name  string
	place func() string
}

type markKind int

const (
	begins markKind = iota // a template
	ends
	loop
	round // of a loop
)

// nestingPerDepth is how deep blocks, parentheses and else-ifs may be nested in
// a template that counts once for the depth.
const nestingPerDepth = 50

// Mount puts marks into the templates, which have not got any. Call unmount
// when they are run no more.
func (m *Meter) Mount(templates ...*template.Template) (unmount func()) {
	var mine []*byte
	for _, t := range templates {
		if t.Tree == nil || t.Root == nil {
			continue
		}
		n := &mounter{meter: m, tree: t.Tree, mine: &mine}
		n.template(t.Name())
	}
	return func() {
		for _, at := range mine {
			delete(m.marks, at)
		}
	}
}

// MountLoops is Mount for a part of a template, which is not counted as one.
func (m *Meter) MountLoops(t *template.Template) {
	n := &mounter{meter: m, tree: t.Tree, mine: new([]*byte)}
	n.list(t.Root, 0)
}

// A mounter puts marks into one parse tree.
type mounter struct {
	meter   *Meter
	tree    *parse.Tree
	mine    *[]*byte
	deepest int
}

func (n *mounter) template(name string) {
	root := n.tree.Root
	n.list(root, 0)
	cost := 1 + n.deepest/nestingPerDepth
	first := n.text(root.Pos, mark{kind: begins, cost: cost, name: name})
	last := n.text(root.Pos, mark{kind: ends, cost: cost, name: name})
	root.Nodes = append(append([]parse.Node{first}, root.Nodes...), last)
}

// text is a mark as a node at a place.
func (n *mounter) text(at parse.Pos, k mark) parse.Node {
	backing := make([]byte, 1)
	node := &parse.TextNode{NodeType: parse.NodeText, Pos: at, Text: backing[:0]}
	k.place = func() string {
		place, _ := n.tree.ErrorContext(node)
		return placeFromOne(place)
	}
	n.meter.marks[&backing[0]] = &k
	*n.mine = append(*n.mine, &backing[0])
	return node
}

func (n *mounter) list(list *parse.ListNode, depth int) {
	if list == nil {
		return
	}
	n.deepest = max(n.deepest, depth)
	nodes := make([]parse.Node, 0, len(list.Nodes))
	for _, node := range list.Nodes {
		switch node := node.(type) {
		case *parse.IfNode:
			n.branch(&node.BranchNode, depth)
		case *parse.WithNode:
			n.branch(&node.BranchNode, depth)
		case *parse.RangeNode:
			n.branch(&node.BranchNode, depth)
			nodes = append(nodes, n.text(node.Pos, mark{kind: loop}))
			again := n.text(node.Pos, mark{kind: round})
			node.List.Nodes = append([]parse.Node{again}, node.List.Nodes...)
		case *parse.ActionNode:
			n.pipe(node.Pipe, depth)
		case *parse.TemplateNode:
			n.pipe(node.Pipe, depth)
		}
		nodes = append(nodes, node)
	}
	list.Nodes = nodes
}

func (n *mounter) branch(b *parse.BranchNode, depth int) {
	n.pipe(b.Pipe, depth)
	n.list(b.List, depth+1)
	n.list(b.ElseList, depth+1)
}

func (n *mounter) pipe(p *parse.PipeNode, depth int) {
	if p == nil {
		return
	}
	n.deepest = max(n.deepest, depth)
	for _, c := range p.Cmds {
		for _, arg := range c.Args {
			if chain, ok := arg.(*parse.ChainNode); ok {
				arg = chain.Node
			}
			if inner, ok := arg.(*parse.PipeNode); ok {
				n.pipe(inner, depth+1)
			}
		}
	}
}

// reached is when text/template comes to a mark.
func (m *Meter) reached(k *mark) error {
	m.last = k
	switch k.kind {
	case loop: // over a map, which is sorted first, however soon the loop ends
		return m.at(k, m.Clock())
	case round:
		return m.at(k, m.Iterate(1))
	case ends:
		m.depth -= k.cost
		return nil
	}
	if m.depth += k.cost; m.depth > m.limits.Depth {
		return m.at(k, m.Exceeded(Depth, fmt.Sprintf("templates within templates, and again %q", shorten(k.name))))
	}
	return m.at(k, m.Spend(callCost))
}

// at adds to a limit's error where it was exceeded.
func (m *Meter) at(k *mark, err error) error {
	e, ok := err.(*Error)
	if !ok || k == nil || e == nil {
		return err
	}
	e.Place = k.place()
	return e
}

func shorten(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}

// A Writer takes what a template prints.
type Writer struct {
	bytes.Buffer
	meter *Meter
	limit string
	max   int
}

// Output is a writer for the text of a file.
func (m *Meter) Output() *Writer {
	return &Writer{meter: m, limit: Output, max: m.limits.Output}
}

// Inner is a writer for the text of a template that becomes a value of another.
func (m *Meter) Inner() *Writer {
	return &Writer{meter: m, limit: Value, max: m.limits.Value}
}

func (w *Writer) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, w.mark(p)
	}
	w.Buffer.Write(p)
	return len(p), w.Wrote(len(p))
}

// mark looks whether a text of no length is a mark.
func (w *Writer) mark(p []byte) error {
	if cap(p) == 0 {
		return nil
	}
	if k := w.meter.marks[&p[:1][0]]; k != nil {
		return w.meter.reached(k)
	}
	return nil
}

// Wrote counts the last n bytes.
func (w *Writer) Wrote(n int) error {
	if w.Len() > w.max {
		return w.meter.at(w.meter.last, w.meter.Exceeded(w.limit, "the template prints more"))
	}
	if w.meter.produced+n < w.meter.limits.Memory && w.meter.work+n < workUnit {
		w.meter.produced += n
		w.meter.work += n
		return nil
	}
	return w.meter.at(w.meter.last, w.meter.make(n))
}

// Nesting fails when blocks, parentheses or else-ifs are nested so deep in a
// text that parsing or running it would take too much of the stack.
func (m *Meter) Nesting(name, text, left, right string) error {
	limit := m.limits.Depth * nestingPerDepth
	s := scanner{text: text, left: orDefault(left, "{{"), right: orDefault(right, "}}")}
	for s.action() {
		if s.deepest > limit {
			e := m.Exceeded(Depth, fmt.Sprintf("blocks, parentheses and else-ifs are nested more than %d deep", limit))
			e.Place = fmt.Sprintf("%s:%d", name, 1+strings.Count(text[:s.at], "\n"))
			return e
		}
	}
	return nil
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// A scanner follows the nesting of a template's text. It need not find errors:
// the parser ends where it finds one.
type scanner struct {
	text, left, right string
	at                int
	blocks            []int // open ones, each with its else-ifs
	depth             int   // of blocks and else-ifs
	deepest           int   // with the parentheses of an action
}

// action goes on behind the next action. It is false when there is none.
func (s *scanner) action() bool {
	begin := strings.Index(s.text[s.at:], s.left)
	if begin < 0 {
		return false
	}
	s.at += begin + len(s.left)
	rest := s.text[s.at:]
	if len(rest) >= 2 && rest[0] == '-' && isSpace(rest[1]) {
		rest = rest[2:]
	}
	if strings.HasPrefix(rest, "/*") {
		return s.comment()
	}
	s.keyword(strings.TrimLeft(rest, " \t\r\n"))
	parens := 0
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case strings.HasPrefix(s.text[s.at:], s.right):
			s.at += len(s.right)
			return true
		case c == '(':
			parens++
			s.deepest = max(s.deepest, s.depth+parens)
		case c == ')':
			parens--
		case c == '"' || c == '\'' || c == '`':
			s.quoted(c)
		}
		s.at++
	}
	s.at = len(s.text)
	return true
}

func (s *scanner) comment() bool {
	end := strings.Index(s.text[s.at:], "*/")
	if end < 0 {
		return false
	}
	s.at += end + 2
	return true
}

// keyword follows what an action begins or ends.
func (s *scanner) keyword(action string) {
	word, rest := firstWord(action)
	switch word {
	case "if", "with", "range", "block", "define":
		s.blocks = append(s.blocks, 1)
		s.depth++
	case "else":
		word, _ := firstWord(strings.TrimLeft(rest, " \t\r\n"))
		if last := len(s.blocks) - 1; last >= 0 && (word == "if" || word == "with") {
			s.blocks[last]++
			s.depth++
		}
	case "end":
		if last := len(s.blocks) - 1; last >= 0 {
			s.depth -= s.blocks[last]
			s.blocks = s.blocks[:last]
		}
	}
	s.deepest = max(s.deepest, s.depth)
}

func firstWord(s string) (word, rest string) {
	end := 0
	for end < len(s) && 'a' <= s[end] && s[end] <= 'z' {
		end++
	}
	return s[:end], s[end:]
}

// quoted goes to the end of a string.
func (s *scanner) quoted(quote byte) {
	for s.at++; s.at < len(s.text) && s.text[s.at] != quote; s.at++ {
		if s.text[s.at] == '\\' && quote != '`' {
			s.at++
		}
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
