// Bench measures kconfd against floor, the least that a program can do for the
// same job, on a real API server, and prints a Markdown table.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/kconfd/kconfd/test/cluster"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options is what the flags say.
type options struct {
	kconfd  string
	dir     string
	rows    string
	runs    int
	starts  int
	changes int
	idle    time.Duration
	self    bool
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.kconfd, "kconfd", "bin/kconfd", "`path` of the kconfd to measure")
	flags.StringVar(&o.dir, "dir", os.TempDir(), "`directory` for the files that are written; kconfd syncs them to the disk, floor does not")
	flags.StringVar(&o.rows, "rows", strings.Join(names(), ","), "what to measure")
	flags.IntVar(&o.runs, "runs", 5, "how `often` each is measured")
	flags.IntVar(&o.starts, "starts", 15, "how `often` the start is measured")
	flags.IntVar(&o.changes, "changes", 100, "`number` of changes in a run")
	flags.DurationVar(&o.idle, "idle", 5*time.Second, "how `long` after the first file memory is measured")
	flags.BoolVar(&o.self, "self", false, "measure floor in kconfd's place, to see how much the figures scatter")
	err := flags.Parse(args)
	return o, err
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "kconfd-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c, err := cluster.New("")
	if err != nil {
		return err
	}
	defer c.Close()
	b, err := newBench(ctx, c, dir, o)
	if err != nil {
		return err
	}
	table, err := b.measure(ctx, stderr)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Files are written to %s on %s. Ratios are of medians, their spread is over the runs.\n\n", o.dir, filesystem(o.dir))
	return table.print(stdout, b.subject.name)
}

// bench is what the measurements share.
type bench struct {
	options
	cluster  *cluster.Cluster
	dir      string // for the files that are written
	floor    program
	subject  program // kconfd, but for -self
	fixtures fixtures
}

func newBench(ctx context.Context, c *cluster.Cluster, dir string, o options) (*bench, error) {
	floor, err := buildFloor(ctx, dir)
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, cluster: c, dir: dir, floor: floor, subject: kconfd(o.kconfd)}
	if o.self {
		b.subject = floor
		b.subject.name = "floor again"
	}
	b.fixtures, err = makeFixtures(ctx, c)
	return b, err
}

// buildFloor builds it as kconfd is built.
func buildFloor(ctx context.Context, dir string) (program, error) {
	path := filepath.Join(dir, "floor")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path,
		"github.com/kconfd/kconfd/test/bench/floor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return program{}, fmt.Errorf("building floor: %w\n%s", err, output)
	}
	return floor(path), nil
}

// measure does those that the flags chose, and says on progress which it is at.
func (b *bench) measure(ctx context.Context, progress io.Writer) (table, error) {
	chosen := strings.Split(b.rows, ",")
	var t table
	for _, m := range measurements() {
		if !slices.Contains(chosen, m.name) || m.alone && b.self {
			continue
		}
		fmt.Fprintf(progress, "bench: %s\n", m.name)
		rows, err := b.rowsOf(ctx, m)
		if err != nil {
			return nil, fmt.Errorf("measuring %q: %w", m.name, err)
		}
		t = append(t, rows...)
	}
	return t, nil
}

// rowsOf runs the programs in turn, so that both get their share of whatever
// else the machine does.
func (b *bench) rowsOf(ctx context.Context, m measurement) ([]row, error) {
	rows := slices.Clone(m.rows)
	for range m.runs(b.options) {
		if !m.alone {
			figures, err := m.measure(ctx, b, b.floor)
			if err != nil {
				return nil, err
			}
			for i := range rows {
				rows[i].floor = append(rows[i].floor, figures[i])
			}
		}
		figures, err := m.measure(ctx, b, b.subject)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			rows[i].subject = append(rows[i].subject, figures[i])
		}
	}
	return rows, nil
}
