package gate

import (
	"fmt"
	"strings"
	"time"
)

// A StoppedError is that nobody is let in but who stopped the gate, until he
// has left well or somebody takes the mark away.
type StoppedError struct {
	Namespace, Name string
	By              string // empty for a person who wrote plain text
	Reason          string
	Since           time.Time // by the clock of who did it
}

// Error says how to take the mark away, for who does not want to wait.
func (e *StoppedError) Error() string {
	by := e.By
	if by == "" {
		by = "hand"
	}
	return fmt.Sprintf("stopped by %s: %s (to go on: kubectl -n %s annotate lease %s %s-)",
		by, e.Reason, e.Namespace, e.Name, annotationStopped)
}

// A BusyError is that it is somebody else's turn. With nobody inside and nobody
// ahead, the replica waits for others to come.
type BusyError struct {
	Inside, Ahead []string
}

func (e *BusyError) Error() string {
	switch {
	case len(e.Inside) > 0 && len(e.Ahead) > 0:
		return fmt.Sprintf("%s inside, %s ahead", list(e.Inside), list(e.Ahead))
	case len(e.Inside) > 0:
		return list(e.Inside) + " inside"
	case len(e.Ahead) > 0:
		return list(e.Ahead) + " ahead"
	}
	return "waiting for others to come"
}

func list(names []string) string {
	verb := " are"
	if len(names) == 1 {
		verb = " is"
	}
	return strings.Join(names, ", ") + verb
}
