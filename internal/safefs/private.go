package safefs

import (
	"errors"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Private says whether only root and kconfd's own user can change what is in the
// directory, and what its path leads to.
func (d *Dir) Private() bool {
	at, err := unix.Dup(d.fd)
	if err != nil {
		return false
	}
	defer func() { unix.Close(at) }()
	var below unix.Stat_t // none yet
	for {
		var stat unix.Stat_t
		if err := unix.Fstat(at, &stat); err != nil {
			return false
		}
		if stat.Dev == below.Dev && stat.Ino == below.Ino { // the root directory's parent
			return true
		}
		// Where nobody but its owner may rename an entry, the entry's owner counts.
		sticky := below.Ino != 0 && stat.Mode&unix.S_ISVTX != 0 && own(below.Uid)
		if !own(stat.Uid) || stat.Mode&0o022 != 0 && !sticky {
			return false
		}
		above, err := openat(at, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return false
		}
		unix.Close(at)
		at, below = above, stat
	}
}

// OpenNearest opens a directory, or where it does not exist the nearest one above
// it. Links are followed as Locate does it.
func OpenNearest(path string, trust Trust) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	for {
		dir, err := OpenDir(path, trust)
		if !errors.Is(err, fs.ErrNotExist) || path == "/" {
			return dir, err
		}
		path = filepath.Dir(path)
	}
}

// OpenDir opens a directory in the directory. Anything else, a link to one
// included, is an error.
func (d *Dir) OpenDir(name string) (*Dir, error) {
	fd, err := openat(d.fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	return newDir(fd, d.Path(name))
}
