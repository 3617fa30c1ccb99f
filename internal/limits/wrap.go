package limits

import (
	"fmt"
	"time"
)

// Wrap is the function f, measured: each call counts as work, with its texts;
// arguments of any type are weighed first, unless the function is shallow and
// only hands elements on; and results must be no larger than the limits.
//
// It is false for a function of a type that it does not know.
func (m *Meter) Wrap(f any, shallow bool) (any, bool) {
	g := guard{m, !shallow}
	for _, wrap := range []func(guard, any) any{wrapTexts, wrapValues, wrapMany, wrapPairs, wrapTriples} {
		if wrapped := wrap(g, f); wrapped != nil {
			return wrapped, true
		}
	}
	return f, false
}

type guard struct {
	*Meter
	deep bool
}

func wrapTexts(g guard, f any) any {
	switch f := f.(type) {
	case func(string) string:
		return one(g, f)
	case func(string) bool:
		return one(g, f)
	case func(string) int:
		return one(g, f)
	case func(string) map[string]any:
		return one(g, f)
	case func(string) (string, error):
		return oneErr(g, f)
	case func(string) (bool, error):
		return oneErr(g, f)
	case func(string, ...string) string:
		return func(s string, more ...string) (r string, err error) {
			for _, text := range append([]string{s}, more...) {
				if err = before(g, text); err != nil {
					return r, err
				}
			}
			r = f(s, more...)
			return r, after(g, r)
		}
	case func(string, string) string:
		return two(g, f)
	case func(string, string) bool:
		return two(g, f)
	case func(string, string) (string, error):
		return twoErr(g, f)
	case func(string, string, string) string:
		return three(g, f)
	case func(int, string) string:
		return two(g, f)
	case func(int, int, string) string:
		return three(g, f)
	}
	return nil
}

func wrapValues(g guard, f any) any {
	switch f := f.(type) {
	case func(any) string:
		return one(g, f)
	case func(any) bool:
		return one(g, f)
	case func(any) int:
		return one(g, f)
	case func(any) int64:
		return one(g, f)
	case func(any) float64:
		return one(g, f)
	case func(any) any:
		return one(g, f)
	case func(any) []any:
		return one(g, f)
	case func(any) []string:
		return one(g, f)
	case func(any) ([]any, error):
		return oneErr(g, f)
	case func(any) (any, error):
		return oneErr(g, f)
	case func(any) (string, error):
		return oneErr(g, f)
	case func(any) (int64, error):
		return oneErr(g, f)
	case func(any) (float64, error):
		return oneErr(g, f)
	case func(any) (time.Duration, error):
		return oneErr(g, f)
	case func(map[string]any) string:
		return one(g, f)
	}
	return nil
}

func wrapMany(g guard, f any) any {
	switch f := f.(type) {
	case func(...any) string:
		return many(g, f)
	case func(...any) bool:
		return many(g, f)
	case func(...any) int64:
		return many(g, f)
	case func(...any) float64:
		return many(g, f)
	case func(...any) any:
		return many(g, f)
	case func(...any) []any:
		return many(g, f)
	case func(...any) (any, error):
		return manyErr(g, f)
	case func(...any) ([]string, error):
		return manyErr(g, f)
	case func(any, ...any) int64:
		return oneMany(g, f)
	case func(any, ...any) float64:
		return oneMany(g, f)
	case func(any, ...any) any:
		return oneMany(g, f)
	case func(any, ...any) (any, error):
		return oneManyErr(g, f)
	}
	return nil
}

func wrapPairs(g guard, f any) any {
	switch f := f.(type) {
	case func(any, any) []any:
		return two(g, f)
	case func(any, any) ([]any, error):
		return twoErr(g, f)
	case func(any, any) bool:
		return two(g, f)
	case func(any, any) int64:
		return two(g, f)
	case func(int, any) [][]any:
		return two(g, f)
	case func(int, any) ([][]any, error):
		return twoErr(g, f)
	case func(string, any) string:
		return two(g, f)
	case func(string, any) bool:
		return two(g, f)
	case func(string, any) (any, error):
		return twoErr(g, f)
	case func(any, any) (time.Duration, error):
		return twoErr(g, f)
	case func(any, string) (any, error):
		return twoErr(g, f)
	case func(any, string) (bool, error):
		return twoErr(g, f)
	}
	return nil
}

