package render

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"
)

// Source is a template as its author wrote it.
type Source struct {
	Name     string // as it is to be called in errors
	Text     string
	Left     string            // delimiter; empty means {{
	Right    string            // delimiter; empty means }}
	Partials map[string]string // texts for include and template, by name; same delimiters
	Funcs    map[string]any    // beyond those of this package
}

// A Template is parsed and ready to run. It is used by one goroutine.
type Template struct {
	name     string
	template *template.Template
	funcs    []map[string]any
	source   Source
	calls    []Call
	fields   map[string]bool
	loops    []*plainLoop
	shaper   *shaper // nil until a secret needs a stand-in

	// Of the run.
	out     bytes.Buffer
	current *bytes.Buffer // out, or that of an include
	depth   int           // of include and tpl
}

// A HeldError is a render that a guard in the template withholds (required,
// fail, atLeast). It is no fault: the last files stay.
type HeldError struct {
	Reason string
}

func (e *HeldError) Error() string { return e.Reason }

// maxDepth of templates that include one another.
const maxDepth = 200

type depthError struct {
	template string
}

func (e *depthError) Error() string {
	return fmt.Sprintf("templates include one another more than %d deep, and again %q", maxDepth, e.template)
}

// Parse parses a template with its partials. Errors name the template, the
// line and, where it is known, the column.
func Parse(src Source) (*Template, error) {
	t := &Template{name: src.Name, source: src}
	t.funcs = []map[string]any{pure(), helm(), guards(), src.Funcs, {"include": t.include, "tpl": t.tpl, plainFunc: t.callLoop}}
	t.template = t.empty(src.Name)
	// In order: of two partials that define the same name, the last counts.
	for _, name := range slices.Sorted(maps.Keys(src.Partials)) {
		text := src.Partials[name]
		if _, err := t.template.New(name).Parse(text); err != nil {
			return nil, t.explainParse(err, text)
		}
	}
	// Last, so that a partial of the same name does not take its place.
	if _, err := t.template.Parse(src.Text); err != nil {
		return nil, t.explainParse(err, src.Text)
	}
	t.calls, t.fields = t.readCalls(), t.readFields()
	if err := t.checkIncludes(); err != nil {
		return nil, err
	}
	return t, t.unroll()
}

func (t *Template) empty(name string) *template.Template {
	e := template.New(name).Option("missingkey=error").Delims(t.source.Left, t.source.Right)
	for _, funcs := range t.funcs {
		e.Funcs(funcs)
	}
	return e
}

// Keep makes the bytes of the last Execute valid for ever.
func (t *Template) Keep() { t.out = bytes.Buffer{} }

// Execute runs the template on data. The bytes are valid until the next call,
// unless Keep comes before that.
//
// A [*HeldError] in the error's chain is a guard's doing; all other errors are
// the template's or its data's.
func (t *Template) Execute(data any) ([]byte, error) {
	t.out.Reset()
	t.current, t.depth = &t.out, 0
	if err := t.template.Execute(&t.out, data); err != nil {
		return nil, fmt.Errorf("rendering %q: %w", t.name, trim(err))
	}
	if noValue := []byte("<no value>"); bytes.Contains(t.out.Bytes(), noValue) && !strings.Contains(t.source.Text, string(noValue)) {
		line := 1 + bytes.Count(t.out.Bytes()[:bytes.Index(t.out.Bytes(), noValue)], []byte("\n"))
		return nil, fmt.Errorf("rendering %q: line %d of the output has %q: the template printed something that is not there", t.name, line, noValue)
	}
	return t.out.Bytes(), nil
}

// include is Helm's: the text that the named template gives.
func (t *Template) include(name string, data any) (string, error) {
	defined := t.template.Lookup(name)
	if defined == nil {
		return "", fmt.Errorf("there is no template %q", name)
	}
	return t.nested(defined, data)
}

// tpl is Helm's: the text is a template itself.
func (t *Template) tpl(text string, data any) (string, error) {
	parsed := t.empty("tpl")
	for _, d := range t.template.Templates() {
		if _, err := parsed.AddParseTree(d.Name(), d.Tree); err != nil {
			return "", err
		}
	}
	parsed, err := parsed.New("tpl").Parse(text)
	if err != nil {
		return "", t.explainParse(err, text)
	}
	return t.nested(parsed, data)
}

func (t *Template) nested(inner *template.Template, data any) (string, error) {
	if t.depth++; t.depth > maxDepth {
		return "", &depthError{inner.Name()}
	}
	outer := t.current
	t.current = &bytes.Buffer{}
	defer func() { t.current, t.depth = outer, t.depth-1 }()
	err := inner.Execute(t.current, data)
	return t.current.String(), err
}

// trim takes off what text/template says before the place.
func trim(err error) error {
	var loop *loopError
	if errors.As(err, &loop) {
		return trim(loop.err)
	}
	var deep *depthError
	if errors.As(err, &deep) {
		return deep // and not the 200 places where it happened
	}
	var exec template.ExecError
	var held *HeldError
	if errors.As(err, &exec) && errors.As(err, &held) {
		place, _, _ := strings.Cut(strings.TrimPrefix(exec.Error(), "template: "), ": executing ")
		return &placed{place + ": " + held.Reason, err} // the reason is meant for people
	}
	if errors.As(err, &exec) {
		return &placed{strings.TrimPrefix(exec.Error(), "template: "), err}
	}
	return err
}

// placed is err in other words.
type placed struct {
	text string
	err  error
}

func (p *placed) Error() string { return p.text }
func (p *placed) Unwrap() error { return p.err }
