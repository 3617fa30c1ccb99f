package watcher

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Files pokes when something may have changed in files, or in and below
// directories. It watches directories, since editors and the kubelet replace
// files rather than write them: a ConfigMap mount changes by its ..data link
// alone. Whoever is poked reads again and compares.
type Files struct {
	log     *slog.Logger
	notify  *fsnotify.Watcher // nil when inotify is not to be had
	ticker  *time.Ticker      // instead of it
	changed chan struct{}
	done    chan struct{}

	mu   sync.Mutex
	dirs map[string]names // what matters in each directory that is watched
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
	f := &Files{log: log, changed: make(chan struct{}, 1), done: make(chan struct{})}
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("no inotify, looking at files every few seconds instead", "every", withoutInotify.String(), "err", err,
			"hint", "raise the sysctl fs.inotify.max_user_instances")
		f.ticker = time.NewTicker(withoutInotify)
		go f.tick() // until Close
		return f
	}
	f.notify = notify
	go f.forward() // until Close
	return f
}

// Changed has an element when there is reason to look.
func (f *Files) Changed() <-chan struct{} { return f.changed }

// Watch makes paths the ones that are watched. What does not exist is watched
// for at the nearest directory that does. Call it again when directories may
// have come below them.
func (f *Files) Watch(paths []string) {
	if f.notify == nil {
		return
	}
	dirs := map[string]names{}
	for _, p := range paths {
		addDirs(dirs, p)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	begun := false
	for dir := range dirs {
		if _, ok := f.dirs[dir]; !ok {
			begun = true
		}
		// Also those that are watched already: they may have been replaced.
		if err := f.notify.Add(dir); err != nil {
			f.log.Warn("cannot watch directory", "dir", dir, "err", err,
				"hint", "raise the sysctl fs.inotify.max_user_watches if it is used up")
		}
	}
	for dir := range f.dirs {
		if _, ok := dirs[dir]; !ok {
			_ = f.notify.Remove(dir) // it may be gone, and its watch with it
		}
	}
	if begun {
		f.poke() // what changed before the watch began has to be seen too
	}
	f.dirs = dirs
}

// addDirs adds the directories whose entries decide what path is.
func addDirs(dirs map[string]names, path string) {
	path, err := filepath.Abs(path)
	if err != nil {
		return
	}
	addEntry(dirs, path)
	if target, err := filepath.EvalSymlinks(path); err == nil && target != path {
		addEntry(dirs, target)
		path = target
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return
	}
	_ = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // unreadable or a file: its directory is watched
		}
		if p != path && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		dirs[p] = nil
		return nil
	})
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
	if all, ok := dirs[dir]; ok && all == nil {
		return
	}
	if dirs[dir] == nil {
		dirs[dir] = names{}
	}
	dirs[dir][entry] = true
}

func (f *Files) forward() {
	for {
		select {
		case <-f.done:
			return
		case event, ok := <-f.notify.Events:
			if !ok {
				return
			}
			if f.matters(event.Name) {
				f.poke()
			}
		case err, ok := <-f.notify.Errors:
			if !ok {
				return
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

func (f *Files) tick() {
	for {
		select {
		case <-f.done:
			return
		case <-f.ticker.C:
			f.poke()
		}
	}
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
	if f.notify != nil {
		_ = f.notify.Close()
		return
	}
	f.ticker.Stop()
}
