package watcher

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A source is where objects come from.
type source interface {
	// follow keeps the feed's objects up to date until ctx ends.
	follow(ctx context.Context, f *feed)
	// namespaceMissing says that the namespace is known not to exist.
	namespaceMissing(ctx context.Context, namespace string) (bool, error)
	// resource is the plural name that rules of a Role use, and whether its
	// objects have a namespace.
	resource(ctx context.Context, key watchKey) (name string, namespaced bool, err error)
	// run keeps the source itself going until ctx ends.
	run(ctx context.Context) error
}

// A Watcher watches what its readers read. Its zero value is of no use: see
// [NewCluster] and [NewManifests].
type Watcher struct {
	log       *slog.Logger
	namespace string
	source    source
	grace     time.Duration // for which a watch outlives its last reader
	pokes     chan struct{}

	mu       sync.Mutex
	ctx      context.Context // of Run; nil before
	running  sync.WaitGroup
	revision uint64
	readers  map[*Reader]bool
	feeds    map[watchKey]*feed
	restored map[watchKey]*feed // from a snapshot, and without a source; nil when all that is needed is listed
	planned  map[need]watchKey
	invalid  uint64 // values that templates do not see
	warnings pace   // of these
}

// defaultGrace keeps a watch for a branch that flips back and forth.
const defaultGrace = time.Minute

func newWatcher(src source, namespace string, log *slog.Logger) *Watcher {
	return &Watcher{
		log:       log,
		namespace: namespace,
		source:    src,
		grace:     defaultGrace,
		pokes:     make(chan struct{}, 1),
		readers:   map[*Reader]bool{},
		feeds:     map[watchKey]*feed{},
		planned:   map[need]watchKey{},
	}
}

// Namespace is the one that names are looked up in when none is given.
func (w *Watcher) Namespace() string { return w.namespace }

// Changed has an element whenever something that a reader has read is
// different, or complete for the first time, or whether it is up to date may be
// different ([Reader.OutOfDate]).
func (w *Watcher) Changed() <-chan struct{} { return w.pokes }

// Run keeps the watches going until ctx ends. Watches that readers asked for
// before are started now.
func (w *Watcher) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	w.mu.Lock()
	w.ctx = ctx
	for _, f := range w.feeds {
		w.start(f)
	}
	w.mu.Unlock()
	err := w.source.run(ctx)
	w.mu.Lock()
	cancel() // from here on, nothing is started
	w.mu.Unlock()
	w.running.Wait()
	return err
}

// NewReader returns a reader whose names without a namespace are looked up in
// the watcher's own. Close it when its template is gone.
func (w *Watcher) NewReader() *Reader {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &Reader{watcher: w}
	w.readers[r] = true
	return r
}

// reconcile makes the watches those that the readers need. The mutex is held.
//
// A watch that takes another's place (two services where there was one) does
// so once it has been listed; until then the old one answers.
func (w *Watcher) reconcile() {
	w.planned = plan(w.needs())

	wanted := map[watchKey]bool{}
	listed := len(w.planned) > 0
	for n, key := range w.planned {
		wanted[key] = true
		if w.feeds[key] == nil {
			w.add(key)
		}
		f := w.serving(n)
		if f == nil || f != w.feeds[f.key] {
			listed = false
			continue
		}
		wanted[f.key] = true
	}
	for key, f := range w.feeds {
		w.mark(f, wanted[key])
	}
	if listed {
		w.restored = nil // the source is back
	}
}

// serving is the watch that answers n now, or nil while there is none. What a
// source has listed goes before what has been restored.
func (w *Watcher) serving(n need) *feed {
	if f := w.among(w.feeds, n); f != nil {
		return f
	}
	return w.among(w.restored, n)
}

func (w *Watcher) among(feeds map[watchKey]*feed, n need) *feed {
	if len(feeds) == 0 {
		return nil
	}
	for _, key := range []watchKey{w.planned[n], n.narrow(), n.wide()} {
		if f := feeds[key]; f != nil && f.synced > 0 && key.answers(n) {
			return f
		}
	}
	return nil
}

// answers says whether a complete list of k holds all that n reads, in the form that it
// is read in.
func (k watchKey) answers(n need) bool {
	return k == n.narrow() || (k == n.wide() && n.Name != "" && (n.untyped || n.Kind != kindConfigMap && n.Kind != kindSecret))
}

func (w *Watcher) add(key watchKey) {
	f := newFeed(key)
	f.watcher, f.progress = w, time.Now()
	f.cut = key.view()
	w.feeds[key] = f
	if w.ctx != nil {
		w.start(f)
	}
}

// start runs f until it is stopped or the watcher's context ends.
func (w *Watcher) start(f *feed) {
	if w.ctx.Err() != nil {
		return
	}
	f.ctx, f.stop = context.WithCancel(w.ctx)
	f.quiet = time.AfterFunc(silence, f.doubt) // ends by itself
	w.log.Debug("watch started", "watch", f.key.dependency().String())
	w.running.Go(func() { w.source.follow(f.ctx, f) })
}

// mark keeps f, or stops it once nobody has needed it for the grace time.
func (w *Watcher) mark(f *feed, wanted bool) {
	switch {
	case wanted:
		f.unused = time.Time{}
	case f.unused.IsZero():
		f.unused = time.Now()
		time.AfterFunc(w.grace, w.sweep) // ends by itself
	case time.Since(f.unused) >= w.grace:
		w.log.Debug("watch stopped", "watch", f.key.dependency().String())
		if f.stop != nil {
			f.stop()
			f.quiet.Stop()
		}
		delete(w.feeds, f.key)
	}
}

func (w *Watcher) sweep() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reconcile()
}

func (w *Watcher) nextRevision() uint64 {
	w.revision++
	return w.revision
}

func (w *Watcher) poke() {
	select {
	case w.pokes <- struct{}{}:
	default: // one is waiting already, and stands for this one too
	}
}

// needs are what the readers read when they last ran. The mutex is held.
func (w *Watcher) needs() map[need]bool {
	needs := map[need]bool{}
	for r := range w.readers {
		for n := range r.needs {
			needs[n] = true
		}
	}
	return needs
}
