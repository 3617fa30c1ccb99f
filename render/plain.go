package render

import (
	"bytes"
	"errors"
	"reflect"
	"strconv"
	"text/template"
	"text/template/parse"

	"github.com/kconfd/kconfd/internal/limits"
)

// A plainLoop is a range whose body only prints fields of its elements:
//
//	{{range endpoints "web"}}server {{.Pod}} {{.Address}}
//	{{end}}
//
// text/template looks every field up by its name for every element, and takes
// most of the time that a change to a long list costs. A plainLoop looks them
// up once. What it prints is the same to the byte; whatever is not as plain as
// that, at parse time or when the list is there, runs as it was written.
type plainLoop struct {
	parts []plainPart
	loop  *template.Template // the loop as it was written, over dot

	element reflect.Type // that fields are for
	fields  []int        // of each part that is one; nil when element is not plain
}

// A plainPart is a text or, when that is nil, a field.
type plainPart struct {
	text  []byte
	field string
}

// plainFunc is the function that a plainLoop is called by.
const plainFunc = "_loop"

// unroll puts calls of plainLoops in the place of the loops that are plain.
func (t *Template) unroll() error {
	for _, defined := range t.template.Templates() {
		if defined.Tree == nil {
			continue
		}
		if err := t.unrollList(defined.Tree, defined.Root); err != nil {
			return err
		}
	}
	return nil
}

func (t *Template) unrollList(tree *parse.Tree, list *parse.ListNode) error {
	if list == nil {
		return nil
	}
	for i, n := range list.Nodes {
		var err error
		switch n := n.(type) {
		case *parse.IfNode:
			err = errors.Join(t.unrollList(tree, n.List), t.unrollList(tree, n.ElseList))
		case *parse.WithNode:
			err = errors.Join(t.unrollList(tree, n.List), t.unrollList(tree, n.ElseList))
		case *parse.RangeNode:
			if parts := plainParts(n); parts != nil {
				list.Nodes[i], err = t.plainCall(tree, n, parts)
				break
			}
			err = errors.Join(t.unrollList(tree, n.List), t.unrollList(tree, n.ElseList))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// plainParts are those of a plain loop's body, or nil when it is not plain.
func plainParts(n *parse.RangeNode) []plainPart {
	if len(n.Pipe.Decl) > 0 || n.ElseList != nil {
		return nil
	}
	var parts []plainPart
	for _, n := range n.List.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			parts = append(parts, plainPart{text: n.Text})
		case *parse.ActionNode:
			field, ok := loneField(n.Pipe)
			if !ok {
				return nil
			}
			parts = append(parts, plainPart{field: field})
		default:
			return nil
		}
	}
	return parts
}

// loneField is the name in {{.Name}}.
func loneField(p *parse.PipeNode) (string, bool) {
	if len(p.Decl) > 0 || len(p.Cmds) != 1 || len(p.Cmds[0].Args) != 1 {
		return "", false
	}
	f, ok := p.Cmds[0].Args[0].(*parse.FieldNode)
	if !ok || len(f.Ident) != 1 {
		return "", false
	}
	return f.Ident[0], true
}

// plainCall is {{LIST | _loop N}}, where N is the loop's number.
func (t *Template) plainCall(tree *parse.Tree, n *parse.RangeNode, parts []plainPart) (parse.Node, error) {
	asWritten, err := t.overDot(tree, n)
	if err != nil {
		return nil, err
	}
	number := len(t.loops)
	t.loops = append(t.loops, &plainLoop{parts: parts, loop: asWritten})
	pipe := n.Pipe.CopyPipe()
	pipe.Cmds = append(pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Pos: n.Pos, Args: []parse.Node{
		parse.NewIdentifier(plainFunc).SetPos(n.Pos),
		&parse.NumberNode{NodeType: parse.NodeNumber, Pos: n.Pos, IsInt: true, Int64: int64(number), Text: strconv.Itoa(number)},
	}})
	return &parse.ActionNode{NodeType: parse.NodeAction, Pos: n.Pos, Line: n.Line, Pipe: pipe}, nil
}

