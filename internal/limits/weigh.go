package limits

import (
	"math"
	"reflect"
)

// A Weight is what a value takes when it is printed, encoded or copied.
type Weight struct {
	Bytes int // of its texts, with a few for each element
	Nodes int // elements, and elements of elements
	Depth int // of elements in elements
	Path  int // bytes of the keys on the longest way to an element
}

// Weigh measures v, as often as parts of it occur. It fails when v is nested
// deeper than the limit, as a map is that contains itself, or when it is larger
// than a text may be.
func (m *Meter) Weigh(v any) (Weight, error) {
	w := weigher{meter: m}
	err := w.value(reflect.ValueOf(v), 0, 0)
	if err == nil {
		err = m.Spend(w.Bytes)
	}
	return w.Weight, err
}

type weigher struct {
	Weight
	meter *Meter
}

// nodeCost is the least that an element takes in a text, with what separates it.
const nodeCost = 2

func (w *weigher) value(v reflect.Value, depth, path int) error {
	w.Nodes++
	w.Bytes += nodeCost
	w.Depth, w.Path = max(w.Depth, depth), max(w.Path, path)
	if err := w.check(); err != nil {
		return err
	}
	switch v.Kind() {
	case reflect.String:
		w.Bytes += v.Len()
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return w.value(v.Elem(), depth+1-boxed(v), path)
	case reflect.Slice, reflect.Array:
		return w.list(v, depth, path)
	case reflect.Map:
		return w.dict(v, depth, path)
	case reflect.Struct:
		return w.fields(v, depth, path)
	}
	return nil
}

// fields are those that encoders see. What is behind the others is not printed.
func (w *weigher) fields(v reflect.Value, depth, path int) error {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		w.Bytes += len(field.Name)
		if err := w.value(v.Field(i), depth+1, path); err != nil {
			return err
		}
	}
	return nil
}

// boxed is 1 for an interface, which is not a level of its own.
func boxed(v reflect.Value) int {
	if v.Kind() == reflect.Interface {
		return 1
	}
	return 0
}

func (w *weigher) list(v reflect.Value, depth, path int) error {
	if isScalar(v.Type().Elem().Kind()) {
		w.Nodes += v.Len()
		w.Bytes += nodeCost * v.Len()
		return w.check()
	}
	for i := range v.Len() {
		if err := w.value(v.Index(i), depth+1, path); err != nil {
			return err
		}
	}
	return nil
}

func (w *weigher) dict(v reflect.Value, depth, path int) error {
	for keys := v.MapRange(); keys.Next(); {
		key := 1
		if keys.Key().Kind() == reflect.String {
			key += keys.Key().Len()
		}
		w.Bytes += key
		if err := w.value(keys.Value(), depth+1, path+key); err != nil {
			return err
		}
	}
	return nil
}

func isScalar(k reflect.Kind) bool {
	return k >= reflect.Bool && k <= reflect.Complex128
}

// check ends the measuring before it takes long, or for ever.
func (w *weigher) check() error {
	if w.Depth > w.meter.limits.Depth {
		return w.meter.Exceeded(Depth, "values within values")
	}
	if w.Bytes > w.meter.limits.Value {
		return w.meter.Exceeded(Value, "a value that is larger when it is printed")
	}
	return nil
}

// container says whether v may have elements.
func container(v any) bool {
	switch v.(type) {
	case nil, string, bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64:
		return false
	}
	switch reflect.ValueOf(v).Kind() {
	case reflect.Map, reflect.Slice, reflect.Array, reflect.Struct, reflect.Pointer:
		return true
	}
	return false
}

// size is how many bytes the value takes when it is printed.
func (m *Meter) size(v any) (int, error) {
	if s, ok := v.(string); ok {
		return len(s), nil
	}
	if !container(v) {
		return scalarSize, nil
	}
	w, err := m.Weigh(v)
	return w.Bytes, err
}

// scalarSize is what a number takes at most.
const scalarSize = 24

// Times is a*b, and -1 when that is more than an int holds.
func Times(a, b int) int {
	if a < 0 || b < 0 || a > 0 && b > math.MaxInt/a {
		return -1
	}
	return a * b
}

// Plus is the sum, and -1 when that is more than an int holds or a part is.
func Plus(parts ...int) int {
	sum := 0
	for _, p := range parts {
		if p < 0 || sum > math.MaxInt-p {
			return -1
		}
		sum += p
	}
	return sum
}

// printed is how many bytes all values take when they are printed.
func (m *Meter) printed(args []any) (int, error) {
	total := 0
	for _, a := range args {
		n, err := m.size(a)
		if err != nil {
			return 0, err
		}
		total += n + 1
	}
	return total, nil
}

// Printable fails when printing v would take more than a text may have, or
// would never end.
func (m *Meter) Printable(v any) error {
	_, err := m.size(v)
	return err
}
