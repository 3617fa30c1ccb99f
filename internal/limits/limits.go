package limits

import (
	"cmp"
	"fmt"
	"time"
)

// Limits of one execution of a template. A zero means the default.
type Limits struct {
	Depth      int           // of templates in one another, and of values in one another
	Time       time.Duration // of the execution
	Elements   int           // of a list or map that a function makes
	Iterations int           // of all loops together
	Value      int           // bytes of a text that a function makes
	Output     int           // bytes of what the template prints
	Memory     int           // bytes of all that functions made and that is still in use
}

// OrDefaults are the limits with defaults in the place of zeros.
func (l Limits) OrDefaults() Limits {
	return Limits{
		Depth:      cmp.Or(l.Depth, 200),
		Time:       cmp.Or(l.Time, 10*time.Second),
		Elements:   cmp.Or(l.Elements, 1_000_000),
		Iterations: cmp.Or(l.Iterations, 10_000_000),
		Value:      cmp.Or(l.Value, 16<<20),
		Output:     cmp.Or(l.Output, 32<<20),
		Memory:     cmp.Or(l.Memory, 128<<20),
	}
}

// The names of the limits, as in resource files and metrics.
const (
	Depth      = "depth"
	Time       = "time"
	Elements   = "elements"
	Iterations = "iterations"
	Value      = "value"
	Output     = "output"
	Memory     = "memory"
	Reads      = "reads" // of objects and selectors; not of Limits, the watcher has it
)

// All are the names of all limits.
func All() []string {
	return []string{Depth, Time, Elements, Iterations, Value, Output, Memory, Reads}
}

// An Error is a limit that was exceeded.
type Error struct {
	Limit string // its name
	Of    string // its value: 200, 16MiB, 10s
	Place string // main.tmpl:12:3, where the error itself knows it; else empty
	What  string // what exceeded it
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s: limit %q of %s exceeded", e.What, e.Limit, e.Of)
	if e.Place != "" {
		text = e.Place + ": " + text
	}
	return text
}

// Size is a number of bytes, as resource files have it: 16Mi.
func Size(bytes int) string {
	for _, unit := range []struct {
		name string
		size int
	}{{"Gi", 1 << 30}, {"Mi", 1 << 20}, {"Ki", 1 << 10}} {
		if bytes >= unit.size && bytes%unit.size == 0 {
			return fmt.Sprint(bytes/unit.size) + unit.name
		}
	}
	return fmt.Sprint(bytes)
}
