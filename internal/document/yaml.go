package document

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	goyaml "go.yaml.in/yaml/v2"
	"sigs.k8s.io/yaml"
)

// FromYAML is the value of the first document in a YAML text. It is read as by
// Kubernetes and Helm: YAML 1.1, in which yes, no, on and off are booleans, and 0640 is
// octal. Numbers with an underscore or in hexadecimal are whole numbers.
func FromYAML(text []byte) (any, error) {
	var decoded any
	if err := goyaml.Unmarshal(text, &decoded); err != nil {
		return nil, yamlError(err)
	}
	if v, sure := quick(decoded); sure {
		return v, nil
	}
	var v value
	if err := goyaml.Unmarshal(text, &v); err != nil {
		return nil, yamlError(err)
	}
	return v.is, nil
}

// quick is what the decoder gave with the types of JSON. It is not sure when there is
// something that only the text tells: a float64 that may have been a whole number, or a
// key that is no text.
func quick(v any) (exact any, sure bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case uint64:
		return wholeNumber(strconv.FormatUint(v, 10)), true
	case float64:
		return v, v != math.Trunc(v) && !math.IsNaN(v)
	case map[any]any:
		fields := make(map[string]any, len(v))
		for k, element := range v {
			name, isText := k.(string)
			if fields[name], sure = quick(element); !sure || !isText {
				return nil, false
			}
		}
		return fields, true
	case []any:
		for i, element := range v {
			if v[i], sure = quick(element); !sure {
				return nil, false
			}
		}
	}
	return v, true
}

var errKey = errors.New("a key of a map is a map or a list")

func yamlError(err error) error {
	var wrong *goyaml.TypeError
	if errors.As(err, &wrong) {
		return errors.New(strings.Join(wrong.Errors, "; "))
	}
	if strings.Contains(err.Error(), "invalid map key") {
		return errKey
	}
	return errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
}

// A value is decoded with a look at its text: the decoder has made a float64 of a
// whole number that is too large for it.
type value struct{ is any }

// UnmarshalYAML is called for everything but null. A TypeError says that the value is
// of another kind.
func (v *value) UnmarshalYAML(decode func(any) error) error {
	var wrongKind *goyaml.TypeError
	var text string
	err := decode(&text)
	if err == nil {
		v.is, err = scalar(text, decode)
		return err
	}
	if !errors.As(err, &wrongKind) {
		return err
	}
	var list []value
	if err = decode(&list); err == nil {
		v.is = elements(list)
		return nil
	}
	if !errors.As(err, &wrongKind) {
		return err
	}
	var dict map[key]value
	if err := decode(&dict); err != nil {
		return err
	}
	v.is, err = fields(dict)
	return err
}

func elements(list []value) []any {
	all := make([]any, len(list))
	for i, element := range list {
		all[i] = element.is
	}
	return all
}

func fields(dict map[key]value) (map[string]any, error) {
	all := make(map[string]any, len(dict))
	for k, element := range dict {
		if !k.set {
			return nil, errors.New("a key of a map is null")
		}
		all[k.text] = element.is
	}
	return all, nil
}

// A key is the text that JSON has for a key: that of the value, not as it is written.
type key struct {
	text string
	set  bool // false for null
}

func (k *key) UnmarshalYAML(decode func(any) error) error {
	var text string
	if decode(&text) != nil {
		return errKey
	}
	resolved, err := scalar(text, decode)
	if err != nil {
		return err
	}
	*k = key{text: fmt.Sprint(resolved), set: true}
	if f, ok := resolved.(float64); ok {
		k.text = strconv.FormatFloat(f, 'g', -1, 64)
	}
	return nil
}

// scalar is the value of a scalar with that text.
func scalar(text string, decode func(any) error) (any, error) {
	var v any
	if err := decode(&v); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case int:
		return int64(v), nil
	case uint64:
		return wholeNumber(strconv.FormatUint(v, 10)), nil
	case float64:
		if digits := strings.ReplaceAll(text, "_", ""); IsWhole(digits) {
			return decimal(digits, v)
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("%q is not a number that JSON has", text)
		}
	}
	return v, nil
}

// decimal is a whole number of which the decoder made a float64: one that is too large
// for it, one that begins with 0 and is not octal, or one with the tag !!float.
func decimal(digits string, f float64) (any, error) {
	_, err := strconv.ParseInt(digits, 0, 64)
	bare := strings.TrimLeft(digits, "+-")
	switch {
	case err == nil:
		return f, nil
	case bare[0] == '0' && !strings.ContainsAny(bare, "89"):
		return nil, fmt.Errorf("the octal number %q does not fit into 64 bits", digits)
	}
	return wholeNumber(digits), nil
}

// ToYAML is the YAML text of a value, as Kubernetes and Helm write it. A whole number
// of more than 64 bits is an error, since it would be rounded.
func ToYAML(v any) ([]byte, error) {
	if err := fits(v); err != nil {
		return nil, err
	}
	return yaml.Marshal(v)
}

func fits(v any) error {
	switch v := v.(type) {
	case map[string]any:
		for _, element := range v {
			if err := fits(element); err != nil {
				return err
			}
		}
	case []any:
		for _, element := range v {
			if err := fits(element); err != nil {
				return err
			}
		}
	case json.Number:
		if _, err := strconv.ParseUint(string(v), 10, 64); err != nil && number(v) == any(v) {
			return fmt.Errorf("the number %s does not fit into 64 bits", v)
		}
	}
	return nil
}
