package reload

import (
	"cmp"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// A Backoff is how long to wait before each retry: Initial, then twice as long each time, up to Max. So
// that many replicas which failed together do not retry together, each delay is changed by up to 10 %
// in either direction; also that of Max, which is thus exceeded by up to 10 %.
//
// The zero value is ready to use. A Backoff only computes: it reads no clock and waits for nothing.
type Backoff struct {
	Initial time.Duration // 0 means 1 s
	Max     time.Duration // 0 means 1 min, or Initial when that is longer

	schedule *backoff.ExponentialBackOff // nil until the first Next
}

// Next gives the delay before the next attempt.
func (b *Backoff) Next() time.Duration {
	if b.schedule == nil {
		b.schedule = b.newSchedule()
	}
	return b.schedule.NextBackOff()
}

// Reset begins again with Initial. Call it after a success, and when what is tried has changed.
func (b *Backoff) Reset() { b.schedule = nil }

func (b *Backoff) newSchedule() *backoff.ExponentialBackOff {
	initial := cmp.Or(b.Initial, time.Second)
	limit := cmp.Or(b.Max, max(initial, time.Minute))
	return &backoff.ExponentialBackOff{
		InitialInterval:     min(initial, limit),
		MaxInterval:         limit,
		Multiplier:          2,
		RandomizationFactor: 0.1,
	}
}
