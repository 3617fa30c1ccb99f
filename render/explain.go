package render

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template/parse"

	"github.com/kconfd/kconfd/internal/nearest"
)

// ErrImpure is the use of a function that kconfd leaves out on purpose.
var ErrImpure = errors.New("it would give another result at every render, and so a reload for nothing")

// An UnknownFunctionError is the use of a function that there is not.
type UnknownFunctionError struct {
	Function string
	Similar  string // one that there is, or empty
	err      error
}

func (e *UnknownFunctionError) Error() string { return e.err.Error() }
func (e *UnknownFunctionError) Unwrap() error { return e.err }

// known are the names of all functions for authors of templates.
func (t *Template) known() []string {
	var names []string
	for _, funcs := range t.funcs {
		names = slices.AppendSeq(names, maps.Keys(funcs))
	}
	return slices.DeleteFunc(names, func(name string) bool { return name[0] == '_' })
}

// explainParse adds to text/template's error the column, which it does not
// give for an unknown function, and what is known about that function.
func (t *Template) explainParse(err error, text string) error {
	message := strings.TrimPrefix(err.Error(), "template: ")
	parts := regexp.MustCompile(`^(.*:\d+): function "(.+)" not defined$`).FindStringSubmatch(message)
	if parts == nil {
		return fmt.Errorf("parsing template: %s", message)
	}
	function := parts[2]
	place := fmt.Sprintf("%s:%d", parts[1], t.column(text, function))
	if slices.Contains(impure(), function) {
		return fmt.Errorf("parsing template: %s: function %q is left out: %w", place, function, ErrImpure)
	}
	return &UnknownFunctionError{
		Function: function,
		Similar:  similar(function, t.known()),
		err:      fmt.Errorf("parsing template: %s: there is no function %q", place, function),
	}
}

// column is where in its line a text first calls the function, from 1. The
// word alone may stand anywhere, so the text is parsed again for it.
func (t *Template) column(text, function string) int {
	tree, trees := parse.New(""), map[string]*parse.Tree{}
	tree.Mode = parse.SkipFuncCheck
	if _, err := tree.Parse(text, t.source.Left, t.source.Right, trees); err != nil {
		return 1 // that is not all that is wrong with it
	}
	at := len(text)
	for _, tree := range trees {
		walk(tree.Root, func(n parse.Node) {
			if f, ok := n.(*parse.IdentifierNode); ok && f.Ident == function {
				at = min(at, int(f.Pos))
			}
		})
	}
	return at - strings.LastIndex(text[:at], "\n")
}

// similar is the known word nearest to word, if it is near enough to be meant.
func similar(word string, known []string) string { return nearest.Of(word, known) }
