package watcher

import (
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// trouble is what keeps a feed from listing or watching.
type trouble struct {
	err      error
	since    time.Time
	warned   time.Time
	watching bool // it is the watch that fails: a list does not end it
}

const (
	// warnAfter spares the log what passes by itself.
	warnAfter = 3 * time.Second
	// warnAgain is how often a lasting trouble is repeated.
	warnAgain = time.Minute
	// silence is how long a healthy watch may be quiet. Servers send a bookmark
	// about once a minute, and end a watch after ten.
	silence = 12 * time.Minute
)

// ErrNoNamespace is a namespace that does not exist.
var ErrNoNamespace = errors.New("no such namespace")

// failed records the outcome of one attempt to list; nil is one that the
// server accepted, which is not yet data.
func (f *feed) failed(err error) { f.fail(err, false) }

// watchFailed is the same for one to watch what has been listed.
func (f *feed) watchFailed(err error) { f.fail(err, true) }

func (f *feed) fail(err error, watching bool) {
	if err == nil || f.ctx.Err() != nil {
		return
	}
	f.watcher.mu.Lock()
	defer f.watcher.mu.Unlock()
	now := time.Now()
	if f.trouble.err == nil {
		f.trouble.since = now
		time.AfterFunc(flap, f.doubt) // ends by itself
	}
	f.trouble.err = err
	f.trouble.watching = f.trouble.watching || watching
	if now.Sub(f.trouble.since) >= warnAfter && now.Sub(f.trouble.warned) >= warnAgain {
		f.trouble.warned = now
		f.watcher.log.Warn("watch failing", "watch", f.key.dependency().String(), "err", f.explain(err))
	}
	if f.synced == 0 {
		// Somebody may be waiting for all that is underway to settle.
		f.watcher.poke()
	}
}

// watching records that the server has accepted a watch. One that lists first
// has still to do so.
func (f *feed) watching(lists bool) {
	f.watcher.mu.Lock()
	defer f.watcher.mu.Unlock()
	f.trouble.watching = false
	if !lists {
		f.worked()
	}
}

// listed records a list. The mutex is held.
func (f *feed) listed() {
	if f.trouble.watching {
		f.progress = time.Now()
		return
	}
	f.worked()
}

// worked records that all is well. The mutex is held.
func (f *feed) worked() {
	now := time.Now()
	if f.synced > 0 && f.outOfDate(now) != nil {
		f.watcher.poke()
	}
	f.progress = now
	if f.quiet != nil {
		f.quiet.Reset(silence)
	}
	if !f.trouble.warned.IsZero() {
		f.watcher.log.Info("watch working again", "watch", f.key.dependency().String(),
			"after", f.progress.Sub(f.trouble.since).Round(time.Millisecond).String())
	}
	f.trouble = trouble{}
}

// explain says what a person can do something about.
func (f *feed) explain(err error) error {
	if apierrors.IsForbidden(err) {
		return &DeniedError{Dependency: f.key.dependency(), cause: err}
	}
	return fmt.Errorf("reading %s: %w", f.key.dependency(), err)
}

// A DeniedError is a list or watch that the server's authorisation refuses.
type DeniedError struct {
	Dependency Dependency
	cause      error
}

// Error has the server's own words, which name the user, the verb, the
// resource and the namespace.
func (e *DeniedError) Error() string {
	return fmt.Sprintf("reading %s: denied: %v", e.Dependency, e.cause)
}

func (e *DeniedError) Unwrap() error { return e.cause }

// Problems are the errors of watches that do not work at the moment, in the
// order of their dependencies.
func (w *Watcher) Problems() []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var problems []error
	for _, f := range w.sorted() {
		if f.trouble.err != nil {
			problems = append(problems, f.explain(f.trouble.err))
		}
	}
	return problems
}

// A WatchStatus is how one watch fares.
type WatchStatus struct {
	Watch    Dependency
	Listed   bool      // a complete list has been had
	Objects  int       // held now
	Progress time.Time // last list, watch, event or bookmark
	Err      error     // why it does not work at the moment, or nil
}

// Healthy says that the watch has been listed, works, and has not been silent
// for longer than a living one is.
func (s WatchStatus) Healthy(now time.Time) bool {
	return s.Listed && s.Err == nil && now.Sub(s.Progress) < silence
}

// Status is that of every watch, sorted.
func (w *Watcher) Status() []WatchStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []WatchStatus
	for _, f := range w.sorted() {
		s := WatchStatus{Watch: f.key.dependency(), Listed: f.synced > 0, Objects: len(f.records), Progress: f.progress}
		if f.trouble.err != nil {
			s.Err = f.explain(f.trouble.err)
		}
		all = append(all, s)
	}
	return all
}

func (w *Watcher) sorted() []*feed {
	feeds := make([]*feed, 0, len(w.feeds))
	for _, f := range w.feeds {
		feeds = append(feeds, f)
	}
	slices.SortFunc(feeds, func(a, b *feed) int { return a.key.dependency().compare(b.key.dependency()) })
	return feeds
}
