package gate

import (
	"context"
	"time"
)

const (
	// burst is how many requests may follow one another. To be let in and to leave
	// takes less than ten where nobody interferes.
	burst = 30

	// spacing is the time between two requests on the average, when somebody changes
	// the Lease all the time.
	spacing = 100 * time.Millisecond
)

// A pace holds down the rate of requests: whoever writes to the Lease all the
// time, or deletes it, is not answered as fast.
type pace struct{ due time.Time } // when as many requests have been made as there is time for

// take waits until a request may be made. It is false when ctx has ended before.
func (p *pace) take(ctx context.Context) bool {
	now := time.Now()
	if p.due.Before(now) {
		p.due = now
	}
	p.due = p.due.Add(spacing)
	early := p.due.Sub(now) - burst*spacing
	return early <= 0 || sleep(ctx, early)
}
