package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kconfd/kconfd/internal/document"
)

// fileValues are the values of a resource file, with numbers as TOML has them: whole
// ones are int64.
type fileValues map[string]any

// UnmarshalYAML decodes values in YAML. A number of more than 64 bits is an error, since
// the decoder rounds it.
func (v *fileValues) UnmarshalYAML(n *yaml.Node) error {
	if err := wholeNumbers(n); err != nil {
		return err
	}
	var decoded map[string]any
	if err := n.Decode(&decoded); err != nil {
		return err
	}
	*v = sameTypes(decoded).(map[string]any)
	return nil
}

// wholeNumbers looks for whole numbers that the decoder takes for others: those that are
// too large, and those that begin with 0 and are not octal.
func wholeNumbers(n *yaml.Node) error {
	digits := strings.ReplaceAll(n.Value, "_", "")
	if n.Kind == yaml.ScalarNode && n.Style == 0 && n.Tag == "!!float" && document.IsWhole(digits) {
		whole, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || !strings.ContainsAny(digits, "89") {
			return fmt.Errorf("line %d: the number %s does not fit into 64 bits: put it into quotes", n.Line, n.Value)
		}
		n.Tag, n.Value = "!!int", strconv.FormatInt(whole, 10)
	}
	for _, child := range n.Content {
		if err := wholeNumbers(child); err != nil {
			return err
		}
	}
	return nil
}

// sameTypes are values with those types that TOML and JSON give: int64, and maps with
// keys of type string.
func sameTypes(v any) any {
	switch v := v.(type) {
	case int:
		return int64(v)
	case uint64:
		return json.Number(strconv.FormatUint(v, 10))
	case map[string]any:
		for k, element := range v {
			v[k] = sameTypes(element)
		}
	case map[any]any:
		fields := make(map[string]any, len(v))
		for k, element := range v {
			fields[fmt.Sprint(k)] = sameTypes(element)
		}
		return fields
	case []any:
		for i, element := range v {
			v[i] = sameTypes(element)
		}
	}
	return v
}

// cloneValues protects the values of a resource file from sprig's set, unset
// and merge, which change what they are given.
func cloneValues(v any) any {
	switch v := v.(type) {
	case map[string]any:
		c := maps.Clone(v)
		for k := range c {
			c[k] = cloneValues(c[k])
		}
		return c
	case []any:
		c := slices.Clone(v)
		for i := range c {
			c[i] = cloneValues(c[i])
		}
		return c
	}
	return v
}
