package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A stage is where the demonstration takes place: a directory with all that
// kconfd reads and writes, and later the daemon.
type stage struct {
	out      io.Writer
	program  string // kconfd's path
	dir      string
	original []byte // my.cnf for three nodes
	kconfd   *daemon
}

func newStage(kconfd, templates string, out io.Writer) (*stage, error) {
	program, err := exec.LookPath(kconfd)
	if err != nil {
		return nil, fmt.Errorf("looking for kconfd: %w (run: make build)", err)
	}
	if program, err = filepath.Abs(program); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "kconfd-demo-")
	if err != nil {
		return nil, err
	}
	s := &stage{out: out, program: program, dir: dir}
	if err := s.build(templates); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// build fills the directory.
func (s *stage) build(templates string) error {
	sources, err := filepath.Glob(filepath.Join(templates, "*.tmpl"))
	if err != nil || len(sources) == 0 {
		return fmt.Errorf("no templates in %q (run it where go.mod is)", templates)
	}
	for _, source := range sources {
		if err := s.copy(source, "templates"); err != nil {
			return err
		}
	}
	if err := s.copy(filepath.Join(templates, "testdata", "my.cnf", "manifests", "nodes-3.yaml"), "manifests"); err != nil {
		return err
	}
	return s.write("conf.d/galera.toml", resource)
}

func (s *stage) copy(source, dir string) error {
	content, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	return s.write(filepath.Join(dir, filepath.Base(source)), string(content))
}

// write puts a whole file in its place: kconfd may look at any moment.
func (s *stage) write(name, content string) error {
	dir, base := filepath.Split(s.path(name))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	next := filepath.Join(dir, "."+base)
	if err := os.WriteFile(next, []byte(content), 0o644); err != nil {
		return err
	}
	return os.Rename(next, filepath.Join(dir, base))
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stage) close() {
	if s.kconfd != nil {
		s.kconfd.kill()
	}
	_ = os.RemoveAll(s.dir) // a temporary directory
}

// start runs kconfd in the directory, with kconfd in PATH and with what the
// downward API tells a container.
func (s *stage) start(ctx context.Context, args ...string) (err error) {
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.Dir = s.dir
	cmd.Env = []string{
		"PATH=" + filepath.Dir(s.program) + string(filepath.ListSeparator) + os.Getenv("PATH"),
		"POD_NAME=pxc-node2-0", "POD_NAMESPACE=default", "POD_IP=10.244.2.22", "NODE_NAME=worker-2",
	}
	s.kconfd, err = start(cmd, s.show)
	return err
}

// unchanged demands that my.cnf is as it was for three nodes.
func (s *stage) unchanged() error {
	content, err := os.ReadFile(s.path("my.cnf"))
	if err != nil {
		return err
	}
	if !bytes.Equal(content, s.original) {
		return fmt.Errorf("my.cnf is not the one for three nodes:\n%s", content)
	}
	return nil
}

// notes demands that the action was done that many times.
func (s *stage) notes(want int) error {
	content, err := os.ReadFile(s.path("notes"))
	if err != nil {
		return err
	}
	if got := bytes.Count(content, []byte("\n")); got != want {
		return fmt.Errorf("the action was done %d times, want %d", got, want)
	}
	return nil
}

// heading begins a step.
func (s *stage) heading(text string) { fmt.Fprintf(s.out, "\n== %s\n", text) }

// say explains something.
func (s *stage) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

// show prints what is in a file or comes from a program.
func (s *stage) show(text string) {
	for line := range strings.Lines(text) {
		for i, piece := range fold(strings.TrimRight(line, "\n"), 96) {
			indent := "   | "
			if i > 0 {
				indent += "    "
			}
			fmt.Fprintln(s.out, strings.TrimRight(indent+piece, " "))
		}
	}
}

// fold cuts a line at blanks, where it can be, into pieces of no more than so
// many bytes.
func fold(line string, width int) []string {
	var pieces []string
	for len(line) > width {
		at := strings.LastIndexByte(line[:width], ' ')
		if at <= 0 {
			break
		}
		pieces = append(pieces, line[:at])
		line = line[at+1:]
	}
	return append(pieces, line)
}
