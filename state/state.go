// Package state keeps what has to outlive the process: documents in a directory
// that belongs to one process at a time.
//
// A document is JSON with a version and a checksum. It is replaced by rename, so
// that a reader finds the old one or the new one. One that is empty, cut off or
// of another version is a [DamagedError]: whoever reads it goes on as if there
// were none, and says so. So is one that another user wrote or may write to, a
// link, and anything else that is not a regular file: what kconfd reads here, it
// does as the user it runs as.
package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/kconfd/kconfd/internal/safefs"
)

// version is that of the documents' form. It changes when an older kconfd would
// misread what a newer one wrote, or the other way round.
const version = 1

// maxDocument is how many bytes a document may have. The journal of a set of
// 100,000 files has less.
const maxDocument = 64 << 20

// lockName is that of the file that says whose the directory is.
const lockName = "lock"

// A Dir is a state directory in use.
type Dir struct {
	dir  *safefs.Dir
	lock *safefs.File
}

// A BusyError is a directory that another process uses.
type BusyError struct {
	Path string
	By   string // process 7 on host web-0
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("state directory %q is in use by %s", e.Path, e.By)
}

// Open makes the directory if there is none, and takes it for this process. It
// is given back by Close, and by the kernel when the process ends. A directory of
// another user than root and kconfd's own is an error.
func Open(path string) (*Dir, error) {
	if err := safefs.MakeDirAll(path); err != nil {
		return nil, fmt.Errorf("making state directory: %w", err)
	}
	dir, err := safefs.OpenDir(path, safefs.Checked)
	if err != nil {
		return nil, fmt.Errorf("opening state directory: %w", err)
	}
	d := &Dir{dir: dir}
	if err := d.open(); err != nil {
		dir.Close()
		return nil, err
	}
	return d, nil
}

func (d *Dir) open() error {
	if uid := d.dir.UID(); uid != 0 && uid != os.Geteuid() {
		return fmt.Errorf("state directory %q belongs to uid %d: it must be root's or that of the user kconfd runs as", d.dir.Path(""), uid)
	}
	var err error
	if d.lock, err = d.openLock(); err != nil {
		return fmt.Errorf("locking state directory: %w", err)
	}
	if err := d.take(); err != nil {
		d.lock.Close()
		return err
	}
	d.sweep()
	return nil
}

// sweep removes what a process left that was killed while it replaced a file.
// Nobody else is at work on one. What cannot be removed is small and does no harm.
func (d *Dir) sweep() {
	names, err := d.dir.Names()
	if err != nil {
		return
	}
	for _, name := range names {
		if safefs.IsTemporary(name) {
			_ = d.dir.Remove(name)
		}
	}
}

// openLock opens the lock file. What another user put in its place is removed.
func (d *Dir) openLock() (*safefs.File, error) {
	if stat, err := d.dir.Lstat(lockName); err == nil && !(stat.Mode.IsRegular() && stat.UID == os.Geteuid() && stat.Names == 1) {
		if err := d.dir.Remove(lockName); err != nil {
			return nil, err
		}
	}
	lock, err := d.dir.Create(lockName)
	if errors.Is(err, fs.ErrExist) {
		return d.dir.OpenWrite(lockName)
	}
	return lock, err
}

// Shared says whether other users may write to the directory. What they write
// does not count, but they can remove what does.
func (d *Dir) Shared() bool { return d.dir.Shared }

