package render

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"

	"github.com/kconfd/kconfd/internal/limits"
)

// Source is a template as its author wrote it.
type Source struct {
	Name     string // as it is to be called in errors
	Text     string
	Left     string            // delimiter; empty means {{
	Right    string            // delimiter; empty means }}
	Partials map[string]string // texts for include and template, by name; same delimiters
	Funcs    map[string]any    // beyond those of this package
	Limits   limits.Limits     // of each run

	// NameOf says in words where a list comes from; nil or an empty text when that is not
	// known.
	NameOf func(list any) string
}

// A Template is parsed and ready to run. It is used by one goroutine.
type Template struct {
	name      string
	template  *template.Template
	funcs     []map[string]any
	source    Source
	calls     []Call
	usedCalls []Call
	fields    map[string]bool
	loops     []*plainLoop
	meter     *limits.Meter
	asking    bool       // rewritten by an asker
	shapers   [2]*shaper // nil until a secret needs a stand-in
	rerun     *rerun     // nil when it asks about no key

	running
}

// running is what a template needs while it runs.
type running struct {
	out     *limits.Writer
	current *limits.Writer     // out, or that of an include
	set     *template.Template // with those that include can name
	missed  bool               // whether a key that it asks about was missing
}

// A HeldError is a render that a guard in the template withholds (required,
// fail, atLeast). It is no fault: the last files stay.
type HeldError struct {
	Reason string
}

func (e *HeldError) Error() string { return e.Reason }

// Parse parses a template with its partials. Errors name the template, the
// line and, where it is known, the column.
func Parse(src Source) (t *Template, err error) {
	meter := limits.NewMeter(src.Limits)
	t, err = parseAs(src, meter, false)
	switch {
	case err != nil || !t.asksAnything():
		return t, err
	case t.mutates(): // a run cannot be repeated
		return parseAs(src, meter, true)
	}
	t.rerun = &rerun{}
	return t, nil
}

// parseAs is Parse. With asking, keys that are asked about may be missing.
func parseAs(src Source, meter *limits.Meter, asking bool) (t *Template, err error) {
	defer limits.Recover(&err)
	t = &Template{name: src.Name, source: src, meter: meter, asking: asking}
	t.out = t.meter.Output()
	t.funcs = takingWhole(t.functions())
	t.template = t.empty(src.Name)
	// In order: of two partials that define the same name, the last counts.
	for _, name := range slices.Sorted(maps.Keys(src.Partials)) {
		if err := t.parseInto(t.template.New(name), src.Partials[name]); err != nil {
			return nil, err
		}
	}
	// Last, so that a partial of the same name does not take its place.
	if err := t.parseInto(t.template, src.Text); err != nil {
		return nil, err
	}
	t.calls, t.fields = t.readCalls(), t.readFields()
	t.usedCalls = t.readUsedCalls()
	if err := t.checkIncludes(); err != nil {
		return nil, err
	}
	t.askAbout(t.template.Templates())
	if err := t.unroll(); err != nil {
		return nil, err
	}
	t.watchValues(t.template.Templates())
	t.meter.Mount(t.template.Templates()...)
	return t, nil
}

// functions are all that there are, the last of a name counts.
func (t *Template) functions() []map[string]any {
	m := &maker{Meter: t.meter, sprig: pure(), regexps: map[string]*expression{}}
	all := []map[string]any{
		measured(t.meter, m.sprig), m.builtins(), m.replaced(),
		measured(t.meter, durations()), measured(t.meter, guards(t.source.NameOf)), measured(t.meter, confds()),
	}
	return append(all, synonyms(all), t.source.Funcs, map[string]any{
		"include": t.include, "tpl": t.tpl, plainFunc: t.callLoop,
		askFunc: t.lookInto, indexFunc: t.indexInto, sureFunc: sure,
	})
}

// parseInto parses a text as the body of a template.
func (t *Template) parseInto(into *template.Template, text string) error {
	text = withoutBOM(text)
	if err := t.meter.Nesting(into.Name(), text, t.source.Left, t.source.Right); err != nil {
		return fmt.Errorf("parsing template: %w", err)
	}
	if _, err := into.Parse(text); err != nil {
		return t.explainParse(err, text)
	}
	return nil
}

func (t *Template) empty(name string) *template.Template {
	e := template.New(name).Option("missingkey=error").Delims(t.source.Left, t.source.Right)
	for _, funcs := range t.funcs {
		e.Funcs(funcs)
	}
	return e
}

// Keep makes the bytes of the last Execute valid for ever.
func (t *Template) Keep() { t.out = t.meter.Output() }

// Execute runs the template on data. The bytes are valid until the next call,
// unless Keep comes before that.
//
// A [*HeldError] in the error's chain is a guard's doing, a [*limits.Error] says
// that the run was ended; all other errors are the template's or its data's.
func (t *Template) Execute(data any) ([]byte, error) {
	if t.rerun == nil {
		content, err := t.run(data)
		return content, writtenError(err)
	}
	return t.runAsking(data)
}

