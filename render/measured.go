package render

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kconfd/kconfd/internal/limits"
)

// measured are functions with limits on what they take and give.
func measured(m *limits.Meter, funcs map[string]any) map[string]any {
	wrapped := make(map[string]any, len(funcs))
	for name, f := range funcs {
		wrapped[name], _ = m.Wrap(f, shallow(name))
	}
	return wrapped
}

// shallow says whether a function does not look into the elements of what it is
// given: it hands them on, or counts them.
func shallow(name string) bool {
	switch name {
	case "list", "tuple", "append", "push", "mustAppend", "mustPush", "prepend", "mustPrepend",
		"first", "mustFirst", "last", "mustLast", "rest", "mustRest", "initial", "mustInitial",
		"reverse", "mustReverse", "compact", "mustCompact", "chunk", "mustChunk",
		"default", "coalesce", "ternary", "empty", "any", "all", "typeOf", "typeIs", "typeIsLike", "kindOf", "kindIs",
		"dig", "required", "keys", "values", "get", "hasKey":
		return true
	}
	return false
}

// builders are the functions that put values into one another, so that these
// may become deep, contain themselves or print as more than they are.
func builders() []string {
	return []string{
		"tpl", "list", "tuple", "dict", "set", "append", "push", "mustAppend", "mustPush", "prepend", "mustPrepend",
		"chunk", "mustChunk", "concat", "merge", "mustMerge", "mergeOverwrite", "mustMergeOverwrite",
	}
}

// methodical are the functions that give values whose methods make texts of
// other texts.
func methodical() []string { return []string{"tpl", "toDate", "mustToDate", "semver"} }

// A maker has functions in the place of sprig's: those whose results can be much
// larger than what they are given, or that take long. They look before they
// begin.
type maker struct {
	*limits.Meter
	sprig   map[string]any
	regexps map[string]*expression
	printer map[string]any // see builtins
}

// builtins are those of the meter.
func (m *maker) builtins() map[string]any {
	if m.printer == nil {
		m.printer = m.Builtins()
	}
	return m.printer
}

// replaced are the functions that a maker has.
func (m *maker) replaced() map[string]any {
	funcs := map[string]any{
		"until": m.until, "untilStep": m.untilStep, "seq": m.seq,
		"repeat": m.repeat, "indent": m.indent, "nindent": m.nindent, "replace": m.replace,
		"wrap": m.wrap, "wrapWith": m.wrapWith, "join": m.join,
		"split": m.split, "splitn": m.splitn, "splitList": m.splitList,
		"dict": m.dict, "set": m.set, "concat": m.concat, "pluck": m.pluck, "pick": m.pick, "omit": m.omit,
		"deepCopy": m.deepCopy, "mustDeepCopy": m.deepCopy,
		"uniq": m.uniq, "mustUniq": m.uniq, "has": m.has, "mustHas": m.has, "without": m.without, "mustWithout": m.without,
		"semver": m.short("semver", maxVersion), "semverCompare": m.short("semverCompare", maxVersion), "derivePassword": m.derivePassword,
	}
	maps.Copy(funcs, m.regexpFuncs())
	maps.Copy(funcs, m.codecs())
	maps.Copy(funcs, m.numberFuncs())
	maps.Copy(funcs, m.strictFuncs())
	for _, name := range []string{"merge", "mustMerge", "mergeOverwrite", "mustMergeOverwrite"} {
		funcs[name] = m.merger(name)
	}
	return funcs
}

func (m *maker) until(n int) ([]int, error) {
	if n < 0 {
		return m.untilStep(0, n, -1)
	}
	return m.untilStep(0, n, 1)
}

// untilStep is sprig's, without its way over the largest number and back.
func (m *maker) untilStep(start, stop, step int) ([]int, error) {
	n := steps(start, stop, step)
	if err := m.List(n, 8); err != nil {
		return nil, err
	}
	list := make([]int, n)
	for i := range list {
		list[i] = start + i*step
	}
	return list, nil
}

// steps is how many numbers there are from start to before stop; -1 is far too
// many.
func steps(start, stop, step int) int {
	if step == 0 || (stop < start) != (step < 0) || start == stop {
		return 0
	}
	// The distance of two ints fits into an unsigned one.
	distance, width := uint(stop)-uint(start), uint(step)
	if step < 0 {
		distance, width = -distance, -width
	}
	n := (distance-1)/width + 1
	if n > math.MaxInt {
		return -1
	}
	return int(n)
}

