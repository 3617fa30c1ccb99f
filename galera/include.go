package galera

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxIncludes is how deep files may include one another; the server has the same
// limit.
const maxIncludes = 10

// readOptions reads an option file with the files that it includes, as the server
// does: in the place of the line that names them, a directory's *.cnf by name. A
// file that is not there is no error to the server; a directory is.
//
// Line is that of the file in which the option stands. Of the groups only those of
// servers are returned.
func readOptions(file string) ([]Option, error) {
	options, err := readIncluding(file, 0)
	if err != nil {
		return nil, fmt.Errorf("reading the option file: %w", err)
	}
	return slices.DeleteFunc(options, func(o Option) bool { return !isServerGroup(o.Group) }), nil
}

func readIncluding(file string, depth int) ([]Option, error) {
	content, err := os.ReadFile(file)
	if err != nil || depth > maxIncludes {
		return nil, err
	}
	var options []Option
	p := &piece{from: 1}
	for number, line := range lines(content) {
		text := trimLeft(string(line))
		files, isInclude, err := included(text)
		if err != nil {
			return nil, err
		}
		if !isInclude {
			p.add(text, line)
			continue
		}
		options = append(options, p.options()...)
		for _, name := range files {
			more, err := readIncluding(name, depth+1)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
			options = append(options, more...)
		}
		p = p.next(number + 1)
	}
	return append(options, p.options()...), nil
}

// A piece is what stands between two includes.
type piece struct {
	from       int    // line
	begin, end string // groups: that of its first line, and that of what follows it
	content    bytes.Buffer
}

func (p *piece) add(text string, line []byte) {
	p.content.Write(line)
	if strings.HasPrefix(text, "[") {
		p.end = parseGroup(text)
	}
}

func (p *piece) next(from int) *piece { return &piece{from: from, begin: p.end, end: p.end} }

func (p *piece) options() []Option {
	options := ParseOptions(append([]byte("["+p.begin+"]\n"), p.content.Bytes()...))
	for i := range options {
		options[i].Line += p.from - 2
	}
	return options
}

// included are the files that a line includes.
func included(line string) (files []string, isInclude bool, err error) {
	if dir, ok := strings.CutPrefix(line, "!includedir"); ok {
		dir = strings.TrimSpace(dir)
		if _, err := os.ReadDir(dir); err != nil {
			return nil, true, err
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.cnf"))
		return files, true, err
	}
	file, ok := strings.CutPrefix(line, "!include")
	return []string{strings.TrimSpace(file)}, ok, nil
}
