package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"time"
)

// measurement is what can be chosen with -rows: one or more rows of the table
// that come from the same runs.
type measurement struct {
	name  string
	rows  []row
	runs  func(options) int
	alone bool // there is nothing to compare with

	// measure does one run and returns a figure for each row, in its unit.
	measure func(context.Context, *bench, program) ([]float64, error)
}

func measurements() []measurement {
	often := func(o options) int { return o.runs }
	once := func(options) int { return 1 }
	return []measurement{
		{
			name: "memory", runs: often, measure: measureMemory,
			rows: []row{
				{name: "resident memory, 3 endpoints", unit: "MiB"},
				{name: "memory added by 10,000 endpoints", unit: "MiB"},
			},
		},
		{
			name: "small", runs: often, measure: measureSmall,
			rows: []row{
				{name: "commit → new file, 3 endpoints", unit: "ms"},
				{name: "update sent → new file, 3 endpoints", unit: "ms"},
			},
		},
		{
			name: "large", runs: often, measure: measureLarge,
			rows: []row{
				{name: "commit → new file, 10,000 endpoints", unit: "ms"},
				{name: "update sent → new file, 10,000 endpoints", unit: "ms"},
				{name: "CPU per change, 10,000 endpoints", unit: "ms"},
			},
		},
		{
			name: "start", runs: func(o options) int { return o.starts }, measure: measureStart,
			rows: []row{{name: "start → first file", unit: "ms"}},
		},
		{
			name: "services", runs: once, measure: measureServices, alone: true,
			rows: []row{
				{name: "connections, 500 services"},
				{name: "watches opened, 500 services"},
			},
		},
		{
			name: "size", runs: once, measure: measureSize,
			rows: []row{{name: "size of the binary", unit: "MiB"}},
		},
	}
}

func names() []string {
	var names []string
	for _, m := range measurements() {
		names = append(names, m.name)
	}
	return names
}

func measureMemory(ctx context.Context, b *bench, p program) ([]float64, error) {
	small, err := b.memory(ctx, p, b.fixtures.small)
	if err != nil {
		return nil, err
	}
	large, err := b.memory(ctx, p, b.fixtures.large)
	if err != nil {
		return nil, err
	}
	return []float64{small, large - small}, nil
}

// memory is what the program has resident when it has been idle for a while.
func (b *bench) memory(ctx context.Context, p program, f *fixture) (mebibytes float64, err error) {
	s, _, err := b.start(ctx, p, f)
	if err != nil {
		return 0, err
	}
	defer s.stop()
	if err := s.idle(ctx, b.options.idle); err != nil {
		return 0, err
	}
	return residentMemory(s.pid())
}

func measureSmall(ctx context.Context, b *bench, p program) ([]float64, error) {
	c, err := b.change(ctx, p, b.fixtures.small)
	return []float64{median(c.fromCommit), median(c.fromSent)}, err
}

func measureLarge(ctx context.Context, b *bench, p program) ([]float64, error) {
	c, err := b.change(ctx, p, b.fixtures.large)
	return []float64{median(c.fromCommit), median(c.fromSent), c.cpu}, err
}

// changes is what changes cost, in milliseconds.
type changes struct {
	// fromCommit counts from the API server's answer, which may well come after
	// the watch event, and even after the file: then it is next to nothing.
	fromCommit []float64
	fromSent   []float64 // counts from just before the request
	cpu        float64   // the program's CPU time per change
}

// change changes one endpoint after the other and waits for the file each time.
func (b *bench) change(ctx context.Context, p program, f *fixture) (c changes, err error) {
	s, _, err := b.start(ctx, p, f)
	if err != nil {
		return c, err
	}
	defer s.stop()
	before, err := cpuTime(s.pid())
	if err != nil {
		return c, err
	}
	for range b.changes {
		sent := time.Now()
		address, err := f.change(ctx)
		if err != nil {
			return c, err
		}
		committed := time.Now()
		seen, err := s.await(ctx, hasAddress(address))
		if err != nil {
			return c, err
		}
		c.fromSent = append(c.fromSent, milliseconds(seen.Sub(sent)))
		c.fromCommit = append(c.fromCommit, milliseconds(seen.Sub(committed)))
	}
	after, err := cpuTime(s.pid())
	c.cpu = milliseconds(after-before) / float64(b.changes)
	return c, err
}

func measureStart(ctx context.Context, b *bench, p program) ([]float64, error) {
	s, took, err := b.start(ctx, p, b.fixtures.small)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	return []float64{milliseconds(took)}, nil
}

// measureServices counts what is open a while after the first file, for the
// connections, and what was ever opened, for the watches.
func measureServices(ctx context.Context, b *bench, p program) ([]float64, error) {
	before, err := b.watches(ctx)
	if err != nil {
		return nil, err
	}
	s, _, err := b.start(ctx, p, b.fixtures.services)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	if err := s.idle(ctx, b.options.idle); err != nil {
		return nil, err
	}
	connections, err := connections(s.pid())
	if err != nil {
		return nil, err
	}
	after, err := b.watches(ctx)
	if err != nil {
		return nil, err
	}
	return []float64{float64(connections), after - before}, nil
}

func measureSize(_ context.Context, _ *bench, p program) ([]float64, error) {
	info, err := os.Stat(p.path)
	if err != nil {
		return nil, fmt.Errorf("the size of %q: %w", p.path, err)
	}
	return []float64{float64(info.Size()) / (1 << 20)}, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// median is not a number for no figures.
func median(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