// seq is sprig's: numbers from 1 to, from to, or from step to, as a text.
func (m *maker) seq(params ...int) (string, error) {
	start, step, end := 1, 1, 0
	switch len(params) {
	case 1:
		end = params[0]
	case 2:
		start, end = params[0], params[1]
	case 3:
		start, step, end = params[0], params[1], params[2]
	default:
		return "", nil
	}
	towards := 1
	if end < start {
		towards = -1
		if len(params) < 3 {
			step = -1
		}
		if step > 0 {
			return "", nil
		}
	}
	if end == math.MaxInt && towards > 0 || end == math.MinInt && towards < 0 {
		return "", m.List(-1, 8) // sprig goes one further
	}
	list, err := m.untilStep(start, end+towards, step)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for i, n := range list {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strconv.Itoa(n))
	}
	return b.String(), m.Text(b.Len())
}

func (m *maker) repeat(count int, s string) (string, error) {
	if count > 0 {
		if err := m.Text(limits.Times(count, len(s))); err != nil {
			return "", err
		}
	}
	return strings.Repeat(s, count), nil
}

func (m *maker) indent(spaces int, s string) (string, error) {
	if spaces > 0 {
		if err := m.Text(limits.Plus(len(s), limits.Times(spaces, 1+strings.Count(s, "\n")))); err != nil {
			return "", err
		}
	}
	pad := strings.Repeat(" ", spaces)
	return pad + strings.ReplaceAll(s, "\n", "\n"+pad), nil
}

func (m *maker) nindent(spaces int, s string) (string, error) {
	s, err := m.indent(spaces, s)
	return "\n" + s, err
}

func (m *maker) replace(old, by, s string) (string, error) {
	n := strings.Count(s, old)
	if err := m.Text(limits.Plus(len(s), limits.Times(n, len(by)))); err != nil {
		return "", err
	}
	return strings.ReplaceAll(s, old, by), nil
}

func (m *maker) wrap(width int, s string) (string, error) {
	if err := m.Text(len(s) * 2); err != nil {
		return "", err
	}
	return m.sprig["wrap"].(func(int, string) string)(width, s), nil
}

func (m *maker) wrapWith(width int, separator, s string) (string, error) {
	// Each line but the last is as long as the width, or ends at a blank.
	lines := 1 + len(s)/max(width, 1) + strings.Count(s, " ")
	if err := m.Text(limits.Plus(len(s), limits.Times(lines, max(1, len(separator))))); err != nil {
		return "", err
	}
	return m.sprig["wrapWith"].(func(int, string, string) string)(width, separator, s), nil
}

func (m *maker) join(separator string, list any) (string, error) {
	w, err := m.Weigh(list)
	if err == nil {
		err = m.texts(list)
	}
	if err == nil {
		err = m.Text(limits.Plus(w.Bytes, limits.Times(lengthOf(list), len(separator))))
	}
	if err != nil {
		return "", err
	}
	return m.sprig["join"].(func(string, any) string)(separator, list), nil
}

// lengthOf a list, else 1.
func lengthOf(list any) int {
	switch v := reflect.ValueOf(list); v.Kind() {
	case reflect.Slice, reflect.Array:
		return v.Len()
	}
	return 1
}

// parts is how many a text is split into, at most.
func parts(separator, s string, most int) int {
	n := 1 + strings.Count(s, separator)
	if separator == "" {
		n = utf8.RuneCountInString(s)
	}
	if most >= 0 {
		n = min(n, most)
	}
	return n
}

// entryCost is what an entry of a small map takes.
const entryCost = 100

func (m *maker) split(separator, s string) (map[string]string, error) {
	return m.splitn(separator, -1, s)
}

func (m *maker) splitn(separator string, n int, s string) (map[string]string, error) {
	if err := m.List(parts(separator, s, n), entryCost); err != nil {
		return nil, err
	}
	split := map[string]string{}
	for i, part := range strings.SplitN(s, separator, n) {
		split["_"+strconv.Itoa(i)] = part
	}
	return split, nil
}

func (m *maker) splitList(separator, s string) ([]string, error) {
	if err := m.List(parts(separator, s, -1), 16); err != nil {
		return nil, err
	}
	return strings.Split(s, separator), nil
}

func (m *maker) dict(pairs ...any) (map[string]any, error) {
	for i := 0; i < len(pairs); i += 2 {
		if err := m.Printable(pairs[i]); err != nil {
			return nil, err
		}
	}
	if err := m.List(2+len(pairs)/2, entryCost); err != nil {
		return nil, err
	}
	return m.sprig["dict"].(func(...any) map[string]any)(pairs...), nil
}

