package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kconfd/kconfd/render"
	"github.com/kconfd/kconfd/watcher"
)

// rawGuard is [[guard]] of a resource file: what the objects must be like that
// the templates read.
type rawGuard struct {
	Endpoints string `toml:"endpoints" yaml:"endpoints"`
	Pods      string `toml:"pods" yaml:"pods"`
	Services  string `toml:"services" yaml:"services"`
	Nodes     string `toml:"nodes" yaml:"nodes"`
	Namespace string `toml:"namespace" yaml:"namespace"`
	Ready     bool   `toml:"ready" yaml:"ready"`
	Min       int    `toml:"min" yaml:"min"`
	MaxShrink string `toml:"max_shrink" yaml:"max_shrink"`
	Hold      string `toml:"hold" yaml:"hold"`
	Fresh     bool   `toml:"fresh" yaml:"fresh"`
}

// A guardConfig is a guard, read and found good.
type guardConfig struct {
	name   string // endpoints "db" in namespace "prod"
	placed bool   // it has a namespace or needs none
	source render.Source
	min    int
	shrink float64       // the part that may be missing at once, 1 for all
	hold   time.Duration // for which a shrunken list is held; negative: for ever
	fresh  bool          // what was read must be up to date
}

const (
	defaultHold = 5 * time.Minute

	// maxMinimum is the largest min: no list of a cluster has more.
	maxMinimum = 1_000_000
)

func (r *rawGuard) parse() (guardConfig, error) {
	g := guardConfig{min: r.Min, shrink: 1, hold: defaultHold, fresh: r.Fresh}
	if err := r.parseWhat(&g); err != nil {
		return g, err
	}
	if r.Min < 0 {
		return g, errors.New("min: negative")
	}
	if r.Min > maxMinimum {
		return g, fmt.Errorf("min: want a number from 0 to %d, not %d", maxMinimum, r.Min)
	}
	if r.MaxShrink != "" {
		percent, err := strconv.ParseFloat(strings.TrimSuffix(r.MaxShrink, "%"), 64)
		if err != nil || !strings.HasSuffix(r.MaxShrink, "%") || !(0 <= percent && percent <= 100) { // nor NaN
			return g, fmt.Errorf(`max_shrink: want a percentage such as "50%%", not %q`, r.MaxShrink)
		}
		g.shrink = percent / 100
	}
	switch {
	case r.Hold != "" && r.MaxShrink == "":
		return g, errors.New("hold without max_shrink")
	case r.Hold == "none":
		g.hold = -1
	case r.Hold != "":
		var err error
		if g.hold, err = parseTimeout("hold", r.Hold); err != nil {
			return g, err
		}
	}
	if r.Min == 0 && r.MaxShrink == "" && !r.Fresh {
		return g, errors.New("want min, max_shrink or fresh")
	}
	return g, nil
}

// parseWhat makes a template of what is to be counted, so that it is read as
// templates read.
func (r *rawGuard) parseWhat(g *guardConfig) error {
	found := 0
	for function, argument := range map[string]string{"endpoints": r.Endpoints, "pods": r.Pods, "services": r.Services, "nodes": r.Nodes} {
		if argument == "" {
			continue
		}
		found++
		g.name = fmt.Sprintf("%s %q", function, argument)
		call := g.name
		if r.Namespace != "" {
			call += fmt.Sprintf(" %q", r.Namespace)
			g.name += fmt.Sprintf(" in namespace %q", r.Namespace)
		}
		if r.Ready {
			call = fmt.Sprintf("%s | ready", call)
		}
		g.source = render.Source{Name: "guard " + g.name, Text: fmt.Sprintf("{{ %s | len }}", call)}
	}
	g.placed = r.Namespace != "" || r.Nodes != ""
	switch {
	case found != 1:
		return errors.New("want one of endpoints, pods, services and nodes")
	case r.Nodes != "" && r.Namespace != "":
		return errors.New("nodes have no namespace")
	case r.Ready && r.Endpoints == "":
		return errors.New("ready is for endpoints")
	}
	return nil
}

// A guard is one at work.
type guard struct {
	config   guardConfig
	template *render.Template
	reader   *watcher.Reader
	count    int
	since    time.Time // when the list was first seen shrunken; zero when it is not
	err      error     // of counting
}

func newGuard(c guardConfig, w *watcher.Watcher) (*guard, error) {
	g := &guard{config: c, reader: w.NewReader()}
	source := c.source
	source.Funcs = g.reader.Funcs()
	if namespace := w.Namespace(); namespace != "" && !c.placed {
		g.config.name += fmt.Sprintf(" in namespace %q", namespace)
	}
	var err error
	if g.template, err = render.Parse(source); err != nil {
		g.reader.Close()
	}
	return g, err
}

// look counts, if what is counted has changed.
func (g *guard) look(v *watcher.View) {
	if !v.Stale(g.reader) && !passing(g.err) {
		return
	}
	g.err = v.Run(g.reader, func() error {
		text, err := g.template.Execute(nil)
		if err == nil {
			g.count, err = strconv.Atoi(string(text))
		}
		return err
	})
}

// counted is what the guard counts.
func (g *guard) counted() string { return g.config.source.Text }

// check says why the render is to be held, if it is. Before is the count of what
// was applied last, negative when nothing was.
func (g *guard) check(before int, now time.Time) error {
	if g.err != nil {
		return g.err
	}
	c := g.config
	least := float64(before) * (1 - c.shrink)
	if float64(g.count) >= least {
		g.since = time.Time{}
	} else if g.since.IsZero() {
		g.since = now
	}
	switch {
	case g.count < c.min:
		return g.held("%d, and min is %d", g.count, c.min)
	case g.since.IsZero():
	case c.hold < 0:
		return g.held("%d of %d, and max_shrink is %g%%", g.count, before, c.shrink*100)
	case now.Before(g.since.Add(c.hold)):
		return g.held("%d of %d, and max_shrink is %g%%; held until %s", g.count, before, c.shrink*100, g.since.Add(c.hold).Format(time.TimeOnly))
	}
	return nil
}

func (g *guard) held(format string, args ...any) error {
	return &render.HeldError{Reason: fmt.Sprintf("guard %s: ", g.config.name) + fmt.Sprintf(format, args...)}
}

// release is when the guard lets go by itself; zero when only news makes it, or
// when it has let go already.
func (g *guard) release(now time.Time) time.Time {
	at := g.since.Add(g.config.hold)
	if g.since.IsZero() || g.config.hold < 0 || !at.After(now) {
		return time.Time{}
	}
	return at
}
