package galera

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kconfd/kconfd/internal/safefs"
)

const (
	// maxIncludes is how deep files may include one another; the server has the same
	// limit, and passes over what is deeper.
	maxIncludes = 10

	// maxOptionFiles is how many files are read for one option file. A file that
	// includes itself twice would be read two thousand times.
	maxOptionFiles = 1000

	// maxOptionFile is how large one option file may be, in bytes.
	maxOptionFile = 1 << 20

	// maxOptionBytes is how much all the files may have together.
	maxOptionBytes = 16 << 20
)

// readOptionFile reads one option file, which has to be a regular one.
func readOptionFile(file string) ([]byte, error) { return safefs.ReadFile(file, maxOptionFile) }

// readOptions reads an option file with the files that it includes, as the server
// does: in the place of the line that names them, a directory's *.cnf by name. A
// file that is not there is no error to the server; a directory is. Only regular
// files are read, and of limited size and number.
//
// Line is that of the file in which the option stands. Of the groups only those of
// servers are returned.
func readOptions(file string) ([]Option, error) {
	options, err := (&includes{}).read(file, 0)
	if err != nil {
		return nil, fmt.Errorf("reading the option file: %w", err)
	}
	return slices.DeleteFunc(options, func(o Option) bool { return !isServerGroup(o.Group) }), nil
}

// refuseIncludes returns an error when a file that the text includes, directly or
// not, is one that the server would wait for or read without end. Of one that is
// not there, or may not be read, the server itself has more to say.
func refuseIncludes(file string, text []byte) error {
	_, err := (&includes{}).follow(text, 0)
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return fmt.Errorf("what %q includes: %w", file, err)
}

var errTooManyIncludes = fmt.Errorf("more than %d files, or %d bytes in them", maxOptionFiles, maxOptionBytes)

// includes counts what is read for one option file.
type includes struct{ files, bytes int }

func (i *includes) read(file string, depth int) ([]Option, error) {
	if depth > maxIncludes {
		return nil, nil
	}
	content, err := readOptionFile(file)
	if err != nil {
		return nil, err
	}
	i.files++
	i.bytes += len(content)
	if i.files > maxOptionFiles || i.bytes > maxOptionBytes {
		return nil, errTooManyIncludes
	}
	return i.follow(content, depth)
}

// follow reads the options of a content, with those of the files that it includes.
func (i *includes) follow(content []byte, depth int) ([]Option, error) {
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
			more, err := i.read(name, depth+1)
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
