package gate

import (
	"errors"
	"slices"
	"time"
)

// A Status is what a gate looked like when it was last seen.
type Status struct {
	Namespace, Name string
	Slots           int
	State           State
	Since           time.Time // of the state
	Holders         []Member
	Queue           []Member // the next first
	Stopped         []*StoppedError
	Problem         error     // what keeps the gate from being seen or used, or nil
	Seen            time.Time // when the server last answered

	identity string // this replica's
}

// A State is what this replica is about.
type State string

// The states. Leaving is for as long as the server has not taken note of it.
const (
	Idle    State = "idle"
	Waiting State = "waiting"
	Inside  State = "inside"
	Lost    State = "lost"
	Leaving State = "leaving"
)

// A Member is who is inside or waits, since when by its own clock.
type Member struct {
	Identity string
	Since    time.Time
	Self     bool
}

func (s Status) clone() Status {
	s.Holders, s.Queue, s.Stopped = slices.Clone(s.Holders), slices.Clone(s.Queue), slices.Clone(s.Stopped)
	return s
}

// fill takes over what a record says.
func (s *Status) fill(r record) {
	s.Holders, s.Queue, s.Stopped = s.members(r.holders), s.members(r.order()), nil
	for _, m := range r.stops {
		s.Stopped = append(s.Stopped, &StoppedError{s.Namespace, s.Name, m.By, m.Reason, m.Since.Time})
	}
}

var errUnseen = errors.New("the server has not answered yet")

func (s *Status) members(list []entry) []Member {
	var all []Member
	for _, e := range list {
		all = append(all, Member{e.Identity, e.Since.Time, e.Identity == s.identity})
	}
	return all
}

// Waits is why this replica is not let in, or cannot leave: a [StoppedError], a
// [BusyError], or what is wrong with the server or a Role. It is nil when the
// replica does not wait.
func (s Status) Waits() error {
	switch {
	case s.State != Waiting && s.State != Leaving:
		return nil
	case s.Problem != nil:
		return s.Problem
	case s.State == Leaving:
		return nil
	case s.Seen.Before(s.Since):
		return errUnseen
	case s.stopped():
		return s.Stopped[0]
	}
	return s.busy()
}

// stopped says whether somebody else's mark is in the way.
func (s Status) stopped() bool {
	own := slices.ContainsFunc(s.Stopped, func(e *StoppedError) bool { return e.By == s.identity })
	return len(s.Stopped) > 0 && !own
}

func (s Status) busy() error {
	busy := &BusyError{}
	for _, m := range s.Holders {
		busy.Inside = append(busy.Inside, m.Identity)
	}
	for _, m := range s.Queue {
		if m.Self {
			break
		}
		busy.Ahead = append(busy.Ahead, m.Identity)
	}
	return busy
}
