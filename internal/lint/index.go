package lint

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
	"go.yaml.in/yaml/v3"
)

// A Place is a position in a file: lines and columns count from 1.
type Place struct {
	Line, Column int
}

// maxDepth is how many names lead to a key whose place is noted. Resource files are
// not that deep, but their values may be.
const maxDepth = 20

// An Index has the places of the keys of a TOML or YAML document, but for those that
// are very deep in it.
type Index struct {
	keys  map[string]Place
	texts map[string]textPlace
	paths map[Place]string // of keys, once they are asked for
}

// A textPlace is where a string of several lines begins, and how far its further
// lines are indented.
type textPlace struct {
	Place
	indent int
}

func newIndex() *Index {
	return &Index{keys: map[string]Place{}, texts: map[string]textPlace{}}
}

// At returns the place of a key, given by the names and numbers that lead to it;
// that of the key or table around it when the document does not have it; and the
// first place of the file when it has none of them.
func (x *Index) At(path ...string) Place {
	for ; len(path) > 0; path = path[:len(path)-1] {
		if p, ok := x.keys[strings.Join(path, "\x00")]; ok {
			return p
		}
	}
	return Place{1, 1}
}

// Has reports whether the document has a key.
func (x *Index) Has(path ...string) bool {
	_, ok := x.keys[strings.Join(path, "\x00")]
	return ok
}

// Text returns where the text of a string begins, and how far its lines but the
// first are indented in the document.
func (x *Index) Text(path ...string) (at Place, indent int) {
	if t, ok := x.texts[strings.Join(path, "\x00")]; ok {
		return t.Place, t.indent
	}
	return x.At(path...), 0
}

// IndexTOML returns the places of the keys of a TOML document, as far as it can be
// parsed.
func IndexTOML(content []byte) *Index {
	x := newIndex()
	t := &tomlIndex{Index: x, content: content, lines: lineStarts(string(content)), counts: map[string]int{}}
	t.parser.Reset(content)
	var table []string
	for t.parser.NextExpression() {
		switch e := t.parser.Expression(); e.Kind {
		case unstable.Table:
			table = t.key(nil, e.Key())
		case unstable.ArrayTable:
			table = t.arrayKey(e.Key())
		case unstable.KeyValue:
			t.pair(table, e)
		}
	}
	return x
}

type tomlIndex struct {
	*Index
	parser  unstable.Parser
	content []byte
	lines   []int          // where they begin
	counts  map[string]int // of array tables, by their paths
}

// key notes the places of a key's parts below a table, and returns its path.
func (t *tomlIndex) key(table []string, parts unstable.Iterator) []string {
	path := append([]string{}, table...)
	for parts.Next() && len(path) < maxDepth {
		n := parts.Node()
		path = append(path, string(n.Data))
		t.note(path, t.place(n))
		if c, ok := t.counts[strings.Join(path, "\x00")]; ok {
			path = append(path, strconv.Itoa(c-1)) // the last of an array
		}
	}
	return path
}

func (t *tomlIndex) arrayKey(parts unstable.Iterator) []string {
	var path []string
	var at Place
	for parts.Next() && len(path) < maxDepth {
		n := parts.Node()
		path, at = append(path, string(n.Data)), t.place(n)
		t.note(path, at)
		if c, ok := t.counts[strings.Join(path, "\x00")]; ok && !parts.IsLast() {
			path = append(path, strconv.Itoa(c-1))
		}
	}
	name := strings.Join(path, "\x00")
	path = append(path, strconv.Itoa(t.counts[name]))
	t.counts[name]++
	t.keys[strings.Join(path, "\x00")] = at
	return path
}

func (t *tomlIndex) pair(table []string, e *unstable.Node) {
	path := t.key(table, e.Key())
	t.value(path, e.Value())
}