func (m *maker) set(d map[string]any, key string, value any) (map[string]any, error) {
	if _, there := d[key]; !there {
		if err := m.List(len(d)+1, 0); err != nil {
			return nil, err
		}
		if err := m.List(1, entryCost); err != nil {
			return nil, err
		}
	}
	d[key] = value
	return d, nil
}

func (m *maker) concat(lists ...any) (any, error) {
	n := 0
	for _, list := range lists {
		n += lengthOf(list)
	}
	if err := m.List(n, 16); err != nil {
		return nil, err
	}
	return m.sprig["concat"].(func(...any) any)(lists...), nil
}

func (m *maker) pluck(key string, dicts ...map[string]any) ([]any, error) {
	if err := m.List(len(dicts), 16); err != nil {
		return nil, err
	}
	return m.sprig["pluck"].(func(string, ...map[string]any) []any)(key, dicts...), nil
}

func (m *maker) pick(dict any, keys ...string) (map[string]any, error) {
	if err := m.List(len(keys), entryCost); err != nil {
		return nil, err
	}
	return pick(dict, keys...)
}

func (m *maker) omit(dict any, keys ...string) (map[string]any, error) {
	if err := m.List(lengthOfMap(dict), entryCost); err != nil {
		return nil, err
	}
	return omit(dict, keys...)
}

func lengthOfMap(v any) int {
	if m := reflect.ValueOf(v); m.Kind() == reflect.Map {
		return m.Len()
	}
	return 0
}

func (m *maker) deepCopy(v any) (any, error) {
	if err := m.copied(v); err != nil {
		return nil, err
	}
	return m.sprig["deepCopy"].(func(any) any)(v), nil
}

// copied counts a copy of a value.
func (m *maker) copied(v any) error {
	w, err := m.Weigh(v)
	if err != nil {
		return err
	}
	return m.Need(w.Bytes + w.Nodes*entryCost)
}

func (m *maker) merger(name string) any {
	return func(into map[string]any, dicts ...map[string]any) (any, error) {
		// One after the other: the first may have changed what the next is merged into.
		for _, d := range dicts {
			if err := errors.Join(m.copied(into), m.copied(d)); err != nil {
				return nil, err
			}
			switch merge := m.sprig[name].(type) {
			case func(map[string]any, ...map[string]any) any:
				if merge(into, d) == "" {
					return nil, errors.New("the maps cannot be merged: they have different kinds of values for a key")
				}
			case func(map[string]any, ...map[string]any) (any, error):
				if _, err := merge(into, d); err != nil {
					return nil, err
				}
			}
		}
		return into, nil
	}
}

// elements are those of a list, which has no more than the limit.
func (m *maker) elements(list any) ([]any, error) {
	if _, err := m.Weigh(list); err != nil {
		return nil, err
	}
	v := reflect.ValueOf(list)
	if v.Kind() != reflect.Slice && v.Kind() != reflect.Array {
		return nil, fmt.Errorf("want a list, not %s", describe(list))
	}
	if err := m.List(v.Len(), 16); err != nil {
		return nil, err
	}
	elements := make([]any, v.Len())
	for i := range elements {
		elements[i] = v.Index(i).Interface()
	}
	return elements, nil
}

// among says whether an equal value is in the list. It looks at the clock: lists
// are compared with lists by it.
func (m *maker) among(list []any, value any) (bool, error) {
	for i, other := range list {
		if limits.SameNumber(value, other) || reflect.DeepEqual(value, other) {
			return true, nil
		}
		if i%256 == 255 {
			if err := m.Spend(256 * 64); err != nil {
				return false, err
			}
		}
	}
	return false, nil
}

func (m *maker) uniq(list any) ([]any, error) {
	elements, err := m.elements(list)
	if err != nil {
		return nil, err
	}
	kept := []any{}
	for _, e := range elements {
		there, err := m.among(kept, e)
		if err != nil {
			return nil, err
		}
		if !there {
			kept = append(kept, e)
		}
	}
	return kept, nil
}

func (m *maker) has(value, list any) (bool, error) {
	if list == nil {
		return false, nil
	}
	if err := m.Printable(value); err != nil {
		return false, err
	}
	elements, err := m.elements(list)
	if err != nil {
		return false, err
	}
	return m.among(elements, value)
}

func (m *maker) without(list any, omitted ...any) ([]any, error) {
	elements, err := m.elements(list)
	if err != nil {
		return nil, err
	}
	for _, o := range omitted {
		if err := m.Printable(o); err != nil {
			return nil, err
		}
	}
	rest := []any{}
	for _, e := range elements {
		omit, err := m.among(omitted, e)
		if err != nil {
			return nil, err
		}
		if !omit {
			rest = append(rest, e)
		}
	}
	return rest, nil
}
