package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/kconfd/kconfd/render"
)

// runRender prints what would be written, or with -diff how it differs from
// the disk.
func runRender(ctx context.Context, args []string, s streams) error {
	f, err := parseOrHelp(ctx, "kconfd render", args, s)
	if f == nil {
		return err
	}
	if err := f.refuseFlags("render"); err != nil {
		return diffTrouble(f, err)
	}
	f.onetime = true
	e, err := f.newEngine(s)
	if err != nil {
		return diffTrouble(f, err)
	}
	p := &printer{only: f.args, diff: f.diff}
	if err := p.choose(e); err != nil {
		return diffTrouble(f, err)
	}
	e.apply = func(context.Context, *job) error { return nil } // the files stay with their groups
	e.still = len(f.manifests) > 0
	if err := e.supervise(ctx, f); err != nil {
		return diffTrouble(f, err)
	}
	differs, err := p.print(e, s.out)
	if err != nil {
		return diffTrouble(f, err)
	}
	if f.diff && differs {
		return &codeError{code: 1}
	}
	return nil
}

// diffTrouble gives an error the exit code that diff tools have for trouble.
func diffTrouble(f *flags, err error) error {
	if f.diff && err != nil {
		return &codeError{exitUsage, err}
	}
	return err
}

// A printer shows files instead of writing them.
type printer struct {
	only []string // destinations or sources; empty means all
	diff bool
}

// choose leaves the engine the groups that have something to print. The others may
// be held or wait: that is not to keep these from being seen.
func (p *printer) choose(e *engine) error {
	var chosen []*group
	found := map[string]bool{}
	for _, g := range e.groups {
		wanted := len(p.only) == 0
		for _, t := range g.templates {
			for _, name := range p.only {
				if t.named(name) {
					wanted, found[name] = true, true
				}
			}
		}
		if wanted {
			chosen = append(chosen, g)
		} else {
			g.close()
		}
	}
	for _, name := range p.only {
		if !found[name] {
			return &advisedError{fmt.Errorf("no template is or writes %q", name), namesAdvice(name, e.groups)}
		}
	}
	e.groups = chosen
	return nil
}

// named says whether name means the template: by its source or its destination.
func (t *groupTemplate) named(name string) bool {
	return name == t.config.source.Name || name == t.config.file.Dest
}

// print shows the files that were chosen, in their order.
func (p *printer) print(e *engine, out io.Writer) (differs bool, err error) {
	var files []render.File
	var masks []*render.Mask
	for _, g := range e.groups {
		for i, f := range g.files() {
			if len(p.only) == 0 || slices.ContainsFunc(p.only, g.templates[i].named) {
				files, masks = append(files, f), append(masks, g.templates[i].mask)
			}
		}
	}
	if p.diff {
		return p.printDiffs(e, files, masks, out)
	}
	for _, f := range files {
		if len(files) > 1 {
			fmt.Fprintf(out, "==> %s <==\n", f.Dest)
		}
		if _, err := out.Write(f.Content); err != nil {
			return false, err
		}
	}
	return false, nil
}

func (p *printer) printDiffs(e *engine, files []render.File, masks []*render.Mask, out io.Writer) (differs bool, err error) {
	batch, err := render.Plan(files)
	if err != nil {
		return false, err
	}
	defer batch.Discard()
	for i, f := range batch.Files {
		differs = differs || f.Rewritten()
		diff, err := f.Diff()
		if err != nil {
			return differs, err
		}
		if _, err := io.WriteString(out, e.redactDiff(diff, f, nil, masks[i], false)); err != nil {
			return differs, err
		}
	}
	return differs, nil
}
