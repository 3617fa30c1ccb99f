// Package timing reads durations that people write, within bounds: what is added to
// a time, doubled by a back-off or cut to 32 bits elsewhere must not overflow.
package timing

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

const (
	// Shortest is the least that a positive duration may be: less would be a loop
	// without a pause.
	Shortest = time.Millisecond

	// Longest is the most that a duration may be, a year.
	Longest = 365 * 24 * time.Hour
)

// A RangeError is a duration out of bounds.
type RangeError struct {
	Text     string // as it was written
	Min, Max time.Duration
}

func (e *RangeError) Error() string {
	return fmt.Sprintf("want a duration from %s to %s, not %q", Format(e.Min), Format(e.Max), e.Text)
}

// Parse reads a duration such as 1m30s. One out of bounds is a [*RangeError], any
// other text the error of [time.ParseDuration].
func Parse(text string, shortest, longest time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil && hasForm(text), err == nil && (d < shortest || d > longest):
		return 0, &RangeError{text, shortest, longest}
	case err != nil:
		return 0, err
	}
	return d, nil
}

// hasForm says whether the text would be a duration if it were not too long.
func hasForm(text string) bool {
	return regexp.MustCompile(`^[-+]?((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$`).MatchString(text)
}

// Format is a duration without parts that are zero: 8760h rather than 8760h0m0s.
func Format(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
