package safefs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A PathError is a path that another user could lead elsewhere, and that is
// therefore not followed.
type PathError struct {
	Path string // as it was asked for
	At   string // the link or directory that is not followed
	Why  string
}

func (e *PathError) Error() string {
	return fmt.Sprintf("%q is not followed: %s", e.At, e.Why)
}

// Trust is which links on a path are followed.
type Trust int

const (
	// Checked follows the links of users that may be trusted: see the package.
	// Where kconfd is not root, these are all.
	Checked Trust = iota
	// Trusted follows every link, as the kernel would.
	Trusted
	// Fixed follows none, for a path that had none when it was noted.
	Fixed
)

const (
	// maxLinks is how many links Linux follows.
	maxLinks = 40
	// nobody stands for the user that a walk is confined to, when it is not.
	unconfined = -1
)

// Locate walks to the file that path names, and follows links, the last one
// included. The file itself need not exist; its directory must. Close the
// directory after use.
func Locate(path string, trust Trust) (dir *Dir, name string, err error) {
	return walkTo(path, walk{trust: trust, followLast: true})
}

// LocateEntry is Locate without following a link that the path's last component
// is.
func LocateEntry(path string, trust Trust) (dir *Dir, name string, err error) {
	return walkTo(path, walk{trust: trust})
}

// OpenDir opens a directory. Links are followed as Locate does it.
func OpenDir(path string, trust Trust) (*Dir, error) {
	dir, _, err := walkTo(path, walk{trust: trust, followLast: true, intoLast: true})
	return dir, err
}

func walkTo(path string, w walk) (*Dir, string, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, "", err
	}
	w.path, w.rest, w.confined = path, components(absolute), unconfined
	w.checked = w.trust != Trusted && os.Geteuid() == 0
	said := filepath.Dir(path)
	if w.intoLast {
		said = path
		w.rest = append(w.rest, ".")
	}
	if err := w.toRoot(); err != nil {
		return nil, "", err
	}
	name, err := w.run()
	if err != nil {
		w.at.Close()
		return nil, "", err
	}
	if w.links == 0 { // then errors and commands have the path as it was written
		w.at.said = said
	}
	return w.at, name, nil
}

// A walk is on its way from the root directory to a file.
type walk struct {
	path       string
	trust      Trust
	checked    bool // kconfd's rights are others' than the users' who may write on the way
	followLast bool // a link
	intoLast   bool // it is a directory

	at       *Dir
	rest     []string // components to go
	links    int      // followed
	confined int      // the user whose link was followed, or unconfined
}

func components(path string) []string {
	return strings.Split(strings.TrimPrefix(path, "/"), "/")
}

func (w *walk) toRoot() error {
	fd, err := openat(unix.AT_FDCWD, "/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return w.fail("/", err)
	}
	return w.enter(fd, "/")
}

// run gives the name of the last component, in the directory w.at.
func (w *walk) run() (string, error) {
	for {
		name := w.rest[0]
		last := len(w.rest) == 1
		switch {
		case last && (name == "" || name == "."):
			return ".", w.arrive()
		case name == "" || name == ".":
			w.rest = w.rest[1:]
			continue
		case last && !w.followLast:
			return name, w.arrive()
		}
		found, err := w.step(name, last)
		if found || err != nil {
			return name, err
		}
	}
}

// step enters a directory or follows a link. It says whether name is what is
// looked for, or would be if it existed.
func (w *walk) step(name string, last bool) (found bool, err error) {
	at := filepath.Join(w.at.path, name)
	fd, err := openat(w.at.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		if last && errors.Is(err, fs.ErrNotExist) {
			return true, w.arrive()
		}
		return false, w.fail(at, err)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		unix.Close(fd)
		return false, w.fail(at, err)
	}
	switch kind := stat.Mode & unix.S_IFMT; {
	case kind == unix.S_IFLNK:
		defer unix.Close(fd)
		return false, w.follow(fd, at, stat)
	case last:
		unix.Close(fd)
		return true, w.arrive()
	case kind != unix.S_IFDIR:
		unix.Close(fd)
		return false, w.fail(at, unix.ENOTDIR)
	}
	if err := w.mayEnter(name, at, stat); err != nil {
		unix.Close(fd)
		return false, err
	}
	w.rest = w.rest[1:]
	return false, w.enter(fd, at)
}

func (w *walk) enter(fd int, path string) error {
	dir, err := newDir(fd, path)
	if err != nil {
		return err
	}
	w.at.Close()
	w.at = dir
	return nil
}

// mayEnter refuses a directory in one of another user that does not belong to
// that user: its name can be given to any other directory there.
func (w *walk) mayEnter(name, at string, next unix.Stat_t) error {
	if !w.checked || name == ".." || !w.at.ofOther() || next.Uid == w.at.stat.Uid {
		return nil
	}
	return w.refuse(at, "it belongs to uid %d, in a directory of uid %d", next.Uid, w.at.stat.Uid)
}

func (w *walk) follow(fd int, at string, link unix.Stat_t) error {
	if w.links++; w.links > maxLinks {
		return w.fail(at, unix.ELOOP)
	}
	if err := w.mayFollow(at, link); err != nil {
		return err
	}
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", target)
	if err != nil {
		return w.fail(at, err)
	}
	to := string(target[:n])
	w.rest = append(components(to), w.rest[1:]...)
	if filepath.IsAbs(to) {
		return w.toRoot()
	}
	return nil
}

// mayFollow decides about a link, and confines the walk to its user.
func (w *walk) mayFollow(at string, link unix.Stat_t) error {
	if w.trust == Fixed {
		return w.refuse(at, "it has become a link")
	}
	if !w.checked || !w.at.Shared {
		return nil
	}
	user := int(w.at.stat.Uid)
	if !w.at.ofOther() {
		// Several users write here. Only where each may remove nothing but what is
		// his own, the link's owner is who made it.
		if w.at.stat.Mode&unix.S_ISVTX == 0 {
			return w.refuse(at, "it is a link in a directory that other users may write to")
		}
		if own(link.Uid) {
			return nil
		}
		user = int(link.Uid)
	}
	if w.confined != unconfined && w.confined != user {
		return w.refuse(at, "it is a link of uid %d, reached by one of uid %d", user, w.confined)
	}
	w.confined = user
	return nil
}

// arrive holds a walk by links of another user to what that user could do
// itself: the directory must be that user's.
func (w *walk) arrive() error {
	if w.confined == unconfined || int(w.at.stat.Uid) == w.confined {
		return nil
	}
	return w.refuse(w.at.path, "a link of uid %d leads there, and the directory belongs to uid %d", w.confined, w.at.stat.Uid)
}

func (w *walk) refuse(at, format string, args ...any) error {
	return &PathError{Path: w.path, At: at, Why: fmt.Sprintf(format, args...)}
}

func (w *walk) fail(at string, err error) error {
	if w.links == 0 {
		at = w.path
	}
	return &fs.PathError{Op: "open", Path: at, Err: err}
}

// own says whether a user is kconfd's own, or root.
func own(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }

// Identity is the same for two paths that lead to one file, or would if it existed: by links,
// and by directories that are mounted twice. It is not for second names of a file.
func Identity(path string, trust Trust) string {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	dir, name, err := Locate(absolute, trust)
	switch {
	case err == nil:
		defer dir.Close()
		return fmt.Sprintf("%d:%d/%s", dir.stat.Dev, dir.stat.Ino, name)
	case errors.Is(err, fs.ErrNotExist) && absolute != "/":
		return Identity(filepath.Dir(absolute), trust) + "/" + filepath.Base(absolute)
	}
	return absolute
}
