package render

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"text/template"
)

// A missing takes the place of the value of a key that is not there, in templates
// that an asker has rewritten. It is an empty list, which is false for if, and, or
// and not, and empty for sprig's functions. Behind its end is the key.
type missing []string

func missingKey(key string) missing { return missing{key}[:0] }

func (m missing) key() string { return m[:1][0] }

// present is v, or nil for a missing.
func present(v any) any {
	if _, is := v.(missing); is {
		return nil
	}
	return v
}

func isMissing(v reflect.Value) bool {
	return v.IsValid() && v.Type() == reflect.TypeFor[missing]()
}

// sure is the function _sure.
func sure(v reflect.Value) (reflect.Value, error) {
	if isMissing(v) {
		return v, fmt.Errorf("map has no entry for key %q", v.Interface().(missing).key())
	}
	return v, nil
}

// lookInto is the function _ask: the value of a chain of fields, keys and methods,
// of which the last takes the arguments. It is a missing where a key is not there, or
// is nil and another follows. Everything else fails, with text/template's words.
func (t *Template) lookInto(path string, value reflect.Value, args ...reflect.Value) (_ reflect.Value, err error) {
	names := strings.Split(path, ".")
	for i, name := range names {
		given := args
		if i < len(names)-1 {
			given = nil
		}
		if value, err = t.step(value, name, given); err != nil {
			return value, err
		}
	}
	if isMissing(value) {
		t.missed = true
	}
	return value, nil
}

func (t *Template) step(value reflect.Value, name string, args []reflect.Value) (reflect.Value, error) {
	if !value.IsValid() {
		return reflect.ValueOf(missingKey(name)), nil
	}
	if isMissing(value) {
		return value, nil
	}
	at, isNil := indirect(value)
	unknown := fmt.Errorf("can't evaluate field %s in type %s", name, value.Type())
	if isNil && (at.Kind() == reflect.Interface || hasField(at.Type().Elem(), name)) {
		return reflect.ValueOf(missingKey(name)), nil
	}
	pointer := at
	if at.CanAddr() {
		pointer = at.Addr()
	}
	if method := pointer.MethodByName(name); method.IsValid() {
		return t.method(method, name, args)
	}
	switch at.Kind() {
	case reflect.Struct:
		return fieldOf(at, name, len(args) > 0, unknown)
	case reflect.Map:
		key := reflect.ValueOf(name)
		if !key.Type().AssignableTo(at.Type().Key()) {
			return value, unknown
		}
		if len(args) > 0 {
			return value, fmt.Errorf("%s is not a method but has arguments", name)
		}
		if found := at.MapIndex(key); found.IsValid() {
			return found, nil
		}
		return reflect.ValueOf(missingKey(name)), nil
	}
	return value, unknown
}

// indirect is what pointers and interfaces lead to, or the one that is nil.
func indirect(v reflect.Value) (_ reflect.Value, isNil bool) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return v, true
		}
		v = v.Elem()
	}
	return v, false
}

// hasField says whether values of the type may have such a field or key.
func hasField(t reflect.Type, name string) bool {
	if t.Kind() == reflect.Struct {
		_, ok := t.FieldByName(name)
		return ok
	}
	return t.Kind() == reflect.Map
}

func fieldOf(v reflect.Value, name string, called bool, unknown error) (reflect.Value, error) {
	field, ok := v.Type().FieldByName(name)
	switch {
	case !ok:
		return v, unknown
	case !field.IsExported():
		return v, fmt.Errorf("%s is an unexported field of struct type %s", name, v.Type())
	case called:
		return v, fmt.Errorf("%s has arguments but cannot be invoked as function", name)
	}
	return v.FieldByIndexErr(field.Index)
}

// method calls one, and looks at what it gives as at what all methods give.
func (t *Template) method(method reflect.Value, name string, args []reflect.Value) (reflect.Value, error) {
	signature := method.Type()
	if fixed := signature.NumIn(); len(args) != fixed && !(signature.IsVariadic() && len(args) >= fixed-1) {
		return method, fmt.Errorf("wrong number of args for %s: want %d got %d", name, fixed, len(args))
	}
	in := make([]reflect.Value, len(args))
	for i, arg := range args {
		wanted := signature.In(min(i, signature.NumIn()-1))
		if signature.IsVariadic() && i >= signature.NumIn()-1 {
			wanted = wanted.Elem()
		}
		var err error
		if in[i], err = argument(arg, wanted); err != nil {
			return method, err
		}
	}
	out := method.Call(in)
	if len(out) == 2 && !out[1].IsNil() {
		return out[0], fmt.Errorf("error calling %s: %w", name, out[1].Interface().(error))
	}
	return t.meter.Result(out[0])
}

// argument is a value as one of a method's.
func argument(v reflect.Value, wanted reflect.Type) (reflect.Value, error) {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch {
	case !v.IsValid() && (wanted.Kind() == reflect.Interface || wanted.Kind() == reflect.Map || wanted.Kind() == reflect.Pointer || wanted.Kind() == reflect.Slice):
		return reflect.Zero(wanted), nil
	case !v.IsValid():
		return v, fmt.Errorf("invalid value; expected %s", wanted)
	case v.Type().AssignableTo(wanted):
		return v, nil
	case v.CanInt() && reflect.Zero(wanted).CanInt() && !reflect.Zero(wanted).OverflowInt(v.Int()),
		v.CanInt() && v.Int() >= 0 && reflect.Zero(wanted).CanUint() && !reflect.Zero(wanted).OverflowUint(uint64(v.Int())),
		v.CanInt() && reflect.Zero(wanted).CanFloat(): // a number in the template's text
		return v.Convert(wanted), nil
	}
	return v, fmt.Errorf("wrong type for value; expected %s; got %s", wanted, v.Type())
}