// overDot is a template of the loop alone, whose list is its data. It has the
// name and the text of the template that the loop stands in, for errors.
func (t *Template) overDot(tree *parse.Tree, n *parse.RangeNode) (*template.Template, error) {
	loop := n.Copy().(*parse.RangeNode)
	last := n.Pipe.Cmds[len(n.Pipe.Cmds)-1].Args[0]
	dot := &parse.DotNode{NodeType: parse.NodeDot, Pos: last.Position()}
	loop.Pipe.Cmds = []*parse.CommandNode{{NodeType: parse.NodeCommand, Pos: dot.Pos, Args: []parse.Node{dot}}}
	alone := tree.Copy()
	alone.Root = &parse.ListNode{NodeType: parse.NodeList, Pos: n.Pos, Nodes: []parse.Node{loop}}
	standing, err := t.empty(tree.Name).AddParseTree(tree.Name, alone)
	if err == nil {
		t.meter.MountLoops(standing)
	}
	return standing, err
}

// callLoop is the function _loop.
func (t *Template) callLoop(number int, list any) (string, error) {
	if err := t.loops[number].run(t.meter, t.current, list); err != nil {
		return "", &loopError{err}
	}
	return "", nil
}

// A loopError is an error of a loop run as it was written. The call of it is
// not the author's, and does not show.
type loopError struct {
	err error
}

func (e *loopError) Error() string { return e.err.Error() }

// run writes what the loop prints for list.
func (p *plainLoop) run(m *limits.Meter, out *limits.Writer, list any) error {
	v := reflect.ValueOf(list)
	if v.Kind() != reflect.Slice || !p.fits(v.Type().Elem()) || hasNil(v) {
		return p.loop.Execute(out, list)
	}
	if err := m.Iterate(v.Len()); err != nil {
		return err
	}
	for i := range v.Len() {
		before := out.Len()
		p.print(&out.Buffer, reflect.Indirect(v.Index(i)))
		if err := out.Wrote(out.Len() - before); err != nil {
			return err
		}
	}
	return nil
}

func hasNil(v reflect.Value) bool {
	if v.Type().Elem().Kind() != reflect.Pointer {
		return false
	}
	for i := range v.Len() {
		if v.Index(i).IsNil() {
			return true
		}
	}
	return false
}

func (p *plainLoop) print(out *bytes.Buffer, element reflect.Value) {
	for i, part := range p.parts {
		if part.text != nil {
			out.Write(part.text)
			continue
		}
		switch f := element.Field(p.fields[i]); {
		case f.Kind() == reflect.String:
			out.WriteString(f.String())
		case f.Kind() == reflect.Bool:
			out.Write(strconv.AppendBool(out.AvailableBuffer(), f.Bool()))
		default:
			out.Write(strconv.AppendInt(out.AvailableBuffer(), f.Int(), 10))
		}
	}
}

// fits says whether all parts are fields of t that print as themselves.
func (p *plainLoop) fits(t reflect.Type) bool {
	if t != p.element {
		p.element, p.fields = t, p.lookUp(t)
	}
	return p.fields != nil
}

func (p *plainLoop) lookUp(t reflect.Type) []int {
	element := t
	if t.Kind() == reflect.Pointer {
		element = t.Elem()
	}
	if element.Kind() != reflect.Struct {
		return nil
	}
	fields := make([]int, len(p.parts))
	for i, part := range p.parts {
		if part.text != nil {
			continue
		}
		f, ok := element.FieldByName(part.field)
		if !ok || !f.IsExported() || len(f.Index) != 1 || !printsAsItself(f.Type) {
			return nil
		}
		fields[i] = f.Index[0]
	}
	return fields
}

func printsAsItself(t reflect.Type) bool {
	if t.PkgPath() != "" { // a named type may have its own way to print
		return false
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return true
	}
	return false
}