func (t *Template) run(data any) (_ []byte, err error) {
	defer limits.Recover(&err)
	t.missed = false
	t.out.Reset()
	t.current, t.set = t.out, t.template
	t.meter.Start()
	if err := t.template.Execute(t.out, data); err != nil {
		t.Keep() // it may have grown large
		return nil, fmt.Errorf("rendering %q: %w", t.name, t.withKeys(t.inWords(trim(err)), data))
	}
	if noValue := []byte("<no value>"); bytes.Contains(t.out.Bytes(), noValue) && !strings.Contains(t.source.Text, string(noValue)) {
		line := 1 + bytes.Count(t.out.Bytes()[:bytes.Index(t.out.Bytes(), noValue)], []byte("\n"))
		return nil, fmt.Errorf("rendering %q: line %d of the output has %q: the template printed something that is not there", t.name, line, noValue)
	}
	return t.out.Bytes(), nil
}

// include is Helm's: the text that the named template gives.
func (t *Template) include(name string, data any) (string, error) {
	defined := t.set.Lookup(name)
	if defined == nil {
		return "", fmt.Errorf("there is no template %q", name)
	}
	return t.nested(defined, data)
}

// maxTpl is how large a text may be that is a template: parsed it takes a
// hundred times that.
const maxTpl = 1 << 20

// tpl is Helm's: the text is a template itself. What it defines is there for include
// and template while it runs, also in those that it includes, and not afterwards.
func (t *Template) tpl(text string, data any) (string, error) {
	if len(text) > maxTpl {
		return "", &limits.Error{Limit: limits.Value, Of: limits.Size(maxTpl), What: fmt.Sprintf("a template of %d bytes", len(text))}
	}
	if err := t.meter.Spend(len(text)*64 + 1<<16); err != nil {
		return "", err
	}
	if err := t.variables(text); err != nil {
		return "", err
	}
	parsed := t.empty("tpl")
	for _, d := range t.set.Templates() {
		if _, err := parsed.AddParseTree(d.Name(), d.Tree); err != nil {
			return "", err
		}
	}
	parsed = parsed.New("tpl")
	if err := t.parseInto(parsed, text); err != nil {
		return "", err
	}
	own := slices.DeleteFunc(parsed.Templates(), func(d *template.Template) bool {
		known := t.set.Lookup(d.Name())
		return known != nil && known.Tree == d.Tree
	})
	t.askAbout(own)
	t.watchValues(own)
	defer t.meter.Mount(own...)()
	outer := t.set
	t.set = parsed
	defer func() { t.set = outer }()
	return t.nested(parsed, data)
}

// variables looks at a text that is a template before it is parsed: each use of a
// variable goes through all that there are, when it is parsed and when it is run.
func (t *Template) variables(text string) error {
	declared, uses := strings.Count(text, ":="), strings.Count(text, "$")
	if nanoseconds := 8 * declared * uses; nanoseconds > int(t.meter.Limits().Time) {
		return t.meter.Late()
	}
	return t.meter.Clock()
}

func (t *Template) nested(inner *template.Template, data any) (string, error) {
	outer := t.current
	t.current = t.meter.Inner()
	defer func() { t.current = outer }()
	if err := inner.Execute(t.current, data); err != nil {
		return "", shortened(err)
	}
	return t.current.String(), nil
}

// trim takes off what text/template says before the place.
func trim(err error) error {
	var loop *loopError
	if errors.As(err, &loop) {
		return trim(loop.err)
	}
	var over *limits.Error
	if errors.As(err, &over) {
		return atLimit(err, over)
	}
	var exec template.ExecError
	var held *HeldError
	if errors.As(err, &exec) && errors.As(err, &held) {
		place, _, _ := strings.Cut(execText(exec), ": executing ")
		return shortened(&placed{place + ": " + held.Reason, err}) // the reason is meant for people
	}
	if errors.As(err, &exec) {
		return shortened(&placed{execText(exec), err})
	}
	return shortened(err)
}

// execText is the text of an error of text/template, without what it says before the
// place, and with columns that count from 1.
func execText(err error) string {
	return limits.FromOne(strings.TrimPrefix(err.Error(), "template: "))
}

// atLimit is a limit's error at the innermost place that is known, and not at
// the 200 that led there.
func atLimit(err error, over *limits.Error) error {
	if over.Place != "" {
		return over
	}
	innermost := err
	var exec template.ExecError
	for rest := err; errors.As(rest, &exec); rest = exec.Err {
		innermost = exec
	}
	text := execText(innermost)
	if place, _, ours := strings.Cut(text, ": executing "); ours && strings.Contains(text, ">: error calling "+limits.PrintFunc+": ") {
		text = place + ": " + over.Error()
	}
	return shortened(&placed{text, over})
}

// maxError is how long the text of an error may be. It may quote data.
const maxError = 4 << 10

// shortened is err with a text of bounded length: each template that is run by
// another repeats it.
func shortened(err error) error {
	text := err.Error()
	if len(text) <= maxError {
		return err
	}
	half := maxError / 2
	return &placed{strings.ToValidUTF8(text[:half], "") + " … " + strings.ToValidUTF8(text[len(text)-half:], ""), err}
}

// placed is err in other words.
type placed struct {
	text string
	err  error
}

func (p *placed) Error() string { return p.text }
func (p *placed) Unwrap() error { return p.err }
