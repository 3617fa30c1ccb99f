package render

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kconfd/kconfd/internal/limits"
)

// What an element of a value takes in memory while it is decoded or encoded, in
// bytes; measured.
const (
	jsonDecoded, jsonEncoded = 100, 40
	yamlDecoded, yamlEncoded = 400, 800
	tomlDecoded, tomlEncoded = 200, 200
)

// codecs are the functions to and from JSON, YAML and TOML.
func (m *maker) codecs() map[string]any {
	funcs := map[string]any{
		"fromJson": decoder(m, m.jsonText, fromJSON[map[string]any]), "fromJsonArray": decoder(m, m.jsonText, fromJSON[[]any]),
		"mustFromJson": decoder(m, m.jsonText, fromJSON[any]),
		"fromYaml":     decoder(m, m.yamlText, fromYAML[map[string]any]), "fromYamlArray": decoder(m, m.yamlText, fromYAML[[]any]),
		"fromToml": decoder(m, m.tomlText, fromTOML),
		"toJson":   m.encoder(jsonEncoded, flat, toJSON),
		"toYaml":   m.encoder(yamlEncoded, indented, toYAML),
		"toToml":   m.encoder(tomlEncoded, withPaths, toTOML),
	}
	funcs["mustToYaml"], funcs["mustToToml"] = funcs["toYaml"], funcs["toToml"]
	funcs["toYamlPretty"] = m.encoder(yamlEncoded+yamlDecoded, indented, toYAMLPretty)
	for _, name := range []string{"mustToJson", "mustToPrettyJson", "mustToRawJson"} {
		encode := m.sprig[name].(func(any) (string, error))
		funcs[name] = m.encoder(jsonEncoded, indented, encode)
		if name != "mustToJson" {
			funcs["to"+strings.TrimPrefix(name, "mustTo")] = m.encoder(jsonEncoded, indented, encode)
		}
	}
	return funcs
}

// decoder reads a text that check finds no fault with.
func decoder[T any](m *maker, check func(string) error, decode func(string) (T, error)) func(string) (T, error) {
	return func(text string) (v T, err error) {
		if err := check(text); err != nil {
			return v, err
		}
		if v, err = decode(text); err != nil {
			return v, err
		}
		_, err = m.Weigh(v)
		return v, err
	}
}

// structure is how many elements a text can have, by what separates them.
func structure(text string, separators ...string) int {
	n := 1
	for _, s := range separators {
		n += strings.Count(text, s)
	}
	return n
}

// jsonText looks at a text before it is decoded.
func (m *maker) jsonText(text string) error {
	if err := m.Need(len(text) + jsonDecoded*structure(text, ",", ":", "[", "{")); err != nil {
		return err
	}
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		}
		if depth > m.Limits().Depth {
			return m.Exceeded(limits.Depth, "values within values")
		}
	}
	return nil
}

// yamlText looks at a text before it is decoded. An alias costs a few bytes in
// it, and may stand for all that is above.
func (m *maker) yamlText(text string) error {
	if err := m.Need(len(text) + yamlDecoded*structure(text, "\n", ",", ":", "[", "{", "- ")); err != nil {
		return err
	}
	if !strings.Contains(text, "*") || !strings.Contains(text, "&") {
		return nil
	}
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		return err
	}
	x := expansion{meter: m.Meter, inside: map[*yaml.Node]bool{}}
	return x.node(&root, 0)
}

// An expansion is a document as it is with a copy in the place of each alias.
type expansion struct {
	meter  *limits.Meter
	inside map[*yaml.Node]bool // the anchors that are being copied
	bytes  int
	nodes  int
}

func (x *expansion) node(n *yaml.Node, depth int) error {
	x.nodes++
	x.bytes += len(n.Value) + 2
	l := x.meter.Limits()
	if depth > 2*l.Depth || x.bytes > l.Value || x.nodes*yamlDecoded > l.Memory {
		return x.meter.Exceeded(limits.Memory, "a document with aliases that is larger with copies in their places")
	}
	if n.Kind == yaml.AliasNode {
		if x.inside[n.Alias] {
			return fmt.Errorf("line %d: the anchor %q contains itself", n.Line, n.Value)
		}
		x.inside[n.Alias] = true
		defer delete(x.inside, n.Alias)
		return x.node(n.Alias, depth+1)
	}
	for _, c := range n.Content {
		if err := x.node(c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// tomlText looks at a text before it is decoded: each key is compared with all
// others, and a.b.c is a table in a table in a table.
func (m *maker) tomlText(text string) error {
	if err := m.Need(len(text) + tomlDecoded*structure(text, ",", "=", "[", "{", ".")); err != nil {
		return err
	}
	keys := structure(text, "=", "[")
	if nanoseconds := limits.Times(limits.Times(keys, keys), 8); nanoseconds < 0 || nanoseconds > int(m.Limits().Time) {
		return m.Late()
	}
	dots := 0
	for i := range len(text) {
		switch text[i] {
		case '.':
			dots++
		case '\n', ',', '=', '{', '[':
			dots = 0
		}
		if dots > m.Limits().Depth {
			return m.Exceeded(limits.Depth, "a key of more parts")
		}
	}
	return nil
}

// An overhead is how many bytes of text an element may take besides its own.
type overhead func(limits.Weight) int

func flat(limits.Weight) int { return 8 }

// indented is for formats with each element on a line of its own.
func indented(w limits.Weight) int { return 8 + 2*w.Depth }

// withPaths is for TOML, where a table's heading has the keys of all around it, and a
// line is indented by how deep its table is.
func withPaths(w limits.Weight) int { return 8 + w.Path + 2*w.Depth }

// encoder makes a text, when neither that nor what it takes can be too large.
func (m *maker) encoder(perNode int, more overhead, encode func(any) (string, error)) func(any) (string, error) {
	return func(v any) (string, error) {
		w, err := m.Weigh(v)
		if err != nil {
			return "", err
		}
		if err := m.Need(limits.Plus(w.Bytes*2, limits.Times(w.Nodes, perNode))); err != nil {
			return "", err
		}
		if most := limits.Plus(w.Bytes, limits.Times(w.Nodes, more(w))); most < 0 || most > 4*m.Limits().Value {
			return "", m.Text(most)
		}
		text, err := encode(v)
		if err == nil {
			err = encodable(v, text)
		}
		if err != nil {
			return "", err
		}
		return text, m.Text(len(text))
	}
}
