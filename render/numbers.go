package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// numberFuncs are sprig's, but fail where sprig's give 0: for a text that is no number,
// for nil, and for what does not fit into 64 bits. White space around a number does not
// count.
func (m *maker) numberFuncs() map[string]any {
	funcs := map[string]any{
		"int": func(v any) (int, error) {
			n, err := m.truncated(v)
			return int(n), err
		},
		"int64": m.truncated, "float64": m.float, "atoi": m.atoi, "toDecimal": m.toDecimal,
		"add1": func(v any) (int64, error) { return m.fold(plus, 1, v) },
		"add":  func(v ...any) (int64, error) { return m.fold(plus, 0, v...) },
		"sub":  func(a, b any) (int64, error) { return m.fold(minus, a, b) },
		"mul":  func(a any, more ...any) (int64, error) { return m.fold(times, a, more...) },
		"div":  func(a, b any) (int64, error) { return m.fold(quotient, a, b) },
		"mod":  func(a, b any) (int64, error) { return m.fold(remainder, a, b) },
		"max":  func(a any, more ...any) (int64, error) { return m.fold(larger, a, more...) },
		"min":  func(a any, more ...any) (int64, error) { return m.fold(smaller, a, more...) },
	}
	funcs["biggest"] = funcs["max"]
	maps.Copy(funcs, m.floatFuncs())
	return funcs
}

func (m *maker) floatFuncs() map[string]any {
	foldFloats := func(two func(a, b float64) float64) any {
		return func(a any, more ...any) (float64, error) {
			numbers, err := m.floats(append([]any{a}, more...))
			if err != nil {
				return 0, err
			}
			result := numbers[0].(float64)
			for _, n := range numbers[1:] {
				result = two(result, n.(float64))
			}
			return result, nil
		}
	}
	return map[string]any{
		"maxf": foldFloats(math.Max), "minf": foldFloats(math.Min),
		"floor": func(v any) (float64, error) {
			f, err := m.float(v)
			return math.Floor(f), err
		},
		"ceil": func(v any) (float64, error) {
			f, err := m.float(v)
			return math.Ceil(f) + 0, err // no -0
		},
		"round": m.round,
		"add1f": func(v any) (float64, error) { return m.decimals("addf", v, 1) },
		"addf":  func(v ...any) (float64, error) { return m.decimals("addf", v...) },
		"subf":  func(a any, more ...any) (float64, error) { return m.decimals("subf", append([]any{a}, more...)...) },
		"mulf":  func(a any, more ...any) (float64, error) { return m.decimals("mulf", append([]any{a}, more...)...) },
		"divf":  func(a any, more ...any) (float64, error) { return m.decimals("divf", append([]any{a}, more...)...) },
	}
}

// numberCost is the work of a conversion.
const numberCost = 1 << 12

// truncated is the whole number that a value is, without the fraction of a float.
func (m *maker) truncated(v any) (int64, error) {
	if err := m.Spend(numberCost); err != nil {
		return 0, err
	}
	if f, ok := floatOf(v); ok {
		v = math.Trunc(f)
	}
	return whole(v)
}

// floatOf is the value of a number with a fraction.
func floatOf(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int, int64, string, nil:
		return 0, false
	}
	if r := reflect.ValueOf(v); r.CanFloat() {
		return r.Float(), true
	}
	return 0, false
}

// whole is the whole number that a value is.
func whole(v any) (int64, error) {
	switch v := v.(type) {
	case int:
		return int64(v), nil
	case int64:
		return v, nil
	case string:
		return parseWhole(v)
	case json.Number:
		return parseWhole(string(v))
	case float64:
		return wholeFloat(v)
	}
	r := reflect.ValueOf(v)
	for r.Kind() == reflect.Pointer && !r.IsNil() {
		r = r.Elem()
	}
	switch {
	case r.CanInt():
		return r.Int(), nil
	case r.CanUint():
		if r.Uint() > math.MaxInt64 {
			return 0, tooLarge(v)
		}
		return int64(r.Uint()), nil
	case r.CanFloat():
		return wholeFloat(r.Float())
	case r.Kind() == reflect.String:
		return parseWhole(r.String())
	case r.Kind() == reflect.Bool && r.Bool():
		return 1, nil
	case r.Kind() == reflect.Bool:
		return 0, nil
	}
	return 0, fmt.Errorf("want a whole number, not %s", describe(v))
}

func tooLarge(v any) error { return fmt.Errorf("%s does not fit into 64 bits", describe(v)) }

