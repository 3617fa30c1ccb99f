package watcher

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Files pokes when something may have changed in files, or in and below
// directories. It watches directories, since editors and the kubelet replace
// files rather than write them: a ConfigMap mount changes by its ..data link
// alone. Changes without an event are found by a slow look. The caller reads
// again, and compares.
type Files struct {
	log     *slog.Logger
	notify  *fsnotify.Watcher // nil when inotify is not to be had
	ticker  *time.Ticker      // runs where inotify does not tell all
	changed chan struct{}
	done    chan struct{}

	mu    sync.Mutex
	dirs  map[string]names // what matters in each directory that is watched, by its real path
	marks marks            // of these, for the slow look
	blind bool             // some could not be watched

	seed maphash.Seed
}

// names are the entries of a directory that matter; nil means all.
type names map[string]bool

// dataLink is what the kubelet swaps when a ConfigMap or Secret mount changes.
const dataLink = "..data"

// matter says whether an event on an entry is worth a look. What begins with a
// dot is somebody's temporary file.
func (n names) matter(entry string) bool {
	return entry == dataLink || n[entry] || (n == nil && !strings.HasPrefix(entry, "."))
}

// withoutInotify is how often files are read again where nothing tells of
// changes.
const withoutInotify = 5 * time.Second

// NewFiles watches nothing yet. Close it.
func NewFiles(log *slog.Logger) *Files {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("no inotify, looking at files every few seconds instead", "every", withoutInotify.String(), "err", err,
			"hint", "raise the sysctl fs.inotify.max_user_instances")
		notify = nil
	}
	f := startFiles(log, notify)
	if notify == nil {
		f.ticker.Reset(withoutInotify)
	}
	return f
}

// startFiles is NewFiles with what there is of inotify.
func startFiles(log *slog.Logger, notify *fsnotify.Watcher) *Files {
	f := &Files{
		log: log, notify: notify, ticker: time.NewTicker(withoutInotify), changed: make(chan struct{}, 1), done: make(chan struct{}),
		seed: maphash.MakeSeed(),
	}
	f.ticker.Stop()
	go f.forward()    // until Close
	go f.lookSlowly() // until Close
	return f
}

// Changed has an element when there is reason to look.
func (f *Files) Changed() <-chan struct{} { return f.changed }

// Watch makes paths the ones that are watched. What does not exist is watched
// for at the nearest directory that does. Call it again when directories may
// have come below them.
func (f *Files) Watch(paths []string) {
	dirs := map[string]names{}
	var failed error
	for _, p := range paths {
		if err := addDirs(dirs, p); err != nil {
			failed = err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if failed != nil {
		f.keep(dirs)
	}
	begun := false
	for dir := range dirs {
		if _, ok := f.dirs[dir]; !ok {
			begun = true
		}
		if f.notify == nil {
			continue
		}
		// Also those that are watched already: they may have been replaced.
		if err := f.notify.Add(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = fmt.Errorf("%s: %w", dir, err)
		}
	}
	for dir := range f.dirs {
		if _, ok := dirs[dir]; !ok && f.notify != nil {
			_ = f.notify.Remove(dir) // it may be gone, and its watch with it
		}
	}
	if begun {
		f.poke() // what changed before the watch began has to be seen too
	}
	f.dirs, f.marks = dirs, f.markAll(dirs, f.marks)
	if f.notify != nil {
		f.makeDo(failed)
	}
}

// keep adds the directories of before, where it is not known which ones there are.
func (f *Files) keep(dirs map[string]names) {
	for dir, entries := range f.dirs {
		if _, ok := dirs[dir]; !ok {
			dirs[dir] = entries
		}
	}
}

// makeDo looks at files now and then while some directory cannot be watched.
func (f *Files) makeDo(failed error) {
	switch {
	case failed != nil && !f.blind:
		f.log.Warn("cannot watch directory, looking at files every few seconds instead", "every", withoutInotify.String(), "err", failed,
			"hint", "raise the sysctl fs.inotify.max_user_watches if it is used up")
		f.ticker.Reset(withoutInotify)
	case failed == nil && f.blind:
		f.ticker.Stop()
	}
	f.blind = failed != nil
}

// addDirs adds the directories whose entries decide what path is. The error says
// which of them could not be listed now, for want of file descriptors for instance.
func addDirs(dirs map[string]names, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	addEntry(dirs, path)
	for p := path; p != filepath.Dir(p); p = filepath.Dir(p) {
		if _, err := os.Readlink(p); err == nil { // it may come to point elsewhere
			addEntry(dirs, p)
		}
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		addEntry(dirs, target)
	}
	var t tree
	t.add(path)
	for dir := range t.dirs {
		dirs[dir] = nil
	}
	for _, err := range t.errs {
		if !lasting(err) {
			return err
		}
	}
	return nil
}

// lasting says whether a directory cannot be listed until it changes: then an event
// says so.
func lasting(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

// A tree is what is in and below a directory, behind links too. What begins
// with a dot is left out: temporary files, and the versions of a ConfigMap
// mount, which are reached by links.
type tree struct {
	dirs  map[string]bool // by their real paths
	files []string        // as they are reached, in order
	errs  []error
}

// add adds the directory; what is not one is an error.
func (t *tree) add(dir string) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil || t.dirs[real] {
		t.failed(err)
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.failed(err)
		return
	}
	if t.dirs == nil {
		t.dirs = map[string]bool{}
	}
	t.dirs[real] = true
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			t.addEntry(filepath.Join(dir, e.Name()))
		}
	}
}

func (t *tree) addEntry(path string) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		t.add(path)
		return
	}
	t.files = append(t.files, path)
}

func (t *tree) failed(err error) {
	if err != nil {
		t.errs = append(t.errs, err)
	}
}

// addEntry watches for path in its directory, or for the first directory above
// it that is missing.
func addEntry(dirs map[string]names, path string) {
	dir, entry := filepath.Dir(path), filepath.Base(path)
	for dir != filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			break
		}
		dir, entry = filepath.Dir(dir), filepath.Base(dir)
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real // one directory has one watch, whatever its names
	}
	if all, ok := dirs[dir]; ok && all == nil {
		return
	}
	if dirs[dir] == nil {
		dirs[dir] = names{}
	}
	dirs[dir][entry] = true
}

func (f *Files) forward() {
	var events <-chan fsnotify.Event
	var errs <-chan error
	if f.notify != nil {
		events, errs = f.notify.Events, f.notify.Errors
	}
	for {
		select {
		case <-f.done:
			return
		case <-f.ticker.C:
			f.poke()
		case event, ok := <-events:
			if !ok {
				events = nil
			} else if f.matters(event.Name) {
				f.remark(event.Name)
				f.poke()
			}
		case err, ok := <-errs:
			if !ok {
				errs = nil
				continue
			}
			f.log.Debug("file events lost", "err", err) // an overflow: look at everything
			f.poke()
		}
	}
}

func (f *Files) matters(path string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, itself := f.dirs[path]; itself {
		return true // the directory was removed or changed
	}
	entries, ok := f.dirs[filepath.Dir(path)]
	return ok && entries.matter(filepath.Base(path))
}

func (f *Files) poke() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// Close ends the watching.
func (f *Files) Close() {
	close(f.done)
	f.ticker.Stop()
	if f.notify != nil {
		_ = f.notify.Close()
	}
}
