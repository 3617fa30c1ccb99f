package watcher

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// flap is how long a watch may fail before what it has brought counts as out
// of date: servers end watches every few minutes, and the next ones begin.
const flap = 3 * time.Second

// An OutOfDateError is data that may no longer be what the source has.
type OutOfDateError struct {
	Watch    Dependency
	Since    time.Time // since when that is so, as far as is known
	Restored bool      // the data is from a snapshot
	Others   int       // further watches of which something like it is to be said
	cause    error     // nil where nothing is known but the silence
}

func (e *OutOfDateError) Error() string {
	how := "silent"
	switch {
	case e.Restored:
		how = "from a snapshot, and unknown"
	case e.cause != nil:
		how = "failing"
	}
	s := fmt.Sprintf("%s: %s since %s", e.Watch, how, e.Since.Format(time.RFC3339))
	if e.Others > 0 {
		s += fmt.Sprintf(" (and %d more)", e.Others)
	}
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap gives why the watch does not work, as far as that is known.
func (e *OutOfDateError) Unwrap() error { return e.cause }

// OutOfDate is nil when all that r's last run read is known to be up to date:
// the source has listed it, and the watches work. Otherwise it is an
// [*OutOfDateError], or an [*IncompleteError] when the run was incomplete.
//
// A run that read from a snapshot stays out of date until the next one, also
// when the source is back. Within a View, in which nothing changes, the answer
// is for what [View.Run] just gave: decide here what that may be used for.
//
// A connection that dies without a word is noticed after some 20 seconds, and
// until then the answer is that of a moment before it did.
func (v *View) OutOfDate(r *Reader) error { return r.outOfDate(time.Now()) }

// OutOfDate is what [View.OutOfDate] would say now. [Watcher.Changed] pokes
// when that is something else than before; no reader is stale for that.
func (r *Reader) OutOfDate() error {
	r.watcher.mu.Lock()
	defer r.watcher.mu.Unlock()
	return r.outOfDate(time.Now())
}

func (r *Reader) outOfDate(now time.Time) error {
	if len(r.pending) > 0 {
		return &IncompleteError{Pending: r.pending}
	}
	late := map[watchKey]*OutOfDateError{}
	for key, asOf := range r.restored {
		late[key] = &OutOfDateError{Watch: key.dependency(), Since: asOf, Restored: true}
	}
	for n := range r.needs {
		f := r.watcher.serving(n)
		if f == nil {
			continue
		}
		if err := f.outOfDate(now); err != nil {
			err.cause = r.watcher.troubleOf(n, f)
			late[f.key] = err
		}
	}
	if len(late) == 0 {
		return nil
	}
	first := slices.MinFunc(slices.Collect(maps.Values(late)), func(a, b *OutOfDateError) int {
		return a.Watch.compare(b.Watch)
	})
	first.Others = len(late) - 1
	return first
}

// troubleOf says what is wrong with the watch that n is answered by, or with
// the one that would answer if it could.
func (w *Watcher) troubleOf(n need, serving *feed) error {
	if live := w.feeds[w.planned[n]]; live != nil && !serving.restored.IsZero() {
		return live.trouble.err
	}
	return serving.trouble.err
}

// outOfDate says what keeps f's objects from being known to be up to date.
func (f *feed) outOfDate(now time.Time) *OutOfDateError {
	switch {
	case !f.restored.IsZero():
		return &OutOfDateError{Watch: f.key.dependency(), Since: f.restored, Restored: true}
	case f.trouble.err != nil && now.Sub(f.trouble.since) >= flap:
		return &OutOfDateError{Watch: f.key.dependency(), Since: f.trouble.since}
	case now.Sub(f.progress) >= silence:
		return &OutOfDateError{Watch: f.key.dependency(), Since: f.progress}
	}
	return nil
}

// doubt pokes when f has not recovered, or been heard of: whoever cares whether
// data is up to date will want to know.
func (f *feed) doubt() {
	f.watcher.mu.Lock()
	defer f.watcher.mu.Unlock()
	if f.ctx.Err() == nil && f.outOfDate(time.Now()) != nil {
		f.watcher.poke()
	}
}

// asOf is when f's objects were last known to be up to date.
func (f *feed) asOf(now time.Time) time.Time {
	switch {
	case !f.restored.IsZero():
		return f.restored
	case f.trouble.err != nil:
		return f.progress
	}
	return now
}
