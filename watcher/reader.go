package watcher

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kconfd/kconfd/internal/limits"
)

// A Reader answers one template's questions and records them. It is used by
// one goroutine.
type Reader struct {
	watcher *Watcher

	// Of the last run. Guarded by the watcher's mutex, which a View holds.
	needs    map[need]uint64 // what was read, at which revision
	pending  []Dependency
	restored map[watchKey]time.Time // what was read from a snapshot, and how old that is
	secrets  map[string]bool
	empty    map[need]bool // lists for which there is no object
	lists    []listRead    // while it is under way
	alone    int           // of needs: those that are watched by themselves
	over     bool          // more was to be read than may be
	private  bool          // something secret was asked for
	ran      bool

	// While the run is repeated with stand-ins for secrets.
	standIn func(secret string) string // nil otherwise
	missed  bool                       // it asked for something that has not been listed
}

// What one template may read: names may come from data, and each may be a watch.
const (
	maxReads = 10_000
	maxAlone = 1_000 // objects and selectors that share no watch
)

// An IncompleteError is a run that read something that has not been listed.
type IncompleteError struct {
	Pending []Dependency
}

func (e *IncompleteError) Error() string {
	return "waiting for " + join3(e.Pending)
}

// join3 names the first three and counts the others.
func join3(all []Dependency) string {
	names := make([]string, 0, 3)
	for _, d := range all[:min(3, len(all))] {
		names = append(names, d.String())
	}
	s := strings.Join(names, ", ")
	if more := len(all) - len(names); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// An AbsentError is an object that was asked for by name and does not exist.
// It is awaited: the run is to be repeated when it does.
type AbsentError struct {
	What string // Secret "db" in namespace "prod"

	dependency Dependency // zero for what is no object
}

func (e *AbsentError) Error() string { return e.What + " does not exist" }

// A View is what the watcher holds at one moment. It does not change while
// [Watcher.View] runs.
type View struct {
	watcher *Watcher
}

// View calls use with a view. What several readers read within one call is of
// one moment.
func (w *Watcher) View(use func(*View)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	use(&View{w})
	w.reconcile()
}

// Run calls execute, which reads through r's functions. What execute returned
// counts only when all that it read is complete; otherwise the error is an
// [*IncompleteError], and [Watcher.Changed] pokes when it is worth trying
// again.
//
// Functions give empty values for what is not complete yet, so that one run
// finds as much as it can of what has to be watched.
func (v *View) Run(r *Reader, execute func() error) error {
	r.needs, r.pending, r.restored, r.ran = map[need]uint64{}, nil, nil, true
	r.secrets, r.private = map[string]bool{}, false
	r.empty, r.lists = map[need]bool{}, nil
	defer func() { r.lists = nil }()
	r.alone, r.over = 0, false
	err := execute()
	if r.over {
		return &limits.Error{Limit: limits.Reads, Of: fmt.Sprintf("%d, and %d with a watch each,", maxReads, maxAlone), What: "the template reads more"}
	}
	if len(r.pending) > 0 {
		slices.SortFunc(r.pending, Dependency.compare)
		return &IncompleteError{Pending: slices.Compact(r.pending)}
	}
	return err
}

// Repeat calls execute once more after [View.Run], with what standIn gives in the
// place of each secret. Nothing is recorded: what is read now begins no watch. When
// that would be needed, there is an error.
func (v *View) Repeat(r *Reader, standIn func(secret string) string, execute func() error) error {
	r.standIn, r.missed, r.lists = standIn, false, nil
	defer func() { r.standIn, r.lists = nil, nil }()
	if err := execute(); err != nil || !r.missed {
		return err
	}
	return errors.New("with other secrets it reads what has not been listed")
}

// ReadSecret says whether the last run read a Secret, or asked for one, or read a
// variable that is secret.
func (v *View) ReadSecret(r *Reader) bool { return r.private }

// Stale says whether another run could come out differently from the last: it
// never ran, something it read has changed, or all that it was waiting for has
// been listed or refused.
func (v *View) Stale(r *Reader) bool {
	if !r.ran {
		return true
	}
	changed, settled := false, true
	for n, seen := range r.needs {
		f := v.watcher.serving(n)
		switch {
		case f != nil:
			changed = changed || f.revision(n) != seen
		case !v.watcher.settled(n):
			settled = false
		}
	}
	return changed && (settled || len(r.pending) == 0)
}

// settled says that n's first list has come or been refused.
func (w *Watcher) settled(n need) bool {
	f := w.feeds[w.planned[n]]
	return f != nil && (f.synced > 0 || f.trouble.err != nil)
}

// Dependencies are what the last run read, sorted.
func (r *Reader) Dependencies() []Dependency {
	r.watcher.mu.Lock()
	defer r.watcher.mu.Unlock()
	var all []Dependency
	for n := range r.needs {
		all = append(all, n.Dependency)
	}
	slices.SortFunc(all, Dependency.compare)
	return slices.Compact(all)
}

// Secrets are the values of the Secrets and of the secret variables that the last
// run read; they must not be shown to anyone.
func (r *Reader) Secrets() []string {
	r.watcher.mu.Lock()
	defer r.watcher.mu.Unlock()
	return slices.Sorted(maps.Keys(r.secrets))
}

// ReadSecret is [View.ReadSecret] outside of a view.
func (r *Reader) ReadSecret() bool {
	r.watcher.mu.Lock()
	defer r.watcher.mu.Unlock()
	return r.private
}

// hidden notes a secret, and gives it, or its stand-in while a run is repeated.
func (r *Reader) hidden(secret string) string {
	if r.standIn != nil {
		return r.standIn(secret)
	}
	r.secrets[secret] = true
	return secret
}

// Close ends the watches that only r needed, after the grace time.
func (r *Reader) Close() {
	r.watcher.mu.Lock()
	defer r.watcher.mu.Unlock()
	delete(r.watcher.readers, r)
	r.watcher.reconcile()
}

// feed is the watch that answers n, recorded as read; nil while there is none.
func (r *Reader) feed(n need) *feed {
	f := r.watcher.serving(n)
	if r.standIn != nil {
		r.missed = r.missed || f == nil
		return f
	}
	if !r.may(n) {
		return nil
	}
	r.private = r.private || n.Kind == kindSecret
	if f == nil {
		r.needs[n] = 0
		r.pending = append(r.pending, n.Dependency)
		return nil
	}
	r.needs[n] = f.revision(n)
	if !f.restored.IsZero() {
		if r.restored == nil {
			r.restored = map[watchKey]time.Time{}
		}
		r.restored[f.key] = f.restored
	}
	return f
}

// may says whether n may be read besides all that the run has read.
func (r *Reader) may(n need) bool {
	if _, known := r.needs[n]; known {
		return true
	}
	if !n.sharable(kinds()) {
		r.alone++
	}
	r.over = r.over || len(r.needs) >= maxReads || r.alone > maxAlone
	return !r.over
}

func (r *Reader) namespace(given []string) (string, error) {
	switch len(given) {
	case 0:
		return r.watcher.namespace, nil
	case 1:
		if given[0] == "" {
			return "", errors.New("the namespace is empty")
		}
		if !isDNSLabel(given[0]) {
			return "", fmt.Errorf("%q is no name of a namespace", given[0])
		}
		return given[0], nil
	}
	return "", fmt.Errorf("one namespace at most, not %d", len(given))
}
