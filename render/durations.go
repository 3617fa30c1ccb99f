package render

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// durations are Helm's. Where its functions give 0 for what is no duration, these fail.
func durations() map[string]any {
	in := func(unit time.Duration) func(any) (float64, error) {
		return func(v any) (float64, error) {
			d, err := toDuration(v)
			return d.Seconds() / unit.Seconds(), err
		}
	}
	whole := func(unit time.Duration) func(any) (int64, error) {
		return func(v any) (int64, error) {
			d, err := toDuration(v)
			return int64(d / unit), err
		}
	}
	return map[string]any{
		"mustToDuration":  toDuration,
		"durationSeconds": in(time.Second), "durationMinutes": in(time.Minute), "durationHours": in(time.Hour),
		"durationDays": in(24 * time.Hour), "durationWeeks": in(7 * 24 * time.Hour),
		"durationMilliseconds": whole(time.Millisecond), "durationMicroseconds": whole(time.Microsecond), "durationNanoseconds": whole(time.Nanosecond),
		"durationRoundTo":    toMultiple(time.Duration.Round),
		"durationTruncateTo": toMultiple(time.Duration.Truncate),
	}
}

func toMultiple(of func(d, unit time.Duration) time.Duration) func(any, any) (time.Duration, error) {
	return func(v, unit any) (time.Duration, error) {
		d, err := toDuration(v)
		if err != nil {
			return 0, err
		}
		u, err := toDuration(unit)
		return of(d, u), err
	}
}

// toDuration is a duration for one, for a text such as 1h30m, and for a number of seconds.
func toDuration(v any) (time.Duration, error) {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Int64:
		if d, is := v.(time.Duration); is {
			return d, nil
		}
		return seconds(float64(r.Int()))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32:
		return seconds(float64(r.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return seconds(float64(r.Uint()))
	case reflect.Float32, reflect.Float64:
		return seconds(r.Float())
	case reflect.String: // of any type: a number of JSON is one too
		return durationOf(r.String())
	case reflect.Invalid:
		return 0, errors.New("want a duration, not nil")
	}
	return 0, fmt.Errorf("want a duration, not %T", v)
}

func durationOf(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		return seconds(n)
	}
	if len(text) > 100 {
		text = strings.ToValidUTF8(text[:100], "") + "…"
	}
	return 0, fmt.Errorf("want a duration such as 1h30m or a number of seconds, not %q", text)
}

func seconds(n float64) (time.Duration, error) {
	nanoseconds := n * float64(time.Second)
	if math.IsNaN(n) || nanoseconds >= math.MaxInt64 || nanoseconds < math.MinInt64 {
		return 0, fmt.Errorf("%v seconds are more than a duration can have", n)
	}
	if n == math.Trunc(n) {
		return time.Duration(n) * time.Second, nil
	}
	return time.Duration(nanoseconds), nil
}
