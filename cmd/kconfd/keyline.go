package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
	"go.yaml.in/yaml/v3"
)

// A keyError is a mistake in the value of a key of a resource file.
type keyError struct {
	path []string // names, and numbers from 0 in lists
	err  error
}

func (e *keyError) Error() string {
	var names []string
	for i, name := range e.path {
		_, err := strconv.Atoi(name)
		if table := i == 0 && name == "template"; err != nil && !table {
			names = append(names, name)
		}
	}
	return fmt.Sprintf("%s: %v", strings.Join(names, "."), e.err)
}

func (e *keyError) Unwrap() error { return e.err }

// keyErrorf is a mistake in a key.
func keyErrorf(path []string, format string, args ...any) error {
	return &keyError{path, fmt.Errorf(format, args...)}
}

// under says where the table is in which the key is.
func under(err error, path ...string) error {
	var key *keyError
	if errors.As(err, &key) {
		key.path = append(path, key.path...)
	}
	return err
}

// ofProcess says that an error is about [process]. One that knows its key has its place.
func ofProcess(err error) error {
	if key := (*keyError)(nil); errors.As(err, &key) {
		return under(err, "process")
	}
	return fmt.Errorf("[process]: %w", err)
}

// atKey adds the line of the key to an error about one.
func atKey(err error, name string, content []byte) error {
	var key *keyError
	if !errors.As(err, &key) {
		return err
	}
	lines := tomlLines
	if filepath.Ext(name) != ".toml" {
		lines = yamlLines
	}
	found := lines(content)
	path := key.path
	if _, list := found["template\x000"]; path[0] == "template" && len(path) > 2 && !list {
		path = append([]string{"template"}, path[2:]...) // the one of confd
	}
	for ; len(path) > 0; path = path[:len(path)-1] {
		if line, ok := found[strings.Join(path, "\x00")]; ok {
			return fmt.Errorf("line %d: %w", line, err)
		}
	}
	return err
}

// yamlLines are the lines of all keys of a YAML document, by their paths.
func yamlLines(content []byte) map[string]int {
	lines := map[string]int{}
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		return lines
	}
	var note func(n *yaml.Node, path string)
	note = func(n *yaml.Node, path string) {
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				at := path + n.Content[i].Value
				lines[at] = n.Content[i].Line
				note(n.Content[i+1], at+"\x00")
			}
		case yaml.SequenceNode:
			for i, item := range n.Content {
				at := path + strconv.Itoa(i)
				lines[at] = item.Line
				note(item, at+"\x00")
			}
		}
	}
	for _, n := range document.Content {
		note(n, "")
	}
	return lines
}

// tomlLines are the lines of all keys of a TOML document, by their paths.
func tomlLines(content []byte) map[string]int {
	t := tomlKeys{lines: map[string]int{}, counts: map[string]int{}}
	t.parser.Reset(content)
	table := ""
	for t.parser.NextExpression() {
		switch e := t.parser.Expression(); e.Kind {
		case unstable.Table:
			table = t.key("", e.Key()) + "\x00"
		case unstable.ArrayTable:
			path := t.key("", e.Key())
			at := fmt.Sprintf("%s\x00%d", path, t.counts[path])
			t.lines[at] = t.line
			t.counts[path]++
			table = at + "\x00"
		case unstable.KeyValue:
			t.pair(table, e)
		}
	}
	return t.lines
}

type tomlKeys struct {
	parser unstable.Parser
	lines  map[string]int
	line   int            // of the last key
	counts map[string]int // of the tables of an array, by its path
}

func (t *tomlKeys) pair(table string, e *unstable.Node) {
	path := t.key(table, e.Key())
	if e.Value().Kind != unstable.InlineTable {
		return
	}
	for children := e.Value().Children(); children.Next(); {
		t.pair(path+"\x00", children.Node())
	}
}

// key notes the line of a key, and gives its path.
func (t *tomlKeys) key(table string, parts unstable.Iterator) string {
	path := strings.TrimSuffix(table, "\x00")
	for parts.Next() {
		n := parts.Node()
		if path != "" {
			path += "\x00"
		}
		path += string(n.Data)
		t.line = t.parser.Shape(n.Raw).Start.Line
		if _, known := t.lines[path]; !known {
			t.lines[path] = t.line
		}
		if count, array := t.counts[path]; array && !parts.IsLast() {
			path += "\x00" + strconv.Itoa(count-1)
		}
	}
	return path
}
