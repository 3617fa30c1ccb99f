package steady

import (
	"fmt"
	"hash/maphash"
	"path/filepath"
	"time"

	"github.com/kconfd/kconfd/internal/safefs"
)

// MinQuiet is the shortest quiet time of a file. Objects of an API server are whole at any moment,
// and a quiet time of 0 suits them; files are not.
const MinQuiet = 50 * time.Millisecond

// maxFirstQuiet is the longest quiet time while nothing has been read yet: a start waits for it.
const maxFirstQuiet = 5 * time.Second

// Files are the files and directories that one reading reads, and how long each has been
// unchanged. One goroutine uses them.
type Files struct {
	quiet   time.Duration
	most    time.Duration // the longest quiet time; 0: there is none
	entries map[string]*entry
	reading uint64
	seed    maphash.Seed
	now     func() time.Time
	local   func(path string) trust // how far the times of a file system count
}

// An entry is a file or a directory.
type entry struct {
	look    func() state
	state   state
	since   time.Time // of the state, or from when on it counts as old
	content uint64    // a hash, of what was read last, in the state read
	read    state
	reading uint64 // the last one that it was part of

	quiet   time.Duration // its own; 0: that of Files
	quietIn uint64        // the reading that has set it
}

// New returns Files with a quiet time, which is [MinQuiet] at least.
func New(quiet time.Duration) *Files {
	return &Files{
		quiet: max(quiet, MinQuiet), entries: map[string]*entry{}, seed: maphash.MakeSeed(),
		now: time.Now, local: trustOf,
	}
}

// Quiet is the quiet time of files without one of their own.
func (f *Files) Quiet() time.Duration { return f.quiet }

// A BusyError is a file that did not stay unchanged for its quiet time.
type BusyError struct {
	Path string
	For  time.Duration // how long it was waited for
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("%q is still being written after %s", e.Path, e.For)
}

// Await reads by calling read, and again while what it reads changes. It returns the error of
// the last call, or a [*BusyError] when the limit does not suffice. What is older than the
// quiet time costs no wait. The quiet time is at most 5 seconds, and half of the limit.
func (f *Files) Await(limit time.Duration, read func() error) error {
	f.most = max(MinQuiet, min(maxFirstQuiet, limit/2))
	defer func() { f.most = 0 }()
	began := f.now()
	for {
		wait, err := f.Try(read)
		if wait == 0 {
			return err
		}
		if f.now().Add(wait).After(began.Add(limit)) {
			path, _ := f.youngest()
			return &BusyError{path, limit}
		}
		time.Sleep(wait)
	}
}

// Limit is the longest quiet time from now on, [MinQuiet] at least; 0: there is none.
func (f *Files) Limit(quiet time.Duration) {
	if f.most = quiet; quiet > 0 {
		f.most = max(quiet, MinQuiet)
	}
}

// Try calls read, which reads by the methods of f. It returns the error of read, or how long
// to wait before the next try: something has changed within its quiet time, and what was
// read must not be used.
func (f *Files) Try(read func() error) (wait time.Duration, err error) {
	if wait := f.Look(); wait > 0 {
		return wait, nil
	}
	f.reading++
	err = read()
	for path, e := range f.entries {
		if e.reading != f.reading {
			delete(f.entries, path)
		}
	}
	if wait := f.Look(); wait > 0 {
		return wait, nil
	}
	return 0, err
}

// Look notes what of the last reading has changed since. It returns how long nothing may
// change from now on until all has been unchanged for its quiet time.
func (f *Files) Look() (wait time.Duration) {
	for _, e := range f.entries {
		if s := e.look(); s != e.state {
			e.state, e.since = s, f.now()
		}
	}
	_, due := f.youngest()
	return max(0, due.Sub(f.now()))
}

// youngest is the entry that is due last, and when that is.
func (f *Files) youngest() (path string, due time.Time) {
	for p, e := range f.entries {
		if at := e.since.Add(f.quietOf(e)); at.After(due) {
			path, due = p, at
		}
	}
	return path, due
}

// Youngest is the file or directory for which a reading has to wait longest.
func (f *Files) Youngest() string {
	path, _ := f.youngest()
	return path
}

// LastChange is when the last change was made to what was read, or noticed.
func (f *Files) LastChange() (at time.Time) {
	for _, e := range f.entries {
		if e.since.After(at) {
			at = e.since
		}
	}
	return at
}

func (f *Files) quietOf(e *entry) time.Duration {
	quiet := f.quiet
	if e.quiet > 0 {
		quiet = e.quiet
	}
	if f.most > 0 {
		quiet = min(quiet, f.most)
	}
	return quiet
}

// Hold gives files a quiet time of their own. It counts until a later reading gives them another.
// The longest that a reading gives a file counts.
func (f *Files) Hold(quiet time.Duration, paths ...string) {
	quiet = max(quiet, MinQuiet)
	for _, path := range paths {
		e := f.entries[path]
		if e == nil {
			continue
		}
		if e.quietIn == f.reading {
			quiet = max(quiet, e.quiet)
		}
		e.quiet, e.quietIn = quiet, f.reading
	}
}

// ReadFile is [safefs.ReadFile].
func (f *Files) ReadFile(path string, limit int64) ([]byte, error) {
	look := func() state { return f.stateOf(path) }
	before := look()
	content, err := safefs.ReadFile(path, limit)
	e, known := f.note(path, before, look, func() time.Time { return f.born(path, before) })
	hash := maphash.Bytes(f.seed, content)
	if known && hash != e.content && before == e.read && f.local(path) != unsteady {
		e.since = f.now() // a change that its times do not show
	}
	e.content, e.read = hash, before
	return content, err
}

// List returns what list returns: the names of entries of a directory that count, for which
// kind is a word.
func (f *Files) List(dir, kind string, list func() ([]string, error)) ([]string, error) {
	names, err := list()
	look := func() state { return f.stateOfNames(list()) }
	s := f.stateOfNames(names, err)
	f.note(filepath.Join(dir, kind), s, look, func() time.Time { return f.bornDir(dir, err) })
	return names, err
}

// note notes what a reading has seen. It returns whether the entry was known before.
func (f *Files) note(key string, s state, look func() state, born func() time.Time) (e *entry, known bool) {
	e, known = f.entries[key]
	switch {
	case !known:
		e = &entry{since: born()}
		f.entries[key] = e
	case e.state != s:
		e.since = f.now()
	}
	e.state, e.look, e.reading = s, look, f.reading
	return e, known
}
