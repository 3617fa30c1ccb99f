package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	helmtoml "github.com/BurntSushi/toml"
	"github.com/pelletier/go-toml/v2"

	"github.com/kconfd/kconfd/internal/document"
)

func toYAML(v any) (string, error) {
	b, err := document.ToYAML(v)
	return strings.TrimSuffix(string(b), "\n"), err
}

// fromYAML is the value of a YAML text, which must be of type T or null.
func fromYAML[T any](s string) (v T, err error) {
	value, err := document.FromYAML([]byte(s))
	if err != nil {
		return v, err
	}
	return as[T](value)
}

func toJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// fromJSON is the value of a JSON text, which must be of type T or null.
func fromJSON[T any](s string) (v T, err error) {
	if !utf8.ValidString(s) { // the decoder would replace what is not
		return v, errNotUTF8
	}
	value, err := document.FromJSON([]byte(withoutBOM(s)))
	if err != nil {
		return v, err
	}
	return as[T](value)
}

func as[T any](value any) (v T, err error) {
	if value == nil {
		return v, nil
	}
	v, ok := value.(T)
	if !ok {
		return v, fmt.Errorf("want %s, not %s", kindOf(reflect.TypeFor[T]()), describe(value))
	}
	return v, nil
}

// toTOML writes what Helm writes, by the same encoder.
func toTOML(v any) (string, error) {
	var err error
	if !isTOML(v) {
		if v, err = forTOML(v); err != nil {
			return "", err
		}
	}
	var b bytes.Buffer
	err = helmtoml.NewEncoder(&b).Encode(v)
	return b.String(), err
}

// isTOML says whether the encoder writes all that is in v as it should be.
func isTOML(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, element := range v {
			if !isTOML(element) {
				return false
			}
		}
	case []any:
		return !slices.ContainsFunc(v, func(element any) bool { return !isTOML(element) })
	case json.Number, toml.LocalDate, toml.LocalDateTime, toml.LocalTime:
		return false
	}
	return true
}

// forTOML is v with what the encoder would write as something else in another form:
// dates without a time zone. A number that TOML cannot have is an error.
func forTOML(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case map[string]any:
		all := make(map[string]any, len(v))
		for k, element := range v {
			if all[k], err = forTOML(element); err != nil {
				return nil, err
			}
		}
		return all, nil
	case []any:
		all := make([]any, len(v))
		for i, element := range v {
			if all[i], err = forTOML(element); err != nil {
				return nil, err
			}
		}
		return all, nil
	case json.Number:
		switch n := document.Exact(v).(type) {
		case json.Number:
			return nil, fmt.Errorf("the number %s does not fit into 64 bits with a sign, which is what TOML has", v)
		default:
			return n, nil
		}
	case toml.LocalDate:
		return verbatim(v.String()), nil
	case toml.LocalDateTime:
		return verbatim(v.String()), nil
	case toml.LocalTime:
		return verbatim(v.String()), nil
	}
	return v, nil
}

// verbatim is a TOML value as it is written.
type verbatim string

func (v verbatim) MarshalTOML() ([]byte, error) { return []byte(v), nil }

func fromTOML(s string) (v map[string]any, err error) {
	err = toml.Unmarshal([]byte(withoutBOM(s)), &v)
	return v, err
}

// withoutBOM is a text without the byte order mark that some editors put in front.
func withoutBOM(s string) string { return strings.TrimPrefix(s, "\ufeff") }

// describe is what a value is, with the value itself where that is short.
func describe(v any) string {
	r := reflect.ValueOf(v)
	for r.Kind() == reflect.Pointer && !r.IsNil() {
		r = r.Elem()
	}
	switch r.Kind() {
	case reflect.Invalid:
		return "nil"
	case reflect.Map, reflect.Slice, reflect.Array, reflect.Struct, reflect.Pointer, reflect.Func, reflect.Chan:
		return kindOf(r.Type())
	case reflect.String:
		return shortQuote(r.String())
	}
	return fmt.Sprint(r.Interface())
}

func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Map:
		return "a map"
	case reflect.Slice, reflect.Array:
		return "a list"
	}
	return "a " + t.String()
}

// shortQuote is a text in quotes, without what is far behind its beginning.
func shortQuote(s string) string {
	const most = 100
	if len(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q…", strings.ToValidUTF8(s[:most], ""))
}

// errNotUTF8 is a text of other bytes, from a Secret or binaryData of a ConfigMap. They can
// be printed, but not be part of a document.
var errNotUTF8 = errors.New("the text is not UTF-8: b64enc makes it so")

// encodable is an error when there is a text in v that is not UTF-8. The encoders have
// written something else in its place.
func encodable(v any, encoded string) error {
	if utf8.ValidString(encoded) && !strings.Contains(encoded, "\ufffd") && !strings.Contains(encoded, `\ufffd`) {
		return nil
	}
	if where, found := notUTF8(reflect.ValueOf(v)); found && where != "" {
		return fmt.Errorf("at %s: %w", where, errNotUTF8)
	} else if found {
		return errNotUTF8
	}
	return nil
}

// notUTF8 is the path to a text that is not UTF-8.
func notUTF8(v reflect.Value) (path string, found bool) {
	switch v.Kind() {
	case reflect.String:
		return "", !utf8.ValidString(v.String())
	case reflect.Interface, reflect.Pointer:
		return notUTF8(v.Elem())
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if path, found := notUTF8(v.Index(i)); found {
				return fmt.Sprintf("[%d]%s", i, path), true
			}
		}
	case reflect.Map:
		first := ""
		for keys := v.MapRange(); keys.Next(); {
			if path, found := notUTF8(keys.Value()); found && (first == "" || "."+keys.Key().String()+path < first) {
				first = "." + keys.Key().String() + path
			}
		}
		return first, first != ""
	case reflect.Struct:
		for i := range v.NumField() {
			if path, found := notUTF8(v.Field(i)); found {
				return "." + v.Type().Field(i).Name + path, true
			}
		}
	}
	return "", false
}
