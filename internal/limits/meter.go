package limits

import (
	"fmt"
	"io"
	"runtime"
	"runtime/metrics"
	"text/template"
	"time"
)

// A Meter counts what one execution takes. It is used by one goroutine.
type Meter struct {
	limits Limits
	marks  map[*byte]*mark

	// Of the execution.
	deadline   time.Time
	work       int // since the clock was read
	depth      int
	iterations int
	produced   int // bytes since the heap was looked at
	heap       int // in use when it was first looked at
	last       *mark
}

// NewMeter is a meter with the limits, or their defaults.
func NewMeter(l Limits) *Meter {
	return &Meter{limits: l.OrDefaults(), marks: map[*byte]*mark{}}
}

// Limits are the meter's.
func (m *Meter) Limits() Limits { return m.limits }

// Start begins an execution.
func (m *Meter) Start() {
	*m = Meter{limits: m.limits, marks: m.marks, deadline: time.Now().Add(m.limits.Time), depth: -1, heap: -1}
}

// Execute runs a template that was parsed for this alone, with all that are
// associated with it. What it prints is to reach a [Writer] of the meter.
func (m *Meter) Execute(t *template.Template, out io.Writer, data any) (err error) {
	defer Recover(&err)
	m.Mount(t.Templates()...)
	m.Start()
	if err := t.Execute(out, data); err != nil {
		return &execError{err}
	}
	return nil
}

// workUnit is how much work is done between two looks at the clock, in bytes of
// text that a function reads or writes. It takes about a millisecond.
const workUnit = 1 << 20

// Spend counts work: what takes as long as reading or writing that many bytes.
func (m *Meter) Spend(bytes int) error {
	if m.work += bytes; m.work < workUnit {
		return nil
	}
	m.work = 0
	return m.Clock()
}

// Clock fails when the time is over.
func (m *Meter) Clock() error {
	if time.Now().Before(m.deadline) {
		return nil
	}
	return m.Exceeded(Time, "the template still runs")
}

// Late is the error of what would take longer than there is time.
func (m *Meter) Late() error { return m.Exceeded(Time, "what is to be done takes longer") }

// Remaining is how much of the time is left.
func (m *Meter) Remaining() time.Duration { return time.Until(m.deadline) }

// Iterate counts n rounds of loops.
func (m *Meter) Iterate(n int) error {
	if m.iterations += n; m.iterations > m.limits.Iterations {
		return m.Exceeded(Iterations, "the loops go round once more")
	}
	return m.Spend(n * callCost)
}

// callCost is the work of a function call or of a round of a loop that does nothing.
const callCost = 1 << 12

// Text counts a text that a function is about to make, of at most so many bytes.
func (m *Meter) Text(bytes int) error {
	if bytes > m.limits.Value || bytes < 0 {
		return m.Exceeded(Value, "a text of "+count(bytes, "bytes"))
	}
	return m.make(bytes)
}

// List counts a list or map that a function is about to make, of so many
// elements that take so many bytes each.
func (m *Meter) List(elements, bytes int) error {
	if elements > m.limits.Elements || elements < 0 {
		return m.Exceeded(Elements, "a list of "+count(elements, "elements"))
	}
	return m.make(elements * bytes)
}

// count is a number with what it counts. A negative number is one that int
// could not hold.
func count(n int, what string) string {
	if n < 0 {
		return "far too many " + what
	}
	return fmt.Sprintf("%d %s", n, what)
}

// Need fails when a function is about to need so many bytes at once.
func (m *Meter) Need(bytes int) error {
	if bytes > m.limits.Memory || bytes < 0 {
		return m.Exceeded(Memory, count(bytes, "bytes")+" needed at once")
	}
	return m.make(bytes)
}

// make counts bytes that are made. Most of them are garbage soon: only when
// there are as many as the limit, the heap tells how many are kept.
func (m *Meter) make(bytes int) error {
	if m.produced += bytes; m.produced > m.limits.Memory {
		if err := m.lookAtHeap(); err != nil {
			return err
		}
	}
	return m.Spend(bytes + callCost)
}

// lookAtHeap fails when more is in use than the limit. What was made before the
// first look is not told from what was there before: it counts once more.
func (m *Meter) lookAtHeap() error {
	runtime.GC()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	now := int(live[0].Value.Uint64())
	if m.heap < 0 {
		m.heap = now
	}
	m.produced = 0
	if now-m.heap > m.limits.Memory {
		return m.Exceeded(Memory, count(now-m.heap, "bytes")+" more in use")
	}
	return nil
}

// Exceeded is the error of a limit: what was too much, and for which.
func (m *Meter) Exceeded(limit, what string) *Error {
	e := &Error{Limit: limit, What: what}
	l := m.limits
	switch limit {
	case Depth:
		e.Of = fmt.Sprint(l.Depth)
	case Time:
		e.Of = l.Time.String()
	case Elements:
		e.Of = fmt.Sprint(l.Elements)
	case Iterations:
		e.Of = fmt.Sprint(l.Iterations)
	case Value:
		e.Of = Size(l.Value)
	case Output:
		e.Of = Size(l.Output)
	case Memory:
		e.Of = Size(l.Memory)
	}
	return e
}
