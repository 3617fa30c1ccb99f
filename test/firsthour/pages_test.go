package firsthour

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kconfd/kconfd/test/cluster"
	"github.com/kconfd/kconfd/test/process"
)

// What is printed is what the pages say.
func TestPages(t *testing.T) {
	tools := t.TempDir()
	linkTools(t, tools)
	paths, err := filepath.Glob("testdata/*.md")
	if err != nil || len(paths) == 0 {
		t.Fatal("there is no page", err)
	}
	for _, path := range paths {
		p, err := readPage(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".md"), func(t *testing.T) {
			t.Parallel()
			p.run(t, environment(tools))
		})
	}
}

// run runs the page's sections beside each other.
func (p *page) run(t *testing.T, env []string) {
	var mu sync.Mutex
	t.Cleanup(func() { // when all sections are done
		if flag.Lookup("update").Value.String() == "true" {
			if err := os.WriteFile(p.path, []byte(p.String()), 0o644); err != nil {
				t.Error(err)
			}
		}
	})
	inCluster := func(*testing.T) []string { return nil }
	if filepath.Base(p.path) == "cluster.md" {
		inCluster = startCluster(t)
	}
	for i := range p.sections {
		s := &p.sections[i]
		t.Run(s.title, func(t *testing.T) {
			t.Parallel()
			got, want := s.play(t, p.preface, slices.Concat(env, inCluster(t))), textOf(s.blocks)
			if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(textOf(got), "\n")); diff != "" && flag.Lookup("update").Value.String() != "true" {
				t.Errorf("%s, section %q: -said +printed:\n%s", p.path, s.title, diff)
			}
			mu.Lock()
			defer mu.Unlock()
			s.blocks = got
		})
	}
}

// environment is that of a user who has nothing but the tools.
func environment(tools string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "KCONFD_") || strings.HasPrefix(v, "POD_")
	})
	return slices.Clip(append(env, "PATH="+tools+":"+os.Getenv("PATH"), "KUBECONFIG=/nonexistent", "POD_NAME=web-0"))
}

// namespaceVariable is the environment variable with the namespace of a section.
const namespaceVariable = "NAMESPACE="

// startCluster starts one for the sections of a page, and gives the environment of a
// section: its namespace is its own.
func startCluster(t *testing.T) func(*testing.T) []string {
	c := cluster.Start(t)
	var mu sync.Mutex
	return func(t *testing.T) []string {
		mu.Lock()
		defer mu.Unlock()
		home := t.TempDir()
		namespace := c.Namespace(t)
		return []string{
			"KUBECONFIG=" + c.Kubeconfig(t, cluster.Admin, namespace), "HOME=" + home, namespaceVariable + namespace,
		}
	}
}

// play types a section into a shell, and gives its blocks with what is printed.
func (s *section) play(t *testing.T, preface []block, env []string) []block {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sh := startShell(t, dir, append(env, "AWAITED="+t.TempDir()))
	played := make([]block, 0, len(s.blocks))
	for i, b := range append(preface[:len(preface):len(preface)], s.blocks...) {
		switch {
		case b.console():
			b.lines = sh.typeAll(b.commands())
		case b.file() != "":
			if err := b.write(dir); err != nil {
				t.Fatal(err)
			}
		}
		if i >= len(preface) {
			played = append(played, b)
		}
	}
	return played
}

// A shell runs the commands of a section.
type shell struct {
	t   *testing.T
	dir string
	env []string
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Reader
}

// mark is the line that the shell prints behind what a command prints.
const mark = "-- end of the command, which ended with "

func startShell(t *testing.T, dir string, env []string) *shell {
	t.Helper()
	cmd := exec.Command("sh")
	cmd.Dir, cmd.Env = dir, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = writer, writer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	t.Cleanup(func() {
		in.Close()
		if t.Failed() { // what is in the background may go on
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		}
		if err := cmd.Wait(); err != nil && !t.Failed() {
			t.Errorf("the shell: %v", err)
		}
		reader.Close()
	})
	return &shell{t, dir, env, cmd, in, bufio.NewReader(reader)}
}

// typeAll types commands, and gives the console's lines.
func (sh *shell) typeAll(commands []string) []string {
	sh.t.Helper()
	var lines []string
	for _, command := range commands {
		lines = append(lines, "$ "+command)
		fmt.Fprintf(sh.in, "{ %s\n} </dev/null\necho \"%s$?\"\n", command, mark)
		printed, code := sh.read()
		if printed != "" {
			lines = append(lines, strings.Split(strings.TrimSuffix(masked(printed, sh.dir, sh.env), "\n"), "\n")...)
		}
		if code != "0" {
			lines = append(lines, "[exit "+code+"]")
		}
	}
	return lines
}

// read gives what a command prints, and its exit code.
func (sh *shell) read() (printed, code string) {
	sh.t.Helper()
	defer time.AfterFunc(process.Patience, func() { _ = syscall.Kill(-sh.cmd.Process.Pid, syscall.SIGKILL) }).Stop()
	var text strings.Builder
	for {
		line, err := sh.out.ReadString('\n')
		before, code, found := strings.Cut(line, mark)
		text.WriteString(before)
		if found {
			return text.String(), strings.TrimSpace(code)
		}
		if err != nil {
			sh.t.Fatalf("the shell ended: %v\n%s", err, text.String())
		}
	}
}
