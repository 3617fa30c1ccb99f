package render

import (
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// strictFuncs are functions that fail where sprig's give a text about the failure, or
// something in the place of what cannot be had.
func (m *maker) strictFuncs() map[string]any {
	return map[string]any{
		"b64dec":   m.decoded("base64", base64.StdEncoding.DecodeString),
		"b32dec":   m.decoded("base32", base32.StdEncoding.DecodeString),
		"toDate":   m.sprig["mustToDate"],
		"duration": duration,
		"substr":   m.substr,
		"trunc":    m.trunc,
		"slice":    m.slice, "mustSlice": m.slice,
		"toString": m.toString, "toStrings": m.toStrings, "sortAlpha": m.sortAlpha,
		"quote": m.quote, "upper": m.letters("upper"), "lower": m.letters("lower"), "title": m.letters("title"),
		"print": m.printed("print"), "println": m.printed("println"), "printf": m.printf,
	}
}

func (m *maker) decoded(encoding string, decode func(string) ([]byte, error)) func(string) (string, error) {
	return func(text string) (string, error) {
		if err := m.Text(len(text)); err != nil {
			return "", err
		}
		plain, err := decode(text)
		if err != nil {
			return "", fmt.Errorf("want %s, not %s: %w", encoding, shortQuote(text), err)
		}
		return string(plain), nil
	}
}

// duration is so many seconds, as 1h35m0s.
func duration(seconds any) (string, error) {
	n, err := whole(seconds)
	if err != nil {
		return "", err
	}
	if n > math.MaxInt64/int64(time.Second) || n < math.MinInt64/int64(time.Second) {
		return "", fmt.Errorf("%d seconds are more than a duration can have", n)
	}
	return (time.Duration(n) * time.Second).String(), nil
}

// substr is sprig's: the bytes from start to before end, where a negative start or end
// is that of the text.
func (m *maker) substr(start, end int, s string) (string, error) {
	if start < 0 {
		start = 0
	} else if end < 0 || end > len(s) {
		end = len(s)
	}
	if start > end || end > len(s) || end < 0 {
		return "", fmt.Errorf("want a part of %d bytes, not from %d to %d", len(s), start, end)
	}
	return cut(s, start, end)
}

// trunc is sprig's: the first bytes, or the last ones when the number is negative.
func (m *maker) trunc(n int, s string) (string, error) {
	switch {
	case n < 0 && len(s)+n > 0:
		return cut(s, len(s)+n, len(s))
	case n >= 0 && len(s) > n:
		return cut(s, 0, n)
	}
	return s, nil
}

// cut is a part of a text. Half a character is an error.
func cut(s string, start, end int) (string, error) {
	for _, at := range []int{start, end} {
		if at < len(s) && !utf8.RuneStart(s[at]) && utf8.ValidString(s) {
			return "", fmt.Errorf("byte %d of %s is in the middle of a character", at, shortQuote(s))
		}
	}
	return s[start:end], nil
}

// slice is sprig's: the elements from one to before another.
func (m *maker) slice(list any, indices ...any) (any, error) {
	v := reflect.ValueOf(list)
	if err := wantList(list); err != nil {
		return nil, err
	}
	if v.Len() == 0 {
		return nil, nil
	}
	start, end := int64(0), int64(v.Len())
	for i, index := range indices {
		n, err := operand(index)
		if err != nil {
			return nil, err
		}
		switch i {
		case 0:
			start = n
		case 1:
			end = n
		}
	}
	if start < 0 || start > end || end > int64(v.Len()) {
		return nil, fmt.Errorf("want a part of %d elements, not from %d to %d", v.Len(), start, end)
	}
	return v.Slice(int(start), int(end)).Interface(), m.Spend(numberCost)
}

func wantList(v any) error {
	switch reflect.ValueOf(v).Kind() {
	case reflect.Slice, reflect.Array:
		return nil
	}
	return fmt.Errorf("want a list, not %s", describe(v))
}

// onLists are those of sprig's functions that take a list. They panic for nil.
func onLists() []string {
	names := []string{"append", "push", "prepend", "first", "last", "rest", "initial", "reverse", "compact", "chunk"}
	for _, name := range names {
		names = append(names, "must"+strings.ToUpper(name[:1])+name[1:])
	}
	return names
}

// wantLists makes functions say what is wrong with what is no list.
func wantLists(funcs map[string]any) {
	for _, name := range onLists() {
		switch f := funcs[name].(type) {
		case func(any) any:
			funcs[name] = listOnly(func(list any) (any, error) { return f(list), nil })
		case func(any) []any:
			funcs[name] = listOnly(func(list any) ([]any, error) { return f(list), nil })
		case func(any) (any, error):
			funcs[name] = listOnly(f)
		case func(any) ([]any, error):
			funcs[name] = listOnly(f)
		case func(any, any) []any:
			funcs[name] = func(list, v any) ([]any, error) {
				if err := wantList(list); err != nil {
					return nil, err
				}
				return f(list, v), nil
			}
		case func(any, any) ([]any, error):
			funcs[name] = func(list, v any) ([]any, error) {
				if err := wantList(list); err != nil {
					return nil, err
				}
				return f(list, v)
			}
		case func(int, any) [][]any:
			funcs[name] = chunks(func(size int, list any) ([][]any, error) { return f(size, list), nil })
		case func(int, any) ([][]any, error):
			funcs[name] = chunks(f)
		default:
			panic(fmt.Sprintf("%s has the type %T", name, f))
		}
	}
}

func listOnly[R any](f func(any) (R, error)) func(any) (R, error) {
	return func(list any) (r R, err error) {
		if err := wantList(list); err != nil {
			return r, err
		}
		return f(list)
	}
}

func chunks(f func(int, any) ([][]any, error)) func(int, any) ([][]any, error) {
	return func(size int, list any) ([][]any, error) {
		if err := wantList(list); err != nil {
			return nil, err
		}
		if size < 1 {
			return nil, fmt.Errorf("want chunks of at least 1 element, not of %d", size)
		}
		return f(size, list)
	}
}

func (m *maker) toString(v any) (string, error) {
	if v == nil {
		return "", errors.New("want a value, not nil")
	}
	if err := m.Printable(v); err != nil {
		return "", err
	}
	s := m.sprig["toString"].(func(any) string)(v)
	return s, m.Text(len(s))
}

// quote is an error for bytes that are not UTF-8: they would be written as \xff.
func (m *maker) quote(values ...any) (string, error) {
	for _, v := range values {
		if s, ok := v.(string); ok && !utf8.ValidString(s) {
			return "", errNotUTF8
		}
		if err := m.Printable(v); err != nil {
			return "", err
		}
	}
	s := m.sprig["quote"].(func(...any) string)(values...)
	return s, m.Text(len(s))
}

// letters is a function that replaces bytes that are not UTF-8 by other ones.
func (m *maker) letters(name string) func(string) (string, error) {
	f := m.sprig[name].(func(string) string)
	return func(s string) (string, error) {
		if !utf8.ValidString(s) {
			return "", errNotUTF8
		}
		if err := m.Text(len(s)); err != nil {
			return "", err
		}
		s = f(s)
		return s, m.Text(len(s))
	}
}

// texts is an error for what has no elements that are texts: a map, or a list with maps
// or lists in it, which would be written as Go writes them.
func (m *maker) texts(list any) error {
	v := reflect.ValueOf(list)
	switch v.Kind() {
	case reflect.Map, reflect.Struct:
		return fmt.Errorf("want a list, not %s", describe(list))
	case reflect.Slice, reflect.Array:
	default:
		return nil // one text, or nil
	}
	switch v.Type().Elem().Kind() {
	case reflect.Interface, reflect.Map, reflect.Slice, reflect.Struct, reflect.Pointer:
	default:
		return nil
	}
	for i := range v.Len() {
		element := v.Index(i).Interface()
		switch element.(type) {
		case fmt.Stringer, error, []byte:
			continue
		}
		switch reflect.Indirect(reflect.ValueOf(element)).Kind() {
		case reflect.Map, reflect.Slice, reflect.Array, reflect.Struct:
			return fmt.Errorf("want a list of texts: its element %d is %s", i, describe(element))
		}
	}
	return nil
}

func (m *maker) toStrings(list any) ([]string, error) {
	if _, err := m.Weigh(list); err != nil {
		return nil, err
	}
	if err := errors.Join(m.texts(list), m.List(lengthOf(list), 16)); err != nil {
		return nil, err
	}
	return m.sprig["toStrings"].(func(any) []string)(list), nil
}

// sortAlpha is sprig's, which sorts strings where they lie, on a copy: the list may be
// one that others read.
func (m *maker) sortAlpha(list any) ([]string, error) {
	sorted, err := m.toStrings(list)
	sorted = slices.Clone(sorted)
	slices.Sort(sorted)
	return sorted, err
}

// printed is print or println, which write <nil> for nil.
func (m *maker) printed(name string) func(...any) (string, error) {
	f := m.builtins()[name].(func(...any) (string, error))
	return func(args ...any) (string, error) {
		if err := noNil(args); err != nil {
			return "", err
		}
		return f(args...)
	}
}

func noNil(args []any) error {
	for i, a := range args {
		if a == nil {
			return fmt.Errorf("want a value, not nil, as argument %d", i+1)
		}
	}
	return nil
}

// maxVersion is how long a version or a constraint of versions may be.
const maxVersion = 4096

// short is a function of sprig whose texts may have so many bytes at most.
func (m *maker) short(name string, most int) any {
	f := reflect.ValueOf(m.sprig[name])
	return reflect.MakeFunc(f.Type(), func(args []reflect.Value) []reflect.Value {
		err := m.Spend(1 << 16)
		for _, a := range args {
			if a.Len() > most {
				err = fmt.Errorf("want a text of %d bytes at most, not of %d", most, a.Len())
			}
		}
		if err != nil {
			panic(err) // text/template makes an error of it
		}
		results := f.Call(args)
		if err, failed := results[1].Interface().(error); failed {
			panic(fmt.Errorf("%s: %w", quotedAll(args), err))
		}
		return results
	}).Interface()
}

// quotedAll are texts in quotes.
func quotedAll(texts []reflect.Value) string {
	var all []string
	for _, text := range texts {
		all = append(all, shortQuote(text.String()))
	}
	return strings.Join(all, " ")
}

// derivePassword takes a tenth of a second, and 32 MiB meanwhile.
func (m *maker) derivePassword(counter uint32, kind, password, user, site string) (string, error) {
	if !slices.Contains(passwordKinds(), kind) {
		return "", fmt.Errorf("want a kind of password, one of %s, not %s", strings.Join(passwordKinds(), ", "), shortQuote(kind))
	}
	if err := m.Need(32 << 20); err != nil {
		return "", err
	}
	if err := m.Clock(); err != nil {
		return "", err
	}
	return m.sprig["derivePassword"].(func(uint32, string, string, string, string) string)(counter, kind, password, user, site), nil
}

// passwordKinds are those that derivePassword knows. For another kind sprig's gives the
// text of an error.
func passwordKinds() []string {
	return []string{"maximum", "long", "medium", "short", "basic", "pin"}
}
