package render

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
)

// A MissingKeyError is a run that came to a key that a map does not have.
type MissingKeyError struct {
	Key string

	// Of is where the map comes from: a call such as configMap "settings", or a chain of
	// fields such as .Values or "." for all of the data. Empty when that is not known.
	Of string

	// Keys are those that the map has, sorted. Those of a Secret are left out.
	Keys []string

	err error
}

func (e *MissingKeyError) Error() string { return e.err.Error() }
func (e *MissingKeyError) Unwrap() error { return e.err }

// withKeys adds to the error of a run on data what is known about the map that does not have
// a key. text/template names only the key and the line: the map is found by running what
// stands before the key in that line again.
func (t *Template) withKeys(err error, data any) error {
	text := err.Error()
	found := regexp.MustCompile(`map has no entry for key ("(?:[^"\\]|\\.)*")$`).FindStringSubmatch(text)
	places := regexp.MustCompile(`([^\s:"]+):([0-9]+):[0-9]+: executing `).FindAllStringSubmatch(text, -1)
	if found == nil || len(places) == 0 {
		return err
	}
	missing := &MissingKeyError{err: err}
	missing.Key, _ = strconv.Unquote(found[1]) // it was quoted by Go
	place := places[len(places)-1]
	line, _ := strconv.Atoi(place[2]) // digits; too many of them are no line
	for _, defined := range t.inOrder() {
		if defined.ParseName != place[1] {
			continue
		}
		s := &keySearch{t: t, data: data, root: defined.Root, source: t.textOf(place[1]), line: line, into: missing}
		walk(defined.Root, s.visit)
	}
	return missing
}

func (t *Template) textOf(name string) string {
	if partial, ok := t.source.Partials[name]; ok && name != t.name {
		return partial
	}
	return t.source.Text
}

// A keySearch looks for the map that does not have a key.
type keySearch struct {
	t      *Template
	data   any
	root   *parse.ListNode
	source string
	line   int
	into   *MissingKeyError
}

func (s *keySearch) visit(n parse.Node) {
	if s.into.Of != "" || 1+strings.Count(s.source[:min(int(n.Position()), len(s.source))], "\n") != s.line {
		return
	}
	switch n := n.(type) {
	case *parse.ChainNode:
		if value, of, ok := s.call(n.Node); ok {
			s.look(value, of, n.Field)
		}
	case *parse.VariableNode:
		if n.Ident[0] == "$" {
			s.look(s.data, "", n.Ident[1:])
			return
		}
		s.variable(n)
	case *parse.FieldNode:
		if !s.within(n) {
			s.look(s.data, "", n.Ident)
		}
	}
}

// look takes fields of a value as far as they are there. Where the next one is the key and
// is not there, the map is found.
func (s *keySearch) look(value any, of string, fields []string) {
	at, _ := indirect(reflect.ValueOf(value))
	for i, field := range fields {
		if at.Kind() != reflect.Map || at.Type().Key().Kind() != reflect.String {
			return
		}
		next := at.MapIndex(reflect.ValueOf(field).Convert(at.Type().Key()))
		if next.IsValid() {
			at, _ = indirect(next)
			continue
		}
		if field != s.into.Key {
			return
		}
		s.into.Of = of
		if i > 0 || of == "" {
			s.into.Of += "." + strings.Join(fields[:i], ".")
		}
		if !strings.Contains(strings.ToLower(of), "secret") {
			for _, key := range at.MapKeys() {
				s.into.Keys = append(s.into.Keys, key.String())
			}
			slices.Sort(s.into.Keys)
		}
		return
	}
}

// call is what a function of the source gives for texts, and the call as it is written.
func (s *keySearch) call(n parse.Node) (value any, of string, ok bool) {
	var args []parse.Node
	if pipe, is := n.(*parse.PipeNode); is && len(pipe.Cmds) == 1 {
		n, args = pipe.Cmds[0].Args[0], pipe.Cmds[0].Args[1:]
	}
	name, is := n.(*parse.IdentifierNode)
	if !is {
		return nil, "", false
	}
	f := reflect.ValueOf(s.t.source.Funcs[name.Ident])
	if f.Kind() != reflect.Func || len(args) != f.Type().NumIn() && !(f.Type().IsVariadic() && len(args) >= f.Type().NumIn()-1) {
		return nil, "", false
	}
	of = name.Ident
	var in []reflect.Value
	for i, arg := range args {
		wanted := f.Type().In(min(i, f.Type().NumIn()-1))
		if f.Type().IsVariadic() && i >= f.Type().NumIn()-1 {
			wanted = wanted.Elem()
		}
		text, is := arg.(*parse.StringNode)
		if !is || !reflect.TypeFor[string]().AssignableTo(wanted) {
			return nil, "", false
		}
		of += " " + text.Quoted
		in = append(in, reflect.ValueOf(text.Text))
	}
	out := f.Call(in)
	if len(out) == 0 || len(out) == 2 && !out[1].IsNil() {
		return nil, "", false
	}
	return out[0].Interface(), of, true
}

// variable looks into what the variable is set to, where that is a call.
func (s *keySearch) variable(v *parse.VariableNode) {
	walk(s.root, func(n parse.Node) {
		pipe, is := n.(*parse.PipeNode)
		if !is || len(pipe.Decl) != 1 || pipe.Decl[0].Ident[0] != v.Ident[0] {
			return
		}
		if value, of, ok := s.call(pipe); ok {
			s.look(value, of, v.Ident[1:])
		}
	})
}

// within looks into what a with around the field gives, and says whether there is one or a
// range: then the field is not one of the data.
func (s *keySearch) within(field *parse.FieldNode) (inside bool) {
	walk(s.root, func(n parse.Node) {
		var branch *parse.BranchNode
		switch n := n.(type) {
		case *parse.WithNode:
			branch = &n.BranchNode
		case *parse.RangeNode:
			branch = &n.BranchNode
		default:
			return
		}
		around := false
		walk(branch.List, func(n parse.Node) { around = around || n == parse.Node(field) })
		if !around {
			return
		}
		inside = true
		if value, of, ok := s.call(branch.Pipe); ok && n.Type() == parse.NodeWith {
			s.look(value, of, field.Ident)
		}
	})
	return inside
}

// An IncludeError is a template that is named and not there.
type IncludeError struct {
	Name    string
	Similar string // one that is there, or empty
	err     error
}

func (e *IncludeError) Error() string { return e.err.Error() }
func (e *IncludeError) Unwrap() error { return e.err }

// partialNames are the names that include and template can be given, but for the
// template's own.
func (t *Template) partialNames() []string {
	names := slices.Collect(maps.Keys(t.source.Partials))
	for _, defined := range t.inOrder() {
		if name := defined.Name(); name != t.name && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
