package firsthour

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// A page is a file of testdata.
type page struct {
	path     string
	preface  []block   // in every section's directory
	sections []section // tests
}

type section struct {
	title  string
	blocks []block
}

// A block is text that is kept as it is, a file, or a console.
type block struct {
	fence string // ```console, or ```toml conf.d/a.toml; empty for text
	lines []string
}

// file is the path of the file that the block is; empty when it is none.
func (b block) file() string {
	_, path, _ := strings.Cut(b.fence, " ")
	return path
}

func (b block) console() bool { return b.fence == "```console" }

func (b block) String() string {
	text := strings.Join(b.lines, "\n")
	if b.fence != "" {
		text = b.fence + "\n" + text + "\n```"
	}
	return text + "\n"
}

func readPage(path string) (*page, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p := &page{path: path}
	into := &p.preface
	var open *block
	for number, line := range strings.Split(strings.TrimSuffix(string(content), "\n"), "\n") {
		switch {
		case open != nil && line == "```":
			*into, open = append(*into, *open), nil
		case open != nil:
			open.lines = append(open.lines, line)
		case strings.HasPrefix(line, "```"):
			open = &block{fence: line}
			if !open.console() && open.file() == "" {
				return nil, fmt.Errorf("%s:%d: want ```console or ```LANGUAGE FILE", path, number+1)
			}
		case strings.HasPrefix(line, "## "):
			p.sections = append(p.sections, section{title: strings.TrimPrefix(line, "## ")})
			into = &p.sections[len(p.sections)-1].blocks
		default:
			*into = append(*into, block{lines: []string{line}})
		}
	}
	if open != nil {
		return nil, fmt.Errorf("%s: a block is not closed", path)
	}
	return p, nil
}

func textOf(blocks []block) string {
	var text strings.Builder
	for _, b := range blocks {
		text.WriteString(b.String())
	}
	return text.String()
}

func (p *page) String() string {
	text := textOf(p.preface)
	for _, s := range p.sections {
		text += "## " + s.title + "\n" + textOf(s.blocks)
	}
	return text
}

// commands are what is typed into a console. What is printed is left out.
func (b block) commands() []string {
	var commands []string
	for _, line := range b.lines {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			commands = append(commands, command)
		}
	}
	return commands
}

// write makes the file in the directory, by a rename.
func (b block) write(dir string) error {
	path := filepath.Join(dir, b.file())
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	text := strings.Join(b.lines, "\n") + "\n"
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// duration matches one, such as 1m2.5s.
const duration = `([0-9.]+(ns|µs|ms|s|m|h))+\b`

// masked is what is printed without what differs between runs.
func masked(text, dir string, env []string) string {
	text = strings.ReplaceAll(text, dir, "/home/you")
	for _, v := range env {
		if namespace, ok := strings.CutPrefix(v, namespaceVariable); ok {
			text = strings.ReplaceAll(text, namespace, "shop")
		}
	}
	for _, m := range []struct{ pattern, with string }{
		{`(?m)^time=\S+ `, ""},
		{`\b(after|retry)=` + duration, "$1=…"},
		{`(\.[A-Za-z][\w.-]*?)[0-9]{12,}`, "$1…"},  // candidates
		{`(/kconfd-?[A-Za-z]*-?)[0-9]{6,}`, "$1…"}, // directories of checks
		{`\b(for|up|in) ` + duration, "$1 …"},
		{duration + ` +ago`, "… ago"},
		{`/kconfd-cluster-[0-9]+/`, "/"},
		{`\[[0-9]+ [0-9]+\]`, "[… …]"}, // process ids
		{`(127\.0\.0\.1|localhost):[0-9]{4,5}\b`, "$1:…"},
		{`[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9:]{8} (\[\w+\]) [0-9]+#[0-9]+`, "… $1 …"}, // nginx's log
	} {
		text = regexp.MustCompile(m.pattern).ReplaceAllString(text, m.with)
	}
	return text
}