func (d *Dir) take() error {
	err := syscall.Flock(int(d.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		by, err := d.lock.ReadAll(1 << 10)
		if err != nil || len(by) == 0 {
			by = []byte("another process")
		}
		return &BusyError{d.dir.Path(""), strings.TrimSpace(string(by))}
	}
	if err != nil {
		return fmt.Errorf("locking state directory %q: %w", d.dir.Path(""), err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	if err := d.lock.Truncate(0); err != nil {
		return fmt.Errorf("locking state directory: %w", err)
	}
	// A full disk takes no name either. The lock holds all the same, and what
	// is to be kept will say that there is no room.
	_, _ = d.lock.WriteAt(fmt.Appendf(nil, "process %d on host %s\n", os.Getpid(), host), 0)
	return nil
}

// Close gives the directory back.
func (d *Dir) Close() error {
	d.dir.Close()
	return d.lock.Close()
}

// File is the path of a file in the directory.
func (d *Dir) File(name string) string { return d.dir.RealPath(name) }

// Documents are the paths of the documents in the directory, sorted.
func (d *Dir) Documents() ([]string, error) {
	names, err := d.dir.Names()
	if err != nil {
		return nil, fmt.Errorf("reading state: %w", err)
	}
	var paths []string
	for _, name := range slices.Sorted(slices.Values(names)) {
		if filepath.Ext(name) == ".json" && !strings.HasPrefix(name, ".") {
			paths = append(paths, d.File(name))
		}
	}
	return paths, nil
}

// A DamagedError is a document that cannot be used.
type DamagedError struct {
	Path string
	Err  error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%q is of no use: %v", e.Path, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// An envelope is a document as it is on disk.
type envelope struct {
	Version  int             `json:"version"`
	Sum      string          `json:"sha256"` // of Document, compact
	Document json.RawMessage `json:"document"`
}

// Load reads a document, and says whether there is one.
func Load(path string, into any) (bool, error) {
	text, err := Read(path, maxDocument)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		if err = decode(text, into); err != nil {
			err = &DamagedError{path, err}
		}
	}
	return err == nil, err
}

// Read reads a file that [Write] wrote, of at most limit bytes. The error is
// fs.ErrNotExist when there is none, and a [*DamagedError] when it is not one
// that only kconfd's own user can have written.
func Read(path string, limit int64) ([]byte, error) {
	dir, name, err := safefs.LocateEntry(path, safefs.Checked)
	if err != nil {
		return nil, fmt.Errorf("reading state: %w", err)
	}
	defer dir.Close()
	f, err := dir.Open(name)
	if errors.As(err, new(*safefs.TypeError)) {
		return nil, &DamagedError{path, err}
	}
	if err != nil {
		return nil, fmt.Errorf("reading state: %w", err)
	}
	defer f.Close()
	stat, err := f.Describe()
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading state: %w", err)
	case stat.UID != os.Geteuid():
		return nil, &DamagedError{path, fmt.Errorf("it belongs to uid %d, and kconfd runs as uid %d", stat.UID, os.Geteuid())}
	case stat.Mode.Perm()&0o022 != 0:
		return nil, &DamagedError{path, fmt.Errorf("other users may write to it: its mode is %#o", stat.Mode.Perm())}
	}
	text, err := f.ReadAll(limit)
	switch {
	case errors.As(err, new(*safefs.SizeError)):
		return nil, &DamagedError{path, err}
	case err != nil:
		return nil, fmt.Errorf("reading state: %w", err)
	}
	return text, nil
}

func decode(text []byte, into any) error {
	if len(text) == 0 {
		return errors.New("it is empty")
	}
	var e envelope
	if err := json.Unmarshal(text, &e); err != nil {
		return err
	}
	if e.Version != version {
		return fmt.Errorf("it is of version %d, and this kconfd reads %d", e.Version, version)
	}
	if e.Sum != sum(e.Document) {
		return errors.New("its checksum is wrong")
	}
	return json.Unmarshal(e.Document, into)
}

// Save replaces a document, which only its owner may read. When it returns, the
// disk has it.
func Save(path string, document any) error {
	text, err := json.Marshal(document)
	if err == nil {
		text, err = json.Marshal(envelope{version, sum(text), text})
	}
	if err != nil {
		return fmt.Errorf("keeping state: %w", err)
	}
	return Write(path, text)
}

// Write replaces a file that has a form of its own, which only its owner may
// read. When it returns, the disk has it.
func Write(path string, text []byte) error {
	dir, name, err := safefs.LocateEntry(path, safefs.Checked)
	if err == nil {
		defer dir.Close()
		err = dir.Replace(name, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keeping state: %w", err)
	}
	return nil
}

// Remove removes a document, if there is one. A directory in its place is none.
func Remove(path string) error {
	dir, name, err := safefs.LocateEntry(path, safefs.Checked)
	if err == nil {
		defer dir.Close()
		err = dir.Remove(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.EISDIR) {
		return fmt.Errorf("keeping state: %w", err)
	}
	return nil
}

func sum(document []byte) string {
	var compact bytes.Buffer
	if err := json.Compact(&compact, document); err != nil {
		return ""
	}
	s := sha256.Sum256(compact.Bytes())
	return hex.EncodeToString(s[:])
}
