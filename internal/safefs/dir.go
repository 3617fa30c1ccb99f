package safefs

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A Dir is an opened directory. Its methods take the name of an entry, and never
// follow a link that the entry may be. A nil Dir can be closed.
type Dir struct {
	// Shared says that users other than root and kconfd's own may write to it.
	Shared bool

	fd   int    // O_PATH
	path string // absolute, without links
	said string // the same, as it is to be shown
	stat unix.Stat_t
}

func newDir(fd int, path string) (*Dir, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		unix.Close(fd)
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return &Dir{Shared: !own(stat.Uid) || stat.Mode&0o022 != 0, fd: fd, path: path, said: path, stat: stat}, nil
}

// ofOther says whether the directory belongs to another user than root and
// kconfd's own.
func (d *Dir) ofOther() bool { return !own(d.stat.Uid) }

// UID is the directory's owner.
func (d *Dir) UID() int { return int(d.stat.Uid) }

// NamesAreSafe says whether only its owner, root and an entry's own owner can give
// the entry's name to something else.
func (d *Dir) NamesAreSafe() bool {
	return d.stat.Mode&0o022 == 0 || d.stat.Mode&unix.S_ISVTX != 0
}

// Path is the path of an entry, for messages and commands. Where no link was
// followed, it begins as the path did by which the directory was opened.
func (d *Dir) Path(name string) string { return filepath.Join(d.said, name) }

// RealPath is the path of an entry, absolute and without links, as it was when
// the directory was opened.
func (d *Dir) RealPath(name string) string { return filepath.Join(d.path, name) }

// Same says whether both are one directory.
func (d *Dir) Same(other *Dir) bool {
	return d.stat.Dev == other.stat.Dev && d.stat.Ino == other.stat.Ino
}

// Close closes the directory.
func (d *Dir) Close() {
	if d != nil {
		unix.Close(d.fd)
	}
}

// Lstat describes an entry. The error is fs.ErrNotExist when there is none.
func (d *Dir) Lstat(name string) (Stat, error) {
	fd, err := openat(d.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return Stat{}, d.fail("lstat", name, err)
	}
	f := &File{os.NewFile(uintptr(fd), d.Path(name))}
	defer f.Close()
	return f.Describe()
}

// Open opens a regular file for reading. Anything else is a [*TypeError].
func (d *Dir) Open(name string) (*File, error) {
	return open(d.fd, name, d.Path(name), unix.O_RDONLY|unix.O_NOFOLLOW)
}

// OpenWrite opens a regular file for reading and writing, under the condition of
// [Dir.OpenChange].
func (d *Dir) OpenWrite(name string) (*File, error) { return d.openAlone(name, unix.O_RDWR) }

// OpenChange opens a regular file to change its owner or mode. In a shared
// directory it must have no second name: another user may have linked it there.
func (d *Dir) OpenChange(name string) (*File, error) { return d.openAlone(name, unix.O_RDONLY) }

func (d *Dir) openAlone(name string, flags int) (*File, error) {
	f, err := open(d.fd, name, d.Path(name), flags|unix.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	stat, err := f.Describe()
	if err == nil && d.Shared && stat.Names > 1 {
		err = &PathError{Path: d.Path(name), At: d.Path(name), Why: "it has a second name, in a directory that other users may write to"}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Create creates a file, readable and writable for its owner only. The error is
// fs.ErrExist when the name is taken, by whatever it is.
func (d *Dir) Create(name string) (*File, error) {
	fd, err := openat(d.fd, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	return &File{os.NewFile(uintptr(fd), d.Path(name))}, nil
}

// CreateTemp is Create with a name that is free: prefix, 19 digits, suffix.
func (d *Dir) CreateTemp(prefix, suffix string) (f *File, name string, err error) {
	err = unused(prefix, suffix, func(free string) error {
		name = free
		f, err = d.Create(free)
		return err
	})
	return f, name, err
}

// LinkTemp gives an entry a second name that is free: prefix, 19 digits, suffix.
func (d *Dir) LinkTemp(name, prefix, suffix string) (second string, err error) {
	err = unused(prefix, suffix, func(free string) error {
		second = free
		return d.fail("link", name, unix.Linkat(d.fd, name, d.fd, free, 0))
	})
	return second, err
}

// unused calls do with names until one is free.
func unused(prefix, suffix string, do func(name string) error) (err error) {
	for range 100 {
		name := fmt.Sprintf("%s%019d%s", prefix, rand.Int64(), suffix)
		if err = do(name); !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return err
}

// Rename gives an entry another name in the directory, in place of what has it.
func (d *Dir) Rename(from, to string) error {
	if err := unix.Renameat(d.fd, from, d.fd, to); err != nil {
		return &os.LinkError{Op: "rename", Old: d.Path(from), New: d.Path(to), Err: err}
	}
	return nil
}

// Replace replaces a file, or what else has the name and is no directory, by one
// of kconfd's user with that mode. When it returns, the disk has it.
func (d *Dir) Replace(name string, content []byte, mode fs.FileMode) error {
	f, temporary, err := d.CreateTemp("."+name, "")
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(content)
	if err == nil {
		var now fs.FileMode
		if now, err = f.SetMode(mode); now&^mode == 0 && Refused(err) {
			err = nil // a volume without modes, where it is as closed as it should be
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = d.Rename(temporary, name)
	}
	if err != nil {
		_ = d.Remove(temporary) // a dot file, and the first error counts
		return err
	}
	return d.Sync()
}

// IsTemporary says whether a name is one that [Dir.Replace] gives to what it has
// not finished: a dot, the name of the file, and 19 digits.
func IsTemporary(name string) bool {
	of, dot := strings.CutPrefix(name, ".")
	digits := len(of) - len(strings.TrimRight(of, "0123456789"))
	return dot && digits >= 19 && digits < len(of)
}

// Remove removes an entry that is no directory.
func (d *Dir) Remove(name string) error {
	return d.fail("remove", name, unix.Unlinkat(d.fd, name, 0))
}

// Names are the names of all entries, in no order.
func (d *Dir) Names() ([]string, error) {
	f, err := d.reopen()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// Sync has the disk know of the directory's entries. A directory that may not
// be read, and file systems that cannot do it, are no error.
func (d *Dir) Sync() error {
	f, err := d.reopen()
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("syncing %q: %w", d.said, err)
	}
	return nil
}

func (d *Dir) reopen() (*os.File, error) {
	fd, err := openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, d.fail("open", ".", err)
	}
	return os.NewFile(uintptr(fd), d.said), nil
}

// MakeDir makes a directory for its owner only. The error is fs.ErrExist when
// the name is taken.
func (d *Dir) MakeDir(name string) error {
	return d.fail("mkdir", name, unix.Mkdirat(d.fd, name, 0o700))
}

func (d *Dir) fail(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: d.Path(name), Err: err}
}

// MakeDirAll makes a directory, and those above it that are missing, for their
// owner only.
func MakeDirAll(path string) error {
	dir, name, err := Locate(path, Checked)
	if errors.Is(err, fs.ErrNotExist) {
		if err := MakeDirAll(filepath.Dir(filepath.Clean(path))); err != nil {
			return err
		}
		dir, name, err = Locate(path, Checked)
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.MakeDir(name); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
