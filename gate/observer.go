package gate

import "time"

// An observer judges for how long entries have been silent. It goes by its own
// monotonic clock and by when it saw them change: the clocks of other machines
// are not to be trusted.
//
// Only time in which the server took writes counts. When it was away, the
// others could not renew their entries any more than this replica could look,
// and get the rest of their time when it is back.
type observer struct {
	duration time.Duration // of entries that do not say how long they last
	limit    time.Duration // of the time between two writes, how much counts
	counted  time.Duration // from the first time to the last
	last     time.Time     // when a write was last known to have been taken
	version  string        // of the Lease then

	sightings map[string]sighting // by identity, and garbled text
}

type sighting struct {
	entry entry
	at    time.Duration // when it became what it is, as counted
}

// see notes what a record says. The version is the Lease's: another one than
// before is a sign of a write.
func (o *observer) see(r record, version string, now time.Time) {
	if version != o.version || o.last.IsZero() {
		o.counted, o.last, o.version = o.count(now), now, version
	}
	seen := map[string]sighting{}
	for _, list := range [][]entry{r.holders, r.queue, r.unreadable()} {
		for _, e := range list {
			s, known := o.sightings[e.Identity]
			if !known || !s.entry.same(e) {
				s = sighting{e, o.counted}
			}
			seen[e.Identity] = s
		}
	}
	o.sightings = seen
}

// unreadable is what is garbled, as an entry.
func (r record) unreadable() []entry {
	if r.garbled == "" {
		return nil
	}
	return []entry{{Identity: "\x00" + r.garbled}}
}

// count is the time that counts until now.
func (o *observer) count(now time.Time) time.Duration {
	if o.last.IsZero() {
		return 0
	}
	return o.counted + min(now.Sub(o.last), o.limit)
}

// left is for how long the entry may go on being silent. What is not positive
// means that it is void.
func (o *observer) left(e entry, now time.Time) time.Duration {
	duration := time.Duration(e.Seconds) * time.Second
	if duration <= 0 {
		duration = o.duration
	}
	s, ok := o.sightings[e.Identity]
	if !ok || !s.entry.same(e) {
		return duration
	}
	return duration - (o.count(now) - s.at)
}