// indexInto is the function _index: text/template's index, where a nil in the middle is
// a missing.
func (t *Template) indexInto(value reflect.Value, keys ...reflect.Value) (reflect.Value, error) {
	for _, key := range keys {
		at, isNil := indirect(value)
		key, _ = indirect(key)
		switch {
		case !at.IsValid() || isNil:
			t.missed = true
			return reflect.ValueOf(missingKey(keyText(key))), nil
		case isMissing(at):
			return at, nil
		}
		var err error
		if value, err = element(at, key); err != nil {
			return value, err
		}
	}
	return value, nil
}

func keyText(key reflect.Value) string {
	if !key.IsValid() {
		return "nil"
	}
	return fmt.Sprint(key.Interface())
}

func element(of, key reflect.Value) (reflect.Value, error) {
	switch of.Kind() {
	case reflect.Map:
		if !key.IsValid() || !key.Type().AssignableTo(of.Type().Key()) {
			return of, fmt.Errorf("cannot index a map with keys of type %s by %s", of.Type().Key(), keyText(key))
		}
		if found := of.MapIndex(key); found.IsValid() {
			return found, nil
		}
		return reflect.Zero(of.Type().Elem()), nil
	case reflect.Slice, reflect.Array, reflect.String:
		if !key.CanInt() {
			return of, fmt.Errorf("cannot index slice/array with %s", keyText(key))
		}
		if i := key.Int(); i >= 0 && i < int64(of.Len()) {
			return of.Index(int(i)), nil
		}
		return of, fmt.Errorf("index out of range: %d", key.Int())
	}
	return of, fmt.Errorf("can't index item of type %s", of.Type())
}

// asking are the functions that know a missing.
func asking() map[string]any {
	return map[string]any{
		"coalesce": coalesce, "ternary": ternary, "dig": dig,
		"kindOf": kindName, "kindIs": func(kind string, v any) bool { return kind == kindName(v) },
		"typeOf": typeName, "typeIs": func(name string, v any) bool { return name == typeName(v) },
		"typeIsLike": func(name string, v any) bool { return name == typeName(v) || "*"+name == typeName(v) },
	}
}

func kindName(v any) string { return reflect.ValueOf(present(v)).Kind().String() }

func typeName(v any) string { return fmt.Sprintf("%T", present(v)) }

// coalesce is sprig's. When there is nothing, it is a missing if one was given.
func coalesce(values ...any) any {
	var first any
	for _, v := range values {
		if _, is := v.(missing); is {
			if first == nil {
				first = v
			}
			continue
		}
		if truth, _ := template.IsTrue(v); truth {
			return v
		}
	}
	return first
}

// ternary is sprig's, where nothing is no.
func ternary(yes, no, condition any) (any, error) {
	switch c := present(condition).(type) {
	case nil:
		return no, nil
	case bool:
		if c {
			return yes, nil
		}
		return no, nil
	}
	return nil, fmt.Errorf("want true or false, not %T", condition)
}

// dig is sprig's. Nil on the way is as a key that is not there.
func dig(args ...any) (any, error) {
	if len(args) < 3 {
		return nil, errors.New("want at least a key, a default and a map")
	}
	keys, otherwise, value := args[:len(args)-2], args[len(args)-2], args[len(args)-1]
	for _, k := range keys {
		key, ok := k.(string)
		if !ok {
			return nil, fmt.Errorf("want keys that are texts, not %T", k)
		}
		d, err := dict(value)
		if err != nil {
			return nil, err
		}
		if value, ok = d[key]; !ok {
			return otherwise, nil
		}
	}
	return value, nil
}

// writtenError is an error of a rewritten template in the words of its author.
func writtenError(err error) error {
	if err == nil {
		return nil
	}
	text := asWritten(err.Error())
	if text == err.Error() {
		return err
	}
	return &placed{text, err}
}

// isTemplates says whether text/template itself failed, and no function: only then it
// may be for a missing key.
func isTemplates(err error) (own bool) {
	var exec template.ExecError
	for rest := err; errors.As(rest, &exec); rest = exec.Err {
		own = errors.Unwrap(exec.Err) == nil || strings.Contains(exec.Err.Error(), "error calling index: index of ") // nil
	}
	return own
}

// A rerun is what a template needs whose text asks about keys. As long as these are there,
// it runs as it was written, which is faster. When a run fails, it is run again as an
// asker has rewritten it, and from then on it runs so until no key is missing.
//
// Both give the same for the same data: they differ only where a key is missing that is
// asked about, and there the template as it was written fails.
type rerun struct {
	rewritten *Template // nil until it is needed
	missed    bool      // a key, in the last run
}

func (t *Template) runAsking(data any) (content []byte, err error) {
	var failed error
	if !t.rerun.missed {
		if content, err = t.run(data); !isTemplates(err) {
			return content, err
		}
		failed = err
	}
	r := t.rerun.rewritten
	if r == nil {
		if r, err = parseAs(t.source, t.meter, true); err != nil { // one meter, which knows the marks of both
			return nil, err
		}
		t.rerun.rewritten = r
	}
	r.out = t.out
	content, err = r.run(data)
	t.out, t.rerun.missed = r.out, r.missed && err == nil
	missed := r.missed
	r.running = running{} // the output is large
	if failed != nil && !missed {
		return nil, failed // as it is written
	}
	return content, writtenError(err)
}

// askAbout rewrites templates where that is wanted.
func (t *Template) askAbout(templates []*template.Template) {
	if !t.asking {
		return
	}
	for _, d := range templates {
		askAbout(d)
	}
}
