package gate

import (
	"slices"
	"time"
)

// A view is the record as one replica sees it at one moment, and all that its
// decisions depend on.
type view struct {
	record
	exists bool                      // the Lease does
	self   entry                     // what this replica would write; its Since tells this run apart
	slots  int                       // of the gate
	settle time.Duration             // for which it has to wait for others to come
	due    bool                      // its entry has to be renewed
	left   func(entry) time.Duration // see observer
}

// A plan is what to do about a view. Where nothing is to be written, wait is
// how long it will be so if nobody changes the Lease; negative means for ever.
type plan struct {
	write  bool
	record record
	self   entry // in that record
	holds  bool  // once it is written, this replica has a slot
	queued bool  // … it is in the queue
	done   bool  // … nothing is left to do
	lost   loss
	wait   time.Duration
}

// A loss is how a holder came to have no slot.
type loss int

const (
	kept   loss = iota
	late        // it was not renewed in time
	stolen      // another run with the same identity took it
	taken       // somebody took it away, and it is not free
)

func (l loss) String() string {
	switch l {
	case late:
		return "not renewed in time"
	case stolen:
		return "another process entered with the same identity"
	case taken:
		return "the entry was removed from the Lease, and others are in"
	}
	return "kept"
}

// live is the record without the entries of the dead. This replica is not one
// of them.
func (v view) live() record {
	r := v.record.clone()
	remove(&r.holders, func(e entry) bool { return !v.own(e) && v.left(e) <= 0 })
	remove(&r.queue, func(e entry) bool { return !v.own(e) && v.leftInQueue(e) <= 0 })
	for _, e := range r.unreadable() {
		if v.left(e) <= 0 {
			r.garbled = ""
		}
	}
	return r
}

// leftInQueue is shorter than for holders. It is safe to pass over somebody who
// lives: he queues up again. And the dead hold up less.
func (v view) leftInQueue(e entry) time.Duration {
	return v.left(e) - time.Duration(e.Seconds)*time.Second/2
}

// free is how many can be let in.
func (v view) free(r record) int {
	if r.garbled != "" {
		return 0 // nobody knows
	}
	return max(0, v.slots-len(r.holders))
}

// waiting is the plan of who wants to be let in.
func (v view) waiting() plan {
	r := v.live()
	in := v.self
	in.Since = in.Renewed
	if i := indexOf(r.holders, in.Identity); i >= 0 {
		// From before a restart, or from a write whose answer was lost.
		r.holders[i] = in
		return plan{write: true, record: r, self: in, holds: true}
	}
	fresh := r.enqueue(v.self)
	if v.admitted(r) {
		remove(&r.queue, v.own)
		r.holders = append(r.holders, in)
		return plan{write: true, record: r, self: in, holds: true}
	}
	// Who comes first may have come after the holder died, and not know it yet.
	freed := len(r.holders) < len(v.holders)
	return plan{
		write: fresh || freed || v.due || !v.exists, record: r, self: v.self, queued: true, wait: v.untilNews(r),
	}
}

func (v view) own(e entry) bool { return e.Identity == v.self.Identity }

// admitted says whether this replica, which is in the queue, may come in.
func (v view) admitted(r record) bool {
	if v.settle > 0 || r.stoppedFor(v.self.Identity) != nil {
		return false
	}
	return len(v.ahead(r)) < v.free(r)
}

// ahead are those who come first and may come in.
func (v view) ahead(r record) []entry {
	var first []entry
	for _, e := range r.order() {
		if v.own(e) {
			break
		}
		if r.stoppedFor(e.Identity) == nil {
			first = append(first, e)
		}
	}
	return first
}

// untilNews is when somebody's time will be over.
func (v view) untilNews(r record) time.Duration {
	next := time.Duration(-1)
	sooner := func(d time.Duration) {
		if d > 0 && (next < 0 || d < next) {
			next = d
		}
	}
	sooner(v.settle)
	for _, e := range slices.Concat(r.holders, r.unreadable()) {
		sooner(v.left(e))
	}
	for _, e := range r.queue {
		if !v.own(e) {
			sooner(v.leftInQueue(e))
		}
	}
	return next
}

// inside is the plan of who has been let in. One whose entry is gone puts it
// back where there is room: he may be in the midst of what nobody else is to do
// meanwhile.
func (v view) inside() plan {
	r := v.live()
	i := indexOf(r.holders, v.self.Identity)
	switch {
	case i >= 0 && !r.holders[i].isOf(v.self):
		return plan{lost: stolen, wait: -1}
	case i >= 0 && v.exists && !v.due:
		return plan{record: r, wait: -1}
	case i >= 0:
		r.holders[i] = v.self
	case v.free(r) > 0:
		r.holders = append(r.holders, v.self)
	default:
		return plan{lost: taken, wait: v.untilNews(r)}
	}
	remove(&r.queue, v.own)
	return plan{write: true, record: r, self: v.self, holds: true}
}

// leaving is the plan of who has done all he came for.
func (v view) leaving() plan {
	r := v.live()
	left := remove(&r.holders, func(e entry) bool { return e.isOf(v.self) })
	before := len(r.stops)
	r.stops = slices.DeleteFunc(r.stops, func(s stop) bool { return s.By == v.self.Identity })
	return plan{write: left || len(r.stops) < before, record: r, done: true}
}

// failing is the plan of who stops all others.
func (v view) failing(reason string) plan {
	p := v.leaving()
	p.record.stops = append(p.record.stops, stop{By: v.self.Identity, Reason: reason, Since: v.self.Renewed})
	p.write = true
	return p
}

// withdrawing is the plan of who will not wait any longer. He may have been let
// in without knowing it.
func (v view) withdrawing() plan {
	r := v.live()
	left := remove(&r.queue, v.own)
	left = remove(&r.holders, v.own) || left
	return plan{write: left, record: r, done: true}
}
