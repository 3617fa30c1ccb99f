// Package state keeps what has to outlive the process: documents in a directory
// that belongs to one process at a time.
//
// A document is JSON with a version and a checksum. It is replaced by rename, so
// that a reader finds the old one or the new one. One that is empty, cut off or
// of another version is a [DamagedError]: whoever reads it goes on as if there
// were none, and says so.
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
	"strings"
	"syscall"

	"github.com/google/renameio/v2"
)

// version is that of the documents' form. It changes when an older kconfd would
// misread what a newer one wrote, or the other way round.
const version = 1

// A Dir is a state directory in use.
type Dir struct {
	path string
	lock *os.File
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
// is given back by Close, and by the kernel when the process ends.
func Open(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("making state directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking state directory: %w", err)
	}
	d := &Dir{path, lock}
	if err := d.take(); err != nil {
		lock.Close()
		return nil, err
	}
	return d, nil
}

func (d *Dir) take() error {
	err := syscall.Flock(int(d.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		by, err := os.ReadFile(d.lock.Name())
		if err != nil || len(by) == 0 {
			by = []byte("another process")
		}
		return &BusyError{d.path, strings.TrimSpace(string(by))}
	}
	if err != nil {
		return fmt.Errorf("locking state directory %q: %w", d.path, err)
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
func (d *Dir) Close() error { return d.lock.Close() }

// File is the path of a file in the directory.
func (d *Dir) File(name string) string { return filepath.Join(d.path, name) }

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
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading state: %w", err)
	}
	if err := decode(text, into); err != nil {
		return false, &DamagedError{path, err}
	}
	return true, nil
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
	if err := renameio.WriteFile(path, text, 0o600, renameio.WithTempDir(filepath.Dir(path)), renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("keeping state: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// Remove removes a document, if there is one.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
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

func syncDir(path string) error {
	dir, err := os.Open(path)
	if errors.Is(err, fs.ErrPermission) { // one may write into it, and not list it
		return nil
	}
	if err != nil {
		return fmt.Errorf("keeping state: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("keeping state: %w", err)
	}
	return nil
}