func (t *tomlIndex) value(path []string, v *unstable.Node) {
	if len(path) >= maxDepth {
		return
	}
	switch v.Kind {
	case unstable.InlineTable:
		for children := v.Children(); children.Next(); {
			t.pair(path, children.Node())
		}
	case unstable.Array:
		i := 0
		for children := v.Children(); children.Next(); {
			inner := append(append([]string{}, path...), strconv.Itoa(i))
			n := children.Node()
			if n.Kind == unstable.Comment {
				continue
			}
			if n.Raw.Length > 0 {
				t.note(inner, t.at(int(n.Raw.Offset)))
			}
			t.value(inner, n)
			i++
		}
	case unstable.String:
		t.text(path, v)
	}
}

// text notes where the text of a string begins, behind its quotes.
func (t *tomlIndex) text(path []string, v *unstable.Node) {
	if v.Raw.Length == 0 {
		return
	}
	at := int(v.Raw.Offset)
	raw := string(t.content[at : at+int(v.Raw.Length)])
	switch {
	case strings.HasPrefix(raw, `"""`), strings.HasPrefix(raw, "'''"):
		at += 3
		for _, newline := range []string{"\n", "\r\n"} {
			if strings.HasPrefix(raw[3:], newline) {
				at += len(newline)
			}
		}
	default:
		at++
	}
	t.texts[strings.Join(path, "\x00")] = textPlace{t.at(at), 0}
}

func (t *tomlIndex) note(path []string, at Place) {
	name := strings.Join(path, "\x00")
	if _, ok := t.keys[name]; !ok {
		t.keys[name] = at
	}
}

// place is that of a key's part.
func (t *tomlIndex) place(n *unstable.Node) Place {
	if n.Raw.Length > 0 {
		return t.at(int(n.Raw.Offset))
	}
	return Place{1, 1}
}

func (t *tomlIndex) at(offset int) Place {
	line, found := slices.BinarySearch(t.lines, offset)
	if !found {
		line--
	}
	return Place{line + 1, offset - t.lines[line] + 1}
}

// IndexYAML returns the places of the keys of a YAML document, as far as it can be
// parsed.
func IndexYAML(content []byte) *Index {
	x := newIndex()
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		return x
	}
	y := &yamlIndex{x, strings.Split(string(content), "\n")}
	for _, n := range document.Content {
		y.value(nil, n, 0)
	}
	return x
}

type yamlIndex struct {
	*Index
	lines []string
}

func (y *yamlIndex) value(path []string, n *yaml.Node, depth int) {
	if depth > maxDepth {
		return
	}
	name := strings.Join(path, "\x00")
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			inner := append(append([]string{}, path...), key.Value)
			y.keys[strings.Join(inner, "\x00")] = Place{key.Line, key.Column}
			y.value(inner, n.Content[i+1], depth+1)
		}
	case yaml.SequenceNode:
		for i, child := range n.Content {
			inner := append(append([]string{}, path...), strconv.Itoa(i))
			y.keys[strings.Join(inner, "\x00")] = Place{child.Line, child.Column}
			y.value(inner, child, depth+1)
		}
	case yaml.ScalarNode:
		switch {
		case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
			indent := 0
			if n.Line < len(y.lines) {
				next := y.lines[n.Line]
				indent = len(next) - len(strings.TrimLeft(next, " "))
			}
			y.texts[name] = textPlace{Place{n.Line + 1, indent + 1}, indent}
		case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
			y.texts[name] = textPlace{Place{n.Line, n.Column + 1}, 0}
		default:
			y.texts[name] = textPlace{Place{n.Line, n.Column}, 0}
		}
	}
}

// PathAt returns the names and numbers that lead to the key at a place; nil when no
// key is there.
func (x *Index) PathAt(at Place) []string {
	if x.paths == nil {
		x.paths = map[Place]string{}
		for path, place := range x.keys {
			if len(path) > len(x.paths[place]) { // an element of a list begins with its first key
				x.paths[place] = path
			}
		}
	}
	if path := x.paths[at]; path != "" {
		return strings.Split(path, "\x00")
	}
	return nil
}
