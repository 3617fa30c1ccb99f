package reload

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ParseWait reads MIN[:MAX], two durations such as 500ms:10s: how long it must be quiet after an event,
// and how long after the first event it is enough in any case. MIN alone means MAX is 4×MIN; 0s means
// at once.
func ParseWait(s string) (quiet, ceiling time.Duration, err error) {
	first, second, both := strings.Cut(s, ":")
	quiet, err = parseSpan(first)
	if err != nil {
		return 0, 0, fmt.Errorf("wait %q: %w", s, err)
	}
	if !both {
		return quiet, defaultCeiling(quiet), nil
	}
	ceiling, err = parseSpan(second)
	if err != nil {
		return 0, 0, fmt.Errorf("wait %q: %w", s, err)
	}
	if ceiling < quiet {
		return 0, 0, fmt.Errorf("wait %q: the ceiling %v is less than the quiet time %v", s, ceiling, quiet)
	}
	return quiet, ceiling, nil
}

func parseSpan(s string) (time.Duration, error) {
	d, err := time.ParseDuration(strings.TrimSpace(s))
	if err != nil {
		return 0, err
	}
	if d < 0 {
		return 0, errors.New("negative")
	}
	return d, nil
}

func defaultCeiling(quiet time.Duration) time.Duration {
	const longest = time.Duration(1<<63 - 1)
	if quiet > longest/4 {
		return longest
	}
	return 4 * quiet
}

// A Quiet decides when a burst of events is over: when nothing has happened for Min, but not later than
// Max after the first event of the burst, however long it goes on. The zero value waits for nothing.
//
// A Quiet only computes: it reads no clock and starts no timer. One loop owns it:
//
//	due, pending := quiet.Due()         // arm a timer for due
//	case <-events: quiet.Poke(now)      // and arm it anew
//	case <-timer:  quiet.Done(); work() // Done first: what comes during the work is a new burst
type Quiet struct {
	Min time.Duration // the quiet time
	Max time.Duration // the ceiling; 0 means 4×Min

	first, last time.Time // of the pending events; zero when there are none
}

// Poke notes an event.
func (q *Quiet) Poke(now time.Time) {
	if q.first.IsZero() {
		q.first = now
	}
	q.last = now
}

// Due gives the moment at which the pending events are due, which may have passed. It is false when
// there are none.
func (q *Quiet) Due() (time.Time, bool) {
	if q.first.IsZero() {
		return time.Time{}, false
	}
	ceiling := q.Max
	if ceiling == 0 {
		ceiling = defaultCeiling(q.Min)
	}
	due := q.last.Add(q.Min)
	if latest := q.first.Add(ceiling); latest.Before(due) {
		due = latest
	}
	return due, true
}

// Done forgets the pending events.
func (q *Quiet) Done() {
	q.first, q.last = time.Time{}, time.Time{}
}
