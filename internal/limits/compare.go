package limits

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
)

// less is text/template's lt, but for numbers of different types, which it does not
// compare, and for those of type [json.Number], which it compares as texts.
func (m *Meter) less(a, b reflect.Value) (bool, error) {
	if err := m.Spend(callCost); err != nil {
		return false, err
	}
	a, b = inside(a), inside(b)
	x, y := basic(a), basic(b)
	switch {
	case x == reflect.Int && y == reflect.Int:
		return a.Int() < b.Int(), nil
	case isNumber(a) && isNumber(b):
		order, comparable := compareNumbers(a, b)
		return comparable && order < 0, nil
	case x == reflect.String && y == reflect.String && a.Type() != numberType() && b.Type() != numberType():
		return a.String() < b.String(), nil
	case !a.IsValid() || !b.IsValid():
		return false, errors.New("nil is neither less nor greater than another value")
	case x == y && x != reflect.String:
		return false, fmt.Errorf("values of type %v are neither less nor greater than one another", a.Type())
	}
	return false, fmt.Errorf("incompatible types for comparison: %v and %v", a.Type(), b.Type())
}

// SameNumber says whether two values are numbers, of whatever types, and equal.
func SameNumber(a, b any) bool {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	if !isNumber(x) || !isNumber(y) {
		return false
	}
	order, comparable := compareNumbers(x, y)
	return comparable && order == 0
}

func numberType() reflect.Type { return reflect.TypeFor[json.Number]() }

// maxDigits is how long a [json.Number] may be that is compared: to read it takes the
// square of that.
const maxDigits = 1000

// isNumber says whether a value can be compared with numbers of other types.
func isNumber(v reflect.Value) bool {
	switch basic(v) {
	case reflect.Int, reflect.Uint, reflect.Float64:
		return true
	case reflect.String:
		return v.Type() == numberType() && v.Len() <= maxDigits
	}
	return false
}

// compareNumbers is negative when a is less than b, and 0 when they are equal, to the
// last digit. NaN compares with nothing.
func compareNumbers(a, b reflect.Value) (order int, comparable bool) {
	x, ok := exact(a)
	y, alsoOK := exact(b)
	if !ok || !alsoOK {
		return 0, false
	}
	return x.Cmp(y), true
}

// precision is that of numbers that are compared: more bits than a float64 and an
// integer of 64 bits have. A json.Number with more digits is rounded to it.
const precision = 1024

func exact(v reflect.Value) (*big.Float, bool) {
	f := new(big.Float).SetPrec(precision)
	switch {
	case v.CanInt():
		return f.SetInt64(v.Int()), true
	case v.CanUint():
		return f.SetUint64(v.Uint()), true
	case v.CanFloat():
		if math.IsNaN(v.Float()) {
			return nil, false
		}
		return f.SetFloat64(v.Float()), true
	}
	_, _, err := f.Parse(v.String(), 10)
	return f, err == nil
}