func wholeFloat(f float64) (int64, error) {
	switch {
	case f != math.Trunc(f): // NaN, too
		return 0, fmt.Errorf("want a whole number, not %v", f)
	case f < math.MinInt64 || f >= math.MaxInt64:
		return 0, tooLarge(f)
	}
	return int64(f), nil
}

// parseWhole reads a whole number: decimal, perhaps with a fraction of zeros or an
// exponent; or with 0x, 0o or 0b in front. One that begins with 0 is octal for some and
// decimal for others, and must be the same for both.
func parseWhole(text string) (int64, error) {
	digits := withoutZeros(strings.TrimSpace(text))
	bare := strings.TrimLeft(strings.ReplaceAll(digits, "_", ""), "+-")
	if len(bare) > 1 && bare[0] == '0' && strings.Trim(bare, "0123456789") == "" {
		octal, notOctal := strconv.ParseInt(bare, 8, 64)
		decimal, _ := strconv.ParseInt(bare, 10, 64)
		if notOctal == nil && octal != decimal {
			return 0, fmt.Errorf(`%s begins with 0: "atoi" reads it as decimal, "toDecimal" as octal`, shortQuote(text))
		}
		digits = strings.TrimSuffix(digits, bare) + bare
		return parsed(text, digits, 10)
	}
	return parsed(text, digits, 0)
}

func parsed(text, digits string, base int) (int64, error) {
	n, err := strconv.ParseInt(digits, base, 64)
	if err == nil {
		return n, nil
	}
	if errors.Is(err, strconv.ErrRange) {
		return 0, tooLarge(text)
	}
	if written, ok := withoutExponent(digits); ok {
		return parsed(text, written, 10)
	}
	return 0, fmt.Errorf("want a whole number, not %s", shortQuote(text))
}

// withoutZeros is a number without a fraction of zeros.
func withoutZeros(digits string) string {
	number, fraction, found := strings.Cut(digits, ".")
	if found && number != "" && fraction != "" && strings.Trim(fraction, "0") == "" {
		return number
	}
	return digits
}

// withoutExponent is the whole number 1.5e3 as 1500. It is false for another text.
func withoutExponent(text string) (string, bool) {
	e := strings.IndexAny(text, "eE")
	if _, err := parseFloat(text); err != nil || e < 0 {
		return "", false
	}
	exponent, err := strconv.Atoi(text[e+1:])
	number, fraction, _ := strings.Cut(text[:e], ".")
	fraction = strings.TrimRight(fraction, "0")
	zeros := exponent - len(fraction)
	if err != nil || zeros < 0 || zeros > 20 {
		return "", false
	}
	return number + fraction + strings.Repeat("0", zeros), true
}

// float is the number that a value is. A whole number that a float would round is an
// error.
func (m *maker) float(v any) (float64, error) {
	if err := m.Spend(numberCost); err != nil {
		return 0, err
	}
	f, ok := floatOf(v)
	if !ok {
		var err error
		if f, err = toFloat(v); err != nil {
			return 0, err
		}
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("want a number, not %v", f)
	}
	return f, nil
}

func toFloat(v any) (float64, error) {
	r := reflect.ValueOf(v)
	for r.Kind() == reflect.Pointer && !r.IsNil() {
		r = r.Elem()
	}
	if r.CanFloat() {
		return r.Float(), nil
	}
	if r.Kind() == reflect.String && !withoutFraction(r.String()) {
		if f, err := parseFloat(strings.TrimSpace(r.String())); err == nil {
			return f, nil
		}
	}
	n, err := whole(v)
	if err != nil {
		return 0, errors.New(strings.Replace(err.Error(), "a whole number", "a number", 1))
	}
	if int64(float64(n)) != n || n == math.MaxInt64 {
		return 0, fmt.Errorf("%s has more digits than a number with a fraction can have", describe(v))
	}
	return float64(n), nil
}

// parseFloat reads digits, and no words such as Inf.
func parseFloat(text string) (float64, error) {
	if strings.ContainsAny(text, "iInNxX_pP") {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(text, 64)
}

// withoutFraction says whether a text has neither fraction nor exponent.
func withoutFraction(text string) bool { return !strings.ContainsAny(text, ".eE") }

func (m *maker) atoi(text string) (int, error) {
	if err := m.Spend(len(text)); err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, tooLarge(text)
	case err != nil:
		return 0, fmt.Errorf("want a whole number, not %s", shortQuote(text))
	}
	return n, nil
}

