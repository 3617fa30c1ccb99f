package safefs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A Making is what the directories are to be like that are missing on the way to a file.
type Making struct {
	Mode     fs.FileMode // whatever the umask is
	UID, GID int         // -1 for kconfd's own
}

// ErrOtherUser is a directory that is not made, since a user other than its owner could replace
// it at any time.
var ErrOtherUser = errors.New("the directory around it belongs to another user")

// MakeParents makes the directories that are missing above a path, and leaves those alone that
// exist. Links are followed as Locate does it.
//
// In a directory of another user, the new one is that user's: [ErrOtherUser] is the answer
// where it is to be another's.
func MakeParents(path string, trust Trust, m Making) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	parent := filepath.Dir(path)
	dir, name, err := Locate(parent, trust)
	if errors.Is(err, fs.ErrNotExist) && parent != path {
		if err := MakeParents(parent, trust, m); err != nil {
			return err
		}
		dir, name, err = Locate(parent, trust)
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.make(name, trust, m); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return dir.Sync()
}

func (d *Dir) make(name string, trust Trust, m Making) error {
	switch {
	case !d.Shared || trust == Trusted:
		return d.makeAlone(name, m)
	case os.Geteuid() != 0 || !d.ofOther():
		return d.makeHidden(name, m)
	case m.UID >= 0 && m.UID != d.UID():
		return fmt.Errorf("%q is not made: %w: it would belong to uid %d, in a directory of uid %d", d.Path(name), ErrOtherUser, m.UID, d.UID())
	}
	// With the rights of that user, who could put another directory in its place.
	gid := int(d.stat.Gid)
	if m.GID >= 0 {
		gid = m.GID
	}
	return As(d.UID(), gid, func() error { return d.makeAlone(name, Making{m.Mode, -1, m.GID}) })
}

// makeAlone makes a directory where no other user can put another in its place, or with
// rights that do not go beyond those of such a user.
func (d *Dir) makeAlone(name string, m Making) error {
	if err := d.MakeDir(name); err != nil {
		return err
	}
	err := d.changeMade(name, m)
	if err != nil {
		// Or it would be taken for one that was there before.
		_ = unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR)
	}
	return err
}

func (d *Dir) changeMade(name string, m Making) error {
	fd, err := openat(d.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return d.fail("open", name, err)
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return d.fail("stat", name, err)
	}
	if m.UID >= 0 && m.UID != int(stat.Uid) || m.GID >= 0 && m.GID != int(stat.Gid) {
		if err := unix.Fchown(fd, m.UID, m.GID); err != nil {
			return d.fail("chown", name, err)
		}
	}
	keep := stat.Mode & unix.S_ISGID // of the directory around it
	if stat.Mode&0o7777 == uint32(m.Mode)|keep {
		return nil
	}
	if err := unix.Fchmod(fd, uint32(m.Mode)|keep); err != nil && !Refused(err) { // a volume without modes
		return d.fail("chmod", name, err)
	}
	return nil
}

// makeHidden makes a directory where other users may write. It gets owner and mode in a
// directory that only kconfd's user can enter: under its own name it could be another one by
// then.
func (d *Dir) makeHidden(name string, m Making) error {
	temporary := ""
	err := unused("."+name, "", func(free string) error {
		temporary = free
		return d.MakeDir(free)
	})
	if err != nil {
		return err
	}
	defer func() { _ = unix.Unlinkat(d.fd, temporary, unix.AT_REMOVEDIR) }() // empty, and hidden
	hidden, err := d.OpenDir(temporary)
	if err != nil {
		return err
	}
	defer hidden.Close()
	if hidden.Shared {
		return fmt.Errorf("%q is not made: another user has replaced a directory beside it", d.Path(name))
	}
	if err := hidden.makeAlone(name, m); err != nil {
		return err
	}
	err = unix.Renameat2(hidden.fd, name, d.fd, name, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // not on this file system
		err = unix.Renameat(hidden.fd, name, d.fd, name)
	}
	if err != nil {
		_ = unix.Unlinkat(hidden.fd, name, unix.AT_REMOVEDIR)
	}
	return d.fail("mkdir", name, err)
}
