package main

import (
	"fmt"

	"github.com/pelletier/go-toml/v2/unstable"
	"go.yaml.in/yaml/v3"

	"github.com/kconfd/kconfd/internal/lint"
)

// maxKeys is how many keys and tables a resource file may have. The decoders compare
// each key with all others of its table.
const maxKeys = 10_000

// countTOML returns an error at the first key that is one too many. It counts the names
// of a key, a.b.c being three, and no more of a document behind a mistake.
func countTOML(content []byte) error {
	var p unstable.Parser
	p.Reset(content)
	keys := 0
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			keys += names(e.Key())
		case unstable.KeyValue:
			keys += names(e.Key()) + namesIn(e.Value())
		}
		if keys > maxKeys {
			place := p.Shape(p.Range(firstName(e))).Start
			return tooManyKeys(place.Line, place.Column)
		}
	}
	return nil
}

func firstName(e *unstable.Node) []byte {
	parts := e.Key()
	parts.Next()
	return parts.Node().Data
}

func names(parts unstable.Iterator) (n int) {
	for parts.Next() {
		n++
	}
	return n
}

// namesIn are those of the tables in a value.
func namesIn(value *unstable.Node) (n int) {
	if value.Kind == unstable.KeyValue {
		n += names(value.Key())
		value = value.Value()
	}
	if value.Kind != unstable.Array && value.Kind != unstable.InlineTable {
		return n
	}
	for children := value.Children(); children.Next(); {
		n += namesIn(children.Node())
	}
	return n
}

// countYAML returns an error at the first key that is one too many. Of what is no YAML it
// returns nil.
func countYAML(content []byte) error {
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		return nil
	}
	keys := 0
	return countNode(&document, &keys)
}

func countNode(n *yaml.Node, keys *int) error {
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			if *keys++; *keys > maxKeys {
				return tooManyKeys(child.Line, child.Column)
			}
		}
		if err := countNode(child, keys); err != nil {
			return err
		}
	}
	return nil
}

func tooManyKeys(line, column int) error {
	return &decodeError{
		line: line, column: column, rule: lint.RuleValue,
		message: fmt.Sprintf("more than %d keys and tables", maxKeys),
		hint:    "make several resource files of it, or read the values from a ConfigMap",
		final:   true,
	}
}
