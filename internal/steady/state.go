package steady

import (
	"errors"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A state is what is known about an entry without reading it. Equal states mean that nothing
// changed, apart from changes within one tick of the file system's clock.
type state struct {
	device, inode     uint64
	size              int64
	mode              fs.FileMode
	modified, changed syscall.Timespec
	names             uint64        // of a directory: a hash of the names
	err               syscall.Errno // why it could not be looked at
}

// stateOf is the state of a file, behind links.
func (f *Files) stateOf(path string) state {
	info, err := os.Stat(path)
	if err != nil {
		return state{err: numberOf(err)}
	}
	sys := info.Sys().(*syscall.Stat_t)
	if f.local(path) == unsteady {
		return state{device: sys.Dev}
	}
	return state{
		device: sys.Dev, inode: sys.Ino, size: sys.Size, mode: info.Mode(),
		modified: sys.Mtim, changed: sys.Ctim,
	}
}

func (f *Files) stateOfNames(names []string, err error) state {
	var h maphash.Hash
	h.SetSeed(f.seed)
	for _, name := range names {
		_, _ = h.WriteString(name)
		_ = h.WriteByte(0)
	}
	return state{names: h.Sum64(), err: numberOf(err)}
}

// numberOf is the number of an error; one that the operating system has not is that of an
// input or output error.
func numberOf(err error) syscall.Errno {
	var number syscall.Errno
	if err != nil && !errors.As(err, &number) {
		return syscall.EIO
	}
	return number
}

// coarsest is the tick of the coarsest clocks: FAT has one of 2 seconds.
const coarsest = 2 * time.Second

// born is from when on a file counts as unchanged that has not been seen before: now, where that
// cannot be known.
func (f *Files) born(path string, s state) time.Time {
	if s.err != 0 {
		return f.now() // it may have been removed to be made again
	}
	if f.local(path) == unsteady || fromMount(path) {
		return time.Time{}
	}
	return f.bornAt(path, s.changed)
}

// bornAt is born for the time of the last change that the file system gives.
func (f *Files) bornAt(path string, changed syscall.Timespec) time.Time {
	now := f.now()
	age := now.Sub(time.Unix(changed.Unix()))
	switch {
	case f.local(path) != local, age < 0: // another clock
		return now
	case changed.Nsec == 0 && age < coarsest+f.quiet:
		return now
	}
	return now.Add(-age) // not the file's own time: a clock that is set does not change it
}

// bornDir is born for the names in a directory. One that is missing has none.
func (f *Files) bornDir(dir string, err error) time.Time {
	if errors.Is(err, fs.ErrNotExist) || f.local(dir) == unsteady || fromMount(dir) {
		return time.Time{}
	}
	var youngest time.Time
	// The directory may be a link that was swapped, which is a change of the one above it.
	for _, path := range []string{dir, filepath.Dir(dir)} {
		if s := f.stateOf(path); s.err == 0 {
			if at := f.bornAt(path, s.changed); at.After(youngest) {
				youngest = at
			}
		}
	}
	return youngest
}

// dataLink is what a ConfigMap volume has in its root: the link to its present version.
const dataLink = "..data"

// fromMount says whether a path leads into a ConfigMap volume, Secret volume or the like: its
// files are written before the link to them is made.
func fromMount(path string) bool {
	if target, err := os.Readlink(filepath.Join(path, dataLink)); err == nil && target != "" {
		return true
	}
	real, err := filepath.EvalSymlinks(path)
	return err == nil && slices.ContainsFunc(strings.Split(real, "/"), func(name string) bool { return strings.HasPrefix(name, "..") })
}

// trust is how far the states of a file system count.
type trust int

const (
	remote   trust = iota // its clock may be another
	local                 // its clock is this machine's
	unsteady              // its files are made when they are read: they have no states
)

// trustOf looks at the type of a path's file system. A type that is not known counts as remote.
func trustOf(path string) trust {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return remote
	}
	switch int64(s.Type) {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.CGROUP_SUPER_MAGIC:
		return unsteady
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC,
		unix.RAMFS_MAGIC, unix.OVERLAYFS_SUPER_MAGIC, unix.SQUASHFS_MAGIC, unix.EROFS_SUPER_MAGIC_V1, unix.ISOFS_SUPER_MAGIC:
		return local
	}
	return remote
}