func wrapTriples(g guard, f any) any {
	switch f := f.(type) {
	case func(string, string, int) string:
		return three(g, f)
	case func(any, any, any) (any, error):
		return threeErr(g, f)
	case func(any, int, ...float64) float64:
		return func(v any, n int, more ...float64) (r float64, err error) {
			if err = before(g, v); err != nil {
				return r, err
			}
			return f(v, n, more...), nil
		}
	}
	return nil
}

func one[A, R any](g guard, f func(A) R) func(A) (R, error) {
	return func(a A) (r R, err error) {
		if err = before(g, a); err != nil {
			return r, err
		}
		r = f(a)
		return r, after(g, r)
	}
}

func oneErr[A, R any](g guard, f func(A) (R, error)) func(A) (R, error) {
	return func(a A) (r R, err error) {
		if err = before(g, a); err != nil {
			return r, err
		}
		if r, err = f(a); err != nil {
			return r, err
		}
		return r, after(g, r)
	}
}

func two[A, B, R any](g guard, f func(A, B) R) func(A, B) (R, error) {
	return twoErr(g, func(a A, b B) (R, error) { return f(a, b), nil })
}

func twoErr[A, B, R any](g guard, f func(A, B) (R, error)) func(A, B) (R, error) {
	return func(a A, b B) (r R, err error) {
		if err = before(g, a); err != nil {
			return r, err
		}
		if err = before(g, b); err != nil {
			return r, err
		}
		if r, err = f(a, b); err != nil {
			return r, err
		}
		return r, after(g, r)
	}
}

func three[A, B, C, R any](g guard, f func(A, B, C) R) func(A, B, C) (R, error) {
	return threeErr(g, func(a A, b B, c C) (R, error) { return f(a, b, c), nil })
}

func threeErr[A, B, C, R any](g guard, f func(A, B, C) (R, error)) func(A, B, C) (R, error) {
	return func(a A, b B, c C) (r R, err error) {
		if err = before(g, a); err != nil {
			return r, err
		}
		if err = before(g, b); err != nil {
			return r, err
		}
		if err = before(g, c); err != nil {
			return r, err
		}
		if r, err = f(a, b, c); err != nil {
			return r, err
		}
		return r, after(g, r)
	}
}

func many[R any](g guard, f func(...any) R) func(...any) (R, error) {
	return manyErr(g, func(args ...any) (R, error) { return f(args...), nil })
}

func manyErr[R any](g guard, f func(...any) (R, error)) func(...any) (R, error) {
	return func(args ...any) (r R, err error) {
		for _, a := range args {
			if err = before(g, a); err != nil {
				return r, err
			}
		}
		if r, err = f(args...); err != nil {
			return r, err
		}
		return r, after(g, r)
	}
}

func oneMany[R any](g guard, f func(any, ...any) R) func(any, ...any) (R, error) {
	return oneManyErr(g, func(a any, more ...any) (R, error) { return f(a, more...), nil })
}

func oneManyErr[R any](g guard, f func(any, ...any) (R, error)) func(any, ...any) (R, error) {
	return func(a any, more ...any) (r R, err error) {
		if err = before(g, a); err != nil {
			return r, err
		}
		for _, a := range more {
			if err = before(g, a); err != nil {
				return r, err
			}
		}
		if r, err = f(a, more...); err != nil {
			return r, err
		}
		return r, after(g, r)
	}
}

// before measures an argument.
func before[A any](g guard, a A) error {
	switch v := any(a).(type) {
	case string:
		return g.Spend(len(v))
	case int, bool:
		return nil
	}
	if !g.deep {
		return nil
	}
	if v := any(a); container(v) {
		_, err := g.Weigh(v)
		return err
	}
	return nil
}

// after measures a result.
func after[R any](g guard, r R) error {
	switch v := any(r).(type) {
	case string:
		return g.Text(len(v))
	case []string:
		return g.List(len(v), 16)
	case []any:
		return g.List(len(v), 16)
	case [][]any:
		return g.List(len(v), 24)
	case map[string]any:
		return g.List(len(v), 100)
	}
	return g.Spend(callCost)
}

// Recover is to be deferred: it makes an error of a panic, which text/template
// lets through outside of functions.
func Recover(err *error) {
	switch r := recover().(type) {
	case nil:
	case error:
		*err = fmt.Errorf("panic: %w", r)
	default:
		*err = fmt.Errorf("panic: %v", r)
	}
}