// toDecimal is the number that the octal digits give.
func (m *maker) toDecimal(v any) (int64, error) {
	if err := m.Printable(v); err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimPrefix(strings.TrimSpace(fmt.Sprint(v)), "0o"), 8, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, tooLarge(v)
	case err != nil:
		return 0, fmt.Errorf("want an octal number, not %s", describe(v))
	}
	return n, nil
}

// fold combines whole numbers, from left to right.
func (m *maker) fold(two func(a, b int64) (int64, error), a any, more ...any) (int64, error) {
	if err := m.Spend(numberCost * (1 + len(more))); err != nil {
		return 0, err
	}
	result, err := operand(a)
	for _, v := range more {
		if err != nil {
			break
		}
		var b int64
		if b, err = operand(v); err == nil {
			result, err = two(result, b)
		}
	}
	return result, err
}

// operand is whole, with an error that says what to do about a fraction.
func operand(v any) (int64, error) {
	n, err := whole(v)
	if f, ok := floatOf(v); ok && err != nil && f != math.Trunc(f) {
		return 0, fmt.Errorf("want a whole number, not %v: functions such as addf and mulf calculate with fractions, int drops them", f)
	}
	return n, err
}

func overflow(a int64, sign string, b int64) error {
	return fmt.Errorf("%d %s %d does not fit into 64 bits", a, sign, b)
}

func plus(a, b int64) (int64, error) {
	if sum := a + b; (sum > a) == (b > 0) {
		return sum, nil
	}
	return 0, overflow(a, "+", b)
}

func minus(a, b int64) (int64, error) {
	if difference := a - b; (difference < a) == (b > 0) {
		return difference, nil
	}
	return 0, overflow(a, "-", b)
}

func times(a, b int64) (int64, error) {
	if a == 0 || b == 0 {
		return 0, nil
	}
	product := a * b
	if product/b != a || a == -1 && b == math.MinInt64 || b == -1 && a == math.MinInt64 {
		return 0, overflow(a, "*", b)
	}
	return product, nil
}

func quotient(a, b int64) (int64, error) {
	switch {
	case b == 0:
		return 0, fmt.Errorf("%d divided by 0", a)
	case a == math.MinInt64 && b == -1:
		return 0, overflow(a, "/", b)
	}
	return a / b, nil
}

func remainder(a, b int64) (int64, error) {
	if b == 0 {
		return 0, fmt.Errorf("%d divided by 0", a)
	}
	return a % b, nil
}

func larger(a, b int64) (int64, error) { return max(a, b), nil }

func smaller(a, b int64) (int64, error) { return min(a, b), nil }

// maxDecimals is how many numbers one call calculates with: these have all
// digits, of which each number may add three hundred.
const maxDecimals = 1000

// floats are the values as numbers for sprig's functions.
func (m *maker) floats(values []any) ([]any, error) {
	if len(values) > maxDecimals {
		return nil, fmt.Errorf("want %d numbers at most, not %d", maxDecimals, len(values))
	}
	all := make([]any, len(values))
	for i, v := range values {
		f, err := m.float(v)
		if err != nil {
			return nil, err
		}
		all[i] = f
	}
	return all, nil
}

// decimals calls a function of sprig that calculates with decimal digits.
func (m *maker) decimals(name string, values ...any) (float64, error) {
	numbers, err := m.floats(values)
	if err != nil {
		return 0, err
	}
	if name == "divf" && len(numbers) > 1 {
		for _, n := range numbers[1:] {
			if n == 0.0 {
				return 0, fmt.Errorf("%v divided by 0", numbers[0])
			}
		}
	}
	var result float64
	switch f := m.sprig[name].(type) {
	case func(...any) float64:
		result = f(numbers...)
	case func(any, ...any) float64:
		result = f(numbers[0], numbers[1:]...)
	}
	return result, finite(result)
}

// round is sprig's, which rounds -1.2 to -2.
func (m *maker) round(v any, places int, from ...float64) (float64, error) {
	f, err := m.float(v)
	if err != nil {
		return 0, err
	}
	result := math.Copysign(m.sprig["round"].(func(any, int, ...float64) float64)(math.Abs(f), places, from...), f)
	if err := finite(result); err != nil && places > 0 {
		return f, nil // it has not so many digits
	}
	return result + 0, finite(result) // no -0
}

func finite(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return errors.New("the result is larger than a number can be")
	}
	return nil
}
